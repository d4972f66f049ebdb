/*-------------------------------------------------------------------------
 *
 * attempt_log.c
 *		The log of attempts: the last ten requests of each webhook, and counters.
 *
 * Attempts are noted in memory and written now and then, so that a webhook
 * with ten thousand requests a second costs ten rows a second, not ten
 * thousand.  The log has ten slots per webhook; attempt n goes to slot n
 * modulo ten, and of the attempts since the last write only the last ten are
 * there to be written.  Nothing is sent while they are written, so it is done
 * in slices, with pauses: a thousand busy webhooks have ten thousand rows.
 *
 * A few are written at once, with the position, so that a session that waits
 * until nothing is pending finds them in the log.  When many webhooks have
 * entries, or bodies are large, they are written before they take more than
 * LOG_MEMORY.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/spi_statement.h"
#include "base/webhook_lock.h"
#include "send/attempt_log.h"

/* A longer body is cut off in the log. */
#define LOG_BODY_MAX	(64 * 1024)

/* Flush delay per webhook, when idle and when busy. */
#define IDLE_MS			250
#define BUSY_MS			1000

/* A little at a time, and the pause after it; when there is other work this takes a twentieth of the time. */
#define SLICE_US		1000
#define IDLE_PAUSE_US	5000
#define BUSY_PAUSE_US	20000

/* Before the end larger pieces will do, each in a transaction of its own. */
#define LAST_SLICE_US	200000

/* Entries may take so much memory until they are written. */
#define LOG_MEMORY		(32 * 1024 * 1024)
#define LOG_BLOCK_MAX	(1024 * 1024)

/* The texts of an entry. */
enum
{
	LOG_EVENT,
	LOG_URL,
	LOG_REQUEST_HEADERS,
	LOG_REQUEST_BODY,
	LOG_RESPONSE_HEADERS,
	LOG_RESPONSE_BODY,
	LOG_ERROR,
	LOG_TEXTS
};

struct LogEntry
{
	TimestampTz attempted_at;
	pg_uuid_t	message_id;
	int			attempt;
	const char *method;			/* constant */
	int			status;
	int64		duration_us;
	const char *outcome;		/* constant */
	int			len[LOG_TEXTS];
	char		text[FLEXIBLE_ARRAY_MEMBER];	/* one after the other */
};

static MemoryContext attempt_log_context = NULL;
static Size attempt_log_memory = 0; /* that all entries take */

/* Endpoints with something to be written, longest waiting first; news of failures has a list of its own. */
static dlist_head attempt_log_dirty = DLIST_STATIC_INIT(attempt_log_dirty);
static dlist_head attempt_log_failing = DLIST_STATIC_INIT(attempt_log_failing);

/* Entries that may be written at once within a second; their cost does not matter. */
#define PROMPT_ENTRIES	80

/* Times here are in microseconds, by a monotonic clock. */
static int	attempt_log_entries = 0;	/* to be written */
static int	attempt_log_prompt_left = 0;	/* of this second's */
static int64 attempt_log_prompt_since = 0;
static int64 attempt_log_last_slice = 0;
static uint64 attempt_log_delivered = 0;
static uint64 attempt_log_given_up = 0;

static SpiStatement attempt_log_statement = {
	"INSERT INTO webhook.log AS l (webhook_id, slot, seq, attempted_at, message_id, event, attempt, method, url,"
	" request_headers, request_body, status, response_headers, response_body, duration, error, outcome)"
	" SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
	"  make_interval(secs => $15::float8 / 1000000), $16, $17"
	" WHERE EXISTS (SELECT FROM webhook.webhook WHERE id = $1)"
	" ON CONFLICT (webhook_id, slot) DO UPDATE SET seq = excluded.seq, attempted_at = excluded.attempted_at,"
	"  message_id = excluded.message_id, event = excluded.event, attempt = excluded.attempt,"
	"  method = excluded.method, url = excluded.url, request_headers = excluded.request_headers,"
	"  request_body = excluded.request_body, status = excluded.status,"
	"  response_headers = excluded.response_headers, response_body = excluded.response_body,"
	"  duration = excluded.duration, error = excluded.error, outcome = excluded.outcome",
	17, {INT8OID, INT2OID, INT8OID, TIMESTAMPTZOID, UUIDOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, INT4OID, TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID}
};

static SpiStatement attempt_log_seq_statement = {
	"SELECT COALESCE(max(seq), 0) FROM webhook.log WHERE webhook_id = $1",
	1, {INT8OID}
};

