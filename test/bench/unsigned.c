/*-------------------------------------------------------------------------
 *
 * unsigned.c
 *		Takes the place of sign_message() in a library of the benchmark's own.
 *
 * The product always signs, and has nothing that could turn that off.  To
 * measure what signing costs, test/bench/run links the product's object files
 * a second time with --wrap=sign_message, and with this file.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "pure/sign.h"

extern size_t __wrap_sign_message(SignKey *key, const char *id, int64_t timestamp,
								  const char *body, size_t len, char *out);

size_t
__wrap_sign_message(SignKey *key, const char *id, int64_t timestamp, const char *body, size_t len, char *out)
{
	(void) key;
	(void) id;
	(void) timestamp;
	(void) body;
	(void) len;
	/* Nothing at all would be refused. */
	strcpy(out, "none");
	return 4;
}
