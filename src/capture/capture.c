/*-------------------------------------------------------------------------
 *
 * capture.c
 *		The row trigger, and what it does while the statement runs.
 *
 * webhook.capture() is the row trigger that watch() puts on a table.  If no
 * webhook subscribes to what happened, nothing is built, evaluated or written;
 * prefilter.c remembers that for changes of the same kind.  Otherwise the row is
 * captured (capture_row.c), together with its other half if an UPDATE moves it
 * to another partition (row_movement.c).
 *
 * Most changes do not get as far as the trigger: inline_capture.c hands them to
 * capture_inline() while the statement runs.
 *
 * An error in here, raised by an expression, a payload function, settings that
 * no longer fit the table or a payload that is too large, makes the
 * application's statement fail.  The alternatives are a change that is never
 * sent, and a message that is wrong.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "capture/capture.h"
#include "capture/capture_row.h"
#include "capture/row_movement.h"
#include "capture/transaction.h"
#include "watch/prefilter.h"

/* One scratch context serves all rows.  Expressions may change other rows, so capture can be called recursively. */
static MemoryContext capture_scratch = NULL;
static int	capture_depth = 0;

PG_FUNCTION_INFO_V1(webhook_capture);


static WatchAction
capture_trigger_action(const TriggerData *trigger)
{
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		return WATCH_CREATE;
	return TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? WATCH_UPDATE : WATCH_DELETE;
}

/*
 * The row of a trigger in the root's layout.  The cached slots belong to the
 * outermost call; nested calls allocate their own.
 */
static TupleTableSlot *
capture_root_slot(WatchedTable *table, TupleTableSlot *slot, int which)
{
	return watch_root_slot(table, slot, capture_depth > 1 ? -1 : which);
}

/*
 * Is it known from an earlier change that no webhook subscribes to this one?
 * Most of what an application writes may be of that kind, so this must be cheap.
 */
static bool
capture_known_unwanted(const WatchedTable *table, WatchAction action, TupleTableSlot *old, TupleTableSlot *new)
{
	if (table->wanted[action] && (action != WATCH_UPDATE || capture_row_update_matters(table, old, new)) &&
		prefilter_lookup(table, action, new ? new : old) != PREFILTER_UNWANTED)
		return false;
	return action != WATCH_UPDATE || !capture_row_old_matters(table, old, new);
}

/* The same for the row trigger. */
static bool
capture_event_known_unwanted(WatchedTable *table, WatchAction action, const TriggerData *trigger)
{
	TupleTableSlot *old = capture_root_slot(table, trigger->tg_trigslot, 0);

	if (action != WATCH_UPDATE)
		return capture_known_unwanted(table, action, old, NULL);
	return capture_known_unwanted(table, action, old, capture_root_slot(table, trigger->tg_newslot, 1));
}

static void
capture_error_callback(void *arg)
{
	errcontext("webhook capture of table \"%s\", set up by webhook.watch()",
			   RelationGetRelationName((Relation) arg));
}

/* Call the function in scratch memory, which is reset when the outermost call ends. */
static bool
capture_run_in_scratch(Relation rel, bool (*function) (void *arg), void *arg)
{
	MemoryContext old;
	ErrorContextCallback callback = {error_context_stack, capture_error_callback, rel};
	int			depth PG_USED_FOR_ASSERTS_ONLY = capture_depth;
	volatile bool result = false;

	if (capture_scratch == NULL)
		capture_scratch = AllocSetContextCreate(TopMemoryContext, "webhook capture", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(capture_scratch);
	Assert(depth >= 0);
	capture_depth++;
	PG_TRY();
	{
		/*
		 * Set within PG_TRY(), so that PG_END_TRY() restores the previous
		 * stack.
		 */
		error_context_stack = &callback;
		result = function(arg);
	}
	PG_FINALLY();
	{
		capture_depth--;
		Assert(capture_depth == depth);
		MemoryContextSwitchTo(old);
		if (capture_depth == 0)
			MemoryContextReset(capture_scratch);
	}
	PG_END_TRY();
	return result;
}

static bool
capture_event(void *arg)
{
	const TriggerData *trigger = arg;
	WatchedTable *table = watch_lookup(trigger->tg_relation);
	WatchAction action = capture_trigger_action(trigger);
	TupleTableSlot *row;
	Change		change = {table, action};

	Assert(capture_depth > 0);
	if (table == NULL)
		return true;
	row = capture_root_slot(table, trigger->tg_trigslot, 0);
	switch (action)
	{
		case WATCH_CREATE:
			if (row_movement_complete(table, trigger->tg_trigtuple, row))
				return true;
			change.new = row;
			break;
		case WATCH_UPDATE:
			change.old = row;
			change.new = capture_root_slot(table, trigger->tg_newslot, 1);
			change.past = evaluate_past(trigger->tg_trigtuple);
			break;
		default:
			if (row_movement_is_departure(trigger->tg_trigtuple))
			{
				if (capture_row_any_wanted(table))
					row_movement_begin(table, trigger->tg_trigtuple, row);
				return true;
			}
			change.old = row;
			change.past = evaluate_past(trigger->tg_trigtuple);
			break;
	}
	if (capture_row_wanted(&change))
		capture_row(&change);
	return true;
}

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

	/*
	 * Both halves of a row movement must be seen, even if no webhook
	 * subscribes to one of them.
	 */
	table = watch_cached(trigger->tg_relation);
	action = capture_trigger_action(trigger);
	if (capture_depth > 0 || table == NULL || row_movement_pending() ||
		(action == WATCH_DELETE && row_movement_is_departure(trigger->tg_trigtuple)) ||
		!capture_event_known_unwanted(table, action, trigger))
		(void) capture_run_in_scratch(trigger->tg_relation, capture_event, trigger);
	PG_RETURN_POINTER(NULL);
}

/* Arguments of capture_inline(). */
typedef struct InlineCall
{
	Relation	rel;
	WatchAction action;
	TupleTableSlot *old;
	TupleTableSlot *new;
} InlineCall;

/* False: the change must be left to the trigger. */
static bool
capture_inline_call(void *arg)
{
	const InlineCall *call = arg;
	WatchedTable *table = watch_lookup(call->rel);
	Change		change = {table, call->action, call->old, call->new, FirstCommandId};

	if (table == NULL || !capture_row_wanted(&change))
		return true;

	/*
	 * Queries and users' functions must see the completed statement, and the
	 * record of payments is kept by a query.
	 */
	if (table->runs_user_code ||
		((table->needed & WATCH_BIT(WATCH_PAID)) && watch_is_expression(table, WATCH_PAID)) ||
		evaluate_needs_query(table, RelationGetDescr(call->rel), table->needed))
		return false;
	Assert(table->relid == table->root);
	capture_row(&change);
	return true;
}

bool
capture_inline(Relation rel, TupleTableSlot *old, TupleTableSlot *new)
{
	InlineCall	call = {rel, WATCH_UPDATE, old, new};
	WatchedTable *table = watch_cached(rel);

	Assert(old != NULL || new != NULL);
	if (row_movement_pending())
		return false;
	if (old == NULL)
		call.action = WATCH_CREATE;
	else if (new == NULL)
		call.action = WATCH_DELETE;
	return (table != NULL && capture_known_unwanted(table, call.action, old, new)) ||
		capture_run_in_scratch(rel, capture_inline_call, &call);
}

void
capture_init(void)
{
	catalog_init();
	watch_init();
	row_movement_init();
	transaction_init();
}
