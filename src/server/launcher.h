/*-------------------------------------------------------------------------
 *
 * launcher.h
 *		Which databases get a worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_LAUNCHER_H
#define WEBHOOK_LAUNCHER_H

/* Arguments of a worker. */
typedef struct WorkerArgs
{
	int			slot;			/* for shmem_attach_worker */
	uint32		generation;
	Oid			database;		/* to connect to, after attaching */
} WorkerArgs;

/* Register the launcher; called once from _PG_init, only while preloading. */
extern void launcher_init(void);

/* In a worker: decode the argument of webhook_worker_main(). */
extern WorkerArgs launcher_worker_args(Datum main_arg);

#endif							/* WEBHOOK_LAUNCHER_H */
