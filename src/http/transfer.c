/*-------------------------------------------------------------------------
 *
 * transfer.c
 *		One request inside libcurl: its options, buffers and callbacks.
 *
 * Setting up a request is on the hot path.  Transfers, each an easy handle with its
 * buffers, are pooled and keep constant options; a request sets the others, and
 * libcurl gets pointers to the caller's strings unless it requires a copy.
 *
 * Receivers are not trusted.  There are limits for the size of headers (including
 * interim responses) and body, and for the time.  The SSRF guard checks the actual
 * address when a socket is opened, and again for every request, since that may reuse
 * a connection opened under other rules.
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "compat.h"
#include "http/transfer.h"
#include "pure/assertion.h"

/* Connection timeout, including the TLS handshake. */
#define CONNECT_TIMEOUT_MS	10000L

/* A connection is not reused after this time, so that changes in DNS are noticed. */
#define CONNECTION_LIFETIME_S	300L
#define CONNECTION_IDLE_S	60L
#define DNS_CACHE_S			30L

/* Pooled transfers keep response buffers up to this size; larger ones are freed. */
#define BUFFER_START		512
#define BUFFER_KEEP			16384

/*
 * libcurl waits for "100 Continue" before it sends a body of 1 MB or more.  We disable
 * that from half of this size on; not for every request, because libcurl compares
 * each header line with many names.
 */
#define EXPECT_BODY_SIZE	(512 * 1024)

/*
 * Buffers.
 */
static bool
transfer_buffer_append(Buffer *buffer, const char *data, size_t len)
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
transfer_buffer_clear(Buffer *buffer)
{
	buffer->len = 0;
	if (buffer->data != NULL)
		buffer->data[0] = '\0';
}

static void
transfer_buffer_free(Buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(Buffer));
}

static void
transfer_buffer_shrink(Buffer *buffer)
{
	if (buffer->size > BUFFER_KEEP)
		transfer_buffer_free(buffer);
}

/*
 * The SSRF guard: addresses that netguard.c does not allow are not connected to.
 */
static bool
transfer_address_allowed(Transfer *transfer, const struct sockaddr *addr, socklen_t len)
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

/* libcurl would connect to this address, but only the addresses are wanted. */
static void
transfer_note_address(Transfer *transfer, const struct sockaddr *addr, socklen_t len)
{
	RouteAddresses *found = &transfer->route.found;
	const void *bytes = addr->sa_family == AF_INET ?
		(const void *) &((const struct sockaddr_in *) addr)->sin_addr :
		(const void *) &((const struct sockaddr_in6 *) addr)->sin6_addr;

	if (transfer_address_allowed(transfer, addr, len) && found->count < ROUTE_MAX_ADDRESSES &&
		inet_ntop(addr->sa_family, bytes, found->addresses[found->count], INET6_ADDRSTRLEN) != NULL)
		found->count++;
}

/* Other errors, such as that there is no IPv6, concern the address. */
static void
transfer_note_no_socket(Transfer *transfer, int error)
{
	if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM)
		transfer->no_socket = error;
}

static curl_socket_t
transfer_on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	Transfer   *transfer = arg;
	int			type = addr->socktype;
	int			fd;

	(void) purpose;
	if (transfer->route.stage == ROUTE_RESOLVING)
	{
		transfer_note_address(transfer, &addr->addr, addr->addrlen);
		return CURL_SOCKET_BAD;
	}
	/* The proxy is the administrator's choice. */
	if (transfer->route.stage == ROUTE_DIRECT && !transfer_address_allowed(transfer, &addr->addr, addr->addrlen))
		return CURL_SOCKET_BAD;

#ifdef SOCK_CLOEXEC
	type |= SOCK_CLOEXEC;
#endif
	fd = socket(addr->family, type, addr->protocol);
	if (fd < 0)
	{
		transfer_note_no_socket(transfer, errno);
		return CURL_SOCKET_BAD;
	}
#ifndef SOCK_CLOEXEC
	fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif

	if (fd >= transfer->http->fd_limit || !mux_opened(transfer->http->mux, fd))
	{
		transfer_note_no_socket(transfer, EMFILE);
		close(fd);
		return CURL_SOCKET_BAD;
	}
	transfer->socket_opened = true;

	/*
	 * libcurl may send a request again whose connection was closed: what
	 * becomes of it is decided by the new one.
	 */
	transfer->sent = false;
	return fd;
}

/* The argument is the Http, since a connection outlives the transfer that opened it. */
static int
transfer_on_close_socket(void *arg, curl_socket_t fd)
{
	Http	   *http = arg;

	mux_closed(http->mux, fd);
	return close(fd);
}

