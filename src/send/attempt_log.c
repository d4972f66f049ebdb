/*-------------------------------------------------------------------------
 *
 * attempt_log.c
 *		The log of attempts: the last ten requests of each webhook, and counters.
 *
 * Attempts are noted in memory and written from time to time, so that a webhook
 * with ten thousand requests a second costs ten rows a second, not ten
 * thousand: only the last ten attempts since the last write are remembered
 * (log_tables.c stores them).  Nothing is sent while they are written, so that is done
 * in slices, with pauses: a thousand busy webhooks have ten thousand rows.  A crash
 * loses what has not been written.
 *
 * A few are written at once, with the position, so that a session that waits
 * until nothing is pending finds them in the log.  When many webhooks have
 * entries, or bodies are large, they are written before they take more than
 * LOG_MEMORY.
 *
 * Rows of a webhook are written under its lock, since sessions reset counters.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/spi_statement.h"
#include "base/webhook_lock.h"
#include "send/activity.h"
#include "send/activity_tables.h"
#include "send/attempt_log.h"
#include "send/log_entry.h"
#include "send/log_tables.h"

/* Flush delay per webhook, when idle and when busy. */
#define IDLE_MS			250
#define BUSY_MS			1000

/* Length of a slice and of the pause after it.  While there is other work, writing takes a fortieth of the time. */
#define SLICE_US		1000
#define IDLE_PAUSE_US	5000
#define BUSY_PAUSE_US	40000

/* At shutdown slices are longer, each in a transaction of its own. */
#define LAST_SLICE_US	200000

/* Limit on the memory of entries that have not been written yet. */
#define LOG_MEMORY		(32 * 1024 * 1024)
#define LOG_BLOCK_MAX	(1024 * 1024)

static MemoryContext attempt_log_context = NULL;
static Size attempt_log_memory = 0; /* that all entries take */

/*
 * Endpoints with something to write, the longest waiting first.  Those that
 * have failed are in a list of their own, which is written first.
 */
static dlist_head attempt_log_dirty = DLIST_STATIC_INIT(attempt_log_dirty);
static dlist_head attempt_log_failing = DLIST_STATIC_INIT(attempt_log_failing);

/* This many entries per second are written at once: their cost does not matter. */
#define PROMPT_ENTRIES	80

/* Times here are in microseconds, by a monotonic clock. */
static int	attempt_log_entries = 0;	/* to be written */
static int	attempt_log_prompt_left = 0;	/* of this second's PROMPT_ENTRIES */
static int64 attempt_log_prompt_since = 0;
static int64 attempt_log_last_slice = 0;
static uint64 attempt_log_total_delivered = 0;
static uint64 attempt_log_total_failed = 0;

/* The sums over all endpoints, so that a view of them need not add up a thousand histories. */
static Endpoint attempt_log_all = {.id = LOG_TABLES_ALL};


static int64
attempt_log_now(void)
{
	instr_time	t;

	INSTR_TIME_SET_CURRENT(t);
	return (int64) INSTR_TIME_GET_MICROSEC(t);
}

static void
attempt_log_mark(Endpoint *endpoint, bool failing)
{
	if (!endpoint->stats.dirty)
		endpoint->stats.dirty_since = attempt_log_now();
	else if (endpoint->stats.dirty_failing || !failing)
		return;
	else
		dlist_delete(&endpoint->stats.dirty_node);
	endpoint->stats.dirty = true;
	endpoint->stats.dirty_failing = failing;
	dlist_push_tail(failing ? &attempt_log_failing : &attempt_log_dirty, &endpoint->stats.dirty_node);
}

static void
attempt_log_free_entry(LogEntry **slot)
{
	if (*slot == NULL)
		return;
	attempt_log_memory -= GetMemoryChunkSpace(*slot);
	pfree(*slot);
	*slot = NULL;
}

static void
attempt_log_release(Endpoint *endpoint)
{
	for (int i = 0; i < LOG_TABLES_ATTEMPTS; i++)
		attempt_log_free_entry(&endpoint->stats.log[i]);
	attempt_log_entries -= endpoint->stats.nlog;
	attempt_log_prompt_left = Max(0, attempt_log_prompt_left - endpoint->stats.nlog);
	endpoint->stats.nlog = 0;
}

