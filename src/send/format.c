/*-------------------------------------------------------------------------
 *
 * format.c
 *		Formats: what a message looks like in the body of a request.
 *
 * A format is a line of format_table: its name, its content types and the functions
 * that write the body and headers of its own.  To add one, write these and add a line.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/wire.h"
#include "log/outbox.h"
#include "pure/json_members.h"
#include "send/format.h"

struct PayloadFormat
{
	const char *name;
	const char *content_type;
	const char *batch_type;		/* content type of a batch; NULL: it has none */
	bool		has_id;			/* the body contains the message id */
	bool		has_previous;
	void		(*append_body) (const Message *message, StringInfo body);
	int			(*append_headers) (const Message *message, StringInfo lines);	/* or NULL */
};

/* The last word of the trigger name, in the receiver's vocabulary. */
const char *
format_action(const Message *message)
{
	const char *dot = strrchr(message->event, '.');
	const char *action = dot ? dot + 1 : message->event;

	return strcmp(action, "create") == 0 ? "new" : action;
}

bool
message_is_test(const Message *message)
{
	size_t		len = strlen(message->event);

	return len > 5 && strcmp(message->event + len - 5, ".test") == 0;
}

static bool
format_is_delete(const Message *message)
{
	return message->entity_type != NULL && strcmp(format_action(message), "delete") == 0;
}

static void
format_append_json_text(StringInfo buf, const char *text)
{
	if (text == NULL)
		appendStringInfoString(buf, "null");
	else
		escape_json(buf, text);
}

static void
format_append_raw(StringInfo buf, const char *json, int len)
{
	if (json == NULL)
		appendStringInfoString(buf, "null");
	else
		appendBinaryStringInfo(buf, json, len);
}

/* The text of a JSON string, without quotes and escapes. */
static const char *
format_json_string_text(const char *json)
{
	text	   *wrapped = cstring_to_text(psprintf("[%s]", json));

	return TextDatumGetCString(DirectFunctionCall2(json_array_element_text,
												   PointerGetDatum(wrapped), Int32GetDatum(0)));
}

const char *
format_context(const Message *message, const char *name)
{
	JsonMembers members;
	JsonMember	member;

	if (message->context == NULL)
		return NULL;
	members = json_members(message->context);
	while (json_members_next(&members, &member))
	{
		char	   *value;

		if (member.key_len != strlen(name) + 2 || strncmp(member.key + 1, name, strlen(name)) != 0)
			continue;
		value = pnstrdup(member.value, member.value_len);
		return strcmp(name, FORMAT_CONTEXT) == 0 ? value : format_json_string_text(value);
	}
	return NULL;
}

/* The context is a JSON text as well, because an attribute cannot be an object. */
static const char *const format_extensions[] = {FORMAT_TRACEPARENT, FORMAT_TRACESTATE, FORMAT_CONTEXT};

static void
format_append_extensions(const Message *message, StringInfo body)
{
	for (int i = 0; i < lengthof(format_extensions); i++)
	{
		const char *value = format_context(message, format_extensions[i]);

		if (value == NULL)
			continue;
		appendStringInfo(body, ",\"%s\":", format_extensions[i]);
		escape_json(body, value);
	}
}

/* The values before the change, if they are asked for and there are any. */
static void
format_append_previous(const Message *message, StringInfo body)
{
	if (message->previous == NULL)
		return;
	appendStringInfoString(body, ",\"previous\":");
	appendStringInfoString(body, message->previous);
}

/* {"entity_id":1,"entity_type":"user","action_type":"new","result":{...}} */
static void
format_append_entity(const Message *message, StringInfo body)
{
	appendStringInfoString(body, "{\"entity_id\":");
	appendStringInfoString(body, message->entity_id ? message->entity_id : "null");
	appendStringInfoString(body, ",\"entity_type\":");
	format_append_json_text(body, message->entity_type);
	appendStringInfoString(body, ",\"action_type\":");
	format_append_json_text(body, format_action(message));
	if (!format_is_delete(message))
	{
		appendStringInfoString(body, ",\"result\":");
		format_append_raw(body, message->payload, message->payload_len);
	}
	format_append_previous(message, body);
	appendStringInfoChar(body, '}');
}

