/*-------------------------------------------------------------------------
 *
 * sign_fuzz.c
 *		R5: lists of signing keys.  Input: the list.
 *
 * Whatever is accepted as a key signs, and the signatures fit into the buffer.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/sign.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	char		signature[SIGN_MAX_SIGNATURE];
	const char *error;
	SignKey    *key = sign_key_create(text, &error);

	MUST((key == NULL) == (error != NULL));
	if (key != NULL)
	{
		size_t		len = sign_message(key, "id", 1, "{}", 2, signature);

		MUST(len > 0 && len < sizeof(signature) && strlen(signature) == len);
		sign_public_key(key, signature);
		sign_key_free(key);
	}

	free(text);
	return 0;
}
