/*-------------------------------------------------------------------------
 *
 * activity_tables.c
 *		The tables with the activity of each webhook by minutes and by hours.
 *
 * The counters of a webhook only grow.  Its history is what they were at the end of
 * each minute, and of each hour, in which anything was recorded; readers subtract
 * (webhook.activity).  A row is written when counters are recorded for the first time
 * in a later minute, from the newest row of webhook.health, which survives crashes and
 * restarts.  So the history needs no memory and no timer, each minute has at most one
 * row, and without activity nothing is written.  If rows are missing, minutes merge,
 * and no counts are lost.
 *
 * A row is usable only together with its predecessor, which was written during the
 * minute that the row describes.  So all rows in the displayed period are usable if
 * everything written since its beginning has been retained.
 *
 * There are two tables for each unit, as for the log (log_tables.c), but nothing need be
 * copied: once the first row of the current one is older than what is shown, all rows
 * of the other one are.  Then that one is truncated and becomes the current one.
 * Which one is current is not stored, but follows from the times of their first rows:
 * rows are only added, so a scan returns them in the order in which they were written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/spi_statement.h"
#include "send/activity_tables.h"

/* A table of this size, in bytes, gets no more rows; minutes merge then.  It takes many thousand busy webhooks. */
#define TABLE_MAX		(128 * 1024 * 1024)

typedef struct ActivityPair
{
	const char *names[2];
	int64		unit;			/* microseconds */
	int64		shown;			/* the history goes back at least this far */
	SpiStatement copy[2];
	SpiStatement first[2];		/* when the first row was written */
	int			current;
	bool		full;
} ActivityPair;

#define ACTIVITY_COLUMNS \
	"seq, delivered, failed, attempts, dropped, outcomes, durations, latencies, duration_us, latency_us"

#define ACTIVITY_COPY(table) \
	{"INSERT INTO webhook." table " (webhook_id, recorded_at, written_at, " ACTIVITY_COLUMNS ")" \
	" SELECT webhook_id, COALESCE(recorded_at, '-infinity'), $3, " ACTIVITY_COLUMNS \
	" FROM (SELECT * FROM (SELECT * FROM webhook.health UNION ALL SELECT * FROM webhook.health_1) AS a" \
	"       WHERE a.webhook_id = $1 ORDER BY a.seq DESC LIMIT 1) AS h" \
	" WHERE COALESCE(recorded_at, '-infinity') < $2", \
	3, {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID}}

#define ACTIVITY_FIRST(table) {"SELECT written_at FROM webhook." table " LIMIT 1", 0, {0}}

static ActivityPair activity_tables_pairs[] = {
	{
		{"activity_minute", "activity_minute_1"}, SECS_PER_MINUTE * USECS_PER_SEC, 2 * SECS_PER_HOUR * USECS_PER_SEC,
		{ACTIVITY_COPY("activity_minute"), ACTIVITY_COPY("activity_minute_1")},
		{ACTIVITY_FIRST("activity_minute"), ACTIVITY_FIRST("activity_minute_1")}
	},
	{
		{"activity_hour", "activity_hour_1"}, SECS_PER_HOUR * USECS_PER_SEC, 14 * SECS_PER_DAY * USECS_PER_SEC,
		{ACTIVITY_COPY("activity_hour"), ACTIVITY_COPY("activity_hour_1")},
		{ACTIVITY_FIRST("activity_hour"), ACTIVITY_FIRST("activity_hour_1")}
	}
};

static bool activity_tables_known = false;	/* which ones are current */
static TimestampTz activity_tables_written = 0; /* the minute in which the
												 * last row was written */
static TimestampTz activity_tables_recycled = 0;	/* its value at the last
													 * check of the tables */


/* Times before 2000 are negative. */
static TimestampTz
activity_tables_begin(TimestampTz t, int64 unit)
{
	int64		rest = t % unit;

	return t - (rest < 0 ? rest + unit : rest);
}

TimestampTz
activity_tables_minute(TimestampTz now)
{
	return activity_tables_begin(now, SECS_PER_MINUTE * USECS_PER_SEC);
}

/* When the first row was written; DT_NOEND if there is none. */
static TimestampTz
activity_tables_first(ActivityPair *pair, int i)
{
	bool		isnull;

	if (spi_statement_execute(&pair->first[i], NULL, NULL) == 0)
		return DT_NOEND;
	return DatumGetTimestampTz(spi_statement_value(0, 1, &isnull));
}

static void
activity_tables_find_current(void)
{
	if (activity_tables_known)
		return;
	for (int i = 0; i < lengthof(activity_tables_pairs); i++)
	{
		ActivityPair *pair = &activity_tables_pairs[i];
		TimestampTz firsts[2] = {activity_tables_first(pair, 0), activity_tables_first(pair, 1)};

		pair->current = firsts[1] != DT_NOEND && (firsts[0] == DT_NOEND || firsts[1] > firsts[0]);
	}
	activity_tables_known = true;
}

void
activity_tables_copy(int64 webhook_id, TimestampTz before, TimestampTz minute)
{
	activity_tables_find_current();
	for (int i = 0; i < lengthof(activity_tables_pairs); i++)
	{
		ActivityPair *pair = &activity_tables_pairs[i];
		TimestampTz begin = activity_tables_begin(minute, pair->unit);
		Datum		values[] = {Int64GetDatum(webhook_id), TimestampTzGetDatum(begin), TimestampTzGetDatum(minute)};

		if (pair->full || before >= begin)
			continue;
		if (spi_statement_execute(&pair->copy[pair->current], values, NULL) > 0)
			activity_tables_written = minute;
	}
}

static Relation
activity_tables_open(const char *name)
{
	return table_open(get_relname_relid(name, get_namespace_oid("webhook", false)), AccessShareLock);
}

static int64
activity_tables_size(const char *name)
{
	Relation	rel = activity_tables_open(name);
	int64		size = (int64) RelationGetNumberOfBlocks(rel) * BLCKSZ;

	table_close(rel, AccessShareLock);
	return size;
}

/* Returns false if the table is in use. */
static bool
activity_tables_empty(const char *name)
{
	if (activity_tables_size(name) == 0)
		return true;
	if (!ConditionalLockRelationOid(get_relname_relid(name, get_namespace_oid("webhook", false)), AccessExclusiveLock))
		return false;
	if (SPI_execute(psprintf("TRUNCATE webhook.%s", name), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate webhook.%s", name);
	return true;
}

void
activity_tables_recycle(TimestampTz now)
{
	if (activity_tables_written == activity_tables_recycled)
		return;
	for (int i = 0; i < lengthof(activity_tables_pairs); i++)
	{
		ActivityPair *pair = &activity_tables_pairs[i];

		if (activity_tables_first(pair, pair->current) < now - pair->shown &&
			activity_tables_empty(pair->names[!pair->current]))
			pair->current = !pair->current;
		pair->full = activity_tables_size(pair->names[pair->current]) > TABLE_MAX;
	}
	activity_tables_recycled = activity_tables_written;
}
