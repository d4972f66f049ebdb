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

/* Is there anything that record_save has not written? */
extern bool record_pending(void);

/* Is there so little that it can be written at once? */
extern bool record_prompt(TimestampTz now);

/* Deliveries that succeeded and that were given up since the worker started. */
extern void record_totals(uint64 *delivered, uint64 *failed);

/* Does that take so much memory that it should be written soon? */
extern bool record_urgent(void);

/*
 * Write logs and counters of at most so many webhooks, or of more if they take too much
 * memory.  In a transaction with SPI connected.
 */
extern void record_save(int max);

#endif							/* WEBHOOK_RECORD_H */
