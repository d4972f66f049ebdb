/*-------------------------------------------------------------------------
 *
 * metrics.c
 *		metrics(): counters, histograms and state in the text format of Prometheus.
 *
 * What is shown comes from metrics_webhooks(), metrics_workers() and
 * metrics_storage() in SQL.  It is formatted here rather than in SQL: a thousand
 * webhooks have forty thousand samples, and SQL would copy megabytes of text several
 * times.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/as_owner.h"
#include "base/settings.h"
#include "compat.h"
#include "http/http.h"
#include "pure/histogram.h"
#include "server/version.h"

PG_FUNCTION_INFO_V1(webhook_metrics);

/* The columns of metrics_webhooks(). */
enum
{
	METRICS_LABELS = 1,
	METRICS_WEBHOOKS,
	METRICS_ACTIVE,
	METRICS_DEACTIVATED,
	METRICS_FAILING,
	METRICS_DELIVERED,
	METRICS_FAILED,
	METRICS_DROPPED,
	METRICS_EXPIRED,
	METRICS_WAITING,
	METRICS_RETRYING,
	METRICS_BUFFERED,
	METRICS_OLDEST_AGE,
	METRICS_LAST_SUCCESS,
	METRICS_LAST_FAILURE,
	METRICS_OUTCOMES,
	METRICS_DURATIONS,
	METRICS_LATENCIES,
	METRICS_DURATION_US,
	METRICS_LATENCY_US
};

/* Families of metrics with one sample for each set of labels and column, told apart by a label if there are several. */
typedef struct MetricsFamily
{
	const char *name;
	const char *type;
	const char *help;
	const char *label;			/* NULL: none */
	struct
	{
		int			column;
		const char *value;		/* of the label */
	}			columns[4];
} MetricsFamily;

static const MetricsFamily metrics_families[] = {
	{"webhook_deliveries_total", "counter", "Messages by how their delivery ended.", "result",
	{{METRICS_DELIVERED, "delivered"}, {METRICS_FAILED, "failed"}, {METRICS_DROPPED, "dropped"}, {METRICS_EXPIRED, "expired"}}},
	{"webhook_backlog_messages", "gauge", "Messages that have not been delivered; estimated if there are many.", "state",
	{{METRICS_WAITING, "waiting"}, {METRICS_RETRYING, "retrying"}, {METRICS_BUFFERED, "buffered"}}},
	{"webhook_oldest_pending_age_seconds", "gauge", "Age of the oldest message that waits for an active webhook; 0 if none does.", NULL,
	{{METRICS_OLDEST_AGE}}},
	{"webhook_active", "gauge", "Webhooks that are active.", NULL, {{METRICS_ACTIVE}}},
	{"webhook_deactivated", "gauge", "Webhooks that were deactivated by the system.", NULL, {{METRICS_DEACTIVATED}}},
	{"webhook_failing", "gauge", "Active webhooks that are only probed because they fail.", NULL, {{METRICS_FAILING}}},
	{"webhook_last_success_timestamp_seconds", "gauge", "When a message was last delivered.", NULL, {{METRICS_LAST_SUCCESS}}},
	{"webhook_last_failure_timestamp_seconds", "gauge", "When an attempt last failed.", NULL, {{METRICS_LAST_FAILURE}}}
};

/*
 * The buckets that are shown, by their number in histogram.c: fewer than there
 * are, because each is a time series for every webhook.
 */
static const int metrics_duration_buckets[] = {2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, HISTOGRAM_BUCKETS - 1};
static const int metrics_latency_buckets[] = {1, 3, 5, 7, 9, 11, 13, 15, 16, 17, 18, HISTOGRAM_BUCKETS - 1};


