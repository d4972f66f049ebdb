/*-------------------------------------------------------------------------
 *
 * proxy.c
 *		The proxy that requests go through, and the hosts that need none.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ascii.h"
#include "pure/proxy.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define MAX_PORT	65535

static const struct
{
	ProxyScheme scheme;
	const char *prefix;
}			proxy_schemes[] = {
	{PROXY_HTTP, "http://"},
	{PROXY_HTTPS, "https://"},
	{PROXY_SOCKS5, "socks5h://"},
};

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

static char
proxy_to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

static bool
proxy_is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '-' || c == '.' || c == '_';
}

static int
proxy_hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = proxy_to_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decode a user or password.  Control characters cannot be sent in either protocol. */
static bool
proxy_decode(const char *text, size_t len, char *out)
{
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		int			c = (unsigned char) text[i];

		if (c == '%')
		{
			if (len - i < 3 || proxy_hex_value(text[i + 1]) < 0 || proxy_hex_value(text[i + 2]) < 0)
				return false;
			c = proxy_hex_value(text[i + 1]) * 16 + proxy_hex_value(text[i + 2]);
			i += 2;
		}
		if (c < ' ' || c == 0x7f || n >= PROXY_MAX_CREDENTIAL)
			return false;
		out[n++] = (char) c;
	}
	out[n] = '\0';
	return true;
}

/* Read what precedes the @. */
static const char *
proxy_parse_credentials(const char *text, size_t len, ProxyServer *server)
{
	const char *colon = memchr(text, ':', len);
	size_t		user_len = colon != NULL ? (size_t) (colon - text) : len;

	server->has_user = true;
	if (user_len == 0)
		return "The user is missing.";
	if (!proxy_decode(text, user_len, server->user) ||
		(colon != NULL && !proxy_decode(colon + 1, len - user_len - 1, server->password)))
		return "User or password is too long, or has control characters or a % that does not begin an escape.";
	return NULL;
}

static bool
proxy_parse_host(const char *text, size_t len, ProxyServer *server)
{
	bool		bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';

	if (len == 0 || len > PROXY_MAX_HOST)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char		c = proxy_to_lower(text[i]);

		if (bracketed ? !(i == 0 || i == len - 1 || c == ':' || c == '.' || proxy_hex_value(c) >= 0) : !proxy_is_name_char(c))
			return false;
		server->host[i] = c;
	}
	server->host[len] = '\0';
	return true;
}

static int
proxy_parse_port(const char *text)
{
	int			port = 0;

	for (; ascii_is_digit(*text) && port <= MAX_PORT; text++)
		port = port * 10 + (*text - '0');
	return *text == '\0' && port <= MAX_PORT ? port : 0;
}

/* Read host and port. */
static const char *
proxy_parse_authority(const char *text, size_t len, ProxyServer *server)
{
	const char *colon = NULL;
	char		port[8] = "";

	for (size_t i = len; i > 0 && text[i - 1] != ']'; i--)
		if (text[i - 1] == ':')
		{
			colon = text + i - 1;
			break;
		}
	if (!proxy_parse_host(text, colon != NULL ? (size_t) (colon - text) : len, server))
		return "The host is missing or is neither a name nor an address.";
	if (colon != NULL && (size_t) (text + len - colon) <= sizeof(port))
	{
		memcpy(port, colon + 1, text + len - colon - 1);
		port[text + len - colon - 1] = '\0';
	}
	server->port = proxy_parse_port(port);
	return server->port > 0 ? NULL : "The port is missing or is not a number between 1 and 65535.";
}

const char *
proxy_parse(const char *url, ProxyServer *server)
{
	const char *rest = NULL;
	const char *at = NULL;
	const char *problem;
	size_t		len;

	memset(server, 0, sizeof(*server));
	if (*url == '\0')
		return NULL;
	for (size_t i = 0; i < lengthof(proxy_schemes) && rest == NULL; i++)
	{
		const char *prefix = proxy_schemes[i].prefix;
		size_t		n = 0;

		while (prefix[n] != '\0' && proxy_to_lower(url[n]) == prefix[n])
			n++;
		if (prefix[n] != '\0')
			continue;
		server->scheme = proxy_schemes[i].scheme;
		rest = url + n;
	}
	if (rest == NULL)
		return "The URL does not begin with http://, https:// or socks5h://.";
	len = strlen(rest);
	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) rest[i] <= ' ' || rest[i] == 0x7f)
			return "The URL has a blank, a line break or another control character.";
		if (rest[i] == '@')
			at = rest + i;
	}
	if (at != NULL)
	{
		problem = proxy_parse_credentials(rest, at - rest, server);
		if (problem != NULL)
			return problem;
		len -= at + 1 - rest;
		rest = at + 1;
	}
	if (len > 0 && rest[len - 1] == '/')
		len--;
	return proxy_parse_authority(rest, len, server);
}

/* Append a network to the list. */
static bool
proxy_add_network(ProxyExceptions *exceptions, const char *entry)
{
	NetguardList list;
	const char *bad;
	size_t		bad_len;

	if (exceptions->networks.count >= NETGUARD_MAX_NETWORKS || !netguard_parse(entry, &list, &bad, &bad_len))
		return false;
	exceptions->networks.networks[exceptions->networks.count++] = list.networks[0];
	return true;
}

