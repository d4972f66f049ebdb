/*-------------------------------------------------------------------------
 *
 * signature_test.c
 *		X9: signatures in headers of the receiver's choice.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/signature.h"

#define LARGE_BODY	(8 * 1024 * 1024)

/* GitHub's documentation has this example. */
#define GITHUB_SECRET "It's a Secret to Everybody"
#define GITHUB_BODY "Hello, World!"
#define GITHUB_HEADER "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

/* RFC 2202 and 4231, test case 2: the key is "Jefe". */
#define JEFE_TEXT	"what do ya want for nothing?"
#define JEFE_SHA1	"effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
#define JEFE_SHA256 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
#define JEFE_BASE64 "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="

static const SignatureValues values = {
	.id = "0193-id",.timestamp = 1614265330,.method = "PUT",.url = "https://example.com/a?b=1",
	.body = JEFE_TEXT,.body_len = sizeof(JEFE_TEXT) - 1
};

static Signature *
compile(const char *text)
{
	int			line;
	const char *problem;
	Signature  *signature = signature_compile(text, &line, &problem);

	if (signature == NULL)
	{
		printf("Bail out! line %d: %s\n", line, problem);
		exit(EXIT_FAILURE);
	}
	return signature;
}

/* All headers, each on a line. */
static const char *
headers(const char *text, const char *secret, const char *previous_secret, const SignatureValues *v)
{
	static char out[10 * SIGNATURE_MAX_LINE];
	size_t		len = 0;
	Signature  *signature = compile(text);
	SignatureKey *key = signature_key_create(signature, secret);
	SignatureKey *previous = previous_secret != NULL ? signature_key_create(signature, previous_secret) : NULL;
	const char *problem;

	out[0] = '\0';
	for (int i = 0; i < signature_headers(signature); i++)
	{
		if (i > 0)
			out[len++] = '\n';
		if (signature_write(signature, i, key, previous, v, out + len, SIGNATURE_MAX_LINE, &problem) == 0)
			return problem;
		len += strlen(out + len);
	}
	signature_key_free(key);
	signature_key_free(previous);
	signature_free(signature);
	return out;
}

static void
test_schemes(void)
{
	SignatureValues hello = values;

	hello.body = GITHUB_BODY;
	hello.body_len = strlen(GITHUB_BODY);
	is_text(headers("github", GITHUB_SECRET, NULL, &hello), GITHUB_HEADER, "X9: GitHub's own example");
	is_text(headers("github", GITHUB_SECRET, "old", &hello), GITHUB_HEADER, "X9: its header has one signature");
	is_text(headers("shopify", "Jefe", NULL, &values), "X-Shopify-Hmac-Sha256: " JEFE_BASE64, "X9: base64");
	is_text(headers("stripe", "Jefe", NULL, &values),
			"Stripe-Signature: t=1614265330,v1=28bf12ac4fe98e509a57f9a63082e1ea612208d47decac51def2ea4070447d7e",
			"X9: time and body");
	is_text(headers(NULL, "x", NULL, &values), "", "X9: the default has no header of its own");
	is_text(headers("none", "x", NULL, &values), "", "X9: nor has none");
	is_text(headers("\n github \r\n\n\tshopify\n", "Jefe", NULL, &values),
			"X-Hub-Signature-256: sha256=" JEFE_SHA256 "\nX-Shopify-Hmac-Sha256: " JEFE_BASE64, "X9: several, blanks around them");
}

/* During a grace period, where the scheme has a place for it. */
static void
test_rotation(void)
{
	char		both[SIGNATURE_MAX_LINE];
	char		expected[SIGNATURE_MAX_LINE];
	const char *one;

	snprintf(both, sizeof(both), "%s", headers("stripe", "new", "old", &values));
	one = headers("stripe", "new", NULL, &values);
	ok(strncmp(both, one, strlen(one)) == 0, "X9: the new secret signs first");
	one = strstr(headers("stripe", "old", NULL, &values), ",v1=");
	snprintf(expected, sizeof(expected), "%s", one);
	is_text(strstr(both, ",v1=") + strlen(expected), expected, "X9: then the old one");
}

