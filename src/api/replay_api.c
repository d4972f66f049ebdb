/*-------------------------------------------------------------------------
 *
 * replay_api.c
 *		replay(): what the history contains is sent to a webhook again.
 *
 * It is checked and counted here, and carried out by the worker (send/replay.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/backfill_api.h"
#include "api/fields.h"
#include "api/manage.h"
#include "base/argument.h"
#include "base/as_owner.h"
#include "base/clock.h"
#include "base/settings.h"
#include "capture/backfill_job.h"
#include "server/version.h"
#include "server/wakeup.h"

/* The arguments of replay(), and what has been found. */
enum
{
	REPLAY_WEBHOOK,
	REPLAY_SINCE,
	REPLAY_UNTIL,
	REPLAY_EVENT,
	REPLAY_ENTITY,
	REPLAY_ARGUMENTS
};

PG_FUNCTION_INFO_V1(webhook_replay);


static void
replay_api_check_range(FunctionCallInfo fcinfo)
{
	TimestampTz since = DatumGetTimestampTz(argument_required(fcinfo, REPLAY_SINCE, "since"));

	if (since > Max(GetCurrentTimestamp(), clock_now()))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\": it is in the future", "since"),
				 errhint("Specify a time in the past.")));
	if (!PG_ARGISNULL(REPLAY_UNTIL) && PG_GETARG_TIMESTAMPTZ(REPLAY_UNTIL) <= since)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\": it is not after \"since\"", "until"),
				 errhint("Specify a time after \"since\", or NULL for all messages up to now.")));
}

static void
replay_api_require_history(void)
{
	if (webhook_history_retention == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no history is kept"),
				 errhint("Set webhook.history_retention. Messages can be replayed that are captured from then on.")));
}

/* Count the messages; sets the ids of the first and the last one. */
static int64
replay_api_count(const Oid *types, Datum *values, const bool *nulls, int64 *first, int64 *last)
{
	int64		result;

	as_owner_execute("SELECT messages, first_id, last_id FROM webhook.replay_count($1, $2, $3, $4, $5)", SPI_OK_SELECT,
					 REPLAY_ARGUMENTS, unconstify(Oid *, types), values, nulls);
	result = DatumGetInt64(as_owner_result(1));
	*first = DatumGetInt64(as_owner_result(2));
	*last = DatumGetInt64(as_owner_result(3));
	return result;
}

/*
 * replay(webhook_id, since, until, event, entity_id) returns bigint: how many messages
 */
Datum
webhook_replay(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID,
	OIDOID, TEXTOID, INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID};
	Datum		values[lengthof(types)];
	bool		nulls[lengthof(types)] = {false};
	int64		id;
	int64		messages;
	int64		first;
	int64		last;
	RunAs		state;

	version_require();
	PreventCommandIfReadOnly("webhook.replay()");
	id = DatumGetInt64(argument_required(fcinfo, REPLAY_WEBHOOK, "webhook_id"));
	for (int i = 0; i < REPLAY_ARGUMENTS; i++)
	{
		nulls[i] = PG_ARGISNULL(i);
		values[i] = PG_GETARG_DATUM(i);
	}
	replay_api_check_range(fcinfo);
	if (!nulls[REPLAY_EVENT])
		values[REPLAY_EVENT] = field_check(FIELD_EVENT, values[REPLAY_EVENT], false).value;

	/* To count takes long, so the webhook is locked afterwards. */
	as_owner_begin(&state);
	(void) manage_find_webhook(&state, id);
	manage_require_owner(id);
	replay_api_require_history();
	messages = replay_api_count(types, values, nulls, &first, &last);
	if (messages > 0)
	{
		(void) manage_lock_webhook(&state, id);
		manage_require_owner(id);
		values[5] = ObjectIdGetDatum(state.caller);
		values[6] = CStringGetTextDatum(BACKFILL_INITIALIZING);
		values[7] = Int64GetDatum(messages);
		values[8] = TimestampTzGetDatum(clock_now());
		values[9] = Int64GetDatum(first - 1);
		values[10] = Int64GetDatum(last);

		/* Without an end it includes what is committed until it begins. */
		nulls[10] = nulls[REPLAY_UNTIL];
		backfill_api_require_room(id);
		as_owner_execute("INSERT INTO webhook.backfill (webhook_id, since, until, event, entity_id, role, search_path, phase,"
						 " rows_estimated, started_at, replayed_to, last_id)"
						 " VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8, $9, $10, $11)", SPI_OK_INSERT,
						 lengthof(types), types, values, nulls);
		wakeup_reload_at_commit();
	}
	as_owner_end(&state);
	PG_RETURN_INT64(messages);
}
