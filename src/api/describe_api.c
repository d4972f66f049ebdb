/*-------------------------------------------------------------------------
 *
 * describe_api.c
 *		Functions that describe what webhooks are sent.
 *
 * The descriptions are made by SQL in 75_catalogue.sql, from the catalogs and our
 * tables.  They contain what the webhook's owner may select, or, without a webhook,
 * the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "api/manage.h"
#include "base/argument.h"
#include "server/version.h"

PG_FUNCTION_INFO_V1(webhook_describe_event);
PG_FUNCTION_INFO_V1(webhook_openapi);


/* Copy the jsonb that the last statement returned to memory that outlives SPI's. */
static Jsonb *
describe_api_result(void)
{
	Jsonb	   *document = DatumGetJsonbP(as_owner_result(1));
	Jsonb	   *copy = SPI_palloc(VARSIZE(document));

	memcpy(copy, document, VARSIZE(document));
	return copy;
}

/*
 * describe_event(event, webhook_id) returns jsonb
 */
Datum
webhook_describe_event(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, INT8OID, OIDOID};
	Datum		values[3] = {0};
	bool		nulls[] = {false, true, false};
	Jsonb	   *document;
	RunAs		state;

	version_require();
	values[0] = CStringGetTextDatum(argument_label(fcinfo, 0, "event"));

	as_owner_begin(&state);
	if (!PG_ARGISNULL(1))
	{
		values[1] = PG_GETARG_DATUM(1);
		nulls[1] = false;
		(void) manage_find_webhook(&state, PG_GETARG_INT64(1));
	}
	values[2] = ObjectIdGetDatum(state.caller);
	as_owner_execute("SELECT webhook.event_schema($1, $2, $3)", SPI_OK_SELECT, 3, types, values, nulls);
	document = describe_api_result();
	as_owner_end(&state);
	PG_RETURN_JSONB_P(document);
}

/*
 * openapi(app) returns jsonb
 */
Datum
webhook_openapi(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, OIDOID};
	Datum		values[2] = {0};
	bool		nulls[] = {true, false};
	Jsonb	   *document;
	RunAs		state;

	version_require();
	if (!PG_ARGISNULL(0))
	{
		values[0] = CStringGetTextDatum(argument_label(fcinfo, 0, "app"));
		nulls[0] = false;
	}

	as_owner_begin(&state);
	values[1] = ObjectIdGetDatum(state.caller);
	as_owner_execute("SELECT webhook.openapi_document($1, $2)", SPI_OK_SELECT, 2, types, values, nulls);
	document = describe_api_result();
	as_owner_end(&state);
	PG_RETURN_JSONB_P(document);
}
