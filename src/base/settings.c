/*-------------------------------------------------------------------------
 *
 * settings.c
 *		The settings of postgresql.conf.
 *
 * All settings are here, except those of the proxy, so that they can be audited in one
 * place.  They can be set by the administrator only and, except for the number of
 * workers, take effect on reload.  Lists are parsed by check hooks, so that a
 * typo is rejected at once and never reaches the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "base/argument.h"
#include "base/context.h"
#include "base/settings.h"
#include "compat.h"
#include "pure/handshake.h"

#define DEFAULT_ALLOWED_NETWORKS	""

#define DEFAULT_MAX_CONNECTIONS		200
#define MIN_MAX_CONNECTIONS			1
#define MAX_MAX_CONNECTIONS			10000

#define DEFAULT_MAX_RESPONSE_SIZE	(64 * 1024)
#define MIN_MAX_RESPONSE_SIZE		1024
#define MAX_MAX_RESPONSE_SIZE		(64 * 1024 * 1024)

/*
 * A message is copied into the worker's memory and, with an envelope, into a
 * request, so the maximum is half of MaxAllocSize.
 */
#define DEFAULT_MAX_PAYLOAD_SIZE_KB	(64 * 1024)
#define MIN_MAX_PAYLOAD_SIZE_KB		64
#define MAX_MAX_PAYLOAD_SIZE_KB		(512 * 1024)

#define DEFAULT_TIMEOUT_MS			(15 * 1000)
#define MIN_TIMEOUT_MS				100
#define MAX_TIMEOUT_MS				(10 * 60 * 1000)

/* About three days in all, as the Standard Webhooks specification suggests. */
#define DEFAULT_RETRY_SCHEDULE		"0, 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h"

#define DEFAULT_BUFFER_RETENTION_S	(5 * 24 * 3600)
#define MIN_BUFFER_RETENTION_S		0
#define MAX_BUFFER_RETENTION_S		(366 * 24 * 3600)
#define DEFAULT_FAILED_RETENTION_S	(30 * 24 * 3600)
#define MIN_FAILED_RETENTION_S		0
#define MAX_FAILED_RETENTION_S		(10 * 366 * 24 * 3600)
#define DEFAULT_HISTORY_RETENTION_S	0
#define MIN_HISTORY_RETENTION_S		0
#define MAX_HISTORY_RETENTION_S		(10 * 366 * 24 * 3600)
#define DEFAULT_HISTORY_MAX_SIZE_MB	(10 * 1024)
#define MIN_HISTORY_MAX_SIZE_MB		0
#define MAX_HISTORY_MAX_SIZE_MB		(1024 * 1024 * 1024)

#define DEFAULT_REACTIVATION_URL	""

#define DEFAULT_CLOCK_OFFSET_S		0
#define MAX_CLOCK_OFFSET_S			(10 * 366 * 24 * 3600)

#define DEFAULT_TRANSFORM_TIMEOUT_MS	1000
#define MIN_TRANSFORM_TIMEOUT_MS	10
#define MAX_TRANSFORM_TIMEOUT_MS	(10 * 1000)

/* Twelve months. */
#define DEFAULT_API_KEY_MAX_AGE_S	(365 * 24 * 3600)
#define MIN_API_KEY_MAX_AGE_S		0
#define MAX_API_KEY_MAX_AGE_S		(20 * 366 * 24 * 3600)

#define DEFAULT_PARTITION_SIZE_KB	(32 * 1024)
#define MIN_PARTITION_SIZE_KB		16
#define MAX_PARTITION_SIZE_KB		(1024 * 1024)

#define DEFAULT_WORKERS				16
#define MIN_WORKERS					1
#define MAX_WORKERS					1024

/* About 450 bytes of shared memory each. */
#define DEFAULT_MAX_DATABASES		1000
#define MIN_MAX_DATABASES			1
#define MAX_MAX_DATABASES			100000

