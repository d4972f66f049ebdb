/*-------------------------------------------------------------------------
 *
 * endpoint.c
 *		A webhook as the worker sees it: where to send, and how it fares.
 *
 * Endpoints are loaded when there is a message for them, and freed when nothing
 * depends on them and there are many, so that memory depends on how many are
 * busy and not on how many exist.
 *
 * Other modules keep pointers to endpoints, also from one turn to the next.  An
 * endpoint does not move, and only endpoint_trim() frees any: what keeps a pointer
 * must be visible there.  The configuration is replaced as a whole, in a transaction,
 * when any webhook has changed (endpoint_config.c); a request in flight has copies of
 * what it uses.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/settings.h"
#include "base/spi_statement.h"
#include "log/xid_set.h"
#include "send/endpoint.h"
#include "send/endpoint_config.h"
#include "send/token.h"

#define MAX_IDLE_ENDPOINTS		2000
#define RATE_MARGIN_PERCENT		5

/* After this many requests, batches twice as large are tried again. */
#define BATCH_SUCCESSES			100

static HTAB *endpoint_table;
static MemoryContext endpoint_context;

static SpiStatement endpoint_changed_at_statement = {
	"SELECT updated_at FROM webhook.webhook WHERE id = $1",
	1, {INT8OID}
};

static SpiStatement endpoint_health_statement = {
	"SELECT failures, failing_since, probes, next_probe_at, warned FROM webhook.current_health WHERE webhook_id = $1",
	1, {INT8OID}
};

/* Columns of endpoint_health_statement */
enum
{
	Anum_health_failures = 1,
	Anum_health_failing_since,
	Anum_health_probes,
	Anum_health_next_probe_at,
	Anum_health_warned,
};


void
endpoint_init(void)
{
	endpoint_context = AllocSetContextCreate(TopMemoryContext, "webhook endpoints",
											 ALLOCSET_DEFAULT_SIZES);
	endpoint_table = container_hash("webhook endpoints", 256, sizeof(int64), sizeof(Endpoint), endpoint_context);
}

bool
endpoint_changed(const Endpoint *endpoint)
{
	return endpoint->config.seen.generation != catalog_generation();
}

void
endpoint_mark_seen(Endpoint *endpoint)
{
	endpoint->config.seen.generation = endpoint->config.generation;
	endpoint->config.seen.active = endpoint->config.exists && endpoint->config.active;
	endpoint->config.seen.updated_at = endpoint->config.updated_at;
}

TimestampTz
endpoint_changed_at(int64 id)
{
	Datum		values[1] = {Int64GetDatum(id)};
	bool		isnull;

	if (spi_statement_execute(&endpoint_changed_at_statement, values, NULL) == 0)
		return DT_NOBEGIN;
	return DatumGetTimestampTz(spi_statement_value(0, 1, &isnull));
}

/*
 * Requests are spaced evenly, a little wider than the limit says, so that no
 * window of a second sees more of them than allowed, though they do not all
 * take equally long to arrive.
 */
void
endpoint_set_pace(Endpoint *endpoint)
{
	const int64 second = USECS_PER_SEC * (100 + RATE_MARGIN_PERCENT) / 100;
	const Handshake *handshake = &endpoint->state.handshake;
	int64		interval = endpoint->config.rate_limit > 0 ? second / endpoint->config.rate_limit : 0;

	/* The endpoint itself may have set a limit, per minute. */
	if (handshake->wanted && handshake->rate > 0)
		interval = Max(interval, SECS_PER_MINUTE * second / handshake->rate);

	/* The previous worker may have sent something just now. */
	if (interval > 0 && endpoint->config.send_interval == 0)
		endpoint->queue.next_send_at = clock_now() + interval;
	endpoint->config.send_interval = interval;
}

/* Load the health of the endpoint, as it was recorded last. */
static void
endpoint_load_health(Endpoint *endpoint)
{
	Datum		values[1] = {Int64GetDatum(endpoint->id)};
	Health	   *health = &endpoint->state.health;

	memset(health, 0, sizeof(*health));
	endpoint->state.health_known = true;
	if (spi_statement_execute(&endpoint_health_statement, values, NULL) == 0)
		return;
	health->failures = spi_statement_int32(0, Anum_health_failures, 0);
	health->failing_since = spi_statement_timestamp(0, Anum_health_failing_since, 0);
	health->probes = spi_statement_int32(0, Anum_health_probes, 0);
	health->next_probe_at = spi_statement_timestamp(0, Anum_health_next_probe_at, 0);
	health->failing = health->next_probe_at != 0;
	health->ramp = health->failing ? 1 : 0;
	health->warned = spi_statement_int32(0, Anum_health_warned, 0);
}

bool
endpoint_discards(const Endpoint *endpoint, uint64 xid)
{
	return endpoint->config.discarded != NULL && xid != 0 && xid_set_contains(endpoint->config.discarded, xid);
}

