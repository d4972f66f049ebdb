/*-------------------------------------------------------------------------
 *
 * transfer.c
 *		One request inside libcurl: its buffers and callbacks.
 *
 * Setting up a request is on the hot path.  Transfers, each an easy handle with its
 * buffers, are pooled and keep constant options; a request sets the others
 * (transfer_options.c).
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
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "http/transfer.h"
#include "http/transfer_options.h"
#include "pure/assertion.h"

/* Pooled transfers keep response buffers up to this size; larger ones are freed. */
#define BUFFER_START		512
#define BUFFER_KEEP			16384

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

curl_socket_t
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

	/*
	 * libcurl may send a request again whose connection was closed: the new
	 * connection determines its outcome.
	 */
	transfer->sent = false;

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
	return fd;
}

/* The argument is the Http, since a connection outlives the transfer that opened it. */
int
transfer_on_close_socket(void *arg, curl_socket_t fd)
{
	Http	   *http = arg;

	mux_closed(http->mux, fd);
	return close(fd);
}

/* Called when there is a connection, just before the request is sent. */
int
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
size_t
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

size_t
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
		transfer_options_reset(transfer) != CURLE_OK)
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
	if (transfer_options_reset(transfer) != CURLE_OK)
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
