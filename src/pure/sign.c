/*-------------------------------------------------------------------------
 *
 * sign.c
 *		Standard Webhooks signatures.
 *
 * A key is created once and used for all messages of a webhook.  Ed25519 requires
 * the message in one piece, for which its key keeps a buffer.  Memory is allocated
 * by OpenSSL, which clears it when it is freed.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/sign.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "pure/hmac.h"

#define HMAC_PREFIX		"whsec_"
#define ED25519_PREFIX	"whsk_"
#define PUBLIC_PREFIX	"whpk_"

#define ED25519_BYTES	SIGN_SEED_BYTES /* of the seed, and of the public key */
#define ED25519_SIGNATURE_BYTES 64

/* Maximum size of a decoded key. */
#define MAX_KEY_BYTES	64

/* "." and a 64-bit number in decimal and "." */
#define TIMESTAMP_SIZE	24

/* A larger buffer is freed after use, since most messages are small. */
#define KEPT_BUFFER_BYTES	(64 * 1024)

struct SignKey
{
	SignKind	kind;
	SignKey    *next;			/* in the list, or NULL */

	Hmac	   *hmac;			/* SIGN_HMAC_SHA256 */

	/* SIGN_ED25519 */
	EVP_PKEY   *pkey;
	EVP_MD_CTX *md;
	unsigned char public_key[ED25519_BYTES];
	char	   *buffer;			/* the message in one piece */
	size_t		buffer_size;
};

/* A part of the message to be signed. */
typedef struct Part
{
	const void *data;
	size_t		len;
} Part;

#define MESSAGE_PARTS	3		/* id, ".timestamp.", body */

static bool
sign_is_base64_digit(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c >= '0' && c <= '9') || c == '+' || c == '/';
}

/*
 * Decode base64 with padding.  out has room for MAX_KEY_BYTES; returns how
 * many bytes there are, or 0 when the text is empty, malformed or longer.
 */
static size_t
sign_decode_base64(const char *text, unsigned char *out)
{
	/* OpenSSL writes whole groups of three. */
	unsigned char decoded[(MAX_KEY_BYTES + 2) / 3 * 3];
	size_t		len = strlen(text);
	size_t		digits = 0;
	size_t		padding;
	size_t		size;

	while (sign_is_base64_digit(text[digits]))
		digits++;
	padding = strspn(text + digits, "=");
	if (len == 0 || digits + padding != len || padding > 2 || len % 4 != 0)
		return 0;

	size = len / 4 * 3 - padding;
	if (size > MAX_KEY_BYTES || EVP_DecodeBlock(decoded, (const unsigned char *) text, (int) len) < 0)
		return 0;
	memcpy(out, decoded, size);
	OPENSSL_cleanse(decoded, sizeof(decoded));
	return size;
}

/* Write bytes as base64, with a NUL; returns the number of characters. */
static size_t
sign_encode_base64(const unsigned char *bytes, size_t len, char *out)
{
	return (size_t) EVP_EncodeBlock((unsigned char *) out, bytes, (int) len);
}

static bool
sign_hmac_sign(SignKey *key, const Part *parts, int nparts, unsigned char *out)
{
	if (!hmac_begin(key->hmac))
		return false;
	for (int i = 0; i < nparts; i++)
	{
		if (!hmac_add(key->hmac, parts[i].data, parts[i].len))
			return false;
	}
	return hmac_finish(key->hmac, out);
}

/* Set up an ed25519 key from its seed and public key; false when they do not belong together. */
static bool
sign_ed25519_prepare(SignKey *key, const unsigned char *bytes)
{
	size_t		len = sizeof(key->public_key);

	key->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes, ED25519_BYTES);
	key->md = EVP_MD_CTX_new();
	return key->pkey != NULL && key->md != NULL &&
		EVP_PKEY_get_raw_public_key(key->pkey, key->public_key, &len) == 1 &&
		memcmp(key->public_key, bytes + ED25519_BYTES, ED25519_BYTES) == 0;
}

