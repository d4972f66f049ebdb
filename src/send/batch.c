/*-------------------------------------------------------------------------
 *
 * batch.c
 *		Deliveries that share a request.
 *
 * A batch takes what is ready when its endpoint may send, in the order of the
 * log.  Deliveries held by the key of one of them may follow it in the same batch; the
 * last one of a key is its holder then.  So a key is still in one request at a time,
 * and the next delivery with it goes on when that request has ended.
 *
 * All deliveries in a batch have made the same number of attempts, so a result
 * means the same for each of them.  If a batch fails, only the first delivery of
 * a key is due for a retry, the others wait for it.
 *
 * attempt.c calls batch_choose(), builds the request, which takes as many of the
 * messages as fit, and then calls batch_start().  Until then the chosen deliveries
 * remain where they are, so a request that cannot be built changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"

#include "base/context.h"
#include "send/batch.h"
#include "send/format.h"
#include "send/order_key.h"
#include "send/prepare.h"
#include "send/queue.h"
#include "send/spill.h"

/* Limit on the size of a batch for an endpoint that may not work. */
#define MAX_UNPROVEN	20

/* Can it be sent as it is? */
static bool
batch_is_prepared(const Delivery *delivery)
{
	switch (delivery->prepared.result)
	{
		case PREPARATION_SEND:
			return true;
		case PREPARATION_NONE:
			return !prepare_needed(delivery->endpoint, delivery->message);
		default:
			return false;
	}
}

/* Does the header webhook-replay, which a batch has once, have the same value for both? */
static bool
batch_same_replay(const Message *a, const Message *b)
{
	const char *replay_a = format_context(a, CONTEXT_REPLAY);
	const char *replay_b = format_context(b, CONTEXT_REPLAY);

	if (replay_a == NULL || replay_b == NULL)
		return replay_a == replay_b;
	return strcmp(replay_a, replay_b) == 0;
}

static bool
batch_may_share(const Delivery *first, const Delivery *delivery)
{
	return delivery->attempts == first->attempts && delivery->batch_max == first->batch_max &&
		delivery->withheld == NULL && !delivery->probe && !message_is_test(delivery->message) &&
		batch_same_replay(first->message, delivery->message) && batch_is_prepared(delivery);
}

/*
 * How many deliveries may share the next request.  While a receiver hangs, what was
 * sent to it remains in memory, so one that may not work gets few.
 */
static int
batch_room(const Delivery *first)
{
	const Endpoint *endpoint = first->endpoint;
	int			room = endpoint_batch_size(endpoint);

	if (first->probe || first->attempt.question != QUESTION_NONE || message_is_test(first->message))
		return 1;
	if (first->batch_max > 0)
		room = Min(room, first->batch_max);
	if (!endpoint->state.proven || endpoint->queue.slow > 0)
		room = Min(room, MAX_UNPROVEN);
	return Max(room, 1);
}

/*
 * Add a ready delivery, and those held by its key as far as they may share the
 * request.  One that its transform has dropped has no place in the order.
 */
static int
batch_add_key(Delivery **deliveries, int n, int max, Delivery *delivery)
{
	int64		last = delivery->message->id;
	dlist_mutable_iter iter;

	deliveries[n++] = delivery;
	if (delivery->key == NULL)
		return n;
	dlist_foreach_modify(iter, &delivery->key->queue)
	{
		Delivery   *next = dlist_container(Delivery, phase_node, iter.cur);

		if (n == max)
			break;
		if (next->prepared.result == PREPARATION_DROP)
		{
			spill_drop(next);
			continue;
		}

		/* One that was redelivered may be older than the one before it. */
		if (next->message->id <= last || !batch_may_share(deliveries[0], next))
			break;
		last = next->message->id;
		deliveries[n++] = next;
	}
	return n;
}

static int
batch_compare(const void *a, const void *b)
{
	int64		id_a = (*(Delivery *const *) a)->message->id;
	int64		id_b = (*(Delivery *const *) b)->message->id;

	return id_a < id_b ? -1 : id_a > id_b;
}

void
batch_choose(Batch *batch, Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;
	int			max = batch_room(delivery);
	Delivery  **deliveries;
	Message    *copies;
	int			n;
	dlist_iter	iter;

	Assert(delivery->phase == PHASE_READY);
	max = Min(max, endpoint->queue.nready + endpoint->queue.nheld);
	deliveries = palloc(max * sizeof(Delivery *));
	n = batch_add_key(deliveries, 0, max, delivery);
	dlist_foreach(iter, &endpoint->queue.ready)
	{
		Delivery   *next = dlist_container(Delivery, phase_node, iter.cur);

		if (n == max)
			break;
		if (next != delivery && batch_may_share(delivery, next))
			n = batch_add_key(deliveries, n, max, next);
	}
	if (n > 1)
		qsort(deliveries, n, sizeof(Delivery *), batch_compare);

	batch->deliveries = deliveries;
	batch->content.n = n;
	batch->content.current = -1;
	batch->content.messages = palloc(n * sizeof(Message *));
	copies = palloc(n * sizeof(Message));
	for (int i = 0; i < n; i++)
		batch->content.messages[i] = prepare_message(deliveries[i], &copies[i]);
}

/* The holder of its key precedes it in this batch: now it is the holder. */
static void
batch_take_key(Delivery *delivery)
{
	OrderKey   *key = delivery->key;

	Assert(key->holder->phase == PHASE_SENDING && key->holder->attempt.request == delivery->attempt.request);
	key->holder->key = NULL;
	key->holder = delivery;
}

void
batch_start(const Batch *batch, Request *request, TimestampTz now)
{
	request_set_deliveries(request, batch->deliveries, batch->content.n);
	for (int i = 0; i < batch->content.n; i++)
	{
		Delivery   *delivery = batch->deliveries[i];

		delivery->attempt.sent_at = now;
		delivery->attempt.configured_at = delivery->endpoint->config.updated_at;
		delivery->attempt.request = request;
		delivery->attempt.member = i > 0;
		delivery->attempt.follows = delivery->phase == PHASE_HELD;
		if (batch->content.n > 1)
			delivery->attempt.question = QUESTION_NONE;
		delivery->attempt.pace = batch->deliveries[0]->attempt.pace;
		if (delivery->attempt.follows)
			batch_take_key(delivery);
		delivery_enter(delivery, PHASE_SENDING);
	}
}

/* The first delivery of each key holds it again. */
static void
batch_return_keys(const Request *request)
{
	for (int i = 0; i < request->ndeliveries; i++)
	{
		Delivery   *delivery = request->deliveries[i];

		delivery->key = order_key_get(delivery->endpoint->id, delivery->order_key, true);
		if (delivery->key != NULL && !delivery->attempt.follows)
			delivery->key->holder = delivery;
	}
}

void
batch_send_again(const Request *request)
{
	batch_return_keys(request);
	for (int i = request->ndeliveries - 1; i >= 0; i--)
	{
		Delivery   *delivery = request->deliveries[i];

		spill_cancel_write(delivery);
		if (delivery->attempt.follows)
		{
			delivery_enter(delivery, PHASE_HELD);
			dlist_move_head(&delivery->key->queue, &delivery->phase_node);
		}
		else
			queue_ready_first(delivery);
		delivery->attempt.follows = false;
	}
}

void
batch_split(const Request *request, bool too_large)
{
	int			n = request->ndeliveries;

	Assert(n > 1);
	if (too_large)
		endpoint_batch_refused(request->deliveries[0]->endpoint, n);
	else
		for (int i = 0; i < n; i++)
			request->deliveries[i]->batch_max = (n + 1) / 2;
	batch_send_again(request);
}
