/*-------------------------------------------------------------------------
 *
 * health.c
 *		The health of an endpoint: well, failing, or deactivated.
 *
 *		   a success                                      probe failed
 *		  +---------+                                     +---------+
 *		  |         v     HEALTH_FAILING_AFTER            v         |
 *		  +------- well -- failures in a row ------> failing -------+
 *		            ^         or one handshake          |    |
 *		            +-------- probe succeeded ----------+    | schedule used up
 *		            |                                        v
 *		            |     410, or a delivery's schedule     off
 *		            |     used up without a success in       |
 *		            |     between (from "well")  ----------->|
 *		            +--- activate_webhook(), reactivate() ---+
 *
 * While an endpoint is well, each failed delivery follows its own schedule, and may
 * fail permanently without affecting others.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/health.h"

/* Which warning does this many attempts of the schedule call for? */
static int
health_warning_level(int attempts, const RetrySchedule *schedule)
{
	int			percent = attempts * 100 / schedule->count;

	return percent >= 90 ? 90 : percent >= 50 ? 50 : 0;
}

static int
health_warning(Health *health, int attempts, const RetrySchedule *schedule)
{
	int			level = health_warning_level(attempts, schedule);

	if (level <= health->warned)
		return 0;
	health->warned = level;
	return level;
}

/* Nothing has succeeded since the first of these attempts. */
static bool
health_all_failed(const Health *health, int attempts)
{
	return health->failures >= attempts;
}

static void
health_start_failing(Health *health, int probes)
{
	health->failing = true;
	health->ramp = 1;
	health->probes = probes;
}

/* It is tried as long as it takes: whether the proxy connects to it is not in the receiver's hands. */
static HealthAction
health_refused(Health *health, const HealthFailure *failure)
{
	if (health->failing_since == 0)
		health->failing_since = failure->now;
	if (!health->failing)
		health_start_failing(health, 0);
	else if (!failure->probe)
		return HEALTH_WAIT;
	health->next_probe_at = failure->now + HEALTH_REFUSED_US;
	return HEALTH_WAIT;
}

HealthAction
health_failure(Health *health, const RetrySchedule *schedule, const HealthFailure *failure,
			   int64_t *delay, int *warn)
{
	*warn = 0;
	if (failure->refused)
		return health_refused(health, failure);
	health->failures++;
	if (health->failing_since == 0)
		health->failing_since = failure->now;
	if (failure->gone)
		return HEALTH_DEACTIVATE;

	if (health->failing)
	{
		/*
		 * Requests that were in flight when it began to fail do not count as
		 * probes.
		 */
		if (!failure->probe)
			return HEALTH_WAIT;
		health->probes++;
	}
	else if (failure->handshake)
		health_start_failing(health, 1);
	else
	{
		*delay = retry_delay(schedule, failure->attempts, failure->random, failure->retry_after);
		if (*delay < 0)
			return health_all_failed(health, failure->attempts) && health->failures >= HEALTH_MIN_FAILURES ?
				HEALTH_DEACTIVATE : HEALTH_GIVE_UP;
		if (health->failures < HEALTH_FAILING_AFTER)
		{
			if (health_all_failed(health, failure->attempts))
				*warn = health_warning(health, failure->attempts, schedule);
			return HEALTH_RETRY;
		}
		health_start_failing(health, failure->attempts);
	}

	*delay = retry_delay(schedule, health->probes, failure->random, failure->retry_after);
	if (*delay < 0)
		return HEALTH_DEACTIVATE;
	health->next_probe_at = failure->now + *delay;
	*warn = health_warning(health, health->probes, schedule);
	return HEALTH_WAIT;
}

bool
health_success(Health *health)
{
	bool		was_failing = health->failing;

	health->failures = 0;
	health->failing_since = 0;
	health->failing = false;
	health->probes = 0;
	health->next_probe_at = 0;
	health->warned = 0;
	if (health->ramp > 0 && health->ramp < 1024)
		health->ramp *= 2;
	else
		health->ramp = 0;
	return was_failing;
}
