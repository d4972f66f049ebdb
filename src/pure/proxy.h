/*-------------------------------------------------------------------------
 *
 * proxy.h
 *		The proxy that requests go through, and the hosts that need none.
 *
 * Pure: no backend state, no memory allocation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PROXY_H
#define WEBHOOK_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "pure/netguard.h"

#define PROXY_MAX_HOST			255
#define PROXY_MAX_CREDENTIAL	255
#define PROXY_MAX_NAMES			8192

typedef enum ProxyScheme
{
	PROXY_NONE,
	PROXY_HTTP,
	PROXY_HTTPS,
	PROXY_SOCKS5
} ProxyScheme;

typedef struct ProxyServer
{
	ProxyScheme scheme;
	char		host[PROXY_MAX_HOST + 1];	/* with the brackets of an IPv6
											 * address */
	int			port;
	bool		has_user;
	char		user[PROXY_MAX_CREDENTIAL + 1]; /* decoded, as the password */
	char		password[PROXY_MAX_CREDENTIAL + 1];
} ProxyServer;

/* Hosts that are reached without it. */
typedef struct ProxyExceptions
{
	bool		all;
	NetguardList networks;
	char		names[PROXY_MAX_NAMES]; /* in lower case, each ends with NUL;
										 * "" ends the list */
} ProxyExceptions;

/*
 * Parse "scheme://[user[:password]@]host:port"; "" is no proxy.  Returns NULL, or what
 * is wrong as a constant sentence, which does not contain any part of the URL.
 */
extern const char *proxy_parse(const char *url, ProxyServer *server);

/*
 * Parse a list of host names, domains and networks, or "*" for all hosts.  On failure
 * returns false and sets *bad and *bad_len to the entry that cannot be read.
 */
extern bool proxy_parse_exceptions(const char *text, ProxyExceptions *exceptions, const char **bad, size_t *bad_len);

/*
 * Is this host, as in a URL, one of the exceptions?  A name stands for the host and for
 * all hosts below it.  Networks are compared with addresses only.
 */
extern bool proxy_excepts(const ProxyExceptions *exceptions, const char *host);

/* Is this host an address in any spelling, or a name that always means this machine? */
extern bool proxy_host_is_literal(const char *host);

/* The URL without the password; size is PROXY_MAX_SHOWN at least. */
#define PROXY_MAX_SHOWN (PROXY_MAX_HOST + PROXY_MAX_CREDENTIAL + 40)
extern void proxy_show(const ProxyServer *server, char *out, size_t size);

/* The same without credentials. */
extern void proxy_address(const ProxyServer *server, char *out, size_t size);

#endif							/* WEBHOOK_PROXY_H */
