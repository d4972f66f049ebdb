/*-------------------------------------------------------------------------
 *
 * netguard_test.c
 *		R7, W9: which addresses may be connected to.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "pure/netguard.h"

static const NetguardList nothing;

/* A refused range and the addresses just outside; NULL where another refused range begins. */
typedef struct Refused
{
	const char *range;
	const char *first;
	const char *last;
	const char *below;
	const char *above;
} Refused;

static const Refused refused_ipv4[] = {
	{"0/8", "0.0.0.0", "0.255.255.255", NULL, "1.0.0.0"},
	{"10/8", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
	{"100.64/10", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"},
	{"127/8", "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"},
	{"169.254/16", "169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"},
	{"172.16/12", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"},
	{"192.0.0/24", "192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"},
	{"192.0.2/24", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"},
	{"192.88.99/24", "192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"},
	{"192.168/16", "192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"},
	{"198.18/15", "198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"},
	{"198.51.100/24", "198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"},
	{"203.0.113/24", "203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"},
	{"224/4", "224.0.0.0", "239.255.255.255", "223.255.255.255", NULL},
	{"240/4", "240.0.0.0", "255.255.255.255", NULL, NULL},
};

#define ONES_5 "ffff:ffff:ffff:ffff:ffff"
#define ONES_6 ONES_5 ":ffff"
#define ONES_7 ONES_6 ":ffff"

static const Refused refused_ipv6[] = {
	{"unspecified and loopback", "::", "::1", NULL, NULL},
	{"IPv4-compatible", "::2", "::ffff:ffff", NULL, "::1:0:0"},
	{"64:ff9b:1::/48", "64:ff9b:1::", "64:ff9b:1:" ONES_5, "64:ff9b:0:" ONES_5, "64:ff9b:2::"},
	{"100::/64", "100::", "100::ffff:ffff:ffff:ffff", "ff:" ONES_7, "100:0:0:1::"},
	{"2001::/32", "2001::", "2001:0:" ONES_6, "2000:" ONES_7, "2001:1::"},
	{"2001:db8::/32", "2001:db8::", "2001:db8:" ONES_6, "2001:db7:" ONES_6, "2001:db9::"},
	{"2002::/16", "2002::", "2002:" ONES_7, "2001:" ONES_7, "2003::"},
	{"3fff::/20", "3fff::", "3fff:fff:" ONES_6, "3ffe:" ONES_7, "3fff:1000::"},
	{"5f00::/16", "5f00::", "5f00:" ONES_7, "5eff:" ONES_7, "5f01::"},
	{"fc00::/7", "fc00::", "fdff:" ONES_7, "fbff:" ONES_7, "fe00::"},
	{"fe80::/10", "fe80::", "febf:" ONES_7, "fe7f:" ONES_7, NULL},
	{"fec0::/10", "fec0::", "feff:" ONES_7, NULL, NULL},
	{"ff00::/8", "ff00::", "ffff:" ONES_7, NULL, NULL},
};

/* Ways of writing an IPv4 address into an IPv6 address. */
typedef struct Embedding
{
	const char *name;
	const char *prefix;			/* IPv6 address with zeros where the other
								 * goes */
	int			offset;
	const char *open;			/* networks to allow before the inner address
								 * counts */
} Embedding;

static const Embedding embeddings[] = {
	{"mapped", "::ffff:0:0", 12, ""},
	{"translated", "::ffff:0:0:0", 12, ""},
	{"NAT64", "64:ff9b::", 12, ""},
	{"local NAT64", "64:ff9b:1::", 12, "64:ff9b:1::/48"},
	{"6to4", "2002::", 2, "2002::/16"},
};

static NetguardList
list_of(const char *text)
{
	NetguardList list;
	const char *bad;
	size_t		bad_len;

	if (!netguard_parse(text, &list, &bad, &bad_len))
	{
		printf("Bail out! not a list of networks: %s\n", text);
		exit(EXIT_FAILURE);
	}
	return list;
}

static bool
allows_bytes(const NetguardList *list, const unsigned char *ipv6)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6};

	memcpy(&addr.sin6_addr, ipv6, sizeof(addr.sin6_addr));
	return netguard_allows(list, (struct sockaddr *) &addr, sizeof(addr));
}

static bool
allows(const NetguardList *list, const char *text)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	unsigned char ipv6[16];

	if (inet_pton(AF_INET6, text, ipv6) == 1)
		return allows_bytes(list, ipv6);
	if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1)
		return netguard_allows(list, (struct sockaddr *) &ipv4, sizeof(ipv4));
	printf("Bail out! not an address: %s\n", text);
	exit(EXIT_FAILURE);
}

