/*-------------------------------------------------------------------------
 *
 * activity.h
 *		How attempts ended and how long they took, since this was last recorded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ACTIVITY_H
#define WEBHOOK_ACTIVITY_H

#include "http/http.h"
#include "pure/histogram.h"

/* Outcomes that are counted: all but those of handshakes. */
#define ACTIVITY_OUTCOMES	(HTTP_INVALID + 1)

typedef struct Activity
{
	int64		outcomes[ACTIVITY_OUTCOMES];	/* by HttpOutcome */
	int64		durations[HISTOGRAM_BUCKETS];	/* of attempts */
	int64		latencies[HISTOGRAM_BUCKETS];	/* from capture to delivery */
	int64		duration_us;	/* sums of these */
	int64		latency_us;
} Activity;

/* The next two allocate what *activity points to if it is NULL. */
extern void activity_attempt(Activity **activity, HttpOutcome outcome, int64 duration_us);
extern void activity_delivery(Activity **activity, int64 latency_us, int messages);

/* Both may be NULL. */
extern void activity_add(Activity **activity, const Activity *other);
extern void activity_free(Activity **activity);

/* Counts as bigint[], without the zeros at its end. */
extern Datum activity_array(const int64 *counts, int n);

#endif							/* WEBHOOK_ACTIVITY_H */
