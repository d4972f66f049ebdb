/*-------------------------------------------------------------------------
 *
 * trace_test.c
 *		Trace context, and JSON in a header.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "unit.h"

#include "pure/trace.h"

#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static const char *
ascii(const char *json)
{
	static char out[200];

	out[0] = '\0';
	if (trace_json_to_ascii(json, out, sizeof(out)) != strlen(out))
		return "wrong length";
	return out;
}

int
main(void)
{
	static const char *const bad_parents[] = {
		"", "00", PARENT "-00", "00-0af7651916cd43dd8448eb211c80319C-b7ad6b7169203331-01",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
		"00 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	};
	static const char *const bad_states[] = {"a", "=b", "a=", "A=b", "a=b=c", "a=b,c", "a=\x7f", "a=\xc3\xa4", "a=b\n"};
	static const char *const good_states[] = {"", "a=b", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "a=b , c=d", "t@v/1-_*=x y\"\\", "a=b,,c=d"};
	const unsigned char span[TRACE_SPAN_BYTES] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
	char		out[TRACE_PARENT_LENGTH + 1];
	char		many[600];

	ok(trace_parent_problem(PARENT) == NULL, "X6: a traceparent");
	for (size_t i = 0; i < sizeof(bad_parents) / sizeof(bad_parents[0]); i++)
		ok(trace_parent_problem(bad_parents[i]) != NULL, "X6: no traceparent: \"%s\"", bad_parents[i]);
	for (size_t i = 0; i < sizeof(good_states) / sizeof(good_states[0]); i++)
		ok(trace_state_problem(good_states[i]) == NULL, "X6: a tracestate: \"%s\"", good_states[i]);
	for (size_t i = 0; i < sizeof(bad_states) / sizeof(bad_states[0]); i++)
		ok(trace_state_problem(bad_states[i]) != NULL, "X6: no tracestate, %d", (int) i);
	many[0] = '\0';
	for (int i = 0; i < 32; i++)
		strcat(many, "a=b,");
	ok(trace_state_problem(many) == NULL, "X6: 32 members");
	strcat(many, "a=b");
	ok(trace_state_problem(many) != NULL, "X6: one too many");
	memset(many, 'x', 511);
	memcpy(many, "a=", 2);
	many[512] = '\0';
	many[511] = 'x';
	ok(trace_state_problem(many) == NULL, "X6: 512 characters");
	strcat(many, "x");
	ok(trace_state_problem(many) != NULL, "X6: 513");

	trace_set_span(PARENT, span, out);
	is_text(out, "00-0af7651916cd43dd8448eb211c80319c-0123456789abcdef-01", "X6: the same trace with another span");

	is_text(ascii("{\"a\": [1, 2],\n\t\"b\" : \"c d\"}"), "{\"a\":[1,2],\"b\":\"c d\"}", "X6: no space but in strings");
	is_text(ascii("\"\\\" \\\\\" "), "\"\\\" \\\\\"", "X6: escaped quotes do not end a string");
	is_text(ascii("\"\xc3\xa4\xe2\x82\xac\""), "\"\\u00e4\\u20ac\"", "X6: characters of two and three bytes");
	is_text(ascii("\"\xf0\x9f\x90\x98\""), "\"\\ud83d\\udc18\"", "X6: of four");
	is_text(ascii("\"\x7f\""), "\"\\u007f\"", "X6: a control character");
	is_int(trace_json_to_ascii("\"abc\"", out, 5), 0, "X6: no room for the NUL");
	is_int(trace_json_to_ascii("\"abc\"", out, 6), 5, "X6: just enough room");
	return done();
}
