/*-------------------------------------------------------------------------
 *
 * settings.c
 *		The settings of postgresql.conf.
 *
 * All belong to the administrator and, but for the number of workers, change
 * with a reload.  The two that are text are parsed when they are set, so that
 * a typo is refused there and then and the worker never sees one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "miscadmin.h"
#include "utils/guc.h"

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

/* A message is copied into the worker's memory, and into a request with its envelope: half of what can be allocated. */
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

char	   *webhook_allowed_networks = NULL;
char	   *webhook_secrets_directory = NULL;
char	   *webhook_request_origin = NULL;
int			webhook_max_connections = DEFAULT_MAX_CONNECTIONS;
int			webhook_max_response_size = DEFAULT_MAX_RESPONSE_SIZE;
int			webhook_max_payload_size = DEFAULT_MAX_PAYLOAD_SIZE_KB;
int			webhook_timeout = DEFAULT_TIMEOUT_MS;
char	   *webhook_retry_schedule = NULL;
int			webhook_buffer_retention = DEFAULT_BUFFER_RETENTION_S;
int			webhook_failed_retention = DEFAULT_FAILED_RETENTION_S;
bool		webhook_dispatch = true;
bool		webhook_inline_capture = true;
int			webhook_transform_timeout = DEFAULT_TRANSFORM_TIMEOUT_MS;
int			webhook_api_key_max_age = DEFAULT_API_KEY_MAX_AGE_S;
int			webhook_workers = DEFAULT_WORKERS;
char	   *webhook_reactivation_url = NULL;
int			webhook_clock_offset = DEFAULT_CLOCK_OFFSET_S;
int			webhook_partition_size = DEFAULT_PARTITION_SIZE_KB;

/* The parsed forms; others hold pointers to them, so they are copied into. */
static NetguardList settings_parsed_networks;
static RetrySchedule settings_parsed_schedule;

/* Room for what the assign hook is to copy; sets the error when there is none. */
static void *
settings_allocate_extra(Size size)
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
			GUC_check_errdetail("\"%.*s\" is not an IPv4 or IPv6 network.", (int) bad_len, bad);
		GUC_check_errhint("List networks separated by commas, such as \"10.0.0.0/8, ::1/128\".");
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
		GUC_check_errhint("List the delays before each attempt separated by commas, such as \"0, 5s, 5m, 2h, 1d\".");
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
	GUC_check_errhint("Give a name such as \"events.example.com\".");
	return false;
}

