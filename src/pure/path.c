/*-------------------------------------------------------------------------
 *
 * path.c
 *		Paths such as category.name or options[0], and the placeholders that
 *		hold them in a template.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "pure/path.h"

#define MAX_DIGITS	9			/* of an index */

/* Parse an index, "[12]".  Returns the text after it, or NULL if there is none. */
static const char *
path_parse_index(const char *s, PathStep *step)
{
	size_t		digits = strspn(s + 1, "0123456789");

	if (digits == 0 || digits > MAX_DIGITS || s[1 + digits] != ']')
		return NULL;
	step->key = NULL;
	step->key_len = 0;
	step->index = (uint32_t) strtoul(s + 1, NULL, 10);
	return s + digits + 2;
}

/* Parse a key, which ends at the next dot or bracket.  Returns the text after it, or NULL. */
static const char *
path_parse_key(const char *s, PathStep *step)
{
	step->key = s;
	step->key_len = strcspn(s, ".[");
	step->index = 0;
	return step->key_len > 0 ? s + step->key_len : NULL;
}

const char *
path_parse(const char *text, Path *path)
{
	const char *s = text;

	path->nsteps = 0;
	while (*s != '\0')
	{
		PathStep   *step;

		if (path->nsteps == PATH_MAX_STEPS)
			return "the path has too many steps";
		step = &path->steps[path->nsteps++];
		if (*s == '[')
			s = path_parse_index(s, step);
		else
			s = path_parse_key(*s == '.' && path->nsteps > 1 ? s + 1 : s, step);
		if (s == NULL)
			return "it is not a path of names and [numbers]";
	}
	return path->nsteps > 0 ? NULL : "the path is empty";
}

PathHoleFound
path_next_hole(const char *text, PathHole *hole)
{
	const char *close;

	hole->start = strstr(text, "{{");
	if (hole->start == NULL)
		return PATH_NO_HOLE;
	hole->name = hole->start + 2;
	close = strstr(hole->name, "}}");
	if (close == NULL)
		return PATH_HOLE_OPEN;
	hole->end = close + 2;
	while (hole->name < close && *hole->name == ' ')
		hole->name++;
	while (close > hole->name && close[-1] == ' ')
		close--;
	hole->name_len = (size_t) (close - hole->name);
	return PATH_HOLE;
}
