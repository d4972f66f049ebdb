/*-------------------------------------------------------------------------
 *
 * queue.c
 *		Deliveries in memory, and what they wait for until they can be sent.
 *
 * A delivery waits for another one with the same order key, or to be prepared,
 * or for its endpoint's turn to send, which is scheduler.c's business.  Those that
 * have a row in the delivery table are known by (webhook, id), so that no row is
 * read a second time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "log/cursor.h"
#include "send/prepare.h"
#include "send/probe.h"
#include "send/queue.h"
#include "send/scheduler.h"
#include "send/withheld.h"

/* Deliveries are prepared for at most this time before others get a chance to be sent. */
#define PREPARE_MS			50
#define PREPARE_REST_FACTOR	4

/* For how long an endpoint whose transform has taken longer than that is expected to do so again. */
#define SLOW_MEMORY_MS		(600 * 1000)

static MemoryContext queue_context;
static HTAB *rows;				/* DeliveryId alone: the set of those that have a row */
static dlist_head to_prepare = DLIST_STATIC_INIT(to_prepare);
static TimestampTz next_prepare = 0;	/* when there is something to do in it */
static TimestampTz slow_rest_until = 0; /* for all endpoints with a slow transform */
static int	in_memory = 0;
static Size own_bytes = 0;		/* of messages that the cursor does not hold */
static int64 last_finished = 0;	/* greatest message id of which a delivery has been done or stored */


void
queue_init(MemoryContext context)
{
	HASHCTL		ctl = {0};

	queue_context = context;
	ctl.hcxt = context;
	ctl.keysize = ctl.entrysize = sizeof(DeliveryId);
	rows = hash_create("webhook stored deliveries", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	order_key_init(context);
	probe_init(context);
}

bool
queue_has_row(int64 webhook_id, int64 id)
{
	DeliveryId	tag = {webhook_id, id};

	return hash_search(rows, &tag, HASH_FIND, NULL) != NULL;
}

void
queue_note_row(int64 webhook_id, int64 id)
{
	DeliveryId	tag = {webhook_id, id};

	hash_search(rows, &tag, HASH_ENTER, NULL);
}

void
queue_forget_row(int64 webhook_id, int64 id)
{
	DeliveryId	tag = {webhook_id, id};

	hash_search(rows, &tag, HASH_REMOVE, NULL);
}

/* ---------- ready deliveries ---------- */

void
queue_ready(Delivery *delivery)
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
	scheduler_enter(endpoint);
}

static void
queue_remove_ready(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	dlist_delete(&delivery->ready_node);
	if (delivery->preparing)
		delivery->preparing = false;
	else if (--endpoint->nready == 0)
		scheduler_leave(endpoint);
}

void
queue_pass_on(OrderKey *key)
{
	key->holder = NULL;
	if (!dlist_is_empty(&key->queue))
	{
		key->holder = dlist_container(Delivery, key_node, dlist_pop_head_node(&key->queue));
		queue_ready(key->holder);
	}
	else if (key->blocked)
		order_key_follow(key);
	else
		order_key_release(key);
}

/* ---------- deliveries ---------- */

/* May the owner of its webhook be sent it now, whatever he could see when it was captured? */
static void
queue_check_delivery(Delivery *delivery)
{
	bool		unknown;
	const char *problem = withheld_reason(delivery->endpoint->owner, delivery->message, &unknown);

	if (delivery->withheld != NULL)
		pfree(delivery->withheld);
	delivery->withheld = NULL;
	if (problem == NULL)
		return;
	problem = psprintf("withheld: %s", problem);
	if (unknown)
		prepare_refuse(delivery, problem, queue_context);
	else
		delivery->withheld = MemoryContextStrdup(queue_context, problem);
}

Delivery *
queue_create(Message *message, Endpoint *endpoint, int64 order_key)
{
	Delivery   *delivery = MemoryContextAllocZero(queue_context, sizeof(Delivery));

	delivery->message = message;
	delivery->endpoint = endpoint;
	delivery->order_key = order_key;
	message->unfinished++;
	dlist_push_tail(&message->deliveries, &delivery->message_node);
	dlist_push_tail(&endpoint->all, &delivery->all_node);
	endpoint->in_memory++;
	in_memory++;
	if (OidIsValid(message->relation))
		queue_check_delivery(delivery);
	return delivery;
}

