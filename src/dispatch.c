/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *		Deliveries in memory: how they get to be sent, and what became of them.
 *
 * A delivery is ready, waits behind another one with the same order key, or is
 * being sent.  When an endpoint may send is turns.c's business.
 *
 * An endpoint that wants to be asked first (handshake.h) is asked with the
 * first delivery that is ready for it; that one waits for the answer and is
 * then sent, and as long as there is none nothing else is.
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
#include "clock.h"
#include "cursor.h"
#include "dispatch.h"
#include "orderkey.h"
#include "prepare.h"
#include "record.h"
#include "request.h"
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

/* A rate limit may make up for so much time lost; the rest of its margin is for requests that take longer to arrive. */
#define RATE_CATCH_UP_US	5000

static Http *http;
static MemoryContext dispatch_context;
static dlist_head to_prepare = DLIST_STATIC_INIT(to_prepare);
static TimestampTz next_prepare = 0;	/* when there is something to do in it */
static int	in_memory = 0;
static Size own_bytes = 0;		/* of messages that the cursor does not hold */
static int64 last_dealt_with = 0;	/* greatest message id of which a delivery has been done or stored */


void
dispatch_init(Http *the_http)
{
	http = the_http;
	dispatch_context = AllocSetContextCreate(TopMemoryContext, "webhook deliveries",
											 ALLOCSET_DEFAULT_SIZES);
	endpoint_init();
	orderkey_init(dispatch_context);
	stored_init(dispatch_context);
}

/* ---------- ready deliveries ---------- */

