/*-------------------------------------------------------------------------
 *
 * change.h
 *		One change of one row, and what the table's settings say of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CHANGE_H
#define WEBHOOK_CHANGE_H

#include "watch/active_integration.h"
#include "watch/evaluate.h"

/*
 * Initialize the first group, the rest with zeros.  The second is filled in
 * when it is first needed: expressions are queries.
 */
typedef struct Change
{
	WatchedTable *table;
	WatchAction action;			/* as receivers see it after
								 * change_resolve_deletion() */
	TupleTableSlot *old;		/* in the root's layout; NULL for a new row
								 * and for notify_payment() */
	TupleTableSlot *new;		/* NULL for a deleted row */
	CommandId	past;			/* of a deleted row, see evaluate_past() */
	struct DeferredRow *deferred;	/* the one that is being captured, or NULL */
	int64		only;			/* only for this webhook, which is sent
								 * existing rows; 0: for all */

	WatchValues values;			/* of the row that messages describe: the new
								 * one, or the deleted one */
	WatchValues before;			/* of the old row of an update */

	/* what the active integration is sent, see payment_decide() */
	bool		ruled;
	bool		nothing_but_payment;	/* skip the change if only payment has
										 * changed */
	WatchAction ruling;			/* WATCH_NACTIONS: nothing */
	ActiveIntegration integration;

	int			nmessages;		/* appended so far */
} Change;

/*
 * Fields of the row that messages describe: those that the webhooks of the table
 * ask for, and the other ones given.  Each is evaluated once.
 */
extern void change_evaluate(Change *change, unsigned fields);

static inline const WatchValues *
change_values(Change *change, unsigned fields)
{
	if (change->values.known == 0 || (fields & ~change->values.known))
		change_evaluate(change, fields);
	return &change->values;
}

/* These fields of the old row of an update.  They are only evaluated if they may differ from the new row's. */
extern const WatchValues *change_before(Change *change, unsigned fields);

/* Does a row differ from the one before the update in a column of the payload, of the key, or that is a field? */
extern bool change_is_visible(const Change *change);

/* Does an update differ in something that an expression reads?  False negatives are impossible. */
extern bool change_may_alter_expressions(const Change *change);

/* Do the fields of the two rows of an update differ? */
extern bool change_alters_fields(Change *change);

/* Does an update give the row another id? */
extern bool change_alters_id(Change *change);

/* Does an update take the row to another event or profile? */
extern bool change_alters_context(Change *change);

/* Do the two rows, which change_is_visible() has looked at, differ in one of these columns? */
extern bool change_touches_columns(const Change *change, const AttrNumber *columns, int ncolumns);

/*
 * Turn the row's own action into that of the entity: a row that counts as deleted
 * does not exist.  False: nothing has happened to the entity.
 */
extern bool change_resolve_deletion(Change *change);

#endif							/* WEBHOOK_CHANGE_H */
