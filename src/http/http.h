/*-------------------------------------------------------------------------
 *
 * http.h
 *		HTTP requests, many at once, behind one file descriptor.
 *
 * The worker starts requests, waits until http_fd() is readable or
 * http_timeout() has passed, calls http_perform() and collects the results.
 * Nothing here touches the database, throws, or allocates with palloc.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_HTTP_H
#define WEBHOOK_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pure/netguard.h"

typedef struct Http Http;

/* How an attempt ended.  http_outcome_name() gives the name that the log shows. */
typedef enum HttpOutcome
{
	HTTP_DELIVERED,				/* 2xx */
	HTTP_REDIRECT,				/* 3xx: never followed */
	HTTP_CLIENT_ERROR,			/* 4xx */
	HTTP_SERVER_ERROR,			/* 5xx, and anything else that is no status */
	HTTP_UNRESOLVED,			/* the host name could not be resolved */
	HTTP_FORBIDDEN_ADDRESS,		/* the network guard said no */
	HTTP_REFUSED,				/* no connection */
	HTTP_RESET,					/* connection lost under the request */
	HTTP_TLS,					/* handshake or certificate */
	HTTP_TIMEOUT,				/* out of time; the error says in which phase */
	HTTP_TOO_LARGE,				/* response above the limit */
	HTTP_PROTOCOL,				/* no valid HTTP */
	HTTP_INVALID,				/* the request could not be built */
	HTTP_AGREED,				/* of a handshake (handshake.h), which this module knows nothing of */
	HTTP_NOT_AGREED
} HttpOutcome;

/*
 * One request.  All strings must stay valid and unchanged until its result has
 * been released (http_release) or the request cancelled.
 */
typedef struct HttpRequest
{
	const char *method;
	const char *url;
	const char *const *headers; /* complete lines, "Name: value"; "Name;" if the value is empty */
	int			nheaders;
	const char *body;			/* NULL: none */
	size_t		body_len;
	long		timeout_ms;		/* for the whole exchange */
	size_t		max_response;	/* bytes of body; as many again of headers */
	const char *client_cert;	/* PEM text or NULL, all three */
	const char *client_key;
	const char *ca_cert;		/* replaces the system's certificate authorities */
	void	   *owner;			/* handed back in the result */
} HttpRequest;

/* The libcurl that is loaded. */
typedef struct HttpLibrary
{
	const char *version;
	const char *tls;			/* its TLS library, "" if it has none */
	const char *fault;			/* of this release, or NULL: see curlbuild.h */
	bool		has_certificates;	/* requests can have some of their own */
} HttpLibrary;

/* The buffers belong to the transfer and live until http_release(). */
typedef struct HttpResult
{
	void	   *owner;
	void	   *transfer;		/* for http_release */
	HttpOutcome outcome;
	int			status;			/* 0 when there was no response */
	const char *headers;		/* header lines as received, CRLF between, NUL-terminated */
	size_t		headers_len;
	const char *body;			/* NUL-terminated too */
	size_t		body_len;
	const char *error;			/* "" or what went wrong, one line */
	int64_t		duration_us;
} HttpResult;

/* Needs no Http, and does not initialize libcurl. */
extern void http_library(HttpLibrary *library);

/*
 * allowed is looked at whenever a socket is opened; it must outlive the Http.
 * max_connections is the number of requests that the caller makes at once; a multiple of it
 * bounds the connections kept open.  NULL when libcurl fails.
 */
extern Http *http_create(const NetguardList *allowed, int max_connections);
extern void http_destroy(Http *http);

extern int	http_fd(const Http *http);
extern long http_timeout(const Http *http); /* milliseconds, -1: none */
extern int	http_running(const Http *http); /* started, result not yet taken */

/*
 * Begin a request.  false when it could not be set up; error (256 bytes) then
 * says why and no result will come.
 */
extern bool http_start(Http *http, const HttpRequest *request, char *error);

/*
 * Drive all transfers as far as they go without waiting.  false: libcurl is out of order and its timeouts with it, so
 * what runs may never end.
 */
extern bool http_perform(Http *http);

/* Take the next finished one; false when there is none. */
extern bool http_result(Http *http, HttpResult *result);
extern void http_release(Http *http, void *transfer);

/* Give up the running request of this owner, without a result.  false: there is none. */
extern bool http_cancel(Http *http, void *owner);

/* Close idle connections, so that new rules (allowed networks) apply to the next request. */
extern void http_forget_connections(Http *http);

/*
 * Value of a response header, into out, without surrounding blanks; the last
 * one counts. false: not there or longer than size - 1.
 */
extern bool http_header(const HttpResult *result, const char *name, char *out, size_t size);

extern const char *http_outcome_name(HttpOutcome outcome);

#endif							/* WEBHOOK_HTTP_H */
