/*-------------------------------------------------------------------------
 *
 * evaluate.c
 *		Evaluate the settings of a watched table for one row.
 *
 * Plain columns, the common case, are read directly from the row, and expressions
 * that depend on nothing else are evaluated in place (expression.c).  Other
 * expressions, and the payload function, are evaluated together by a query
 * (row_query.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/pinned_settings.h"
#include "base/run_as.h"
#include "compat.h"
#include "watch/evaluate.h"
#include "watch/expression.h"
#include "watch/row_query.h"

/* Sign and digits of the longest bigint, and a NUL. */
#define INTEGER_SIZE	21


/* Look up how to convert values of this type to text; cached in *form. */
static const WatchTextForm *
evaluate_text_form(const WatchedTable *table, WatchTextForm *form, Oid type)
{
	Oid			output;
	bool		varlena;

	if (likely(form->type == type))
		return form;
	form->type = InvalidOid;
	form->base = getBaseType(type);
	getTypeOutputInfo(type, &output, &varlena);
	fmgr_info_cxt(output, &form->output, table->context);
	form->settings = pinned_for_type(type);
	form->type = type;
	return form;
}

static bool
evaluate_is_number(const WatchTextForm *form)
{
	return form->base == INT2OID || form->base == INT4OID || form->base == INT8OID;
}

/* Convert a value to text.  Trailing blanks of char(n) are not part of the value. */
static char *
evaluate_value_text(const WatchTextForm *form, Datum value)
{
	static const int utc = 0;
	BpChar	   *padded;
	char	   *result;
	int			nest_level;

	switch (form->base)
	{
		case TEXTOID:
		case VARCHAROID:
			return TextDatumGetCString(value);
		case BPCHAROID:
			padded = DatumGetBpCharPP(value);
			return pnstrdup(VARDATA_ANY(padded), bpchartruelen(VARDATA_ANY(padded), VARSIZE_ANY_EXHDR(padded)));
		case INT4OID:
			result = palloc(INTEGER_SIZE);
			pg_ltoa(DatumGetInt32(value), result);
			return result;
		case INT8OID:
			result = palloc(INTEGER_SIZE);
			pg_lltoa(DatumGetInt64(value), result);
			return result;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return JsonEncodeDateTime(palloc(MAXDATELEN + 1), value, form->base, &utc);
		case FLOAT4OID:
			result = palloc(FLOAT_SHORTEST_DECIMAL_LEN);
			float_to_shortest_decimal_buf(DatumGetFloat4(value), result);
			return result;
		case FLOAT8OID:
			result = palloc(DOUBLE_SHORTEST_DECIMAL_LEN);
			double_to_shortest_decimal_buf(DatumGetFloat8(value), result);
			return result;
		default:
			nest_level = pinned_begin(form->settings);
			result = OutputFunctionCall((FmgrInfo *) &form->output, value);
			pinned_end(nest_level);
			return result;
	}
}

/* An id in JSON: a number if its type is an integer type, else a string. */
static char *
evaluate_json_id(const WatchTextForm *form, char *text)
{
	StringInfoData buf;

	if (form != NULL && evaluate_is_number(form))
		return text;

	initStringInfo(&buf);
	escape_json(&buf, text);
	return buf.data;
}

static void
evaluate_set_value(WatchedTable *table, WatchValues *values, WatchField field, Datum value, Oid type)
{
	const WatchTextForm *form;

	if (field == WATCH_PAID || field == WATCH_DELETED)
	{
		values->is_true[field] = DatumGetBool(value);
		return;
	}
	form = evaluate_text_form(table, &table->field_form[field], type);
	values->text[field] = evaluate_value_text(form, value);
	if (field == WATCH_ID)
		values->text[field] = evaluate_json_id(form, values->text[field]);
}

