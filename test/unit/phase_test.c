/*-------------------------------------------------------------------------
 *
 * phase_test.c
 *		The phases of a delivery are those that src/README.md explains.
 *
 * Its table has a line "| from | to | ..." for each legal transition.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/phase.h"

static bool explained[PHASE_COUNT][PHASE_COUNT];

static int
phase_of(const char *name)
{
	for (int i = 0; i < PHASE_COUNT; i++)
		if (strcmp(phase_name(i), name) == 0)
			return i;
	return -1;
}

static int
read_table(void)
{
	FILE	   *file = fopen(TEST_DIR "/../../src/README.md", "r");
	char		line[1000];
	int			lines = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		char		from[20];
		char		to[20];

		if (sscanf(line, "| %19[a-z ] | %19[a-z ] |", from, to) != 2)
			continue;
		from[strcspn(from, "|")] = to[strcspn(to, "|")] = '\0';
		for (char *p = from + strlen(from); p > from && p[-1] == ' ';)
			*--p = '\0';
		for (char *p = to + strlen(to); p > to && p[-1] == ' ';)
			*--p = '\0';
		if (phase_of(from) < 0 || phase_of(to) < 0)
			continue;
		explained[phase_of(from)][phase_of(to)] = true;
		lines++;
	}
	if (file != NULL)
		fclose(file);
	return lines;
}

int
main(void)
{
	ok(read_table() > 10, "src/README.md has the table of transitions");
	for (int from = 0; from < PHASE_COUNT; from++)
		for (int to = 0; to < PHASE_COUNT; to++)
			is_int(phase_may_follow(from, to), explained[from][to], "W5: from \"%s\" to \"%s\"",
				   phase_name(from), phase_name(to));
	ok(!phase_may_follow(PHASE_GONE, PHASE_NEW), "nothing follows the end");
	return done();
}
