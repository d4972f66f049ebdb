/*-------------------------------------------------------------------------
 *
 * backfill_api.h
 *		backfill() and cancel_backfill().
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_BACKFILL_API_H
#define WEBHOOK_BACKFILL_API_H

/*
 * Forget old jobs, and raise an error if this webhook, which must be locked, has too
 * many that have not ended.  Must be called between as_owner_begin() and as_owner_end().
 */
extern void backfill_api_require_room(int64 webhook_id);

#endif							/* WEBHOOK_BACKFILL_API_H */
