/*-------------------------------------------------------------------------
 *
 * request.c
 *		The HTTP request of one attempt.
 *
 * It is built from the webhook's configuration as it is now, also for a retry; only
 * the message is that of the moment when it was captured.
 *
 * Requests are built outside of transactions, from memory alone.  format.c writes the
 * body in the database's encoding, and wire.c converts it to UTF-8.  The body is signed
 * after that, as it will be sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/context.h"
#include "base/random.h"
#include "base/settings.h"
#include "base/wire.h"
#include "log/outbox.h"
#include "pure/trace.h"
#include "pure/url.h"
#include "send/delivery.h"
#include "send/request.h"
#include "send/token.h"

#define USER_AGENT_HEADER	"User-Agent: webhook/" WEBHOOK_VERSION " (PostgreSQL)"

static Request *request_pool = NULL;

static Request *
request_create(void)
{
	MemoryContext old;
	Request    *request;

	if (request_pool != NULL)
	{
		request = request_pool;
		request_pool = request->next_free;
		resetStringInfo(&request->url);
		resetStringInfo(&request->body);
		resetStringInfo(&request->lines);
		return request;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	request = palloc0(sizeof(Request));
	initStringInfo(&request->url);
	initStringInfo(&request->body);
	initStringInfo(&request->lines);
	MemoryContextSwitchTo(old);
	return request;
}

/* Free the memory of a buffer that grew for one huge message. */
static void
request_shrink(StringInfo buf)
{
	if (buf->maxlen > 64 * 1024)
	{
		buf->data = repalloc(buf->data, 1024);
		buf->maxlen = 1024;
		resetStringInfo(buf);
	}
}

void
request_release(Request *request)
{
	request_shrink(&request->url);
	request_shrink(&request->body);
	request_shrink(&request->lines);
	for (int i = 0; i < lengthof(request->certificates); i++)
		if (request->certificates[i] != NULL)
		{
			pfree(request->certificates[i]);
			request->certificates[i] = NULL;
		}
	request->next_free = request_pool;
	request_pool = request;
}

static void
request_append_line(Request *request, const char *line)
{
	appendBinaryStringInfo(&request->lines, line, strlen(line) + 1);
	request->http.nheaders++;
}

static void
request_add_signature(StringInfo value, SignKey *key, const char *id, int64 timestamp, const StringInfo body)
{
	char		signature[SIGN_MAX_SIGNATURE];

	if (key == NULL)
		return;
	if (sign_message(key, id, timestamp, body->data, body->len, signature) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not sign the message")));
	if (value->len > 0)
		appendStringInfoChar(value, ' ');
	appendStringInfoString(value, signature);
}

/*
 * The id of a batch depends on its messages alone: if they are sent again
 * together, it is the same.  That of one message is the message's.
 */
static char *
request_id(const RequestBatch *batch)
{
	Size		size = batch->n * sizeof(pg_uuid_t);
	pg_uuid_t  *ids = palloc(size);
	uint64		hash[2];
	pg_uuid_t	id;

	for (int i = 0; i < batch->n; i++)
		ids[i] = batch->messages[i]->message_id;
	id = ids[0];
	if (batch->n > 1)
	{
		for (int i = 0; i < lengthof(hash); i++)
			hash[i] = pg_hton64(hash_bytes_extended((const unsigned char *) ids, size, i));
		memcpy(id.data, hash, sizeof(id.data));
		id.data[6] = (id.data[6] & 0x0f) | 0x80;	/* a UUID of version 8 */
		id.data[8] = (id.data[8] & 0x3f) | 0x80;
	}
	pfree(ids);
	return outbox_message_id_text(&id);
}

/* The headers of the webhook's other signatures; previous is NULL outside of a grace period. */
static void
request_append_other_signatures(Request *request, const Endpoint *endpoint, const EndpointKeys *previous,
								const SignatureValues *values)
{
	const Signature *signature = endpoint->config.signature;
	char		line[SIGNATURE_MAX_LINE];
	const char *problem;

	for (int i = 0; i < signature_headers(signature); i++)
	{
		if (signature_write(signature, i, endpoint->config.keys.other, previous != NULL ? previous->other : NULL, values,
							line, sizeof(line), &problem) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("could not sign the message: %s", problem)));
		request_append_line(request, line);
	}
}

