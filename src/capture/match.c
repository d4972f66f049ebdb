/*-------------------------------------------------------------------------
 *
 * match.c
 *		Which webhooks a message is for.
 *
 * Subscriptions by trigger name are resolved in catalog_event.c; what is decided here
 * depends on the single message: event UID, integration, changed columns, filter,
 * condition.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/jsonpath.h"

#include "base/pinned_settings.h"
#include "capture/match.h"
#include "compat.h"
#include "server/shmem.h"
#include "shape/json_field.h"
#include "watch/evaluate.h"

/* Has one of the columns changed that the webhook subscribes to and its owner may see? */
static bool
match_columns(const CatalogWebhook *webhook, const Bitmapset *visible, TupleTableSlot *old,
			  TupleTableSlot *new)
{
	TupleDesc	desc = new->tts_tupleDescriptor;

	for (int i = 0; i < webhook->ncolumns; i++)
		for (int a = 0; a < desc->natts; a++)
			if (!TupleDescAttr(desc, a)->attisdropped &&
				(visible == NULL || bms_is_member(a + 1, visible)) &&
				strcmp(NameStr(TupleDescAttr(desc, a)->attname), webhook->columns[i]) == 0 &&
				evaluate_column_changed(old, new, a + 1))
				return true;
	return false;
}

