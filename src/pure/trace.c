/*-------------------------------------------------------------------------
 *
 * trace.c
 *		Trace context, as defined by the W3C recommendation.
 *
 * A traceparent is version, trace id, parent id and flags, in lower-case
 * hexadecimal digits: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "pure/trace.h"

#define VERSION_AT		0
#define TRACE_ID_AT		3
#define PARENT_ID_AT	36
#define FLAGS_AT		53

#define MAX_STATE_MEMBERS	32

/* Are these n characters digits?  *zero: are all of them 0? */
static bool
trace_is_hex(const char *text, size_t n, bool *zero)
{
	*zero = true;
	for (size_t i = 0; i < n; i++)
	{
		if (text[i] == '\0' || strchr("0123456789abcdef", text[i]) == NULL)
			return false;
		*zero &= text[i] == '0';
	}
	return true;
}

const char *
trace_parent_problem(const char *value)
{
	bool		zero;

	if (strlen(value) != TRACE_PARENT_LENGTH)
		return "it does not have 55 characters";
	if (value[TRACE_ID_AT - 1] != '-' || value[PARENT_ID_AT - 1] != '-' || value[FLAGS_AT - 1] != '-')
		return "it does not consist of four parts";
	if (!trace_is_hex(value + VERSION_AT, 2, &zero) || strncmp(value + VERSION_AT, "ff", 2) == 0)
		return "the version is invalid";
	if (!trace_is_hex(value + TRACE_ID_AT, PARENT_ID_AT - TRACE_ID_AT - 1, &zero) || zero)
		return "the trace id is invalid";
	if (!trace_is_hex(value + PARENT_ID_AT, FLAGS_AT - PARENT_ID_AT - 1, &zero) || zero)
		return "the parent id is invalid";
	if (!trace_is_hex(value + FLAGS_AT, 2, &zero))
		return "the flags are invalid";
	return NULL;
}

/* A member of a tracestate, key=value; len without space around it. */
static bool
trace_state_member_valid(const char *member, size_t len)
{
	const char *equals = memchr(member, '=', len);

	if (equals == NULL || equals == member || equals == member + len - 1)
		return false;
	for (const char *p = member; p < equals; p++)
		if (*p == '\0' || strchr("abcdefghijklmnopqrstuvwxyz0123456789_-*/@", *p) == NULL)
			return false;
	return memchr(equals + 1, '=', member + len - equals - 1) == NULL;
}

const char *
trace_state_problem(const char *value)
{
	int			members = 0;

	if (strlen(value) > TRACE_STATE_MAX)
		return "it has more than 512 characters";
	for (const char *p = value; *p != '\0'; p++)
		if ((unsigned char) *p < 0x20 || (unsigned char) *p > 0x7e)
			return "it has a character that is not printable ASCII";
	for (const char *p = value; *p != '\0'; p += (*p == ','))
	{
		size_t		len;

		p += strspn(p, " ");
		len = strcspn(p, ",");
		while (len > 0 && p[len - 1] == ' ')
			len--;
		if (len > 0 && (++members > MAX_STATE_MEMBERS || !trace_state_member_valid(p, len)))
			return "it is not a list of at most 32 members key=value";
		p += strcspn(p, ",");
	}
	return NULL;
}

void
trace_set_span(const char *parent, const unsigned char span[TRACE_SPAN_BYTES], char *out)
{
	memcpy(out, parent, TRACE_PARENT_LENGTH + 1);
	for (int i = 0; i < TRACE_SPAN_BYTES; i++)
	{
		out[PARENT_ID_AT + 2 * i] = "0123456789abcdef"[span[i] >> 4];
		out[PARENT_ID_AT + 2 * i + 1] = "0123456789abcdef"[span[i] & 0x0f];
	}
}

/* The character that begins here and its length; the text is valid UTF-8. */
static uint32_t
trace_character(const unsigned char *p, int *len)
{
	uint32_t	c = *p;

	*len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (*len > 1)
		c &= 0x7f >> *len;
	for (int i = 1; i < *len && p[i] != '\0'; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

size_t
trace_json_to_ascii(const char *json, char *out, size_t size)
{
	const unsigned char *p = (const unsigned char *) json;
	bool		quoted = false;
	size_t		n = 0;

	while (*p != '\0')
	{
		char		piece[32];
		int			len;
		uint32_t	c = trace_character(p, &len);

		if (!quoted && strchr(" \t\r\n", (int) c) != NULL)
			piece[0] = '\0';
		else if (c == '\\' && p[1] != '\0')
		{
			snprintf(piece, sizeof(piece), "\\%c", p[1]);
			len = 2;
		}
		else if (c < 0x7f)
			snprintf(piece, sizeof(piece), "%c", (char) c);
		else if (c < 0x10000)
			snprintf(piece, sizeof(piece), "\\u%04x", (unsigned) c);
		else
			snprintf(piece, sizeof(piece), "\\u%04x\\u%04x", (unsigned) (0xd800 + ((c - 0x10000) >> 10)),
					 (unsigned) (0xdc00 + ((c - 0x10000) & 0x3ff)));
		if (c == '"')
			quoted = !quoted;
		if (n + strlen(piece) >= size)
			return 0;
		strcpy(out + n, piece);
		n += strlen(piece);
		p += len;
	}
	return n;
}
