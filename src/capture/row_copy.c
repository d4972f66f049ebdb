/*-------------------------------------------------------------------------
 *
 * row_copy.c
 *		Copies of changed rows, to be captured later in the transaction.
 *
 * All copies live in TopTransactionContext and are complete: values that are
 * stored out of line are fetched, because the table may be rewritten.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "utils/memutils.h"

#include "capture/row_copy.h"

/* The layout of the last copy, which the next one probably has as well.  NULL between transactions. */
static TupleDesc row_copy_last_layout = NULL;


static HeapTuple
row_copy_tuple(TupleTableSlot *slot)
{
	HeapTuple	tuple = ExecCopySlotHeapTuple(slot);

	if (HeapTupleHasExternal(tuple))
	{
		HeapTuple	flat = toast_flatten_tuple(tuple, slot->tts_tupleDescriptor);

		heap_freetuple(tuple);
		tuple = flat;
	}
	return tuple;
}

static TupleDesc
row_copy_layout(TupleDesc desc)
{
	if (row_copy_last_layout == NULL || !equalTupleDescs(row_copy_last_layout, desc))
		row_copy_last_layout = CreateTupleDescCopy(desc);
	return row_copy_last_layout;
}

void
row_copy_make(const Change *change, RowCopy *copy)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	Assert(change->old != NULL || change->new != NULL);
	copy->relid = change->table->relid;
	copy->root = change->table->root;
	copy->action = change->action;
	copy->desc = row_copy_layout((change->new ? change->new : change->old)->tts_tupleDescriptor);
	copy->old = change->old ? row_copy_tuple(change->old) : NULL;
	copy->new = change->new ? row_copy_tuple(change->new) : NULL;
	copy->past = change->past;
	MemoryContextSwitchTo(old);
}

void
row_copy_free(RowCopy *copy)
{
	if (copy->old != NULL)
		heap_freetuple(copy->old);
	if (copy->new != NULL)
		heap_freetuple(copy->new);
	copy->old = copy->new = NULL;
}

Size
row_copy_size(const RowCopy *copy)
{
	return (copy->old ? copy->old->t_len : 0) + (copy->new ? copy->new->t_len : 0);
}

void
row_copy_check_layout(const RowCopy *copy, Relation root)
{
	TupleDesc	then = copy->desc;
	TupleDesc	now = RelationGetDescr(root);

	Assert(RelationGetRelid(root) == copy->root);
	Assert(now->natts >= then->natts);	/* columns are never removed */
	for (int i = 0; i < then->natts; i++)
		if (!TupleDescAttr(now, i)->attisdropped &&
			TupleDescAttr(now, i)->atttypid != TupleDescAttr(then, i)->atttypid)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("the type of column \"%s\" was changed in the transaction that wrote to table \"%s\"",
							NameStr(TupleDescAttr(now, i)->attname), RelationGetRelationName(root)),
					 errdetail("A row captured in this transaction still has the old type."),
					 errhint("Commit before altering the table, or insert the row that has the event or profile first.")));
}

void
row_copy_at_eoxact(void)
{
	row_copy_last_layout = NULL;
}
