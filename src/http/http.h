/*-------------------------------------------------------------------------
 *
 * http.h
 *		HTTP requests, many at once, behind one file descriptor.
 *
 * The worker starts requests with http_start(), waits until http_fd() is readable or
 * http_timeout() has passed, calls http_perform(), takes results with http_result()
 * until there are none, and releases each of them.
 *
 * Nothing here accesses the database, raises errors, or allocates with palloc, and no
 * transaction may be open while the worker waits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_HTTP_H
#define WEBHOOK_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pure/netguard.h"
#include "pure/proxy.h"

typedef struct Http Http;
typedef struct Transfer Transfer;

/* How an attempt ended.  http_outcome_name() gives the name that the log shows. */
typedef enum HttpOutcome
{
	HTTP_DELIVERED,				/* 2xx */
	HTTP_REDIRECT,				/* 3xx: never followed */
	HTTP_CLIENT_ERROR,			/* 4xx */
	HTTP_SERVER_ERROR,			/* 5xx, and any other number */
	HTTP_UNRESOLVED,			/* the host name could not be resolved */
	HTTP_FORBIDDEN_ADDRESS,		/* rejected by netguard.c */
	HTTP_REFUSED,				/* no connection */
	HTTP_RESET,					/* connection lost during the request */
	HTTP_TLS,					/* handshake or certificate */
	HTTP_TIMEOUT,				/* the error contains the phase */
	HTTP_TOO_LARGE,				/* response above the limit */
	HTTP_PROTOCOL,				/* invalid HTTP */
	HTTP_INVALID,				/* the request could not be built */
	HTTP_AGREED,				/* set by the caller for a handshake
								 * (handshake.h) */
	HTTP_NOT_AGREED,
	HTTP_OAUTH,					/* set by the caller: there is no access
								 * token, or the receiver has refused it */
	HTTP_PROXY					/* the proxy's fault, see HttpProxyFault */
} HttpOutcome;

/* With HTTP_PROXY: which requests are affected. */
typedef enum HttpProxyFault
{
	HTTP_PROXY_DOWN,			/* all: it cannot be reached, or rejects our
								 * credentials */
	HTTP_PROXY_REFUSED			/* those to this host, to which it does not
								 * connect */
} HttpProxyFault;

/* The proxy, and which hosts do without. */
typedef struct HttpProxy
{
	const ProxyServer *server;
	const ProxyExceptions *exceptions;
	bool		resolve_here;	/* resolve names here, not there */
	const char *ca_file;		/* of an HTTPS proxy; "": the system's */
} HttpProxy;

/*
 * One request.  The struct is copied.  All strings must remain valid and unchanged until
 * its result has been released by http_release(), or http_start() has failed.
 */
typedef struct HttpRequest
{
	const char *method;
	const char *url;
	const char *const *headers; /* complete lines, "Name: value"; "Name;" for
								 * an empty value */
	int			nheaders;
	const char *body;			/* NULL: none */
	size_t		body_len;
	long		timeout_ms;		/* for the whole exchange */
	size_t		max_response;	/* bytes, for body and headers each */
	const char *client_cert;	/* PEM text or NULL, all three */
	const char *client_key;
	const char *ca_cert;		/* replaces the system's certificate
								 * authorities */
	bool		connect_only;	/* send nothing; it succeeds if the receiver
								 * can be connected to */
	void	   *owner;			/* returned in the result */
} HttpRequest;

/* The libcurl that is loaded. */
typedef struct HttpLibrary
{
	const char *version;
	const char *tls;			/* its TLS library, "" if it has none */
	const char *fault;			/* of this release, or NULL: see curlbuild.h */
	bool		has_certificates;	/* can requests have certificates? */
} HttpLibrary;

/*
 * What libcurl knows of the last connection.  The times are those since the
 * request began, in microseconds, as it gives them: 0 for what was not needed,
 * for example because a connection was open already, and for what was not reached.
 */
typedef struct HttpDetail
{
	const char *address;		/* "" without a connection */
	const char *version;		/* of HTTP, "" without a response */
	int64_t		dns_us;
	int64_t		connect_us;
	int64_t		tls_us;
	int64_t		first_byte_us;
} HttpDetail;

/* The buffers belong to the transfer and live until http_release(). */
typedef struct HttpResult
{
	void	   *owner;
	Transfer   *transfer;		/* for http_release() */
	const char *url;			/* of the request */
	HttpOutcome outcome;
	bool		proxied;		/* the proxy has been asked to connect */
	bool		older_route;	/* ... or not, by settings that have changed
								 * since */
	HttpProxyFault proxy_fault; /* with HTTP_PROXY */
	int			status;			/* 0 when there was no response */
	const char *headers;		/* header lines as received, CRLF between,
								 * NUL-terminated */
	size_t		headers_len;
	const char *body;			/* NUL-terminated too */
	size_t		body_len;
	const char *error;			/* one line, or "" */
	int64_t		duration_us;
	HttpDetail	detail;
} HttpResult;

/* Describe the libcurl that is loaded, without initializing it. */
extern void http_library(HttpLibrary *library);

/*
 * allowed is consulted whenever a socket is opened; it must outlive the Http.
 * max_connections is the maximum number of concurrent requests; a multiple of it
 * limits the pool of open connections.  Returns NULL, and the error (256 bytes), on failure.
 */
extern Http *http_create(const NetguardList *allowed, int max_connections, char *error);

/* Abort all requests, close all connections and free everything, results included.  NULL is allowed. */
extern void http_destroy(Http *http);

/* When to call http_perform(): the descriptor is readable, or this many milliseconds have passed; -1: no limit. */
extern int	http_fd(const Http *http);
extern long http_timeout(const Http *http);

/*
 * Start a request.  Returns false if that fails; error (256 bytes) is set then, and
 * there will be no result.
 */
extern bool http_start(Http *http, const HttpRequest *request, char *error);

/*
 * Drive all transfers as far as possible without waiting.  Returns false if libcurl has
 * failed, or a socket could not be watched: running requests may never end, or time out for
 * no fault of the receiver.  The caller must discard the Http.
 */
extern bool http_perform(Http *http);

/* Why http_perform() has returned false. */
extern const char *http_failure(const Http *http);

/*
 * Take the result of a finished request; false if there is none.  Its memory is valid
 * until http_release(), which must be called once for each.
 */
extern bool http_result(Http *http, HttpResult *result);
extern void http_release(Transfer *transfer);

/* Close idle connections, so that a new list of allowed networks applies to the next request. */
extern void http_forget_connections(Http *http);

/*
 * Use this proxy for all requests from now on; returns false if it has been in use.
 * No connection that was opened before is used again.
 */
extern bool http_use_proxy(Http *http, const HttpProxy *proxy);

/* Does a request with this URL go through it? */
extern bool http_is_proxied(const Http *http, const char *url);

/*
 * Copy the value of a response header, the last one of that name, without
 * surrounding blanks.  Returns false if it is missing or longer than size - 1.
 */
extern bool http_header(const HttpResult *result, const char *name, char *out, size_t size);

extern const char *http_outcome_name(HttpOutcome outcome);

#endif							/* WEBHOOK_HTTP_H */
