/*-------------------------------------------------------------------------
 *
 * sign_test.c
 *		W6: Standard Webhooks signatures.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/sign.h"

/* The vectors published with the specification. */
#define SECRET		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define PRIVATE_KEY "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
#define PUBLIC_KEY	"whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
#define ID			"msg_p5jXN8AQM9LWM0D4loKWxJek"
#define TIMESTAMP	1614265330
#define BODY		"{\"test\": 2432232314}"
#define HMAC_SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define ED25519_SIGNATURE "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="

#define LARGE_BODY	(1024 * 1024)

static SignKey *
create_key(const char *text)
{
	const char *error;
	SignKey    *key = sign_key_create(text, &error);

	if (key == NULL)
	{
		printf("Bail out! no key: %s\n", error);
		exit(EXIT_FAILURE);
	}
	return key;
}

/* The vector, twice, and with another message between: a key is used for many messages. */
static void
test_vector(const char *text, SignKind kind, const char *expected)
{
	SignKey    *key = create_key(text);
	char		first[SIGN_MAX_SIGNATURE];
	char		other[SIGN_MAX_SIGNATURE];
	char		again[SIGN_MAX_SIGNATURE];
	size_t		len;

	ok(sign_key_has(key, kind) && !sign_key_has(key, SIGN_HMAC_SHA256 + SIGN_ED25519 - kind),
	   "W6: kind of key");
	len = sign_message(key, ID, TIMESTAMP, BODY, strlen(BODY), first);
	is_text(first, expected, "W6: published vector");
	is_int(len, strlen(expected), "W6: its length");

	ok(sign_message(key, ID, TIMESTAMP + 1, BODY, strlen(BODY), other) > 0 && strcmp(first, other) != 0,
	   "W6: another timestamp, another signature");
	ok(sign_message(key, "msg_x", TIMESTAMP, BODY, strlen(BODY), other) > 0 && strcmp(first, other) != 0,
	   "W6: another id, another signature");
	ok(sign_message(key, ID, TIMESTAMP, BODY, strlen(BODY) - 1, other) > 0 && strcmp(first, other) != 0,
	   "W6: another body, another signature");

	sign_message(key, ID, TIMESTAMP, BODY, strlen(BODY), again);
	is_text(again, expected, "W6: published vector after other messages");
	sign_key_free(key);
}

/* Compared with a key that has signed nothing else. */
static void
test_bodies(const char *text)
{
	static const char zeros[] = {'a', '\0', 'b'};
	char	   *large = malloc(LARGE_BODY);
	SignKey    *key = create_key(text);
	const struct
	{
		const char *name;
		const char *body;
		size_t		len;
	}			cases[] = {
		{"empty", "", 0},
		{"absent", NULL, 0},
		{"of a megabyte", large, LARGE_BODY},
		{"with a zero byte", zeros, sizeof(zeros)},
		{"in unicode", "{\"n\":\"Jos\xc3\xa9 \xf0\x9f\x8e\x89\"}", 17},
	};

	memset(large, 'x', LARGE_BODY);
	for (size_t i = 0; i < lengthof(cases); i++)
	{
		SignKey    *fresh = create_key(text);
		char		got[SIGN_MAX_SIGNATURE];
		char		expected[SIGN_MAX_SIGNATURE];

		ok(sign_message(key, ID, TIMESTAMP, cases[i].body, cases[i].len, got) > 0,
		   "W6: a body %s is signed", cases[i].name);
		sign_message(fresh, ID, TIMESTAMP, cases[i].body, cases[i].len, expected);
		is_text(got, expected, "W6: the same by a fresh key");
		sign_key_free(fresh);
	}
	sign_key_free(key);
	free(large);
}

static void
test_timestamps(void)
{
	SignKey    *key = create_key(SECRET);
	char		lowest[SIGN_MAX_SIGNATURE];
	char		highest[SIGN_MAX_SIGNATURE];

	ok(sign_message(key, ID, INT64_MIN, "", 0, lowest) > 0 && sign_message(key, ID, INT64_MAX, "", 0, highest) > 0 &&
	   strcmp(lowest, highest) != 0, "W6: the longest timestamps");
	sign_key_free(key);
}

