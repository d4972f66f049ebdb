/*-------------------------------------------------------------------------
 *
 * prefilter.h
 *		Changes that no webhook wants, recognized by little.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PREFILTER_H
#define WEBHOOK_PREFILTER_H

#include "watch/watch.h"

/* What a screen says of a change. */
typedef enum PrefilterVerdict
{
	PREFILTER_UNKNOWN,				/* not asked before */
	PREFILTER_UNWANTED,				/* no webhook wants it */
	PREFILTER_WANTED				/* a webhook may want it */
} PrefilterVerdict;

/*
 * Does any webhook want this change of this row (the new one of an update, in
 * the root's layout)?  The first function remembers, allocates nothing and never
 * throws; the second finds out what is not remembered.
 */
extern PrefilterVerdict prefilter_recall(const WatchedTable *table, WatchAction action, TupleTableSlot *slot);
extern PrefilterVerdict prefilter_decide(WatchedTable *table, WatchAction action, TupleTableSlot *slot);

#endif							/* WEBHOOK_PREFILTER_H */
