/*-------------------------------------------------------------------------
 *
 * access.c
 *		Which columns of a table the owner of a webhook may read.
 *
 * A webhook sends rows of a table wherever its owner likes, so it must not contain
 * more than the owner could select.  This is checked when a webhook is created, to
 * report problems early, and in every backend that captures rows.  There the
 * results are cached with the table's settings (watch.c) until a privilege, a
 * role, a schema or the table changes.  The worker checks messages that were
 * captured before such a change (withheld.c).
 *
 * Rows are captured one by one, in the transaction that changes them, where
 * row-level security of another role cannot be evaluated.  So nothing is sent from
 * a table whose policies apply to the owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "compat.h"
#include "watch/access.h"


static bool
access_may_read(Oid role, Oid relid, AttrNumber attnum)
{
	return pg_attribute_aclcheck(relid, attnum, role, ACL_SELECT) == ACLCHECK_OK;
}

/* Check column privileges, for a role without SELECT on the table. */
static Access
access_check_columns(Oid role, Oid relid, const AccessColumns *columns, Bitmapset **readable)
{
	Bitmapset  *result = NULL;
	int			attnum = -1;

	if (columns->all_needed)
		return ACCESS_NO_SELECT;
	while ((attnum = bms_next_member(columns->needed, attnum)) >= 0)
	{
		if (!access_may_read(role, relid, attnum))
			return ACCESS_NO_SELECT;
		result = bms_add_member(result, attnum);
	}
	attnum = -1;
	while ((attnum = bms_next_member(columns->useful, attnum)) >= 0)
		if (access_may_read(role, relid, attnum))
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
	return access_check_columns(role, relid, columns, readable);
}

char *
access_problem_text(Access access, Oid role, Oid relid)
{
	const char *table = get_rel_name(relid);

	switch (access)
	{
		case ACCESS_ALL:
		case ACCESS_COLUMNS:
			return "";
		case ACCESS_NO_ROLE:
			return psprintf("role with OID %u does not exist any more", role);
		case ACCESS_NO_SCHEMA:
			return psprintf("permission denied for schema %s",
							get_namespace_name(get_rel_namespace(relid)));
		case ACCESS_NO_SELECT:
			return psprintf("permission denied for table %s", table);
		case ACCESS_ROW_SECURITY:
			return psprintf("row-level security of table %s applies to role %s", table,
							GetUserNameFromId(role, false));
	}
	return "";
}
