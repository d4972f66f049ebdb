/*-------------------------------------------------------------------------
 *
 * notify.c
 *		Notifications for operators: warnings, deactivated webhooks, failed messages.
 *
 * The token that activates a webhook again is in the row and in the
 * message to the owner's other webhooks, but not in the NOTIFY: any role may
 * listen.  The same is true of the details of a failed message.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "port/pg_bitutils.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/catalog_event.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/settings.h"
#include "base/spi_statement.h"
#include "log/outbox.h"
#include "send/notify.h"

#define CHANNEL			"webhook"
#define TOKEN_BYTES		24

/* How often the ages of API keys are checked, which are a matter of months. */
#define KEY_AGES_INTERVAL_MS	(3600 * 1000)
#define KEY_AGES_RETRY_MS		(60 * 1000)

static TimestampTz notify_key_ages_at = 0;

/* Not for a webhook that has just been deleted. */
static SpiStatement notify_insert_statement = {
	"INSERT INTO webhook.notification (webhook_id, kind, message, token, created_at)"
	" SELECT $1, $2, $3, $4, $5 WHERE EXISTS (SELECT FROM webhook.webhook WHERE id = $1) RETURNING id",
	5, {INT8OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
};

static SpiStatement notify_find_form_statement = {
	"SELECT FROM webhook.notification WHERE webhook_id = $1 AND kind = 'form' AND message = $2 LIMIT 1",
	2, {INT8OID, TEXTOID}
};

static SpiStatement notify_history_statement = {
	"INSERT INTO webhook.notification (kind, message, created_at)"
	" SELECT 'history', $1, $2 WHERE NOT EXISTS (SELECT FROM webhook.notification"
	"  WHERE webhook_id IS NULL AND kind = 'history' AND created_at BETWEEN $2 - interval '1 hour' AND $2) RETURNING id",
	2, {TEXTOID, TIMESTAMPTZOID}
};

static SpiStatement notify_proxy_statement = {
	"INSERT INTO webhook.notification (kind, message, created_at) VALUES ('proxy', $1, $2) RETURNING id",
	2, {TEXTOID, TIMESTAMPTZOID}
};

static SpiStatement notify_key_ages_statement = {
	"SELECT webhook.note_key_ages($1)",
	1, {INT4OID}
};


bool
notify_possible(void)
{
	Oid			relid = get_relname_relid("notification", get_namespace_oid(WEBHOOK_SCHEMA, true));

	return OidIsValid(relid) && ConditionalLockRelationOid(relid, RowExclusiveLock);
}

/* The webhook's id, application and name, for people. */
static char *
notify_describe(const Endpoint *endpoint)
{
	if (endpoint->config.name != NULL)
		return psprintf("webhook " INT64_FORMAT " (\"%s\", \"%s\")", endpoint->id, endpoint->config.app,
						endpoint->config.name);
	return psprintf("webhook " INT64_FORMAT " (\"%s\")", endpoint->id, endpoint->config.app);
}

static void
notify_append_pair(StringInfo buf, const char *name, const char *value)
{
	if (value == NULL)
		return;
	appendStringInfo(buf, ",\"%s\":", name);
	escape_json(buf, value);
}

/* The notification as JSON; token may be NULL. */
static char *
notify_message(const Endpoint *endpoint, int64 id, const char *kind, const char *message, const char *reason,
			   const char *token, const char *link)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"id\":" INT64_FORMAT ",\"kind\":\"%s\",\"webhook_id\":" INT64_FORMAT,
					 id, kind, endpoint->id);
	notify_append_pair(&buf, "app", endpoint->config.app);
	notify_append_pair(&buf, "name", endpoint->config.name);
	notify_append_pair(&buf, "reason", reason);
	notify_append_pair(&buf, "message", message);
	notify_append_pair(&buf, "token", token);
	notify_append_pair(&buf, "link", link);
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

/*
 * Emit the event to webhooks that subscribe to it, except the one it is about,
 * and only if their owner may manage that one.
 */
static void
notify_emit(const Endpoint *endpoint, const char *event, const char *json)
{
	const CatalogEvent *subscribers = catalog_event(event);
	const CatalogWebhookList *list = &subscribers->unrestricted;
	Datum	   *ids = palloc(Max(list->count, 1) * sizeof(Datum));
	int			n = 0;
	OutboxRow	row = {0};
	pg_uuid_t	message_id;

	for (int i = 0; i < list->count; i++)
		if (list->items[i]->id != endpoint->id &&
			has_privs_of_role(list->items[i]->owner, endpoint->config.owner))
			ids[n++] = Int64GetDatum(list->items[i]->id);
	if (n == 0)
		return;
	row.event = event;
	row.entity_type = "webhook";
	row.entity_id = psprintf(INT64_FORMAT, endpoint->id);
	row.payload = json;
	row.payload_len = strlen(json);
	row.webhook_ids = construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
									  TYPALIGN_DOUBLE);
	outbox_append(&row, &message_id);
}

