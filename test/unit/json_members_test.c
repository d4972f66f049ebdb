/*-------------------------------------------------------------------------
 *
 * json_members_test.c
 *		Members of JSON objects.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "unit.h"

#include "pure/json_members.h"

/* The members as "key=value;". */
static const char *
members_of(const char *text)
{
	static char list[500];
	JsonMembers members = json_members(text);
	JsonMember	member;

	list[0] = '\0';
	while (json_members_next(&members, &member))
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%.*s=%.*s;", (int) member.key_len, member.key,
				 (int) member.value_len, member.value);
	return list;
}

/* The value that an object has for a key of another one; "" if it has none. */
static const char *
find(JsonMembers *members, const char *other)
{
	static char value[100];
	JsonMembers others = json_members(other);
	JsonMember	like;
	JsonMember	member;

	value[0] = '\0';
	ok(json_members_next(&others, &like), "X1: there is a key in %s", other);
	if (json_members_find(members, &like, &member))
		snprintf(value, sizeof(value), "%.*s", (int) member.value_len, member.value);
	return value;
}

int
main(void)
{
	JsonMembers members;

	is_text(members_of("{}"), "", "X1: no member");
	is_text(members_of("{"), "", "X1: an object that is cut off");
	is_text(members_of("{ \n }"), "", "X1: no member but space");
	is_text(members_of("{\"a\":1,\"b\":null}"), "\"a\"=1;\"b\"=null;", "X1: scalars");
	is_text(members_of("{ \"a\" : -1.50e+3 , \"b\" : true\n}"), "\"a\"=-1.50e+3;\"b\"=true;", "X1: with space");
	is_text(members_of("{\"a\":\"x,}\\\"\\\\\",\"b\":\"\"}"), "\"a\"=\"x,}\\\"\\\\\";\"b\"=\"\";", "X1: strings");
	is_text(members_of("{\"a\":{\"b\":[1,{\"]\":\"}\"}], \"c\":2},\"d\":[ ]}"),
			"\"a\"={\"b\":[1,{\"]\":\"}\"}], \"c\":2};\"d\"=[ ];", "X1: nested");
	is_text(members_of("{\"a\\\":\":1}"), "\"a\\\":\"=1;", "X1: a key with a quote and a colon");

	members = json_members("{\"a\":1,\"b\":2,\"ab\":3}");
	is_text(find(&members, "{\"b\":0}"), "2", "X1: found");
	is_text(find(&members, "{\"ab\":0}"), "3", "X1: found after it");
	is_text(find(&members, "{\"a\":0}"), "1", "X1: found before it");
	is_text(find(&members, "{\"c\":0}"), "", "X1: not found");
	is_text(find(&members, "{\"b\":0}"), "2", "X1: found after something was not");
	return done();
}
