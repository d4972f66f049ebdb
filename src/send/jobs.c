/*-------------------------------------------------------------------------
 *
 * jobs.c
 *		What the worker does in the database, and when.
 *
 * There is one table of all jobs, which says when each is due and what it
 * does.  When any of them is due, one transaction runs them all, in this order:
 * first the configuration is reloaded, then what was decided between transactions is
 * written, then rows and messages are read, and last the position, the log and the
 * counters are written.  The worker sleeps until the first of these times, so nothing
 * can become due unnoticed.
 *
 * A transaction begins with RowExclusiveLock on webhook.cursor, which excludes adopt()
 * and ALTER EXTENSION.  Refresh tokens are saved before, in a transaction of their own.
 * An error ends the process: what was in memory is read again by the next one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/settings.h"
#include "base/webhook_lock.h"
#include "compat.h"
#include "log/cursor.h"
#include "log/history.h"
#include "log/partitions.h"
#include "log/standby.h"
#include "send/activity_tables.h"
#include "send/attempt_log.h"
#include "send/authorize.h"
#include "send/backfill_start.h"
#include "send/dead_letter.h"
#include "send/deactivation.h"
#include "send/dispatch.h"
#include "send/egress.h"
#include "send/home.h"
#include "send/jobs.h"
#include "send/log_tables.h"
#include "send/notify.h"
#include "send/probe.h"
#include "send/queue.h"
#include "send/recall.h"
#include "send/replay.h"
#include "send/replay_run.h"
#include "send/scheduler.h"
#include "send/spill.h"
#include "send/token.h"
#include "send/trim.h"
#include "send/withheld.h"
#include "server/version.h"

/* Limits on messages read from the outbox but not yet finished. */
#define MAX_OUTSTANDING			2000
#define MAX_OUTSTANDING_BYTES	(8 * 1024 * 1024)

/* Read again when at most this many are left to send. */
#define LOW_WATER				1000

/* The position is saved at most this long after a message was finished. */
#define SAVE_INTERVAL_MS		10

/* How often to look for partitions and endpoints that are no longer needed. */
#define TIDY_MS					250

/* Messages that come one after the other are read together if they are less than this apart. */
#define READ_INTERVAL_US		300

/* Poll interval, should a wakeup be missed. */
#define POLL_MS					1000

/* A database from which nothing may be sent need not be served again at each commit. */
#define BLOCKED_REST_MS			10000

static DatabaseSlot *jobs_slot;
static MemoryContext jobs_context;
static uint64 jobs_configuration = 0;	/* generation of the configuration
										 * that the endpoints have */
static bool jobs_woken = false;
static bool jobs_networks_changed = false;
static bool jobs_standbys_have_all = false;
static bool jobs_more_to_read = true;
static int	jobs_taken;			/* messages read in this transaction */
static int64 jobs_last_id = 0;	/* the greatest of all messages read */
static TimestampTz jobs_last_read;
static TimestampTz jobs_last_tidy;
static TimestampTz jobs_unsaved_since;	/* when something to be saved was
										 * first seen; 0: there is nothing */


void
jobs_init(DatabaseSlot *slot, MemoryContext turn_context)
{
	jobs_slot = slot;
	jobs_context = turn_context;
	jobs_networks_changed = shmem_take_networks_changed(slot);
}

/* May anything new be started? */
static bool
jobs_may_begin(void)
{
	return webhook_dispatch && !ShutdownRequestPending && !shmem_leave_requested(jobs_slot);
}

/* ---------- the transaction ---------- */

static void
jobs_begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	/*
	 * This lock keeps other processes from changing the position, so that
	 * what we save continues the position that we know.
	 */
	if (catalog_oids() != NULL)
		LockRelationOid(catalog_oids()->cursor, RowExclusiveLock);
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* If the transaction need not be lasting, do not wait until it is on disk; a crash may lose it. */
static void
jobs_commit_transaction(bool lasting)
{
	SPI_finish();
	PopActiveSnapshot();
	synchronous_commit = lasting ? SYNCHRONOUS_COMMIT_LOCAL_FLUSH : SYNCHRONOUS_COMMIT_OFF;
	CommitTransactionCommand();

	/* The commit has left us in a context that is never reset. */
	MemoryContextSwitchTo(jobs_context);
}

/* ---------- reading ---------- */

