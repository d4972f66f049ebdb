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
 * The requests themselves are transfer.c's business, what became of them is
 * outcome.c's.
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>

#include <curl/curl.h>

#include "compat.h"
#include "http/http.h"
#include "http/mux.h"
#include "http/transfer.h"
#include "pure/curlbuild.h"

/* Socket events handled before the caller gets its turn again. */
#define PERFORM_EVENTS		128

#define START_ERROR_MAX		256 /* as promised in http.h */

/*
 * Open connections are kept for so many times the requests that are made at once: with hundreds of
 * receivers the next request is rarely for one of the last.
 */
#define KEPT_PER_REQUEST	4

/* Descriptors that the process may want for other things, and those that it must find free: to write WAL, say. */
#define OTHER_DESCRIPTORS	1024
#define RESERVED_DESCRIPTORS	64

/* What has stood still for so long has missed something, perhaps; and what catching up may take. */
#define PAUSE_MS			200
#define GRACE_MS			1000

/* So often a request is sent again that a connection on its last legs has not taken. */
#define RESENDS_MAX			3

/*
 * What libcurl wants to wait for.
 *
 * These report success in any case: to libcurl, failure means that all transfers are
 * to be abandoned.  If a socket could not be watched, its transfer runs out of time.
 */
static int
http_on_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	Http	   *http = arg;
	Transfer   *transfer = NULL;
	int			wanted = 0;

	(void) socket_arg;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		wanted |= MUX_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		wanted |= MUX_WRITE;

	/* Newer releases of libcurl, such as 8.22, also watch sockets for themselves, with a handle of their own. */
	if (wanted != 0)
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &transfer);
	if (transfer != NULL)
	{
		transfer->fd = fd;

		/* A socket is watched for writing until the connection is there. */
		if (wanted & MUX_READ)
			transfer->connected = transfer->socket_opened;
	}
	mux_watch(http->mux, fd, wanted);
	return 0;
}

static int
http_on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	Http	   *http = arg;

	(void) multi;
	mux_set_timer(http->mux, timeout_ms);
	return 0;
}

/*
 * Sets the limit for sockets and returns how many connections to keep: more than requests only if there are
 * descriptors enough.
 */
static long
http_share_descriptors(Http *http, int max_connections)
{
	rlim_t		wanted = (rlim_t) max_connections * KEPT_PER_REQUEST + OTHER_DESCRIPTORS;
	struct rlimit limit;
	struct rlimit raised;

	http->fd_limit = INT_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return max_connections;
	raised = limit;
	raised.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	if (limit.rlim_cur < raised.rlim_cur && setrlimit(RLIMIT_NOFILE, &raised) == 0)
		limit = raised;
	if (limit.rlim_cur < INT_MAX)
		http->fd_limit = (int) limit.rlim_cur - RESERVED_DESCRIPTORS;
	return limit.rlim_cur >= wanted ? (long) max_connections * KEPT_PER_REQUEST : max_connections;
}

/*
 * The interface.
 */
void
http_library(HttpLibrary *library)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	library->version = info->version;
	library->tls = info->ssl_version != NULL ? info->ssl_version : "";
	library->fault = curlbuild_fault(info->version_num);
	library->has_certificates = curlbuild_has_certificates(info->ssl_version);
}