/* Called when there is a connection, just before the request is sent. */
static int
transfer_on_connected(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	Transfer   *transfer = arg;
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	bool		ok;

	(void) local;
	(void) remote_port;
	(void) local_port;
	transfer->times_sent++;
	transfer->sent = true;
	if (transfer->route.stage == ROUTE_PROXIED || transfer->route.stage == ROUTE_CHECKING)
		ok = true;
	else if (transfer->route.stage == ROUTE_RESOLVING)
		ok = false;
	else if (inet_pton(AF_INET, remote, &v4.sin_addr) == 1)
		ok = transfer_address_allowed(transfer, (struct sockaddr *) &v4, sizeof(v4));
	else if (inet_pton(AF_INET6, remote, &v6.sin6_addr) == 1)
		ok = transfer_address_allowed(transfer, (struct sockaddr *) &v6, sizeof(v6));
	else
		ok = false;
	return ok ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/*
 * Data from the receiver.
 */

/* Called once for each line, including status lines and the empty line at the end. */
static size_t
transfer_on_header(char *data, size_t size, size_t nitems, void *arg)
{
	Transfer   *transfer = arg;
	size_t		len = size * nitems;

	if (transfer->route.stage == ROUTE_CHECKING)
		return len;
	transfer->header_bytes += len;
	if (transfer->header_bytes > transfer->request.max_response)
	{
		transfer->too_large = true;
		return 0;
	}

	if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
	{
		/*
		 * With HTTP/1, anything sent after this response would be taken for
		 * the next one.
		 */
		if (data[5] == '1')
			mux_expect_silence(transfer->http->mux, transfer->fd);

		/* Headers received so far belong to an interim response. */
		transfer_buffer_clear(&transfer->headers);
		transfer->headers_done = false;
		return len;
	}
	if (data[0] == '\r' || data[0] == '\n')
		transfer->headers_done = true;
	if (transfer->headers_done)
		return len;				/* not interested in trailers */

	if (!transfer_buffer_append(&transfer->headers, data, len))
	{
		transfer->out_of_memory = true;
		return 0;
	}
	return len;
}

static size_t
transfer_on_body(char *data, size_t size, size_t nitems, void *arg)
{
	Transfer   *transfer = arg;
	size_t		len = size * nitems;
	size_t		room = transfer->request.max_response - transfer->body.len;

	/* It answers, which is all that was asked. */
	if (transfer->route.stage == ROUTE_CHECKING)
		return 0;

	/* The log shows the beginning of a body that is too long. */
	transfer->too_large = len > room;
	if (!transfer_buffer_append(&transfer->body, data, transfer->too_large ? room : len))
		transfer->out_of_memory = true;
	return transfer->too_large || transfer->out_of_memory ? 0 : len;
}

/*
 * Options.  SET returns from the function on failure.
 */
#define SET(option, value) \
	do { \
		CURLcode	rc_ = curl_easy_setopt(transfer->easy, (option), (value)); \
		if (rc_ != CURLE_OK) \
			return rc_; \
	} while (0)

/* Set the options that are the same for all requests. */
static CURLcode
transfer_set_constant_options(Transfer *transfer)
{
	SET(CURLOPT_PRIVATE, transfer);
	SET(CURLOPT_ERRORBUFFER, transfer->curl_error);
	SET(CURLOPT_NOSIGNAL, 1L);
#ifdef WEBHOOK_CURL_QUICK_EXIT
	SET(CURLOPT_QUICK_EXIT, 1L);	/* do not wait for resolver threads at exit */
#endif

	/* where to */
	SET(WEBHOOK_CURLOPT_PROTOCOLS, WEBHOOK_CURL_HTTP_HTTPS);
	SET(CURLOPT_FOLLOWLOCATION, 0L);	/* a redirect could lead past the SSRF
										 * guard and the signature */
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "*");	/* else the environment is searched for every
								 * request */
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);	/* no credentials of the
													 * server's user */
	SET(CURLOPT_OPENSOCKETFUNCTION, transfer_on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, transfer);
	SET(CURLOPT_CLOSESOCKETFUNCTION, transfer_on_close_socket);
	SET(CURLOPT_CLOSESOCKETDATA, transfer->http);
	SET(CURLOPT_PREREQFUNCTION, transfer_on_connected);
	SET(CURLOPT_PREREQDATA, transfer);

	/* how */
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);	/* any reply would count as a success */
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
	SET(CURLOPT_HEADERFUNCTION, transfer_on_header);
	SET(CURLOPT_HEADERDATA, transfer);
	SET(CURLOPT_WRITEFUNCTION, transfer_on_body);
	SET(CURLOPT_WRITEDATA, transfer);
	return CURLE_OK;
}

