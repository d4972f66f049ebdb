/*-------------------------------------------------------------------------
 *
 * oauth.h
 *		How a webhook gets its access tokens: the argument "oauth".
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_OAUTH_H
#define WEBHOOK_OAUTH_H

#include "utils/jsonb.h"

#define OAUTH_HINT \
	"Specify an object with \"token_url\", an http or https URL, \"grant\", which is \"client_credentials\" or " \
	"\"refresh_token\", \"client_id\", \"client_secret\", with the latter grant \"refresh_token\", and optionally " \
	"\"scope\", \"audience\" and \"auth\", which is \"basic\" or \"body\"."

/*
 * Raise an error if the webhook has a token (oauth is not null), and an
 * Authorization header among its headers or signatures as well.
 */
extern void oauth_require_no_authorization(bool isnull, const char *signature, Jsonb *headers);

/*
 * The webhook's configuration is about to be changed to this one: forget the
 * refresh token that has replaced the configured one, unless that stays the same.
 */
extern void oauth_forget_replaced(int64 webhook_id, Datum oauth, bool isnull);

/* The webhook is about to be deleted: others that use the same refresh token get the one that has replaced it. */
extern void oauth_pass_on_replaced(int64 webhook_id);

#endif							/* WEBHOOK_OAUTH_H */
