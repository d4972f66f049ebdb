/*-------------------------------------------------------------------------
 *
 * delivery.c
 *		One message for one webhook, in the worker's memory.
 *
 * A delivery is in one phase at a time (phase.h), and in the list of that phase.
 * delivery_enter() is the only function that moves it.  It updates all counters,
 * so they agree with the lists whatever the callers do.
 *
 * A delivery is created by dispatch.c, or restored from a row or from the history.
 * queue.c takes it from there; spill.c ends it when it is finished or stored, and
 * replay.c when its replay ends.  Deliveries refer to their message; with the last
 * reference the cursor can pass it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/container.h"
#include "log/cursor.h"
#include "send/delivery.h"
#include "send/delivery_table.h"
#include "send/order_key.h"
#include "send/prepare.h"
#include "send/probe.h"
#include "send/replay_run.h"
#include "send/request.h"
#include "send/scheduler.h"
#include "send/withheld.h"

/* The order key of all deliveries of a webhook with strict order. */
#define STRICT_ORDER_KEY	1

StaticAssertDecl(sizeof(Delivery) <= MESSAGE_DELIVERY_SIZE, "MESSAGE_DELIVERY_SIZE is too small");

static MemoryContext delivery_context;
static HTAB *delivery_rows;		/* of DeliveryId: those that have a row */
static dlist_head delivery_preparing_list = DLIST_STATIC_INIT(delivery_preparing_list);
static dlist_head delivery_ahead_list = DLIST_STATIC_INIT(delivery_ahead_list);
static int	delivery_count = 0;
static int	delivery_slow_members = 0;	/* in slow requests, without the first
										 * of each */
static Size delivery_bytes = 0; /* delivery_own_size() of all */
static int64 delivery_finished_id = 0;


void
delivery_init(MemoryContext context)
{
	delivery_context = context;
	delivery_rows = container_hash("webhook stored deliveries", 256, sizeof(DeliveryId), sizeof(DeliveryId), context);
}

int64
delivery_order_key(const Endpoint *endpoint, const Message *message)
{
	uint64		hash;

	if (endpoint->config.ordering == ORDER_STRICT)
		return STRICT_ORDER_KEY;
	if (endpoint->config.ordering == ORDER_NONE || message->entity_id == NULL)
		return 0;
	hash = hash_bytes_extended((const unsigned char *) message->entity_id,
							   strlen(message->entity_id), 0);
	if (message->entity_type != NULL)
		hash = hash_bytes_extended((const unsigned char *) message->entity_type,
								   strlen(message->entity_type), hash);
	return hash <= STRICT_ORDER_KEY ? STRICT_ORDER_KEY + 1 : (int64) hash;
}

/* ---------- phases ---------- */

/*
 * The memory of its message, if the cursor does not hold it.  Receivers that
 * hang must not use that up; what slow requests hold is limited by the number of
 * connections, and by what one endpoint is sent at the same time.
 */
static Size
delivery_own_size(const Delivery *delivery)
{
	if (delivery->message->window != NULL || delivery->phase == PHASE_GONE ||
		(delivery->phase == PHASE_SENDING && delivery->attempt.pace == PACE_SLOW))
		return 0;
	return MESSAGE_SIZE(delivery->message);
}

static void
delivery_leave_phase(Delivery *delivery)
{
	EndpointQueue *queue = &delivery->endpoint->queue;

	switch (delivery->phase)
	{
		case PHASE_HELD:
			Assert(queue->nheld > 0);
			queue->nheld--;
			delivery_leave_ahead(delivery);
			dlist_delete(&delivery->phase_node);
			break;
		case PHASE_PREPARING:
			dlist_delete(&delivery->phase_node);
			break;
		case PHASE_READY:
			Assert(queue->nready > 0);
			dlist_delete(&delivery->phase_node);
			if (--queue->nready == 0)
				scheduler_leave(delivery->endpoint);
			break;
		case PHASE_SENDING:
			Assert(queue->sending > 0);
			queue->sending--;
			if (!delivery->attempt.member)
				scheduler_request_ended(delivery);
			else if (delivery->attempt.pace == PACE_SLOW)
				delivery_slow_members--;
			break;
		case PHASE_NEW:
		case PHASE_TO_WRITE:
			break;
		case PHASE_GONE:
			pg_unreachable();
	}
}