/* A column of the primary key as text; NULL for NULL. */
static char *
evaluate_key_text(WatchedTable *table, TupleTableSlot *slot, int i)
{
	AttrNumber	attnum = table->keys[i];
	Oid			type = TupleDescAttr(slot->tts_tupleDescriptor, attnum - 1)->atttypid;
	bool		isnull;
	Datum		value = slot_getattr(slot, attnum, &isnull);

	return isnull ? NULL : evaluate_value_text(evaluate_text_form(table, &table->key_form[i], type), value);
}

/*
 * The id of a row with primary key: its value or, if it has several columns, their
 * values separated by commas, where commas and backslashes are escaped by a
 * backslash.
 */
static char *
evaluate_key_id(WatchedTable *table, TupleTableSlot *slot)
{
	StringInfoData buf;

	if (table->nkeys == 1)
	{
		char	   *text = evaluate_key_text(table, slot, 0);

		return text ? evaluate_json_id(&table->key_form[0], text) : evaluate_json_id(NULL, "");
	}
	initStringInfo(&buf);
	for (int i = 0; i < table->nkeys; i++)
	{
		if (i > 0)
			appendStringInfoChar(&buf, ',');
		for (const char *c = evaluate_key_text(table, slot, i); c != NULL && *c; c++)
		{
			if (*c == ',' || *c == '\\')
				appendStringInfoChar(&buf, '\\');
			appendStringInfoChar(&buf, *c);
		}
	}
	return evaluate_json_id(NULL, buf.data);
}

bool
evaluate_context_missing(const WatchValues *values)
{
	return ((values->queried & WATCH_BIT(WATCH_EVENT_UID)) && values->text[WATCH_EVENT_UID] == NULL) ||
		((values->queried & WATCH_BIT(WATCH_PROFILE)) && values->text[WATCH_PROFILE] == NULL);
}

void
evaluate_copy(const WatchValues *from, unsigned fields, WatchValues *to)
{
	Assert((fields & ~from->known) == 0);
	for (int f = 0; f < WATCH_NFIELDS; f++)
		if (fields & WATCH_BIT(f))
		{
			to->text[f] = from->text[f];
			to->is_true[f] = from->is_true[f];
		}
	to->known |= fields;
	to->queried |= from->queried & fields;
}

CommandId
evaluate_past(HeapTuple tuple)
{
	if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
		return FirstCommandId;
	return HeapTupleHeaderGetCmin(tuple->t_data) + 1;
}

/*
 * Like datum_image_eq(), most calls of which it avoids: most columns of an updated row
 * are equal, and their values need not be detoasted to be compared.
 */
static inline bool
evaluate_same_image(Datum a, Datum b, Form_pg_attribute att)
{
	const struct varlena *old = (struct varlena *) DatumGetPointer(a);
	const struct varlena *new = (struct varlena *) DatumGetPointer(b);

	if (att->attbyval && a == b)
		return true;
	if (att->attlen == -1 && !VARATT_IS_1B_E(old) && !VARATT_IS_COMPRESSED(old) &&
		!VARATT_IS_1B_E(new) && !VARATT_IS_COMPRESSED(new))
		return VARSIZE_ANY_EXHDR(old) == VARSIZE_ANY_EXHDR(new) &&
			memcmp(VARDATA_ANY(old), VARDATA_ANY(new), VARSIZE_ANY_EXHDR(old)) == 0;
	return datum_image_eq(a, b, att->attbyval, att->attlen);
}

bool
evaluate_column_changed(TupleTableSlot *old, TupleTableSlot *new, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(new->tts_tupleDescriptor, attnum - 1);
	bool		old_null = old->tts_isnull[attnum - 1];
	bool		new_null = new->tts_isnull[attnum - 1];

	if (old_null || new_null)
		return old_null != new_null;
	return !evaluate_same_image(old->tts_values[attnum - 1], new->tts_values[attnum - 1], att);
}

