/*-------------------------------------------------------------------------
 *
 * attempt.h
 *		One attempt to deliver: how it begins, and what became of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ATTEMPT_H
#define WEBHOOK_ATTEMPT_H

#include "http/http.h"
#include "send/delivery_table.h"

extern void attempt_init(Http *http, MemoryContext context);

/* Start requests, fairly, within all limits. */
extern void attempt_send(TimestampTz now);

/* Collect results. */
extern void attempt_results(TimestampTz now);

#endif							/* WEBHOOK_ATTEMPT_H */
