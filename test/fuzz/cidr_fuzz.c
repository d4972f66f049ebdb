/*-------------------------------------------------------------------------
 *
 * cidr_fuzz.c
 *		R5: lists of networks.  Input: the bytes of a socket address, then the list.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <netinet/in.h>

#include "pure/netguard.h"

#define ADDRESS_BYTES	16

static bool
is_loopback(const struct in6_addr *addr)
{
	return IN6_IS_ADDR_LOOPBACK(addr) || (IN6_IS_ADDR_V4MAPPED(addr) && addr->s6_addr[12] == 127);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const NetguardList nothing;
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	NetguardList list;
	const char *bad;
	size_t		bad_len;
	char	   *text;

	if (size < ADDRESS_BYTES)
		return 0;
	memcpy(&ipv6.sin6_addr, data, ADDRESS_BYTES);
	memcpy(&ipv4.sin_addr, data, sizeof(ipv4.sin_addr));
	text = fuzz_text(data + ADDRESS_BYTES, size - ADDRESS_BYTES);

	MUST(!is_loopback(&ipv6.sin6_addr) ||
		 !netguard_allows(&nothing, (struct sockaddr *) &ipv6, sizeof(ipv6)));
	MUST(data[0] != 127 || !netguard_allows(&nothing, (struct sockaddr *) &ipv4, sizeof(ipv4)));

	if (netguard_parse(text, &list, &bad, &bad_len))
	{
		/* Opening networks only ever allows more. */
		MUST(list.count >= 0 && list.count <= NETGUARD_MAX_NETWORKS);
		MUST(netguard_allows(&list, (struct sockaddr *) &ipv4, sizeof(ipv4)) ||
			 !netguard_allows(&nothing, (struct sockaddr *) &ipv4, sizeof(ipv4)));
		MUST(netguard_allows(&list, (struct sockaddr *) &ipv6, sizeof(ipv6)) ||
			 !netguard_allows(&nothing, (struct sockaddr *) &ipv6, sizeof(ipv6)));
	}
	else
		MUST(bad >= text && bad + bad_len <= text + strlen(text));

	free(text);
	return 0;
}
