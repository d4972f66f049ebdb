/*-------------------------------------------------------------------------
 *
 * worker.c
 *		The loop of a database's worker: read, send, record.
 *
 * One turn of the loop: if there is something to read or to write, a short
 * transaction; then start requests; then wait for a socket, the latch or the
 * next date; then collect results.  No transaction and no snapshot is open
 * while requests are under way.
 *
 * The worker keeps no state that it could not build again: an error anywhere in a
 * transaction ends the process, and the next one starts from what has been
 * committed.  Messages whose delivery was not yet recorded are then sent again,
 * with the same id.
 *
 * Asked to go (SIGTERM), it finishes its turn, waits a moment for the requests
 * that are under way, and records what has been done, so that nothing is sent
 * twice.  Whoever asked is waiting: none of that may take long.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "libpq/pqsignal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/settings.h"
#include "base/spi_statement.h"
#include "compat.h"
#include "log/cursor.h"
#include "log/partitions.h"
#include "log/standby.h"
#include "send/attempt.h"
#include "send/attempt_log.h"
#include "send/deactivation.h"
#include "send/dispatch.h"
#include "send/format.h"
#include "send/notify.h"
#include "send/prepare.h"
#include "send/probe.h"
#include "send/queue.h"
#include "send/scheduler.h"
#include "send/spill.h"
#include "send/trim.h"
#include "send/withheld.h"
#include "server/launcher.h"
#include "server/shmem.h"
#include "server/version.h"
#include "server/worker_settings.h"
#include "webhook.h"

/* Messages read from the outbox that are not dealt with yet: so many, and so many bytes. */
#define MAX_OUTSTANDING			2000
#define MAX_OUTSTANDING_BYTES	(8 * 1024 * 1024)

/* Read again when so few are left to send. */
#define LOW_WATER				1000

/* The position is saved so long after a message was dealt with, at the latest. */
#define SAVE_INTERVAL_MS		10

/* Partitions and endpoints that are no longer needed are looked for so often. */
#define TIDY_MS					250

/* Messages that come one after the other are read together if they are less than this apart. */
#define READ_INTERVAL_US		300

/* A look at the outbox without being called: COMMIT PREPARED tells nobody. */
#define POLL_MS					1000

/* When asked to go: wait so long for requests, record for so long, and break off a turn that takes longer than this. */
#define FINISH_MS				1000
#define RECORD_MS				4000
#define LONG_TURN_MS			1000

static DatabaseSlot *slot;
static Http *http;
static WaitEventSet *wait_set;
static MemoryContext turn_context;
static TimeoutId long_turn;
static volatile sig_atomic_t turn_is_long = false;
static bool foreign;			/* the outbox is not ours to send */
static bool mismatched = false; /* the extension is of another version than this library */
static bool matched = false;	/* ... was of the same when we looked last */
static bool more_to_read = true;
static int	taken;				/* messages read in this turn */
static bool networks_changed = false;	/* webhook.allowed_networks is another one than before */
static bool woken = false;		/* somebody has committed messages, or changed something */
static bool recovered = false;	/* ... it is, and the position has been loaded */
static bool confirmed = false;	/* the synchronous standbys have what we have read */
static uint64 cursor_generation = 0;	/* of webhook.cursor as we know it */
static uint64 generation = 0;	/* of the configuration that the dispatcher knows */
static TimestampTz last_read;
static TimestampTz last_tidy;
static TimestampTz moved_at;	/* when the position first moved since it was saved, 0: it has not */


static TimestampTz
after_ms(TimestampTz t, int ms)
{
	return TimestampTzPlusMilliseconds(t, ms);
}

/* Is there nothing that a person must do first? */
static bool
at_work(void)
{
	return !foreign && !mismatched;
}

/* ---------- the transaction of a turn ---------- */

static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	/* Under this lock nobody else changes the position: what we save follows on what we know. */
	if (catalog_oids() != NULL)
		LockRelationOid(catalog_oids()->cursor, RowExclusiveLock);
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* Not lasting: nobody waits until it is on disk, and a crash may take it away. */
static void
commit_transaction(bool lasting)
{
	SPI_finish();
	PopActiveSnapshot();
	synchronous_commit = lasting ? SYNCHRONOUS_COMMIT_LOCAL_FLUSH : SYNCHRONOUS_COMMIT_OFF;
	CommitTransactionCommand();

	/* That leaves us in a context that is never reset. */
	MemoryContextSwitchTo(turn_context);
}

