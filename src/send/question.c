/*-------------------------------------------------------------------------
 *
 * question.c
 *		What an endpoint is asked before anything is sent there.
 *
 * A handshake (handshake.h), a challenge (challenge.h), or both, in this order.
 * Agreements are not stored: to ask again after a restart costs one request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/settings.h"
#include "send/question.h"


Question
question_next(const Endpoint *endpoint)
{
	if (endpoint->state.handshake.wanted &&
		handshake_needed(&endpoint->state.handshake, endpoint->config.url, settings_request_origin()))
		return QUESTION_HANDSHAKE;
	if (challenge_needed(&endpoint->state.challenge, endpoint->config.url))
		return QUESTION_CHALLENGE;
	return QUESTION_NONE;
}

void
question_note_asked(Endpoint *endpoint, Question question)
{
	unsigned char nonce[CHALLENGE_NONCE_BYTES];

	Assert(question == QUESTION_HANDSHAKE || question == QUESTION_CHALLENGE);
	if (question == QUESTION_HANDSHAKE)
	{
		handshake_ask(&endpoint->state.handshake, endpoint->config.url, settings_request_origin());
		return;
	}
	random_bytes(nonce, sizeof(nonce));
	challenge_ask(&endpoint->state.challenge, endpoint->config.url, nonce);
}

static bool
question_handshake_answered(Endpoint *endpoint, const HttpResult *result)
{
	char		origin[HANDSHAKE_MAX_ORIGIN + 1];
	char		rate[32];

	if (!handshake_answer(&endpoint->state.handshake,
						  http_header(result, "WebHook-Allowed-Origin", origin, sizeof(origin)) ? origin : NULL,
						  http_header(result, "WebHook-Allowed-Rate", rate, sizeof(rate)) ? rate : NULL,
						  clock_now()))
		return false;
	endpoint_set_pace(endpoint);
	return true;
}

static bool
question_challenge_answered(Endpoint *endpoint, const HttpResult *result)
{
	return challenge_answer(&endpoint->state.challenge, result->body, result->body_len, clock_now());
}

void
question_take_answer(Endpoint *endpoint, Question question, HttpResult *result)
{
	bool		handshake = question == QUESTION_HANDSHAKE;
	bool		agreed;

	Assert(question == QUESTION_HANDSHAKE || question == QUESTION_CHALLENGE);
	if (result->outcome != HTTP_DELIVERED)
	{
		if (handshake)
			handshake_failed(&endpoint->state.handshake, result->error);
		else
			challenge_failed(&endpoint->state.challenge, result->error);
	}
	else
	{
		agreed = handshake ? question_handshake_answered(endpoint, result) : question_challenge_answered(endpoint, result);
		result->outcome = agreed ? HTTP_AGREED : HTTP_NOT_AGREED;
	}
	if (result->outcome != HTTP_AGREED)
		result->error = handshake ? endpoint->state.handshake.problem : endpoint->state.challenge.problem;
}

TimestampTz
question_agreed_at(const Endpoint *endpoint)
{
	const Handshake *handshake = &endpoint->state.handshake;
	const Challenge *challenge = &endpoint->state.challenge;

	if ((handshake->wanted && !handshake->agreed) || (challenge->wanted && !challenge->agreed))
		return 0;
	return Max(handshake->wanted ? handshake->agreed_at : 0, challenge->wanted ? challenge->agreed_at : 0);
}
