/*-------------------------------------------------------------------------
 *
 * attempt.c
 *		Attempts to deliver: start requests, and act on their results.
 *
 * attempt_send() takes endpoints from the scheduler in turn, builds a request for the
 * first ready delivery, or for a batch, and passes it to libcurl.  attempt_results()
 * takes what has finished.  result.c decides what follows for the delivery, its order
 * key and its endpoint; that is put into effect here.
 *
 * Both run between transactions.  What must be stored is listed (spill.c) and written
 * with the next one, together with the position.  If the process dies before that,
 * the attempt is made again.
 *
 * An endpoint with a handshake (handshake.h) is asked for permission when its
 * first delivery is ready.  That delivery waits for the answer and is then
 * sent; until there is one, nothing else is sent to the endpoint.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pure/result.h"
#include "pure/retry.h"
#include "send/attempt.h"
#include "send/attempt_log.h"
#include "send/authorize.h"
#include "send/batch.h"
#include "send/dead_letter.h"
#include "send/deactivation.h"
#include "send/egress.h"
#include "send/order_key.h"
#include "send/prepare.h"
#include "send/probe.h"
#include "send/queue.h"
#include "send/recall.h"
#include "send/request.h"
#include "send/scheduler.h"
#include "send/spill.h"
#include "send/token.h"

#define STATUS_GONE			410
#define STATUS_TOO_LARGE	413

static Http *attempt_http;
static MemoryContext attempt_context;


void
attempt_init(Http *the_http, MemoryContext context)
{
	attempt_http = the_http;
	attempt_context = context;
}

/* ---------- results ---------- */

/* The delay that the receiver asks for, in microseconds; 0 if none. */
static int64
attempt_wanted_delay(const HttpResult *result, TimestampTz now)
{
	char		value[128];

	if (!http_header(result, "Retry-After", value, sizeof(value)))
		return 0;
	return Max(0, retry_parse_after(value, (int64) timestamptz_to_time_t(now)));
}

static AttemptResult
attempt_describe(const Delivery *delivery, const HttpResult *result, TimestampTz now)
{
	const Endpoint *endpoint = delivery->endpoint;
	const Request *request = delivery->attempt.request;
	AttemptResult described = {0};

	described.delivered = result->outcome == HTTP_DELIVERED;
	described.agreed = result->outcome == HTTP_AGREED || delivery->attempt.again;
	described.test = message_is_test(delivery->message);
	described.unprepared = delivery->prepared.error != NULL && !delivery->probe;
	described.active = endpoint->config.active;
	described.messages = request != NULL ? request->ndeliveries : 1;
	described.status = result->status;
	described.sendable = endpoint_is_sendable(endpoint) && (delivery->probe || !endpoint->state.health.failing);
	if (described.delivered || described.agreed)
		return described;
	described.no_proxy = result->outcome == HTTP_PROXY && result->proxy_fault == HTTP_PROXY_DOWN;
	described.failure.refused = result->outcome == HTTP_PROXY;
	described.failure.now = now;
	described.failure.attempts = delivery->attempts + 1;
	described.failure.probe = delivery->probe;
	described.failure.gone = result->status == STATUS_GONE && delivery->attempt.question != QUESTION_TOKEN;
	described.failure.handshake = delivery->attempt.question != QUESTION_NONE;
	described.final = delivery->attempt.question == QUESTION_NONE &&
		result_is_final(&endpoint->config.no_retry, result->status);
	if (!pg_strong_random(&described.failure.random, sizeof(described.failure.random)))
		described.failure.random = PG_UINT32_MAX / 2;	/* no jitter */
	described.failure.retry_after = attempt_wanted_delay(result, now);
	return described;
}

/* A delivery that must be retried blocks its key until then: later ones with that key are stored, too. */
static void
attempt_block_key(Delivery *delivery)
{
	OrderKey   *key = delivery->key;

	delivery->key = NULL;
	if (key == NULL)
		return;
	Assert(key->holder == delivery);
	key->blocked = true;
	key->holder = NULL;
	spill_put_key_aside(key);
}

