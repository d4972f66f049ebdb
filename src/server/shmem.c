/*-------------------------------------------------------------------------
 *
 * shmem.c
 *		Shared memory: one slot per database with the extension.
 *
 * A slot goes through these states; on the right is the process that changes it:
 *
 *		free -> NEW				a backend that needs it, or the launcher
 *		NEW -> STARTING			the launcher, when it registers a worker
 *		STARTING -> SERVED		the worker, when it has found the extension
 *		STARTING, SERVED -> ABSENT	the worker, when it has not
 *		SERVED -> RESTING		the worker, when it leaves to make room
 *		RESTING -> WAITING		the launcher, when there is something to do
 *		RESTING, WAITING -> STARTING	the launcher, when there is room
 *		RESTING -> NEW			the launcher, once in a while, and DROP EXTENSION
 *		STARTING, SERVED -> BACKOFF	the launcher, when the worker is gone
 *		BACKOFF -> NEW			the launcher, when the time has come
 *		ABSENT -> free			the launcher, which remembers the database itself
 *		any -> HELD -> NEW		DDL that needs the database to itself
 *
 * All fields except the atomics and the ids are written under the lock.  Two are
 * read without it: "database", by backends that check whether a remembered slot is
 * still theirs, and "latch", by backends that wake the worker.  Both are effectively
 * atomic, and an outdated value does no harm: latches live as long as the server, and
 * setting the wrong one is just a spurious wakeup.
 *
 * A slot can be freed and assigned to another database while a backend in the
 * former one still remembers it: after DROP EXTENSION, which waits for all
 * transactions that use its tables, or if the database has become a template or does
 * not allow connections any more.  So the ids in a slot say which database they are
 * from.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/clock.h"
#include "base/settings.h"
#include "compat.h"
#include "server/shmem.h"

#define TRANCHE_NAME	"webhook"

/*
 * Maximum time without a worker; then one is started for non-urgent work, such as
 * removing old rows.
 */
#define REST_MAX		(3600 * USECS_PER_SEC)

typedef struct SharedState
{
	Latch	   *launcher;		/* its latch, NULL: not running */
	pg_atomic_uint32 rescan;	/* must the launcher scan pg_database? */
	pg_atomic_uint32 forget;	/* and check databases without the extension
								 * again? */
	ConditionVariable changed;	/* a worker detached, or a hold ended */
	int			nslots;
	int			nused;			/* slots after that have never been used */
	DatabaseSlot slots[FLEXIBLE_ARRAY_MEMBER];
} SharedState;

static SharedState *shmem_header = NULL;
static LWLock *shmem_lwlock = NULL;

/* The slot of MyDatabaseId, if this backend has looked it up. */
static DatabaseSlot *shmem_own_slot = NULL;

static shmem_startup_hook_type shmem_prev_startup_hook = NULL;
#ifdef WEBHOOK_HAS_SHMEM_REQUEST_HOOK
static shmem_request_hook_type shmem_prev_request_hook = NULL;
#endif

static Size
shmem_shared_size(void)
{
	return add_size(offsetof(SharedState, slots),
					mul_size(webhook_max_databases, sizeof(DatabaseSlot)));
}