void
delivery_enter(Delivery *delivery, DeliveryPhase phase)
{
	EndpointQueue *queue = &delivery->endpoint->queue;

	if (!phase_may_follow(delivery->phase, phase))
		elog(ERROR, "delivery cannot go from phase \"%s\" to phase \"%s\"",
			 phase_name(delivery->phase), phase_name(phase));
	Assert(delivery_bytes >= delivery_own_size(delivery));
	delivery_bytes -= delivery_own_size(delivery);
	delivery_leave_phase(delivery);
	delivery->phase = phase;
	switch (phase)
	{
		case PHASE_HELD:
			Assert(delivery->key != NULL && delivery->key->holder != NULL && delivery->key->holder != delivery);
			dlist_push_tail(&delivery->key->queue, &delivery->phase_node);
			queue->nheld++;
			break;
		case PHASE_PREPARING:
			Assert(delivery->prepared.result == PREPARATION_NONE);
			dlist_push_tail(&delivery_preparing_list, &delivery->phase_node);
			break;
		case PHASE_READY:
			Assert(delivery->key == NULL || delivery->key->holder == delivery);
			dlist_push_tail(&queue->ready, &delivery->phase_node);
			/* A test does not wait for a batch. */
			if (delivery->endpoint->config.batch_wait > 0 && message_is_test(delivery->message))
				dlist_move_head(&queue->ready, &delivery->phase_node);
			queue->nready++;
			scheduler_enter(delivery->endpoint);
			break;
		case PHASE_SENDING:
			Assert(delivery->attempt.request != NULL);
			Assert(delivery->key == NULL || delivery->key->holder == delivery);
			queue->sending++;
			if (!delivery->attempt.member)
				scheduler_request_started(delivery);
			break;
		case PHASE_TO_WRITE:
			Assert(delivery->row.write_pending);
			break;
		case PHASE_GONE:
			Assert(!delivery->row.write_pending);
			break;
		case PHASE_NEW:
			pg_unreachable();
	}
	delivery_bytes += delivery_own_size(delivery);
}

void
delivery_mark_slow(Delivery *delivery)
{
	const Request *request = delivery->attempt.request;

	for (int i = 0; i < request->ndeliveries; i++)
	{
		Delivery   *member = request->deliveries[i];

		Assert(member->phase == PHASE_SENDING && member->attempt.pace != PACE_SLOW);
		delivery_bytes -= delivery_own_size(member);
		member->attempt.pace = PACE_SLOW;
	}
	delivery_slow_members += request->ndeliveries - 1;
}

void
delivery_prepare_ahead(Delivery *delivery)
{
	Assert(delivery->phase == PHASE_HELD && !delivery->prepare_ahead);
	delivery->prepare_ahead = true;
	dlist_push_tail(&delivery_ahead_list, &delivery->ahead_node);
}

void
delivery_leave_ahead(Delivery *delivery)
{
	if (delivery->prepare_ahead)
		dlist_delete(&delivery->ahead_node);
	delivery->prepare_ahead = false;
}

dlist_head *
delivery_preparing_ahead(void)
{
	return &delivery_ahead_list;
}

dlist_head *
delivery_preparing(void)
{
	return &delivery_preparing_list;
}

/* ---------- creation and end ---------- */

/* May the webhook's owner be sent the message now, whatever it could see when the message was captured? */
static void
delivery_recheck(Delivery *delivery)
{
	bool		unknown;
	const char *problem;

	Assert(IsTransactionState());
	if (!OidIsValid(delivery->message->relation))
		return;
	problem = withheld_reason(delivery->endpoint->config.owner, delivery->message, &unknown);
	if (delivery->withheld != NULL)
		pfree(delivery->withheld);
	delivery->withheld = NULL;
	if (problem == NULL)
		return;
	problem = psprintf("withheld: %s", problem);
	if (unknown && delivery->phase == PHASE_SENDING)
		return;
	if (unknown)
		prepare_set_error(delivery, problem, delivery_context);
	else
		delivery->withheld = MemoryContextStrdup(delivery_context, problem);
}

