/*-------------------------------------------------------------------------
 *
 * page_history.c
 *		What webhooks did and how long it took, as tiles and plots of a page.
 *
 * The history of a webhook is its counters at the end of each minute, or hour, in
 * which anything was done; what was done is the difference between successive ones.
 * A thousand webhooks have half a million of them, so they are added up here.
 *
 * The texts of a plot are HTML, not SVG, so that they have the same size on any
 * screen.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/page_text.h"
#include "compat.h"
#include "pure/histogram.h"

#define MINUTES			120
#define HOURS			336
#define SHORTEST		0.0005	/* seconds at the lower end of the scale */

/* What was done in one minute or hour, or the counters at its end. */
typedef struct PageCounts
{
	int64		delivered;
	int64		failed;			/* attempts */
	int64		latencies[HISTOGRAM_BUCKETS];
} PageCounts;

/* Up to now, which is in the last slot. */
typedef struct PageHistory
{
	const char *period;
	int64		length;			/* of a slot, in microseconds */
	int			nslots;
	PageCounts	slots[HOURS];
} PageHistory;

PG_FUNCTION_INFO_V1(webhook_page_history);

/* Kept for the session: planning takes longer than reading the counters of one webhook. */
static SPIPlanPtr page_history_plan = NULL;


static void
page_history_read_array(uint64 row, int column, int64 *counts, int n)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	Datum	   *values;
	int			nvalues;

	memset(counts, 0, n * sizeof(*counts));
	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(value), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, NULL, &nvalues);
	for (int i = 0; i < Min(n, nvalues); i++)
		counts[i] = DatumGetInt64(values[i]);
}

static int64
page_history_read_integer(uint64 row, int column)
{
	bool		isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull));
}

/* The slot of a row; NULL if it is too old, or without time, as the first row of a webhook can be. */
static PageCounts *
page_history_slot(PageHistory *history, uint64 row)
{
	bool		isnull;
	Datum		since = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull);
	int64		age;

	if (isnull)
		return NULL;
	age = GetCurrentTransactionStartTimestamp() / history->length - DatumGetTimestampTz(since) / history->length;
	return age >= 0 && age < history->nslots ? &history->slots[history->nslots - 1 - age] : NULL;
}

/* Add the current result, the counters of one webhook. */
static void
page_history_add(PageHistory *history)
{
	PageCounts	before;

	memset(&before, 0, sizeof(before));
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		PageCounts *slot = page_history_slot(history, row);
		PageCounts	counters;
		int64		succeeded;

		counters.delivered = page_history_read_integer(row, 2);
		page_history_read_array(row, 4, &succeeded, 1);
		counters.failed = page_history_read_integer(row, 3) - succeeded;
		page_history_read_array(row, 5, counters.latencies, HISTOGRAM_BUCKETS);
		if (slot != NULL)
		{
			slot->delivered += counters.delivered - before.delivered;
			slot->failed += counters.failed - before.failed;
			for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
				slot->latencies[i] += counters.latencies[i] - before.latencies[i];
		}
		before = counters;
	}
}

