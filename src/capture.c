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
 * it until the INSERT of the same command arrives and report one update (see
 * moved.c).
 *
 * A guest may be inserted before the event that it belongs to, in one
 * transaction.  When an expression does not find the event UID or the profile,
 * and somebody asks for them, the row is kept and told when the transaction
 * commits (kept.c).
 *
 * Most changes do not get as far as the trigger: shortcut.c hands them to
 * capture_at_once() while the statement runs.
 *
 * An error in here, raised by an expression, a payload function, settings that
 * do not fit the table any more or a payload that is too large, makes the
 * application's statement fail: the alternatives are a change that nobody is
 * told of, and a message that says something wrong.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "api.h"
#include "capture.h"
#include "catalog.h"
#include "compat.h"
#include "entity.h"
#include "evaluate.h"
#include "inforce.h"
#include "kept.h"
#include "match.h"
#include "moved.h"
#include "outbox.h"
#include "paid.h"
#include "screen.h"
#include "shmem.h"

/* One scratch context serves all rows; a payload function may bring us here again. */
static MemoryContext scratch = NULL;
static int	scratch_depth = 0;

PG_FUNCTION_INFO_V1(webhook_capture);
PG_FUNCTION_INFO_V1(webhook_notify_payment);
PG_FUNCTION_INFO_V1(webhook_config_changed);


/* Do they differ in one of these columns? */
static bool
row_changed(const AttrNumber *compare, int ncompare, TupleTableSlot *old, TupleTableSlot *new)
{
	slot_getallattrs(old);
	slot_getallattrs(new);
	for (int i = 0; i < ncompare; i++)
		if (match_column_changed(old, new, compare[i]))
			return true;
	return false;
}

/* Do they differ in any column, after row_changed()? */
static bool
any_column_changed(TupleTableSlot *old, TupleTableSlot *new)
{
	TupleDesc	desc = new->tts_tupleDescriptor;

	for (int a = 0; a < desc->natts; a++)
		if (!TupleDescAttr(desc, a)->attisdropped && match_column_changed(old, new, a + 1))
			return true;
	return false;
}

/* Do the fields of the old row differ from these? */
static bool
values_changed(WatchedTable *table, TupleTableSlot *old, const WatchValues *values)
{
	WatchValues before;

	evaluate_row(table, old, false, &before);
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

	if (!watch_has_field(table, WATCH_DELETED))
		return action;

	if (action != WATCH_UPDATE)
		return values->is_true[WATCH_DELETED] ? WATCH_NACTIONS : action;

	evaluate_row(table, old, false, &before);
	if (before.is_true[WATCH_DELETED])
		return values->is_true[WATCH_DELETED] ? WATCH_NACTIONS : WATCH_CREATE;
	return values->is_true[WATCH_DELETED] ? WATCH_DELETE : WATCH_UPDATE;
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

	message.payload = evaluate_payload(table, audience, new ? new : old, values, &message.payload_len);
	match.payload = message.payload;
	match.old = action == WATCH_UPDATE ? old : NULL;
	match.new = new;
	message.webhook_ids = match_webhooks(event, &match);
	if (message.webhook_ids == NULL)
		return;
	message.relation = table->root;
	message.event = table->event_names[action];
	message.entity_type = table->entity_type;
	message.entity_id = values->text[WATCH_ID];
	if (watch_audience_sees(table, audience, WATCH_PROFILE))
		message.profile = values->text[WATCH_PROFILE];

	/* What an expression of a kept row writes has a place of its own. */
	message.id = scratch_depth == 0 ? kept_place() : NULL;
	outbox_append(&message, &message_id);
}

