/*-------------------------------------------------------------------------
 *
 * result.c
 *		What follows from the result of an attempt.
 *
 * Whether the endpoint or the delivery is to blame for a failure is decided by
 * health.c.  attempt.c puts the decision into effect.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/result.h"

/* Nothing is learned about the endpoint. */
static ResultDecision
result_without_judgement(ResultDelivery delivery, ResultKey key)
{
	ResultDecision decision = {.delivery = delivery,.key = key};

	return decision;
}

static ResultDecision
result_of_success(Health *health)
{
	ResultDecision decision = {.delivery = RESULT_FINISH,.key = RESULT_PASS_KEY,.judged = true};

	decision.endpoint = health_success(health) ? RESULT_RECOVERED : RESULT_UNCHANGED;
	return decision;
}

/*
 * A receiver that refuses single messages works, so even 410 is about the
 * message; if it was failing, this was its probe.
 */
static ResultDecision
result_of_refusal(Health *health)
{
	ResultDecision decision = result_of_success(health);

	decision.delivery = RESULT_FAIL;
	return decision;
}

static ResultDecision
result_of_failure(Health *health, const RetrySchedule *schedule, const HealthFailure *failure)
{
	ResultDecision decision = {.judged = true};
	bool		was_failing = health->failing;

	switch (health_failure(health, schedule, failure, &decision.delay, &decision.warn))
	{
		case HEALTH_RETRY:
			decision.delivery = RESULT_RETRY;
			decision.key = RESULT_BLOCK_KEY;
			break;
		case HEALTH_GIVE_UP:
			decision.delivery = RESULT_FAIL;
			decision.key = RESULT_PASS_KEY;
			break;
		case HEALTH_WAIT:
			decision.delivery = RESULT_WAIT;
			decision.key = RESULT_PASS_KEY;
			decision.endpoint = was_failing ? RESULT_UNCHANGED : RESULT_FAILING;
			break;
		case HEALTH_DEACTIVATE:
			decision.delivery = RESULT_WAIT;
			decision.key = RESULT_PASS_KEY;
			decision.endpoint = RESULT_DEACTIVATE;
			break;
	}
	return decision;
}

/*
 * May the receiver accept some of the messages in a batch, or fewer of them?
 * Other answers are about the receiver itself.
 */
static bool
result_is_divisible(const AttemptResult *result)
{
	if (result->messages < 2)
		return false;
	if (result->final)
		return true;
	if (result->status < 400 || result->status > 499)
		return false;
	switch (result->status)
	{
		case 408:				/* timeout */
		case 410:				/* gone */
		case 425:				/* too early */
		case 429:				/* too many requests */
			return false;
		default:
			return true;
	}
}

/* A payload that cannot be prepared is not the receiver's fault: the delivery follows its own schedule. */
static ResultDecision
result_of_preparation(const RetrySchedule *schedule, const HealthFailure *failure)
{
	ResultDecision decision = {.delivery = RESULT_RETRY,.key = RESULT_BLOCK_KEY};

	decision.delay = retry_delay(schedule, failure->attempts, failure->random, 0);
	if (decision.delay < 0)
	{
		decision.delivery = RESULT_FAIL;
		decision.key = RESULT_PASS_KEY;
	}
	return decision;
}

bool
result_is_final(const FinalStatuses *final, int status)
{
	for (int i = 0; i < final->count; i++)
		if (final->statuses[i] == status)
			return true;
	return false;
}

ResultDecision
result_decide(Health *health, const RetrySchedule *schedule, const AttemptResult *result)
{
	if (result->agreed && (result->test || result->sendable))
		return result_without_judgement(RESULT_SEND, RESULT_KEEP_KEY);
	if (result->test)
		return result_without_judgement(RESULT_FINISH, RESULT_PASS_KEY);
	if (result->delivered)
		return result_of_success(health);

	/*
	 * Deactivated, or found failing, while it was in flight: nothing to judge
	 * any more.
	 */
	if (result->agreed || !result->active)
		return result_without_judgement(RESULT_WAIT, RESULT_PASS_KEY);
	if (result->no_proxy)
		return result_without_judgement(RESULT_RETRY, RESULT_BLOCK_KEY);
	if (result_is_divisible(result) && result->sendable)
		return result_without_judgement(RESULT_SPLIT, RESULT_KEEP_KEY);
	if (result->unprepared)
		return result_of_preparation(schedule, &result->failure);
	if (result->final)
		return result_of_refusal(health);
	return result_of_failure(health, schedule, &result->failure);
}
