/*-------------------------------------------------------------------------
 *
 * rotation.c
 *		Which database gets a worker next, and which worker makes room for it.
 *
 * As long as there are at most webhook.workers databases, each has a worker that
 * stays.  If there are more, databases with something to do get a worker in the order
 * in which they began to wait for one.  For each of them a worker is asked to leave:
 * the one that has been idle for longest, else the one that has been serving its
 * database for longest, but not before its turn is over.
 *
 * A worker that has been asked to leave starts no more requests, and leaves when the
 * last one has ended, so that nothing is sent twice.  That can take as long as
 * webhook.timeout.  After LEAVE_PATIENCE it is no longer counted, so that receivers
 * that hang do not delay other databases.  So there can be up to twice as many
 * workers, if the server has background worker slots for them.
 *
 * If the server has no free slot for a worker, databases take turns, too, with the
 * workers that there are.
 *
 * Only a few workers may be checking whether their database has the extension, so
 * that on a server with many databases they do not use up all background worker
 * slots.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/settings.h"
#include "server/database_list.h"
#include "server/rotation.h"
#include "server/shmem.h"

/* Maximum number of workers that are checking whether their database has the extension. */
#define MAX_PROBES				3

/* A probe that takes longer than this, e.g. because the database is locked, does not delay others. */
#define PROBE_PATIENCE			(5 * USECS_PER_SEC)

/* How long a worker that has something to do may stay while other databases wait. */
#define ROTATION_TURN			(1 * USECS_PER_SEC)

/*
 * How long a worker must have been idle to be asked to leave.  It should not have to
 * come back at once, and should have seen all invalidations of a transaction that
 * has woken it.
 */
#define IDLE_MIN				(50 * INT64CONST(1000))

/* A worker that takes longer than this to leave is no longer counted. */
#define LEAVE_PATIENCE			(1 * USECS_PER_SEC)

/* Retry interval when the server has no free background worker slot. */
#define REGISTER_RETRY			(10 * USECS_PER_SEC)

#define FOREVER					(3600 * USECS_PER_SEC)

/* Counts taken over all slots. */
typedef struct Census
{
	int			workers;		/* running, or still starting */
	int			leaving;		/* of these, will make room soon */
	int			overdue;		/* of these, are no longer counted */
	int			probes;			/* of these, are checking for the extension */
	int			ready;			/* databases that wait for a worker */
} Census;

/* Maximum number of workers that we could register, until when. */
static int	rotation_limit;
static int64 rotation_limit_until = 0;


/* Could a worker be started for this slot? */
static bool
rotation_can_start(const DatabaseSlot *slot)
{
	return OidIsValid(slot->database) && slot->worker_pid == 0 && database_list_contains(slot->database);
}

/* Does the database wait for a worker? */
static bool
rotation_is_ready(const DatabaseSlot *slot)
{
	return (slot->state == DATABASE_NEW || slot->state == DATABASE_WAITING) && rotation_can_start(slot);
}

static void
rotation_count_worker(int i, Census *census, int64 now)
{
	DatabaseSlot *slot = shmem_slot(i);

	census->workers++;
	if (slot->state == DATABASE_STARTING)
	{
		if (now - launch_started_at(i) < PROBE_PATIENCE)
			census->probes++;
		else
			census->overdue++;
	}
	else if (slot->state != DATABASE_SERVED || shmem_leave_requested(slot))
	{
		if (shmem_leave_requested(slot) && now - slot->leave_since > LEAVE_PATIENCE)
			census->overdue++;
		else
			census->leaving++;
	}
}

static Census
rotation_take_census(int64 now)
{
	Census		census = {0};

	Assert(LWLockHeldByMe(shmem_lock()));

	for (int i = 0; i < shmem_slots(); i++)
	{
		if (shmem_slot(i)->worker_pid != 0 || launch_unfinished(i))
			rotation_count_worker(i, &census, now);
		if (rotation_is_ready(shmem_slot(i)))
			census.ready++;
	}
	return census;
}

/* The number of workers for which there is room. */
static int
rotation_room(const Census *census, int64 now)
{
	int			most = 2 * webhook_workers;

	if (now < rotation_limit_until)
		most = Min(most, rotation_limit);
	return Min(webhook_workers - (census->workers - census->overdue), most - census->workers);
}

/*
 * The database that gets the next worker, NULL if there is none.  If none waits, those
 * without anything to do get one.
 */