/* Write the row; text is its message.  Returns false if the webhook has just been deleted. */
static bool
notify_insert(const Endpoint *endpoint, const char *kind, const char *text, const char *token, int64 *id)
{
	Datum		values[5];
	char		nulls[6] = "     ";
	bool		isnull;

	values[0] = Int64GetDatum(endpoint->id);
	values[1] = CStringGetTextDatum(kind);
	values[2] = CStringGetTextDatum(text);
	values[3] = token ? CStringGetTextDatum(token) : (Datum) 0;
	nulls[3] = token ? ' ' : 'n';
	values[4] = TimestampTzGetDatum(clock_now());
	if (spi_statement_execute(&notify_insert_statement, values, nulls) == 0)
		return false;
	*id = DatumGetInt64(spi_statement_value(0, 1, &isnull));
	return true;
}

/* In the table, the link is part of the message. */
static void
notify_raise(const Endpoint *endpoint, const char *kind, const char *message,
			 const char *reason, const char *token, const char *link)
{
	const char *row_text = link ? psprintf("%s; to activate it again: %s", message, link) : message;
	int64		id;

	if (!notify_insert(endpoint, kind, row_text, token, &id))
		return;
	Async_Notify(CHANNEL, notify_message(endpoint, id, kind, message, reason, NULL, NULL));
	notify_emit(endpoint, psprintf("webhook.%s", kind),
				notify_message(endpoint, id, kind, message, reason, token, link));
}

void
notify_warning(const Endpoint *endpoint, int percent)
{
	notify_raise(endpoint, "failing",
				 psprintf("%s is failing: %d%% of its retry schedule has elapsed without a successful delivery",
						  notify_describe(endpoint), percent),
				 NULL, NULL, NULL);
}

void
notify_token(const Endpoint *endpoint, const char *problem)
{
	notify_raise(endpoint, "oauth", psprintf("%s is failing: %s", notify_describe(endpoint), problem), NULL, NULL, NULL);
}

void
notify_form(const Endpoint *endpoint, const char *faults)
{
	char	   *message = psprintf("%s: %s", notify_describe(endpoint), faults);
	Datum		values[2] = {Int64GetDatum(endpoint->id), CStringGetTextDatum(message)};

	if (spi_statement_execute(&notify_find_form_statement, values, NULL) == 0)
		notify_raise(endpoint, "form", message, NULL, NULL, NULL);
}

/* The members of the message that describe the last one that has failed, after those of any notification. */
static char *
notify_failure_message(char *json, const FailureNotice *notice)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, json, (int) strlen(json) - 1);
	appendStringInfo(&buf, ",\"count\":" INT64_FORMAT, notice->count);
	notify_append_pair(&buf, "message_id", notice->message_id);
	notify_append_pair(&buf, "event", notice->event);
	notify_append_pair(&buf, "entity_type", notice->entity_type);
	if (notice->entity_id != NULL)
		appendStringInfo(&buf, ",\"entity_id\":%s", notice->entity_id);
	notify_append_pair(&buf, "event_uid", notice->event_uid);
	appendStringInfo(&buf, ",\"attempts\":%d", notice->attempts);
	if (notice->status > 0)
		appendStringInfo(&buf, ",\"status\":%d", notice->status);
	if (notice->answer != NULL)
		notify_append_pair(&buf, "answer",
						   TextDatumGetCString(spi_statement_safe_text(notice->answer, strlen(notice->answer))));
	notify_append_pair(&buf, "error", notice->error);
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

void
notify_message_failed(const Endpoint *endpoint, const FailureNotice *notice)
{
	static const char kind[] = "message_failed";
	char	   *message = psprintf("%s: " INT64_FORMAT " %s for good, %s, after %d %s",
								   notify_describe(endpoint), notice->count,
								   notice->count == 1 ? "message has failed" : "messages have failed",
								   notice->count == 1 ? notice->event : psprintf("the last one was %s", notice->event),
								   notice->attempts, notice->attempts == 1 ? "attempt" : "attempts");
	char	   *row_text = message;
	int64		id;

	if (notice->entity_id != NULL)
		row_text = psprintf("%s; entity %s", row_text, notice->entity_id);
	if (notice->error != NULL)
		row_text = psprintf("%s; %s", row_text, notice->error);
	if (!notify_insert(endpoint, kind, row_text, NULL, &id))
		return;
	Async_Notify(CHANNEL, notify_message(endpoint, id, kind, message, NULL, NULL, NULL));
	notify_emit(endpoint, "webhook.message_failed",
				notify_failure_message(notify_message(endpoint, id, kind, message, NULL, NULL, NULL), notice));
}

