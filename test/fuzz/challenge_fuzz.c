/*-------------------------------------------------------------------------
 *
 * challenge_fuzz.c
 *		R5: what a receiver answers to a challenge.  Input: the body, in which $ stands
 *		for the nonce.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/challenge.h"

/* The body with the nonce, of exactly the right size. */
static char *
fill_in(const uint8_t *data, size_t size, const char *nonce, size_t *len)
{
	char	   *body = malloc(size * CHALLENGE_NONCE_LENGTH + 1);

	MUST(body != NULL);
	*len = 0;
	for (size_t i = 0; i < size; i++)
	{
		if (data[i] != '$')
			body[(*len)++] = (char) data[i];
		else
		{
			memcpy(body + *len, nonce, CHALLENGE_NONCE_LENGTH);
			*len += CHALLENGE_NONCE_LENGTH;
		}
	}
	body = realloc(body, *len > 0 ? *len : 1);
	MUST(body != NULL);
	return body;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned char random[CHALLENGE_NONCE_BYTES] = "thirty-two bytes, all different";
	Challenge	challenge = {.wanted = true};
	size_t		len;
	char	   *body;
	bool		agreed;

	challenge_ask(&challenge, "https://a.example/", random);
	body = fill_in(data, size, challenge.nonce, &len);
	agreed = challenge_answer(&challenge, body, len, 1);
	MUST(agreed != challenge_needed(&challenge, "https://a.example/"));
	MUST(challenge.nonce[0] == '\0');
	if (agreed)
	{
		/* There is nothing but JSON around it. */
		MUST(len >= CHALLENGE_NONCE_LENGTH && len <= CHALLENGE_MAX_ANSWER);
		for (size_t i = 0; i < size; i++)
			MUST(data[i] != '\0' && strchr("$ \t\r\n{}\":challenge0123456789abcdef", data[i]) != NULL);
	}
	else
		MUST(challenge.problem[0] != '\0' && strpbrk(challenge.problem, "\r\n") == NULL);

	/* An answer counts once. */
	MUST(!challenge_answer(&challenge, body, len, 1));
	challenge_forget(&challenge);
	free(body);
	return 0;
}