/* In PG_CATCH(): discard an error that is about a value, and rethrow any other. */
static void
match_ignore_data_error(MemoryContext context)
{
	int			category = ERRCODE_TO_CATEGORY(geterrcode());

	if (category != ERRCODE_DATA_EXCEPTION && category != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		PG_RE_THROW();
	MemoryContextSwitchTo(context);
	FlushErrorState();
}

/*
 * A text as jsonb; NULL if jsonb cannot hold it.
 *
 * This catches errors without a subtransaction: the input function has no side
 * effects, so there is nothing to roll back.  The soft errors that PostgreSQL has
 * since 16 are no replacement.  They do not cover the limits on nesting and size,
 * which an error here would turn into a statement that fails, or a worker that
 * fails again and again.
 */
static Jsonb *
match_try_parse(const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb	   *volatile parsed = NULL;

	PG_TRY();
	{
		parsed = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	}
	PG_CATCH();
	{
		match_ignore_data_error(context);
	}
	PG_END_TRY();
	return parsed;
}

Jsonb *
match_parse_payload(const char *payload)
{
	Jsonb	   *parsed = match_try_parse(payload);

	if (parsed == NULL)
	{
		char	   *possible = pstrdup(payload);

		json_field_replace_impossible(possible);
		parsed = match_try_parse(possible);
	}
	return parsed != NULL ? parsed : match_try_parse("null");
}

static bool
match_filter(const CatalogWebhook *webhook, const char *payload, Jsonb **parsed)
{
	if (*parsed == NULL)
		*parsed = match_parse_payload(payload);
	return DatumGetBool(DirectFunctionCall2(jsonb_contains, JsonbPGetDatum(*parsed),
											JsonbPGetDatum(webhook->filter)));
}

Jsonb *
match_condition_document(const char *new, const char *old)
{
	return match_parse_payload(psprintf("{\"new\":%s,\"old\":%s}", new != NULL ? new : "null", old != NULL ? old : "null"));
}

/* Most errors, such as comparing a string with a number, do not end the evaluation: the result is unknown, a null. */
static bool
match_jsonpath(JsonPath *condition, Jsonb *document, bool *unknown)
{
	LOCAL_FCINFO(fcinfo, 4);
	Jsonb		no_variables;	/* {} */
	Datum		result;

	SET_VARSIZE(&no_variables, sizeof(Jsonb));
	no_variables.root.header = JB_FOBJECT;

	InitFunctionCallInfoData(*fcinfo, NULL, 4, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(document);
	fcinfo->args[1].value = PointerGetDatum(condition);
	fcinfo->args[2].value = JsonbPGetDatum(&no_variables);
	fcinfo->args[3].value = BoolGetDatum(false);	/* raise errors */
	for (int i = 0; i < 4; i++)
		fcinfo->args[i].isnull = false;
	result = jsonb_path_match_tz(fcinfo);
	*unknown = fcinfo->isnull;
	return !fcinfo->isnull && DatumGetBool(result);
}

/* Count a condition that could not be judged, for stat_workers. */
static void
match_note_error(void)
{
	DatabaseSlot *slot = shmem_available() ? shmem_my_slot() : NULL;

	if (slot != NULL)
		pg_atomic_fetch_add_u64(&slot->condition_errors, 1);
}

bool
match_condition(JsonPath *condition, Jsonb *document)
{
	MemoryContext context = CurrentMemoryContext;
	int			nest_level = pinned_begin(PINNED_ZONE);
	volatile bool result = false;
	bool		unknown;

	PG_TRY();
	{
		result = match_jsonpath(condition, document, &unknown);
		if (unknown)
			match_note_error();
	}
	PG_CATCH();
	{
		match_ignore_data_error(context);
		match_note_error();
	}
	PG_END_TRY();
	pinned_end(nest_level);
	return result;
}

bool
match_is_predicate(JsonPath *condition)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool result = true;
	bool		unknown;

	PG_TRY();
	{
		(void) match_jsonpath(condition, match_condition_document("{}", "{}"), &unknown);
	}
	PG_CATCH();
	{
		/* Anything else depends on the values. */
		result = geterrcode() != ERRCODE_SINGLETON_SQL_JSON_ITEM_REQUIRED;
		match_ignore_data_error(context);
	}
	PG_END_TRY();
	return result;
}

static bool
match_lists_contain(const CatalogWebhookList *const *lists, int64 id)
{
	for (int i = 0; i < MATCH_LISTS; i++)
		for (int w = 0; lists[i] != NULL && w < lists[i]->count; w++)
			if (lists[i]->items[w]->id == id)
				return true;
	return false;
}

int
match_lists(const CatalogEvent *event, const Match *match, const CatalogWebhookList **lists)
{
	int			n = 0;

	memset(lists, 0, MATCH_LISTS * sizeof(*lists));
	if (match->part & MATCH_FREE)
	{
		lists[0] = &event->unrestricted;
		lists[1] = catalog_event_uid(event, match->event_uid);
	}
	if (match->part & MATCH_INTEGRATED)
		lists[2] = catalog_event_integration(event, match->integration);
	for (int i = 0; i < MATCH_LISTS; i++)
		n += lists[i] ? lists[i]->count : 0;
	return match->only == 0 || match_lists_contain(lists, match->only) ? n : 0;
}

static bool
match_uid(const CatalogWebhook *webhook, const char *event_uid)
{
	if (webhook->nuids == 0)
		return true;
	for (int i = 0; i < webhook->nuids && event_uid != NULL; i++)
		if (strcmp(webhook->uids[i], event_uid) == 0)
			return true;
	return false;
}

/* Add the webhooks of a list that the message is for. */
static int
match_list(const CatalogWebhookList *list, Match *match, Datum *ids, int n)
{
	for (int i = 0; list != NULL && i < list->count; i++)
	{
		const CatalogWebhook *webhook = list->items[i];

		if (match->only != 0 && webhook->id != match->only)
			continue;

		/*
		 * Lists of webhooks without integrations have been selected by event
		 * UID.
		 */
		if (webhook->integration != NULL && !match_uid(webhook, match->event_uid))
			continue;
		if (webhook->ncolumns > 0 && match->old != NULL &&
			!match_columns(webhook, match->visible, match->old, match->new))
			continue;
		if (webhook->filter != NULL &&
			(match->payload == NULL || !match_filter(webhook, match->payload, &match->parsed)))
			continue;
		if (webhook->condition != NULL && match->rows != NULL && !match_condition(webhook->condition, match->rows))
			continue;
		match->previous |= webhook->previous;
		ids[n++] = Int64GetDatum(webhook->id);
	}
	return n;
}

ArrayType *
match_webhooks(const CatalogEvent *event, Match *match)
{
	const CatalogWebhookList *lists[MATCH_LISTS];
	Datum	   *ids;
	int			space;
	int			n = 0;

	Assert(match->old == NULL || match->new != NULL);
	if (event->plain && match->only == 0)
	{
		match->previous = event->previous;
		return (match->part & MATCH_FREE) ? event->all_ids : NULL;
	}
	space = match_lists(event, match, lists);
	if (space == 0)
		return NULL;
	ids = palloc(space * sizeof(Datum));
	for (int i = 0; i < MATCH_LISTS; i++)
		n = match_list(lists[i], match, ids, n);
	Assert(n <= space);
	if (n == 0)
		return NULL;
	return construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}
