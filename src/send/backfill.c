/*-------------------------------------------------------------------------
 *
 * backfill.c
 *		The process that carries out the backfills of a database.
 *
 * It is separate from the worker, which must not be delayed by locked rows and slow
 * conditions.  The worker starts it while there is something to do, and terminates
 * it when it exits.  All of its state is in webhook.backfill: a step (backfill_walk.c)
 * is a transaction that appends messages and saves the position.
 *
 * Pace.  The worker reads the log in the order in which it is written, so messages of
 * applications are sent after those of a backfill that are in the log already.  Therefore
 * only a few backfill messages may be unread or in the worker's memory at a time, just
 * enough to keep it busy.  What an endpoint cannot take goes to the delivery table, up to a limit.
 * A webhook that is failing, limited to a rate or slow holds up its own backfills only.
 *
 * The first step must wait for all transactions that have written to the table and may not
 * know the webhook yet: the walk could pass rows that become visible only when they commit.
 * Such transactions hold a lock on the table, so it suffices to collect the lock holders
 * after the new configuration has been announced.
 *
 * An error aborts the step and is the job's alone: it is tried again if the error may go
 * away, else the job has failed.  If the extension has been dropped or changed, the
 * process exits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/container.h"
#include "capture/backfill_walk.h"
#include "compat.h"
#include "log/outbox.h"
#include "send/backfill_limit.h"
#include "server/shmem.h"
#include "server/version.h"
#include "server/worker_settings.h"

/* Rows of a step; it also ends after about this time. */
#define STEP_ROWS			100
#define STEP_MS				50

/* Deliveries in the worker's memory, in addition to a batch. */
#define MAX_QUEUED			200

/* Deliveries of the webhook in the delivery table, and after how many messages to count them again. */
#define MAX_STORED			10000
#define COUNT_INTERVAL		1000

/*
 * Pauses: until the worker has sent something, until a lock or a backlog is gone, after an error that is in the
 * server's log, to look for other jobs.
 */
#define PACE_MS				2
#define MAX_PACE_MS			50
#define RETRY_MS			100
#define ERROR_RETRY_MS		5000
#define LIST_MS				200

/* A job that has waited for something else catches up on at most this much time that others have had meanwhile. */
#define MAX_CREDIT_US		1000000

/* Waits for locks are shorter than this and than half of deadlock_timeout. */
#define LOCK_TIMEOUT_MS		500

/* A job in this process. */
typedef struct BackfillRun
{
	int64		id;
	bool		listed;			/* has it not ended? */
	bool		begun;			/* have the writers ended that may not know
								 * the webhook? */
	bool		waits;			/* for them */
	bool		anew;			/* the walk has begun again, since messages
								 * have been dropped */
	List	   *writers;		/* VirtualTransactionId * */
	int			rows;			/* of the next step */
	int			max_queued;		/* messages that the worker has read and not
								 * finished */
	int			uncounted;		/* messages since the stored ones were counted */
	int64		used;			/* time of its steps, in microseconds,
								 * initialized to that of the job that ran
								 * last */
	TimestampTz due_at;			/* the next step, by clock_now() */
} BackfillRun;

static DatabaseSlot *backfill_slot;
static List *backfill_runs = NIL;	/* BackfillRun * */
static int64 backfill_used = 0; /* by the job that had the last step */
static MemoryContext backfill_context;	/* of a step */
static int64 backfill_last_id = 0;	/* the latest message that has been
									 * committed */


/* ---------- transactions ---------- */

/* Returns false, without a transaction, if the extension has been dropped or changed. */
static bool
backfill_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (catalog_oids() == NULL || !version_fits() || !OidIsValid(catalog_oids()->backfill))
	{
		CommitTransactionCommand();
		return false;
	}

	/* See database_ddl.c. */
	LockRelationOid(catalog_oids()->cursor, AccessShareLock);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(backfill_context);
	return true;
}

static void
backfill_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(backfill_context);
}

static void
backfill_abort(void)
{
	AbortCurrentTransaction();
	MemoryContextSwitchTo(backfill_context);
}

/* ---------- the writers that may not know the webhook ---------- */