/*
 * Flush the commit record of a message's transaction before the message is sent:
 * with synchronous_commit = off, a transaction is visible before it is on disk.
 */
static void
jobs_flush_commit(const Message *message)
{
	static uint64 last_xid = 0;
	FullTransactionId next;
	XLogRecPtr	lsn;

	if (message->xid == last_xid)
		return;
	last_xid = message->xid;

	/*
	 * The commit status of an old transaction may have been truncated; its
	 * commit record is certainly on disk.  All 64 bits of its id are
	 * compared, because the lower 32 may equal those of a later transaction.
	 */
	next = ReadNextFullTransactionId();
	if (U64FromFullTransactionId(next) - message->xid >
		(uint32) (XidFromFullTransactionId(next) - webhook_oldest_known_xid()))
		return;
	lsn = TransactionIdGetCommitLSN(XidFromFullTransactionId(FullTransactionIdFromU64(message->xid)));
	if (!XLogRecPtrIsInvalid(lsn))
		XLogFlush(lsn);
}

static void
jobs_take_message(Message *message)
{
	jobs_taken++;
	jobs_last_id = Max(jobs_last_id, message->id);
	jobs_flush_commit(message);
	dispatch_message(message);
}

bool
jobs_memory_full(void)
{
	return cursor_outstanding() >= LOW_WATER || cursor_outstanding_bytes() >= MAX_OUTSTANDING_BYTES ||
		delivery_load() >= QUEUE_MAX_IN_MEMORY;
}

static bool
jobs_room_to_read(void)
{
	return jobs_may_begin() && jobs_standbys_have_all && !jobs_memory_full();
}

static TimestampTz
jobs_next_read(TimestampTz now)
{
	if (!jobs_room_to_read())
		return DT_NOEND;
	if (jobs_more_to_read)
		return now;
	return jobs_woken || shmem_wakeup_pending(jobs_slot) ? jobs_last_read + READ_INTERVAL_US :
		TimestampTzPlusMilliseconds(jobs_last_read, POLL_MS);
}

static void
jobs_read(TimestampTz now)
{
	if (!jobs_room_to_read())
		return;
	jobs_woken = false;
	shmem_rearm_wakeup(jobs_slot);
	jobs_more_to_read = cursor_read(MAX_OUTSTANDING - cursor_outstanding(),
									MAX_OUTSTANDING_BYTES - cursor_outstanding_bytes(),
									jobs_take_message);
	jobs_last_read = now;
	if (jobs_taken == 0)
		return;
	standby_note_read();
	pg_atomic_write_u64(&jobs_slot->last_read, (uint64) jobs_last_id);
}

/* ---------- the other jobs ---------- */

static TimestampTz
jobs_never(TimestampTz now)
{
	return DT_NOEND;
}

static TimestampTz
jobs_next_refresh(TimestampTz now)
{
	return jobs_configuration != catalog_generation() ? now : DT_NOEND;
}

static void
jobs_refresh(TimestampTz now)
{
	jobs_configuration = catalog_generation();
	dispatch_refresh();
}

static void
jobs_find_orphans(TimestampTz now)
{
	deactivation_find_orphans();
}

static bool
jobs_save_due(TimestampTz now)
{
	return cursor_moved() || spill_save_due(now) || replay_run_unsaved() || deactivation_save_due(now);
}

static TimestampTz
jobs_next_save(TimestampTz now)
{
	if (!jobs_save_due(now))
	{
		jobs_unsaved_since = 0;
		return Min(spill_next_save(), deactivation_next_save());
	}
	if (jobs_unsaved_since == 0)
		jobs_unsaved_since = now;
	return TimestampTzPlusMilliseconds(jobs_unsaved_since, SAVE_INTERVAL_MS);
}

static void
jobs_save(TimestampTz now)
{
	spill_save();
	replay_run_save();
	deactivation_save();
}

static void
jobs_check_access(TimestampTz now)
{
	if (withheld_take_access_change())
		delivery_check_access();
}

static TimestampTz
jobs_next_networks(TimestampTz now)
{
	return jobs_networks_changed ? now : DT_NOEND;
}

static void
jobs_retry_forbidden(TimestampTz now)
{
	spill_retry_forbidden(now);
	jobs_networks_changed = false;
}

