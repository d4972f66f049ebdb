/*-------------------------------------------------------------------------
 *
 * url.c
 *		URLs with placeholders, and the header lines that go with them.
 *
 * Templates must strictly conform to RFC 3986, since libcurl or the receiver might
 * interpret any deviation differently.  Values of placeholders come from users of the
 * application: they must not be able to change the host or the path.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ascii.h"
#include "pure/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define HTTP_PORT		80
#define HTTPS_PORT		443
#define MAX_PORT		65535

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

/* Part of another text. */
typedef struct Span
{
	const char *start;
	size_t		len;
} Span;

/* The part of a URL before the path. */
typedef struct Origin
{
	bool		https;
	Span		host;			/* with the brackets of an IPv6 address */
	int			port;
	const char *rest;			/* path, query or the end */
} Origin;

/* Output buffer; full is set if something did not fit. */
typedef struct Writer
{
	char	   *out;
	size_t		size;			/* with room for NUL */
	size_t		len;
	bool		full;
} Writer;

static Span
url_span(const char *start, const char *end)
{
	Span		span = {start, (size_t) (end - start)};

	return span;
}

static bool
url_is_alnum(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool
url_is_hex_digit(char c)
{
	return ascii_is_digit(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* Never true for NUL, unlike strchr() alone. */
static bool
url_is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool
url_is_unreserved(char c)
{
	return url_is_alnum(c) || url_is_one_of(c, "-._~");
}

static char
url_to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

/*
 * Does text begin with prefix, in any case?  Not strncasecmp(): the server may
 * run in a locale in which "ID" is not the upper case of "id".
 */
static bool
url_has_prefix(const char *text, const char *prefix)
{
	while (*prefix != '\0' && url_to_lower(*text) == url_to_lower(*prefix))
	{
		text++;

		prefix++;
	}
	return *prefix == '\0';
}

static void
url_put_char(Writer *writer, char c)
{
	if (writer->len + 1 >= writer->size)
		writer->full = true;
	else
		writer->out[writer->len++] = c;
}

/* Everything but unreserved characters is encoded; dots too if encode_dots. */
static void
url_put_encoded(Writer *writer, const char *value, bool encode_dots)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *value != '\0'; value++)
	{
		unsigned char byte = (unsigned char) *value;

		if (url_is_unreserved(*value) && !(encode_dots && *value == '.'))
			url_put_char(writer, *value);
		else
		{
			url_put_char(writer, '%');
			url_put_char(writer, hex[byte >> 4]);
			url_put_char(writer, hex[byte & 0xf]);
		}
	}
}

/* Terminate the text; its length, or 0 and the empty string when it did not fit. */
static size_t
url_finish(Writer *writer)
{
	if (writer->size == 0)
		return 0;
	if (writer->full)
		writer->len = 0;
	writer->out[writer->len] = '\0';
	return writer->len;
}

/* Returns the start of the authority, or NULL if the scheme is neither http nor https. */
static const char *
url_parse_scheme(const char *url, bool *https)
{
	*https = url_has_prefix(url, "https://");
	if (*https)
		return url + strlen("https://");
	return url_has_prefix(url, "http://") ? url + strlen("http://") : NULL;
}

/* "[...]" with an IPv6 address.  Zones are rejected, as they have a meaning on one machine only. */
static bool
url_is_ipv6_literal(Span host)
{
	char		text[INET6_ADDRSTRLEN];
	struct in6_addr addr;
	size_t		len = host.len - 2;

	if (host.len < 2 || host.start[host.len - 1] != ']' || len >= sizeof(text))
		return false;
	memcpy(text, host.start + 1, len);
	text[len] = '\0';

	return inet_pton(AF_INET6, text, &addr) == 1;
}

/* A host name or IPv4 address in any spelling: the resolver decides what it means. */
static bool
url_is_host_name(Span host)
{
	if (host.len > URL_MAX_HOST || !url_is_alnum(host.start[0]))
		return false;
	for (size_t i = 0; i < host.len; i++)
	{
		if (!url_is_alnum(host.start[i]) && !url_is_one_of(host.start[i], "-._"))
			return false;
	}
	return true;
}

/* Parse the digits of a port; -1 if they are not a valid port. */
static int
url_parse_port(Span digits)
{
	int			port = 0;

	for (size_t i = 0; i < digits.len; i++)
	{
		if (!ascii_is_digit(digits.start[i]))
			return -1;
		port = port * 10 + (digits.start[i] - '0');
		if (port > MAX_PORT)
			return -1;
	}
	return port > 0 ? port : -1;
}

/* Split "host" or "host:port"; returns what is wrong, or NULL. */
static const char *
url_parse_authority(Span authority, Origin *origin)
{
	const char *end = authority.start + authority.len;
	const char *host_end;
	bool		bracket = authority.len > 0 && authority.start[0] == '[';

	if (memchr(authority.start, '@', authority.len) != NULL)
		return "user name and password are not allowed in the URL";
	if (memchr(authority.start, '{', authority.len) != NULL)
		return "a placeholder is not allowed in the URL's host";

	host_end = memchr(authority.start, bracket ? ']' : ':', authority.len);
	if (host_end == NULL)
		host_end = end;
	else if (bracket)
		host_end++;

	origin->host = url_span(authority.start, host_end);
	if (origin->host.len == 0)
		return "the URL has no host";
	if (!(bracket ? url_is_ipv6_literal(origin->host) : url_is_host_name(origin->host)))
		return "the URL's host is neither a name nor an address";

	origin->port = origin->https ? HTTPS_PORT : HTTP_PORT;
	if (host_end < end)
	{
		const char *digits = host_end + 1;

		origin->port = url_parse_port(url_span(digits, end));
		if (*host_end != ':' || origin->port < 0)
			return "the URL's port is not a number from 1 to 65535";
	}
	return NULL;
}

/* Split off everything before the path; returns what is wrong, or NULL. */
static const char *
url_parse_origin(const char *url, Origin *origin)
{
	Span		authority = {.start = url_parse_scheme(url, &origin->https)};

	if (authority.start == NULL)
		return "the URL does not begin with \"http://\" or \"https://\"";

	authority.len = strcspn(authority.start, "/?#");
	origin->rest = authority.start + authority.len;
	return url_parse_authority(authority, origin);
}

/*
 * If text begins with a known placeholder, return its length and set *value to the
 * text that replaces it; else return 0.
 */
static size_t
url_match_placeholder(const char *text, const UrlValues *values, const char **value)
{
	const struct
	{
		const char *name;
		const char *value;
	}			placeholders[] = {
		{"{entity_id}", values->entity_id},
		{"{event_uid}", values->event_uid},
		{"{action}", values->action},
	};

	if (*text != '{')
		return 0;
	for (size_t i = 0; i < lengthof(placeholders); i++)
	{
		size_t		len = strlen(placeholders[i].name);

		if (strncmp(text, placeholders[i].name, len) == 0)
		{
			*value = placeholders[i].value != NULL ? placeholders[i].value : "";
			return len;
		}
	}
	return 0;
}

/* Check the part after the authority; returns what is wrong, or NULL. */
static const char *
url_check_path_and_query(const char *text)
{
	static const UrlValues no_values;
	const char *ignored;

	while (*text != '\0')
	{
		size_t		placeholder = url_match_placeholder(text, &no_values, &ignored);

		if (placeholder > 0)
			text += placeholder;

		else if (*text == '{' || *text == '}')
			return "the URL has a placeholder other than {entity_id}, {event_uid} and {action}";
		else if (*text == '#')
			return "a fragment (#) is not allowed in the URL";
		else if (*text == '%' && !(url_is_hex_digit(text[1]) && url_is_hex_digit(text[2])))
			return "a percent sign in the URL is not followed by two hexadecimal digits";
		else if (!url_is_unreserved(*text) && !url_is_one_of(*text, "%/?:@!$&'()*+,;=[]"))
			return "the URL has a character that must be percent-encoded";
		else
			text++;
	}
	return NULL;
}

const char *
url_check(const char *url)
{
	Origin		origin;
	const char *error;

	if (strlen(url) >= URL_MAX_LENGTH)
		return "the URL is too long";
	for (const char *c = url; *c != '\0'; c++)
	{
		if (*c <= ' ' || *c >= 0x7f)
			return "the URL has a space, a control character or a non-ASCII character";
	}

	error = url_parse_origin(url, &origin);
	return error != NULL ? error : url_check_path_and_query(origin.rest);
}

void
url_host(const char *url, char *out, size_t size)
{
	Origin		origin;
	bool		bracket;

	out[0] = '\0';
	if (url_parse_origin(url, &origin) != NULL)
		return;
	bracket = origin.host.start[0] == '[';
	snprintf(out, size, "%.*s", (int) origin.host.len - 2 * bracket, origin.host.start + bracket);
}

size_t
url_encode(const char *value, char *out, size_t size)
{
	Writer		writer = {.out = out,.size = size};

	url_put_encoded(&writer, value, false);
	return url_finish(&writer);
}

size_t
url_expand(const char *url, const UrlValues *values, char *out, size_t size)
{
	Writer		writer = {.out = out,.size = size};

	while (*url != '\0')
	{
		const char *value;
		size_t		placeholder = url_match_placeholder(url, values, &value);

		if (placeholder == 0)
			url_put_char(&writer, *url++);
		else
		{
			/*
			 * Dots alone could make up a path segment that means "here" or
			 * "up".
			 */
			url_put_encoded(&writer, value, value[strspn(value, ".")] == '\0');
			url += placeholder;
		}
	}
	return url_finish(&writer);
}

const char *
url_check_values(const char *url, const UrlValues *values)
{
	bool		filled = false; /* this segment has a placeholder */
	size_t		dots = 0;
	size_t		others = 0;

	for (;; url++)
	{
		const char *value;
		size_t		placeholder = url_match_placeholder(url, values, &value);

		if (placeholder > 0)
		{
			size_t		leading = strspn(value, ".");

			if (value[0] == '\0')
				return "a placeholder in the path of the URL has an empty value";
			filled = true;
			dots += leading;
			others += value[leading] != '\0';
			url += placeholder - 1;
		}
		else if (*url == '/' || *url == '?' || *url == '\0')
		{
			if (filled && others == 0 && dots <= 2)
				return "a placeholder in the path of the URL has the value \".\" or \"..\"";
			if (*url != '/')
				return NULL;
			filled = false;
			dots = others = 0;
		}
		else if (*url == '.')
			dots++;
		else
			others++;
	}
}

size_t
url_append_query(char *url, size_t len, size_t size, const char *name, const char *value)
{
	Writer		writer = {.out = url,.size = size,.len = len};

	if (memchr(url, '?', len) == NULL)
		url_put_char(&writer, '?');
	else if (url[len - 1] != '?' && url[len - 1] != '&')
		url_put_char(&writer, '&');
	url_put_encoded(&writer, name, false);
	url_put_char(&writer, '=');
	url_put_encoded(&writer, value != NULL ? value : "", false);

	/* The URL stays as it was rather than being cut. */
	if (writer.full)
	{
		url[len] = '\0';
		return 0;
	}
	return url_finish(&writer);
}

/* Headers that the worker sets, or that would change the framing of the request. */
static bool
url_is_reserved_header(const char *name)
{
	static const char *const names[] = {
		"Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade",
		"TE", "Trailer", "Keep-Alive", "webhook-id", "webhook-timestamp", "webhook-signature"
	};
	static const char *const prefixes[] = {"Proxy-", "ce-", "WebHook-Request-"};

	for (size_t i = 0; i < lengthof(names); i++)
	{
		if (url_has_prefix(name, names[i]) && strlen(name) == strlen(names[i]))
			return true;
	}
	for (size_t i = 0; i < lengthof(prefixes); i++)
	{
		if (url_has_prefix(name, prefixes[i]))
			return true;
	}
	return false;
}

/* A token as defined by RFC 9110. */
static bool
url_is_token(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		if (!url_is_alnum(*text) && !url_is_one_of(*text, "!#$%&'*+-.^_`|~"))
			return false;
	}
	return true;
}

const char *
url_check_header(const char *name, const char *value)
{
	if (strlen(name) + strlen(": ") + strlen(value) >= URL_HEADER_MAX_LENGTH)
		return "the header is too long";
	if (!url_is_token(name))
		return "the header's name has a character that is not allowed there, or is empty";
	if (url_is_reserved_header(name))
		return "the header is set by the sender itself";

	for (; *value != '\0'; value++)
	{
		unsigned char byte = (unsigned char) *value;

		if ((byte < ' ' && byte != '\t') || byte == 0x7f)
			return "the header's value has a line break or another control character";
	}
	return NULL;
}
