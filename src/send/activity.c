/*-------------------------------------------------------------------------
 *
 * activity.c
 *		Counts of attempts by outcome and duration, not recorded yet.
 *
 * Most endpoints are idle most of the time, so these counts are allocated for those
 * that have something to record.  Like the other statistics of an endpoint they are
 * malloc'd, since they belong to no memory context that is ever reset.  attempt_log.c
 * counts, records and frees them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

#include "send/activity.h"


static Activity *
activity_get(Activity **activity)
{
	if (*activity == NULL)
	{
		*activity = calloc(1, sizeof(Activity));
		if (*activity == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	return *activity;
}

void
activity_attempt(Activity **activity, HttpOutcome outcome, int64 duration_us)
{
	Activity   *a = activity_get(activity);

	if (outcome >= ACTIVITY_OUTCOMES)
		return;
	a->outcomes[outcome]++;
	a->durations[histogram_bucket(duration_us)]++;
	a->duration_us += duration_us;
}

void
activity_delivery(Activity **activity, int64 latency_us, int messages)
{
	Activity   *a = activity_get(activity);

	latency_us = Max(0, latency_us);
	a->latencies[histogram_bucket(latency_us)] += messages;
	a->latency_us += latency_us * messages;
}

static void
activity_add_counts(int64 *to, const int64 *counts, int n)
{
	for (int i = 0; i < n; i++)
		to[i] += counts[i];
}

void
activity_add(Activity **activity, const Activity *other)
{
	Activity   *a;

	if (other == NULL)
		return;
	a = activity_get(activity);
	activity_add_counts(a->outcomes, other->outcomes, ACTIVITY_OUTCOMES);
	activity_add_counts(a->durations, other->durations, HISTOGRAM_BUCKETS);
	activity_add_counts(a->latencies, other->latencies, HISTOGRAM_BUCKETS);
	a->duration_us += other->duration_us;
	a->latency_us += other->latency_us;
}

void
activity_free(Activity **activity)
{
	if (*activity != NULL)
		free(*activity);
	*activity = NULL;
}

Datum
activity_array(const int64 *counts, int n)
{
	Datum		values[Max(HISTOGRAM_BUCKETS, ACTIVITY_OUTCOMES)];

	Assert(n <= lengthof(values));
	while (n > 0 && counts[n - 1] == 0)
		n--;
	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum(counts[i]);
	return PointerGetDatum(construct_array(values, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