static void
test_templates(void)
{
	static const struct
	{
		const char *text;
		const char *expected;
	}			cases[] = {
		{"X-A: {hmac_sha256_hex:{body}}", "X-A: " JEFE_SHA256},
		{"X-A:{hmac_sha1_hex:{body}}", "X-A: " JEFE_SHA1},
		{"X-A: {hmac_sha256_hex:" JEFE_TEXT "}", "X-A: " JEFE_SHA256},
		{"X-A: <{hmac_sha1_hex:{body}};{hmac_sha1_hex:{body}}>", "X-A: <" JEFE_SHA1 ";" JEFE_SHA1 ">"},
		{"X-A: id={id} t={timestamp} m={method} u={url}", "X-A: id=0193-id t=1614265330 m=PUT u=https://example.com/a?b=1"},
		{"Authorization: HMAC {hmac_sha256_base64:{body}}", "Authorization: HMAC " JEFE_BASE64},
		{"X-A: {id}\nX-B: {hmac_sha1_hex:{body}}\nstandard", "X-A: 0193-id\nX-B: " JEFE_SHA1},
		{"X-A: {hmac_sha1_hex:a:b}", "X-A: 719732442a393a9684e76994d371514fb8ea671f"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		is_text(headers(cases[i].text, "Jefe", NULL, &values), cases[i].expected, "X9: template %zu", i);
	ok(strcmp(headers("X-A: {hmac_sha1_hex:{id}{timestamp}}", "k", NULL, &values),
			  headers("X-A: {hmac_sha1_hex:0193-id1614265330}", "k", NULL, &values)) == 0, "X9: placeholders within a function");
}

static void
test_bad_texts(void)
{
	static const struct
	{
		const char *text;
		int			line;
		const char *problem;
	}			cases[] = {
		{"", 0, "it is empty"},
		{" \n\t\r\n", 0, "it is empty"},
		{"gitlab", 1, "it is neither"},
		{"GitHub", 1, "it is neither"},
		{"github\nnone", 2, "\"none\""},
		{"none\nstandard", 2, "\"none\""},
		{"none\nnone", 2, "\"none\""},
		{"standard\nstandard", 2, "it is specified twice"},
		{"github\ngithub", 2, "the header is specified twice"},
		{"github\nx-hub-signature-256: {id}", 2, "the header is specified twice"},
		{"X-A: {hmac_sha256_hex:{body}{body}{body}{body}{body}{body}{body}{body}{body}}", 1, "{body} is used too often"},
		{"X: plain", 1, "the value has no placeholder"},
		{"X:", 1, "the value has no placeholder"},
		{": {id}", 1, "the header's name"},
		{"X Y: {id}", 1, "the header's name"},
		{"X: {id}\001", 1, "the header's value"},
		{"X: {id}\xc3\xa9", 1, "the value has a character"},
		{"Host: {id}", 1, "the header is set by"},
		{"content-length: {id}", 1, "the header is set by"},
		{"webhook-id: {id}", 1, "the header is set by"},
		{"Webhook-Context: {id}", 1, "the header is set by"},
		{"Transfer-Encoding: {id}", 1, "the header is set by"},
		{"content-type: {id}", 1, "the header is set by"},
		{"X: {", 1, "it has a brace that is not closed"},
		{"X: {id", 1, "it has a brace that is not closed"},
		{"X: {id{", 1, "it has a brace that is not closed"},
		{"X: {hmac_sha256_hex:{body}", 1, "it has a brace that is not closed"},
		{"X: {hmac_sha256_hex:", 1, "it has a brace that is not closed"},
		{"X: {id}}", 1, "it has a brace that was not opened"},
		{"X: }{", 1, "it has a brace that was not opened"},
		{"X: {}", 1, "it has an unknown placeholder"},
		{"X: {ID}", 1, "it has an unknown placeholder"},
		{"X: { id }", 1, "it has an unknown placeholder"},
		{"X: {hmac_sha256_hex}", 1, "it has an unknown placeholder"},
		{"X: {md5:{body}}", 1, "it has an unknown function"},
		{"X: {:{body}}", 1, "it has an unknown function"},
		{"X: {hmac_sha256_hex:}", 1, "it has a function without an argument"},
		{"X: {hmac_sha256_hex:{hmac_sha1_hex:{body}}}", 1, "a function cannot"},
		{"X: {body}", 1, "{body} can be used"},
		{"A: {id}\nB: {id}\nC: {id}\nD: {id}\nE: {id}\nF: {id}\nG: {id}\nH: {id}\nI: {id}\nJ: {id}\nK: {id}", 11, "there are too many"},
	};
	char	   *large = malloc(SIGNATURE_MAX_TEXT + 2);

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		int			line;
		const char *problem;
		Signature  *signature = signature_compile(cases[i].text, &line, &problem);

		ok(signature == NULL && strncmp(problem, cases[i].problem, strlen(cases[i].problem)) == 0,
		   "R6: not accepted, case %zu: %s", i, problem != NULL ? problem : "accepted");
		is_int(line, cases[i].line, "R6: the line, case %zu", i);
		signature_free(signature);
	}
	for (size_t len = SIGNATURE_MAX_TEXT; len <= SIGNATURE_MAX_TEXT + 1; len++)
	{
		int			line;
		const char *problem;
		Signature  *signature;

		memset(large, '\n', len);
		memcpy(large, "github", 6);
		large[len] = '\0';
		signature = signature_compile(large, &line, &problem);
		is_int(signature != NULL, len == SIGNATURE_MAX_TEXT, "R6: a text of %zu bytes", len);
		signature_free(signature);
	}
	free(large);
}

/* A header that becomes too long is refused, and not one byte is written past the end. */
static void
test_lengths(void)
{
	Signature  *signature = compile("X-A: {hmac_sha1_hex:{body}}");
	SignatureKey *key = signature_key_create(signature, "Jefe");
	size_t		fits = strlen("X-A: " JEFE_SHA1) + 1;

	for (size_t size = 1; size <= fits; size++)
	{
		char	   *out = malloc(size);
		const char *problem;
		size_t		len = signature_write(signature, 0, key, NULL, &values, out, size, &problem);

		is_int(len, size == fits ? fits - 1 : 0, "X9: in %zu bytes", size);
		free(out);
	}
	signature_key_free(key);
	signature_free(signature);
}

/* Large, empty and absent bodies; a key is used for many messages. */
static void
test_bodies(void)
{
	char	   *large = malloc(LARGE_BODY);
	SignatureValues v = values;
	char		first[SIGNATURE_MAX_LINE];

	memset(large, 'x', LARGE_BODY);
	v.body = large;
	v.body_len = LARGE_BODY;
	snprintf(first, sizeof(first), "%s", headers("github", "k", NULL, &v));
	is_int(strlen(first), strlen(GITHUB_HEADER), "X9: a large body");
	large[LARGE_BODY - 1] = 'y';
	ok(strcmp(first, headers("github", "k", NULL, &v)) != 0, "X9: its last byte matters");
	v.body_len = 0;
	snprintf(first, sizeof(first), "%s", headers("github", "k", NULL, &v));
	v.body = NULL;
	is_text(headers("github", "k", NULL, &v), first, "X9: no body is an empty one");
	free(large);
}

static void
test_questions(void)
{
	static const struct
	{
		const char *text;
		bool		standard;
		bool		key;
	}			cases[] = {
		{NULL, true, false},
		{"standard", true, false},
		{"none", false, false},
		{"github", false, true},
		{"standard\nstripe", true, true},
		{"X-Id: {id}", false, false},
		{"X-Id: {id}\nX-S: {hmac_sha1_hex:{id}}", false, true},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		Signature  *signature = compile(cases[i].text);

		is_int(signature_has_standard(signature), cases[i].standard, "X9: standard, case %zu", i);
		is_int(signature_needs_key(signature), cases[i].key, "X9: a key, case %zu", i);
		is_int(signature_has_header(signature, "x-id"), cases[i].text != NULL && strstr(cases[i].text, "X-Id") != NULL,
			   "X9: header, case %zu", i);
		signature_free(signature);
	}
}

int
main(void)
{
	test_schemes();
	test_rotation();
	test_templates();
	test_bad_texts();
	test_lengths();
	test_bodies();
	test_questions();
	return done();
}
