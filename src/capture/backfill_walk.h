/*-------------------------------------------------------------------------
 *
 * backfill_walk.h
 *		Send the next rows of a watched table to one webhook.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_BACKFILL_WALK_H
#define WEBHOOK_BACKFILL_WALK_H

#include "capture/backfill_job.h"

typedef struct BackfillStep
{
	int			walked;			/* rows that have been passed */
	int			sent;			/* messages appended */
	bool		end;			/* was that the last row? */
} BackfillStep;

/*
 * Append messages for up to max rows after the job's position, and advance the
 * position, in memory and, if the job still exists and has not ended, in its table.
 * False if it has ended, or is being ended; then the transaction must be aborted.
 *
 * The condition that a role is not allowed to evaluate, or that fails for a row, is
 * an error, as is everything that would make a statement of an application fail.
 */
extern bool backfill_walk(BackfillJob *job, int max, BackfillStep *step);

/* Has the condition raised the error that ended the last step? */
extern bool backfill_walk_failed_in_condition(void);

/* The statement that a condition is evaluated with, for all rows of the table. */
extern char *backfill_walk_condition(Relation rel, const char *condition);

/* Does the table have a key to walk by? */
extern bool backfill_walk_possible(Oid relation);

#endif							/* WEBHOOK_BACKFILL_WALK_H */
