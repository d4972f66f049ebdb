/*-------------------------------------------------------------------------
 *
 * netguard.c
 *		The SSRF guard: which addresses we may connect to.
 *
 * A role that can create webhooks chooses a URL, and the request then comes from
 * inside the network of the database server.  So that this cannot be used to reach
 * internal services, connections are allowed to public addresses only, unless the
 * administrator allows others.
 *
 * The address passed to connect() is checked, not the host name: names have many
 * spellings (octal, hexadecimal, one single number), and may resolve to another
 * address between check and use.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ascii.h"
#include "pure/netguard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define IPV4_BYTES	4
#define IPV6_BYTES	16
#define IPV4_BITS	32
#define IPV6_BITS	128

/* An IPv4-mapped address is an IPv4 address after a prefix of this length. */
#define MAPPED_BITS (IPV6_BITS - IPV4_BITS)

typedef struct Range
{
	unsigned char prefix;		/* bits that must match */
	unsigned char bytes[IPV6_BYTES];	/* the rest is zero */
} Range;

/* Not public, from the IANA registry of special-purpose IPv4 addresses. */
static const Range netguard_refused_ipv4[] = {
	{8, {0}},					/* this network */
	{8, {10}},					/* private */
	{10, {100, 64}},			/* shared, carrier-grade NAT */
	{8, {127}},					/* loopback */
	{16, {169, 254}},			/* link-local, metadata services of clouds */
	{12, {172, 16}},			/* private */
	{24, {192, 0, 0}},			/* protocol assignments */
	{24, {192, 0, 2}},			/* documentation */
	{24, {192, 88, 99}},		/* 6to4 relays */
	{16, {192, 168}},			/* private */
	{15, {198, 18}},			/* benchmarks */
	{24, {198, 51, 100}},		/* documentation */
	{24, {203, 0, 113}},		/* documentation */
	{4, {224}},					/* multicast */
	{4, {240}},					/* reserved, broadcast */
};

/* The same for IPv6. */
static const Range netguard_refused_ipv6[] = {
	{96, {0}},					/* unspecified, loopback, IPv4-compatible */
	{48, {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}}, /* NAT64 of one's own network */
	{64, {0x01, 0x00}},			/* discard */
	{32, {0x20, 0x01, 0x00, 0x00}}, /* Teredo */
	{32, {0x20, 0x01, 0x0d, 0xb8}}, /* documentation */
	{16, {0x20, 0x02}},			/* 6to4 */
	{20, {0x3f, 0xff}},			/* documentation */
	{16, {0x5f, 0x00}},			/* segment routing */
	{7, {0xfc}},				/* unique local */
	{10, {0xfe, 0x80}},			/* link-local */
	{10, {0xfe, 0xc0}},			/* site-local */
	{8, {0xff}},				/* multicast */
};

