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
#include "server/shmem.h"

extern void deactivation_init(MemoryContext context);

/* Warn that this percentage of its schedule has elapsed without a success. */
extern void deactivation_warn_of_refusal(Endpoint *endpoint);
extern void deactivation_warn(Endpoint *endpoint, int percent);

/* It begins to fail, as there is no access token. */
extern void deactivation_report_token(Endpoint *endpoint, const char *problem);

/*
 * Deactivate it with the next transaction, and send nothing there until then.
 * as_of: updated_at of the configuration that has failed; a newer one is left
 * alone.
 */
extern void deactivation_plan(Endpoint *endpoint, const char *reason, TimestampTz as_of);

/* Deactivate the webhook whose transform ended the last worker.  In a transaction with SPI connected. */
extern void deactivation_load_faulty_transform(DatabaseSlot *slot);

/* Must be called after each commit: once that webhook has been deactivated, this forgets it. */
extern void deactivation_clear_faulty_transform(DatabaseSlot *slot);

/* Have the webhooks deactivated whose owner does not exist any more.  In a transaction with SPI connected. */
extern void deactivation_find_orphans(void);

/* The clock has been set back: correct the times that are remembered. */
extern void deactivation_clock_set_back(void);

/* Is there work for deactivation_save() now; and when to try again after a lock was refused? */
extern bool deactivation_save_due(TimestampTz now);
extern TimestampTz deactivation_next_save(void);

/* Apply them.  In a transaction with SPI connected, after webhook_lock_begin(). */
extern void deactivation_save(void);

#endif							/* WEBHOOK_DEACTIVATION_H */
