/*-------------------------------------------------------------------------
 *
 * webhook_api.c
 *		The functions that manage webhooks.
 *
 * Each one checks its arguments as the caller, and then accesses the tables as the
 * extension's owner, see as_owner.c.  A webhook belongs to the role that created it;
 * for other roles, except superusers and members of that role, it does not exist.
 *
 * Functions that change a webhook lock it first.  A trigger on the table notifies
 * the worker and other sessions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/activation.h"
#include "api/fields.h"
#include "api/manage.h"
#include "api/name_hints.h"
#include "api/oauth.h"
#include "api/secret.h"
#include "base/argument.h"
#include "base/clock.h"
#include "base/function.h"
#include "send/format.h"
#include "send/withheld.h"
#include "server/version.h"

PG_FUNCTION_INFO_V1(webhook_create_webhook);
PG_FUNCTION_INFO_V1(webhook_update_webhook);
PG_FUNCTION_INFO_V1(webhook_get_webhooks);
PG_FUNCTION_INFO_V1(webhook_delete_webhook_by_id);
PG_FUNCTION_INFO_V1(webhook_get_webhook_log);

/* A client certificate requires its key, and vice versa. */
static void
webhook_api_check_client_pair(bool has_cert, bool has_key)
{
	if (has_cert != has_key)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("arguments \"client_cert\" and \"client_key\" must be specified together"),
				 errhint("Specify both in PEM format, or none.")));
}

/* The former values need a place in the body; arguments are texts, and null as in the table. */
static void
webhook_api_check_previous(Datum previous, bool previous_null, Datum format, Datum method)
{
	if (previous_null)
		return;
	if (!format_has_previous(format_find(TextDatumGetCString(format))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("format \"%s\" has no place for former values", TextDatumGetCString(format)),
				 errhint("Use format \"entity\", \"standard\" or \"cloudevents\", or set \"previous\" to NULL.")));
	if (strcmp(TextDatumGetCString(method), "GET") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("requests with method GET have no place for former values"),
				 errhint("Use another method, or set \"previous\" to NULL.")));
}

/* Can several messages share a request of this webhook?  has_size and has_wait: batch_size and batch_wait are set. */
static void
webhook_api_check_batches(bool has_size, bool has_wait, Datum format, Datum method, Datum url)
{
	const char *problem = NULL;

	if (has_wait && !has_size)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"batch_wait\" requires \"batch_size\""),
				 errhint("Specify how many messages may share a request, or set \"batch_wait\" to NULL.")));
	if (!has_size)
		return;
	if (!format_has_batches(format_find(TextDatumGetCString(format))))
		problem = psprintf("format \"%s\" does not support batches", TextDatumGetCString(format));
	else if (strcmp(TextDatumGetCString(method), "GET") == 0)
		problem = "requests with method GET do not support batches";
	else if (strchr(TextDatumGetCString(url), '{') != NULL)
		problem = "a batch cannot be sent to a URL that contains values of one message";
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", problem),
				 errhint("Use format \"entity\", \"standard\", \"cloudevents\" or \"thin\" with another method than GET"
						 " and a URL without placeholders, or set \"batch_size\" to NULL.")));
}

