/*-------------------------------------------------------------------------
 *
 * challenge.c
 *		Have an endpoint prove that it wants to receive messages.
 *
 * The states are those of handshake.c.  A nonce is valid for one question and one
 * answer, so an earlier answer cannot be replayed.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/challenge.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
challenge_needed(const Challenge *challenge, const char *url)
{
	return challenge->wanted &&
		!(challenge->agreed && challenge->asked_url != NULL && strcmp(challenge->asked_url, url) == 0);
}

void
challenge_forget(Challenge *challenge)
{
	free(challenge->asked_url);
	challenge->asked_url = NULL;
	challenge->nonce[0] = '\0';
	challenge->agreed = false;
}

void
challenge_ask(Challenge *challenge, const char *url, const unsigned char *nonce)
{
	challenge_forget(challenge);
	challenge->asked_url = strdup(url);
	for (int i = 0; i < CHALLENGE_NONCE_BYTES; i++)
		snprintf(challenge->nonce + 2 * i, 3, "%02x", nonce[i]);
}

/* An error may contain anything, and becomes one line. */
void
challenge_failed(Challenge *challenge, const char *error)
{
	challenge->agreed = false;
	challenge->nonce[0] = '\0';
	snprintf(challenge->problem, sizeof(challenge->problem), "no agreement: %s", error);
	for (char *p = challenge->problem; *p != '\0'; p++)
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			*p = ' ';
}

/* Text from a receiver, of which the first len bytes are left. */
typedef struct ChallengeText
{
	const char *text;
	size_t		len;
} ChallengeText;

static void
challenge_skip_space(ChallengeText *rest)
{
	while (rest->len > 0 && memchr(" \t\r\n", rest->text[0], 4) != NULL)
	{
		rest->text++;
		rest->len--;
	}
}

/* Skip this text, with space around it; false if there is something else. */
static bool
challenge_skip(ChallengeText *rest, const char *text)
{
	size_t		len = strlen(text);

	challenge_skip_space(rest);
	if (rest->len < len || memcmp(rest->text, text, len) != 0)
		return false;
	rest->text += len;
	rest->len -= len;
	challenge_skip_space(rest);
	return true;
}

/* The same for the nonce, in constant time: the duration must not reveal how much of it is right. */
static bool
challenge_skip_nonce(ChallengeText *rest, const char *nonce)
{
	if (rest->len < CHALLENGE_NONCE_LENGTH || CRYPTO_memcmp(rest->text, nonce, CHALLENGE_NONCE_LENGTH) != 0)
		return false;
	rest->text += CHALLENGE_NONCE_LENGTH;
	rest->len -= CHALLENGE_NONCE_LENGTH;
	return true;
}

static bool
challenge_matches(const char *body, size_t len, const char *nonce)
{
	ChallengeText rest = {body, len};
	bool		json;

	challenge_skip_space(&rest);
	json = rest.len > 0 && rest.text[0] == '{';
	if (json && !(challenge_skip(&rest, "{") && challenge_skip(&rest, "\"challenge\"") && challenge_skip(&rest, ":")))
		return false;

	/* Within the quotation marks, space would count. */
	if (json && (rest.len == 0 || *rest.text != '"'))
		return false;
	if (json)
	{
		rest.text++;
		rest.len--;
	}
	if (!challenge_skip_nonce(&rest, nonce))
		return false;
	if (json && !(rest.len > 0 && *rest.text == '"' && challenge_skip(&rest, "\"") && challenge_skip(&rest, "}")))
		return false;
	challenge_skip_space(&rest);
	return rest.len == 0;
}

bool
challenge_answer(Challenge *challenge, const char *body, size_t len, int64_t now)
{
	if (challenge->nonce[0] == '\0')
		challenge_failed(challenge, "nothing was asked");
	else if (len > CHALLENGE_MAX_ANSWER)
		challenge_failed(challenge, "the answer is too long for the challenge");
	else if (!challenge_matches(body, len, challenge->nonce))
		challenge_failed(challenge, "the answer is not the challenge");
	else
	{
		challenge->agreed = true;
		challenge->agreed_at = now;
		challenge->nonce[0] = '\0';
		challenge->problem[0] = '\0';
	}
	return challenge->agreed;
}
