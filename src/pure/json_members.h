/*-------------------------------------------------------------------------
 *
 * json_members.h
 *		The members of a JSON object, as they are written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_JSON_MEMBERS_H
#define WEBHOOK_JSON_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>

/* The members of an object; does not own the text. */
typedef struct JsonMembers
{
	const char *text;
	const char *at;				/* where to look for the next member */
} JsonMembers;

/* Both are parts of the text; the key includes its quotes. */
typedef struct JsonMember
{
	const char *key;
	size_t		key_len;
	const char *value;
	size_t		value_len;
} JsonMember;

/* Begin to read an object.  The text must be valid JSON, as PostgreSQL's type json accepts it, and begin with '{'. */
extern JsonMembers json_members(const char *text);

/* The next member; false at the end. */
extern bool json_members_next(JsonMembers *members, JsonMember *member);

/*
 * The next member that has the same key as this one, written in the same way, or else
 * the first one.  Looking for all keys of an object of similar order is fast.
 */
extern bool json_members_find(JsonMembers *members, const JsonMember *like, JsonMember *member);

#endif							/* WEBHOOK_JSON_MEMBERS_H */
