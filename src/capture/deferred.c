/*-------------------------------------------------------------------------
 *
 * deferred.c
 *		Rows that are told later in the transaction.
 *
 * A guest may be inserted before the event that it belongs to.  When nothing
 * more can happen in the transaction, the rows that have been kept are told,
 * each in the place in the log that it drew when it changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture/deferred.h"

/* More than this do without, so that memory stays bounded. */
#define MAX_ROWS	10000
#define MAX_BYTES	(64 * 1024 * 1024)

/* All of this is empty between transactions, and lives in TopTransactionContext. */
static DeferredRow *first = NULL;
static DeferredRow *last = NULL;
static int	nrows = 0;
static Size bytes = 0;
static TupleDesc last_layout = NULL;

/* While a row is told: the places that are left. */
static const OutboxId *places = NULL;
static int	nplaces = 0;

static void (*tell) (const DeferredRow *row);


HeapTuple
deferred_copy(TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	HeapTuple	tuple = ExecCopySlotHeapTuple(slot);

	if (HeapTupleHasExternal(tuple))
	{
		HeapTuple	flat = toast_flatten_tuple(tuple, slot->tts_tupleDescriptor);

		heap_freetuple(tuple);
		tuple = flat;
	}
	MemoryContextSwitchTo(old);
	return tuple;
}

TupleDesc
deferred_layout(TupleDesc desc)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	if (last_layout == NULL || !equalTupleDescs(last_layout, desc))
		last_layout = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(old);
	return last_layout;
}

void
deferred_check_layout(TupleDesc then, Relation root)
{
	TupleDesc	now = RelationGetDescr(root);

	for (int i = 0; i < then->natts; i++)
		if (!TupleDescAttr(now, i)->attisdropped &&
			TupleDescAttr(now, i)->atttypid != TupleDescAttr(then, i)->atttypid)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("the type of column \"%s\" was changed in the transaction that wrote to table \"%s\"",
							NameStr(TupleDescAttr(now, i)->attname), RelationGetRelationName(root)),
					 errdetail("A row that has yet to be told to webhooks has the former type."),
					 errhint("Commit the rows before ALTER TABLE, or write what their event or profile is found by first.")));
}

bool
deferred_add(const WatchedTable *table, WatchAction action, TupleTableSlot *old, TupleTableSlot *new, CommandId past)
{
	int			nids = 2 * table->naudiences;	/* an override can make two messages of one change */
	DeferredRow    *row;

	if (places != NULL || nrows >= MAX_ROWS || bytes >= MAX_BYTES)
		return false;
	row = MemoryContextAllocZero(TopTransactionContext, offsetof(DeferredRow, ids) + nids * sizeof(OutboxId));
	row->relid = table->relid;
	row->root = table->root;
	row->action = action;
	row->subid = GetCurrentSubTransactionId();
	row->desc = deferred_layout((new ? new : old)->tts_tupleDescriptor);
	row->old = old ? deferred_copy(old) : NULL;
	row->new = new ? deferred_copy(new) : NULL;
	row->past = past;
	bytes += (old ? row->old->t_len : 0) + (new ? row->new->t_len : 0);
	row->nids = nids;
	for (int i = 0; i < nids; i++)
		outbox_draw_id(&row->ids[i]);
	if (last != NULL)
		last->next = row;
	else
		first = row;
	last = row;
	nrows++;
	return true;
}

bool
deferred_any(void)
{
	return first != NULL;
}

const OutboxId *
deferred_place(void)
{
	if (nplaces == 0)
		return NULL;
	nplaces--;
	return places++;
}

/* Now the transaction has done all that it does. */
static void
tell_all(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "webhook kept rows",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	PushActiveSnapshot(GetTransactionSnapshot());
	for (DeferredRow *row = first; row != NULL; row = row->next)
	{
		if (row->subid == InvalidSubTransactionId)
			continue;
		places = row->ids;
		nplaces = row->nids;
		tell(row);
		places = NULL;
		nplaces = 0;
		MemoryContextReset(context);
	}
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (first != NULL)
				tell_all();
			break;

		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			/* The memory goes with the transaction. */
			first = last = NULL;
			nrows = nplaces = 0;
			bytes = 0;
			last_layout = NULL;
			places = NULL;
			break;

		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	for (DeferredRow *row = first; row != NULL; row = row->next)
		if (row->subid == subid)
			row->subid = event == SUBXACT_EVENT_ABORT_SUB ? InvalidSubTransactionId : parent;
}

void
deferred_init(void (*callback) (const DeferredRow *row))
{
	tell = callback;
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
