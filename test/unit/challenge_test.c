/*-------------------------------------------------------------------------
 *
 * challenge_test.c
 *		X13: the receiver echoes a nonce.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/challenge.h"

#define URL		"https://example.com/hook"

static const unsigned char nonce[CHALLENGE_NONCE_BYTES] = {0x00, 0x01, 0xfe, 0xff, 7};

/* Ask, and answer with a format that has the nonce in place of %s; the body has its exact size. */
static bool
answer(Challenge *challenge, const char *format)
{
	char		text[4096];
	int			len;
	char	   *body;
	bool		result;

	challenge_ask(challenge, URL, nonce);
	len = snprintf(text, sizeof(text), format, challenge->nonce);
	body = malloc(len > 0 ? len : 1);
	memcpy(body, text, len);
	result = challenge_answer(challenge, body, len, 42);
	free(body);
	return result;
}

static void
test_answers(void)
{
	static const struct
	{
		const char *format;
		bool		agreed;
	}			cases[] = {
		{"%s", true},
		{"%s\n", true},
		{" \t\r\n%s ", true},
		{"{\"challenge\":\"%s\"}", true},
		{" { \"challenge\" : \"%s\" }\r\n", true},
		{"", false},
		{" ", false},
		{"ok", false},
		{"{", false},
		{"{}", false},
		{"{\"challenge\"", false},
		{"{\"challenge\":", false},
		{"{\"challenge\":\"", false},
		{"{\"challenge\":\"%s", false},
		{"{\"challenge\":\"%s\"", false},
		{"{\"challenge\":%s}", false},
		{"{\"challenge\":\" %s\"}", false},
		{"{\"challenge\":\"%s \"}", false},
		{"{\"challenge\":\"%s\",\"a\":1}", false},
		{"{\"nonce\":\"%s\"}", false},
		{"\"%s\"", false},
		{"%s0", false},
		{"0%s", false},
		{"%.63s", false},
		{"%s}", false},
		{"{\"type\":\"webhook.challenge\",\"challenge\":\"%s\"}", false},
		{"%.63s1", false},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		Challenge	challenge = {.wanted = true};

		is_int(answer(&challenge, cases[i].format), cases[i].agreed, "X13: answer %zu", i);
		is_int(challenge_needed(&challenge, URL), !cases[i].agreed, "X13: agreed after it, %zu", i);
		is_int(challenge.problem[0] == '\0', cases[i].agreed, "X13: or the reason why not, %zu", i);
		challenge_forget(&challenge);
	}
}

static void
test_bounds(void)
{
	char		format[CHALLENGE_MAX_ANSWER + 8];

	for (size_t len = CHALLENGE_MAX_ANSWER; len <= CHALLENGE_MAX_ANSWER + 1; len++)
	{
		Challenge	challenge = {.wanted = true};
		size_t		blanks = len - CHALLENGE_NONCE_LENGTH;

		strcpy(format, "%s");
		memset(format + 2, ' ', blanks);
		format[2 + blanks] = '\0';
		is_int(answer(&challenge, format), len == CHALLENGE_MAX_ANSWER, "X13: an answer of %zu bytes", len);
		challenge_forget(&challenge);
	}
}

/* An agreement is for one URL, a nonce for one answer. */
static void
test_states(void)
{
	Challenge	challenge = {0};
	char		used[CHALLENGE_NONCE_LENGTH + 1];

	ok(!challenge_needed(&challenge, URL), "X13: not wanted");
	challenge.wanted = true;
	ok(challenge_needed(&challenge, URL), "X13: not asked yet");
	challenge_ask(&challenge, URL, nonce);
	ok(challenge_needed(&challenge, URL), "X13: not answered yet");
	strcpy(used, challenge.nonce);
	is_text(used, "0001feff0700000000000000000000000000000000000000000000000000" "0000", "X13: the nonce in hexadecimal");
	ok(challenge_answer(&challenge, used, strlen(used), 42), "X13: answered");
	is_int(challenge.agreed_at, 42, "X13: when");
	ok(!challenge_needed(&challenge, URL) && challenge_needed(&challenge, URL "2"), "X13: for this URL only");
	ok(!challenge_answer(&challenge, used, strlen(used), 43), "X13: an answer counts once");
	ok(challenge_needed(&challenge, URL), "X13: after which there is no agreement");
	challenge_ask(&challenge, URL, nonce);
	challenge_failed(&challenge, "HTTP status\r\n500");
	is_text(challenge.problem, "no agreement: HTTP status  500", "X13: an error is one line");
	ok(!challenge_answer(&challenge, used, strlen(used), 44), "X13: a failed question has no answer");
	ok(answer(&challenge, "%s") && !challenge_needed(&challenge, URL), "X13: it can be asked again");
	challenge_forget(&challenge);
	ok(challenge_needed(&challenge, URL), "X13: until that is forgotten");
	ok(!challenge_answer(&challenge, "", 0, 45), "X13: nothing is no answer to nothing");
}

int
main(void)
{
	test_answers();
	test_bounds();
	test_states();
	return done();
}