static void
test_bad_keys(void)
{
	static const struct
	{
		const char *text;
		const char *error;		/* begins with */
	}			cases[] = {
		{"", "the secret does not begin"},
		{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "the secret does not begin"},
		{"WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "the secret does not begin"},
		{"whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "the secret does not begin"},
		{"whsec_", "the secret is not base64"},
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "the secret is not base64"},
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS=", "the secret is not base64"},
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2Laaaaaaa=a", "the secret is not base64"},
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ====", "the secret is not base64"},
		{"whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfK", "the secret is not base64"},
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "the secret is not base64"},
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "the secret is not base64"},
		{"whsk_", "the private key is not base64"},
		{"whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "the private key is not base64"},
		{"whsk_7Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
		"the private key and its public key"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		const char *error = NULL;
		SignKey    *key = sign_key_create(cases[i].text, &error);

		ok(key == NULL && error != NULL && strncmp(error, cases[i].error, strlen(cases[i].error)) == 0,
		   "R6: no key, case %zu: %s", i, error != NULL ? error : "no error");
		sign_key_free(key);
	}
	sign_key_free(NULL);
	ok(true, "W6: no key is freed");
}

/* From too short to too long, through the text form and back. */
static void
test_secret_lengths(void)
{
	unsigned char bytes[SIGN_MAX_SECRET_BYTES + 1];

	memset(bytes, 0xfb, sizeof(bytes));
	for (size_t len = SIGN_MIN_SECRET_BYTES - 1; len <= sizeof(bytes); len++)
	{
		char		text[128];
		const char *error;
		SignKey    *key;

		sign_format_secret(bytes, len, text);
		key = sign_key_create(text, &error);
		is_int(key != NULL, len >= SIGN_MIN_SECRET_BYTES && len <= SIGN_MAX_SECRET_BYTES,
			   "W6: a secret of %zu bytes", len);
		sign_key_free(key);
	}
}

static void
test_text_forms(void)
{
	static const unsigned char bytes[SIGN_SECRET_BYTES] = {
		0x31, 0xf2, 0x90, 0xf6, 0xbf, 0x06, 0x29, 0x8a, 0xab, 0x4f, 0x08, 0xd4,
		0x3c, 0x3f, 0x08, 0x2c, 0xf6, 0x48, 0xa3, 0x62, 0xda, 0x2d, 0xa4, 0xb0
	};
	char		text[SIGN_MAX_SIGNATURE];
	SignKey    *hmac = create_key(SECRET);
	SignKey    *ed25519 = create_key(PRIVATE_KEY);

	sign_format_secret(bytes, sizeof(bytes), text);
	is_text(text, SECRET, "W6: text form of a secret");
	ok(sign_public_key(ed25519, text), "W6: an ed25519 key has a public half");
	is_text(text, PUBLIC_KEY, "W6: its text form");
	ok(!sign_public_key(hmac, text), "W6: a shared secret has none");
	sign_key_free(hmac);
	sign_key_free(ed25519);
}

/* Several keys sign in their order; a list is as good as its worst key. */
static void
test_lists(void)
{
	static const unsigned char seed[SIGN_SEED_BYTES] = {1, 2, 3};
	SignKey    *key = create_key(SECRET " " PRIVATE_KEY);
	char		text[SIGN_MAX_SIGNATURE];
	const char *error;

	sign_message(key, ID, TIMESTAMP, BODY, strlen(BODY), text);
	is_text(text, HMAC_SIGNATURE " " ED25519_SIGNATURE, "W6: two keys, two signatures, a space between");
	ok(sign_key_has(key, SIGN_HMAC_SHA256) && sign_key_has(key, SIGN_ED25519), "W6: of both kinds");
	ok(sign_public_key(key, text), "W6: the public half is found in a list");
	is_text(text, PUBLIC_KEY, "W6: its text form");
	sign_key_free(key);

	ok(sign_key_create(SECRET "  " SECRET, &error) == NULL, "W6: two spaces between are refused");
	ok(sign_key_create(SECRET " ", &error) == NULL, "W6: a space behind is refused");
	ok(sign_key_create(SECRET " whsec_x", &error) == NULL, "W6: a bad key among good ones is refused");
	ok(sign_key_create(SECRET " " SECRET " " SECRET " " SECRET " " SECRET, &error) == NULL,
	   "W6: five keys are refused");
	key = create_key(PRIVATE_KEY " " PRIVATE_KEY " " PRIVATE_KEY " " PRIVATE_KEY);
	is_int(sign_message(key, ID, TIMESTAMP, BODY, strlen(BODY), text), 4 * strlen(ED25519_SIGNATURE) + 3,
		   "W6: four are accepted");
	sign_key_free(key);

	ok(sign_format_private_key(seed, text), "W6: an ed25519 key grows from a seed");
	sign_key_free(create_key(text));
}

int
main(void)
{
	test_lists();
	test_vector(SECRET, SIGN_HMAC_SHA256, HMAC_SIGNATURE);
	test_vector(PRIVATE_KEY, SIGN_ED25519, ED25519_SIGNATURE);
	test_bodies(SECRET);
	test_bodies(PRIVATE_KEY);
	test_timestamps();
	test_bad_keys();
	test_secret_lengths();
	test_text_forms();
	return done();
}
