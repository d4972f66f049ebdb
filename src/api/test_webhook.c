/*-------------------------------------------------------------------------
 *
 * test_webhook.c
 *		test_webhook(): one request with real data, now.
 *
 * A test is a normal message for one webhook, with a trigger name that ends in
 * ".test".  It is sent even to a webhook that is inactive or failing, without
 * retries, and does not affect the webhook's health.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "api/manage.h"
#include "base/argument.h"
#include "base/as_owner.h"
#include "capture/payment.h"
#include "log/outbox.h"
#include "server/version.h"
#include "watch/entity.h"

PG_FUNCTION_INFO_V1(webhook_test_webhook);

/* Read the trigger names of a webhook, allocated in the given context, its owner, and whether it has an integration. */
static char *
test_webhook_subscription(int64 id, Oid *owner, bool *integrated, MemoryContext context)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(id)};
	char	   *event;
	bool		isnull;

	as_owner_execute("SELECT event, owner, integration IS NOT NULL FROM webhook.webhook WHERE id = $1",
					 SPI_OK_SELECT, 1, types, values, NULL);
	*owner = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	*integrated = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	event = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	return MemoryContextStrdup(context, event);
}

/* The watched entity types, as "a,b". */
static char *
test_webhook_watched_types(MemoryContext context)
{
	char	   *types;

	as_owner_execute("SELECT string_agg(DISTINCT entity_type, ',') FROM webhook.watch", SPI_OK_SELECT,
					 0, NULL, NULL, NULL);
	types = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	return types ? MemoryContextStrdup(context, types) : pstrdup("");
}

/*
 * Find an entity among the types of a comma-separated list of trigger names or
 * types; "guest.create" stands for "guest".
 */
static bool
test_webhook_find_entity(char *list, const char *entity_id, ArrayType *only_paid, Oid owner, OutboxRow *row)
{
	char	   *state;

	for (char *type = strtok_r(list, ",", &state); type != NULL; type = strtok_r(NULL, ",", &state))
	{
		type[strcspn(type, ".")] = '\0';
		if (entity_type_watched(type) && entity_fetch(type, entity_id, only_paid, owner, row))
			return true;
	}
	return false;
}

/* Argument entity_type, which version 0.1.0 does not have; NULL means those that the webhook subscribes to. */
static char *
test_webhook_entity_type_argument(FunctionCallInfo fcinfo)
{
	char	   *entity_type;

	if (PG_NARGS() < 3 || PG_ARGISNULL(2))
		return NULL;
	entity_type = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (!entity_type_watched(entity_type))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", "entity_type"),
				 errdetail("No table is watched as \"%s\".", argument_excerpt(entity_type, strlen(entity_type))),
				 errhint("Specify an entity type that was used with webhook.watch().")));
	return entity_type;
}

/*
 * test_webhook(id, entity_id, entity_type) returns text: the message id.  entity_id NULL
 * is the newest record; without any record the payload is an empty object.
 */
Datum
webhook_test_webhook(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	int64		id;
	char	   *entity_id = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			owner;
	bool		integrated;
	char	   *events;
	char	   *types;
	char	   *entity_type;
	char	   *first;
	OutboxRow	row = {0};
	pg_uuid_t	message_id;
	Datum		ids[1];
	RunAs		state;

	version_require();
	PreventCommandIfReadOnly("webhook.test_webhook()");
	PreventCommandIfParallelMode("webhook.test_webhook()");
	id = DatumGetInt64(argument_required(fcinfo, 0, "id"));
	entity_type = test_webhook_entity_type_argument(fcinfo);

	as_owner_begin(&state);
	(void) manage_lock_webhook(&state, id);
	events = test_webhook_subscription(id, &owner, &integrated, context);
	types = test_webhook_watched_types(context);
	as_owner_end(&state);

	if (entity_type != NULL)
		events = entity_type;
	first = pnstrdup(events, strcspn(events, ",."));
	if (!test_webhook_find_entity(strstr(events, "*") == events ? types : events, entity_id,
								  integrated ? payment_only_events() : NULL, owner, &row))
	{
		if (entity_id != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NO_DATA_FOUND),
					 errmsg("webhook " INT64_FORMAT " has no entity \"%s\" to test with", id, entity_id),
					 errhint("Use the id of a row of a table that is watched as one of the webhook's entity types or as argument \"entity_type\", or omit it to send the newest row.")));
		row.entity_type = strcmp(first, "*") == 0 ? "webhook" : first;
		row.payload = "{}";
		row.payload_len = 2;
	}
	row.event = psprintf("%s.test", row.entity_type);
	ids[0] = Int64GetDatum(id);
	row.webhook_ids = construct_array(ids, 1, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	outbox_append(&row, &message_id);
	PG_RETURN_TEXT_P(cstring_to_text(outbox_message_id_text(&message_id)));
}
