/*-------------------------------------------------------------------------
 *
 * attempt_log.h
 *		The log of attempts: the last ten requests of each webhook, and counters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ATTEMPT_LOG_H
#define WEBHOOK_ATTEMPT_LOG_H

#include "http/http.h"
#include "send/delivery_table.h"
#include "send/request.h"

/*
 * An attempt has ended, which delivery->attempts does not contain yet.  request is
 * NULL if it could not be built.  A test (counts false) shows in the log alone.
 */
extern void attempt_log_attempt(const Delivery *delivery, const Request *request,
								const HttpResult *result, TimestampTz now, bool counts);

/* The health of an endpoint has changed otherwise. */
extern void attempt_log_health(Endpoint *endpoint);

/* A delivery has been given up; or dropped without an attempt. */
extern void attempt_log_failed(Endpoint *endpoint);
extern void attempt_log_dropped(Endpoint *endpoint);

/* A row that had failed long ago has been removed. */
extern void attempt_log_expired(Endpoint *endpoint);

/* Deliveries that succeeded and that were given up since the worker started. */
extern void attempt_log_totals(uint64 *delivered, uint64 *failed);

/* In how many microseconds is attempt_log_save() due?  PG_INT64_MAX: there is nothing to write. */
extern int64 attempt_log_due_in(bool idle);

/*
 * Write logs and counters, in a transaction with SPI connected: some of what
 * is due; all, if it is little, else false; at shutdown, as much as can be
 * written at once, false if that was not all.
 */
extern void attempt_log_save(bool idle);
extern bool attempt_log_save_few(void);
extern bool attempt_log_save_all(void);

#endif							/* WEBHOOK_ATTEMPT_LOG_H */