/* The headers of Standard Webhooks, and other signatures. */
static void
request_append_signature_headers(Request *request, const Endpoint *endpoint, const char *id, TimestampTz now)
{
	int64		timestamp = (int64) timestamptz_to_time_t(now);
	const EndpointKeys *previous = now < endpoint->config.previous_key_until ? &endpoint->config.previous_keys : NULL;
	const SignatureValues values = {
		.id = id,
		.timestamp = timestamp,
		.method = request->http.method,
		.url = request->url.data,
		.body = request->body.data,
		.body_len = request->body.len
	};
	StringInfoData signature;
	char		line[64];

	request_append_line(request, psprintf("webhook-id: %s", id));
	snprintf(line, sizeof(line), "webhook-timestamp: " INT64_FORMAT, timestamp);
	request_append_line(request, line);

	initStringInfo(&signature);
	request_add_signature(&signature, endpoint->config.keys.standard, id, timestamp, &request->body);
	if (previous != NULL)
		request_add_signature(&signature, previous->standard, id, timestamp, &request->body);
	if (signature.len > 0)
		request_append_line(request, psprintf("webhook-signature: %s", signature.data));
	request_append_other_signatures(request, endpoint, previous, &values);
	pfree(signature.data);
}

/* Set the header array; the buffer of the lines has its final address now. */
static void
request_point_at_lines(Request *request)
{
	char	   *line = request->lines.data;

	if (request->http.nheaders > request->headers_space)
	{
		request->headers_space = request->http.nheaders + 8;
		if (request->headers != NULL)
			pfree(request->headers);
		request->headers = MemoryContextAlloc(TopMemoryContext,
											  request->headers_space * sizeof(char *));
	}
	for (int i = 0; i < request->http.nheaders; i++)
	{
		request->headers[i] = line;
		line += strlen(line) + 1;
	}
	request->http.headers = request->headers;
}

/* The length of a URL as returned by url.c, which is 0 if it is too long. */
static size_t
request_checked_length(size_t len)
{
	if (len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("URL is longer than %d bytes", URL_MAX_LENGTH)));
	return len;
}

static UrlValues
request_url_values(const Message *message)
{
	UrlValues	values = {
		.entity_id = wire_from_server(format_entity_id_text(message)),
		.event_uid = wire_from_server(message->event_uid),
		.action = format_action(message)
	};

	return values;
}

/*
 * Fill in the placeholders.  Without a body, the envelope goes into the query
 * string.  The URL is built in a static buffer, because each of many requests
 * should keep only what its own URL takes.
 */
static void
request_build_url(Request *request, const Endpoint *endpoint, const Message *message, bool has_body)
{
	static char url[URL_MAX_LENGTH + 1];
	UrlValues	values = request_url_values(message);
	size_t		len;

	len = request_checked_length(url_expand(endpoint->config.url, &values, url, sizeof(url)));
	if (!has_body)
	{
		if (message->entity_id != NULL)
			len = request_checked_length(url_append_query(url, len, sizeof(url), "entity_id", values.entity_id));
		if (message->entity_type != NULL)
			len = request_checked_length(url_append_query(url, len, sizeof(url), "entity_type",
														  wire_from_server(message->entity_type)));
		len = request_checked_length(url_append_query(url, len, sizeof(url), "action_type", values.action));
	}
	appendBinaryStringInfo(&request->url, url, (int) len);
}

const char *
request_check_message(const Endpoint *endpoint, const Message *message)
{
	UrlValues	values;

	if (strchr(endpoint->config.url, '{') == NULL)
		return NULL;
	values = request_url_values(message);
	return url_check_values(endpoint->config.url, &values);
}

int
request_messages(const Request *request)
{
	return request != NULL ? request->ndeliveries : 1;
}

const char *
request_method(const char *method)
{
	static const char *const methods[] = {"POST", "GET", "PUT", "DELETE", "PATCH"};

	for (int i = 1; i < lengthof(methods); i++)
		if (strcmp(methods[i], method) == 0)
			return methods[i];
	return methods[0];
}

static char *
request_own_copy(const char *text)
{
	return text ? MemoryContextStrdup(TopMemoryContext, text) : NULL;
}

/* Does the webhook set this header itself? */
static bool
request_has_header(const Endpoint *endpoint, const char *name)
{
	size_t		len = strlen(name);

	for (int i = 0; i < endpoint->config.nheaders; i++)
	{
		const char *line = endpoint->config.headers[i];

		if (pg_strncasecmp(line, name, len) == 0 && (line[len] == ':' || line[len] == ';'))
			return true;
	}
	return false;
}

