/*-------------------------------------------------------------------------
 *
 * payment_rule_test.c
 *		I12: what a change is for an integration that depends on payment.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/payment_rule.h"

#define CREATE	PAYMENT_CREATE
#define UPDATE	PAYMENT_UPDATE
#define DELETE	PAYMENT_DELETE
#define NOTHING PAYMENT_NOTHING

#define STAYS	PAYMENT_STAYS
#define WITHIN	PAYMENT_MOVES_WITHIN
#define AWAY	PAYMENT_MOVES_AWAY

#define FORGET	PAYMENT_FORGET
#define REMEMBER PAYMENT_REMEMBER
#define ANEW	(PAYMENT_FORGET | PAYMENT_REMEMBER)

/* What is sent where payment is a column: the two rows say everything. */
static const struct
{
	PaymentAction action;
	PaymentMove move;
	bool		hid;
	bool		hides;
	bool		paid_before;
	bool		paid;
	PaymentAction sent;
	const char *name;
}			columns[] = {
	{CREATE, STAYS, false, false, false, false, CREATE, "an unpaid entity is created"},
	{UPDATE, STAYS, false, false, false, true, UPDATE, "an entity is paid"},
	{DELETE, STAYS, false, false, false, false, DELETE, "an unpaid entity is deleted"},

	{CREATE, STAYS, false, true, false, false, NOTHING, "only_paid: an unpaid entity is created"},
	{CREATE, STAYS, false, true, false, true, CREATE, "only_paid: a paid entity is created"},
	{UPDATE, STAYS, false, true, false, false, NOTHING, "only_paid: an unpaid entity is updated"},
	{UPDATE, STAYS, false, true, false, true, CREATE, "only_paid: an entity is paid"},
	{UPDATE, STAYS, false, true, true, true, UPDATE, "only_paid: a paid entity is updated"},
	{UPDATE, STAYS, false, true, true, false, DELETE, "only_paid: a payment is refunded"},
	{DELETE, STAYS, false, true, false, false, NOTHING, "only_paid: an unpaid entity is deleted"},
	{DELETE, STAYS, false, true, true, true, DELETE, "only_paid: a paid entity is deleted"},

	{UPDATE, WITHIN, false, false, false, false, UPDATE, "within one integration, all is shown"},
	{UPDATE, WITHIN, false, true, false, false, DELETE, "within, to an event with only_paid, unpaid"},
	{UPDATE, WITHIN, false, true, false, true, UPDATE, "within, to an event with only_paid, paid by the move"},
	{UPDATE, WITHIN, false, true, true, true, UPDATE, "within, to an event with only_paid, paid"},
	{UPDATE, WITHIN, false, true, true, false, DELETE, "within, to an event with only_paid, refunded"},
	{UPDATE, WITHIN, true, false, false, false, CREATE, "within, from an event with only_paid, unpaid"},
	{UPDATE, WITHIN, true, false, true, true, UPDATE, "within, from an event with only_paid, paid"},
	{UPDATE, WITHIN, true, true, false, false, NOTHING, "within, both with only_paid, unpaid"},
	{UPDATE, WITHIN, true, true, false, true, CREATE, "within, both with only_paid, paid by the move"},
	{UPDATE, WITHIN, true, true, true, true, UPDATE, "within, both with only_paid, paid"},
	{UPDATE, WITHIN, true, true, true, false, DELETE, "within, both with only_paid, refunded"},

	{UPDATE, AWAY, false, false, false, false, UPDATE, "to another integration, all is shown"},
	{UPDATE, AWAY, false, true, false, false, NOTHING, "to another integration with only_paid, unpaid"},
	{UPDATE, AWAY, false, true, false, true, CREATE, "to another integration with only_paid, paid by the move"},
	{UPDATE, AWAY, true, false, false, false, UPDATE, "from an integration with only_paid to another one"},
	{UPDATE, AWAY, true, true, true, true, UPDATE, "between integrations with only_paid, paid"},
};

