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

#define TRANSFER_METHOD_MAX		8
#define TRANSFER_ERROR_MAX		512

typedef struct Buffer
{
	char	   *data;			/* NUL-terminated, or NULL while nothing has arrived */
	size_t		len;
	size_t		size;
} Buffer;

typedef enum TransferState
{
	TRANSFER_FREE,
	TRANSFER_RUNNING,
	TRANSFER_FINISHED			/* result taken, not yet released */
} TransferState;

typedef struct Transfer
{
	Http	   *http;
	struct Transfer *next_all;
	struct Transfer *next_free;
	TransferState state;
	CURL	   *easy;

	HttpRequest request;
	int			resent;			/* so often, by us */
	int			times_sent;		/* by us and by libcurl */
	int64_t		spent_before;	/* microseconds, before it was sent again */
	struct curl_slist *lines;	/* nodes for the header lines */
	int			nlines;			/* allocated */

	/* options that easy has kept from the request before */
	CURLU	   *parsed_url;
	char	   *url;			/* as text, NULL when unset */
	char		method[TRANSFER_METHOD_MAX]; /* CURLOPT_CUSTOMREQUEST, "" when unset */
	bool		own_certificates;

	/* written by the callbacks */
	int			fd;				/* that it waits for or has waited for last, -1: none */
	Buffer		headers;
	Buffer		body;
	size_t		header_bytes;	/* of all responses, interim ones too */
	bool		headers_done;
	bool		socket_opened;
	bool		connected;		/* TCP; the TLS handshake comes next */
	bool		forbidden;
	bool		too_large;
	bool		out_of_memory;
	char		address[INET6_ADDRSTRLEN];	/* that was forbidden */

	char		curl_error[CURL_ERROR_SIZE];
	char		error[TRANSFER_ERROR_MAX];
} Transfer;

struct Http
{
	CURLM	   *multi;
	Mux		   *mux;
	const NetguardList *allowed;
	Transfer   *all;
	Transfer   *free;
	int			running;		/* started, result not taken */
	int			fd_limit;		/* sockets are below it */
	bool		has_certificates;	/* requests can have some of their own */
	int64_t		performed_at;	/* milliseconds on the monotonic clock */
};

/* One from the pool, or a new one.  NULL: out of memory. */
extern Transfer *transfer_take(Http *http);
extern void transfer_put_back(Transfer *transfer);
extern void transfer_destroy(Transfer *transfer);

/* Forget the request before and set what this one needs. */
extern void transfer_begin(Transfer *transfer, const HttpRequest *request);

/*
 * Get ready to send the same request once more, with so much time left and so
 * much spent, over a connection of its own or any.  false: libcurl refuses.
 */
extern bool transfer_begin_again(Transfer *transfer, long timeout_ms, int64_t spent, bool own_connection);

/* Let the running request take so much longer than it should; 0: no longer.  false: libcurl refuses. */
extern bool transfer_allow_more(Transfer *transfer, long ms);
extern CURLcode transfer_set_request_options(Transfer *transfer);

/* How it ended; writes the transfer's error. */
extern HttpOutcome outcome_judge(Transfer *transfer, CURLcode code, int status);

/* Has nobody but the connection seen this request?  Then it can be sent again. */
extern bool outcome_not_taken(const Transfer *transfer, CURLcode code);

/* Is that so because nothing could be sent over a connection that was kept?  Then there may be more of them. */
extern bool outcome_stale_connection(const Transfer *transfer, CURLcode code);

/* libcurl's own words, or its general ones for the code. */
extern const char *outcome_curl_words(const Transfer *transfer, CURLcode code);

/* One line, whatever a receiver put into it. */
extern void outcome_set_error(Transfer *transfer, const char *format,...)
			__attribute__((format(printf, 2, 3)));

#endif							/* WEBHOOK_TRANSFER_H */
