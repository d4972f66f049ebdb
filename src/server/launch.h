/*-------------------------------------------------------------------------
 *
 * launch.h
 *		Starting the background processes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_LAUNCH_H
#define WEBHOOK_LAUNCH_H

#include "postmaster/bgworker.h"

/* Arguments of a worker. */
typedef struct WorkerArgs
{
	int			slot;			/* for shmem_attach_worker */
	uint32		generation;
	Oid			database;		/* to connect to, after attaching */
} WorkerArgs;

/* Register the launcher, while preloading. */
extern void launch_register(void);

/* The rest is for the launcher, except for launch_args(). */
extern void launch_init(void);

/*
 * Register a worker for a slot in state STARTING.  Returns false if the server has
 * no free background worker slot.
 */
extern bool launch_worker(const WorkerArgs *args);

/*
 * For a worker: register a process for the backfills of its database; the worker's
 * latch is set when that starts and exits.  Likewise false.
 */
extern bool launch_backfill(BackgroundWorkerHandle **handle);

/* Is the worker registered for slot i running, or may it still start? */
extern bool launch_unfinished(int i);

/* When was it started, by clock_monotonic()?  0: by a previous launcher. */
extern int64 launch_started_at(int i);

/* In a worker: decode the argument of webhook_worker_main(). */
extern WorkerArgs launch_args(Datum main_arg);

#endif							/* WEBHOOK_LAUNCH_H */
