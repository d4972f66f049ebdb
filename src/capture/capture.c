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
 * row_movement.c).
 *
 * A guest may be inserted before the event that it belongs to, in one
 * transaction.  When an expression does not find the event UID or the profile,
 * and somebody asks for them, the row is kept and told when the transaction
 * commits (deferred.c).
 *
 * Most changes do not get as far as the trigger: inline_capture.c hands them to
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

#include "base/argument.h"
#include "base/catalog.h"
#include "capture/capture.h"
#include "capture/deferred.h"
#include "capture/match.h"
#include "capture/payment.h"
#include "capture/row_movement.h"
#include "compat.h"
#include "log/outbox.h"
#include "server/shmem.h"
#include "server/wakeup.h"
#include "watch/active_integration.h"
#include "watch/entity.h"
#include "watch/evaluate.h"
#include "watch/prefilter.h"

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
		if (evaluate_column_changed(old, new, compare[i]))
			return true;
	return false;
}

/* Do they differ in any column, after row_changed()? */
static bool
any_column_changed(TupleTableSlot *old, TupleTableSlot *new)
{
	TupleDesc	desc = new->tts_tupleDescriptor;

	for (int a = 0; a < desc->natts; a++)
		if (!TupleDescAttr(desc, a)->attisdropped && evaluate_column_changed(old, new, a + 1))
			return true;
	return false;
}

/* Has a column changed that an expression reads?  What else changes cannot change what they say. */
static bool
expression_may_differ(const WatchedTable *table, TupleTableSlot *old, TupleTableSlot *new)
{
	for (int f = 0; f < WATCH_NFIELDS; f++)
		if (table->field_position[f] > 0 && evaluate_field_may_differ(table, f, old, new))
			return true;
	return false;
}

/* One change of one row, and what the settings say of it. */
typedef struct Change
{
	WatchedTable *table;
	WatchAction action;			/* to the receiver: a row that counts as deleted does not exist */
	TupleTableSlot *old;		/* in the root's layout, NULL where the action has none */
	TupleTableSlot *new;
	WatchValues values;			/* of the new row, or of the old one if there is none */
	WatchValues before;			/* of the old row, see change_before() */
	bool		before_known;

	/* what the integration in force is sent */
	bool		ruled;
	ActiveIntegration		rule;
	WatchAction ruling;			/* WATCH_NACTIONS: nothing */
	bool		payment_alone_is_nothing;	/* nothing if only what says that it is paid has changed */
} Change;

