/*-------------------------------------------------------------------------
 *
 * record.h
 *		What is told about the attempts: the last ten requests, counters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_RECORD_H
#define WEBHOOK_RECORD_H

#include "delivery.h"
#include "http.h"
#include "request.h"

/*
 * An attempt has ended.  request is NULL if it could not be built.  A test
 * (counts false) shows in the log alone.
 */
extern void record_attempt(const Delivery *delivery, const Request *request,
						   const HttpResult *result, TimestampTz now, bool counts);

/* The health of an endpoint has changed otherwise. */
extern void record_health(Endpoint *endpoint);

/* A delivery has been given up; or dropped without an attempt. */
extern void record_failed(Endpoint *endpoint);
extern void record_dropped(Endpoint *endpoint);

/* A row that had failed long ago has been removed. */
extern void record_expired(Endpoint *endpoint);

/* Deliveries that succeeded and that were given up since the worker started. */
extern void record_totals(uint64 *delivered, uint64 *failed);

/* In how many microseconds shall record_save be called?  PG_INT64_MAX: there is nothing to write. */
extern int64 record_due_in(bool idle);

/*
 * Write logs and counters, in a transaction with SPI connected: some of what is due; all if there is
 * so little that it does not matter, else false; as much as can be written at once before the end, false if
 * that was not all.
 */
extern void record_save(bool idle);
extern bool record_save_few(void);
extern bool record_save_all(void);

#endif							/* WEBHOOK_RECORD_H */
