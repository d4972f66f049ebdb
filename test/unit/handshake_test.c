/*-------------------------------------------------------------------------
 *
 * handshake_test.c
 *		W7, W10: which answers are an agreement, and for how long.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/handshake.h"

#define URL		"https://a.example/hook"
#define ORIGIN	"events.example.com"

static bool
answer(const char *allowed_origin, const char *allowed_rate, int *rate)
{
	Handshake	handshake = {.wanted = true};
	bool		agreed;

	handshake_ask(&handshake, URL, ORIGIN);
	agreed = handshake_answer(&handshake, allowed_origin, allowed_rate, 1);
	*rate = handshake.rate;
	ok(agreed == !handshake_needed(&handshake, URL, ORIGIN), "W7: what is needed agrees with the answer");
	ok(agreed == (handshake.problem[0] == '\0'), "W7: a refusal has a reason");
	handshake_forget(&handshake);
	return agreed;
}

static void
test_answers(void)
{
	static const struct
	{
		const char *origin;
		const char *rate;
		bool		agreed;
		int			per_minute;
	}			table[] = {
		{ORIGIN, "120", true, 120},
		{ORIGIN, "*", true, 0},
		{ORIGIN, NULL, true, 0},
		{"*", "1", true, 1},
		{"EVENTS.example.COM", "001", true, 1},
		{ORIGIN, "99999999999999999999", true, 0},
		{NULL, "120", false, 0},
		{NULL, NULL, false, 0},
		{"", "*", false, 0},
		{"**", "*", false, 0},
		{"*.example.com", "*", false, 0},
		{"events.example.com.evil.example", "*", false, 0},
		{"events.example.co", "*", false, 0},
		{ORIGIN ", other.example", "*", false, 0},
		{ORIGIN, "0", false, 0},
		{ORIGIN, "000", false, 0},
		{ORIGIN, "-1", false, 0},
		{ORIGIN, "+1", false, 0},
		{ORIGIN, "1.5", false, 0},
		{ORIGIN, "1 0", false, 0},
		{ORIGIN, "", false, 0},
		{ORIGIN, "many", false, 0},
	};

	for (size_t i = 0; i < lengthof(table); i++)
	{
		int			rate;

		is_int(answer(table[i].origin, table[i].rate, &rate), table[i].agreed, "W7: origin %s, rate %s",
			   table[i].origin ? table[i].origin : "missing", table[i].rate ? table[i].rate : "missing");
		if (table[i].agreed)
			is_int(rate, table[i].per_minute, "W10: requests per minute");
	}
}

static void
test_validity(void)
{
	Handshake	handshake = {0};

	ok(!handshake_needed(&handshake, URL, ORIGIN), "W7: not wanted, not needed");
	handshake.wanted = true;
	ok(handshake_needed(&handshake, URL, ORIGIN), "W7: needed before anything else");
	handshake_ask(&handshake, URL, ORIGIN);
	ok(handshake_needed(&handshake, URL, ORIGIN), "W7: a question is no agreement");
	handshake_answer(&handshake, "*", NULL, 1);
	ok(!handshake_needed(&handshake, URL, ORIGIN), "W7: agreed");
	ok(handshake_needed(&handshake, URL "2", ORIGIN), "W7: not for another URL");
	ok(handshake_needed(&handshake, URL, "x" ORIGIN), "W7: not for another origin");
	handshake_ask(&handshake, URL "2", ORIGIN);
	ok(handshake_needed(&handshake, URL, ORIGIN), "W7: a new question ends the old agreement");
	handshake_answer(&handshake, "*", NULL, 1);
	ok(handshake_needed(&handshake, URL, ORIGIN), "W7: the answer is for what was asked, not for what has come since");
	handshake_failed(&handshake, "line\r\nbreak");
	is_text(handshake.problem, "no agreement: line  break", "W7: a reason is one line");
	ok(handshake_needed(&handshake, URL "2", ORIGIN), "W7: no answer, no agreement");
	handshake_forget(&handshake);
}

static void
test_origins(void)
{
	char		name[HANDSHAKE_MAX_ORIGIN + 2];

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ok(handshake_origin_valid(ORIGIN), "R6: an origin");
	ok(handshake_origin_valid("db-1_x"), "R6: a host's name");
	ok(!handshake_origin_valid(""), "R6: empty");
	ok(!handshake_origin_valid(name), "R6: too long");
	ok(handshake_origin_valid(name + 1), "R6: as long as possible");
	ok(!handshake_origin_valid("a b"), "R6: a blank");
	ok(!handshake_origin_valid("a\r\nX: y"), "R6: a line break");
	ok(!handshake_origin_valid("*"), "R6: an asterisk");
	ok(!handshake_origin_valid(".a"), "R6: a dot in front");
	ok(!handshake_origin_valid("a..b"), "R6: two dots");
}

int
main(void)
{
	test_answers();
	test_validity();
	test_origins();
	return done();
}
