/*-------------------------------------------------------------------------
 *
 * manual.c
 *		Manual triggers: actions on an entity that are fired by a user.
 *
 * A webhook that subscribes to "guest.manual" (or "guest.*") is an action on guests;
 * its name is the label in the application's menu.  Firing it appends a message for
 * this webhook only, with the current state of the entity.  The restrictions of the
 * webhook apply as for any other message, but raise an error, since the user waits
 * for a result.
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
#include "utils/jsonpath.h"
#include "utils/jsonb.h"

#include "api/manage.h"
#include "base/argument.h"
#include "base/catalog.h"
#include "base/context.h"
#include "capture/match.h"
#include "capture/payment.h"
#include "server/version.h"
#include "watch/active_integration.h"
#include "watch/entity.h"

#define MANUAL_ACTION	".manual"

/* The properties of a webhook that manual triggers use. */
typedef struct ManualWebhook
{
	int64		id;
	Oid			owner;
	int			nevents;
	char	  **events;
	int			nuids;
	char	  **uids;
	char	   *filter;
	JsonPath   *condition;
	char	   *integration;
	bool		active;
} ManualWebhook;

PG_FUNCTION_INFO_V1(webhook_fire_webhook);
PG_FUNCTION_INFO_V1(webhook_get_manual_actions);


static Datum
manual_webhook_column(int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, isnull);
}

/* Read a webhook; strings are allocated in the given context. */
static void
manual_read_webhook(ManualWebhook *webhook, int64 id, MemoryContext context)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};
	MemoryContext old;
	bool		isnull;
	Datum		d;

	memset(webhook, 0, sizeof(*webhook));
	webhook->id = id;
	as_owner_execute("SELECT events, uids, filter::text, active, owner, integration, condition FROM webhook.webhook WHERE id = $1",
					 SPI_OK_SELECT, 1, types, values, NULL);
	old = MemoryContextSwitchTo(context);
	d = manual_webhook_column(1, &isnull);
	webhook->nevents = catalog_strings(d, isnull, &webhook->events);
	d = manual_webhook_column(2, &isnull);
	webhook->nuids = catalog_strings(d, isnull, &webhook->uids);
	d = manual_webhook_column(3, &isnull);
	webhook->filter = isnull ? NULL : TextDatumGetCString(d);
	webhook->active = DatumGetBool(manual_webhook_column(4, &isnull));
	webhook->owner = DatumGetObjectId(manual_webhook_column(5, &isnull));
	d = manual_webhook_column(6, &isnull);
	webhook->integration = isnull ? NULL : TextDatumGetCString(d);
	d = manual_webhook_column(7, &isnull);
	webhook->condition = isnull ? NULL : DatumGetJsonPathPCopy(d);
	MemoryContextSwitchTo(old);
}

/* The entity type whose manual trigger this subscription includes, or NULL. */
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
manual_find_entity(const ManualWebhook *webhook, const char *entity_id, OutboxRow *row)
{
	ArrayType  *only_paid = webhook->integration ? payment_only_events() : NULL;
	bool		manual = false;

	for (int i = 0; i < webhook->nevents; i++)
	{
		char	   *entity_type = manual_entity_type(webhook->events[i]);

		if (entity_type == NULL)
			continue;
		manual = true;
		if (entity_fetch(entity_type, entity_id, only_paid, webhook->owner, row))
			return;
	}
	if (!manual)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("webhook " INT64_FORMAT " has no manual trigger", webhook->id),
				 errhint("Use webhook.update_webhook() to subscribe it to a trigger name such as \"guest.manual\".")));
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("entity \"%s\" does not exist", entity_id),
			 errhint("Use the same id as in messages about the entity; values of several columns are separated by commas.%s",
					 only_paid ? " An unpaid entity of an event with \"only_paid\" does not exist for an integration." : "")));
}

static bool
manual_filter_matches(const ManualWebhook *webhook, const OutboxRow *row)
{
	Datum		payload = JsonbPGetDatum(match_parse_payload(row->payload));
	Datum		filter = DirectFunctionCall1(jsonb_in, CStringGetDatum(webhook->filter));

	return DatumGetBool(DirectFunctionCall2(jsonb_contains, payload, filter));
}

