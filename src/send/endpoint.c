/*-------------------------------------------------------------------------
 *
 * endpoint.c
 *		A webhook as the worker sees it: where to send, and how it fares.
 *
 * Endpoints are loaded when there is a message for them, and freed when nothing
 * depends on them and there are many, so that memory depends on how many are
 * busy and not on how many exist.
 *
 * Other modules keep pointers to endpoints, also from one turn to the next.  An
 * endpoint does not move, and only endpoint_trim() frees any: what keeps a pointer
 * must be visible there.  The configuration is replaced as a whole, in a transaction,
 * when any webhook has changed; a request in flight has copies of what it uses.
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
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/secret_file.h"
#include "base/settings.h"
#include "base/spi_statement.h"
#include "base/wire.h"
#include "log/xid_set.h"
#include "pure/url.h"
#include "send/endpoint.h"
#include "send/token.h"

#define DEFAULT_MAX_IN_FLIGHT	20
#define MAX_IDLE_ENDPOINTS		2000
#define RATE_MARGIN_PERCENT		5

/* After this many requests, batches twice as large are tried again. */
#define BATCH_SUCCESSES			100

static HTAB *endpoint_table;
static MemoryContext endpoint_context;

static SpiStatement endpoint_load_statement = {
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

/* Columns of endpoint_load_statement */
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

static SpiStatement endpoint_changed_at_statement = {
	"SELECT updated_at FROM webhook.webhook WHERE id = $1",
	1, {INT8OID}
};

static SpiStatement endpoint_health_statement = {
	"SELECT failures, failing_since, probes, next_probe_at, warned FROM webhook.current_health WHERE webhook_id = $1",
	1, {INT8OID}
};

/* Columns of endpoint_health_statement */
enum
{
	Anum_health_failures = 1,
	Anum_health_failing_since,
	Anum_health_probes,
	Anum_health_next_probe_at,
	Anum_health_warned,
};


void
endpoint_init(void)
{
	endpoint_context = AllocSetContextCreate(TopMemoryContext, "webhook endpoints",
											 ALLOCSET_DEFAULT_SIZES);
	endpoint_table = container_hash("webhook endpoints", 256, sizeof(int64), sizeof(Endpoint), endpoint_context);
}

bool
endpoint_changed(const Endpoint *endpoint)
{
	return endpoint->config.seen.generation != catalog_generation();
}

void
endpoint_mark_seen(Endpoint *endpoint)
{
	endpoint->config.seen.generation = endpoint->config.generation;
	endpoint->config.seen.active = endpoint->config.exists && endpoint->config.active;
	endpoint->config.seen.updated_at = endpoint->config.updated_at;
}

TimestampTz
endpoint_changed_at(int64 id)
{
	Datum		values[1] = {Int64GetDatum(id)};
	bool		isnull;

	if (spi_statement_execute(&endpoint_changed_at_statement, values, NULL) == 0)
		return DT_NOBEGIN;
	return DatumGetTimestampTz(spi_statement_value(0, 1, &isnull));
}

static char *
endpoint_column_text(int column)
{
	return spi_statement_text(0, column);
}

static void
endpoint_set_problem(Endpoint *endpoint, const char *what, const char *problem)
{
	if (endpoint->config.problem == NULL)
		endpoint->config.problem = psprintf("%s: %s", what, problem);
}

/* The value, or the content of the file that it names; "" with endpoint->config.problem set if that fails. */
static char *
endpoint_resolve_file(Endpoint *endpoint, char *value, const char *what)
{
	char	   *problem;
	char	   *content;

	if (value == NULL || !secret_file_is_reference(value))
		return value;
	content = secret_file_read(value, endpoint->config.owner, &problem);
	if (content != NULL)
		return content;
	endpoint_set_problem(endpoint, what, problem);
	return pstrdup("");
}

static void
endpoint_load_keys(Endpoint *endpoint, int column, EndpointKeys *keys)
{
	Signature  *signature = endpoint->config.signature;
	char	   *text = endpoint_resolve_file(endpoint, endpoint_column_text(column), "secret");
	const char *error = NULL;

	if (text == NULL || signature == NULL)
		return;
	if (signature_has_standard(signature))
	{
		keys->standard = sign_key_create(text, &error);
		if (keys->standard == NULL)
			endpoint_set_problem(endpoint, "secret", error);
	}
	if (!signature_needs_key(signature))
		return;
	if (sign_key_has(keys->standard, SIGN_ED25519))
		endpoint_set_problem(endpoint, "secret", "its text is a key of other signatures, and contains a private key");
	if (*text != '\0')
		keys->other = signature_key_create(signature, wire_from_server(text));
	if (keys->other == NULL)
		endpoint_set_problem(endpoint, "secret", *text == '\0' ? "it is empty" : "OpenSSL cannot use it");
}

static void
endpoint_load_signature(Endpoint *endpoint)
{
	const char *problem;
	int			line;
	bool		isnull;
	Datum		d;

	endpoint->config.signature = signature_compile(endpoint_column_text(Anum_config_signature), &line, &problem);
	if (endpoint->config.signature == NULL)
		endpoint_set_problem(endpoint, "signature", problem);
	endpoint_load_keys(endpoint, Anum_config_secret, &endpoint->config.keys);
	endpoint_load_keys(endpoint, Anum_config_previous_secret, &endpoint->config.previous_keys);
	d = spi_statement_value(0, Anum_config_previous_secret_until, &isnull);
	endpoint->config.previous_key_until = isnull ? DT_NOBEGIN : DatumGetTimestampTz(d);
}

static void
endpoint_free_keys(EndpointKeys *keys)
{
	sign_key_free(keys->standard);
	signature_key_free(keys->other);
	keys->standard = NULL;
	keys->other = NULL;
}

static void
endpoint_free_signature(Endpoint *endpoint)
{
	endpoint_free_keys(&endpoint->config.keys);
	endpoint_free_keys(&endpoint->config.previous_keys);
	signature_free(endpoint->config.signature);
	endpoint->config.signature = NULL;
}

/* Replace references to files in header lines by their contents. */
static void
endpoint_resolve_headers(Endpoint *endpoint)
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
		value = endpoint_resolve_file(endpoint, colon + 2, name);
		problem = url_check_header(name, value);
		if (problem != NULL)
			endpoint_set_problem(endpoint, name, problem);
		endpoint->config.headers[i] = psprintf("%s: %s", name, value);
	}
}