/* Put the parts together in the key's buffer; false when memory is short. */
static bool
sign_join_parts(SignKey *key, const Part *parts, int nparts, size_t *len)
{
	size_t		at = 0;

	*len = 0;
	for (int i = 0; i < nparts; i++)
		*len += parts[i].len;

	if (*len > key->buffer_size)
	{
		OPENSSL_free(key->buffer);
		key->buffer = OPENSSL_malloc(*len);
		key->buffer_size = key->buffer != NULL ? *len : 0;
		if (key->buffer == NULL)
			return false;
	}
	for (int i = 0; i < nparts; i++)
	{
		if (parts[i].len > 0)
			memcpy(key->buffer + at, parts[i].data, parts[i].len);
		at += parts[i].len;
	}
	return true;
}

static bool
sign_ed25519_sign(SignKey *key, const Part *parts, int nparts, unsigned char *out)
{
	size_t		out_len = ED25519_SIGNATURE_BYTES;
	size_t		len;
	bool		ok;

	if (!sign_join_parts(key, parts, nparts, &len))
		return false;

	/* The context can be used for one signature only. */
	ok = EVP_MD_CTX_reset(key->md) == 1 &&
		EVP_DigestSignInit(key->md, NULL, NULL, NULL, key->pkey) == 1 &&
		EVP_DigestSign(key->md, out, &out_len, (const unsigned char *) key->buffer, len) == 1 &&
		out_len == ED25519_SIGNATURE_BYTES;

	if (key->buffer_size > KEPT_BUFFER_BYTES)
	{
		OPENSSL_free(key->buffer);
		key->buffer = NULL;
		key->buffer_size = 0;
	}
	return ok;
}

/* Fill in a key of the kind that text begins with; returns what is wrong, or NULL. */
static const char *
sign_prepare_key(SignKey *key, const char *text)
{
	size_t		len;

	if (strncmp(text, HMAC_PREFIX, strlen(HMAC_PREFIX)) == 0)
	{
		unsigned char secret[MAX_KEY_BYTES];

		key->kind = SIGN_HMAC_SHA256;
		len = sign_decode_base64(text + strlen(HMAC_PREFIX), secret);
		if (len < SIGN_MIN_SECRET_BYTES)
			return "the secret is not base64 of 24 to 64 bytes";
		key->hmac = hmac_create(HMAC_SHA256, secret, len);
		OPENSSL_cleanse(secret, sizeof(secret));
		return key->hmac != NULL ? NULL : "OpenSSL cannot compute HMAC-SHA256";
	}
	if (strncmp(text, ED25519_PREFIX, strlen(ED25519_PREFIX)) == 0)
	{
		unsigned char bytes[MAX_KEY_BYTES];
		bool		ok;

		key->kind = SIGN_ED25519;
		len = sign_decode_base64(text + strlen(ED25519_PREFIX), bytes);
		if (len != 2 * ED25519_BYTES)
			return "the private key is not base64 of 64 bytes";
		ok = sign_ed25519_prepare(key, bytes);
		OPENSSL_cleanse(bytes, sizeof(bytes));
		return ok ? NULL : "the private key and its public key do not belong together";
	}
	return "the secret does not begin with \"whsec_\" or \"whsk_\"";
}

/* Create one key from the first len bytes of a text. */
static SignKey *
sign_create_one(const char *text, size_t len, const char **error)
{
	SignKey    *key = OPENSSL_zalloc(sizeof(SignKey));
	char	   *copy = OPENSSL_strndup(text, len);

	*error = key != NULL && copy != NULL ? sign_prepare_key(key, copy) : "out of memory";
	if (copy != NULL)
		OPENSSL_clear_free(copy, len);
	if (*error == NULL)
		return key;

	/* Other users of OpenSSL must not find our errors in its queue. */
	ERR_clear_error();
	sign_key_free(key);
	return NULL;
}

