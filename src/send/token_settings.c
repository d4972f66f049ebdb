/*-------------------------------------------------------------------------
 *
 * token_settings.c
 *		Settings for requesting an access token: compare, copy, encode as a request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "base/settings.h"
#include "base/wire.h"
#include "pure/token_answer.h"
#include "pure/url.h"
#include "send/token_settings.h"

/* A hash of texts, each with its NUL; one that is missing differs from "". */
static void
token_settings_hash(const char *const *texts, int n, unsigned char *out)
{
	Hmac	   *hmac = hmac_create(HMAC_SHA256, "webhook", strlen("webhook"));
	bool		done = hmac != NULL && hmac_begin(hmac);

	for (int i = 0; i < n && done; i++)
		done = hmac_add(hmac, texts[i] != NULL ? "+" : "-", 1) &&
			(texts[i] == NULL || hmac_add(hmac, texts[i], strlen(texts[i]) + 1));
	done = done && hmac_finish(hmac, out);
	hmac_free(hmac);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not compute a hash")));
}

void
token_settings_key(const TokenSettings *settings, unsigned char *digest)
{
	const char *texts[] = {
		psprintf("%u", settings->owner),
		settings->token_url, settings->client_id, settings->client_secret, settings->refresh_token,
		settings->refresh_reference, settings->scope, settings->audience, settings->client_cert,
		settings->client_key, settings->ca_cert, settings->in_body ? "body" : "basic"
	};

	token_settings_hash(texts, lengthof(texts), digest);
}

void
token_settings_refresh_key(const TokenSettings *settings, char *key)
{
	const char *texts[] = {settings->token_url, settings->client_id, settings->refresh_token};
	unsigned char digest[HMAC_MAX_BYTES];

	key[0] = '\0';
	if (settings->refresh_token == NULL)
		return;
	token_settings_hash(texts, lengthof(texts), digest);
	for (int i = 0; i < lengthof(digest); i++)
		snprintf(key + 2 * i, 3, "%02x", digest[i]);
}

static char *
token_settings_copy_text(const char *text)
{
	return text != NULL ? pstrdup(text) : NULL;
}

void
token_settings_copy(const TokenSettings *settings, TokenSettings *copy, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	copy->owner = settings->owner;
	copy->token_url = token_settings_copy_text(settings->token_url);
	copy->client_id = token_settings_copy_text(settings->client_id);
	copy->client_secret = token_settings_copy_text(settings->client_secret);
	copy->refresh_token = token_settings_copy_text(settings->refresh_token);
	copy->refresh_reference = token_settings_copy_text(settings->refresh_reference);
	copy->scope = token_settings_copy_text(settings->scope);
	copy->audience = token_settings_copy_text(settings->audience);
	copy->client_cert = token_settings_copy_text(settings->client_cert);
	copy->client_key = token_settings_copy_text(settings->client_key);
	copy->ca_cert = token_settings_copy_text(settings->ca_cert);
	copy->in_body = settings->in_body;
	MemoryContextSwitchTo(old);
}

/* Percent-encode a text of any length. */
static char *
token_settings_encode(const char *value)
{
	const char *wire = wire_from_server(value);
	size_t		size = 3 * strlen(wire) + 1;
	char	   *encoded = palloc(size);

	(void) url_encode(wire, encoded, size);
	return encoded;
}

static void
token_settings_append_pair(StringInfo body, const char *name, const char *value)
{
	if (value != NULL)
		appendStringInfo(body, "%s%s=%s", body->len > 0 ? "&" : "", name, token_settings_encode(value));
}

/* The name and the password of basic authentication are percent-encoded first, which the standard demands. */
static char *
token_settings_basic_header(const TokenSettings *settings)
{
	StringInfoData pair;
	StringInfoData header;

	initStringInfo(&pair);
	appendStringInfo(&pair, "%s:%s", token_settings_encode(settings->client_id), token_settings_encode(settings->client_secret));
	initStringInfo(&header);
	appendStringInfoString(&header, "Authorization: Basic ");
	enlargeStringInfo(&header, pair.len / 3 * 4 + 5);	/* with a NUL */
	header.len += EVP_EncodeBlock((unsigned char *) header.data + header.len, (unsigned char *) pair.data, pair.len);
	return header.data;
}

void
token_settings_build_request(const TokenSettings *settings, const char *refresh_token, HttpRequest *request,
							 const char **headers)
{
	bool		basic = settings->client_secret != NULL && !settings->in_body;
	StringInfoData body;

	initStringInfo(&body);
	token_settings_append_pair(&body, "grant_type", refresh_token != NULL ? "refresh_token" : "client_credentials");
	token_settings_append_pair(&body, "refresh_token", refresh_token);
	token_settings_append_pair(&body, "scope", settings->scope);
	token_settings_append_pair(&body, "audience", settings->audience);
	if (!basic)
		token_settings_append_pair(&body, "client_id", settings->client_id);
	if (settings->in_body)
		token_settings_append_pair(&body, "client_secret", settings->client_secret);

	memset(request, 0, sizeof(*request));
	headers[request->nheaders++] = "Content-Type: application/x-www-form-urlencoded";
	headers[request->nheaders++] = "Accept: application/json";
	headers[request->nheaders++] = "User-Agent: webhook/" WEBHOOK_VERSION " (PostgreSQL)";
	if (basic)
		headers[request->nheaders++] = token_settings_basic_header(settings);
	Assert(request->nheaders <= TOKEN_SETTINGS_MAX_HEADERS);
	request->method = "POST";
	request->url = settings->token_url;
	request->headers = headers;
	request->body = body.data;
	request->body_len = body.len;
	request->timeout_ms = webhook_timeout;
	request->max_response = TOKEN_ANSWER_MAX;
	request->client_cert = settings->client_cert;
	request->client_key = settings->client_key;
	request->ca_cert = settings->ca_cert;
}
