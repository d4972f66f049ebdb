/*-------------------------------------------------------------------------
 *
 * secret_api.c
 *		Functions for the secrets that webhooks sign with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/check.h"
#include "api/fields.h"
#include "api/manage.h"
#include "api/secret.h"
#include "base/argument.h"
#include "pure/sign.h"
#include "server/version.h"

PG_FUNCTION_INFO_V1(webhook_get_secret);
PG_FUNCTION_INFO_V1(webhook_get_public_key);
PG_FUNCTION_INFO_V1(webhook_rotate_secret);


/* The webhook's secret, allocated outside of SPI's memory. */
static char *
secret_api_read_secret(int64 id)
{
	text	   *secret;
	char	   *result;

	as_owner_execute_for_id("SELECT secret FROM webhook.webhook WHERE id = $1", SPI_OK_SELECT, id);
	secret = DatumGetTextPP(as_owner_result(1));
	result = SPI_palloc(VARSIZE_ANY_EXHDR(secret) + 1);
	text_to_cstring_buffer(secret, result, VARSIZE_ANY_EXHDR(secret) + 1);
	return result;
}

/* The secret of the webhook whose id is the first argument, if the caller may manage it. */
static char *
secret_api_read_managed(FunctionCallInfo fcinfo)
{
	int64		id;
	char	   *secret;
	RunAs		state;

	version_require();
	id = DatumGetInt64(argument_required(fcinfo, 0, "id"));

	as_owner_begin(&state);
	manage_find_webhook(&state, id);
	secret = secret_api_read_secret(id);
	as_owner_end(&state);
	return secret;
}

/*
 * get_secret(id) returns text
 */
Datum
webhook_get_secret(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(secret_api_read_managed(fcinfo)));
}

/* Does this secret include an ed25519 key?  Sets public_key. */
static bool
secret_api_has_public_key(const char *secret, char *public_key)
{
	const char *problem;
	SignKey    *key = sign_key_create(secret, &problem);
	bool		result = sign_public_key(key, public_key);

	sign_key_free(key);
	return result;
}

/*
 * get_public_key(id) returns text, NULL for a webhook that does not sign with
 * ed25519
 */
Datum
webhook_get_public_key(PG_FUNCTION_ARGS)
{
	char		public_key[SIGN_MAX_TEXT];

	if (!secret_api_has_public_key(secret_api_read_managed(fcinfo), public_key))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(public_key));
}

/* What generates a secret of the same kinds as the old one. */
static Datum
secret_api_kinds(const char *old_secret)
{
	char		public_key[SIGN_MAX_TEXT];
	bool		both = secret_api_has_public_key(old_secret, public_key);

	return CStringGetTextDatum(both ? "v1 v1a" : "v1");
}

/* The new secret, which replaces the old one, if it fits what the webhook signs with it. */
static text *
secret_api_fit_secret(int64 id, Datum secret)
{
	char	   *signature;
	Jsonb	   *headers;

	as_owner_execute_for_id("SELECT COALESCE(signature, 'standard'), headers FROM webhook.webhook WHERE id = $1", SPI_OK_SELECT, id);
	signature = TextDatumGetCString(as_owner_result(1));
	headers = DatumGetJsonbPCopy(as_owner_result(2));
	secret = secret_for_signature(secret, signature);
	secret_require_signature(TextDatumGetCString(secret), signature, headers);
	return DatumGetTextPP(secret);
}

/*
 * rotate_secret(id, grace, secret) returns text
 *
 * Until the end of the grace period messages are signed with the old secret, too.
 */
Datum
webhook_rotate_secret(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, INTERVALOID};
	Datum		values[4];
	bool		nulls[4] = {false};
	char	   *old_secret;
	Datum		argument = (Datum) 0;
	text	   *secret;
	char	   *result;
	int64		grace_us;
	RunAs		state;

	version_require();
	values[0] = argument_required(fcinfo, 0, "id");
	values[3] = argument_required(fcinfo, 1, "grace");
	grace_us = check_interval_us("grace", DatumGetIntervalP(values[3]), 0, MAX_GRACE_MS,
								 GRACE_HINT);
	if (!PG_ARGISNULL(2))
		argument = field_check(FIELD_SECRET, PG_GETARG_DATUM(2), false).value;

	as_owner_begin(&state);
	manage_lock_webhook(&state, DatumGetInt64(values[0]));
	old_secret = secret_api_read_secret(DatumGetInt64(values[0]));
	secret = secret_api_fit_secret(DatumGetInt64(values[0]), PG_ARGISNULL(2) ? secret_api_kinds(old_secret) : argument);
	values[1] = PointerGetDatum(secret);
	result = SPI_palloc(VARSIZE_ANY_EXHDR(secret) + 1);
	text_to_cstring_buffer(secret, result, VARSIZE_ANY_EXHDR(secret) + 1);
	values[2] = CStringGetTextDatum(old_secret);
	nulls[2] = (grace_us == 0);
	as_owner_execute("UPDATE webhook.webhook SET secret = $2, previous_secret = $3,"
					 " previous_secret_until = CASE WHEN $3 IS NOT NULL THEN pg_catalog.now() + $4 END,"
					 " updated_at = pg_catalog.now() WHERE id = $1",
					 SPI_OK_UPDATE, 4, types, values, nulls);
	as_owner_end(&state);
	PG_RETURN_TEXT_P(cstring_to_text(result));
}
