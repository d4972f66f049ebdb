/*-------------------------------------------------------------------------
 *
 * capture_row.h
 *		Capture one change of one row, in the layout of the watched table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CAPTURE_ROW_H
#define WEBHOOK_CAPTURE_ROW_H

#include "capture/change.h"
#include "capture/deferred.h"
#include "capture/row_copy.h"

/* Does a webhook subscribe to any change of the table? */
static inline bool
capture_row_any_wanted(const WatchedTable *table)
{
	return table->wanted[WATCH_CREATE] || table->wanted[WATCH_UPDATE] || table->wanted[WATCH_DELETE];
}

/* Could a webhook subscribe to the change, judging by what is known without evaluating the row? */
extern bool capture_row_wanted(const Change *change);

/*
 * May an update matter to webhooks that were sent the old row, whether or not
 * one subscribes to the new row?
 */
extern bool capture_row_old_matters(const WatchedTable *table, TupleTableSlot *old, TupleTableSlot *new);

/*
 * Does an update change anything that webhooks subscribe to the new row for?  False
 * only if all of them want updates of certain columns, and none of those differs.
 */
extern bool capture_row_update_matters(const WatchedTable *table, TupleTableSlot *old, TupleTableSlot *new);

/* Capture a change that is wanted. */
extern void capture_row(Change *change);

/* Capture a change from copies of its rows, if it is wanted; row is the deferred row that it is, or NULL. */
extern void capture_row_copy(const RowCopy *copy, DeferredRow *row);

#endif							/* WEBHOOK_CAPTURE_ROW_H */
