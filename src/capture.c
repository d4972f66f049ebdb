/*-------------------------------------------------------------------------
 *
 * capture.c
 *		From a changed row to a message in the outbox.
 *
 * webhook.capture() is the row trigger that watch() puts on a table.  It asks
 * first whether any webhook subscribes to what happened: if not, nothing is
 * built, evaluated or written.  Only then come the expressions, the
 * payload, and the webhooks' own filters.
 *
 * A row that an UPDATE moves to another partition reaches the triggers as a
 * DELETE and an INSERT.  The deleted tuple says that it was moved, so we keep
 * it until the INSERT of the same command arrives and report one update.
 *
 * An error in here, which only an expression or a payload function can raise, makes
 * the application's statement fail: the alternatives are a change that
 * nobody is told of, and a message that says something wrong.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture.h"
#include "catalog.h"
#include "compat.h"
#include "inforce.h"
#include "outbox.h"
#include "shmem.h"
#include "watch.h"

#define EVENT_NAME_MAX	200

/* A row deleted by an UPDATE that moves it to another partition. */
typedef struct MovedRow
{
	Oid			relid;			/* the partition it left; InvalidOid: there is none */
	Oid			root;
	CommandId	command;
	SubTransactionId subid;
	HeapTuple	tuple;			/* in the root's layout, in TopTransactionContext */
} MovedRow;

static MovedRow moved;

PG_FUNCTION_INFO_V1(webhook_capture);
PG_FUNCTION_INFO_V1(webhook_emit);
PG_FUNCTION_INFO_V1(webhook_config_changed);


/* Do the two rows differ in this column? */
static bool
column_changed(TupleTableSlot *old, TupleTableSlot *new, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(new->tts_tupleDescriptor, attnum - 1);
	bool		old_null = old->tts_isnull[attnum - 1];
	bool		new_null = new->tts_isnull[attnum - 1];

	if (old_null || new_null)
		return old_null != new_null;
	return !datum_image_eq(old->tts_values[attnum - 1], new->tts_values[attnum - 1],
						   att->attbyval, att->attlen);
}

/* Do they differ in one of these columns? */
static bool
row_changed(const AttrNumber *compare, int ncompare, TupleTableSlot *old, TupleTableSlot *new)
{
	slot_getallattrs(old);
	slot_getallattrs(new);
	for (int i = 0; i < ncompare; i++)
		if (column_changed(old, new, compare[i]))
			return true;
	return false;
}

static bool
has_field(const WatchedTable *table, WatchField field)
{
	return table->field_column[field] != 0 || table->field_position[field] != 0;
}

/* Do they differ in any column, after row_changed()? */
static bool
any_column_changed(TupleTableSlot *old, TupleTableSlot *new)
{
	TupleDesc	desc = new->tts_tupleDescriptor;

	for (int a = 0; a < desc->natts; a++)
		if (!TupleDescAttr(desc, a)->attisdropped && column_changed(old, new, a + 1))
			return true;
	return false;
}

/* Do the fields of the old row differ from these? */
static bool
values_changed(WatchedTable *table, TupleTableSlot *old, const WatchValues *values)
{
	WatchValues before;

	watch_evaluate(table, old, false, &before);
	for (int f = 0; f < WATCH_NFIELDS; f++)
	{
		if (before.is_true[f] != values->is_true[f] ||
			(before.text[f] == NULL) != (values->text[f] == NULL) ||
			(before.text[f] != NULL && strcmp(before.text[f], values->text[f]) != 0))
			return true;
	}
	return false;
}

