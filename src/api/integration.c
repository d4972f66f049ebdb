/*-------------------------------------------------------------------------
 *
 * integration.c
 *		Integrations, their profiles and their API keys.
 *
 * Like a webhook, an integration belongs to the role that created it; for other
 * roles, except superusers and members of that role, it does not exist.  Profiles
 * and events belong to the application and have no rows here; any name can be used.
 *
 * An API key consists of "whk_", an identifier and a secret.  The row is found by
 * the identifier.  It contains a SHA-256 hash of the key, which is sufficient for
 * 192 random bits, and which is compared in constant time, even if there is no row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "api/check.h"
#include "api/integration.h"
#include "api/manage.h"
#include "base/argument.h"
#include "base/catalog.h"
#include "base/random.h"
#include "base/settings.h"
#include "base/webhook_lock.h"
#include "capture/payment.h"
#include "server/version.h"

#define KEY_PREFIX			"whk_"
#define KEY_ID_BYTES		8
#define KEY_SECRET_BYTES	24
#define KEY_ID_LENGTH		(2 * KEY_ID_BYTES)
#define KEY_LENGTH			(sizeof(KEY_PREFIX) - 1 + KEY_ID_LENGTH + 1 + 2 * KEY_SECRET_BYTES)
#define HASH_BYTES			32

/* Columns that integration_of_key() reads in addition to name and hash. */
#define KEY_COLUMNS \
	"ARRAY(SELECT p.profile FROM webhook.integration_profile AS p WHERE p.integration = i.name AND p.api_access), i.owner" \
	" FROM webhook.integration AS i"

PG_FUNCTION_INFO_V1(webhook_create_integration);
PG_FUNCTION_INFO_V1(webhook_rotate_api_key);
PG_FUNCTION_INFO_V1(webhook_delete_integration);
PG_FUNCTION_INFO_V1(webhook_connect_profile);
PG_FUNCTION_INFO_V1(webhook_disconnect_profile);
PG_FUNCTION_INFO_V1(webhook_activate_integration);
PG_FUNCTION_INFO_V1(webhook_deactivate_integration);
PG_FUNCTION_INFO_V1(webhook_override_event);
PG_FUNCTION_INFO_V1(webhook_clear_event_override);
PG_FUNCTION_INFO_V1(webhook_get_integrations);


/* Execute a command with one or two text arguments. */
static uint64
integration_execute(const char *sql, int expected, const char *first, const char *second)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[2] = {CStringGetTextDatum(first), (Datum) 0};

	if (second != NULL)
		values[1] = CStringGetTextDatum(second);
	return as_owner_execute(sql, expected, second ? 2 : 1, types, values, NULL);
}

/* ---------- API keys ---------- */

static char *
integration_generate_key(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, KEY_PREFIX);
	random_append_hex(&buf, KEY_ID_BYTES);
	appendStringInfoChar(&buf, '_');
	random_append_hex(&buf, KEY_SECRET_BYTES);
	return buf.data;
}

/* The identifier in a key that has the right length. */
static char *
integration_key_id(const char *key)
{
	return pnstrdup(key + sizeof(KEY_PREFIX) - 1, KEY_ID_LENGTH);
}

static bytea *
integration_key_hash(const char *key)
{
	/* A text is a bytea with the same bytes. */
	return DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, CStringGetTextDatum(key)));
}

static bool
integration_hashes_equal(const unsigned char *a, const unsigned char *b)
{
	unsigned char difference = 0;

	for (int i = 0; i < HASH_BYTES; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

void
integration_of_key(const char *api_key, IntegrationKey *result)
{
	MemoryContext context = CurrentMemoryContext;
	static const unsigned char nothing[HASH_BYTES] = {0};
	const unsigned char *expected = nothing;
	char		key[KEY_LENGTH + 1] = "";
	bytea	   *hash;
	RunAs		state;

	if (api_key != NULL && strlen(api_key) == KEY_LENGTH)
		strlcpy(key, api_key, sizeof(key));
	else
		memset(key, '-', KEY_LENGTH);
	hash = integration_key_hash(key);

	as_owner_begin(&state);
	if (integration_execute("SELECT i.name, i.api_key_hash, " KEY_COLUMNS " WHERE i.api_key_id = $1",
							SPI_OK_SELECT, integration_key_id(key), NULL) > 0 ||
		integration_execute("SELECT i.name, i.previous_api_key_hash, " KEY_COLUMNS " WHERE i.previous_api_key_id = $1"
							" AND i.previous_api_key_until > now()",
							SPI_OK_SELECT, integration_key_id(key), NULL) > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		result->integration = TextDatumGetCString(as_owner_result(1));
		expected = (unsigned char *) VARDATA_ANY(DatumGetByteaPCopy(as_owner_result(2)));
		result->profiles = DatumGetArrayTypePCopy(as_owner_result(3));
		result->owner = DatumGetObjectId(as_owner_result(4));
		MemoryContextSwitchTo(old);
	}
	if (!integration_hashes_equal((unsigned char *) VARDATA_ANY(hash), expected))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("invalid API key"),
				 errhint("Specify the current key of an integration. Its owner can create a new one with webhook.rotate_api_key().")));
	as_owner_end(&state);
}