static DatabaseSlot *
rotation_next(const Census *census)
{
	DatabaseSlot *next = NULL;

	for (int i = 0; i < shmem_slots(); i++)
	{
		DatabaseSlot *slot = shmem_slot(i);

		if (census->ready > 0 ? !rotation_is_ready(slot) : slot->state != DATABASE_RESTING || !rotation_can_start(slot))
			continue;
		if (next == NULL || slot->since < next->since)
			next = slot;
	}
	return next;
}

/* The worker that is asked to leave next, NULL if none can yet. */
static DatabaseSlot *
rotation_next_to_leave(int64 now)
{
	DatabaseSlot *idle = NULL;
	DatabaseSlot *busy = NULL;
	int64		idle_since = now - IDLE_MIN;

	for (int i = 0; i < shmem_slots(); i++)
	{
		DatabaseSlot *slot = shmem_slot(i);
		int64		since = (int64) pg_atomic_read_u64(&slot->idle_since);

		if (slot->state != DATABASE_SERVED || slot->worker_pid == 0 || shmem_leave_requested(slot))
			continue;
		if (since != 0 && since <= idle_since)
		{
			idle = slot;
			idle_since = since;
		}
		if (slot->since <= now - ROTATION_TURN && (busy == NULL || slot->since < busy->since))
			busy = slot;
	}
	return idle != NULL ? idle : busy;
}

static void
rotation_ask_to_leave(DatabaseSlot *slot, bool leave, int64 now)
{
	slot->leave_since = now;
	pg_atomic_write_u32(&slot->leave_requested, leave ? 1 : 0);
	if (slot->latch != NULL)
		SetLatch(slot->latch);
}

/* Ask workers to leave for those that can be started soon. */
static void
rotation_make_room(const Census *census, int room, int64 now)
{
	int			needed = Min(census->ready, MAX_PROBES) - Max(room, 0) - census->leaving;
	DatabaseSlot *slot;

	while (needed-- > 0 && (slot = rotation_next_to_leave(now)) != NULL)
		rotation_ask_to_leave(slot, true, now);
}

/* No database waits any more: workers that were asked to leave can stay. */
static void
rotation_let_stay(int64 now)
{
	for (int i = 0; i < shmem_slots(); i++)
	{
		DatabaseSlot *slot = shmem_slot(i);

		if (slot->state == DATABASE_SERVED && slot->worker_pid != 0 && shmem_leave_requested(slot))
			rotation_ask_to_leave(slot, false, now);
	}
}

static void
rotation_warn_out_of_workers(void)
{
	static bool warned = false;

	if (!warned)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not register a background worker for webhook"),
				 errdetail("Databases are served in turn until a background worker slot is free."),
				 errhint("You might need to increase \"%s\".", "max_worker_processes")));
	warned = true;
}

/*
 * Start a worker for this slot.  If that is not possible now, the database keeps its
 * place.  The lock must be held exclusively.
 */
static bool
rotation_start(DatabaseSlot *slot, const Census *census, int64 now)
{
	DatabaseState state = slot->state;
	int64		since = slot->since;
	bool		recheck = slot->recheck;
	WorkerArgs	args;

	Assert(LWLockHeldByMeInMode(shmem_lock(), LW_EXCLUSIVE));
	Assert(slot->worker_pid == 0 && slot->holder_pid == 0);

	shmem_set_state(slot, DATABASE_STARTING);
	slot->recheck = false;
	args.slot = slot - shmem_slot(0);
	args.generation = ++slot->generation;
	args.database = slot->database;
	if (launch_worker(&args))
	{
		database_list_set_absent(args.database, false);
		return true;
	}

	slot->state = state;
	slot->since = since;
	slot->recheck = recheck;
	rotation_limit = census->workers;
	rotation_limit_until = now + REGISTER_RETRY;
	return false;
}

int64
rotation_start_workers(int64 now)
{
	Census		census;
	DatabaseSlot *slot;
	bool		registered = true;
	int			room;

	LWLockAcquire(shmem_lock(), LW_EXCLUSIVE);
	database_list_assign_slots();
	do
	{
		census = rotation_take_census(now);
		room = rotation_room(&census, now);
		slot = room > 0 && census.probes < MAX_PROBES ? rotation_next(&census) : NULL;
		if (slot != NULL)
			registered = rotation_start(slot, &census, now);
	} while (slot != NULL && registered);

	if (census.ready > 0)
		rotation_make_room(&census, rotation_room(&census, now), now);
	else if (census.workers <= webhook_workers)
		rotation_let_stay(now);
	LWLockRelease(shmem_lock());

	if (!registered)
		rotation_warn_out_of_workers();

	if (census.ready > 0)
		return now + (census.workers > 0 ? IDLE_MIN : REGISTER_RETRY);
	return now + (now < rotation_limit_until ? REGISTER_RETRY : FOREVER);
}