/* Does an unpaid entity exist for whom this rule is made? */
static bool
shows_unpaid(const InForce *rule)
{
	return !rule->overridden || !rule->only_paid;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/*
 * Where the row was before an update, and by what rule its integration heard of
 * it.  False: this is the same event and profile.
 */
static bool
has_moved(WatchedTable *table, TupleTableSlot *old, const WatchValues *values, bool *was_paid, InForce *old_rule)
{
	WatchValues before;

	evaluate_row(table, old, false, &before);
	*was_paid = before.is_true[WATCH_PAID];
	if (same_text(before.text[WATCH_EVENT_UID], values->text[WATCH_EVENT_UID]) &&
		same_text(before.text[WATCH_PROFILE], values->text[WATCH_PROFILE]))
		return false;
	inforce_lookup(before.text[WATCH_EVENT_UID], before.text[WATCH_PROFILE], old_rule);
	return true;
}

/*
 * The same integration hears of the entity in another event, where payment may
 * mean something else: what does it know of it, and what is it to know?
 */
static WatchAction
moved_action(WatchedTable *table, const InForce *rule, const InForce *old_rule,
			 bool was_paid, const WatchValues *values)
{
	bool		known = shows_unpaid(old_rule) || was_paid;
	bool		shown = shows_unpaid(rule) || values->is_true[WATCH_PAID];

	if (table->field_position[WATCH_PAID] > 0)
	{
		bool		forgotten = paid_forget(table, values);

		known = shows_unpaid(old_rule) || forgotten;
		if (!shows_unpaid(rule) && shown)
			(void) paid_action(table, WATCH_UPDATE, values);
	}
	if (known)
		return shown ? WATCH_UPDATE : WATCH_DELETE;
	return shown ? WATCH_CREATE : WATCH_NACTIONS;
}

/*
 * What the integration in force hears of a change, if an event's override
 * says something about payment; WATCH_NACTIONS: nothing.  With only_paid an
 * unpaid entity does not exist for the receiver: it is created by being paid
 * and deleted by not being paid any more, so that it never hears of anything
 * that it does not know.
 */
static WatchAction
payment_action(WatchedTable *table, const InForce *rule, WatchAction action,
			   TupleTableSlot *old, TupleTableSlot *new, const WatchValues *values)
{
	bool		paid = values->is_true[WATCH_PAID];
	bool		was_paid = paid;
	bool		moved = false;
	InForce		old_rule;

	if (!watch_has_field(table, WATCH_PAID) || !inforce_overridden())
		return action;
	if (old != NULL && new != NULL)
		moved = has_moved(table, old, values, &was_paid, &old_rule);
	if (moved && action == WATCH_UPDATE && !(shows_unpaid(rule) && shows_unpaid(&old_rule)) &&
		rule->integration != NULL && same_text(rule->integration, old_rule.integration))
		return moved_action(table, rule, &old_rule, was_paid, values);
	if (moved && !shows_unpaid(&old_rule) && table->field_position[WATCH_PAID] > 0)
		(void) paid_forget(table, values);
	if (!rule->overridden)
		return action;
	if (rule->only_paid && table->field_position[WATCH_PAID] > 0)
	{
		WatchAction known_action = paid_action(table, action, values);

		/* Another integration has been told of who comes from another event. */
		if (!moved)
			return known_action;
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
	return action == WATCH_UPDATE && watch_has_field(table, WATCH_PAID) &&
		(audience->events[WATCH_CREATE]->by_integration != NULL ||
		 audience->events[WATCH_DELETE]->by_integration != NULL);
}

/* What the integration in force hears of a change, for all audiences. */
typedef struct Ruling
{
	bool		made;
	InForce		rule;
	WatchAction action;
} Ruling;

/* Tell an audience of a change, as the integration in force says if that matters. */
static void
tell_audience(WatchedTable *table, const WatchAudience *audience, WatchAction action,
			  TupleTableSlot *old, TupleTableSlot *new, const WatchValues *values, Ruling *ruling)
{
	if (!integration_wants(table, audience, action))
	{
		tell(table, audience, action, old, new, values, MATCH_FREE, NULL);
		return;
	}
	if (!ruling->made)
	{
		inforce_lookup(values->text[WATCH_EVENT_UID], values->text[WATCH_PROFILE], &ruling->rule);
		ruling->action = payment_action(table, &ruling->rule, action, old, new, values);
		ruling->made = true;
	}
	if (ruling->action == action)
	{
		tell(table, audience, action, old, new, values, MATCH_ALL, ruling->rule.integration);
		return;
	}
	tell(table, audience, action, old, new, values, MATCH_FREE, NULL);
	if (ruling->action != WATCH_NACTIONS)
		tell(table, audience, ruling->action, old, new, values, MATCH_INTEGRATED, ruling->rule.integration);
}

/* Does any audience ask for event UIDs or integrations? */
static bool
context_matters(const WatchedTable *table)
{
	for (int i = 0; i < table->naudiences; i++)
		for (int a = 0; a < WATCH_NACTIONS; a++)
			if (table->audiences[i].events[a]->by_uid != NULL ||
				table->audiences[i].events[a]->by_integration != NULL)
				return true;
	return false;
}

/* One change of one row; old and new in the root's layout. */
static void
capture_row(WatchedTable *table, WatchAction action, TupleTableSlot *old, TupleTableSlot *new)
{
	WatchAudience *audiences = table->audiences;
	int			naudiences = table->naudiences;
	WatchValues values;
	Ruling		ruling = {false};
	bool		seen = action != WATCH_UPDATE ||
	row_changed(table->compare, table->ncompare, old, new);

	/* An expression may read columns that are not in the payload. */
	if (!seen && (table->query == NULL || !any_column_changed(old, new)))
		return;
	evaluate_row(table, new ? new : old, action == WATCH_DELETE, &values);

	/* What a row was deleted from may be gone; it still comes only if the row did, in this transaction. */
	if ((action != WATCH_DELETE || kept_any()) && evaluate_context_missing(table, &values) &&
		context_matters(table) && kept_add(table, action, old, new))
		return;
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
		tell_audience(table, &audiences[i], action, old, new, &values, &ruling);
	}
}

/* Could anybody want this? */
static bool
is_wanted(WatchedTable *table, WatchAction action, TupleTableSlot *slot)
{
	return table->wanted[action] &&
		(!screen_applies(table, action) || screen_decide(table, action, slot) != SCREEN_NOBODY);
}

/* Keep a row that is on its way to another partition.  The one before it, if still there, will not arrive. */
static void
remember_moved(WatchedTable *table, HeapTuple tuple, TupleTableSlot *root_slot)
{
	CommandId	command = HeapTupleHeaderGetCmax(tuple->t_data);
	MovedRow   *before = moved_find(table->root, command);

	if (before != NULL)
		moved_lose(before);
	moved_remember(table->relid, table->root, command,
				   kept_layout(root_slot->tts_tupleDescriptor), kept_copy(root_slot));
}

/* Tell of a change from copies of the rows, in the root's layout. */
static void
capture_copies(Oid relid, Oid root_oid, WatchAction action, TupleDesc desc, HeapTuple old, HeapTuple new)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	WatchedTable *table;

	if (rel == NULL)
		return;					/* dropped since, in the same transaction */
	table = watch_lookup(rel);
	if (table != NULL && table->wanted[action])
	{
		Relation	root = relation_open(root_oid, AccessShareLock);
		TupleTableSlot *old_slot = MakeSingleTupleTableSlot(RelationGetDescr(root), &TTSOpsHeapTuple);
		TupleTableSlot *new_slot = MakeSingleTupleTableSlot(RelationGetDescr(root), &TTSOpsHeapTuple);

		kept_check_layout(desc, root);
		if (old != NULL)
			ExecStoreHeapTuple(old, old_slot, false);
		if (new != NULL)
			ExecStoreHeapTuple(new, new_slot, false);
		capture_row(table, action, old ? old_slot : NULL, new ? new_slot : NULL);
		ExecDropSingleTupleTableSlot(old_slot);
		ExecDropSingleTupleTableSlot(new_slot);
		relation_close(root, AccessShareLock);
	}
	relation_close(rel, AccessShareLock);
}

