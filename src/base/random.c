/*-------------------------------------------------------------------------
 *
 * random.c
 *		Random bytes for keys, tokens and identifiers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/random.h"

void
random_bytes(void *out, size_t n)
{
	if (!pg_strong_random(out, n))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
}

void
random_append_hex(StringInfo out, size_t n)
{
	unsigned char bytes[64];

	Assert(n <= sizeof(bytes));
	random_bytes(bytes, n);
	for (size_t i = 0; i < n; i++)
		appendStringInfo(out, "%02x", bytes[i]);
	explicit_bzero(bytes, sizeof(bytes));
}
