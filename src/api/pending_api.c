/*-------------------------------------------------------------------------
 *
 * pending_api.c
 *		Functions that count what is pending.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/as_owner.h"
#include "server/version.h"

PG_FUNCTION_INFO_V1(webhook_pending);
PG_FUNCTION_INFO_V1(webhook_pending_estimate);
PG_FUNCTION_INFO_V1(webhook_oldest_pending_age);

/*
 * Execute a query for a number, or a time, about what is pending.  As for get_webhook_log(), a webhook of
 * another role does not exist and has nothing pending, except for roles that can
 * read it in stat_webhooks.
 */
static int64
pending_api_query_pending(FunctionCallInfo fcinfo, const char *sql, bool *isnull)
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

	PG_RETURN_INT64(pending_api_query_pending(fcinfo, "SELECT webhook.pending_for($1, $2)", &isnull));
}

/*
 * pending_estimate(webhook_id) returns bigint
 */
Datum
webhook_pending_estimate(PG_FUNCTION_ARGS)
{
	bool		isnull;

	PG_RETURN_INT64(pending_api_query_pending(fcinfo, "SELECT pending FROM webhook.estimate_for($1, $2)", &isnull));
}

/*
 * oldest_pending_age(webhook_id) returns interval
 */
Datum
webhook_oldest_pending_age(PG_FUNCTION_ARGS)
{
	bool		isnull;
	TimestampTz oldest = pending_api_query_pending(fcinfo, "SELECT oldest FROM webhook.estimate_for($1, $2)", &isnull);

	if (isnull)
		PG_RETURN_NULL();
	return DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(GetCurrentTimestamp()), TimestampTzGetDatum(oldest));
}
