/*-------------------------------------------------------------------------
 *
 * http.c
 *		HTTP requests, many at once, behind one file descriptor.
 *
 * A thin layer over libcurl's multi interface, driven by socket events.  It
 * runs inside a PostgreSQL background worker, and that shapes it:
 *
 * libcurl is not built for longjmp(), so nothing here may throw.  Callbacks
 * record what they saw in their Transfer and return a code; the outcome is
 * worked out when libcurl has let go of the transfer.  Memory is malloc()ed.
 *
 * libcurl resolves host names in threads.  A signal delivered to one of them
 * would run the worker's handler there, so all signals are blocked while
 * such a thread may be started: threads inherit the mask.
 *
 * Setting up a request is on the hot path.  Transfers, each an easy handle
 * with its buffers, are pooled and keep the options that never change; a request
 * sets the rest, and libcurl gets pointers to the caller's strings wherever it
 * does not insist on a copy.
 *
 * Receivers are not trusted.  Everything they send is bounded: bytes of headers
 * (interim responses included) and of body, and the time for all of it.  Which
 * addresses may be talked to is checked when a socket is opened, with the address really
 * used, and again for every request, since it may get a connection opened under
 * other rules.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "compat.h"
#include "http.h"
#include "mux.h"

/* Socket events handled before the caller gets its turn again. */
#define PERFORM_EVENTS		128

/* A host that has not accepted a connection by then (TLS handshake included) is down. */
#define CONNECT_TIMEOUT_MS	10000L

/* A connection is given up after this time even if it is in use, so that changes in DNS are noticed. */
#define CONNECTION_LIFETIME_S	300L
#define CONNECTION_IDLE_S	60L
#define DNS_CACHE_S			30L

/* Response buffers up to this size stay with a pooled transfer; a rare large response gives its memory back. */
#define BUFFER_START		512
#define BUFFER_KEEP			16384

/*
 * libcurl waits for "100 Continue" before it sends bodies from 1 MB on; half
 * of that is where we start to forbid it.  Not with every request,
 * because libcurl compares each header line with many names.
 */
#define EXPECT_BODY_SIZE	(512 * 1024)

#define METHOD_MAX			8
#define ERROR_MAX			512
#define START_ERROR_MAX		256 /* as promised in http.h */

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
	struct curl_slist *lines;	/* nodes for the header lines */
	int			nlines;			/* allocated */

	/* options that easy has kept from the request before */
	CURLU	   *parsed_url;
	char	   *url;			/* as text, NULL when unset */
	char		method[METHOD_MAX]; /* CURLOPT_CUSTOMREQUEST, "" when unset */
	bool		own_certificates;

	/* written by the callbacks */
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
	char		error[ERROR_MAX];
} Transfer;

struct Http
{
	CURLM	   *multi;
	Mux		   *mux;
	const NetguardList *allowed;
	Transfer   *all;
	Transfer   *free;
	int			running;		/* started, result not taken */
};

/*
 * Buffers.
 */
static bool
buffer_append(Buffer *buffer, const char *data, size_t len)
{
	size_t		needed = buffer->len + len + 1;

	if (needed > buffer->size)
	{
		size_t		size = buffer->size > 0 ? buffer->size : BUFFER_START;
		char	   *grown;

		while (size < needed)
			size *= 2;
		grown = realloc(buffer->data, size);
		if (grown == NULL)
			return false;
		buffer->data = grown;
		buffer->size = size;
	}
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
	return true;
}

static void
buffer_clear(Buffer *buffer)
{
	buffer->len = 0;
	if (buffer->data != NULL)
		buffer->data[0] = '\0';
}

static void
buffer_free(Buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(Buffer));
}

static void
buffer_shrink(Buffer *buffer)
{
	if (buffer->size > BUFFER_KEEP)
		buffer_free(buffer);
}

/*
 * The network guard.
 */
static bool
address_allowed(Transfer *transfer, const struct sockaddr *addr, socklen_t len)
{
	const void *bytes = NULL;

	if (netguard_allows(transfer->http->allowed, addr, len))
		return true;

	transfer->forbidden = true;
	if (addr->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *) addr)->sin_addr;
	else if (addr->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *) addr)->sin6_addr;
	if (bytes == NULL ||
		inet_ntop(addr->sa_family, bytes, transfer->address, sizeof(transfer->address)) == NULL)
		strcpy(transfer->address, "?");
	return false;
}

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	Transfer   *transfer = arg;
	int			type = addr->socktype;
	int			fd;

	(void) purpose;
	if (!address_allowed(transfer, &addr->addr, addr->addrlen))
		return CURL_SOCKET_BAD;