/* Headers about the request itself, unless the webhook sets them: many servers refuse a header that is repeated. */
static void
request_append_default_headers(Request *request, const Endpoint *endpoint, const char *content_type)
{
	if (content_type != NULL && !request_has_header(endpoint, "Content-Type"))
		request_append_line(request, psprintf("Content-Type: %s", content_type));
	if (!request_has_header(endpoint, "User-Agent"))
		request_append_line(request, USER_AGENT_HEADER);
}

/* Without a body, content_type is NULL. */
static void
request_begin(Request *request, const Endpoint *endpoint, const char *method, const char *content_type)
{
	if (endpoint->config.problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s", endpoint->config.problem)));
	memset(&request->http, 0, sizeof(request->http));
	request->http.method = method;
	request_append_default_headers(request, endpoint, content_type);
	if (endpoint->state.handshake.wanted)
		request_append_line(request, psprintf("WebHook-Request-Origin: %s", settings_request_origin()));
}

/* What the webhook's configuration adds to all its requests. */
static void
request_finish(Request *request, const Endpoint *endpoint, bool has_body)
{
	HttpRequest *http = &request->http;

	request->own_headers = http->nheaders;
	for (int i = 0; i < endpoint->config.nheaders; i++)
		request_append_line(request, wire_from_server(endpoint->config.headers[i]));
	request->token = 0;
	if (endpoint->config.token != NULL)
	{
		request_append_line(request, token_header(endpoint->config.token));
		request->token = token_number(endpoint->config.token);
	}
	request_point_at_lines(request);

	request->certificates[0] = request_own_copy(endpoint->config.client_cert);
	request->certificates[1] = request_own_copy(endpoint->config.client_key);
	request->certificates[2] = request_own_copy(endpoint->config.ca_cert);
	http->client_cert = request->certificates[0];
	http->client_key = request->certificates[1];
	http->ca_cert = request->certificates[2];
	http->url = request->url.data;
	http->body = has_body ? request->body.data : NULL;
	http->body_len = request->body.len;
	http->timeout_ms = endpoint->config.timeout_ms > 0 ? endpoint->config.timeout_ms : webhook_timeout;
	http->max_response = webhook_max_response_size;
}

/* The trace goes on with this attempt as its latest span. */
static void
request_append_trace_headers(Request *request, const Endpoint *endpoint, const Message *message)
{
	const char *parent = format_context(message, FORMAT_TRACEPARENT);
	const char *state = format_context(message, FORMAT_TRACESTATE);
	unsigned char span[TRACE_SPAN_BYTES];
	char		own_parent[TRACE_PARENT_LENGTH + 1];

	if (parent == NULL || request_has_header(endpoint, FORMAT_TRACEPARENT))
		return;
	random_bytes(span, sizeof(span));
	span[0] |= 1;				/* zero is not allowed */
	trace_set_span(parent, span, own_parent);
	request_append_line(request, psprintf("%s: %s", FORMAT_TRACEPARENT, own_parent));
	if (state != NULL && !request_has_header(endpoint, FORMAT_TRACESTATE))
		request_append_line(request, psprintf("%s: %s", FORMAT_TRACESTATE, state));
}

static void
request_append_context_header(Request *request, const Message *message)
{
	const char *context = format_context(message, FORMAT_CONTEXT);
	char		ascii[6 * CONTEXT_MAX_LENGTH + 1];

	if (context == NULL)
		return;
	trace_json_to_ascii(wire_from_server(context), ascii, sizeof(ascii));
	request_append_line(request, psprintf("webhook-context: %s", ascii));
}

/* Mark a message of a backfill or of a replay. */
static void
request_append_replay_header(Request *request, const Message *message)
{
	const char *replay = format_context(message, CONTEXT_REPLAY);

	if (replay != NULL)
		request_append_line(request, psprintf("webhook-replay: %s", replay));
}

/* The array of a batch, as far as it does not become larger than a message may be. */
static void
request_append_array(Request *request, const Endpoint *endpoint, RequestBatch *batch)
{
	StringInfo	body = &request->body;
	int			max = webhook_max_payload_size * 1024;

	for (batch->current = 0; batch->current < batch->n; batch->current++)
	{
		int			before = body->len;

		appendStringInfoChar(body, batch->current == 0 ? '[' : ',');
		format_append_element(endpoint->config.format, batch->messages[batch->current], body);
		wire_buffer_from_server(body, before + 1);
		if (body->len >= max && batch->current > 0)
		{
			body->len = before;
			break;
		}
	}
	batch->n = batch->current;
	batch->current = -1;
	appendStringInfoChar(body, ']');
}

static void
request_append_body(Request *request, const Endpoint *endpoint, RequestBatch *batch)
{
	if (endpoint->config.batch_size > 0)
	{
		request_append_array(request, endpoint, batch);
		return;
	}
	format_append_body(endpoint->config.format, batch->messages[0], &request->body);
	wire_buffer_from_server(&request->body, 0);
}

/* Do all messages have the same context? */
static bool
request_has_one_context(const RequestBatch *batch)
{
	const char *context = batch->messages[0]->context;

	if (context == NULL)
		return false;
	for (int i = 1; i < batch->n; i++)
		if (batch->messages[i]->context == NULL || strcmp(batch->messages[i]->context, context) != 0)
			return false;
	return true;
}

static void
request_fill_delivery(Request *request, const Endpoint *endpoint, RequestBatch *batch, TimestampTz now)
{
	const Message *first = batch->messages[0];
	const char *method = request_method(endpoint->config.method);
	bool		has_body = strcmp(method, "GET") != 0;

	request_begin(request, endpoint, method,
				  has_body ? format_content_type(endpoint->config.format, endpoint->config.batch_size > 0) : NULL);
	request_build_url(request, endpoint, first, has_body);
	if (has_body)
		request_append_body(request, endpoint, batch);
	request->http.nheaders += format_append_headers(endpoint->config.format, first, &request->lines);
	request_append_signature_headers(request, endpoint, request_id(batch), now);
	if (request_has_one_context(batch))
	{
		request_append_trace_headers(request, endpoint, first);
		request_append_context_header(request, first);
	}
	request_append_replay_header(request, first);
	request_finish(request, endpoint, has_body);
}

/* The URL is that of the delivery, but without the query that would carry its contents. */
static void
request_fill_handshake(Request *request, const Endpoint *endpoint, const Message *message)
{
	request_begin(request, endpoint, "OPTIONS", NULL);
	request_build_url(request, endpoint, message, true);
	if (endpoint->config.rate_limit > 0)
		request_append_line(request, psprintf("WebHook-Request-Rate: " INT64_FORMAT,
											  (int64) endpoint->config.rate_limit * SECS_PER_MINUTE));
	request_finish(request, endpoint, false);
}

/*
 * The same URL.  It is signed like a delivery, whose id it must not have: receivers
 * would take that for a repeat.
 */
static void
request_fill_challenge(Request *request, const Endpoint *endpoint, const Message *message, TimestampTz now)
{
	const char *nonce = endpoint->state.challenge.nonce;

	request_begin(request, endpoint, "POST", "application/json");
	request_build_url(request, endpoint, message, true);
	appendStringInfo(&request->body, "{\"type\":\"webhook.challenge\",\"challenge\":\"%s\"}", nonce);
	request_append_signature_headers(request, endpoint, nonce, now);
	request_finish(request, endpoint, true);
}

/* A delivery, or the question that precedes it. */
static Request *
request_fill(const Endpoint *endpoint, Question question, RequestBatch *batch, TimestampTz now)
{
	Request    *volatile request = request_create();

	PG_TRY();
	{
		switch (question)
		{
			case QUESTION_NONE:
				request_fill_delivery(request, endpoint, batch, now);
				break;
			case QUESTION_HANDSHAKE:
				request_fill_handshake(request, endpoint, batch->messages[0]);
				break;
			case QUESTION_CHALLENGE:
				request_fill_challenge(request, endpoint, batch->messages[0], now);
				break;
			case QUESTION_TOKEN:
				pg_unreachable();
		}
	}
	PG_CATCH();
	{
		request_release(request);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return request;
}

Request *
request_build(const Endpoint *endpoint, RequestBatch *batch, TimestampTz now)
{
	return request_fill(endpoint, QUESTION_NONE, batch, now);
}

Request *
request_build_question(const Endpoint *endpoint, Question question, const Message *message, TimestampTz now)
{
	RequestBatch batch = {.messages = &message,.n = 1};

	return request_fill(endpoint, question, &batch, now);
}

void
request_set_deliveries(Request *request, struct Delivery *const *deliveries, int n)
{
	if (n > request->deliveries_space)
	{
		if (request->deliveries != NULL)
			pfree(request->deliveries);
		request->deliveries = MemoryContextAlloc(TopMemoryContext, n * sizeof(struct Delivery *));
		request->deliveries_space = n;
	}
	memcpy(request->deliveries, deliveries, n * sizeof(struct Delivery *));
	request->ndeliveries = n;
	request->http.owner = deliveries[0];
}
