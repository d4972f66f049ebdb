/*-------------------------------------------------------------------------
 *
 * capture_row.c
 *		Capture one change of one row, in the layout of the watched table.
 *
 * The cheap questions come first: does a webhook subscribe, has a column
 * changed that matters to it?  Only then is the row evaluated.
 *
 * An update that changes the id is the end of one entity and the beginning of
 * another, and captured as two changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"

#include "capture/capture_row.h"
#include "capture/report.h"
#include "watch/prefilter.h"


/* May the rows differ in this field, and does anything depend on it? */
static bool
capture_row_field_matters(const WatchedTable *table, WatchField field, TupleTableSlot *old, TupleTableSlot *new)
{
	return (table->needed & WATCH_BIT(field)) && evaluate_field_may_differ(table, field, old, new);
}

bool
capture_row_old_matters(const WatchedTable *table, TupleTableSlot *old, TupleTableSlot *new)
{
	/* The old entity is deleted, and the new one created. */
	if ((table->wanted[WATCH_CREATE] || table->wanted[WATCH_DELETE]) &&
		capture_row_field_matters(table, WATCH_ID, old, new))
		return true;

	/*
	 * A row that is deleted as it moves to another event is deleted from the
	 * old one.
	 */
	return table->wanted[WATCH_UPDATE] && capture_row_field_matters(table, WATCH_DELETED, old, new) &&
		(capture_row_field_matters(table, WATCH_EVENT_UID, old, new) ||
		 capture_row_field_matters(table, WATCH_PROFILE, old, new));
}

bool
capture_row_update_matters(const WatchedTable *table, TupleTableSlot *old, TupleTableSlot *new)
{
	int			attnum = -1;

	/* Deletions and payments are not just updates for receivers. */
	if (table->any_update || (table->needed & WATCH_BIT(WATCH_PAID)) ||
		capture_row_field_matters(table, WATCH_DELETED, old, new))
		return true;
	while ((attnum = bms_next_member(table->update_columns, attnum)) >= 0)
		if (evaluate_column_differs(old, new, attnum))
			return true;
	return false;
}

bool
capture_row_wanted(const Change *change)
{
	WatchedTable *table = change->table;
	WatchAction action = change->action;

	if (action == WATCH_UPDATE)
		evaluate_parse(table, change->new->tts_tupleDescriptor, table->needed);
	if (table->wanted[action] &&
		(action != WATCH_UPDATE || capture_row_update_matters(table, change->old, change->new)) &&
		prefilter_check(table, action, change->new ? change->new : change->old) != PREFILTER_UNWANTED)
		return true;
	return action == WATCH_UPDATE && capture_row_old_matters(table, change->old, change->new);
}

/*
 * Should the change be captured at the end of the transaction, because the row
 * that says where it belongs may still be inserted?  For a deleted row that
 * row is probably gone; it can be inserted later only if something was
 * deferred before.
 *
 * The record of payments must be written in the order of the changes.
 */
static bool
capture_row_must_wait(Change *change)
{
	const WatchedTable *table = change->table;

	if (!table->context_matters)
		return false;
	if (deferred_pending() && watch_is_expression(table, WATCH_PAID) && active_integration_overridden())
		return true;
	return (change->action != WATCH_DELETE || deferred_pending()) &&
		evaluate_context_missing(change_values(change, 0));
}

/* Capture an update that changes the id: the old entity is deleted with its own fields, and the new one created. */
static void
capture_row_with_new_id(Change *change)
{
	Change		deleted = {change->table, WATCH_DELETE, change->old, NULL, change->past, change->deferred};
	Change		created = {change->table, WATCH_CREATE, NULL, change->new, InvalidCommandId, change->deferred};

	/*
	 * The rows have been evaluated.  An event that the old row no longer
	 * finds is looked up in the past.
	 */
	created.values = *change_values(change, 0);
	if (!evaluate_context_missing(change_before(change, created.values.known)))
		deleted.values = change->before;
	if (capture_row_wanted(&deleted))
		capture_row(&deleted);
	if (capture_row_wanted(&created))
		capture_row(&created);
}

void
capture_row(Change *change)
{
	bool		visible = change_is_visible(change);

	Assert((change->old != NULL) == (change->action != WATCH_CREATE));
	Assert((change->new != NULL) == (change->action != WATCH_DELETE));

	/* An expression may read columns that are not in the payload. */
	if (!visible && !change_may_alter_expressions(change))
		return;

	/* The new row is evaluated first, as expressions may have effects. */
	(void) change_values(change, 0);
	if (change->action == WATCH_UPDATE && change_alters_id(change))
	{
		capture_row_with_new_id(change);
		return;
	}
	if (capture_row_must_wait(change) && deferred_add(change))
		return;
	if (visible || change_alters_fields(change))
		report_change(change);
}

void
capture_row_copy(const RowCopy *copy, DeferredRow *row)
{
	Relation	rel = try_relation_open(copy->relid, AccessShareLock);
	WatchedTable *table;

	if (rel == NULL)
		return;					/* dropped since, in the same transaction */
	table = watch_lookup(rel);
	if (table != NULL && capture_row_any_wanted(table))
	{
		Relation	root = relation_open(copy->root, AccessShareLock);
		TupleTableSlot *old = MakeSingleTupleTableSlot(RelationGetDescr(root), &TTSOpsHeapTuple);
		TupleTableSlot *new = MakeSingleTupleTableSlot(RelationGetDescr(root), &TTSOpsHeapTuple);
		Change		change = {table, copy->action, copy->old ? old : NULL, copy->new ? new : NULL, copy->past, row};

		row_copy_check_layout(copy, root);
		if (copy->old != NULL)
			ExecStoreHeapTuple(copy->old, old, false);
		if (copy->new != NULL)
			ExecStoreHeapTuple(copy->new, new, false);
		if (capture_row_wanted(&change))
			capture_row(&change);
		ExecDropSingleTupleTableSlot(old);
		ExecDropSingleTupleTableSlot(new);
		relation_close(root, AccessShareLock);
	}
	relation_close(rel, AccessShareLock);
}
