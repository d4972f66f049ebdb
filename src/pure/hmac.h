/*-------------------------------------------------------------------------
 *
 * hmac.h
 *		HMAC with a key that is used for many messages.
 *
 * Pure: OpenSSL only, no backend state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_HMAC_H
#define WEBHOOK_HMAC_H

#include <stdbool.h>
#include <stddef.h>

#define HMAC_MAX_BYTES	32		/* of a result */

typedef enum HmacDigest
{
	HMAC_SHA1,
	HMAC_SHA256
} HmacDigest;

/* A key, ready for use. */
typedef struct Hmac Hmac;

/* The size of the result. */
extern size_t hmac_bytes(HmacDigest digest);

/* NULL if OpenSSL cannot compute it.  Free with hmac_free (NULL is fine). */
extern Hmac *hmac_create(HmacDigest digest, const void *secret, size_t len);
extern void hmac_free(Hmac *hmac);

/* A message is passed in any number of parts, none of which is copied.  False if OpenSSL fails. */
extern bool hmac_begin(Hmac *hmac);
extern bool hmac_add(Hmac *hmac, const void *data, size_t len);
extern bool hmac_finish(Hmac *hmac, unsigned char *out);

#endif							/* WEBHOOK_HMAC_H */
