/*-------------------------------------------------------------------------
 *
 * route.c
 *		How receivers are reached: directly or through the proxy.
 *
 * All requests through the proxy use a tunnel (CONNECT or SOCKS5), http ones, too: then what
 * the proxy answers can be told from what the receiver answers, and the proxy can be given
 * an address although the request has the name.
 *
 * The SSRF guard does not see the sockets that the proxy opens.  So an address in a URL,
 * in any spelling, and the addresses of a name that is resolved here are found out
 * first, by having libcurl connect to the host and refusing each socket (ROUTE_RESOLVING).
 * The proxy gets the address that was judged, so it cannot connect to another one.
 *
 * A request that ends before or without the receiver's answer may be the proxy's fault or the
 * receiver's: a proxy that waits for a dead receiver looks like one that is dead.  So it is
 * asked something that it can answer by itself (ROUTE_CHECKING).
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compat.h"
#include "http/outcome.h"
#include "http/transfer.h"
#include "http/transfer_options.h"

/* Hosts whose addresses are remembered, and for how long. */
#define ROUTE_NAMES			256
#define ROUTE_NAME_MS		30000

/* ---------- addresses ---------- */

static RouteName *
route_name_slot(Route *route, const char *host)
{
	unsigned int hash = 0;

	if (route->names == NULL)
		route->names = calloc(ROUTE_NAMES, sizeof(RouteName));
	if (route->names == NULL || strlen(host) > PROXY_MAX_HOST)
		return NULL;
	for (const char *c = host; *c != '\0'; c++)
		hash = hash * 31 + (unsigned char) *c;
	return &route->names[hash % ROUTE_NAMES];
}

static bool
route_still_allowed(const Http *http, const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return netguard_allows(http->allowed, (struct sockaddr *) &v4, sizeof(v4));
	return inet_pton(AF_INET6, text, &v6.sin6_addr) == 1 &&
		netguard_allows(http->allowed, (struct sockaddr *) &v6, sizeof(v6));
}

/* The address to be used for a host, or NULL if it must be looked up. */
static const char *
route_known_address(Http *http, const char *host)
{
	RouteName  *name = route_name_slot(&http->route, host);
	const char *address;

	if (name == NULL || strcmp(name->host, host) != 0 || name->until_ms < mux_now_us() / 1000)
		return NULL;
	address = name->addresses.addresses[name->addresses.next];
	return route_still_allowed(http, address) ? address : NULL;
}

/* The address that was used last remains the first choice. */
static void
route_remember(Http *http, const char *host, const RouteAddresses *addresses)
{
	RouteName  *name = route_name_slot(&http->route, host);
	char		last[INET6_ADDRSTRLEN] = "";

	if (name == NULL)
		return;
	if (strcmp(name->host, host) == 0)
		strcpy(last, name->addresses.addresses[name->addresses.next]);
	strcpy(name->host, host);
	name->addresses = *addresses;
	name->addresses.next = 0;
	for (int i = 0; i < addresses->count; i++)
		if (strcmp(addresses->addresses[i], last) == 0)
			name->addresses.next = i;
	name->until_ms = mux_now_us() / 1000 + ROUTE_NAME_MS;
}

/*
 * The proxy could not connect to this address of a host: use another one, unless that is done
 * already.  Returns how many there are.
 */
static int
route_use_other_address(Http *http, const char *host, const char *address)
{
	RouteName  *name = route_name_slot(&http->route, host);

	if (name == NULL || strcmp(name->host, host) != 0)
		return 0;
	if (strcmp(name->addresses.addresses[name->addresses.next], address) == 0)
		name->addresses.next = (name->addresses.next + 1) % name->addresses.count;
	return name->addresses.count;
}

/* ---------- options ---------- */