/* ---------- integrations ---------- */

/*
 * create_integration(name, description) returns text
 */
Datum
webhook_create_integration(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, REGROLEOID, TEXTOID, BYTEAOID};
	Datum		values[5];
	bool		nulls[5] = {false};
	char	   *name;
	char	   *key;
	RunAs		state;

	version_require();
	name = argument_label(fcinfo, 0, "name");
	key = integration_generate_key();
	values[0] = CStringGetTextDatum(name);
	nulls[1] = PG_ARGISNULL(1);
	values[1] = nulls[1] ? (Datum) 0 : PG_GETARG_DATUM(1);
	values[2] = ObjectIdGetDatum(GetUserId());
	values[3] = CStringGetTextDatum(integration_key_id(key));
	values[4] = PointerGetDatum(integration_key_hash(key));

	as_owner_begin(&state);
	if (as_owner_execute("INSERT INTO webhook.integration (name, description, owner, api_key_id, api_key_hash)"
						 " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING RETURNING name",
						 SPI_OK_INSERT_RETURNING, 5, types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("integration \"%s\" already exists", name),
				 errhint("Choose another name.")));
	as_owner_end(&state);
	PG_RETURN_TEXT_P(cstring_to_text(key));
}

/* Keep the current key valid for a grace period after it is replaced; null means no longer valid. */
static void
integration_store_key(const char *integration, Datum grace, bool isnull)
{
	Oid			types[] = {TEXTOID, INTERVALOID};
	Datum		values[] = {CStringGetTextDatum(integration), grace};
	bool		nulls[] = {false, isnull};

	as_owner_execute("UPDATE webhook.integration SET previous_api_key_until = now() + $2,"
					 " previous_api_key_id = CASE WHEN $2 IS NOT NULL THEN api_key_id END,"
					 " previous_api_key_hash = CASE WHEN $2 IS NOT NULL THEN api_key_hash END WHERE name = $1",
					 SPI_OK_UPDATE, 2, types, values, nulls);
}

/*
 * rotate_api_key(integration, grace) returns text
 *
 * The function of version 0.1.0 has no grace period, nor has the table of that version columns for it.
 */
Datum
webhook_rotate_api_key(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, BYTEAOID};
	Datum		values[3];
	Datum		grace = (Datum) 0;
	bool		at_once = true;
	char	   *name;
	char	   *key;
	RunAs		state;

	version_require();
	name = argument_label(fcinfo, 0, "integration");
	if (PG_NARGS() > 1)
	{
		grace = argument_required(fcinfo, 1, "grace");
		at_once = check_interval_us("grace", DatumGetIntervalP(grace), 0, MAX_GRACE_MS, GRACE_HINT) == 0;
	}
	key = integration_generate_key();
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(integration_key_id(key));
	values[2] = PointerGetDatum(integration_key_hash(key));

	as_owner_begin(&state);
	manage_require_integration(&state, name);
	if (PG_NARGS() > 1)
		integration_store_key(name, grace, at_once);
	as_owner_execute("UPDATE webhook.integration SET api_key_id = $2, api_key_hash = $3,"
					 " api_key_created_at = pg_catalog.now(), age_reported_at = NULL WHERE name = $1",
					 SPI_OK_UPDATE, 3, types, values, NULL);
	as_owner_end(&state);
	PG_RETURN_TEXT_P(cstring_to_text(key));
}

/* Call back for each id that a query for an integration returns. */
static void
integration_for_each_webhook(const char *sql, const char *integration, void (*callback) (int64 id))
{
	uint64		n = integration_execute(sql, SPI_OK_SELECT, integration, NULL);
	SPITupleTable *webhooks = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		callback(DatumGetInt64(SPI_getbinval(webhooks->vals[i], webhooks->tupdesc, 1, &isnull)));
	}
}

/*
 * delete_integration(name) returns boolean
 */
