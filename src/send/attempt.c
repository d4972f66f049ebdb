/*-------------------------------------------------------------------------
 *
 * attempt.c
 *		One attempt to deliver: how it begins, and what became of it.
 *
 * What came of an attempt is judged by health.c; here it is carried out.
 *
 * An endpoint that wants to be asked first (handshake.h) is asked with the
 * first delivery that is ready for it; that one waits for the answer and is
 * then sent, and as long as there is none nothing else is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "pure/retry.h"
#include "send/attempt.h"
#include "send/attempt_log.h"
#include "send/deactivation.h"
#include "send/order_key.h"
#include "send/prepare.h"
#include "send/probe.h"
#include "send/queue.h"
#include "send/request.h"
#include "send/scheduler.h"
#include "send/spill.h"

/* A rate limit may make up for so much time lost; the rest of its margin is for requests that take longer to arrive. */
#define RATE_CATCH_UP_US	5000

static Http *http;
static MemoryContext context;


void
attempt_init(Http *the_http, MemoryContext dispatch_context)
{
	http = the_http;
	context = dispatch_context;
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
			queue_forget(behind);
		else
			spill_write_later(behind, DELIVERY_WAITING, 0, NULL);
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
		probe_plan(endpoint);
		spill_start_backlog(endpoint);
	}
	spill_done(delivery);
	queue_forget(delivery);
	if (key != NULL)
		queue_pass_on(key);
}

/* The delay that the receiver asks for, microseconds; 0 if it does not. */
static int64
wanted_delay(const HttpResult *result, TimestampTz now)
{
	char		value[128];

	if (!http_header(result, "Retry-After", value, sizeof(value)))
		return 0;
	return Max(0, retry_parse_after(value, (int64) timestamptz_to_time_t(now)));
}

/* What the health of the endpoint makes of a failure. */
static HealthAction
judge_failure(Delivery *delivery, TimestampTz now, const HttpResult *result, int64 *delay)
{
	Endpoint   *endpoint = delivery->endpoint;
	HealthFailure failure = {0};
	int			warn;
	HealthAction action;

	failure.now = now;
	failure.attempts = delivery->attempts;
	failure.probe = delivery->probe;
	failure.gone = result->status == 410;
	failure.handshake = delivery->handshake;
	if (!pg_strong_random(&failure.random, sizeof(failure.random)))
		failure.random = PG_UINT32_MAX / 2; /* the schedule as it stands */
	failure.retry_after = wanted_delay(result, now);

	/* What cannot be prepared is no fault of the receiver's: it has a schedule of its own. */
	if (delivery->prepare_error != NULL && !delivery->probe)
	{
		*delay = retry_delay(endpoint_schedule(endpoint), delivery->attempts, failure.random, 0);
		return *delay < 0 ? HEALTH_GIVE_UP : HEALTH_RETRY;
	}

	endpoint->proven = false;
	action = health_failure(&endpoint->health, endpoint_schedule(endpoint), &failure, delay, &warn);
	if (warn > 0)
		deactivation_warn(endpoint, warn);
	if (action == HEALTH_DEACTIVATE)
		deactivation_switch_off(endpoint, failure.gone ? "gone" : "failing", delivery->configured_at);
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
			spill_write_later(delivery, DELIVERY_RETRYING, now + delay, result->error);
			if (key != NULL)
			{
				key->blocked = true;
				key->holder = NULL;
				store_queue(key);
			}
			return;

		case HEALTH_GIVE_UP:
			attempt_log_failed(endpoint);
			spill_write_later(delivery, DELIVERY_FAILED, 0, result->error);
			break;

		case HEALTH_WAIT:
		case HEALTH_DEACTIVATE:
			spill_write_later(delivery, DELIVERY_WAITING, 0, result->error);
			break;
	}
	if (key != NULL)
		queue_pass_on(key);
	if (was_probe)
	{
		endpoint->probing = false;
		probe_plan(endpoint);
	}
	if (action == HEALTH_WAIT && !was_failing)
	{
		spill_put_aside(endpoint);
		spill_start_failing(endpoint);
	}
	else if (action == HEALTH_DEACTIVATE)
		spill_put_aside(endpoint);
}

/* Is it switched on, and not about to be switched off? */
static bool
may_be_sent_to(const Endpoint *endpoint)
{
	return endpoint->active && endpoint->deactivate == NULL;
}

/* Its endpoint has agreed: may the delivery be sent still? */
static bool
may_go_on(const Delivery *delivery)
{
	const Endpoint *endpoint = delivery->endpoint;

	return may_be_sent_to(endpoint) && (delivery->probe || !endpoint->health.failing);
}

/* It is next: it has been prepared, and was the first before. */
static void
go_on(Delivery *delivery)
{
	spill_keep(delivery);
	queue_ready(delivery);
	dlist_move_head(&delivery->endpoint->ready, &delivery->ready_node);
}

