/*-------------------------------------------------------------------------
 *
 * launch.c
 *		Starting the background processes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"
#include "server/launch.h"

#define LAUNCHER_RESTART_SECONDS	5

/* Contents of bgw_extra; the slot's number is the main argument. */
typedef struct WorkerExtra
{
	uint32		generation;
	Oid			database;
} WorkerExtra;

StaticAssertDecl(sizeof(WorkerExtra) <= BGW_EXTRALEN,
				 "WorkerExtra does not fit into bgw_extra");

/* The worker that this launcher started last for a slot. */
typedef struct Launch
{
	BackgroundWorkerHandle *handle; /* NULL: none */
	int64		started_at;
} Launch;

static Launch *launch_last = NULL;	/* one per slot */


static void
launch_fill(BackgroundWorker *worker, const char *function, const char *type)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	strlcpy(worker->bgw_library_name, "webhook", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, sizeof(worker->bgw_function_name));
	strlcpy(worker->bgw_name, type, sizeof(worker->bgw_name));
	strlcpy(worker->bgw_type, type, sizeof(worker->bgw_type));
}

void
launch_register(void)
{
	BackgroundWorker worker;

	/* During pg_upgrade nothing must be changed, or be sent from two servers. */
	if (IsBinaryUpgrade)
		return;

	launch_fill(&worker, "webhook_launcher_main", "webhook launcher");
	worker.bgw_restart_time = LAUNCHER_RESTART_SECONDS;
	RegisterBackgroundWorker(&worker);
}

void
launch_init(void)
{
	launch_last = MemoryContextAllocZero(TopMemoryContext, webhook_max_databases * sizeof(Launch));
}

bool
launch_worker(const WorkerArgs *args)
{
	BackgroundWorker worker;
	WorkerExtra extra = {.generation = args->generation,.database = args->database};
	Launch	   *launch = &launch_last[args->slot];
	MemoryContext old_context;
	bool		registered;

	launch_fill(&worker, "webhook_worker_main", "webhook worker");
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(args->slot);
	memcpy(worker.bgw_extra, &extra, sizeof(extra));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name),
			 "webhook worker for database %u", args->database);

	if (launch->handle != NULL)
		pfree(launch->handle);
	launch->handle = NULL;

	ereport(DEBUG1, (errmsg_internal("starting webhook worker for database %u", args->database)));
	old_context = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &launch->handle);
	MemoryContextSwitchTo(old_context);
	if (!registered)
		launch->handle = NULL;
	launch->started_at = clock_monotonic();
	return registered;
}

bool
launch_backfill(BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;
	MemoryContext old_context;
	bool		registered;

	launch_fill(&worker, "webhook_backfill_main", "webhook backfill");
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "webhook backfill for database %u", MyDatabaseId);
	old_context = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, handle);
	MemoryContextSwitchTo(old_context);
	return registered;
}

bool
launch_unfinished(int i)
{
	BackgroundWorkerHandle *handle = launch_last[i].handle;
	pid_t		pid;

	return handle != NULL && GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED;
}

int64
launch_started_at(int i)
{
	return launch_last[i].started_at;
}

WorkerArgs
launch_args(Datum main_arg)
{
	WorkerExtra extra;
	WorkerArgs	args;

	memcpy(&extra, MyBgworkerEntry->bgw_extra, sizeof(extra));
	args.slot = DatumGetInt32(main_arg);
	args.generation = extra.generation;
	args.database = extra.database;
	return args;
}
