/*-------------------------------------------------------------------------
 *
 * endpoint_config.c
 *		The configuration of an endpoint, from the webhook's row.
 *
 * A file that cannot be read, or a secret that cannot be used, is not an error here:
 * config.problem then fails each attempt, and the configuration is loaded again when it
 * is next needed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/secret_file.h"
#include "base/spi_statement.h"
#include "base/wire.h"
#include "log/xid_set.h"
#include "pure/url.h"
#include "send/endpoint_config.h"
#include "send/token.h"

#define DEFAULT_MAX_IN_FLIGHT	20

static SpiStatement endpoint_config_statement = {
	"SELECT url, method, format, ordering, secret, previous_secret, previous_secret_until,"
	" (EXTRACT(epoch FROM timeout) * 1000)::bigint, max_in_flight, client_cert, client_key, ca_cert,"
	" active, buffering,"
	" ARRAY(SELECT CASE btrim(value, E' \\t') WHEN '' THEN key || ';' ELSE key || ': ' || value END FROM jsonb_each_text(headers)),"
	" ARRAY(SELECT key || ': ***' FROM jsonb_each_text(headers) UNION ALL SELECT 'Authorization: ***' WHERE oauth IS NOT NULL),"
	" CASE WHEN retry_schedule IS NOT NULL THEN"
	"  ARRAY(SELECT (EXTRACT(epoch FROM s) * 1000000)::bigint FROM unnest(retry_schedule) AS s) END,"
	" deactivated_at, updated_at, owner::oid, app, name, rate_limit,"
	" integration, transform, handshake, discarded, previous,"
	" batch_size, (EXTRACT(epoch FROM batch_wait) * 1000000)::bigint, no_retry, signature, challenge,"
	" activated_at, CASE WHEN oauth IS NOT NULL THEN ARRAY(SELECT COALESCE(oauth ->> o.name, '')"
	"  FROM unnest('{token_url,grant,client_id,client_secret,refresh_token,scope,audience,auth}'::text[])"
	"   WITH ORDINALITY AS o (name, n) ORDER BY o.n) END, template"
	" FROM webhook.webhook WHERE id = $1",
	1, {INT8OID}
};

/* Columns of endpoint_config_statement */
enum
{
	Anum_config_url = 1,
	Anum_config_method,
	Anum_config_format,
	Anum_config_ordering,
	Anum_config_secret,
	Anum_config_previous_secret,
	Anum_config_previous_secret_until,
	Anum_config_timeout_ms,
	Anum_config_max_in_flight,
	Anum_config_client_cert,
	Anum_config_client_key,
	Anum_config_ca_cert,
	Anum_config_active,
	Anum_config_buffering,
	Anum_config_headers,
	Anum_config_shown_headers,
	Anum_config_retry_schedule,
	Anum_config_deactivated_at,
	Anum_config_updated_at,
	Anum_config_owner,
	Anum_config_app,
	Anum_config_name,
	Anum_config_rate_limit,
	Anum_config_integration,
	Anum_config_transform,
	Anum_config_handshake,
	Anum_config_discarded,
	Anum_config_previous,
	Anum_config_batch_size,
	Anum_config_batch_wait,
	Anum_config_no_retry,
	Anum_config_signature,
	Anum_config_challenge,
	Anum_config_activated_at,
	Anum_config_oauth,			/* elements: OauthPart */
	Anum_config_template,
};


static void
endpoint_config_set_problem(Endpoint *endpoint, const char *what, const char *problem)
{
	if (endpoint->config.problem == NULL)
		endpoint->config.problem = psprintf("%s: %s", what, problem);
}

/* The value, or the content of the file that it names; "" with endpoint->config.problem set if that fails. */
static char *
endpoint_config_resolve_file(Endpoint *endpoint, char *value, const char *what)
{
	char	   *problem;
	char	   *content;

	if (value == NULL || !secret_file_is_reference(value))
		return value;
	content = secret_file_read(value, endpoint->config.owner, &problem);
	if (content != NULL)
		return content;
	endpoint_config_set_problem(endpoint, what, problem);
	return pstrdup("");
}

