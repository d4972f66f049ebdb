/*-------------------------------------------------------------------------
 *
 * log_entry.c
 *		One request as the log shows it.
 *
 * Each entry is one chunk of memory.  Secrets are not in it: configured headers are shown
 * without their values, and requests for tokens without their contents.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/spi_statement.h"
#include "send/log_entry.h"
#include "send/token.h"

/* A longer body is cut off in the log. */
#define LOG_BODY_MAX	(64 * 1024)

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
	LOG_REMOTE_ADDRESS,
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
	int			messages;
	HttpDetail	detail;			/* without the address */
	int			len[LOG_TEXTS];
	char		text[FLEXIBLE_ARRAY_MEMBER];	/* one after the other */
};


/* How much of a text of this length the log shows. */
static size_t
log_entry_shown_len(size_t len)
{
	return Min(len, LOG_BODY_MAX);
}

static char *
log_entry_put(char *end, const char *data, size_t len)
{
	len = log_entry_shown_len(len);
	memcpy(end, data, len);
	return end + len;
}

/* The same for header lines, without carriage returns, since the log is for human readers. */
static char *
log_entry_put_lines(char *end, const char *data, size_t len)
{
	for (len = log_entry_shown_len(len); len > 0; data++, len--)
		if (*data != '\r')
			*end++ = *data;
	return end;
}

/* The headers that were sent, the configured ones without their values. */
static char *
log_entry_put_headers(char *end, const Request *request, const char *configured)
{
	for (int i = 0; i < request->own_headers; i++)
	{
		size_t		len = strlen(request->headers[i]);

		memcpy(end, request->headers[i], len);
		end += len;
		*end++ = '\n';
	}
	return log_entry_put(end, configured, strlen(configured));
}

/* The length of those lines in the log: a newline replaces the NUL after each. */
static size_t
log_entry_own_headers_len(const Request *request)
{
	const char *last;

	if (request->own_headers == 0)
		return 0;
	last = request->headers[request->own_headers - 1];
	return last + strlen(last) + 1 - request->headers[0];
}

/* Was it a request for a token that failed?  Then its contents are not shown. */
static bool
log_entry_asks_token(const Delivery *delivery)
{
	return delivery->attempt.question == QUESTION_TOKEN && delivery->endpoint->config.token != NULL;
}

LogEntry *
log_entry_create(const Delivery *delivery, const Request *request, const HttpResult *result, MemoryContext context)
{
	const Message *message = delivery->message;
	const Endpoint *endpoint = delivery->endpoint;
	const char *url = request ? request->url.data : log_entry_asks_token(delivery) ?
		token_url(endpoint->config.token) : endpoint->config.url;
	const char *configured = endpoint->config.exists ? endpoint->config.shown_headers : "";
	const char *error = result->error[0] == '\0' && delivery->prepared.faults != NULL &&
		delivery->attempt.question == QUESTION_NONE ?
		delivery->prepared.faults : result->error;
	size_t		size;
	LogEntry   *entry;
	char	   *ends[LOG_TEXTS];
	char	   *end;

	size = offsetof(LogEntry, text) + log_entry_shown_len(strlen(message->event)) + log_entry_shown_len(strlen(url)) +
		log_entry_shown_len(result->headers_len) + log_entry_shown_len(result->body_len) +
		log_entry_shown_len(strlen(error)) + strlen(result->detail.address);
	if (request != NULL)
		size += log_entry_own_headers_len(request) + log_entry_shown_len(strlen(configured)) +
			log_entry_shown_len(request->http.body_len);
	entry = MemoryContextAlloc(context, size);

	entry->attempted_at = delivery->attempt.sent_at;
	entry->message_id = message->message_id;
	entry->attempt = delivery->attempts + 1;
	entry->method = request != NULL ? request->http.method :
		request_method(log_entry_asks_token(delivery) ? "POST" : endpoint->config.method);
	entry->status = result->status;
	entry->duration_us = result->duration_us;
	entry->outcome = http_outcome_name(result->outcome);
	entry->messages = delivery->attempt.question != QUESTION_NONE ? 0 : request_messages(request);
	entry->detail = result->detail;
	entry->detail.address = NULL;

	end = entry->text;
	ends[LOG_EVENT] = end = log_entry_put(end, message->event, strlen(message->event));
	ends[LOG_URL] = end = log_entry_put(end, url, strlen(url));
	if (request != NULL)
		end = log_entry_put_headers(end, request, configured);
	ends[LOG_REQUEST_HEADERS] = end;
	if (request != NULL && request->http.body != NULL)
		end = log_entry_put(end, request->http.body, request->http.body_len);
	ends[LOG_REQUEST_BODY] = end;
	ends[LOG_RESPONSE_HEADERS] = end = log_entry_put_lines(end, result->headers, result->headers_len);
	ends[LOG_RESPONSE_BODY] = end = log_entry_put(end, result->body, result->body_len);
	ends[LOG_ERROR] = end = log_entry_put(end, error, strlen(error));
	ends[LOG_REMOTE_ADDRESS] = log_entry_put(end, result->detail.address, strlen(result->detail.address));
	for (int i = 0; i < LOG_TEXTS; i++)
		entry->len[i] = (int) (ends[i] - (i == 0 ? entry->text : ends[i - 1]));
	return entry;
}

