/*-------------------------------------------------------------------------
 *
 * handshake_fuzz.c
 *		R5: what a receiver answers to a handshake.  Input: the allowed origin, a
 *		newline, the allowed rate; an empty one is missing.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <strings.h>

#include "pure/handshake.h"

#define ORIGIN	"events.example.com"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *origin = fuzz_line(&data, &size);
	char	   *rate = fuzz_text(data, size);
	Handshake	handshake = {.wanted = true};
	bool		agreed;

	handshake_ask(&handshake, "https://a.example/", ORIGIN);
	agreed = handshake_answer(&handshake, *origin ? origin : NULL, *rate ? rate : NULL, 1);
	MUST(agreed != handshake_needed(&handshake, "https://a.example/", ORIGIN));
	if (agreed)
	{
		MUST(strcmp(origin, "*") == 0 || strcasecmp(origin, ORIGIN) == 0);
		MUST(handshake.rate >= 0);
		MUST(handshake.rate == 0 || strspn(rate, "0123456789") == strlen(rate));
	}
	else
		MUST(handshake.problem[0] != '\0' && strpbrk(handshake.problem, "\r\n") == NULL);
	handshake_forget(&handshake);

	free(origin);
	free(rate);
	return 0;
}
