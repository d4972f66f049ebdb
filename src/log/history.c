/*-------------------------------------------------------------------------
 *
 * history.c
 *		Messages that are kept after they have left the outbox.
 *
 * With webhook.history_retention, what is in a drained partition of the outbox is
 * moved to the history before the partition is truncated: a few rows in each
 * transaction, because nothing is sent meanwhile.  The position is stored in
 * webhook.history_moved with them, so a restart neither repeats nor loses any.  The
 * messages in a row are stored as rows of their own, with indexes on what people search
 * by; the outbox itself has none, and capture does not pay for them.
 *
 * Exchanging the partition for an empty one would spare the copy, but needs DDL in
 * tables that every session has open, and the indexes would have to be built at once.
 *
 * The history is a ring of tables, each of which is filled for a part of the retention
 * and then truncated as a whole.  Its SQL is in sql/install/45_history.sql.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "base/spi_statement.h"
#include "log/history.h"
#include "webhook.h"

/*
 * Rows of the outbox that are moved in one transaction, and what they take in the history at most, roughly: a row is
 * at most a page, but holds up to a hundred messages and more, which move_to_history() stores as rows with indexes.
 */
#define HISTORY_ROWS	50
#define HISTORY_MOVE_MB	4

/* How often to look for what is too old or too much, if not much is moved meanwhile. */
#define HISTORY_TRIM_MS	1000

/* The tables of the ring, as in trim_history(): each gets such a part of what may be kept. */
#define HISTORY_TABLES	8

static int	history_part = -1;	/* the table that is being filled; -1: not
								 * known */
static TimestampTz history_trimmed_at = DT_NOBEGIN;
static int	history_moves = 0;	/* since then */

/*
 * Bit mask of tables whose BRIN index is out of date; initially all, as they may come from a dump.
 * A search reads all rows that the index lacks.
 */
static int	history_unsummarized = (1 << HISTORY_TABLES) - 1;

/* Messages were removed early, and that has not been reported yet. */
static bool history_shortened = false;

/* Is there anything in the history?  Where none is kept, it is read once for that. */
static bool history_used = true;

static SpiStatement history_trim_statement = {
	"SELECT part, shortened FROM webhook.trim_history(make_interval(secs => $1), $2, $3)",
	3, {FLOAT8OID, INT8OID, TIMESTAMPTZOID}
};

static SpiStatement history_used_statement = {
	"SELECT FROM webhook.history_part UNION ALL SELECT FROM webhook.history_moved LIMIT 1", 0, {0}
};

static SpiStatement history_move_statement = {
	"SELECT webhook.move_to_history($1, $2, $3, $4::pg_snapshot)",
	4, {INT2OID, INT2OID, INT4OID, TEXTOID}
};

static SpiStatement history_summarize_statement = {
	"SELECT brin_summarize_new_values($1)", 1, {REGCLASSOID}
};

static SpiStatement history_forget_statement = {
	"SELECT webhook.forget_moved($1)", 1, {INT2OID}
};


/*
 * The worker does not wait for a session that has locked a table of the history.  With this lock
 * no other one can be rebuilding an index either.
 */
static bool
history_lock_table(int part)
{
	Oid			relid = get_relname_relid(psprintf("history_%d", part), get_namespace_oid(WEBHOOK_SCHEMA, false));

	return OidIsValid(relid) && ConditionalLockRelationOid(relid, RowExclusiveLock);
}

bool
history_lock(void)
{
	for (int part = 0; part < HISTORY_TABLES; part++)
		if (!history_lock_table(part))
			return false;
	return true;
}