static void
endpoint_config_load_keys(Endpoint *endpoint, int column, EndpointKeys *keys)
{
	Signature  *signature = endpoint->config.signature;
	char	   *text = endpoint_config_resolve_file(endpoint, spi_statement_text(0, column), "secret");
	const char *error = NULL;

	if (text == NULL || signature == NULL)
		return;
	if (signature_has_standard(signature))
	{
		keys->standard = sign_key_create(text, &error);
		if (keys->standard == NULL)
			endpoint_config_set_problem(endpoint, "secret", error);
	}
	if (!signature_needs_key(signature))
		return;
	if (sign_key_has(keys->standard, SIGN_ED25519))
		endpoint_config_set_problem(endpoint, "secret", "its text is a key of other signatures, and contains a private key");
	if (*text != '\0')
		keys->other = signature_key_create(signature, wire_from_server(text));
	if (keys->other == NULL)
		endpoint_config_set_problem(endpoint, "secret", *text == '\0' ? "it is empty" : "OpenSSL cannot use it");
}

static void
endpoint_config_load_signature(Endpoint *endpoint)
{
	const char *problem;
	int			line;

	endpoint->config.signature = signature_compile(spi_statement_text(0, Anum_config_signature), &line, &problem);
	if (endpoint->config.signature == NULL)
		endpoint_config_set_problem(endpoint, "signature", problem);
	endpoint_config_load_keys(endpoint, Anum_config_secret, &endpoint->config.keys);
	endpoint_config_load_keys(endpoint, Anum_config_previous_secret, &endpoint->config.previous_keys);
	endpoint->config.previous_key_until = spi_statement_timestamp(0, Anum_config_previous_secret_until, DT_NOBEGIN);
}

static void
endpoint_config_free_keys(EndpointKeys *keys)
{
	sign_key_free(keys->standard);
	signature_key_free(keys->other);
	keys->standard = NULL;
	keys->other = NULL;
}

void
endpoint_config_free_signature(Endpoint *endpoint)
{
	endpoint_config_free_keys(&endpoint->config.keys);
	endpoint_config_free_keys(&endpoint->config.previous_keys);
	signature_free(endpoint->config.signature);
	endpoint->config.signature = NULL;
}

/* Replace references to files in header lines by their contents. */
static void
endpoint_config_resolve_headers(Endpoint *endpoint)
{
	for (int i = 0; i < endpoint->config.nheaders; i++)
	{
		char	   *colon = strchr(endpoint->config.headers[i], ':');
		char	   *name;
		char	   *value;
		const char *problem;

		if (colon == NULL || !secret_file_is_reference(colon + 2))
			continue;
		name = pnstrdup(endpoint->config.headers[i], colon - endpoint->config.headers[i]);
		value = endpoint_config_resolve_file(endpoint, colon + 2, name);
		problem = url_check_header(name, value);
		if (problem != NULL)
			endpoint_config_set_problem(endpoint, name, problem);
		endpoint->config.headers[i] = psprintf("%s: %s", name, value);
	}
}

static void
endpoint_config_load_headers(Endpoint *endpoint)
{
	bool		isnull;
	Datum		d = spi_statement_value(0, Anum_config_headers, &isnull);
	char	  **shown;
	int			nshown;
	StringInfoData buf;

	endpoint->config.nheaders = catalog_strings(d, isnull, &endpoint->config.headers);
	endpoint_config_resolve_headers(endpoint);

	d = spi_statement_value(0, Anum_config_shown_headers, &isnull);
	nshown = catalog_strings(d, isnull, &shown);
	endpoint->config.shown_headers = "";
	if (nshown == 0)
		return;
	initStringInfo(&buf);
	for (int i = 0; i < nshown; i++)
		appendStringInfo(&buf, "%s\n", shown[i]);
	endpoint->config.shown_headers = buf.data;
}

static void
endpoint_config_load_schedule(Endpoint *endpoint)
{
	bool		isnull;
	Datum		array = spi_statement_value(0, Anum_config_retry_schedule, &isnull);
	Datum	   *steps;
	int			n;

	endpoint->config.own_schedule = false;
	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(array), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &steps, NULL, &n);
	endpoint->config.schedule.count = Min(n, RETRY_MAX_STEPS);
	for (int i = 0; i < endpoint->config.schedule.count; i++)
		endpoint->config.schedule.steps[i] = DatumGetInt64(steps[i]);
	endpoint->config.own_schedule = n > 0;
}