Delivery *
delivery_create(Message *message, Endpoint *endpoint, int64 order_key)
{
	Delivery   *delivery = MemoryContextAllocZero(delivery_context, sizeof(Delivery));

	delivery->message = message;
	delivery->endpoint = endpoint;
	delivery->order_key = order_key;
	delivery->phase = PHASE_NEW;	/* not a transition: it is in no list yet */
	message->unfinished++;
	dlist_push_tail(&message->deliveries, &delivery->message_node);
	dlist_push_tail(&endpoint->queue.all, &delivery->all_node);
	endpoint->queue.in_memory++;
	delivery_count++;
	delivery_recheck(delivery);
	return delivery;
}

Delivery *
delivery_restore(Message *message, Endpoint *endpoint, int64 order_key, int attempts)
{
	Delivery   *delivery;

	Assert(message->window == NULL && message->unfinished == 0);
	Assert(!delivery_has_row(endpoint->id, message->id));
	delivery_note_row(endpoint->id, message->id);
	delivery = delivery_create(message, endpoint, order_key);
	delivery_bytes += delivery_own_size(delivery);
	delivery->row.exists = true;
	delivery->attempts = attempts;
	return delivery;
}

void
delivery_release_message(Message *message)
{
	Assert(message->unfinished > 0);
	if (--message->unfinished > 0)
		return;
	Assert(dlist_is_empty(&message->deliveries));
	if (message->window != NULL)
		cursor_finish(message);
	else
		pfree(message);
}

void
delivery_end_probe(Delivery *delivery)
{
	if (!delivery->probe)
		return;
	delivery->probe = false;
	delivery->endpoint->state.probing = false;
	probe_plan(delivery->endpoint);
}

void
delivery_forget(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	Assert(delivery->key == NULL);
	delivery_enter(delivery, PHASE_GONE);
	delivery_finished_id = Max(delivery_finished_id, delivery->message->id);
	if (delivery->row.exists)
		delivery_forget_row(endpoint->id, delivery->message->id);
	if (delivery->replayed && delivery->row.exists)
		replay_run_put_back(endpoint, delivery->message->id);
	else if (delivery->replayed)
		replay_run_finish(endpoint, delivery->message->id);
	if (delivery->row.last_error != NULL)
		pfree(delivery->row.last_error);
	prepare_forget(delivery);
	delivery_end_probe(delivery);
	dlist_delete(&delivery->all_node);
	dlist_delete(&delivery->message_node);
	Assert(endpoint->queue.in_memory > 0 && delivery_count > 0);
	endpoint->queue.in_memory--;
	delivery_count--;
	delivery_release_message(delivery->message);
	if (delivery->withheld != NULL)
		pfree(delivery->withheld);
	pfree(delivery);
}

void
delivery_detach(Delivery *delivery)
{
	Message    *message = delivery->message;

	delivery_bytes -= delivery_own_size(delivery);
	delivery->message = message_copy(message, delivery_context);
	delivery->message->read_at = message->read_at;
	delivery_bytes += delivery_own_size(delivery);
	delivery->message->unfinished = 1;
	dlist_delete(&delivery->message_node);
	dlist_push_tail(&delivery->message->deliveries, &delivery->message_node);
	delivery_release_message(message);
}

static void
delivery_recheck_endpoint(Endpoint *endpoint)
{
	dlist_iter	iter;

	dlist_foreach(iter, &endpoint->queue.all)
		delivery_recheck(dlist_container(Delivery, all_node, iter.cur));
}

void
delivery_check_access(void)
{
	endpoint_foreach(delivery_recheck_endpoint);
}

/* ---------- rows ---------- */

bool
delivery_has_row(int64 webhook_id, int64 id)
{
	DeliveryId	tag = {webhook_id, id};

	return hash_search(delivery_rows, &tag, HASH_FIND, NULL) != NULL;
}

void
delivery_note_row(int64 webhook_id, int64 id)
{
	DeliveryId	tag = {webhook_id, id};

	hash_search(delivery_rows, &tag, HASH_ENTER, NULL);
}

void
delivery_forget_row(int64 webhook_id, int64 id)
{
	DeliveryId	tag = {webhook_id, id};

	hash_search(delivery_rows, &tag, HASH_REMOVE, NULL);
}

/* ---------- counters ---------- */

int
delivery_in_memory(void)
{
	return delivery_count;
}

int
delivery_load(void)
{
	return delivery_count - delivery_slow_members;
}

Size
delivery_own_bytes(void)
{
	return delivery_bytes;
}

int64
delivery_last_finished(void)
{
	return delivery_finished_id;
}