SignKey *
sign_key_create(const char *text, const char **error)
{
	SignKey    *first = NULL;
	SignKey   **last = &first;

	for (int n = 0;; n++)
	{
		size_t		len = strcspn(text, " ");

		*error = "there are too many keys";
		if (n < SIGN_MAX_KEYS)
			*last = sign_create_one(text, len, error);
		if (*last == NULL)
		{
			sign_key_free(first);
			return NULL;
		}
		if (text[len] == '\0')
			return first;
		text += len + 1;

		last = &(*last)->next;
	}
}

void
sign_key_free(SignKey *key)
{
	while (key != NULL)
	{
		SignKey    *next = key->next;

		hmac_free(key->hmac);
		EVP_MD_CTX_free(key->md);
		EVP_PKEY_free(key->pkey);
		OPENSSL_free(key->buffer);
		OPENSSL_clear_free(key, sizeof(SignKey));
		key = next;
	}
}

bool
sign_key_has(const SignKey *key, SignKind kind)
{
	while (key != NULL && key->kind != kind)
		key = key->next;
	return key != NULL;
}

/* Write one signature; returns its length, 0 if OpenSSL fails. */
static size_t
sign_one(SignKey *key, const Part *parts, char *out)
{
	const char *version = key->kind == SIGN_HMAC_SHA256 ? "v1," : "v1a,";
	unsigned char signature[ED25519_SIGNATURE_BYTES];
	size_t		len = strlen(version);

	memcpy(out, version, len);
	if (key->kind == SIGN_HMAC_SHA256 && sign_hmac_sign(key, parts, MESSAGE_PARTS, signature))
		return len + sign_encode_base64(signature, hmac_bytes(HMAC_SHA256), out + len);
	if (key->kind == SIGN_ED25519 && sign_ed25519_sign(key, parts, MESSAGE_PARTS, signature))
		return len + sign_encode_base64(signature, ED25519_SIGNATURE_BYTES, out + len);
	ERR_clear_error();
	return 0;
}

size_t
sign_message(SignKey *key, const char *id, int64_t timestamp,
			 const char *body, size_t body_len, char *out)
{
	char		middle[TIMESTAMP_SIZE];
	int			middle_len = snprintf(middle, sizeof(middle), ".%" PRId64 ".", timestamp);
	const Part	parts[MESSAGE_PARTS] = {
		{id, strlen(id)},
		{middle, (size_t) middle_len},
		{body, body_len}
	};
	size_t		at = 0;

	for (; key != NULL; key = key->next)
	{
		size_t		len;

		if (at > 0)
			out[at++] = ' ';
		len = sign_one(key, parts, out + at);
		if (len == 0)
		{
			out[0] = '\0';
			return 0;
		}
		at += len;
	}
	return at;
}

void
sign_format_secret(const unsigned char *bytes, size_t len, char *out)
{
	memcpy(out, HMAC_PREFIX, strlen(HMAC_PREFIX));
	sign_encode_base64(bytes, len, out + strlen(HMAC_PREFIX));
}

bool
sign_format_private_key(const unsigned char *seed, char *out)
{
	EVP_PKEY   *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_BYTES);
	unsigned char bytes[2 * ED25519_BYTES];
	size_t		len = ED25519_BYTES;
	bool		ok;

	memcpy(bytes, seed, ED25519_BYTES);
	ok = pkey != NULL && EVP_PKEY_get_raw_public_key(pkey, bytes + ED25519_BYTES, &len) == 1;
	if (ok)
	{
		memcpy(out, ED25519_PREFIX, strlen(ED25519_PREFIX));
		sign_encode_base64(bytes, sizeof(bytes), out + strlen(ED25519_PREFIX));
	}
	EVP_PKEY_free(pkey);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return ok;
}

bool
sign_public_key(const SignKey *key, char *out)
{
	while (key != NULL && key->kind != SIGN_ED25519)
		key = key->next;
	if (key == NULL)
		return false;
	memcpy(out, PUBLIC_PREFIX, strlen(PUBLIC_PREFIX));
	sign_encode_base64(key->public_key, ED25519_BYTES, out + strlen(PUBLIC_PREFIX));
	return true;
}
