/*-------------------------------------------------------------------------
 *
 * retry_test.c
 *		W4: schedules, jitter and Retry-After.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/retry.h"

#define SECOND	INT64_C(1000000)
#define MINUTE	(60 * SECOND)
#define HOUR	(60 * MINUTE)
#define DAY		(24 * HOUR)
#define LIMIT	(RETRY_MAX_AFTER_SECONDS * SECOND)

/* Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 */
#define EXAMPLE INT64_C(784111777)

static void
test_default_schedule(void)
{
	static const int64_t expected[] = {
		0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR
	};
	RetrySchedule schedule;
	const char *error;

	ok(retry_parse_schedule("0, 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h", &schedule, &error),
	   "W4: the default schedule");
	is_int(schedule.count, lengthof(expected), "W4: has ten attempts");
	for (size_t i = 0; i < lengthof(expected); i++)
		is_int(schedule.steps[i], expected[i], "W4: step %zu", i);
}

static void
test_units(void)
{
	static const struct
	{
		const char *text;
		int64_t		expected;
	}			cases[] = {
		{"0", 0},
		{"90", 90 * SECOND},
		{"500ms", SECOND / 2},
		{"7s", 7 * SECOND},
		{"3m", 3 * MINUTE},
		{"3min", 3 * MINUTE},
		{"4h", 4 * HOUR},
		{"1d", DAY},
		{"  5 s\t", 5 * SECOND},
		{"007s", 7 * SECOND},
		{"30d", 30 * DAY},
		{"2592000", 30 * DAY},
		{"2592000000ms", 30 * DAY},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		RetrySchedule schedule;
		const char *error;

		ok(retry_parse_schedule(cases[i].text, &schedule, &error) && schedule.count == 1,
		   "W4: one step: \"%s\"", cases[i].text);
		is_int(schedule.steps[0], cases[i].expected, "W4: of the right length");
	}
}

