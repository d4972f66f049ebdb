/*-------------------------------------------------------------------------
 *
 * json_members.c
 *		The members of a JSON object, as they are written.
 *
 * PostgreSQL's jsonb does not keep the order of members, nor how their values are
 * written.  The text is known to be valid, so it is enough to find the ends.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "pure/assertion.h"
#include "pure/json_members.h"

static const char *
json_members_skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
		p++;
	return p;
}

/* The end of the string that begins here. */
static const char *
json_members_skip_string(const char *p)
{
	ASSERT(*p == '"');
	for (p++; *p != '"' && *p != '\0'; p++)
		if (*p == '\\' && p[1] != '\0')
			p++;
	return *p == '"' ? p + 1 : p;
}

/* The end of the value that begins here. */
static const char *
json_members_skip_value(const char *p)
{
	int			depth = 0;

	do
	{
		if (*p == '"')
		{
			p = json_members_skip_string(p);
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		else if (*p == '}' || *p == ']')
			depth--;
		p++;
	} while (*p != '\0' && (depth > 0 || strchr(",}] \t\n\r", *p) == NULL));
	return p;
}

JsonMembers
json_members(const char *text)
{
	JsonMembers members = {text, text + 1};

	ASSERT(*text == '{');
	return members;
}

bool
json_members_next(JsonMembers *members, JsonMember *member)
{
	const char *p = json_members_skip_space(members->at);

	if (*p == ',')
		p = json_members_skip_space(p + 1);
	if (*p != '"')
		return false;
	member->key = p;
	p = json_members_skip_string(p);
	member->key_len = p - member->key;
	p = json_members_skip_space(p);
	ASSERT(*p == ':');
	p = json_members_skip_space(p + 1);
	member->value = p;
	p = json_members_skip_value(p);
	member->value_len = p - member->value;
	members->at = p;
	return true;
}

static bool
json_members_same_key(const JsonMember *a, const JsonMember *b)
{
	return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

bool
json_members_find(JsonMembers *members, const JsonMember *like, JsonMember *member)
{
	const char *start = members->at;

	while (json_members_next(members, member))
		if (json_members_same_key(member, like))
			return true;
	members->at = members->text + 1;
	while (members->at < start && json_members_next(members, member))
		if (json_members_same_key(member, like))
			return true;
	return false;
}
