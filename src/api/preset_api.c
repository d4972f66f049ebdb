/*-------------------------------------------------------------------------
 *
 * preset_api.c
 *		Webhooks for well-known services.
 *
 * What the services expect is described in 81_presets.sql.  A webhook is created by
 * the functions that the caller could call as well, with the caller's privileges.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "base/argument.h"
#include "base/as_owner.h"
#include "server/version.h"

PG_FUNCTION_INFO_V1(webhook_get_presets);
PG_FUNCTION_INFO_V1(webhook_create_webhook_from_preset);


/*
 * get_presets() returns setof record
 */
Datum
webhook_get_presets(PG_FUNCTION_ARGS)
{
	version_require();
	return as_owner_return_query(fcinfo, "SELECT preset, title, webhook.preset_schema(parameters, example), documentation"
								 " FROM webhook.preset ORDER BY preset COLLATE \"C\"", 0, NULL, NULL, NULL);
}

/* The URL, and the other properties in *changes, that a preset makes of these parameters; palloc'd. */
static char *
preset_api_properties(Datum preset, Datum event, Datum parameters, char **changes)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {TEXTOID, TEXTOID, JSONBOID};
	Datum		values[] = {preset, event, parameters};
	char	   *url;
	RunAs		state;

	as_owner_begin(&state);
	as_owner_execute("SELECT problem, detail, hint, url, changes::text FROM webhook.preset_webhook($1, $2, $3)",
					 SPI_OK_SELECT, 3, types, values, NULL);
	if (as_owner_result(1) != (Datum) 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s", TextDatumGetCString(as_owner_result(1))),
				 errdetail("%s", TextDatumGetCString(as_owner_result(2))),
				 errhint("%s", TextDatumGetCString(as_owner_result(3)))));
	url = MemoryContextStrdup(context, TextDatumGetCString(as_owner_result(4)));
	*changes = MemoryContextStrdup(context, TextDatumGetCString(as_owner_result(5)));
	as_owner_end(&state);
	return url;
}

/*
 * create_webhook_from_preset(preset, app, event, parameters, integration) returns bigint
 */
Datum
webhook_create_webhook_from_preset(PG_FUNCTION_ARGS)
{
	static const char *const sql =
		"SELECT c.id, webhook.update_webhook(c.id, $4::pg_catalog.jsonb)"
		" FROM (SELECT webhook.create_webhook($1, $2, $3, integration => $5) AS id OFFSET 0) AS c";
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[5];
	char		nulls[] = "    n";
	char	   *url;
	char	   *changes;
	bool		isnull;
	int64		id;

	version_require();
	values[0] = argument_required(fcinfo, 1, "app");
	values[1] = argument_required(fcinfo, 2, "event");
	url = preset_api_properties(argument_required(fcinfo, 0, "preset"), values[1],
								argument_required(fcinfo, 3, "parameters"), &changes);
	values[2] = CStringGetTextDatum(url);
	values[3] = CStringGetTextDatum(changes);
	values[4] = PG_GETARG_DATUM(4);
	if (!PG_ARGISNULL(4))
		nulls[4] = ' ';

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, 5, types, values, nulls, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not create a webhook");
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	PG_RETURN_INT64(id);
}