void
attempt_log_attempt(const Delivery *delivery, const Request *request, const HttpResult *result,
					TimestampTz now, bool counts)
{
	Endpoint   *endpoint = delivery->endpoint;
	LogEntry  **slot = &endpoint->stats.log[endpoint->stats.log_seq % LOG_TABLES_ATTEMPTS];

	attempt_log_free_entry(slot);
	if (attempt_log_context == NULL)
		attempt_log_context = AllocSetContextCreate(TopMemoryContext, "webhook log",
													ALLOCSET_DEFAULT_MINSIZE, ALLOCSET_DEFAULT_INITSIZE, LOG_BLOCK_MAX);
	*slot = log_entry_create(delivery, request, result, attempt_log_context);
	attempt_log_memory += GetMemoryChunkSpace(*slot);
	endpoint->stats.log_seq++;
	if (endpoint->stats.nlog < LOG_TABLES_ATTEMPTS)
	{
		endpoint->stats.nlog++;
		attempt_log_entries++;
	}

	attempt_log_mark(endpoint, result->outcome != HTTP_DELIVERED);
	if (!counts)
		return;
	if (delivery->attempt.question == QUESTION_NONE && result->outcome != HTTP_PROXY)
	{
		endpoint->stats.attempts++;
		activity_attempt(&endpoint->stats.activity, result->outcome, result->duration_us);
	}
	if (result->outcome == HTTP_DELIVERED)
	{
		endpoint->stats.delivered += request_messages(request);
		attempt_log_total_delivered += request_messages(request);
		activity_delivery(&endpoint->stats.activity, now - delivery->message->created_at, request_messages(request));
		endpoint->stats.last_success_at = now;
	}
	else
	{
		endpoint->stats.last_failure_at = now;
		if (endpoint->stats.last_error != NULL)
			free(endpoint->stats.last_error);
		endpoint->stats.last_error = strdup(result->error);
	}
}

void
attempt_log_mark_health(Endpoint *endpoint)
{
	attempt_log_mark(endpoint, true);
}

void
attempt_log_count_failed(Endpoint *endpoint)
{
	endpoint->stats.failed++;
	attempt_log_total_failed++;
	attempt_log_mark(endpoint, true);
}

void
attempt_log_count_expired(Endpoint *endpoint)
{
	endpoint->stats.expired++;
	attempt_log_mark(endpoint, false);
}

void
attempt_log_count_dropped(Endpoint *endpoint)
{
	endpoint->stats.dropped++;
	attempt_log_mark(endpoint, true);
}

static int64
attempt_log_first_since(dlist_head *list)
{
	return dlist_is_empty(list) ? PG_INT64_MAX : dlist_head_element(Endpoint, stats.dirty_node, list)->stats.dirty_since;
}

static int64
attempt_log_delay_us(bool idle)
{
	return (int64) (idle ? IDLE_MS : BUSY_MS) * 1000 * log_tables_slowdown();
}

static bool
attempt_log_is_overfull(void)
{
	return attempt_log_memory > LOG_MEMORY;
}

int64
attempt_log_due_in(bool idle)
{
	int64		since = Min(attempt_log_first_since(&attempt_log_failing), attempt_log_first_since(&attempt_log_dirty));
	int64		now;

	if (since == PG_INT64_MAX)
		return PG_INT64_MAX;
	now = attempt_log_now();
	if (!attempt_log_is_overfull())
		since += attempt_log_delay_us(idle);
	return Max(0, Max(since, attempt_log_last_slice + (idle ? IDLE_PAUSE_US : BUSY_PAUSE_US)) - now);
}

void
attempt_log_totals(uint64 *delivered, uint64 *failed)
{
	*delivered = attempt_log_total_delivered;
	*failed = attempt_log_total_failed;
}

/* Number the entries on from what the table holds, and write them. */
static void
attempt_log_save_entries(Endpoint *endpoint)
{
	int64		first = endpoint->stats.log_seq - endpoint->stats.nlog;
	LogRow		rows[LOG_TABLES_ATTEMPTS];

	if (endpoint->stats.nlog == 0)
		return;
	if (!endpoint->stats.log_seq_known)
	{
		endpoint->stats.log_base = log_tables_last_seq(endpoint->id) + 1;
		endpoint->stats.log_seq_known = true;
	}
	for (int i = 0; i < endpoint->stats.nlog; i++)
		log_entry_fill_row(&rows[i], endpoint, endpoint->stats.log[(first + i) % LOG_TABLES_ATTEMPTS],
						   endpoint->stats.log_base + first + i);
	log_tables_add_attempts(rows, endpoint->stats.nlog);
}