static void
attempt_settle_delivery(Delivery *delivery, const ResultDecision *decision, const HttpResult *result, TimestampTz now)
{
	/* The answer to a handshake is not an error. */
	const char *error = result->outcome == HTTP_AGREED || delivery->attempt.again ? NULL : result->error;

	if (decision->key == RESULT_BLOCK_KEY)
		attempt_block_key(delivery);
	switch (decision->delivery)
	{
		case RESULT_SEND:
			spill_cancel_write(delivery);
			queue_ready_first(delivery);
			return;
		case RESULT_SPLIT:
			pg_unreachable();
		case RESULT_FINISH:
			spill_finish(delivery);
			return;
		case RESULT_RETRY:
			if (delivery->attempt.follows)
				spill_write_later(delivery, DELIVERY_WAITING, 0, error);
			else
				spill_write_later(delivery, DELIVERY_RETRYING, now + decision->delay, error);
			break;
		case RESULT_FAIL:
			attempt_log_count_failed(delivery->endpoint);
			dead_letter_note(delivery, result, now);
			spill_write_later(delivery, DELIVERY_FAILED, 0, error);
			break;
		case RESULT_WAIT:
			spill_write_later(delivery, DELIVERY_WAITING, 0, error);
			break;
	}
	delivery_end_probe(delivery);
}

static void
attempt_settle_endpoint(Endpoint *endpoint, ResultEndpoint result)
{
	switch (result)
	{
		case RESULT_UNCHANGED:
			break;
		case RESULT_RECOVERED:

			/*
			 * What has waited is sent in order, with more and more requests
			 * at once.
			 */
			probe_plan(endpoint);
			recall_start_backlog(endpoint, 0);
			break;
		case RESULT_FAILING:
			spill_put_aside(endpoint);
			spill_start_failing(endpoint);
			break;
		case RESULT_DEACTIVATE:
			spill_put_aside(endpoint);
			break;
	}
}

/* Settle all deliveries of the request, or the one that has no request. */
static void
attempt_settle_deliveries(Delivery *delivery, const ResultDecision *decision, const HttpResult *result, TimestampTz now)
{
	Request    *request = delivery->attempt.request;
	Delivery  **deliveries = request != NULL ? request->deliveries : &delivery;
	int			n = request != NULL ? request->ndeliveries : 1;
	bool		again = delivery->attempt.again;

	for (int i = 0; i < n; i++)
	{
		deliveries[i]->attempt.request = NULL;
		deliveries[i]->authorized_again = again;
	}
	if (decision->delivery == RESULT_SPLIT)
		batch_split(request, result->status == STATUS_TOO_LARGE);
	else if (decision->delivery == RESULT_SEND && n > 1)
		batch_send_again(request);
	else
		for (int i = 0; i < n; i++)
		{
			/*
			 * Handshakes, and requests that the proxy did not forward, do not
			 * count as attempts.
			 */
			if (deliveries[i]->attempt.question == QUESTION_NONE && !again && result->outcome != HTTP_PROXY)
				deliveries[i]->attempts++;
			attempt_settle_delivery(deliveries[i], decision, result, now);
		}
	if (request != NULL)
		request_release(request);
}

/* An attempt has ended, or could not even begin (without a request). */
static void
attempt_end(Delivery *delivery, const HttpResult *result, TimestampTz now)
{
	Endpoint   *endpoint = delivery->endpoint;
	AttemptResult described = attempt_describe(delivery, result, now);
	ResultDecision decision;
	bool		was_failing = endpoint->state.health.failing;

	attempt_log_attempt(delivery, delivery->attempt.request, result, now, !described.test && !described.agreed);
	decision = result_decide(&endpoint->state.health, endpoint_schedule(endpoint), &described);
	if (decision.judged)
		endpoint->state.proven = described.delivered;
	if (described.delivered)
		endpoint_batch_accepted(endpoint, described.messages);
	if (decision.warn > 0)
		deactivation_warn(endpoint, decision.warn);
	if (delivery->attempt.question == QUESTION_TOKEN && !was_failing && endpoint->state.health.failing)
		deactivation_report_token(endpoint, result->error);
	if (described.failure.refused && decision.endpoint == RESULT_FAILING)
		deactivation_warn_of_refusal(endpoint);
	if (decision.endpoint == RESULT_DEACTIVATE)
		deactivation_plan(endpoint, described.failure.gone ? "gone" : "failing", delivery->attempt.configured_at);
	attempt_settle_deliveries(delivery, &decision, result, now);
	attempt_settle_endpoint(endpoint, decision.endpoint);
}

