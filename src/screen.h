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
	SCREEN_NOBODY,				/* nobody wants it */
	SCREEN_SOMEBODY				/* somebody may want it */
} ScreenVerdict;

/*
 * A screen for the table's audiences, in the current memory context; they live
 * as long.  desc is the root's.
 */
extern Screen *screen_create(const WatchedTable *table, TupleDesc desc);

/* Is this kind of change one that a screen can decide? */
extern bool screen_applies(const WatchedTable *table, WatchAction action);

/*
 * Does anybody want this change of this row (the new one of an update, in the
 * root's layout)?  For a kind of change that the screen applies to.  The
 * first function remembers, allocates nothing and never throws; the second
 * finds out what is not remembered.
 */
extern ScreenVerdict screen_recall(const WatchedTable *table, WatchAction action, TupleTableSlot *slot);
extern ScreenVerdict screen_decide(WatchedTable *table, WatchAction action, TupleTableSlot *slot);

#endif							/* WEBHOOK_SCREEN_H */