#ifdef SOCK_CLOEXEC
	type |= SOCK_CLOEXEC;
#endif
	fd = socket(addr->family, type, addr->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
#ifndef SOCK_CLOEXEC
	fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif

	if (!mux_opened(transfer->http->mux, fd))
	{
		close(fd);
		return CURL_SOCKET_BAD;
	}
	transfer->socket_opened = true;
	return fd;
}

/* A connection outlives the transfer that opened it, so this one gets the Http. */
static int
on_close_socket(void *arg, curl_socket_t fd)
{
	Http	   *http = arg;

	mux_closed(http->mux, fd);
	return close(fd);
}

/* Called when a connection is there, just before the request is sent over it. */
static int
on_connected(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	Transfer   *transfer = arg;
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	bool		ok;

	(void) local;
	(void) remote_port;
	(void) local_port;
	if (inet_pton(AF_INET, remote, &v4.sin_addr) == 1)
		ok = address_allowed(transfer, (struct sockaddr *) &v4, sizeof(v4));
	else if (inet_pton(AF_INET6, remote, &v6.sin6_addr) == 1)
		ok = address_allowed(transfer, (struct sockaddr *) &v6, sizeof(v6));
	else
		ok = false;
	return ok ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/*
 * What the receiver sends.
 */

/* Called once for each line, status lines and the empty one at the end included. */
static size_t
on_header(char *data, size_t size, size_t nitems, void *arg)
{
	Transfer   *transfer = arg;
	size_t		len = size * nitems;

	transfer->header_bytes += len;
	if (transfer->header_bytes > transfer->request.max_response)
	{
		transfer->too_large = true;
		return 0;
	}

	if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
	{
		/* Whatever came before was an interim response. */
		buffer_clear(&transfer->headers);
		transfer->headers_done = false;
		return len;
	}
	if (data[0] == '\r' || data[0] == '\n')
		transfer->headers_done = true;
	if (transfer->headers_done)
		return len;				/* not interested in trailers */

	if (!buffer_append(&transfer->headers, data, len))
	{
		transfer->out_of_memory = true;
		return 0;
	}
	return len;
}

static size_t
on_body(char *data, size_t size, size_t nitems, void *arg)
{
	Transfer   *transfer = arg;
	size_t		len = size * nitems;
	size_t		room = transfer->request.max_response - transfer->body.len;

	/* The log shows the beginning of what is too long. */
	transfer->too_large = len > room;
	if (!buffer_append(&transfer->body, data, transfer->too_large ? room : len))
		transfer->out_of_memory = true;
	return transfer->too_large || transfer->out_of_memory ? 0 : len;
}

/*
 * What libcurl wants to wait for.
 *
 * These report success in any case: to libcurl, failure means that all transfers are
 * to be abandoned.  If a socket could not be watched, its transfer runs out of time.
 */
static int
on_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	Http	   *http = arg;
	int			wanted = 0;

	(void) socket_arg;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
	{
		Transfer   *transfer;

		/* A socket is watched for writing until the connection is there. */
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &transfer);
		transfer->connected = transfer->socket_opened;
		wanted |= MUX_READ;
	}
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		wanted |= MUX_WRITE;
	mux_watch(http->mux, fd, wanted);
	return 0;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	Http	   *http = arg;

	(void) multi;
	mux_set_timer(http->mux, timeout_ms);
	return 0;
}

/*
 * Options.  SET stops at the first that libcurl does not take.
 */
#define SET(option, value) \
	do { \
		CURLcode	rc_ = curl_easy_setopt(transfer->easy, (option), (value)); \
		if (rc_ != CURLE_OK) \
			return rc_; \
	} while (0)

/* Those that are the same for all requests. */
static CURLcode
set_constant_options(Transfer *transfer)
{
	SET(CURLOPT_PRIVATE, transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->curl_error);
	SET(CURLOPT_NOSIGNAL, 1L);
#ifdef WEBHOOK_CURL_QUICK_EXIT
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif

	/* where to */
	SET(WEBHOOK_CURLOPT_PROTOCOLS, WEBHOOK_CURL_HTTP_HTTPS);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "*");	/* else the environment is searched for every request */
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, transfer);
	SET(CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	SET(CURLOPT_CLOSESOCKETDATA, transfer->http);
	SET(CURLOPT_PREREQFUNCTION, on_connected);
	SET(CURLOPT_PREREQDATA, transfer);

	/* how */
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);

	/* how long */
	SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	SET(CURLOPT_DNS_CACHE_TIMEOUT, DNS_CACHE_S);
	SET(CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_S);
	SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFETIME_S);

	/* what comes back */
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, transfer);
	return CURLE_OK;
}

