/*-------------------------------------------------------------------------
 *
 * route.h
 *		How receivers are reached: directly or through the proxy, for http.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ROUTE_H
#define WEBHOOK_ROUTE_H

#include <curl/curl.h>
#include <netinet/in.h>

#include "http/http.h"

#define ROUTE_MAX_ADDRESSES		8
#define ROUTE_MAX_CA_FILE		1023

struct Transfer;

/* How long a proxy that works may take to answer a request to itself. */
#define ROUTE_CHECK_MS		5000L

/* What libcurl is doing for a transfer. */
typedef enum RouteStage
{
	ROUTE_DIRECT,				/* the request, without a proxy */
	ROUTE_RESOLVING,			/* nothing but looking up the host's addresses */
	ROUTE_PROXIED,				/* the request, through the proxy */
	ROUTE_CHECKING				/* another request, to see whether the proxy
								 * answers at all */
} RouteStage;

/* The addresses of a host that requests are allowed to. */
typedef struct RouteAddresses
{
	int			count;
	int			next;			/* the one to use */
	char		addresses[ROUTE_MAX_ADDRESSES][INET6_ADDRSTRLEN];
} RouteAddresses;

typedef struct RouteName
{
	char		host[PROXY_MAX_HOST + 1];	/* "": unused */
	int64_t		until_ms;
	RouteAddresses addresses;
} RouteName;

/* Part of the Http. */
typedef struct Route
{
	ProxyServer server;
	ProxyExceptions exceptions;
	bool		resolve_here;
	char		ca_file[ROUTE_MAX_CA_FILE + 1]; /* "": the system's */
	char		url[PROXY_MAX_SHOWN];	/* of the proxy, without credentials */
	unsigned int generation;	/* increases when any of these changes */
	int			older;			/* running transfers that began before it did */
	bool		proven;			/* has this proxy connected to any host, or
								 * tried to? */
	RouteName  *names;			/* addresses found lately; NULL: none yet */
} Route;

/* Part of the Transfer. */
typedef struct RouteState
{
	RouteStage	stage;
	RouteStage	set;			/* for which the handle's options are set */
	unsigned int generation;	/* ... and for which proxy */
	bool		fresh;			/* CURLOPT_FRESH_CONNECT */
	bool		older;			/* counted in the Route */
	RouteAddresses found;		/* while resolving */
	int			tried;			/* addresses to which the proxy could not
								 * connect */
	HttpOutcome verdict;		/* while checking: what it is if the proxy
								 * answers */
	int			status;			/* likewise */
	struct curl_slist line;		/* for CURLOPT_CONNECT_TO */
	char		address[INET6_ADDRSTRLEN];	/* that the proxy gets; "": the
											 * name */
	char		target[INET6_ADDRSTRLEN + 8];
} RouteState;

/* Set the options that say where the request goes, before it is sent or sent again. */
extern CURLcode route_set_options(struct Transfer *transfer);

/*
 * libcurl has finished with a stage, after this many microseconds: is there another one, or the same
 * with another address?  When the handle has been removed, enter it.
 */
extern bool route_next_stage(struct Transfer *transfer, HttpOutcome outcome, int64_t spent, RouteStage *next);
extern CURLcode route_enter_stage(struct Transfer *transfer, RouteStage stage, HttpOutcome outcome, int64_t spent);

/* Has the proxy given no answer to the check? */
extern bool route_check_failed(CURLcode code);

/* A transfer has ended. */
extern void route_end(struct Transfer *transfer);

/* For http_use_proxy() and http_is_proxied(). */
extern bool route_change(Http *http, const HttpProxy *proxy);
extern bool route_is_proxied(const Route *route, CURLU *url);

#endif							/* WEBHOOK_ROUTE_H */