bool
evaluate_column_differs(TupleTableSlot *old, TupleTableSlot *new, AttrNumber attnum)
{
	slot_getsomeattrs(old, attnum);
	slot_getsomeattrs(new, attnum);
	return evaluate_column_changed(old, new, attnum);
}

bool
evaluate_field_may_differ(const WatchedTable *table, WatchField field, TupleTableSlot *old, TupleTableSlot *new)
{
	const Bitmapset *columns;
	int			attnum = -1;

	if (table->field_column[field] > 0)
		return evaluate_column_differs(old, new, table->field_column[field]);
	if (watch_is_expression(table, field))
	{
		if (field == WATCH_PAYLOAD || !expression_columns_known(table, field, &columns))
			return true;
		while ((attnum = bms_next_member(columns, attnum)) >= 0)
			if (evaluate_column_differs(old, new, attnum))
				return true;
	}
	for (int i = 0; field == WATCH_ID && i < table->nkeys; i++)
		if (evaluate_column_differs(old, new, table->keys[i]))
			return true;
	return false;
}

void
evaluate_parse(WatchedTable *table, TupleDesc desc, unsigned fields)
{
	fields &= table->expressions & ~WATCH_BIT(WATCH_PAYLOAD);
	for (int f = 0; fields >> f != 0; f++)
		if (fields & WATCH_BIT(f))
			(void) expression_is_pure(table, desc, f);
}

bool
evaluate_needs_query(WatchedTable *table, TupleDesc desc, unsigned fields)
{
	fields &= table->expressions;
	for (int f = 0; fields >> f != 0; f++)
		if ((fields & WATCH_BIT(f)) && (f == WATCH_PAYLOAD || !expression_is_pure(table, desc, f)))
			return true;
	return false;
}

/* Set a value that the query has found, unless it is known. */
static void
evaluate_take_result(WatchedTable *table, WatchField field, Datum value, Oid type, void *arg)
{
	WatchValues *values = arg;

	if (values->text[field] == NULL)
		evaluate_set_value(table, values, field, value, type);
}

/* Evaluate fields by a query, with a snapshot from before a command of this transaction. */
static void
evaluate_query_at(WatchedTable *table, unsigned fields, TupleTableSlot *slot, CommandId command,
				  WatchValues *values)
{
	PushCopiedSnapshot(GetTransactionSnapshot());
	GetActiveSnapshot()->curcid = command;
	row_query_run(table, fields, slot, true, evaluate_take_result, values);
	PopActiveSnapshot();
}

/* Evaluate fields by a query.  For a deleted row, what it does not find is looked up as of earlier commands. */
static void
evaluate_query(WatchedTable *table, unsigned fields, TupleTableSlot *slot, CommandId past, WatchValues *values)
{
	row_query_run(table, fields, slot, false, evaluate_take_result, values);
	values->queried |= fields;
	fields &= WATCH_BIT(WATCH_EVENT_UID) | WATCH_BIT(WATCH_PROFILE);
	if (past != InvalidCommandId && evaluate_context_missing(values))
		evaluate_query_at(table, fields, slot, past, values);
	if (past != InvalidCommandId && past != FirstCommandId && evaluate_context_missing(values))
		evaluate_query_at(table, fields, slot, FirstCommandId, values);
}

/* Evaluate a field that is not an expression, or a pure one; false if it takes a query. */
static bool
evaluate_in_place(WatchedTable *table, TupleTableSlot *slot, WatchField field, WatchValues *values)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;
	bool		isnull = true;
	Oid			type = InvalidOid;
	Datum		value = (Datum) 0;

	if (table->field_column[field] > 0)
	{
		value = slot_getattr(slot, table->field_column[field], &isnull);
		type = TupleDescAttr(desc, table->field_column[field] - 1)->atttypid;
	}
	else if (watch_is_expression(table, field))
	{
		if (field == WATCH_PAYLOAD || !expression_evaluate(table, field, slot, &value, &type, &isnull))
			return false;
	}
	else if (field == WATCH_ID && table->nkeys > 0)
		values->text[WATCH_ID] = evaluate_key_id(table, slot);
	if (!isnull)
		evaluate_set_value(table, values, field, value, type);
	return true;
}