static char *
webhook_api_text(Datum value, bool isnull)
{
	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * create_webhook(app, event, url, ...) returns bigint
 */
Datum
webhook_create_webhook(PG_FUNCTION_ARGS)
{
	Oid			types[FIELD_COUNT + 1];
	Datum		values[FIELD_COUNT + 1];
	bool		nulls[FIELD_COUNT + 1];
	char	   *signature;
	StringInfoData sql;
	RunAs		state;
	int64		id;

	version_require();

	initStringInfo(&sql);
	appendStringInfoString(&sql, "INSERT INTO webhook.webhook (");
	for (int i = 0; i < FIELD_COUNT; i++)
	{
		Datum		argument = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		FieldValue	value;

		if (i == FIELD_TRANSFORM && !PG_ARGISNULL(i))
			argument = CStringGetTextDatum(function_argument(fcinfo, i));
		value = field_check(i, argument, PG_ARGISNULL(i));
		types[i] = field_column_type(i);
		values[i] = value.value;
		nulls[i] = value.isnull;
		appendStringInfo(&sql, "%s, ", field_name(i));
	}
	webhook_api_check_client_pair(!nulls[FIELD_CLIENT_CERT], !nulls[FIELD_CLIENT_KEY]);
	webhook_api_check_previous(values[FIELD_PREVIOUS], nulls[FIELD_PREVIOUS], values[FIELD_FORMAT], values[FIELD_METHOD]);
	webhook_api_check_batches(!nulls[FIELD_BATCH_SIZE], !nulls[FIELD_BATCH_WAIT], values[FIELD_FORMAT],
							  values[FIELD_METHOD], values[FIELD_URL]);
	signature = webhook_api_text(values[FIELD_SIGNATURE], nulls[FIELD_SIGNATURE]);
	values[FIELD_SECRET] = secret_for_signature(values[FIELD_SECRET], signature);
	secret_require_signature(TextDatumGetCString(values[FIELD_SECRET]), signature, DatumGetJsonbP(values[FIELD_HEADERS]));
	oauth_require_no_authorization(nulls[FIELD_OAUTH], signature, DatumGetJsonbP(values[FIELD_HEADERS]));

	types[FIELD_COUNT] = REGROLEOID;
	values[FIELD_COUNT] = ObjectIdGetDatum(GetUserId());
	nulls[FIELD_COUNT] = false;
	appendStringInfoString(&sql, "owner, deactivated_at, deactivation_reason) VALUES (");
	for (int i = 0; i <= FIELD_COUNT; i++)
		appendStringInfo(&sql, "$%d, ", i + 1);
	appendStringInfo(&sql,
					 "CASE WHEN NOT $%1$d THEN pg_catalog.now() END, CASE WHEN NOT $%1$d THEN 'manual' END)"
					 " RETURNING id", FIELD_ACTIVE + 1);

	as_owner_begin(&state);
	if (!nulls[FIELD_INTEGRATION])
		manage_require_integration(&state, TextDatumGetCString(values[FIELD_INTEGRATION]));
	as_owner_execute(sql.data, SPI_OK_INSERT_RETURNING, FIELD_COUNT + 1, types, values, nulls);
	id = DatumGetInt64(as_owner_result(1));
	withheld_check_webhook(id);
	name_hints_names(id);
	as_owner_end(&state);
	PG_RETURN_INT64(id);
}

/* The columns that update_webhook() changes. */
typedef struct Changes
{
	FieldValue	values[FIELD_COUNT];
	bool		changed[FIELD_COUNT];
	char	   *owner;			/* NULL: unchanged */
} Changes;

static void
webhook_api_refuse_unknown_key(const char *key, int len)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < FIELD_COUNT; i++)
		appendStringInfo(&names, "%s%s", i == 0 ? "" : ", ", field_name(i));
	appendStringInfoString(&names, ", " OWNER_KEY);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown key \"%s\" in argument \"changes\"", argument_excerpt(key, len)),
			 errhint("Allowed keys are %s.", names.data)));
}

static void
webhook_api_read_changes(Jsonb *json, Changes *changes)
{
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	int			field = -1;

	memset(changes, 0, sizeof(*changes));
	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", "changes"),
				 errdetail("The value is not a JSON object."),
				 errhint("Specify an object such as {\"url\": \"https://example.com/hook\", \"timeout\": null}.")));

	it = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			field = field_find(v.val.string.val, v.val.string.len);
			if (field < 0 && v.val.string.len == strlen(OWNER_KEY) &&
				memcmp(v.val.string.val, OWNER_KEY, v.val.string.len) == 0)
				continue;
			if (field < 0)
				webhook_api_refuse_unknown_key(v.val.string.val, v.val.string.len);
		}
		else if (token == WJB_VALUE && field < 0)
			changes->owner = manage_owner_from_json(&v);
		else if (token == WJB_VALUE)
		{
			changes->values[field] = field_check_json(field, &v);
			changes->changed[field] = true;
		}
	}
}