/*
 * Make sure that what we have read is on disk before anybody outside hears of it: a
 * transaction with synchronous_commit = off is visible before that.
 */
static void
flush_commit(Message *message)
{
	static uint64 last_xid = 0;
	FullTransactionId next;
	XLogRecPtr	lsn;

	if (message->xid == last_xid)
		return;
	last_xid = message->xid;

	/*
	 * Of an old one not even the commit status may be left; it is on disk for
	 * sure.  It may be so old that its 32 bits look like those of a later one.
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
take_message(Message *message)
{
	taken++;
	flush_commit(message);
	dispatch_message(message);
}

static bool
room_to_read(void)
{
	return webhook_dispatch && at_work() && confirmed && !ShutdownRequestPending && cursor_outstanding() < LOW_WATER &&
		cursor_outstanding_bytes() < MAX_OUTSTANDING_BYTES &&
		delivery_in_memory() < QUEUE_MAX_IN_MEMORY;
}

/* Has nobody else changed the position since we loaded it? */
static bool
position_is_current(void)
{
	if (cursor_generation == catalog_cursor_generation())
		return true;
	cursor_generation = catalog_cursor_generation();
	return cursor_is_current();
}

/*
 * A database made from a template in which nobody had created a webhook: there is
 * nothing to decide.  A dump may be just about to bring its webhooks.
 */
static bool
adopt_nothing(void)
{
	static SpiStatement statement = {
		"SELECT webhook.adopt('discard') WHERE NOT EXISTS (SELECT FROM webhook.webhook)"
		" AND NOT EXISTS (SELECT FROM webhook.outbox WHERE xid = '0')"
		" AND NOT EXISTS (SELECT FROM webhook.cursor WHERE database = 0)",
		0, {0}
	};

	return spi_statement_execute(&statement, NULL, NULL) > 0;
}

/*
 * Is the outbox ours to send?  Asked at the start, and again when somebody else has
 * written to webhook.cursor: pg_restore, webhook.adopt() or CREATE EXTENSION.
 */
static void
check_home(void)
{
	if (recovered)
	{
		if (position_is_current())
			return;

		/* What we know is about another outbox. */
		ereport(LOG,
				(errmsg("webhook worker starts again because the position in the outbox has been changed")));
		shmem_note_progress(slot);
		proc_exit(1);
	}
	if (cursor_generation == catalog_cursor_generation())
		return;
	cursor_generation = catalog_cursor_generation();
	if (cursor_load() == CURSOR_HERE)
	{
		int64		culprit = (int64) pg_atomic_exchange_u64(&slot->culprit, 0);

		spill_recover();
		if (culprit != 0)
			deactivation_punish(culprit);
		recovered = true;
		foreign = false;
		return;
	}
	if (!foreign && !adopt_nothing())
		ereport(WARNING,
				(errmsg("webhook sends nothing from database \"%s\"", get_database_name(MyDatabaseId)),
				 errdetail("Its outbox was restored from a dump or copied from another database."),
				 errhint("If this database replaces the other one, call webhook.adopt('send'). "
						 "If it is a copy, call webhook.adopt('discard').")));
	foreign = true;
}

/*
 * Tables and functions of another version must not be used, not even to record what has
 * been done: that is sent again.
 */
static void
check_version(void)
{
	if (version_fits())
	{
		matched = true;
		mismatched = false;
		return;
	}
	if (matched)
	{
		ereport(LOG,
				(errmsg("webhook worker starts again because the extension has been updated")));
		proc_exit(1);
	}
	if (!mismatched)
		version_warn();
	mismatched = true;
}

static void
tidy(TimestampTz now)
{
	endpoint_trim();
	partitions_turn(slot);
	last_tidy = now;
}

/* Everything that a turn does in the database. */
static void
do_transaction(TimestampTz now, bool record)
{
	bool		lasting = true;
	bool		progress = false;

	begin_transaction();
	if (catalog_oids() == NULL)
	{
		/* The extension has been dropped. */
		commit_transaction(false);
		shmem_mark_absent(slot);
		proc_exit(0);
	}
	check_version();
	if (!mismatched)
		check_home();
	if (generation != catalog_generation())
	{
		generation = catalog_generation();
		if (at_work())
			dispatch_refresh();
	}
	if (at_work())
	{
		bool		news = cursor_moved() || spill_to_save(now) || deactivation_to_save(now);

		progress = news;
		taken = 0;
		if (withheld_note_due(now))
			deactivation_find_orphans();
		spill_save();
		deactivation_save();
		if (withheld_changed())
			delivery_check_access();
		if (trim_due(now))
			trim_failed(now);
		if (networks_changed)
		{
			networks_changed = false;
			spill_retry_forbidden(now);
		}
		if (withheld_note_due(now))
			withheld_note(now);
		if (webhook_dispatch)
			spill_load(now);
		if (room_to_read())
		{
			woken = false;
			shmem_rearm_wakeup(slot);
			more_to_read = cursor_read(MAX_OUTSTANDING - cursor_outstanding(),
									   MAX_OUTSTANDING_BYTES - cursor_outstanding_bytes(),
									   take_message);
			last_read = now;
			if (taken > 0)
				standby_note_read();
		}
		if (webhook_dispatch)
			queue_prepare();
		if (notify_key_ages_due(now))
			notify_key_ages(now);
		if (now >= after_ms(last_tidy, TIDY_MS) || now < last_tidy || partitions_unfinished())
			tidy(now);
		if (cursor_moved())
			cursor_save();
		moved_at = 0;

		/* What the log says of the last moments is not worth waiting for the disk. */
		lasting = XactLastRecEnd != InvalidXLogRecPtr;
		if (!(news && taken == 0 && attempt_log_save_few()) && record)
			attempt_log_save(delivery_in_memory() == 0);
	}
	commit_transaction(lasting);
	if (progress)
		shmem_note_progress(slot);
	partitions_publish(slot);

	/* Autovacuum is to hear of what we have written. */
	pgstat_report_stat(false);
}

/* ---------- the loop ---------- */

static bool
read_due(TimestampTz now)
{
	if (!room_to_read())
		return false;
	if (woken)
		return now >= last_read + READ_INTERVAL_US;
	return more_to_read || now >= after_ms(last_read, POLL_MS);
}

static bool
save_due(TimestampTz now)
{
	bool		unsaved = cursor_moved() || spill_to_save(now) || deactivation_to_save(now);

	if (!unsaved)
		moved_at = 0;
	else if (moved_at == 0)
		moved_at = now;
	return unsaved && now >= after_ms(moved_at, SAVE_INTERVAL_MS);
}

/* How long may we sleep?  Milliseconds. */
static long
time_to_sleep(TimestampTz now)
{
	TimestampTz until = Min(after_ms(now, POLL_MS), standby_next_check());
	int64		record_us = attempt_log_due_in(delivery_in_memory() == 0);
	long		http_ms = http_timeout(http);
	long		ms;

	if (at_work() && webhook_dispatch && confirmed)
		until = Min(until, dispatch_next_event(now));
	if (more_to_read && room_to_read())
		until = now;			/* of what has been read nothing may have been left to send */
	if (woken && room_to_read())
		until = Min(until, last_read + READ_INTERVAL_US);
	if (moved_at != 0)
		until = Min(until, after_ms(moved_at, SAVE_INTERVAL_MS));
	else
		until = Min(until, Min(spill_next_save(), deactivation_next_save()));
	if (record_us < until - now)
		until = now + record_us;
	if (at_work() && webhook_dispatch && queue_to_prepare())
		until = now;
	ms = until <= now ? 0 : (long) ((until - now + 999) / 1000);
	if (http_ms >= 0)
		ms = Min(ms, http_ms);
	return ms;
}

static void
report_activity(void)
{
	static WorkerActivity last = (WorkerActivity) -1;
	WorkerActivity activity;
	uint64		delivered;
	uint64		failed;

	if (mismatched)
		activity = WORKER_MISMATCHED;
	else if (foreign)
		activity = WORKER_FOREIGN;
	else if (!webhook_dispatch)
		activity = WORKER_PAUSED;
	else if (!confirmed)
		activity = WORKER_UNCONFIRMED;
	else
		activity = delivery_in_memory() > 0 ? WORKER_SENDING : WORKER_IDLE;
	pg_atomic_write_u32(&slot->in_flight, scheduler_in_flight());
	attempt_log_totals(&delivered, &failed);
	pg_atomic_write_u64(&slot->delivered, delivered);
	pg_atomic_write_u64(&slot->failed, failed);
	if (activity == last)
		return;
	last = activity;
	pg_atomic_write_u32(&slot->activity, activity);
	switch (activity)
	{
		case WORKER_IDLE:
			pgstat_report_activity(STATE_IDLE, "waiting for messages");
			break;
		case WORKER_SENDING:
			pgstat_report_activity(STATE_RUNNING, "sending");
			break;
		case WORKER_PAUSED:
			pgstat_report_activity(STATE_IDLE, "paused by webhook.dispatch = off");
			break;
		case WORKER_UNCONFIRMED:
			pgstat_report_activity(STATE_IDLE, "waiting for synchronous standbys");
			break;
		case WORKER_FOREIGN:
			pgstat_report_activity(STATE_IDLE, "outbox comes from another database; call webhook.adopt()");
			break;
		case WORKER_MISMATCHED:
			pgstat_report_activity(STATE_IDLE, "extension has another version than the library");
			break;
	}
}

static void
handle_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		char	   *networks = pstrdup(webhook_allowed_networks);

		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		networks_changed |= strcmp(networks, webhook_allowed_networks) != 0;
		pfree(networks);
		http_forget_connections(http);
		endpoint_forget_all();
		trim_plan();
	}
}