static void
attempt_log_set_time(Datum *values, char *nulls, int param, TimestampTz value, bool isnull)
{
	values[param] = TimestampTzGetDatum(value);
	if (isnull)
		nulls[param] = 'n';
}

/* Parameters for what is counted by outcome and by duration. */
static void
attempt_log_set_activity(Datum *values, char *nulls, const Activity *activity)
{
	values[HEALTH_PARAM_DURATION_US] = Int64GetDatum(activity != NULL ? activity->duration_us : 0);
	values[HEALTH_PARAM_LATENCY_US] = Int64GetDatum(activity != NULL ? activity->latency_us : 0);
	if (activity == NULL)
	{
		nulls[HEALTH_PARAM_OUTCOMES] = nulls[HEALTH_PARAM_DURATIONS] = nulls[HEALTH_PARAM_LATENCIES] = 'n';
		return;
	}
	values[HEALTH_PARAM_OUTCOMES] = activity_array(activity->outcomes, ACTIVITY_OUTCOMES);
	values[HEALTH_PARAM_DURATIONS] = activity_array(activity->durations, HISTOGRAM_BUCKETS);
	values[HEALTH_PARAM_LATENCIES] = activity_array(activity->latencies, HISTOGRAM_BUCKETS);
}

/* Add what is about to be recorded for one endpoint to the sums. */
static void
attempt_log_add_to_all(const EndpointStats *stats)
{
	attempt_log_all.stats.dirty = true;
	attempt_log_all.stats.delivered += stats->delivered;
	attempt_log_all.stats.failed += stats->failed;
	attempt_log_all.stats.attempts += stats->attempts;
	attempt_log_all.stats.dropped += stats->dropped;
	attempt_log_all.stats.expired += stats->expired;
	attempt_log_all.stats.last_success_at = Max(attempt_log_all.stats.last_success_at, stats->last_success_at);
	attempt_log_all.stats.last_failure_at = Max(attempt_log_all.stats.last_failure_at, stats->last_failure_at);
	activity_add(&attempt_log_all.stats.activity, stats->activity);
}

/* Returns false if the webhook does not exist. */
static bool
attempt_log_save_health(Endpoint *endpoint)
{
	EndpointStats *stats = &endpoint->stats;
	const Health *health = &endpoint->state.health;
	const Handshake *handshake = &endpoint->state.handshake;
	TimestampTz agreed_at = question_agreed_at(endpoint);
	TimestampTz minute = activity_tables_minute(clock_now());
	Datum		values[HEALTH_PARAMS];
	char		nulls[HEALTH_PARAMS];
	bool		exists;

	memset(nulls, ' ', sizeof(nulls));
	values[HEALTH_PARAM_WEBHOOK_ID] = Int64GetDatum(endpoint->id);
	values[HEALTH_PARAM_DELIVERED] = Int64GetDatum(stats->delivered);
	values[HEALTH_PARAM_FAILED] = Int64GetDatum(stats->failed);
	values[HEALTH_PARAM_ATTEMPTS] = Int64GetDatum(stats->attempts);
	values[HEALTH_PARAM_DROPPED] = Int64GetDatum(stats->dropped);
	values[HEALTH_PARAM_EXPIRED] = Int64GetDatum(stats->expired);
	attempt_log_set_time(values, nulls, HEALTH_PARAM_LAST_SUCCESS_AT, stats->last_success_at, stats->last_success_at == 0);
	attempt_log_set_time(values, nulls, HEALTH_PARAM_LAST_FAILURE_AT, stats->last_failure_at, stats->last_failure_at == 0);
	if (stats->last_error != NULL)
		values[HEALTH_PARAM_LAST_ERROR] = spi_statement_safe_text(stats->last_error, strlen(stats->last_error));
	else
		nulls[HEALTH_PARAM_LAST_ERROR] = 'n';
	values[HEALTH_PARAM_FAILURES] = Int32GetDatum(health->failures);
	attempt_log_set_time(values, nulls, HEALTH_PARAM_FAILING_SINCE, health->failing_since, health->failing_since == 0);
	values[HEALTH_PARAM_PROBES] = Int32GetDatum(health->probes);
	attempt_log_set_time(values, nulls, HEALTH_PARAM_NEXT_PROBE_AT, health->next_probe_at, !health->failing);
	values[HEALTH_PARAM_WARNED] = Int32GetDatum(health->warned);
	attempt_log_set_time(values, nulls, HEALTH_PARAM_AGREED_AT, agreed_at, agreed_at == 0);
	values[HEALTH_PARAM_ALLOWED_RATE] = Int32GetDatum(handshake->rate);
	if (!handshake->wanted || !handshake->agreed || handshake->rate == 0)
		nulls[HEALTH_PARAM_ALLOWED_RATE] = 'n';
	values[HEALTH_PARAM_RECORDED_AT] = TimestampTzGetDatum(minute);
	attempt_log_set_activity(values, nulls, stats->activity);
	if (stats->recorded_at != minute)
		activity_tables_copy(endpoint->id, stats->recorded_at, minute);
	exists = log_tables_add_health(values, nulls);
	stats->recorded_at = minute;

	stats->delivered = stats->failed = stats->attempts = stats->dropped = stats->expired = 0;
	stats->last_success_at = stats->last_failure_at = 0;
	if (stats->last_error != NULL)
		free(stats->last_error);
	stats->last_error = NULL;
	activity_free(&stats->activity);
	return exists;
}

