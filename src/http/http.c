/*-------------------------------------------------------------------------
 *
 * http.c
 *		HTTP requests, many at once, behind one file descriptor.
 *
 * A thin layer over libcurl's multi interface, driven by socket events.  It
 * runs inside a PostgreSQL background worker, and that shapes it:
 *
 * libcurl does not support longjmp() out of callbacks, so nothing here may raise
 * errors.  Callbacks record their data in their Transfer and return a code; the
 * outcome is determined when libcurl has finished the transfer.  Memory is
 * malloc()ed.
 *
 * libcurl resolves host names in threads.  A signal delivered to one of them would
 * run the worker's handler there, so all signals are blocked while such a thread
 * may be started: threads inherit the mask.
 *
 * If libcurl itself fails, or a socket cannot be watched, http_perform() returns false and
 * the worker exits: its requests would stay in flight forever, or time out as if that were
 * the receiver's fault.
 *
 * transfer.c sets up requests, outcome.c classifies how they ended.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include <curl/curl.h>

#include "compat.h"
#include "http/http.h"
#include "http/mux.h"
#include "http/outcome.h"
#include "http/proxy_fault.h"
#include "http/transfer.h"
#include "http/transfer_options.h"
#include "pure/assertion.h"
#include "pure/curlbuild.h"

/* Maximum number of socket events handled before returning to the caller. */
#define PERFORM_EVENTS		128

#define HTTP_ERROR_MAX		256 /* as promised in http.h */

/*
 * Size of the connection pool, as a multiple of the maximum number of concurrent
 * requests: with hundreds of receivers, the next request is rarely for one of the
 * last.
 */
#define KEPT_PER_REQUEST	4

/* File descriptors that the process may need for other purposes, and those that must be free, e.g. to write WAL. */
#define OTHER_DESCRIPTORS	1024
#define RESERVED_DESCRIPTORS	64

/* After this pause between calls we may have missed timeouts; and the time granted to catch up. */
#define PAUSE_MS			200
#define GRACE_MS			1000

/* Maximum number of times that we send a request again. */
#define RESENDS_MAX			3

/* Note the first failure, which http_perform() reports. */
static void
http_fail(Http *http, const char *what, const char *why)
{
	if (http->failure[0] == '\0')
		snprintf(http->failure, sizeof(http->failure), "%s%s", what, why);
}

static void
http_check(Http *http, CURLMcode code)
{
	if (code != CURLM_OK)
		http_fail(http, "", curl_multi_strerror(code));
}

/*
 * Callbacks by which libcurl says what to wait for.
 *
 * They always return success: for libcurl, failure means to abort all transfers.
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

	/*
	 * Newer releases of libcurl, such as 8.22, also watch internal sockets,
	 * with an easy handle of their own.
	 */
	if (wanted != 0)
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &transfer);
	if (transfer != NULL)
	{
		transfer->fd = fd;

		/* A socket is watched for writing until it is connected. */
		if (wanted & MUX_READ)
			transfer->connected = transfer->socket_opened;
	}

	/*
	 * A socket that is idle, or closed already, has no events that a request
	 * waits for.
	 */
	if (!mux_watch(http->mux, fd, wanted) && wanted != 0 && errno != EBADF)
		http_fail(http, "could not watch a socket: ", strerror(errno));
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
 * Set the limit for socket descriptors; returns the size of the connection pool,
 * which exceeds max_connections only if there are enough descriptors.
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

void
http_library(HttpLibrary *library)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	library->version = info->version;
	library->tls = info->ssl_version != NULL ? info->ssl_version : "";
	library->fault = curlbuild_fault(info->version_num);
	library->has_certificates = curlbuild_has_certificates(info->ssl_version);
}

