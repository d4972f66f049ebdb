/*-------------------------------------------------------------------------
 *
 * trim.c
 *		Removes rows of the delivery table that failed too long ago.
 *
 * A row whose webhook a session has locked is left for a later time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/settings.h"
#include "base/webhook_lock.h"
#include "send/attempt_log.h"
#include "send/delivery_table.h"
#include "send/trim.h"

/* How many rows are removed at a time, and when to try again with those that were locked. */
#define TRIM_ROWS			200
#define TRIM_AGAIN_MS		60000

static TimestampTz trim_at = DT_NOBEGIN;
static TimestampTz trim_from = DT_NOBEGIN;	/* what failed before has been
											 * removed, or skipped */
static bool trim_skipped = false;	/* some of it was locked */


/* When is a row removed that failed at this time? */
static TimestampTz
trim_time(TimestampTz failed_at)
{
	if (webhook_failed_retention == 0 || TIMESTAMP_NOT_FINITE(failed_at))
		return DT_NOEND;
	return failed_at + (int64) webhook_failed_retention * USECS_PER_SEC;
}

void
trim_note_failed(TimestampTz now)
{
	trim_from = Min(trim_from, now);
	trim_at = Min(trim_at, trim_time(now));
}

TimestampTz
trim_next(TimestampTz now)
{
	return trim_at;
}

void
trim_plan(void)
{
	trim_at = trim_from = DT_NOBEGIN;
	trim_skipped = false;
}

void
trim_failed(TimestampTz now)
{
	DeliveryId *rows = palloc(TRIM_ROWS * sizeof(DeliveryId));
	TimestampTz last = trim_from;
	int			n = webhook_failed_retention == 0 ? 0 :
		delivery_table_read_expired(trim_from, now - (int64) webhook_failed_retention * USECS_PER_SEC,
									TRIM_ROWS, rows, &last);

	for (int i = 0; i < n; i++)
	{
		if (!webhook_lock_try(rows[i].webhook_id))
			trim_skipped = true;
		else if (delivery_table_delete_failed(rows[i].webhook_id, rows[i].id))
			attempt_log_count_expired(endpoint_get(rows[i].webhook_id));
	}
	pfree(rows);

	/*
	 * More than these may have failed at the same time, and all of these be
	 * locked.
	 */
	if (trim_skipped && n == TRIM_ROWS && last == trim_from)
		last++;
	trim_from = last;
	trim_at = trim_time(delivery_table_first_failed(trim_from));
	if (trim_skipped && n < TRIM_ROWS)
	{
		/* This was the last of them: return to those that were locked, later. */
		trim_plan();
		trim_at = TimestampTzPlusMilliseconds(now, TRIM_AGAIN_MS);
	}
}
