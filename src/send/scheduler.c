/*-------------------------------------------------------------------------
 *
 * scheduler.c
 *		Which endpoint may send next, and the requests under way.
 *
 * Endpoints with ready deliveries take turns, one request each, so that
 * nobody's queue delays anybody else's.
 *
 * Receivers that hang must not use up the requests that we make at once, which
 * are webhook.max_connections at most.  Doubtful are those under way for
 * longer than SLOW_AFTER_MS, and all of an endpoint that has such requests, or
 * has not shown that it works.  When they have taken half of the connections,
 * no more of them are started; the other half is for endpoints that answer.  Some
 * of it may be used for the first request of an endpoint, which may be one that does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "send/scheduler.h"

/* A request is slow after this time. */
#define SLOW_AFTER_MS		300

static dlist_head turns = DLIST_STATIC_INIT(turns); /* QUEUE_TURN */
static dlist_head later = DLIST_STATIC_INIT(later); /* QUEUE_LATER */
static dlist_head held = DLIST_STATIC_INIT(held);	/* QUEUE_HELD */
static dlist_head fast_requests = DLIST_STATIC_INIT(fast_requests); /* oldest first */
static int	in_flight = 0;
static int	doubtful_in_flight = 0;


int
scheduler_allowed(const Endpoint *endpoint)
{
	if (endpoint_must_ask(endpoint))
		return 1;
	return endpoint->health.ramp > 0 ?
		Min(endpoint->health.ramp, endpoint->max_in_flight) : endpoint->max_in_flight;
}

static void
enter_queue(Endpoint *endpoint, EndpointQueue queue)
{
	dlist_head *head = queue == QUEUE_TURN ? &turns : queue == QUEUE_LATER ? &later : &held;

	endpoint->queued_in = queue;
	dlist_push_tail(head, &endpoint->turn);
}

void
scheduler_enter(Endpoint *endpoint)
{
	if (endpoint->queued_in == QUEUE_NONE && endpoint->nready > 0 &&
		endpoint->in_flight < scheduler_allowed(endpoint))
		enter_queue(endpoint, QUEUE_TURN);
}

void
scheduler_leave(Endpoint *endpoint)
{
	if (endpoint->queued_in != QUEUE_NONE)
		dlist_delete(&endpoint->turn);
	endpoint->queued_in = QUEUE_NONE;
}

/* Is it likely that a request takes long? */
static bool
is_doubtful(const Endpoint *endpoint)
{
	return !endpoint->proven || endpoint->slow > 0;
}

static int
room_for_doubtful(void)
{
	return Max(1, webhook_max_connections / 2) - doubtful_in_flight;
}

static bool
room_for_first(void)
{
	return doubtful_in_flight < webhook_max_connections * 3 / 4;
}

/* Where does an endpoint with something to send have to wait?  QUEUE_TURN: nowhere. */
static EndpointQueue
must_wait(Endpoint *endpoint, TimestampTz now)
{
	if (endpoint->send_interval > 0 && endpoint->next_send_at > now)
		return QUEUE_LATER;
	if (is_doubtful(endpoint) && room_for_doubtful() <= 0 && !(endpoint->in_flight == 0 && room_for_first()))
		return QUEUE_HELD;
	return QUEUE_TURN;
}

void
scheduler_wake(TimestampTz now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &later)
	{
		Endpoint   *endpoint = dlist_container(Endpoint, turn, iter.cur);

		if (endpoint->next_send_at <= now)
		{
			scheduler_leave(endpoint);
			scheduler_enter(endpoint);
		}
	}
	for (int room = room_for_doubtful(); room > 0 && !dlist_is_empty(&held); room--)
	{
		Endpoint   *endpoint = dlist_head_element(Endpoint, turn, &held);

		scheduler_leave(endpoint);
		scheduler_enter(endpoint);
	}
}

Endpoint *
scheduler_next(TimestampTz now)
{
	while (in_flight < webhook_max_connections && !dlist_is_empty(&turns))
	{
		Endpoint   *endpoint = dlist_head_element(Endpoint, turn, &turns);
		EndpointQueue queue = must_wait(endpoint, now);

		scheduler_leave(endpoint);
		if (queue == QUEUE_TURN)
			return endpoint;
		enter_queue(endpoint, queue);
	}
	return NULL;
}

void
scheduler_begun(Delivery *delivery)
{
	delivery->sending = true;
	delivery->slow = false;
	delivery->doubtful = is_doubtful(delivery->endpoint);
	if (delivery->doubtful)
		doubtful_in_flight++;
	dlist_push_tail(&fast_requests, &delivery->ready_node);
	delivery->endpoint->in_flight++;
	in_flight++;
}

void
scheduler_ended(Delivery *delivery)
{
	delivery->sending = false;
	delivery->endpoint->in_flight--;
	in_flight--;
	if (delivery->doubtful)
		doubtful_in_flight--;
	if (delivery->slow)
		delivery->endpoint->slow--;
	else
		dlist_delete(&delivery->ready_node);
}

bool
scheduler_is_slow(const Delivery *delivery, TimestampTz now)
{
	/* When the clock has been set back it is hard to say. */
	return now < delivery->sent_at || TimestampDifferenceExceeds(delivery->sent_at, now, SLOW_AFTER_MS);
}

void
scheduler_check_slow(TimestampTz now)
{
	while (!dlist_is_empty(&fast_requests))
	{
		Delivery   *delivery = dlist_head_element(Delivery, ready_node, &fast_requests);

		if (!scheduler_is_slow(delivery, now))
			break;
		dlist_delete(&delivery->ready_node);
		delivery->slow = true;
		delivery->endpoint->slow++;
		if (!delivery->doubtful)
			doubtful_in_flight++;
		delivery->doubtful = true;
	}
}

int
scheduler_in_flight(void)
{
	return in_flight;
}

TimestampTz
scheduler_next_event(void)
{
	TimestampTz next = DT_NOEND;
	dlist_iter	iter;

	if (!dlist_is_empty(&fast_requests))
		next = TimestampTzPlusMilliseconds(
			dlist_head_element(Delivery, ready_node, &fast_requests)->sent_at, SLOW_AFTER_MS + 1);
	dlist_foreach(iter, &later)
		next = Min(next, dlist_container(Endpoint, turn, iter.cur)->next_send_at);
	return next;
}
