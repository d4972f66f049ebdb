/*-------------------------------------------------------------------------
 *
 * path_fuzz.c
 *		R5: paths, as in the "mapped_to" of a mapping.  Input: the path.
 *
 * The steps lie in the text one behind the other, and what is between them is
 * dots and brackets only: written down again, they are the same path.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/path.h"

#define WRITTEN_SIZE	(64 * 1024)

static void
check_steps(const char *text, const Path *path)
{
	const char *at = text;

	MUST(path->nsteps > 0 && path->nsteps <= PATH_MAX_STEPS);
	for (int i = 0; i < path->nsteps; i++)
	{
		const PathStep *step = &path->steps[i];

		if (step->key == NULL)
		{
			MUST(*at == '[' && strtoul(at + 1, NULL, 10) == step->index);
			at = strchr(at, ']') + 1;
			continue;
		}
		at += *at == '.';
		MUST(step->key == at && step->key_len > 0);
		MUST(memchr(at, '.', step->key_len) == NULL && memchr(at, '[', step->key_len) == NULL);
		at += step->key_len;
	}
	MUST(*at == '\0');
}

static void
check_again(const Path *path)
{
	static char written[WRITTEN_SIZE];
	size_t		len = 0;
	Path		again;

	for (int i = 0; i < path->nsteps; i++)
	{
		const PathStep *step = &path->steps[i];

		if (step->key == NULL)
			len += snprintf(written + len, sizeof(written) - len, "[%u]", (unsigned) step->index);
		else
			len += snprintf(written + len, sizeof(written) - len, "%s%.*s", i > 0 ? "." : "",
							(int) step->key_len, step->key);
	}
	MUST(path_parse(written, &again) == NULL && again.nsteps == path->nsteps);
	for (int i = 0; i < path->nsteps; i++)
	{
		MUST(again.steps[i].index == path->steps[i].index);
		MUST(again.steps[i].key_len == path->steps[i].key_len);
		MUST((again.steps[i].key == NULL) == (path->steps[i].key == NULL));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	Path		path;

	if (path_parse(text, &path) == NULL)
	{
		check_steps(text, &path);
		check_again(&path);
	}
	free(text);
	return 0;
}
