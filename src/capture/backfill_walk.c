/*-------------------------------------------------------------------------
 *
 * backfill_walk.c
 *		Send the next rows of a watched table to one webhook.
 *
 * A step is a transaction.  It reads the next keys of the table in their order, and
 * for each of them
 *
 *	1. locks the row against changes, which yields its latest version,
 *	2. captures that version as if it had just been created, for this webhook only,
 *
 * and saves the last key as the job's position.  src/README.md says why a receiver
 * then ends with the contents of the table, whatever is changed meanwhile.
 *
 * The position is the key by which a row was found, not that of its latest version:
 * the rows between them have not been passed.
 *
 * While it holds locks on rows, a step waits for nothing that an application could
 * hold for long.  It ends at the first row that is locked by someone else.  Only
 * the first row is waited for, for at most lock_timeout, which is shorter than
 * deadlock_timeout: if there is a deadlock, this process gives up, and not a
 * session of the application.  So conditions, which may take long, are evaluated
 * before the first lock is taken; no harm is done if the row has changed since,
 * because then there is a message about that change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/as_owner.h"
#include "capture/backfill_walk.h"
#include "capture/change.h"
#include "capture/report.h"
#include "watch/watch.h"

/* The key that a table is walked by. */
typedef struct BackfillKey
{
	int			ncolumns;
	char	  **columns;		/* quoted */
	char	  **types;
	char	   *schemas;		/* of these types, or NULL */
} BackfillKey;

/* A row that has been found. */
typedef struct BackfillRow
{
	Oid			relid;
	ItemPointerData tid;
	ArrayType  *key;			/* text[] */
	bool		wanted;			/* does it meet the condition? */
} BackfillRow;


/* ---------- the statements ---------- */

/* Read the key; false if there is none.  Palloc'd. */
static bool
backfill_walk_find_key(Oid relation, BackfillKey *key)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relation)};
	MemoryContext old;
	char	   *schemas;
	bool		found;
	RunAs		state;

	as_owner_begin(&state);
	found = as_owner_execute("SELECT columns, types, schemas FROM webhook.backfill_key($1)", SPI_OK_SELECT,
							 1, types, values, NULL) > 0;
	if (found)
	{
		old = MemoryContextSwitchTo(context);
		key->ncolumns = catalog_strings(as_owner_result(1), false, &key->columns);
		(void) catalog_strings(as_owner_result(2), false, &key->types);
		schemas = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
		key->schemas = schemas ? MemoryContextStrdup(context, schemas) : NULL;
		MemoryContextSwitchTo(old);
	}
	as_owner_end(&state);
	return found;
}

bool
backfill_walk_possible(Oid relation)
{
	BackfillKey key;

	return backfill_walk_find_key(relation, &key);
}

/* Only partitions of a table are watched with it. */
static void
backfill_walk_append_from(StringInfo sql, Relation rel)
{
	appendStringInfo(sql, " FROM %s%s AS %s", rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel)),
					 quote_identifier(RelationGetRelationName(rel)));
}

/* "(t.a, t.b)" */
static void
backfill_walk_append_columns(StringInfo sql, Relation rel, const BackfillKey *key, const char *suffix)
{
	const char *name = quote_identifier(RelationGetRelationName(rel));

	for (int i = 0; i < key->ncolumns; i++)
		appendStringInfo(sql, "%s%s.%s%s", i == 0 ? "" : ", ", name, key->columns[i], suffix);
}

/* "(t.a, t.b) > ($1[1]::type, $1[2]::type)" */
static void
backfill_walk_append_comparison(StringInfo sql, Relation rel, const BackfillKey *key, const char *operator,
								int parameter)
{
	appendStringInfoChar(sql, '(');
	backfill_walk_append_columns(sql, rel, key, "");
	appendStringInfo(sql, ") %s (", operator);
	for (int i = 0; i < key->ncolumns; i++)
		appendStringInfo(sql, "%s$%d[%d]::%s", i == 0 ? "" : ", ", parameter, i + 1, key->types[i]);
	appendStringInfoChar(sql, ')');
}

