/*-------------------------------------------------------------------------
 *
 * url.h
 *		URLs with placeholders, and the header lines that go with them.
 *
 * Pure: no backend state, no memory allocation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_URL_H
#define WEBHOOK_URL_H

#include <stdbool.h>
#include <stddef.h>

#define URL_MAX_LENGTH			8192
#define URL_HEADER_MAX_LENGTH	8192

/* Values for the placeholders; NULL is filled in as the empty string. */
typedef struct UrlValues
{
	const char *entity_id;		/* {entity_id} */
	const char *event_uid;		/* {event_uid} */
	const char *action;			/* {action} */
} UrlValues;

/*
 * Is this an acceptable URL template?  Absolute, http or https, with a host, no
 * credentials, no control characters, spaces or non-ASCII characters, no
 * fragment, only the known placeholders, and those only after the authority
 * (path or query).  Returns NULL if so, else the reason as a constant lower-case
 * phrase.
 */
extern const char *url_check(const char *url);

/* Copy the host of an acceptable URL, an IPv6 address without its brackets. */
#define URL_MAX_HOST			254 /* a full domain name and its final dot */
extern void url_host(const char *url, char *out, size_t size);

/* Percent-encode everything but unreserved characters.  Returns the length, or 0 if it does not fit in size. */
extern size_t url_encode(const char *value, char *out, size_t size);

/*
 * Fill in the placeholders, percent-encoding everything but unreserved
 * characters (those of "." and "..", too).  out has size bytes; returns the length, or 0 when it does not
 * fit.
 */
extern size_t url_expand(const char *url, const UrlValues *values, char *out, size_t size);

/*
 * Can these values be used in the path?  An empty one, or one that makes a segment "." or "..", would name another
 * resource: receivers resolve such segments even if they are percent-encoded.  NULL when they can, else a constant
 * lower-case phrase.
 */
extern const char *url_check_values(const char *url, const UrlValues *values);

/*
 * Append "name=value" to the query string, percent-encoded, with ? or & as
 * needed.  Returns the new length, or 0 when it does not fit in size.
 */
extern size_t url_append_query(char *url, size_t len, size_t size, const char *name, const char *value);

/*
 * May the user set this request header?  The name must be an RFC 9110 token and
 * none that the sender itself controls (Host, Content-Length, Transfer-Encoding, Connection,
 * Expect, Upgrade, TE, Trailer, Keep-Alive, Proxy-*, webhook-id, webhook-timestamp,
 * webhook-signature, ce-* and WebHook-Request-*); the value must hold no CR, LF, NUL or other control
 * character but tab.  NULL when it may, else a constant lower-case phrase.
 */
extern const char *url_check_header(const char *name, const char *value);

#endif							/* WEBHOOK_URL_H */
