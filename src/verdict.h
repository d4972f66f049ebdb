/*-------------------------------------------------------------------------
 *
 * verdict.h
 *		Endpoints that are to be warned of, or switched off.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_VERDICT_H
#define WEBHOOK_VERDICT_H

#include "endpoint.h"

extern void verdict_init(MemoryContext context);

/* So many percent of its schedule have passed without a success. */
extern void verdict_warn(Endpoint *endpoint, int percent);

/*
 * Have it switched off with the next transaction, and nothing sent there until then.  as_of: the configuration
 * that this is about, by its updated_at; another one is not condemned.
 */
extern void verdict_switch_off(Endpoint *endpoint, const char *reason, TimestampTz as_of);

/* Switch off the webhook whose transform ended the worker before this one.  In a transaction with SPI connected. */
extern void verdict_punish(int64 webhook_id);

/* Have the webhooks switched off whose owner does not exist any more.  In a transaction with SPI connected. */
extern void verdict_find_orphans(void);

/* Is there something for verdict_save() to do now; or when may there be a claim on what has had none so far? */
extern bool verdict_to_save(TimestampTz now);
extern TimestampTz verdict_next_save(void);

/* Carry them out.  In a transaction with SPI connected, after claim_begin(). */
extern void verdict_save(void);

#endif							/* WEBHOOK_VERDICT_H */
