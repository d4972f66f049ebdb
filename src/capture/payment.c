/*-------------------------------------------------------------------------
 *
 * payment.c
 *		What payments mean for integrations, and the record of what those know.
 *
 * An event's override can say that becoming paid is not sent as an update, or
 * (only_paid) that unpaid entities do not exist for the integration.
 * pure/payment_rule.c decides what that makes of a change; this file collects
 * the facts and keeps the record.
 *
 * With only_paid an entity is created for its receivers by being paid.  Where
 * payment is a column, the old row and the new one say whether that happens.
 * Where it is an expression over other tables, they do not: those tables were
 * changed before, maybe in another transaction, maybe several times.  So what
 * receivers know is recorded in webhook.paid_entity, in the transaction that
 * sends it; its key makes concurrent payments wait for each other.  Both are
 * read with row_query_payment_snapshot(), which a REPEATABLE READ transaction
 * needs to see what others have committed.
 *
 * Other events, and tables with a column, never touch webhook.paid_entity.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/as_owner.h"
#include "capture/payment.h"
#include "pure/payment_rule.h"
#include "watch/entity.h"
#include "watch/row_query.h"

StaticAssertDecl((int) WATCH_CREATE == (int) PAYMENT_CREATE && (int) WATCH_UPDATE == (int) PAYMENT_UPDATE &&
				 (int) WATCH_DELETE == (int) PAYMENT_DELETE && (int) WATCH_NACTIONS == (int) PAYMENT_NOTHING,
				 "actions must have the same numbers in watch.h and payment_rule.h");

/* The fields that the record of payments depends on. */
#define PAYMENT_FIELDS \
	(WATCH_BIT(WATCH_ID) | WATCH_BIT(WATCH_EVENT_UID) | WATCH_BIT(WATCH_PROFILE) | WATCH_BIT(WATCH_PAID))


/* Run a command on webhook.paid_entity; NULL arguments are left out at the end.  False: no row was changed. */
static bool
payment_execute(const char *sql, int expected, const char *first, const char *second, const char *third)
{
	const char *const texts[] = {first, second, third};
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];
	int			nargs = 0;
	uint64		n;
	RunAs		state;

	for (; nargs < lengthof(texts) && texts[nargs] != NULL; nargs++)
		values[nargs] = CStringGetTextDatum(texts[nargs]);
	as_owner_begin(&state);
	n = as_owner_execute_snapshot(sql, expected, nargs, types, values, row_query_payment_snapshot());
	as_owner_end(&state);
	return n > 0;
}

/* Record that receivers know the entity.  False if it was recorded already. */
static bool
payment_remember(const WatchedTable *table, const WatchValues *values)
{
	return payment_execute("INSERT INTO webhook.paid_entity VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", SPI_OK_INSERT,
						   table->entity_type, values->text[WATCH_ID], values->text[WATCH_EVENT_UID]);
}

/* Receivers no longer know the entity.  False if there was no record. */
static bool
payment_forget(const WatchedTable *table, const WatchValues *values)
{
	return payment_execute("DELETE FROM webhook.paid_entity WHERE entity_type = $1 AND entity_id = $2", SPI_OK_DELETE,
						   table->entity_type, values->text[WATCH_ID], NULL);
}

/* Carry out what the plan says about the record.  True if the entity was recorded before. */
static bool
payment_update_record(const PaymentPlan *plan, const WatchedTable *table, const WatchValues *values)
{
	bool		recorded = false;

	if (values->text[WATCH_ID] == NULL)
		return false;
	if (plan->record & PAYMENT_FORGET)
		recorded = payment_forget(table, values);
	if (plan->record & PAYMENT_REMEMBER)
		recorded |= !payment_remember(table, values);
	return recorded;
}

/* Do unpaid entities not exist for the integration? */
static bool
payment_hides_unpaid(const ActiveIntegration *integration)
{
	return integration->overridden && integration->only_paid;
}