/* An attempt has ended, or could not even begin (request NULL). */
static void
ended(Delivery *delivery, const HttpResult *result, TimestampTz now)
{
	bool		test = message_is_test(delivery->message);
	bool		agreed = result->outcome == HTTP_AGREED;

	/* A handshake is no attempt to deliver. */
	delivery->attempts += delivery->handshake ? 0 : 1;
	attempt_log_attempt(delivery, delivery->request, result, now, !test && !agreed);
	if (delivery->request != NULL)
		request_release(delivery->request);
	delivery->request = NULL;
	if (agreed && (test || may_go_on(delivery)))
		go_on(delivery);
	else if (test)
		queue_forget(delivery);
	else if (result->outcome == HTTP_DELIVERED)
		succeeded(delivery);
	else if (agreed || !delivery->endpoint->active)
	{
		/* Switched off, or found failing, while this was under way: nothing to judge any more. */
		OrderKey   *key = delivery->key;

		delivery->key = NULL;
		spill_write_later(delivery, DELIVERY_WAITING, 0, agreed ? NULL : result->error);
		if (key != NULL)
			queue_pass_on(key);
	}
	else
		failed(delivery, now, result);
}

/* The log says that the receiver has asked for more than it gets. */
static void
note_long_wait(HttpResult *result, TimestampTz now)
{
	if (result->outcome != HTTP_DELIVERED &&
		wanted_delay(result, now) >= (int64) RETRY_MAX_AFTER_SECONDS * USECS_PER_SEC)
		result->error = psprintf("%s, Retry-After counts as %d hours", result->error, RETRY_MAX_AFTER_SECONDS / 3600);
}

void
attempt_results(TimestampTz now)
{
	HttpResult	result;

	while (http_result(http, &result))
	{
		Delivery   *delivery = result.owner;
		Endpoint   *endpoint = delivery->endpoint;

		scheduler_ended(delivery);
		if (delivery->handshake)
			endpoint_answered(endpoint, &result);
		note_long_wait(&result, now);
		ended(delivery, &result, now);
		http_release(http, result.transfer);
		scheduler_enter(endpoint);
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
	ended(delivery, &result, now);
}

/* The transform wants this one not to be sent. */
static void
drop(Delivery *delivery)
{
	OrderKey   *key = delivery->key;

	attempt_log_dropped(delivery->endpoint);
	spill_done(delivery);
	queue_forget(delivery);
	if (key != NULL)
		queue_pass_on(key);
}

/* It has failed without an attempt, and is no fault of the receiver's. */
static void
withhold(Delivery *delivery, const char *reason, TimestampTz now)
{
	OrderKey   *key = delivery->key;
	bool		was_probe = delivery->probe;

	if (message_is_test(delivery->message))
	{
		could_not_send(delivery, reason, now);
		return;
	}
	delivery->key = NULL;
	delivery->probe = false;
	attempt_log_failed(delivery->endpoint);
	spill_write_later(delivery, DELIVERY_FAILED, 0, reason);
	if (key != NULL)
		queue_pass_on(key);
	if (was_probe)
	{
		/* It has told nothing about the receiver. */
		delivery->endpoint->probing = false;
		probe_plan(delivery->endpoint);
	}
}

/* It cannot be sent to this webhook as it is configured, now or later. */
static void
refuse(Delivery *delivery, const char *reason, TimestampTz now)
{
	HttpResult	result = {.outcome = HTTP_INVALID, .error = reason, .headers = "", .body = ""};

	if (!message_is_test(delivery->message))
	{
		delivery->attempts++;
		attempt_log_attempt(delivery, NULL, &result, now, true);
	}
	withhold(delivery, reason, now);
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
	MemoryContext caller_context = CurrentMemoryContext;
	char		error[256] = "";
	const char *volatile refusal = NULL;

	delivery->sent_at = now;
	delivery->configured_at = delivery->endpoint->updated_at;
	if (delivery->withheld != NULL || delivery->held)
	{
		withhold(delivery, delivery->withheld ? delivery->withheld : delivery->faults, now);
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
		refusal = request_check_message(delivery->endpoint, delivery->message);
		if (refusal == NULL)
			delivery->request = build_request(delivery, now);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(caller_context);
		edata = CopyErrorData();
		FlushErrorState();
		strlcpy(error, edata->message, sizeof(error));

		/* Too large is the message, not what the webhook is configured to send. */
		if (edata->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			delivery->prepare_error = MemoryContextStrdup(context, error);
	}
	PG_END_TRY();

	if (refusal != NULL)
	{
		delivery->handshake = false;
		refuse(delivery, refusal, now);
		return;
	}
	if (delivery->request != NULL)
	{
		delivery->request->http.owner = delivery;
		if (http_start(http, &delivery->request->http, error))
		{
			scheduler_begun(delivery);
			return;
		}
	}
	could_not_send(delivery, error, now);
}

void
attempt_send(TimestampTz now)
{
	Endpoint   *endpoint;

	scheduler_wake(now);
	while ((endpoint = scheduler_next(now)) != NULL)
	{
		Delivery   *delivery = dlist_head_element(Delivery, ready_node, &endpoint->ready);

		/* Switched off or deleted while this turn was reading: the next one puts it aside. */
		if (!endpoint->exists || (!may_be_sent_to(endpoint) && !message_is_test(delivery->message)))
			continue;
		dlist_delete(&delivery->ready_node);
		endpoint->nready--;
		if (endpoint->send_interval > 0 && delivery->withheld == NULL && !delivery->held && !delivery->dropped)
			endpoint->next_send_at = Max(endpoint->next_send_at, now - RATE_CATCH_UP_US) +
				endpoint->send_interval;
		send_delivery(delivery, now);
		scheduler_enter(endpoint);
	}
}