Datum
webhook_delete_integration(PG_FUNCTION_ARGS)
{
	char	   *name;
	RunAs		state;

	version_require();
	name = argument_label(fcinfo, 0, "name");

	as_owner_begin(&state);
	manage_require_integration(&state, name);

	/*
	 * While we wait, webhooks may be removed from the integration, but none
	 * can be added.
	 */
	integration_for_each_webhook("SELECT id FROM webhook.webhook WHERE integration = $1 ORDER BY id", name, webhook_lock_wait);
	integration_for_each_webhook("SELECT id FROM webhook.webhook WHERE integration = $1 ORDER BY id FOR UPDATE", name, manage_delete_webhook);
	integration_execute("WITH gone AS (DELETE FROM webhook.event_override WHERE integration = $1 RETURNING event_uid)"
						" DELETE FROM webhook.paid_entity AS p USING gone WHERE p.event_uid = gone.event_uid",
						SPI_OK_DELETE, name, NULL);
	integration_execute("DELETE FROM webhook.integration WHERE name = $1", SPI_OK_DELETE, name, NULL);
	as_owner_end(&state);
	PG_RETURN_BOOL(true);
}

/*
 * get_integrations() returns setof record
 */
Datum
webhook_get_integrations(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(webhook_api_key_max_age)};
	bool		nulls[] = {false};

	version_require();
	return as_owner_return_query(fcinfo, "SELECT * FROM webhook.integrations_for($2, $1)", 1, types, values, nulls);
}

/* ---------- profiles ---------- */

/*
 * connect_profile(integration, profile, api_access) returns void
 */
Datum
webhook_connect_profile(PG_FUNCTION_ARGS)
{
	char	   *integration;
	char	   *profile;
	bool		api_access;
	RunAs		state;

	version_require();
	integration = argument_label(fcinfo, 0, "integration");
	profile = argument_label(fcinfo, 1, "profile");
	api_access = DatumGetBool(argument_required(fcinfo, 2, "api_access"));

	as_owner_begin(&state);
	manage_require_integration(&state, integration);
	integration_execute(api_access ?
						"INSERT INTO webhook.integration_profile VALUES ($1, $2, true)"
						" ON CONFLICT (integration, profile) DO UPDATE SET api_access = true" :
						"INSERT INTO webhook.integration_profile VALUES ($1, $2, false)"
						" ON CONFLICT (integration, profile) DO UPDATE SET api_access = false",
						SPI_OK_INSERT, integration, profile);
	as_owner_end(&state);
	PG_RETURN_VOID();
}

/*
 * disconnect_profile(integration, profile) returns boolean
 */
Datum
webhook_disconnect_profile(PG_FUNCTION_ARGS)
{
	char	   *integration;
	char	   *profile;
	bool		connected;
	RunAs		state;

	version_require();
	integration = argument_label(fcinfo, 0, "integration");
	profile = argument_label(fcinfo, 1, "profile");

	as_owner_begin(&state);
	manage_require_integration(&state, integration);
	connected = integration_execute("DELETE FROM webhook.integration_profile WHERE integration = $1 AND profile = $2",
									SPI_OK_DELETE, integration, profile) > 0;
	as_owner_end(&state);
	PG_RETURN_BOOL(connected);
}

/* Raise an error if the last query found that the row to replace belongs to another role. */
static void
integration_check_replaceable(const RunAs *state, uint64 found, const char *what, const char *name)
{
	if (found > 0 && !has_privs_of_role(state->caller, DatumGetObjectId(as_owner_result(1))))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for %s \"%s\"", what, name),
				 errhint("Another role has activated an integration for it, and must deactivate that first.")));
}

static void
integration_check_profile(const RunAs *state, const char *profile)
{
	integration_check_replaceable(state,
								  integration_execute("SELECT i.owner FROM webhook.active_integration AS a"
													  " JOIN webhook.integration AS i ON i.name = a.integration"
													  " WHERE a.profile = $1 FOR UPDATE OF a", SPI_OK_SELECT, profile, NULL),
								  "profile", profile);
}

/*
 * activate_integration(profile, integration) returns void
 */