/* The keys after a position, $1, or the first ones, and where the rows are. */
static char *
backfill_walk_next_sql(Relation rel, const BackfillKey *key, bool first)
{
	StringInfoData sql;
	const char *name = quote_identifier(RelationGetRelationName(rel));

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s.tableoid, %s.ctid, ARRAY[", name, name);
	backfill_walk_append_columns(&sql, rel, key, "::text");
	appendStringInfoChar(&sql, ']');
	backfill_walk_append_from(&sql, rel);
	if (!first)
	{
		appendStringInfoString(&sql, " WHERE ");
		backfill_walk_append_comparison(&sql, rel, key, ">", 1);
	}
	appendStringInfoString(&sql, " ORDER BY ");
	backfill_walk_append_columns(&sql, rel, key, "");
	appendStringInfoString(&sql, " LIMIT $2");
	return sql.data;
}

/* CASE requires a boolean, and keeps what follows from becoming a part of the condition. */
static void
backfill_walk_append_condition(StringInfo sql, const char *condition)
{
	appendStringInfo(sql, "CASE WHEN (%s\n) THEN true END", condition);
}

char *
backfill_walk_condition(Relation rel, const char *condition)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT");
	backfill_walk_append_from(&sql, rel);
	if (condition != NULL)
	{
		appendStringInfoString(&sql, " WHERE ");
		backfill_walk_append_condition(&sql, condition);
	}
	return sql.data;
}

/* The keys from $1 to $2 that meet the condition. */
static char *
backfill_walk_wanted_sql(Relation rel, const BackfillKey *key, const char *condition)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ARRAY[");
	backfill_walk_append_columns(&sql, rel, key, "::text");
	appendStringInfoChar(&sql, ']');
	backfill_walk_append_from(&sql, rel);
	appendStringInfoString(&sql, " WHERE ");
	backfill_walk_append_comparison(&sql, rel, key, ">=", 1);
	appendStringInfoString(&sql, " AND ");
	backfill_walk_append_comparison(&sql, rel, key, "<=", 2);
	appendStringInfoString(&sql, " AND ");
	backfill_walk_append_condition(&sql, condition);
	appendStringInfoString(&sql, " ORDER BY ");
	backfill_walk_append_columns(&sql, rel, key, "");
	return sql.data;
}

/* Run one of these, for at most max rows, with the snapshot of the step, in the order of an index. */
static void
backfill_walk_query(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, int max)
{
	static const char *const off[] = {"enable_seqscan", "enable_bitmapscan", "enable_sort"};
	int			nest_level = NewGUCNestLevel();
	int			result;

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	result = SPI_execute_with_args(sql, nargs, types, values, nulls, true, max);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	AtEOXact_GUC(false, nest_level);
}

static char *
backfill_walk_search_path(const char *path, const BackfillKey *key)
{
	return key->schemas ? psprintf("%s, %s", path, key->schemas) : pstrdup(path);
}

/* ---------- the rows of a step ---------- */

/* Find the next rows.  Palloc'd; returns their number. */
static int
backfill_walk_find_rows(const BackfillJob *job, Relation rel, const BackfillKey *key, int max, BackfillRow **rows)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *sql = backfill_walk_next_sql(rel, key, job->position == NULL);
	Oid			types[] = {TEXTARRAYOID, INT8OID};
	Datum		values[] = {PointerGetDatum(job->position), Int64GetDatum(max)};
	MemoryContext old;
	int			n;
	RunAs		state;

	/* All operators are those of the types in the key. */
	run_as_table_owner(rel->rd_rel->relowner, backfill_walk_search_path("pg_catalog", key), &state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	backfill_walk_query(sql, 2, types, values, job->position == NULL ? "n " : "  ", max);
	n = (int) SPI_processed;
	old = MemoryContextSwitchTo(context);
	*rows = palloc0(Max(n, 1) * sizeof(BackfillRow));
	for (int i = 0; i < n; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		(*rows)[i].relid = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
		(*rows)[i].tid = *(ItemPointer) DatumGetPointer(SPI_getbinval(tuple, desc, 2, &isnull));
		(*rows)[i].key = DatumGetArrayTypePCopy(SPI_getbinval(tuple, desc, 3, &isnull));
		(*rows)[i].wanted = job->condition == NULL;
	}
	MemoryContextSwitchTo(old);
	SPI_finish();
	run_as_end(&state);
	return n;
}

