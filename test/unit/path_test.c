/*-------------------------------------------------------------------------
 *
 * path_test.c
 *		I13, I14, R6: paths and placeholders.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/path.h"

/* The steps as text, each in angle brackets. */
static const char *
steps(const char *text)
{
	static char result[1024];
	Path		path;
	const char *problem = path_parse(text, &path);
	size_t		len = 0;

	if (problem != NULL)
		return problem;
	result[0] = '\0';
	for (int i = 0; i < path.nsteps; i++)
	{
		const PathStep *step = &path.steps[i];

		if (step->key != NULL)
			len += snprintf(result + len, sizeof(result) - len, "<%.*s>", (int) step->key_len, step->key);
		else
			len += snprintf(result + len, sizeof(result) - len, "[%u]", (unsigned) step->index);
	}
	return result;
}

static void
test_paths(void)
{
	static const char wrong[] = "it is not a path of names and [numbers]";
	static const char *const table[][2] = {
		{"name", "<name>"},
		{"category.name", "<category><name>"},
		{"options[0]", "<options>[0]"},
		{"options[0].label", "<options>[0]<label>"},
		{"options[0]label", "<options>[0]<label>"},
		{"[12]", "[12]"},
		{"a[1][2]", "<a>[1][2]"},
		{"na me.\xc3\xbc ]", "<na me><\xc3\xbc ]>"},
		{"a[999999999]", "<a>[999999999]"},
		{"a[007]", "<a>[7]"},
		{"", "the path is empty"},
		{".", wrong},
		{".a", wrong},
		{"a.", wrong},
		{"a..b", wrong},
		{"a[", wrong},
		{"a[]", wrong},
		{"a[1", wrong},
		{"a[-1]", wrong},
		{"a[ 1]", wrong},
		{"a[x]", wrong},
		{"a[1234567890]", wrong},
		{"a.[1]", wrong}
	};

	for (size_t i = 0; i < lengthof(table); i++)
		is_text(steps(table[i][0]), table[i][1], "I13: path \"%s\"", table[i][0]);
}

static void
test_length(void)
{
	char		text[2 * PATH_MAX_STEPS + 4] = "";
	Path		path;

	for (int i = 0; i < PATH_MAX_STEPS; i++)
		strcat(text, i == 0 ? "a" : ".a");
	ok(path_parse(text, &path) == NULL && path.nsteps == PATH_MAX_STEPS, "R6: as many steps as there may be");
	strcat(text, ".a");
	is_text(path_parse(text, &path), "the path has too many steps", "R6: one more");
}

/* The first placeholder: what is before it, its name, what is behind it. */
static const char *
hole(const char *text)
{
	static char result[256];
	PathHole	found;

	switch (path_next_hole(text, &found))
	{
		case PATH_NO_HOLE:
			return "none";
		case PATH_HOLE_OPEN:
			return "open";
		case PATH_HOLE:
			break;
	}
	snprintf(result, sizeof(result), "%.*s|%.*s|%s", (int) (found.start - text), text,
			 (int) found.name_len, found.name, found.end);
	return result;
}

static void
test_holes(void)
{
	static const char *const table[][2] = {
		{"", "none"},
		{"no { braces }", "none"},
		{"}}", "none"},
		{"{{a}}", "|a|"},
		{"x {{ a.b }} y", "x |a.b| y"},
		{"{{a}}{{b}}", "|a|{{b}}"},
		{"{{}}", "||"},
		{"{{   }}", "||"},
		{"{{{a}}}", "|{a|}"},
		{"{{a", "open"},
		{"{{a}", "open"},
		{"{{", "open"},
		{"{{}", "open"},
		{"a}}{{", "open"}
	};

	for (size_t i = 0; i < lengthof(table); i++)
		is_text(hole(table[i][0]), table[i][1], "I14: placeholder in \"%s\"", table[i][0]);
}

int
main(void)
{
	test_paths();
	test_length();
	test_holes();
	return done();
}