/* What happened, as the receiver shall see it; WATCH_NACTIONS: nothing. */
static WatchAction
effective_action(WatchedTable *table, WatchAction action, TupleTableSlot *old,
				 TupleTableSlot *new, WatchValues *values)
{
	WatchValues before;

	if (!has_field(table, WATCH_DELETED))
		return action;

	if (action != WATCH_UPDATE)
		return values->is_true[WATCH_DELETED] ? WATCH_NACTIONS : action;

	watch_evaluate(table, old, false, &before);
	if (before.is_true[WATCH_DELETED])
		return values->is_true[WATCH_DELETED] ? WATCH_NACTIONS : WATCH_CREATE;
	return values->is_true[WATCH_DELETED] ? WATCH_DELETE : WATCH_UPDATE;
}

/* Has one of the columns that the webhook asks for, and may see, changed? */
static bool
columns_match(const CatalogWebhook *webhook, const Bitmapset *visible, TupleTableSlot *old,
			  TupleTableSlot *new)
{
	TupleDesc	desc = new->tts_tupleDescriptor;

	for (int i = 0; i < webhook->ncolumns; i++)
		for (int a = 0; a < desc->natts; a++)
			if (!TupleDescAttr(desc, a)->attisdropped &&
				(visible == NULL || bms_is_member(a + 1, visible)) &&
				strcmp(NameStr(TupleDescAttr(desc, a)->attname), webhook->columns[i]) == 0 &&
				column_changed(old, new, a + 1))
				return true;
	return false;
}

/*
 * A payload as jsonb.  What json accepts and jsonb does not, "\u0000" or a number
 * with a million digits, contains nothing that a filter could ask for: it
 * counts as null.
 */
static Jsonb *
parse_payload(const char *payload)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		parsed = (Datum) 0;

	/* The input function has no side effects, so there is nothing to roll back. */
	PG_TRY();
	{
		parsed = DirectFunctionCall1(jsonb_in, CStringGetDatum(payload));
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		if (ERRCODE_TO_CATEGORY(code) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(code) != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		parsed = DirectFunctionCall1(jsonb_in, CStringGetDatum("null"));
	}
	PG_END_TRY();
	return DatumGetJsonbP(parsed);
}

static bool
filter_matches(const CatalogWebhook *webhook, const char *payload, Jsonb **parsed)
{
	if (*parsed == NULL)
		*parsed = parse_payload(payload);
	return DatumGetBool(DirectFunctionCall2(jsonb_contains, JsonbPGetDatum(*parsed),
											JsonbPGetDatum(webhook->filter)));
}

/* Which webhooks a message is for: a change may need two messages, see payment_action(). */
typedef enum MatchPart
{
	MATCH_FREE = 1,				/* those that belong to no integration */
	MATCH_INTEGRATED = 2,		/* those of the integration in force */
	MATCH_ALL = MATCH_FREE | MATCH_INTEGRATED
} MatchPart;

#define MATCH_LISTS		3

/* What a message is matched by. */
typedef struct Match
{
	MatchPart	part;
	const char *integration;	/* in force, or NULL */
	const Bitmapset *visible;	/* columns that may be compared; NULL: all */
	TupleTableSlot *old;		/* these two are given for an update */
	TupleTableSlot *new;
	const char *event_uid;
	const char *payload;
	Jsonb	   *parsed;			/* the payload, once somebody has needed it so */
} Match;

/* The lists of webhooks to be looked at, each may be NULL; returns how many webhooks there are. */
static int
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
	return n;
}

static bool
uid_matches(const CatalogWebhook *webhook, const char *event_uid)
{
	if (webhook->nuids == 0)
		return true;
	for (int i = 0; i < webhook->nuids && event_uid != NULL; i++)
		if (strcmp(webhook->uids[i], event_uid) == 0)
			return true;
	return false;
}

/* Add those of a list that want this message. */
static int
match_list(const CatalogWebhookList *list, Match *match, Datum *ids, int n)
{
	for (int i = 0; list != NULL && i < list->count; i++)
	{
		const CatalogWebhook *webhook = list->items[i];

		if (!uid_matches(webhook, match->event_uid))
			continue;
		if (webhook->ncolumns > 0 && match->old != NULL &&
			!columns_match(webhook, match->visible, match->old, match->new))
			continue;
		if (webhook->filter != NULL &&
			(match->payload == NULL || !filter_matches(webhook, match->payload, &match->parsed)))
			continue;
		ids[n++] = Int64GetDatum(webhook->id);
	}
	return n;
}