/* Set up the handle for all requests.  Returns false, and the error, on failure. */
static bool
http_set_up(Http *http, int max_connections, char *error)
{
#define SET(option, value) \
	do { \
		CURLMcode	rc_ = curl_multi_setopt(http->multi, (option), (value)); \
		if (rc_ != CURLM_OK) \
		{ \
			snprintf(error, HTTP_ERROR_MAX, "could not set %s: %s", #option, curl_multi_strerror(rc_)); \
			return false; \
		} \
	} while (0)

	http->mux = mux_create();
	if (http->mux == NULL)
	{
		snprintf(error, HTTP_ERROR_MAX, "could not create a set of sockets: %s", strerror(errno));
		return false;
	}
	http->multi = curl_multi_init();
	if (http->multi == NULL)
	{
		snprintf(error, HTTP_ERROR_MAX, "could not create a multi handle");
		return false;
	}
	SET(CURLMOPT_SOCKETFUNCTION, http_on_watch);
	SET(CURLMOPT_SOCKETDATA, http);
	SET(CURLMOPT_TIMERFUNCTION, http_on_timer);
	SET(CURLMOPT_TIMERDATA, http);
	SET(CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX);
	SET(CURLMOPT_MAXCONNECTS, http_share_descriptors(http, max_connections));
	if (!webhook_curl_set_resolver(http->multi, max_connections))
	{
		snprintf(error, HTTP_ERROR_MAX, "could not set the number of resolver threads");
		return false;
	}
	return true;
#undef SET
}

Http *
http_create(const NetguardList *allowed, int max_connections, char *error)
{
	CURLcode	rc = curl_global_init(CURL_GLOBAL_DEFAULT);
	Http	   *http;
	HttpLibrary library;

	if (rc != CURLE_OK)
	{
		snprintf(error, HTTP_ERROR_MAX, "%s", curl_easy_strerror(rc));
		return NULL;
	}

	http = calloc(1, sizeof(Http));
	if (http == NULL)
	{
		snprintf(error, HTTP_ERROR_MAX, "out of memory");
		curl_global_cleanup();
		return NULL;
	}
	http_library(&library);
	http->has_certificates = library.has_certificates;
	http->allowed = allowed;
	if (!http_set_up(http, max_connections, error))
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
	free(http->route.names);
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

#ifdef USE_ASSERT_CHECKING
static int
http_count_running(const Http *http)
{
	int			n = 0;

	for (const Transfer *transfer = http->all; transfer != NULL; transfer = transfer->next_all)
		n += transfer->state == TRANSFER_RUNNING;
	return n;
}
#endif

/* A failure is reported by http_perform(). */
static void
http_remove(Http *http, Transfer *transfer)
{
	http_check(http, curl_multi_remove_handle(http->multi, transfer->easy));
}

bool
http_start(Http *http, const HttpRequest *request, char *error)
{
	Transfer   *transfer;
	CURLcode	rc;
	CURLMcode	multi_rc;

	if (!http_known_method(request->method))
	{
		snprintf(error, HTTP_ERROR_MAX, "unknown method \"%.20s\"", request->method);
		return false;
	}

	transfer = transfer_take(http, request->url);
	if (transfer == NULL)
	{
		snprintf(error, HTTP_ERROR_MAX, "out of memory");
		return false;
	}
	transfer_begin(transfer, request);

	rc = transfer_options_set(transfer);
	if (rc == CURLE_OK)
		rc = route_set_options(transfer);
	if (rc != CURLE_OK)
	{
		snprintf(error, HTTP_ERROR_MAX, "%.*s", HTTP_ERROR_MAX - 1, outcome_curl_words(transfer, rc));
		transfer_put_back(transfer);
		return false;
	}
	multi_rc = curl_multi_add_handle(http->multi, transfer->easy);
	if (multi_rc != CURLM_OK)
	{
		snprintf(error, HTTP_ERROR_MAX, "%s", curl_multi_strerror(multi_rc));
		transfer_put_back(transfer);
		return false;
	}

	transfer->state = TRANSFER_RUNNING;
	http->running++;
	ASSERT(http->running == http_count_running(http));
	return true;
}

/* Block all signals except those that a thread raises by itself. */
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

/* Handle socket events. */
static void
http_perform_sockets(Http *http)
{
	MuxEvent	events[PERFORM_EVENTS];
	int			n = mux_poll(http->mux, events, PERFORM_EVENTS);
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
		http_check(http, curl_multi_socket_action(http->multi, events[i].fd, what, &running));
	}
}

static void
http_allow_more(Http *http, Transfer *transfer, long ms)
{
	if (!transfer_options_allow_more(transfer, ms))
		http_fail(http, "", "could not extend a timeout");
}

/*
 * The process may have been stopped (suspended machine, long transaction) while
 * responses arrived.  libcurl checks the time before it checks a socket, so
 * everything that is overdue by now would time out.  So extend all timeouts, read
 * what has arrived, and let libcurl check the time for the rest.
 */
static void
http_catch_up(Http *http, int64_t pause_ms)
{
	int			rounds = http->running / PERFORM_EVENTS + 1;
	int			running;

	for (Transfer *transfer = http->all; transfer != NULL; transfer = transfer->next_all)
		if (transfer->state == TRANSFER_RUNNING)
			http_allow_more(http, transfer, (long) pause_ms + GRACE_MS);
	for (int i = 0; i < rounds; i++)
		http_perform_sockets(http);
	for (Transfer *transfer = http->all; transfer != NULL; transfer = transfer->next_all)
	{
		if (transfer->state != TRANSFER_RUNNING)
			continue;
		http_allow_more(http, transfer, 0);

		/* The timer for its timeout may have expired meanwhile. */
		if (transfer->fd >= 0)
			http_check(http, curl_multi_socket_action(http->multi, transfer->fd, 0, &running));
	}
}

bool
http_perform(Http *http)
{
	int64_t		pause_ms = mux_now_us() / 1000 - http->performed_at;
	sigset_t	signals;
	int			running;

	ASSERT(http->multi != NULL && http->mux != NULL);
	http_block_signals(&signals);

	if (http->running > 0 && pause_ms >= PAUSE_MS)
		http_catch_up(http, pause_ms);
	else
		http_perform_sockets(http);
	http->performed_at = mux_now_us() / 1000;

	if (mux_timer_left(http->mux) == 0)
	{
		/* Reset it before the call, which may set it again. */
		mux_set_timer(http->mux, -1);
		http_check(http, curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running));
	}

	pthread_sigmask(SIG_SETMASK, &signals, NULL);
	return http->failure[0] == '\0';
}

