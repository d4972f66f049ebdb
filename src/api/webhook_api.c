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
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "api/check.h"
#include "api/fields.h"
#include "api/manage.h"
#include "api/name_hints.h"
#include "api/secret.h"
#include "base/argument.h"
#include "base/clock.h"
#include "base/function.h"
#include "log/xid_set.h"
#include "send/format.h"
#include "send/withheld.h"
#include "server/version.h"
#include "server/wakeup.h"

PG_FUNCTION_INFO_V1(webhook_create_webhook);
PG_FUNCTION_INFO_V1(webhook_update_webhook);
PG_FUNCTION_INFO_V1(webhook_get_webhooks);
PG_FUNCTION_INFO_V1(webhook_activate_webhook);
PG_FUNCTION_INFO_V1(webhook_deactivate_webhook);
PG_FUNCTION_INFO_V1(webhook_reactivate);
PG_FUNCTION_INFO_V1(webhook_redeliver);
PG_FUNCTION_INFO_V1(webhook_redeliver_failed);
PG_FUNCTION_INFO_V1(webhook_delete_webhook_by_id);
PG_FUNCTION_INFO_V1(webhook_get_webhook_log);
PG_FUNCTION_INFO_V1(webhook_pending);
PG_FUNCTION_INFO_V1(webhook_pending_estimate);
PG_FUNCTION_INFO_V1(webhook_oldest_pending_age);

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
	if (!format_has_previous(format_format(TextDatumGetCString(format))))
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
	if (!format_has_batches(format_format(TextDatumGetCString(format))))
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

/* Let buffered messages be sent, with the full retry schedule; returns their number. */
static int64
webhook_api_replay_buffer(int64 id)
{
	as_owner_execute_for_id("UPDATE webhook.delivery SET state = 'waiting', attempts = 0, next_attempt_at = NULL"
							" WHERE webhook_id = $1 AND state IN ('waiting', 'retrying') AND (attempts > 0 OR state = 'retrying')",
							SPI_OK_UPDATE, id);
	as_owner_execute_for_id("SELECT webhook.buffered($1)", SPI_OK_SELECT, id);
	return DatumGetInt64(as_owner_result(1));
}

/*
 * Append a row of counters and state: with messages that were dropped, and perhaps as
 * one that is not failing.  In a REPEATABLE READ transaction, too, it must follow on
 * the newest row that the worker has added, and the webhook's lock is held.
 */
static void
webhook_api_add_health(int64 id, int64 dropped, bool well)
{
	static const char *const sql =
		"INSERT INTO webhook.health (webhook_id, seq, delivered, failed, attempts, dropped, expired, last_success_at,"
		" last_failure_at, last_error, agreed_at, allowed_rate, recorded_at, outcomes, durations, latencies, duration_us, latency_us,"
		" failures, failing_since, probes, next_probe_at, warned)"
		" SELECT w.id, COALESCE(h.seq, 0) + 1, COALESCE(h.delivered, 0), COALESCE(h.failed, 0), COALESCE(h.attempts, 0),"
		"  COALESCE(h.dropped, 0) + $2, COALESCE(h.expired, 0), h.last_success_at, h.last_failure_at, h.last_error,"
		"  h.agreed_at, h.allowed_rate, h.recorded_at, h.outcomes, h.durations, h.latencies, COALESCE(h.duration_us, 0),"
		"  COALESCE(h.latency_us, 0), COALESCE(s.failures, 0), s.failing_since, COALESCE(s.probes, 0), s.next_probe_at,"
		"  COALESCE(s.warned, 0)"
		" FROM webhook.webhook AS w LEFT JOIN webhook.current_health AS h ON h.webhook_id = w.id"
		" LEFT JOIN webhook.current_health AS s ON s.webhook_id = w.id AND NOT $3"
		" WHERE w.id = $1 AND (h.seq IS NOT NULL OR $2 > 0)";
	Oid			types[] = {INT8OID, INT8OID, BOOLOID};
	Datum		values[] = {Int64GetDatum(id), Int64GetDatum(dropped), BoolGetDatum(well)};

	as_owner_execute_snapshot(sql, SPI_OK_INSERT, 3, types, values, GetLatestSnapshot());
}

/* Delete the messages that were not delivered and have not failed permanently; returns their number. */
static int64
webhook_api_drop_buffer(int64 id)
{
	return (int64) as_owner_execute_for_id("DELETE FROM webhook.delivery WHERE webhook_id = $1 AND state IN ('waiting', 'retrying')",
										   SPI_OK_DELETE, id);
}

/*
 * The same for messages that the worker has not read yet: those of transactions that
 * have ended by now.  What others, or this transaction, append later is sent.
 */