/* May this webhook be fired for this entity? */
static void
manual_check_restrictions(const ManualWebhook *webhook, const OutboxRow *row)
{
	bool		listed = webhook->nuids == 0;
	ActiveIntegration rule;

	if (!webhook->active)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("webhook " INT64_FORMAT " is not active", webhook->id),
				 errhint("Use webhook.activate_webhook() to activate it.")));
	for (int i = 0; i < webhook->nuids && row->event_uid != NULL; i++)
		listed |= strcmp(webhook->uids[i], row->event_uid) == 0;
	if (!listed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("webhook " INT64_FORMAT " is restricted to other events", webhook->id),
				 errhint("Its property \"event_uids\" contains the allowed events.")));
	if (webhook->integration != NULL)
	{
		active_integration_lookup(row->event_uid, row->profile, &rule);
		if (rule.integration == NULL || strcmp(rule.integration, webhook->integration) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("integration \"%s\" is not active for this entity", webhook->integration),
					 errhint("See webhook.activate_integration() for its profile, and webhook.override_event() for its event.")));
	}
	if (webhook->filter != NULL && (row->payload == NULL || !manual_filter_matches(webhook, row)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the filter of webhook " INT64_FORMAT " excludes this entity", webhook->id),
				 errhint("The payload does not contain the value of its property \"filter\".")));
	if (webhook->condition != NULL &&
		!match_condition(webhook->condition, match_condition_document(row->payload, NULL)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the condition of webhook " INT64_FORMAT " excludes this entity", webhook->id),
				 errhint("Its property \"condition\" is not true for the entity as \"new\" and null as \"old\".")));
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
	RunAs		state;

	version_require();
	PreventCommandIfReadOnly("webhook.fire_webhook()");
	PreventCommandIfParallelMode("webhook.fire_webhook()");
	id = DatumGetInt64(argument_required(fcinfo, 0, "id"));
	entity_id = TextDatumGetCString(argument_required(fcinfo, 1, "entity_id"));

	as_owner_begin(&state);
	(void) manage_lock_webhook(&state, id);
	manual_read_webhook(&webhook, id, context);
	as_owner_end(&state);

	manual_find_entity(&webhook, entity_id, &row);
	manual_check_restrictions(&webhook, &row);
	row.event = psprintf("%s%s", row.entity_type, MANUAL_ACTION);
	row.context = context_current();
	ids[0] = Int64GetDatum(id);
	row.webhook_ids = construct_array(ids, 1, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	outbox_append(&row, &message_id);
	PG_RETURN_TEXT_P(cstring_to_text(outbox_message_id_text(&message_id)));
}

/* The active integration of an event, by its UID; NULL if there is none. */
static const char *
manual_event_integration(const char *event_uid)
{
	EntityFilter filter = {0};
	List	   *events;
	ActiveIntegration rule;

	filter.entity_type = "event";
	filter.event_uid = event_uid;
	events = entity_list(&filter, 0, 1, -1);
	active_integration_lookup(event_uid, events != NIL ? ((OutboxRow *) linitial(events))->profile : NULL, &rule);
	return rule.integration;
}

/*
 * get_manual_actions(entity_type, event_uid) returns setof (webhook_id, label, app)
 */
Datum
webhook_get_manual_actions(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3] = {0};
	bool		nulls[3] = {false, true, true};

	version_require();
	values[0] = CStringGetTextDatum(argument_label(fcinfo, 0, "entity_type"));
	if (!PG_ARGISNULL(1))
	{
		char	   *event_uid = argument_label(fcinfo, 1, "event_uid");
		const char *integration = manual_event_integration(event_uid);

		nulls[1] = false;
		values[1] = CStringGetTextDatum(event_uid);
		nulls[2] = integration == NULL;
		values[2] = integration ? CStringGetTextDatum(integration) : (Datum) 0;
	}
	return as_owner_return_query(fcinfo, "SELECT * FROM webhook.manual_actions_for($1, $2, $3, $4)", 3, types, values, nulls);
}