/* Store the changed columns, except "active". */
static void
webhook_api_store_changes(int64 id, const Changes *changes)
{
	Oid			types[FIELD_COUNT + 1] = {INT8OID};
	Datum		values[FIELD_COUNT + 1] = {Int64GetDatum(id)};
	bool		nulls[FIELD_COUNT + 1] = {false};
	int			n = 1;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "UPDATE webhook.webhook SET ");
	for (int i = 0; i < FIELD_COUNT; i++)
	{
		if (!changes->changed[i] || i == FIELD_ACTIVE)
			continue;
		types[n] = field_column_type(i);
		values[n] = changes->values[i].value;
		nulls[n] = changes->values[i].isnull;
		appendStringInfo(&sql, "%s = $%d, ", field_name(i), ++n);
	}
	if (changes->changed[FIELD_OAUTH])
		oauth_forget_replaced(id, changes->values[FIELD_OAUTH].value, changes->values[FIELD_OAUTH].isnull);
	if (changes->changed[FIELD_SECRET] || changes->changed[FIELD_SIGNATURE])
		appendStringInfoString(&sql, "previous_secret = NULL, previous_secret_until = NULL, ");
	appendStringInfoString(&sql,
						   "updated_at = pg_catalog.now() WHERE id = $1"
						   " RETURNING client_cert IS NOT NULL, client_key IS NOT NULL, previous IS NULL, previous, format, method,"
						   " batch_size IS NOT NULL, batch_wait IS NOT NULL, url, secret, COALESCE(signature, 'standard'), headers,"
						   " oauth IS NULL");
	as_owner_execute(sql.data, SPI_OK_UPDATE_RETURNING, n, types, values, nulls);
	webhook_api_check_client_pair(DatumGetBool(as_owner_result(1)), DatumGetBool(as_owner_result(2)));
	webhook_api_check_previous(as_owner_result(4), DatumGetBool(as_owner_result(3)), as_owner_result(5),
							   as_owner_result(6));
	webhook_api_check_batches(DatumGetBool(as_owner_result(7)), DatumGetBool(as_owner_result(8)), as_owner_result(5),
							  as_owner_result(6), as_owner_result(9));
	secret_require_signature(TextDatumGetCString(as_owner_result(10)), TextDatumGetCString(as_owner_result(11)),
							 DatumGetJsonbP(as_owner_result(12)));
	oauth_require_no_authorization(DatumGetBool(as_owner_result(13)), TextDatumGetCString(as_owner_result(11)),
								   DatumGetJsonbP(as_owner_result(12)));
}

/* What a new secret may be depends on the signatures, which may change as well. */
static void
webhook_api_fit_secret(int64 id, Changes *changes)
{
	FieldValue *secret = &changes->values[FIELD_SECRET];
	FieldValue	signature = changes->values[FIELD_SIGNATURE];

	if (!changes->changed[FIELD_SECRET])
		return;
	if (!changes->changed[FIELD_SIGNATURE])
	{
		as_owner_execute_for_id("SELECT COALESCE(signature, 'standard') FROM webhook.webhook WHERE id = $1", SPI_OK_SELECT, id);
		signature.value = as_owner_result(1);
		signature.isnull = false;
	}
	secret->value = secret_for_signature(secret->value, webhook_api_text(signature.value, signature.isnull));
}

/* The webhook may have been repaired: retry deliveries soon. */
static void
webhook_api_retry_soon(int64 id)
{
	Oid			types[] = {INT8OID, TIMESTAMPTZOID};
	Datum		values[] = {Int64GetDatum(id), TimestampTzGetDatum(clock_now())};

	as_owner_execute("UPDATE webhook.delivery SET next_attempt_at = $2"
					 " WHERE webhook_id = $1 AND state = 'retrying' AND next_attempt_at > $2",
					 SPI_OK_UPDATE, 2, types, values, NULL);
}

/*
 * update_webhook(id, changes) returns void
 */
Datum
webhook_update_webhook(PG_FUNCTION_ARGS)
{
	int64		id;
	Changes		changes;
	bool		was_active;
	RunAs		state;

	version_require();
	id = DatumGetInt64(argument_required(fcinfo, 0, "id"));
	webhook_api_read_changes(DatumGetJsonbP(argument_required(fcinfo, 1, "changes")), &changes);

	as_owner_begin(&state);
	was_active = manage_lock_webhook(&state, id);
	if (changes.changed[FIELD_INTEGRATION] && !changes.values[FIELD_INTEGRATION].isnull)
		manage_require_integration(&state, TextDatumGetCString(changes.values[FIELD_INTEGRATION].value));
	webhook_api_fit_secret(id, &changes);
	webhook_api_store_changes(id, &changes);
	if (changes.owner != NULL)
		manage_change_owner(&state, id, changes.owner);
	webhook_api_retry_soon(id);
	if (changes.changed[FIELD_EVENT] || changes.owner != NULL)
		withheld_check_webhook(id);
	if (changes.changed[FIELD_EVENT] || changes.changed[FIELD_COLUMNS])
		name_hints_names(id);
	if (changes.changed[FIELD_ACTIVE])
	{
		bool		active = DatumGetBool(changes.values[FIELD_ACTIVE].value);

		if (active && !was_active)
			activation_activate(id, was_active, false);
		else if (!active && was_active)
			activation_deactivate(id, false);
	}
	as_owner_end(&state);
	PG_RETURN_VOID();
}

