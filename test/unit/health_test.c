/*-------------------------------------------------------------------------
 *
 * health_test.c
 *		W4, W5, M7: when an endpoint is failing, and when it is switched off.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/health.h"

#define SECOND	INT64_C(1000000)
#define MIDDLE	UINT32_C(0x80000000)	/* the random number that adds no
										 * jitter, nearly */

static RetrySchedule schedule;

static void
set_schedule(const char *text)
{
	const char *error;

	ok(retry_parse_schedule(text, &schedule, &error), "schedule \"%s\"", text);
}

static HealthFailure
failure_of(int attempts, bool probe)
{
	HealthFailure failure = {0};

	failure.now = 1000 * SECOND;
	failure.attempts = attempts;
	failure.probe = probe;
	failure.random = MIDDLE;
	return failure;
}

static HealthAction
fail(Health *health, int attempts, bool probe)
{
	HealthFailure failure = failure_of(attempts, probe);
	int64_t		delay = 0;
	int			warn;

	return health_failure(health, &schedule, &failure, &delay, &warn);
}

/* A message that one receiver dislikes, while others succeed. */
static void
test_disliked_message(void)
{
	Health		health = {0};

	set_schedule("0, 1s, 1s");
	for (int round = 0; round < 20; round++)
	{
		is_int(fail(&health, 1, false), HEALTH_RETRY, "W5: first attempt is retried");
		ok(!health_success(&health), "W5: another message succeeds, the endpoint was not failing");
		is_int(fail(&health, 2, false), HEALTH_RETRY, "W5: second attempt is retried");
		health_success(&health);
		is_int(fail(&health, 3, false), HEALTH_GIVE_UP, "W5: the message alone is given up");
		health_success(&health);
		ok(!health.failing && health.failures == 0, "W5: the endpoint is well");
	}
}

/* Nothing succeeds: one message is enough to find out. */
static void
test_single_message(void)
{
	Health		health = {0};

	set_schedule("0, 1s, 1s");
	is_int(fail(&health, 1, false), HEALTH_RETRY, "M7: first attempt");
	is_int(fail(&health, 2, false), HEALTH_RETRY, "M7: second attempt");
	is_int(fail(&health, 3, false), HEALTH_DEACTIVATE, "M7: the schedule is used up without a success");
}

static void
test_failing(void)
{
	Health		health = {0};

	set_schedule("0, 1s, 10s, 100s");
	for (int i = 1; i < HEALTH_FAILING_AFTER; i++)
		is_int(fail(&health, 1, false), HEALTH_RETRY, "W5: failure %d of different messages", i);
	is_int(fail(&health, 1, false), HEALTH_WAIT, "W5: one more and the endpoint is failing");
	ok(health.failing, "W5: failing");
	ok(health.next_probe_at >= 1000 * SECOND + SECOND * 8 / 10 &&
	   health.next_probe_at <= 1000 * SECOND + SECOND * 12 / 10, "W4: next probe after the second step");
	is_int(fail(&health, 1, false), HEALTH_WAIT, "W5: a request that was under way");
	is_int(health.probes, 1, "W5: is no probe");
	is_int(fail(&health, 2, true), HEALTH_WAIT, "W5: a probe fails");
	is_int(health.probes, 2, "W5: and is counted");
	ok(health_success(&health), "W5: a probe succeeds");
	ok(!health.failing && health.failing_since == 0 && health.next_probe_at == 0, "W5: well again");
	is_int(health.ramp, 2, "W5: with few requests at first");
	for (int i = 0; i < 12; i++)
		health_success(&health);
	is_int(health.ramp, 0, "W5: then without a bound");
}

static void
test_exhausted_by_probes(void)
{
	Health		health = {0};

	set_schedule("0, 1s, 10s, 100s");
	for (int i = 0; i < HEALTH_FAILING_AFTER; i++)
		fail(&health, 1, false);
	is_int(fail(&health, 2, true), HEALTH_WAIT, "M7: second attempt of the schedule");
	is_int(fail(&health, 3, true), HEALTH_WAIT, "M7: third");
	is_int(fail(&health, 4, true), HEALTH_DEACTIVATE, "M7: used up");
}

static void
test_gone(void)
{
	Health		health = {0};
	HealthFailure failure = failure_of(1, false);
	int64_t		delay;
	int			warn;

	set_schedule("0, 1s");
	failure.gone = true;
	is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_DEACTIVATE,
		   "W4: 410 switches off at once");
}

static void
test_warnings(void)
{
	Health		health = {0};
	int			warnings[11] = {0};

	set_schedule("0, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s");
	for (int attempt = 1; attempt <= 10; attempt++)
	{
		HealthFailure failure = failure_of(attempt, health.failing);
		int64_t		delay;

		health_failure(&health, &schedule, &failure, &delay, &warnings[attempt]);
	}
	for (int attempt = 1; attempt <= 10; attempt++)
		is_int(warnings[attempt], attempt == 5 ? 50 : attempt == 9 ? 90 : 0,
			   "M8: warning after attempt %d", attempt);
}

static void
test_retry_after(void)
{
	Health		health = {0};
	HealthFailure failure = failure_of(1, false);
	int64_t		delay = 0;
	int			warn;

	set_schedule("0, 1s");
	failure.retry_after = 3600 * SECOND;
	is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_RETRY, "W4: retried");
	ok(delay >= 3600 * SECOND, "W4: Retry-After is honoured in full");
}

/* An endpoint that does not agree to be sent anything. */
static void
test_handshake(void)
{
	Health		health = {0};
	HealthFailure failure = failure_of(9, false);
	int64_t		delay;
	int			warn;

	failure.handshake = true;
	set_schedule("0, 1s, 1s");
	is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_WAIT,
		   "W7: no delivery is given up for it, however often that has been tried");
	ok(health.failing, "W7: the endpoint is failing at once");
	is_int(health.probes, 1, "W7: its schedule begins");
	is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_WAIT, "W7: not a probe: it waits");
	is_int(health.probes, 1, "W7: and is not counted");
	failure.probe = true;
	is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_WAIT, "W7: asked on the schedule");
	is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_DEACTIVATE, "W7, M7: until it is used up");

	memset(&health, 0, sizeof(health));
	failure.probe = false;
	set_schedule("0");
	is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_DEACTIVATE,
		   "W7, M7: with a single attempt at once");
}

static void
test_refused_by_proxy(void)
{
	Health		health = {0};
	HealthFailure failure = failure_of(1, false);
	int64_t		delay;
	int			warn;

	failure.refused = true;
	set_schedule("0, 1s");
	is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_WAIT, "X7: what the proxy refuses waits");
	ok(health.failing && health.failures == 0, "X7: the endpoint is failing, without a failure");
	failure.probe = true;
	for (int i = 0; i < 10; i++)
		is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_WAIT, "X7: it is never deactivated for that");
	is_int(health.next_probe_at, failure.now + HEALTH_REFUSED_US, "X7: it is tried again after the same time");
	failure.refused = false;
	is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_WAIT, "X7: then the receiver fails: its schedule begins");
	is_int(health_failure(&health, &schedule, &failure, &delay, &warn), HEALTH_DEACTIVATE, "X7, M7: and ends");
}

int
main(void)
{
	test_disliked_message();
	test_single_message();
	test_failing();
	test_exhausted_by_probes();
	test_gone();
	test_warnings();
	test_retry_after();
	test_handshake();
	test_refused_by_proxy();
	return done();
}
