/*-------------------------------------------------------------------------
 *
 * random.h
 *		Random bytes for keys, tokens and identifiers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_RANDOM_H
#define WEBHOOK_RANDOM_H

#include "lib/stringinfo.h"

/* Fill a buffer with cryptographically secure random bytes, or raise an error. */
extern void random_bytes(void *out, size_t n);

/* The same as text: 2 * n hexadecimal digits. */
extern void random_append_hex(StringInfo out, size_t n);

#endif							/* WEBHOOK_RANDOM_H */