/* Send the NOTIFY for a row that concerns no webhook, which has just been inserted. */
static void
notify_send_general(const char *kind, const char *message)
{
	StringInfoData json;
	bool		isnull;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"id\":" INT64_FORMAT ",\"kind\":\"%s\"",
					 DatumGetInt64(spi_statement_value(0, 1, &isnull)), kind);
	notify_append_pair(&json, "message", message);
	appendStringInfoChar(&json, '}');
	Async_Notify(CHANNEL, json.data);
}

void
notify_history(void)
{
	char	   *message = psprintf("messages have been removed from the history before webhook.history_retention had passed, "
								   "as they took more than webhook.history_max_size, %d MB", webhook_history_max_size);
	Datum		values[] = {CStringGetTextDatum(message), TimestampTzGetDatum(clock_now())};

	if (notify_possible() && spi_statement_execute(&notify_history_statement, values, NULL) > 0)
		notify_send_general("history", message);
}

bool
notify_proxy(const char *error)
{
	Datum		safe = spi_statement_safe_text(error, strlen(error));
	char	   *message = psprintf("deliveries wait for the proxy: %s", TextDatumGetCString(safe));
	Datum		values[] = {CStringGetTextDatum(message), TimestampTzGetDatum(clock_now())};

	if (!notify_possible())
		return false;
	if (spi_statement_execute(&notify_proxy_statement, values, NULL) > 0)
		notify_send_general("proxy", message);
	return true;
}

void
notify_proxy_refusal(const Endpoint *endpoint, const char *error)
{
	Datum		safe = spi_statement_safe_text(error, strlen(error));

	notify_raise(endpoint, "proxy", psprintf("%s waits: %s", notify_describe(endpoint), TextDatumGetCString(safe)),
				 NULL, NULL, NULL);
}

static char *
notify_make_token(void)
{
	StringInfoData token;

	initStringInfo(&token);
	random_append_hex(&token, TOKEN_BYTES);
	return token.data;
}

/* The link that reactivates the webhook, or NULL if none is configured. */
static char *
notify_make_link(const char *token)
{
	if (webhook_reactivation_url == NULL || webhook_reactivation_url[0] == '\0')
		return NULL;
	return TextDatumGetCString(DirectFunctionCall3Coll(replace_text, C_COLLATION_OID,
													   CStringGetTextDatum(webhook_reactivation_url),
													   CStringGetTextDatum("{token}"),
													   CStringGetTextDatum(token)));
}

static const char *
notify_explain(const Endpoint *endpoint, const char *reason)
{
	if (strcmp(reason, "gone") == 0)
		return "the receiver answered 410 Gone";
	if (strcmp(reason, "transform") == 0)
		return "its transform did not end in time and could not be cancelled";
	if (strcmp(reason, "owner") == 0)
		return psprintf("its owner, the role with OID %u, does not exist any more", endpoint->config.owner);
	return "its retry schedule has been used up without a success";
}

void
notify_deactivated(const Endpoint *endpoint, const char *reason)
{
	char	   *token = notify_make_token();
	char	   *message = psprintf("%s was deactivated: %s; %s for %d hours",
								   notify_describe(endpoint), notify_explain(endpoint, reason),
								   strcmp(reason, "owner") == 0 ? "pending messages are kept" : "messages are kept",
								   webhook_buffer_retention / 3600);

	notify_raise(endpoint, "deactivated", message, reason, token, notify_make_link(token));
}

TimestampTz
notify_next_key_ages(TimestampTz now)
{
	return webhook_api_key_max_age > 0 ? notify_key_ages_at : DT_NOEND;
}

void
notify_clock_set_back(TimestampTz now)
{
	notify_key_ages_at = Min(notify_key_ages_at, TimestampTzPlusMilliseconds(now, KEY_AGES_INTERVAL_MS));
}

void
notify_key_ages(TimestampTz now)
{
	Datum		values[] = {Int32GetDatum(webhook_api_key_max_age)};

	notify_key_ages_at = TimestampTzPlusMilliseconds(now, KEY_AGES_INTERVAL_MS);
	if (!notify_possible())
	{
		notify_key_ages_at = TimestampTzPlusMilliseconds(now, KEY_AGES_RETRY_MS);
		return;
	}
	spi_statement_execute(&notify_key_ages_statement, values, NULL);
}
