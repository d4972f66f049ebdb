/*-------------------------------------------------------------------------
 *
 * access.c
 *		What of a table's rows a webhook's owner may see.
 *
 * A webhook hands the rows of a table to whoever its owner likes, so it gets
 * no more than its owner could select.  This is judged when a webhook is
 * created, to say so at once, and in every backend that captures rows; there
 * the verdicts are kept with the table's settings (watch.c) until a right, a
 * role, a schema or the table changes.
 *
 * Rows are captured one by one, in the transaction that changes them, where
 * row security of another role cannot be evaluated.  So a table whose policies
 * apply to the owner sends nothing to it.
 *
 * When an owner loses its rights, capturing stops at once, in every backend.
 * The worker then writes into webhook.withheld what is kept from whom, with a
 * notification.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "access.h"
#include "asowner.h"
#include "catalog.h"
#include "compat.h"
#include "statement.h"
#include "watch.h"

/* A table that was locked is looked at again after this time. */
#define LOOK_AGAIN_MS	1000

/* Does webhook w subscribe to watched table k: in so many words, or at all? */
#define SUBSCRIBES_BY_NAME \
	"w.events && ARRAY[k.entity_type || '.*', k.entity_type || '.create'," \
	" k.entity_type || '.update', k.entity_type || '.delete']"
#define SUBSCRIBES	"('*' = ANY (w.events) OR " SUBSCRIBES_BY_NAME ")"

/*
 * Bring webhook.withheld up to date, and tell of what is new in it.  What
 * cannot be judged now (NULL) stays as it is.  The result says whether there
 * is such a thing.
 *
 * The bootstrap superuser (10) may see everything.  He is among the owners so
 * that each watched table is looked at: only then does this process hear of
 * its changes.
 */
static Statement note_statement = {
	"WITH owner AS (SELECT DISTINCT w.owner FROM webhook.webhook AS w WHERE w.active OR w.buffering"
	"  UNION SELECT 10::oid::regrole),"
	" judged AS MATERIALIZED (SELECT o.owner, k.relation, k.entity_type,"
	"  webhook.access_problem(o.owner::oid, k.relation) AS problem FROM owner AS o, webhook.watch AS k),"
	" bad AS MATERIALIZED (SELECT w.id, k.relation, k.problem FROM judged AS k"
	"  JOIN webhook.webhook AS w ON w.owner = k.owner"
	"  WHERE k.problem <> '' AND (w.active OR w.buffering) AND " SUBSCRIBES "),"
	" over AS (DELETE FROM webhook.withheld AS h"
	"  WHERE NOT EXISTS (SELECT FROM bad AS b WHERE b.id = h.webhook_id AND b.relation = h.relation)"
	"  AND NOT EXISTS (SELECT FROM judged AS j WHERE j.relation = h.relation AND j.problem IS NULL)),"
	" news AS (INSERT INTO webhook.withheld AS h (webhook_id, relation, problem)"
	"  SELECT b.id, b.relation, b.problem FROM bad AS b"
	"  ON CONFLICT (webhook_id, relation) DO UPDATE SET problem = excluded.problem, since = now()"
	"  WHERE h.problem <> excluded.problem RETURNING webhook_id, relation, problem),"
	" noted AS (INSERT INTO webhook.notification (webhook_id, kind, message)"
	"  SELECT n.webhook_id, 'withheld', format('rows of %s are no longer sent: %s', n.relation, n.problem)"
	"  FROM news AS n RETURNING id, webhook_id, kind, message),"
	" told AS (SELECT count(pg_notify('webhook', json_build_object('id', n.id, 'webhook_id', n.webhook_id,"
	"  'kind', n.kind, 'message', n.message)::text)) AS n FROM noted AS n)"
	" SELECT EXISTS (SELECT FROM judged AS j WHERE j.problem IS NULL) FROM told",
	0
};

static uint64 noted_changes = 0;	/* rights have been looked at up to this change */
static TimestampTz look_again = DT_NOEND;	/* for what could not be judged */

PG_FUNCTION_INFO_V1(webhook_access_problem);


static bool
may_read_column(Oid role, Oid relid, AttrNumber attnum)
{
	return pg_attribute_aclcheck(relid, attnum, role, ACL_SELECT) == ACLCHECK_OK;
}

