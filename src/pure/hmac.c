/*-------------------------------------------------------------------------
 *
 * hmac.c
 *		HMAC with a key that is used for many messages.
 *
 * It keeps OpenSSL's context, so that an HMAC costs no more than its two hashes.
 * Memory is allocated by OpenSSL, which clears it when it is freed.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <string.h>

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#include <openssl/core_names.h>
#include <openssl/params.h>
#define HMAC_HAS_EVP_MAC 1
#else
#include <openssl/hmac.h>
#endif

struct Hmac
{
	HmacDigest	digest;
#ifdef HMAC_HAS_EVP_MAC
	EVP_MAC_CTX *context;
#else
	HMAC_CTX   *context;
#endif
	bool		rekey;			/* pass the secret for each message */
	unsigned char *secret;
	size_t		secret_len;
};


size_t
hmac_bytes(HmacDigest digest)
{
	return digest == HMAC_SHA1 ? 20 : 32;
}

static bool
hmac_create_context(Hmac *hmac)
{
#ifdef HMAC_HAS_EVP_MAC
	const char *name = hmac->digest == HMAC_SHA1 ? "SHA1" : "SHA256";
	OSSL_PARAM	params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *) name, 0),
		OSSL_PARAM_construct_end()
	};
	EVP_MAC    *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	if (mac == NULL)
		return false;
	hmac->context = EVP_MAC_CTX_new(mac);	/* keeps a reference to mac */
	EVP_MAC_free(mac);
	return hmac->context != NULL && EVP_MAC_CTX_set_params(hmac->context, params) == 1;
#else
	hmac->context = HMAC_CTX_new();
	return hmac->context != NULL;
#endif
}

bool
hmac_begin(Hmac *hmac)
{
	const unsigned char *secret = hmac->rekey ? hmac->secret : NULL;
	size_t		len = hmac->rekey ? hmac->secret_len : 0;

#ifdef HMAC_HAS_EVP_MAC
	return EVP_MAC_init(hmac->context, secret, len, NULL) == 1;
#else
	const EVP_MD *md = hmac->digest == HMAC_SHA1 ? EVP_sha1() : EVP_sha256();

	return HMAC_Init_ex(hmac->context, secret, (int) len, secret != NULL ? md : NULL, NULL) == 1;
#endif
}

bool
hmac_add(Hmac *hmac, const void *data, size_t len)
{
#ifdef HMAC_HAS_EVP_MAC
	return EVP_MAC_update(hmac->context, data, len) == 1;
#else
	return HMAC_Update(hmac->context, data, len) == 1;
#endif
}

bool
hmac_finish(Hmac *hmac, unsigned char *out)
{
	size_t		expected = hmac_bytes(hmac->digest);
#ifdef HMAC_HAS_EVP_MAC
	size_t		len;

	return EVP_MAC_final(hmac->context, out, &len, HMAC_MAX_BYTES) == 1 && len == expected;
#else
	unsigned int len;

	return HMAC_Final(hmac->context, out, &len) == 1 && len == expected;
#endif
}

static bool
hmac_probe(Hmac *hmac, unsigned char *out)
{
	return hmac_begin(hmac) && hmac_add(hmac, "probe", 5) && hmac_finish(hmac, out);
}

/*
 * Set up the context, and find out whether it can be reused without passing the
 * secret again.  Providers before OpenSSL 3.0.3 accept that without resetting the
 * context, so two signatures of the same data differ, or the second one fails.
 */
static bool
hmac_prepare(Hmac *hmac)
{
	unsigned char first[HMAC_MAX_BYTES];
	unsigned char again[HMAC_MAX_BYTES];

	hmac->rekey = true;
	if (!hmac_create_context(hmac) || !hmac_probe(hmac, first))
		return false;

	hmac->rekey = false;
	if (!hmac_probe(hmac, again) || memcmp(first, again, hmac_bytes(hmac->digest)) != 0)
		hmac->rekey = true;
	return true;
}

Hmac *
hmac_create(HmacDigest digest, const void *secret, size_t len)
{
	Hmac	   *hmac = OPENSSL_zalloc(sizeof(Hmac));

	if (hmac == NULL)
		return NULL;
	hmac->digest = digest;
	hmac->secret_len = len;
	hmac->secret = OPENSSL_memdup(secret, len);
	if (hmac->secret != NULL && hmac_prepare(hmac))
		return hmac;
	hmac_free(hmac);
	return NULL;
}

void
hmac_free(Hmac *hmac)
{
	if (hmac == NULL)
		return;
#ifdef HMAC_HAS_EVP_MAC
	EVP_MAC_CTX_free(hmac->context);
#else
	HMAC_CTX_free(hmac->context);
#endif
	OPENSSL_clear_free(hmac->secret, hmac->secret_len);
	OPENSSL_free(hmac);
}
