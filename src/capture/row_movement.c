/*-------------------------------------------------------------------------
 *
 * row_movement.c
 *		Rows that an UPDATE moves to another partition.
 *
 * Such a row reaches the triggers as a DELETE and an INSERT.  The deleted tuple
 * says that it was moved; the inserted one does not, and may never come: a
 * trigger on the new partition can drop the row.  The next INSERT may then be of
 * another row, as MERGE and WITH can insert in the same command.  Only in a plain
 * UPDATE is it certain that all inserted rows were moved; otherwise the ids are
 * compared.
 *
 * A row trigger does not know which command it fires for.  AFTER ROW triggers
 * fire while the executor finishes their command, so an ExecutorFinish hook
 * looks at the command.  At its end the rows that have not arrived are lost, and
 * captured as deleted.
 *
 * Commands nest, as a trigger's function runs others, and so do the moving rows.
 * The state of the outer command is restored when the inner one has finished.
 * An error ends subtransactions: their rows are dropped, and the command is no
 * longer assumed to be a plain UPDATE, which is the safe side.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/memutils.h"

#include "capture/capture_row.h"
#include "capture/row_copy.h"
#include "capture/row_movement.h"

struct MovingRow
{
	MovingRow  *next;			/* of the same command or one around it */
	CommandId	command;
	bool		certain;		/* all rows that the command inserts below the
								 * root were moved */
	SubTransactionId subid;
	RowCopy		copy;			/* of the deleted row */
};

MovingRow  *row_movement_rows = NULL;	/* in TopTransactionContext */

static ExecutorFinish_hook_type row_movement_prev_executor_finish = NULL;
static bool row_movement_plain_update = false;


/* Take a row off the list, for the caller to free. */
static void
row_movement_detach(MovingRow *row)
{
	MovingRow **link = &row_movement_rows;

	while (*link != row)
	{
		Assert(*link != NULL);
		link = &(*link)->next;
	}
	*link = row->next;
}

static void
row_movement_free(MovingRow *row)
{
	row_copy_free(&row->copy);
	pfree(row);
}

/* The row will not arrive: capture it as deleted. */
static void
row_movement_abandon(MovingRow *row)
{
	/*
	 * This may run commands, which must not find the row on the list when
	 * they end.
	 */
	row_movement_detach(row);
	capture_row_copy(&row->copy, NULL);
	row_movement_free(row);
}

/* The row that this command moves below the root, or NULL. */
static MovingRow *
row_movement_find(Oid root, CommandId command)
{
	for (MovingRow *row = row_movement_rows; row != NULL; row = row->next)
		if (row->copy.root == root && row->command == command)
			return row;
	return NULL;
}

void
row_movement_begin(WatchedTable *table, HeapTuple deleted, TupleTableSlot *slot)
{
	Change		change = {table, WATCH_DELETE, slot, NULL, evaluate_past(deleted)};
	CommandId	command = HeapTupleHeaderGetCmax(deleted->t_data);
	MovingRow  *before = row_movement_find(table->root, command);
	MovingRow  *row;

	/* Rows of a command depart and arrive one by one. */
	if (before != NULL)
		row_movement_abandon(before);
	row = MemoryContextAllocZero(TopTransactionContext, sizeof(MovingRow));
	row_copy_make(&change, &row->copy);
	row->command = command;
	row->certain = row_movement_plain_update;
	row->subid = GetCurrentSubTransactionId();
	Assert(row_movement_rows == NULL || row_movement_rows->subid <= row->subid);
	row->next = row_movement_rows;
	row_movement_rows = row;
}

/* Do the two rows of a change have one id? */
static bool
row_movement_same_entity(Change *change)
{
	const char *before = change_before(change, WATCH_BIT(WATCH_ID))->text[WATCH_ID];
	const char *now = change_values(change, WATCH_BIT(WATCH_ID))->text[WATCH_ID];

	return before != NULL && now != NULL && strcmp(before, now) == 0;
}

bool
row_movement_complete(WatchedTable *table, HeapTuple inserted, TupleTableSlot *slot)
{
	MovingRow  *row;
	TupleTableSlot *old;
	Change		change = {table, WATCH_UPDATE, NULL, slot};
	bool		same;

	if (!row_movement_pending())
		return false;
	row = row_movement_find(table->root, HeapTupleHeaderGetCmin(inserted->t_data));
	if (row == NULL)
		return false;

	old = MakeSingleTupleTableSlot(slot->tts_tupleDescriptor, &TTSOpsHeapTuple);
	ExecStoreHeapTuple(row->copy.old, old, false);
	change.old = old;
	change.past = row->copy.past;
	same = row->certain || row_movement_same_entity(&change);
	if (same)
	{
		/*
		 * Capturing may run commands, which must not find the row on the list
		 * when they end.
		 */
		row_movement_detach(row);
		if (capture_row_wanted(&change))
			capture_row(&change);
	}
	ExecDropSingleTupleTableSlot(old);
	if (same)
		row_movement_free(row);
	else
		row_movement_abandon(row);
	return same;
}

static void
row_movement_executor_finish(QueryDesc *query)
{
	bool		outer = row_movement_plain_update;
	MovingRow  *outer_rows = row_movement_rows;

	row_movement_plain_update = query->operation == CMD_UPDATE && !query->plannedstmt->hasModifyingCTE;
	if (row_movement_prev_executor_finish)
		row_movement_prev_executor_finish(query);
	else
		standard_ExecutorFinish(query);
	while (row_movement_rows != outer_rows)
		row_movement_abandon(row_movement_rows);
	row_movement_plain_update = outer;
}

void
row_movement_at_eoxact(void)
{
	/* The memory goes with the transaction. */
	row_movement_rows = NULL;
	row_movement_plain_update = false;
}

void
row_movement_at_subabort(SubTransactionId subid)
{
	row_movement_plain_update = false;

	/*
	 * Later subtransactions have greater ids: those are below this one, or
	 * have ended.
	 */
	while (row_movement_rows != NULL && row_movement_rows->subid >= subid)
	{
		MovingRow  *row = row_movement_rows;

		row_movement_detach(row);
		row_movement_free(row);
	}
}

void
row_movement_init(void)
{
	row_movement_prev_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = row_movement_executor_finish;
}