/* Part of the text may come from the receiver, and be invalid in any encoding. */
static void
log_entry_set_text(LogRow *row, int column, const char *text, int len, bool isnull)
{
	row->nulls[column - 1] = isnull;
	if (!isnull)
		row->values[column - 1] = spi_statement_safe_text(text, len);
}

static void
log_entry_set_interval(LogRow *row, int column, int64 us)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = us;
	row->values[column - 1] = IntervalPGetDatum(interval);
}

/* Without a response a phase that took no time was not reached. */
static void
log_entry_set_phase(LogRow *row, int column, int64 us, const LogEntry *entry)
{
	log_entry_set_interval(row, column, us);
	row->nulls[column - 1] = us == 0 && entry->status == 0;
}

static void
log_entry_set_detail(LogRow *row, const LogEntry *entry)
{
	const HttpDetail *detail = &entry->detail;

	row->values[Anum_log_messages - 1] = Int32GetDatum(entry->messages);
	row->values[Anum_log_http_version - 1] = CStringGetTextDatum(detail->version);
	row->nulls[Anum_log_http_version - 1] = detail->version[0] == '\0';
	log_entry_set_phase(row, Anum_log_dns_time, detail->dns_us, entry);
	log_entry_set_phase(row, Anum_log_connect_time, detail->connect_us, entry);
	log_entry_set_phase(row, Anum_log_tls_time, detail->tls_us, entry);
	log_entry_set_phase(row, Anum_log_first_byte_time, detail->first_byte_us, entry);
}

void
log_entry_fill_row(LogRow *row, const Endpoint *endpoint, const LogEntry *entry, int64 seq)
{
	static const int columns[] = {
		[LOG_EVENT] = Anum_log_event,
		[LOG_URL] = Anum_log_url,
		[LOG_REQUEST_HEADERS] = Anum_log_request_headers,
		[LOG_REQUEST_BODY] = Anum_log_request_body,
		[LOG_RESPONSE_HEADERS] = Anum_log_response_headers,
		[LOG_RESPONSE_BODY] = Anum_log_response_body,
		[LOG_ERROR] = Anum_log_error,
		[LOG_REMOTE_ADDRESS] = Anum_log_remote_address,
	};
	const char *text = entry->text;

	StaticAssertStmt(lengthof(columns) == LOG_TEXTS, "each text must have a column");
	memset(row->nulls, false, sizeof(row->nulls));
	for (int i = 0; i < LOG_TEXTS; text += entry->len[i++])
		log_entry_set_text(row, columns[i], text, entry->len[i],
						   ((i == LOG_RESPONSE_HEADERS || i == LOG_RESPONSE_BODY) && entry->status == 0) ||
						   ((i == LOG_ERROR || i == LOG_REMOTE_ADDRESS) && entry->len[i] == 0));
	row->values[Anum_log_webhook_id - 1] = Int64GetDatum(endpoint->id);
	row->nulls[Anum_log_slot - 1] = true;
	row->values[Anum_log_seq - 1] = Int64GetDatum(seq);
	row->values[Anum_log_attempted_at - 1] = TimestampTzGetDatum(entry->attempted_at);
	row->values[Anum_log_message_id - 1] = UUIDPGetDatum(&entry->message_id);
	row->values[Anum_log_attempt - 1] = Int32GetDatum(entry->attempt);
	row->values[Anum_log_method - 1] = CStringGetTextDatum(entry->method);
	row->values[Anum_log_status - 1] = Int32GetDatum(entry->status);
	row->nulls[Anum_log_status - 1] = entry->status == 0;
	log_entry_set_interval(row, Anum_log_duration, entry->duration_us);
	row->values[Anum_log_outcome - 1] = CStringGetTextDatum(entry->outcome);
	log_entry_set_detail(row, entry);
}
