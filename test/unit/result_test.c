/*-------------------------------------------------------------------------
 *
 * result_test.c
 *		W4, W5, M7, X10: what follows from the result of an attempt.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/result.h"

#define SECOND		INT64_C(1000000)
#define MIDDLE		UINT32_C(0x80000000)	/* the random number that adds no
											 * jitter, nearly */
#define FAILING		{.failures = 5, .failing = true, .probes = 1, .ramp = 1}

/* One line of the table: a state of the endpoint, a result, and what follows. */
typedef struct Case
{
	const char *name;
	Health		health;
	AttemptResult result;
	ResultDelivery delivery;
	ResultKey	key;
	ResultEndpoint endpoint;
	bool		judged;
} Case;

static const Case cases[] = {
	{"W5: success", {0}, {.delivered = true,.active = true,.sendable = true},
	RESULT_FINISH, RESULT_PASS_KEY, RESULT_UNCHANGED, true},
	{"W5: success of a probe", FAILING, {.delivered = true,.active = true,.sendable = true,.failure.probe = true},
	RESULT_FINISH, RESULT_PASS_KEY, RESULT_RECOVERED, true},
	{"W5: success after deactivation", {0}, {.delivered = true},
	RESULT_FINISH, RESULT_PASS_KEY, RESULT_UNCHANGED, true},

	{"W5: first failure", {0}, {.active = true,.sendable = true,.failure.attempts = 1},
	RESULT_RETRY, RESULT_BLOCK_KEY, RESULT_UNCHANGED, true},
	{"W4: schedule used up, others succeed", {.failures = 1}, {.active = true,.sendable = true,.failure.attempts = 4},
	RESULT_FAIL, RESULT_PASS_KEY, RESULT_UNCHANGED, true},
	{"M7: schedule used up, nothing succeeds", {.failures = 3}, {.active = true,.sendable = true,.failure.attempts = 4},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_DEACTIVATE, true},
	{"W5: fifth failure in a row", {.failures = 4}, {.active = true,.sendable = true,.failure.attempts = 1},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_FAILING, true},
	{"W5: failure of a probe", FAILING, {.active = true,.sendable = true,.failure.attempts = 1,.failure.probe = true},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_UNCHANGED, true},
	{"W5: failure of what was in flight when it began to fail", FAILING, {.active = true,.failure.attempts = 1},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_UNCHANGED, true},
	{"M7: 410", {0}, {.active = true,.sendable = true,.failure.attempts = 1,.failure.gone = true},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_DEACTIVATE, true},
	{"W5: failure after deactivation", {0}, {.failure.attempts = 1},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_UNCHANGED, false},

	{"X10: final status", {.failures = 3}, {.active = true,.sendable = true,.final = true,.failure.attempts = 1},
	RESULT_FAIL, RESULT_PASS_KEY, RESULT_UNCHANGED, true},
	{"X10: final status, schedule used up, nothing succeeds", {.failures = 3},
	{.active = true,.sendable = true,.final = true,.failure.attempts = 4},
	RESULT_FAIL, RESULT_PASS_KEY, RESULT_UNCHANGED, true},
	{"X10: final 410", {0}, {.active = true,.sendable = true,.final = true,.failure.attempts = 1,.failure.gone = true},
	RESULT_FAIL, RESULT_PASS_KEY, RESULT_UNCHANGED, true},
	{"X10: final status for a probe", FAILING,
		{.active = true,.sendable = true,.final = true,.failure.attempts = 1,.failure.probe = true},
	RESULT_FAIL, RESULT_PASS_KEY, RESULT_RECOVERED, true},
	{"X10: final status for a batch", {0},
	{.active = true,.sendable = true,.final = true,.messages = 2,.status = 500,.failure.attempts = 1},
	RESULT_SPLIT, RESULT_KEEP_KEY, RESULT_UNCHANGED, false},
	{"X10: final status after deactivation", {0}, {.final = true,.failure.attempts = 1},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_UNCHANGED, false},
	{"X10: final status for a test call", {0}, {.test = true,.active = true,.final = true,.failure.attempts = 1},
	RESULT_FINISH, RESULT_PASS_KEY, RESULT_UNCHANGED, false},

	{"I17: payload cannot be prepared", {0}, {.active = true,.sendable = true,.unprepared = true,.failure.attempts = 1},
	RESULT_RETRY, RESULT_BLOCK_KEY, RESULT_UNCHANGED, false},
	{"I17: payload cannot be prepared, schedule used up", {.failures = 9},
	{.active = true,.sendable = true,.unprepared = true,.failure.attempts = 4},
	RESULT_FAIL, RESULT_PASS_KEY, RESULT_UNCHANGED, false},

	{"W7: handshake succeeds", {0}, {.agreed = true,.active = true,.sendable = true},
	RESULT_SEND, RESULT_KEEP_KEY, RESULT_UNCHANGED, false},
	{"W7: handshake succeeds after deactivation", {0}, {.agreed = true},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_UNCHANGED, false},
	{"W7: handshake succeeds, endpoint found failing", FAILING, {.agreed = true,.active = true},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_UNCHANGED, false},
	{"W7: handshake fails", {0}, {.active = true,.sendable = true,.failure.attempts = 0,.failure.handshake = true},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_FAILING, true},

	{"X5: a batch is refused", {0},
	{.active = true,.sendable = true,.messages = 2,.status = 422,.failure.attempts = 1},
	RESULT_SPLIT, RESULT_KEEP_KEY, RESULT_UNCHANGED, false},
	{"X5: a batch is too large", {.failures = 4},
	{.active = true,.sendable = true,.messages = 100,.status = 413,.failure.attempts = 1},
	RESULT_SPLIT, RESULT_KEEP_KEY, RESULT_UNCHANGED, false},
	{"X5: a batch of one is refused", {0},
	{.active = true,.sendable = true,.messages = 1,.status = 422,.failure.attempts = 1},
	RESULT_RETRY, RESULT_BLOCK_KEY, RESULT_UNCHANGED, true},
	{"X5: a batch comes too often", {0},
	{.active = true,.sendable = true,.messages = 2,.status = 429,.failure.attempts = 1},
	RESULT_RETRY, RESULT_BLOCK_KEY, RESULT_UNCHANGED, true},
	{"X5: a batch meets an error of the server", {0},
	{.active = true,.sendable = true,.messages = 2,.status = 500,.failure.attempts = 1},
	RESULT_RETRY, RESULT_BLOCK_KEY, RESULT_UNCHANGED, true},
	{"X5, M7: a batch meets a receiver that is gone", {0},
	{.active = true,.sendable = true,.messages = 2,.status = 410,.failure.attempts = 1,.failure.gone = true},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_DEACTIVATE, true},
	{"X5, W5: a batch is refused, endpoint found failing", FAILING,
		{.active = true,.messages = 2,.status = 422,.failure.attempts = 1},
	RESULT_WAIT, RESULT_PASS_KEY, RESULT_UNCHANGED, true},

	{"E6: test call succeeds", {0}, {.delivered = true,.test = true},
	RESULT_FINISH, RESULT_PASS_KEY, RESULT_UNCHANGED, false},
	{"E6: test call fails", {.failures = 4}, {.test = true,.active = true,.failure.attempts = 1},
	RESULT_FINISH, RESULT_PASS_KEY, RESULT_UNCHANGED, false},
	{"E6: handshake of a test call", {0}, {.agreed = true,.test = true},
	RESULT_SEND, RESULT_KEEP_KEY, RESULT_UNCHANGED, false},
};