/*
 * libcurl compares certificates, but not keys, when it looks for a connection
 * or a TLS session to use again.  Someone who knows another's certificate, which
 * is no secret, could then speak in his name without the key.  So the key stands
 * behind the certificate as well, where OpenSSL skips it, and is compared with it.
 */
static CURLcode
set_client_certificate(Transfer *transfer)
{
	const char *cert = transfer->request.client_cert;
	const char *key = transfer->request.client_key ? transfer->request.client_key : "";
	size_t		len = strlen(cert) + strlen(key) + 2;
	struct curl_blob blob = {.data = malloc(len), .len = len - 1, .flags = CURL_BLOB_COPY};
	CURLcode	rc;

	if (blob.data == NULL)
		return CURLE_OUT_OF_MEMORY;
	snprintf(blob.data, len, "%s\n%s", cert, key);
	rc = curl_easy_setopt(transfer->easy, CURLOPT_SSLCERT_BLOB, &blob);
	free(blob.data);
	return rc;
}

/*
 * Certificates of the request's own.  A handle that has had some is not used
 * for a request without before everything has been reset.
 */
static CURLcode
set_certificates(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	struct curl_blob blob = {.flags = CURL_BLOB_NOCOPY};
	bool		wanted = request->client_cert || request->client_key || request->ca_cert;
	CURLcode	rc;

	if (transfer->own_certificates)
	{
		curl_easy_reset(transfer->easy);
		transfer->method[0] = '\0';
		free(transfer->url);
		transfer->url = NULL;
		transfer->own_certificates = false;
		rc = set_constant_options(transfer);
		if (rc != CURLE_OK)
			return rc;
	}
	if (!wanted)
		return CURLE_OK;

	transfer->own_certificates = true;
	if (request->client_cert != NULL)
	{
		rc = set_client_certificate(transfer);
		if (rc != CURLE_OK)
			return rc;
	}
	if (request->client_key != NULL)
	{
		blob.data = (void *) request->client_key;
		blob.len = strlen(request->client_key);
		SET(CURLOPT_SSLKEY_BLOB, &blob);
		SET(CURLOPT_KEYPASSWD, ""); /* else OpenSSL asks for one at the terminal */
	}
	if (request->ca_cert != NULL)
	{
		blob.data = (void *) request->ca_cert;
		blob.len = strlen(request->ca_cert);
		SET(CURLOPT_CAINFO_BLOB, &blob);
		SET(CURLOPT_CAPATH, NULL);	/* the system's, which would count as well */
	}
	return CURLE_OK;
}

/*
 * Given as text, the URL would be parsed and put together again for every
 * request, a tenth of libcurl's own time for a small one.
 */
static CURLcode
set_url(Transfer *transfer)
{
	const char *url = transfer->request.url;
	CURLUcode	rc;

	if (transfer->url != NULL && strcmp(transfer->url, url) == 0)
		return CURLE_OK;

	free(transfer->url);
	transfer->url = NULL;
	rc = curl_url_set(transfer->parsed_url, CURLUPART_URL, url,
					  CURLU_PATH_AS_IS | CURLU_DISALLOW_USER);
	if (rc != CURLUE_OK)
	{
		snprintf(transfer->curl_error, sizeof(transfer->curl_error), "%s", curl_url_strerror(rc));
		return CURLE_URL_MALFORMAT;
	}
	SET(CURLOPT_URL, NULL);		/* or the text of the one before would remain */
	SET(CURLOPT_CURLU, transfer->parsed_url);

	/*
	 * With TLS, requests to a host wait for its first connection to tell whether
	 * it can take them all (HTTP/2).  Without, they would wait for the first response.
	 */
	SET(CURLOPT_PIPEWAIT, strncasecmp(url, "https:", 6) == 0 ? 1L : 0L);

	transfer->url = strdup(url);
	return transfer->url != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

static CURLcode
set_method_and_body(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	bool		is_get = strcmp(request->method, "GET") == 0;
	bool		is_post = strcmp(request->method, "POST") == 0;
	bool		with_body = !is_get && (request->body != NULL || strcmp(request->method, "DELETE") != 0);
	const char *custom = is_get || is_post ? "" : request->method;

	if (with_body)
	{
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) (request->body ? request->body_len : 0));
		SET(CURLOPT_POSTFIELDS, request->body ? request->body : "");
	}
	else
		SET(CURLOPT_HTTPGET, 1L);

	if (strcmp(transfer->method, custom) != 0)
	{
		SET(CURLOPT_CUSTOMREQUEST, *custom ? custom : NULL);
		strcpy(transfer->method, custom);
	}
	return CURLE_OK;
}

