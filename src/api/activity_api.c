/*-------------------------------------------------------------------------
 *
 * activity_api.c
 *		SQL functions on counts by outcome and by duration.
 *
 * Such counts are bigint[] without the zeros at their end, see activity.c; null
 * counts as empty.  The functions depend on nothing but their arguments, so they
 * work with any version of the extension.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"

#include "compat.h"
#include "http/http.h"
#include "pure/histogram.h"

/* Longer arrays were not written by us. */
#define COUNTS_MAX	64

typedef struct Counts
{
	int			n;
	int64		values[COUNTS_MAX];
} Counts;

PG_FUNCTION_INFO_V1(webhook_counts_add);
PG_FUNCTION_INFO_V1(webhook_counts_subtract);
PG_FUNCTION_INFO_V1(webhook_histogram_bounds);
PG_FUNCTION_INFO_V1(webhook_histogram_quantile);
PG_FUNCTION_INFO_V1(webhook_attempt_outcomes);


/* An argument; what is missing at its end is 0. */
static void
activity_api_get(FunctionCallInfo fcinfo, int argument, Counts *counts)
{
	ArrayType  *array;
	Datum	   *values;
	bool	   *nulls;

	memset(counts, 0, sizeof(*counts));
	if (PG_ARGISNULL(argument))
		return;
	array = PG_GETARG_ARRAYTYPE_P(argument);
	if (ARR_NDIM(array) > 1 || ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) > COUNTS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("counts must be an array of one dimension with at most %d elements", COUNTS_MAX)));
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, &nulls, &counts->n);
	for (int i = 0; i < counts->n; i++)
		counts->values[i] = nulls[i] ? 0 : DatumGetInt64(values[i]);
}

static Datum
activity_api_combine(FunctionCallInfo fcinfo, int sign)
{
	Counts		a;
	Counts		b;
	Datum		values[COUNTS_MAX];
	int			n;

	if (PG_ARGISNULL(0) && PG_ARGISNULL(1))
		PG_RETURN_NULL();
	activity_api_get(fcinfo, 0, &a);
	activity_api_get(fcinfo, 1, &b);
	n = Max(a.n, b.n);
	for (int i = 0; i < n; i++)
		values[i] = Int64GetDatum(a.values[i] + sign * b.values[i]);
	while (n > 0 && DatumGetInt64(values[n - 1]) == 0)
		n--;
	PG_RETURN_ARRAYTYPE_P(construct_array(values, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * counts_add(bigint[], bigint[]) returns bigint[]
 */
Datum
webhook_counts_add(PG_FUNCTION_ARGS)
{
	return activity_api_combine(fcinfo, 1);
}

/*
 * counts_subtract(bigint[], bigint[]) returns bigint[]
 */
Datum
webhook_counts_subtract(PG_FUNCTION_ARGS)
{
	return activity_api_combine(fcinfo, -1);
}

/* In seconds. */
static double
activity_api_bound(int bucket)
{
	return bucket == HISTOGRAM_BUCKETS - 1 ? get_float8_infinity() : (double) histogram_bound(bucket) / 1e6;
}

/*
 * histogram_bounds() returns double precision[]
 */
Datum
webhook_histogram_bounds(PG_FUNCTION_ARGS)
{
	Datum		values[HISTOGRAM_BUCKETS];

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		values[i] = Float8GetDatum(activity_api_bound(i));
	PG_RETURN_ARRAYTYPE_P(construct_array(values, HISTOGRAM_BUCKETS, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
										  TYPALIGN_DOUBLE));
}

/*
 * histogram_quantile(bigint[], double precision) returns double precision
 */
Datum
webhook_histogram_quantile(PG_FUNCTION_ARGS)
{
	Counts		counts;
	double		quantile;

	activity_api_get(fcinfo, 0, &counts);
	quantile = histogram_quantile(counts.values, Min(counts.n, HISTOGRAM_BUCKETS), PG_GETARG_FLOAT8(1));
	if (quantile < 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(quantile / 1e6);
}

/*
 * attempt_outcomes() returns text[]
 */
Datum
webhook_attempt_outcomes(PG_FUNCTION_ARGS)
{
	Datum		names[HTTP_INVALID + 1];

	for (int i = 0; i < lengthof(names); i++)
		names[i] = CStringGetTextDatum(http_outcome_name((HttpOutcome) i));
	PG_RETURN_ARRAYTYPE_P(construct_array(names, lengthof(names), TEXTOID, -1, false, TYPALIGN_INT));
}
