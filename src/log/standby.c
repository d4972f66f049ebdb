/*-------------------------------------------------------------------------
 *
 * standby.c
 *		Do not send what the synchronous standbys have not flushed.
 *
 * What the worker sends must survive a failover, so it sends nothing that the
 * synchronous standbys have not flushed to disk.  Visibility of a transaction does
 * not imply that: a backend stops waiting for a standby at a fast shutdown, when it
 * is terminated, and when its statement is canceled, and its commit becomes visible
 * then.  In addition, synchronous_commit may be lower than "on".
 *
 * The LSN of a visible transaction's commit record cannot be looked up, except for
 * asynchronous commits.  But it is before the flush position read after the
 * snapshot was taken (the worker itself has flushed asynchronous commits).  So after
 * each read, nothing is sent or read until the standbys have confirmed that
 * position.  Usually they already have.  With a lot of concurrent WAL this costs
 * one round trip to the standbys per read.
 *
 * Without synchronous_standby_names this costs one comparison.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"

#include "compat.h"
#include "log/standby.h"

/* Poll interval, since a confirmation does not set our latch; it grows with the time waited. */
#define CHECK_MIN_US	(1 * INT64CONST(1000))
#define CHECK_MAX_US	(200 * INT64CONST(1000))

static XLogRecPtr standby_needed = InvalidXLogRecPtr;
static TimestampTz standby_missing_since = 0;	/* 0: not waiting */
static TimestampTz standby_check_at;

void
standby_note_read(void)
{
	standby_needed = webhook_flushed_wal();
}

static XLogRecPtr
standby_confirmed(void)
{
	XLogRecPtr	confirmed;

	LWLockAcquire(SyncRepLock, LW_SHARED);
	confirmed = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
	LWLockRelease(SyncRepLock);
	return confirmed;
}

bool
standby_has_all(TimestampTz now)
{
	if (max_wal_senders == 0 || SyncRepStandbyNames == NULL || SyncRepStandbyNames[0] == '\0' ||
		standby_needed <= standby_confirmed())
	{
		standby_missing_since = 0;
		return true;
	}
	if (standby_missing_since == 0 || now < standby_missing_since)
		standby_missing_since = now;
	standby_check_at = now + Min(Max((now - standby_missing_since) / 8, CHECK_MIN_US), CHECK_MAX_US);
	return false;
}

TimestampTz
standby_next_check(void)
{
	return standby_missing_since != 0 ? standby_check_at : DT_NOEND;
}

bool
standby_connected(void)
{
	for (int i = 0; i < max_wal_senders; i++)
		if (*(volatile pid_t *) &WalSndCtl->walsnds[i].pid != 0)
			return true;
	return false;
}
