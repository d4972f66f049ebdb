/*-------------------------------------------------------------------------
 *
 * change.c
 *		One change of one row, and what the table's settings say of it.
 *
 * Deciding what an update means takes both rows: whether the id, the event or
 * the payment has changed, and whether the row has begun to count as deleted.
 * Fields that nothing depends on are not evaluated.  The others are, once for each
 * row, and for the old row only if a column differs that they are computed from.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/change.h"


/* The fields that messages of this change, and decisions about it, need in any case. */
static unsigned
change_fields(const Change *change)
{
	unsigned	fields = change->table->needed;

	/* Payment matters only to integrations with an override. */
	if ((fields & WATCH_BIT(WATCH_PAID)) && !active_integration_overridden())
		fields &= ~WATCH_BIT(WATCH_PAID);
	return fields;
}

void
change_evaluate(Change *change, unsigned fields)
{
	bool		deleted = change->action == WATCH_DELETE;
	bool		gone = deleted && change->new == NULL;

	Assert(deleted || change->new != NULL);
	if (change->values.known == 0)
		fields |= change_fields(change);
	evaluate_row(change->table, deleted ? change->old : change->new, gone ? change->past : InvalidCommandId, fields,
				 &change->values);
}

const WatchValues *
change_before(Change *change, unsigned fields)
{
	unsigned	missing = fields & ~change->before.known;
	unsigned	same = 0;

	Assert(change->old != NULL && change->new != NULL);
	if (missing == 0)
		return &change->before;
	for (int f = 0; f < WATCH_NFIELDS; f++)
		if ((missing & WATCH_BIT(f)) && !evaluate_field_may_differ(change->table, f, change->old, change->new))
			same |= WATCH_BIT(f);
	if (same != 0)
		evaluate_copy(change_values(change, same), same, &change->before);
	evaluate_row(change->table, change->old, InvalidCommandId, missing, &change->before);
	return &change->before;
}

bool
change_touches_columns(const Change *change, const AttrNumber *columns, int ncolumns)
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
	return change_touches_columns(change, change->table->compare, change->table->ncompare);
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
	if (!change_in_any_column(change))
		return false;
	for (int f = 0; f < WATCH_NFIELDS; f++)
		if ((table->needed & WATCH_BIT(f)) && watch_is_expression(table, f) &&
			evaluate_field_may_differ(table, f, change->old, change->new))
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
	return !change_same_text(change_before(change, WATCH_BIT(field))->text[field],
							 change_values(change, WATCH_BIT(field))->text[field]);
}

bool
change_alters_fields(Change *change)
{
	unsigned	fields = change_fields(change);
	const WatchValues *before = change_before(change, fields);
	const WatchValues *values = change_values(change, fields);

	for (int f = 0; f < WATCH_NFIELDS; f++)
		if ((fields & WATCH_BIT(f)) &&
			(before->is_true[f] != values->is_true[f] || !change_same_text(before->text[f], values->text[f])))
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
	unsigned	fields = change_fields(change) & ~WATCH_BIT(WATCH_PAYLOAD);
	WatchValues values = *change_before(change, fields);

	evaluate_copy(change_values(change, WATCH_BIT(WATCH_PAYLOAD)), WATCH_BIT(WATCH_PAYLOAD), &values);
	change->values = values;
	change->action = WATCH_DELETE;
}

bool
change_resolve_deletion(Change *change)
{
	bool		deleted;
	bool		was_deleted;

	if (!watch_has_field(change->table, WATCH_DELETED))
		return true;
	deleted = change_values(change, WATCH_BIT(WATCH_DELETED))->is_true[WATCH_DELETED];
	if (change->action != WATCH_UPDATE)
		return !deleted;
	was_deleted = change_before(change, WATCH_BIT(WATCH_DELETED))->is_true[WATCH_DELETED];
	if (was_deleted && !deleted)
		change->action = WATCH_CREATE;
	if (deleted && !was_deleted)
		change_into_delete(change);
	return !(deleted && was_deleted);
}
