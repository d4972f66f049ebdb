/*-------------------------------------------------------------------------
 *
 * deactivation.c
 *		Deactivates webhooks that keep failing, and warns before.
 *
 * Between the failure that calls for it and the transaction that deactivates the
 * webhook, a session may have deactivated or corrected it.  So the decision is
 * about one version of its configuration, and is applied only if that is still
 * the one in the table.  Until then nothing is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/spi_statement.h"
#include "base/webhook_lock.h"
#include "send/deactivation.h"
#include "send/notify.h"
#include "send/order_key.h"
#include "send/probe.h"
#include "send/recall.h"
#include "send/spill.h"

/* When to try again what could not be written because of a lock on the notifications. */
#define TRY_AGAIN_MS	1000

static MemoryContext deactivation_context;
static TimestampTz deactivation_try_at = DT_NOBEGIN;
static List *deactivation_pending = NIL;	/* of Endpoint; also those with a
											 * warning, or without a token */

/* Does the list contain more than what had to be postponed for want of a lock? */
static bool deactivation_has_new = false;

static uint64 deactivation_faulty_transform = 0;	/* webhook whose transform
													 * ended the last worker */

/* A change by others in the meantime takes precedence; if the owner has been dropped, only a new owner does. */
static SpiStatement deactivation_statement = {
	"UPDATE webhook.webhook SET active = false, buffering = true, deactivated_at = $2,"
	" deactivation_reason = $3, updated_at = $2 WHERE id = $1 AND active AND CASE $3 WHEN 'owner'"
	"  THEN NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = owner) ELSE updated_at = $4 END",
	4, {INT8OID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID}
};


void
deactivation_init(MemoryContext context)
{
	deactivation_context = context;
}

static void
deactivation_list(Endpoint *endpoint)
{
	MemoryContext old = MemoryContextSwitchTo(deactivation_context);

	deactivation_pending = list_append_unique_ptr(deactivation_pending, endpoint);
	deactivation_has_new = true;
	MemoryContextSwitchTo(old);
}

void
deactivation_warn(Endpoint *endpoint, int percent)
{
	endpoint->pending.warning = percent;
	deactivation_list(endpoint);
}

void
deactivation_report_token(Endpoint *endpoint, const char *problem)
{
	if (endpoint->pending.token_problem != NULL)
		pfree(endpoint->pending.token_problem);
	endpoint->pending.token_problem = MemoryContextStrdup(deactivation_context, problem);
	deactivation_list(endpoint);
}

void
deactivation_warn_of_refusal(Endpoint *endpoint)
{
	endpoint->pending.refused = true;
	deactivation_list(endpoint);
}

void
deactivation_plan(Endpoint *endpoint, const char *reason, TimestampTz as_of)
{
	/*
	 * Requests that were in flight then may fail, too; the first reason
	 * counts.
	 */
	if (endpoint->pending.deactivate == NULL)
	{
		endpoint->pending.deactivate = reason;
		endpoint->pending.deactivate_as_of = as_of;
	}
	probe_plan(endpoint);
	deactivation_list(endpoint);
}

/* Is a deactivation or a warning pending for this webhook? */
static bool
deactivation_pending_for(int64 webhook_id)
{
	ListCell   *lc;

	foreach(lc, deactivation_pending)
	{
		if (((Endpoint *) lfirst(lc))->id == webhook_id)
			return true;
	}
	return false;
}

void
deactivation_load_faulty_transform(DatabaseSlot *slot)
{
	deactivation_faulty_transform = pg_atomic_read_u64(&slot->faulty_transform);
	if (deactivation_faulty_transform != 0)
	{
		Endpoint   *endpoint = endpoint_get((int64) deactivation_faulty_transform);

		deactivation_plan(endpoint, "transform", endpoint->config.updated_at);
	}
}

void
deactivation_clear_faulty_transform(DatabaseSlot *slot)
{
	uint64		webhook_id = deactivation_faulty_transform;

	if (webhook_id == 0 || deactivation_pending_for((int64) webhook_id))
		return;
	deactivation_faulty_transform = 0;
	(void) pg_atomic_compare_exchange_u64(&slot->faulty_transform, &webhook_id, 0);
}