/* A moved row that never arrived, because a trigger on its new partition dropped it, is deleted. */
static void
tell_lost_move(const MovedRow *lost)
{
	capture_copies(lost->relid, lost->root, WATCH_DELETE, lost->desc, lost->tuple, NULL);
}

/* A row that was kept, at the end of the transaction. */
static void
tell_kept(const KeptRow *row)
{
	capture_copies(row->relid, row->root, row->action, row->desc, row->old, row->new);
}

/* Have they got one id? */
static bool
same_entity(WatchedTable *table, TupleTableSlot *a, TupleTableSlot *b)
{
	WatchValues of_a;
	WatchValues of_b;

	evaluate_row(table, a, false, &of_a);
	evaluate_row(table, b, false, &of_b);
	return of_a.text[WATCH_ID] != NULL && of_b.text[WATCH_ID] != NULL &&
		strcmp(of_a.text[WATCH_ID], of_b.text[WATCH_ID]) == 0;
}

/* A row inserted by a command that moves one: is it that one?  Then it has been told. */
static bool
capture_moved(WatchedTable *table, MovedRow *row, TupleTableSlot *slot)
{
	TupleTableSlot *old = MakeSingleTupleTableSlot(slot->tts_tupleDescriptor, &TTSOpsHeapTuple);
	HeapTuple	tuple = row->tuple;
	bool		same;

	ExecStoreHeapTuple(tuple, old, false);
	same = row->certain || same_entity(table, old, slot);
	if (same)
	{
		/* From now on it belongs to us, whatever capturing it brings about. */
		(void) moved_take(row);
		if (table->wanted[WATCH_UPDATE])
			capture_row(table, WATCH_UPDATE, old, slot);
	}
	ExecDropSingleTupleTableSlot(old);
	if (same)
		heap_freetuple(tuple);
	else
		moved_lose(row);
	return same;
}

