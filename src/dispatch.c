/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *		Deliveries in memory: how they get ready to be sent, and where they wait.
 *
 * A delivery is ready, waits behind another one with the same order key, or is
 * being sent.  When an endpoint may send is turns.c's business; sending it and
 * what came of that is attempt.c's.
 *
 * A delivery that does not succeed at once is written to the delivery table;
 * stored.c does that and brings it back.  The states are drawn in README.md.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "access.h"
#include "attempt.h"
#include "clock.h"
#include "cursor.h"
#include "dispatch.h"
#include "orderkey.h"
#include "prepare.h"
#include "record.h"
#include "settings.h"
#include "stored.h"
#include "turns.h"

/* What a slow endpoint has held up for so long is stored. */
#define HELD_UP_MS			300

/* How long to wait before looking again at what is overdue, but nobody's fault. */
#define LOOK_AGAIN_MS		20

/* So long deliveries may be prepared before others get a chance to be sent. */
#define PREPARE_MS			50
#define PREPARE_REST_FACTOR	4

/* So long an endpoint whose transform has taken longer than that is expected to do so again. */
#define SLOW_MEMORY_MS		(600 * 1000)

static MemoryContext dispatch_context;
static dlist_head to_prepare = DLIST_STATIC_INIT(to_prepare);
static TimestampTz next_prepare = 0;	/* when there is something to do in it */
static TimestampTz slow_rest_until = 0; /* for all endpoints with a slow transform */
static int	in_memory = 0;
static Size own_bytes = 0;		/* of messages that the cursor does not hold */
static int64 last_dealt_with = 0;	/* greatest message id of which a delivery has been done or stored */


void
dispatch_init(Http *http)
{
	dispatch_context = AllocSetContextCreate(TopMemoryContext, "webhook deliveries",
											 ALLOCSET_DEFAULT_SIZES);
	endpoint_init();
	orderkey_init(dispatch_context);
	stored_init(dispatch_context);
	attempt_init(http, dispatch_context);
}

/* ---------- ready deliveries ---------- */

void
dispatch_ready(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	delivery->waiting = false;
	delivery->preparing = !delivery->prepared && delivery->withheld == NULL && prepare_needed(endpoint);
	if (delivery->preparing)
	{
		dlist_push_tail(&to_prepare, &delivery->ready_node);
		next_prepare = Min(next_prepare, endpoint->prepare_after == 0 ? 0 : slow_rest_until);
		return;
	}
	dlist_push_tail(&endpoint->ready, &delivery->ready_node);
	endpoint->nready++;
	turns_enter(endpoint);
}

static void
remove_ready(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	dlist_delete(&delivery->ready_node);
	if (delivery->preparing)
		delivery->preparing = false;
	else if (--endpoint->nready == 0)
		turns_leave(endpoint);
}

void
dispatch_pass_on(OrderKey *key)
{
	key->holder = NULL;
	if (!dlist_is_empty(&key->queue))
	{
		key->holder = dlist_container(Delivery, key_node, dlist_pop_head_node(&key->queue));
		dispatch_ready(key->holder);
	}
	else if (key->blocked)
		orderkey_follow(key);
	else
		orderkey_release(key);
}

/* ---------- deliveries ---------- */

/* May the owner of its webhook be sent it now, whatever he could see when it was captured? */
static void
check_access(Delivery *delivery)
{
	bool		unknown;
	const char *problem = access_withheld(delivery->endpoint->owner, delivery->message, &unknown);

	if (delivery->withheld != NULL)
		pfree(delivery->withheld);
	delivery->withheld = NULL;
	if (problem == NULL)
		return;
	problem = psprintf("withheld: %s", problem);
	if (unknown)
		prepare_refuse(delivery, problem, dispatch_context);
	else
		delivery->withheld = MemoryContextStrdup(dispatch_context, problem);
}

static Delivery *
create(Message *message, Endpoint *endpoint, int64 order_key)
{
	Delivery   *delivery = MemoryContextAllocZero(dispatch_context, sizeof(Delivery));

	delivery->message = message;
	delivery->endpoint = endpoint;
	delivery->order_key = order_key;
	message->unfinished++;
	dlist_push_tail(&message->deliveries, &delivery->message_node);
	dlist_push_tail(&endpoint->all, &delivery->all_node);
	endpoint->in_memory++;
	in_memory++;
	if (OidIsValid(message->relation))
		check_access(delivery);
	return delivery;
}

