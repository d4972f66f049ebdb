/*-------------------------------------------------------------------------
 *
 * payment_rule.h
 *		What a change is for an integration that depends on payment.
 *
 * Pure: no backend state.  The caller collects the facts, asks for the plan,
 * carries out what it says about the record of paid entities, and asks for the
 * action.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PAYMENT_RULE_H
#define WEBHOOK_PAYMENT_RULE_H

#include <stdbool.h>

typedef enum PaymentAction
{
	PAYMENT_CREATE,
	PAYMENT_UPDATE,
	PAYMENT_DELETE,
	PAYMENT_NOTHING
} PaymentAction;

/* Does an update take the entity to another event or profile? */
typedef enum PaymentMove
{
	PAYMENT_STAYS,
	PAYMENT_MOVES_WITHIN,		/* of the same integration */
	PAYMENT_MOVES_AWAY			/* to another integration, or from none or to
								 * none */
} PaymentMove;

typedef struct PaymentFacts
{
	PaymentAction action;		/* what happens to the row */
	bool		notified;		/* nothing: notify_payment() was called, which
								 * counts as an update */
	PaymentMove move;
	bool		hides_unpaid;	/* unpaid entities do not exist for the
								 * integration */
	bool		hid_unpaid;		/* the same before the move */
	bool		ignores_payment;	/* becoming paid is not a change for the
									 * integration */
	bool		paid_before;
	bool		paid;
	bool		recorded;		/* payment is an expression, so that known
								 * entities are recorded */
} PaymentFacts;

/* What to do with the record of an entity, in this order. */
#define PAYMENT_FORGET		1
#define PAYMENT_REMEMBER	2

typedef struct PaymentPlan
{
	bool		known;			/* the integration knows the entity from
								 * before */
	bool		known_if_recorded;	/* or it does if there is a record */
	bool		shown;			/* the entity exists for it from now on */
	unsigned	record;			/* PAYMENT_FORGET and PAYMENT_REMEMBER, if
								 * payment is recorded */
	bool		nothing_but_payment;	/* skip the change if nothing else has
										 * changed */
} PaymentPlan;

extern PaymentPlan payment_rule_plan(const PaymentFacts *facts);

/*
 * The action that brings an integration from what it knows to what it should
 * know.  had_record tells whether the first step of plan->record found one.
 */
extern PaymentAction payment_rule_action(const PaymentFacts *facts, const PaymentPlan *plan, bool had_record);

#endif							/* WEBHOOK_PAYMENT_RULE_H */