/* Chain the caller's header lines into a list of libcurl's, without copying them. */
static CURLcode
set_headers(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	int			needed = request->nheaders + 1; /* one for Expect */
	int			n = 0;

	if (needed > transfer->nlines)
	{
		struct curl_slist *lines = realloc(transfer->lines, sizeof(struct curl_slist) * needed);

		if (lines == NULL)
			return CURLE_OUT_OF_MEMORY;
		transfer->lines = lines;
		transfer->nlines = needed;
	}

	for (; n < request->nheaders; n++)
		transfer->lines[n].data = (char *) request->headers[n];
	if (request->body_len >= EXPECT_BODY_SIZE)
		transfer->lines[n++].data = (char *) "Expect:";
	for (int i = 0; i < n; i++)
		transfer->lines[i].next = i + 1 < n ? &transfer->lines[i + 1] : NULL;

	SET(CURLOPT_HTTPHEADER, n > 0 ? transfer->lines : NULL);
	return CURLE_OK;
}

static CURLcode
set_request_options(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	CURLcode	rc;

	if ((rc = set_certificates(transfer)) != CURLE_OK ||
		(rc = set_url(transfer)) != CURLE_OK ||
		(rc = set_method_and_body(transfer)) != CURLE_OK ||
		(rc = set_headers(transfer)) != CURLE_OK)
		return rc;
	SET(CURLOPT_TIMEOUT_MS, request->timeout_ms);
	return CURLE_OK;
}

#undef SET

/*
 * The pool of transfers.
 */
static void
transfer_destroy(Transfer *transfer)
{
	if (transfer->state == TRANSFER_RUNNING)
		curl_multi_remove_handle(transfer->http->multi, transfer->easy);
	curl_easy_cleanup(transfer->easy);
	curl_url_cleanup(transfer->parsed_url);
	free(transfer->url);
	buffer_free(&transfer->headers);
	buffer_free(&transfer->body);
	free(transfer->lines);
	free(transfer);
}

static Transfer *
transfer_create(Http *http)
{
	Transfer   *transfer = calloc(1, sizeof(Transfer));

	if (transfer == NULL)
		return NULL;
	transfer->http = http;
	transfer->easy = curl_easy_init();
	transfer->parsed_url = curl_url();
	if (transfer->easy == NULL || transfer->parsed_url == NULL ||
		set_constant_options(transfer) != CURLE_OK)
	{
		transfer_destroy(transfer);
		return NULL;
	}
	transfer->next_all = http->all;
	http->all = transfer;
	return transfer;
}

/* One from the pool, or a new one. NULL: out of memory. */
static Transfer *
transfer_take(Http *http)
{
	Transfer   *transfer = http->free;

	if (transfer == NULL)
		return transfer_create(http);
	http->free = transfer->next_free;
	return transfer;
}

static void
transfer_put_back(Transfer *transfer)
{
	Http	   *http = transfer->http;

	buffer_shrink(&transfer->headers);
	buffer_shrink(&transfer->body);
	transfer->state = TRANSFER_FREE;
	transfer->next_free = http->free;
	http->free = transfer;
}

/* Forget the request before. */
static void
transfer_begin(Transfer *transfer, const HttpRequest *request)
{
	transfer->request = *request;
	buffer_clear(&transfer->headers);
	buffer_clear(&transfer->body);
	transfer->header_bytes = 0;
	transfer->headers_done = false;
	transfer->socket_opened = false;
	transfer->connected = false;
	transfer->forbidden = false;
	transfer->too_large = false;
	transfer->out_of_memory = false;
	transfer->curl_error[0] = '\0';
	transfer->error[0] = '\0';
}

/*
 * How it ended.
 */