/* Add the holders of locks on this table. */
static void
backfill_find_writers(BackfillRun *run, Oid relid)
{
	LOCKTAG		tag;
	VirtualTransactionId *ids;
	MemoryContext old;
	int			n;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	ids = GetLockConflicts(&tag, ShareLock, &n);
	old = MemoryContextSwitchTo(TopMemoryContext);
	for (int i = 0; i < n; i++)
	{
		VirtualTransactionId *id = palloc(sizeof(VirtualTransactionId));

		*id = ids[i];
		run->writers = lappend(run->writers, id);
	}
	MemoryContextSwitchTo(old);
}

/* The webhook was deactivated for a time: there may be others. */
static void
backfill_forget_writers(BackfillRun *run)
{
	list_free_deep(run->writers);
	run->writers = NIL;
	run->begun = run->waits = false;
}

/* Have all of them ended? */
static bool
backfill_writers_ended(BackfillRun *run, const BackfillJob *job)
{
	if (run->begun)
		return true;
	if (!run->waits)
	{
		ListCell   *lc;

		/*
		 * A transaction becomes visible before its invalidations are sent,
		 * and has sent them when it releases its locks.
		 */
		if (TransactionIdIsNormal(job->webhook_xmin))
			XactLockTableWait(job->webhook_xmin, NULL, NULL, XLTW_None);
		foreach(lc, find_all_inheritors(job->relation, AccessShareLock, NULL))
			backfill_find_writers(run, lfirst_oid(lc));
		run->waits = true;
	}
	while (run->writers != NIL)
	{
		if (!VirtualXactLock(*(VirtualTransactionId *) linitial(run->writers), false))
			return false;
		pfree(linitial(run->writers));
		run->writers = list_delete_first(run->writers);
	}
	run->begun = true;
	return true;
}

/* ---------- pace ---------- */

/* Has the worker little to do? */
static bool
backfill_worker_is_ready(const BackfillRun *run)
{
	return (int64) pg_atomic_read_u64(&backfill_slot->last_read) >= backfill_last_id &&
		(int) pg_atomic_read_u32(&backfill_slot->queued) < run->max_queued;
}

static bool
backfill_backlog_is_long(BackfillRun *run, const BackfillJob *job)
{
	if (run->uncounted < COUNT_INTERVAL)
		return false;
	if (backfill_job_waiting(job->webhook_id, MAX_STORED) >= MAX_STORED)
		return true;
	run->uncounted = 0;
	return false;
}

static int
backfill_step_rows(const BackfillRun *run, const BackfillJob *job)
{
	return job->rate == 0 ? run->rows : Min(run->rows, Max(job->rate / 10, 1));
}

/* Plan the next step after one that took this time, in microseconds. */
static void
backfill_plan(BackfillRun *run, const BackfillJob *job, const BackfillStep *step, int64 took)
{
	TimestampTz now = clock_now();

	run->uncounted += step->sent;
	if (took > STEP_MS * INT64CONST(1000))
		run->rows = Max(run->rows / 2, 1);
	else
		run->rows = Min(run->rows * 2, STEP_ROWS);
	if (job->rate == 0)
	{
		run->due_at = now;
		return;
	}

	/* Evenly spaced, without making up for pauses. */
	if (run->due_at < now - RETRY_MS * INT64CONST(1000))
		run->due_at = now;
	run->due_at += step->sent * USECS_PER_SEC / job->rate;
}

/* ---------- a step ---------- */

static void
backfill_wait_for(BackfillRun *run, const char *phase, const char *error)
{
	backfill_job_note(run->id, phase, error);
	run->due_at = TimestampTzPlusMilliseconds(clock_now(), RETRY_MS);
}

/* Carry out the job's next step.  Returns false if the transaction must be aborted. */
static bool
backfill_step_job(BackfillRun *run)
{
	int64		started_at = clock_monotonic();
	BackfillJob job;
	BackfillStep step;
	bool		done;

	if (!backfill_job_load(run->id, &job, backfill_context))
	{
		run->listed = false;
		return true;
	}
	run->max_queued = MAX_QUEUED + job.batch_size;
	if (job.dropped)
	{
		/* Begin the walk again. */
		job.position = NULL;
		job.rows_sent = 0;
		if (!run->anew)
			backfill_forget_writers(run);
	}
	run->anew = job.dropped;
	if (job.position == NULL && !backfill_writers_ended(run, &job))
	{
		backfill_wait_for(run, BACKFILL_INITIALIZING, NULL);
		return true;
	}
	if (backfill_backlog_is_long(run, &job))
	{
		backfill_wait_for(run, BACKFILL_BACKLOG, NULL);
		return true;
	}
	backfill_limit_begin(run->id);
	done = backfill_walk(&job, backfill_step_rows(run, &job), &step);
	backfill_limit_end();
	if (!done)
	{
		run->due_at = TimestampTzPlusMilliseconds(clock_now(), RETRY_MS);
		return false;
	}
	backfill_plan(run, &job, &step, clock_monotonic() - started_at);
	return true;
}

