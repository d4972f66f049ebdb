/*-------------------------------------------------------------------------
 *
 * outcome.c
 *		How a request ended.
 *
 * libcurl returns a code and a message.  The log should show administrators what to
 * look at: the name server, the firewall, the certificate, or the receiver.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

#include "compat.h"
#include "http/outcome.h"
#include "pure/assertion.h"

void
outcome_set_error(Transfer *transfer, const char *format,...)
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

const char *
outcome_curl_words(const Transfer *transfer, CURLcode code)
{
	return transfer->curl_error[0] != '\0' ? transfer->curl_error : curl_easy_strerror(code);
}

static bool
outcome_curl_message(const Transfer *transfer, const char *words)
{
	return strstr(transfer->curl_error, words) != NULL;
}

/*
 * Has sending the request begun?  (CURLINFO_PRETRANSFER_TIME_T does not show it: newer
 * releases, such as 8.22, set it earlier.)
 */
static bool
outcome_request_begun(const Transfer *transfer)
{
	long		sent = 0;

	/* The size includes that of the request to the proxy. */
	if (transfer->route.stage == ROUTE_PROXIED)
		return transfer->sent;
	curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &sent);
	return sent > 0;
}

bool
outcome_tunnelled(const Transfer *transfer)
{
	long		status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	return transfer->sent || (status >= 200 && status < 300);
}

static const char *
outcome_phase(const Transfer *transfer)
{
	curl_off_t	sent = 0;

	if (transfer->header_bytes > 0)
		return "receiving the response";
	if (outcome_request_begun(transfer))
	{
		curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
		return sent < (curl_off_t) transfer->request.body_len ?
			"sending the request" : "waiting for the response";
	}
	if (transfer->route.stage == ROUTE_PROXIED)
		return outcome_tunnelled(transfer) ? "negotiating TLS" : "waiting for the proxy to connect";
	if (!transfer->socket_opened)
		return "resolving the host name";
	return transfer->connected ? "negotiating TLS" : "connecting";
}

/* The host of the request's URL, for messages. */
static void
outcome_request_host(const Transfer *transfer, char *host, size_t size)
{
	char	   *part = NULL;

	curl_url_get(transfer->parsed_url, CURLUPART_HOST, &part, 0);
	snprintf(host, size, "%s", part != NULL ? part : "");
	curl_free(part);
}

static HttpOutcome
outcome_judge_status(Transfer *transfer, int status)
{
	char	   *location = NULL;

	if (status >= 200 && status < 300)
		return HTTP_DELIVERED;

	if (status >= 300 && status < 400)
	{
		curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &location);
		if (location != NULL)
			outcome_set_error(transfer, "HTTP status %d, redirect not followed, Location: %s", status, location);
		else
			outcome_set_error(transfer, "HTTP status %d", status);
		return HTTP_REDIRECT;
	}

	outcome_set_error(transfer, "HTTP status %d", status);
	return status >= 400 && status < 500 ? HTTP_CLIENT_ERROR : HTTP_SERVER_ERROR;
}

static HttpOutcome
outcome_judge_forbidden(Transfer *transfer)
{
	outcome_set_error(transfer, "address %s is not allowed by webhook.allowed_networks", transfer->address);
	return HTTP_FORBIDDEN_ADDRESS;
}

static HttpOutcome
outcome_judge_no_connection(Transfer *transfer, CURLcode code)
{
	char		host[256];
	long		error_number = 0;

	outcome_request_host(transfer, host, sizeof(host));
	if (code == CURLE_COULDNT_RESOLVE_HOST)
	{
		outcome_set_error(transfer, "could not resolve host \"%s\"%s", host,
						  transfer->route.stage == ROUTE_RESOLVING ? ", which is left to the proxy with webhook.proxy_resolve = proxy" : "");
		return HTTP_UNRESOLVED;
	}

	if (transfer->no_socket != 0 && !transfer->socket_opened)
	{
		outcome_set_error(transfer, "could not open a socket: %s", strerror(transfer->no_socket));
		return HTTP_REFUSED;
	}

	/*
	 * If another address of the host was tried, the failure to connect to
	 * that one is reported.
	 */
	if (transfer->forbidden && !transfer->socket_opened)
		return outcome_judge_forbidden(transfer);

	curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &error_number);
	if (error_number == ECONNREFUSED)
		outcome_set_error(transfer, "connection refused by host \"%s\"", host);
	else
		outcome_set_error(transfer, "could not connect to host \"%s\": %s", host,
						  error_number != 0 ? strerror((int) error_number) : outcome_curl_words(transfer, code));
	return HTTP_REFUSED;
}

static HttpOutcome
outcome_judge_tls(Transfer *transfer, CURLcode code)
{
	outcome_set_error(transfer, "TLS: %s", outcome_curl_words(transfer, code));
	return HTTP_TLS;
}

static HttpOutcome
outcome_judge_too_large(Transfer *transfer)
{
	outcome_set_error(transfer, "response larger than %zu bytes", transfer->request.max_response);
	return HTTP_TOO_LARGE;
}

static HttpOutcome
outcome_judge_protocol(Transfer *transfer, CURLcode code)
{
	outcome_set_error(transfer, "invalid HTTP response: %s", outcome_curl_words(transfer, code));
	return HTTP_PROTOCOL;
}

/*
 * Failure on an open connection.  libcurl uses the same codes for broken
 * connections and for some kinds of invalid responses.
 */