static void
test_bad_schedules(void)
{
	static const struct
	{
		const char *text;
		const char *error;		/* begins with */
	}			cases[] = {
		{"", "there is no step"},
		{" \t", "there is no step"},
		{"-1", "a step is negative"},
		{"0, -5s", "a step is negative"},
		{"31d", "a step is longer"},
		{"2592001", "a step is longer"},
		{"2592000001ms", "a step is longer"},
		{"99999999999999999999999999999999h", "a step is longer"},
		{"9223372036854775807d", "a step is longer"},
		{"5x", "a step is not"},
		{"5S", "a step is not"},
		{"5 s s", "a step is not"},
		{"5s5s", "a step is not"},
		{"1.5h", "a step is not"},
		{"1e3", "a step is not"},
		{"s", "a step is not"},
		{"+5s", "a step is not"},
		{"5s,", "a step is not"},
		{",5s", "a step is not"},
		{"5s,,5s", "a step is not"},
		{"5s;5m", "a step is not"},
		{"five", "a step is not"},
		{"0\xc2\xb5s", "a step is not"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		RetrySchedule schedule;
		const char *error = "";

		ok(!retry_parse_schedule(cases[i].text, &schedule, &error) &&
		   strncmp(error, cases[i].error, strlen(cases[i].error)) == 0,
		   "R6: \"%s\": %s", cases[i].text, error);
	}
}

static void
test_schedule_length(void)
{
	char		text[(RETRY_MAX_STEPS + 1) * 2 + 1] = "1";
	RetrySchedule schedule;
	const char *error = "";

	for (int i = 1; i < RETRY_MAX_STEPS; i++)
		strcat(text, ",1");
	ok(retry_parse_schedule(text, &schedule, &error), "W4: as many steps as there is room for");
	is_int(schedule.count, RETRY_MAX_STEPS, "W4: all of them kept");
	strcat(text, ",1");
	ok(!retry_parse_schedule(text, &schedule, &error), "R6: one step more: %s", error);
}

static void
test_delay(void)
{
	const RetrySchedule schedule = {3, {0, 5 * SECOND, 30 * DAY}};
	bool		within = true;

	is_int(retry_delay(&schedule, 1, 0, 0), 4 * SECOND, "W4: jitter: 20 %% less at the least");
	is_int(retry_delay(&schedule, 1, UINT32_MAX, 0), 6 * SECOND, "W4: jitter: 20 %% more at the most");
	is_int(retry_delay(&schedule, 2, 0, 0), 24 * DAY, "W4: jitter: the longest step, less");
	is_int(retry_delay(&schedule, 2, UINT32_MAX, 0), 36 * DAY, "W4: jitter: the longest step, more");

	for (uint32_t i = 0; i < 1000; i++)
	{
		int64_t		delay = retry_delay(&schedule, 1, i * UINT32_C(4294967), 0);

		within = within && delay >= 4 * SECOND && delay <= 6 * SECOND;
	}
	ok(within, "W4: jitter: always within 20 %%");
	ok(retry_delay(&schedule, 1, UINT32_C(1) << 30, 0) < retry_delay(&schedule, 1, UINT32_C(1) << 31, 0),
	   "W4: jitter: follows the random number");

	is_int(retry_delay(&schedule, 0, 12345, 0), 0, "W4: nothing to spread before the first attempt");
	is_int(retry_delay(&schedule, 3, 0, 0), -1, "W4: the schedule is exhausted");
	is_int(retry_delay(&schedule, 3, 0, DAY), -1, "W4: Retry-After does not add an attempt");
	is_int(retry_delay(&schedule, INT32_MAX, 0, 0), -1, "W4: long exhausted");
	is_int(retry_delay(&schedule, -1, 0, 0), -1, "R6: a negative number of attempts");

	is_int(retry_delay(&schedule, 1, 0, HOUR), HOUR, "W4: Retry-After is a lower bound");
	is_int(retry_delay(&schedule, 1, UINT32_MAX, HOUR), HOUR, "W4: without being spread");
	is_int(retry_delay(&schedule, 1, UINT32_MAX, SECOND), 6 * SECOND, "W4: and only a lower bound");
}

typedef struct AfterCase
{
	const char *value;
	int64_t		now;
	int64_t		expected;
} AfterCase;

static void
check_after(const AfterCase *cases, size_t count, const char *what)
{
	for (size_t i = 0; i < count; i++)
		is_int(retry_parse_after(cases[i].value, cases[i].now), cases[i].expected,
			   "%s: \"%s\" at %" PRId64, what, cases[i].value, cases[i].now);
}

static void
test_after_seconds(void)
{
	static const AfterCase cases[] = {
		{"0", EXAMPLE, 0},
		{"120", EXAMPLE, 120 * SECOND},
		{" \t120 ", EXAMPLE, 120 * SECOND},
		{"000120", EXAMPLE, 120 * SECOND},
		{"86400", EXAMPLE, LIMIT},
		{"86401", EXAMPLE, LIMIT},
		{"9999999999999999999999999999", EXAMPLE, LIMIT},
	};

	check_after(cases, lengthof(cases), "W4: Retry-After in seconds");
}

static void
test_after_dates(void)
{
	static const AfterCase cases[] = {
		{"Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE - 60, MINUTE},
		{"Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE - 60, MINUTE},
		{"Sun Nov  6 08:49:37 1994", EXAMPLE - 60, MINUTE},
		{" Sun, 06 Nov 1994 08:49:37 GMT ", EXAMPLE - 60, MINUTE},
		{"Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE, 0},
		{"Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE + 1, 0},
		{"Sun, 06 Nov 1994 08:49:37 GMT", INT64_MAX, 0},
		{"Sun, 06 Nov 1994 08:49:37 GMT", INT64_MIN, LIMIT},
		{"Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE - 86400, LIMIT},
		{"Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE - 86401, LIMIT},
		{"Thu, 01 Jan 1970 00:00:10 GMT", 0, 10 * SECOND},
		{"Wed, 31 Dec 1969 23:59:59 GMT", -2, SECOND},
		{"Thu, 29 Feb 2024 00:00:00 GMT", INT64_C(1709164799), SECOND},
		{"Tue, 29 Feb 2000 00:00:00 GMT", INT64_C(951782399), SECOND},
		{"Sat, 31 Dec 2016 23:59:60 GMT", INT64_C(1483228799), SECOND},
		{"Wed Dec 31 23:59:59 2025", INT64_C(1767225598), SECOND},
		{"Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300798), SECOND},
		{"Sat, 01 Jan 0000 00:00:00 GMT", EXAMPLE, 0},
	};

	check_after(cases, lengthof(cases), "W4: Retry-After as a date");
}

/* Two digits of a year mean the nearest such year. */
static void
test_after_centuries(void)
{
	static const AfterCase cases[] = {
		{"Friday, 01-Jan-00 00:00:00 GMT", INT64_C(4102444799), SECOND},	/* 2099-12-31 23:59:59 */
		{"Friday, 31-Dec-99 23:59:59 GMT", INT64_C(4102444800), 0}, /* 2100-01-01 00:00:00 */
		{"Friday, 01-Jan-70 00:00:00 GMT", INT64_C(1767225600), LIMIT}, /* 2026: 2070 is 44
																		 * years away */
		{"Friday, 01-Jan-80 00:00:00 GMT", INT64_C(1767225600), 0}, /* 1980, not 2080 */
	};

	check_after(cases, lengthof(cases), "W4: Retry-After, year of two digits");
}

static void
test_after_errors(void)
{
	static const char *const values[] = {
		"", " ", "-1", "+5", "1.5", "12 34", "12s", "soon", "0x10",
		"Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994 08:49:37 GMT+1",
		"Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT", "Sun,06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 29 Feb 2023 08:49:37 GMT",
		"Sun, 29 Feb 1900 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT", "Xyz, 06 Nov 1994 08:49:37 GMT",
		"sun, 06 nov 1994 08:49:37 gmt", "Sunday, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
		"Sunday Nov  6 08:49:37 1994", "Sun Nov 6 08:49:37 1994", "Sun Nov  6 08:49:37 94",
		"Sun Nov  6 08:49:37 1994 GMT", "1994-11-06T08:49:37Z", "Sun", "Sun,", "Sun, ", "Sun ", "Sunda",
		"Sun, 06 Nov 1994 08:49:37 GMT, 5"
	};

	for (size_t i = 0; i < lengthof(values); i++)
		is_int(retry_parse_after(values[i], EXAMPLE - 60), -1, "R6: Retry-After that is none: \"%s\"", values[i]);
}

int
main(void)
{
	test_default_schedule();
	test_units();
	test_bad_schedules();
	test_schedule_length();
	test_delay();
	test_after_seconds();
	test_after_dates();
	test_after_centuries();
	test_after_errors();
	return done();
}
