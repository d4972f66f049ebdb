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
 *		STARTING, SERVED -> BACKOFF	the launcher, when the worker is gone
 *		BACKOFF -> NEW			the launcher, when the time has come
 *		ABSENT -> free			the launcher, which remembers the database itself
 *		any -> HELD -> NEW		DDL that needs the database to itself
 *
 * All fields except the atomics are written under the lock.  Two are read without
 * it: "database", by backends that check whether a remembered slot is still theirs,
 * and "latch", by backends that wake the worker.  Both are effectively atomic, and
 * an outdated value does no harm: latches live as long as the server, and setting
 * the wrong one is just a spurious wakeup.
 *
 * A slot can be freed and assigned to another database while a backend in the
 * former one still remembers it.  That happens only after DROP EXTENSION, which
 * waits for all transactions that use its tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/settings.h"
#include "compat.h"
#include "server/shmem.h"

#define TRANCHE_NAME	"webhook"

typedef struct SharedState
{
	Latch	   *launcher;		/* its latch, NULL: not running */
	pg_atomic_uint32 rescan;	/* must the launcher scan pg_database? */
	pg_atomic_uint32 forget;	/* and check databases without the extension
								 * again? */
	ConditionVariable changed;	/* a worker detached, or a hold ended */
	int			nslots;
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
					mul_size(webhook_workers, sizeof(DatabaseSlot)));
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
	memset(slot, 0, sizeof(DatabaseSlot));
	slot->database = InvalidOid;
	slot->state = DATABASE_NEW;
	pg_atomic_init_u32(&slot->partition, WEBHOOK_PARTITION_UNKNOWN);
	pg_atomic_init_u32(&slot->activity, WORKER_IDLE);
	pg_atomic_init_u64(&slot->faulty_transform, 0);
	pg_atomic_init_u32(&slot->wake_requested, 0);
	pg_atomic_init_u32(&slot->in_flight, 0);
	pg_atomic_init_u64(&slot->delivered, 0);
	pg_atomic_init_u64(&slot->failed, 0);
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
		shmem_header->nslots = webhook_workers;
		for (int i = 0; i < shmem_header->nslots; i++)
			shmem_init_slot(&shmem_header->slots[i]);
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
	return shmem_header != NULL ? shmem_header->nslots : 0;
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

	for (int i = 0; i < shmem_header->nslots; i++)
		if (shmem_header->slots[i].database == database)
			return &shmem_header->slots[i];
	return NULL;
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
		if (slot != NULL)
			slot->database = database;
	}
	return slot;
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
	slot->state = DATABASE_NEW;
	ConditionVariableBroadcast(&shmem_header->changed);
}

void
shmem_wait_for_change(long timeout)
{
	static uint32 wait_event = 0;

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
		full = shmem_find_slot(InvalidOid) == NULL;
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
	else if (slot->state == DATABASE_NEW)
		shmem_set_launcher_latch();

	/*
	 * In the other states the launcher knows already: it will start a worker,
	 * which begins with looking what there is.  It need not hear of every
	 * commit until then.
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
		if (slot->state == DATABASE_ABSENT || slot->state == DATABASE_BACKOFF)
		{
			slot->state = DATABASE_NEW;
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
		pg_atomic_write_u32(&slot->wake_requested, 0);
		pg_atomic_write_u32(&slot->in_flight, 0);
		pg_atomic_write_u64(&slot->delivered, 0);
		pg_atomic_write_u64(&slot->failed, 0);
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
		slot->state = DATABASE_SERVED;
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
		slot->state = slot->recheck ? DATABASE_NEW : DATABASE_ABSENT;
	}
	LWLockRelease(shmem_lwlock);
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