static void
shmem_request_shmem(void)
{
#ifdef WEBHOOK_HAS_SHMEM_REQUEST_HOOK
	if (shmem_prev_request_hook)
		shmem_prev_request_hook();
#endif
	RequestAddinShmemSpace(shmem_shared_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
shmem_init_slot(DatabaseSlot *slot)
{
	memset(slot, 0, offsetof(DatabaseSlot, ids));
	slot->database = InvalidOid;
	slot->state = DATABASE_NEW;
	slot->since = clock_monotonic();
	slot->due_at = DT_NOEND;
	pg_atomic_init_u32(&slot->partition, WEBHOOK_PARTITION_UNKNOWN);
	pg_atomic_init_u32(&slot->activity, WORKER_IDLE);
	pg_atomic_init_u64(&slot->faulty_transform, 0);
	pg_atomic_init_u64(&slot->faulty_backfill, 0);
	pg_atomic_init_u32(&slot->wake_requested, 0);
	pg_atomic_init_u32(&slot->leave_requested, 0);
	pg_atomic_init_u64(&slot->idle_since, 0);
	pg_atomic_init_u32(&slot->in_flight, 0);
	pg_atomic_init_u64(&slot->delivered, 0);
	pg_atomic_init_u64(&slot->failed, 0);
	pg_atomic_init_u64(&slot->last_read, 0);
	pg_atomic_init_u32(&slot->queued, 0);
	pg_atomic_init_u64(&slot->proxy_failing_since, 0);
	pg_atomic_init_u64(&slot->condition_errors, 0);
}

static void
shmem_startup_shmem(void)
{
	bool		found;

	if (shmem_prev_startup_hook)
		shmem_prev_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shmem_header = ShmemInitStruct("webhook", shmem_shared_size(), &found);
	if (!found)
	{
		shmem_header->launcher = NULL;
		pg_atomic_init_u32(&shmem_header->rescan, 0);
		pg_atomic_init_u32(&shmem_header->forget, 0);
		ConditionVariableInit(&shmem_header->changed);
		shmem_header->nslots = webhook_max_databases;
		shmem_header->nused = 0;
		for (int i = 0; i < shmem_header->nslots; i++)
		{
			shmem_init_slot(&shmem_header->slots[i]);
			memset(&shmem_header->slots[i].ids, 0, sizeof(IdBlock));
			SpinLockInit(&shmem_header->slots[i].ids.mutex);
		}
	}
	shmem_lwlock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
	LWLockRelease(AddinShmemInitLock);
}

void
shmem_init(void)
{
#ifdef WEBHOOK_HAS_SHMEM_REQUEST_HOOK
	shmem_prev_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request_shmem;
#else
	shmem_request_shmem();
#endif
	shmem_prev_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup_shmem;
}

bool
shmem_available(void)
{
	return shmem_header != NULL;
}

void
shmem_require(void)
{
	if (!shmem_available())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("webhook must be loaded via shared_preload_libraries"),
				 errhint("Add webhook to shared_preload_libraries in postgresql.conf and restart the server.")));
}

int
shmem_slots(void)
{
	return shmem_header != NULL ? *(volatile int *) &shmem_header->nused : 0;
}

DatabaseSlot *
shmem_slot(int i)
{
	Assert(i >= 0 && i < shmem_slots());
	return &shmem_header->slots[i];
}

LWLock *
shmem_lock(void)
{
	return shmem_lwlock;
}

DatabaseSlot *
shmem_find_slot(Oid database)
{
	Assert(LWLockHeldByMe(shmem_lwlock));

	for (int i = 0; i < shmem_header->nused; i++)
		if (shmem_header->slots[i].database == database)
			return &shmem_header->slots[i];
	return NULL;
}

bool
shmem_any_free(void)
{
	Assert(LWLockHeldByMe(shmem_lwlock));
	return shmem_header->nused < shmem_header->nslots || shmem_find_slot(InvalidOid) != NULL;
}

DatabaseSlot *
shmem_assign_slot(Oid database)
{
	DatabaseSlot *slot = shmem_find_slot(database);

	Assert(LWLockHeldByMeInMode(shmem_lwlock, LW_EXCLUSIVE));
	Assert(OidIsValid(database));

	if (slot == NULL)
	{
		slot = shmem_find_slot(InvalidOid);
		if (slot == NULL && shmem_header->nused < shmem_header->nslots)
			slot = &shmem_header->slots[shmem_header->nused++];
		if (slot != NULL)
		{
			/* Meanwhile ids may have been drawn without it. */
			SpinLockAcquire(&slot->ids.mutex);
			slot->ids.end = slot->ids.next;
			SpinLockRelease(&slot->ids.mutex);
			slot->database = database;
			slot->since = clock_monotonic();
		}
	}
	return slot;
}

void
shmem_set_state(DatabaseSlot *slot, DatabaseState state)
{
	Assert(LWLockHeldByMeInMode(shmem_lwlock, LW_EXCLUSIVE));

	slot->state = state;
	slot->since = clock_monotonic();
}

void
shmem_free_slot(DatabaseSlot *slot)
{
	uint32		generation = slot->generation;

	Assert(LWLockHeldByMeInMode(shmem_lwlock, LW_EXCLUSIVE));
	Assert(slot->worker_pid == 0 && slot->holder_pid == 0);

	shmem_init_slot(slot);

	/* A worker registered for the previous database must not attach. */
	slot->generation = generation + 1;
}

void
shmem_release_slot(DatabaseSlot *slot)
{
	Assert(LWLockHeldByMeInMode(shmem_lwlock, LW_EXCLUSIVE));

	slot->holder_pid = 0;
	slot->failures = 0;
	shmem_set_state(slot, DATABASE_NEW);
	ConditionVariableBroadcast(&shmem_header->changed);
}