/* The webhooks that want this message, NULL if none does. */
static ArrayType *
match_webhooks(const CatalogEvent *event, Match *match)
{
	const CatalogWebhookList *lists[MATCH_LISTS];
	Datum	   *ids;
	int			space;
	int			n = 0;

	if (event->plain)
		return (match->part & MATCH_FREE) ? event->all_ids : NULL;
	space = match_lists(event, match, lists);
	if (space == 0)
		return NULL;
	ids = palloc(space * sizeof(Datum));
	for (int i = 0; i < MATCH_LISTS; i++)
		n = match_list(lists[i], match, ids, n);
	if (n == 0)
		return NULL;
	return construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

/* Tell one audience, or a part of it, of a change: what it may see of it. */
static void
tell(WatchedTable *table, const WatchAudience *audience, WatchAction action,
	 TupleTableSlot *old, TupleTableSlot *new, const WatchValues *values,
	 MatchPart part, const char *integration)
{
	const CatalogEvent *event = audience->events[action];
	const CatalogWebhookList *lists[MATCH_LISTS];
	Match		match = {part, integration, audience->columns};
	OutboxRow	message = {0};
	pg_uuid_t	message_id;

	if (watch_audience_sees(table, audience, WATCH_EVENT_UID))
		message.event_uid = values->text[WATCH_EVENT_UID];
	match.event_uid = message.event_uid;

	/* Could a webhook want it, judging by the event alone? */
	if (match_lists(event, &match, lists) == 0)
		return;

	message.payload = watch_payload(table, audience, new ? new : old, values, &message.payload_len);
	match.payload = message.payload;
	match.old = action == WATCH_UPDATE ? old : NULL;
	match.new = new;
	message.webhook_ids = match_webhooks(event, &match);
	if (message.webhook_ids == NULL)
		return;
	message.event = table->event_names[action];
	message.entity_type = table->entity_type;
	message.entity_id = values->text[WATCH_ID];
	if (watch_audience_sees(table, audience, WATCH_PROFILE))
		message.profile = values->text[WATCH_PROFILE];
	outbox_append(&message, &message_id);
}

/*
 * What the integration in force hears of a change, if the event's override says something about
 * payment; WATCH_NACTIONS: nothing.  With only_paid an unpaid entity does not exist for the
 * receiver: it is created by being paid and deleted by not being paid any more,
 * so that it never hears of anything that it does not know.
 */
static WatchAction
payment_action(WatchedTable *table, const InForce *rule, WatchAction action,
			   TupleTableSlot *old, TupleTableSlot *new, const WatchValues *values)
{
	bool		paid = values->is_true[WATCH_PAID];
	bool		was_paid = paid;

	if (!rule->overridden || !has_field(table, WATCH_PAID))
		return action;
	if (old != NULL && new != NULL)
	{
		WatchValues before;

		watch_evaluate(table, old, false, &before);
		was_paid = before.is_true[WATCH_PAID];
	}
	if (!rule->only_paid)
		return action == WATCH_UPDATE && !was_paid && paid && !rule->send_on_payment ?
			WATCH_NACTIONS : action;
	if (action == WATCH_UPDATE && was_paid != paid)
		return paid ? WATCH_CREATE : WATCH_DELETE;
	return (action == WATCH_DELETE ? was_paid : paid) ? action : WATCH_NACTIONS;
}

/* Does a webhook of any integration subscribe to what this change may be for it? */
static bool
integration_wants(const WatchedTable *table, const WatchAudience *audience, WatchAction action)
{
	if (audience->events[action]->by_integration != NULL)
		return true;
	return action == WATCH_UPDATE && has_field(table, WATCH_PAID) &&
		(audience->events[WATCH_CREATE]->by_integration != NULL ||
		 audience->events[WATCH_DELETE]->by_integration != NULL);
}

/* Tell an audience of a change, as the integration in force says if that matters. */
static void
tell_audience(WatchedTable *table, const WatchAudience *audience, WatchAction action,
			  TupleTableSlot *old, TupleTableSlot *new, const WatchValues *values)
{
	WatchAction paid_action;
	InForce		rule;

	if (!integration_wants(table, audience, action))
	{
		tell(table, audience, action, old, new, values, MATCH_FREE, NULL);
		return;
	}
	inforce_lookup(values->text[WATCH_EVENT_UID], values->text[WATCH_PROFILE], &rule);
	paid_action = payment_action(table, &rule, action, old, new, values);
	if (paid_action == action)
	{
		tell(table, audience, action, old, new, values, MATCH_ALL, rule.integration);
		return;
	}
	tell(table, audience, action, old, new, values, MATCH_FREE, NULL);
	if (paid_action != WATCH_NACTIONS)
		tell(table, audience, paid_action, old, new, values, MATCH_INTEGRATED, rule.integration);
}

/* One change of one row; old and new in the root's layout. */
static void
capture_row(WatchedTable *table, WatchAction action, TupleTableSlot *old, TupleTableSlot *new)
{
	WatchAudience *audiences = table->audiences;
	int			naudiences = table->naudiences;
	WatchValues values;
	bool		seen = action != WATCH_UPDATE ||
	row_changed(table->compare, table->ncompare, old, new);

	/* An expression may read columns that are not in the payload. */
	if (!seen && (table->query == NULL || !any_column_changed(old, new)))
		return;
	watch_evaluate(table, new ? new : old, action == WATCH_DELETE, &values);
	if (!seen && !values_changed(table, old, &values))
		return;
	action = effective_action(table, action, old, new, &values);
	if (action == WATCH_NACTIONS)
		return;
	for (int i = 0; i < naudiences; i++)
	{
		/* What was changed in the first place may be hidden from this one. */
		if (i > 0 && action == WATCH_UPDATE &&
			!row_changed(audiences[i].compare, audiences[i].ncompare, old, new))
			continue;
		tell_audience(table, &audiences[i], action, old, new, &values);
	}
}

/* Does any audience subscribe to this? */
static bool
is_wanted(const WatchedTable *table, WatchAction action)
{
	for (int i = 0; i < table->naudiences; i++)
		if (table->audiences[i].events[action]->wanted)
			return true;
	return false;
}

/* Does anybody subscribe to what this change may turn out to be? */
static bool
anybody_wants(WatchedTable *table, WatchAction action)
{
	if (is_wanted(table, action))
		return true;
	return action == WATCH_UPDATE &&
		(has_field(table, WATCH_DELETED) || has_field(table, WATCH_PAID)) &&
		(is_wanted(table, WATCH_CREATE) || is_wanted(table, WATCH_DELETE));
}

/* Keep a row that is on its way to another partition. */
static void
remember_moved(WatchedTable *table, HeapTuple tuple, TupleTableSlot *root_slot)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	moved.relid = table->relid;
	moved.root = table->root;
	moved.command = HeapTupleHeaderGetCmax(tuple->t_data);
	moved.subid = GetCurrentSubTransactionId();
	moved.tuple = ExecCopySlotHeapTuple(root_slot);
	MemoryContextSwitchTo(old);
}