/* Wait for a socket, the latch or the end of the time. */
static void
wait_for_events(long ms)
{
	static uint32 wait_event = 0;
	WaitEvent	events[3];
	int			n;

	if (wait_event == 0)
		wait_event = webhook_wait_event("WebhookSend");
	n = WaitEventSetWait(wait_set, ms, events, lengthof(events), wait_event);
	for (int i = 0; i < n; i++)
		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			woken = true;
		}
}

/*
 * When the clock has been set back, what waits for a moment must not wait for
 * as long again.
 */
static void
check_clock(TimestampTz now)
{
	static TimestampTz last = DT_NOBEGIN;

	if (now < last)
	{
		last_read = Min(last_read, now);
		moved_at = Min(moved_at, now);
		queue_clock_set_back(now);
		scheduler_clock_set_back();
		spill_clock_set_back();
	}
	last = now;
}

static void
perform_requests(void)
{
	/* The next worker begins with a libcurl that is in order, and sends again what was under way. */
	if (!http_perform(http))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("libcurl failed to process its connections")));
}

static void
turn(void)
{
	TimestampTz now;
	bool		record;

	handle_interrupts();

	perform_requests();
	now = clock_now();
	check_clock(now);
	attempt_results(now);
	dispatch_check_slow(now);
	confirmed = standby_has_all(now);

	/* A configuration that others have committed by now must not be overlooked. */
	AcceptInvalidationMessages();
	record = attempt_log_due_in(delivery_in_memory() == 0) == 0;
	if (cursor_generation != catalog_cursor_generation() || generation != catalog_generation() ||
		record || read_due(now) || save_due(now) ||
		(at_work() && (trim_due(now) || withheld_note_due(now) || notify_key_ages_due(now) ||
					  (webhook_dispatch && (spill_to_load(now) || queue_to_prepare())))))
	{
		do_transaction(now, record);
		now = clock_now();
	}
	confirmed = standby_has_all(now);
	if (at_work() && webhook_dispatch && confirmed && !ShutdownRequestPending)
		attempt_send(now);
	report_activity();
	MemoryContextReset(turn_context);
}

