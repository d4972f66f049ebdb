/*-------------------------------------------------------------------------
 *
 * evaluate.h
 *		What the settings of a watched table say of one row.
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
 * Evaluate all fields for a row (in the root's layout).  An event UID or
 * profile that an expression cannot find any more because its row was deleted
 * earlier in the same transaction is looked up as of the command that wrote the
 * row, see evaluate_past(), and of the transaction's start.  InvalidCommandId:
 * the row has not been deleted.
 */
extern void evaluate_row(WatchedTable *table, TupleTableSlot *slot, CommandId past, WatchValues *values);

/*
 * The snapshot that says whether a locked row is paid; InvalidSnapshot: the
 * usual one.  Changes of payment are reported under a lock on the row, so once
 * we hold that lock, others have committed theirs or wait for us.  The snapshot
 * of a REPEATABLE READ transaction may be older than that and would miss them;
 * SERIALIZABLE raises an error instead.
 */
extern Snapshot evaluate_payment_snapshot(void);

/* The command before which the database was as it was when this version of a row had just been written. */
extern CommandId evaluate_past(HeapTuple tuple);

/* Do the two rows, deformed up to there, differ in this column? */
extern bool evaluate_column_changed(TupleTableSlot *old, TupleTableSlot *new, AttrNumber attnum);

/*
 * Do two versions of a row differ in a column that this field is read from?
 * True if that is not known; table->reads has the columns of expressions once
 * one has been evaluated.
 */
extern bool evaluate_field_may_differ(const WatchedTable *table, WatchField field, TupleTableSlot *old,
									  TupleTableSlot *new);

/*
 * The payload that this audience sees, for a row whose fields have been
 * evaluated, in the current memory context; NULL: none.
 */
extern char *evaluate_payload(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *slot,
							  const WatchValues *values, int *len);

/* A field of the row that is a plain column, as text in the current memory context; else NULL. */
extern char *evaluate_column(WatchedTable *table, TupleTableSlot *slot, WatchField field);

/* The type of a field that is an expression; rowtype is the watched table's. */
extern Oid	evaluate_field_type(WatchedTable *table, Oid rowtype, WatchField field);

/* Is there an event UID or profile that an expression did not find? */
extern bool evaluate_context_missing(const WatchedTable *table, const WatchValues *values);

#endif							/* WEBHOOK_EVALUATE_H */
