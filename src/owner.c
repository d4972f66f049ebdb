/*-------------------------------------------------------------------------
 *
 * owner.c
 *		The role that a webhook belongs to.
 *
 * What it may see is what is sent.  It may be dropped: then the worker switches
 * the webhook off (stored_find_orphans()), and somebody gives it to another role.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "integration.h"
#include "owner.h"

/* Nothing is sent on behalf of a role that does not exist any more. */
void
owner_require(int64 id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};

	if (as_owner_execute("SELECT FROM webhook.webhook AS w JOIN pg_roles AS r ON r.oid = w.owner WHERE w.id = $1",
						 SPI_OK_SELECT, 1, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the owner of webhook " INT64_FORMAT " does not exist any more", id),
				 errhint("Give it to another role first: webhook.update_webhook(" INT64_FORMAT ", '{\"owner\": \"role\"}').",
						 id)));
}

char *
owner_from_json(const JsonbValue *v)
{
	if (v->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\": it is not a string", OWNER_KEY),
				 errhint("Give the name of a role.")));
	return pnstrdup(v->val.string.val, v->val.string.len);
}

/* What the new owner may see will be sent, and by its rights the transform runs: hence the caller must be a member. */
void
owner_change(const AsOwner *state, int64 id, const char *name)
{
	Oid			types[] = {INT8OID, OIDOID};
	Oid			role = get_role_oid(name, true);
	Datum		values[] = {Int64GetDatum(id), ObjectIdGetDatum(role)};
	AsOwner		recipient = *state;

	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("invalid value for argument \"%s\": role \"%s\" does not exist", OWNER_KEY, name),
				 errhint("Give the name of a role.")));
	if (!has_privs_of_role(state->caller, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be member of role \"%s\"", name),
				 errhint("A webhook can be given away by superusers, and by members of the old and the new owner.")));

	if (as_owner_execute("SELECT integration FROM webhook.webhook WHERE id = $1 AND integration IS NOT NULL",
						 SPI_OK_SELECT, 1, types, values, NULL) > 0)
	{
		recipient.caller = role;
		integration_require(&recipient, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	}
	as_owner_execute("UPDATE webhook.webhook SET owner = $2 WHERE id = $1", SPI_OK_UPDATE, 2, types, values, NULL);
}