static void
webhook_api_discard_unread(int64 id)
{
	Oid			types[] = {INT8OID, PG_SNAPSHOTOID};
	Datum		values[] = {Int64GetDatum(id), (Datum) 0};
	XidSet	   *ended;

	PushActiveSnapshot(GetTransactionSnapshot());
	ended = xid_set_now();
	PopActiveSnapshot();
	values[1] = xid_set_to_datum(ended);
	xid_set_release(ended);
	as_owner_execute("UPDATE webhook.webhook SET discarded = $2 WHERE id = $1",
					 SPI_OK_UPDATE, 2, types, values, NULL);
}

/*
 * Activate a webhook.  Buffered messages are sent or dropped.  Returns the number of
 * messages that will be sent.
 */
static int64
webhook_api_activate(int64 id, bool was_active, bool replay_events)
{
	bool		was_buffering;
	bool		replay;
	int64		dropped = 0;

	manage_require_owner(id);
	as_owner_execute_for_id("SELECT buffering FROM webhook.webhook WHERE id = $1", SPI_OK_SELECT, id);
	was_buffering = DatumGetBool(as_owner_result(1));
	as_owner_execute_for_id("UPDATE webhook.webhook SET active = true, buffering = false, deactivated_at = NULL,"
							" deactivation_reason = NULL, updated_at = pg_catalog.now(),"
							" activated_at = pg_catalog.clock_timestamp() WHERE id = $1",
							SPI_OK_UPDATE, id);
	as_owner_execute_for_id("UPDATE webhook.notification SET token = NULL WHERE webhook_id = $1 AND token IS NOT NULL",
							SPI_OK_UPDATE, id);
	replay = !was_active && replay_events && was_buffering;
	if (!was_active && !replay)
	{
		dropped = webhook_api_drop_buffer(id);
		webhook_api_discard_unread(id);
	}
	webhook_api_add_health(id, dropped, true);
	return replay ? webhook_api_replay_buffer(id) : 0;
}

/*
 * Deactivate a webhook.  For one that is inactive, only buffering can be changed; the
 * reason remains.
 */
static void
webhook_api_deactivate(int64 id, bool buffer_events)
{
	Oid			types[] = {INT8OID, BOOLOID, TIMESTAMPTZOID};
	Datum		values[] = {Int64GetDatum(id), BoolGetDatum(buffer_events), TimestampTzGetDatum(clock_now())};

	as_owner_execute("UPDATE webhook.webhook SET active = false, buffering = $2,"
					 " deactivated_at = COALESCE(deactivated_at, $3),"
					 " deactivation_reason = COALESCE(deactivation_reason, 'manual'),"
					 " updated_at = pg_catalog.now() WHERE id = $1",
					 SPI_OK_UPDATE, 3, types, values, NULL);
	if (!buffer_events)
	{
		int64		dropped = webhook_api_drop_buffer(id);

		if (dropped > 0)
			webhook_api_add_health(id, dropped, false);
	}
}

/*
 * activate_webhook(id, replay_events) returns bigint
 */
Datum
webhook_activate_webhook(PG_FUNCTION_ARGS)
{
	int64		id;
	bool		replay_events;
	bool		was_active;
	int64		replayed;
	RunAs		state;

	version_require();
	id = DatumGetInt64(argument_required(fcinfo, 0, "id"));
	replay_events = DatumGetBool(argument_required(fcinfo, 1, "replay_events"));

	as_owner_begin(&state);
	was_active = manage_lock_webhook(&state, id);
	replayed = webhook_api_activate(id, was_active, replay_events);
	as_owner_end(&state);
	PG_RETURN_INT64(replayed);
}

/*
 * deactivate_webhook(id, buffer_events) returns boolean: was it active?
 */
Datum
webhook_deactivate_webhook(PG_FUNCTION_ARGS)
{
	int64		id;
	bool		buffer_events;
	bool		was_active;
	RunAs		state;

	version_require();
	id = DatumGetInt64(argument_required(fcinfo, 0, "id"));
	buffer_events = DatumGetBool(argument_required(fcinfo, 1, "buffer_events"));

	as_owner_begin(&state);
	was_active = manage_lock_webhook(&state, id);
	webhook_api_deactivate(id, buffer_events);
	as_owner_end(&state);
	PG_RETURN_BOOL(was_active);
}

/* Look up the webhook of a token. */
static int64
webhook_api_find_token(Datum token)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {token};

	if (as_owner_execute("SELECT n.webhook_id FROM webhook.notification n JOIN webhook.webhook w ON w.id = n.webhook_id"
						 " WHERE n.token = $1 AND NOT w.active",
						 SPI_OK_SELECT, 1, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("invalid token"),
				 errhint("A token can be used once, and only until its webhook is activated in another way.")));
	return DatumGetInt64(as_owner_result(1));
}

