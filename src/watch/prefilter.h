/*-------------------------------------------------------------------------
 *
 * prefilter.h
 *		Recognize changes that no webhook subscribes to, at low cost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PREFILTER_H
#define WEBHOOK_PREFILTER_H

#include "watch/watch.h"

typedef enum PrefilterResult
{
	PREFILTER_UNKNOWN,			/* not in the cache */
	PREFILTER_UNWANTED,			/* no webhook subscribes to it */
	PREFILTER_WANTED			/* a webhook may subscribe to it */
} PrefilterResult;

/*
 * May any webhook subscribe to this change of this row (the new version for an
 * update, in the root's layout)?  prefilter_lookup() only looks into the cache; it
 * allocates no memory and raises no errors.  prefilter_check() never returns
 * PREFILTER_UNKNOWN.
 */
extern PrefilterResult prefilter_lookup(const WatchedTable *table, WatchAction action, TupleTableSlot *slot);
extern PrefilterResult prefilter_check(WatchedTable *table, WatchAction action, TupleTableSlot *slot);

#endif							/* WEBHOOK_PREFILTER_H */