/* Bring the index by time of one table up to date.  Returns false if a session, such as autovacuum, prevents it. */
static bool
history_summarize(int part)
{
	Oid			schema = get_namespace_oid(WEBHOOK_SCHEMA, false);
	Oid			relid = get_relname_relid(psprintf("history_%d", part), schema);
	Oid			index = get_relname_relid(psprintf("history_%d_created_idx", part), schema);
	Datum		values[] = {ObjectIdGetDatum(index)};

	if (!OidIsValid(relid) || !OidIsValid(index) || !ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock) ||
		!ConditionalLockRelationOid(index, ShareUpdateExclusiveLock))
		return false;
	spi_statement_execute(&history_summarize_statement, values, NULL);
	history_unsummarized &= ~(1 << part);
	return true;
}

/* The same for the first table that needs it and allows it: after a dump has been restored one takes a while. */
static void
history_summarize_next(void)
{
	for (int part = 0; part < HISTORY_TABLES; part++)
		if ((history_unsummarized & (1 << part)) != 0 && history_summarize(part))
			return;
}

/* An error, or a session, may have undone or changed what we know: read it again. */
static void
history_recycle(TimestampTz now)
{
	Datum		values[] = {Float8GetDatum(webhook_history_retention),
	Int64GetDatum(webhook_history_max_size * INT64CONST(1024) * 1024), TimestampTzGetDatum(now)};
	bool		isnull;
	Datum		part;

	history_trimmed_at = now;
	history_moves = 0;
	if (!history_lock())
		return;
	history_part = -1;
	history_used = webhook_history_retention > 0 || spi_statement_execute(&history_used_statement, NULL, NULL) > 0;
	if (!history_used)
		return;
	spi_statement_execute(&history_trim_statement, values, NULL);
	part = spi_statement_value(0, 1, &isnull);
	if (!isnull)
		history_part = DatumGetInt16(part);
	history_shortened |= DatumGetBool(spi_statement_value(0, 2, &isnull));
	history_summarize_next();
}

bool
history_trim(TimestampTz now)
{
	bool		shortened;

	if ((webhook_history_retention > 0 || history_used) &&
		(now >= TimestampTzPlusMilliseconds(history_trimmed_at, HISTORY_TRIM_MS) || now < history_trimmed_at))
		history_recycle(now);
	shortened = history_shortened;
	history_shortened = false;
	return shortened;
}

/* Only whole tables are removed, so no table should grow much beyond its share between checks. */
static bool
history_part_may_be_full(void)
{
	return webhook_history_max_size > 0 && history_moves * HISTORY_MOVE_MB >= webhook_history_max_size / HISTORY_TABLES;
}

/*
 * Move some rows: of a drained partition, or those that are visible in a snapshot.  Returns whether that was all;
 * *locked says that a session prevents it.
 */
static bool
history_move_rows(int partition, const char *snapshot, TimestampTz now, bool *locked)
{
	Datum		values[4] = {Int16GetDatum((int16) partition)};
	bool		isnull;
	bool		all;

	if (history_part < 0 || history_part_may_be_full())
		history_recycle(now);
	*locked = history_part < 0 || !history_lock_table(history_part);
	if (*locked)
		return false;
	values[1] = Int16GetDatum((int16) history_part);
	values[2] = Int32GetDatum(HISTORY_ROWS);
	values[3] = snapshot ? CStringGetTextDatum(snapshot) : (Datum) 0;
	history_moves++;
	history_unsummarized |= 1 << history_part;
	spi_statement_execute(&history_move_statement, values, snapshot ? NULL : "   n");
	all = DatumGetBool(spi_statement_value(0, 1, &isnull));
	if (all)
		(void) history_summarize(history_part);
	return all;
}

bool
history_move(int partition, TimestampTz now)
{
	bool		locked;

	return webhook_history_retention == 0 || history_move_rows(partition, NULL, now, &locked);
}

bool
history_move_visible(int partition, const char *snapshot, TimestampTz now, bool *locked)
{
	Assert(webhook_history_retention > 0);
	return history_move_rows(partition, snapshot, now, locked);
}

void
history_note_truncated(int partition)
{
	Datum		values[] = {Int16GetDatum((int16) partition)};

	if (history_used)
		spi_statement_execute(&history_forget_statement, values, NULL);
}
