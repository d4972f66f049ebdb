/*-------------------------------------------------------------------------
 *
 * rest_api.c
 *		Functions for receivers: entities, by API key.
 *
 * get_events() and get_attendees() return entities of types "event" and "guest" just
 * as a webhook of the integration sends them in format rest: the same rows,
 * settings, payload and shape.  The key identifies the integration; the privileges
 * of its owner determine the columns, and its profiles the rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "api/integration.h"
#include "base/argument.h"
#include "capture/payment.h"
#include "server/version.h"
#include "shape/json_field.h"
#include "shape/shape_cache.h"
#include "watch/entity.h"

#define MAX_PAGE_SIZE	1000
#define MAX_SAMPLES		3

PG_FUNCTION_INFO_V1(webhook_get_events);
PG_FUNCTION_INFO_V1(webhook_get_attendees);
PG_FUNCTION_INFO_V1(webhook_rest_hook_sample);


/* The arguments that get_events() and get_attendees() have in common. */
typedef struct RestArguments
{
	IntegrationKey key;
	EntityFilter filter;
	int64		page;
	int64		page_size;
	List	   *fields;			/* names; NIL: all */
	bool		mapping;
} RestArguments;

static const char *
rest_api_optional_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static int64
rest_api_bounded_argument(FunctionCallInfo fcinfo, int n, const char *name, int max)
{
	int64		value = DatumGetInt32(argument_required(fcinfo, n, name));

	if (value < 1 || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", name),
				 errdetail("The value is out of range."),
				 errhint("Use a number between 1 and %d.", max)));
	return value;
}

/* "a, b" as a list of names */
static List *
rest_api_field_names(char *text)
{
	List	   *names = NIL;

	for (;;)
	{
		size_t		len = strcspn(text, ",");
		char	   *next = text + len;

		while (len > 0 && *text == ' ')
		{
			text++;

			len--;
		}
		while (len > 0 && text[len - 1] == ' ')
			len--;
		if (len == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for argument \"%s\"", "fields"),
					 errdetail("A name is empty."),
					 errhint("Specify the names of one or several fields, separated by commas, or NULL for all.")));
		names = lappend(names, pnstrdup(text, len));
		if (*next == '\0')
			return names;
		text = next + 1;
	}
}

/* Read the common arguments; first is the number of argument "page". */
static void
rest_api_read_arguments(FunctionCallInfo fcinfo, int first, RestArguments *args)
{
	args->page = rest_api_bounded_argument(fcinfo, first, "page", PG_INT32_MAX);
	args->page_size = rest_api_bounded_argument(fcinfo, first + 1, "page_size", MAX_PAGE_SIZE);
	if (!PG_ARGISNULL(first + 2))
		args->fields = rest_api_field_names(text_to_cstring(PG_GETARG_TEXT_PP(first + 2)));
	args->mapping = !DatumGetBool(argument_required(fcinfo, first + 3, "ignore_fields_mapping"));
}

/* Append the requested members of an object. */
static void
rest_api_append_fields(StringInfo out, char *text, List *fields)
{
	Jsonb	   *object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	bool		first = true;
	ListCell   *lc;

	if (!JB_ROOT_IS_OBJECT(object))
	{
		appendStringInfoString(out, text);
		return;
	}
	appendStringInfoChar(out, '{');
	foreach(lc, fields)
	{
		const char *name = lfirst(lc);
		JsonbValue	value;

		if (getKeyJsonValueFromContainer(&object->root, name, strlen(name), &value) == NULL)
			continue;
		appendStringInfoString(out, first ? "\"" : ",\"");
		json_field_append_escaped(out, name, strlen(name));
		appendStringInfoString(out, "\":");
		json_field_append_json(out, &value);
		first = false;
	}
	appendStringInfoChar(out, '}');
}

/* Add the names of the members of an object to a list. */
static List *
rest_api_add_names(List *names, const char *text)
{
	Jsonb	   *object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(unconstify(char *, text))));
	JsonbIterator *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	v;

	if (!JB_ROOT_IS_OBJECT(object))
		return names;
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY)
			names = list_append_unique(names, makeString(pnstrdup(v.val.string.val, v.val.string.len)));
	return names;
}

static void
rest_api_add_column(const char *name, void *arg)
{
	List	  **names = arg;

	*names = list_append_unique(*names, makeString(pstrdup(name)));
}