static void
metrics_head(StringInfo s, const char *name, const char *type, const char *help)
{
	appendStringInfo(s, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
metrics_text(StringInfo s, const char *text)
{
	appendBinaryStringInfo(s, text, (int) strlen(text));
}

/* The name of a sample and its labels, the last of which is optional. */
static void
metrics_sample(StringInfo s, const char *name, const char *suffix, const char *labels, const char *label,
			   const char *value)
{
	metrics_text(s, name);
	metrics_text(s, suffix);
	if (labels[0] != '\0' || label != NULL)
	{
		appendStringInfoChar(s, '{');
		metrics_text(s, labels);
		if (label != NULL)
		{
			metrics_text(s, labels[0] != '\0' ? "," : "");
			metrics_text(s, label);
			metrics_text(s, "=\"");
			metrics_text(s, value);
			appendStringInfoChar(s, '"');
		}
		appendStringInfoChar(s, '}');
	}
	appendStringInfoChar(s, ' ');
}

static void
metrics_integer(StringInfo s, int64 value)
{
	char		text[32];

	pg_lltoa(value, text);
	metrics_text(s, text);
	appendStringInfoChar(s, '\n');
}

/* A column of the current result; false if it is null. */
static bool
metrics_column(uint64 row, int column, Datum *value)
{
	bool		isnull;

	*value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	return !isnull;
}

static const char *
metrics_string(uint64 row, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return value != NULL ? value : "";
}

static void
metrics_value(StringInfo s, uint64 row, int column)
{
	Datum		value;

	(void) metrics_column(row, column, &value);
	if (SPI_gettypeid(SPI_tuptable->tupdesc, column) == INT8OID)
		metrics_integer(s, DatumGetInt64(value));
	else
		appendStringInfo(s, "%.3f\n", DatumGetFloat8(value));
}

static void
metrics_add_family(StringInfo s, const MetricsFamily *family, const char **labels)
{
	size_t		start = s->len;
	bool		empty = true;
	Datum		value;

	metrics_head(s, family->name, family->type, family->help);
	for (uint64 row = 0; row < SPI_processed; row++)
		for (int i = 0; i < lengthof(family->columns) && family->columns[i].column != 0; i++)
			if (metrics_column(row, family->columns[i].column, &value))
			{
				metrics_sample(s, family->name, "", labels[row], family->label, family->columns[i].value);
				metrics_value(s, row, family->columns[i].column);
				empty = false;
			}
	if (empty)
	{
		s->len = (int) start;
		s->data[start] = '\0';
	}
}

/* Counts from a column; what is missing at the end is 0. */
static void
metrics_counts(uint64 row, int column, int64 *counts, int n)
{
	Datum		value;
	Datum	   *values;
	int			nvalues;

	memset(counts, 0, n * sizeof(*counts));
	if (!metrics_column(row, column, &value))
		return;
	deconstruct_array(DatumGetArrayTypeP(value), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &values, NULL, &nvalues);
	for (int i = 0; i < Min(n, nvalues); i++)
		counts[i] = DatumGetInt64(values[i]);
}

static void
metrics_add_attempts(StringInfo s, const char **labels)
{
	int64		counts[HTTP_INVALID + 1];

	metrics_head(s, "webhook_attempts_total", "counter", "Requests by outcome.");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		metrics_counts(row, METRICS_OUTCOMES, counts, lengthof(counts));
		for (int i = 0; i < lengthof(counts); i++)
			if (counts[i] > 0 || i == HTTP_DELIVERED)
			{
				metrics_sample(s, "webhook_attempts_total", "", labels[row], "outcome", http_outcome_name((HttpOutcome) i));
				metrics_integer(s, counts[i]);
			}
	}
}

static void
metrics_add_histogram(StringInfo s, const char *name, const char *help, const char **labels, int column, int sum_column,
					  const int *buckets, int n)
{
	char		bounds[HISTOGRAM_BUCKETS][16];
	int64		counts[HISTOGRAM_BUCKETS];
	Datum		sum;

	for (int i = 0; i < n; i++)
		snprintf(bounds[i], sizeof(bounds[i]), "%g", (double) histogram_bound(buckets[i]) / 1e6);
	strcpy(bounds[n - 1], "+Inf");
	metrics_head(s, name, "histogram", help);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int64		total = 0;
		int			bucket = 0;

		metrics_counts(row, column, counts, HISTOGRAM_BUCKETS);
		for (int i = 0; i < n; i++)
		{
			while (bucket <= buckets[i])
				total += counts[bucket++];
			metrics_sample(s, name, "_bucket", labels[row], "le", bounds[i]);
			metrics_integer(s, total);
		}
		(void) metrics_column(row, sum_column, &sum);
		metrics_sample(s, name, "_sum", labels[row], NULL, NULL);
		appendStringInfo(s, "%.6f\n", (double) DatumGetInt64(sum) / 1e6);
		metrics_sample(s, name, "_count", labels[row], NULL, NULL);
		metrics_integer(s, total);
	}
}

