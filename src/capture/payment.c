/*-------------------------------------------------------------------------
 *
 * payment.c
 *		Entities whose payment their receivers have heard of.
 *
 * With only_paid an entity is created for its receivers by being paid.  Where
 * payment is a column, the old row and the new one say whether that happens.
 * Where it is an expression over other tables, they do not: those have been
 * changed before, maybe in another transaction, maybe several times.  So what
 * receivers know is written down in webhook.paid_entity, in the transaction
 * that tells it; its key makes concurrent payments wait for each other.
 * Both are read with evaluate_payment_snapshot(), which a REPEATABLE READ
 * transaction needs to see what others have committed.
 *
 * Other events, and tables with a column, never get here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/as_owner.h"
#include "capture/payment.h"
#include "watch/entity.h"
#include "watch/evaluate.h"

/* Run a command on webhook.paid_entity; NULL arguments are left out at the end. */
static bool
execute(const char *sql, int expected, const char *first, const char *second, const char *third)
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
	n = as_owner_execute_snapshot(sql, expected, nargs, types, values, evaluate_payment_snapshot());
	as_owner_end(&state);
	return n > 0;
}

/* False if it was known already. */
static bool
remember(const WatchedTable *table, const WatchValues *values)
{
	return execute("INSERT INTO webhook.paid_entity VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", SPI_OK_INSERT,
				   table->entity_type, values->text[WATCH_ID], values->text[WATCH_EVENT_UID]);
}

bool
payment_forget(const WatchedTable *table, const WatchValues *values)
{
	return values->text[WATCH_ID] != NULL &&
		execute("DELETE FROM webhook.paid_entity WHERE entity_type = $1 AND entity_id = $2", SPI_OK_DELETE,
				table->entity_type, values->text[WATCH_ID], NULL);
}

WatchAction
payment_action(const WatchedTable *table, WatchAction action, const WatchValues *values)
{
	if (values->text[WATCH_ID] == NULL)
		return WATCH_NACTIONS;
	if (action == WATCH_DELETE || !values->is_true[WATCH_PAID])
		return payment_forget(table, values) ? WATCH_DELETE : WATCH_NACTIONS;
	return remember(table, values) ? WATCH_CREATE : action;
}

static void
remember_if_paid(WatchedTable *table, TupleTableSlot *slot, void *arg)
{
	WatchValues values;

	evaluate_row(table, slot, InvalidCommandId, &values);
	if (values.is_true[WATCH_PAID] && values.text[WATCH_ID] != NULL)
		(void) remember(table, &values);
}

void
payment_begin_event(const char *event_uid)
{
	payment_end_event(event_uid);
	entity_visit_event(event_uid, remember_if_paid, NULL);
}

void
payment_end_event(const char *event_uid)
{
	(void) execute("DELETE FROM webhook.paid_entity WHERE event_uid = $1", SPI_OK_DELETE, event_uid, NULL, NULL);
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