Http *
http_create(const NetguardList *allowed, int max_connections)
{
	Http	   *http;
	HttpLibrary library;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;

	http = calloc(1, sizeof(Http));
	if (http == NULL)
	{
		curl_global_cleanup();
		return NULL;
	}
	http_library(&library);
	http->has_certificates = library.has_certificates;
	http->allowed = allowed;
	http->mux = mux_create();
	http->multi = curl_multi_init();
	if (http->mux == NULL || http->multi == NULL ||
		curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, http_on_watch) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, http_on_timer) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, http_share_descriptors(http, max_connections)) != CURLM_OK)
	{
		http_destroy(http);
		return NULL;
	}
	webhook_curl_set_resolver(http->multi, max_connections);
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
http_known_method(const char *method)
{
	static const char *const methods[] = {"POST", "GET", "PUT", "PATCH", "OPTIONS", "DELETE"};

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

	if (!http_known_method(request->method))
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

	rc = transfer_set_request_options(transfer);
	if (rc != CURLE_OK)
	{
		snprintf(error, START_ERROR_MAX, "%.*s", START_ERROR_MAX - 1, outcome_curl_words(transfer, rc));
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
http_block_signals(sigset_t *before)
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

/* Handle what has happened to sockets; false: libcurl has failed. */
static bool
http_perform_sockets(Http *http)
{
	MuxEvent	events[PERFORM_EVENTS];
	int			n = mux_poll(http->mux, events, PERFORM_EVENTS);
	bool		good = true;
	int			running;

	for (int i = 0; i < n; i++)
	{
		int			what = 0;

		if (events[i].what & MUX_READ)
			what |= CURL_CSELECT_IN;
		if (events[i].what & MUX_WRITE)
			what |= CURL_CSELECT_OUT;
		if (events[i].what & MUX_ERROR)
			what |= CURL_CSELECT_ERR;
		good &= curl_multi_socket_action(http->multi, events[i].fd, what, &running) == CURLM_OK;
	}
	return good;
}

/*
 * The process may have stood still (a stopped machine, a transaction that took long) while answers arrived.  libcurl
 * looks at the clock before it looks at a socket: everything whose time is over by now would fail.  So give all
 * of them more time, take what has arrived, and let libcurl look at the clock for the rest.
 */
static bool
http_catch_up(Http *http, int64_t pause_ms)
{
	int			rounds = http->running / PERFORM_EVENTS + 1;
	bool		good = true;
	int			running;

	for (Transfer *transfer = http->all; transfer != NULL; transfer = transfer->next_all)
		if (transfer->state == TRANSFER_RUNNING)
			good &= transfer_allow_more(transfer, (long) pause_ms + GRACE_MS);
	for (int i = 0; i < rounds; i++)
		good &= http_perform_sockets(http);
	for (Transfer *transfer = http->all; transfer != NULL; transfer = transfer->next_all)
	{
		if (transfer->state != TRANSFER_RUNNING)
			continue;
		good &= transfer_allow_more(transfer, 0);

		/* The timer that was to end it may have passed unnoticed. */
		if (transfer->fd >= 0)
			good &= curl_multi_socket_action(http->multi, transfer->fd, 0, &running) == CURLM_OK;
	}
	return good;
}

static int64_t
http_monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool
http_perform(Http *http)
{
	int64_t		pause_ms = http_monotonic_ms() - http->performed_at;
	sigset_t	signals;
	bool		good;
	int			running;

	http_block_signals(&signals);

	if (http->running > 0 && pause_ms >= PAUSE_MS)
		good = http_catch_up(http, pause_ms);
	else
		good = http_perform_sockets(http);
	http->performed_at = http_monotonic_ms();

	if (mux_timer_left(http->mux) == 0)
	{
		/* Before the call, which may set it again. */
		mux_set_timer(http->mux, -1);
		good &= curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running) == CURLM_OK;
	}

	pthread_sigmask(SIG_SETMASK, &signals, NULL);
	return good;
}

/*
 * A receiver that is about to close a connection (HTTP/2 GOAWAY) has taken leave
 * of requests that were already on their way; others are sent over a kept
 * connection that is closed already.  libcurl sends most of them again over another
 * connection; this does it for the rest.  False if the request has ended for good.
 */
static bool
http_send_again(Http *http, Transfer *transfer, CURLcode code)
{
	curl_off_t	duration = 0;
	long		left;

	if (!outcome_not_taken(transfer, code) || transfer->resent >= RESENDS_MAX)
		return false;
	curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &duration);
	left = transfer->request.timeout_ms - (long) (duration / 1000);
	if (left <= 0)
		return false;

	curl_multi_remove_handle(http->multi, transfer->easy);
	return transfer_begin_again(transfer, left, duration, outcome_stale_connection(transfer, code)) &&
		curl_multi_add_handle(http->multi, transfer->easy) == CURLM_OK;
}

/*
 * A response that was there before libcurl had to wait for it has come over a
 * socket that we do not know.  Asking for it is slow with many connections.
 */
static void
http_expect_silence(Http *http, Transfer *transfer)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	long		version = 0;

	if (transfer->fd >= 0)
		return;					/* transfer.c has seen to it */
	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
	if (version != CURL_HTTP_VERSION_1_0 && version != CURL_HTTP_VERSION_1_1)
		return;
	curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd);
	mux_expect_silence(http->mux, fd);
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

	do
	{
		message = curl_multi_info_read(http->multi, &left);
		if (message == NULL)
			return false;

		/* Removing the handle frees the message. */
		code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer);
	} while (http_send_again(http, transfer, code));
	http_expect_silence(http, transfer);
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &duration);

	result->owner = transfer->request.owner;
	result->transfer = transfer;
	result->outcome = outcome_judge(transfer, code, (int) status);
	result->status = (int) status;
	result->headers = transfer->headers.data ? transfer->headers.data : "";
	result->headers_len = transfer->headers.len;
	result->body = transfer->body.data ? transfer->body.data : "";
	result->body_len = transfer->body.len;
	result->error = transfer->error;
	result->duration_us = transfer->spent_before + duration;

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
 * alive before it uses it again.  The ones in use are left alone:
 * on_connected() judges whatever comes next over them.
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