Datum
webhook_activate_integration(PG_FUNCTION_ARGS)
{
	char	   *profile;
	char	   *integration;
	RunAs		state;

	version_require();
	profile = argument_label(fcinfo, 0, "profile");
	integration = argument_label(fcinfo, 1, "integration");

	as_owner_begin(&state);
	manage_require_integration(&state, integration);
	if (integration_execute("SELECT FROM webhook.integration_profile WHERE integration = $1 AND profile = $2",
							SPI_OK_SELECT, integration, profile) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("profile \"%s\" is not connected to integration \"%s\"", profile, integration),
				 errhint("Use webhook.connect_profile() first.")));

	/*
	 * The row to replace has been checked and locked, even if it was inserted
	 * just now.
	 */
	while (integration_execute("INSERT INTO webhook.active_integration VALUES ($1, $2) ON CONFLICT DO NOTHING",
							   SPI_OK_INSERT, profile, integration) == 0)
	{
		integration_check_profile(&state, profile);
		if (integration_execute("UPDATE webhook.active_integration SET integration = $2 WHERE profile = $1",
								SPI_OK_UPDATE, profile, integration) > 0)
			break;
	}
	as_owner_end(&state);
	PG_RETURN_VOID();
}

/*
 * deactivate_integration(profile) returns boolean
 */
Datum
webhook_deactivate_integration(PG_FUNCTION_ARGS)
{
	char	   *profile;
	bool		was_active;
	RunAs		state;

	version_require();
	profile = argument_label(fcinfo, 0, "profile");

	as_owner_begin(&state);
	integration_check_profile(&state, profile);
	was_active = integration_execute("DELETE FROM webhook.active_integration WHERE profile = $1",
									 SPI_OK_DELETE, profile, NULL) > 0;
	as_owner_end(&state);
	PG_RETURN_BOOL(was_active);
}

/* ---------- events ---------- */

static void
integration_check_event(const RunAs *state, const char *event_uid)
{
	integration_check_replaceable(state,
								  integration_execute("SELECT owner FROM webhook.event_override WHERE event_uid = $1 FOR UPDATE",
													  SPI_OK_SELECT, event_uid, NULL),
								  "event", event_uid);
}

/* Does the event get paid entities only?  Locks its override. */
static bool
integration_only_paid_counts(const char *event_uid)
{
	return integration_execute("SELECT FROM webhook.event_override WHERE event_uid = $1 AND only_paid FOR UPDATE",
							   SPI_OK_SELECT, event_uid, NULL) > 0;
}

/*
 * override_event(event_uid, integration, send_on_payment, only_paid) returns void
 */
Datum
webhook_override_event(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, BOOLOID, BOOLOID, REGROLEOID};
	Datum		values[5] = {0};
	bool		nulls[5] = {false};
	char	   *event_uid;
	char	   *integration = NULL;
	bool		only_paid_before = false;
	RunAs		state;

	version_require();
	event_uid = argument_label(fcinfo, 0, "event_uid");
	values[0] = CStringGetTextDatum(event_uid);
	nulls[1] = PG_ARGISNULL(1);
	if (!nulls[1])
	{
		integration = argument_label(fcinfo, 1, "integration");
		values[1] = CStringGetTextDatum(integration);
	}
	values[2] = argument_required(fcinfo, 2, "send_on_payment");
	values[3] = argument_required(fcinfo, 3, "only_paid");
	values[4] = ObjectIdGetDatum(GetUserId());

	as_owner_begin(&state);
	if (integration != NULL)
		manage_require_integration(&state, integration);
	while (as_owner_execute("INSERT INTO webhook.event_override VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
							SPI_OK_INSERT, 5, types, values, nulls) == 0)
	{
		integration_check_event(&state, event_uid);
		only_paid_before = integration_only_paid_counts(event_uid);
		if (as_owner_execute("UPDATE webhook.event_override SET integration = $2, send_on_payment = $3,"
							 " only_paid = $4, owner = $5 WHERE event_uid = $1",
							 SPI_OK_UPDATE, 5, types, values, nulls) > 0)
			break;
	}
	as_owner_end(&state);
	if (DatumGetBool(values[3]) && !only_paid_before)
		payment_begin_event(event_uid);
	else if (!DatumGetBool(values[3]) && only_paid_before)
		payment_end_event(event_uid);
	PG_RETURN_VOID();
}

/*
 * clear_event_override(event_uid) returns boolean
 */
Datum
webhook_clear_event_override(PG_FUNCTION_ARGS)
{
	char	   *event_uid;
	bool		overridden;
	RunAs		state;

	version_require();
	event_uid = argument_label(fcinfo, 0, "event_uid");

	as_owner_begin(&state);
	integration_check_event(&state, event_uid);
	overridden = integration_execute("DELETE FROM webhook.event_override WHERE event_uid = $1",
									 SPI_OK_DELETE, event_uid, NULL) > 0;
	as_owner_end(&state);
	payment_end_event(event_uid);
	PG_RETURN_BOOL(overridden);
}
