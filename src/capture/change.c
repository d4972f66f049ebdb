/*-------------------------------------------------------------------------
 *
 * change.c
 *		One change of one row, and what the table's settings say of it.
 *
 * Deciding what an update means takes both rows: whether the id, the event or
 * the payment has changed, and whether the row has begun to count as deleted.
 * Each row is evaluated at most once for that, and the old one only if needed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/change.h"


const WatchValues *
change_values(Change *change)
{
	if (!change->values_known)
	{
		bool		deleted = change->action == WATCH_DELETE;

		Assert(deleted ? change->new == NULL : change->new != NULL);
		evaluate_row(change->table, deleted ? change->old : change->new,
					 deleted ? change->past : InvalidCommandId, &change->values);
		change->values_known = true;
	}
	return &change->values;
}

const WatchValues *
change_before(Change *change)
{
	Assert(change->old != NULL && change->new != NULL);
	if (!change->before_known)
	{
		evaluate_row(change->table, change->old, InvalidCommandId, &change->before);

		/* Evaluating may capture other changes, but never this one. */
		Assert(!change->before_known);
		change->before_known = true;
	}
	return &change->before;
}

bool
change_in_columns(const Change *change, const AttrNumber *columns, int ncolumns)
{
	for (int i = 0; i < ncolumns; i++)
		if (evaluate_column_changed(change->old, change->new, columns[i]))
			return true;
	return false;
}

bool
change_is_visible(const Change *change)
{
	if (change->action != WATCH_UPDATE)
		return true;
	slot_getallattrs(change->old);
	slot_getallattrs(change->new);
	return change_in_columns(change, change->table->compare, change->table->ncompare);
}

/* Do the rows differ in any column, after change_is_visible()? */
static bool
change_in_any_column(const Change *change)
{
	TupleDesc	desc = change->new->tts_tupleDescriptor;

	for (int a = 0; a < desc->natts; a++)
		if (!TupleDescAttr(desc, a)->attisdropped && evaluate_column_changed(change->old, change->new, a + 1))
			return true;
	return false;
}

bool
change_may_alter_expressions(const Change *change)
{
	const WatchedTable *table = change->table;

	Assert(change->action == WATCH_UPDATE);
	if (table->query == NULL || !change_in_any_column(change))
		return false;
	for (int f = 0; f < WATCH_NFIELDS; f++)
		if (table->field_position[f] > 0 && evaluate_field_may_differ(table, f, change->old, change->new))
			return true;
	return false;
}

static bool
change_same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool
change_alters_text(Change *change, WatchField field)
{
	return !change_same_text(change_before(change)->text[field], change_values(change)->text[field]);
}

bool
change_alters_fields(Change *change)
{
	for (int f = 0; f < WATCH_NFIELDS; f++)
		if (change_before(change)->is_true[f] != change_values(change)->is_true[f] || change_alters_text(change, f))
			return true;
	return false;
}

bool
change_alters_id(Change *change)
{
	return evaluate_field_may_differ(change->table, WATCH_ID, change->old, change->new) &&
		change_alters_text(change, WATCH_ID);
}

bool
change_alters_context(Change *change)
{
	return change_alters_text(change, WATCH_EVENT_UID) || change_alters_text(change, WATCH_PROFILE);
}

/* Make an update the end of the entity: whether a webhook receives that depends on where the entity was. */
static void
change_into_delete(Change *change)
{
	char	   *payload = change_values(change)->text[WATCH_PAYLOAD];

	change->values = *change_before(change);
	change->values.text[WATCH_PAYLOAD] = payload;
	change->action = WATCH_DELETE;
}

bool
change_resolve_deletion(Change *change)
{
	bool		deleted;
	bool		was_deleted;

	if (!watch_has_field(change->table, WATCH_DELETED))
		return true;
	deleted = change_values(change)->is_true[WATCH_DELETED];
	if (change->action != WATCH_UPDATE)
		return !deleted;
	was_deleted = change_before(change)->is_true[WATCH_DELETED];
	if (was_deleted && !deleted)
		change->action = WATCH_CREATE;
	if (deleted && !was_deleted)
		change_into_delete(change);
	return !(deleted && was_deleted);
}