/* Can applications that write to the table cause this error? */
static bool
backfill_error_is_expected(int sqlstate)
{
	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TRANSACTION_ROLLBACK;
}

/* May the error go away by itself? */
static bool
backfill_error_is_transient(int sqlstate)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);

	return backfill_error_is_expected(sqlstate) || category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_OPERATOR_INTERVENTION;
}

/* Retry the job after an error, or let it fail. */
static void
backfill_take_error(BackfillRun *run, const ErrorData *error, bool timed_out)
{
	const char *message = backfill_job_error(error, backfill_walk_failed_in_condition());

	if (!backfill_begin())
		return;
	if (timed_out || !backfill_error_is_transient(error->sqlerrcode))
		backfill_job_fail(run->id, message);
	else if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		backfill_wait_for(run, BACKFILL_LOCK, NULL);
	else
		backfill_wait_for(run, BACKFILL_SENDING, message);
	if (!backfill_error_is_expected(error->sqlerrcode))
		run->due_at = TimestampTzPlusMilliseconds(clock_now(), ERROR_RETRY_MS);
	backfill_commit();
}

static void
backfill_step(BackfillRun *run)
{
	int64		started_at = clock_monotonic();
	int64		drawn = outbox_last_id();	/* perhaps by a step that failed */
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		if (!backfill_begin())
			proc_exit(0);
		if (backfill_step_job(run))
		{
			backfill_commit();
			if (outbox_last_id() != drawn)
				backfill_last_id = outbox_last_id();
		}
		else
			backfill_abort();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(backfill_context);
		error = CopyErrorData();
		if (!backfill_error_is_expected(error->sqlerrcode))
			EmitErrorReport();
		FlushErrorState();
		backfill_limit_end();
		backfill_abort();
	}
	PG_END_TRY();
	if (error != NULL)
		backfill_take_error(run, error, backfill_limit_exceeded(clock_monotonic() - started_at));
	backfill_used = run->used;
	run->used += clock_monotonic() - started_at;
	MemoryContextReset(backfill_context);
}

/* ---------- the jobs ---------- */

/* Where a job is, while they are listed. */
typedef struct BackfillEntry
{
	int64		id;
	BackfillRun *run;
} BackfillEntry;

static HTAB *
backfill_index_runs(void)
{
	HTAB	   *index = container_hash("webhook backfills", 64, sizeof(int64), sizeof(BackfillEntry), backfill_context);
	ListCell   *lc;

	foreach(lc, backfill_runs)
	{
		BackfillRun *run = lfirst(lc);
		bool		found;
		BackfillEntry *entry = hash_search(index, &run->id, HASH_ENTER, &found);

		entry->run = run;
	}
	return index;
}

static BackfillRun *
backfill_add_run(int64 id)
{
	BackfillRun *run = MemoryContextAllocZero(TopMemoryContext, sizeof(BackfillRun));
	MemoryContext old;

	run->id = id;
	run->rows = STEP_ROWS;
	run->uncounted = COUNT_INTERVAL;
	run->max_queued = MAX_QUEUED;
	run->due_at = clock_now();
	run->used = backfill_used;
	old = MemoryContextSwitchTo(TopMemoryContext);
	backfill_runs = lappend(backfill_runs, run);
	MemoryContextSwitchTo(old);
	return run;
}

