/*-------------------------------------------------------------------------
 *
 * url_fuzz.c
 *		R5: URL templates and placeholders.  Input: one line of template, then
 *		lines for the values.
 *
 * Whatever is filled in, the origin stays, the path keeps its segments, and the
 * result is a good URL.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/url.h"

#define EXPANDED_SIZE	(64 * 1024)

/* How often c stands in text. */
static size_t
count_char(const char *text, char c)
{
	size_t		count = 0;

	for (; *text != '\0'; text++)
		count += *text == c;
	return count;
}

/* Segments that are "." or "..", in the path only. */
static size_t
count_dot_segments(const char *url)
{
	const char *path = strstr(url, "://") + strlen("://");
	const char *end = path + strcspn(path, "?");
	size_t		count = 0;

	path += strcspn(path, "/?");
	while (path < end)
	{
		size_t		len;

		path++;
		len = strcspn(path, "/?");
		if ((len == 1 && path[0] == '.') || (len == 2 && path[0] == '.' && path[1] == '.'))
			count++;
		path += len;
	}
	return count;
}

/* Length of "scheme://host:port". */
static size_t
origin_length(const char *url)
{
	const char *host = strstr(url, "://");

	MUST(host != NULL);
	return (size_t) (host + 3 - url) + strcspn(host + 3, "/?#");
}

static void
check_expanded(const char *template, const UrlValues *values)
{
	static const UrlValues letters = {"x", "x", "x"};
	static char expanded[EXPANDED_SIZE];
	static char plain[EXPANDED_SIZE];
	size_t		len = url_expand(template, values, expanded, sizeof(expanded));

	if (len == 0)
		return;
	MUST(len == strlen(expanded));
	MUST(url_expand(template, &letters, plain, sizeof(plain)) > 0);
	MUST(len >= URL_MAX_LENGTH || url_check(expanded) == NULL);

	/* Values cannot change scheme, host or port. */
	MUST(strncmp(expanded, template, origin_length(template)) == 0);

	MUST(count_char(expanded, '/') == count_char(plain, '/'));
	MUST(count_char(expanded, '?') == count_char(plain, '?'));
	MUST(count_char(expanded, '&') == count_char(plain, '&'));

	/*
	 * An empty value may complete the template's own dots; a value never
	 * makes any.
	 */
	if (values->entity_id[0] != '\0' && values->event_uid[0] != '\0' && values->action[0] != '\0')
		MUST(count_dot_segments(expanded) <= count_dot_segments(plain));

	len = url_append_query(expanded, len, sizeof(expanded), values->action, values->entity_id);
	MUST(len == 0 || (len == strlen(expanded) && strchr(expanded, '?') != NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *template = fuzz_line(&data, &size);
	char	   *entity_id = fuzz_line(&data, &size);
	char	   *event_uid = fuzz_line(&data, &size);
	char	   *action = fuzz_text(data, size);
	const UrlValues values = {entity_id, event_uid, action};

	if (url_check(template) == NULL)
		check_expanded(template, &values);
	else
	{
		/* What was refused must still not hurt. */
		char		out[64];

		url_expand(template, &values, out, sizeof(out));
	}

	free(template);
	free(entity_id);
	free(event_uid);
	free(action);
	return 0;
}
