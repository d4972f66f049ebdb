/*-------------------------------------------------------------------------
 *
 * scheduler.c
 *		Which endpoint may send next, and the requests in flight.
 *
 * Endpoints with ready deliveries take turns, one request each, so that no
 * endpoint's queue delays another's.
 *
 * Receivers that hang must not use up the requests that may be in flight at
 * once, which are webhook.max_connections at most.  Doubtful requests are
 * those in flight for longer than SLOW_AFTER_MS, and all of an endpoint that
 * has such requests, or has not shown that it works.  When they have taken
 * half of the connections, no more of them are started; the other half is for
 * endpoints that answer.  Part of it is also open to the first request of an
 * endpoint, because that may be one that answers.
 *
 * An endpoint is in at most one list, endpoint->queue.list.  attempt.c calls
 * scheduler_wake(), takes endpoints by scheduler_next() until there are none, and lets
 * each enter again after its request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"
#include "send/egress.h"
#include "send/question.h"
#include "send/scheduler.h"

/* A request is slow after this time. */
#define SLOW_AFTER_MS		300

/* No other batch is sent while this many messages of an endpoint are in flight. */
#define MAX_SENDING			1000

/* How much lost time a rate limit may make up for; the rest of its margin is for requests that arrive late. */
#define RATE_CATCH_UP_US	5000

static dlist_head scheduler_turns = DLIST_STATIC_INIT(scheduler_turns); /* LIST_TURN */
static dlist_head scheduler_later = DLIST_STATIC_INIT(scheduler_later); /* LIST_LATER */
static dlist_head scheduler_waiting = DLIST_STATIC_INIT(scheduler_waiting); /* LIST_PROXY */
static dlist_head scheduler_held = DLIST_STATIC_INIT(scheduler_held);	/* LIST_HELD */
static dlist_head scheduler_quick = DLIST_STATIC_INIT(scheduler_quick); /* oldest first */
static int	scheduler_requests = 0;
static int	scheduler_doubtful = 0;
static bool scheduler_hurries = false;	/* nothing waits for a batch */


int
scheduler_allowed(const Endpoint *endpoint)
{
	if (question_next(endpoint) != QUESTION_NONE)
		return 1;
	return endpoint->state.health.ramp > 0 ?
		Min(endpoint->state.health.ramp, endpoint->config.max_in_flight) : endpoint->config.max_in_flight;
}

static void
scheduler_list_endpoint(Endpoint *endpoint, SchedulerList queue)
{
	dlist_head *const heads[] = {
		[LIST_TURN] = &scheduler_turns,
		[LIST_LATER] = &scheduler_later,
		[LIST_PROXY] = &scheduler_waiting,
		[LIST_HELD] = &scheduler_held
	};

	endpoint->queue.list = queue;
	dlist_push_tail(heads[queue], &endpoint->queue.list_node);
}

void
scheduler_enter(Endpoint *endpoint)
{
	if (endpoint->queue.list == LIST_NONE && endpoint->queue.nready > 0 && endpoint->queue.sending < MAX_SENDING &&
		endpoint->queue.in_flight < scheduler_allowed(endpoint))
		scheduler_list_endpoint(endpoint, LIST_TURN);
}

void
scheduler_leave(Endpoint *endpoint)
{
	if (endpoint->queue.list != LIST_NONE)
		dlist_delete(&endpoint->queue.list_node);
	endpoint->queue.list = LIST_NONE;
}

/* Are requests of this endpoint doubtful? */
static bool
scheduler_is_doubtful(const Endpoint *endpoint)
{
	return !endpoint->state.proven || endpoint->queue.slow > 0;
}

static int
scheduler_room_for_doubtful(void)
{
	return Max(1, webhook_max_connections / 2) - scheduler_doubtful;
}

/* How many more may be started by endpoints with nothing in flight. */
static int
scheduler_room_for_first(void)
{
	return webhook_max_connections * 3 / 4 - scheduler_doubtful;
}

void
scheduler_hurry(bool hurry)
{
	scheduler_hurries = hurry;
}

