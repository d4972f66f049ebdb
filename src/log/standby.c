/*-------------------------------------------------------------------------
 *
 * standby.c
 *		What the synchronous standbys have.
 *
 * What the worker sends must survive a failover, so it sends nothing that the
 * synchronous standbys have not flushed to disk.  That a transaction is visible does not
 * mean that: a backend that waits for a standby gives up at a fast shutdown, when it
 * is terminated and when its statement is canceled, and then its commit becomes
 * visible like any other; synchronous_commit may be lower than "on", too.
 *
 * The commit record of a visible transaction cannot be asked for: it is known for
 * asynchronous commits only.  But it lies before the end of what was flushed after the
 * snapshot was taken (the worker itself has flushed those of asynchronous commits).  So after
 * each reading nothing is sent or read until that position is confirmed.  Usually it
 * is already.  Where others write WAL all the time this costs one round trip to the
 * standbys per reading.
 *
 * Without synchronous_standby_names all this is one comparison.
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

/* Nobody wakes us when a standby confirms.  One that has been silent for long is asked for less often. */
#define CHECK_MIN_US	(1 * INT64CONST(1000))
#define CHECK_MAX_US	(200 * INT64CONST(1000))

static XLogRecPtr standby_needed = InvalidXLogRecPtr;
static TimestampTz standby_missing_since = 0;	/* 0: nothing is missing */
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
