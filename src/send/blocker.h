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

extern void blocker_init(MemoryContext context);

/* A row of this webhook, which was last changed then as far as we know, blocks its key. */
extern void blocker_watch(int64 webhook_id, TimestampTz changed_at);

/* Is it known to have such rows? */
extern bool blocker_watched(int64 webhook_id);

/* Have the next row read for the blocked keys of webhooks changed since the last call.  In a transaction. */
extern void blocker_follow_changed(void);

#endif							/* WEBHOOK_BLOCKER_H */