static TimestampTz
jobs_next_replay(TimestampTz now)
{
	return jobs_may_begin() ? replay_next(now) : DT_NOEND;
}

static void
jobs_replay(TimestampTz now)
{
	if (jobs_may_begin())
		replay_turn(now);
}

static TimestampTz
jobs_next_load(TimestampTz now)
{
	if (!jobs_may_begin())
		return DT_NOEND;
	return recall_due(now) ? now : recall_next_event();
}

static void
jobs_load(TimestampTz now)
{
	if (jobs_may_begin())
		recall_rows(now);
}

static TimestampTz
jobs_next_backfill(TimestampTz now)
{
	return jobs_may_begin() ? backfill_start_next(now) : DT_NOEND;
}

static TimestampTz
jobs_next_prepare(TimestampTz now)
{
	return jobs_may_begin() ? queue_next_prepare() : DT_NOEND;
}

static void
jobs_prepare(TimestampTz now)
{
	if (jobs_may_begin())
		queue_prepare();
}

/* Not worth a transaction of its own. */
static void
jobs_tidy(TimestampTz now)
{
	bool		due = now >= TimestampTzPlusMilliseconds(jobs_last_tidy, TIDY_MS) || now < jobs_last_tidy;

	if (history_trim(now))
		notify_history();
	if (due || partitions_unfinished())
		partitions_recycle(jobs_slot);
	if (!due)
		return;
	endpoint_trim();
	log_tables_recycle();
	activity_tables_recycle(now);
	jobs_last_tidy = now;
}

/* This is the last job, after all that may finish messages. */
static void
jobs_save_position(TimestampTz now)
{
	if (cursor_moved())
		cursor_save();
	jobs_unsaved_since = 0;
}

static const struct
{
	TimestampTz (*next) (TimestampTz now);	/* when is it due?  DT_NOEND: it
											 * never asks for a transaction */
	void		(*run) (TimestampTz now);
	bool		always;			/* in every transaction, not only when due */
}			jobs[] = {
	{jobs_next_refresh, jobs_refresh, false},
	{withheld_next_note, jobs_find_orphans, false},
	{jobs_next_save, jobs_save, true},
	{jobs_never, jobs_check_access, true},
	{trim_next, trim_failed, false},
	{jobs_next_networks, jobs_retry_forbidden, false},
	{withheld_next_note, withheld_note, false},
	{jobs_next_replay, jobs_replay, true},
	{jobs_next_load, jobs_load, true},
	{jobs_next_read, jobs_read, true},
	{jobs_next_prepare, jobs_prepare, true},
	{dead_letter_next, dead_letter_report, false},
	{egress_next_report, egress_report, false},
	{notify_next_key_ages, notify_key_ages, false},
	{jobs_next_backfill, backfill_start, false},
	{jobs_never, jobs_tidy, true},
	{jobs_never, jobs_save_position, true}
};

/* ---------- when ---------- */

/* Logs and counters have a monotonic clock of their own. */
static TimestampTz
jobs_next_record(TimestampTz now)
{
	int64		due_in = attempt_log_due_in(delivery_in_memory() == 0);

	return due_in < DT_NOEND - now ? now + due_in : DT_NOEND;
}

/* When the first job is due; DT_NOEND if none is. */
static TimestampTz
jobs_first_due(TimestampTz now)
{
	TimestampTz first = home_check_due() ? now : DT_NOEND;

	if (home_state() == HOME_OURS)
	{
		first = Min(first, jobs_next_record(now));
		for (int i = 0; i < lengthof(jobs); i++)
			first = Min(first, jobs[i].next(now));
	}
	return first;
}

TimestampTz
jobs_next(TimestampTz now)
{
	return Min(jobs_first_due(now), TimestampTzPlusMilliseconds(now, POLL_MS));
}

/* Write logs and counters: all at once if that is little, else some if it is time. */
static void
jobs_record(TimestampTz now, bool unsaved)
{
	bool		due = jobs_next_record(now) <= now;

	if (unsaved && jobs_taken == 0 && attempt_log_save_few())
		return;
	if (due)
		attempt_log_save(delivery_in_memory() == 0);
}

