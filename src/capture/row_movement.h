/*-------------------------------------------------------------------------
 *
 * row_movement.h
 *		Rows that an UPDATE moves to another partition.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ROW_MOVEMENT_H
#define WEBHOOK_ROW_MOVEMENT_H

#include "access/htup_details.h"

#include "capture/change.h"

typedef struct MovingRow MovingRow;

/* Rows deleted from one partition and not yet inserted into another, the innermost command's first. */
extern MovingRow *row_movement_rows;

/* Is there such a row? */
static inline bool
row_movement_pending(void)
{
	return row_movement_rows != NULL;
}

/* Is this row deleted because it moves to another partition? */
static inline bool
row_movement_is_departure(HeapTuple deleted)
{
	return HeapTupleHeaderIndicatesMovedPartitions(deleted->t_data);
}

extern void row_movement_init(void);

/* A row departs; a copy is held until its other half arrives or the command ends. */
extern void row_movement_begin(WatchedTable *table, HeapTuple deleted, TupleTableSlot *slot);

/*
 * A row is inserted (slot: in the root's layout).  If it completes a movement,
 * both halves are captured as one update.  False: it does not.
 */
extern bool row_movement_complete(WatchedTable *table, HeapTuple inserted, TupleTableSlot *slot);

/* Must be called at the end of every transaction, and when a subtransaction rolls back. */
extern void row_movement_at_eoxact(void);
extern void row_movement_at_subabort(SubTransactionId subid);

#endif							/* WEBHOOK_ROW_MOVEMENT_H */
