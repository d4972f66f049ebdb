/*-------------------------------------------------------------------------
 *
 * shmem.h
 *		Shared memory: one slot per database with the extension.
 *
 * Slots are looked up by the Oid of the database.  They are assigned under the lock,
 * shmem_lock(), and never move, so that a backend can remember the address of its own.
 * Functions that need the lock take it themselves, unless a comment says that it must
 * be held.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SHMEM_H
#define WEBHOOK_SHMEM_H

#include "access/xlogdefs.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#define SHMEM_ERROR_MAX	256

#define WEBHOOK_PARTITION_UNKNOWN	PG_UINT32_MAX

/* State of a database. */
typedef enum DatabaseState
{
	DATABASE_NEW,				/* unknown: start a worker, which will find
								 * out */
	DATABASE_ABSENT,			/* does not have the extension */
	DATABASE_RESTING,			/* has it, but nothing to do, and no worker */
	DATABASE_WAITING,			/* has something to do, as soon as there is
								 * room for a worker */
	DATABASE_STARTING,			/* a worker has been registered, or is
								 * checking for the extension */
	DATABASE_SERVED,			/* the worker has found the extension */
	DATABASE_BACKOFF,			/* the worker has exited; restart it at
								 * restart_at */
	DATABASE_HELD				/* DDL on the database: no worker until
								 * released */
} DatabaseState;

/* What the worker is doing, for stat_workers. */
typedef enum WorkerActivity
{
	WORKER_IDLE,
	WORKER_SENDING,
	WORKER_PAUSED,				/* webhook.dispatch = off */
	WORKER_UNCONFIRMED,			/* waiting for synchronous standbys */
	WORKER_FOREIGN,				/* the outbox was written elsewhere and must
								 * be adopted */
	WORKER_MISMATCHED,			/* extension and library have different
								 * versions */
	WORKER_LEAVING				/* waiting for the last responses, to make
								 * room for another database's worker */
} WorkerActivity;

/* Message ids that have been reserved, and not yet drawn: next to end - 1; see id_block.c. */
typedef struct IdBlock
{
	slock_t		mutex;
	Oid			database;		/* of this database, */
	Oid			sequence;		/* and of this sequence */
	XLogRecPtr	lsn;			/* of the sequence's page */
	int64		next;
	int64		end;
} IdBlock;

typedef struct DatabaseSlot
{
	/* protected by the lock */
	Oid			database;		/* InvalidOid: free */
	DatabaseState state;
	int64		since;			/* when the state changed last, by
								 * clock_monotonic() as all but due_at */
	uint32		generation;		/* distinguishes workers of the same slot */
	pid_t		worker_pid;		/* 0: none attached */
	pid_t		holder_pid;		/* backend that holds it for DDL, or 0 */
	int			failures;		/* consecutive ones without progress, for the
								 * back-off */
	int64		restart_at;		/* BACKOFF: when a worker is started; RESTING:
								 * when at the latest */
	int64		not_before;		/* RESTING: when at the earliest, if there is
								 * no room for all */
	TimestampTz due_at;			/* RESTING: by clock_now(), when there will be
								 * something to do; DT_NOEND: unknown */
	bool		networks_changed;	/* webhook.allowed_networks has changed
									 * since the worker was started */
	int64		leave_since;	/* when the worker was asked to leave */
	char		last_error[SHMEM_ERROR_MAX];	/* that ended a worker; "" if
												 * it has made progress since */
	bool		recheck;		/* has the extension been created since the
								 * worker was started? */

	/* set by the worker under the lock, read with a barrier */
	Latch	   *latch;			/* the worker's, NULL: none attached */

	/* written by the worker or at first use, read by everyone */
	pg_atomic_uint32 partition; /* current outbox partition */

	/*
	 * the webhook whose transform could only be stopped by killing the
	 * worker; 0: none
	 */
	pg_atomic_uint64 faulty_transform;

	/*
	 * the backfill whose condition could only be stopped by ending its
	 * process; 0: none
	 */
	pg_atomic_uint64 faulty_backfill;

	/*
	 * set by the backend that wakes the worker, so that others need not; see
	 * shmem_wake_worker().  Without a worker it says that there is something
	 * to do.
	 */
	pg_atomic_uint32 wake_requested;

	/* set by the launcher: must the worker make room for another one? */
	pg_atomic_uint32 leave_requested;

	/* written by the worker only */
	pg_atomic_uint32 activity;	/* WorkerActivity */
	pg_atomic_uint64 idle_since;	/* 0: it is not */
	pg_atomic_uint32 in_flight;
	pg_atomic_uint64 delivered; /* since the server started */
	pg_atomic_uint64 failed;
	pg_atomic_uint64 last_read; /* greatest id of the messages that it has
								 * read */
	pg_atomic_uint32 queued;	/* deliveries in its memory */
	pg_atomic_uint64 proxy_failing_since;	/* TimestampTz; 0: it works */

	/* written by all sessions: conditions that could not be judged */
	pg_atomic_uint64 condition_errors;

	/*
	 * written by all sessions, protected by its own mutex; remains as it is
	 * when the slot is freed, and must be the last field
	 */
	IdBlock		ids;
} DatabaseSlot;

