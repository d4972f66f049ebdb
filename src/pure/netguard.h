/*-------------------------------------------------------------------------
 *
 * netguard.h
 *		The SSRF guard: which addresses we may connect to.
 *
 * Pure: no backend state, no memory allocation, so that it can be tested and
 * fuzzed without a server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_NETGUARD_H
#define WEBHOOK_NETGUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define NETGUARD_MAX_NETWORKS	64

/* One CIDR range; bytes of the address in network order. */
typedef struct NetguardNetwork
{
	int			family;			/* AF_INET or AF_INET6 */
	int			prefix;			/* bits that must match */
	unsigned char bytes[16];
} NetguardNetwork;

typedef struct NetguardList
{
	int			count;
	NetguardNetwork networks[NETGUARD_MAX_NETWORKS];
} NetguardList;

/*
 * Parse "10.0.0.0/8, ::1/128, 192.168.1.7" (an address alone is a full-length
 * prefix).  On failure returns false and sets *bad to the start of the entry
 * that cannot be read and *bad_len to its length; *list is then unspecified.
 */
extern bool netguard_parse(const char *text, NetguardList *list,
						   const char **bad, size_t *bad_len);

/*
 * True when a connection to addr is allowed: a public unicast address, or one
 * in a range of allowed.  IPv6 forms that embed an IPv4 address (mapped, 6to4,
 * NAT64, ...) are judged by the IPv4 address inside.  Other address families
 * are never allowed.
 */
extern bool netguard_allows(const NetguardList *allowed, const struct sockaddr *addr, socklen_t len);

/* Is addr in one of these networks?  A mapped address is the IPv4 address that it maps. */
extern bool netguard_lists(const NetguardList *list, const struct sockaddr *addr, socklen_t len);

#endif							/* WEBHOOK_NETGUARD_H */
