/*-------------------------------------------------------------------------
 *
 * manage.c
 *		Webhooks and integrations that the caller may manage.
 *
 * They belong to the role that created them.  For other roles, except superusers
 * and members of that role, they do not exist.  A webhook gets only what its owner
 * may read.  When the role is dropped, the worker deactivates the webhook
 * (deactivation_find_orphans()), until it is assigned to another role.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "api/manage.h"
#include "api/oauth.h"
#include "base/webhook_lock.h"


/* Raise an error unless the webhook exists and the caller may manage it.  Returns whether it is active. */
static bool
manage_require_webhook(const RunAs *state, int64 id, const char *sql)
{
	Assert(GetUserId() == state->role);
	if (as_owner_execute_for_id(sql, SPI_OK_SELECT, id) == 0 ||
		!has_privs_of_role(state->caller, DatumGetObjectId(as_owner_result(1))))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("webhook with id " INT64_FORMAT " does not exist", id),
				 errhint("The webhooks that you may manage are listed by webhook.get_webhooks().")));
	return DatumGetBool(as_owner_result(2));
}

bool
manage_find_webhook(const RunAs *state, int64 id)
{
	return manage_require_webhook(state, id, "SELECT owner, active FROM webhook.webhook WHERE id = $1");
}

bool
manage_lock_webhook(const RunAs *state, int64 id)
{
	webhook_lock_wait(id);
	return manage_require_webhook(state, id,
								  "SELECT owner, active FROM webhook.webhook WHERE id = $1 FOR NO KEY UPDATE");
}

void
manage_wait_for_webhook(int64 id)
{
	webhook_lock_wait(id);
	(void) as_owner_execute_for_id("SELECT FROM webhook.webhook WHERE id = $1 FOR NO KEY UPDATE", SPI_OK_SELECT, id);
}

void
manage_delete_webhook(int64 id)
{
	static const char *const commands[] = {
		"DELETE FROM webhook.delivery WHERE webhook_id = $1",
		"DELETE FROM webhook.log WHERE webhook_id = $1",
		"DELETE FROM webhook.log_1 WHERE webhook_id = $1",
		"DELETE FROM webhook.health WHERE webhook_id = $1",
		"DELETE FROM webhook.health_1 WHERE webhook_id = $1",
		"DELETE FROM webhook.activity_minute WHERE webhook_id = $1",
		"DELETE FROM webhook.activity_minute_1 WHERE webhook_id = $1",
		"DELETE FROM webhook.activity_hour WHERE webhook_id = $1",
		"DELETE FROM webhook.activity_hour_1 WHERE webhook_id = $1",
		"DELETE FROM webhook.withheld WHERE webhook_id = $1",
		"DELETE FROM webhook.notification WHERE webhook_id = $1",
		"DELETE FROM webhook.backfill WHERE webhook_id = $1",
		"DELETE FROM webhook.webhook WHERE id = $1"
	};

	Assert(webhook_lock_is_held(id));
	oauth_pass_on_replaced(id);
	for (int i = 0; i < lengthof(commands); i++)
		as_owner_execute_for_id(commands[i], SPI_OK_DELETE, id);
}

void
manage_require_integration(const RunAs *state, const char *name)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};

	if (as_owner_execute("SELECT owner FROM webhook.integration WHERE name = $1 FOR NO KEY UPDATE",
						 SPI_OK_SELECT, 1, types, values, NULL) == 0 ||
		!has_privs_of_role(state->caller, DatumGetObjectId(as_owner_result(1))))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("integration \"%s\" does not exist", name),
				 errhint("The integrations that you may manage are listed by webhook.get_integrations().")));
}

/* Nothing is sent on behalf of a dropped role. */
void
manage_require_owner(int64 id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};

	if (as_owner_execute("SELECT FROM webhook.webhook AS w JOIN pg_roles AS r ON r.oid = w.owner WHERE w.id = $1",
						 SPI_OK_SELECT, 1, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the owner of webhook " INT64_FORMAT " no longer exists", id),
				 errhint("Use webhook.update_webhook(" INT64_FORMAT ", '{\"owner\": \"role\"}') to assign it to another role first.",
						 id)));
}

char *
manage_owner_from_json(const JsonbValue *v)
{
	if (v->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", OWNER_KEY),
				 errdetail("The value is not a string."),
				 errhint("Specify the name of a role.")));
	return pnstrdup(v->val.string.val, v->val.string.len);
}

/*
 * The webhook will get what the new owner may read, and its transform will run with
 * the new owner's privileges, so the caller must be a member of that role.
 */
void
manage_change_owner(const RunAs *state, int64 id, const char *name)
{
	Oid			types[] = {INT8OID, OIDOID};
	Oid			role = get_role_oid(name, true);
	Datum		values[] = {Int64GetDatum(id), ObjectIdGetDatum(role)};
	RunAs		recipient = *state;

	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("invalid value for argument \"%s\"", OWNER_KEY),
				 errdetail("Role \"%s\" does not exist.", name),
				 errhint("Specify the name of a role.")));
	if (!has_privs_of_role(state->caller, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be member of role \"%s\"", name),
				 errhint("The owner can be changed by superusers, and by members of both the old and the new owner.")));

	if (as_owner_execute("SELECT integration FROM webhook.webhook WHERE id = $1 AND integration IS NOT NULL",
						 SPI_OK_SELECT, 1, types, values, NULL) > 0)
	{
		recipient.caller = role;
		manage_require_integration(&recipient, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	}
	as_owner_execute("UPDATE webhook.webhook SET owner = $2 WHERE id = $1", SPI_OK_UPDATE, 2, types, values, NULL);
}
