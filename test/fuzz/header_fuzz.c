/*-------------------------------------------------------------------------
 *
 * header_fuzz.c
 *		R5: header lines.  Input: the name, a newline, the value.
 *
 * A header that is let through is one line and splits at its first colon.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/url.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *name = fuzz_line(&data, &size);
	char	   *value = fuzz_text(data, size);

	if (url_check_header(name, value) == NULL)
	{
		MUST(name[0] != '\0' && strpbrk(name, ": \t\r\n") == NULL);
		MUST(strpbrk(value, "\r\n") == NULL);
		MUST(strlen(name) + strlen(": ") + strlen(value) < URL_HEADER_MAX_LENGTH);
	}

	free(name);
	free(value);
	return 0;
}
