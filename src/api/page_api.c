/*-------------------------------------------------------------------------
 *
 * page_api.c
 *		The HTML pages: status_page(), reactivation_page().
 *
 * They are put together in SQL (sql/install), as the extension's owner,
 * with the caller's role as an argument, which decides what is shown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/as_owner.h"
#include "server/version.h"

PG_FUNCTION_INFO_V1(webhook_status_page);
PG_FUNCTION_INFO_V1(webhook_reactivation_page);


/* The text that a query returns in its only row, as a result in the caller's memory. */
static Datum
page_api_text(FunctionCallInfo fcinfo, const char *sql, int nargs, Oid *types, Datum *values, const bool *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	RunAs		state;
	Datum		result;

	version_require();
	as_owner_begin(&state);
	if (as_owner_execute(sql, SPI_OK_SELECT, nargs, types, values, nulls) != 1)
		elog(ERROR, "unexpected number of rows");
	result = as_owner_result(1);
	if (result == (Datum) 0)
		fcinfo->isnull = true;
	else
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		result = PointerGetDatum(DatumGetTextPCopy(result));
		MemoryContextSwitchTo(old);
	}
	as_owner_end(&state);
	return result;
}

/*
 * status_page(webhook_id bigint) returns text
 */
Datum
webhook_status_page(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID, OIDOID};
	Datum		values[] = {PG_GETARG_DATUM(0), ObjectIdGetDatum(GetUserId())};
	bool		nulls[] = {PG_ARGISNULL(0), false};

	return page_api_text(fcinfo, "SELECT webhook.page_for($1, $2)", 2, types, values, nulls);
}

/*
 * reactivation_page(token text) returns text
 */
Datum
webhook_reactivation_page(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {PG_GETARG_DATUM(0)};
	bool		nulls[] = {PG_ARGISNULL(0)};

	return page_api_text(fcinfo, "SELECT webhook.page_for_token($1)", 1, types, values, nulls);
}