/*
 * When libcurl looks for a connection or a TLS session to reuse, it compares
 * certificates, but not keys.  So a role that knows the certificate of another one,
 * which is not secret, could send requests in its name without the key.  Therefore
 * the key is appended to the certificate, where OpenSSL ignores it, but libcurl
 * compares it.
 */
static CURLcode
transfer_set_client_certificate(Transfer *transfer)
{
	const char *cert = transfer->request.client_cert;
	const char *key = transfer->request.client_key ? transfer->request.client_key : "";
	size_t		len = strlen(cert) + strlen(key) + 2;
	struct curl_blob blob = {.data = malloc(len),.len = len - 1,.flags = CURL_BLOB_COPY};
	CURLcode	rc;

	if (blob.data == NULL)
		return CURLE_OUT_OF_MEMORY;
	snprintf(blob.data, len, "%s\n%s", cert, key);
	rc = curl_easy_setopt(transfer->easy, CURLOPT_SSLCERT_BLOB, &blob);
	free(blob.data);
	return rc;
}

CURLcode
transfer_reset_options(Transfer *transfer)
{
	transfer->method[0] = '\0';
	free(transfer->url);
	transfer->url = NULL;
	transfer->own_certificates = false;
	memset(&transfer->route, 0, offsetof(RouteState, older));
	return transfer_set_constant_options(transfer);
}

/*
 * Set the certificates of the request.  A handle that has had certificates is reset
 * before it is used for a request without.
 */
