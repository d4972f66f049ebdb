/*-------------------------------------------------------------------------
 *
 * oauth.c
 *		How a webhook gets its access tokens: the argument "oauth".
 *
 * What is accepted here can be sent to the token server, see send/token.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netdb.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "api/check.h"
#include "api/oauth.h"
#include "base/argument.h"
#include "base/as_owner.h"
#include "base/secret_file.h"
#include "base/settings.h"
#include "pure/netguard.h"
#include "pure/signature.h"
#include "pure/url.h"
#include "send/token_settings.h"

#define AUTHORIZATION		"Authorization"

static const char *const oauth_names[OAUTH_PARTS] = {
	"token_url", "grant", "client_id", "client_secret", "refresh_token", "scope", "audience", "auth"
};


static OauthPart
oauth_find_part(const Field *field, const JsonbValue *key)
{
	for (int i = 0; i < OAUTH_PARTS; i++)
		if (strlen(oauth_names[i]) == key->val.string.len &&
			memcmp(oauth_names[i], key->val.string.val, key->val.string.len) == 0)
			return i;
	check_refuse(field, psprintf("unknown key \"%s\"", argument_excerpt(key->val.string.val, key->val.string.len)));
	pg_unreachable();
}

/* Is the host an address, in any spelling, to which nothing may be sent?  Names are judged when they are resolved. */
static bool
oauth_is_private(const char *url)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST,.ai_socktype = SOCK_STREAM};
	struct addrinfo *addresses;
	char		host[URL_MAX_HOST + 1];
	bool		allowed = true;

	url_host(url, host, sizeof(host));
	if (getaddrinfo(host, NULL, &hints, &addresses) != 0)
		return false;
	for (struct addrinfo *a = addresses; a != NULL; a = a->ai_next)
		allowed &= netguard_allows(settings_allowed_networks(), a->ai_addr, a->ai_addrlen);
	freeaddrinfo(addresses);
	return !allowed;
}

static void
oauth_check_url(const Field *field, const char *url)
{
	const char *problem = url_check(url);

	if (problem == NULL && strchr(url, '{') != NULL)
		problem = "the URL has a placeholder";
	if (problem != NULL)
		check_refuse(field, psprintf("\"%s\": %s", oauth_names[OAUTH_TOKEN_URL], problem));
	if (oauth_is_private(url))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", field->name),
				 errdetail("The address in \"%s\" is not allowed.", oauth_names[OAUTH_TOKEN_URL]),
				 errhint("Specify a public address, or add it to webhook.allowed_networks first.")));
}

static void
oauth_check_one_of(const Field *field, OauthPart part, const char *value, const char *one, const char *other)
{
	if (strcmp(value, one) != 0 && strcmp(value, other) != 0)
		check_refuse(field, psprintf("\"%s\" is neither \"%s\" nor \"%s\"", oauth_names[part], one, other));
}

static void
oauth_check_secret(const Field *field, OauthPart part, const char *value)
{
	if (strcmp(value, "***") == 0)
		check_refuse(field, psprintf("\"%s\": *** stands for a value that is not shown", oauth_names[part]));
	(void) check_file_reference(field, value, psprintf("\"%s\": ", oauth_names[part]));
}

static char *
oauth_check_part(const Field *field, OauthPart part, const JsonbValue *json)
{
	const char *name = oauth_names[part];
	char	   *value;

	if (json->type != jbvString)
		check_refuse(field, psprintf("\"%s\" is not a string", name));
	value = pnstrdup(json->val.string.val, json->val.string.len);
	if (*value == '\0')
		check_refuse(field, psprintf("\"%s\" is empty", name));
	if (check_has_control_character(value))
		check_refuse(field, psprintf("\"%s\" contains a line break or another control character", name));
	if (part == OAUTH_TOKEN_URL)
		oauth_check_url(field, value);
	else if (strlen(value) > TOKEN_MAX_PART)
		check_refuse(field, psprintf("\"%s\" is too long", name));
	else if (part == OAUTH_GRANT)
		oauth_check_one_of(field, part, value, "client_credentials", "refresh_token");
	else if (part == OAUTH_AUTH)
		oauth_check_one_of(field, part, value, "basic", "body");
	else if (part == OAUTH_CLIENT_SECRET || part == OAUTH_REFRESH_TOKEN)
		oauth_check_secret(field, part, value);
	return value;
}