static void
endpoint_config_load_no_retry(Endpoint *endpoint)
{
	bool		isnull;
	Datum		array = spi_statement_value(0, Anum_config_no_retry, &isnull);
	Datum	   *statuses;

	endpoint->config.no_retry.count = 0;
	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(array), INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &statuses, NULL, &endpoint->config.no_retry.count);
	endpoint->config.no_retry.count = Min(endpoint->config.no_retry.count, RESULT_MAX_FINAL);
	for (int i = 0; i < endpoint->config.no_retry.count; i++)
		endpoint->config.no_retry.statuses[i] = DatumGetInt32(statuses[i]);
}

static EndpointOrdering
endpoint_config_parse_ordering(const char *text)
{
	if (strcmp(text, "strict") == 0)
		return ORDER_STRICT;
	return strcmp(text, "none") == 0 ? ORDER_NONE : ORDER_ENTITY;
}

static EndpointPrevious
endpoint_config_parse_previous(const char *text)
{
	if (text == NULL)
		return PREVIOUS_NONE;
	return strcmp(text, "row") == 0 ? PREVIOUS_ROW : PREVIOUS_CHANGED;
}

/*
 * An activation voids agreements.  The endpoint may have been deactivated and
 * activated since it was last loaded, which "active" does not show.
 */
static void
endpoint_config_load_activation(Endpoint *endpoint)
{
	TimestampTz activated_at = spi_statement_timestamp(0, Anum_config_activated_at, 0);

	if (activated_at != endpoint->config.activated_at)
	{
		handshake_forget(&endpoint->state.handshake);
		challenge_forget(&endpoint->state.challenge);
	}
	endpoint->config.activated_at = activated_at;
}

