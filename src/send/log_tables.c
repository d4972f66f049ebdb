/*-------------------------------------------------------------------------
 *
 * log_tables.c
 *		The tables with the last attempts and the counters of each webhook.
 *
 * A busy webhook has ten new attempts and new counters each second.  If rows were
 * updated, each old snapshot, of a report or a backup, would make dead versions pile
 * up, and the worker would pass over them again and again.  So rows are only
 * added, with increasing numbers, and readers take the newest ones
 * (webhook.last_attempts, webhook.current_health).
 *
 * There are two tables for each, one of which is current.  When that is full, what
 * still counts in the other one is copied to it, the other one is truncated, and
 * becomes the current one.  By then all webhooks that are busy have newer rows, so
 * there is little to copy.  TRUNCATE needs an exclusive lock.  While a session is
 * reading the other table, pg_dump in particular, the current one grows beyond its
 * limit, and is written less often.
 *
 * Which one is current is not stored.  After a restart it may be the other one: rows
 * are compared by their numbers, wherever they are.  Sessions that reset counters
 * add rows, too, under the webhook's lock, to either table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/spi_statement.h"
#include "base/table_append.h"
#include "base/webhook_lock.h"
#include "log/standby.h"
#include "send/log_tables.h"

/* A table is full at this size, in bytes, or at four times what had to be copied; see cursor_table.c on standbys. */
#define TABLE_SIZE			(16 * 1024 * 1024)
#define TABLE_SIZE_STANDBY	(64 * 1024 * 1024)
#define TABLE_COPIES		4

/* The other table is emptied early, before the current one is full, if it exceeds this multiple of the limit. */
#define TABLE_EXCESS		2

typedef struct TablePair
{
	const char *names[2];
	SpiStatement move[2];		/* what counts in the other one to this one */
	int			current;
	uint64		copied;			/* bytes, at the last change of tables */
	uint64		size;			/* of the current one */
} TablePair;

static int	log_tables_times_slower = 1;

#define LOG_COLUMNS \
	"seq, attempted_at, message_id, event, attempt, method, url, request_headers, request_body, status," \
	" response_headers, response_body, duration, error, outcome, messages, remote_address, http_version, dns_time," \
	" connect_time, tls_time, first_byte_time"

#define LOG_MOVE(other, table) \
	{"INSERT INTO webhook." table " (webhook_id, " LOG_COLUMNS ")" \
	" SELECT webhook_id, " LOG_COLUMNS \
	" FROM (SELECT webhook_id, seq, is_other, row_number() OVER (PARTITION BY webhook_id ORDER BY seq DESC) AS nth" \
	"       FROM (SELECT webhook_id, seq, true AS is_other FROM webhook." other \
	"             UNION ALL SELECT webhook_id, seq, false FROM webhook." table ") AS a) AS o" \
	" JOIN webhook." other " AS l USING (webhook_id, seq)" \
	" WHERE is_other AND nth <= $1 AND EXISTS (SELECT FROM webhook.webhook AS w WHERE w.id = webhook_id)", \
	1, {INT4OID}}

#define HEALTH_COLUMNS \
	"delivered, failed, attempts, dropped, expired, last_success_at, last_failure_at, last_error, failures, failing_since," \
	" probes, next_probe_at, warned, agreed_at, allowed_rate," \
	" recorded_at, outcomes, durations, latencies, duration_us, latency_us"

#define HEALTH_ADD(table) \
	{"INSERT INTO webhook." table " (webhook_id, seq, " HEALTH_COLUMNS ")" \
	" SELECT w.id, COALESCE(h.seq, 0) + 1, COALESCE(h.delivered, 0) + $2, COALESCE(h.failed, 0) + $3," \
	"  COALESCE(h.attempts, 0) + $4, COALESCE(h.dropped, 0) + $5, COALESCE(h.expired, 0) + $6," \
	"  COALESCE($7, h.last_success_at), COALESCE($8, h.last_failure_at), COALESCE($9, h.last_error)," \
	"  $10, $11, $12, $13, $14, $15, $16," \
	"  $17, webhook.counts_add(h.outcomes, $18), webhook.counts_add(h.durations, $19), webhook.counts_add(h.latencies, $20)," \
	"  COALESCE(h.duration_us, 0) + $21, COALESCE(h.latency_us, 0) + $22" \
	" FROM (SELECT $1 WHERE $1 = 0 OR EXISTS (SELECT FROM webhook.webhook WHERE id = $1)) AS w (id)" \
	" LEFT JOIN LATERAL (SELECT * FROM (SELECT * FROM webhook.health UNION ALL SELECT * FROM webhook.health_1) AS a" \
	"  WHERE a.webhook_id = $1 ORDER BY a.seq DESC LIMIT 1) AS h ON true", \
	HEALTH_PARAMS, {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, \
	INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, INT4OID, \
	TIMESTAMPTZOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8OID, INT8OID}}