void
shmem_wait_for_change(long timeout)
{
	static uint32 wait_event = 0;

	Assert(!LWLockHeldByMe(shmem_lwlock));
	if (wait_event == 0)
		wait_event = webhook_wait_event("WebhookHold");
	ConditionVariableTimedSleep(&shmem_header->changed, timeout, wait_event);
}

/*
 * Find or assign the slot of this backend's database.  A backend asks for it only if
 * the extension exists, even if the launcher does not know: COMMIT PREPARED of a
 * CREATE EXTENSION does not report it.
 */
static DatabaseSlot *
shmem_look_up_my_slot(void)
{
	DatabaseSlot *slot;
	bool		full = false;

	LWLockAcquire(shmem_lwlock, LW_SHARED);
	slot = shmem_find_slot(MyDatabaseId);
	if (slot == NULL)
		full = !shmem_any_free();
	LWLockRelease(shmem_lwlock);

	if (slot != NULL || full)
		return slot;

	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	slot = shmem_assign_slot(MyDatabaseId);
	if (slot != NULL)
		slot->recheck = true;
	LWLockRelease(shmem_lwlock);
	return slot;
}

DatabaseSlot *
shmem_my_slot(void)
{
	if (shmem_header == NULL || !OidIsValid(MyDatabaseId))
		return NULL;
	if (shmem_own_slot == NULL || shmem_own_slot->database != MyDatabaseId)
		shmem_own_slot = shmem_look_up_my_slot();
	return shmem_own_slot;
}

static void
shmem_set_launcher_latch(void)
{
	Latch	   *latch;

	pg_memory_barrier();
	latch = *(Latch *volatile *) &shmem_header->launcher;
	if (latch != NULL)
		SetLatch(latch);
}

void
shmem_wake_worker(void)
{
	DatabaseSlot *slot = shmem_my_slot();
	Latch	   *latch;

	if (slot == NULL)
		return;

	/*
	 * Also a barrier: a backend that finds it set has committed before the
	 * worker takes its next snapshot.
	 */
	if (pg_atomic_exchange_u32(&slot->wake_requested, 1) != 0)
		return;

	latch = *(Latch *volatile *) &slot->latch;
	if (latch != NULL)
		SetLatch(latch);
	else
		shmem_set_launcher_latch();

	/*
	 * A worker that is leaving may ignore its latch.  It sets that of the
	 * launcher once it has detached.
	 */
}

void
shmem_rearm_wakeup(DatabaseSlot *slot)
{
	pg_atomic_exchange_u32(&slot->wake_requested, 0);
}

bool
shmem_wakeup_pending(DatabaseSlot *slot)
{
	return pg_atomic_read_u32(&slot->wake_requested) != 0;
}

void
shmem_wake_launcher(void)
{
	if (shmem_header == NULL)
		return;
	pg_atomic_write_u32(&shmem_header->rescan, 1);
	shmem_set_launcher_latch();
}

bool
shmem_take_rescan(void)
{
	return pg_atomic_exchange_u32(&shmem_header->rescan, 0) != 0;
}

bool
shmem_take_forget(void)
{
	return pg_atomic_exchange_u32(&shmem_header->forget, 0) != 0;
}

void
shmem_extension_created(void)
{
	DatabaseSlot *slot;

	if (shmem_header == NULL)
		return;

	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	slot = shmem_assign_slot(MyDatabaseId);
	if (slot != NULL)
	{
		slot->recheck = true;
		pg_atomic_write_u32(&slot->partition, WEBHOOK_PARTITION_UNKNOWN);
		if (slot->state == DATABASE_ABSENT || slot->state == DATABASE_BACKOFF ||
			slot->state == DATABASE_RESTING || slot->state == DATABASE_WAITING)
		{
			shmem_set_state(slot, DATABASE_NEW);
			slot->failures = 0;
		}
		if (slot->latch != NULL)
			SetLatch(slot->latch);
	}
	else
	{
		/*
		 * There is no slot to record it in, so all databases must be checked
		 * again.
		 */
		pg_atomic_write_u32(&shmem_header->forget, 1);
	}
	LWLockRelease(shmem_lwlock);

	shmem_wake_launcher();
}

void
shmem_extension_dropped(void)
{
	DatabaseSlot *slot;

	if (shmem_header == NULL)
		return;

	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	slot = shmem_find_slot(MyDatabaseId);
	if (slot != NULL && (slot->state == DATABASE_RESTING || slot->state == DATABASE_WAITING))
		shmem_set_state(slot, DATABASE_NEW);
	LWLockRelease(shmem_lwlock);

	shmem_set_launcher_latch();
}