/* Add the names that the integration uses for fields of the entity type, for any event and profile. */
static List *
rest_api_add_shape_names(List *names, const RestArguments *args, bool forms)
{
	Oid			types[] = {TEXTOID, TEXTOID, BOOLOID};
	Datum		values[3];
	MemoryContext context = CurrentMemoryContext;
	MemoryContext old;
	uint64		n;
	RunAs		state;

	values[0] = CStringGetTextDatum(args->key.integration);
	values[1] = CStringGetTextDatum(args->filter.entity_type);
	values[2] = BoolGetDatum(forms);
	as_owner_begin(&state);
	n = as_owner_execute("SELECT e.entry->>'name' FROM webhook.shape AS s, jsonb_array_elements(CASE"
						 "  WHEN s.kind IN ('account', 'profile', 'event') THEN " SHAPES_MAPPING("s.value", "$2")
						 "  WHEN s.kind = 'form' AND s.target = $2 AND $3 THEN s.value END) AS e (entry)"
						 " WHERE COALESCE(s.integration, '') IN ($1, '')"
						 " UNION SELECT k.name FROM webhook.shape AS s, jsonb_object_keys(CASE"
						 "  WHEN jsonb_typeof(s.value) = 'object' THEN s.value END) AS k (name)"
						 " WHERE s.integration = $1 AND s.kind = 'template' AND s.target = $2 ORDER BY 1",
						 SPI_OK_SELECT, 3, types, values, NULL);
	old = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < n; i++)
		rest_api_add_column(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1), &names);
	MemoryContextSwitchTo(old);
	as_owner_end(&state);
	return names;
}

/*
 * Raise an error for names that are not a field of any of these entities.  If there
 * are none, the columns of their table are used, unless it has a payload function.
 */
static void
rest_api_check_fields(const RestArguments *args, List *payloads)
{
	List	   *names = NIL;
	StringInfoData list;
	ListCell   *lc;

	foreach(lc, payloads)
		names = rest_api_add_names(names, lfirst(lc));
	if (args->mapping)
		names = rest_api_add_shape_names(names, args, payloads == NIL);
	if (payloads == NIL && !entity_foreach_column(args->filter.entity_type, rest_api_add_column, &names))
		return;
	initStringInfo(&list);
	foreach(lc, names)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", strVal(lfirst(lc)));
	foreach(lc, args->fields)
	{
		if (names != NIL && !list_member(names, makeString(lfirst(lc))))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("invalid value for argument \"%s\"", "fields"),
					 errdetail("There is no field \"%s\".", argument_excerpt(lfirst(lc), strlen(lfirst(lc)))),
					 errhint("The fields are %s.", list.data)));
	}
}

/* The payloads of the page, in the integration's shape. */
static List *
rest_api_shaped_payloads(const RestArguments *args, List *rows)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *result = NIL;
	ListCell   *lc;
	RunAs		state;

	as_owner_begin(&state);
	MemoryContextSwitchTo(context);
	foreach(lc, rows)
	{
		const OutboxRow *row = lfirst(lc);
		const ShapeSet *set = shape_cache_get(args->key.integration, row->entity_type,
											  row->profile, row->event_uid);
		char	   *payload = row->payload ? unconstify(char *, row->payload) : pstrdup("null");
		int			len;

		if (set != NULL)
			payload = shape_cache_apply(set, payload, args->mapping, NULL, &len);
		json_field_replace_impossible(payload);
		result = lappend(result, payload);
	}
	as_owner_end(&state);
	return result;
}

static Datum
rest_api_answer(RestArguments *args)
{
	StringInfoData out;
	List	   *payloads;
	ListCell   *lc;
	int64		total;

	args->filter.profiles = args->key.profiles;
	args->filter.only_paid = payment_only_events();
	args->filter.reader = args->key.owner;
	total = entity_count(&args->filter);
	payloads = entity_list(&args->filter, (args->page - 1) * args->page_size, args->page_size, total);
	payloads = rest_api_shaped_payloads(args, payloads);
	if (args->fields != NIL)
		rest_api_check_fields(args, payloads);

	initStringInfo(&out);
	appendStringInfoString(&out, "{\"data\":[");
	foreach(lc, payloads)
	{
		if (out.data[out.len - 1] != '[')
			appendStringInfoChar(&out, ',');
		if (args->fields != NIL)
			rest_api_append_fields(&out, lfirst(lc), args->fields);
		else
			appendStringInfoString(&out, lfirst(lc));
	}
	appendStringInfo(&out, "],\"meta\":{\"total\":" INT64_FORMAT "}}", total);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data));
}

/*
 * get_events(api_key, event_uid, page, page_size, fields,
 * ignore_fields_mapping) returns jsonb
 */
Datum
webhook_get_events(PG_FUNCTION_ARGS)
{
	RestArguments args = {0};

	version_require();
	integration_of_key(rest_api_optional_text(fcinfo, 0), &args.key);
	args.filter.entity_type = "event";
	args.filter.event_uid = rest_api_optional_text(fcinfo, 1);
	rest_api_read_arguments(fcinfo, 2, &args);
	return rest_api_answer(&args);
}

