/*-------------------------------------------------------------------------
 *
 * curlbuild.c
 *		Bugs and capabilities of a release and build of libcurl.
 *
 * Only bugs without workaround are listed.  A distribution may have fixed one
 * without changing the release number.  This is about the library at run time, which
 * may differ from the one at compile time.
 *
 * Pure: strings and numbers only.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <string.h>

#include "pure/curlbuild.h"

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

typedef struct Fault
{
	unsigned int first;
	unsigned int last;
	const char *what;
} Fault;

static const Fault curlbuild_faults[] = {
	/*
	 * sockets of connections that are being closed are never taken out of the
	 * set: curl#14280
	 */
	{0x080900, 0x080901, "can keep a CPU busy after it has closed a connection"},

	/*
	 * the resolver's eventfd stays readable as long as a transfer lasts:
	 * curl#21547
	 */
	{0x081400, 0x081400, "keeps a CPU busy while it waits for a receiver whose name it has resolved"},
	/* connections that it closes itself never finish: curl#22282, curl#22306 */
	{0x081500, 0x081500, "leaks a socket and memory with TLS connections that it closes"}
};

/* TLS libraries that accept PEM text, and ignore a key in the text of a certificate. */
static const char *const curlbuild_tls_libraries[] = {"OpenSSL/", "LibreSSL/", "BoringSSL", "AWS-LC/", "quictls/"};

const char *
curlbuild_fault(unsigned int version)
{
	for (size_t i = 0; i < lengthof(curlbuild_faults); i++)
		if (version >= curlbuild_faults[i].first && version <= curlbuild_faults[i].last)
			return curlbuild_faults[i].what;
	return NULL;
}

bool
curlbuild_has_certificates(const char *tls)
{
	if (tls == NULL)
		return false;

	/* Of several libraries, those in parentheses are not in use. */
	while (*tls == '(')
	{
		tls += strcspn(tls, ")");
		tls += strspn(tls, ") ");
	}
	for (size_t i = 0; i < lengthof(curlbuild_tls_libraries); i++)
		if (strncmp(tls, curlbuild_tls_libraries[i], strlen(curlbuild_tls_libraries[i])) == 0)
			return true;
	return false;
}