static void
page_history_prepare(void)
{
	Oid			types[] = {INT8OID, TEXTOID};
	SPIPlanPtr	plan;

	if (page_history_plan != NULL)
		return;
	plan = SPI_prepare_cursor("SELECT recorded_at, delivered, attempts, outcomes, latencies"
							  " FROM webhook.activity_counters($1, $2) ORDER BY seq", 2, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare a query of activity_counters()");
	page_history_plan = plan;
}

static PageHistory *
page_history_load(ArrayType *ids, const char *period)
{
	PageHistory *history = palloc0(sizeof(PageHistory));
	bool		minutes = strcmp(period, "minute") == 0;
	Datum		values[] = {(Datum) 0, CStringGetTextDatum(period)};
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "webhook page history", ALLOCSET_DEFAULT_SIZES);
	Datum	   *webhooks;
	int			n;

	history->period = period;
	history->length = minutes ? USECS_PER_MINUTE : USECS_PER_HOUR;
	history->nslots = minutes ? MINUTES : HOURS;
	deconstruct_array(ids, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &webhooks, NULL, &n);
	page_history_prepare();
	for (int i = 0; i < n; i++)
	{
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		values[0] = webhooks[i];
		if (SPI_execute_plan(page_history_plan, values, NULL, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not read the history of webhook " INT64_FORMAT, DatumGetInt64(webhooks[i]));
		old = MemoryContextSwitchTo(scratch);
		page_history_add(history);
		MemoryContextSwitchTo(old);
		MemoryContextReset(scratch);
		SPI_freetuptable(SPI_tuptable);
	}
	return history;
}

/* The sum of these slots. */
static PageCounts
page_history_sum(const PageHistory *history, int first)
{
	PageCounts	sum;

	memset(&sum, 0, sizeof(sum));
	for (int slot = first; slot < history->nslots; slot++)
	{
		sum.delivered += history->slots[slot].delivered;
		sum.failed += history->slots[slot].failed;
		for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
			sum.latencies[i] += history->slots[slot].latencies[i];
	}
	return sum;
}

/* In seconds, or negative if nothing was delivered. */
static double
page_history_quantile(const PageCounts *counts, double quantile)
{
	return histogram_quantile(counts->latencies, HISTOGRAM_BUCKETS, quantile) / 1e6;
}

static char *
page_history_seconds(double seconds)
{
	StringInfoData s;

	initStringInfo(&s);
	page_text_append_seconds(&s, seconds);
	return s.data;
}

static char *
page_history_number(int64 n)
{
	StringInfoData s;

	initStringInfo(&s);
	page_text_append_number(&s, n);
	return s.data;
}

static void
page_history_append_tile(StringInfo s, const char *label, const char *value, bool warn)
{
	appendStringInfo(s, "<div class=\"%s\"><dt>%s</dt><dd>%s</dd></div>\n", warn ? "warn" : "ok", label, value);
}

/* Tiles about the last hour, of a history by minutes. */
static char *
page_history_tiles(const PageHistory *history)
{
	PageCounts	hour = page_history_sum(history, history->nslots - 60);
	StringInfoData s;

	initStringInfo(&s);
	page_history_append_tile(&s, "delivered, 1 h", page_history_number(hour.delivered), false);
	page_history_append_tile(&s, "failures, 1 h", page_history_number(hour.failed), hour.failed > 0);
	page_history_append_tile(&s, "latency p50", page_history_seconds(page_history_quantile(&hour, 0.5)), false);
	page_history_append_tile(&s, "latency p99", page_history_seconds(page_history_quantile(&hour, 0.99)), false);
	return s.data;
}

static void
page_history_append_axis(StringInfo s, const PageHistory *history)
{
	bool		minutes = history->nslots == MINUTES;

	appendStringInfo(s, "<div class=\"axis\"><span>%s ago</span><span>%s ago</span><span>now</span></div></figure>",
					 minutes ? "2 hours" : "14 days", minutes ? "1 hour" : "7 days");
}

/* How many, as stacked bars. */
static void
page_history_append_numbers(StringInfo s, const PageHistory *history)
{
	PageCounts	sum = page_history_sum(history, 0);
	char	   *delivered = page_history_number(sum.delivered);
	char	   *failed = page_history_number(sum.failed);
	char	   *most;
	int64		highest = 1;

	for (int i = 0; i < history->nslots; i++)
		highest = Max(highest, history->slots[i].delivered + history->slots[i].failed);
	most = page_history_number(highest);
	appendStringInfo(s, "<figure><figcaption><span class=\"key k1\">%s delivered</span><span class=\"key k2\">%s failed attempts</span>"
					 "</figcaption><div class=\"axis\"><span>%s per %s</span></div>"
					 "<svg viewBox=\"0 0 %d 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Deliveries per %s:"
					 " %s delivered, %s failed attempts, at most %s per %s\"><path class=\"f1\" d=\"",
					 delivered, failed, most, history->period, history->nslots,
					 history->period, delivered, failed, most, history->period);
	for (int i = 0; i < history->nslots; i++)
	{
		if (history->slots[i].delivered > 0)
			appendStringInfo(s, "M%d 100h.8v-%.4gh-.8z", i, 100.0 * history->slots[i].delivered / highest);
	}
	appendStringInfoString(s, "\"/><path class=\"f2\" d=\"");
	for (int i = 0; i < history->nslots; i++)
	{
		const PageCounts *slot = &history->slots[i];

		if (slot->failed > 0)
			appendStringInfo(s, "M%d %.4gh.8v-%.4gh-.8z", i, 100 - 100.0 * slot->delivered / highest,
							 Max(2.0, 100.0 * slot->failed / highest));
	}
	appendStringInfoString(s, "\"/></svg>");
	page_history_append_axis(s, history);
}

/* The height of a duration on a logarithmic scale, counted from above. */
static double
page_history_height(double seconds, double slowest)
{
	return seconds > SHORTEST ? 98 - 96 * log(seconds / SHORTEST) / log(slowest / SHORTEST) : 98;
}

/* How long it took, from p50 to p99. */
static void
page_history_append_latencies(StringInfo s, const PageHistory *history)
{
	PageCounts	sum = page_history_sum(history, 0);
	char	   *p50 = page_history_seconds(page_history_quantile(&sum, 0.5));
	char	   *p99 = page_history_seconds(page_history_quantile(&sum, 0.99));
	StringInfoData medians;
	double		slowest = 0.1;

	for (int i = 0; i < history->nslots; i++)
		slowest = Max(slowest, page_history_quantile(&history->slots[i], 0.99));
	appendStringInfo(s, "<figure><figcaption><span class=\"key k3\">median %s</span><span class=\"key k4\">up to p99 %s</span>"
					 "</figcaption><div class=\"axis\"><span>%s from change to delivery</span></div>"
					 "<svg viewBox=\"0 0 %d 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Time from the change to its delivery:"
					 " median %s, p99 %s\"><path class=\"f4\" d=\"",
					 p50, p99, page_history_seconds(slowest), history->nslots, p50, p99);
	initStringInfo(&medians);
	for (int i = 0; i < history->nslots; i++)
	{
		double		median = page_history_quantile(&history->slots[i], 0.5);
		double		low;
		double		high;

		if (median < 0)
			continue;
		low = page_history_height(median, slowest);
		high = page_history_height(page_history_quantile(&history->slots[i], 0.99), slowest);
		appendStringInfo(s, "M%d %.4gh.8V%.4gh-.8z", i, low, Min(low - 1.5, high));
		appendStringInfo(&medians, "M%d %.4gh.8v3h-.8z", i, low - 1.5);
	}
	appendStringInfo(s, "\"/><path class=\"f3\" d=\"%s\"/></svg>", medians.data);
	page_history_append_axis(s, history);
}

/*
 * page_history(ids, period) returns record (tiles text, plots text)
 *
 * Is called by functions of the extension, with the privileges of its owner.
 */
Datum
webhook_page_history(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	ArrayType  *ids = PG_GETARG_ARRAYTYPE_P(0);
	char	   *period = text_to_cstring(PG_GETARG_TEXT_PP(1));
	StringInfoData plots;
	PageHistory *history;
	TupleDesc	tupdesc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	history = page_history_load(ids, period);
	MemoryContextSwitchTo(caller);
	initStringInfo(&plots);
	appendStringInfoString(&plots, "<div class=\"pair\">");
	page_history_append_numbers(&plots, history);
	page_history_append_latencies(&plots, history);
	appendStringInfoString(&plots, "</div>");
	nulls[0] = history->nslots != MINUTES;
	values[0] = nulls[0] ? (Datum) 0 : CStringGetTextDatum(page_history_tiles(history));
	values[1] = CStringGetTextDatum(plots.data);
	SPI_finish();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
