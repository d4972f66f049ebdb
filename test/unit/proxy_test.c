/*-------------------------------------------------------------------------
 *
 * proxy_test.c
 *		X7: the proxy's URL, and which hosts need none.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/proxy.h"

static void
test_urls(void)
{
	static const struct
	{
		const char *url;
		ProxyScheme scheme;
		const char *host;
		int			port;
		const char *user;
		const char *password;
		const char *shown;
	}			good[] = {
		{"", PROXY_NONE, "", 0, "", "", ""},
		{"http://Proxy.example.com:3128", PROXY_HTTP, "proxy.example.com", 3128, "", "", "http://proxy.example.com:3128"},
		{"HTTPS://10.0.0.1:443/", PROXY_HTTPS, "10.0.0.1", 443, "", "", "https://10.0.0.1:443"},
		{"socks5h://[fd00::1]:1080", PROXY_SOCKS5, "[fd00::1]", 1080, "", "", "socks5h://[fd00::1]:1080"},
		{"http://u:p@h:1", PROXY_HTTP, "h", 1, "u", "p", "http://u:***@h:1"},
		{"http://u@h:65535", PROXY_HTTP, "h", 65535, "u", "", "http://u@h:65535"},
		{"http://u%40x:a%3Ab:c@d@h:1", PROXY_HTTP, "h", 1, "u@x", "a:b:c@d", "http://u@x:***@h:1"},
	};
	static const char *const bad[] = {
		"h:1", "ftp://h:1", "socks5://h:1", "http:/h:1", "http://", "http://h", "http://:1", "http://h:", "http://h:0",
		"http://h:65536", "http://h:99999999999999999999", "http://h:1x", "http://h:1/x", "http://h:1?x", "http://h h:1",
		"http://h\n:1", "http://h:1\r\n", "http://u:%0a@h:1", "http://u:%00@h:1", "http://u:%4@h:1", "http://u:%@h:1",
		"http://u:%zz@h:1", "http://:p@h:1", "http://@h:1", "http://[::1:1", "http://[x]:1", "http://[]:1", "http://h\x80:1",
	};
	ProxyServer server;
	char		shown[PROXY_MAX_SHOWN];
	char		url[2000];

	for (size_t i = 0; i < lengthof(good); i++)
	{
		is_text(proxy_parse(good[i].url, &server), NULL, "X7: \"%s\"", good[i].url);
		is_int(server.scheme, good[i].scheme, "X7: its scheme");
		is_text(server.host, good[i].host, "X7: its host");
		is_int(server.port, good[i].port, "X7: its port");
		is_text(server.user, good[i].user, "X7: its user");
		is_text(server.password, good[i].password, "X7: its password");
		proxy_show(&server, shown, sizeof(shown));
		is_text(shown, good[i].shown, "X7: shown without the password");
	}
	for (size_t i = 0; i < lengthof(bad); i++)
		ok(proxy_parse(bad[i], &server) != NULL, "X7: bad URL %zu", i);
	for (size_t len = 250; len < 260; len++)
	{
		snprintf(url, sizeof(url), "http://u:%0*d@h:1", (int) len, 0);
		is_int(proxy_parse(url, &server) == NULL, len <= PROXY_MAX_CREDENTIAL, "X7: a password of %zu bytes", len);
		snprintf(url, sizeof(url), "http://%0*d:1", (int) len, 0);
		is_int(proxy_parse(url, &server) == NULL, len <= PROXY_MAX_HOST, "X7: a host of %zu bytes", len);
	}
}

static void
test_exceptions(void)
{
	static const char list[] = " Intranet.example.com,.corp.test , *.wild.test,10.0.0.0/8, fd00::/8,192.168.1.7,localhost";
	static const char *const in[] = {
		"intranet.example.com", "INTRANET.example.com.", "a.intranet.example.com", "corp.test", "x.corp.test", "a.wild.test",
		"10.1.2.3", "10.66051", "0x0a010203", "[fd12::1]", "[::ffff:10.1.2.3]", "192.168.1.7", "localhost", "a.localhost",
	};
	static const char *const out[] = {
		"example.com", "otherintranet.example.com", "xcorp.test", "intranet.example.com.evil.test", "11.0.0.1", "10.example.com",
		"[fe80::1]", "192.168.1.8", "", "a",
	};
	static const char *const bad[] = {
		"a b", "a,,b", ",", "a,", "a,  ", "10.0.0.0/33", "http://x", "a:80", "a/8", "*.", ".", "a*b", "a..", "..a", "a..b", "*..a",
	};
	ProxyExceptions exceptions;
	const char *start;
	size_t		len;

	ok(proxy_parse_exceptions(list, &exceptions, &start, &len), "X7: a list of exceptions");
	for (size_t i = 0; i < lengthof(in); i++)
		ok(proxy_excepts(&exceptions, in[i]), "X7: \"%s\" is among them", in[i]);
	for (size_t i = 0; i < lengthof(out); i++)
		ok(!proxy_excepts(&exceptions, out[i]), "X7: \"%s\" is not", out[i]);
	for (size_t i = 0; i < lengthof(bad); i++)
		ok(!proxy_parse_exceptions(bad[i], &exceptions, &start, &len), "X7: bad list \"%s\"", bad[i]);
	ok(proxy_parse_exceptions("", &exceptions, &start, &len) && !proxy_excepts(&exceptions, "a"), "X7: the empty list");
	ok(proxy_parse_exceptions("*", &exceptions, &start, &len) && proxy_excepts(&exceptions, "a"), "X7: all hosts");
}

static void
test_literals(void)
{
	static const char *const literal[] = {
		"127.0.0.1", "127.1", "2130706433", "0x7f.1", "017700000001", "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]",
		"localhost", "LOCALHOST.", "a.localhost",
	};
	static const char *const name[] = {"example.com", "a", "1.2.3.4.5", "127.0.0.1.example.com", "localhost.example.com"};

	for (size_t i = 0; i < lengthof(literal); i++)
		ok(proxy_host_is_literal(literal[i]), "R7: \"%s\" is not left to the proxy", literal[i]);
	for (size_t i = 0; i < lengthof(name); i++)
		ok(!proxy_host_is_literal(name[i]), "R7: \"%s\" is a name", name[i]);
}

int
main(void)
{
	test_urls();
	test_exceptions();
	test_literals();
	return done();
}
