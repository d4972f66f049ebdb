/*-------------------------------------------------------------------------
 *
 * worker.c
 *		The loop of a database's worker: read, send, record.
 *
 * One turn of the loop: if there is something to read or to write, a short
 * transaction; then start requests; then wait for a socket, the latch or the
 * next due time; then collect results.  No transaction and no snapshot is open
 * while requests are in flight.
 *
 * All of the worker's state can be built again: an error in a transaction ends
 * the process, and the next one starts from what has been committed.  Messages
 * whose delivery was not recorded yet are then sent again, with the same id.
 *
 * On SIGTERM it ends its turn, waits briefly for the requests in flight, and
 * saves what has been delivered, so that nothing is sent twice.  All of this
 * is limited in time, because a shutdown of the server waits for it.
 *
 * Where there are more databases than workers, the launcher asks it to make room for
 * another one.  Then it waits for all requests in flight, however long that takes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/settings.h"
#include "compat.h"
#include "log/standby.h"
#include "log/cursor.h"
#include "send/attempt.h"
#include "send/attempt_log.h"
#include "send/dead_letter.h"
#include "send/deactivation.h"
#include "send/dispatch.h"
#include "send/egress.h"
#include "send/format.h"
#include "send/home.h"
#include "send/jobs.h"
#include "send/prepare.h"
#include "send/probe.h"
#include "send/queue.h"
#include "send/recall.h"
#include "send/scheduler.h"
#include "send/spill.h"
#include "send/token.h"
#include "send/trim.h"
#include "server/launch.h"
#include "server/shmem.h"
#include "server/worker_settings.h"
#include "webhook.h"

/* Shutdown limits: wait for requests, for refresh tokens, write logs, abort an overlong turn. */
#define FINISH_MS				1000
#define REFRESH_MS				5000
#define RECORD_MS				4000
#define LONG_TURN_MS			1000

static DatabaseSlot *worker_slot;
static Http *worker_http;
static WaitEventSet *worker_wait_set;
static MemoryContext worker_turn_context;
static TimeoutId worker_long_turn;

/* The counters of the slot when this worker was started. */
static uint64 worker_delivered_before;
static uint64 worker_failed_before;

static volatile sig_atomic_t worker_turn_is_long = false;


/* ---------- the loop ---------- */

/* May requests be sent? */
static bool
worker_may_send(void)
{
	return home_state() == HOME_OURS && webhook_dispatch && jobs_confirmed() &&
		!ShutdownRequestPending && !shmem_leave_requested(worker_slot);
}

/* How long to sleep, in milliseconds. */
static long
worker_sleep_ms(TimestampTz now)
{
	TimestampTz until = Min(jobs_next(now), standby_next_check());
	long		http_ms = http_timeout(worker_http);
	long		ms;

	if (worker_may_send())
		until = Min(until, Min(dispatch_next_event(now), token_next_event()));
	ms = until <= now ? 0 : (long) ((until - now + 999) / 1000);
	return http_ms >= 0 ? Min(ms, http_ms) : ms;
}

/* The launcher asks idle workers first to make room for others. */
static void
worker_report_idle(TimestampTz now)
{
	if (!jobs_idle(now))
		pg_atomic_write_u64(&worker_slot->idle_since, 0);
	else if (pg_atomic_read_u64(&worker_slot->idle_since) == 0)
		pg_atomic_write_u64(&worker_slot->idle_since, (uint64) clock_monotonic());
}

static void
worker_report_activity(void)
{
	static WorkerActivity last = (WorkerActivity) -1;
	WorkerActivity activity;
	uint64		delivered;
	uint64		failed;

	if (home_state() == HOME_MISMATCHED)
		activity = WORKER_MISMATCHED;
	else if (home_state() == HOME_FOREIGN)
		activity = WORKER_FOREIGN;
	else if (shmem_leave_requested(worker_slot))
		activity = WORKER_LEAVING;
	else if (!webhook_dispatch)
		activity = WORKER_PAUSED;
	else if (!jobs_confirmed())
		activity = WORKER_UNCONFIRMED;
	else
		activity = delivery_in_memory() > 0 ? WORKER_SENDING : WORKER_IDLE;
	pg_atomic_write_u32(&worker_slot->in_flight, scheduler_in_flight());
	pg_atomic_write_u32(&worker_slot->queued, cursor_outstanding());
	attempt_log_totals(&delivered, &failed);
	pg_atomic_write_u64(&worker_slot->delivered, worker_delivered_before + delivered);
	pg_atomic_write_u64(&worker_slot->failed, worker_failed_before + failed);
	if (activity == last)
		return;
	last = activity;
	pg_atomic_write_u32(&worker_slot->activity, activity);
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
			pgstat_report_activity(STATE_IDLE, "extension version does not match the library");
			break;
		case WORKER_LEAVING:
			pgstat_report_activity(STATE_IDLE, "waiting for responses before exiting");
			break;
	}
}

