/*-------------------------------------------------------------------------
 *
 * shmem.h
 *		What all processes share: one slot per database with the extension.
 *
 * A slot is found by database oid.  Slots are assigned under the lock and
 * never move, so that a backend may remember the address of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SHMEM_H
#define WEBHOOK_SHMEM_H

#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#define SHMEM_ERROR_MAX	256

#define WEBHOOK_PARTITION_UNKNOWN	PG_UINT32_MAX

/* What the launcher knows of a database. */
typedef enum DatabaseState
{
	DATABASE_NEW,				/* not looked at: start a worker, it will find out */
	DATABASE_ABSENT,			/* has no extension: leave it alone */
	DATABASE_STARTING,			/* a worker has been registered, or is attached and looking */
	DATABASE_SERVED,			/* the worker has found the extension */
	DATABASE_BACKOFF,			/* the worker died; try again at restart_at */
	DATABASE_HELD				/* DDL on the database: no worker until released */
} DatabaseState;

/* What the worker is doing, for stat_workers. */
typedef enum WorkerActivity
{
	WORKER_IDLE,
	WORKER_SENDING,
	WORKER_PAUSED,				/* webhook.dispatch = off */
	WORKER_UNCONFIRMED,			/* waiting for synchronous standbys */
	WORKER_FOREIGN,				/* the outbox came from elsewhere: a person must decide */
	WORKER_MISMATCHED			/* the extension is of another version than the library */
} WorkerActivity;

typedef struct DatabaseSlot
{
	/* protected by the lock */
	Oid			database;		/* InvalidOid: free */
	DatabaseState state;
	uint32		generation;		/* distinguishes workers of the same slot */
	pid_t		worker_pid;		/* 0: none attached */
	pid_t		holder_pid;		/* backend that holds it for DDL, or 0 */
	int			failures;		/* in a row without progress, for the back-off */
	TimestampTz restart_at;
	char		last_error[SHMEM_ERROR_MAX];	/* that ended a worker, "": none since it last made progress */
	bool		recheck;		/* said to have the extension since the worker was started */

	/* set by the worker under the lock, read with a barrier */
	Latch	   *latch;			/* the worker's, NULL: none attached */

	/* written by the worker or at first use, read by everyone */
	pg_atomic_uint32 partition; /* current outbox partition */

	/* the webhook whose transform could not be stopped but by ending the worker; 0: none */
	pg_atomic_uint64 culprit;

	/* set by who wakes the worker, so that others need not; see shmem_wake_worker() */
	pg_atomic_uint32 wake_requested;

	/* written by the worker alone */
	pg_atomic_uint32 activity;	/* WorkerActivity */
	pg_atomic_uint32 in_flight;
	pg_atomic_uint64 delivered; /* since the worker started */
	pg_atomic_uint64 failed;
} DatabaseSlot;

/* Ask for shared memory and set the hooks; called once from _PG_init, only while preloading. */
extern void shmem_init(void);

/* Is the library preloaded?  ereport(ERROR) with the hint when it is not. */
extern void shmem_require(void);
extern bool shmem_available(void);

/* Number of slots, and slot i. */
extern int	shmem_slots(void);
extern DatabaseSlot *shmem_slot(int i);

/*
 * The slot of this database, assigned when there is none; NULL when all are
 * taken.  Cheap after the first call in a backend.
 */
extern DatabaseSlot *shmem_my_slot(void);

/*
 * Wake this database's worker, or the launcher when there is none.  No-op
 * without shared memory.  Callable after commit.
 */
extern void shmem_wake_worker(void);

/*
 * In the worker, before it takes the snapshot that it reads with: commits from
 * now on wake it again.  Until then one wake-up is enough for any number of
 * commits.
 */
extern void shmem_rearm_wakeup(DatabaseSlot *slot);

/* Wake the launcher, so that it looks at pg_database and the slots again. */
extern void shmem_wake_launcher(void);

/*
 * The extension has been created in this database (called after commit): the
 * launcher is to start a worker even if the database was known to have none, and the
 * current partition is to be read anew.
 */
extern void shmem_extension_created(void);

/* In a worker: take over slot i if its generation is still the given one; detaches at exit. */
extern DatabaseSlot *shmem_attach_worker(int i, uint32 generation);

/* In a worker: this database has the extension; or has not, or not any more. */
extern void shmem_mark_served(DatabaseSlot *slot);
extern void shmem_mark_absent(DatabaseSlot *slot);

/* In a worker: it has done some of its work, or is ending as it was asked to; or this error is ending it. */
extern void shmem_note_progress(DatabaseSlot *slot);
extern void shmem_note_error(DatabaseSlot *slot, const char *message);

/*
 * For the launcher and for DDL that needs a database to itself.  The lock must
 * be held, exclusively but for find.  assign finds the slot or takes a free one,
 * NULL when there is none; release ends the hold of whoever has it.
 */
extern DatabaseSlot *shmem_find_slot(Oid database);
extern DatabaseSlot *shmem_assign_slot(Oid database);
extern void shmem_free_slot(DatabaseSlot *slot);
extern void shmem_release_slot(DatabaseSlot *slot);

/*
 * Sleep until a worker detaches or a slot is released, timeout milliseconds at most.
 * The lock must not be held; call ConditionVariableCancelSleep() when done.
 */
extern void shmem_wait_for_change(long timeout);

/* In the launcher: has somebody asked it to look at pg_database again, or to forget what it knows? */
extern bool shmem_take_rescan(void);
extern bool shmem_take_forget(void);

/* In the launcher: announce its latch; taken back at exit. */
extern void shmem_attach_launcher(void);

extern LWLock *shmem_lock(void);

#endif							/* WEBHOOK_SHMEM_H */