static void
endpoint_load_schedule(Endpoint *endpoint, Datum array)
{
	Datum	   *steps;
	int			n;

	deconstruct_array(DatumGetArrayTypeP(array), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &steps, NULL, &n);
	endpoint->config.schedule.count = Min(n, RETRY_MAX_STEPS);
	for (int i = 0; i < endpoint->config.schedule.count; i++)
		endpoint->config.schedule.steps[i] = DatumGetInt64(steps[i]);
	endpoint->config.own_schedule = n > 0;
}

static void
endpoint_load_no_retry(Endpoint *endpoint)
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
endpoint_parse_ordering(const char *text)
{
	if (strcmp(text, "strict") == 0)
		return ORDER_STRICT;
	return strcmp(text, "none") == 0 ? ORDER_NONE : ORDER_ENTITY;
}

static EndpointPrevious
endpoint_parse_previous(const char *text)
{
	if (text == NULL)
		return PREVIOUS_NONE;
	return strcmp(text, "row") == 0 ? PREVIOUS_ROW : PREVIOUS_CHANGED;
}

/*
 * Requests are spaced evenly, a little wider than the limit says, so that no
 * window of a second sees more of them than allowed, though they do not all
 * take equally long to arrive.
 */
void
endpoint_set_pace(Endpoint *endpoint)
{
	const int64 second = USECS_PER_SEC * (100 + RATE_MARGIN_PERCENT) / 100;
	const Handshake *handshake = &endpoint->state.handshake;
	int64		interval = endpoint->config.rate_limit > 0 ? second / endpoint->config.rate_limit : 0;

	/* The endpoint itself may have set a limit, per minute. */
	if (handshake->wanted && handshake->rate > 0)
		interval = Max(interval, SECS_PER_MINUTE * second / handshake->rate);

	/* The previous worker may have sent something just now. */
	if (interval > 0 && endpoint->config.send_interval == 0)
		endpoint->queue.next_send_at = clock_now() + interval;
	endpoint->config.send_interval = interval;
}

/*
 * An activation voids agreements.  The endpoint may have been deactivated and
 * activated since it was last loaded, which "active" does not show.
 */
static void
endpoint_load_activation(Endpoint *endpoint)
{
	bool		isnull;
	Datum		d = spi_statement_value(0, Anum_config_activated_at, &isnull);
	TimestampTz activated_at = isnull ? 0 : DatumGetTimestampTz(d);

	if (activated_at != endpoint->config.activated_at)
	{
		handshake_forget(&endpoint->state.handshake);
		challenge_forget(&endpoint->state.challenge);
	}
	endpoint->config.activated_at = activated_at;
}

