/*-------------------------------------------------------------------------
 *
 * token_settings.h
 *		What an access token is requested with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TOKEN_SETTINGS_H
#define WEBHOOK_TOKEN_SETTINGS_H

#include "http/http.h"
#include "pure/hmac.h"

#define TOKEN_SETTINGS_MAX_HEADERS		4
#define TOKEN_SETTINGS_REFRESH_KEY_SIZE	(2 * HMAC_MAX_BYTES + 1)

#define TOKEN_MAX_PART	4000	/* bytes of a part of the settings, but
								 * certificates and the URL */

/* The keys of webhook.webhook.oauth, in the order in which endpoint_config.c reads them. */
typedef enum OauthPart
{
	OAUTH_TOKEN_URL,
	OAUTH_GRANT,
	OAUTH_CLIENT_ID,
	OAUTH_CLIENT_SECRET,
	OAUTH_REFRESH_TOKEN,
	OAUTH_SCOPE,
	OAUTH_AUDIENCE,
	OAUTH_AUTH,
	OAUTH_PARTS
} OauthPart;

/* The settings for requesting a token; unset members are NULL. */
typedef struct TokenSettings
{
	Oid			owner;			/* of the webhooks */
	const char *token_url;
	const char *client_id;
	const char *client_secret;
	const char *refresh_token;	/* NULL: the grant is client_credentials */
	const char *refresh_reference;	/* the same as it is configured, perhaps
									 * the name of a file */
	const char *scope;
	const char *audience;
	const char *client_cert;	/* PEM, as are the next two */
	const char *client_key;
	const char *ca_cert;
	bool		in_body;		/* credentials are sent in the body, not in a
								 * header */
} TokenSettings;

/* A hash of all settings, of HMAC_MAX_BYTES: equal ones share a token. */
extern void token_settings_key(const TokenSettings *settings, unsigned char *digest);

/*
 * A hash, in hexadecimal, of those settings for which a refresh token is valid; "" if there is
 * none.  The owner is not included.
 */
extern void token_settings_refresh_key(const TokenSettings *settings, char *key);

/* Copy the settings and their texts. */
extern void token_settings_copy(const TokenSettings *settings, TokenSettings *copy, MemoryContext context);

/*
 * Build the request for a token, with the current refresh token or NULL.  The texts are
 * allocated in the current context.  Raises an error if they contain characters that do not
 * exist in UTF-8.
 */
extern void token_settings_build_request(const TokenSettings *settings, const char *refresh_token,
										 HttpRequest *request, const char **headers);

#endif							/* WEBHOOK_TOKEN_SETTINGS_H */