/*
 * delete_webhook_by_id(id) returns boolean
 */
Datum
webhook_delete_webhook_by_id(PG_FUNCTION_ARGS)
{
	int64		id;
	RunAs		state;

	version_require();
	id = DatumGetInt64(argument_required(fcinfo, 0, "id"));

	as_owner_begin(&state);
	manage_lock_webhook(&state, id);
	manage_delete_webhook(id);
	as_owner_end(&state);
	PG_RETURN_BOOL(true);
}

/*
 * get_webhooks(app, event) returns setof record
 */
Datum
webhook_get_webhooks(PG_FUNCTION_ARGS)
{
	static const char *const sql =
		"SELECT w.id, w.app, w.event, w.name, w.url, w.method,"
		" COALESCE((SELECT jsonb_object_agg(h.key, '***') FROM jsonb_each(w.headers) h), '{}'),"
		" w.format, w.event_uids, w.integration, w.active, w.deactivated_at, w.deactivation_reason,"
		" s.failing_since, s.pending, s.buffered,"
		" w.created_at, w.updated_at, w.owner, w.columns, w.filter, w.transform, w.ordering,"
		" w.retry_schedule, w.timeout, w.rate_limit, w.max_in_flight, w.client_cert, w.ca_cert,"
		" w.handshake, w.previous, w.condition::text, w.batch_size, w.batch_wait,"
		" (SELECT jsonb_object_agg(o.key, CASE WHEN o.key IN ('client_secret', 'refresh_token') THEN '\"***\"' ELSE o.value END)"
		"  FROM jsonb_each(w.oauth) AS o),"
		" COALESCE(w.signature, 'standard'), w.no_retry, w.challenge, w.template"
		" FROM webhook.webhook w JOIN webhook.stat_webhooks s ON s.webhook_id = w.id"
		" WHERE ($1 IS NULL OR w.app = $1)"
	/* as catalog_event_matches() */
		" AND ($2 IS NULL OR NOT EXISTS (SELECT FROM unnest(string_to_array(replace($2, ' ', ''), ',')) AS n (name)"
		"  WHERE NOT EXISTS (SELECT FROM unnest(w.events) AS p (pattern) WHERE p.pattern = n.name"
		"   OR (p.pattern = '*' AND n.name NOT LIKE 'webhook.%')"
		"   OR (p.pattern LIKE '_%.*' AND starts_with(n.name, left(p.pattern, -1))))))"
		" AND pg_has_role($3, w.owner::oid, 'USAGE')"
		" ORDER BY w.id";
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	bool		nulls[] = {PG_ARGISNULL(0), PG_ARGISNULL(1)};

	version_require();
	return as_owner_return_query(fcinfo, sql, 2, types, values, nulls);
}

/*
 * get_webhook_log(id) returns setof record
 */
Datum
webhook_get_webhook_log(PG_FUNCTION_ARGS)
{
	static const char *const sql =
		"SELECT l.attempted_at, l.message_id::text, l.event, l.attempt, l.method, l.url, l.request_headers,"
		" l.request_body, l.status, l.response_headers, l.response_body, l.duration, l.error, l.outcome,"
		" l.messages, l.remote_address, l.http_version, l.dns_time, l.connect_time, l.tls_time, l.first_byte_time"
		" FROM webhook.last_attempts l JOIN webhook.webhook w ON w.id = l.webhook_id"
		" WHERE l.webhook_id = $1 AND pg_has_role($2, w.owner::oid, 'USAGE')"
		" ORDER BY l.attempted_at DESC, l.seq DESC";
	Oid			types[] = {INT8OID};
	Datum		values[1];
	bool		nulls[] = {false};

	version_require();
	values[0] = argument_required(fcinfo, 0, "id");
	return as_owner_return_query(fcinfo, sql, 1, types, values, nulls);
}
