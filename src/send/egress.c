/*-------------------------------------------------------------------------
 *
 * egress.c
 *		Whether requests can leave: the state of the proxy.
 *
 * When a request finds that the proxy does not work, everything that would go through it is
 * put aside, and only a probe is sent from time to time: it has the proxy connect to the host
 * of that request, or to one of another request that waits, and sends nothing there.  So a host
 * that the proxy treats differently from all others does not hold them up.  No delivery
 * loses an attempt.
 *
 * The time since which it has not worked is in shared memory, because it is reported only once
 * however often the worker is started meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/proxy_settings.h"
#include "base/settings.h"
#include "send/egress.h"
#include "send/notify.h"
#include "send/token.h"

/* Intervals of probes, doubled from the first to the last. */
#define EGRESS_FIRST_PROBE_MS	1000
#define EGRESS_LAST_PROBE_MS	30000

/* The proxy must answer the probe in this time.  Its host may be one that the proxy waits for. */
#define EGRESS_PROBE_TIMEOUT_MS	5000

/* If it fails again within this time after it has worked, the intervals go on where they were. */
#define EGRESS_UNSTABLE_MS		60000

/* When to try again to write the notification, which may be locked. */
#define EGRESS_REPORT_AGAIN_MS	1000

static Http *egress_http;
static DatabaseSlot *egress_slot;
static uint64 egress_generation = 0;	/* of the settings */

static bool egress_down = false;
static TimestampTz egress_probe_at = DT_NOEND;
static int64 egress_probe_interval;
static bool egress_probing = false;
static char egress_failed_url[PROXY_MAX_HOST + 32];
static char egress_other_url[PROXY_MAX_HOST + 32];	/* "": not known yet */
static bool egress_probe_other = false;
static TimestampTz egress_recovered_at = DT_NOBEGIN;
static char egress_error[512];
static TimestampTz egress_report_at = DT_NOEND;


static bool
egress_is_reported(void)
{
	return pg_atomic_read_u64(&egress_slot->proxy_failing_since) != 0;
}

static void
egress_forget_failure(void)
{
	egress_down = false;
	egress_probe_at = egress_report_at = DT_NOEND;
	pg_atomic_write_u64(&egress_slot->proxy_failing_since, 0);
}

/* Returns whether the settings have changed. */
static bool
egress_use_settings(void)
{
	HttpProxy	proxy = {
		.server = proxy_settings_server(),
		.exceptions = proxy_settings_exceptions(),
		.resolve_here = webhook_proxy_resolve == PROXY_RESOLVE_LOCAL,
		.ca_file = webhook_proxy_ca_file
	};

	if (!http_use_proxy(egress_http, &proxy))
		return false;
	egress_generation++;
	return true;
}

void
egress_init(Http *http, DatabaseSlot *slot)
{
	egress_http = http;
	egress_slot = slot;
	(void) egress_use_settings();

	/* What an earlier worker has reported holds only for a proxy. */
	if (proxy_settings_server()->scheme == PROXY_NONE)
		egress_forget_failure();
}

bool
egress_reload(void)
{
	bool		was_down = egress_down;

	if (!egress_use_settings())
		return false;
	egress_forget_failure();
	egress_recovered_at = DT_NOBEGIN;
	return was_down;
}

/* A URL that has the proxy connect to the same host and port. */
static void
egress_set_probe_url(const char *url, char *probe_url)
{
	bool		https = pg_strncasecmp(url, "https:", 6) == 0;
	const char *start = strstr(url, "://") + 3;
	int			len = strcspn(start, "/?#");
	const char *colon = NULL;

	for (const char *c = start + len; c > start && c[-1] != ']' && colon == NULL; c--)
		if (c[-1] == ':')
			colon = c;
	snprintf(probe_url, sizeof(egress_failed_url), "http://%.*s%s/", len, start, https && colon == NULL ? ":443" : "");
}

/* This one waits as well: try with its host. */
static void
egress_note_other(const char *url)
{
	if (egress_other_url[0] != '\0')
		return;
	egress_set_probe_url(url, egress_other_url);
	if (strcmp(egress_other_url, egress_failed_url) == 0)
		egress_other_url[0] = '\0';
}

