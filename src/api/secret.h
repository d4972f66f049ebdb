/*-------------------------------------------------------------------------
 *
 * secret.h
 *		The secret of a webhook, and the signatures that are made with it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SECRET_H
#define WEBHOOK_SECRET_H

#include "utils/jsonb.h"

#define SECRET_HINT \
	"Specify \"whsec_\" and 24 to 64 bytes in base64, \"whsk_\" and an ed25519 key in base64, or up to 4 of these " \
	"separated by single spaces; \"v1\" and \"v1a\" generate one of each kind. " \
	"Without \"standard\" in \"signature\", any printable text is allowed."

#define SIGNATURE_HINT \
	"Specify \"standard\", \"github\", \"stripe\", \"shopify\" or header templates such as " \
	"'X-Signature: t={timestamp},v={hmac_sha256_hex:{timestamp}.{body}}', separated by newlines, or \"none\"."

/*
 * The secret to store for a webhook with these signatures; NULL is the default.  What is generated depends on
 * them, and what is allowed.
 */
extern Datum secret_for_signature(Datum secret, const char *signature);

/*
 * Does a stored secret fit the signatures, and are no headers of theirs among the
 * webhook's own?  Raises an error if not.
 */
extern void secret_require_signature(const char *secret, const char *signature, Jsonb *headers);

#endif							/* WEBHOOK_SECRET_H */