/* Settings about a request. */
static void
settings_define_request(void)
{
	DefineCustomStringVariable("webhook.allowed_networks",
							   "Sets the networks that webhooks may reach although they are not public.",
							   "A list of CIDR networks. Without it, loopback, private and other special addresses are refused.",
							   &webhook_allowed_networks,
							   DEFAULT_ALLOWED_NETWORKS,
							   PGC_SIGHUP,
							   GUC_LIST_INPUT,
							   settings_check_allowed_networks,
							   settings_assign_allowed_networks,
							   NULL);

	DefineCustomStringVariable("webhook.secrets_directory",
							   "Sets the directory of the files that headers, secrets and keys of webhooks may name.",
							   "A value \"file:role/name\" is read from there, for webhooks of that role. Empty: files cannot be named.",
							   &webhook_secrets_directory,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   settings_check_secrets_directory,
							   NULL,
							   NULL);

	DefineCustomStringVariable("webhook.request_origin",
							   "Sets the DNS name of the sending system, which webhooks with a handshake tell the receiver.",
							   "Empty: the name of the host.",
							   &webhook_request_origin,
							   "",
							   PGC_SIGHUP,
							   0,
							   settings_check_request_origin,
							   NULL,
							   NULL);

	DefineCustomIntVariable("webhook.max_connections",
							"Sets the maximum number of requests that are open at once in a database.",
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
							"A delivery whose response is larger fails. Headers may be as large again.",
							&webhook_max_response_size,
							DEFAULT_MAX_RESPONSE_SIZE,
							MIN_MAX_RESPONSE_SIZE,
							MAX_MAX_RESPONSE_SIZE,
							PGC_SIGHUP,
							GUC_UNIT_BYTE,
							NULL, NULL, NULL);

	DefineCustomIntVariable("webhook.max_payload_size",
							"Sets the maximum size of the payload of a message.",
							"What would cause a larger one is an error.",
							&webhook_max_payload_size,
							DEFAULT_MAX_PAYLOAD_SIZE_KB,
							MIN_MAX_PAYLOAD_SIZE_KB,
							MAX_MAX_PAYLOAD_SIZE_KB,
							PGC_SIGHUP,
							GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomIntVariable("webhook.timeout",
							"Sets the maximum time that a request may take.",
							"From resolving the host name to the last byte of the response. A webhook may have its own.",
							&webhook_timeout,
							DEFAULT_TIMEOUT_MS,
							MIN_TIMEOUT_MS,
							MAX_TIMEOUT_MS,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);
}

/* Settings about what happens when a request fails. */
static void
settings_define_failure(void)
{
	DefineCustomStringVariable("webhook.retry_schedule",
							   "Sets the delays before each attempt of a delivery.",
							   "When the list is used up, the delivery has failed. A webhook may have its own.",
							   &webhook_retry_schedule,
							   DEFAULT_RETRY_SCHEDULE,
							   PGC_SIGHUP,
							   GUC_LIST_INPUT,
							   settings_check_retry_schedule,
							   settings_assign_retry_schedule,
							   NULL);

	DefineCustomIntVariable("webhook.buffer_retention",
							"Sets the time for which messages are kept for a webhook that was switched off.",
							"Messages that arrive later are counted and dropped.",
							&webhook_buffer_retention,
							DEFAULT_BUFFER_RETENTION_S,
							MIN_BUFFER_RETENTION_S,
							MAX_BUFFER_RETENTION_S,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("webhook.failed_retention",
							"Sets the time for which deliveries that have failed for good are kept.",
							"Until then they can be delivered again. Zero keeps them for ever.",
							&webhook_failed_retention,
							DEFAULT_FAILED_RETENTION_S,
							MIN_FAILED_RETENTION_S,
							MAX_FAILED_RETENTION_S,
							PGC_SIGHUP,
							GUC_UNIT_S,
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

/* Settings about webhooks that are switched off, and about time. */
static void
settings_define_deactivation(void)
{
	DefineCustomStringVariable("webhook.reactivation_url",
							   "Sets the link in a notification that switches a webhook on again.",
							   "The placeholder {token} stands for the token that webhook.reactivate() takes.",
							   &webhook_reactivation_url,
							   DEFAULT_REACTIVATION_URL,
							   PGC_SIGHUP,
							   0,
							   settings_check_reactivation_url,
							   NULL, NULL);

	DefineCustomIntVariable("webhook.clock_offset",
							"Sets the time by which the clock of the deliveries is fast.",
							"For tests: schedules of days can be tried out in seconds.",
							&webhook_clock_offset,
							DEFAULT_CLOCK_OFFSET_S,
							0,
							MAX_CLOCK_OFFSET_S,
							PGC_SIGHUP,
							GUC_UNIT_S | GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL,
							NULL, NULL, NULL);
}

/* Settings about integrations, and what is made of payloads. */
static void
settings_define_integration(void)
{
	DefineCustomIntVariable("webhook.transform_timeout",
							"Sets the maximum time that a webhook's transform function may take.",
							"While it runs, nothing else is sent in this database.",
							&webhook_transform_timeout,
							DEFAULT_TRANSFORM_TIMEOUT_MS,
							MIN_TRANSFORM_TIMEOUT_MS,
							MAX_TRANSFORM_TIMEOUT_MS,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("webhook.api_key_max_age",
							"Sets the age from which an API key is reported as too old.",
							"Zero turns the report off.",
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
 * captured, unless an administrator looks for a fault.
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

/* Settings about the background workers. */
static void
settings_define_worker(void)
{
	DefineCustomBoolVariable("webhook.dispatch",
							 "Sets whether messages are sent.",
							 "When off, messages are kept and sent when it is on again.",
							 &webhook_dispatch,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("webhook.partition_size",
							"Sets the size at which a partition of the outbox is full.",
							"For tests: the next one is then used, and this one truncated when all of it is dealt with.",
							&webhook_partition_size,
							DEFAULT_PARTITION_SIZE_KB,
							MIN_PARTITION_SIZE_KB,
							MAX_PARTITION_SIZE_KB,
							PGC_SIGHUP,
							GUC_UNIT_KB | GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL,
							NULL, NULL, NULL);

	/* It sizes shared memory, so the server accepts it only while preloading. */
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("webhook.workers",
								"Sets the maximum number of databases that are served at once.",
								NULL,
								&webhook_workers,
								DEFAULT_WORKERS,
								MIN_WORKERS,
								MAX_WORKERS,
								PGC_POSTMASTER,
								0,
								NULL, NULL, NULL);
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

	/* Otherwise webhook.workers, not defined, would be taken for a typo. */
	if (process_shared_preload_libraries_in_progress)
		webhook_reserve_setting_prefix("webhook");
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

	if (webhook_request_origin[0] != '\0')
		return webhook_request_origin;
	if (host[0] == '\0' && (gethostname(host, sizeof(host) - 1) != 0 || !handshake_origin_valid(host)))
		strcpy(host, "localhost");
	return host;
}