/* Is everything there that the grant needs, and nothing else?  Public clients have no secret. */
static void
oauth_check_complete(const Field *field, char *const *parts)
{
	static const OauthPart always[] = {OAUTH_TOKEN_URL, OAUTH_GRANT, OAUTH_CLIENT_ID};
	bool		refresh;

	for (int i = 0; i < lengthof(always); i++)
		if (parts[always[i]] == NULL)
			check_refuse(field, psprintf("\"%s\" is missing", oauth_names[always[i]]));
	refresh = strcmp(parts[OAUTH_GRANT], "refresh_token") == 0;
	if (refresh && parts[OAUTH_REFRESH_TOKEN] == NULL)
		check_refuse(field, "\"refresh_token\" is missing");
	if (!refresh && parts[OAUTH_REFRESH_TOKEN] != NULL)
		check_refuse(field, "\"refresh_token\" is not used with the grant \"client_credentials\"");
	if (parts[OAUTH_CLIENT_SECRET] == NULL && !refresh)
		check_refuse(field, "\"client_secret\" is missing");
}

Datum
check_oauth(const Field *field, Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);
	char	   *parts[OAUTH_PARTS] = {NULL};
	OauthPart	part = OAUTH_PARTS;
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		check_refuse(field, "it is not a JSON object");
	it = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			part = oauth_find_part(field, &v);
		else if (token == WJB_VALUE)
			parts[part] = oauth_check_part(field, part, &v);
	}
	oauth_check_complete(field, parts);
	return value;
}

static bool
oauth_has_header(Jsonb *headers)
{
	JsonbIterator *it = JsonbIteratorInit(&headers->root);
	JsonbValue	v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY && v.val.string.len == strlen(AUTHORIZATION) &&
			pg_strncasecmp(v.val.string.val, AUTHORIZATION, v.val.string.len) == 0)
			return true;
	return false;
}

void
oauth_require_no_authorization(bool isnull, const char *signature, Jsonb *headers)
{
	const char *argument = NULL;
	const char *problem;
	Signature  *compiled;
	int			line;

	if (isnull)
		return;
	compiled = signature_compile(signature, &line, &problem);
	if (oauth_has_header(headers))
		argument = "headers";
	else if (compiled != NULL && signature_has_header(compiled, AUTHORIZATION))
		argument = "signature";
	signature_free(compiled);
	if (argument != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("header \"%s\" is in argument \"%s\", and is set by \"oauth\"", AUTHORIZATION, argument),
				 errhint("Remove it from \"%s\", or set \"oauth\" to NULL.", argument)));
}

void
oauth_pass_on_replaced(int64 webhook_id)
{
	/* What a file contains is not known here. */
	as_owner_execute_for_id("UPDATE webhook.refresh_token SET webhook_id = heir.id"
							" FROM (SELECT o.id FROM webhook.webhook AS w JOIN webhook.webhook AS o ON o.owner = w.owner AND o.id <> w.id"
							"   AND o.oauth -> 'token_url' = w.oauth -> 'token_url' AND o.oauth -> 'client_id' = w.oauth -> 'client_id'"
							"  WHERE w.id = $1 AND o.oauth ? 'refresh_token' AND (o.oauth -> 'refresh_token' = w.oauth -> 'refresh_token'"
							"   OR o.oauth ->> 'refresh_token' LIKE 'file:%' OR w.oauth ->> 'refresh_token' LIKE 'file:%')"
							"  ORDER BY o.oauth -> 'refresh_token' = w.oauth -> 'refresh_token' DESC, o.id DESC LIMIT 1) AS heir"
							" WHERE webhook_id = $1", SPI_OK_UPDATE, webhook_id);
	as_owner_execute_for_id("DELETE FROM webhook.refresh_token WHERE webhook_id = $1", SPI_OK_DELETE, webhook_id);
}

void
oauth_forget_replaced(int64 webhook_id, Datum oauth, bool isnull)
{
	Oid			types[] = {INT8OID, JSONBOID};
	Datum		values[] = {Int64GetDatum(webhook_id), oauth};
	bool		nulls[] = {false, isnull};

	/*
	 * A refresh token that is moved to a file, or from there, may be the
	 * same.
	 */
	if (as_owner_execute("SELECT FROM webhook.webhook AS w WHERE w.id = $1 AND"
						 " ((w.oauth -> 'token_url', w.oauth -> 'client_id') IS DISTINCT FROM ($2 -> 'token_url', $2 -> 'client_id')"
						 "  OR w.oauth -> 'refresh_token' IS DISTINCT FROM $2 -> 'refresh_token'"
						 "   AND (w.oauth ->> 'refresh_token' LIKE 'file:%') IS NOT TRUE AND ($2 ->> 'refresh_token' LIKE 'file:%') IS NOT TRUE)",
						 SPI_OK_SELECT, 2, types, values, nulls) > 0)
		oauth_pass_on_replaced(webhook_id);
}
