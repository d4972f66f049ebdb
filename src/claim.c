/*-------------------------------------------------------------------------
 *
 * claim.c
 *		Who changes the rows of a webhook.
 *
 * A session that switches a webhook off changes its deliveries and its health,
 * and may then stay in its transaction for hours.  The worker must not wait
 * for it: all other webhooks would wait as well.  So both take a lock on the
 * webhook's id before they change rows that the other may change, the session
 * waiting for it and the worker only if it is free; what it cannot write now
 * it writes in a later turn.  As the worker never waits, it is never part of a
 * deadlock either.
 *
 * Rows that the worker adds need no claim: nobody else knows of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"

#include "claim.h"

/* Keeps our locks apart from those of pg_advisory_lock(). */
#define CLAIM_LOCK_CLASS	0x5748

/* The lock table is shared by all sessions. */
#define MAX_CLAIMS			1000

static int	claims = 0;


static void
set_tag(LOCKTAG *tag, int64 webhook_id)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (webhook_id >> 32), (uint32) webhook_id,
						 CLAIM_LOCK_CLASS);
}

void
claim_wait(int64 webhook_id)
{
	LOCKTAG		tag;

	set_tag(&tag, webhook_id);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

void
claim_begin(void)
{
	claims = 0;
}

bool
claim_try(int64 webhook_id)
{
	LOCKTAG		tag;

	if (claims >= MAX_CLAIMS)
		return false;
	set_tag(&tag, webhook_id);
	switch (LockAcquire(&tag, ExclusiveLock, false, true))
	{
		case LOCKACQUIRE_NOT_AVAIL:
			return false;
		case LOCKACQUIRE_OK:
			claims++;
			return true;
		default:
			return true;
	}
}
