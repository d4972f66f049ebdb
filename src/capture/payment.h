/*-------------------------------------------------------------------------
 *
 * payment.h
 *		Entities whose payment their receivers have heard of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PAYMENT_H
#define WEBHOOK_PAYMENT_H

#include "watch/evaluate.h"

/*
 * What a change is for receivers to whom an unpaid entity does not exist, for
 * a table that says by an expression what is paid; WATCH_NACTIONS: nothing.
 * Takes down what they know from now on.
 */
extern WatchAction payment_action(const WatchedTable *table, WatchAction action, const WatchValues *values);

/* Receivers do not know it any more.  False if they did not. */
extern bool payment_forget(const WatchedTable *table, const WatchValues *values);

/* An event begins to be told of paid entities only: what is paid now is known. */
extern void payment_begin_event(const char *event_uid);

/* It ends. */
extern void payment_end_event(const char *event_uid);

/* UIDs (text[]) of the events of which unpaid entities do not exist for an integration; NULL: there are none. */
extern ArrayType *payment_only_events(void);

#endif							/* WEBHOOK_PAYMENT_H */