/* Are there enough deliveries for a batch?  Held ones count unless a request in flight may hold them. */
static bool
scheduler_batch_is_full(const Endpoint *endpoint)
{
	const EndpointQueue *queue = &endpoint->queue;

	return queue->nready + (queue->sending == 0 ? queue->nheld : 0) >= endpoint_batch_size(endpoint);
}

static bool
scheduler_may_share(const Delivery *delivery)
{
	return delivery->withheld == NULL && !message_is_test(delivery->message) &&
		(delivery->prepared.result == PREPARATION_NONE || delivery->prepared.result == PREPARATION_SEND);
}

/*
 * Until when does what is ready wait for others to share its request?
 * DT_NOBEGIN: it does not wait.
 */
static TimestampTz
scheduler_batch_at(Endpoint *endpoint)
{
	const Delivery *first;

	if (endpoint->config.batch_wait == 0 || endpoint->config.batch_size == 0 || endpoint->queue.nready == 0 ||
		scheduler_hurries || scheduler_batch_is_full(endpoint))
		return DT_NOBEGIN;
	first = dlist_head_element(Delivery, phase_node, &endpoint->queue.ready);
	if (!scheduler_may_share(first))
		return DT_NOBEGIN;
	return first->message->read_at + endpoint->config.batch_wait;
}

/* When may an endpoint send its next request? */
static TimestampTz
scheduler_send_at(Endpoint *endpoint)
{
	TimestampTz batch_at = scheduler_batch_at(endpoint);

	return endpoint->config.send_interval > 0 ? Max(batch_at, endpoint->queue.next_send_at) : batch_at;
}

bool
scheduler_waits_for_batch(Endpoint *endpoint, TimestampTz now)
{
	return scheduler_batch_at(endpoint) > now;
}

/* Does it wait for the proxy?  A test does not, since its caller waits for the result. */
static bool
scheduler_waits_for_proxy(Endpoint *endpoint)
{
	return egress_holds(endpoint) && endpoint->queue.nready > 0 &&
		!message_is_test(dlist_head_element(Delivery, phase_node, &endpoint->queue.ready)->message);
}

/* The list in which an endpoint with something to send must wait; LIST_TURN if it need not. */
static SchedulerList
scheduler_must_wait(Endpoint *endpoint, TimestampTz now)
{
	if (scheduler_waits_for_proxy(endpoint))
		return LIST_PROXY;
	if (scheduler_send_at(endpoint) > now)
		return LIST_LATER;
	if (scheduler_is_doubtful(endpoint) && scheduler_room_for_doubtful() <= 0 &&
		!(endpoint->queue.in_flight == 0 && scheduler_room_for_first() > 0))
		return LIST_HELD;
	return LIST_TURN;
}

/* Let this many of the endpoints in LIST_HELD go on, perhaps only those with nothing in flight. */
static void
scheduler_wake_held(int room, bool first)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &scheduler_held)
	{
		Endpoint   *endpoint = dlist_container(Endpoint, queue.list_node, iter.cur);

		if (room <= 0)
			break;
		if (first && endpoint->queue.in_flight > 0)
			continue;
		scheduler_leave(endpoint);
		scheduler_enter(endpoint);
		room--;
	}
}

void
scheduler_wake(TimestampTz now)
{
	int			room = Max(scheduler_room_for_doubtful(), 0);
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &scheduler_later)
	{
		Endpoint   *endpoint = dlist_container(Endpoint, queue.list_node, iter.cur);

		if (scheduler_send_at(endpoint) <= now)
		{
			scheduler_leave(endpoint);
			scheduler_enter(endpoint);
		}
	}
	dlist_foreach_modify(iter, &scheduler_waiting)
	{
		Endpoint   *endpoint = dlist_container(Endpoint, queue.list_node, iter.cur);

		if (!scheduler_waits_for_proxy(endpoint))
		{
			scheduler_leave(endpoint);
			scheduler_enter(endpoint);
		}
	}
	scheduler_wake_held(room, false);
	scheduler_wake_held(scheduler_room_for_first() - room, true);
}

