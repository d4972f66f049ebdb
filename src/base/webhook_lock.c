/*-------------------------------------------------------------------------
 *
 * webhook_lock.c
 *		A lock per webhook, which sessions wait for and the worker only tries.
 *
 * A session that deactivates a webhook changes its deliveries and its health,
 * and its transaction may then stay open for hours.  The worker must not wait
 * for it, because all other webhooks would wait, too.  So both lock the
 * webhook's id before they change rows that the other may change: a session
 * waits for the lock, the worker takes it only if it is free and otherwise
 * defers the write to a later turn.  Since the worker never waits, it cannot be
 * part of a deadlock.
 *
 * Within one transaction of the worker the result for a webhook does not change,
 * so whatever it writes about one webhook is written together.  Refused locks
 * are tried again at growing intervals, or once a session has changed something.
 *
 * Rows that the worker inserts need no lock, since no session has seen them.
 *
 * All locks of the server share one table of fixed size, so a transaction that changes
 * many webhooks cannot take a lock for each of them.  After MAX_SESSION_LOCKS it takes
 * one that covers all webhooks, in a mode that conflicts with the worker's but not with
 * that of other sessions.  So a session waits only for the end of the worker's
 * transaction, and this cannot be part of a deadlock either.  Sessions exclude each
 * other by locking the row of the webhook, after the lock here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/container.h"
#include "base/webhook_lock.h"
#include "compat.h"

/* Keeps our locks apart from those of pg_advisory_lock(), whose classes are 1 and 2. */
#define WEBHOOK_LOCK_CLASS	0x5748

/* Maximum per transaction of the worker: all sessions share the lock table. */
#define MAX_LOCKS			1000

/* Maximum per transaction of a session; after that it locks all webhooks. */
#define MAX_SESSION_LOCKS	32

/* No webhook has this id; its lock covers all of them. */
#define ALL_WEBHOOKS		INT64CONST(0)

/* Bounds of the interval between tries; a session may commit in a moment, or in hours. */
#define FIRST_PAUSE_MS		10
#define MAX_PAUSE_MS		1000

/* A lock that the worker tried to take. */
typedef struct WebhookLock
{
	int64		webhook_id;		/* hash key */
	uint64		last_try;		/* number of the transaction of the last try */
	bool		granted;
	int			pause_ms;		/* interval before the next try, if refused */
	TimestampTz again;			/* time of the next try */
} WebhookLock;

/* Of a session */
static int	webhook_lock_nwaits = 0;

/* Of the worker */
static HTAB *webhook_lock_table = NULL;
static uint64 webhook_lock_transaction = 0;
static int	webhook_lock_ngranted = 0;
static bool webhook_lock_limit_reached = false;
static bool webhook_lock_shared = false;	/* does the transaction hold its
											 * part of the lock on all
											 * webhooks? */


static void
webhook_lock_set_tag(LOCKTAG *tag, int64 webhook_id)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (webhook_id >> 32), (uint32) webhook_id,
						 WEBHOOK_LOCK_CLASS);
}

void
webhook_lock_wait(int64 webhook_id)
{
	LOCKTAG		tag;

	Assert(IsTransactionState());
	if (webhook_lock_nwaits < MAX_SESSION_LOCKS)
	{
		webhook_lock_set_tag(&tag, webhook_id);
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
		webhook_lock_nwaits++;
	}
	else
	{
		webhook_lock_set_tag(&tag, ALL_WEBHOOKS);
		(void) LockAcquire(&tag, ShareLock, false, false);
	}
}

bool
webhook_lock_is_held(int64 webhook_id)
{
	LOCKTAG		tag;

	webhook_lock_set_tag(&tag, webhook_id);
	if (webhook_lock_held_by_me(&tag, ExclusiveLock))
		return true;
	webhook_lock_set_tag(&tag, ALL_WEBHOOKS);
	return webhook_lock_held_by_me(&tag, ShareLock);
}