static bool
backfill_walk_same_key(const ArrayType *a, const ArrayType *b)
{
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* Is the condition being evaluated?  Also after an error in it. */
static bool backfill_walk_judging = false;

bool
backfill_walk_failed_in_condition(void)
{
	bool		failed = backfill_walk_judging;

	backfill_walk_judging = false;
	return failed;
}

static void
backfill_walk_condition_context(void *arg)
{
	errcontext("condition of backfill " INT64_FORMAT, ((const BackfillJob *) arg)->id);
}

/*
 * Mark the rows that meet the condition, with the privileges of the role that
 * has set it.  A function in it may not write, nor leave locks behind.
 */
static void
backfill_walk_judge_rows(BackfillJob *job, Relation rel, const BackfillKey *key, BackfillRow *rows, int n)
{
	char	   *sql = backfill_walk_wanted_sql(rel, key, job->condition);
	Oid			types[] = {TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[] = {PointerGetDatum(rows[0].key), PointerGetDatum(rows[n - 1].key)};
	ErrorContextCallback callback = {error_context_stack, backfill_walk_condition_context, job};
	int			i = 0;
	RunAs		state;

	run_as_role(job->role, backfill_walk_search_path(job->search_path, key), &state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	error_context_stack = &callback;
	XactReadOnly = backfill_walk_judging = true;
	backfill_walk_query(sql, 2, types, values, NULL, n);
	XactReadOnly = backfill_walk_judging = false;
	LockReleaseSession(USER_LOCKMETHOD);
	error_context_stack = callback.previous;

	/* Both are in the same order. */
	for (uint64 found = 0; found < SPI_processed && i < n; found++)
	{
		bool		isnull;
		ArrayType  *wanted = DatumGetArrayTypeP(SPI_getbinval(SPI_tuptable->vals[found], SPI_tuptable->tupdesc, 1, &isnull));

		while (i < n && !backfill_walk_same_key(rows[i].key, wanted))
			i++;
		if (i < n)
			rows[i++].wanted = true;
	}
	SPI_finish();
	run_as_end(&state);
}

/* ---------- one row ---------- */

/*
 * Lock a row against changes; the slot gets its latest version.  TM_WouldBlock: it is
 * locked, and must not be waited for.  TM_Deleted: there is no such row any more.
 */
static TM_Result
backfill_walk_lock_row(Relation rel, ItemPointer tid, bool wait, TupleTableSlot *slot)
{
	TM_FailureData failure;

	return table_tuple_lock(rel, tid, GetActiveSnapshot(), slot, GetCurrentCommandId(true), LockTupleShare,
							wait ? LockWaitBlock : LockWaitSkip,
							TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS | TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
}

/* Lock and send a row.  False if it is locked by someone else. */
static bool
backfill_walk_send_row(const BackfillJob *job, BackfillRow *row, bool wait, BackfillStep *step)
{
	Relation	rel = table_open(row->relid, RowShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TM_Result	result = backfill_walk_lock_row(rel, &row->tid, wait, slot);

	if (result == TM_Ok)
	{
		WatchedTable *table = watch_lookup(rel);
		Change		change = {table, WATCH_CREATE, NULL, NULL, InvalidCommandId, NULL};

		if (table == NULL || table->root != job->relation)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" is no longer watched", RelationGetRelationName(rel))));
		change.new = watch_root_slot(table, slot, -1);
		change.only = job->webhook_id;
		report_existing(&change, job->integrated);
		step->sent += change.nmessages;
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return result != TM_WouldBlock;
}

/* ---------- a step ---------- */

bool
backfill_walk(BackfillJob *job, int max, BackfillStep *step)
{
	Relation	rel = table_open(job->relation, RowShareLock);
	BackfillKey key;
	BackfillRow *rows;
	bool		locked = false;
	int			n;

	memset(step, 0, sizeof(*step));
	if (!backfill_walk_find_key(job->relation, &key))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no key any more", RelationGetRelationName(rel))));
	n = backfill_walk_find_rows(job, rel, &key, max, &rows);
	if (n > 0 && job->condition != NULL)
		backfill_walk_judge_rows(job, rel, &key, rows, n);
	if (!backfill_job_lock(job->id))
		return false;
	while (step->walked < n)
	{
		BackfillRow *row = &rows[step->walked];

		CHECK_FOR_INTERRUPTS();
		if (row->wanted && !backfill_walk_send_row(job, row, !locked, step))
			break;
		locked |= row->wanted;
		step->walked++;
	}
	step->end = n < max && step->walked == n;
	if (step->walked > 0)
		job->position = rows[step->walked - 1].key;
	job->rows_sent += step->sent;
	backfill_job_save(job, step->end);
	table_close(rel, NoLock);
	return true;
}
