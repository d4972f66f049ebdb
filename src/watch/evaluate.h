/*-------------------------------------------------------------------------
 *
 * evaluate.h
 *		Evaluate the settings of a watched table for one row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_EVALUATE_H
#define WEBHOOK_EVALUATE_H

#include "watch/watch.h"

/* Values of the fields for one row, of which some may not have been evaluated yet.  Zeros at first. */
typedef struct WatchValues
{
	unsigned	known;			/* the fields that have been evaluated */
	unsigned	queried;		/* those of them that took a query */
	char	   *text[WATCH_NFIELDS];	/* NULL where the value is NULL */
	bool		is_true[WATCH_NFIELDS]; /* of the boolean fields */
} WatchValues;

/*
 * Evaluate fields for a row (in the root's layout), unless they are known.  If the row was deleted,
 * past is the result of evaluate_past(), else InvalidCommandId.  An event UID or
 * profile that an expression does not find because its row was deleted earlier in
 * the same transaction is then looked up as of that command, and as of the start
 * of the transaction.
 */
extern void evaluate_row(WatchedTable *table, TupleTableSlot *slot, CommandId past, unsigned fields,
						 WatchValues *values);

/* Copy fields, which must be known, from the values of another row. */
extern void evaluate_copy(const WatchValues *from, unsigned fields, WatchValues *to);

/* The command id of a snapshot that shows the database right after this version of a row was written. */
extern CommandId evaluate_past(HeapTuple tuple);

/* Do two rows differ in this column?  For the first one, they must have been deformed up to it. */
extern bool evaluate_column_changed(TupleTableSlot *old, TupleTableSlot *new, AttrNumber attnum);
extern bool evaluate_column_differs(TupleTableSlot *old, TupleTableSlot *new, AttrNumber attnum);

/*
 * May two versions of a row differ in this field?  Compares the columns that it is
 * computed from.  Those of expressions are known once they have been parsed; until
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

/*
 * The former values of those columns of the payload that differ, as a JSON object, for
 * a table without payload function.  Palloc'd.
 */
extern char *evaluate_changed(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *old,
							  TupleTableSlot *new, int *len);

/* Append these columns of the payload as a JSON object, for a table without payload function.  NULL: all. */
extern void evaluate_append_columns(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *slot,
									const Bitmapset *columns, StringInfo buf);

/* Text of a field that is a plain column, palloc'd; NULL if it is null or not a plain column. */
extern char *evaluate_column(WatchedTable *table, TupleTableSlot *slot, WatchField field);

/* Parse these fields if they are expressions, so that it is known which columns they are computed from. */
extern void evaluate_parse(WatchedTable *table, TupleDesc desc, unsigned fields);

/* Does it take a query to evaluate these fields, and not just the row? */
extern bool evaluate_needs_query(WatchedTable *table, TupleDesc desc, unsigned fields);

/* Did an expression that looks for event UID or profile elsewhere find none? */
extern bool evaluate_context_missing(const WatchValues *values);

#endif							/* WEBHOOK_EVALUATE_H */