/* Request shared memory and install the hooks; called once from _PG_init, only while preloading. */
extern void shmem_init(void);

/* Is the library preloaded?  shmem_require() raises an error if not. */
extern void shmem_require(void);
extern bool shmem_available(void);

/* Number of slots that have been used so far, and slot i. */
extern int	shmem_slots(void);
extern DatabaseSlot *shmem_slot(int i);

/*
 * The slot of this database, assigned if necessary; NULL if there is no free one.
 * Cheap after the first call in a backend.
 */
extern DatabaseSlot *shmem_my_slot(void);

/*
 * Wake this database's worker, or the launcher if there is none.  Does nothing
 * without shared memory.  May be called after commit.
 */
extern void shmem_wake_worker(void);

/*
 * For the worker, before it takes the snapshot to read with: later commits must
 * wake it again.  Until then one wake-up is enough for any number of commits.
 */
extern void shmem_rearm_wakeup(DatabaseSlot *slot);

/* Has anything been committed since then?  The latch does not show it: other waits may have reset that. */
extern bool shmem_wakeup_pending(DatabaseSlot *slot);

/* Wake the launcher, so that it checks pg_database and the slots. */
extern void shmem_wake_launcher(void);

/*
 * Must be called after commit of CREATE EXTENSION: the launcher starts a worker even
 * if the database was known not to have the extension, and the current partition is
 * read again.
 */
extern void shmem_extension_created(void);

/* Must be called after commit of DROP EXTENSION. */
extern void shmem_extension_dropped(void);

/* For a worker: attach to slot i, unless its generation has changed.  Detaches at exit. */
extern DatabaseSlot *shmem_attach_worker(int i, uint32 generation);

/* For a worker: this database has the extension; or it does not, or no longer, have it. */
extern void shmem_mark_served(DatabaseSlot *slot);
extern void shmem_mark_absent(DatabaseSlot *slot);

/* For a worker: has it been asked to leave?  It does when no request is in flight. */
extern bool shmem_leave_requested(DatabaseSlot *slot);

/* For a worker that leaves: there is something left to do. */
extern void shmem_mark_unfinished(DatabaseSlot *slot);

/*
 * For a worker that leaves: when there will be something to do by clock_now(), and
 * for how many microseconds the database may have to wait at least.
 */
extern void shmem_mark_left(DatabaseSlot *slot, TimestampTz due_at, int64 rest);

/* For a worker: has webhook.allowed_networks changed before it was started? */
extern bool shmem_take_networks_changed(DatabaseSlot *slot);

/* For a worker: it has made progress, or exits normally; or it exits because of this error. */
extern void shmem_note_progress(DatabaseSlot *slot);
extern void shmem_note_error(DatabaseSlot *slot, const char *message);

/*
 * For the launcher and for DDL on databases.  The lock must be held, exclusively
 * except for shmem_find_slot().  shmem_assign_slot() finds the slot or assigns a free
 * one; NULL if there is none.  shmem_release_slot() ends the hold of any backend.
 */
extern DatabaseSlot *shmem_find_slot(Oid database);
extern DatabaseSlot *shmem_assign_slot(Oid database);
extern void shmem_free_slot(DatabaseSlot *slot);
extern void shmem_release_slot(DatabaseSlot *slot);
extern bool shmem_any_free(void);
extern void shmem_set_state(DatabaseSlot *slot, DatabaseState state);

/*
 * Sleep until a worker detaches or a slot is released, at most timeout milliseconds.
 * The lock must not be held.  Call ConditionVariableCancelSleep() afterwards.
 */
extern void shmem_wait_for_change(long timeout);

/* For the launcher: must it scan pg_database, or check all databases again?  Resets the request. */
extern bool shmem_take_rescan(void);
extern bool shmem_take_forget(void);

/* For the launcher: publish its latch until exit. */
extern void shmem_attach_launcher(void);

/* The lock that protects the slots. */
extern LWLock *shmem_lock(void);

#endif							/* WEBHOOK_SHMEM_H */