/* The entity alone. */
static void
format_append_rest(const Message *message, StringInfo body)
{
	format_append_raw(body, message->payload, message->payload_len);
}

/* RFC 3339 in UTC, with microseconds. */
static void
format_append_timestamp(StringInfo buf, TimestampTz t)
{
	pg_time_t	seconds = timestamptz_to_time_t(t);
	struct pg_tm *tm = pg_gmtime(&seconds);
	int			fraction = (int) (t % USECS_PER_SEC);

	if (fraction < 0)
		fraction += USECS_PER_SEC;
	appendStringInfo(buf, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
					 tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday,
					 tm->tm_hour, tm->tm_min, tm->tm_sec, fraction);
}

/* {"type":"guest.create","timestamp":"...","data":{...}} */
static void
format_append_standard(const Message *message, StringInfo body)
{
	appendStringInfoString(body, "{\"type\":");
	format_append_json_text(body, message->event);
	appendStringInfoString(body, ",\"timestamp\":\"");
	format_append_timestamp(body, message->created_at);
	appendStringInfoString(body, "\",\"data\":");
	format_append_raw(body, message->payload, message->payload_len);
	format_append_previous(message, body);
	appendStringInfoChar(body, '}');
}

/* {"id":"...","type":"guest.create","timestamp":"...","entity_type":"guest","entity_id":1,"event_uid":"a"} */
static void
format_append_thin(const Message *message, StringInfo body)
{
	appendStringInfo(body, "{\"id\":\"%s\",\"type\":", outbox_message_id_text(&message->message_id));
	format_append_json_text(body, message->event);
	appendStringInfoString(body, ",\"timestamp\":\"");
	format_append_timestamp(body, message->created_at);
	appendStringInfoString(body, "\",\"entity_type\":");
	format_append_json_text(body, message->entity_type);
	appendStringInfoString(body, ",\"entity_id\":");
	appendStringInfoString(body, message->entity_id ? message->entity_id : "null");
	appendStringInfoString(body, ",\"event_uid\":");
	format_append_json_text(body, message->event_uid);
	appendStringInfoChar(body, '}');
}

/* The context in which a CloudEvent happened: this database. */
static const char *format_event_source;

void
format_init(void)
{
	char	   *database = get_database_name(MyDatabaseId);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "/postgresql/");
	for (char *c = database ? database : ""; *c; c++)
		if (isalnum((unsigned char) *c) || strchr("-._~", *c))
			appendStringInfoChar(&buf, *c);
		else
			appendStringInfo(&buf, "%%%02X", (unsigned char) *c);
	format_event_source = MemoryContextStrdup(TopMemoryContext, buf.data);
}

/* What a CloudEvent is about, or NULL: it may be missing, but must not be empty. */
static const char *
format_event_subject(const Message *message)
{
	const char *subject = message->entity_id ? format_entity_id_text(message) : "";

	return *subject ? subject : NULL;
}

/* A CloudEvent 1.0 in structured mode. */
static void
format_append_cloudevent(const Message *message, StringInfo body)
{
	const char *subject = format_event_subject(message);

	appendStringInfo(body, "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":",
					 outbox_message_id_text(&message->message_id));
	format_append_json_text(body, format_event_source);
	appendStringInfoString(body, ",\"type\":");
	format_append_json_text(body, message->event);
	if (subject != NULL)
	{
		appendStringInfoString(body, ",\"subject\":");
		format_append_json_text(body, subject);
	}
	appendStringInfoString(body, ",\"time\":\"");
	format_append_timestamp(body, message->created_at);
	appendStringInfoString(body, "\",\"datacontenttype\":\"application/json\"");
	format_append_extensions(message, body);
	appendStringInfoString(body, ",\"data\":");
	format_append_raw(body, message->payload, message->payload_len);
	format_append_previous(message, body);
	appendStringInfoChar(body, '}');
}

