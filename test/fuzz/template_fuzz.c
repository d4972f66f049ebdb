/*-------------------------------------------------------------------------
 *
 * template_fuzz.c
 *		R5: strings of a template with placeholders.  Input: the string.
 *
 * Text and placeholders by turns make up the whole string, and no placeholder
 * is overlooked.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/path.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	const char *at = text;
	PathHole	hole;
	PathHoleFound found;

	while ((found = path_next_hole(at, &hole)) == PATH_HOLE)
	{
		char	   *before = fuzz_text((const uint8_t *) at, hole.start - at);
		char	   *name = fuzz_text((const uint8_t *) hole.name, hole.name_len);
		Path		path;

		MUST(strstr(before, "{{") == NULL);
		MUST(hole.start >= at && hole.end >= hole.start + 4 && hole.end <= text + strlen(text));
		MUST(memcmp(hole.start, "{{", 2) == 0 && memcmp(hole.end - 2, "}}", 2) == 0);
		MUST(hole.name >= hole.start + 2 && hole.name + hole.name_len <= hole.end - 2);
		MUST(strstr(name, "}}") == NULL);
		MUST(hole.name_len == 0 || (name[0] != ' ' && name[hole.name_len - 1] != ' '));
		(void) path_parse(name, &path);
		free(before);
		free(name);
		at = hole.end;
	}
	MUST((found == PATH_NO_HOLE) == (strstr(at, "{{") == NULL));

	free(text);
	return 0;
}