/* What the settings say of the row before an update. */
static const WatchValues *
change_before(Change *change)
{
	if (!change->before_known)
		evaluate_row(change->table, change->old, InvalidCommandId, &change->before);
	change->before_known = true;
	return &change->before;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Do the fields of the two rows of an update differ? */
static bool
values_changed(Change *change)
{
	const WatchValues *before = change_before(change);

	for (int f = 0; f < WATCH_NFIELDS; f++)
		if (before->is_true[f] != change->values.is_true[f] || !same_text(before->text[f], change->values.text[f]))
			return true;
	return false;
}

/* Does an update give the row another id? */
static bool
id_changed(Change *change)
{
	return evaluate_field_may_differ(change->table, WATCH_ID, change->old, change->new) &&
		!same_text(change_before(change)->text[WATCH_ID], change->values.text[WATCH_ID]);
}

/* Take an update for the end of the entity: who is sent it depends on where the entity was. */
static void
change_into_delete(Change *change)
{
	char	   *payload = change->values.text[WATCH_PAYLOAD];

	change->action = WATCH_DELETE;
	change->values = *change_before(change);
	change->values.text[WATCH_PAYLOAD] = payload;
}

/* What happened, as the receiver shall see it.  False: nothing. */
static bool
set_effective_action(Change *change)
{
	bool		deleted = change->values.is_true[WATCH_DELETED];

	if (!watch_has_field(change->table, WATCH_DELETED))
		return true;
	if (change->action != WATCH_UPDATE)
		return !deleted;
	if (!deleted && change_before(change)->is_true[WATCH_DELETED])
		change->action = WATCH_CREATE;
	else if (deleted)
	{
		if (change_before(change)->is_true[WATCH_DELETED])
			return false;
		change_into_delete(change);
	}
	return true;
}

/* Append the message for one audience, or a part of it: what it may see of the change. */
static void
append_message(const Change *change, const WatchAudience *audience, WatchAction action, MatchPart part,
			   const char *integration)
{
	WatchedTable *table = change->table;
	const WatchValues *values = &change->values;
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

	message.payload = evaluate_payload(table, audience, change->new ? change->new : change->old, values,
									   &message.payload_len);
	match.payload = message.payload;
	match.old = action == WATCH_UPDATE ? change->old : NULL;
	match.new = change->new;
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
	message.id = scratch_depth == 0 ? deferred_place() : NULL;
	outbox_append(&message, &message_id);
}

/* Does an unpaid entity exist for whom this rule is made? */
static bool
shows_unpaid(const ActiveIntegration *rule)
{
	return !rule->overridden || !rule->only_paid;
}

/*
 * An update takes the entity to another event or profile of the same
 * integration, where payment may mean something else: what does the integration
 * know of it, and what should it know?
 */
static WatchAction
moved_action(Change *change, const ActiveIntegration *old_rule)
{
	WatchedTable *table = change->table;
	bool		known = shows_unpaid(old_rule) || change_before(change)->is_true[WATCH_PAID];
	bool		shown = shows_unpaid(&change->rule) || change->values.is_true[WATCH_PAID];

	if (table->field_position[WATCH_PAID] > 0)
	{
		bool		forgotten = payment_forget(table, &change->values);

		known = shows_unpaid(old_rule) || forgotten;
		if (!shows_unpaid(&change->rule) && shown)
			(void) payment_action(table, WATCH_UPDATE, &change->values);
	}
	if (known)
		return shown ? WATCH_UPDATE : WATCH_DELETE;
	return shown ? WATCH_CREATE : WATCH_NACTIONS;
}

/*
 * What an integration that is sent paid entities only is sent of this one: it
 * is created by being paid and deleted by not being paid any more, so that the
 * receiver is never sent anything about what it does not know.
 */
static WatchAction
only_paid_action(Change *change)
{
	bool		paid = change->values.is_true[WATCH_PAID];

	if (change->action != WATCH_UPDATE || change->old == NULL)
		return paid ? change->action : WATCH_NACTIONS;
	if (change_before(change)->is_true[WATCH_PAID] != paid)
		return paid ? WATCH_CREATE : WATCH_DELETE;
	return paid ? WATCH_UPDATE : WATCH_NACTIONS;
}

/*
 * What the integration in force is sent of a change, if an event's override
 * says something about payment.  Sets change->payment_alone_is_nothing as well.
 */
static WatchAction
capture_payment_action(Change *change)
{
	WatchedTable *table = change->table;
	const ActiveIntegration *rule = &change->rule;
	bool		update = change->action == WATCH_UPDATE && change->old != NULL;
	bool		is_expression = table->field_position[WATCH_PAID] > 0;
	bool		moved = false;
	ActiveIntegration		old_rule;

	if (!watch_has_field(table, WATCH_PAID) || !active_integration_overridden())
		return change->action;
	if (update)
	{
		const WatchValues *before = change_before(change);

		moved = !same_text(before->text[WATCH_EVENT_UID], change->values.text[WATCH_EVENT_UID]) ||
			!same_text(before->text[WATCH_PROFILE], change->values.text[WATCH_PROFILE]);
		change->payment_alone_is_nothing = rule->overridden && !rule->only_paid && !rule->send_on_payment &&
			!moved && !before->is_true[WATCH_PAID] && change->values.is_true[WATCH_PAID];
		if (moved)
			active_integration_lookup(before->text[WATCH_EVENT_UID], before->text[WATCH_PROFILE], &old_rule);
	}
	if (moved && !(shows_unpaid(rule) && shows_unpaid(&old_rule)) &&
		rule->integration != NULL && same_text(rule->integration, old_rule.integration))
		return moved_action(change, &old_rule);
	if (moved && !shows_unpaid(&old_rule) && is_expression)
		(void) payment_forget(table, &change->values);
	if (shows_unpaid(rule))
		return change->action;
	if (is_expression)
	{
		WatchAction known_action = payment_action(table, change->action, &change->values);

		/* Another integration has been told of who comes from another event. */
		if (!moved)
			return known_action;
	}
	return only_paid_action(change);
}

/* Has a column that this audience sees changed, other than those that say what is paid? */
static bool
more_than_payment(const Change *change, const WatchAudience *audience)
{
	const WatchedTable *table = change->table;

	for (int i = 0; i < audience->ncompare; i++)
		if (audience->compare[i] != table->field_column[WATCH_PAID] &&
			!bms_is_member(audience->compare[i], table->reads[WATCH_PAID]) &&
			evaluate_column_changed(change->old, change->new, audience->compare[i]))
			return true;
	return false;
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

/* Find out which integration is in force, and what it is sent. */
static void
rule_on(Change *change, WatchAction (*action) (Change *change))
{
	if (change->ruled)
		return;
	active_integration_lookup(change->values.text[WATCH_EVENT_UID], change->values.text[WATCH_PROFILE], &change->rule);
	change->ruling = action(change);
	change->ruled = true;
}

/* Append the messages for an audience, as the integration in force says if that matters. */
static void
append_for_audience(Change *change, const WatchAudience *audience)
{
	WatchAction action = change->action;
	WatchAction ruling;

	if (!integration_wants(change->table, audience, action))
	{
		append_message(change, audience, action, MATCH_FREE, NULL);
		return;
	}
	rule_on(change, capture_payment_action);
	ruling = change->ruling;
	if (change->payment_alone_is_nothing && !more_than_payment(change, audience))
		ruling = WATCH_NACTIONS;
	if (ruling == action)
	{
		append_message(change, audience, action, MATCH_ALL, change->rule.integration);
		return;
	}
	append_message(change, audience, action, MATCH_FREE, NULL);
	if (ruling != WATCH_NACTIONS)
		append_message(change, audience, ruling, MATCH_INTEGRATED, change->rule.integration);
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

/* Could anybody want this? */
static bool
is_wanted(WatchedTable *table, WatchAction action, TupleTableSlot *slot)
{
	return table->wanted[action] && prefilter_decide(table, action, slot) != PREFILTER_UNWANTED;
}

/*
 * May an update matter to those who were sent the old row, whoever is sent the
 * new one?  It does if the id changes, and if the row is deleted at once with
 * its move to another event.
 */
static bool
old_row_matters(const WatchedTable *table, TupleTableSlot *old, TupleTableSlot *new)
{
	if ((table->wanted[WATCH_CREATE] || table->wanted[WATCH_DELETE]) &&
		evaluate_field_may_differ(table, WATCH_ID, old, new))
		return true;
	return table->wanted[WATCH_UPDATE] && watch_has_field(table, WATCH_DELETED) &&
		(evaluate_field_may_differ(table, WATCH_EVENT_UID, old, new) ||
		 evaluate_field_may_differ(table, WATCH_PROFILE, old, new));
}

/* Append the messages that a change makes, for all audiences. */
static void
append_messages(Change *change)
{
	WatchedTable *table = change->table;
	WatchAudience *audiences = table->audiences;
	int			naudiences = table->naudiences;

	if (!set_effective_action(change))
		return;
	for (int i = 0; i < naudiences; i++)
	{
		/* What was changed in the first place may be hidden from this one. */
		if (i > 0 && change->action == WATCH_UPDATE &&
			!row_changed(audiences[i].compare, audiences[i].ncompare, change->old, change->new))
			continue;
		append_for_audience(change, &audiences[i]);
	}
}

/*
 * Should a change be captured at the end of the transaction, because it is not
 * yet known where the row belongs?  What a row was deleted from may be gone; it
 * still comes only if the row did, in this transaction.  What is noted about
 * payment must come in the order of the changes.
 */
static bool
must_wait(const WatchedTable *table, WatchAction action, const WatchValues *values)
{
	if (!context_matters(table))
		return false;
	if (deferred_any() && table->field_position[WATCH_PAID] > 0 && active_integration_overridden())
		return true;
	return (action != WATCH_DELETE || deferred_any()) && evaluate_context_missing(table, values);
}

/*
 * One change of one row; old and new in the root's layout.  An update that
 * changes the id is the end of one entity and the beginning of another.  past is
 * what evaluate_past() says of the old row.
 */
static void
capture_row(WatchedTable *table, WatchAction action, TupleTableSlot *old, TupleTableSlot *new, CommandId past)
{
	Change		change = {table, action, old, new};
	bool		seen = action != WATCH_UPDATE || row_changed(table->compare, table->ncompare, old, new);

	/* An expression may read columns that are not in the payload. */
	if (!seen && (table->query == NULL || !any_column_changed(old, new) || !expression_may_differ(table, old, new)))
		return;
	evaluate_row(table, new ? new : old, action == WATCH_DELETE ? past : InvalidCommandId, &change.values);
	if (action == WATCH_UPDATE && id_changed(&change))
	{
		if (is_wanted(table, WATCH_DELETE, old))
			capture_row(table, WATCH_DELETE, old, NULL, past);
		if (is_wanted(table, WATCH_CREATE, new))
			capture_row(table, WATCH_CREATE, NULL, new, past);
		return;
	}

	if (must_wait(table, action, &change.values) && deferred_add(table, action, old, new, past))
		return;
	if (seen || values_changed(&change))
		append_messages(&change);
}

static void
capture_update(WatchedTable *table, TupleTableSlot *old, TupleTableSlot *new, CommandId past)
{
	if (is_wanted(table, WATCH_UPDATE, new) || old_row_matters(table, old, new))
		capture_row(table, WATCH_UPDATE, old, new, past);
}

/* Keep a row that is on its way to another partition.  The one before it, if still there, will not arrive. */
static void
remember_moved(WatchedTable *table, HeapTuple tuple, TupleTableSlot *root_slot)
{
	CommandId	command = HeapTupleHeaderGetCmax(tuple->t_data);
	MovedRow   *before = row_movement_find(table->root, command);

	if (before != NULL)
		row_movement_lose(before);
	row_movement_remember(table->relid, table->root, command,
				   deferred_layout(root_slot->tts_tupleDescriptor), deferred_copy(root_slot), evaluate_past(tuple));
}

/* Tell of a change from copies of the rows, in the root's layout. */
static void
capture_copies(Oid relid, Oid root_oid, WatchAction action, TupleDesc desc, HeapTuple old, HeapTuple new,
			   CommandId past)
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

		deferred_check_layout(desc, root);
		if (old != NULL)
			ExecStoreHeapTuple(old, old_slot, false);
		if (new != NULL)
			ExecStoreHeapTuple(new, new_slot, false);
		capture_row(table, action, old ? old_slot : NULL, new ? new_slot : NULL, past);
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
	capture_copies(lost->relid, lost->root, WATCH_DELETE, lost->desc, lost->tuple, NULL, lost->past);
}

/* A row that was kept, at the end of the transaction. */
static void
tell_kept(const DeferredRow *row)
{
	capture_copies(row->relid, row->root, row->action, row->desc, row->old, row->new, row->past);
}

/* Have they got one id? */
static bool
same_entity(WatchedTable *table, TupleTableSlot *a, TupleTableSlot *b)
{
	WatchValues of_a;
	WatchValues of_b;

	evaluate_row(table, a, InvalidCommandId, &of_a);
	evaluate_row(table, b, InvalidCommandId, &of_b);
	return of_a.text[WATCH_ID] != NULL && of_b.text[WATCH_ID] != NULL &&
		strcmp(of_a.text[WATCH_ID], of_b.text[WATCH_ID]) == 0;
}

/* A row inserted by a command that moves one: is it that one?  Then it has been told. */
static bool
capture_moved(WatchedTable *table, MovedRow *row, TupleTableSlot *slot)
{
	TupleTableSlot *old = MakeSingleTupleTableSlot(slot->tts_tupleDescriptor, &TTSOpsHeapTuple);
	HeapTuple	tuple = row->tuple;
	CommandId	past = row->past;
	bool		same;

	ExecStoreHeapTuple(tuple, old, false);
	same = row->certain || same_entity(table, old, slot);
	if (same)
	{
		/* From now on it belongs to us, whatever capturing it brings about. */
		(void) row_movement_take(row);
		capture_update(table, old, slot, past);
	}
	ExecDropSingleTupleTableSlot(old);
	if (same)
		heap_freetuple(tuple);
	else
		row_movement_lose(row);
	return same;
}

/* An inserted row: new, or the other half of a move. */
static void
capture_insert(WatchedTable *table, HeapTuple tuple, TupleTableSlot *slot)
{
	MovedRow   *row = row_movement_rows == NULL ? NULL :
		row_movement_find(table->root, HeapTupleHeaderGetCmin(tuple->t_data));

	if (row != NULL && capture_moved(table, row, slot))
		return;
	if (is_wanted(table, WATCH_CREATE, slot))
		capture_row(table, WATCH_CREATE, NULL, slot, InvalidCommandId);
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

/* The row that decides who is sent the change. */
static TupleTableSlot *
deciding_slot(WatchedTable *table, const TriggerData *trigger, WatchAction action)
{
	if (action == WATCH_UPDATE)
		return root_slot(table, trigger->tg_newslot, 1);
	return root_slot(table, trigger->tg_trigslot, 0);
}

/*
 * Is it known that nobody wants this, from a change like it?  Most of what an
 * application writes may be of that kind, so this should cost nothing.
 */
static bool
known_to_be_unwanted(WatchedTable *table, WatchAction action, TupleTableSlot *old, TupleTableSlot *new)
{
	if (table->wanted[action] && prefilter_recall(table, action, new ? new : old) != PREFILTER_UNWANTED)
		return false;
	return action != WATCH_UPDATE || !old_row_matters(table, old, new);
}

/* The same for the row trigger. */
static bool
event_is_unwanted(WatchedTable *table, WatchAction action, const TriggerData *trigger)
{
	TupleTableSlot *deciding = deciding_slot(table, trigger, action);

	if (action != WATCH_UPDATE)
		return known_to_be_unwanted(table, action, deciding, NULL);
	return known_to_be_unwanted(table, action, root_slot(table, trigger->tg_trigslot, 0), deciding);
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
			capture_update(table, root_slot(table, trigger->tg_trigslot, 0), slot,
						   evaluate_past(trigger->tg_trigtuple));
			break;
		default:
			if (!leaves(trigger, action))
			{
				if (is_wanted(table, WATCH_DELETE, slot))
					capture_row(table, WATCH_DELETE, slot, NULL, evaluate_past(trigger->tg_trigtuple));
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
	if (scratch_depth > 0 || table == NULL || row_movement_rows != NULL || leaves(trigger, action) ||
		!event_is_unwanted(table, action, trigger))
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
	bool		update = change->action == WATCH_UPDATE;

	if (table == NULL || (!is_wanted(table, change->action, change->new ? change->new : change->old) &&
						  !(update && old_row_matters(table, change->old, change->new))))
		return true;

	/* User-defined expressions must see the completed statement; leave them to the trigger. */
	if (table->query != NULL || table->calls_users)
		return false;
	capture_row(table, change->action, change->old, change->new, FirstCommandId);
	return true;
}

bool
capture_at_once(Relation rel, TupleTableSlot *old, TupleTableSlot *new)
{
	RowChange	change = {rel, WATCH_UPDATE, old, new};
	WatchedTable *table = watch_recent(rel);

	if (row_movement_rows != NULL)
		return false;
	if (old == NULL)
		change.action = WATCH_CREATE;
	else if (new == NULL)
		change.action = WATCH_DELETE;
	return (table != NULL && known_to_be_unwanted(table, change.action, old, new)) ||
		run_in_scratch(rel, capture_change, &change);
}

/* SpiStatement trigger on the configuration: everybody is to read it again. */
Datum
webhook_config_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger", "webhook.config_changed")));
	CacheInvalidateRelcache(trigger->tg_relation);
	wakeup_at_commit();
	PG_RETURN_POINTER(NULL);
}

/* What the integration in force is sent when notify_payment() is called: the payment alone has changed. */
static WatchAction
notified_action(Change *change)
{
	const ActiveIntegration *rule = &change->rule;

	if (rule->overridden && !rule->only_paid && !rule->send_on_payment && change->values.is_true[WATCH_PAID])
		return WATCH_NACTIONS;
	return capture_payment_action(change);
}

/* The payment of this row has changed, though the row has not. */
static void
tell_payment(WatchedTable *table, TupleTableSlot *slot, void *found)
{
	Change		change = {table, WATCH_UPDATE, NULL, slot};

	*(bool *) found = true;
	evaluate_row(table, slot, InvalidCommandId, &change.values);
	for (int i = 0; i < table->naudiences; i++)
	{
		const WatchAudience *audience = &table->audiences[i];

		append_message(&change, audience, WATCH_UPDATE, MATCH_FREE, NULL);
		if (!integration_wants(table, audience, WATCH_UPDATE))
			continue;
		rule_on(&change, notified_action);
		if (change.ruling != WATCH_NACTIONS)
			append_message(&change, audience, change.ruling, MATCH_INTEGRATED, change.rule.integration);
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
	entity_type = TextDatumGetCString(argument_required(fcinfo, 0, "entity_type"));
	entity_id = TextDatumGetCString(argument_required(fcinfo, 1, "entity_id"));
	PG_RETURN_BOOL(entity_visit(entity_type, entity_id, tell_payment));
}

void
capture_init(void)
{
	catalog_init();
	watch_init();

	row_movement_init(tell_lost_move);

	/* Callbacks run last in, first out: kept rows are told before the outbox is flushed. */
	outbox_init();
	deferred_init(tell_kept);
}
