/*-------------------------------------------------------------------------
 *
 * token_answer_test.c
 *		X8: answers of token servers.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/token_answer.h"

static TokenAnswer answer;

/* The body has its exact size. */
static const char *
read_answer(const char *text)
{
	size_t		len = strlen(text);
	char	   *body = malloc(len > 0 ? len : 1);
	const char *problem;

	memcpy(body, text, len);
	problem = token_answer_read(body, len, &answer);
	free(body);
	return problem;
}

static void
test_accepted(void)
{
	static const struct
	{
		const char *body;
		const char *access_token;
		const char *refresh_token;
		int			lifetime;
	}			cases[] = {
		{"{\"access_token\":\"abc\",\"token_type\":\"Bearer\",\"expires_in\":60}", "abc", "", 60},
		{" \r\n\t{ \"access_token\" : \"a.b-c_d~e+f/g=\" , \"expires_in\" : 7.9e2 } \n", "a.b-c_d~e+f/g=", "", 790},
		{"{\"access_token\":\"a\",\"refresh_token\":\"r 1\",\"token_type\":\"bearer\"}", "a", "r 1", 3600},
		{"{\"access_token\":\"a\",\"refresh_token\":null,\"expires_in\":null}", "a", "", 3600},
		{"{\"access_token\":\"a\",\"expires_in\":\"120\"}", "a", "", 120},
		{"{\"access_token\":\"a\",\"expires_in\":\"soon\"}", "a", "", 3600},
		{"{\"access_token\":\"a\",\"expires_in\":0}", "a", "", 1},
		{"{\"access_token\":\"a\",\"expires_in\":-5}", "a", "", 1},
		{"{\"access_token\":\"a\",\"expires_in\":1e999}", "a", "", TOKEN_ANSWER_MAX_LIFETIME},
		{"{\"access_token\":\"a\",\"expires_in\":99999999999999999999}", "a", "", TOKEN_ANSWER_MAX_LIFETIME},
		{"{\"access_token\":\"a\",\"expires_in\":1e-999}", "a", "", 1},
		{"{\"access_token\":\"\\u0061\\/b\"}", "a/b", "", 3600},
		{"{\"a\":[1,-2.5e+10,{\"access_token\":\"no\"},[]],\"access_token\":\"yes\",\"t\":true,\"f\":false,\"o\":{}}", "yes", "", 3600},
		{"{\"access_token\":\"a\",\"\\u0000\":\"\\ud83d\\ude00 \xc3\xa4\"}", "a", "", 3600},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		ok(read_answer(cases[i].body) == NULL, "X8: answer %zu", i);
		is_text(answer.access_token, cases[i].access_token, "X8: ... its token");
		is_text(answer.refresh_token, cases[i].refresh_token, "X8: ... its refresh token");
		is_int(answer.lifetime, cases[i].lifetime, "X8: ... its lifetime");
	}
}

static void
test_refused(void)
{
	static const char *const bodies[] = {
		"", " ", "ok", "null", "[]", "{}", "\"access_token\"", "{", "{\"access_token\"", "{\"access_token\":", "{\"access_token\":\"",
		"{\"access_token\":\"a\"", "{\"access_token\":\"a\",}", "{\"access_token\":\"a\"}}", "{\"access_token\":\"a\"} x",
		"{access_token:\"a\"}", "{\"access_token\":a}", "{\"access_token\":\"\"}", "{\"access_token\":null}",
		"{\"access_token\":1}", "{\"access_token\":[\"a\"]}", "{\"access_token\":\"a b\"}", "{\"access_token\":\"a\\r\\nHost: x\"}",
		"{\"access_token\":\"a\\u000d\"}", "{\"access_token\":\"a\\u0000\"}", "{\"access_token\":\"\xc3\xa4\"}",
		"{\"access_token\":\"a\nb\"}", "{\"access_token\":\"\\x\"}", "{\"access_token\":\"\\u12\"}", "{\"access_token\":\"\\u12g4\"}",
		"{\"access_token\":\"a\",\"refresh_token\":\"\\n\"}", "{\"access_token\":\"a\",\"refresh_token\":1}",
		"{\"access_token\":\"a\",\"token_type\":\"mac\"}", "{\"access_token\":\"a\",\"n\":01}", "{\"access_token\":\"a\",\"n\":1.}",
		"{\"access_token\":\"a\",\"n\":-}", "{\"access_token\":\"a\",\"n\":1e}", "{\"access_token\":\"a\",\"n\":.5}",
		"{\"access_token\":\"a\",\"n\":nul}", "{\"access_token\":\"a\",\"n\":[1,]}", "{\"access_token\":\"a\",1:2}",
		"{\"access_token\":\"a\" \"b\":1}", "access_token=a&token_type=bearer"
	};

	for (size_t i = 0; i < lengthof(bodies); i++)
		ok(read_answer(bodies[i]) != NULL, "X8: not answer %zu", i);
}

/* A long token, deep nesting, and more than there may be. */
static void
test_limits(void)
{
	static char body[2 * TOKEN_ANSWER_MAX];
	size_t		len;

	for (int extra = 0; extra <= 1; extra++)
	{
		len = snprintf(body, sizeof(body), "{\"access_token\":\"");
		memset(body + len, 'x', TOKEN_ANSWER_MAX_TOKEN + extra);
		strcpy(body + len + TOKEN_ANSWER_MAX_TOKEN + extra, "\"}");
		ok((read_answer(body) == NULL) == (extra == 0), "X8: a token of %d bytes", TOKEN_ANSWER_MAX_TOKEN + extra);
	}
	strcpy(body, "{\"access_token\":\"a\",\"deep\":");
	memset(body + strlen(body), '[', 60000);
	ok(read_answer(body) != NULL, "X8: deep nesting");
	memset(body, ' ', sizeof(body));
	strcpy(body, "{\"access_token\":\"a\"}");
	body[strlen(body)] = ' ';
	ok(token_answer_read(body, TOKEN_ANSWER_MAX, &answer) == NULL, "X8: an answer of 64 kB");
	ok(token_answer_read(body, TOKEN_ANSWER_MAX + 1, &answer) != NULL, "X8: and no more");
}

static void
test_errors(void)
{
	static const char known[] = "{\"error\":\"invalid_grant\",\"error_description\":\"s3cr3t\"}";
	static const char other[] = "{\"error\":\"s3cr3t\"}";
	static const char broken[] = "{\"error\":\"invalid_grant\"";

	is_text(token_answer_error(known, strlen(known)), "invalid_grant", "X8: an error of the standard");
	ok(token_answer_error(other, strlen(other)) == NULL, "X8: others are not repeated");
	ok(token_answer_error(broken, strlen(broken)) == NULL, "X8: nor that of a broken answer");
	ok(token_answer_error("", 0) == NULL, "X8: nor that of none");
}

int
main(void)
{
	test_accepted();
	test_refused();
	test_limits();
	test_errors();
	return done();
}