/* A moved row that never arrived, because a trigger on its new partition dropped it, is deleted. */
static void
report_lost_move(void)
{
	MovedRow	lost = moved;
	Relation	rel;
	WatchedTable *table;

	moved.relid = InvalidOid;
	rel = relation_open(lost.relid, AccessShareLock);
	table = watch_lookup(rel);
	if (table != NULL && anybody_wants(table, WATCH_DELETE))
	{
		Relation	root = relation_open(lost.root, AccessShareLock);
		TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(root), &TTSOpsHeapTuple);

		ExecStoreHeapTuple(lost.tuple, slot, false);
		capture_row(table, WATCH_DELETE, slot, NULL);
		ExecDropSingleTupleTableSlot(slot);
		relation_close(root, AccessShareLock);
	}
	relation_close(rel, AccessShareLock);
}

/* An inserted row: new, or the other half of a move. */
static void
capture_insert(WatchedTable *table, HeapTuple tuple, TupleTableSlot *slot)
{
	if (moved.relid != InvalidOid && moved.root == table->root &&
		moved.command == HeapTupleHeaderGetCmin(tuple->t_data))
	{
		TupleTableSlot *old = MakeSingleTupleTableSlot(slot->tts_tupleDescriptor, &TTSOpsHeapTuple);

		moved.relid = InvalidOid;
		ExecStoreHeapTuple(moved.tuple, old, false);
		if (anybody_wants(table, WATCH_UPDATE))
			capture_row(table, WATCH_UPDATE, old, slot);
		ExecDropSingleTupleTableSlot(old);
	}
	else if (anybody_wants(table, WATCH_CREATE))
		capture_row(table, WATCH_CREATE, NULL, slot);
}

