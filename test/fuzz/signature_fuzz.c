/*-------------------------------------------------------------------------
 *
 * signature_fuzz.c
 *		R5: lists of schemes and header templates.  Input: the list.
 *
 * Whatever is accepted can be written, as one line of printable characters, or is too long.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/signature.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const SignatureValues values = {
		.id = "id",.timestamp = 1,.method = "POST",.url = "http://h/",.body = "{\n}",.body_len = 3
	};
	char	   *text = fuzz_text(data, size);
	const char *problem;
	int			line;
	Signature  *signature = signature_compile(text, &line, &problem);

	if (signature != NULL)
	{
		SignatureKey *key = signature_key_create(signature, "secret");
		char		out[SIGNATURE_MAX_LINE];

		MUST(key != NULL);
		for (int i = 0; i < signature_headers(signature); i++)
		{
			size_t		len = signature_write(signature, i, key, key, &values, out, sizeof(out), &problem);

			MUST(len > 0 ? strlen(out) == len && problem == NULL : problem != NULL);
			for (size_t at = 0; at < len; at++)
				MUST(out[at] >= ' ' && out[at] <= '~');
		}
		signature_key_free(key);
		signature_free(signature);
	}
	else
		MUST(problem != NULL);
	free(text);
	return 0;
}