static void set_error(Transfer *transfer, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* One line, whatever a receiver put into it. */
static void
set_error(Transfer *transfer, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(transfer->error, sizeof(transfer->error), format, args);
	va_end(args);
	for (char *c = transfer->error; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			*c = ' ';
	}
}

/* libcurl's own words, or its general ones for the code. */
static const char *
curl_words(const Transfer *transfer, CURLcode code)
{
	return transfer->curl_error[0] != '\0' ? transfer->curl_error : curl_easy_strerror(code);
}

static bool
curl_said(const Transfer *transfer, const char *words)
{
	return strstr(transfer->curl_error, words) != NULL;
}

/* Did it get as far as sending the request? */
static bool
request_begun(const Transfer *transfer)
{
	curl_off_t	since = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &since);
	return since > 0;
}

static const char *
phase(const Transfer *transfer)
{
	curl_off_t	sent = 0;

	if (transfer->header_bytes > 0)
		return "receiving the response";
	if (request_begun(transfer))
	{
		curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
		return sent < (curl_off_t) transfer->request.body_len ?
			"sending the request" : "waiting for the response";
	}
	if (!transfer->socket_opened)
		return "resolving the host name";
	return transfer->connected ? "negotiating TLS" : "connecting";
}

/* The host of the request's URL, for messages. */
static void
request_host(const Transfer *transfer, char *host, size_t size)
{
	char	   *part = NULL;

	curl_url_get(transfer->parsed_url, CURLUPART_HOST, &part, 0);
	snprintf(host, size, "%s", part != NULL ? part : "");
	curl_free(part);
}

static HttpOutcome
judge_status(Transfer *transfer, int status)
{
	char	   *location = NULL;

	if (status >= 200 && status < 300)
		return HTTP_DELIVERED;

	if (status >= 300 && status < 400)
	{
		curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &location);
		if (location != NULL)
			set_error(transfer, "HTTP status %d, redirect not followed, Location: %s", status, location);
		else
			set_error(transfer, "HTTP status %d", status);
		return HTTP_REDIRECT;
	}

	set_error(transfer, "HTTP status %d", status);
	return status >= 400 && status < 500 ? HTTP_CLIENT_ERROR : HTTP_SERVER_ERROR;
}

static HttpOutcome
judge_forbidden(Transfer *transfer)
{
	set_error(transfer, "address %s is not allowed", transfer->address);
	return HTTP_FORBIDDEN_ADDRESS;
}

static HttpOutcome
judge_no_connection(Transfer *transfer, CURLcode code)
{
	char		host[256];
	long		error_number = 0;

	request_host(transfer, host, sizeof(host));
	if (code == CURLE_COULDNT_RESOLVE_HOST)
	{
		set_error(transfer, "could not resolve host \"%s\"", host);
		return HTTP_UNRESOLVED;
	}

	/* A host with a forbidden address and another that does not answer has merely not answered. */
	if (transfer->forbidden && !transfer->socket_opened)
		return judge_forbidden(transfer);

	curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &error_number);
	if (error_number == ECONNREFUSED)
		set_error(transfer, "connection refused by host \"%s\"", host);
	else
		set_error(transfer, "could not connect to host \"%s\": %s", host,
				  error_number != 0 ? strerror((int) error_number) : curl_words(transfer, code));
	return HTTP_REFUSED;
}

static HttpOutcome
judge_tls(Transfer *transfer, CURLcode code)
{
	set_error(transfer, "TLS: %s", curl_words(transfer, code));
	return HTTP_TLS;
}

static HttpOutcome
judge_too_large(Transfer *transfer)
{
	set_error(transfer, "response larger than %zu bytes", transfer->request.max_response);
	return HTTP_TOO_LARGE;
}

static HttpOutcome
judge_protocol(Transfer *transfer, CURLcode code)
{
	set_error(transfer, "invalid HTTP response: %s", curl_words(transfer, code));
	return HTTP_PROTOCOL;
}

/*
 * Something went wrong on an open connection.  libcurl uses the same codes for
 * a connection that broke and for some sorts of nonsense received over it.
 */
static HttpOutcome
judge_broken(Transfer *transfer, CURLcode code)
{
	/* With TLS 1.3 the server's verdict on our certificate comes after the handshake. */
	if (curl_said(transfer, "SSL routines"))
		return judge_tls(transfer, code);
	if (curl_said(transfer, "hunk"))	/* "chunk", "Chunk" */
		return judge_protocol(transfer, code);
	if (curl_said(transfer, "Too large response headers"))
		return judge_too_large(transfer);
	set_error(transfer, "connection lost while %s: %s", phase(transfer), curl_words(transfer, code));
	return HTTP_RESET;
}

