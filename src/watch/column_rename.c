/*-------------------------------------------------------------------------
 *
 * column_rename.c
 *		Update webhooks that refer to a renamed column.
 *
 * Property "columns" of a webhook contains names of columns, "filter" keys of
 * payloads, and "condition" paths such as $.new.status.  After ALTER TABLE ...
 * RENAME COLUMN none of them would ever match again, without any error.  So the
 * names are replaced in the same transaction.  If another watched table that the
 * webhook subscribes to still has a column with the old name, "columns" gets both
 * names, and the others remain unchanged.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

#include "base/as_owner.h"
#include "base/catalog.h"
#include "base/webhook_lock.h"
#include "compat.h"
#include "watch/column_rename.h"

static ProcessUtility_hook_type column_rename_prev_process_utility = NULL;

/* Does webhook w subscribe to watched table t? */
#define SUBSCRIBES(w, t) \
	"EXISTS (SELECT FROM unnest(" w ".events) AS e WHERE e = '*' OR split_part(e, '.', 1) = " t ".entity_type)"

/* A column in the text form of a condition. */
#define IN_CONDITION(side, name)	"'$.\"" side "\".' || to_json(" name "::text)::text"

/* The webhooks that refer to column $2 of table $1. */
static const char *const column_rename_find_sql =
"SELECT w.id FROM webhook.webhook AS w JOIN webhook.watch AS t ON t.relation = $1 AND " SUBSCRIBES("w", "t")
" WHERE $2 = ANY (w.columns) OR (t.payload IS NULL AND w.filter ? $2)"
"  OR (t.payload IS NULL AND (position(" IN_CONDITION("new", "$2") " IN w.condition::text) > 0"
"   OR position(" IN_CONDITION("old", "$2") " IN w.condition::text) > 0)) ORDER BY w.id";

/* Column $2 of table $1 is $3 now: update webhook $4. */
static const char *const column_rename_follow_sql =
"UPDATE webhook.webhook AS w SET"
" columns = CASE WHEN w.columns IS NULL OR $2 <> ALL (w.columns) OR (o.has AND $3 = ANY (w.columns)) THEN w.columns"
"  WHEN o.has THEN w.columns || $3 WHEN $3 = ANY (w.columns) THEN array_remove(w.columns, $2)"
"  ELSE array_replace(w.columns, $2, $3) END,"
" filter = CASE WHEN w.filter ? $2 AND o.payload IS NULL AND NOT o.has"
"  THEN (w.filter - $2) || jsonb_build_object($3, w.filter -> $2) ELSE w.filter END,"
" condition = CASE WHEN o.payload IS NULL AND NOT o.has"
"  THEN replace(replace(w.condition::text, " IN_CONDITION("new", "$2") ", " IN_CONDITION("new", "$3") "),"
"   " IN_CONDITION("old", "$2") ", " IN_CONDITION("old", "$3") ")::jsonpath ELSE w.condition END"
" FROM (SELECT v.id, t.payload, EXISTS (SELECT FROM webhook.watch AS u JOIN pg_attribute AS a"
"   ON a.attrelid = u.relation AND a.attname = $2 AND NOT a.attisdropped"
"   WHERE u.relation <> $1 AND " SUBSCRIBES("v", "u") ") AS has"
"  FROM webhook.webhook AS v JOIN webhook.watch AS t ON t.relation = $1 WHERE v.id = $4) AS o"
" WHERE w.id = o.id";


/* Update the webhooks that refer to a renamed column of this table. */
static void
column_rename_follow(Oid relid, const char *old, const char *new)
{
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID, INT8OID};
	Datum		values[] = {ObjectIdGetDatum(relid), CStringGetTextDatum(old), CStringGetTextDatum(new), (Datum) 0};
	StringInfoData ids;
	RunAs		state;
	int64	   *found;
	uint64		n;

	initStringInfo(&ids);
	as_owner_begin(&state);
	n = as_owner_execute(column_rename_find_sql, SPI_OK_SELECT, 2, types, values, NULL);
	found = palloc(Max(n, 1) * sizeof(int64));
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		found[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	for (uint64 i = 0; i < n; i++)
	{
		webhook_lock_wait(found[i]);
		values[3] = Int64GetDatum(found[i]);
		as_owner_execute(column_rename_follow_sql, SPI_OK_UPDATE, lengthof(types), types, values, NULL);
		appendStringInfo(&ids, "%s" INT64_FORMAT, i > 0 ? ", " : "", found[i]);
	}
	if (n > 0)
		ereport(NOTICE,
				(errmsg("renamed column \"%s\" to \"%s\" in properties of webhooks", old, new),
				 errdetail("Changed \"columns\", \"filter\" or \"condition\" of webhooks with ids %s.", ids.data)));
	as_owner_end(&state);
}

/* The table whose column a command renames, or InvalidOid. */
static Oid
column_rename_table(Node *command)
{
	RenameStmt *rename = (RenameStmt *) command;

	if (!IsA(command, RenameStmt) || rename->renameType != OBJECT_COLUMN || rename->relationType != OBJECT_TABLE ||
		rename->relation == NULL || catalog_oids() == NULL)
		return InvalidOid;
	return RangeVarGetRelid(rename->relation, NoLock, true);
}

static void
column_rename_process_utility(WEBHOOK_UTILITY_PARAMS)
{
	RenameStmt *rename = (RenameStmt *) pstmt->utilityStmt;
	Oid			relid = column_rename_table(pstmt->utilityStmt);
	ListCell   *lc;

	if (column_rename_prev_process_utility)
		column_rename_prev_process_utility(WEBHOOK_UTILITY_ARGS);
	else
		standard_ProcessUtility(WEBHOOK_UTILITY_ARGS);

	if (!OidIsValid(relid))
		return;
	CommandCounterIncrement();
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
		column_rename_follow(lfirst_oid(lc), rename->subname, rename->newname);
}

void
column_rename_init(void)
{
	column_rename_prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = column_rename_process_utility;
}
