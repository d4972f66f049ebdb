/*-------------------------------------------------------------------------
 *
 * paid.h
 *		Entities whose payment their receivers have heard of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PAID_H
#define WEBHOOK_PAID_H

#include "evaluate.h"

/*
 * What a change is for receivers to whom an unpaid entity does not exist, for
 * a table that says by an expression what is paid; WATCH_NACTIONS: nothing.
 * Takes down what they know from now on.
 */
extern WatchAction paid_action(const WatchedTable *table, WatchAction action, const WatchValues *values);

/* Receivers do not know it any more.  False if they did not. */
extern bool paid_forget(const WatchedTable *table, const WatchValues *values);

/* An event begins to be told of paid entities only: what is paid now is known. */
extern void paid_begin_event(const char *event_uid);

/* It ends. */
extern void paid_end_event(const char *event_uid);

/* UIDs (text[]) of the events of which unpaid entities do not exist for an integration; NULL: there are none. */
extern ArrayType *paid_only_events(void);

#endif							/* WEBHOOK_PAID_H */