/* One delivery of the message is dealt with. */
static void
message_done(Message *message)
{
	if (--message->unfinished > 0)
		return;
	if (message->window != NULL)
		cursor_finish(message);
	else
	{
		own_bytes -= MESSAGE_SIZE(message);
		pfree(message);
	}
}

void
dispatch_forget(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	last_dealt_with = Max(last_dealt_with, delivery->message->id);
	if (delivery->stored)
		stored_forget(delivery);
	prepare_forget(delivery);
	if (delivery->probe)
	{
		endpoint->probing = false;
		stored_plan_probe(endpoint);
	}
	dlist_delete(&delivery->all_node);
	dlist_delete(&delivery->message_node);
	endpoint->in_memory--;
	in_memory--;
	message_done(delivery->message);
	if (delivery->withheld != NULL)
		pfree(delivery->withheld);
	pfree(delivery);
}

void
dispatch_detach(Delivery *delivery)
{
	Message    *message = delivery->message;

	delivery->message = message_copy(message, dispatch_context);
	own_bytes += MESSAGE_SIZE(delivery->message);
	delivery->message->unfinished = 1;
	dlist_delete(&delivery->message_node);
	dlist_push_tail(&delivery->message->deliveries, &delivery->message_node);
	message_done(message);
}

/* Take a delivery that is not being sent out of its queues. */
static void
unqueue(Delivery *delivery)
{
	if (delivery->waiting)
		dlist_delete(&delivery->key_node);
	else
	{
		remove_ready(delivery);
		if (delivery->key != NULL)
			dispatch_pass_on(delivery->key);
	}
	delivery->waiting = false;
	delivery->key = NULL;
}

/* Queue a delivery for sending, behind others with its key. */
static void
enqueue(Delivery *delivery)
{
	OrderKey   *key = orderkey_get(delivery->endpoint->id, delivery->order_key, true);

	delivery->key = key;
	if (key != NULL && key->holder != NULL)
	{
		delivery->waiting = true;
		dlist_push_tail(&key->queue, &delivery->key_node);
		return;
	}
	if (key != NULL)
		key->holder = delivery;
	dispatch_ready(delivery);
}

Delivery *
dispatch_restore(Message *message, Endpoint *endpoint, int64 order_key, int attempts)
{
	Delivery   *delivery = create(message, endpoint, order_key);

	own_bytes += MESSAGE_SIZE(message);
	delivery->stored = true;
	delivery->attempts = attempts;
	enqueue(delivery);
	return delivery;
}

/* A message for a webhook that is switched off: kept, if it is young enough. */
static void
buffer_or_drop(Message *message, Endpoint *endpoint)
{
	TimestampTz end = endpoint->deactivated_at == DT_NOEND ? DT_NOEND :
		endpoint->deactivated_at + (int64) webhook_buffer_retention * USECS_PER_SEC;

	if (endpoint->buffering && message->created_at < end)
		stored_write_later(create(message, endpoint, delivery_order_key(endpoint, message)),
						   DELIVERY_WAITING, 0, NULL);
	else
		record_dropped(endpoint);
}

/* Make the delivery of a message to one webhook. */
static void
dispatch_to(Message *message, Endpoint *endpoint)
{
	int64		order_key;

	if (!endpoint->exists)
		return;
	if (payload_is_test(message))
	{
		enqueue(create(message, endpoint, 0));
		return;
	}
	if (stored_known(endpoint->id, message->id))
		return;
	if (endpoint_discards(endpoint, message->xid))
	{
		record_dropped(endpoint);
		return;
	}
	if (!endpoint->active)
	{
		buffer_or_drop(message, endpoint);
		return;
	}
	order_key = delivery_order_key(endpoint, message);

	/* A crash can leave an endpoint failing whose last row has gone: now there is something to try it with. */
	if (endpoint->health.failing && !endpoint->in_probe_queue)
		stored_plan_probe(endpoint);
	if (endpoint->backlog || endpoint->health.failing || endpoint->deactivate != NULL ||
		orderkey_blocked(endpoint->id, order_key))
		stored_write_later(create(message, endpoint, order_key), DELIVERY_WAITING, 0, NULL);
	else
		enqueue(create(message, endpoint, order_key));
}

void
dispatch_message(Message *message)
{
	message->read_at = clock_now();
	message->unfinished = 1;	/* held by us until all deliveries exist */
	for (int i = 0; i < message->nwebhooks; i++)
		dispatch_to(message, endpoint_get(message->webhook_ids[i]));
	message_done(message);
}