static HttpOutcome
judge_invalid(Transfer *transfer, CURLcode code)
{
	set_error(transfer, "could not send the request: %s", curl_words(transfer, code));
	return HTTP_INVALID;
}

static HttpOutcome
judge(Transfer *transfer, CURLcode code, int status)
{
	if (transfer->too_large)
		return judge_too_large(transfer);
	if (transfer->out_of_memory)
		return judge_invalid(transfer, CURLE_OUT_OF_MEMORY);

	switch (code)
	{
		case CURLE_OK:
			return judge_status(transfer, status);

		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
			return judge_no_connection(transfer, code);

		case CURLE_ABORTED_BY_CALLBACK:
			return judge_forbidden(transfer);

		case CURLE_OPERATION_TIMEDOUT:
			set_error(transfer, "timeout while %s", phase(transfer));
			return HTTP_TIMEOUT;

		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CRL_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
		case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		case CURLE_SSL_CLIENTCERT:
		case CURLE_USE_SSL_FAILED:
			return judge_tls(transfer, code);

		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_GOT_NOTHING:
		case CURLE_PARTIAL_FILE:
			return judge_broken(transfer, code);

		case CURLE_OUT_OF_MEMORY:
			/* libcurl's word for a single header line above its own limit, too */
			return curl_said(transfer, "header") ?
				judge_too_large(transfer) : judge_invalid(transfer, code);

		default:
			return request_begun(transfer) ?
				judge_protocol(transfer, code) : judge_invalid(transfer, code);
	}
}

/*
 * The interface.
 */
Http *
http_create(const NetguardList *allowed, int max_connections)
{
	Http	   *http;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;

	http = calloc(1, sizeof(Http));
	if (http == NULL)
	{
		curl_global_cleanup();
		return NULL;
	}
	http->allowed = allowed;
	http->mux = mux_create();
	http->multi = curl_multi_init();
	if (http->mux == NULL || http->multi == NULL ||
		curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_watch) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long) max_connections) != CURLM_OK)
	{
		http_destroy(http);
		return NULL;
	}
	return http;
}

void
http_destroy(Http *http)
{
	if (http == NULL)
		return;
	while (http->all != NULL)
	{
		Transfer   *transfer = http->all;

		http->all = transfer->next_all;
		transfer_destroy(transfer);
	}
	/* This closes the connections, which still needs the mux. */
	curl_multi_cleanup(http->multi);
	mux_destroy(http->mux);
	free(http);
	curl_global_cleanup();
}

int
http_fd(const Http *http)
{
	return mux_fd(http->mux);
}

long
http_timeout(const Http *http)
{
	return mux_timer_left(http->mux);
}

int
http_running(const Http *http)
{
	return http->running;
}

static bool
known_method(const char *method)
{
	static const char *const methods[] = {"POST", "GET", "PUT", "PATCH", "DELETE"};

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
	{
		if (strcmp(method, methods[i]) == 0)
			return true;
	}
	return false;
}

bool
http_start(Http *http, const HttpRequest *request, char *error)
{
	Transfer   *transfer;
	CURLcode	rc;
	CURLMcode	multi_rc;

	if (!known_method(request->method))
	{
		snprintf(error, START_ERROR_MAX, "unknown method \"%.20s\"", request->method);
		return false;
	}

	transfer = transfer_take(http);
	if (transfer == NULL)
	{
		snprintf(error, START_ERROR_MAX, "out of memory");
		return false;
	}
	transfer_begin(transfer, request);

	rc = set_request_options(transfer);
	if (rc != CURLE_OK)
	{
		snprintf(error, START_ERROR_MAX, "%.*s", START_ERROR_MAX - 1, curl_words(transfer, rc));
		transfer_put_back(transfer);
		return false;
	}
	multi_rc = curl_multi_add_handle(http->multi, transfer->easy);
	if (multi_rc != CURLM_OK)
	{
		snprintf(error, START_ERROR_MAX, "%s", curl_multi_strerror(multi_rc));
		transfer_put_back(transfer);
		return false;
	}

	transfer->state = TRANSFER_RUNNING;
	http->running++;
	return true;
}

