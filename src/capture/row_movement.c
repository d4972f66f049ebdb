/*-------------------------------------------------------------------------
 *
 * row_movement.c
 *		Rows on their way to another partition.
 *
 * A row that an UPDATE moves to another partition reaches the triggers as a
 * DELETE and an INSERT.  The deleted tuple says that it was moved; the inserted
 * one does not, and need not come: a trigger on the new partition can drop the
 * row.  What follows may then be another row, as MERGE and WITH can insert in
 * the same command.  Only of an UPDATE and nothing else do we know that all it
 * inserts has moved; capture.c compares the ids otherwise.
 *
 * A row trigger is not told which command it fires for.  AFTER ROW triggers
 * fire while the executor finishes their command, so we look at the command
 * there.  At its end we also know which rows are lost.
 *
 * Commands nest, as a trigger's function runs others, and so do the moved rows.
 * What was known of the outer command is put back when the inner one is done.
 * An error ends subtransactions: their rows are forgotten, and nothing is known
 * of the command any more, which is on the safe side.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/memutils.h"

#include "capture/row_movement.h"

MovedRow   *row_movement_rows = NULL;	/* the innermost command's first, in TopTransactionContext */

static ExecutorFinish_hook_type prev_executor_finish = NULL;
static void (*tell_lost) (const MovedRow *row);
static bool plain_update = false;


void
row_movement_remember(Oid relid, Oid root, CommandId command, TupleDesc desc, HeapTuple tuple, CommandId past)
{
	MovedRow   *row = MemoryContextAlloc(TopTransactionContext, sizeof(MovedRow));

	row->relid = relid;
	row->root = root;
	row->command = command;
	row->certain = plain_update;
	row->subid = GetCurrentSubTransactionId();
	row->desc = desc;
	row->tuple = tuple;
	row->past = past;
	row->next = row_movement_rows;
	row_movement_rows = row;
}

MovedRow *
row_movement_find(Oid root, CommandId command)
{
	for (MovedRow *row = row_movement_rows; row != NULL; row = row->next)
		if (row->root == root && row->command == command)
			return row;
	return NULL;
}

HeapTuple
row_movement_take(MovedRow *row)
{
	HeapTuple	tuple = row->tuple;
	MovedRow  **link = &row_movement_rows;

	while (*link != row)
		link = &(*link)->next;
	*link = row->next;
	pfree(row);
	return tuple;
}

void
row_movement_lose(MovedRow *row)
{
	MovedRow	lost = *row;

	/* Telling may run commands: it is off the list by then. */
	(void) row_movement_take(row);
	tell_lost(&lost);
	heap_freetuple(lost.tuple);
}

static void
executor_finish(QueryDesc *query)
{
	bool		outer = plain_update;
	MovedRow   *outer_rows = row_movement_rows;

	plain_update = query->operation == CMD_UPDATE && !query->plannedstmt->hasModifyingCTE;
	if (prev_executor_finish)
		prev_executor_finish(query);
	else
		standard_ExecutorFinish(query);
	while (row_movement_rows != outer_rows)
		row_movement_lose(row_movement_rows);
	plain_update = outer;
}

static void
xact_callback(XactEvent event, void *arg)
{
	/* The memory goes with the transaction. */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		row_movement_rows = NULL;
	if (event == XACT_EVENT_ABORT)
		plain_update = false;
}

static void
subxact_callback(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	plain_update = false;
	/* Later subtransactions have greater ids: those are below this one, or have ended. */
	while (row_movement_rows != NULL && row_movement_rows->subid >= subid)
		(void) row_movement_take(row_movement_rows);
}

void
row_movement_init(void (*lost) (const MovedRow *row))
{
	tell_lost = lost;
	prev_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
