/*-------------------------------------------------------------------------
 *
 * proxy_fault.c
 *		Whose fault is it that no tunnel has been made?
 *
 * What concerns the proxy as a whole must not be caused by a webhook: a role could
 * stop all deliveries by the URL of one.  So only what does not depend on the
 * host counts as that: there is no connection, or it rejects our credentials.
 * With these settings it must not have connected, or tried to, to any host before,
 * since some proxies ask for credentials, or limit requests, for certain hosts only.
 *
 *	5xx, SOCKS5 "unreachable"	the proxy has tried: the receiver's fault
 *	401, 407, 429				the proxy does not serve us at all, if it never has
 *	any other status			it does not want to connect to this host
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "http/outcome.h"
#include "http/proxy_fault.h"

#define STATUS_UNAUTHORIZED		401
#define STATUS_PROXY_AUTHENTICATION	407
#define STATUS_TOO_MANY_REQUESTS	429
#define STATUS_GATEWAY_TIMEOUT		504

static const char *
proxy_fault_host(const Transfer *transfer, char *host, size_t size)
{
	char	   *part = NULL;

	curl_url_get(transfer->parsed_url, CURLUPART_HOST, &part, 0);
	snprintf(host, size, "%s", part != NULL ? part : "");
	curl_free(part);
	return host;
}

static HttpOutcome
proxy_fault_down(Transfer *transfer, const char *reason)
{
	transfer->proxy_fault = HTTP_PROXY_DOWN;
	outcome_set_error(transfer, "proxy %s: %s", transfer->http->route.url, reason);
	return HTTP_PROXY;
}

HttpOutcome
proxy_fault_silent(Transfer *transfer)
{
	return proxy_fault_down(transfer, "it does not answer");
}

static HttpOutcome
proxy_fault_refused(Transfer *transfer, const char *reason)
{
	char		host[256];

	transfer->proxy_fault = HTTP_PROXY_REFUSED;
	outcome_set_error(transfer, "proxy %s refuses to connect to host \"%s\": %s", transfer->http->route.url,
					  proxy_fault_host(transfer, host, sizeof(host)), reason);
	return HTTP_PROXY;
}

static HttpOutcome
proxy_fault_unreachable(Transfer *transfer, HttpOutcome outcome, const char *reason)
{
	char		host[256];

	outcome_set_error(transfer, "the proxy could not connect to host \"%s\": %s",
					  proxy_fault_host(transfer, host, sizeof(host)), reason);
	return outcome;
}

/* The answer to CONNECT. */
static HttpOutcome
proxy_fault_by_status(Transfer *transfer, int status)
{
	char		reason[80];

	snprintf(reason, sizeof(reason), "HTTP status %d", status);

	if (transfer->http->route.proven && status < 500)
		return proxy_fault_refused(transfer, reason);

	/* tinyproxy answers 401 to a wrong password. */
	if (status == STATUS_PROXY_AUTHENTICATION || status == STATUS_UNAUTHORIZED)
	{
		snprintf(reason, sizeof(reason), "it %s (HTTP status %d)",
				 transfer->http->route.server.has_user ? "rejects the user or password" : "asks for a user and password",
				 status);
		return proxy_fault_down(transfer, reason);
	}
	if (status == STATUS_TOO_MANY_REQUESTS)
		return proxy_fault_down(transfer, reason);
	if (status >= 500)
	{
		transfer->http->route.proven |= !transfer->route.older;
		return proxy_fault_unreachable(transfer, status == STATUS_GATEWAY_TIMEOUT ? HTTP_TIMEOUT : HTTP_REFUSED, reason);
	}
	return proxy_fault_refused(transfer, reason);
}

/* The answer of a SOCKS proxy; false: there was none. */
static bool
proxy_fault_by_reply(Transfer *transfer, CURLproxycode reply, HttpOutcome *outcome)
{
	const char *words = outcome_curl_words(transfer, CURLE_PROXY);

	switch (reply)
	{
		case CURLPX_REPLY_NOT_ALLOWED:
			*outcome = proxy_fault_refused(transfer, "its rules do not allow it");
			return true;
		case CURLPX_REPLY_ADDRESS_TYPE_NOT_SUPPORTED:
		case CURLPX_REPLY_CONNECTION_REFUSED:
		case CURLPX_REPLY_GENERAL_SERVER_FAILURE:
		case CURLPX_REPLY_HOST_UNREACHABLE:
		case CURLPX_REPLY_NETWORK_UNREACHABLE:
		case CURLPX_REPLY_UNASSIGNED:
			*outcome = proxy_fault_unreachable(transfer, HTTP_REFUSED, words);
			return true;
		case CURLPX_REPLY_TTL_EXPIRED:
			*outcome = proxy_fault_unreachable(transfer, HTTP_TIMEOUT, words);
			return true;
		case CURLPX_NO_AUTH:
		case CURLPX_USER_REJECTED:
			*outcome = proxy_fault_down(transfer, "it rejects the user or password");
			return true;
		case CURLPX_BAD_VERSION:
		case CURLPX_REPLY_COMMAND_NOT_SUPPORTED:
		case CURLPX_UNKNOWN_MODE:
		case CURLPX_GSSAPI:
		case CURLPX_GSSAPI_PERMSG:
		case CURLPX_GSSAPI_PROTECTION:
			*outcome = proxy_fault_down(transfer, words);
			return true;
		default:
			outcome_set_error(transfer, "connection lost while waiting for the proxy to connect: %s", words);
			*outcome = HTTP_RESET;
			return true;
	}
}

static bool
proxy_fault_is_tls(CURLcode code)
{
	return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
		code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR;
}

bool
proxy_fault_judge(Transfer *transfer, CURLcode code, HttpOutcome *outcome)
{
	long		status = 0;
	long		reply = CURLPX_OK;

	if (transfer->route.stage != ROUTE_PROXIED)
		return false;
	if (code == CURLE_OK || outcome_tunnelled(transfer))
	{
		transfer->http->route.proven |= !transfer->route.older;
		return false;
	}
	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	if (status >= 300)
	{
		*outcome = proxy_fault_by_status(transfer, (int) status);
		return true;
	}
	switch (code)
	{
		case CURLE_COULDNT_RESOLVE_PROXY:
			*outcome = proxy_fault_down(transfer, "its host name could not be resolved");
			return true;
		case CURLE_COULDNT_CONNECT:
			if (transfer->no_socket != 0 && !transfer->socket_opened)
				return false;
			*outcome = proxy_fault_down(transfer, outcome_curl_words(transfer, code));
			return true;
		case CURLE_PROXY:
			curl_easy_getinfo(transfer->easy, CURLINFO_PROXY_ERROR, &reply);
			return proxy_fault_by_reply(transfer, (CURLproxycode) reply, outcome);
		default:
			if (transfer->http->route.server.scheme != PROXY_HTTPS || !proxy_fault_is_tls(code))
				return false;
			*outcome = proxy_fault_down(transfer, outcome_curl_words(transfer, code));
			return true;
	}
}