/* An inserted row: new, or the other half of a move. */
static void
capture_insert(WatchedTable *table, HeapTuple tuple, TupleTableSlot *slot)
{
	MovedRow   *row = moved_rows == NULL ? NULL :
		moved_find(table->root, HeapTupleHeaderGetCmin(tuple->t_data));

	if (row != NULL && capture_moved(table, row, slot))
		return;
	if (is_wanted(table, WATCH_CREATE, slot))
		capture_row(table, WATCH_CREATE, NULL, slot);
}

static WatchAction
trigger_action(const TriggerData *trigger)
{
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		return WATCH_CREATE;
	return TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? WATCH_UPDATE : WATCH_DELETE;
}

/* Is this row deleted here because it moves to another partition? */
static bool
leaves(const TriggerData *trigger, WatchAction action)
{
	return action == WATCH_DELETE && HeapTupleHeaderIndicatesMovedPartitions(trigger->tg_trigtuple->t_data);
}

/* A row in the root's layout.  The table has room for that, but it is the outermost trigger's, which still needs it. */
static TupleTableSlot *
root_slot(WatchedTable *table, TupleTableSlot *slot, int which)
{
	return watch_root_slot(table, slot, scratch_depth > 1 ? -1 : which);
}

/* The row that decides who hears of the change. */
static TupleTableSlot *
deciding_slot(WatchedTable *table, const TriggerData *trigger, WatchAction action)
{
	if (action == WATCH_UPDATE)
		return root_slot(table, trigger->tg_newslot, 1);
	return root_slot(table, trigger->tg_trigslot, 0);
}

/*
 * Is it known that nobody wants this, from a change like it?  Most of what an
 * application writes may be of that kind, so this is to cost nothing.
 */
static bool
known_to_be_unwanted(WatchedTable *table, WatchAction action, TupleTableSlot *deciding)
{
	return !table->wanted[action] ||
		(screen_applies(table, action) && screen_recall(table, action, deciding) == SCREEN_NOBODY);
}

static void
error_callback(void *arg)
{
	errcontext("webhook capture of table \"%s\", set up by webhook.watch()",
			   RelationGetRelationName((Relation) arg));
}

/* Run this for a change of a row, in scratch memory. */
static bool
run_in_scratch(Relation rel, bool (*function) (void *arg), void *arg)
{
	MemoryContext old;
	ErrorContextCallback callback = {error_context_stack, error_callback, rel};
	volatile bool result = false;

	if (scratch == NULL)
		scratch = AllocSetContextCreate(TopMemoryContext, "webhook capture", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	scratch_depth++;
	PG_TRY();
	{
		/* Within, as PG_END_TRY() goes back to what there was before PG_TRY(). */
		error_context_stack = &callback;
		result = function(arg);
	}
	PG_FINALLY();
	{
		scratch_depth--;
		MemoryContextSwitchTo(old);
		if (scratch_depth == 0)
			MemoryContextReset(scratch);
	}
	PG_END_TRY();
	return result;
}

static bool
capture_event(void *arg)
{
	const TriggerData *trigger = arg;
	WatchedTable *table = watch_lookup(trigger->tg_relation);
	WatchAction action = trigger_action(trigger);
	TupleTableSlot *slot;

	if (table == NULL)
		return true;
	slot = deciding_slot(table, trigger, action);
	switch (action)
	{
		case WATCH_CREATE:
			capture_insert(table, trigger->tg_trigtuple, slot);
			break;
		case WATCH_UPDATE:
			if (is_wanted(table, WATCH_UPDATE, slot))
				capture_row(table, WATCH_UPDATE, root_slot(table, trigger->tg_trigslot, 0), slot);
			break;
		default:
			if (!leaves(trigger, action))
			{
				if (is_wanted(table, WATCH_DELETE, slot))
					capture_row(table, WATCH_DELETE, slot, NULL);
			}
			else if (table->wanted[WATCH_CREATE] || table->wanted[WATCH_UPDATE] || table->wanted[WATCH_DELETE])
				remember_moved(table, trigger->tg_trigtuple, slot);
			break;
	}
	return true;
}

/* The row trigger. */
Datum
webhook_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	WatchedTable *table;
	WatchAction action;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as an AFTER ROW trigger", "webhook.capture"),
				 errhint("Use webhook.watch() to put it on a table.")));

	/* Half of a move is told with the other half. */
	table = watch_recent(trigger->tg_relation);
	action = trigger_action(trigger);
	if (scratch_depth > 0 || table == NULL || moved_rows != NULL || leaves(trigger, action) ||
		!known_to_be_unwanted(table, action, deciding_slot(table, trigger, action)))
		(void) run_in_scratch(trigger->tg_relation, capture_event, trigger);
	PG_RETURN_POINTER(NULL);
}

