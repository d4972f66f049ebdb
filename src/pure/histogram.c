/*-------------------------------------------------------------------------
 *
 * histogram.c
 *		Histograms of durations.
 *
 * The bounds are the same for requests, which take milliseconds, and for
 * deliveries, which can take a day: then one table and one function serve both.  Up
 * to a minute they grow by a factor of two to three, above that by four to six, so
 * a quantile computed from them is an estimate.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>

#include "pure/assertion.h"
#include "pure/histogram.h"

static const int64_t histogram_bounds[HISTOGRAM_BUCKETS] = {
	1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,	/* up to half a second */
	1000000, 2500000, 5000000, 10000000, 30000000,	/* up to half a minute */
	INT64_C(60000000), INT64_C(300000000), INT64_C(1800000000), /* up to half an hour */
	INT64_C(7200000000), INT64_C(43200000000),	/* up to half a day */
	INT64_MAX
};


int
histogram_bucket(int64_t duration_us)
{
	int			bucket = 0;

	while (duration_us > histogram_bounds[bucket])
		bucket++;
	return bucket;
}

int64_t
histogram_bound(int bucket)
{
	ASSERT(bucket >= 0 && bucket < HISTOGRAM_BUCKETS);
	return histogram_bounds[bucket];
}

double
histogram_quantile(const int64_t *counts, int n, double quantile)
{
	int64_t		total = 0;
	double		rank;
	int			bucket = 0;
	double		below;

	for (int i = 0; i < n; i++)
		total += counts[i];
	if (total <= 0)
		return -1;
	rank = quantile * (double) total;
	while (bucket < n - 1 && (counts[bucket] == 0 || rank > (double) counts[bucket]))
		rank -= (double) counts[bucket++];
	below = bucket == 0 ? 0 : (double) histogram_bounds[bucket - 1];
	if (bucket >= HISTOGRAM_BUCKETS - 1 || counts[bucket] <= 0)
		return below;
	return below + ((double) histogram_bounds[bucket] - below) * (rank < 0 ? 0 : rank) / (double) counts[bucket];
}
