/*-------------------------------------------------------------------------
 *
 * curlbuild.h
 *		Bugs and capabilities of a release and build of libcurl.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CURLBUILD_H
#define WEBHOOK_CURLBUILD_H

#include <stdbool.h>

/*
 * A fault of this release (version_num of curl_version_info()) that a worker suffers from: the end of a sentence that
 * begins with "libcurl" and the release.  NULL: none is known.
 */
extern const char *curlbuild_fault(unsigned int version);

/* Can requests have their own certificates with this TLS library (ssl_version of curl_version_info(), NULL if none)? */
extern bool curlbuild_has_certificates(const char *tls);

#endif							/* WEBHOOK_CURLBUILD_H */
