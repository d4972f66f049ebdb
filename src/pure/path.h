/*-------------------------------------------------------------------------
 *
 * path.h
 *		Paths such as category.name or options[0], and the placeholders that
 *		hold them in a template.
 *
 * Pure: no backend state, no memory allocation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PATH_H
#define WEBHOOK_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_MAX_STEPS	32

typedef struct PathStep
{
	const char *key;			/* of an object, in the text of the path;
								 * NULL: an index */
	size_t		key_len;
	uint32_t	index;			/* of an array */
} PathStep;

typedef struct Path
{
	int			nsteps;
	PathStep	steps[PATH_MAX_STEPS];
} Path;

/*
 * Split a path, whose steps point into the text.  Returns NULL, or what is wrong as
 * a constant lower-case phrase.
 */
extern const char *path_parse(const char *text, Path *path);

/* A placeholder, {{ path }}. */
typedef struct PathHole
{
	const char *start;			/* of the opening braces */
	const char *end;			/* after the braces */
	const char *name;			/* without them, and without blanks around it */
	size_t		name_len;
} PathHole;

typedef enum PathHoleFound
{
	PATH_HOLE,
	PATH_NO_HOLE,				/* there are no more placeholders */
	PATH_HOLE_OPEN				/* the next placeholder is not closed */
} PathHoleFound;

/* Find the first placeholder in a text. */
extern PathHoleFound path_next_hole(const char *text, PathHole *hole);

#endif							/* WEBHOOK_PATH_H */