/* Without the right to select the whole table: what is left? */
static Access
check_columns(Oid role, Oid relid, const AccessColumns *columns, Bitmapset **readable)
{
	Bitmapset  *result = NULL;
	int			attnum = -1;

	if (columns->all_needed)
		return ACCESS_NO_SELECT;
	while ((attnum = bms_next_member(columns->needed, attnum)) >= 0)
	{
		if (!may_read_column(role, relid, attnum))
			return ACCESS_NO_SELECT;
		result = bms_add_member(result, attnum);
	}
	attnum = -1;
	while ((attnum = bms_next_member(columns->useful, attnum)) >= 0)
		if (may_read_column(role, relid, attnum))
			result = bms_add_member(result, attnum);
	if (result == NULL)
		return ACCESS_NO_SELECT;
	*readable = result;
	return ACCESS_COLUMNS;
}

Access
access_check(Oid role, Oid relid, const AccessColumns *columns, Bitmapset **readable)
{
	*readable = NULL;
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		return ACCESS_NO_ROLE;
	if (webhook_namespace_aclcheck(get_rel_namespace(relid), role, ACL_USAGE) != ACLCHECK_OK)
		return ACCESS_NO_SCHEMA;
	if (check_enable_rls(relid, role, true) == RLS_ENABLED)
		return ACCESS_ROW_SECURITY;
	if (pg_class_aclcheck(relid, role, ACL_SELECT) == ACLCHECK_OK)
		return ACCESS_ALL;
	return check_columns(role, relid, columns, readable);
}

/* What is wrong, in words; "" if nothing is. */
static char *
problem_text(Access access, Oid role, Relation rel)
{
	const char *table = RelationGetRelationName(rel);

	switch (access)
	{
		case ACCESS_ALL:
		case ACCESS_COLUMNS:
			return "";
		case ACCESS_NO_ROLE:
			return psprintf("role with OID %u does not exist any more", role);
		case ACCESS_NO_SCHEMA:
			return psprintf("permission denied for schema %s",
							get_namespace_name(RelationGetNamespace(rel)));
		case ACCESS_NO_SELECT:
			return psprintf("permission denied for table %s", table);
		case ACCESS_ROW_SECURITY:
			return psprintf("row-level security of table %s applies to role %s", table,
							GetUserNameFromId(role, false));
	}
	return "";
}

/*
 * access_problem(role, relation) returns text: why rows of a watched table are
 * kept from a role; '' if they are not.  NULL when it cannot be told now
 * because somebody has locked the table; the worker must not wait for that.
 */
Datum
webhook_access_problem(PG_FUNCTION_ARGS)
{
	Oid			role = PG_GETARG_OID(0);
	Oid			relid = PG_GETARG_OID(1);
	Bitmapset  *readable;
	Relation	rel;
	WatchedTable *table;
	char	   *problem = "";

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		PG_RETURN_NULL();
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		PG_RETURN_TEXT_P(cstring_to_text(""));
	}
	table = watch_settings_unchecked(rel);
	if (table != NULL)
		problem = problem_text(access_check(role, relid, &table->access_columns, &readable), role, rel);
	relation_close(rel, NoLock);
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

void
access_check_webhook(int64 webhook_id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(webhook_id)};
	uint64		n;

	as_owner_execute("DELETE FROM webhook.withheld WHERE webhook_id = $1",
					 SPI_OK_DELETE, 1, types, values, NULL);
	n = as_owner_execute("INSERT INTO webhook.withheld (webhook_id, relation, problem)"
						 " SELECT j.id, j.relation, j.problem FROM ("
						 "  SELECT w.id, k.relation, webhook.access_problem(w.owner::oid, k.relation) AS problem"
						 "  FROM webhook.webhook AS w, webhook.watch AS k"
						 "  WHERE w.id = $1 AND " SUBSCRIBES ") AS j WHERE j.problem <> ''"
						 " RETURNING problem, EXISTS (SELECT FROM webhook.webhook AS w, webhook.watch AS k"
						 "  WHERE w.id = $1 AND k.relation = withheld.relation AND " SUBSCRIBES_BY_NAME ")",
						 SPI_OK_INSERT_RETURNING, 1, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		if (DatumGetBool(statement_value(i, 2, &isnull)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("%s", statement_text(i, 1)),
					 errdetail("Argument \"event\" names changes of this table."),
					 errhint("A webhook is sent what its owner may select. Grant SELECT on the table, or on some of its columns, and USAGE on its schema. Where row-level security applies, only roles that see every row can be sent them.")));
	}
}

bool
access_note_due(TimestampTz now)
{
	return watch_access_changes() != noted_changes || now >= look_again;
}

void
access_note_withheld(TimestampTz now)
{
	bool		isnull;

	noted_changes = watch_access_changes();
	statement_execute(&note_statement, NULL, NULL);
	look_again = DatumGetBool(statement_value(0, 1, &isnull)) ?
		TimestampTzPlusMilliseconds(now, LOOK_AGAIN_MS) : DT_NOEND;
}
