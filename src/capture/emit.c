/*-------------------------------------------------------------------------
 *
 * emit.c
 *		emit(): events of the application that are not changes of rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "base/catalog_event.h"
#include "base/context.h"
#include "capture/match.h"
#include "compat.h"
#include "log/outbox.h"
#include "server/shmem.h"
#include "watch/active_integration.h"

#define EVENT_NAME_MAX	200

PG_FUNCTION_INFO_V1(webhook_emit);


static bool
emit_name_valid(const char *name)
{
	size_t		len = strlen(name);

	return len > 0 && len <= EVENT_NAME_MAX &&
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.") == len;
}

/* Is it a name that only the extension itself may use? */
static bool
emit_name_reserved(const char *name)
{
	const char *dot = strrchr(name, '.');

	return strncmp(name, "webhook.", 8) == 0 ||
		(dot != NULL && (strcmp(dot, ".test") == 0 || strcmp(dot, ".manual") == 0));
}

static char *
emit_optional_text(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

/*
 * JSON text of a jsonb value, without the blanks after commas and colons that
 * its output function adds: payloads of rows have none either.  PostgreSQL has no
 * function for that, and iterating over the value would take longer.
 */
static char *
emit_compact(Jsonb *jb, int *len)
{
	char	   *text = JsonbToCString(NULL, &jb->root, VARSIZE(jb));
	char	   *to = text;
	bool		quoted = false;

	for (char *from = text; *from; from++)
	{
		if (*from == '"')
			quoted = !quoted;
		else if (*from == '\\' && quoted)
			*to++ = *from++;
		else if (*from == ' ' && !quoted)
			continue;
		*to++ = *from;
	}
	*to = '\0';
	*len = to - text;
	return text;
}

static void
emit_check_arguments(FunctionCallInfo fcinfo, const char *name)
{
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "event"),
				 errhint("Specify a trigger name, such as \"guest.checked_in\".")));
	if (!emit_name_valid(name) || emit_name_reserved(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", "event"),
				 errdetail("Names in \"webhook.\" and names that end in \".test\" or \".manual\" have a meaning of their own."),
				 errhint("A trigger name consists of letters, digits, underscores and dots, such as \"guest.checked_in\", and has at most %d characters.",
						 EVENT_NAME_MAX)));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "payload"),
				 errhint("Specify a JSON value, such as '{}'.")));
}

/* The message that the arguments describe, without the webhooks that it is for. */
static void
emit_set_message(FunctionCallInfo fcinfo, char *name, OutboxRow *message)
{
	char	   *entity_id = emit_optional_text(fcinfo, 2);
	char	   *dot = strrchr(name, '.');

	message->event = name;
	if (dot != NULL && dot != name)
		message->entity_type = pnstrdup(name, dot - name);
	if (entity_id != NULL)
	{
		StringInfoData buf;

		initStringInfo(&buf);
		escape_json(&buf, entity_id);
		message->entity_id = buf.data;
	}
	message->context = context_current();
	message->event_uid = emit_optional_text(fcinfo, 3);
	message->profile = emit_optional_text(fcinfo, 4);
	message->payload = emit_compact(PG_GETARG_JSONB_P(1), &message->payload_len);
}

/* emit(event, payload, entity_id, event_uid, profile) returns the id of the message. */
Datum
webhook_emit(PG_FUNCTION_ARGS)
{
	OutboxRow	message = {0};
	Match		match = {MATCH_ALL};
	ActiveIntegration active = {0};
	const CatalogEvent *event;
	pg_uuid_t	message_id;
	char	   *name = emit_optional_text(fcinfo, 0);

	shmem_require();
	PreventCommandIfReadOnly("webhook.emit()");
	PreventCommandIfParallelMode("webhook.emit()");
	emit_check_arguments(fcinfo, name);
	emit_set_message(fcinfo, name, &message);

	event = catalog_event(name);
	if (event->by_integration != NULL)
		active_integration_lookup(message.event_uid, message.profile, &active);
	match.integration = active.integration;
	match.event_uid = message.event_uid;
	match.payload = message.payload;
	if (event->asks_condition)
		match.rows = match_condition_document(message.payload, NULL);
	message.webhook_ids = match_webhooks(event, &match);
	if (message.webhook_ids == NULL)
		outbox_new_message_id(&message_id);
	else
		outbox_append(&message, &message_id);
	PG_RETURN_DATUM(CStringGetTextDatum(outbox_message_id_text(&message_id)));
}