/*
 * reactivate(token, replay_events) returns bigint
 *
 * Any role with the token can use it, once.  It is for a link in a notification.
 */
Datum
webhook_reactivate(PG_FUNCTION_ARGS)
{
	Datum		values[1];
	bool		replay_events;
	int64		id;
	int64		replayed;
	RunAs		state;

	version_require();
	values[0] = argument_required(fcinfo, 0, "token");
	replay_events = DatumGetBool(argument_required(fcinfo, 1, "replay_events"));

	as_owner_begin(&state);
	id = webhook_api_find_token(values[0]);
	manage_wait_for_webhook(id);
	/* Another session may have used it meanwhile. */
	id = webhook_api_find_token(values[0]);
	replayed = webhook_api_activate(id, false, replay_events);
	as_owner_end(&state);
	PG_RETURN_INT64(replayed);
}

/* Is it the text form of a message id? */
static bool
webhook_api_is_message_id(const char *text)
{
	const char *form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (; *form; form++, text++)
		if (*form == 'x' ? !isxdigit((unsigned char) *text) : *text != *form)
			return false;
	return *text == '\0';
}

static void
webhook_api_refuse_inactive(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("webhook " INT64_FORMAT " is not active", id),
			 errhint("Use webhook.activate_webhook() first.")));
}

/*
 * redeliver(webhook_id, message_id) returns boolean: false if it has not been
 * delivered yet
 *
 * A message can be delivered again while it is in the outbox, until its partition is
 * truncated, or in the delivery table.
 */
Datum
webhook_redeliver(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID, TEXTOID};
	Datum		values[2];
	bool		result = true;
	RunAs		state;

	version_require();
	values[0] = argument_required(fcinfo, 0, "webhook_id");
	values[1] = argument_required(fcinfo, 1, "message_id");

	as_owner_begin(&state);
	if (!manage_lock_webhook(&state, DatumGetInt64(values[0])))
		webhook_api_refuse_inactive(DatumGetInt64(values[0]));
	if (!webhook_api_is_message_id(TextDatumGetCString(values[1])))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", "message_id"),
				 errhint("Specify a UUID, as shown by webhook.get_webhook_log().")));

	if (as_owner_execute("UPDATE webhook.delivery SET state = 'waiting', attempts = 0, next_attempt_at = NULL,"
						 "  failed_at = NULL WHERE webhook_id = $1 AND message_id = $2::uuid AND state = 'failed'",
						 SPI_OK_UPDATE, 2, types, values, NULL) == 0)
	{
		if (as_owner_execute("SELECT FROM webhook.delivery WHERE webhook_id = $1 AND message_id = $2::uuid"
							 " UNION ALL SELECT FROM webhook.outbox_unread() AS o"
							 "  WHERE o.message_id = $2::uuid AND $1 = ANY (o.webhook_ids)",
							 SPI_OK_SELECT, 2, types, values, NULL) > 0)
			result = false;
		else if (as_owner_execute("SELECT WHERE webhook.outbox_to_delivery($1, $2::uuid)",
								  SPI_OK_SELECT, 2, types, values, NULL) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_NO_DATA_FOUND),
					 errmsg("webhook " INT64_FORMAT " has no message %s", DatumGetInt64(values[0]),
							TextDatumGetCString(values[1])),
					 errhint("Delivered messages are retained for a limited time. View webhook.undelivered shows the others.")));
	}
	wakeup_reload_at_commit();
	as_owner_end(&state);
	PG_RETURN_BOOL(result);
}

/* A time that is given as the beginning of a range; null is accepted. */
static void
webhook_api_check_since(FunctionCallInfo fcinfo, int n)
{
	if (!PG_ARGISNULL(n) && PG_GETARG_TIMESTAMPTZ(n) > Max(GetCurrentTimestamp(), clock_now()))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\": it is in the future", "since"),
				 errhint("Specify a time in the past, or NULL for all.")));
}

/*
 * redeliver_failed(webhook_id, since, event) returns bigint
 */
