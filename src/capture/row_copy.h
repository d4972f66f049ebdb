/*-------------------------------------------------------------------------
 *
 * row_copy.h
 *		Copies of changed rows, to be captured later in the transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ROW_COPY_H
#define WEBHOOK_ROW_COPY_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/rel.h"

#include "capture/change.h"

/* A change whose table may be altered or dropped before it is captured. */
typedef struct RowCopy
{
	Oid			relid;			/* the table or partition that was written to */
	Oid			root;
	WatchAction action;
	TupleDesc	desc;			/* the root's layout at that time */
	HeapTuple	old;			/* may be NULL, as the action says */
	HeapTuple	new;
	CommandId	past;			/* see Change */
} RowCopy;

/* Copy the rows of a change.  The copies live until the end of the transaction, or until they are freed. */
extern void row_copy_make(const Change *change, RowCopy *copy);
extern void row_copy_free(RowCopy *copy);
extern Size row_copy_size(const RowCopy *copy);

/* An error if a column has got another type since the copy was made. */
extern void row_copy_check_layout(const RowCopy *copy, Relation root);

/* Must be called at the end of every transaction. */
extern void row_copy_at_eoxact(void);

#endif							/* WEBHOOK_ROW_COPY_H */