/* One delivery of the message is dealt with. */
void
queue_message_done(Message *message)
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
queue_forget(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	last_finished = Max(last_finished, delivery->message->id);
	if (delivery->stored)
		queue_forget_row(endpoint->id, delivery->message->id);
	prepare_forget(delivery);
	if (delivery->probe)
	{
		endpoint->probing = false;
		probe_plan(endpoint);
	}
	dlist_delete(&delivery->all_node);
	dlist_delete(&delivery->message_node);
	endpoint->in_memory--;
	in_memory--;
	queue_message_done(delivery->message);
	if (delivery->withheld != NULL)
		pfree(delivery->withheld);
	pfree(delivery);
}

void
queue_detach(Delivery *delivery)
{
	Message    *message = delivery->message;

	delivery->message = message_copy(message, queue_context);
	own_bytes += MESSAGE_SIZE(delivery->message);
	delivery->message->unfinished = 1;
	dlist_delete(&delivery->message_node);
	dlist_push_tail(&delivery->message->deliveries, &delivery->message_node);
	queue_message_done(message);
}

/* Take a delivery that is not being sent out of its queues. */
void
queue_remove(Delivery *delivery)
{
	if (delivery->waiting)
		dlist_delete(&delivery->key_node);
	else
	{
		queue_remove_ready(delivery);
		if (delivery->key != NULL)
			queue_pass_on(delivery->key);
	}
	delivery->waiting = false;
	delivery->key = NULL;
}

/* Queue a delivery for sending, behind others with its key. */
void
queue_add(Delivery *delivery)
{
	OrderKey   *key = order_key_get(delivery->endpoint->id, delivery->order_key, true);

	delivery->key = key;
	if (key != NULL && key->holder != NULL)
	{
		delivery->waiting = true;
		dlist_push_tail(&key->queue, &delivery->key_node);
		return;
	}
	if (key != NULL)
		key->holder = delivery;
	queue_ready(delivery);
}

Delivery *
queue_restore(Message *message, Endpoint *endpoint, int64 order_key, int attempts)
{
	Delivery   *delivery = queue_create(message, endpoint, order_key);

	own_bytes += MESSAGE_SIZE(message);
	delivery->stored = true;
	delivery->attempts = attempts;
	queue_add(delivery);
	return delivery;
}

/* ---------- preparing ---------- */

/* Has its transform been slow lately? */
static bool
queue_is_slow_to_prepare(const Endpoint *endpoint, TimestampTz now)
{
	return endpoint->prepare_after != 0 &&
		now < TimestampTzPlusMilliseconds(endpoint->prepare_after, SLOW_MEMORY_MS);
}

/* Prepare one delivery; now is the time before, and the result that after it. */
static TimestampTz
queue_prepare_one(Delivery *delivery, TimestampTz now)
{
	Endpoint   *endpoint = delivery->endpoint;
	TimestampTz before = now;

	dlist_delete(&delivery->ready_node);
	delivery->preparing = false;
	if (delivery->withheld == NULL)
		prepare_delivery(delivery, queue_context);
	queue_ready(delivery);
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
queue_prepare(void)
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
		if (!queue_is_slow_to_prepare(delivery->endpoint, now))
			now = queue_prepare_one(delivery, now);
		else if (slow == NULL || delivery->endpoint->prepare_after < slow->endpoint->prepare_after)
			slow = delivery;
	}
	if (slow != NULL && slow_rest_until <= now)
		now = queue_prepare_one(slow, now);
	if (slow != NULL)
		next_prepare = Min(next_prepare, Max(now, slow_rest_until));
}

bool
queue_to_prepare(void)
{
	return !dlist_is_empty(&to_prepare) && next_prepare <= clock_now();
}

/* ---------- for all of them ---------- */

static void
queue_forget_future(Endpoint *endpoint)
{
	TimestampTz now = clock_now();

	endpoint->next_send_at = Min(endpoint->next_send_at, now + endpoint->send_interval);
	endpoint->prepare_after = Min(endpoint->prepare_after, now);
}

void
queue_clock_set_back(TimestampTz now)
{
	endpoint_foreach(queue_forget_future);
	next_prepare = Min(next_prepare, now);
	slow_rest_until = Min(slow_rest_until, now);
}

static void
queue_check_access_of(Endpoint *endpoint)
{
	dlist_iter	iter;

	dlist_foreach(iter, &endpoint->all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (OidIsValid(delivery->message->relation))
			queue_check_delivery(delivery);
	}
}

void
queue_check_access(void)
{
	endpoint_foreach(queue_check_access_of);
}

int
queue_in_memory(void)
{
	return in_memory;
}

Size
queue_own_bytes(void)
{
	return own_bytes;
}

int64
queue_last_finished(void)
{
	return last_finished;
}

TimestampTz
queue_next_prepare(void)
{
	return dlist_is_empty(&to_prepare) ? DT_NOEND : next_prepare;
}