#define HEALTH_MOVE(other, table) \
	{"INSERT INTO webhook." table " (webhook_id, seq, " HEALTH_COLUMNS ")" \
	" SELECT webhook_id, seq, " HEALTH_COLUMNS \
	" FROM (SELECT webhook_id, max(seq) AS seq FROM webhook." other " GROUP BY webhook_id) AS o" \
	" JOIN webhook." other " AS h USING (webhook_id, seq)" \
	" LEFT JOIN (SELECT webhook_id, max(seq) AS newer_seq FROM webhook." table " GROUP BY webhook_id) AS n USING (webhook_id)" \
	" WHERE COALESCE(newer_seq < seq, true)" \
	"   AND (webhook_id = 0 OR EXISTS (SELECT FROM webhook.webhook AS w WHERE w.id = webhook_id))", \
	0, {0}}

static TablePair log_tables_log = {
	{"log", "log_1"},
	{LOG_MOVE("log_1", "log"), LOG_MOVE("log", "log_1")}
};

static TablePair log_tables_health = {
	{"health", "health_1"},
	{HEALTH_MOVE("health_1", "health"), HEALTH_MOVE("health", "health_1")}
};

static SpiStatement log_tables_health_statements[2] = {HEALTH_ADD("health"), HEALTH_ADD("health_1")};

static SpiStatement log_tables_last_seq_statement = {
	"SELECT GREATEST((SELECT max(seq) FROM webhook.log WHERE webhook_id = $1),"
	" (SELECT max(seq) FROM webhook.log_1 WHERE webhook_id = $1), 0)",
	1, {INT8OID}
};


int64
log_tables_last_seq(int64 webhook_id)
{
	Datum		values[1] = {Int64GetDatum(webhook_id)};
	bool		isnull;

	spi_statement_execute(&log_tables_last_seq_statement, values, NULL);
	return DatumGetInt64(spi_statement_value(0, 1, &isnull));
}

static Oid
log_tables_relid(const char *name)
{
	return get_relname_relid(name, get_namespace_oid("webhook", false));
}

/* Without SQL: a thousand busy webhooks have ten thousand rows a second. */
void
log_tables_add_attempts(const LogRow *rows, int n)
{
	Relation	rel = table_open(log_tables_relid(log_tables_log.names[log_tables_log.current]), RowExclusiveLock);
	TupleTableSlot *slots[LOG_TABLES_ATTEMPTS];

	Assert(n > 0 && n <= LOG_TABLES_ATTEMPTS);
	Assert(RelationGetDescr(rel)->natts == Natts_log);
	for (int i = 0; i < n; i++)
	{
		slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
		ExecStoreHeapTuple(heap_form_tuple(RelationGetDescr(rel), (Datum *) rows[i].values, (bool *) rows[i].nulls),
						   slots[i], true);
	}
	table_append(rel, slots, n);
	for (int i = 0; i < n; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	table_close(rel, NoLock);
}

bool
log_tables_add_health(Datum *values, const char *nulls)
{
	Assert(DatumGetInt64(values[HEALTH_PARAM_WEBHOOK_ID]) == LOG_TABLES_ALL ||
		   webhook_lock_is_held(DatumGetInt64(values[HEALTH_PARAM_WEBHOOK_ID])));
	return spi_statement_execute(&log_tables_health_statements[log_tables_health.current], values, nulls) > 0;
}

static uint64
log_tables_size(const char *name)
{
	return catalog_table_size(log_tables_relid(name));
}

static uint64
log_tables_limit(const TablePair *pair)
{
	return Max(standby_connected() ? TABLE_SIZE_STANDBY : TABLE_SIZE, TABLE_COPIES * pair->copied);
}

/* Copy what counts in the other table to the current one, and truncate it.  Returns false if it is in use. */
static bool
log_tables_empty_other(TablePair *pair)
{
	const char *other = pair->names[!pair->current];
	Datum		values[1] = {Int32GetDatum(LOG_TABLES_ATTEMPTS)};

	if (!ConditionalLockRelationOid(log_tables_relid(other), AccessExclusiveLock))
		return false;

	/*
	 * This takes a new snapshot, which includes whatever other transactions
	 * have added.
	 */
	spi_statement_execute(&pair->move[pair->current], values, NULL);
	if (SPI_execute(psprintf("TRUNCATE webhook.%s", other), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate webhook.%s", other);
	pair->copied = log_tables_size(pair->names[pair->current]) - pair->size;
	return true;
}

static void
log_tables_recycle_pair(TablePair *pair)
{
	uint64		other_size = log_tables_size(pair->names[!pair->current]);
	uint64		limit = log_tables_limit(pair);

	pair->size = log_tables_size(pair->names[pair->current]);
	if (pair->size <= limit && other_size <= TABLE_EXCESS * limit)
		return;
	if (other_size > 0 && !log_tables_empty_other(pair))
		return;
	if (pair->size > limit)
	{
		pair->current = !pair->current;
		pair->size = 0;
	}
}

/* By how many times the current table, which could not be changed for the other one, exceeds its limit. */
static int
log_tables_excess(const TablePair *pair)
{
	return (int) (pair->size / log_tables_limit(pair));
}

void
log_tables_recycle(void)
{
	log_tables_recycle_pair(&log_tables_log);
	log_tables_recycle_pair(&log_tables_health);
	log_tables_times_slower = Max(1, Max(log_tables_excess(&log_tables_log), log_tables_excess(&log_tables_health)));
}

int
log_tables_slowdown(void)
{
	return log_tables_times_slower;
}