static void
capture(TriggerData *trigger)
{
	WatchedTable *table = watch_lookup(trigger->tg_relation);
	TupleTableSlot *slot;

	if (table == NULL)
		return;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		if (anybody_wants(table, WATCH_UPDATE))
			capture_row(table, WATCH_UPDATE, watch_root_slot(table, trigger->tg_trigslot, 0),
						watch_root_slot(table, trigger->tg_newslot, 1));
		return;
	}
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		if (moved.relid == InvalidOid && !anybody_wants(table, WATCH_CREATE))
			return;
		capture_insert(table, trigger->tg_trigtuple, watch_root_slot(table, trigger->tg_trigslot, 0));
		return;
	}

	if (moved.relid != InvalidOid)
		report_lost_move();
	if (HeapTupleHeaderIndicatesMovedPartitions(trigger->tg_trigtuple->t_data))
		remember_moved(table, trigger->tg_trigtuple, watch_root_slot(table, trigger->tg_trigslot, 0));
	else if (anybody_wants(table, WATCH_DELETE))
	{
		slot = watch_root_slot(table, trigger->tg_trigslot, 0);
		capture_row(table, WATCH_DELETE, slot, NULL);
	}
}

static void
error_callback(void *arg)
{
	TriggerData *trigger = arg;

	errcontext("webhook capture of table \"%s\", set up by webhook.watch()",
			   RelationGetRelationName(trigger->tg_relation));
}

/* The row trigger. */
Datum
webhook_capture(PG_FUNCTION_ARGS)
{
	static MemoryContext context = NULL;
	static int	depth = 0;
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	ErrorContextCallback callback;
	MemoryContext old;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as an AFTER ROW trigger", "webhook.capture"),
				 errhint("Use webhook.watch() to put it on a table.")));

	/* One scratch context serves all rows; a payload function may bring us here again. */
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "webhook capture", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	depth++;
	callback.callback = error_callback;
	callback.arg = trigger;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	PG_TRY();
	{
		capture(trigger);
	}
	PG_FINALLY();
	{
		depth--;
		error_context_stack = callback.previous;
		MemoryContextSwitchTo(old);
		if (depth == 0)
			MemoryContextReset(context);
	}
	PG_END_TRY();
	PG_RETURN_POINTER(NULL);
}

/* Statement trigger on the configuration: everybody is to read it again. */
Datum
webhook_config_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger", "webhook.config_changed")));
	CacheInvalidateRelcache(trigger->tg_relation);
	outbox_wake_at_commit();
	PG_RETURN_POINTER(NULL);
}