char	   *webhook_allowed_networks = NULL;
char	   *webhook_secrets_directory = NULL;
static char *settings_origin = NULL;	/* empty: the host's name */
int			webhook_max_connections = DEFAULT_MAX_CONNECTIONS;
int			webhook_max_response_size = DEFAULT_MAX_RESPONSE_SIZE;
int			webhook_max_payload_size = DEFAULT_MAX_PAYLOAD_SIZE_KB;
int			webhook_timeout = DEFAULT_TIMEOUT_MS;
static char *settings_schedule = NULL;	/* text; parsed form below */
int			webhook_buffer_retention = DEFAULT_BUFFER_RETENTION_S;
int			webhook_failed_retention = DEFAULT_FAILED_RETENTION_S;
int			webhook_history_retention = DEFAULT_HISTORY_RETENTION_S;
int			webhook_history_max_size = DEFAULT_HISTORY_MAX_SIZE_MB;
bool		webhook_dispatch = true;
bool		webhook_inline_capture = true;
int			webhook_transform_timeout = DEFAULT_TRANSFORM_TIMEOUT_MS;
int			webhook_api_key_max_age = DEFAULT_API_KEY_MAX_AGE_S;
int			webhook_workers = DEFAULT_WORKERS;
int			webhook_max_databases = DEFAULT_MAX_DATABASES;
char	   *webhook_reactivation_url = NULL;
int			webhook_clock_offset = DEFAULT_CLOCK_OFFSET_S;
int			webhook_partition_size = DEFAULT_PARTITION_SIZE_KB;

/* The parsed forms.  Other modules hold pointers to these variables, so new values are copied into them. */
static NetguardList settings_parsed_networks;
static RetrySchedule settings_parsed_schedule;

void *
settings_allocate_extra(size_t size)
{
	void	   *extra = webhook_guc_malloc(size);

	if (extra == NULL)
	{
		GUC_check_errcode(ERRCODE_OUT_OF_MEMORY);
		GUC_check_errmsg("out of memory");
	}
	return extra;
}

static bool
settings_check_allowed_networks(char **newval, void **extra, GucSource source)
{
	NetguardList list;
	const char *bad;
	size_t		bad_len;

	if (!netguard_parse(*newval, &list, &bad, &bad_len))
	{
		if (list.count >= NETGUARD_MAX_NETWORKS)
			GUC_check_errdetail("The list has more than %d networks.", NETGUARD_MAX_NETWORKS);
		else if (bad_len == 0)
			GUC_check_errdetail("The list has an empty entry.");
		else
			GUC_check_errdetail("\"%s\" is not an IPv4 or IPv6 network.", argument_excerpt(bad, bad_len));
		GUC_check_errhint("Specify networks separated by commas, such as \"10.0.0.0/8, ::1/128\".");
		return false;
	}

	*extra = settings_allocate_extra(sizeof(list));
	if (*extra == NULL)
		return false;
	memcpy(*extra, &list, sizeof(list));
	return true;
}

static void
settings_assign_allowed_networks(const char *newval, void *extra)
{
	Assert(extra != NULL);
	memcpy(&settings_parsed_networks, extra, sizeof(settings_parsed_networks));
}

static bool
settings_check_retry_schedule(char **newval, void **extra, GucSource source)
{
	RetrySchedule schedule;
	const char *error;

	if (!retry_parse_schedule(*newval, &schedule, &error))
	{
		GUC_check_errdetail("The retry schedule cannot be used: %s.", error);
		GUC_check_errhint("Specify the delays before each attempt separated by commas, such as \"0, 5s, 5m, 2h, 1d\".");
		return false;
	}

	*extra = settings_allocate_extra(sizeof(schedule));
	if (*extra == NULL)
		return false;
	memcpy(*extra, &schedule, sizeof(schedule));
	return true;
}

static void
settings_assign_retry_schedule(const char *newval, void *extra)
{
	Assert(extra != NULL);
	memcpy(&settings_parsed_schedule, extra, sizeof(settings_parsed_schedule));
}

static bool
settings_check_secrets_directory(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0' || is_absolute_path(*newval))
		return true;
	GUC_check_errdetail("The directory is not an absolute path.");
	return false;
}

static bool
settings_check_request_origin(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0' || handshake_origin_valid(*newval))
		return true;
	GUC_check_errdetail("The origin is not a DNS name.");
	GUC_check_errhint("Specify a name such as \"events.example.com\".");
	return false;
}