static void
test_ranges(const Refused *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		const Refused *range = &ranges[i];

		ok(!allows(&nothing, range->first), "R7: first of %s refused: %s", range->range, range->first);
		ok(!allows(&nothing, range->last), "R7: last of %s refused: %s", range->range, range->last);
		if (range->below != NULL)
			ok(allows(&nothing, range->below), "R7: below %s allowed: %s", range->range, range->below);
		if (range->above != NULL)
			ok(allows(&nothing, range->above), "R7: above %s allowed: %s", range->range, range->above);
	}
}

static bool
allows_embedded(const NetguardList *list, const Embedding *embedding, const char *ipv4)
{
	unsigned char bytes[16];

	inet_pton(AF_INET6, embedding->prefix, bytes);
	inet_pton(AF_INET, ipv4, bytes + embedding->offset);
	return allows_bytes(list, bytes);
}

/* What is allowed inside is what is allowed outside, for every edge of every range. */
static void
test_embedding(const Embedding *embedding)
{
	NetguardList opened = list_of(embedding->open);

	for (size_t i = 0; i < lengthof(refused_ipv4); i++)
	{
		const Refused *range = &refused_ipv4[i];

		ok(!allows_embedded(&opened, embedding, range->first) &&
		   !allows_embedded(&opened, embedding, range->last),
		   "R7: %s of %s refused", embedding->name, range->range);
		if (range->below != NULL)
			ok(allows_embedded(&opened, embedding, range->below),
			   "R7: %s of %s allowed", embedding->name, range->below);
		if (range->above != NULL)
			ok(allows_embedded(&opened, embedding, range->above),
			   "R7: %s of %s allowed", embedding->name, range->above);
	}
	is_int(allows_embedded(&nothing, embedding, "8.8.8.8"), embedding->open[0] == '\0',
		   "R7: %s of a public address while nothing is opened", embedding->name);
}

static void
test_public(void)
{
	static const char *const addresses[] = {
		"1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"
	};

	for (size_t i = 0; i < lengthof(addresses); i++)
		ok(allows(&nothing, addresses[i]), "W9: public address allowed: %s", addresses[i]);
}

static void
test_opened(void)
{
	NetguardList list = list_of(" 127.0.0.0/8,::1 ,\t10.1.2.3 , fd00:1::/32 , 172.16.0.0/13");

	is_int(list.count, 5, "W9: five networks with blanks around them");
	ok(allows(&list, "127.0.0.1"), "W9: an opened network");
	ok(allows(&list, "::ffff:127.0.0.1"), "W9: the same, mapped");
	ok(allows(&list, "64:ff9b::7f00:1"), "W9: the same, through NAT64");
	ok(!allows(&list, "2002:7f00:1::"), "R7: 6to4 stays refused when only the inner address is opened");
	ok(!allows(&list, "::127.0.0.1"), "R7: so does IPv4-compatible");
	ok(allows(&list, "::1"), "W9: an opened address");
	ok(!allows(&list, "::2"), "R7: its neighbour");
	ok(allows(&list, "10.1.2.3"), "W9: a bare IPv4 address");
	ok(!allows(&list, "10.1.2.2") && !allows(&list, "10.1.2.4"), "R7: its neighbours");
	ok(allows(&list, "fd00:1:ffff::1"), "W9: an opened IPv6 network");
	ok(!allows(&list, "fd00:2::1"), "R7: its neighbour");
	ok(allows(&list, "172.23.255.255"), "W9: last of a prefix that is no whole byte");
	ok(!allows(&list, "172.24.0.0"), "R7: the address after it");
	ok(allows(&list, "8.8.8.8"), "W9: public addresses stay allowed");

	list = list_of("::/0");
	ok(allows(&list, "fe80::1") && allows(&list, "::1"), "W9: all of IPv6 opened");
	ok(!allows(&list, "127.0.0.1"), "R7: which says nothing about IPv4");
	ok(!allows(&list, "::ffff:127.0.0.1") && !allows(&list, "64:ff9b::a00:1") &&
	   !allows(&list, "2002:a00:1::") && !allows(&list, "::10.0.0.1"),
	   "R7: nor about IPv4 inside IPv6");

	list = list_of("0.0.0.0/0");
	ok(allows(&list, "0.0.0.0") && allows(&list, "255.255.255.255"), "W9: all of IPv4 opened");
	ok(!allows(&list, "::1"), "R7: which says nothing about IPv6");

	list = list_of("::ffff:10.0.0.0/104");
	ok(allows(&list, "10.255.255.255"), "W9: a mapped network is the IPv4 network");
	ok(allows(&list, "::ffff:10.0.0.1"), "W9: also for mapped addresses");
	ok(!allows(&list, "127.0.0.1") && !allows(&list, "fd00::1"), "R7: and no more than that");

	list = list_of("192.168.77.200/24");
	ok(allows(&list, "192.168.77.1"), "W9: bits behind the prefix do not matter");
	is_int(list.networks[0].bytes[3], 0, "W9: and are cleared");
}

