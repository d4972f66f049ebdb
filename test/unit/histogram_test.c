/*-------------------------------------------------------------------------
 *
 * histogram_test.c
 *		X11: buckets and quantiles.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/histogram.h"

static void
test_buckets(void)
{
	is_int(histogram_bucket(0), 0, "X11: the first bucket begins with 0");
	for (int i = 0; i < HISTOGRAM_BUCKETS - 1; i++)
	{
		is_int(histogram_bucket(histogram_bound(i)), i, "X11: the bound of bucket %d belongs to it", i);
		is_int(histogram_bucket(histogram_bound(i) + 1), i + 1, "X11: what is above it does not");
	}
	is_int(histogram_bucket(INT64_MAX), HISTOGRAM_BUCKETS - 1, "X11: the last bucket has no bound");
}

static void
test_quantiles(void)
{
	int64_t		counts[HISTOGRAM_BUCKETS] = {0};

	ok(histogram_quantile(counts, HISTOGRAM_BUCKETS, 0.5) < 0, "X11: no values, no quantile");
	ok(histogram_quantile(counts, 0, 0.5) < 0, "X11: nor without buckets");
	counts[3] = 10;
	ok(histogram_quantile(counts, 4, 0.5) == 7500, "X11: the middle of a bucket");
	ok(histogram_quantile(counts, 4, 1) == 10000, "X11: its end");
	ok(histogram_quantile(counts, 4, 0) == 5000, "X11: its beginning");
	counts[0] = 90;
	ok(histogram_quantile(counts, 4, 0.9) == 1000, "X11: nine tenths lie in the first one");
	ok(histogram_quantile(counts, 4, 0.95) == 7500, "X11: the rest beyond");
	counts[HISTOGRAM_BUCKETS - 1] = 1000;
	ok(histogram_quantile(counts, HISTOGRAM_BUCKETS, 0.99) == histogram_bound(HISTOGRAM_BUCKETS - 2),
	   "X11: of what has no bound the least is said");
}

int
main(void)
{
	test_buckets();
	test_quantiles();
	return done();
}