void
evaluate_row(WatchedTable *table, TupleTableSlot *slot, CommandId past, unsigned fields, WatchValues *values)
{
	unsigned	query = 0;

	fields &= ~values->known;
	for (int f = 0; fields >> f != 0; f++)
		if ((fields & WATCH_BIT(f)) && !evaluate_in_place(table, slot, f, values))
			query |= WATCH_BIT(f);
	expression_reset(table);
	if (query != 0)
		evaluate_query(table, query, slot, past, values);
	values->known |= fields;
}

/* Warn about a value that is sent as text, once per table and session. */
static void
evaluate_warn_of_text(const WatchedTable *table, TupleDesc desc, AttrNumber attnum)
{
	static List *warned = NIL;
	MemoryContext old;

	if (list_member_oid(warned, table->root))
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	warned = lappend_oid(warned, table->root);
	MemoryContextSwitchTo(old);
	ereport(WARNING,
			(errmsg("value of column \"%s\" of table \"%s\" is sent as text",
					NameStr(TupleDescAttr(desc, attnum - 1)->attname), get_rel_name(table->root)),
			 errdetail("The cast of type %s to json failed for it.",
					   format_type_be(TupleDescAttr(desc, attnum - 1)->atttypid))));
}

void
evaluate_append_columns(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *slot,
						const Bitmapset *columns, StringInfo buf)
{
	RunAs		state;
	AttrNumber	as_text;

	Assert(audience->json != NULL);
	slot_getallattrs(slot);
	if (table->runs_user_code)
		run_as_table_owner(table->owner, table->search_path, &state);
	as_text = row_json_append(audience->json, buf, slot->tts_values, slot->tts_isnull, columns);
	if (table->runs_user_code)
		run_as_end(&state);
	if (as_text != InvalidAttrNumber)
		evaluate_warn_of_text(table, slot->tts_tupleDescriptor, as_text);
}

/* A row as JSON, or these columns of it. */
static char *
evaluate_json(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *slot, const Bitmapset *columns,
			  int *len)
{
	StringInfoData buf;

	initStringInfo(&buf);
	evaluate_append_columns(table, audience, slot, columns, &buf);
	*len = buf.len;
	return buf.data;
}

char *
evaluate_payload(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *slot,
				 const WatchValues *values, int *len)
{
	char	   *payload = values->text[WATCH_PAYLOAD];

	if (table->json != NULL)
		return evaluate_json(table, audience, slot, NULL, len);
	*len = payload ? strlen(payload) : 0;
	return payload;
}

char *
evaluate_changed(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *old, TupleTableSlot *new,
				 int *len)
{
	Bitmapset  *changed = NULL;

	Assert(table->json != NULL);
	slot_getallattrs(old);
	slot_getallattrs(new);
	for (int i = 0; i < table->npayload; i++)
		if (evaluate_column_changed(old, new, table->payload[i]))
			changed = bms_add_member(changed, table->payload[i]);
	if (changed != NULL)
		return evaluate_json(table, audience, old, changed, len);
	*len = 2;
	return pstrdup("{}");
}

char *
evaluate_column(WatchedTable *table, TupleTableSlot *slot, WatchField field)
{
	AttrNumber	attnum = table->field_column[field];
	WatchValues values;
	bool		isnull;
	Datum		value;

	if (attnum == 0)
		return NULL;
	value = slot_getattr(slot, attnum, &isnull);
	if (isnull)
		return NULL;
	evaluate_set_value(table, &values, field, value, TupleDescAttr(slot->tts_tupleDescriptor, attnum - 1)->atttypid);
	return values.text[field];
}