static void
test_other_families(void)
{
	NetguardList all = list_of("0.0.0.0/0, ::/0");
	struct sockaddr_un local = {.sun_family = AF_UNIX,.sun_path = "/tmp/socket"};
	struct sockaddr_storage unspecified = {.ss_family = AF_UNSPEC};
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};

	ok(!netguard_allows(&all, (struct sockaddr *) &local, sizeof(local)), "R7: Unix sockets never");
	ok(!netguard_allows(&all, (struct sockaddr *) &unspecified, sizeof(unspecified)), "R7: no family never");
	ok(netguard_allows(&all, (struct sockaddr *) &ipv4, sizeof(ipv4)), "W9: a whole IPv4 socket address");
	ok(!netguard_allows(&all, (struct sockaddr *) &ipv4, sizeof(ipv4) - 1), "R7: a cut IPv4 socket address");
	ok(!netguard_allows(&all, (struct sockaddr *) &ipv6, sizeof(ipv6) - 1), "R7: a cut IPv6 socket address");
	ok(!netguard_allows(&all, (struct sockaddr *) &ipv4, 0), "R7: an empty socket address");
}

static void
test_parse_errors(void)
{
	static const struct
	{
		const char *text;
		const char *bad;
	}			cases[] = {
		{"localhost", "localhost"},
		{"10.0.0.0/8, 10.0.0", "10.0.0"},
		{"10.0.0.0/33", "10.0.0.0/33"},
		{"::/129", "::/129"},
		{"10.0.0.0/", "10.0.0.0/"},
		{"10.0.0.0/-1", "10.0.0.0/-1"},
		{"10.0.0.0/+8", "10.0.0.0/+8"},
		{"10.0.0.0/ 8", "10.0.0.0/ 8"},
		{"10.0.0.0/8/8", "10.0.0.0/8/8"},
		{"10.0.0.0/255.0.0.0", "10.0.0.0/255.0.0.0"},
		{"10.0.0.0/99999999999999999999", "10.0.0.0/99999999999999999999"},
		{"010.0.0.1", "010.0.0.1"},
		{"0x7f000001", "0x7f000001"},
		{"256.0.0.1", "256.0.0.1"},
		{"fe80::1%eth0", "fe80::1%eth0"},
		{"[::1]", "[::1]"},
		{":::", ":::"},
		{"10.0.0.0/8 10.0.0.1", "10.0.0.0/8 10.0.0.1"},
		{",", ""},
		{"::1,", ""},
		{"::1,,::2", ""},
		{"/8", "/8"},
		{" , x", ""},
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		NetguardList list;
		const char *bad = NULL;
		size_t		bad_len = 0;
		char		entry[80];
		bool		parsed = netguard_parse(cases[i].text, &list, &bad, &bad_len);

		snprintf(entry, sizeof(entry), "%.*s", (int) bad_len, bad != NULL ? bad : "");
		ok(!parsed, "R6: refused: \"%s\"", cases[i].text);
		is_text(entry, cases[i].bad, "R6: the bad entry is named");
	}
}

static void
test_parse_limits(void)
{
	char		text[(NETGUARD_MAX_NETWORKS + 1) * sizeof("::1,")] = "";
	NetguardList list;
	const char *bad;
	size_t		bad_len;

	ok(netguard_parse("", &list, &bad, &bad_len) && list.count == 0, "W9: an empty list");
	ok(netguard_parse(" \t\n", &list, &bad, &bad_len) && list.count == 0, "W9: a blank list");

	for (int i = 0; i < NETGUARD_MAX_NETWORKS; i++)
		strcat(text, i > 0 ? ",::1" : "::1");
	ok(netguard_parse(text, &list, &bad, &bad_len), "W9: as many networks as there is room for");
	is_int(list.count, NETGUARD_MAX_NETWORKS, "W9: all of them kept");
	strcat(text, ",::2");
	ok(!netguard_parse(text, &list, &bad, &bad_len), "R6: one network more");
	ok(strcmp(bad, "::2") == 0, "R6: it is the one that is named");
}

int
main(void)
{
	test_public();
	test_ranges(refused_ipv4, lengthof(refused_ipv4));
	test_ranges(refused_ipv6, lengthof(refused_ipv6));
	for (size_t i = 0; i < lengthof(embeddings); i++)
		test_embedding(&embeddings[i]);
	test_opened();
	test_other_families();
	test_parse_errors();
	test_parse_limits();
	return done();
}