/* What is sent and recorded where payment is an expression. */
static const struct
{
	PaymentAction action;
	PaymentMove move;
	bool		hid;
	bool		hides;
	bool		paid;
	bool		had_record;
	unsigned	record;
	PaymentAction sent;
	const char *name;
}			expressions[] = {
	{UPDATE, STAYS, false, false, true, false, 0, UPDATE, "nothing is recorded without only_paid"},
	{CREATE, STAYS, false, true, true, false, REMEMBER, CREATE, "a paid entity is created"},
	{CREATE, STAYS, false, true, true, true, REMEMBER, CREATE, "one that is known is created again"},
	{CREATE, STAYS, false, true, false, false, FORGET, NOTHING, "an unpaid entity is created"},
	{CREATE, STAYS, false, true, false, true, FORGET, DELETE, "one that is known is created again, unpaid"},
	{UPDATE, STAYS, false, true, true, false, REMEMBER, CREATE, "a payment has arrived since"},
	{UPDATE, STAYS, false, true, true, true, REMEMBER, UPDATE, "a paid entity is updated"},
	{UPDATE, STAYS, false, true, false, true, FORGET, DELETE, "a payment has gone since"},
	{UPDATE, STAYS, false, true, false, false, FORGET, NOTHING, "an unpaid entity is updated"},
	{DELETE, STAYS, false, true, true, true, FORGET, DELETE, "a known entity is deleted"},
	{DELETE, STAYS, false, true, true, false, FORGET, NOTHING, "a paid entity is deleted that was never sent"},

	{UPDATE, WITHIN, false, false, false, false, 0, UPDATE, "within, all is shown"},
	{UPDATE, WITHIN, false, true, true, false, ANEW, UPDATE, "within, to an event with only_paid, paid"},
	{UPDATE, WITHIN, false, true, false, false, FORGET, DELETE, "within, to an event with only_paid, unpaid"},
	{UPDATE, WITHIN, true, false, false, true, FORGET, UPDATE, "within, from an event with only_paid, known"},
	{UPDATE, WITHIN, true, false, false, false, FORGET, CREATE, "within, from an event with only_paid, unknown"},
	{UPDATE, WITHIN, true, true, true, true, ANEW, UPDATE, "within, both with only_paid, known and paid"},
	{UPDATE, WITHIN, true, true, true, false, ANEW, CREATE, "within, both with only_paid, paid since"},
	{UPDATE, WITHIN, true, true, false, true, FORGET, DELETE, "within, both with only_paid, no longer paid"},
	{UPDATE, WITHIN, true, true, false, false, FORGET, NOTHING, "within, both with only_paid, unpaid"},

	{UPDATE, AWAY, false, true, true, false, REMEMBER, CREATE, "to another integration with only_paid, paid"},
	{UPDATE, AWAY, false, true, false, false, FORGET, NOTHING, "to another integration with only_paid, unpaid"},
	{UPDATE, AWAY, true, false, true, true, FORGET, UPDATE, "to another integration, all is shown"},
	{UPDATE, AWAY, true, true, true, true, ANEW, CREATE, "between integrations with only_paid"},
};

static void
test_columns(void)
{
	for (size_t i = 0; i < lengthof(columns); i++)
	{
		PaymentFacts facts = {
			.action = columns[i].action,.move = columns[i].move,
			.hid_unpaid = columns[i].hid,.hides_unpaid = columns[i].hides,
			.paid_before = columns[i].paid_before,.paid = columns[i].paid
		};
		PaymentPlan plan = payment_rule_plan(&facts);

		is_int(payment_rule_action(&facts, &plan, true), columns[i].sent, "I12: %s", columns[i].name);
		is_int(plan.record, 0, "I12: a column needs no record: %s", columns[i].name);
	}
}

