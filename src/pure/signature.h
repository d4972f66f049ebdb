/*-------------------------------------------------------------------------
 *
 * signature.h
 *		Signatures in headers of the receiver's choice.
 *
 * Pure: OpenSSL only, no backend state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SIGNATURE_H
#define WEBHOOK_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNATURE_MAX_TEXT		8192	/* bytes */
#define SIGNATURE_MAX_HEADERS	10
#define SIGNATURE_MAX_BODIES	8	/* uses of {body}, each of which takes
									 * time */
#define SIGNATURE_MAX_LINE		8192	/* of a header, with its name and NUL */

/* A list of schemes and header templates, compiled. */
typedef struct Signature Signature;

/* The secret, ready for use with the functions of one list. */
typedef struct SignatureKey SignatureKey;

/* What the placeholders stand for. */
typedef struct SignatureValues
{
	const char *id;
	int64_t		timestamp;
	const char *method;
	const char *url;
	const char *body;
	size_t		body_len;
} SignatureValues;

/*
 * Compile a list, one scheme or header template on each line.  NULL is "standard".
 * Returns NULL on failure; *problem then is a constant lower-case phrase, and *line
 * the number of the line, or 0 if it is about the whole.  Free with signature_free (NULL is fine).
 */
extern Signature *signature_compile(const char *text, int *line, const char **problem);
extern void signature_free(Signature *signature);

/* Is the signature of Standard Webhooks in the list? */
extern bool signature_has_standard(const Signature *signature);

/* Does anything else in it need a key? */
extern bool signature_needs_key(const Signature *signature);

/* Is this one of its headers? */
extern bool signature_has_header(const Signature *signature, const char *name);

/* Its key is the text of the secret as it stands, in UTF-8.  NULL if OpenSSL fails. */
extern SignatureKey *signature_key_create(const Signature *signature, const char *secret);
extern void signature_key_free(SignatureKey *key);

/* The number of headers, not counting that of Standard Webhooks. */
extern int	signature_headers(const Signature *signature);

/*
 * Write "Name: value" and a NUL; returns the length, or 0 with *problem set.  previous is the
 * key of a grace period, or NULL; schemes that have a place for two signatures carry both.
 */
extern size_t signature_write(const Signature *signature, int header, const SignatureKey *key,
							  const SignatureKey *previous, const SignatureValues *values,
							  char *out, size_t size, const char **problem);

#endif							/* WEBHOOK_SIGNATURE_H */