static void
metrics_add_webhooks(StringInfo s, Oid role)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(role)};
	const char **labels;

	if (as_owner_execute("SELECT * FROM webhook.metrics_webhooks($1)", SPI_OK_SELECT, 1, types, values, NULL) == 0)
		return;
	labels = palloc(SPI_processed * sizeof(*labels));
	for (uint64 row = 0; row < SPI_processed; row++)
		labels[row] = metrics_string(row, METRICS_LABELS);
	for (int i = 0; i < lengthof(metrics_families); i++)
		metrics_add_family(s, &metrics_families[i], labels);
	metrics_add_attempts(s, labels);
	metrics_add_histogram(s, "webhook_attempt_duration_seconds", "How long requests took.", labels, METRICS_DURATIONS, METRICS_DURATION_US,
						  metrics_duration_buckets, lengthof(metrics_duration_buckets));
	metrics_add_histogram(s, "webhook_delivery_latency_seconds", "Time from the change in the database to the answer of the receiver.",
						  labels, METRICS_LATENCIES, METRICS_LATENCY_US,
						  metrics_latency_buckets, lengthof(metrics_latency_buckets));
}

static void
metrics_add_limit(StringInfo s, const char *name, const char *help, int64 value)
{
	metrics_head(s, name, "gauge", help);
	metrics_sample(s, name, "", "", NULL, NULL);
	metrics_integer(s, value);
}

/* metrics_workers() returns labels, a column for each family, and in each row the number of slots and of workers. */
static void
metrics_add_workers(StringInfo s, Oid role)
{
	static const struct
	{
		const char *name;
		const char *help;
	}			families[] = {
		{"webhook_worker_up", "Whether the database is served, or has nothing to be sent."},
		{"webhook_worker_requests_in_flight", "Requests that have been sent and not been answered."},
		{"webhook_proxy_failing_seconds", "How long deliveries have been waiting for webhook.proxy; 0 if it works, or there is none."}
	};
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(role)};
	Datum		slots;
	Datum		workers;

	as_owner_execute("SELECT * FROM webhook.metrics_workers($1)", SPI_OK_SELECT, 1, types, values, NULL);
	for (int i = 0; i < lengthof(families); i++)
	{
		metrics_head(s, families[i].name, "gauge", families[i].help);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			metrics_sample(s, families[i].name, "", metrics_string(row, 1), NULL, NULL);
			metrics_value(s, row, i + 2);
		}
	}
	(void) metrics_column(0, lengthof(families) + 2, &slots);
	(void) metrics_column(0, lengthof(families) + 3, &workers);
	metrics_add_limit(s, "webhook_database_slots_in_use", "Databases that have a slot in shared memory.", DatumGetInt64(slots));
	metrics_add_limit(s, "webhook_database_slots_limit", "How many there can be, webhook.max_databases.", webhook_max_databases);
	metrics_add_limit(s, "webhook_worker_processes", "Workers that are running.", DatumGetInt64(workers));
	metrics_add_limit(s, "webhook_worker_processes_limit", "How many there can be, webhook.workers.", webhook_workers);
}

static void
metrics_add_storage(StringInfo s)
{
	metrics_head(s, "webhook_storage_bytes", "gauge", "Size on disk of tables with their indexes.");
	as_owner_execute("SELECT * FROM webhook.metrics_storage()", SPI_OK_SELECT, 0, NULL, NULL, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		metrics_sample(s, "webhook_storage_bytes", "", "", "part", metrics_string(row, 1));
		metrics_value(s, row, 2);
	}
}

/*
 * metrics() returns text
 */
Datum
webhook_metrics(PG_FUNCTION_ARGS)
{
	StringInfoData s;
	Oid			role = GetUserId();
	RunAs		state;

	version_require();
	initStringInfo(&s);
	appendStringInfoSpaces(&s, VARHDRSZ);
	as_owner_begin(&state);
	metrics_add_webhooks(&s, role);
	metrics_add_workers(&s, role);
	metrics_add_storage(&s);
	as_owner_end(&state);
	SET_VARSIZE(s.data, s.len);
	PG_RETURN_TEXT_P((text *) s.data);
}