/* What capture_at_once() is asked. */
typedef struct RowChange
{
	Relation	rel;
	WatchAction action;
	TupleTableSlot *old;
	TupleTableSlot *new;
} RowChange;

static bool
capture_change(void *arg)
{
	const RowChange *change = arg;
	WatchedTable *table = watch_lookup(change->rel);

	if (table == NULL || !is_wanted(table, change->action, change->new ? change->new : change->old))
		return true;

	/* What others wrote is to see the statement's work done. */
	if (table->query != NULL || table->calls_users)
		return false;
	capture_row(table, change->action, change->old, change->new);
	return true;
}

bool
capture_at_once(Relation rel, TupleTableSlot *old, TupleTableSlot *new)
{
	RowChange	change = {rel, WATCH_UPDATE, old, new};
	WatchedTable *table = watch_recent(rel);

	if (moved_rows != NULL)
		return false;
	if (old == NULL)
		change.action = WATCH_CREATE;
	else if (new == NULL)
		change.action = WATCH_DELETE;
	return (table != NULL && known_to_be_unwanted(table, change.action, new ? new : old)) ||
		run_in_scratch(rel, capture_change, &change);
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

/* What the integration in force hears of a payment that somebody tells us of. */
static WatchAction
notified_action(WatchedTable *table, const InForce *rule, TupleTableSlot *slot, const WatchValues *values)
{
	if (rule->overridden && !rule->only_paid && !rule->send_on_payment && values->is_true[WATCH_PAID])
		return WATCH_NACTIONS;
	return payment_action(table, rule, WATCH_UPDATE, NULL, slot, values);
}

/* The payment of this row has changed, though the row has not. */
static void
tell_payment(WatchedTable *table, TupleTableSlot *slot, void *found)
{
	WatchValues values;
	Ruling		ruling = {false};

	*(bool *) found = true;
	evaluate_row(table, slot, false, &values);
	for (int i = 0; i < table->naudiences; i++)
	{
		const WatchAudience *audience = &table->audiences[i];

		tell(table, audience, WATCH_UPDATE, NULL, slot, &values, MATCH_FREE, NULL);
		if (!integration_wants(table, audience, WATCH_UPDATE))
			continue;
		if (!ruling.made)
		{
			inforce_lookup(values.text[WATCH_EVENT_UID], values.text[WATCH_PROFILE], &ruling.rule);
			ruling.action = notified_action(table, &ruling.rule, slot, &values);
			ruling.made = true;
		}
		if (ruling.action != WATCH_NACTIONS)
			tell(table, audience, ruling.action, NULL, slot, &values, MATCH_INTEGRATED, ruling.rule.integration);
	}
}

/*
 * notify_payment(entity_type, entity_id) returns boolean: is there such an entity?
 *
 * For payments that stand in another table, to be called from a trigger there.
 */
Datum
webhook_notify_payment(PG_FUNCTION_ARGS)
{
	char	   *entity_type;
	char	   *entity_id;

	shmem_require();
	PreventCommandIfReadOnly("webhook.notify_payment()");
	entity_type = TextDatumGetCString(api_argument(fcinfo, 0, "entity_type"));
	entity_id = TextDatumGetCString(api_argument(fcinfo, 1, "entity_id"));
	PG_RETURN_BOOL(entity_visit(entity_type, entity_id, tell_payment));
}

void
capture_init(void)
{
	catalog_init();
	watch_init();

	moved_init(tell_lost_move);

	/* Callbacks run last in, first out: kept rows are told before the outbox is flushed. */
	outbox_init();
	kept_init(tell_kept);
}
