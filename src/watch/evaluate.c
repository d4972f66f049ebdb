/*-------------------------------------------------------------------------
 *
 * evaluate.c
 *		Evaluate the settings of a watched table for one row.
 *
 * Plain columns, the common case, are read directly from the row.  Fields that are
 * SQL expressions, and the payload function, are evaluated by one query over one
 * row,
 *
 *		SELECT (expr), ... FROM (SELECT ($1).*) AS tablename
 *
 * which is a saved plan.  It runs with the privileges of the table's owner, with
 * the search_path at the time of watch(), and as a security-restricted operation,
 * so that it cannot be used to obtain the privileges of a role that changes a row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "base/pinned_settings.h"
#include "base/run_as.h"
#include "compat.h"
#include "watch/evaluate.h"

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

/* The expressions were valid when watch() was called, so a table must have changed since. */
static void
evaluate_hint_at_watch(void *arg)
{
	errhint("A table has changed since webhook.watch() was called. Call it again with valid settings.");
}

/* The columns of the row that an expression uses; row is the subquery that produces them. */
static Bitmapset *
evaluate_columns_read(Node *expression, const Query *row)
{
	Bitmapset  *columns = NULL;
	List	   *vars = pull_vars_of_level(expression, 0);
	ListCell   *lc;

	foreach(lc, vars)
	{
		const Var  *var = lfirst(lc);
		ListCell   *column;

		foreach(column, row->targetList)
		{
			const TargetEntry *entry = lfirst(column);

			if (var->varattno == InvalidAttrNumber || var->varattno == entry->resno)
				columns = bms_add_member(columns, castNode(FieldSelect, entry->expr)->fieldnum);
		}
	}
	return columns;
}

/* Set table->reads. */
static void
evaluate_set_reads(WatchedTable *table, SPIPlanPtr plan)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
	const Query *query = linitial_node(Query, source->query_list);
	const Query *row = linitial_node(RangeTblEntry, query->rtable)->subquery;
	MemoryContext old = MemoryContextSwitchTo(table->context);

	for (int f = 0; f < WATCH_NFIELDS; f++)
		if (f != WATCH_PAYLOAD && table->field_position[f] > 0)
		{
			TargetEntry *entry = list_nth(query->targetList, table->field_position[f] - 1);

			table->reads[f] = evaluate_columns_read((Node *) entry->expr, row);
		}
	table->reads_known = true;
	MemoryContextSwitchTo(old);
}

static void
evaluate_free_plan(void *arg)
{
	SPI_freeplan((SPIPlanPtr) arg);
}

/*
 * Prepare the query that evaluates expressions, unless it has been prepared.
 * Requires a connection to SPI; must run as the table's owner.
 */
static void
evaluate_prepare_query(WatchedTable *table, Oid rowtype)
{
	ErrorContextCallback hint = {error_context_stack, evaluate_hint_at_watch, NULL};
	SPIPlanPtr	plan;
	MemoryContextCallback *callback;

	Assert(GetUserId() == table->owner);
	if (table->plan != NULL)
		return;
	error_context_stack = &hint;
	plan = SPI_prepare(table->query, 1, &rowtype);
	error_context_stack = hint.previous;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	evaluate_set_reads(table, plan);
	table->plan = plan;
	callback = MemoryContextAlloc(table->context, sizeof(MemoryContextCallback));
	callback->func = evaluate_free_plan;
	callback->arg = plan;
	MemoryContextRegisterResetCallback(table->context, callback);
}

