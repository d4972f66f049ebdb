/*-------------------------------------------------------------------------
 *
 * run_as.c
 *		Acting as another role.
 *
 * All changes of the current user are here.  Each goes along with a search path
 * and, where code of users runs, with SECURITY_RESTRICTED_OPERATION, which
 * keeps it from leaving anything behind in the session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/rls.h"

#include "base/pinned_settings.h"
#include "base/run_as.h"
#include "webhook.h"


static void
run_as_begin(Oid role, int sec_context, const char *search_path, RunAs *saved)
{
	Assert(OidIsValid(role));
	GetUserIdAndSecContext(&saved->caller, &saved->sec_context);
	SetUserIdAndSecContext(role, saved->sec_context | SECURITY_LOCAL_USERID_CHANGE | sec_context);
	saved->nest_level = NewGUCNestLevel();
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
	run_as_begin(owner, SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS, search_path, saved);
	pinned_apply(PINNED_ALL & ~PINNED_NAMES);

	/*
	 * A query to which a policy of another role applies is an error: the policy
	 * may depend on the session.  It also keeps plans that functions make here,
	 * without the policies that the owner forces on itself, from being used
	 * elsewhere.
	 */
	if (row_security)
		(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

void
run_as_webhook_owner(Oid owner, RunAs *saved)
{
	run_as_begin(owner, SECURITY_RESTRICTED_OPERATION, PINNED_SEARCH_PATH, saved);
}

void
run_as_end(const RunAs *saved)
{
	AtEOXact_GUC(false, saved->nest_level);
	SetUserIdAndSecContext(saved->caller, saved->sec_context);
}

int
run_as_hint(Oid table_owner)
{
	return errhint("Tables are read as role \"%s\", the owner of the watched table. It needs the right to SELECT, and BYPASSRLS where row-level security of other roles' tables applies to it.",
				   GetUserNameFromId(table_owner, true));
}

void
run_as_callback(void *arg)
{
	if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		(void) run_as_hint(*(Oid *) arg);
}
