/*-------------------------------------------------------------------------
 *
 * run_as.c
 *		Acting as another role.
 *
 * This is the only place that changes the current user.  Each change sets
 * search_path as well and, if code written by users will run, adds
 * SECURITY_RESTRICTED_OPERATION, which keeps that code from changing the
 * session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "base/pinned_settings.h"
#include "base/run_as.h"
#include "webhook.h"

#define TABLE_OWNER_CONTEXT (SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS)


static void
run_as_switch(Oid role, int sec_context, RunAs *saved)
{
	Assert(OidIsValid(role));
	GetUserIdAndSecContext(&saved->caller, &saved->sec_context);
	SetUserIdAndSecContext(role, saved->sec_context | SECURITY_LOCAL_USERID_CHANGE | sec_context);
	saved->role = role;
	saved->nest_level = 0;
}

static void
run_as_begin(Oid role, int sec_context, const char *search_path, RunAs *saved)
{
	run_as_switch(role, sec_context, saved);
	saved->nest_level = NewGUCNestLevel();

	/*
	 * Whatever is set until run_as_end() is undone there, so a setting that
	 * has the right value already need not be set.
	 */
	if (strcmp(namespace_search_path, search_path) != 0)
		(void) set_config_option("search_path", search_path, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

void
run_as_extension_owner(Oid owner, RunAs *saved)
{
	run_as_begin(owner, 0, PINNED_SEARCH_PATH, saved);
}

void
run_as_table_owner(Oid owner, const char *search_path, RunAs *saved)
{
	run_as_begin(owner, TABLE_OWNER_CONTEXT, search_path, saved);
	pinned_apply(PINNED_ALL & ~PINNED_NAMES);

	/*
	 * A policy may depend on the session, so a query to which a policy of
	 * another role applies must fail.  The setting also keeps plans made
	 * here, without the policies that the owner forces on itself, from being
	 * used elsewhere.
	 */
	if (row_security)
		(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

void
run_as_table_owner_again(Oid owner, RunAs *saved)
{
	run_as_switch(owner, TABLE_OWNER_CONTEXT, saved);
}

void
run_as_webhook_owner(Oid owner, RunAs *saved)
{
	run_as_begin(owner, SECURITY_RESTRICTED_OPERATION, PINNED_SEARCH_PATH, saved);
}

void
run_as_role(Oid role, const char *search_path, RunAs *saved)
{
	run_as_begin(role, SECURITY_RESTRICTED_OPERATION, search_path, saved);
	pinned_apply(PINNED_ALL & ~PINNED_NAMES);
}

char *
run_as_current_search_path(void)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, fetch_search_path(false))
	{
		char	   *name = get_namespace_name(lfirst_oid(lc));

		if (name != NULL && !isTempNamespace(lfirst_oid(lc)))
			appendStringInfo(&buf, "%s, ", quote_identifier(name));
	}
	appendStringInfoString(&buf, "pg_temp");
	return buf.data;
}

void
run_as_end(const RunAs *saved)
{
	/*
	 * Unbalanced calls would leave the session with another role's
	 * privileges.
	 */
	Assert(GetUserId() == saved->role);
	Assert(run_as_is_nested());
	if (saved->nest_level > 0)
		AtEOXact_GUC(false, saved->nest_level);
	SetUserIdAndSecContext(saved->caller, saved->sec_context);
}

bool
run_as_is_nested(void)
{
	return InLocalUserIdChange();
}

int
run_as_hint(Oid table_owner)
{
	return errhint("Tables are read as role \"%s\", the owner of the watched table. It needs the SELECT privilege, and the BYPASSRLS attribute if row-level security of other roles' tables applies to it.",
				   GetUserNameFromId(table_owner, true));
}

void
run_as_callback(void *arg)
{
	if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		(void) run_as_hint(*(Oid *) arg);
}