/*
 * get_attendees(api_key, event_uid, guest_uid, page, page_size, fields,
 * ignore_fields_mapping) returns jsonb
 */
Datum
webhook_get_attendees(PG_FUNCTION_ARGS)
{
	RestArguments args = {0};

	version_require();
	integration_of_key(rest_api_optional_text(fcinfo, 0), &args.key);
	args.filter.entity_type = "guest";
	args.filter.event_uid = rest_api_optional_text(fcinfo, 1);
	args.filter.entity_id = rest_api_optional_text(fcinfo, 2);
	rest_api_read_arguments(fcinfo, 3, &args);
	return rest_api_answer(&args);
}

/* ---------- samples for REST hooks ---------- */

/* Sample payloads of application events of a mailing system. */
static const struct
{
	const char *event;
	const char *payload;
}			examples[] = {

	{"optin_finalized",
		"{\"id\":371,\"optinsetup_id\":60,\"subscriber_id\":6049065,"
		"\"fields\":[{\"id\":1,\"value\":\"max.muster@example.com\"}],"
	"\"lists\":[{\"id\":1,\"value\":1},{\"id\":3,\"value\":0}],\"activate_at\":\"2025-11-11 09:27:29\"}"},
	{"optout_finalized",
		"{\"id\":372,\"optoutsetup_id\":61,\"subscriber_id\":6049065,"
		"\"fields\":[{\"id\":1,\"value\":\"max.muster@example.com\"}],"
	"\"lists\":[{\"id\":1,\"value\":0}],\"activate_at\":\"2025-11-12 10:05:00\"}"},
	{"profilemanager_finalized",
		"{\"id\":373,\"profilemanagersetup_id\":62,\"subscriber_id\":6049065,"
		"\"fields\":[{\"id\":1,\"value\":\"erika.muster@example.com\"}],"
	"\"lists\":[{\"id\":3,\"value\":1}],\"activate_at\":\"2025-11-13 16:40:12\"}"},
};

static void
rest_api_append_sample(StringInfo out, const char *payload)
{
	char	   *copy = pstrdup(payload);

	json_field_replace_impossible(copy);
	appendStringInfo(out, "%s%s", out->len > 1 ? "," : "", copy);
	pfree(copy);
}

/* Append the newest entities of the trigger name's entity type that the caller may read. */
static void
rest_api_append_entities(StringInfo out, const char *event)
{
	EntityFilter filter = {0};
	char	   *entity_type = pstrdup(event);
	char	   *dot = strrchr(entity_type, '.');
	ListCell   *lc;

	if (dot != NULL)
		*dot = '\0';
	filter.entity_type = entity_type;
	filter.newest_first = true;
	filter.reader = GetUserId();
	foreach(lc, entity_list(&filter, 0, MAX_SAMPLES, -1))
	{
		const OutboxRow *row = lfirst(lc);

		if (row->payload != NULL)
			rest_api_append_sample(out, row->payload);
	}
}

/*
 * Append the newest messages with this trigger name that were for webhooks of the
 * caller and are still in the outbox.  Messages about rows of tables are omitted:
 * rest_api_append_entities() shows what the caller may read of these now.
 */
static void
rest_api_append_messages(StringInfo out, const char *event)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {TEXTOID, OIDOID, INT4OID};
	Datum		values[] = {CStringGetTextDatum(event), (Datum) 0, Int32GetDatum(MAX_SAMPLES)};
	uint64		n;
	RunAs		state;

	as_owner_begin(&state);
	values[1] = ObjectIdGetDatum(state.caller);

	n = as_owner_execute("SELECT * FROM webhook.outbox_samples($1, $2, $3)", SPI_OK_SELECT, lengthof(types), types,
						 values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		char	   *payload = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		MemoryContext old = MemoryContextSwitchTo(context);

		rest_api_append_sample(out, payload);
		MemoryContextSwitchTo(old);
	}
	as_owner_end(&state);
}

/*
 * rest_hook_sample(event) returns jsonb: what a subscription to this trigger
 * name would be sent.  For an application event, which has no table, that is
 * what was emitted last.
 */
Datum
webhook_rest_hook_sample(PG_FUNCTION_ARGS)
{
	StringInfoData out;
	char	   *event;

	version_require();
	event = argument_label(fcinfo, 0, "event");
	initStringInfo(&out);
	appendStringInfoChar(&out, '[');
	rest_api_append_entities(&out, event);
	if (out.len == 1)
		rest_api_append_messages(&out, event);
	for (int i = 0; i < lengthof(examples) && out.len == 1; i++)
		if (strcmp(event, examples[i].event) == 0)
			rest_api_append_sample(&out, examples[i].payload);
	appendStringInfoChar(&out, ']');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data));
}
