/*-------------------------------------------------------------------------
 *
 * redeliver_api.c
 *		Functions that deliver messages again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/fields.h"
#include "api/manage.h"
#include "base/argument.h"
#include "base/as_owner.h"
#include "base/clock.h"
#include "server/version.h"
#include "server/wakeup.h"

PG_FUNCTION_INFO_V1(webhook_redeliver);
PG_FUNCTION_INFO_V1(webhook_redeliver_failed);

/* Is it the text form of a message id? */
static bool
redeliver_api_is_message_id(const char *text)
{
	const char *form = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (; *form; form++, text++)
		if (*form == 'x' ? !isxdigit((unsigned char) *text) : *text != *form)
			return false;
	return *text == '\0';
}

static void
redeliver_api_refuse_inactive(int64 id)
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
		redeliver_api_refuse_inactive(DatumGetInt64(values[0]));
	if (!redeliver_api_is_message_id(TextDatumGetCString(values[1])))
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
redeliver_api_check_since(FunctionCallInfo fcinfo, int n)
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
	redeliver_api_check_since(fcinfo, 1);
	if (!PG_ARGISNULL(2))
		values[2] = field_check(FIELD_EVENT, values[2], false).value;

	as_owner_begin(&state);
	if (!manage_lock_webhook(&state, DatumGetInt64(values[0])))
		redeliver_api_refuse_inactive(DatumGetInt64(values[0]));
	result = (int64) as_owner_execute(sql, SPI_OK_UPDATE, 3, types, values, nulls);
	wakeup_reload_at_commit();
	as_owner_end(&state);
	PG_RETURN_INT64(result);
}