static void
settings_define_request(void)
{
	DefineCustomStringVariable("webhook.allowed_networks",
							   "Sets the networks to which requests are allowed although they are not public.",
							   "A list of networks in CIDR notation. Other loopback, private and special addresses are refused.",
							   &webhook_allowed_networks,
							   DEFAULT_ALLOWED_NETWORKS,
							   PGC_SIGHUP,
							   GUC_LIST_INPUT,
							   settings_check_allowed_networks,
							   settings_assign_allowed_networks,
							   NULL);

	DefineCustomStringVariable("webhook.secrets_directory",
							   "Sets the directory for files with header values, secrets and keys of webhooks.",
							   "A value \"file:role/name\" is read from this directory, for webhooks of that role. If empty, files cannot be used.",
							   &webhook_secrets_directory,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   settings_check_secrets_directory,
							   NULL,
							   NULL);

	DefineCustomStringVariable("webhook.request_origin",
							   "Sets the DNS name of the sending system, which is sent to receivers in a handshake.",
							   "If empty, the name of the host is used.",
							   &settings_origin,
							   "",
							   PGC_SIGHUP,
							   0,
							   settings_check_request_origin,
							   NULL,
							   NULL);

	DefineCustomIntVariable("webhook.max_connections",
							"Sets the maximum number of concurrent requests per database.",
							NULL,
							&webhook_max_connections,
							DEFAULT_MAX_CONNECTIONS,
							MIN_MAX_CONNECTIONS,
							MAX_MAX_CONNECTIONS,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("webhook.max_response_size",
							"Sets the maximum size of a response.",
							"Deliveries with larger responses fail. The same limit applies separately to response headers.",
							&webhook_max_response_size,
							DEFAULT_MAX_RESPONSE_SIZE,
							MIN_MAX_RESPONSE_SIZE,
							MAX_MAX_RESPONSE_SIZE,
							PGC_SIGHUP,
							GUC_UNIT_BYTE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("webhook.max_payload_size",
							"Sets the maximum size of the payload of a message.",
							"Commands that would create a larger one fail.",
							&webhook_max_payload_size,
							DEFAULT_MAX_PAYLOAD_SIZE_KB,
							MIN_MAX_PAYLOAD_SIZE_KB,
							MAX_MAX_PAYLOAD_SIZE_KB,
							PGC_SIGHUP,
							GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomIntVariable("webhook.timeout",
							"Sets the maximum duration of a request.",
							"Measured from resolving the host name to the last byte of the response. Can be overridden for a webhook.",
							&webhook_timeout,
							DEFAULT_TIMEOUT_MS,
							MIN_TIMEOUT_MS,
							MAX_TIMEOUT_MS,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);
}

static void
settings_define_failure(void)
{
	DefineCustomStringVariable("webhook.retry_schedule",
							   "Sets the delays before each attempt of a delivery.",
							   "A delivery fails permanently at the end of the list. Can be overridden for a webhook.",
							   &settings_schedule,
							   DEFAULT_RETRY_SCHEDULE,
							   PGC_SIGHUP,
							   GUC_LIST_INPUT,
							   settings_check_retry_schedule,
							   settings_assign_retry_schedule,
							   NULL);

	DefineCustomIntVariable("webhook.buffer_retention",
							"Sets the time for which messages are buffered for a deactivated webhook.",
							"Later messages are counted and dropped.",
							&webhook_buffer_retention,
							DEFAULT_BUFFER_RETENTION_S,
							MIN_BUFFER_RETENTION_S,
							MAX_BUFFER_RETENTION_S,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("webhook.failed_retention",
							"Sets the time for which permanently failed deliveries are retained.",
							"Until then they can be redelivered. Zero means no limit.",
							&webhook_failed_retention,
							DEFAULT_FAILED_RETENTION_S,
							MIN_FAILED_RETENTION_S,
							MAX_FAILED_RETENTION_S,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("webhook.history_retention",
							"Sets the time for which delivered messages are kept.",
							"Zero means that nothing is kept.",
							&webhook_history_retention,
							DEFAULT_HISTORY_RETENTION_S,
							MIN_HISTORY_RETENTION_S,
							MAX_HISTORY_RETENTION_S,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("webhook.history_max_size",
							"Sets the maximum size of the delivered messages that are kept in a database.",
							"The oldest are removed first. Zero means no limit.",
							&webhook_history_max_size,
							DEFAULT_HISTORY_MAX_SIZE_MB,
							MIN_HISTORY_MAX_SIZE_MB,
							MAX_HISTORY_MAX_SIZE_MB,
							PGC_SIGHUP,
							GUC_UNIT_MB,
							NULL, NULL, NULL);
}

static bool
settings_check_reactivation_url(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0' || strstr(*newval, "{token}") != NULL)
		return true;
	GUC_check_errdetail("The URL must contain the placeholder {token}.");
	return false;
}

/* Settings of deactivated webhooks, and the clock. */
static void
settings_define_deactivation(void)
{
	DefineCustomStringVariable("webhook.reactivation_url",
							   "Sets the link in notifications that reactivates a webhook.",
							   "The placeholder {token} is replaced by the argument of webhook.reactivate().",
							   &webhook_reactivation_url,
							   DEFAULT_REACTIVATION_URL,
							   PGC_SIGHUP,
							   0,
							   settings_check_reactivation_url,
							   NULL, NULL);

	DefineCustomIntVariable("webhook.clock_offset",
							"Sets the offset of the clock that is used to schedule deliveries.",
							"This is useful for tests of schedules that take days.",
							&webhook_clock_offset,
							DEFAULT_CLOCK_OFFSET_S,
							0,
							MAX_CLOCK_OFFSET_S,
							PGC_SIGHUP,
							GUC_UNIT_S | GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL,
							NULL, NULL, NULL);
}

static void
settings_define_integration(void)
{
	DefineCustomIntVariable("webhook.transform_timeout",
							"Sets the maximum duration of a webhook's transform function.",
							"While it runs, no other requests are sent in this database.",
							&webhook_transform_timeout,
							DEFAULT_TRANSFORM_TIMEOUT_MS,
							MIN_TRANSFORM_TIMEOUT_MS,
							MAX_TRANSFORM_TIMEOUT_MS,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("webhook.api_key_max_age",
							"Sets the age above which API keys are reported as too old.",
							"Zero disables the report.",
							&webhook_api_key_max_age,
							DEFAULT_API_KEY_MAX_AGE_S,
							MIN_API_KEY_MAX_AGE_S,
							MAX_API_KEY_MAX_AGE_S,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);
}

/*
 * Settings about capture.  No session should be able to change how its rows are
 * captured, except when an administrator tracks down a problem.
 */
static void
settings_define_capture(void)
{
	DefineCustomBoolVariable("webhook.inline_capture",
							 "Captures rows while the statement runs, without trigger events.",
							 "When off, rows are captured by the trigger at the end of the statement.",
							 &webhook_inline_capture,
							 true,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);
}

static void
settings_define_worker(void)
{
	DefineCustomBoolVariable("webhook.dispatch",
							 "Sets whether messages are sent.",
							 "When off, messages are stored, and sent when it is turned on.",
							 &webhook_dispatch,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("webhook.partition_size",
							"Sets the size at which the next partition of the outbox is used.",
							"This is useful for tests. A partition is truncated when all its messages are processed.",
							&webhook_partition_size,
							DEFAULT_PARTITION_SIZE_KB,
							MIN_PARTITION_SIZE_KB,
							MAX_PARTITION_SIZE_KB,
							PGC_SIGHUP,
							GUC_UNIT_KB | GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL,
							NULL, NULL, NULL);

	/* They can be defined only while preloading. */
	if (process_shared_preload_libraries_in_progress)
	{
		DefineCustomIntVariable("webhook.max_databases",
								"Sets the maximum number of databases with the extension.",
								"It determines the size of shared memory.",
								&webhook_max_databases,
								DEFAULT_MAX_DATABASES,
								MIN_MAX_DATABASES,
								MAX_MAX_DATABASES,
								PGC_POSTMASTER,
								0,
								NULL, NULL, NULL);

		DefineCustomIntVariable("webhook.workers",
								"Sets the maximum number of databases that are served concurrently.",
								"If there are more, they are served in turn.",
								&webhook_workers,
								DEFAULT_WORKERS,
								MIN_WORKERS,
								MAX_WORKERS,
								PGC_POSTMASTER,
								0,
								NULL, NULL, NULL);
	}
}

void
settings_init(void)
{
	settings_define_request();
	settings_define_failure();
	settings_define_deactivation();
	settings_define_integration();
	settings_define_capture();
	settings_define_worker();
	context_define_settings();

	/*
	 * Without preloading some settings are not defined, and would be reported
	 * as unknown.
	 */
	if (process_shared_preload_libraries_in_progress)
		webhook_reserve_setting_prefix("webhook");
}

bool
settings_reload(void)
{
	char	   *networks = pstrdup(webhook_allowed_networks);
	bool		changed;

	ProcessConfigFile(PGC_SIGHUP);
	changed = strcmp(networks, webhook_allowed_networks) != 0;
	pfree(networks);
	return changed;
}

const NetguardList *
settings_allowed_networks(void)
{
	return &settings_parsed_networks;
}

const RetrySchedule *
settings_retry_schedule(void)
{
	return &settings_parsed_schedule;
}

const char *
settings_request_origin(void)
{
	static char host[HANDSHAKE_MAX_ORIGIN + 1];

	if (settings_origin[0] != '\0')
		return settings_origin;
	if (host[0] == '\0' && (gethostname(host, sizeof(host) - 1) != 0 || !handshake_origin_valid(host)))
		strcpy(host, "localhost");
	return host;
}