Endpoint *
scheduler_next(TimestampTz now)
{
	while (scheduler_requests < webhook_max_connections && !dlist_is_empty(&scheduler_turns))
	{
		Endpoint   *endpoint = dlist_head_element(Endpoint, queue.list_node, &scheduler_turns);
		SchedulerList queue = scheduler_must_wait(endpoint, now);

		scheduler_leave(endpoint);
		if (queue == LIST_TURN)
			return endpoint;
		scheduler_list_endpoint(endpoint, queue);
	}
	return NULL;
}

void
scheduler_request_started(Delivery *delivery)
{
	delivery->attempt.pace = scheduler_is_doubtful(delivery->endpoint) ? PACE_DOUBTFUL : PACE_QUICK;
	if (delivery->attempt.pace != PACE_QUICK)
		scheduler_doubtful++;
	dlist_push_tail(&scheduler_quick, &delivery->phase_node);
	delivery->endpoint->queue.in_flight++;
	scheduler_requests++;
}

void
scheduler_request_ended(Delivery *delivery)
{
	Assert(scheduler_requests > 0 && delivery->endpoint->queue.in_flight > 0);
	delivery->endpoint->queue.in_flight--;
	scheduler_requests--;
	if (delivery->attempt.pace != PACE_QUICK)
		scheduler_doubtful--;
	if (delivery->attempt.pace == PACE_SLOW)
		delivery->endpoint->queue.slow--;
	else
		dlist_delete(&delivery->phase_node);
	Assert(scheduler_doubtful >= 0 && scheduler_doubtful <= scheduler_requests);
	Assert(delivery->endpoint->queue.slow >= 0 && delivery->endpoint->queue.slow <= delivery->endpoint->queue.in_flight);
}

bool
scheduler_has_connection(void)
{
	return scheduler_requests < webhook_max_connections && (scheduler_requests == 0 || scheduler_room_for_first() > 0);
}

void
scheduler_reserve_connection(void)
{
	scheduler_requests++;
	scheduler_doubtful++;
}

void
scheduler_release_connection(void)
{
	Assert(scheduler_requests > 0 && scheduler_doubtful > 0);
	scheduler_requests--;
	scheduler_doubtful--;
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
	TimestampTz now = clock_now();
	dlist_iter	iter;

	endpoint->queue.next_send_at = Min(endpoint->queue.next_send_at, now + endpoint->config.send_interval);
	dlist_foreach(iter, &endpoint->queue.all)
	{
		Message    *message = dlist_container(Delivery, all_node, iter.cur)->message;

		message->read_at = Min(message->read_at, now);
	}
}

void
scheduler_clock_set_back(void)
{
	endpoint_foreach(scheduler_forget_future);
}

bool
scheduler_is_slow(const Delivery *delivery, TimestampTz now)
{
	/* If the clock has been set back, it is unknown. */
	return now < delivery->attempt.sent_at || TimestampDifferenceExceeds(delivery->attempt.sent_at, now, SLOW_AFTER_MS);
}

Delivery *
scheduler_next_slow(TimestampTz now)
{
	Delivery   *delivery;

	if (dlist_is_empty(&scheduler_quick))
		return NULL;
	delivery = dlist_head_element(Delivery, phase_node, &scheduler_quick);
	if (!scheduler_is_slow(delivery, now))
		return NULL;
	dlist_delete(&delivery->phase_node);
	delivery->endpoint->queue.slow++;
	if (delivery->attempt.pace == PACE_QUICK)
		scheduler_doubtful++;
	return delivery;
}

int
scheduler_in_flight(void)
{
	return scheduler_requests;
}

TimestampTz
scheduler_next_event(void)
{
	TimestampTz next = DT_NOEND;
	dlist_iter	iter;

	if (!dlist_is_empty(&scheduler_quick))
		next = TimestampTzPlusMilliseconds(
										   dlist_head_element(Delivery, phase_node, &scheduler_quick)->attempt.sent_at, SLOW_AFTER_MS + 1);
	dlist_foreach(iter, &scheduler_later)
		next = Min(next, scheduler_send_at(dlist_container(Endpoint, queue.list_node, iter.cur)));
	return next;
}
