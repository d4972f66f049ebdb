/*-------------------------------------------------------------------------
 *
 * payment_rule.c
 *		What a change is for an integration that depends on payment.
 *
 * An integration with only_paid must never receive anything about an entity
 * that it does not know: the entity is created for it by being paid, and
 * deleted by no longer being paid.  Everything follows from two questions, does
 * the integration know the entity, and should it from now on?
 *
 *		known	shown
 *		yes		yes		what happened to the row
 *		yes		no		delete
 *		no		yes		create
 *		no		no		nothing
 *
 * payment_rule_table answers them.  Where payment is a column, the old row says
 * whether the entity was known; where it is an expression, only a record of
 * what was sent does.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/payment_rule.h"

/* How to find out whether the integration knows the entity. */
typedef enum PaymentKnown
{
	KNOWN_BY_ACTION,			/* unless the row is created */
	KNOWN_IF_PAID,				/* if it was paid before */
	KNOWN_IF_ANNOUNCED			/* if there is a record of it; for a column,
								 * if it was paid before */
} PaymentKnown;

typedef enum PaymentShown
{
	SHOWN_BY_ACTION,			/* unless the row is deleted */
	SHOWN_IF_PAID
} PaymentShown;

typedef enum PaymentRecord
{
	RECORD_KEEP,
	RECORD_SHOWN,				/* remember the entity if it is shown, else
								 * forget it */
	RECORD_FORGET,
	RECORD_ANEW					/* forget the entity, then remember it if it
								 * is shown */
} PaymentRecord;

typedef struct PaymentRule
{
	PaymentKnown known;
	PaymentShown shown;
	PaymentRecord record;
} PaymentRule;

/* By the move, and whether unpaid entities were hidden before it and are hidden now. */
static const PaymentRule payment_rule_table[3][2][2] = {
	[PAYMENT_STAYS] = {
		[false] = {
			[false] = {KNOWN_BY_ACTION, SHOWN_BY_ACTION, RECORD_KEEP},
			[true] = {KNOWN_IF_ANNOUNCED, SHOWN_IF_PAID, RECORD_SHOWN},
		},
		[true] = {				/* there is no rule before but the one now */
			[false] = {KNOWN_BY_ACTION, SHOWN_BY_ACTION, RECORD_KEEP},
			[true] = {KNOWN_IF_ANNOUNCED, SHOWN_IF_PAID, RECORD_SHOWN},
		},
	},
	[PAYMENT_MOVES_WITHIN] = {
		[false] = {
			[false] = {KNOWN_BY_ACTION, SHOWN_BY_ACTION, RECORD_KEEP},
			[true] = {KNOWN_BY_ACTION, SHOWN_IF_PAID, RECORD_ANEW},
		},
		[true] = {
			[false] = {KNOWN_IF_ANNOUNCED, SHOWN_BY_ACTION, RECORD_FORGET},
			[true] = {KNOWN_IF_ANNOUNCED, SHOWN_IF_PAID, RECORD_ANEW},
		},
	},
	[PAYMENT_MOVES_AWAY] = {	/* a record is of what the other integration
								 * knows */
		[false] = {
			[false] = {KNOWN_BY_ACTION, SHOWN_BY_ACTION, RECORD_KEEP},
			[true] = {KNOWN_IF_PAID, SHOWN_IF_PAID, RECORD_SHOWN},
		},
		[true] = {
			[false] = {KNOWN_BY_ACTION, SHOWN_BY_ACTION, RECORD_FORGET},
			[true] = {KNOWN_IF_PAID, SHOWN_IF_PAID, RECORD_ANEW},
		},
	},
};


static unsigned
payment_rule_record(PaymentRecord record, bool shown)
{
	switch (record)
	{
		case RECORD_SHOWN:
			return shown ? PAYMENT_REMEMBER : PAYMENT_FORGET;
		case RECORD_FORGET:
			return PAYMENT_FORGET;
		case RECORD_ANEW:
			return shown ? PAYMENT_FORGET | PAYMENT_REMEMBER : PAYMENT_FORGET;
		case RECORD_KEEP:
			break;
	}
	return 0;
}

PaymentPlan
payment_rule_plan(const PaymentFacts *facts)
{
	const PaymentRule *rule = &payment_rule_table[facts->move][facts->hid_unpaid][facts->hides_unpaid];
	PaymentPlan plan = {0};

	/*
	 * Nothing but payment can have changed, so the rest need not be compared.
	 */
	if (facts->notified && facts->ignores_payment && facts->paid)
		return plan;

	plan.nothing_but_payment = facts->ignores_payment && facts->move == PAYMENT_STAYS &&
		facts->action == PAYMENT_UPDATE && !facts->paid_before && facts->paid;
	plan.shown = facts->action != PAYMENT_DELETE && (rule->shown == SHOWN_BY_ACTION || facts->paid);
	if (rule->known == KNOWN_BY_ACTION)
		plan.known = facts->action != PAYMENT_CREATE;
	else if (rule->known == KNOWN_IF_ANNOUNCED && facts->recorded)
		plan.known_if_recorded = true;
	else
		plan.known = facts->paid_before;
	if (facts->recorded)
		plan.record = payment_rule_record(rule->record, plan.shown);
	return plan;
}

PaymentAction
payment_rule_action(const PaymentFacts *facts, const PaymentPlan *plan, bool had_record)
{
	bool		known = plan->known || (plan->known_if_recorded && had_record);

	if (known)
		return plan->shown ? facts->action : PAYMENT_DELETE;
	return plan->shown ? PAYMENT_CREATE : PAYMENT_NOTHING;
}
