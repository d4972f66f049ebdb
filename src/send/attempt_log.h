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
 * The first functions note in memory what has happened, and require no transaction.
 *
 * Log an attempt that has ended, which delivery->attempts does not include yet.
 * request is NULL if it could not be built.  All texts are copied.  If counts is
 * false, as for tests and answered questions, the counters are not changed.
 */
extern void attempt_log_attempt(const Delivery *delivery, const Request *request,
								const HttpResult *result, TimestampTz now, bool counts);

/* The health of an endpoint has changed without an attempt: it must be written. */
extern void attempt_log_mark_health(Endpoint *endpoint);

/* Count a delivery that has failed for good; or one that was dropped, and is not sent at all. */
extern void attempt_log_count_failed(Endpoint *endpoint);
extern void attempt_log_count_dropped(Endpoint *endpoint);

/* Count a failed delivery whose row has been removed because of its age. */
extern void attempt_log_count_expired(Endpoint *endpoint);

/* Numbers of deliveries that succeeded, and that failed for good, since the worker started. */
extern void attempt_log_totals(uint64 *delivered, uint64 *failed);

/* In how many microseconds attempt_log_save() is due; PG_INT64_MAX if there is nothing to write. */
extern int64 attempt_log_due_in(bool idle);

/*
 * Write logs and counters.  Requires a transaction with SPI connected, after
 * webhook_lock_begin().  Webhooks that a session has locked are left for later.
 *
 * attempt_log_save() writes some of what is due.  attempt_log_save_few() writes
 * everything if it is little, else nothing, and returns whether it did.
 * attempt_log_save_all(), for shutdown, writes as much as one transaction can;
 * returns false if another one could write more.
 */
extern void attempt_log_save(bool idle);
extern bool attempt_log_save_few(void);
extern bool attempt_log_save_all(void);

#endif							/* WEBHOOK_ATTEMPT_LOG_H */
