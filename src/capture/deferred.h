/*-------------------------------------------------------------------------
 *
 * deferred.h
 *		Rows that are told later in the transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DEFERRED_H
#define WEBHOOK_DEFERRED_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "log/outbox.h"
#include "utils/rel.h"
#include "watch/watch.h"

/* A row whose event UID or profile is looked for once more before the commit. */
typedef struct DeferredRow
{
	struct DeferredRow *next;
	Oid			relid;
	Oid			root;
	WatchAction action;
	SubTransactionId subid;
	TupleDesc	desc;			/* the root's layout */
	HeapTuple	old;			/* in that; may be NULL, as the action says */
	HeapTuple	new;
	CommandId	past;			/* of a deleted row, see evaluate_row() */
	int			nids;			/* places in the log, one for each message that it may become */
	OutboxId	ids[FLEXIBLE_ARRAY_MEMBER];
} DeferredRow;

/* The callback tells of a row, before the commit. */
extern void deferred_init(void (*tell) (const DeferredRow *row));

/*
 * Keep a change, in the place in the log that is due now.  False: no more are
 * kept in this transaction, or this one has been kept and is being told.
 */
extern bool deferred_add(const WatchedTable *table, WatchAction action, TupleTableSlot *old, TupleTableSlot *new,
					 CommandId past);

/* Has a change been kept in this transaction? */
extern bool deferred_any(void);

/* While a row is told: the next of its places in the log.  Else NULL. */
extern const OutboxId *deferred_place(void);

/* A copy of a row that outlives its TOAST table; and of its layout, for the rest of the transaction. */
extern HeapTuple deferred_copy(TupleTableSlot *slot);
extern TupleDesc deferred_layout(TupleDesc desc);

/* Refuse to take a row for what it is not, if columns have got other types since it was kept. */
extern void deferred_check_layout(TupleDesc then, Relation root);

#endif							/* WEBHOOK_DEFERRED_H */
