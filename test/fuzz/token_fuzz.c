/*-------------------------------------------------------------------------
 *
 * token_fuzz.c
 *		R5: answers of token servers.  Input: the body.
 *
 * What is accepted can be sent in a header and stored, and has a lifetime within the bounds.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/token_answer.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static TokenAnswer answer;
	char	   *body = malloc(size > 0 ? size : 1);
	const char *problem;
	const char *error;

	MUST(body != NULL);
	if (size > 0)
		memcpy(body, data, size);
	problem = token_answer_read(body, size, &answer);
	error = token_answer_error(body, size);
	MUST(error == NULL || (strlen(error) > 5 && strlen(error) < 30));
	if (problem == NULL)
	{
		MUST(answer.access_token[0] != '\0' && size <= TOKEN_ANSWER_MAX);
		for (const char *c = answer.access_token; *c != '\0'; c++)
			MUST(*c > ' ' && *c <= '~');
		for (const char *c = answer.refresh_token; *c != '\0'; c++)
			MUST(*c >= ' ' && *c <= '~');
		MUST(answer.lifetime >= TOKEN_ANSWER_MIN_LIFETIME && answer.lifetime <= TOKEN_ANSWER_MAX_LIFETIME);
	}
	else
		MUST(strlen(problem) > 0);
	free(body);
	return 0;
}
