/*-------------------------------------------------------------------------
 *
 * backfill_start.c
 *		The worker's part in backfills: it starts the process that does them.
 *
 * The worker looks for backfills when it starts, when one has been added, when
 * webhooks have changed (one may have been activated), and when the process has exited.
 * It terminates the process when it exits itself, so there is never more than one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "capture/backfill_job.h"
#include "send/backfill_start.h"
#include "server/launch.h"

/* A process that fails at once, or could not be started, is started again after this time. */
#define RESTART_MS		1000

static BackgroundWorkerHandle *backfill_start_handle = NULL;	/* NULL: not running */
static TimestampTz backfill_start_last = 0;
static uint64 backfill_start_seen = 0;	/* generations of what was looked at */


static uint64
backfill_start_generation(void)
{
	return catalog_backfill_generation() + catalog_generation();
}

static void
backfill_start_terminate(int code, Datum arg)
{
	if (backfill_start_handle != NULL)
		TerminateBackgroundWorker(backfill_start_handle);
}

bool
backfill_start_running(void)
{
	pid_t		pid;

	if (backfill_start_handle == NULL)
		return false;
	if (GetBackgroundWorkerPid(backfill_start_handle, &pid) != BGWH_STOPPED)
		return true;
	pfree(backfill_start_handle);
	backfill_start_handle = NULL;

	/* It may have missed what was added last. */
	backfill_start_seen = 0;
	return false;
}

TimestampTz
backfill_start_next(TimestampTz now)
{
	if (backfill_start_running() || backfill_start_seen == backfill_start_generation())
		return DT_NOEND;
	backfill_start_last = Min(backfill_start_last, now);	/* the clock may have
															 * been set back */
	return TimestampTzPlusMilliseconds(backfill_start_last, RESTART_MS);
}

void
backfill_start(TimestampTz now)
{
	static bool registered = false;
	int64	   *ids;
	int			n;

	if (!registered)
		before_shmem_exit(backfill_start_terminate, (Datum) 0);
	registered = true;
	backfill_start_seen = backfill_start_generation();
	n = backfill_job_list(&ids, CurrentMemoryContext);
	if (n == 0)
		return;
	backfill_start_last = now;
	if (launch_backfill(&backfill_start_handle))
		return;
	backfill_start_handle = NULL;
	backfill_start_seen = 0;
	for (int i = 0; i < n; i++)
		backfill_job_note(ids[i], BACKFILL_PROCESS, "out of background worker slots; consider increasing max_worker_processes");
}