/* Append a name at *used. */
static bool
proxy_add_name(ProxyExceptions *exceptions, size_t *used, const char *entry, size_t len)
{
	/* ".example.com" and "*.example.com" are other ways to write the same. */
	if (len > 1 && entry[0] == '*' && entry[1] == '.')
	{
		entry++;

		len--;
	}
	if (len > 0 && entry[0] == '.')
	{
		entry++;

		len--;
	}
	if (len > 0 && entry[len - 1] == '.')
		len--;
	if (len == 0 || *used + len + 2 > PROXY_MAX_NAMES)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char		c = proxy_to_lower(entry[i]);

		/* With an empty label it would never match. */
		if (!proxy_is_name_char(c) || (c == '.' && (i == 0 || i == len - 1 || entry[i - 1] == '.')))
			return false;
		exceptions->names[(*used)++] = c;
	}
	exceptions->names[(*used)++] = '\0';
	exceptions->names[*used] = '\0';
	return true;
}

static bool
proxy_add_exception(ProxyExceptions *exceptions, size_t *used, const char *text, size_t len)
{
	char		entry[PROXY_MAX_HOST + 1];

	if (len == 0 || len >= sizeof(entry))
		return false;
	memcpy(entry, text, len);
	entry[len] = '\0';
	if (strcmp(entry, "*") == 0)
	{
		exceptions->all = true;
		return true;
	}
	return proxy_add_network(exceptions, entry) || proxy_add_name(exceptions, used, entry, len);
}

bool
proxy_parse_exceptions(const char *text, ProxyExceptions *exceptions, const char **bad, size_t *bad_len)
{
	size_t		used = 0;

	memset(exceptions, 0, sizeof(*exceptions));
	while (ascii_is_blank(*text))
		text++;
	while (*text != '\0')
	{
		const char *end = text + strcspn(text, ",");
		size_t		len = end - text;

		while (len > 0 && ascii_is_blank(text[len - 1]))
			len--;
		if (!proxy_add_exception(exceptions, &used, text, len))
		{
			*bad = text;

			*bad_len = len;
			return false;
		}
		if (*end == '\0')
			return true;
		text = end + 1;
		while (ascii_is_blank(*text))
			text++;
		if (*text == '\0')
		{
			*bad = text;

			*bad_len = 0;
			return false;
		}
	}
	return true;
}

/* The host without the brackets of an IPv6 address and without a final dot, in lower case. */
static void
proxy_normalize_host(const char *host, char *out, size_t size)
{
	size_t		n = 0;

	for (; *host != '\0' && n + 1 < size; host++)
		if (*host != '[' && *host != ']')
			out[n++] = proxy_to_lower(*host);
	if (n > 0 && out[n - 1] == '.')
		n--;
	out[n] = '\0';
}

/* Read a numeric address, in any spelling that the resolver accepts. */
static bool
proxy_parse_address(const char *host, struct sockaddr_storage *addr, socklen_t *len)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST,.ai_socktype = SOCK_STREAM};
	struct addrinfo *found;

	if (getaddrinfo(host, NULL, &hints, &found) != 0)
		return false;
	memcpy(addr, found->ai_addr, found->ai_addrlen);
	*len = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

static bool
proxy_is_within(const char *host, const char *domain)
{
	size_t		host_len = strlen(host);
	size_t		domain_len = strlen(domain);

	if (host_len < domain_len || strcmp(host + host_len - domain_len, domain) != 0)
		return false;
	return host_len == domain_len || host[host_len - domain_len - 1] == '.';
}

bool
proxy_excepts(const ProxyExceptions *exceptions, const char *host)
{
	char		name[PROXY_MAX_HOST + 1];
	struct sockaddr_storage addr;
	socklen_t	len;

	if (exceptions->all)
		return true;
	proxy_normalize_host(host, name, sizeof(name));
	for (const char *entry = exceptions->names; *entry != '\0'; entry += strlen(entry) + 1)
		if (proxy_is_within(name, entry))
			return true;
	return exceptions->networks.count > 0 && proxy_parse_address(name, &addr, &len) &&
		netguard_lists(&exceptions->networks, (struct sockaddr *) &addr, len);
}

bool
proxy_host_is_literal(const char *host)
{
	char		name[PROXY_MAX_HOST + 1];
	struct sockaddr_storage addr;
	socklen_t	len;

	proxy_normalize_host(host, name, sizeof(name));
	return proxy_is_within(name, "localhost") || proxy_parse_address(name, &addr, &len);
}

static const char *
proxy_prefix(const ProxyServer *server)
{
	for (size_t i = 0; i < lengthof(proxy_schemes); i++)
		if (proxy_schemes[i].scheme == server->scheme)
			return proxy_schemes[i].prefix;
	return "";
}

void
proxy_address(const ProxyServer *server, char *out, size_t size)
{
	if (server->scheme == PROXY_NONE)
		out[0] = '\0';
	else
		snprintf(out, size, "%s%s:%d", proxy_prefix(server), server->host, server->port);
}

void
proxy_show(const ProxyServer *server, char *out, size_t size)
{
	if (!server->has_user)
		proxy_address(server, out, size);
	else
		snprintf(out, size, "%s%s%s@%s:%d", proxy_prefix(server), server->user, server->password[0] ? ":***" : "",
				 server->host, server->port);

	/*
	 * The user may have bytes that are no characters in the encoding of
	 * whoever reads this.
	 */
	for (; *out != '\0'; out++)
		if ((unsigned char) *out >= 0x80)
			*out = '?';
}
