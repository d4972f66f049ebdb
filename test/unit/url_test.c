/*-------------------------------------------------------------------------
 *
 * url_test.c
 *		I4, R6, W9: URL templates, what is filled into them, and headers.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/url.h"

/* Results that are compared by how they begin. */
typedef struct TextCase
{
	const char *text;
	const char *expected;
} TextCase;

static bool
begins_with(const char *text, const char *prefix)
{
	return text != NULL && strncmp(text, prefix, strlen(prefix)) == 0;
}

static void
test_good_urls(void)
{
	static const char *const urls[] = {
		"http://example.com", "https://example.com/", "HTTPS://EXAMPLE.COM/Path", "http://example.com:8080/x?a=b&c=d",
		"https://example.com?x=1", "http://a/b//c/../d/./e", "http://127.0.0.1:80/", "http://[::1]/", "http://[2001:db8::1]:443/x",
		"http://0x7f.1/", "http://017700000001/", "http://2130706433/", "http://example.com./", "http://xn--mnchen-3ya.de/",
		"http://under_score.example.com/", "http://example.com/%C3%A9?q=%20", "http://example.com/{entity_id}",
		"http://example.com/a{event_uid}b/{action}?id={entity_id}&x={entity_id}", "http://example.com?{action}",
		"http://example.com/a@b:c;d=e,f!g$h'(i)*+~[]", "http://example.com:65535", "http://example.com:0080/"
	};

	for (size_t i = 0; i < lengthof(urls); i++)
		is_text(url_check(urls[i]), NULL, "I4: accepted: %s", urls[i]);
}

