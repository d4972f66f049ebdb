/*-------------------------------------------------------------------------
 *
 * proxy_fuzz.c
 *		R5: the proxy's URL, and the list of hosts that need none.  Input: the URL, a
 *		newline, a host, a newline, the list.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/proxy.h"

/* What is accepted can be sent in both protocols, and is shown without the password. */
static void
check_url(const char *url)
{
	ProxyServer server;
	ProxyServer same;
	char		shown[PROXY_MAX_SHOWN];

	if (proxy_parse(url, &server) != NULL)
		return;
	proxy_show(&server, shown, sizeof(shown));
	MUST(strlen(shown) < sizeof(shown) - 1);
	for (const char *c = shown; *c != '\0'; c++)
		MUST(*c >= ' ' && *c <= '~');
	if (server.scheme == PROXY_NONE)
	{
		MUST(*url == '\0' && *shown == '\0');
		return;
	}
	MUST(server.host[0] != '\0' && server.port > 0 && server.port <= 65535);
	MUST(server.has_user ? server.user[0] != '\0' : server.user[0] == '\0' && server.password[0] == '\0');
	MUST(server.password[0] == '\0' || strstr(shown, ":***@") != NULL);
	for (const char *c = server.user; *c != '\0'; c++)
		MUST((unsigned char) *c >= ' ' && *c != 0x7f);
	for (const char *c = server.password; *c != '\0'; c++)
		MUST((unsigned char) *c >= ' ' && *c != 0x7f);

	/* Without credentials it is a URL of the same proxy. */
	proxy_address(&server, shown, sizeof(shown));
	MUST(strchr(shown, '@') == NULL && proxy_parse(shown, &same) == NULL);
	MUST(same.scheme == server.scheme && same.port == server.port && !same.has_user);
	MUST(strcmp(same.host, server.host) == 0);
}

static void
check_list(const char *list, const char *host)
{
	ProxyExceptions exceptions;
	const char *bad;
	size_t		bad_len;

	if (!proxy_parse_exceptions(list, &exceptions, &bad, &bad_len))
	{
		MUST(bad >= list && bad + bad_len <= list + strlen(list));
		return;
	}
	MUST(exceptions.networks.count >= 0 && exceptions.networks.count <= NETGUARD_MAX_NETWORKS);
	for (const char *name = exceptions.names; *name != '\0'; name += strlen(name) + 1)
		MUST(proxy_excepts(&exceptions, name));
	if (exceptions.all)
		MUST(proxy_excepts(&exceptions, host));
	else if (exceptions.names[0] == '\0' && exceptions.networks.count == 0)
		MUST(!proxy_excepts(&exceptions, host));
	else
		(void) proxy_excepts(&exceptions, host);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *url = fuzz_line(&data, &size);
	char	   *host = fuzz_line(&data, &size);
	char	   *list = fuzz_text(data, size);

	check_url(url);
	check_list(list, host);
	(void) proxy_host_is_literal(host);

	free(url);
	free(host);
	free(list);
	return 0;
}