/* A secret for the token server, which may be in a file; NULL if there is none. */
static char *
endpoint_resolve_credential(Endpoint *endpoint, char *text, const char *what)
{
	char	   *value = endpoint_resolve_file(endpoint, text, what);

	if (*text == '\0')
		return NULL;
	if (*value == '\0')
		endpoint_set_problem(endpoint, what, "it is empty");
	else if (strlen(value) > TOKEN_MAX_PART)
		endpoint_set_problem(endpoint, what, "it is too long");
	for (char *c = value; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			endpoint_set_problem(endpoint, what, "it contains a control character");
	return value;
}

/* This must come last, since the token may have to be read with another statement. */
static void
endpoint_load_token(Endpoint *endpoint)
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
	settings.client_secret = endpoint_resolve_credential(endpoint, parts[OAUTH_CLIENT_SECRET], "client_secret");
	settings.refresh_token = endpoint_resolve_credential(endpoint, parts[OAUTH_REFRESH_TOKEN], "refresh_token");
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
endpoint_load_row(Endpoint *endpoint)
{
	bool		isnull;
	Datum		d;
	TimestampTz updated_at;
	char	  **shown;
	int			nshown;
	StringInfoData buf;

	endpoint->config.owner = DatumGetObjectId(spi_statement_value(0, Anum_config_owner, &isnull));
	endpoint->config.url = endpoint_column_text(Anum_config_url);
	endpoint->config.method = endpoint_column_text(Anum_config_method);
	endpoint->config.format = format_find(endpoint_column_text(Anum_config_format));
	endpoint->config.ordering = endpoint_parse_ordering(endpoint_column_text(Anum_config_ordering));
	endpoint_load_signature(endpoint);
	d = spi_statement_value(0, Anum_config_timeout_ms, &isnull);
	endpoint->config.timeout_ms = isnull ? 0 : (long) DatumGetInt64(d);
	d = spi_statement_value(0, Anum_config_max_in_flight, &isnull);
	endpoint->config.max_in_flight = isnull ? DEFAULT_MAX_IN_FLIGHT : DatumGetInt32(d);
	endpoint->config.client_cert = endpoint_resolve_file(endpoint, endpoint_column_text(Anum_config_client_cert), "client_cert");
	endpoint->config.client_key = endpoint_resolve_file(endpoint, endpoint_column_text(Anum_config_client_key), "client_key");
	endpoint->config.ca_cert = endpoint_resolve_file(endpoint, endpoint_column_text(Anum_config_ca_cert), "ca_cert");
	endpoint->config.active = DatumGetBool(spi_statement_value(0, Anum_config_active, &isnull));
	endpoint->config.buffering = DatumGetBool(spi_statement_value(0, Anum_config_buffering, &isnull));
	d = spi_statement_value(0, Anum_config_headers, &isnull);
	endpoint->config.nheaders = catalog_strings(d, isnull, &endpoint->config.headers);
	endpoint_resolve_headers(endpoint);
	d = spi_statement_value(0, Anum_config_shown_headers, &isnull);
	nshown = catalog_strings(d, isnull, &shown);
	endpoint->config.shown_headers = "";
	if (nshown > 0)
	{
		initStringInfo(&buf);
		for (int i = 0; i < nshown; i++)
			appendStringInfo(&buf, "%s\n", shown[i]);
		endpoint->config.shown_headers = buf.data;
	}
	d = spi_statement_value(0, Anum_config_retry_schedule, &isnull);
	endpoint->config.own_schedule = false;
	if (!isnull)
		endpoint_load_schedule(endpoint, d);
	d = spi_statement_value(0, Anum_config_deactivated_at, &isnull);
	endpoint->config.deactivated_at = isnull ? DT_NOEND : DatumGetTimestampTz(d);
	updated_at = DatumGetTimestampTz(spi_statement_value(0, Anum_config_updated_at, &isnull));
	if (endpoint->config.updated_at != updated_at)
		endpoint->state.batch_limit = 0;
	endpoint->config.updated_at = updated_at;
	d = spi_statement_value(0, Anum_config_discarded, &isnull);
	endpoint->config.discarded = isnull ? NULL : xid_set_from_datum(d, TopMemoryContext);
	endpoint->config.app = endpoint_column_text(Anum_config_app);
	endpoint->config.name = endpoint_column_text(Anum_config_name);
	d = spi_statement_value(0, Anum_config_rate_limit, &isnull);
	endpoint->config.rate_limit = isnull ? 0 : DatumGetInt32(d);
	endpoint->config.integration = endpoint_column_text(Anum_config_integration);
	endpoint->config.transform = endpoint_column_text(Anum_config_transform);
	d = spi_statement_value(0, Anum_config_template, &isnull);
	endpoint->config.template = isnull ? NULL : template_compile(DatumGetJsonbPCopy(d));
	endpoint->config.previous = endpoint_parse_previous(endpoint_column_text(Anum_config_previous));
	d = spi_statement_value(0, Anum_config_batch_size, &isnull);
	endpoint->config.batch_size = isnull ? 0 : DatumGetInt32(d);
	d = spi_statement_value(0, Anum_config_batch_wait, &isnull);
	endpoint->config.batch_wait = isnull ? 0 : DatumGetInt64(d);
	endpoint_load_no_retry(endpoint);
	endpoint->state.handshake.wanted = DatumGetBool(spi_statement_value(0, Anum_config_handshake, &isnull));
	endpoint->state.challenge.wanted = DatumGetBool(spi_statement_value(0, Anum_config_challenge, &isnull));
	endpoint->state.route_known = 0;
	endpoint_load_activation(endpoint);
	endpoint_set_pace(endpoint);
	endpoint_load_token(endpoint);
}

/* Load the health of the endpoint, as it was recorded last. */
static void
endpoint_load_health(Endpoint *endpoint)
{
	Datum		values[1] = {Int64GetDatum(endpoint->id)};
	Health	   *health = &endpoint->state.health;
	bool		isnull;
	Datum		d;

	memset(health, 0, sizeof(*health));
	endpoint->state.health_known = true;
	if (spi_statement_execute(&endpoint_health_statement, values, NULL) == 0)
		return;
	health->failures = DatumGetInt32(spi_statement_value(0, Anum_health_failures, &isnull));
	d = spi_statement_value(0, Anum_health_failing_since, &isnull);
	health->failing_since = isnull ? 0 : DatumGetTimestampTz(d);
	health->probes = DatumGetInt32(spi_statement_value(0, Anum_health_probes, &isnull));
	d = spi_statement_value(0, Anum_health_next_probe_at, &isnull);
	health->failing = !isnull;
	health->next_probe_at = isnull ? 0 : DatumGetTimestampTz(d);
	health->ramp = health->failing ? 1 : 0;
	health->warned = DatumGetInt32(spi_statement_value(0, Anum_health_warned, &isnull));
}

bool
endpoint_discards(const Endpoint *endpoint, uint64 xid)
{
	return endpoint->config.discarded != NULL && xid != 0 && xid_set_contains(endpoint->config.discarded, xid);
}

void
endpoint_refresh(Endpoint *endpoint)
{
	uint64		generation = catalog_generation();
	bool		was_active = endpoint->config.active;
	Token	   *former_token = endpoint->config.token;
	Datum		values[1];

	if (endpoint->config.generation == generation)
		return;

	endpoint_free_signature(endpoint);
	xid_set_release(endpoint->config.discarded);
	endpoint->config.discarded = NULL;
	if (endpoint->config.context == NULL)
		endpoint->config.context = AllocSetContextCreate(endpoint_context, "webhook endpoint",
														 ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(endpoint->config.context);

	values[0] = Int64GetDatum(endpoint->id);
	endpoint->config.exists = spi_statement_execute(&endpoint_load_statement, values, NULL) > 0;
	endpoint->config.active = endpoint->config.buffering = false;
	endpoint->state.handshake.wanted = endpoint->state.challenge.wanted = false;
	endpoint->config.problem = endpoint->config.integration = endpoint->config.transform = NULL;
	endpoint->config.template = NULL;
	endpoint->config.previous = PREVIOUS_NONE;
	endpoint->config.batch_size = 0;
	endpoint->config.token = NULL;
	if (endpoint->config.exists)
	{
		MemoryContext old = MemoryContextSwitchTo(endpoint->config.context);

		endpoint->config.known = true;
		endpoint_load_row(endpoint);
		MemoryContextSwitchTo(old);
		if (!endpoint->state.health_known)
			endpoint_load_health(endpoint);
		else if (endpoint->config.active && !was_active)
		{
			/* Activated again: start with one request at a time. */
			memset(&endpoint->state.health, 0, sizeof(endpoint->state.health));
			endpoint->state.health.ramp = 1;
		}
	}
	token_release(former_token);	/* only now, as it may be the same */
	if (endpoint->config.token != former_token)
	{
		endpoint->state.awaits_token = endpoint->state.token_denied = false;
		endpoint->state.token_refused_at = 0;
	}

	/* The problem may have been solved by the next attempt. */
	endpoint->config.generation = endpoint->config.problem != NULL ? 0 : generation;
}

Endpoint *
endpoint_get(int64 id)
{
	bool		found;
	Endpoint   *endpoint = hash_search(endpoint_table, &id, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) endpoint + sizeof(int64), 0, sizeof(Endpoint) - sizeof(int64));
		dlist_init(&endpoint->queue.ready);
		dlist_init(&endpoint->queue.all);
	}
	endpoint_refresh(endpoint);
	if (!found)
		endpoint_mark_seen(endpoint);
	return endpoint;
}