bool
egress_holds(Endpoint *endpoint)
{
	const Token *token = endpoint->config.token;

	if (!egress_down || endpoint->config.url == NULL)
		return false;
	if (endpoint->state.route_known != egress_generation)
	{
		endpoint->state.proxied = http_is_proxied(egress_http, endpoint->config.url);
		endpoint->state.token_proxied = token != NULL && http_is_proxied(egress_http, token_url(token));
		endpoint->state.route_known = egress_generation;
	}
	if (endpoint->state.proxied && endpoint->config.exists)
		egress_note_other(endpoint->config.url);
	return endpoint->state.proxied ||
		(token != NULL && endpoint->state.token_proxied && !token_usable(token, clock_now()));
}

static void
egress_plan_probe(TimestampTz now)
{
	egress_probe_at = TimestampTzPlusMilliseconds(now, egress_probe_interval);
	egress_probe_interval = Min(2 * egress_probe_interval, EGRESS_LAST_PROBE_MS);
}

static bool
egress_fail(const char *url, const char *error, TimestampTz now)
{
	if (egress_down)
		return false;
	egress_down = true;
	egress_set_probe_url(url, egress_failed_url);
	egress_other_url[0] = '\0';
	egress_probe_other = false;
	if (now < egress_recovered_at || now >= TimestampTzPlusMilliseconds(egress_recovered_at, EGRESS_UNSTABLE_MS))
		egress_probe_interval = EGRESS_FIRST_PROBE_MS;
	egress_plan_probe(now);
	if (egress_is_reported())
		return true;
	pg_atomic_write_u64(&egress_slot->proxy_failing_since, (uint64) now);
	strlcpy(egress_error, error, sizeof(egress_error));
	egress_report_at = now;
	ereport(LOG,
			(errmsg("webhook deliveries wait for the proxy: %s", error)));
	return true;
}

static void
egress_recover(void)
{
	ereport(LOG,
			(errmsg("webhook deliveries go on, as the proxy works again")));
	egress_forget_failure();
	egress_recovered_at = clock_now();
}

bool
egress_note(const HttpResult *result, TimestampTz now)
{
	if (!result->proxied || result->older_route)
		return false;
	if (result->outcome == HTTP_PROXY && result->proxy_fault == HTTP_PROXY_DOWN)
		return egress_fail(result->url, result->error, now);

	/* A worker that was started meanwhile does not know that it has failed. */
	if (!egress_down && egress_is_reported())
		egress_recover();
	return false;
}

TimestampTz
egress_next_probe(void)
{
	return egress_probe_at;
}

void
egress_probe(TimestampTz now)
{
	static char url[sizeof(egress_failed_url)];
	static HttpRequest request = {.method = "GET",.timeout_ms = EGRESS_PROBE_TIMEOUT_MS,.max_response = 1024,.connect_only = true};
	char		error[256];

	if (egress_probe_at > now)
		return;
	egress_plan_probe(now);
	if (egress_probing)
		return;
	egress_probe_other = !egress_probe_other && egress_other_url[0] != '\0';
	strlcpy(url, egress_probe_other ? egress_other_url : egress_failed_url, sizeof(url));
	request.url = url;
	egress_probing = http_start(egress_http, &request, error);

	/* The next one may be yet another. */
	if (!egress_probe_other)
		egress_other_url[0] = '\0';
}

bool
egress_probed(const HttpResult *result)
{
	egress_probing = false;

	/*
	 * The name of another host may not exist: that says nothing about the
	 * proxy.
	 */
	if (egress_probe_other && !result->proxied)
		return false;
	if (!egress_down || result->older_route || (result->outcome == HTTP_PROXY && result->proxy_fault == HTTP_PROXY_DOWN))
		return false;
	egress_recover();
	return true;
}

TimestampTz
egress_next_report(TimestampTz now)
{
	return egress_report_at;
}

void
egress_report(TimestampTz now)
{
	egress_report_at = notify_proxy(egress_error) ? DT_NOEND : TimestampTzPlusMilliseconds(now, EGRESS_REPORT_AGAIN_MS);
}

void
egress_clock_set_back(TimestampTz now)
{
	if (egress_probe_at != DT_NOEND)
		egress_probe_at = Min(egress_probe_at, now);
	if (egress_report_at != DT_NOEND)
		egress_report_at = Min(egress_report_at, now);
}