/* A secret for the token server, which may be in a file; NULL if there is none. */
static char *
endpoint_config_resolve_credential(Endpoint *endpoint, char *text, const char *what)
{
	char	   *value = endpoint_config_resolve_file(endpoint, text, what);

	if (*text == '\0')
		return NULL;
	if (*value == '\0')
		endpoint_config_set_problem(endpoint, what, "it is empty");
	else if (strlen(value) > TOKEN_MAX_PART)
		endpoint_config_set_problem(endpoint, what, "it is too long");
	for (char *c = value; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			endpoint_config_set_problem(endpoint, what, "it contains a control character");
	return value;
}

/* This must come last, since the token may have to be read with another statement. */
static void
endpoint_config_load_token(Endpoint *endpoint)
{
	bool		isnull;
	Datum		d = spi_statement_value(0, Anum_config_oauth, &isnull);
	char	  **parts;
	TokenSettings settings = {0};

	if (isnull)
		return;
	(void) catalog_strings(d, isnull, &parts);
	settings.owner = endpoint->config.owner;
	settings.token_url = parts[OAUTH_TOKEN_URL];
	settings.client_id = parts[OAUTH_CLIENT_ID];
	settings.client_secret = endpoint_config_resolve_credential(endpoint, parts[OAUTH_CLIENT_SECRET], "client_secret");
	settings.refresh_token = endpoint_config_resolve_credential(endpoint, parts[OAUTH_REFRESH_TOKEN], "refresh_token");
	settings.refresh_reference = settings.refresh_token != NULL ? parts[OAUTH_REFRESH_TOKEN] : NULL;
	settings.scope = parts[OAUTH_SCOPE][0] != '\0' ? parts[OAUTH_SCOPE] : NULL;
	settings.audience = parts[OAUTH_AUDIENCE][0] != '\0' ? parts[OAUTH_AUDIENCE] : NULL;
	settings.in_body = strcmp(parts[OAUTH_AUTH], "body") == 0;
	settings.client_cert = endpoint->config.client_cert;
	settings.client_key = endpoint->config.client_key;
	settings.ca_cert = endpoint->config.ca_cert;
	if (endpoint->config.problem == NULL)
		endpoint->config.token = token_take(&settings);
}

/* Take the configuration from the row that SPI has just returned. */
static void
endpoint_config_load_row(Endpoint *endpoint)
{
	bool		isnull;
	Datum		d;
	TimestampTz updated_at;

	endpoint->config.owner = DatumGetObjectId(spi_statement_value(0, Anum_config_owner, &isnull));
	endpoint->config.url = spi_statement_text(0, Anum_config_url);
	endpoint->config.method = spi_statement_text(0, Anum_config_method);
	endpoint->config.format = format_find(spi_statement_text(0, Anum_config_format));
	endpoint->config.ordering = endpoint_config_parse_ordering(spi_statement_text(0, Anum_config_ordering));
	endpoint_config_load_signature(endpoint);
	endpoint->config.timeout_ms = (long) spi_statement_int64(0, Anum_config_timeout_ms, 0);
	endpoint->config.max_in_flight = spi_statement_int32(0, Anum_config_max_in_flight, DEFAULT_MAX_IN_FLIGHT);
	endpoint->config.client_cert = endpoint_config_resolve_file(endpoint, spi_statement_text(0, Anum_config_client_cert), "client_cert");
	endpoint->config.client_key = endpoint_config_resolve_file(endpoint, spi_statement_text(0, Anum_config_client_key), "client_key");
	endpoint->config.ca_cert = endpoint_config_resolve_file(endpoint, spi_statement_text(0, Anum_config_ca_cert), "ca_cert");
	endpoint->config.active = DatumGetBool(spi_statement_value(0, Anum_config_active, &isnull));
	endpoint->config.buffering = DatumGetBool(spi_statement_value(0, Anum_config_buffering, &isnull));
	endpoint_config_load_headers(endpoint);
	endpoint_config_load_schedule(endpoint);
	endpoint->config.deactivated_at = spi_statement_timestamp(0, Anum_config_deactivated_at, DT_NOEND);
	updated_at = spi_statement_timestamp(0, Anum_config_updated_at, DT_NOBEGIN);
	if (endpoint->config.updated_at != updated_at)
		endpoint->state.batch_limit = 0;
	endpoint->config.updated_at = updated_at;
	d = spi_statement_value(0, Anum_config_discarded, &isnull);
	endpoint->config.discarded = isnull ? NULL : xid_set_from_datum(d, TopMemoryContext);
	endpoint->config.app = spi_statement_text(0, Anum_config_app);
	endpoint->config.name = spi_statement_text(0, Anum_config_name);
	endpoint->config.rate_limit = spi_statement_int32(0, Anum_config_rate_limit, 0);
	endpoint->config.integration = spi_statement_text(0, Anum_config_integration);
	endpoint->config.transform = spi_statement_text(0, Anum_config_transform);
	d = spi_statement_value(0, Anum_config_template, &isnull);
	endpoint->config.template = isnull ? NULL : template_compile(DatumGetJsonbPCopy(d));
	endpoint->config.previous = endpoint_config_parse_previous(spi_statement_text(0, Anum_config_previous));
	endpoint->config.batch_size = spi_statement_int32(0, Anum_config_batch_size, 0);
	endpoint->config.batch_wait = spi_statement_int64(0, Anum_config_batch_wait, 0);
	endpoint_config_load_no_retry(endpoint);
	endpoint->state.handshake.wanted = DatumGetBool(spi_statement_value(0, Anum_config_handshake, &isnull));
	endpoint->state.challenge.wanted = DatumGetBool(spi_statement_value(0, Anum_config_challenge, &isnull));
	endpoint->state.route_known = 0;
	endpoint_config_load_activation(endpoint);
	endpoint_set_pace(endpoint);
	endpoint_config_load_token(endpoint);
}

bool
endpoint_config_load(Endpoint *endpoint)
{
	Datum		values[1] = {Int64GetDatum(endpoint->id)};
	MemoryContext old;

	endpoint->config.exists = spi_statement_execute(&endpoint_config_statement, values, NULL) > 0;
	endpoint->config.active = endpoint->config.buffering = false;
	endpoint->state.handshake.wanted = endpoint->state.challenge.wanted = false;
	endpoint->config.problem = endpoint->config.integration = endpoint->config.transform = NULL;
	endpoint->config.template = NULL;
	endpoint->config.previous = PREVIOUS_NONE;
	endpoint->config.batch_size = 0;
	endpoint->config.token = NULL;
	if (!endpoint->config.exists)
		return false;

	endpoint->config.known = true;
	old = MemoryContextSwitchTo(endpoint->config.context);
	endpoint_config_load_row(endpoint);
	MemoryContextSwitchTo(old);
	return true;
}