static HttpOutcome
outcome_judge_broken(Transfer *transfer, CURLcode code)
{
	/* With TLS 1.3 the server rejects our certificate after the handshake. */
	if (outcome_curl_message(transfer, "SSL routines"))
		return outcome_judge_tls(transfer, code);

	/*
	 * A trailer above libcurl's own limit: "Out of memory in
	 * chunked-encoding"
	 */
	if (outcome_curl_message(transfer, "ut of memory"))
		return outcome_judge_too_large(transfer);
	if (outcome_curl_message(transfer, "hunk")) /* "chunk", "Chunk" */
		return outcome_judge_protocol(transfer, code);
	if (outcome_curl_message(transfer, "Too large response headers"))
		return outcome_judge_too_large(transfer);
	outcome_set_error(transfer, "connection lost while %s: %s", outcome_phase(transfer), outcome_curl_words(transfer, code));
	return HTTP_RESET;
}

static bool
outcome_is_http2(CURLcode code)
{
	return code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM;
}

/*
 * When libcurl looks for a connection, it closes pooled ones that are dead.  Releases
 * such as 7.88 do so on behalf of the request, whose buffer then has the message of
 * what went wrong there, and receives no other.
 */
void
outcome_discard_foreign_message(Transfer *transfer, CURLcode code)
{
	static const char foreign[] = "Send failure: ";

	if (outcome_is_http2(code) && strncmp(transfer->curl_error, foreign, sizeof(foreign) - 1) == 0)
		transfer->curl_error[0] = '\0';
}

/*
 * HTTP/2 errors without a message: the receiver closed the stream (a response that
 * is complete before all of the request has been sent) or the connection, see
 * WEBHOOK_CURL_SILENT_GOAWAY.
 */
static bool
outcome_is_silent_close(const Transfer *transfer, CURLcode code)
{
	return outcome_is_http2(code) && transfer->curl_error[0] == '\0';
}

/* Newer releases of libcurl do not always check whether a pooled connection has been closed. */
bool
outcome_stale_connection(const Transfer *transfer, CURLcode code)
{
	return code == CURLE_SEND_ERROR && !transfer->socket_opened && !outcome_request_begun(transfer);
}

bool
outcome_not_taken(const Transfer *transfer, CURLcode code)
{
	if (outcome_stale_connection(transfer, code))
		return true;
	return outcome_is_silent_close(transfer, code) && transfer->header_bytes == 0 &&
		(WEBHOOK_CURL_SILENT_GOAWAY || !outcome_request_begun(transfer));
}

static HttpOutcome
outcome_judge_http2(Transfer *transfer, CURLcode code, int status)
{
	static const char *const nonsense[] = {
		"PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "FLOW_CONTROL_ERROR", "COMPRESSION_ERROR", "header fields"
	};

	if (outcome_is_silent_close(transfer, code) && transfer->headers_done)
		return outcome_judge_status(transfer, status);
	if (outcome_is_silent_close(transfer, code) && !WEBHOOK_CURL_SILENT_GOAWAY)
		return outcome_judge_broken(transfer, code);
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		if (outcome_curl_message(transfer, nonsense[i]))
			return outcome_judge_protocol(transfer, code);
	outcome_set_error(transfer, "closed by the receiver while %s: %s", outcome_phase(transfer),
					  outcome_curl_words(transfer, code));
	return HTTP_RESET;
}

static HttpOutcome
outcome_judge_invalid(Transfer *transfer, CURLcode code)
{
	outcome_set_error(transfer, "could not send the request: %s", outcome_curl_words(transfer, code));
	return HTTP_INVALID;
}

HttpOutcome
outcome_judge(Transfer *transfer, CURLcode code, int status)
{
	ASSERT(transfer->state == TRANSFER_RUNNING);
	if (transfer->too_large)
		return outcome_judge_too_large(transfer);
	if (transfer->out_of_memory)
		return outcome_judge_invalid(transfer, CURLE_OUT_OF_MEMORY);

	switch (code)
	{
		case CURLE_OK:
			return outcome_judge_status(transfer, status);

		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
			return outcome_judge_no_connection(transfer, code);

		case CURLE_ABORTED_BY_CALLBACK:
			return outcome_judge_forbidden(transfer);

		case CURLE_OPERATION_TIMEDOUT:
			outcome_set_error(transfer, "timeout while %s", outcome_phase(transfer));
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
			return outcome_judge_tls(transfer, code);

		case CURLE_SEND_ERROR:
		case CURLE_RECV_ERROR:
		case CURLE_GOT_NOTHING:
		case CURLE_PARTIAL_FILE:
			return outcome_judge_broken(transfer, code);

		case CURLE_HTTP2:
		case CURLE_HTTP2_STREAM:
			return outcome_judge_http2(transfer, code, status);

		case CURLE_OUT_OF_MEMORY:

			/*
			 * Also used for a header line that exceeds libcurl's own limit,
			 * sometimes without a message.
			 */
			return outcome_request_begun(transfer) || outcome_curl_message(transfer, "header") ?
				outcome_judge_too_large(transfer) : outcome_judge_invalid(transfer, code);

#ifdef WEBHOOK_CURLE_TOO_LARGE
		case WEBHOOK_CURLE_TOO_LARGE:
			return outcome_judge_too_large(transfer);
#endif

		default:
			if (outcome_request_begun(transfer))
				return outcome_judge_protocol(transfer, code);

			/*
			 * Newer releases do not return CURLE_SSL_CERTPROBLEM if the key
			 * does not match.
			 */
			return outcome_curl_message(transfer, "private key") ?
				outcome_judge_tls(transfer, code) : outcome_judge_invalid(transfer, code);
	}
}