static void
jobs_run_transaction(TimestampTz now)
{
	bool		lasting = true;
	bool		unsaved = false;

	jobs_begin_transaction();
	if (catalog_oids() == NULL)
	{
		/* The extension has been dropped. */
		jobs_commit_transaction(false);
		shmem_mark_absent(jobs_slot);
		proc_exit(0);
	}
	home_check(jobs_slot);
	if (home_state() == HOME_OURS)
	{
		unsaved = jobs_save_due(now);
		jobs_taken = 0;
		for (int i = 0; i < lengthof(jobs); i++)
		{
			if (jobs[i].always || jobs[i].next(now) <= now)
				jobs[i].run(now);
		}

		/* The latest logs and counters are not worth waiting for a flush. */
		lasting = !XLogRecPtrIsInvalid(XactLastRecEnd);
		jobs_record(now, unsaved);
	}
	jobs_commit_transaction(lasting);
	deactivation_clear_faulty_transform(jobs_slot);
	if (unsaved)
		shmem_note_progress(jobs_slot);
	partitions_publish(jobs_slot);

	/* Report what we have written to autovacuum. */
	pgstat_report_stat(false);
}

/* Nothing else in the database may keep this from being committed, hence the transaction of its own. */
void
jobs_save_tokens(void)
{
	if (!token_unsaved())
		return;
	jobs_begin_transaction();
	if (catalog_oids() != NULL && version_fits())
	{
		webhook_lock_begin();
		token_save();
	}
	jobs_commit_transaction(true);

	/* After a failover the former refresh token may be worth nothing. */
	standby_note_read();
	authorize_saved();
}

void
jobs_run(TimestampTz now)
{
	jobs_save_tokens();
	if (jobs_first_due(now) <= now)
		jobs_run_transaction(now);
}

/* ---------- calls by the worker's loop ---------- */

void
jobs_note_wakeup(void)
{
	jobs_woken = true;
}

void
jobs_note_networks(void)
{
	jobs_networks_changed = true;
}

bool
jobs_ask_standbys(TimestampTz now)
{
	return jobs_standbys_have_all = standby_has_all(now);
}

bool
jobs_confirmed(void)
{
	return jobs_standbys_have_all;
}

/* Has everything been read that can be read now, and been sent or stored? */
static bool
jobs_all_sent(TimestampTz now)
{
	return !jobs_more_to_read && !shmem_wakeup_pending(jobs_slot) && jobs_standbys_have_all &&
		cursor_outstanding() == 0 && delivery_in_memory() == 0 && !recall_due(now) && !backfill_start_running() &&
		!replay_under_way();
}

bool
jobs_idle(TimestampTz now)
{
	if (home_state() == HOME_UNKNOWN)
		return false;
	if (home_state() != HOME_OURS || !webhook_dispatch)
		return true;
	return jobs_all_sent(now);
}

void
jobs_leave(TimestampTz now)
{
	bool		ours = home_state() == HOME_OURS;
	bool		all_sent = !ours || (webhook_dispatch && jobs_all_sent(now));
	TimestampTz due_at = Min(recall_next_event(), Min(dead_letter_next(now), egress_next_probe()));

	/* What is committed from now on sets the same mark. */
	if (!all_sent)
		shmem_mark_unfinished(jobs_slot);
	shmem_mark_left(jobs_slot, ours && all_sent ? due_at : DT_NOEND,
					ours ? 0 : BLOCKED_REST_MS * INT64CONST(1000));
}

void
jobs_clock_set_back(TimestampTz before, TimestampTz now)
{
	jobs_last_read = Min(jobs_last_read, now);
	jobs_unsaved_since = Min(jobs_unsaved_since, now);
	queue_clock_set_back(now);
	scheduler_clock_set_back();
	spill_clock_set_back();
	probe_clock_set_back(before - now);
	deactivation_clock_set_back();
	dead_letter_clock_set_back();
	egress_clock_set_back(now);
	replay_clock_set_back();
	withheld_clock_set_back(now);
	notify_clock_set_back(now);
	trim_plan();
	token_clock_set_back(now);
}

bool
jobs_record_rest(void)
{
	bool		all = true;

	jobs_save_tokens();
	jobs_begin_transaction();
	if (catalog_oids() != NULL && version_fits() && home_is_current())
	{
		spill_save();
		replay_run_save();
		deactivation_save();
		all = attempt_log_save_all();
		if (cursor_moved())
			cursor_save();
	}
	jobs_commit_transaction(true);
	return all;
}