/* Look for jobs; returns their number. */
static int
backfill_list(void)
{
	ListCell   *lc;
	HTAB	   *index;
	int64	   *ids;
	int			n;

	if (!backfill_begin())
		proc_exit(0);
	n = backfill_job_list(&ids, backfill_context);
	backfill_commit();
	index = backfill_index_runs();
	foreach(lc, backfill_runs)
	{
		BackfillRun *run = lfirst(lc);

		run->listed = false;
	}
	for (int i = 0; i < n; i++)
	{
		BackfillEntry *entry = hash_search(index, &ids[i], HASH_FIND, NULL);

		(entry ? entry->run : backfill_add_run(ids[i]))->listed = true;
	}
	foreach(lc, backfill_runs)
	{
		BackfillRun *run = lfirst(lc);

		if (run->listed)
			continue;

		backfill_forget_writers(run);
		pfree(run);
		backfill_runs = foreach_delete_current(backfill_runs, lc);
	}
	MemoryContextReset(backfill_context);
	return n;
}

/* The condition that ended the process before this one, if any, must not do so again. */
static void
backfill_fail_faulty(void)
{
	int64		job = backfill_limit_faulty_job();

	if (job == 0)
		return;
	if (!backfill_begin())
		proc_exit(0);
	backfill_job_fail(job, "the condition took too long, and ignored that it was canceled");
	backfill_commit();
	backfill_limit_forget_faulty();
}

/*
 * The job whose step is due and that has had the least time, so that one with a slow condition, or many jobs, leave
 * the others their share.  NULL if none is due before *next.
 */
static BackfillRun *
backfill_choose(TimestampTz *next)
{
	TimestampTz now = clock_now();
	BackfillRun *best = NULL;
	ListCell   *lc;

	foreach(lc, backfill_runs)
	{
		BackfillRun *run = lfirst(lc);

		/* The clock may have been set back. */
		run->due_at = Min(run->due_at, now + STEP_ROWS * USECS_PER_SEC);
		run->used = Max(run->used, backfill_used - MAX_CREDIT_US);
		if (!run->listed)
			continue;
		if (run->due_at > now)
			*next = Min(*next, run->due_at);
		else if (best == NULL || run->used < best->used)
			best = run;
	}
	return best;
}

/* Do what is due; returns for how long there is nothing to do, in milliseconds. */
static long
backfill_turn(void)
{
	static int	pauses = 0;		/* since the last step */
	TimestampTz next = DT_NOEND;
	BackfillRun *run = backfill_choose(&next);

	if (run == NULL)
		return next == DT_NOEND ? LIST_MS : Min(TimestampDifferenceMilliseconds(clock_now(), next), LIST_MS);
	if (!backfill_worker_is_ready(run))
	{
		pauses++;
		return Min(PACE_MS + pauses / 16, MAX_PACE_MS);
	}
	pauses = 0;
	backfill_step(run);
	return 0;
}

/* ---------- the process ---------- */

static void
backfill_set_timeouts(void)
{
	int			ms = Min(LOCK_TIMEOUT_MS, Max(DeadlockTimeout / 2, 1));
	char		value[16];

	snprintf(value, sizeof(value), "%d", ms);
	SetConfigOption("lock_timeout", value, PGC_SUSET, PGC_S_OVERRIDE);

	/* A lost step is repeated; what has been sent, was on disk before. */
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
}

static void
backfill_wait(long ms)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = webhook_wait_event("WebhookBackfill");
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		backfill_set_timeouts();
	}
}

void
webhook_backfill_main(Datum arg)
{
	TimestampTz listed_at = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	backfill_limit_read_setting();
	worker_settings_before_connection();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	worker_settings_after_connection();
	backfill_set_timeouts();
	pgstat_report_appname("webhook backfill");

	backfill_slot = shmem_my_slot();
	if (backfill_slot == NULL)
		proc_exit(0);
	backfill_limit_init(backfill_slot);
	backfill_context = AllocSetContextCreate(TopMemoryContext, "webhook backfill step", ALLOCSET_DEFAULT_SIZES);
	backfill_fail_faulty();
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		long		ms;

		if (now < listed_at || TimestampDifferenceExceeds(listed_at, now, LIST_MS))
		{
			if (backfill_list() == 0)
				proc_exit(0);
			listed_at = now;
		}
		ms = backfill_turn();
		if (ms > 0)
		{
			pgstat_report_stat(false);
			backfill_wait(ms);
		}
		else
			CHECK_FOR_INTERRUPTS();
	}
}