void
deactivation_find_orphans(void)
{
	static SpiStatement orphans = {
		"SELECT w.id FROM webhook.webhook AS w WHERE w.active"
		" AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = w.owner)",
		0
	};
	uint64		n = spi_statement_execute(&orphans, NULL, NULL);
	int64	   *ids = palloc(Max(n, 1) * sizeof(int64));
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
		ids[i] = DatumGetInt64(spi_statement_value(i, 1, &isnull));
	for (uint64 i = 0; i < n; i++)
	{
		Endpoint   *endpoint = endpoint_get(ids[i]);

		deactivation_plan(endpoint, "owner", DT_NOBEGIN);
		spill_put_aside(endpoint);
	}
	pfree(ids);
}

void
deactivation_clock_set_back(void)
{
	deactivation_try_at = DT_NOBEGIN;
}

bool
deactivation_save_due(TimestampTz now)
{
	return deactivation_pending != NIL &&
		(deactivation_has_new || webhook_lock_limited() || now >= deactivation_next_save());
}

TimestampTz
deactivation_next_save(void)
{
	return deactivation_pending != NIL ? Min(webhook_lock_next_try(), deactivation_try_at) : DT_NOEND;
}

/* Pending and new messages are buffered from now on.  False if a session has changed the webhook before. */
static bool
deactivation_write(Endpoint *endpoint)
{
	const char *reason = endpoint->pending.deactivate;
	Datum		values[] = {Int64GetDatum(endpoint->id), TimestampTzGetDatum(clock_now()), CStringGetTextDatum(reason),
	TimestampTzGetDatum(endpoint->pending.deactivate_as_of)};

	if (spi_statement_execute(&deactivation_statement, values, NULL) == 0)
		return false;
	notify_deactivated(endpoint, reason);
	endpoint_note_deactivated(endpoint);
	order_key_unblock_all(endpoint->id);
	return true;
}

/* The webhook has been changed since, and that takes precedence. */
static void
deactivation_cancel(Endpoint *endpoint)
{
	/* Receive invalidations for what was committed before we got the lock. */
	AcceptInvalidationMessages();
	endpoint_refresh(endpoint);
	if (!endpoint->config.exists || !endpoint->config.active)
		return;

	/* While this was pending, its rows were passed over. */
	spill_block_retrying();
	recall_start_backlog(endpoint, 0);
}

/* False: a session has locked the webhook or the notifications. */
static bool
deactivation_apply(Endpoint *endpoint)
{
	const char *reason = endpoint->pending.deactivate;

	if (!notify_possible() || !webhook_lock_try(endpoint->id))
		return false;
	if (endpoint->pending.token_problem != NULL)
	{
		if (endpoint->config.exists)
			notify_token(endpoint, endpoint->pending.token_problem);
		pfree(endpoint->pending.token_problem);
		endpoint->pending.token_problem = NULL;
	}
	if (reason != NULL)
	{
		bool		done = endpoint->config.exists && endpoint->config.active && deactivation_write(endpoint);

		endpoint->pending.deactivate = NULL;
		if (!done)
			deactivation_cancel(endpoint);
		probe_plan(endpoint);
	}
	else if (endpoint->config.exists && endpoint->config.active)
	{
		if (endpoint->pending.warning > 0)
			notify_warning(endpoint, endpoint->pending.warning);
		if (endpoint->pending.refused && endpoint->stats.last_error != NULL)
			notify_proxy_refusal(endpoint, endpoint->stats.last_error);
	}
	endpoint->pending.warning = 0;
	endpoint->pending.refused = false;
	return true;
}

void
deactivation_save(void)
{
	List	   *all = deactivation_pending;
	ListCell   *lc;

	deactivation_pending = NIL;
	foreach(lc, all)
	{
		if (!deactivation_apply(lfirst(lc)))
			deactivation_list(lfirst(lc));
	}
	list_free(all);
	deactivation_has_new = false;
	deactivation_try_at = TimestampTzPlusMilliseconds(clock_now(), TRY_AGAIN_MS);
}