/* ---------- being asked to go ---------- */

/*
 * SIGTERM waits for the end of the turn.  But a turn can hang, as when a table is
 * locked; then it is broken off as in any backend.
 */
static void
handle_sigterm(SIGNAL_ARGS)
{
	SignalHandlerForShutdownRequest(WEBHOOK_SIGNAL_ARGS_TO_PASS);
	if (turn_is_long)
		die(WEBHOOK_SIGNAL_ARGS_TO_PASS);
}

static void
handle_long_turn(void)
{
	turn_is_long = true;
	if (ShutdownRequestPending)
		webhook_die();
}

static void
begin_turn(void)
{
	MemoryContextSwitchTo(turn_context);
	enable_timeout_after(long_turn, LONG_TURN_MS);
}

static void
end_turn(void)
{
	disable_timeout(long_turn, false);
	turn_is_long = false;
}

/* Collect results for a moment, start nothing. */
static void
wait_for_requests(void)
{
	TimestampTz until = after_ms(GetCurrentTimestamp(), FINISH_MS);

	while (scheduler_in_flight() > 0)
	{
		long		ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
		long		http_ms = http_timeout(http);

		if (ms <= 0)
			break;
		wait_for_events(http_ms < 0 ? ms : Min(ms, http_ms));
		CHECK_FOR_INTERRUPTS();
		perform_requests();
		attempt_results(clock_now());
	}
}