static void
worker_handle_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		if (settings_reload())
			jobs_note_networks();
		http_forget_connections(worker_http);
		if (egress_reload())
			recall_reset_due();
		endpoint_forget_all();
		trim_plan();
	}
}

/* Wait for a socket, the latch or the timeout. */
static void
worker_wait(long ms)
{
	static uint32 wait_event = 0;
	WaitEvent	events[3];
	int			n;

	Assert(!IsTransactionState());
	if (wait_event == 0)
		wait_event = webhook_wait_event("WebhookSend");
	n = WaitEventSetWait(worker_wait_set, ms, events, lengthof(events), wait_event);
	for (int i = 0; i < n; i++)
		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			jobs_note_wakeup();
		}
}

/*
 * If the clock has been set back, correct the times that are remembered, so
 * that nothing waits longer than intended.
 */
static void
worker_check_clock(TimestampTz now)
{
	static TimestampTz last = DT_NOBEGIN;

	if (now < last)
		jobs_clock_set_back(last, now);
	last = now;
}

static void
worker_perform_requests(void)
{
	/*
	 * A failed multi handle cannot be repaired.  The next worker starts with
	 * a new one, and sends again what was in flight.
	 */
	if (!http_perform(worker_http))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("libcurl failed: %s", http_failure(worker_http))));
}

static void
worker_turn(void)
{
	TimestampTz now;

	worker_handle_interrupts();

	worker_perform_requests();
	now = clock_now();
	worker_check_clock(now);
	attempt_results(now);
	dispatch_check_slow(now);
	jobs_ask_standbys(now);

	/* See all changes of the configuration that have been committed by now. */
	AcceptInvalidationMessages();
	jobs_run(now);
	now = clock_now();
	jobs_ask_standbys(now);
	scheduler_hurry(jobs_memory_full());
	if (worker_may_send())
		attempt_send(now);
	worker_report_activity();
	worker_report_idle(now);
	MemoryContextReset(worker_turn_context);
}

/* ---------- shutdown ---------- */

/*
 * SIGTERM takes effect at the end of the turn.  But a turn can hang, for
 * example on a locked table; then it is aborted as in any backend.
 */
static void
worker_handle_sigterm(SIGNAL_ARGS)
{
	SignalHandlerForShutdownRequest(WEBHOOK_SIGNAL_ARGS_TO_PASS);
	if (worker_turn_is_long)
		die(WEBHOOK_SIGNAL_ARGS_TO_PASS);
}

static void
worker_handle_long_turn(void)
{
	worker_turn_is_long = true;
	if (ShutdownRequestPending)
		webhook_die();
}

static void
worker_begin_turn(void)
{
	MemoryContextSwitchTo(worker_turn_context);
	enable_timeout_after(worker_long_turn, LONG_TURN_MS);
}

static void
worker_end_turn(void)
{
	disable_timeout(worker_long_turn, false);
	worker_turn_is_long = false;
}

static void
worker_save_tokens(void)
{
	worker_begin_turn();
	jobs_save_tokens();
	worker_end_turn();
}

/*
 * Wait for the requests in flight for at most FINISH_MS, and start none.  A server that
 * is about to replace a refresh token gets REFRESH_MS: after that it may accept no other one.
 */
static void
worker_finish_requests(void)
{
	TimestampTz start = GetCurrentTimestamp();

	while (scheduler_in_flight() > 0)
	{
		TimestampTz until = TimestampTzPlusMilliseconds(start, token_refresh_in_flight() ? REFRESH_MS : FINISH_MS);
		long		ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
		long		http_ms = http_timeout(worker_http);

		if (ms <= 0)
			break;
		worker_wait(http_ms < 0 ? ms : Min(ms, http_ms));
		CHECK_FOR_INTERRUPTS();
		worker_perform_requests();
		attempt_results(clock_now());
		worker_save_tokens();
	}
}

