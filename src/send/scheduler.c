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

#include "base/clock.h"
#include "base/settings.h"
#include "send/scheduler.h"

/* A request is slow after this time. */
#define SLOW_AFTER_MS		300

/* A rate limit may make up for this much lost time; the rest of its margin is for requests that take longer to arrive. */
#define RATE_CATCH_UP_US	5000

static dlist_head turns = DLIST_STATIC_INIT(turns); /* LIST_TURN */
static dlist_head later = DLIST_STATIC_INIT(later); /* LIST_LATER */
static dlist_head held = DLIST_STATIC_INIT(held);	/* LIST_HELD */
static dlist_head fast_requests = DLIST_STATIC_INIT(fast_requests); /* oldest first */
static int	in_flight = 0;
static int	doubtful_in_flight = 0;


int
scheduler_allowed(const Endpoint *endpoint)
{
	if (endpoint_must_ask(endpoint))
		return 1;
	return endpoint->state.health.ramp > 0 ?
		Min(endpoint->state.health.ramp, endpoint->config.max_in_flight) : endpoint->config.max_in_flight;
}

static void
enter_queue(Endpoint *endpoint, SchedulerList queue)
{
	dlist_head *head = queue == LIST_TURN ? &turns : queue == LIST_LATER ? &later : &held;

	endpoint->queue.list = queue;
	dlist_push_tail(head, &endpoint->queue.turn);
}

void
scheduler_enter(Endpoint *endpoint)
{
	if (endpoint->queue.list == LIST_NONE && endpoint->queue.nready > 0 &&
		endpoint->queue.in_flight < scheduler_allowed(endpoint))
		enter_queue(endpoint, LIST_TURN);
}

void
scheduler_leave(Endpoint *endpoint)
{
	if (endpoint->queue.list != LIST_NONE)
		dlist_delete(&endpoint->queue.turn);
	endpoint->queue.list = LIST_NONE;
}

/* Is it likely that a request takes long? */
static bool
is_doubtful(const Endpoint *endpoint)
{
	return !endpoint->state.proven || endpoint->queue.slow > 0;
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

/* Where does an endpoint with something to send have to wait?  LIST_TURN: nowhere. */
static SchedulerList
must_wait(Endpoint *endpoint, TimestampTz now)
{
	if (endpoint->config.send_interval > 0 && endpoint->queue.next_send_at > now)
		return LIST_LATER;
	if (is_doubtful(endpoint) && room_for_doubtful() <= 0 && !(endpoint->queue.in_flight == 0 && room_for_first()))
		return LIST_HELD;
	return LIST_TURN;
}

void
scheduler_wake(TimestampTz now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &later)
	{
		Endpoint   *endpoint = dlist_container(Endpoint, queue.turn, iter.cur);

		if (endpoint->queue.next_send_at <= now)
		{
			scheduler_leave(endpoint);
			scheduler_enter(endpoint);
		}
	}
	for (int room = room_for_doubtful(); room > 0 && !dlist_is_empty(&held); room--)
	{
		Endpoint   *endpoint = dlist_head_element(Endpoint, queue.turn, &held);

		scheduler_leave(endpoint);
		scheduler_enter(endpoint);
	}
}

Endpoint *
scheduler_next(TimestampTz now)
{
	while (in_flight < webhook_max_connections && !dlist_is_empty(&turns))
	{
		Endpoint   *endpoint = dlist_head_element(Endpoint, queue.turn, &turns);
		SchedulerList queue = must_wait(endpoint, now);

		scheduler_leave(endpoint);
		if (queue == LIST_TURN)
			return endpoint;
		enter_queue(endpoint, queue);
	}
	return NULL;
}

void
scheduler_begun(Delivery *delivery)
{
	delivery->attempt.pace = is_doubtful(delivery->endpoint) ? PACE_DOUBTFUL : PACE_QUICK;
	if (delivery->attempt.pace != PACE_QUICK)
		doubtful_in_flight++;
	dlist_push_tail(&fast_requests, &delivery->phase_node);
	delivery->endpoint->queue.in_flight++;
	in_flight++;
}

void
scheduler_ended(Delivery *delivery)
{
	Assert(in_flight > 0 && delivery->endpoint->queue.in_flight > 0);
	delivery->endpoint->queue.in_flight--;
	in_flight--;
	if (delivery->attempt.pace != PACE_QUICK)
		doubtful_in_flight--;
	if (delivery->attempt.pace == PACE_SLOW)
		delivery->endpoint->queue.slow--;
	else
		dlist_delete(&delivery->phase_node);
	Assert(doubtful_in_flight >= 0 && doubtful_in_flight <= in_flight);
	Assert(delivery->endpoint->queue.slow >= 0 && delivery->endpoint->queue.slow <= delivery->endpoint->queue.in_flight);
}

void
scheduler_charge(Endpoint *endpoint, TimestampTz now)
{
	EndpointQueue *queue = &endpoint->queue;

	if (endpoint->config.send_interval > 0)
		queue->next_send_at = Max(queue->next_send_at, now - RATE_CATCH_UP_US) + endpoint->config.send_interval;
}

static void
scheduler_forget_future(Endpoint *endpoint)
{
	endpoint->queue.next_send_at = Min(endpoint->queue.next_send_at, clock_now() + endpoint->config.send_interval);
}

void
scheduler_clock_set_back(void)
{
	endpoint_foreach(scheduler_forget_future);
}

bool
scheduler_is_slow(const Delivery *delivery, TimestampTz now)
{
	/* When the clock has been set back it is hard to say. */
	return now < delivery->attempt.sent_at || TimestampDifferenceExceeds(delivery->attempt.sent_at, now, SLOW_AFTER_MS);
}

void
scheduler_check_slow(TimestampTz now)
{
	while (!dlist_is_empty(&fast_requests))
	{
		Delivery   *delivery = dlist_head_element(Delivery, phase_node, &fast_requests);

		if (!scheduler_is_slow(delivery, now))
			break;
		dlist_delete(&delivery->phase_node);
		delivery->endpoint->queue.slow++;
		if (delivery->attempt.pace == PACE_QUICK)
			doubtful_in_flight++;
		delivery->attempt.pace = PACE_SLOW;
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
			dlist_head_element(Delivery, phase_node, &fast_requests)->attempt.sent_at, SLOW_AFTER_MS + 1);
	dlist_foreach(iter, &later)
		next = Min(next, dlist_container(Endpoint, queue.turn, iter.cur)->queue.next_send_at);
	return next;
}