static CURLcode
transfer_set_certificates(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	struct curl_blob blob = {.flags = CURL_BLOB_NOCOPY};
	bool		wanted = request->client_cert || request->client_key || request->ca_cert;
	CURLcode	rc;

	if (transfer->own_certificates)
	{
		curl_easy_reset(transfer->easy);
		rc = transfer_reset_options(transfer);
		if (rc != CURLE_OK)
			return rc;
	}
	if (!wanted)
		return CURLE_OK;
	if (!transfer->http->has_certificates)
	{
		/* libcurl would reject some options and ignore others. */
		snprintf(transfer->curl_error, sizeof(transfer->curl_error),
				 "certificates of a webhook need a libcurl that was built with OpenSSL");
		return CURLE_NOT_BUILT_IN;
	}

	transfer->own_certificates = true;
	if (request->client_cert != NULL)
	{
		rc = transfer_set_client_certificate(transfer);
		if (rc != CURLE_OK)
			return rc;
	}
	if (request->client_key != NULL)
	{
		blob.data = (void *) request->client_key;
		blob.len = strlen(request->client_key);
		SET(CURLOPT_SSLKEY_BLOB, &blob);
		SET(CURLOPT_KEYPASSWD, ""); /* else OpenSSL asks for one at the
									 * terminal */
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
 * Set the URL, already parsed: parsing it for every request would be a tenth of
 * libcurl's own time for a small one.
 */
static CURLcode
transfer_set_url(Transfer *transfer)
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
	SET(CURLOPT_URL, NULL);		/* else the previous one would remain as text */
	SET(CURLOPT_CURLU, transfer->parsed_url);

	/*
	 * With TLS, requests wait for the first connection to a host, to find out
	 * whether it supports HTTP/2 and can be used for all of them.  Without
	 * TLS they would wait for the first response.
	 */
	SET(CURLOPT_PIPEWAIT, strncasecmp(url, "https:", 6) == 0 ? 1L : 0L);

	transfer->url = strdup(url);
	return transfer->url != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

static CURLcode
transfer_set_method_and_body(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	bool		is_get = strcmp(request->method, "GET") == 0;
	bool		is_post = strcmp(request->method, "POST") == 0;
	bool		may_lack_body = strcmp(request->method, "DELETE") == 0 || strcmp(request->method, "OPTIONS") == 0;
	bool		with_body = !is_get && (request->body != NULL || !may_lack_body);
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

/* Link the caller's header lines into a list for libcurl, without copying them. */
static CURLcode
transfer_set_headers(Transfer *transfer)
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

CURLcode
transfer_set_request_options(Transfer *transfer)
{
	const HttpRequest *request = &transfer->request;
	CURLcode	rc;

	if ((rc = transfer_set_certificates(transfer)) != CURLE_OK ||
		(rc = transfer_set_url(transfer)) != CURLE_OK ||
		(rc = transfer_set_method_and_body(transfer)) != CURLE_OK ||
		(rc = transfer_set_headers(transfer)) != CURLE_OK)
		return rc;
	if (request->connect_only)
	{
		SET(CURLOPT_CONNECT_ONLY, 1L);
		transfer->must_renew = true;
	}
	SET(CURLOPT_TIMEOUT_MS, request->timeout_ms);
	return CURLE_OK;
}

#undef SET

/*
 * The pool of transfers.
 */
void
transfer_destroy(Transfer *transfer)
{
	if (transfer->state == TRANSFER_RUNNING)
		curl_multi_remove_handle(transfer->http->multi, transfer->easy);
	curl_easy_cleanup(transfer->easy);
	curl_url_cleanup(transfer->parsed_url);
	free(transfer->url);
	transfer_buffer_free(&transfer->headers);
	transfer_buffer_free(&transfer->body);
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
		transfer_set_constant_options(transfer) != CURLE_OK)
	{
		transfer_destroy(transfer);
		return NULL;
	}
	transfer->next_all = http->all;
	http->all = transfer;
	return transfer;
}

/*
 * Replace the handle of a transfer whose request was sent more than once.  If libcurl
 * did that, because the receiver had not accepted the request, it may remember that
 * even after curl_easy_reset(), and would also resend the next request that fails,
 * whether the receiver has processed it or not.  If we did it, there may be options
 * set that the next request must not have.
 */
static bool
transfer_renew_handle(Transfer *transfer)
{
	CURL	   *easy = curl_easy_init();

	if (easy == NULL)
		return false;
	curl_easy_cleanup(transfer->easy);
	transfer->easy = easy;
	if (transfer_reset_options(transfer) != CURLE_OK)
		return false;
	transfer->times_sent = 0;
	transfer->resent = 0;
	transfer->must_renew = false;
	return true;
}

static Transfer **
transfer_free_list(Http *http, const char *url)
{
	unsigned int hash = 0;

	for (; url != NULL && *url != '\0'; url++)
		hash = hash * 31 + (unsigned char) *url;
	return &http->free[hash % TRANSFER_FREE_LISTS];
}

/* One that needs no new URL; if there is none, one that has not been used for some time. */
static Transfer *
transfer_take_free(Http *http, const char *url)
{
	Transfer  **link = transfer_free_list(http, url);
	Transfer   *transfer;

	while (*link != NULL && ((*link)->url == NULL || strcmp((*link)->url, url) != 0))
		link = &(*link)->next_free;
	while (*link == NULL)
	{
		http->free_clock_hand = (http->free_clock_hand + 1) % TRANSFER_FREE_LISTS;
		link = &http->free[http->free_clock_hand];
	}
	transfer = *link;
	*link = transfer->next_free;
	http->nfree--;
	return transfer;
}

Transfer *
transfer_take(Http *http, const char *url)
{
	Transfer   *transfer;

	if (http->nfree == 0)
		return transfer_create(http);
	transfer = transfer_take_free(http, url);
	if ((transfer->times_sent > 1 || transfer->resent > 0 || transfer->must_renew) && !transfer_renew_handle(transfer))
	{
		transfer_put_back(transfer);
		return NULL;
	}
	return transfer;
}

void
transfer_put_back(Transfer *transfer)
{
	Http	   *http = transfer->http;
	Transfer  **list = transfer_free_list(http, transfer->url);

	transfer_buffer_shrink(&transfer->headers);
	transfer_buffer_shrink(&transfer->body);
	transfer->state = TRANSFER_FREE;
	transfer->next_free = *list;
	*list = transfer;
	http->nfree++;
}

void
transfer_discard_response(Transfer *transfer)
{
	transfer->fd = -1;
	transfer_buffer_clear(&transfer->headers);
	transfer_buffer_clear(&transfer->body);
	transfer->header_bytes = 0;
	transfer->headers_done = false;
	transfer->socket_opened = false;
	transfer->no_socket = 0;
	transfer->connected = false;
	transfer->sent = false;
	transfer->forbidden = false;
	transfer->too_large = false;
	transfer->out_of_memory = false;
	transfer->curl_error[0] = '\0';
	transfer->error[0] = '\0';
}

void
transfer_begin(Transfer *transfer, const HttpRequest *request)
{
	transfer->request = *request;
	transfer->resent = 0;
	transfer->times_sent = 0;
	transfer->spent_before = 0;
	transfer_discard_response(transfer);
}

bool
transfer_prepare_resend(Transfer *transfer, long timeout_ms, int64_t spent, bool own_connection)
{
	transfer_discard_response(transfer);
	transfer->resent++;
	transfer->spent_before += spent;
	transfer->request.timeout_ms = timeout_ms;
	return curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK &&
		(!own_connection || curl_easy_setopt(transfer->easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK);
}

bool
transfer_allow_more(Transfer *transfer, long ms)
{
	long		timeout_ms = transfer->route.stage == ROUTE_CHECKING ? ROUTE_CHECK_MS : transfer->request.timeout_ms;

	return curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, timeout_ms + ms) == CURLE_OK &&
		curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS + ms) == CURLE_OK;
}