static bool
worker_record_rest(void)
{
	bool		all;

	worker_begin_turn();
	all = jobs_record_rest();
	worker_end_turn();
	return all;
}

/* Save what has been delivered, and exit. */
static void
worker_finish(void)
{
	TimestampTz until;

	worker_finish_requests();
	if (home_state() == HOME_OURS)
	{
		shmem_note_progress(worker_slot);
		until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RECORD_MS);
		spill_all_overtaken();
		while (!worker_record_rest() && GetCurrentTimestamp() < until)
			CHECK_FOR_INTERRUPTS();
	}

	/*
	 * After SIGTERM the slot remains as it is, and the launcher starts
	 * another worker.
	 */
	if (!ShutdownRequestPending)
		jobs_leave(clock_now());
	proc_exit(0);
}

/* ---------- the process ---------- */

/* Exit if this database does not have the extension. */
static void
worker_check_extension(void)
{
	bool		exists;

	StartTransactionCommand();
	exists = catalog_oids() != NULL;
	format_init();
	CommitTransactionCommand();
	if (!exists)
	{
		shmem_mark_absent(worker_slot);
		proc_exit(0);
	}
	shmem_mark_served(worker_slot);
}

static void
worker_destroy_http(int code, Datum arg)
{
	if (worker_http != NULL)
		http_destroy(worker_http);
	worker_http = NULL;
}

static void
worker_init_sending(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "webhook deliveries", ALLOCSET_DEFAULT_SIZES);

	token_init();
	endpoint_init();
	delivery_init(context);
	probe_init(context);
	queue_init(context);
	spill_init(context);
	deactivation_init(context);
	dead_letter_init(context);
	attempt_init(worker_http, context);
}

static void
worker_run(const WorkerArgs *args)
{
	char		error[256];

	worker_settings_before_connection();
	BackgroundWorkerInitializeConnectionByOid(args->database, InvalidOid, 0);
	worker_settings_after_connection();
	pgstat_report_appname("webhook worker");

	worker_check_extension();

	worker_long_turn = RegisterTimeout(USER_TIMEOUT, worker_handle_long_turn);
	prepare_init();
	worker_turn_context = AllocSetContextCreate(TopMemoryContext, "webhook turn", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(worker_turn_context);
	worker_http = http_create(settings_allowed_networks(), webhook_max_connections, error);
	if (worker_http == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("could not initialize libcurl: %s", error)));
	before_shmem_exit(worker_destroy_http, (Datum) 0);
	egress_init(worker_http, worker_slot);
	worker_init_sending();
	jobs_init(worker_slot, worker_turn_context);

	/*
	 * The delivery table may contain messages that the last worker has read
	 * and that no synchronous standby has confirmed.
	 */
	standby_note_read();

	worker_wait_set = webhook_create_wait_event_set(3);
	AddWaitEventToSet(worker_wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(worker_wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(worker_wait_set, WL_SOCKET_READABLE, http_fd(worker_http), NULL, NULL);

	/* From now on there may be requests to finish. */
	pqsignal(SIGTERM, worker_handle_sigterm);
	for (;;)
	{
		worker_wait(worker_sleep_ms(clock_now()));
		if (ShutdownRequestPending)
			worker_finish();
		worker_begin_turn();
		worker_turn();
		worker_end_turn();
		if (shmem_leave_requested(worker_slot) && scheduler_in_flight() == 0)
			worker_finish();
	}
}

/* Make the error visible in stat_workers, too. */
static void
worker_note_error(void)
{
	ErrorData  *error;
	char	   *message;
	int			len;

	MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	message = error->message != NULL ? error->message : pstrdup("");
	len = pg_mbcliplen(message, strlen(message), SHMEM_ERROR_MAX - 1);
	message[len] = '\0';
	shmem_note_error(worker_slot, message);
}

void
webhook_worker_main(Datum arg)
{
	WorkerArgs	args = launch_args(arg);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	worker_slot = shmem_attach_worker(args.slot, args.generation);
	if (worker_slot == NULL)
		proc_exit(0);
	worker_delivered_before = pg_atomic_read_u64(&worker_slot->delivered);
	worker_failed_before = pg_atomic_read_u64(&worker_slot->failed);
	PG_TRY();
	{
		worker_run(&args);
	}
	PG_CATCH();
	{
		worker_note_error();
		PG_RE_THROW();
	}
	PG_END_TRY();
}