static SpiStatement attempt_log_health_statement = {
	"INSERT INTO webhook.health AS h (webhook_id, delivered, failed, attempts, dropped,"
	" last_success_at, last_failure_at, last_error, failures, failing_since, probes, next_probe_at, warned,"
	" agreed_at, allowed_rate, expired)"
	" SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16"
	" WHERE EXISTS (SELECT FROM webhook.webhook WHERE id = $1)"
	" ON CONFLICT (webhook_id) DO UPDATE SET delivered = h.delivered + excluded.delivered,"
	"  failed = h.failed + excluded.failed, attempts = h.attempts + excluded.attempts,"
	"  dropped = h.dropped + excluded.dropped,"
	"  last_success_at = COALESCE(excluded.last_success_at, h.last_success_at),"
	"  last_failure_at = COALESCE(excluded.last_failure_at, h.last_failure_at),"
	"  last_error = COALESCE(excluded.last_error, h.last_error), failures = excluded.failures,"
	"  failing_since = excluded.failing_since, probes = excluded.probes,"
	"  next_probe_at = excluded.next_probe_at, warned = excluded.warned,"
	"  agreed_at = excluded.agreed_at, allowed_rate = excluded.allowed_rate,"
	"  expired = h.expired + excluded.expired",
	16, {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,
	INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, INT4OID, INT8OID}
};


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
	for (int i = 0; i < ENDPOINT_LOG_SLOTS; i++)
		attempt_log_free_entry(&endpoint->stats.log[i]);
	attempt_log_entries -= endpoint->stats.nlog;
	attempt_log_prompt_left = Max(0, attempt_log_prompt_left - endpoint->stats.nlog);
	endpoint->stats.nlog = 0;
}

/* What the log shows of a text of this length. */
static size_t
attempt_log_shown_len(size_t len)
{
	return Min(len, LOG_BODY_MAX);
}

static char *
attempt_log_put(char *end, const char *data, size_t len)
{
	len = attempt_log_shown_len(len);
	memcpy(end, data, len);
	return end + len;
}

/* The same for header lines, which a person shall read: without carriage returns. */
static char *
attempt_log_put_lines(char *end, const char *data, size_t len)
{
	for (len = attempt_log_shown_len(len); len > 0; data++, len--)
		if (*data != '\r')
			*end++ = *data;
	return end;
}

/* The headers that were sent, the configured ones without their values. */
static char *
attempt_log_put_headers(char *end, const Request *request, const char *configured)
{
	for (int i = 0; i < request->own_headers; i++)
	{
		size_t		len = strlen(request->headers[i]);

		memcpy(end, request->headers[i], len);
		end += len;
		*end++ = '\n';
	}
	return attempt_log_put(end, configured, strlen(configured));
}

/* The same length as all those lines: each is followed by a NUL there. */
static size_t
attempt_log_own_headers_len(const Request *request)
{
	const char *last;

	if (request->own_headers == 0)
		return 0;
	last = request->headers[request->own_headers - 1];
	return last + strlen(last) + 1 - request->headers[0];
}

/* Request NULL: it could not be built. */
static LogEntry *
attempt_log_create_entry(const Delivery *delivery, const Request *request, const HttpResult *result)
{
	const Message *message = delivery->message;
	const Endpoint *endpoint = delivery->endpoint;
	const char *url = request ? request->url.data : endpoint->config.url;
	const char *configured = endpoint->config.exists ? endpoint->config.shown_headers : "";
	const char *error = result->error[0] == '\0' && delivery->prepared.faults != NULL && !delivery->attempt.handshake ?
		delivery->prepared.faults : result->error;
	size_t		size;
	LogEntry   *entry;
	char	   *ends[LOG_TEXTS];
	char	   *end;

	if (attempt_log_context == NULL)
		attempt_log_context = AllocSetContextCreate(TopMemoryContext, "webhook log",
													ALLOCSET_DEFAULT_MINSIZE, ALLOCSET_DEFAULT_INITSIZE, LOG_BLOCK_MAX);
	size = offsetof(LogEntry, text) + attempt_log_shown_len(strlen(message->event)) + attempt_log_shown_len(strlen(url)) +
		attempt_log_shown_len(result->headers_len) + attempt_log_shown_len(result->body_len) +
		attempt_log_shown_len(strlen(error));
	if (request != NULL)
		size += attempt_log_own_headers_len(request) + attempt_log_shown_len(strlen(configured)) +
			attempt_log_shown_len(request->http.body_len);
	entry = MemoryContextAlloc(attempt_log_context, size);
	attempt_log_memory += GetMemoryChunkSpace(entry);

	entry->attempted_at = delivery->attempt.sent_at;
	entry->message_id = message->message_id;
	entry->attempt = delivery->attempts + (delivery->attempt.handshake ? 1 : 0);
	entry->method = request != NULL ? request->http.method : request_method(delivery->endpoint->config.method);
	entry->status = result->status;
	entry->duration_us = result->duration_us;
	entry->outcome = http_outcome_name(result->outcome);

	end = entry->text;
	ends[LOG_EVENT] = end = attempt_log_put(end, message->event, strlen(message->event));
	ends[LOG_URL] = end = attempt_log_put(end, url, strlen(url));
	if (request != NULL)
		end = attempt_log_put_headers(end, request, configured);
	ends[LOG_REQUEST_HEADERS] = end;
	if (request != NULL && request->http.body != NULL)
		end = attempt_log_put(end, request->http.body, request->http.body_len);
	ends[LOG_REQUEST_BODY] = end;
	ends[LOG_RESPONSE_HEADERS] = end = attempt_log_put_lines(end, result->headers, result->headers_len);
	ends[LOG_RESPONSE_BODY] = end = attempt_log_put(end, result->body, result->body_len);
	ends[LOG_ERROR] = attempt_log_put(end, error, strlen(error));
	for (int i = 0; i < LOG_TEXTS; i++)
		entry->len[i] = (int) (ends[i] - (i == 0 ? entry->text : ends[i - 1]));
	return entry;
}