static const FinalStatuses none = {0};
static const FinalStatuses one = {.count = 1,.statuses = {400, 422}};
static const FinalStatuses two = {.count = 2,.statuses = {400, 422}};

int
main(void)
{
	RetrySchedule schedule;
	const char *error;

	ok(retry_parse_schedule("1s, 2s, 3s", &schedule, &error), "schedule");
	for (size_t i = 0; i < lengthof(cases); i++)
	{
		const Case *c = &cases[i];
		Health		health = c->health;
		AttemptResult result = c->result;
		ResultDecision decision;

		result.failure.now = 1000 * SECOND;
		result.failure.random = MIDDLE;
		decision = result_decide(&health, &schedule, &result);
		is_int(decision.delivery, c->delivery, "%s: delivery", c->name);
		is_int(decision.key, c->key, "%s: order key", c->name);
		is_int(decision.endpoint, c->endpoint, "%s: endpoint", c->name);
		is_int(decision.judged, c->judged, "%s: judged", c->name);
		if (decision.delivery == RESULT_RETRY)
			ok(decision.delay > 0, "%s: after a delay", c->name);
		if (!decision.judged)
			ok(memcmp(&health, &c->health, sizeof(health)) == 0, "%s: health unchanged", c->name);
	}
	ok(!result_is_final(&none, 0), "X10: no status is final");
	ok(result_is_final(&two, 422), "X10: one of two");
	ok(!result_is_final(&two, 500), "X10: none of two");
	ok(!result_is_final(&one, 422), "X10: not beyond the count");
	return done();
}
