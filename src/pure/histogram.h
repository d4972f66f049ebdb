/*-------------------------------------------------------------------------
 *
 * histogram.h
 *		Histograms of durations.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_HISTOGRAM_H
#define WEBHOOK_HISTOGRAM_H

#include <stdint.h>

/* The last bucket has no upper bound. */
#define HISTOGRAM_BUCKETS	20

/* The bucket of a duration, in microseconds. */
extern int	histogram_bucket(int64_t duration_us);

/* The upper bound of a bucket, in microseconds, which belongs to it; INT64_MAX for the last one. */
extern int64_t histogram_bound(int bucket);

/*
 * The duration, in microseconds, below which this part of all values lies, taken as evenly
 * distributed within its bucket; -1 if there are no values.  In the last bucket, the greatest bound.
 */
extern double histogram_quantile(const int64_t *counts, int n, double quantile);

#endif							/* WEBHOOK_HISTOGRAM_H */