void
attempt_log_attempt(const Delivery *delivery, const Request *request, const HttpResult *result,
					TimestampTz now, bool counts)
{
	Endpoint   *endpoint = delivery->endpoint;
	LogEntry  **slot = &endpoint->stats.log[endpoint->stats.log_seq % ENDPOINT_LOG_SLOTS];

	attempt_log_free_entry(slot);
	*slot = attempt_log_create_entry(delivery, request, result);
	endpoint->stats.log_seq++;
	if (endpoint->stats.nlog < ENDPOINT_LOG_SLOTS)
	{
		endpoint->stats.nlog++;
		attempt_log_entries++;
	}

	attempt_log_mark(endpoint, result->outcome != HTTP_DELIVERED);
	if (!counts)
		return;
	endpoint->stats.attempts++;
	if (result->outcome == HTTP_DELIVERED)
	{
		endpoint->stats.delivered++;
		attempt_log_delivered++;
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
attempt_log_health(Endpoint *endpoint)
{
	attempt_log_mark(endpoint, true);
}

void
attempt_log_failed(Endpoint *endpoint)
{
	endpoint->stats.failed++;
	attempt_log_given_up++;
	attempt_log_mark(endpoint, true);
}

void
attempt_log_expired(Endpoint *endpoint)
{
	endpoint->stats.expired++;
	attempt_log_mark(endpoint, false);
}

void
attempt_log_dropped(Endpoint *endpoint)
{
	endpoint->stats.dropped++;
	attempt_log_mark(endpoint, true);
}

static int64
attempt_log_first_since(dlist_head *list)
{
	return dlist_is_empty(list) ? PG_INT64_MAX : dlist_head_element(Endpoint, stats.dirty_node, list)->stats.dirty_since;
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
		since += (idle ? IDLE_MS : BUSY_MS) * 1000;
	return Max(0, Max(since, attempt_log_last_slice + (idle ? IDLE_PAUSE_US : BUSY_PAUSE_US)) - now);
}

void
attempt_log_totals(uint64 *delivered, uint64 *failed)
{
	*delivered = attempt_log_delivered;
	*failed = attempt_log_given_up;
}

static void
attempt_log_save_entry(const Endpoint *endpoint, const LogEntry *entry, int64 seq)
{
	Datum		texts[LOG_TEXTS];
	const char *text = entry->text;
	Datum		values[17];
	char		nulls[18] = "                 ";

	for (int i = 0; i < LOG_TEXTS; text += entry->len[i++])
		texts[i] = spi_statement_safe_text(text, entry->len[i]);
	values[0] = Int64GetDatum(endpoint->id);
	values[1] = Int16GetDatum((int16) (seq % ENDPOINT_LOG_SLOTS));
	values[2] = Int64GetDatum(seq);
	values[3] = TimestampTzGetDatum(entry->attempted_at);
	values[4] = UUIDPGetDatum(&entry->message_id);
	values[5] = texts[LOG_EVENT];
	values[6] = Int32GetDatum(entry->attempt);
	values[7] = CStringGetTextDatum(entry->method);
	values[8] = texts[LOG_URL];
	values[9] = texts[LOG_REQUEST_HEADERS];
	values[10] = texts[LOG_REQUEST_BODY];
	values[11] = Int32GetDatum(entry->status);
	nulls[11] = entry->status ? ' ' : 'n';
	values[12] = texts[LOG_RESPONSE_HEADERS];
	nulls[12] = entry->status ? ' ' : 'n';
	values[13] = texts[LOG_RESPONSE_BODY];
	nulls[13] = entry->status ? ' ' : 'n';
	values[14] = Int64GetDatum(entry->duration_us);
	values[15] = texts[LOG_ERROR];
	nulls[15] = entry->len[LOG_ERROR] > 0 ? ' ' : 'n';
	values[16] = CStringGetTextDatum(entry->outcome);
	spi_statement_execute(&attempt_log_statement, values, nulls);
}

/* Number the entries on from what the table holds, and write them. */
static void
attempt_log_save_entries(Endpoint *endpoint)
{
	int64		first = endpoint->stats.log_seq - endpoint->stats.nlog;

	if (!endpoint->stats.log_seq_known)
	{
		Datum		values[1] = {Int64GetDatum(endpoint->id)};
		bool		isnull;

		spi_statement_execute(&attempt_log_seq_statement, values, NULL);
		endpoint->stats.log_base = DatumGetInt64(spi_statement_value(0, 1, &isnull)) + 1;
		endpoint->stats.log_seq_known = true;
	}
	for (int64 seq = first; seq < endpoint->stats.log_seq; seq++)
		attempt_log_save_entry(endpoint, endpoint->stats.log[seq % ENDPOINT_LOG_SLOTS], endpoint->stats.log_base + seq);
}

static void
attempt_log_save_health(Endpoint *endpoint)
{
	const Health *health = &endpoint->state.health;
	const Handshake *handshake = &endpoint->state.handshake;
	Datum		values[16];
	char		nulls[17] = "                ";

	values[0] = Int64GetDatum(endpoint->id);
	values[1] = Int64GetDatum(endpoint->stats.delivered);
	values[2] = Int64GetDatum(endpoint->stats.failed);
	values[3] = Int64GetDatum(endpoint->stats.attempts);
	values[4] = Int64GetDatum(endpoint->stats.dropped);
	values[5] = TimestampTzGetDatum(endpoint->stats.last_success_at);
	nulls[5] = endpoint->stats.last_success_at ? ' ' : 'n';
	values[6] = TimestampTzGetDatum(endpoint->stats.last_failure_at);
	nulls[6] = endpoint->stats.last_failure_at ? ' ' : 'n';
	nulls[7] = endpoint->stats.last_error ? ' ' : 'n';
	values[7] = endpoint->stats.last_error ?
		spi_statement_safe_text(endpoint->stats.last_error, strlen(endpoint->stats.last_error)) : (Datum) 0;
	values[8] = Int32GetDatum(health->failures);
	values[9] = TimestampTzGetDatum(health->failing_since);
	nulls[9] = health->failing_since ? ' ' : 'n';
	values[10] = Int32GetDatum(health->probes);
	values[11] = TimestampTzGetDatum(health->next_probe_at);
	nulls[11] = health->failing ? ' ' : 'n';
	values[12] = Int32GetDatum(health->warned);
	values[13] = TimestampTzGetDatum(handshake->agreed_at);
	nulls[13] = handshake->wanted && handshake->agreed ? ' ' : 'n';
	values[14] = Int32GetDatum(handshake->rate);
	values[15] = Int64GetDatum(endpoint->stats.expired);
	nulls[14] = handshake->wanted && handshake->agreed && handshake->rate > 0 ? ' ' : 'n';
	spi_statement_execute(&attempt_log_health_statement, values, nulls);

	endpoint->stats.delivered = endpoint->stats.failed = endpoint->stats.attempts = 0;
	endpoint->stats.dropped = endpoint->stats.expired = 0;
	endpoint->stats.last_success_at = endpoint->stats.last_failure_at = 0;
	if (endpoint->stats.last_error != NULL)
		free(endpoint->stats.last_error);
	endpoint->stats.last_error = NULL;
}

static void
attempt_log_save_endpoint(Endpoint *endpoint, int64 now)
{
	dlist_delete(&endpoint->stats.dirty_node);
	if (!webhook_lock_try(endpoint->id))
	{
		/* Not now. */
		endpoint->stats.dirty_since = now;
		dlist_push_tail(endpoint->stats.dirty_failing ? &attempt_log_failing : &attempt_log_dirty,
						&endpoint->stats.dirty_node);
		return;
	}
	endpoint->stats.dirty = false;
	if (endpoint->config.exists)
	{
		attempt_log_save_entries(endpoint);
		attempt_log_save_health(endpoint);
	}
	attempt_log_release(endpoint);
}

/* Write what has been waiting since before the horizon, until the end; or, if it is too much, until it is not. */
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
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);

	/* A context keeps what is freed in it. */
	if (attempt_log_memory == 0 && attempt_log_context != NULL)
		MemoryContextReset(attempt_log_context);
}

void
attempt_log_save(bool idle)
{
	int64		now = attempt_log_now();

	attempt_log_save_until(now, now - (idle ? IDLE_MS : BUSY_MS) * 1000, now + SLICE_US);
	attempt_log_last_slice = attempt_log_now();
}

bool
attempt_log_save_few(void)
{
	int64		now = attempt_log_now();

	if (now >= attempt_log_prompt_since + 1000000)
	{
		attempt_log_prompt_since = now;
		attempt_log_prompt_left = PROMPT_ENTRIES;
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
