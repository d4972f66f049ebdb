/*-------------------------------------------------------------------------
 *
 * audience.h
 *		Group the webhooks that subscribe to a table by what their owners may read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_AUDIENCE_H
#define WEBHOOK_AUDIENCE_H

#include "watch/watch.h"

/*
 * Form the audiences of a table, in the current memory context.  desc is that of
 * the watched table, not of a partition.
 */
extern void audience_form_all(WatchedTable *table, TupleDesc desc);

/* Does any webhook subscribe to this action, or to one that it may become for a receiver? */
extern bool audience_is_subscribed(const WatchedTable *table, WatchAction action);

/* Set the fields that the audiences ask for, and the columns whose updates they want.  Likewise. */
extern void audience_set_conditions(WatchedTable *table, TupleDesc desc);

/*
 * Set *audience to what one role may read of the table, in the current memory
 * context and without events.  False if it may not read the table.
 */
extern bool audience_for_role(const WatchedTable *table, Relation root, Oid role, WatchAudience *audience);

/* May the audience read this field? */
extern bool audience_sees(const WatchedTable *table, const WatchAudience *audience, WatchField field);

#endif							/* WEBHOOK_AUDIENCE_H */