bool
route_is_proxied(const Route *route, CURLU *url)
{
	char	   *host = NULL;
	bool		proxied;

	if (route->server.scheme == PROXY_NONE || curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return false;
	proxied = !proxy_excepts(&route->exceptions, host);
	curl_free(host);
	return proxied;
}

/* The environment is not searched for a proxy if both options are set. */
static CURLcode
route_set_direct(Transfer *transfer)
{
	if (transfer->route.set == ROUTE_DIRECT)
		return CURLE_OK;
	TRANSFER_SET(CURLOPT_PROXY, "");
	TRANSFER_SET(CURLOPT_NOPROXY, "*");
	TRANSFER_SET(CURLOPT_CONNECT_TO, NULL);
	transfer->route.set = ROUTE_DIRECT;
	return CURLE_OK;
}

/* Options that are the same for all requests through this proxy. */
static CURLcode
route_set_proxy(Transfer *transfer)
{
	const Route *route = &transfer->http->route;

	if (transfer->route.set == ROUTE_PROXIED && transfer->route.generation == route->generation)
		return CURLE_OK;
	TRANSFER_SET(CURLOPT_PROXY, route->url);
	TRANSFER_SET(CURLOPT_NOPROXY, "");
	TRANSFER_SET(CURLOPT_PROXYUSERNAME, route->server.has_user ? route->server.user : NULL);
	TRANSFER_SET(CURLOPT_PROXYPASSWORD, route->server.has_user ? route->server.password : NULL);
	TRANSFER_SET(CURLOPT_PROXYAUTH, (long) CURLAUTH_BASIC);
	TRANSFER_SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
	TRANSFER_SET(CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	TRANSFER_SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (route->server.scheme == PROXY_HTTPS)
	{
		TRANSFER_SET(CURLOPT_PROXY_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
		TRANSFER_SET(CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
		TRANSFER_SET(CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
		if (route->ca_file[0] != '\0')
		{
			TRANSFER_SET(CURLOPT_PROXY_CAINFO, route->ca_file);

			/*
			 * The system's would count as well.  Not every TLS library has
			 * this.
			 */
			(void) curl_easy_setopt(transfer->easy, CURLOPT_PROXY_CAPATH, NULL);
		}
	}
	transfer->route.set = ROUTE_PROXIED;
	transfer->route.generation = route->generation;
	return CURLE_OK;
}

/* The address that the proxy gets; NULL: the name. */
static CURLcode
route_set_target(Transfer *transfer, const char *address)
{
	RouteState *state = &transfer->route;

	if (transfer->http->route.server.scheme == PROXY_SOCKS5)
		TRANSFER_SET(CURLOPT_PROXYTYPE, (long) (address != NULL ? CURLPROXY_SOCKS5 : CURLPROXY_SOCKS5_HOSTNAME));
	snprintf(state->address, sizeof(state->address), "%s", address != NULL ? address : "");
	if (address == NULL)
	{
		TRANSFER_SET(CURLOPT_CONNECT_TO, NULL);
		return CURLE_OK;
	}
	snprintf(state->target, sizeof(state->target), strchr(address, ':') != NULL ? "::[%s]:" : "::%s:", address);
	state->line.data = state->target;
	state->line.next = NULL;
	TRANSFER_SET(CURLOPT_CONNECT_TO, &state->line);
	return CURLE_OK;
}

/*
 * While requests are under way that began with other settings, none joins their
 * connections.
 */
static CURLcode
route_set_fresh(Transfer *transfer, bool fresh)
{
	if (transfer->route.fresh == fresh)
		return CURLE_OK;
	TRANSFER_SET(CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L);
	transfer->route.fresh = fresh;
	return CURLE_OK;
}

static CURLcode
route_set_proxied(Transfer *transfer, const char *address)
{
	CURLcode	rc;

	transfer->route.stage = ROUTE_PROXIED;
	if ((rc = route_set_proxy(transfer)) != CURLE_OK ||
		(rc = route_set_fresh(transfer, transfer->http->route.older > 0)) != CURLE_OK)
		return rc;
	return route_set_target(transfer, address);
}

/* Have it look up the host.  A pooled connection would make that unnecessary. */
static CURLcode
route_set_resolving(Transfer *transfer)
{
	CURLcode	rc;

	transfer->route.stage = ROUTE_RESOLVING;
	transfer->route.found.count = transfer->route.found.next = 0;
	if ((rc = route_set_direct(transfer)) != CURLE_OK)
		return rc;
	return route_set_fresh(transfer, true);
}

CURLcode
route_set_options(Transfer *transfer)
{
	Http	   *http = transfer->http;
	const char *address = NULL;
	char	   *host = NULL;
	CURLcode	rc;

	transfer->route.tried = 0;
	if (!route_is_proxied(&http->route, transfer->parsed_url))
	{
		transfer->route.stage = ROUTE_DIRECT;
		if ((rc = route_set_direct(transfer)) != CURLE_OK)
			return rc;
		return route_set_fresh(transfer, http->route.older > 0);
	}
	if (curl_url_get(transfer->parsed_url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return CURLE_OUT_OF_MEMORY;
	if (!http->route.resolve_here && !proxy_host_is_literal(host))
		rc = route_set_proxied(transfer, NULL);
	else if ((address = route_known_address(http, host)) != NULL)
		rc = route_set_proxied(transfer, address);
	else
		rc = route_set_resolving(transfer);
	curl_free(host);
	return rc;
}

/* ---------- stages ---------- */

/* The request itself, with one of the host's addresses. */
static CURLcode
route_use_address(Transfer *transfer)
{
	char	   *host = NULL;
	const char *address;

	if (curl_url_get(transfer->parsed_url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return CURLE_OUT_OF_MEMORY;
	if (transfer->route.stage == ROUTE_RESOLVING)
		route_remember(transfer->http, host, &transfer->route.found);
	address = route_known_address(transfer->http, host);
	curl_free(host);
	if (address != NULL)
		return route_set_proxied(transfer, address);
	if (transfer->route.stage == ROUTE_RESOLVING)	/* out of memory */
		return route_set_proxied(transfer, transfer->route.found.addresses[0]);
	return route_set_resolving(transfer);
}

/*
 * A request to the proxy itself, which gets nothing of the other one.  What that has received
 * is kept.
 */
static CURLcode
route_set_checking(Transfer *transfer)
{
	const ProxyServer *server = &transfer->http->route.server;
	char		url[PROXY_MAX_HOST + 32];
	CURLcode	rc;

	curl_easy_reset(transfer->easy);
	transfer->must_renew = true;
	rc = transfer_options_reset(transfer);
	if (rc != CURLE_OK)
		return rc;
	transfer->fd = -1;
	snprintf(url, sizeof(url), "%s://%s:%d/", server->scheme == PROXY_HTTPS ? "https" : "http",
			 server->host, server->port);
	TRANSFER_SET(CURLOPT_URL, url);
	TRANSFER_SET(CURLOPT_FRESH_CONNECT, 1L);
	TRANSFER_SET(CURLOPT_FORBID_REUSE, 1L);
	TRANSFER_SET(CURLOPT_TIMEOUT_MS, ROUTE_CHECK_MS);
	return CURLE_OK;
}

/* Could the proxy be to blame for this, although it was not said? */
static bool
route_is_ambiguous(const Transfer *transfer, HttpOutcome outcome)
{
	if (outcome == HTTP_RESET)
		return true;
	return !transfer->sent && (outcome == HTTP_TIMEOUT || outcome == HTTP_TLS);
}

/* Any answer will do, even one that is no HTTP. */
bool
route_check_failed(CURLcode code)
{
	return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT;
}

/* Could the proxy not connect to the address of a host, and is there one that has not been tried? */
static bool
route_has_other_address(Transfer *transfer, HttpOutcome outcome)
{
	RouteState *state = &transfer->route;
	char	   *host = NULL;
	int			count;

	if (transfer->sent || state->address[0] == '\0' || state->older ||
		(outcome != HTTP_REFUSED && outcome != HTTP_TIMEOUT) ||
		curl_url_get(transfer->parsed_url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return false;
	count = route_use_other_address(transfer->http, host, state->address);
	curl_free(host);
	return ++state->tried < count;
}

bool
route_next_stage(Transfer *transfer, HttpOutcome outcome, int64_t spent, RouteStage *next)
{
	RouteState *state = &transfer->route;

	*next = ROUTE_PROXIED;
	if (state->stage == ROUTE_RESOLVING)
		return state->found.count > 0 && outcome != HTTP_TIMEOUT;
	if (state->stage != ROUTE_PROXIED)
		return false;
	if (route_has_other_address(transfer, outcome) && spent / 1000 < transfer->request.timeout_ms)
		return true;
	*next = ROUTE_CHECKING;
	return route_is_ambiguous(transfer, outcome);
}

CURLcode
route_enter_stage(Transfer *transfer, RouteStage stage, HttpOutcome outcome, int64_t spent)
{
	long		left = transfer->request.timeout_ms - (long) (spent / 1000);
	CURLcode	rc;

	transfer->spent_before += spent;
	if (stage == ROUTE_CHECKING)
	{
		int			status = transfer->route.status;

		rc = route_set_checking(transfer);
		transfer->route.stage = ROUTE_CHECKING;
		transfer->route.verdict = outcome;
		transfer->route.status = status;
		return rc;
	}
	transfer_discard_response(transfer);
	rc = route_use_address(transfer);
	if (rc != CURLE_OK)
		return rc;
	transfer->request.timeout_ms = left > 0 ? left : 1;
	TRANSFER_SET(CURLOPT_TIMEOUT_MS, transfer->request.timeout_ms);
	return CURLE_OK;
}

void
route_end(Transfer *transfer)
{
	if (transfer->route.older)
		transfer->http->route.older--;
	transfer->route.older = false;
}

/* ---------- another proxy ---------- */

static bool
route_equals(const Route *route, const HttpProxy *proxy)
{
	return memcmp(&route->server, proxy->server, sizeof(ProxyServer)) == 0 &&
		memcmp(&route->exceptions, proxy->exceptions, sizeof(ProxyExceptions)) == 0 &&
		route->resolve_here == proxy->resolve_here && strcmp(route->ca_file, proxy->ca_file) == 0;
}

/* Connections in use are closed when their last request has ended; idle ones are closed by the caller. */
static void
route_outdate_transfers(Http *http)
{
	for (Transfer *transfer = http->all; transfer != NULL; transfer = transfer->next_all)
	{
		/* Its handle has options of the other proxy. */
		transfer->must_renew = true;
		if (transfer->state != TRANSFER_RUNNING)
			continue;
		if (!transfer->route.older)
			http->route.older++;
		transfer->route.older = true;
		curl_easy_setopt(transfer->easy, CURLOPT_FORBID_REUSE, 1L);
	}
}

bool
route_change(Http *http, const HttpProxy *proxy)
{
	Route	   *route = &http->route;

	if (route_equals(route, proxy))
		return false;
	memcpy(&route->server, proxy->server, sizeof(ProxyServer));
	memcpy(&route->exceptions, proxy->exceptions, sizeof(ProxyExceptions));
	route->resolve_here = proxy->resolve_here;
	snprintf(route->ca_file, sizeof(route->ca_file), "%s", proxy->ca_file);
	proxy_address(&route->server, route->url, sizeof(route->url));
	route->generation++;
	route->proven = false;
	route_outdate_transfers(http);
	return true;
}