Datum
webhook_redeliver_failed(PG_FUNCTION_ARGS)
{
	static const char *const sql =
		"UPDATE webhook.delivery SET state = 'waiting', attempts = 0, next_attempt_at = NULL, failed_at = NULL"
		" WHERE webhook_id = $1 AND state = 'failed' AND failed_at >= COALESCE($2, '-infinity')"
		"  AND ($3 IS NULL OR EXISTS (SELECT FROM unnest(string_to_array($3, ',')) AS p (pattern)"
		"   WHERE event = p.pattern OR p.pattern = '*'"
		"    OR p.pattern LIKE '_%.*' AND starts_with(event, left(p.pattern, -1))))";
	Oid			types[] = {INT8OID, TIMESTAMPTZOID, TEXTOID};
	Datum		values[] = {0, PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	bool		nulls[] = {false, PG_ARGISNULL(1), PG_ARGISNULL(2)};
	RunAs		state;
	int64		result;

	version_require();
	values[0] = argument_required(fcinfo, 0, "webhook_id");
	webhook_api_check_since(fcinfo, 1);
	if (!PG_ARGISNULL(2))
		values[2] = field_check(FIELD_EVENT, values[2], false).value;

	as_owner_begin(&state);
	if (!manage_lock_webhook(&state, DatumGetInt64(values[0])))
		webhook_api_refuse_inactive(DatumGetInt64(values[0]));
	result = (int64) as_owner_execute(sql, SPI_OK_UPDATE, 3, types, values, nulls);
	wakeup_reload_at_commit();
	as_owner_end(&state);
	PG_RETURN_INT64(result);
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
			 errmsg("unknown key \"%.*s\" in argument \"changes\"", Min(len, NAMEDATALEN), key),
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
	if (changes->changed[FIELD_SECRET] || changes->changed[FIELD_SIGNATURE])
		appendStringInfoString(&sql, "previous_secret = NULL, previous_secret_until = NULL, ");
	appendStringInfoString(&sql,
						   "updated_at = pg_catalog.now() WHERE id = $1"
						   " RETURNING client_cert IS NOT NULL, client_key IS NOT NULL, previous IS NULL, previous, format, method,"
						   " batch_size IS NOT NULL, batch_wait IS NOT NULL, url, secret, COALESCE(signature, 'standard'), headers");
	as_owner_execute(sql.data, SPI_OK_UPDATE_RETURNING, n, types, values, nulls);
	webhook_api_check_client_pair(DatumGetBool(as_owner_result(1)), DatumGetBool(as_owner_result(2)));
	webhook_api_check_previous(as_owner_result(4), DatumGetBool(as_owner_result(3)), as_owner_result(5),
							   as_owner_result(6));
	webhook_api_check_batches(DatumGetBool(as_owner_result(7)), DatumGetBool(as_owner_result(8)), as_owner_result(5),
							  as_owner_result(6), as_owner_result(9));
	secret_require_signature(TextDatumGetCString(as_owner_result(10)), TextDatumGetCString(as_owner_result(11)),
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
			webhook_api_activate(id, was_active, false);
		else if (!active && was_active)
			webhook_api_deactivate(id, false);
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
		" COALESCE(w.signature, 'standard'), w.no_retry, w.challenge"
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

/*
 * Execute a query for a number, or a time, about what is pending.  As for get_webhook_log(), a webhook of
 * another role does not exist and has nothing pending, except for roles that can
 * read it in stat_webhooks.
 */
static int64
webhook_api_query_pending(FunctionCallInfo fcinfo, const char *sql, bool *isnull)
{
	Oid			types[] = {INT8OID, OIDOID};
	Datum		values[] = {PG_GETARG_DATUM(0), ObjectIdGetDatum(GetUserId())};
	bool		nulls[] = {PG_ARGISNULL(0), false};
	int64		result;
	RunAs		state;

	version_require();
	as_owner_begin(&state);
	as_owner_execute(sql, SPI_OK_SELECT, 2, types, values, nulls);
	result = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull));
	as_owner_end(&state);
	return result;
}

/*
 * pending(webhook_id) returns bigint
 */
Datum
webhook_pending(PG_FUNCTION_ARGS)
{
	bool		isnull;

	PG_RETURN_INT64(webhook_api_query_pending(fcinfo, "SELECT webhook.pending_for($1, $2)", &isnull));
}

/*
 * pending_estimate(webhook_id) returns bigint
 */
Datum
webhook_pending_estimate(PG_FUNCTION_ARGS)
{
	bool		isnull;

	PG_RETURN_INT64(webhook_api_query_pending(fcinfo, "SELECT pending FROM webhook.estimate_for($1, $2)", &isnull));
}

/*
 * oldest_pending_age(webhook_id) returns interval
 */
Datum
webhook_oldest_pending_age(PG_FUNCTION_ARGS)
{
	bool		isnull;
	TimestampTz oldest = webhook_api_query_pending(fcinfo, "SELECT oldest FROM webhook.estimate_for($1, $2)", &isnull);

	if (isnull)
		PG_RETURN_NULL();
	return DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(GetCurrentTimestamp()), TimestampTzGetDatum(oldest));
}