/* Has its transform been slow lately? */
static bool
is_slow_to_prepare(const Endpoint *endpoint, TimestampTz now)
{
	return endpoint->prepare_after != 0 &&
		now < TimestampTzPlusMilliseconds(endpoint->prepare_after, SLOW_MEMORY_MS);
}

/* Prepare one delivery; now is the time before, and the result that after it. */
static TimestampTz
prepare(Delivery *delivery, TimestampTz now)
{
	Endpoint   *endpoint = delivery->endpoint;
	TimestampTz before = now;

	dlist_delete(&delivery->ready_node);
	delivery->preparing = false;
	if (delivery->withheld == NULL)
		prepare_delivery(delivery, dispatch_context);
	dispatch_ready(delivery);
	now = clock_now();
	if (TimestampDifferenceExceeds(before, now, PREPARE_MS))
		endpoint->prepare_after = slow_rest_until = now + PREPARE_REST_FACTOR * (now - before);
	return now;
}

/*
 * A transform that takes long holds up everybody, so then all that have done so
 * rest for a multiple of that time, and the others go on: a thousand of them hold
 * up no more than one does.  After the rest it is the turn of the one that has
 * waited for the longest time.
 */
void
dispatch_prepare(void)
{
	TimestampTz start = clock_now();
	TimestampTz now = start;
	Delivery   *slow = NULL;
	dlist_mutable_iter iter;

	next_prepare = DT_NOEND;
	dlist_foreach_modify(iter, &to_prepare)
	{
		Delivery   *delivery = dlist_container(Delivery, ready_node, iter.cur);

		if (TimestampDifferenceExceeds(start, now, PREPARE_MS))
		{
			next_prepare = now;
			break;
		}
		if (!is_slow_to_prepare(delivery->endpoint, now))
			now = prepare(delivery, now);
		else if (slow == NULL || delivery->endpoint->prepare_after < slow->endpoint->prepare_after)
			slow = delivery;
	}
	if (slow != NULL && slow_rest_until <= now)
		now = prepare(slow, now);
	if (slow != NULL)
		next_prepare = Min(next_prepare, Max(now, slow_rest_until));
}

bool
dispatch_to_prepare(void)
{
	return !dlist_is_empty(&to_prepare) && next_prepare <= clock_now();
}

/* ---------- endpoints that are slow, failing or switched off ---------- */

/*
 * A test is worth one attempt, and no row; it stays in memory, and what it was
 * read with is dealt with.
 */
static void
put_test_aside(Delivery *delivery)
{
	if (!delivery->endpoint->exists && !delivery->sending)
	{
		unqueue(delivery);
		dispatch_forget(delivery);
	}
	else if (delivery->message->window != NULL)
		dispatch_detach(delivery);
}

void
dispatch_put_aside(Endpoint *endpoint)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &endpoint->all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (payload_is_test(delivery->message))
		{
			put_test_aside(delivery);
			continue;
		}
		if (delivery->sending || delivery->to_store)
			continue;
		unqueue(delivery);
		/* A row that has been due would not be read again as such. */
		if (delivery->stored && delivery->attempts == 0)
			dispatch_forget(delivery);
		else
			stored_write_later(delivery, DELIVERY_WAITING, 0, NULL);
	}
}

/*
 * Store all that is in memory of an endpoint.  What is being sent goes on;
 * the rest is read back when there is room.
 */
static void
spill(Endpoint *endpoint)
{
	dlist_mutable_iter iter;
	bool		rest = false;

	dlist_foreach_modify(iter, &endpoint->all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (payload_is_test(delivery->message))
			put_test_aside(delivery);
		else if (!delivery->sending)
			rest = true;
		else if (!delivery->stored)
			stored_write_later(delivery, DELIVERY_WAITING, 0, NULL);
	}
	if (rest)
	{
		dispatch_put_aside(endpoint);
		stored_start_backlog(endpoint);
	}
}

static void
spill_overtaken(Endpoint *endpoint)
{
	dlist_iter	iter;

	dlist_foreach(iter, &endpoint->all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (!delivery->stored && delivery->message->id <= last_dealt_with)
		{
			/* This changes the list. */
			spill(endpoint);
			break;
		}
	}
}

void
dispatch_spill_overtaken(void)
{
	endpoint_foreach(spill_overtaken);
}

/*
 * Is it the endpoint that holds this delivery up, and not just the number of
 * requests that we send at once?
 */