const char *
http_failure(const Http *http)
{
	return http->failure;
}

/*
 * A receiver that closes a connection (HTTP/2 GOAWAY) may not have accepted
 * requests that were on their way, and others are sent over a pooled connection
 * that is closed already.  libcurl sends most of these again over another
 * connection; this is for the rest.  Returns false if the request has ended.
 */
static bool
http_resend(Http *http, Transfer *transfer, CURLcode code)
{
	curl_off_t	duration = 0;
	long		left;

	if (!outcome_not_taken(transfer, code) || transfer->resent >= RESENDS_MAX)
		return false;
	curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &duration);
	left = transfer->request.timeout_ms - (long) (duration / 1000);
	if (left <= 0)
		return false;

	http_remove(http, transfer);
	return route_set_options(transfer) == CURLE_OK &&
		transfer_prepare_resend(transfer, left, duration, outcome_stale_connection(transfer, code)) &&
		curl_multi_add_handle(http->multi, transfer->easy) == CURLM_OK;
}

/*
 * If a response was available before libcurl had to wait for it, we do not know
 * its socket.  Looking it up is slow with many connections.
 */
static void
http_expect_silence(Http *http, Transfer *transfer)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	long		version = 0;

	if (transfer->fd >= 0)
		return;					/* done by transfer_on_header() */
	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
	if (version != CURL_HTTP_VERSION_1_0 && version != CURL_HTTP_VERSION_1_1)
		return;
	curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd);
	mux_expect_silence(http->mux, fd);
}

/*
 * A request through the proxy may need further ones, see route.c.  Returns false if it has
 * ended.
 */
static bool
http_next_stage(Http *http, Transfer *transfer, HttpOutcome *outcome)
{
	RouteStage	next;
	curl_off_t	duration = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &duration);
	if (!route_next_stage(transfer, *outcome, duration, &next))
		return false;
	http_remove(http, transfer);
	if (route_enter_stage(transfer, next, *outcome, duration) == CURLE_OK &&
		curl_multi_add_handle(http->multi, transfer->easy) == CURLM_OK)
		return true;
	outcome_set_error(transfer, "libcurl could not be set up for the proxy");
	*outcome = HTTP_INVALID;
	return false;
}

static const char *
http_version_name(long version)
{
	switch (version)
	{
		case CURL_HTTP_VERSION_1_0:
			return "1.0";
		case CURL_HTTP_VERSION_1_1:
			return "1.1";
		case CURL_HTTP_VERSION_2_0:
			return "2";
		case CURL_HTTP_VERSION_3:
			return "3";
		default:
			return "";
	}
}

static int64_t
http_time(const Transfer *transfer, CURLINFO what)
{
	curl_off_t	time = 0;

	curl_easy_getinfo(transfer->easy, what, &time);
	return time;
}

static void
http_describe(const Transfer *transfer, HttpDetail *detail)
{
	char	   *address = NULL;
	long		version = 0;
	long		connections = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_PRIMARY_IP, &address);
	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
	curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connections);

	memset(detail, 0, sizeof(*detail));
	detail->address = address ? address : "";
	detail->version = http_version_name(version);

	/*
	 * Newer releases of libcurl give one for a connection that was refused,
	 * too.
	 */
	if (version != 0)
		detail->first_byte_us = http_time(transfer, CURLINFO_STARTTRANSFER_TIME_T);

	/*
	 * Some releases of libcurl give the time at which they chose the open
	 * connection.
	 */
	if (connections == 0 && detail->first_byte_us > 0)
		return;
	detail->dns_us = http_time(transfer, CURLINFO_NAMELOOKUP_TIME_T);
	detail->connect_us = http_time(transfer, CURLINFO_CONNECT_TIME_T);
	detail->tls_us = http_time(transfer, CURLINFO_APPCONNECT_TIME_T);
}