/* A header line; characters outside printable ASCII, '"' and '%' are percent-encoded as the HTTP binding says. */
static void
format_append_ce_header(StringInfo lines, const char *name, const char *value)
{
	appendStringInfo(lines, "ce-%s: ", name);
	value = wire_from_server(value);
	for (; *value; value++)
	{
		unsigned char c = *value;

		if (c <= 0x20 || c >= 0x7f || c == '"' || c == '%')
			appendStringInfo(lines, "%%%02X", c);
		else
			appendStringInfoChar(lines, c);
	}
	appendStringInfoChar(lines, '\0');
}

/* A CloudEvent 1.0 in binary mode: the context in headers, the data as the body. */
static int
format_append_cloudevent_headers(const Message *message, StringInfo lines)
{
	const char *subject = format_event_subject(message);
	StringInfoData time;
	int			n = 5;

	format_append_ce_header(lines, "specversion", "1.0");
	format_append_ce_header(lines, "id", outbox_message_id_text(&message->message_id));
	format_append_ce_header(lines, "source", format_event_source);
	format_append_ce_header(lines, "type", message->event);
	initStringInfo(&time);
	format_append_timestamp(&time, message->created_at);
	format_append_ce_header(lines, "time", time.data);
	if (subject != NULL)
	{
		format_append_ce_header(lines, "subject", subject);
		n++;
	}
	for (int i = 0; i < lengthof(format_extensions); i++)
	{
		const char *value = format_context(message, format_extensions[i]);

		if (value == NULL)
			continue;
		format_append_ce_header(lines, format_extensions[i], value);
		n++;
	}
	return n;
}

static const PayloadFormat format_table[] = {
	{"entity", "application/json", "application/json", false, true, format_append_entity, NULL},
	{"rest", "application/json", NULL, false, false, format_append_rest, NULL},
	{"standard", "application/json", "application/json", false, true, format_append_standard, NULL},
	{"cloudevents", "application/cloudevents+json", "application/cloudevents-batch+json", true, true,
	format_append_cloudevent, NULL},
	{"cloudevents-binary", "application/json", NULL, false, false, format_append_rest, format_append_cloudevent_headers},
	{"thin", "application/json", "application/json", true, false, format_append_thin, NULL},
};

const PayloadFormat *
format_find(const char *name)
{
	for (int i = 0; i < lengthof(format_table); i++)
		if (strcmp(format_table[i].name, name) == 0)
			return &format_table[i];
	return NULL;
}

bool
format_exists(const char *name)
{
	return format_find(name) != NULL;
}

const char *
format_content_type(const PayloadFormat *format, bool batch)
{
	return batch ? format->batch_type : format->content_type;
}

bool
format_has_batches(const PayloadFormat *format)
{
	return format->batch_type != NULL;
}

bool
format_has_previous(const PayloadFormat *format)
{
	return format->has_previous;
}

void
format_append_body(const PayloadFormat *format, const Message *message, StringInfo body)
{
	format->append_body(message, body);
}

void
format_append_element(const PayloadFormat *format, const Message *message, StringInfo body)
{
	int			brace;

	if (format->has_id)
	{
		format->append_body(message, body);
		return;
	}
	appendStringInfo(body, "{\"id\":\"%s\"", outbox_message_id_text(&message->message_id));
	brace = body->len;
	format->append_body(message, body);
	Assert(body->data[brace] == '{');
	body->data[brace] = ',';
}

int
format_append_headers(const PayloadFormat *format, const Message *message, StringInfo lines)
{
	return format->append_headers ? format->append_headers(message, lines) : 0;
}

const char *
format_entity_id_text(const Message *message)
{
	if (message->entity_id == NULL)
		return "";
	return message->entity_id[0] == '"' ? format_json_string_text(message->entity_id) : message->entity_id;
}
