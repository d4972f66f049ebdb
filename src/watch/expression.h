/*-------------------------------------------------------------------------
 *
 * expression.h
 *		Fields of a watched table that are SQL expressions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_EXPRESSION_H
#define WEBHOOK_EXPRESSION_H

#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

#include "watch/watch.h"

/* The name under which a query over one row finds it. */
#define EXPRESSION_ROW_NAME	"webhook row"

/*
 * Does the value depend on nothing but the row?  Then expression_evaluate() can
 * compute it at any time, in any session, as any role.  Parses the expression if
 * necessary, as the table's owner; desc is the root's layout.
 */
extern bool expression_is_pure(WatchedTable *table, TupleDesc desc, WatchField field);

/* The value of a pure expression, which is valid until expression_reset(), and its type.  False if it is not pure. */
extern bool expression_evaluate(WatchedTable *table, WatchField field, TupleTableSlot *slot, Datum *value, Oid *type,
								bool *isnull);
extern void expression_reset(WatchedTable *table);

/* The type of the value. */
extern Oid	expression_type(WatchedTable *table, TupleDesc desc, WatchField field);

/*
 * Has the expression been parsed, and is that up to date?  Then *columns is set to
 * those of the row that it uses.  Does not allocate memory or raise errors.
 */
extern bool expression_columns_known(const WatchedTable *table, WatchField field, const Bitmapset **columns);

/*
 * Does the value depend on rows only, of this table and of others?  Then a query that has
 * been started can evaluate it with any settings.  True only if that is known, see
 * expression_columns_known().
 */
extern bool expression_is_closed(const WatchedTable *table, WatchField field);

/* What queries find as EXPRESSION_ROW_NAME; palloc'd.  The store may be NULL while a query is only parsed. */
extern EphemeralNamedRelation expression_row(TupleDesc desc, Tuplestorestate *store);

extern void expression_init(void);

#endif							/* WEBHOOK_EXPRESSION_H */