/* Show in the log that the receiver has asked for a longer delay than is granted. */
static void
attempt_note_long_wait(HttpResult *result, TimestampTz now)
{
	if (result->outcome != HTTP_DELIVERED &&
		attempt_wanted_delay(result, now) >= (int64) RETRY_MAX_AFTER_SECONDS * USECS_PER_SEC)
		result->error = psprintf("%s, Retry-After counts as %d hours", result->error, RETRY_MAX_AFTER_SECONDS / 3600);
}

/* Store the deliveries of an endpoint that must wait for the proxy. */
static void
attempt_put_held_aside(Endpoint *endpoint)
{
	if (!egress_holds(endpoint))
		return;
	spill_to_backlog(endpoint);

	/* A token is requested again when the proxy works. */
	if (endpoint->queue.nready == 0)
		endpoint->state.token_denied = false;
}

static void
attempt_answered(Delivery *delivery, HttpResult *result, TimestampTz now)
{
	Endpoint   *endpoint = delivery->endpoint;

	delivery->attempt.again = authorize_again(delivery, result, now);
	if (delivery->attempt.again)
	{
		result->outcome = HTTP_OAUTH;
		result->error = "receiver rejected the access token; retrying with a new one";
	}
	else if (delivery->attempt.question != QUESTION_NONE)
		question_take_answer(endpoint, delivery->attempt.question, result);
	attempt_note_long_wait(result, now);
	attempt_end(delivery, result, now);
	scheduler_enter(endpoint);
}

/* Take the result of a delivery's request, or of one for an access token. */
static void
attempt_take_result(HttpResult *result, TimestampTz now)
{
	bool		proxy_failed = egress_note(result, now);

	if (!authorize_take_answer(result, now))
		attempt_answered(result->owner, result, now);
	if (proxy_failed)
		endpoint_foreach(attempt_put_held_aside);
}

void
attempt_results(TimestampTz now)
{
	HttpResult	result;

	Assert(!IsTransactionState());
	while (http_result(attempt_http, &result))
	{
		if (result.owner != NULL)
			attempt_take_result(&result, now);
		else if (egress_probed(&result))
			recall_reset_due();
		http_release(result.transfer);
	}
}

/* ---------- sending ---------- */

static void
attempt_request_failed(Delivery *delivery, const char *error, TimestampTz now)
{
	HttpResult	result = {0};

	result.outcome = HTTP_INVALID;
	result.error = error;
	result.headers = result.body = result.detail.address = result.detail.version = "";
	delivery->attempt.question = QUESTION_NONE; /* the fault is this
												 * delivery's */
	attempt_end(delivery, &result, now);
}

/* Fail a delivery without an attempt; the endpoint's health is unaffected. */
static void
attempt_withhold(Delivery *delivery, const char *reason, TimestampTz now)
{
	if (message_is_test(delivery->message))
	{
		attempt_request_failed(delivery, reason, now);
		return;
	}
	attempt_log_count_failed(delivery->endpoint);
	spill_write_later(delivery, DELIVERY_FAILED, 0, reason);
	delivery_end_probe(delivery);
}

/* Fail a delivery that can never be sent to this webhook as it is configured. */
static void
attempt_refuse(Delivery *delivery, const char *reason, TimestampTz now)
{
	HttpResult	result = {.outcome = HTTP_INVALID,.error = reason,.headers = "",.body = "",
	.detail = {.address = "",.version = ""}};

	if (!message_is_test(delivery->message))
	{
		attempt_log_attempt(delivery, NULL, &result, now, true);
		delivery->attempts++;
		dead_letter_note(delivery, &result, now);
	}
	attempt_withhold(delivery, reason, now);
}

/* The next request: a question, or a delivery with others of its batch. */
static Request *
attempt_build_request(Delivery *delivery, Batch *batch, TimestampTz now)
{
	Endpoint   *endpoint = delivery->endpoint;

	batch_choose(batch, delivery);
	if (delivery->attempt.question == QUESTION_NONE)
		return request_build(endpoint, &batch->content, now);
	question_note_asked(endpoint, delivery->attempt.question);
	return request_build_question(endpoint, delivery->attempt.question, delivery->message, now);
}