void
endpoint_note_deactivated(Endpoint *endpoint)
{
	endpoint->config.active = false;
	endpoint->config.buffering = true;
	endpoint->config.deactivated_at = clock_now();
}

static void
endpoint_forget(Endpoint *endpoint)
{
	endpoint->config.generation = endpoint->config.seen.generation = 0;
}

void
endpoint_forget_all(void)
{
	endpoint_foreach(endpoint_forget);
}

void
endpoint_foreach(void (*callback) (Endpoint *endpoint))
{
	HASH_SEQ_STATUS status;
	Endpoint   *endpoint;

	hash_seq_init(&status, endpoint_table);
	while ((endpoint = hash_seq_search(&status)) != NULL)
		callback(endpoint);
}

void
endpoint_trim(void)
{
	TimestampTz now = clock_now();
	HASH_SEQ_STATUS status;
	Endpoint   *endpoint;

	if (hash_get_num_entries(endpoint_table) <= MAX_IDLE_ENDPOINTS)
		return;
	hash_seq_init(&status, endpoint_table);
	while ((endpoint = hash_seq_search(&status)) != NULL)
	{
		if (endpoint->queue.in_memory > 0 || endpoint->stats.dirty || endpoint->spill.backlog ||
			endpoint->spill.replay != NULL ||
			endpoint->state.in_probe_queue || endpoint->spill.drop_pending || endpoint->pending.warning > 0 ||
			endpoint->pending.token_problem != NULL || endpoint->pending.refused ||
			endpoint->pending.deactivate != NULL || endpoint->spill.suspend_pending || endpoint->queue.next_send_at > now)
			continue;
		endpoint_free_signature(endpoint);
		handshake_forget(&endpoint->state.handshake);
		challenge_forget(&endpoint->state.challenge);
		token_release(endpoint->config.token);
		xid_set_release(endpoint->config.discarded);
		if (endpoint->stats.last_error != NULL)
			free(endpoint->stats.last_error);
		activity_free(&endpoint->stats.activity);
		if (endpoint->prepare.reported_faults != NULL)
			free(endpoint->prepare.reported_faults);
		if (endpoint->config.context != NULL)
			MemoryContextDelete(endpoint->config.context);
		hash_search(endpoint_table, &endpoint->id, HASH_REMOVE, NULL);
	}
}

