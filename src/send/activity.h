/*-------------------------------------------------------------------------
 *
 * activity.h
 *		Counts of attempts by outcome and duration, not recorded yet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ACTIVITY_H
#define WEBHOOK_ACTIVITY_H

#include "http/http.h"
#include "pure/histogram.h"

/* Outcomes that are counted.  Those after HTTP_INVALID are not about attempts to deliver. */
#define ACTIVITY_OUTCOMES	(HTTP_INVALID + 1)

typedef struct Activity
{
	int64		outcomes[ACTIVITY_OUTCOMES];	/* by HttpOutcome */
	int64		durations[HISTOGRAM_BUCKETS];	/* of attempts */
	int64		latencies[HISTOGRAM_BUCKETS];	/* from capture to delivery */
	int64		duration_us;	/* sums of these */
	int64		latency_us;
} Activity;

/*
 * Count an attempt, or the delivery of some messages.  If *activity is NULL, it is
 * allocated; raises an error if out of memory.  No transaction is required.
 */
extern void activity_attempt(Activity **activity, HttpOutcome outcome, int64 duration_us);
extern void activity_delivery(Activity **activity, int64 latency_us, int messages);

/* Add the counts of other, which may be NULL, to *activity, in the same way. */
extern void activity_add(Activity **activity, const Activity *other);

/* Free *activity, unless it is NULL, and set it to NULL. */
extern void activity_free(Activity **activity);

/* The counts as bigint[], palloc'd, without trailing zeros. */
extern Datum activity_array(const int64 *counts, int n);

#endif							/* WEBHOOK_ACTIVITY_H */
