/*-------------------------------------------------------------------------
 *
 * authorize.c
 *		Endpoints to which access tokens are sent.
 *
 * An endpoint without a usable token requests one (token.c) and leaves the scheduler
 * until there is an answer.  If the request fails, the endpoint's first delivery fails
 * with its error.  That is treated like a failed handshake: it does not count as an
 * attempt, and the endpoint is failing until a probe obtains a token.
 *
 * A receiver may answer 401 because the token was revoked early.  Then a new token is
 * requested and the delivery is sent once more.  A receiver that rejects the new token,
 * too, cannot force another renewal for REFUSAL_REST_US, because the token may be shared.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "send/authorize.h"
#include "send/request.h"
#include "send/scheduler.h"
#include "send/token.h"

#define STATUS_UNAUTHORIZED		401

/* After a receiver has refused a new token. */
#define REFUSAL_REST_US			(10 * USECS_PER_MINUTE)

/* For authorize_wake_endpoint(). */
static const Token *authorize_answered;
static bool authorize_denied;


Authorization
authorize_endpoint(Endpoint *endpoint, TimestampTz now)
{
	Token	   *token = endpoint->config.token;
	bool		denied = endpoint->state.token_denied;

	endpoint->state.awaits_token = endpoint->state.token_denied = false;
	if (token == NULL)
		return AUTHORIZATION_READY;
	if (token_usable(token, now))
	{
		token_use(token);
		return AUTHORIZATION_READY;
	}
	if (denied || token_failed_lately(token, now))
		return AUTHORIZATION_DENIED;
	token_want(token);
	endpoint->state.awaits_token = true;
	return AUTHORIZATION_AWAITED;
}

static void
authorize_wake_endpoint(Endpoint *endpoint)
{
	if (!endpoint->state.awaits_token || endpoint->config.token != authorize_answered)
		return;
	endpoint->state.awaits_token = false;
	endpoint->state.token_denied = authorize_denied && endpoint->queue.nready > 0;
	scheduler_enter(endpoint);
}

/* Let all endpoints go on that have waited for this token. */
static void
authorize_wake(const Token *token, bool denied)
{
	authorize_answered = token;
	authorize_denied = denied;
	endpoint_foreach(authorize_wake_endpoint);
}

static void
authorize_granted(Token *token)
{
	authorize_wake(token, false);
}

static void
authorize_settle(Token *token, const HttpResult *result, TimestampTz now)
{
	TokenOutcome outcome = token_answered(token, result, now);

	scheduler_release_connection();
	if (outcome != TOKEN_GRANTED_UNSAVED)
		authorize_wake(token, outcome == TOKEN_DENIED);
}

void
authorize_start(Http *http, TimestampTz now)
{
	Token	   *token;
	char		error[256];

	token_find_due(now);
	while (scheduler_has_connection() && (token = token_next_request(error, sizeof(error))) != NULL)
	{
		HttpResult	result = {.outcome = HTTP_INVALID,.error = error,.headers = "",.body = ""};

		scheduler_reserve_connection();
		if (error[0] != '\0' || !http_start(http, token_request(token), error))
			authorize_settle(token, &result, now);
	}
}

bool
authorize_take_answer(const HttpResult *result, TimestampTz now)
{
	Token	   *token = token_of_request(result->owner);

	if (token == NULL)
		return false;
	authorize_settle(token, result, now);
	return true;
}

/* May this endpoint have the token replaced, or would another one not help? */
static bool
authorize_may_replace(const Endpoint *endpoint, TimestampTz now)
{
	TimestampTz refused_at = endpoint->state.token_refused_at;

	return refused_at == 0 || now < refused_at || now >= refused_at + REFUSAL_REST_US;
}

bool
authorize_again(const Delivery *delivery, const HttpResult *result, TimestampTz now)
{
	const Request *request = delivery->attempt.request;
	Endpoint   *endpoint = delivery->endpoint;
	Token	   *token = endpoint->config.token;

	if (result->status != STATUS_UNAUTHORIZED || token == NULL || request->token == 0)
		return false;
	if (delivery->authorized_again)
	{
		endpoint->state.token_refused_at = now;
		return false;
	}
	if (!token_is_current(token, request->token))
		return true;
	return authorize_may_replace(endpoint, now) && token_refused(token, now);
}

void
authorize_saved(void)
{
	token_saved(authorize_granted);
}
