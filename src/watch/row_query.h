/*-------------------------------------------------------------------------
 *
 * row_query.h
 *		Queries that evaluate fields of a watched table for one row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ROW_QUERY_H
#define WEBHOOK_ROW_QUERY_H

#include "utils/snapshot.h"

#include "watch/watch.h"

/* Called with each value that is not null, in the caller's memory context, as the table's owner. */
typedef void (*RowQueryResult) (WatchedTable *table, WatchField field, Datum value, Oid type, void *arg);

/*
 * Evaluate these fields for a row in the root's layout, as the table's owner.  The
 * query sees everything up to here or, if past is true, what the active snapshot
 * shows.
 */
extern void row_query_run(WatchedTable *table, unsigned fields, TupleTableSlot *slot, bool past,
						  RowQueryResult result, void *arg);

/*
 * The snapshot to find out whether a locked row is paid, or InvalidSnapshot for the
 * usual one.  Changes of payment are reported under a lock on the row, so once we
 * hold it, other transactions have committed theirs or wait for us.  The snapshot
 * of a REPEATABLE READ transaction may be older and would miss them; SERIALIZABLE
 * raises an error instead.
 */
extern Snapshot row_query_payment_snapshot(void);

extern void row_query_init(void);

#endif							/* WEBHOOK_ROW_QUERY_H */