static void
push_ready(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	delivery->waiting = false;
	delivery->preparing = !delivery->prepared && delivery->withheld == NULL && prepare_needed(endpoint);
	if (delivery->preparing)
	{
		dlist_push_tail(&to_prepare, &delivery->ready_node);
		next_prepare = Min(next_prepare, endpoint->prepare_after);
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

/* The key is free: it goes to the next in the queue, or to the next row in the table. */
static void
pass_on(OrderKey *key)
{
	key->holder = NULL;
	if (!dlist_is_empty(&key->queue))
	{
		key->holder = dlist_container(Delivery, key_node, dlist_pop_head_node(&key->queue));
		push_ready(key->holder);
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
			pass_on(delivery->key);
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
	push_ready(delivery);
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
	if (endpoint->backlog || endpoint->health.failing || orderkey_blocked(endpoint->id, order_key))
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

/*
 * A transform that takes long holds up everybody, so its endpoint then rests for a
 * multiple of that time, and the others go on.
 */
void
dispatch_prepare(void)
{
	TimestampTz start = clock_now();
	TimestampTz now = start;
	TimestampTz next = DT_NOEND;
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &to_prepare)
	{
		Delivery   *delivery = dlist_container(Delivery, ready_node, iter.cur);
		Endpoint   *endpoint = delivery->endpoint;
		TimestampTz before = now;

		if (TimestampDifferenceExceeds(start, now, PREPARE_MS))
		{
			next = now;
			break;
		}
		if (endpoint->prepare_after > now)
		{
			next = Min(next, endpoint->prepare_after);
			continue;
		}
		dlist_delete(&delivery->ready_node);
		delivery->preparing = false;
		if (delivery->withheld == NULL)
			prepare_delivery(delivery, dispatch_context);
		push_ready(delivery);
		now = clock_now();
		if (TimestampDifferenceExceeds(before, now, PREPARE_MS))
			endpoint->prepare_after = now + PREPARE_REST_FACTOR * (now - before);
	}
	next_prepare = next;
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

/* Take what is not being sent out of memory; it is written to the table. */
static void
put_aside(Endpoint *endpoint)
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
		put_aside(endpoint);
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
		put_aside(endpoint);	/* stored_save() drops it, or keeps it as a buffer */
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

/* ---------- results ---------- */

/* Those behind a delivery that has to be retried go to the table, or stay there. */
static void
store_queue(OrderKey *key)
{
	while (!dlist_is_empty(&key->queue))
	{
		Delivery   *behind = dlist_container(Delivery, key_node, dlist_pop_head_node(&key->queue));

		behind->waiting = false;
		behind->key = NULL;
		if (behind->stored)
			dispatch_forget(behind);
		else
			stored_write_later(behind, DELIVERY_WAITING, 0, NULL);
	}
}

static void
succeeded(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;
	OrderKey   *key = delivery->key;

	endpoint->proven = true;
	endpoint->probing = false;
	if (health_success(&endpoint->health))
	{
		/* What has waited is sent in order, with more and more requests at once. */
		stored_plan_probe(endpoint);
		stored_start_backlog(endpoint);
	}
	stored_done(delivery);
	dispatch_forget(delivery);
	if (key != NULL)
		pass_on(key);
}

/* What the health of the endpoint makes of a failure. */
static HealthAction
judge_failure(Delivery *delivery, TimestampTz now, const HttpResult *result, int64 *delay)
{
	Endpoint   *endpoint = delivery->endpoint;
	HealthFailure failure = {0};
	char		value[128];
	int			warn;
	HealthAction action;

	failure.now = now;
	failure.attempts = delivery->attempts;
	failure.probe = delivery->probe;
	failure.gone = result->status == 410;
	failure.handshake = delivery->handshake;
	if (!pg_strong_random(&failure.random, sizeof(failure.random)))
		failure.random = PG_UINT32_MAX / 2; /* the schedule as it stands */
	if (http_header(result, "Retry-After", value, sizeof(value)))
		failure.retry_after = Max(0, retry_parse_after(value, (int64) timestamptz_to_time_t(now)));

	/* What cannot be prepared is no fault of the receiver's: it has a schedule of its own. */
	if (delivery->prepare_error != NULL && !delivery->probe)
	{
		*delay = retry_delay(endpoint_schedule(endpoint), delivery->attempts, failure.random, 0);
		return *delay < 0 ? HEALTH_GIVE_UP : HEALTH_RETRY;
	}

	endpoint->proven = false;
	action = health_failure(&endpoint->health, endpoint_schedule(endpoint), &failure, delay, &warn);
	if (warn > 0)
	{
		endpoint->warning = warn;
		stored_tell(endpoint);
	}
	if (action == HEALTH_DEACTIVATE)
	{
		endpoint->deactivate = failure.gone ? "gone" : "failing";
		stored_tell(endpoint);
	}
	return action;
}

static void
failed(Delivery *delivery, TimestampTz now, const HttpResult *result)
{
	Endpoint   *endpoint = delivery->endpoint;
	OrderKey   *key = delivery->key;
	bool		was_failing = endpoint->health.failing;
	bool		was_probe = delivery->probe;
	int64		delay = 0;
	HealthAction action = judge_failure(delivery, now, result, &delay);

	delivery->key = NULL;
	delivery->probe = false;
	switch (action)
	{
		case HEALTH_RETRY:
			stored_write_later(delivery, DELIVERY_RETRYING, now + delay, result->error);
			if (key != NULL)
			{
				key->blocked = true;
				key->holder = NULL;
				store_queue(key);
			}
			return;

		case HEALTH_GIVE_UP:
			record_failed(endpoint);
			stored_write_later(delivery, DELIVERY_FAILED, 0, result->error);
			break;

		case HEALTH_WAIT:
		case HEALTH_DEACTIVATE:
			stored_write_later(delivery, DELIVERY_WAITING, 0, result->error);
			break;
	}
	if (key != NULL)
		pass_on(key);
	if (was_probe)
	{
		endpoint->probing = false;
		stored_plan_probe(endpoint);
	}
	if (action == HEALTH_WAIT && !was_failing)
	{
		put_aside(endpoint);
		stored_start_failing(endpoint);
	}
	else if (action == HEALTH_DEACTIVATE)
		put_aside(endpoint);
}

/* Its endpoint has agreed: may the delivery be sent still? */
static bool
may_go_on(const Delivery *delivery)
{
	const Endpoint *endpoint = delivery->endpoint;

	return endpoint->active && (delivery->probe || !endpoint->health.failing);
}

/* It is next: it has been prepared, and was the first before. */
static void
go_on(Delivery *delivery)
{
	stored_keep(delivery);
	push_ready(delivery);
	dlist_move_head(&delivery->endpoint->ready, &delivery->ready_node);
}

/* An attempt has ended, or could not even begin (request NULL). */
static void
attempt_ended(Delivery *delivery, const HttpResult *result, TimestampTz now)
{
	bool		test = payload_is_test(delivery->message);
	bool		agreed = result->outcome == HTTP_AGREED;

	/* A handshake is no attempt to deliver. */
	delivery->attempts += delivery->handshake ? 0 : 1;
	record_attempt(delivery, delivery->request, result, now, !test && !agreed);
	if (delivery->request != NULL)
		request_release(delivery->request);
	delivery->request = NULL;
	if (agreed && (test || may_go_on(delivery)))
		go_on(delivery);
	else if (test)
		dispatch_forget(delivery);
	else if (result->outcome == HTTP_DELIVERED)
		succeeded(delivery);
	else if (agreed || !delivery->endpoint->active)
	{
		/* Switched off, or found failing, while this was under way: nothing to judge any more. */
		OrderKey   *key = delivery->key;

		delivery->key = NULL;
		stored_write_later(delivery, DELIVERY_WAITING, 0, agreed ? NULL : result->error);
		if (key != NULL)
			pass_on(key);
	}
	else
		failed(delivery, now, result);
}

void
dispatch_results(TimestampTz now)
{
	HttpResult	result;

	while (http_result(http, &result))
	{
		Delivery   *delivery = result.owner;
		Endpoint   *endpoint = delivery->endpoint;

		turns_ended(delivery);
		if (delivery->handshake)
			endpoint_answered(endpoint, &result);
		attempt_ended(delivery, &result, now);
		http_release(http, result.transfer);
		turns_enter(endpoint);
	}
}

/* ---------- sending ---------- */

static void
could_not_send(Delivery *delivery, const char *error, TimestampTz now)
{
	HttpResult	result = {0};

	result.outcome = HTTP_INVALID;
	result.error = error;
	result.headers = result.body = "";
	delivery->handshake = false;	/* nobody has been asked; what is wrong is wrong with this delivery */
	attempt_ended(delivery, &result, now);
}

/* The transform wants this one not to be sent. */
static void
drop(Delivery *delivery)
{
	OrderKey   *key = delivery->key;

	record_dropped(delivery->endpoint);
	stored_done(delivery);
	dispatch_forget(delivery);
	if (key != NULL)
		pass_on(key);
}

/* It has failed without an attempt, and is no fault of the receiver's. */
static void
withhold(Delivery *delivery, TimestampTz now)
{
	OrderKey   *key = delivery->key;

	if (payload_is_test(delivery->message))
	{
		could_not_send(delivery, delivery->withheld, now);
		return;
	}
	delivery->key = NULL;
	record_failed(delivery->endpoint);
	stored_write_later(delivery, DELIVERY_FAILED, 0, delivery->withheld);
	if (key != NULL)
		pass_on(key);
}

/* The request that is next for a delivery: itself, or the question whether it is welcome. */
static Request *
build_request(Delivery *delivery, TimestampTz now)
{
	Endpoint   *endpoint = delivery->endpoint;
	Message		copy;

	if (!delivery->handshake)
		return request_build(endpoint, prepare_message(delivery, &copy), now);
	handshake_ask(&endpoint->handshake, endpoint->url, settings_request_origin());
	return request_build_handshake(endpoint, delivery->message);
}

/* Begin one attempt.  A request that cannot be built fails alone. */
static void
send_delivery(Delivery *delivery, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;
	char		error[256] = "";

	delivery->sent_at = now;
	if (delivery->withheld != NULL)
	{
		withhold(delivery, now);
		return;
	}
	if (delivery->dropped)
	{
		drop(delivery);
		return;
	}
	delivery->handshake = delivery->prepare_error == NULL && endpoint_must_ask(delivery->endpoint);
	if (delivery->prepare_error != NULL)
	{
		could_not_send(delivery, delivery->prepare_error, now);
		return;
	}
	PG_TRY();
	{
		delivery->request = build_request(delivery, now);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		strlcpy(error, edata->message, sizeof(error));

		/* Too large is the message, not what the webhook is configured to send. */
		if (edata->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			delivery->prepare_error = MemoryContextStrdup(dispatch_context, error);
	}
	PG_END_TRY();

	if (delivery->request != NULL)
	{
		delivery->request->http.owner = delivery;
		if (http_start(http, &delivery->request->http, error))
		{
			turns_begun(delivery);
			return;
		}
	}
	could_not_send(delivery, error, now);
}

void
dispatch_send(TimestampTz now)
{
	Endpoint   *endpoint;

	turns_wake(now);
	while ((endpoint = turns_next(now)) != NULL)
	{
		Delivery   *delivery = dlist_head_element(Delivery, ready_node, &endpoint->ready);

		/* Switched off or deleted while this turn was reading: the next one puts it aside. */
		if (!endpoint->exists || (!endpoint->active && !payload_is_test(delivery->message)))
			continue;
		dlist_delete(&delivery->ready_node);
		endpoint->nready--;
		if (endpoint->send_interval > 0 && delivery->withheld == NULL && !delivery->dropped)
			endpoint->next_send_at = Max(endpoint->next_send_at, now - RATE_CATCH_UP_US) +
				endpoint->send_interval;
		send_delivery(delivery, now);
		turns_enter(endpoint);
	}
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