/*
 * Exit callback of a worker.  Since the worker attaches before it connects, this
 * runs after the process has left the ProcArray: once a slot has no worker, there is
 * no connection of that worker to the database any more.
 */
static void
shmem_detach_worker(int code, Datum arg)
{
	DatabaseSlot *slot = shmem_slot(DatumGetInt32(arg));

	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	slot->worker_pid = 0;
	slot->latch = NULL;
	pg_atomic_write_u32(&slot->in_flight, 0);
	LWLockRelease(shmem_lwlock);

	ConditionVariableBroadcast(&shmem_header->changed);
	shmem_set_launcher_latch();
}

DatabaseSlot *
shmem_attach_worker(int i, uint32 generation)
{
	DatabaseSlot *slot = shmem_slot(i);
	bool		mine;

	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	mine = slot->generation == generation &&
		slot->state == DATABASE_STARTING && slot->worker_pid == 0;
	if (mine)
	{
		slot->worker_pid = MyProcPid;
		slot->latch = MyLatch;
		pg_atomic_write_u32(&slot->activity, WORKER_IDLE);
		pg_atomic_write_u64(&slot->idle_since, 0);
		pg_atomic_write_u32(&slot->leave_requested, 0);
		pg_atomic_write_u32(&slot->in_flight, 0);
	}
	LWLockRelease(shmem_lwlock);

	if (!mine)
		return NULL;
	on_shmem_exit(shmem_detach_worker, Int32GetDatum(i));
	return slot;
}

void
shmem_mark_served(DatabaseSlot *slot)
{
	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	Assert(slot->worker_pid == MyProcPid);
	if (slot->state == DATABASE_STARTING)
		shmem_set_state(slot, DATABASE_SERVED);
	LWLockRelease(shmem_lwlock);

	/* The next database can be checked. */
	shmem_set_launcher_latch();
}

void
shmem_mark_absent(DatabaseSlot *slot)
{
	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	Assert(slot->worker_pid == MyProcPid);
	if (slot->state == DATABASE_STARTING || slot->state == DATABASE_SERVED)
	{
		/* If the extension has been created meanwhile, check again. */
		shmem_set_state(slot, slot->recheck ? DATABASE_NEW : DATABASE_ABSENT);
	}
	LWLockRelease(shmem_lwlock);
}

bool
shmem_leave_requested(DatabaseSlot *slot)
{
	return pg_atomic_read_u32(&slot->leave_requested) != 0;
}

void
shmem_mark_unfinished(DatabaseSlot *slot)
{
	pg_atomic_exchange_u32(&slot->wake_requested, 1);
}

void
shmem_mark_left(DatabaseSlot *slot, TimestampTz due_at, int64 rest)
{
	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	Assert(slot->worker_pid == MyProcPid);
	if (slot->state == DATABASE_SERVED)
	{
		shmem_set_state(slot, DATABASE_RESTING);
		slot->due_at = due_at;
		slot->not_before = slot->since + rest;
		slot->restart_at = slot->since + REST_MAX;
	}
	LWLockRelease(shmem_lwlock);
}

bool
shmem_take_networks_changed(DatabaseSlot *slot)
{
	bool		changed;

	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	changed = slot->networks_changed;
	slot->networks_changed = false;
	LWLockRelease(shmem_lwlock);
	return changed;
}

void
shmem_note_progress(DatabaseSlot *slot)
{
	static bool noted = false;

	if (noted)
		return;
	noted = true;
	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	slot->failures = 0;
	slot->last_error[0] = '\0';
	LWLockRelease(shmem_lwlock);
}

void
shmem_note_error(DatabaseSlot *slot, const char *message)
{
	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	strlcpy(slot->last_error, message, SHMEM_ERROR_MAX);
	LWLockRelease(shmem_lwlock);
}

static void
shmem_detach_launcher(int code, Datum arg)
{
	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	shmem_header->launcher = NULL;
	LWLockRelease(shmem_lwlock);
}

void
shmem_attach_launcher(void)
{
	LWLockAcquire(shmem_lwlock, LW_EXCLUSIVE);
	shmem_header->launcher = MyLatch;
	LWLockRelease(shmem_lwlock);
	on_shmem_exit(shmem_detach_launcher, (Datum) 0);
}
