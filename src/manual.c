/*-------------------------------------------------------------------------
 *
 * manual.c
 *		Manual triggers: an action on one entity, fired by a person.
 *
 * A webhook that subscribes to "guest.manual" (or "guest.*") is an action on guests, its
 * name is the label in the application's menu.  Firing it appends a message for this
 * webhook alone, with the entity as it is now.  The webhook's restrictions hold as for
 * any other message, but here somebody waits for an answer: what would be left out silently
 * elsewhere is an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "api.h"
#include "catalog.h"
#include "entity.h"
#include "shmem.h"

#define MANUAL_ACTION	".manual"

/* What a manual trigger must know of its webhook. */
typedef struct ManualWebhook
{
	int64		id;
	Oid			owner;
	int			nevents;
	char	  **events;
	int			nuids;
	char	  **uids;
	char	   *filter;
	bool		active;
} ManualWebhook;

PG_FUNCTION_INFO_V1(webhook_fire_webhook);


static Datum
column(int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, isnull);
}

/* Read what we need; strings live in the given context. */
static void
read_webhook(ManualWebhook *webhook, int64 id, MemoryContext context)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};
	MemoryContext old;
	bool		isnull;
	Datum		d;

	memset(webhook, 0, sizeof(*webhook));
	webhook->id = id;
	as_owner_execute("SELECT events, uids, filter::text, active, owner FROM webhook.webhook WHERE id = $1",
					 SPI_OK_SELECT, 1, types, values, NULL);
	old = MemoryContextSwitchTo(context);
	d = column(1, &isnull);
	webhook->nevents = catalog_strings(d, isnull, &webhook->events);
	d = column(2, &isnull);
	webhook->nuids = catalog_strings(d, isnull, &webhook->uids);
	d = column(3, &isnull);
	webhook->filter = isnull ? NULL : TextDatumGetCString(d);
	webhook->active = DatumGetBool(column(4, &isnull));
	webhook->owner = DatumGetObjectId(column(5, &isnull));
	MemoryContextSwitchTo(old);
}

/* The entity type of which this subscription contains the manual trigger, or NULL. */
static char *
manual_entity_type(const char *pattern)
{
	size_t		len = strlen(pattern);
	size_t		suffix = strlen(MANUAL_ACTION);

	if (len > suffix && strcmp(pattern + len - suffix, MANUAL_ACTION) == 0)
		return pnstrdup(pattern, len - suffix);
	if (len > 2 && strcmp(pattern + len - 2, ".*") == 0)
		return pnstrdup(pattern, len - 2);
	return NULL;
}

/* Find the entity among those that the webhook is an action on. */
static void
find_entity(const ManualWebhook *webhook, const char *entity_id, OutboxRow *row)
{
	bool		manual = false;

	for (int i = 0; i < webhook->nevents; i++)
	{
		char	   *entity_type = manual_entity_type(webhook->events[i]);

		if (entity_type == NULL)
			continue;
		manual = true;
		if (entity_fetch(entity_type, entity_id, webhook->owner, row))
			return;
	}
	if (!manual)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("webhook " INT64_FORMAT " has no manual trigger", webhook->id),
				 errhint("Subscribe it to \"guest.manual\" or the like with webhook.update_webhook().")));
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("entity \"%s\" does not exist", entity_id),
			 errhint("Give the id that messages about the entity carry; one made of several columns is joined by commas.")));
}

static bool
filter_matches(const ManualWebhook *webhook, const OutboxRow *row)
{
	Datum		payload = DirectFunctionCall1(jsonb_in, CStringGetDatum(row->payload));
	Datum		filter = DirectFunctionCall1(jsonb_in, CStringGetDatum(webhook->filter));

	return DatumGetBool(DirectFunctionCall2(jsonb_contains, payload, filter));
}

/* May this webhook be fired for this entity? */
static void
check_restrictions(const ManualWebhook *webhook, const OutboxRow *row)
{
	bool		listed = webhook->nuids == 0;

	if (!webhook->active)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("webhook " INT64_FORMAT " is not active", webhook->id),
				 errhint("Switch it on with webhook.activate_webhook().")));
	for (int i = 0; i < webhook->nuids && row->event_uid != NULL; i++)
		listed |= strcmp(webhook->uids[i], row->event_uid) == 0;
	if (!listed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("webhook " INT64_FORMAT " is restricted to other events", webhook->id),
				 errhint("The events are those listed in its property \"event_uids\".")));
	if (webhook->filter != NULL && (row->payload == NULL || !filter_matches(webhook, row)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the filter of webhook " INT64_FORMAT " leaves out this entity", webhook->id),
				 errhint("The payload does not contain what its property \"filter\" asks for.")));
}

/*
 * fire_webhook(id, entity_id) returns text: the message id
 */
Datum
webhook_fire_webhook(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	ManualWebhook webhook;
	OutboxRow	row = {0};
	pg_uuid_t	message_id;
	char	   *entity_id;
	int64		id;
	Datum		ids[1];
	AsOwner		state;

	shmem_require();
	PreventCommandIfReadOnly("webhook.fire_webhook()");
	id = DatumGetInt64(api_argument(fcinfo, 0, "id"));
	entity_id = TextDatumGetCString(api_argument(fcinfo, 1, "entity_id"));

	as_owner_begin(&state);
	(void) api_lock_webhook(&state, id);
	read_webhook(&webhook, id, context);
	as_owner_end(&state);

	find_entity(&webhook, entity_id, &row);
	check_restrictions(&webhook, &row);
	row.event = psprintf("%s%s", row.entity_type, MANUAL_ACTION);
	ids[0] = Int64GetDatum(id);
	row.webhook_ids = construct_array(ids, 1, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	outbox_append(&row, &message_id);
	PG_RETURN_TEXT_P(cstring_to_text(outbox_message_id_text(&message_id)));
}
