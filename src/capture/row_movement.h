/*-------------------------------------------------------------------------
 *
 * row_movement.h
 *		Rows on their way to another partition.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ROW_MOVEMENT_H
#define WEBHOOK_ROW_MOVEMENT_H

#include "access/htup.h"
#include "access/tupdesc.h"

/* A row deleted by an UPDATE that moves it. */
typedef struct MovedRow
{
	struct MovedRow *next;		/* of a command around this one, or NULL */
	Oid			relid;			/* the partition it left */
	Oid			root;
	CommandId	command;
	bool		certain;		/* what this command inserts below the root has moved */
	SubTransactionId subid;
	TupleDesc	desc;			/* the root's layout */
	HeapTuple	tuple;
	CommandId	past;			/* see evaluate_row() */
} MovedRow;

/* Is any on its way? */
extern MovedRow *row_movement_rows;

/* The callback tells of a row that never arrives. */
extern void row_movement_init(void (*lost) (const MovedRow *row));

/* Descriptor and tuple live as long as the transaction. */
extern void row_movement_remember(Oid relid, Oid root, CommandId command, TupleDesc desc, HeapTuple tuple,
								 CommandId past);

/* The row that this command moves below the root, or NULL. */
extern MovedRow *row_movement_find(Oid root, CommandId command);

/* It has arrived and is the caller's from now on. */
extern HeapTuple row_movement_take(MovedRow *row);

/* It will not arrive: tell so. */
extern void row_movement_lose(MovedRow *row);

#endif							/* WEBHOOK_ROW_MOVEMENT_H */