/* Does the change take the entity to another event or profile; and what applied there? */
static void
payment_set_move(Change *change, PaymentFacts *facts)
{
	const ActiveIntegration *now = &change->integration;
	const WatchValues *before = change_before(change, PAYMENT_FIELDS);
	ActiveIntegration then;

	facts->paid_before = before->is_true[WATCH_PAID];
	if (!change_alters_context(change))
		return;
	active_integration_lookup(before->text[WATCH_EVENT_UID], before->text[WATCH_PROFILE], &then);
	facts->hid_unpaid = payment_hides_unpaid(&then);
	facts->move = now->integration != NULL && then.integration != NULL &&
		strcmp(now->integration, then.integration) == 0 ? PAYMENT_MOVES_WITHIN : PAYMENT_MOVES_AWAY;
}

static PaymentFacts
payment_facts(Change *change)
{
	const WatchedTable *table = change->table;
	const ActiveIntegration *integration = &change->integration;
	const WatchValues *values = change_values(change, PAYMENT_FIELDS);
	PaymentFacts facts = {0};

	facts.action = (PaymentAction) change->action;
	facts.hides_unpaid = payment_hides_unpaid(integration);
	facts.ignores_payment = integration->overridden && !integration->only_paid && !integration->send_on_payment;
	facts.recorded = watch_is_expression(table, WATCH_PAID);
	facts.paid = values->is_true[WATCH_PAID];

	/*
	 * Without an id there can be no record, and without a record the receiver
	 * does not know it.
	 */
	if (facts.recorded && facts.hides_unpaid && values->text[WATCH_ID] == NULL)
		facts.paid = false;

	facts.notified = change->action == WATCH_UPDATE && change->old == NULL;
	if (change->action == WATCH_UPDATE && !facts.notified)
		payment_set_move(change, &facts);
	else if (change->action != WATCH_CREATE)
		facts.paid_before = facts.paid;
	return facts;
}

void
payment_decide(Change *change)
{
	const WatchedTable *table = change->table;
	const WatchValues *values = change_values(change, WATCH_BIT(WATCH_EVENT_UID) | WATCH_BIT(WATCH_PROFILE));
	PaymentFacts facts;
	PaymentPlan plan;
	bool		recorded = false;

	if (change->ruled)
		return;
	change->ruled = true;
	change->ruling = change->action;
	active_integration_lookup(values->text[WATCH_EVENT_UID], values->text[WATCH_PROFILE], &change->integration);
	if (!watch_has_field(table, WATCH_PAID) || !active_integration_overridden())
		return;

	facts = payment_facts(change);
	plan = payment_rule_plan(&facts);

	/* One webhook alone cannot make all receivers forget the entity. */
	if (change->only != 0)
		plan.record &= PAYMENT_REMEMBER;
	Assert(plan.record == 0 || facts.recorded);
	if (plan.record != 0)
		recorded = payment_update_record(&plan, table, values);
	change->nothing_but_payment = plan.nothing_but_payment;
	change->ruling = (WatchAction) payment_rule_action(&facts, &plan, recorded);
	if (change->only != 0 && !plan.shown)
		change->ruling = WATCH_NACTIONS;
}

static void
payment_remember_if_paid(WatchedTable *table, TupleTableSlot *slot, void *arg)
{
	WatchValues values = {0};

	evaluate_row(table, slot, InvalidCommandId, PAYMENT_FIELDS, &values);
	if (values.is_true[WATCH_PAID] && values.text[WATCH_ID] != NULL)
		(void) payment_remember(table, &values);
}

void
payment_begin_event(const char *event_uid)
{
	payment_end_event(event_uid);
	entity_visit_event(event_uid, payment_remember_if_paid, NULL);
}

void
payment_end_event(const char *event_uid)
{
	(void) payment_execute("DELETE FROM webhook.paid_entity WHERE event_uid = $1", SPI_OK_DELETE,
						   event_uid, NULL, NULL);
}

ArrayType *
payment_only_events(void)
{
	MemoryContext context = CurrentMemoryContext;
	ArrayType  *result = NULL;
	bool		isnull;
	Datum		uids;
	RunAs		state;

	as_owner_begin(&state);
	as_owner_execute("SELECT array_agg(event_uid) FROM webhook.event_override WHERE only_paid", SPI_OK_SELECT,
					 0, NULL, NULL, NULL);
	uids = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		result = DatumGetArrayTypePCopy(uids);
		MemoryContextSwitchTo(old);
	}
	as_owner_end(&state);
	return result;
}
