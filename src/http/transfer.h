/*-------------------------------------------------------------------------
 *
 * transfer.h
 *		One request inside libcurl, for http.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TRANSFER_H
#define WEBHOOK_TRANSFER_H

#include <netinet/in.h>

#include <curl/curl.h>

#include "http/http.h"
#include "http/mux.h"
#include "http/route.h"

#define TRANSFER_METHOD_MAX		8

/* Lists of free transfers, by the URL of their last request. */
#define TRANSFER_FREE_LISTS		64
#define TRANSFER_ERROR_MAX		512

typedef struct Buffer
{
	char	   *data;			/* NUL-terminated, or NULL while nothing has
								 * arrived */
	size_t		len;
	size_t		size;
} Buffer;

typedef enum TransferState
{
	TRANSFER_FREE,
	TRANSFER_RUNNING,
	TRANSFER_FINISHED			/* result taken, not yet released */
} TransferState;

struct Transfer
{
	Http	   *http;
	struct Transfer *next_all;
	struct Transfer *next_free;
	TransferState state;
	CURL	   *easy;

	HttpRequest request;
	int			resent;			/* number of times we sent it again */
	int			times_sent;		/* including by libcurl */
	int64_t		spent_before;	/* microseconds, before it was sent again */
	struct curl_slist *lines;	/* nodes for the header lines */
	int			nlines;			/* allocated */

	/* options that are still set from the previous request */
	CURLU	   *parsed_url;
	char	   *url;			/* as text, NULL when unset */
	char		method[TRANSFER_METHOD_MAX];	/* CURLOPT_CUSTOMREQUEST, ""
												 * when unset */
	bool		own_certificates;
	bool		must_renew;		/* it has options that the next request must
								 * not have */
	RouteState	route;

	/* written by the callbacks */
	int			fd;				/* socket that it waits for, or waited for
								 * last; -1: none */
	Buffer		headers;
	Buffer		body;
	size_t		header_bytes;	/* including interim responses */
	bool		headers_done;
	bool		socket_opened;
	int			no_socket;		/* errno, if none could be opened; else 0 */
	bool		connected;		/* TCP; the TLS handshake comes next */
	bool		sent;			/* sending the request has begun, over the
								 * connection that was opened last */
	bool		forbidden;
	bool		too_large;
	bool		out_of_memory;
	HttpProxyFault proxy_fault;
	char		address[INET6_ADDRSTRLEN];	/* the forbidden one */

	char		curl_error[CURL_ERROR_SIZE];
	char		error[TRANSFER_ERROR_MAX];
};

struct Http
{
	CURLM	   *multi;
	Mux		   *mux;
	const NetguardList *allowed;
	Route		route;
	Transfer   *all;
	Transfer   *free[TRANSFER_FREE_LISTS];
	int			nfree;
	int			free_clock_hand;	/* where a transfer with another URL was
									 * taken */
	int			running;		/* started, result not taken */
	int			fd_limit;		/* sockets are below it */
	bool		has_certificates;	/* requests can have some of their own */
	char		failure[TRANSFER_ERROR_MAX];	/* the first one, "" if there
												 * was none */
	int64_t		performed_at;	/* milliseconds on the monotonic clock */
};

/* Take a transfer from the pool, if possible one whose last URL was the same, or create one.  NULL if out of memory. */
extern Transfer *transfer_take(Http *http, const char *url);

/* Return a transfer to the pool.  It must not be in the multi handle. */
extern void transfer_put_back(Transfer *transfer);

/* Free a transfer, and remove it from the multi handle if it is running.  Its Http must forget it. */
extern void transfer_destroy(Transfer *transfer);

/* Discard what has been received, and reset what the callbacks write. */
extern void transfer_discard_response(Transfer *transfer);

/* Prepare a transfer for this request, which is copied; its strings are not. */
extern void transfer_begin(Transfer *transfer, const HttpRequest *request);

/*
 * Prepare to send the same request again, with this timeout and after this
 * many microseconds, over a new connection or any.  Returns false if libcurl fails.
 */
extern bool transfer_prepare_resend(Transfer *transfer, long timeout_ms, int64_t spent, bool own_connection);

/* Callbacks, for transfer_options.c. */
extern curl_socket_t transfer_on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr);
extern int	transfer_on_close_socket(void *arg, curl_socket_t fd);
extern int	transfer_on_connected(void *arg, char *remote, char *local, int remote_port, int local_port);
extern size_t transfer_on_header(char *data, size_t size, size_t nitems, void *arg);
extern size_t transfer_on_body(char *data, size_t size, size_t nitems, void *arg);

#endif							/* WEBHOOK_TRANSFER_H */
