/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *		From a message to its deliveries.
 *
 * A new delivery is queued for sending, or goes to the delivery table at once if
 * something precedes it there.  What is held up in memory for long is written
 * there, too, so that one slow endpoint does not keep the cursor from moving on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"
#include "log/cursor.h"
#include "send/attempt_log.h"
#include "send/dispatch.h"
#include "send/egress.h"
#include "send/order_key.h"
#include "send/probe.h"
#include "send/queue.h"
#include "send/recall.h"
#include "send/replay_run.h"
#include "send/scheduler.h"
#include "send/spill.h"

/* What a slow endpoint has held up for this long is stored. */
#define HELD_UP_MS			300

/* Interval of checks of a message that is overdue, but not because of an endpoint. */
#define LOOK_AGAIN_MS		20


/* Buffer a message for a deactivated webhook, if it is recent enough. */
static void
dispatch_to_inactive(Message *message, Endpoint *endpoint)
{
	TimestampTz end = endpoint->config.deactivated_at == DT_NOEND ? DT_NOEND :
		endpoint->config.deactivated_at + (int64) webhook_buffer_retention * USECS_PER_SEC;

	if (endpoint->config.buffering && message->created_at < end)
		spill_write_later(delivery_create(message, endpoint, delivery_order_key(endpoint, message)),
						  DELIVERY_WAITING, 0, NULL);
	else
		attempt_log_count_dropped(endpoint);
}

/* Create the delivery of a message to one webhook, unless it must not be sent. */
static void
dispatch_to(Message *message, Endpoint *endpoint)
{
	int64		order_key;

	if (!endpoint->config.exists)
		return;
	if (message_is_test(message))
	{
		queue_add(delivery_create(message, endpoint, 0));
		return;
	}
	if (spill_is_stored(endpoint->id, message->id))
		return;
	if (endpoint_discards(endpoint, message->xid))
	{
		attempt_log_count_dropped(endpoint);
		return;
	}
	if (!endpoint->config.active)
	{
		dispatch_to_inactive(message, endpoint);
		return;
	}
	order_key = delivery_order_key(endpoint, message);

	/*
	 * After a crash an endpoint may be failing without any row left to probe
	 * it with; now there is one.
	 */
	if (endpoint->state.health.failing && !endpoint->state.in_probe_queue)
		probe_plan(endpoint);
	if (endpoint->spill.backlog || endpoint->state.health.failing || endpoint->pending.deactivate != NULL ||
		order_key_blocked(endpoint->id, order_key) || egress_holds(endpoint))
		spill_write_later(delivery_create(message, endpoint, order_key), DELIVERY_WAITING, 0, NULL);
	else if (replay_run_holds(endpoint, order_key, message))
	{
		Delivery   *delivery = delivery_create(message, endpoint, order_key);

		delivery->behind_replay = true;
		spill_write_later(delivery, DELIVERY_WAITING, 0, NULL);
	}
	else
		queue_add(delivery_create(message, endpoint, order_key));
}

void
dispatch_message(Message *message)
{
	message->read_at = clock_now();
	message->unfinished = 1;	/* our own reference, until all deliveries
								 * exist */
	for (int i = 0; i < message->nwebhooks; i++)
		dispatch_to(message, endpoint_get(message->webhook_ids[i]));
	delivery_release_message(message);
}

/* ---------- endpoints that are slow, failing or deactivated ---------- */

/*
 * Is it the endpoint that holds this delivery up, and not just the number of
 * requests that we send at once?
 */
static bool
dispatch_is_held_up(const Delivery *delivery, TimestampTz now)
{
	const Endpoint *endpoint = delivery->endpoint;

	if (delivery->phase == PHASE_SENDING)
		return scheduler_is_slow(delivery, now);
	return delivery->phase != PHASE_READY || endpoint->queue.slow > 0 || endpoint->queue.list == LIST_LATER ||
		endpoint->queue.list == LIST_HELD || endpoint->queue.list == LIST_PROXY || endpoint->state.awaits_token ||
		endpoint->queue.in_flight >= scheduler_allowed(endpoint);
}

/* A delivery that has held up the oldest message for HELD_UP_MS, or NULL. */
static Delivery *
dispatch_find_held_up(TimestampTz now)
{
	Message    *oldest = cursor_oldest();
	dlist_iter	iter;

	if (oldest == NULL)
		return NULL;
	oldest->read_at = Min(oldest->read_at, now);	/* the clock may have been
													 * set back */
	if (!TimestampDifferenceExceeds(oldest->read_at, now, HELD_UP_MS))
		return NULL;
	dlist_foreach(iter, &oldest->deliveries)
	{
		Delivery   *delivery = dlist_container(Delivery, message_node, iter.cur);

		if (!delivery->row.write_pending && dispatch_is_held_up(delivery, now))
			return delivery;
	}
	return NULL;
}

void
dispatch_check_slow(TimestampTz now)
{
	Delivery   *delivery;

	while ((delivery = scheduler_next_slow(now)) != NULL)
		delivery_mark_slow(delivery);

	/* Those that have waited long enough for a batch are not held up. */
	scheduler_wake(now);

	/*
	 * This ends, because an endpoint that has been spilled holds nothing up,
	 * and what is listed to be written is passed over.
	 */
	while ((delivery = dispatch_find_held_up(now)) != NULL)
	{
		if (delivery->phase != PHASE_SENDING && scheduler_waits_for_batch(delivery->endpoint, now))
			spill_store_waiting(delivery->endpoint, TimestampTzPlusMilliseconds(now, -HELD_UP_MS));
		else
			spill_to_backlog(delivery->endpoint);
	}
}

static void
dispatch_refresh_endpoint(Endpoint *endpoint)
{
	bool		was_active = endpoint->config.seen.active;
	TimestampTz updated_at = endpoint->config.seen.updated_at;

	/*
	 * It may have been reloaded already; what counts is what we have acted
	 * upon.
	 */
	if (!endpoint_changed(endpoint) ||
		(endpoint->queue.in_memory == 0 && !endpoint->state.health.failing && !endpoint->spill.backlog && was_active))
		return;
	endpoint_refresh(endpoint);
	endpoint_mark_seen(endpoint);
	if (!endpoint->config.exists || !endpoint->config.active)
	{
		spill_put_aside(endpoint);	/* spill_save() drops or buffers it */
		if (was_active)
			order_key_unblock_all(endpoint->id);
		probe_plan(endpoint);
	}
	else
	{
		if (!was_active)
			recall_start_backlog(endpoint, 0);
		else if (endpoint->state.health.failing && endpoint->config.updated_at != updated_at)
		{
			/* The webhook has been changed: see at once whether it works. */
			endpoint->state.health.next_probe_at = clock_now();
			probe_plan(endpoint);
		}
	}

	/* A test is sent even if the webhook is deactivated. */
	scheduler_enter(endpoint);
}

void
dispatch_refresh(void)
{
	endpoint_foreach(dispatch_refresh_endpoint);

	/* A webhook that is not in memory may have been activated. */
	spill_config_changed();
}

/* ---------- when to look again ---------- */

TimestampTz
dispatch_next_event(TimestampTz now)
{
	Message    *oldest = cursor_oldest();
	TimestampTz next = Min(recall_next_event(), scheduler_next_event());

	if (oldest != NULL)
		next = Min(next, Max(TimestampTzPlusMilliseconds(oldest->read_at, HELD_UP_MS),
							 TimestampTzPlusMilliseconds(now, LOOK_AGAIN_MS)));
	return Min(Min(next, queue_next_prepare()), egress_next_probe());
}