void
webhook_lock_at_eoxact(void)
{
	webhook_lock_nwaits = 0;
}

void
webhook_lock_begin(void)
{
	HASH_SEQ_STATUS status;
	WebhookLock *lock;

	if (webhook_lock_table == NULL)
		webhook_lock_table = container_hash("webhook locks", 64, sizeof(int64), sizeof(WebhookLock), TopMemoryContext);

	/*
	 * Locks end with their transaction; refusals are remembered while the
	 * worker keeps trying.
	 */
	hash_seq_init(&status, webhook_lock_table);
	while ((lock = hash_seq_search(&status)) != NULL)
		if (lock->granted || lock->last_try != webhook_lock_transaction)
			hash_search(webhook_lock_table, &lock->webhook_id, HASH_REMOVE, NULL);
	webhook_lock_transaction++;
	webhook_lock_ngranted = 0;
	webhook_lock_limit_reached = false;
	webhook_lock_shared = false;
}

/* Is it time to try?  A time too far ahead means that the clock has been set back. */
static bool
webhook_lock_is_due(const WebhookLock *lock, TimestampTz now)
{
	return now >= lock->again || lock->again > TimestampTzPlusMilliseconds(now, MAX_PAUSE_MS);
}

static bool
webhook_lock_acquire(int64 webhook_id, LOCKMODE mode)
{
	LOCKTAG		tag;

	webhook_lock_set_tag(&tag, webhook_id);
	return LockAcquire(&tag, mode, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

static bool
webhook_lock_request(WebhookLock *lock, TimestampTz now)
{
	if (!webhook_lock_shared)
		webhook_lock_shared = webhook_lock_acquire(ALL_WEBHOOKS, RowExclusiveLock);
	if (webhook_lock_shared && webhook_lock_acquire(lock->webhook_id, ExclusiveLock))
		return true;
	lock->pause_ms = Max(FIRST_PAUSE_MS, Min(2 * lock->pause_ms, MAX_PAUSE_MS));
	lock->again = TimestampTzPlusMilliseconds(now, lock->pause_ms);
	return false;
}

bool
webhook_lock_try(int64 webhook_id)
{
	TimestampTz now;
	bool		found;
	WebhookLock *lock;

	Assert(IsTransactionState());
	Assert(webhook_lock_table != NULL && webhook_lock_transaction > 0);
	lock = hash_search(webhook_lock_table, &webhook_id, HASH_FIND, NULL);
	if (lock != NULL && lock->last_try == webhook_lock_transaction)
		return lock->granted;
	if (webhook_lock_ngranted >= MAX_LOCKS)
	{
		webhook_lock_limit_reached = true;
		return false;
	}
	lock = hash_search(webhook_lock_table, &webhook_id, HASH_ENTER, &found);
	if (!found)
	{
		lock->again = DT_NOBEGIN;
		lock->pause_ms = 0;
	}
	now = clock_now();
	lock->last_try = webhook_lock_transaction;
	lock->granted = webhook_lock_is_due(lock, now) && webhook_lock_request(lock, now);
	webhook_lock_ngranted += lock->granted;
	return lock->granted;
}

void
webhook_lock_retry_now(void)
{
	HASH_SEQ_STATUS status;
	WebhookLock *lock;

	if (webhook_lock_table == NULL)
		return;
	hash_seq_init(&status, webhook_lock_table);
	while ((lock = hash_seq_search(&status)) != NULL)
	{
		lock->again = DT_NOBEGIN;
		lock->pause_ms = 0;
	}
}

bool
webhook_lock_limited(void)
{
	return webhook_lock_limit_reached;
}

TimestampTz
webhook_lock_next_try(void)
{
	TimestampTz next = DT_NOEND;
	HASH_SEQ_STATUS status;
	WebhookLock *lock;

	hash_seq_init(&status, webhook_lock_table);
	while ((lock = hash_seq_search(&status)) != NULL)
		if (!lock->granted)
			next = Min(next, lock->again);
	return next;
}
