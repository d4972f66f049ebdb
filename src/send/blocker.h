/*-------------------------------------------------------------------------
 *
 * blocker.h
 *		Webhooks that have, or had, rows to be retried, which block their keys.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_BLOCKER_H
#define WEBHOOK_BLOCKER_H

#include "datatype/timestamp.h"

/* Must be called once, before the others. */
extern void blocker_init(MemoryContext context);

/* Note that a row of this webhook blocks its key.  changed_at: when the webhook was last changed, as far as we know. */
extern void blocker_watch(int64 webhook_id, TimestampTz changed_at);

/* Has that been noted? */
extern bool blocker_watched(int64 webhook_id);

/*
 * Have the next row read for each blocked key of webhooks that have been changed since
 * the last call.  Requires a transaction with SPI connected.
 */
extern void blocker_follow_changed(void);

#endif							/* WEBHOOK_BLOCKER_H */