/* Record as much of what has been done as one transaction can; true if that is all. */
static bool
record_rest(void)
{
	bool		all = true;

	begin_turn();
	begin_transaction();
	if (catalog_oids() != NULL && version_fits() && position_is_current())
	{
		spill_save();
		deactivation_save();
		all = attempt_log_save_all();
		if (cursor_moved())
			cursor_save();
	}
	commit_transaction(true);
	end_turn();
	return all;
}

/* Record what has been done, and go. */
static void
finish(void)
{
	TimestampTz until;

	wait_for_requests();
	if (recovered)
	{
		shmem_note_progress(slot);
		until = after_ms(GetCurrentTimestamp(), RECORD_MS);
		spill_all_overtaken();
		while (!record_rest() && GetCurrentTimestamp() < until)
			CHECK_FOR_INTERRUPTS();
	}
	proc_exit(0);
}

/* ---------- the process ---------- */

/* Is the extension there?  If not, the worker is not needed. */
static void
check_extension(void)
{
	bool		exists;

	StartTransactionCommand();
	exists = catalog_oids() != NULL;
	format_init();
	CommitTransactionCommand();
	if (!exists)
	{
		shmem_mark_absent(slot);
		proc_exit(0);
	}
	shmem_mark_served(slot);
}

static void
destroy_http(int code, Datum arg)
{
	if (http != NULL)
		http_destroy(http);
	http = NULL;
}

static void
init_sending(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "webhook deliveries", ALLOCSET_DEFAULT_SIZES);

	endpoint_init();
	delivery_init(context);
	probe_init(context);
	queue_init(context);
	spill_init(context);
	deactivation_init(context);
	attempt_init(http, context);
}

static void
run(const WorkerArgs *args)
{
	worker_settings_before_connection();
	BackgroundWorkerInitializeConnectionByOid(args->database, InvalidOid, 0);
	worker_settings_after_connection();
	pgstat_report_appname("webhook worker");

	check_extension();

	long_turn = RegisterTimeout(USER_TIMEOUT, handle_long_turn);
	prepare_init();
	turn_context = AllocSetContextCreate(TopMemoryContext, "webhook turn", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(turn_context);
	http = http_create(settings_allowed_networks(), webhook_max_connections);
	if (http == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not initialize libcurl")));
	before_shmem_exit(destroy_http, (Datum) 0);
	init_sending();

	/* The delivery table may hold what the last worker has read and nobody has confirmed. */
	standby_note_read();

	wait_set = webhook_create_wait_event_set(3);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, http_fd(http), NULL, NULL);

	/* Until here there was nothing to finish. */
	pqsignal(SIGTERM, handle_sigterm);
	for (;;)
	{
		wait_for_events(time_to_sleep(clock_now()));
		if (ShutdownRequestPending)
			finish();
		begin_turn();
		turn();
		end_turn();
	}
}

/* The log says why a worker has ended; stat_workers says it as well. */
static void
note_error(void)
{
	ErrorData  *error;
	char	   *message;
	int			len;

	MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	message = error->message != NULL ? error->message : pstrdup("");
	len = pg_mbcliplen(message, strlen(message), SHMEM_ERROR_MAX - 1);
	message[len] = '\0';
	shmem_note_error(slot, message);
}

void
webhook_worker_main(Datum arg)
{
	WorkerArgs	args = launcher_worker_args(arg);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	slot = shmem_attach_worker(args.slot, args.generation);
	if (slot == NULL)
		proc_exit(0);
	PG_TRY();
	{
		run(&args);
	}
	PG_CATCH();
	{
		note_error();
		PG_RE_THROW();
	}
	PG_END_TRY();
}