static void
test_bad_urls(void)
{
	static const TextCase cases[] = {
		{"", "the URL does not begin with"},
		{"example.com", "the URL does not begin with"},
		{"//example.com", "the URL does not begin with"},
		{"/path", "the URL does not begin with"},
		{"ftp://example.com/", "the URL does not begin with"},
		{"file:///etc/passwd", "the URL does not begin with"},
		{"gopher://example.com", "the URL does not begin with"},
		{"javascript:alert(1)", "the URL does not begin with"},
		{"http:/example.com", "the URL does not begin with"},
		{"http:example.com", "the URL does not begin with"},
		{"{action}://example.com", "the URL does not begin with"},
		{"http://", "the URL has no host"},
		{"http:///path", "the URL has no host"},
		{"http://?x", "the URL has no host"},
		{"http://:80/", "the URL has no host"},
		{"http://user@example.com/", "user name and password"},
		{"http://user:secret@example.com/", "user name and password"},
		{"http://@example.com/", "user name and password"},
		{"http://example.com@127.0.0.1/", "user name and password"},
		{"http://{entity_id}/", "a placeholder is not allowed"},
		{"http://{entity_id}.example.com/", "a placeholder is not allowed"},
		{"http://example.com:{entity_id}/", "a placeholder is not allowed"},
		{"http://example.com{entity_id}", "a placeholder is not allowed"},
		{"http://exa%6dple.com/", "the URL's host is neither"},
		{"http://example.com\\@evil.example/", "user name and password"},
		{"http://example.com\\.evil.example/", "the URL's host is neither"},
		{"http://-example.com/", "the URL's host is neither"},
		{"http://.example.com/", "the URL's host is neither"},
		{"http://exa*mple.com/", "the URL's host is neither"},
		{"http://[::1/", "the URL's host is neither"},
		{"http://[]/", "the URL's host is neither"},
		{"http://[fe80::1%25eth0]/", "the URL's host is neither"},
		{"http://[127.0.0.1]/", "the URL's host is neither"},
		{"http://[::1]x/", "the URL's port is not"},
		{"http://example.com:/", "the URL's port is not"},
		{"http://example.com:0/", "the URL's port is not"},
		{"http://example.com:65536/", "the URL's port is not"},
		{"http://example.com:99999999999/", "the URL's port is not"},
		{"http://example.com:-1/", "the URL's port is not"},
		{"http://example.com:80:80/", "the URL's port is not"},
		{"http://example.com:http/", "the URL's port is not"},
		{"http://example.com/#top", "a fragment"},
		{"http://example.com#", "a fragment"},
		{"http://example.com/{unknown}", "the URL has a placeholder other"},
		{"http://example.com/{entity_id", "the URL has a placeholder other"},
		{"http://example.com/entity_id}", "the URL has a placeholder other"},
		{"http://example.com/{{entity_id}}", "the URL has a placeholder other"},
		{"http://example.com/{Entity_Id}", "the URL has a placeholder other"},
		{"http://example.com/{}", "the URL has a placeholder other"},
		{"http://example.com/100%", "a percent sign"},
		{"http://example.com/%zz", "a percent sign"},
		{"http://example.com/%{entity_id}", "a percent sign"},
		{"http://example.com/%2{entity_id}", "a percent sign"},
		{"http://example.com/a b", "the URL has a space"},
		{" http://example.com/", "the URL has a space"},
		{"http://example.com/\r\nX: y", "the URL has a space"},
		{"http://example.com/\t", "the URL has a space"},
		{"http://example.com/\x7f", "the URL has a space"},
		{"http://m\xc3\xbcnchen.de/", "the URL has a space"},
		{"http://example.com/\xff", "the URL has a space"},
		{"http://example.com/a\\b", "the URL has a character"},
		{"http://example.com/<x>", "the URL has a character"},
		{"http://example.com/\"", "the URL has a character"},
		{"http://example.com/a|b", "the URL has a character"},
		{"http://example.com/^`", "the URL has a character"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		const char *error = url_check(cases[i].text);

		ok(begins_with(error, cases[i].expected), "R6: refused, case %zu: %s", i, error != NULL ? error : "no error");
	}
}

static void
test_long_urls(void)
{
	static const char start[] = "http://example.com/";
	char	   *url = malloc(1024 * 1024);

	memset(url, 'a', 1024 * 1024);
	memcpy(url, start, strlen(start));
	url[1024 * 1024 - 1] = '\0';
	is_text(url_check(url), "the URL is too long", "R6: a URL of a megabyte");
	url[URL_MAX_LENGTH] = '\0';
	is_text(url_check(url), "the URL is too long", "R6: a URL one character too long");
	url[URL_MAX_LENGTH - 1] = '\0';
	is_text(url_check(url), NULL, "I4: the longest URL");
	memset(url + strlen("http://"), 'a', 255);
	ok(url_check(url) != NULL, "R6: a host name of 255 characters");
	free(url);
}

static void
test_expand(void)
{
	static const char template[] = "http://example.com/x/{entity_id}/y?z=1";
	static const TextCase cases[] = {
		{"42", "http://example.com/x/42/y?z=1"},
		{"", "http://example.com/x//y?z=1"},
		{"/../", "http://example.com/x/%2F..%2F/y?z=1"},
		{"../../admin", "http://example.com/x/..%2F..%2Fadmin/y?z=1"},
		{".", "http://example.com/x/%2E/y?z=1"},
		{"..", "http://example.com/x/%2E%2E/y?z=1"},
		{"...", "http://example.com/x/%2E%2E%2E/y?z=1"},
		{"a.b", "http://example.com/x/a.b/y?z=1"},
		{"@evil.example", "http://example.com/x/%40evil.example/y?z=1"},
		{"?a=b&c", "http://example.com/x/%3Fa%3Db%26c/y?z=1"},
		{"#top", "http://example.com/x/%23top/y?z=1"},
		{"100%", "http://example.com/x/100%25/y?z=1"},
		{"%2e%2e", "http://example.com/x/%252e%252e/y?z=1"},
		{"a b+c", "http://example.com/x/a%20b%2Bc/y?z=1"},
		{"\r\nX: y", "http://example.com/x/%0D%0AX%3A%20y/y?z=1"},
		{"Jos\xc3\xa9 \xf0\x9f\x8e\x89", "http://example.com/x/Jos%C3%A9%20%F0%9F%8E%89/y?z=1"},
		{"\xff\x01", "http://example.com/x/%FF%01/y?z=1"},
		{"{action}", "http://example.com/x/%7Baction%7D/y?z=1"},
		{"\\", "http://example.com/x/%5C/y?z=1"},
		{"AZaz09-._~", "http://example.com/x/AZaz09-._~/y?z=1"},
		{NULL, "http://example.com/x//y?z=1"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		UrlValues	values = {.entity_id = cases[i].text,.action = "SECRET"};
		char		out[200];
		size_t		len = url_expand(template, &values, out, sizeof(out));

		is_text(out, cases[i].expected, "I4: filled in, case %zu", i);
		is_int(len, strlen(cases[i].expected), "I4: its length");
		is_text(url_check(out), NULL, "R6: what comes out is a good URL");
	}
}

static void
test_expand_several(void)
{
	const UrlValues values = {.entity_id = "1/2",.event_uid = "E&1",.action = "update"};
	char		out[100];

	url_expand("http://h/{action}{entity_id}?u={event_uid}&v={event_uid}", &values, out, sizeof(out));
	is_text(out, "http://h/update1%2F2?u=E%261&v=E%261", "I4: all placeholders, one of them twice");
	url_expand("http://h/", &values, out, sizeof(out));
	is_text(out, "http://h/", "I4: no placeholder");
}

/* C15: values that would name another resource. */
static void
test_check_values(void)
{
	static const char empty[] = "a placeholder in the path of the URL has an empty value";
	static const char dots[] = "a placeholder in the path of the URL has the value \".\" or \"..\"";
	static const struct
	{
		const char *url;
		const char *id;
		const char *expected;
	}			cases[] = {
		{"http://h/x/{entity_id}", "1", NULL},
		{"http://h/x/{entity_id}", "", empty},
		{"http://h/x/{entity_id}/y", NULL, empty},
		{"http://h/x/a{entity_id}", "", empty},
		{"http://h/x/{entity_id}", ".", dots},
		{"http://h/x/{entity_id}?y", "..", dots},
		{"http://h/x/{entity_id}/", "..", dots},
		{"http://h/x/.{entity_id}", ".", dots},
		{"http://h/x/{entity_id}{entity_id}", ".", dots},
		{"http://h/x/a{entity_id}", "..", NULL},
		{"http://h/x/{entity_id}a", "..", NULL},
		{"http://h/x/{entity_id}", "...", NULL},
		{"http://h/x/{entity_id}", "..a", NULL},
		{"http://h/x/{entity_id}", "/", NULL},
		{"http://h/x?id={entity_id}", "", NULL},
		{"http://h/x?id=/{entity_id}/", "..", NULL},
		{"http://h/..", "..", NULL},
		{"http://h", "", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		UrlValues	values = {.entity_id = cases[i].id,.action = "update"};

		is_text(url_check_values(cases[i].url, &values), cases[i].expected, "C15: %s, case %zu", cases[i].url, i);
	}
}

/* Every size below the right one, so that the sanitizer sees any byte too many. */
static void
test_expand_sizes(void)
{
	static const char expected[] = "http://h/a%20b/c";
	const UrlValues values = {.entity_id = "a b"};
	bool		refused = true;

	for (size_t size = 0; size < sizeof(expected); size++)
	{
		char	   *out = malloc(size > 0 ? size : 1);

		refused = refused && url_expand("http://h/{entity_id}/c", &values, out, size) == 0;
		refused = refused && (size == 0 || out[0] == '\0');
		free(out);
	}
	ok(refused, "R6: refused when it does not fit");
	{
		char		out[sizeof(expected)];

		is_int(url_expand("http://h/{entity_id}/c", &values, out, sizeof(out)), strlen(expected),
			   "I4: the smallest size that is enough");
	}
}

static void
test_append_query(void)
{
	static const struct
	{
		const char *url;
		const char *name;
		const char *value;
		const char *expected;
	}			cases[] = {
		{"http://h/x", "a", "1", "http://h/x?a=1"},
		{"http://h", "a", "1", "http://h?a=1"},
		{"http://h/x?b=2", "a", "1", "http://h/x?b=2&a=1"},
		{"http://h/x?", "a", "1", "http://h/x?a=1"},
		{"http://h/x?b=2&", "a", "1", "http://h/x?b=2&a=1"},
		{"http://h/x", "a&b", "c=d#e f", "http://h/x?a%26b=c%3Dd%23e%20f"},
		{"http://h/x", "a", "", "http://h/x?a="},
		{"http://h/x", "a", NULL, "http://h/x?a="},
		{"http://h/x", "a", "\xc3\xa9\r\n", "http://h/x?a=%C3%A9%0D%0A"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		char		url[100];
		size_t		len = strlen(cases[i].url);

		memcpy(url, cases[i].url, len + 1);
		len = url_append_query(url, len, sizeof(url), cases[i].name, cases[i].value);
		is_text(url, cases[i].expected, "I4: query, case %zu", i);
		is_int(len, strlen(cases[i].expected), "I4: its length");
	}
	{
		char		url[sizeof("http://h?a=12")] = "http://h";

		is_int(url_append_query(url, strlen(url), sizeof(url), "a", "123"), 0, "R6: a query that does not fit");
		is_text(url, "http://h", "R6: leaves the URL as it was");
		is_int(url_append_query(url, strlen(url), sizeof(url), "a", "12"), strlen("http://h?a=12"),
			   "I4: a query that just fits");
	}
}

static void
test_good_headers(void)
{
	static const TextCase cases[] = {
		{"Authorization", "Bearer abc.def"},
		{"X-Custom", ""},
		{"x_y!#$%&'*+-.^`|~9", "a\tb"},
		{"Content-Type", "application/json; charset=utf-8"},
		{"User-Agent", "Jos\xc3\xa9"},
		{"Hosts", "x"},
		{"TEA", "x"},
		{"Proxy", "x"},
		{"Cell", "x"},
		{"webhook-ids", "x"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		is_text(url_check_header(cases[i].text, cases[i].expected), NULL, "I5: accepted: %s", cases[i].text);
}

static void
test_reserved_headers(void)
{
	static const char *const names[] = {
		"Host", "HOST", "host", "Content-Length", "content-length", "Transfer-Encoding", "TRANSFER-ENCODING", "Connection",
		"Expect", "Upgrade", "TE", "te", "Trailer", "Keep-Alive", "Proxy-Authorization", "proxy-connection", "PROXY-X",
		"webhook-id", "Webhook-ID", "WEBHOOK-ID", "webhook-timestamp", "WebHook-TimeStamp", "webhook-signature",
		"WEBHOOK-SIGNATURE", "ce-id", "CE-type", "ce-anything", "WebHook-Request-Origin", "webhook-request-rate",
		"WEBHOOK-REQUEST-CALLBACK"
	};

	for (size_t i = 0; i < lengthof(names); i++)
		is_text(url_check_header(names[i], "x"), "the header is set by the sender itself", "R6: reserved: %s", names[i]);
}

static void
test_bad_headers(void)
{
	static const struct
	{
		const char *name;
		const char *value;
		const char *error;		/* begins with */
	}			cases[] = {
		{"", "x", "the header's name"},
		{"X Y", "x", "the header's name"},
		{"X:", "x", "the header's name"},
		{"X\r\nY", "x", "the header's name"},
		{"X\t", "x", "the header's name"},
		{"Host ", "x", "the header's name"},
		{" Host", "x", "the header's name"},
		{"H\xc3\xb6st", "x", "the header's name"},
		{"X(Y)", "x", "the header's name"},
		{"X/Y", "x", "the header's name"},
		{"X", "a\r\nHost: evil", "the header's value"},
		{"X", "a\nb", "the header's value"},
		{"X", "a\rb", "the header's value"},
		{"X", "\n", "the header's value"},
		{"X", "a\x01", "the header's value"},
		{"X", "a\x1b[0m", "the header's value"},
		{"X", "a\x7f", "the header's value"},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		const char *error = url_check_header(cases[i].name, cases[i].value);

		ok(begins_with(error, cases[i].error), "R6: refused, case %zu: %s", i, error != NULL ? error : "no error");
	}
}

static void
test_long_headers(void)
{
	char	   *text = malloc(1024 * 1024);

	memset(text, 'a', 1024 * 1024);
	text[1024 * 1024 - 1] = '\0';

	is_text(url_check_header(text, "x"), "the header is too long", "R6: a name of a megabyte");
	is_text(url_check_header("X", text), "the header is too long", "R6: a value of a megabyte");
	text[URL_HEADER_MAX_LENGTH - 3] = '\0';

	is_text(url_check_header("X", text), "the header is too long", "R6: a header one character too long");
	text[URL_HEADER_MAX_LENGTH - 4] = '\0';

	is_text(url_check_header("X", text), NULL, "I5: the longest header");
	free(text);
}

static void
test_parts(void)
{
	char		out[URL_MAX_HOST + 1];

	url_host("https://example.com:8443/a", out, sizeof(out));
	is_text(out, "example.com", "X8: a host with a port");
	url_host("http://[2001:db8::1]/", out, sizeof(out));
	is_text(out, "2001:db8::1", "X8: an IPv6 address without brackets");
	url_host("ftp://example.com/", out, sizeof(out));
	is_text(out, "", "X8: no host of another scheme");
	is_int(url_encode("a b&\xc3\xa4=.~", out, sizeof(out)), 19, "X8: a value of a form");
	is_text(out, "a%20b%26%C3%A4%3D.~", "X8: percent-encoded");
	is_int(url_encode("abc", out, 3), 0, "X8: or not, if it does not fit");
}

int
main(void)
{
	test_good_urls();
	test_bad_urls();
	test_long_urls();
	test_expand();
	test_expand_several();
	test_check_values();
	test_expand_sizes();
	test_append_query();
	test_good_headers();
	test_reserved_headers();
	test_bad_headers();
	test_long_headers();
	test_parts();
	return done();
}
