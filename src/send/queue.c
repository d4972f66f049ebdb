/*-------------------------------------------------------------------------
 *
 * queue.c
 *		What deliveries in memory wait for until they can be sent.
 *
 * First for another one with the same order key, then for being prepared, and
 * last for the endpoint's turn to send, which is scheduler.c's business.
 *
 * Deliveries come from the outbox (dispatch.c), from the table (recall.c) or from the
 * history (replay.c).  A delivery holds its key from the moment it can be prepared;
 * when it has ended, queue_release_key() passes the key on (order_key.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "send/order_key.h"
#include "send/prepare.h"
#include "send/queue.h"

/* Deliveries are prepared for at most this time before others get a chance to be sent. */
#define PREPARE_MS			50
#define PREPARE_REST_FACTOR	4

/* For how long an endpoint whose transform has taken longer than PREPARE_MS is expected to do so again. */
#define SLOW_MEMORY_MS		(600 * 1000)

static MemoryContext queue_context;
static TimestampTz queue_prepare_at = 0;	/* when something in
											 * PHASE_PREPARING is due */
static TimestampTz queue_rest_until = 0;	/* for all endpoints with a slow
											 * transform */


void
queue_init(MemoryContext context)
{
	queue_context = context;
	order_key_init(context);
}

/* No other delivery precedes this one any more: prepare it, or queue it for its endpoint's turn. */
static void
queue_ready(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	if (delivery->prepared.result != PREPARATION_NONE || delivery->withheld != NULL ||
		!prepare_needed(endpoint, delivery->message))
	{
		delivery_enter(delivery, PHASE_READY);
		return;
	}
	delivery_enter(delivery, PHASE_PREPARING);
	queue_prepare_at = Min(queue_prepare_at, endpoint->prepare.after == 0 ? 0 : queue_rest_until);
}

void
queue_ready_first(Delivery *delivery)
{
	queue_ready(delivery);
	if (delivery->phase == PHASE_READY)
		dlist_move_head(&delivery->endpoint->queue.ready, &delivery->phase_node);
	else
		dlist_move_head(delivery_preparing(), &delivery->phase_node);
}

static void
queue_pass_key(OrderKey *key)
{
	key->holder = NULL;
	if (!dlist_is_empty(&key->queue))
	{
		key->holder = dlist_head_element(Delivery, phase_node, &key->queue);
		queue_ready(key->holder);
	}
	else if (key->blocked)
		order_key_follow(key);
	else
		order_key_release(key);
}

void
queue_release_key(Delivery *delivery)
{
	OrderKey   *key = delivery->key;

	delivery->key = NULL;
	if (key != NULL && key->holder == delivery)
		queue_pass_key(key);
}

void
queue_add(Delivery *delivery)
{
	OrderKey   *key = order_key_get(delivery->endpoint->id, delivery->order_key, true);

	Assert(delivery->phase == PHASE_NEW);
	delivery->key = key;
	if (key != NULL && key->holder != NULL)
	{
		delivery_enter(delivery, PHASE_HELD);
		if (delivery->endpoint->config.batch_size > 0 && delivery->withheld == NULL &&
			prepare_needed(delivery->endpoint, delivery->message))
		{
			delivery_prepare_ahead(delivery);
			queue_prepare_at = 0;
		}
		return;
	}
	if (key != NULL)
		key->holder = delivery;
	queue_ready(delivery);
}

/* ---------- preparing ---------- */

/* Has its transform been slow lately? */
static bool
queue_is_slow_to_prepare(const Endpoint *endpoint, TimestampTz now)
{
	return endpoint->prepare.after != 0 &&
		now < TimestampTzPlusMilliseconds(endpoint->prepare.after, SLOW_MEMORY_MS);
}

/* Prepare one delivery; now is the time before, and the result that after it. */
static TimestampTz
queue_prepare_one(Delivery *delivery, TimestampTz now)
{
	Endpoint   *endpoint = delivery->endpoint;
	TimestampTz before = now;

	if (delivery->withheld == NULL && delivery->prepared.result == PREPARATION_NONE)
		prepare_delivery(delivery, queue_context);
	if (delivery->phase == PHASE_HELD)
		delivery_leave_ahead(delivery);
	else
		delivery_enter(delivery, PHASE_READY);
	now = clock_now();
	if (TimestampDifferenceExceeds(before, now, PREPARE_MS))
		endpoint->prepare.after = queue_rest_until = now + PREPARE_REST_FACTOR * (now - before);
	return now;
}

/*
 * Prepare deliveries that are held, in the time that is left.  Those with a slow
 * transform are prepared when their key is free.
 */
static void
queue_prepare_some_ahead(TimestampTz start, TimestampTz now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, delivery_preparing_ahead())
	{
		Delivery   *delivery = dlist_container(Delivery, ahead_node, iter.cur);

		if (TimestampDifferenceExceeds(start, now, PREPARE_MS))
		{
			queue_prepare_at = now;
			break;
		}
		if (queue_is_slow_to_prepare(delivery->endpoint, now))
			delivery_leave_ahead(delivery);
		else
			now = queue_prepare_one(delivery, now);
	}
}

/*
 * A transform that takes long holds up everything, so then all that have done so
 * rest for a multiple of that time, and the others go on: a thousand of them hold
 * up no more than one does.  After the rest it is the turn of the one that has
 * waited for the longest time.
 */
void
queue_prepare(void)
{
	TimestampTz start = clock_now();
	TimestampTz now = start;
	Delivery   *slow = NULL;
	dlist_mutable_iter iter;

	queue_prepare_at = DT_NOEND;
	dlist_foreach_modify(iter, delivery_preparing())
	{
		Delivery   *delivery = dlist_container(Delivery, phase_node, iter.cur);

		if (TimestampDifferenceExceeds(start, now, PREPARE_MS))
		{
			queue_prepare_at = now;
			break;
		}
		if (!queue_is_slow_to_prepare(delivery->endpoint, now))
			now = queue_prepare_one(delivery, now);
		else if (slow == NULL || delivery->endpoint->prepare.after < slow->endpoint->prepare.after)
			slow = delivery;
	}
	if (slow != NULL && queue_rest_until <= now)
		now = queue_prepare_one(slow, now);
	if (slow != NULL)
		queue_prepare_at = Min(queue_prepare_at, Max(now, queue_rest_until));
	if (queue_prepare_at > now)
		queue_prepare_some_ahead(start, now);
}

TimestampTz
queue_next_prepare(void)
{
	if (dlist_is_empty(delivery_preparing()) && dlist_is_empty(delivery_preparing_ahead()))
		return DT_NOEND;
	return queue_prepare_at;
}

static void
queue_forget_future(Endpoint *endpoint)
{
	endpoint->prepare.after = Min(endpoint->prepare.after, clock_now());
}

void
queue_clock_set_back(TimestampTz now)
{
	endpoint_foreach(queue_forget_future);
	queue_prepare_at = Min(queue_prepare_at, now);
	queue_rest_until = Min(queue_rest_until, now);
}
