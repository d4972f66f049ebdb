/*-------------------------------------------------------------------------
 *
 * sign.h
 *		Standard Webhooks signatures.
 *
 * Pure: OpenSSL only, no backend state.  See https://www.standardwebhooks.com
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SIGN_H
#define WEBHOOK_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGN_SECRET_BYTES		24	/* of a generated secret */
#define SIGN_MIN_SECRET_BYTES	24	/* accepted from the user */
#define SIGN_MAX_SECRET_BYTES	64
#define SIGN_SEED_BYTES			32	/* of an ed25519 key */
#define SIGN_MAX_KEYS			4	/* in one list */
#define SIGN_MAX_TEXT			100 /* of one key or signature: prefix, base64
									 * of 64 bytes, NUL */
#define SIGN_MAX_SIGNATURE		(SIGN_MAX_KEYS * SIGN_MAX_TEXT)

typedef enum SignKind
{
	SIGN_HMAC_SHA256,			/* "whsec_...", v1 */
	SIGN_ED25519				/* "whsk_...", v1a */
} SignKind;

/* A key, or a list of keys, ready for use; holds OpenSSL contexts, so that a signature needs no set-up. */
typedef struct SignKey SignKey;

/*
 * Make a key from its text form: "whsec_<base64>" or "whsk_<base64>" (64
 * bytes: seed and public key), or several of these with single spaces between.
 * NULL on failure, *error then is a constant lower-case phrase.  Free with
 * sign_key_free (NULL is fine).
 */
extern SignKey *sign_key_create(const char *text, const char **error);
extern void sign_key_free(SignKey *key);

/* Does the list contain a key of this kind? */
extern bool sign_key_has(const SignKey *key, SignKind kind);

/*
 * Write "v1,<base64>" or "v1a,<base64>" over "id.timestamp.body", one for each
 * key with a space between, into out (at least SIGN_MAX_SIGNATURE bytes) and
 * return the length, 0 when OpenSSL fails.
 */
extern size_t sign_message(SignKey *key, const char *id, int64_t timestamp,
						   const char *body, size_t body_len, char *out);

/* Text form of raw key bytes: "whsec_" + base64.  out: at least SIGN_MAX_TEXT bytes. */
extern void sign_format_secret(const unsigned char *bytes, size_t len, char *out);

/* Text form of the ed25519 key with this seed of SIGN_SEED_BYTES random bytes; false if OpenSSL fails. */
extern bool sign_format_private_key(const unsigned char *seed, char *out);

/* "whpk_<base64>", the public half of the first ed25519 key; false if there is none. */
extern bool sign_public_key(const SignKey *key, char *out);

#endif							/* WEBHOOK_SIGN_H */
