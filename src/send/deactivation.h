/*-------------------------------------------------------------------------
 *
 * deactivation.h
 *		Deactivates webhooks that keep failing, and warns before.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DEACTIVATION_H
#define WEBHOOK_DEACTIVATION_H

#include "send/endpoint.h"

extern void deactivation_init(MemoryContext context);

/* This percentage of its schedule has elapsed without a success: have a warning raised. */
extern void deactivation_warn(Endpoint *endpoint, int percent);

/*
 * Have it deactivated with the next transaction, and nothing sent there until then.  as_of: the updated_at of the
 * configuration that this is about; a newer one is left alone.
 */
extern void deactivation_order(Endpoint *endpoint, const char *reason, TimestampTz as_of);

/* Switch off the webhook whose transform ended the worker before this one.  In a transaction with SPI connected. */
extern void deactivation_of_transform(int64 webhook_id);

/* Have the webhooks deactivated whose owner does not exist any more.  In a transaction with SPI connected. */
extern void deactivation_find_orphans(void);

/* Has this webhook still to be deactivated, or warned of? */
extern bool deactivation_pending_for(int64 webhook_id);

/* The clock has been set back: correct the times that are remembered. */
extern void deactivation_clock_set_back(void);

/* Is there something for deactivation_save() to do now; or when shall it try again what has been refused a lock? */
extern bool deactivation_save_due(TimestampTz now);
extern TimestampTz deactivation_next_save(void);

/* Carry them out.  In a transaction with SPI connected, after webhook_lock_begin(). */
extern void deactivation_save(void);

#endif							/* WEBHOOK_DEACTIVATION_H */