static void
attempt_start(const Batch *batch, Request *request, TimestampTz now)
{
	Delivery   *owner = batch->deliveries[0];
	char		error[256] = "";

	batch_start(batch, request, now);
	if (http_start(attempt_http, &request->http, error))
		scheduler_charge(owner->endpoint, now);
	else
		attempt_request_failed(owner, error, now);
}

/*
 * Begin one attempt.  If its request cannot be built, only this delivery fails.
 * If another one in its batch is the reason, that is sent, and fails, by itself
 * later.
 */
static void
attempt_send_delivery(Delivery *delivery, TimestampTz now)
{
	MemoryContext caller_context = CurrentMemoryContext;
	char		error[256] = "";
	const char *volatile refusal = NULL;
	Request    *volatile request = NULL;
	Delivery   *volatile culprit = delivery;
	Batch		batch = {.content.current = -1};

	Assert(delivery->attempt.request == NULL);
	delivery->attempt.again = false;
	delivery->attempt.sent_at = now;
	delivery->attempt.configured_at = delivery->endpoint->config.updated_at;
	if (delivery->withheld != NULL || delivery->prepared.result == PREPARATION_HOLD)
	{
		attempt_withhold(delivery, delivery->withheld ? delivery->withheld : delivery->prepared.faults, now);
		return;
	}
	if (delivery->prepared.result == PREPARATION_DROP)
	{
		spill_drop(delivery);
		return;
	}
	delivery->attempt.question = delivery->prepared.error == NULL ? question_next(delivery->endpoint) : QUESTION_NONE;
	if (delivery->prepared.error != NULL)
	{
		attempt_request_failed(delivery, delivery->prepared.error, now);
		return;
	}
	PG_TRY();
	{
		refusal = request_check_message(delivery->endpoint, delivery->message);
		if (refusal == NULL)
			request = attempt_build_request(delivery, &batch, now);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(caller_context);
		edata = CopyErrorData();
		FlushErrorState();
		strlcpy(error, edata->message, sizeof(error));
		if (batch.content.current >= 0)
			culprit = batch.deliveries[batch.content.current];

		/*
		 * The message is too large; the webhook's configuration is not at
		 * fault.
		 */
		if (culprit == delivery && edata->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			prepare_set_error(delivery, error, attempt_context);
	}
	PG_END_TRY();

	if (refusal != NULL)
	{
		delivery->attempt.question = QUESTION_NONE;
		attempt_refuse(delivery, refusal, now);
		return;
	}
	if (request != NULL)
		attempt_start(&batch, request, now);
	else if (culprit == delivery)
		attempt_request_failed(delivery, error, now);
	else
		culprit->batch_max = 1;
}

/* There is no access token: the delivery fails as if it had asked for one itself. */
static void
attempt_denied(Delivery *delivery, TimestampTz now)
{
	HttpResult	result;

	token_failure(delivery->endpoint->config.token, &result);
	delivery->attempt.again = false;
	delivery->attempt.sent_at = now;
	delivery->attempt.configured_at = delivery->endpoint->config.updated_at;
	delivery->attempt.question = QUESTION_TOKEN;
	attempt_end(delivery, &result, now);
}

/* Send the next delivery of this endpoint, or whatever must precede it. */
static void
attempt_send_next(Endpoint *endpoint, Delivery *delivery, TimestampTz now)
{
	Authorization authorization = authorize_endpoint(endpoint, now);

	if (authorization == AUTHORIZATION_AWAITED)
		return;
	if (authorization == AUTHORIZATION_READY)
		attempt_send_delivery(delivery, now);
	else
		attempt_denied(delivery, now);
	scheduler_enter(endpoint);
}

void
attempt_send(TimestampTz now)
{
	Endpoint   *endpoint;

	Assert(!IsTransactionState());
	egress_probe(now);

	/* Tokens first: deliveries may take all connections. */
	authorize_start(attempt_http, now);
	scheduler_wake(now);
	while ((endpoint = scheduler_next(now)) != NULL)
	{
		Delivery   *delivery = dlist_head_element(Delivery, phase_node, &endpoint->queue.ready);

		/*
		 * Deactivated or deleted during this turn: the next one puts it
		 * aside.
		 */
		if (!endpoint->config.exists || (!endpoint_is_sendable(endpoint) && !message_is_test(delivery->message)))
			continue;
		attempt_send_next(endpoint, delivery, now);
	}
	authorize_start(attempt_http, now);
}