/* All signals but those that the thread causes itself. */
static void
block_signals(sigset_t *before)
{
	sigset_t	all;

	sigfillset(&all);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &all, before);
}

void
http_perform(Http *http)
{
	MuxEvent	events[PERFORM_EVENTS];
	sigset_t	signals;
	int			running;
	int			n;

	block_signals(&signals);

	n = mux_poll(http->mux, events, PERFORM_EVENTS);
	for (int i = 0; i < n; i++)
	{
		int			what = 0;

		if (events[i].what & MUX_READ)
			what |= CURL_CSELECT_IN;
		if (events[i].what & MUX_WRITE)
			what |= CURL_CSELECT_OUT;
		if (events[i].what & MUX_ERROR)
			what |= CURL_CSELECT_ERR;
		curl_multi_socket_action(http->multi, events[i].fd, what, &running);
	}

	if (mux_timer_left(http->mux) == 0)
	{
		/* Before the call, which may set it again. */
		mux_set_timer(http->mux, -1);
		curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}

	pthread_sigmask(SIG_SETMASK, &signals, NULL);
}

bool
http_result(Http *http, HttpResult *result)
{
	CURLMsg    *message;
	CURLcode	code;
	Transfer   *transfer;
	int			left;
	long		status = 0;
	curl_off_t	duration = 0;

	message = curl_multi_info_read(http->multi, &left);
	if (message == NULL)
		return false;

	/* Removing the handle frees the message. */
	code = message->data.result;
	curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer);
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &duration);

	result->owner = transfer->request.owner;
	result->transfer = transfer;
	result->outcome = judge(transfer, code, (int) status);
	result->status = (int) status;
	result->headers = transfer->headers.data ? transfer->headers.data : "";
	result->headers_len = transfer->headers.len;
	result->body = transfer->body.data ? transfer->body.data : "";
	result->body_len = transfer->body.len;
	result->error = transfer->error;
	result->duration_us = duration;

	curl_multi_remove_handle(http->multi, transfer->easy);
	transfer->state = TRANSFER_FINISHED;
	http->running--;
	return true;
}

void
http_release(Http *http, void *transfer)
{
	(void) http;
	transfer_put_back(transfer);
}

bool
http_cancel(Http *http, void *owner)
{
	for (Transfer *transfer = http->all; transfer != NULL; transfer = transfer->next_all)
	{
		if (transfer->state != TRANSFER_RUNNING || transfer->request.owner != owner)
			continue;
		curl_multi_remove_handle(http->multi, transfer->easy);
		http->running--;
		transfer_put_back(transfer);
		return true;
	}
	return false;
}

/*
 * libcurl has no call for this, but looks whether a kept connection is still
 * alive before it uses it again.  The ones in use are left alone: on_connected() judges
 * whatever comes next over them.
 */
void
http_forget_connections(Http *http)
{
	mux_shutdown_idle(http->mux);
}

bool
http_header(const HttpResult *result, const char *name, char *out, size_t size)
{
	size_t		name_len = strlen(name);
	const char *line = result->headers;
	const char *value = NULL;
	size_t		len;

	while (*line != '\0')
	{
		const char *end = strchr(line, '\n');

		if (strncasecmp(line, name, name_len) == 0 && line[name_len] == ':')
			value = line + name_len + 1;
		if (end == NULL)
			break;
		line = end + 1;
	}
	if (value == NULL)
		return false;

	value += strspn(value, " \t");
	len = strcspn(value, "\r\n");
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	if (len >= size)
		return false;
	memcpy(out, value, len);
	out[len] = '\0';
	return true;
}

const char *
http_outcome_name(HttpOutcome outcome)
{
	static const char *const names[] = {
		[HTTP_DELIVERED] = "delivered",
		[HTTP_REDIRECT] = "redirect",
		[HTTP_CLIENT_ERROR] = "client_error",
		[HTTP_SERVER_ERROR] = "server_error",
		[HTTP_UNRESOLVED] = "unresolved",
		[HTTP_FORBIDDEN_ADDRESS] = "forbidden_address",
		[HTTP_REFUSED] = "refused",
		[HTTP_RESET] = "reset",
		[HTTP_TLS] = "tls",
		[HTTP_TIMEOUT] = "timeout",
		[HTTP_TOO_LARGE] = "too_large",
		[HTTP_PROTOCOL] = "protocol",
		[HTTP_INVALID] = "invalid",
	};

	return names[outcome];
}