/*
 * Determine the outcome of a finished request.  Returns false if it goes on.  The result
 * of a check of the proxy only decides whether the verdict remains.
 */
static bool
http_judge(Http *http, Transfer *transfer, CURLcode code, HttpResult *result)
{
	long		status = 0;

	if (transfer->route.stage == ROUTE_CHECKING)
	{
		result->outcome = route_check_failed(code) ? proxy_fault_silent(transfer) : transfer->route.verdict;
		result->status = transfer->route.status;
		return true;
	}
	outcome_discard_foreign_message(transfer, code);
	if (http_resend(http, transfer, code))
		return false;
	if (transfer->route.stage != ROUTE_PROXIED || transfer->sent)
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	transfer->route.status = (int) status;
	if (!proxy_fault_judge(transfer, code, &result->outcome))
		result->outcome = outcome_judge(transfer, code, (int) status);
	result->status = (int) status;
	return !http_next_stage(http, transfer, &result->outcome);
}

/* Set times and connection; a check of the proxy shows none. */
static void
http_measure(Transfer *transfer, HttpResult *result)
{
	result->duration_us = transfer->spent_before;
	if (transfer->route.stage == ROUTE_CHECKING)
	{
		memset(&result->detail, 0, sizeof(result->detail));
		result->detail.address = result->detail.version = "";
		return;
	}
	result->duration_us += http_time(transfer, CURLINFO_TOTAL_TIME_T);
	http_describe(transfer, &result->detail);
}

bool
http_result(Http *http, HttpResult *result)
{
	CURLMsg    *message;
	CURLcode	code;
	Transfer   *transfer;
	int			left;

	do
	{
		message = curl_multi_info_read(http->multi, &left);
		if (message == NULL)
			return false;

		/* Removing the handle frees the message. */
		code = message->data.result;
		if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer) != CURLE_OK)
		{
			http_fail(http, "", "unknown request");
			return false;
		}
		ASSERT(message->msg == CURLMSG_DONE && transfer->state == TRANSFER_RUNNING);
	} while (!http_judge(http, transfer, code, result));
	http_expect_silence(http, transfer);

	result->owner = transfer->request.owner;
	result->transfer = transfer;
	result->url = transfer->request.url;
	result->proxied = transfer->route.stage == ROUTE_PROXIED || transfer->route.stage == ROUTE_CHECKING;
	result->older_route = transfer->route.older;
	result->proxy_fault = transfer->proxy_fault;
	result->headers = transfer->headers.data ? transfer->headers.data : "";
	result->headers_len = transfer->headers.len;
	result->body = transfer->body.data ? transfer->body.data : "";
	result->body_len = transfer->body.len;
	result->error = transfer->error;
	http_measure(transfer, result);

	http_remove(http, transfer);
	route_end(transfer);
	transfer->state = TRANSFER_FINISHED;
	http->running--;
	ASSERT(http->running == http_count_running(http));
	return true;
}

void
http_release(Transfer *transfer)
{
	ASSERT(transfer->state == TRANSFER_FINISHED);
	transfer_put_back(transfer);
}

/*
 * libcurl has no function for this, but checks whether a pooled connection is
 * still alive before it reuses it.  Connections in use are not closed;
 * transfer_on_connected() checks the next request over them.
 */
void
http_forget_connections(Http *http)
{
	mux_shutdown_idle(http->mux);
}

bool
http_use_proxy(Http *http, const HttpProxy *proxy)
{
	if (!route_change(http, proxy))
		return false;
	http_forget_connections(http);
	return true;
}

bool
http_is_proxied(const Http *http, const char *url)
{
	CURLU	   *parsed;
	bool		proxied;

	if (http->route.server.scheme == PROXY_NONE)
		return false;
	parsed = curl_url();
	proxied = parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS) == CURLUE_OK &&
		route_is_proxied(&http->route, parsed);
	curl_url_cleanup(parsed);
	return proxied;
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
		[HTTP_AGREED] = "agreed",
		[HTTP_NOT_AGREED] = "not_agreed",
		[HTTP_OAUTH] = "oauth",
		[HTTP_PROXY] = "proxy",
	};

	ASSERT(outcome >= 0 && outcome <= HTTP_PROXY);
	return names[outcome];
}
