/*-------------------------------------------------------------------------
 *
 * screen.h
 *		Changes that no webhook wants, recognized by little.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SCREEN_H
#define WEBHOOK_SCREEN_H

#include "watch.h"

/* What a screen says of a change. */
typedef enum ScreenVerdict
{
	SCREEN_UNKNOWN,				/* not asked before */
	SCREEN_NOBODY,				/* no webhook wants it */
	SCREEN_SOMEBODY				/* a webhook may want it */
} ScreenVerdict;

/*
 * Does any webhook want this change of this row (the new one of an update, in
 * the root's layout)?  The first function remembers, allocates nothing and never
 * throws; the second finds out what is not remembered.
 */
extern ScreenVerdict screen_recall(const WatchedTable *table, WatchAction action, TupleTableSlot *slot);
extern ScreenVerdict screen_decide(WatchedTable *table, WatchAction action, TupleTableSlot *slot);

#endif							/* WEBHOOK_SCREEN_H */
