/*-------------------------------------------------------------------------
 *
 * attempt.h
 *		Attempts to deliver: start requests, and act on their results.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ATTEMPT_H
#define WEBHOOK_ATTEMPT_H

#include "http/http.h"
#include "send/delivery_table.h"

/* Must be called once, before the others.  The context is that of deliveries. */
extern void attempt_init(Http *http, MemoryContext context);

/*
 * Start requests, within all limits; endpoints take turns.  A request that cannot be
 * built fails its delivery and raises no error.  Must be called outside of a
 * transaction.
 */
extern void attempt_send(TimestampTz now);

/*
 * Take the results of finished requests and decide what becomes of their deliveries.
 * Rows are written with the next transaction.  Must be called outside of a
 * transaction.
 */
extern void attempt_results(TimestampTz now);

#endif							/* WEBHOOK_ATTEMPT_H */
