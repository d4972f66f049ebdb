/*-------------------------------------------------------------------------
 *
 * unit.h
 *		A test harness in one page: TAP on standard output.
 *
 * A test program calls ok(), is_int(), is_text() and returns done().  The name of a
 * test begins with the ids of what it proves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef UNIT_H
#define UNIT_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

static int	unit_tests;
static int	unit_failures;

static inline __attribute__((format(printf, 2, 0)))
void
unit_report(bool passed, const char *name, va_list args)
{
	unit_tests++;
	if (!passed)
		unit_failures++;
	printf("%s %d - ", passed ? "ok" : "not ok", unit_tests);
	vprintf(name, args);
	putchar('\n');
}

static inline __attribute__((format(printf, 2, 3)))
bool
ok(bool passed, const char *name,...)
{
	va_list		args;

	va_start(args, name);
	unit_report(passed, name, args);
	va_end(args);
	return passed;
}

static inline __attribute__((format(printf, 3, 4)))
bool
is_int(int64_t got, int64_t expected, const char *name,...)
{
	va_list		args;

	va_start(args, name);
	unit_report(got == expected, name, args);
	va_end(args);
	if (got != expected)
		printf("#   got %" PRId64 ", expected %" PRId64 "\n", got, expected);
	return got == expected;
}

/* NULL is a text like any other. */
static inline __attribute__((format(printf, 3, 4)))
bool
is_text(const char *got, const char *expected, const char *name,...)
{
	bool		same = got == expected ||
		(got != NULL && expected != NULL && strcmp(got, expected) == 0);
	va_list		args;

	va_start(args, name);
	unit_report(same, name, args);
	va_end(args);
	if (!same)
		printf("#   got      %s\n#   expected %s\n",
			   got != NULL ? got : "(null)", expected != NULL ? expected : "(null)");
	return same;
}

/* Print the plan; the result is the exit status. */
static inline int
done(void)
{
	printf("1..%d\n", unit_tests);
	return unit_failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif							/* UNIT_H */