/* Is it a trigger name: dot-separated words of letters, digits and underscores? */
static bool
event_name_valid(const char *name)
{
	size_t		len = strlen(name);

	return len > 0 && len <= EVENT_NAME_MAX &&
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.") == len &&
		name[0] != '.' && name[len - 1] != '.' && strstr(name, "..") == NULL;
}

/* Does it mean something that only this extension may say? */
static bool
event_name_reserved(const char *name)
{
	const char *dot = strrchr(name, '.');

	return strncmp(name, "webhook.", 8) == 0 ||
		(dot != NULL && (strcmp(dot, ".test") == 0 || strcmp(dot, ".manual") == 0));
}

static char *
optional_text(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

/* JSON text of a jsonb value without the blanks that its output function puts in. */
static char *
jsonb_compact(Jsonb *jb, int *len)
{
	char	   *text = JsonbToCString(NULL, &jb->root, VARSIZE(jb));
	char	   *to = text;
	bool		quoted = false;

	for (char *from = text; *from; from++)
	{
		if (*from == '"')
			quoted = !quoted;
		else if (*from == '\\' && quoted)
			*to++ = *from++;
		else if (*from == ' ' && !quoted)
			continue;
		*to++ = *from;
	}
	*to = '\0';
	*len = to - text;
	return text;
}

/*
 * emit(event, payload, entity_id, event_uid, profile): a message that is no row.
 */
Datum
webhook_emit(PG_FUNCTION_ARGS)
{
	OutboxRow	message = {0};
	Match		match = {0};
	InForce		rule = {0};
	const CatalogEvent *event;
	pg_uuid_t  *message_id = palloc0(sizeof(pg_uuid_t));
	char	   *name = optional_text(fcinfo, 0);
	char	   *entity_id = optional_text(fcinfo, 2);
	char	   *dot;

	shmem_require();
	PreventCommandIfReadOnly("webhook.emit()");
	if (name == NULL || !event_name_valid(name) || event_name_reserved(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", "event"),
				 errhint("A trigger name consists of letters, digits, underscores and single dots, such as \"guest.checked_in\", and has at most %d characters.",
						 EVENT_NAME_MAX),
				 errdetail("Names in \"webhook.\" and names that end in \".test\" or \".manual\" have a meaning of their own.")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "payload"),
				 errhint("Give a JSON value, such as '{}'.")));

	message.event = name;
	dot = strrchr(name, '.');
	if (dot != NULL)
		message.entity_type = pnstrdup(name, dot - name);
	if (entity_id != NULL)
	{
		StringInfoData buf;

		initStringInfo(&buf);
		escape_json(&buf, entity_id);
		message.entity_id = buf.data;
	}
	message.event_uid = optional_text(fcinfo, 3);
	message.profile = optional_text(fcinfo, 4);
	message.payload = jsonb_compact(PG_GETARG_JSONB_P(1), &message.payload_len);

	event = catalog_event(name);
	if (event->by_integration != NULL)
		inforce_lookup(message.event_uid, message.profile, &rule);
	match.part = MATCH_ALL;
	match.integration = rule.integration;
	match.event_uid = message.event_uid;
	match.payload = message.payload;
	message.webhook_ids = match_webhooks(event, &match);
	if (message.webhook_ids == NULL)
		outbox_new_message_id(message_id);
	else
		outbox_append(&message, message_id);
	PG_RETURN_DATUM(CStringGetTextDatum(outbox_message_id_text(message_id)));
}

static void
xact_callback(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) &&
		moved.relid != InvalidOid)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		report_lost_move();
		PopActiveSnapshot();
	}
	else if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		moved.relid = InvalidOid;
}

static void
subxact_callback(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	/* Later subtransactions have greater ids: those are below this one, or have ended. */
	if (event == SUBXACT_EVENT_ABORT_SUB && moved.subid >= subid)
		moved.relid = InvalidOid;
}

void
capture_init(void)
{
	catalog_init();
	watch_init();

	/* Callbacks run last in, first out: a lost move is reported before the outbox is flushed. */
	outbox_init();
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