static void
attempt_log_save_endpoint(Endpoint *endpoint, int64 now)
{
	dlist_delete(&endpoint->stats.dirty_node);
	if (!webhook_lock_try(endpoint->id))
	{
		/* A session has locked the webhook: try again later. */
		endpoint->stats.dirty_since = now;
		dlist_push_tail(endpoint->stats.dirty_failing ? &attempt_log_failing : &attempt_log_dirty,
						&endpoint->stats.dirty_node);
		return;
	}
	endpoint->stats.dirty = false;
	if (endpoint->config.exists)
	{
		attempt_log_add_to_all(&endpoint->stats);
		if (attempt_log_save_health(endpoint))
			attempt_log_save_entries(endpoint);
	}
	attempt_log_release(endpoint);
}

/*
 * Write what has been waiting since before the horizon, until the time is up.
 * If entries take too much memory, write whatever there is until they take
 * half of the limit.
 */
static void
attempt_log_save_until(int64 now, int64 horizon, int64 end)
{
	dlist_head *const lists[] = {&attempt_log_failing, &attempt_log_dirty};
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "webhook record",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	bool		overfull = attempt_log_is_overfull();

	for (int i = 0; i < lengthof(lists); i++)
		while (attempt_log_first_since(lists[i]) < (overfull ? now : horizon) &&
			   (overfull ? attempt_log_memory > LOG_MEMORY / 2 : attempt_log_now() < end))
		{
			attempt_log_save_endpoint(dlist_head_element(Endpoint, stats.dirty_node, lists[i]), now);
			MemoryContextReset(scratch);
		}
	if (attempt_log_all.stats.dirty)
		attempt_log_save_health(&attempt_log_all);
	attempt_log_all.stats.dirty = false;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);

	/* Only a reset returns the memory to the system. */
	if (attempt_log_memory == 0 && attempt_log_context != NULL)
		MemoryContextReset(attempt_log_context);
}

void
attempt_log_save(bool idle)
{
	int64		now = attempt_log_now();

	attempt_log_save_until(now, now - attempt_log_delay_us(idle), now + SLICE_US);
	attempt_log_last_slice = attempt_log_now();
}

bool
attempt_log_save_few(void)
{
	int64		now = attempt_log_now();

	if (now >= attempt_log_prompt_since + 1000000)
	{
		attempt_log_prompt_since = now;
		attempt_log_prompt_left = PROMPT_ENTRIES / log_tables_slowdown();
	}
	if (attempt_log_entries > attempt_log_prompt_left)
		return false;
	attempt_log_save_until(now, now, PG_INT64_MAX);
	return true;
}

bool
attempt_log_save_all(void)
{
	int64		now = attempt_log_now();
	int64		end = now + LAST_SLICE_US;

	attempt_log_save_until(now, now, end);
	return attempt_log_now() < end && !webhook_lock_limited();
}