Oid
evaluate_field_type(WatchedTable *table, Oid rowtype, WatchField field)
{
	RunAs		state;
	CachedPlanSource *source;
	Oid			type;

	Assert(table->field_position[field] > 0);
	run_as_table_owner(table->owner, table->search_path, &state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	evaluate_prepare_query(table, rowtype);
	source = linitial(SPI_plan_get_plan_sources(table->plan));
	type = TupleDescAttr(source->resultDesc, table->field_position[field] - 1)->atttypid;
	SPI_finish();
	run_as_end(&state);
	return type;
}

Snapshot
evaluate_payment_snapshot(void)
{
	return XactIsoLevel == XACT_REPEATABLE_READ ? GetLatestSnapshot() : InvalidSnapshot;
}

/*
 * Evaluate the expressions for one row, as the table's owner, with this snapshot or
 * the usual one if it is InvalidSnapshot.  only_missing sets only values that are
 * NULL so far.
 */
static void
evaluate_run_query(WatchedTable *table, Datum row, Oid rowtype, Snapshot past, bool only_missing,
				   WatchValues *values)
{
	MemoryContext caller = CurrentMemoryContext;
	Snapshot	snapshot = past;
	ErrorContextCallback hint = {error_context_stack, run_as_callback, &table->owner};
	RunAs		state;
	int			rc;

	run_as_table_owner(table->owner, table->search_path, &state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	error_context_stack = &hint;
	evaluate_prepare_query(table, rowtype);
	if (past == InvalidSnapshot && table->field_position[WATCH_PAID] > 0)
		snapshot = evaluate_payment_snapshot();
	rc = SPI_execute_snapshot(table->plan, &row, " ", snapshot, InvalidSnapshot,
							  past != InvalidSnapshot, true, 1);
	error_context_stack = hint.previous;
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(rc));
	for (int f = 0; f < WATCH_NFIELDS && SPI_processed == 1; f++)
	{
		int			position = table->field_position[f];
		bool		isnull;
		Datum		value;
		MemoryContext old;

		if (position == 0 || (only_missing && values->text[f] != NULL))
			continue;
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, position, &isnull);
		if (isnull)
			continue;
		old = MemoryContextSwitchTo(caller);
		evaluate_set_value(table, values, f, value, SPI_gettypeid(SPI_tuptable->tupdesc, position));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	run_as_end(&state);
}

bool
evaluate_context_missing(const WatchedTable *table, const WatchValues *values)
{
	return (table->field_position[WATCH_EVENT_UID] > 0 && values->text[WATCH_EVENT_UID] == NULL) ||
		(table->field_position[WATCH_PROFILE] > 0 && values->text[WATCH_PROFILE] == NULL);
}

/* The same with a snapshot from before a command of this transaction. */
static void
evaluate_run_query_in_the_past(WatchedTable *table, Datum row, Oid rowtype, CommandId command, WatchValues *values)
{
	Snapshot	snapshot;

	PushCopiedSnapshot(GetTransactionSnapshot());
	snapshot = GetActiveSnapshot();
	snapshot->curcid = command;
	evaluate_run_query(table, row, rowtype, snapshot, true, values);
	PopActiveSnapshot();
}

CommandId
evaluate_past(HeapTuple tuple)
{
	if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
		return FirstCommandId;
	return HeapTupleHeaderGetCmin(tuple->t_data) + 1;
}

bool
evaluate_column_changed(TupleTableSlot *old, TupleTableSlot *new, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(new->tts_tupleDescriptor, attnum - 1);
	bool		old_null = old->tts_isnull[attnum - 1];
	bool		new_null = new->tts_isnull[attnum - 1];

	if (old_null || new_null)
		return old_null != new_null;
	return !datum_image_eq(old->tts_values[attnum - 1], new->tts_values[attnum - 1],
						   att->attbyval, att->attlen);
}

static bool
evaluate_column_differs(TupleTableSlot *old, TupleTableSlot *new, AttrNumber attnum)
{
	slot_getsomeattrs(old, attnum);
	slot_getsomeattrs(new, attnum);
	return evaluate_column_changed(old, new, attnum);
}

bool
evaluate_field_may_differ(const WatchedTable *table, WatchField field, TupleTableSlot *old, TupleTableSlot *new)
{
	int			attnum = -1;

	if (table->field_column[field] > 0)
		return evaluate_column_differs(old, new, table->field_column[field]);
	if (table->field_position[field] > 0)
	{
		if (!table->reads_known || field == WATCH_PAYLOAD)
			return true;
		while ((attnum = bms_next_member(table->reads[field], attnum)) >= 0)
			if (evaluate_column_differs(old, new, attnum))
				return true;
	}
	for (int i = 0; field == WATCH_ID && i < table->nkeys; i++)
		if (evaluate_column_differs(old, new, table->keys[i]))
			return true;
	return false;
}

void
evaluate_row(WatchedTable *table, TupleTableSlot *slot, CommandId past, WatchValues *values)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;

	memset(values, 0, sizeof(*values));
	for (int f = 0; f < WATCH_NFIELDS; f++)
	{
		AttrNumber	attnum = table->field_column[f];
		bool		isnull;
		Datum		value;

		if (attnum == 0)
			continue;
		value = slot_getattr(slot, attnum, &isnull);
		if (!isnull)
			evaluate_set_value(table, values, f, value, TupleDescAttr(desc, attnum - 1)->atttypid);
	}
	if (table->query != NULL)
	{
		bool		should_free;
		HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
		Datum		row = heap_copy_tuple_as_datum(tuple, desc);

		evaluate_run_query(table, row, desc->tdtypeid, InvalidSnapshot, false, values);
		if (past != InvalidCommandId && evaluate_context_missing(table, values))
			evaluate_run_query_in_the_past(table, row, desc->tdtypeid, past, values);
		if (past != InvalidCommandId && past != FirstCommandId && evaluate_context_missing(table, values))
			evaluate_run_query_in_the_past(table, row, desc->tdtypeid, FirstCommandId, values);
	}
	if (table->nkeys > 0)
		values->text[WATCH_ID] = evaluate_key_id(table, slot);
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

char *
evaluate_payload(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *slot,
				 const WatchValues *values, int *len)
{
	StringInfoData buf;
	RunAs		state;
	AttrNumber	as_text;

	if (table->json == NULL)
	{
		char	   *payload = values->text[WATCH_PAYLOAD];

		*len = payload ? strlen(payload) : 0;
		return payload;
	}
	initStringInfo(&buf);
	slot_getallattrs(slot);
	if (table->calls_users)
		run_as_table_owner(table->owner, table->search_path, &state);
	as_text = row_json_append(audience->json, &buf, slot->tts_values, slot->tts_isnull);
	if (table->calls_users)
		run_as_end(&state);
	if (as_text != InvalidAttrNumber)
		evaluate_warn_of_text(table, slot->tts_tupleDescriptor, as_text);
	*len = buf.len;
	return buf.data;
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