void
endpoint_refresh(Endpoint *endpoint)
{
	uint64		generation = catalog_generation();
	bool		was_active = endpoint->config.active;
	Token	   *former_token = endpoint->config.token;

	if (endpoint->config.generation == generation)
		return;

	endpoint_config_free_signature(endpoint);
	xid_set_release(endpoint->config.discarded);
	endpoint->config.discarded = NULL;
	if (endpoint->config.context == NULL)
		endpoint->config.context = AllocSetContextCreate(endpoint_context, "webhook endpoint",
														 ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(endpoint->config.context);

	if (endpoint_config_load(endpoint))
	{
		if (!endpoint->state.health_known)
			endpoint_load_health(endpoint);
		else if (endpoint->config.active && !was_active)
		{
			/* Activated again: start with one request at a time. */
			memset(&endpoint->state.health, 0, sizeof(endpoint->state.health));
			endpoint->state.health.ramp = 1;
		}
	}
	token_release(former_token);	/* only now, as it may be the same */
	if (endpoint->config.token != former_token)
	{
		endpoint->state.awaits_token = endpoint->state.token_denied = false;
		endpoint->state.token_refused_at = 0;
	}

	/* The problem may have been solved by the next attempt. */
	endpoint->config.generation = endpoint->config.problem != NULL ? 0 : generation;
}

Endpoint *
endpoint_get(int64 id)
{
	bool		found;
	Endpoint   *endpoint = hash_search(endpoint_table, &id, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) endpoint + sizeof(int64), 0, sizeof(Endpoint) - sizeof(int64));
		dlist_init(&endpoint->queue.ready);
		dlist_init(&endpoint->queue.all);
	}
	endpoint_refresh(endpoint);
	if (!found)
		endpoint_mark_seen(endpoint);
	return endpoint;
}

void
endpoint_note_deactivated(Endpoint *endpoint)
{
	endpoint->config.active = false;
	endpoint->config.buffering = true;
	endpoint->config.deactivated_at = clock_now();
}

static void
endpoint_forget(Endpoint *endpoint)
{
	endpoint->config.generation = endpoint->config.seen.generation = 0;
}

void
endpoint_forget_all(void)
{
	endpoint_foreach(endpoint_forget);
}

void
endpoint_foreach(void (*callback) (Endpoint *endpoint))
{
	HASH_SEQ_STATUS status;
	Endpoint   *endpoint;

	hash_seq_init(&status, endpoint_table);
	while ((endpoint = hash_seq_search(&status)) != NULL)
		callback(endpoint);
}

void
endpoint_trim(void)
{
	TimestampTz now = clock_now();
	HASH_SEQ_STATUS status;
	Endpoint   *endpoint;

	if (hash_get_num_entries(endpoint_table) <= MAX_IDLE_ENDPOINTS)
		return;
	hash_seq_init(&status, endpoint_table);
	while ((endpoint = hash_seq_search(&status)) != NULL)
	{
		if (endpoint->queue.in_memory > 0 || endpoint->stats.dirty || endpoint->spill.backlog ||
			endpoint->spill.replay != NULL ||
			endpoint->state.in_probe_queue || endpoint->spill.drop_pending || endpoint->pending.warning > 0 ||
			endpoint->pending.token_problem != NULL || endpoint->pending.refused ||
			endpoint->pending.deactivate != NULL || endpoint->spill.suspend_pending || endpoint->queue.next_send_at > now)
			continue;
		endpoint_config_free_signature(endpoint);
		handshake_forget(&endpoint->state.handshake);
		challenge_forget(&endpoint->state.challenge);
		token_release(endpoint->config.token);
		xid_set_release(endpoint->config.discarded);
		if (endpoint->stats.last_error != NULL)
			free(endpoint->stats.last_error);
		activity_free(&endpoint->stats.activity);
		if (endpoint->prepare.reported_faults != NULL)
			free(endpoint->prepare.reported_faults);
		if (endpoint->config.context != NULL)
			MemoryContextDelete(endpoint->config.context);
		hash_search(endpoint_table, &endpoint->id, HASH_REMOVE, NULL);
	}
}

bool
endpoint_is_sendable(const Endpoint *endpoint)
{
	return endpoint->config.exists && endpoint->config.active && endpoint->pending.deactivate == NULL;
}

bool
endpoint_is_working(const Endpoint *endpoint)
{
	return endpoint_is_sendable(endpoint) && !endpoint->state.health.failing;
}

int
endpoint_batch_size(const Endpoint *endpoint)
{
	int			limit = endpoint->state.batch_limit;

	return limit > 0 ? Min(limit, endpoint->config.batch_size) : endpoint->config.batch_size;
}

void
endpoint_batch_refused(Endpoint *endpoint, int size)
{
	Assert(size > 1);
	endpoint->state.batch_limit = Min(endpoint_batch_size(endpoint), size / 2);
	endpoint->state.batch_successes = 0;
}

void
endpoint_batch_accepted(Endpoint *endpoint, int size)
{
	if (endpoint->state.batch_limit == 0 || size < endpoint->state.batch_limit ||
		++endpoint->state.batch_successes < BATCH_SUCCESSES)
		return;
	endpoint->state.batch_limit *= 2;
	endpoint->state.batch_successes = 0;
	if (endpoint->state.batch_limit >= endpoint->config.batch_size)
		endpoint->state.batch_limit = 0;
}

const RetrySchedule *
endpoint_schedule(const Endpoint *endpoint)
{
	return endpoint->config.own_schedule ? &endpoint->config.schedule : settings_retry_schedule();
}