bool
endpoint_is_sendable(const Endpoint *endpoint)
{
	return endpoint->config.exists && endpoint->config.active && endpoint->pending.deactivate == NULL;
}

bool
endpoint_is_working(const Endpoint *endpoint)
{
	return endpoint_is_sendable(endpoint) && !endpoint->state.health.failing;
}

int
endpoint_batch_size(const Endpoint *endpoint)
{
	int			limit = endpoint->state.batch_limit;

	return limit > 0 ? Min(limit, endpoint->config.batch_size) : endpoint->config.batch_size;
}

void
endpoint_batch_refused(Endpoint *endpoint, int size)
{
	Assert(size > 1);
	endpoint->state.batch_limit = Min(endpoint_batch_size(endpoint), size / 2);
	endpoint->state.batch_successes = 0;
}

void
endpoint_batch_accepted(Endpoint *endpoint, int size)
{
	if (endpoint->state.batch_limit == 0 || size < endpoint->state.batch_limit ||
		++endpoint->state.batch_successes < BATCH_SUCCESSES)
		return;
	endpoint->state.batch_limit *= 2;
	endpoint->state.batch_successes = 0;
	if (endpoint->state.batch_limit >= endpoint->config.batch_size)
		endpoint->state.batch_limit = 0;
}

const RetrySchedule *
endpoint_schedule(const Endpoint *endpoint)
{
	return endpoint->config.own_schedule ? &endpoint->config.schedule : settings_retry_schedule();
}