/* Where IPv6 addresses carry an IPv4 address. */
static const struct
{
	Range		range;
	int			offset;			/* of the first of its four bytes */
}			embeddings[] = {
	{{96, {0}}, 12},			/* IPv4-compatible */
	{{96, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, 12}, /* IPv4-mapped */
	{{96, {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}}, 12}, /* IPv4-translated */
	{{96, {0x00, 0x64, 0xff, 0x9b}}, 12},	/* NAT64 */
	{{48, {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}}, 12},	/* NAT64 of one's own
														 * network */
	{{16, {0x20, 0x02}}, 2},	/* 6to4 */
};

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

static const unsigned char netguard_loopback_ipv6[IPV6_BYTES] = {[IPV6_BYTES - 1] = 1};
static const unsigned char netguard_mapped_prefix[IPV6_BYTES] = {[10] = 0xff,[11] = 0xff};

/* Do the first prefix bits of a and b agree? */
static bool
netguard_bits_match(const unsigned char *a, const unsigned char *b, int prefix)
{
	int			whole = prefix / 8;
	int			rest = prefix % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

static bool
netguard_in_ranges(const Range *ranges, size_t count, const unsigned char *addr)
{
	for (size_t i = 0; i < count; i++)
	{
		if (netguard_bits_match(addr, ranges[i].bytes, ranges[i].prefix))
			return true;
	}
	return false;
}

static bool
netguard_in_list(const NetguardList *list, int family, const unsigned char *addr)
{
	for (int i = 0; i < list->count; i++)
	{
		const NetguardNetwork *network = &list->networks[i];

		if (network->family == family && netguard_bits_match(addr, network->bytes, network->prefix))
			return true;
	}
	return false;
}

static bool
netguard_allows_ipv4(const NetguardList *allowed, const unsigned char *addr)
{
	return netguard_in_list(allowed, AF_INET, addr) ||
		!netguard_in_ranges(netguard_refused_ipv4, lengthof(netguard_refused_ipv4), addr);
}

/* The IPv4 address inside an IPv6 address, or NULL. */
static const unsigned char *
netguard_embedded_ipv4(const unsigned char *addr)
{
	static const unsigned char unspecified[IPV6_BYTES];

	/* These two look IPv4-compatible but are addresses in their own right. */
	if (memcmp(addr, unspecified, IPV6_BYTES) == 0 || memcmp(addr, netguard_loopback_ipv6, IPV6_BYTES) == 0)
		return NULL;

	for (size_t i = 0; i < lengthof(embeddings); i++)
	{
		if (netguard_bits_match(addr, embeddings[i].range.bytes, embeddings[i].range.prefix))
			return addr + embeddings[i].offset;
	}
	return NULL;
}

/*
 * The IPv4 address inside must be allowed, and so must the outer address by
 * its own range.  So opening 6to4 or a NAT64 prefix never opens a way around
 * the rules for IPv4.
 */
static bool
netguard_allows_ipv6(const NetguardList *allowed, const unsigned char *addr)
{
	const unsigned char *inner = netguard_embedded_ipv4(addr);

	if (inner != NULL && !netguard_allows_ipv4(allowed, inner))
		return false;
	return netguard_in_list(allowed, AF_INET6, addr) ||
		!netguard_in_ranges(netguard_refused_ipv6, lengthof(netguard_refused_ipv6), addr);
}

/* Copy the bytes of an address; returns its family, or AF_UNSPEC if it is none of ours. */
static int
netguard_address_bytes(const struct sockaddr *addr, socklen_t len, unsigned char *bytes)
{
	/*
	 * Copied because the caller's buffer need not be aligned for what it
	 * holds.
	 */
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
	sa_family_t family;

	if (len < offsetof(struct sockaddr, sa_family) + sizeof(family))
		return AF_UNSPEC;
	memcpy(&family, (const char *) addr + offsetof(struct sockaddr, sa_family), sizeof(family));

	if (family == AF_INET && len >= sizeof(ipv4))
	{
		memcpy(&ipv4, addr, sizeof(ipv4));
		memcpy(bytes, &ipv4.sin_addr, IPV4_BYTES);
		return AF_INET;
	}
	if (family == AF_INET6 && len >= sizeof(ipv6))
	{
		memcpy(&ipv6, addr, sizeof(ipv6));
		memcpy(bytes, &ipv6.sin6_addr, IPV6_BYTES);
		return AF_INET6;
	}
	return AF_UNSPEC;
}

bool
netguard_allows(const NetguardList *allowed, const struct sockaddr *addr, socklen_t len)
{
	unsigned char bytes[IPV6_BYTES];

	switch (netguard_address_bytes(addr, len, bytes))
	{
		case AF_INET:
			return netguard_allows_ipv4(allowed, bytes);
		case AF_INET6:
			return netguard_allows_ipv6(allowed, bytes);
		default:
			return false;
	}
}

bool
netguard_lists(const NetguardList *list, const struct sockaddr *addr, socklen_t len)
{
	unsigned char bytes[IPV6_BYTES];
	int			family = netguard_address_bytes(addr, len, bytes);

	if (family == AF_INET6 && netguard_bits_match(bytes, netguard_mapped_prefix, MAPPED_BITS))
		return netguard_in_list(list, AF_INET, bytes + IPV6_BYTES - IPV4_BYTES);
	return family != AF_UNSPEC && netguard_in_list(list, family, bytes);
}

/* Read the digits after the slash; -1 if they are not a number up to max. */
static int
netguard_parse_prefix(const char *text, int max)
{
	int			prefix = 0;

	if (*text == '\0')
		return -1;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9')
			return -1;
		prefix = prefix * 10 + (*text - '0');
		if (prefix > max)
			return -1;
	}
	return prefix;
}

/* Clear the bits after the prefix, so that equal networks look equal. */
static void
netguard_clear_host_bits(NetguardNetwork *network)
{
	for (int i = 0; i < IPV6_BYTES; i++)
	{
		int			keep = network->prefix - i * 8;

		if (keep <= 0)
			network->bytes[i] = 0;
		else if (keep < 8)
			network->bytes[i] &= 0xff << (8 - keep);
	}
}

/* Parse one "address" or "address/prefix" of the given length. */
static bool
netguard_parse_network(const char *text, size_t len, NetguardNetwork *network)
{
	char		entry[INET6_ADDRSTRLEN + sizeof("/128")];
	char	   *slash;
	int			bits;

	if (len >= sizeof(entry))
		return false;
	memcpy(entry, text, len);
	entry[len] = '\0';

	slash = strchr(entry, '/');
	if (slash != NULL)
		*slash = '\0';

	memset(network, 0, sizeof(*network));
	network->family = strchr(entry, ':') != NULL ? AF_INET6 : AF_INET;
	bits = network->family == AF_INET6 ? IPV6_BITS : IPV4_BITS;
	if (inet_pton(network->family, entry, network->bytes) != 1)
		return false;

	network->prefix = slash != NULL ? netguard_parse_prefix(slash + 1, bits) : bits;
	if (network->prefix < 0)
		return false;

	/* A mapped network is the IPv4 network that it maps. */
	if (network->family == AF_INET6 && network->prefix >= MAPPED_BITS &&
		netguard_bits_match(network->bytes, netguard_mapped_prefix, MAPPED_BITS))
	{
		network->family = AF_INET;
		network->prefix -= MAPPED_BITS;
		memmove(network->bytes, network->bytes + IPV6_BYTES - IPV4_BYTES, IPV4_BYTES);
	}
	netguard_clear_host_bits(network);
	return true;
}

bool
netguard_parse(const char *text, NetguardList *list, const char **bad, size_t *bad_len)
{
	list->count = 0;
	while (ascii_is_blank(*text))
		text++;

	if (*text == '\0')
		return true;

	for (;;)
	{
		const char *end = text + strcspn(text, ",");
		size_t		len = end - text;

		while (len > 0 && ascii_is_blank(text[len - 1]))
			len--;

		/* One entry too many is as bad as one that cannot be read. */
		if (list->count >= NETGUARD_MAX_NETWORKS ||
			!netguard_parse_network(text, len, &list->networks[list->count]))
		{
			*bad = text;

			*bad_len = len;
			return false;
		}
		list->count++;

		if (*end == '\0')
			return true;
		text = end + 1;

		while (ascii_is_blank(*text))
			text++;
	}
}