static bool
held_up_by_endpoint(const Delivery *delivery, TimestampTz now)
{
	const Endpoint *endpoint = delivery->endpoint;

	if (delivery->sending)
		return turns_is_slow(delivery, now);
	return delivery->waiting || delivery->preparing || endpoint->slow > 0 || endpoint->queued_in == QUEUE_LATER ||
		endpoint->queued_in == QUEUE_HELD || endpoint->in_flight >= turns_allowed(endpoint);
}

/* A delivery that has held up the oldest message for long, or NULL. */
static Delivery *
find_held_up(TimestampTz now)
{
	Message    *oldest = cursor_oldest();
	dlist_iter	iter;

	if (oldest == NULL)
		return NULL;
	oldest->read_at = Min(oldest->read_at, now);	/* the clock may have been set back */
	if (!TimestampDifferenceExceeds(oldest->read_at, now, HELD_UP_MS))
		return NULL;
	dlist_foreach(iter, &oldest->deliveries)
	{
		Delivery   *delivery = dlist_container(Delivery, message_node, iter.cur);

		if (!delivery->to_store && held_up_by_endpoint(delivery, now))
			return delivery;
	}
	return NULL;
}

void
dispatch_check_slow(TimestampTz now)
{
	Delivery   *delivery;

	turns_check_slow(now);

	/* Whatever it changes, each endpoint that is spilled holds nothing up any more. */
	while ((delivery = find_held_up(now)) != NULL)
		spill(delivery->endpoint);
}

static void
forget_future(Endpoint *endpoint)
{
	TimestampTz now = clock_now();

	endpoint->next_send_at = Min(endpoint->next_send_at, now + endpoint->send_interval);
	endpoint->prepare_after = Min(endpoint->prepare_after, now);
}

void
dispatch_clock_set_back(TimestampTz now)
{
	endpoint_foreach(forget_future);
	next_prepare = Min(next_prepare, now);
	slow_rest_until = Min(slow_rest_until, now);
	stored_clock_set_back();
}

static void
refresh_endpoint(Endpoint *endpoint)
{
	bool		was_active = endpoint->seen.active;
	TimestampTz updated_at = endpoint->seen.updated_at;

	/* Somebody else may have loaded it anew since we have looked: what we saw counts. */
	if (!endpoint_changed(endpoint) ||
		(endpoint->in_memory == 0 && !endpoint->health.failing && !endpoint->backlog && was_active))
		return;
	endpoint_refresh(endpoint);
	endpoint_see(endpoint);
	if (!endpoint->exists || !endpoint->active)
	{
		dispatch_put_aside(endpoint);	/* stored_save() drops it, or keeps it as a buffer */
		if (was_active)
			orderkey_unblock_all(endpoint->id);
		stored_plan_probe(endpoint);
	}
	else
	{
		if (!was_active)
			stored_start_backlog(endpoint);
		else if (endpoint->health.failing && endpoint->updated_at != updated_at)
		{
			/* Somebody has mended the webhook: see at once whether it works. */
			endpoint->health.next_probe_at = clock_now();
			stored_plan_probe(endpoint);
		}
	}

	/* A test is sent even if it is switched off. */
	turns_enter(endpoint);
}

static void
check_access_of(Endpoint *endpoint)
{
	dlist_iter	iter;

	dlist_foreach(iter, &endpoint->all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (OidIsValid(delivery->message->relation))
			check_access(delivery);
	}
}

void
dispatch_check_access(void)
{
	endpoint_foreach(check_access_of);
}

void
dispatch_refresh(void)
{
	endpoint_foreach(refresh_endpoint);

	/* A webhook that is not in memory may have been switched on again. */
	stored_config_changed();
}

/* ---------- what the worker asks ---------- */

int
dispatch_in_memory(void)
{
	return in_memory;
}

Size
dispatch_own_bytes(void)
{
	return own_bytes;
}

int
dispatch_in_flight(void)
{
	return turns_in_flight();
}

TimestampTz
dispatch_next_event(TimestampTz now)
{
	Message    *oldest = cursor_oldest();
	TimestampTz next = Min(stored_next_event(), turns_next_event());

	if (oldest != NULL)
		next = Min(next, Max(TimestampTzPlusMilliseconds(oldest->read_at, HELD_UP_MS),
							 TimestampTzPlusMilliseconds(now, LOOK_AGAIN_MS)));
	if (!dlist_is_empty(&to_prepare))
		next = Min(next, next_prepare);
	return next;
}
