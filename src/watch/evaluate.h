/*-------------------------------------------------------------------------
 *
 * evaluate.h
 *		Evaluate the settings of a watched table for one row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_EVALUATE_H
#define WEBHOOK_EVALUATE_H

#include "utils/snapshot.h"

#include "watch/watch.h"

/* Values of the fields for one row; NULL where the value is NULL. */
typedef struct WatchValues
{
	char	   *text[WATCH_NFIELDS];
	bool		is_true[WATCH_NFIELDS]; /* of the boolean fields */
} WatchValues;

/*
 * Evaluate all fields for a row (in the root's layout).  If the row was deleted,
 * past is the result of evaluate_past(), else InvalidCommandId.  An event UID or
 * profile that an expression does not find because its row was deleted earlier in
 * the same transaction is then looked up as of that command, and as of the start
 * of the transaction.
 */
extern void evaluate_row(WatchedTable *table, TupleTableSlot *slot, CommandId past, WatchValues *values);

/*
 * The snapshot to find out whether a locked row is paid, or InvalidSnapshot for the
 * usual one.  Changes of payment are reported under a lock on the row, so once we
 * hold it, other transactions have committed theirs or wait for us.  The snapshot
 * of a REPEATABLE READ transaction may be older and would miss them; SERIALIZABLE
 * raises an error instead.
 */
extern Snapshot evaluate_payment_snapshot(void);

/* The command id of a snapshot that shows the database just after this version of a row was written. */
extern CommandId evaluate_past(HeapTuple tuple);

/* Do two rows differ in this column?  They must have been deformed up to it. */
extern bool evaluate_column_changed(TupleTableSlot *old, TupleTableSlot *new, AttrNumber attnum);

/*
 * May two versions of a row differ in this field?  Compares the columns that it is
 * computed from.  Those of expressions are known after the first evaluation; until
 * then, the result is true.
 */
extern bool evaluate_field_may_differ(const WatchedTable *table, WatchField field, TupleTableSlot *old,
									  TupleTableSlot *new);

/*
 * The payload for this audience, of a row whose fields have been evaluated.
 * Palloc'd, or NULL if the payload function returned null.
 */
extern char *evaluate_payload(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *slot,
							  const WatchValues *values, int *len);

/* Text of a field that is a plain column, palloc'd; NULL if it is null or not a plain column. */
extern char *evaluate_column(WatchedTable *table, TupleTableSlot *slot, WatchField field);

/* The type of a field that is an expression; rowtype is the watched table's. */
extern Oid	evaluate_field_type(WatchedTable *table, Oid rowtype, WatchField field);

/* Did an expression for event UID or profile return null? */
extern bool evaluate_context_missing(const WatchedTable *table, const WatchValues *values);

#endif							/* WEBHOOK_EVALUATE_H */