static void
test_expressions(void)
{
	for (size_t i = 0; i < lengthof(expressions); i++)
	{
		PaymentFacts facts = {
			.action = expressions[i].action,.move = expressions[i].move,
			.hid_unpaid = expressions[i].hid,.hides_unpaid = expressions[i].hides,
			.paid = expressions[i].paid,.recorded = true
		};
		PaymentPlan plan = payment_rule_plan(&facts);

		is_int(payment_rule_action(&facts, &plan, expressions[i].had_record), expressions[i].sent,
			   "I12: expression: %s", expressions[i].name);
		is_int(plan.record, expressions[i].record, "I12: record: %s", expressions[i].name);
	}
}

/* Without send_on_payment, becoming paid is no change. */
static void
test_ignored_payment(void)
{
	PaymentFacts facts = {.action = UPDATE,.ignores_payment = true,.paid = true};
	PaymentPlan plan = payment_rule_plan(&facts);

	ok(plan.nothing_but_payment, "I12: the first payment alone is not sent");
	is_int(payment_rule_action(&facts, &plan, false), UPDATE, "I12: what else has changed is");
	facts.paid_before = true;
	ok(!payment_rule_plan(&facts).nothing_but_payment, "I12: an update of a paid entity is sent");
	facts.paid_before = false;
	facts.move = WITHIN;
	ok(!payment_rule_plan(&facts).nothing_but_payment, "I12: a move is more than a payment");
	facts.move = STAYS;
	facts.paid = false;
	ok(!payment_rule_plan(&facts).nothing_but_payment, "I12: an update of an unpaid entity is sent");
	facts.paid = true;
	facts.action = CREATE;
	ok(!payment_rule_plan(&facts).nothing_but_payment, "I12: a new entity is sent, paid or not");

	facts.action = UPDATE;
	facts.notified = true;
	plan = payment_rule_plan(&facts);
	is_int(payment_rule_action(&facts, &plan, false), NOTHING, "I12: notify_payment() says nothing else");
	facts.paid = false;
	plan = payment_rule_plan(&facts);
	is_int(payment_rule_action(&facts, &plan, false), UPDATE, "I12: a refund is sent");
}

/*
 * The promise itself: whatever happens, an integration is sent only what fits
 * what it knows.  Random lives of an entity whose payment is an expression and
 * comes and goes between the changes, in events of one integration.
 */
static void
test_lives(void)
{
	static const PaymentMove moves[] = {STAYS, WITHIN};
	int			wrong = 0;

	srand(1);
	for (int life = 0; life < 20000; life++)
	{
		bool		exists = false;
		bool		hides = rand() % 2;
		bool		record = false;
		bool		receiver = false;

		for (int step = 0; step < 12; step++)
		{
			PaymentFacts facts = {.recorded = true};
			PaymentPlan plan;
			bool		had_record;
			PaymentAction sent;

			facts.action = !exists ? CREATE : rand() % 4 ? UPDATE : DELETE;
			facts.move = facts.action == UPDATE ? moves[rand() % 2] : STAYS;
			facts.hid_unpaid = hides;
			if (facts.move == WITHIN)
				hides = rand() % 2;
			facts.hides_unpaid = hides;
			facts.paid = rand() % 2;
			plan = payment_rule_plan(&facts);
			had_record = record;
			if (plan.record & FORGET)
				record = false;
			if (plan.record & REMEMBER)
				record = true;
			sent = payment_rule_action(&facts, &plan, had_record);
			exists = facts.action != DELETE;

			wrong += (sent == CREATE) && receiver;
			wrong += (sent == UPDATE || sent == DELETE) && !receiver;
			if (sent != NOTHING)
				receiver = sent != DELETE;
			wrong += receiver != (exists && (!hides || facts.paid));
			wrong += record != (hides && receiver);
		}
	}
	is_int(wrong, 0, "I12: an integration knows what it should, in 20000 lives");
}

int
main(void)
{
	test_columns();
	test_expressions();
	test_ignored_payment();
	test_lives();
	return done();
}
