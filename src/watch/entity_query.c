/*-------------------------------------------------------------------------
 *
 * entity_query.c
 *		Queries for the rows of a watched table that pass a filter.
 *
 * A query uses the columns and expressions for id, event UID, profile, payment and
 * deletion that watch() was called with.  It runs as the table's owner, as these
 * expressions always do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/pinned_settings.h"
#include "base/run_as.h"
#include "base/subtransaction.h"
#include "watch/entity_query.h"
#include "watch/expression.h"

/* The columns of the key, event UID, two lists, offset and limit. */
#define MAX_ARGS	(INDEX_MAX_KEYS + 5)

typedef struct EntityQuery
{
	StringInfoData sql;
	bool		locks;			/* it locks rows */
	const char *field_sql[WATCH_NFIELDS];	/* as in WatchedTable, or what has
											 * been joined instead */
	int			nargs;
	Oid			types[MAX_ARGS];
	Datum		values[MAX_ARGS];
} EntityQuery;


/* Add an argument to the query; returns its number. */
static int
entity_query_add_argument(EntityQuery *query, Oid type, Datum value)
{
	Assert(query->nargs < MAX_ARGS);
	query->types[query->nargs] = type;
	query->values[query->nargs] = value;
	return ++query->nargs;
}

static Datum
entity_query_array(Oid type, Datum *elements, int n)
{
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(elements, n, type, length, by_value, align));
}

/*
 * Convert a text, which may be anything, to a value of the type; false if it is not
 * valid.  The subtransaction releases what a failing input function has acquired.
 */
static bool
entity_query_read_value(Oid type, char *text, Datum *value)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Oid			function;
	Oid			io_param;
	bool volatile fits = true;

	getTypeInputInfo(type, &function, &io_param);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		int			nest_level = pinned_begin(PINNED_ALL);

		*value = OidInputFunctionCall(function, text, io_param, -1);
		pinned_end(nest_level);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error = subtransaction_abort(context, owner);

		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
			ReThrowError(error);
		fits = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return fits;
}

/* Should values of this type be compared as text, because they are or because the type has no equality? */
static bool
entity_query_is_compared_as_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID ||
		!OidIsValid(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr);
}

/* The equality operator of the type.  Qualified, since search_path might lead to another one. */
static char *
entity_query_equality(Oid type)
{
	Oid			operator = lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr;
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Compare a column or an expression of this type with a text.  Uses the type's own
 * equality, so that an index can be used and equivalent spellings match.  A text
 * that is not valid for the type matches nothing.
 */
static void
entity_query_append_value_is(EntityQuery *query, const char *sql, Oid type, char *text)
{
	Datum		value;

	type = getBaseType(type);
	if (entity_query_is_compared_as_text(type))
		appendStringInfo(&query->sql, " AND %s::text %s $%d", sql, entity_query_equality(TEXTOID),
						 entity_query_add_argument(query, TEXTOID, CStringGetTextDatum(text)));
	else if (entity_query_read_value(type, text, &value))
		appendStringInfo(&query->sql, " AND %s %s $%d", sql, entity_query_equality(type), entity_query_add_argument(query, type, value));
	else
		appendStringInfoString(&query->sql, " AND false");
}

/* The same for an array of texts; those that are not valid for the type are omitted. */
static void
entity_query_append_value_is_any(EntityQuery *query, const char *sql, Oid type, ArrayType *texts)
{
	Datum	   *elements;
	int			n;
	int			fitting = 0;

	type = getBaseType(type);
	if (entity_query_is_compared_as_text(type) || !OidIsValid(get_array_type(type)))
	{
		appendStringInfo(&query->sql, " AND %s::text %s ANY ($%d)", sql, entity_query_equality(TEXTOID),
						 entity_query_add_argument(query, TEXTARRAYOID, PointerGetDatum(texts)));
		return;
	}
	deconstruct_array(texts, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		if (entity_query_read_value(type, TextDatumGetCString(elements[i]), &elements[fitting]))
			fitting++;
	appendStringInfo(&query->sql, " AND %s %s ANY ($%d)", sql, entity_query_equality(type),
					 entity_query_add_argument(query, get_array_type(type), entity_query_array(type, elements, fitting)));
}

static void
entity_query_append_column_is(EntityQuery *query, Relation rel, AttrNumber attnum, char *text)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	entity_query_append_value_is(query, psprintf("%s.%s", quote_identifier(RelationGetRelationName(rel)),
												 quote_identifier(NameStr(att->attname))), att->atttypid, text);
}

/* The type of a field that the table has. */
static Oid
entity_query_field_type(WatchedTable *table, Relation rel, WatchField field)
{
	if (table->field_column[field] != 0)
		return TupleDescAttr(RelationGetDescr(rel), table->field_column[field] - 1)->atttypid;
	return expression_type(table, RelationGetDescr(rel), field);
}

/*
 * Split off the first value of an id made of several columns, see
 * evaluate_key_id().  *rest is NULL after the last one.
 */
static char *
entity_query_split_key(const char **rest)
{
	StringInfoData buf;
	const char *s = *rest;

	initStringInfo(&buf);
	for (; *s && *s != ','; s++)
	{
		if (*s == '\\' && s[1] != '\0')
			s++;
		appendStringInfoChar(&buf, *s);
	}
	*rest = *s == ',' ? s + 1 : NULL;
	return buf.data;
}

static void
entity_query_append_id_is(EntityQuery *query, WatchedTable *table, Relation rel, const char *id)
{
	const char *rest = id;
	int			n = 0;

	if (table->field_sql[WATCH_ID] != NULL)
		entity_query_append_value_is(query, table->field_sql[WATCH_ID],
									 entity_query_field_type(table, rel, WATCH_ID), pstrdup(id));
	else if (table->nkeys == 1)
		entity_query_append_column_is(query, rel, table->keys[0], pstrdup(id));
	else
	{
		for (; n < table->nkeys && rest != NULL; n++)
			entity_query_append_column_is(query, rel, table->keys[n], entity_query_split_key(&rest));

		/*
		 * Without exactly one value for each column it is not the id of a
		 * row.
		 */
		if (rest != NULL || n != table->nkeys)
			appendStringInfoString(&query->sql, " AND false");
	}
}

/* Omit unpaid entities of these events, which do not exist for receivers yet. */
static void
entity_query_append_paid(EntityQuery *query, WatchedTable *table, Relation rel, ArrayType *only_paid)
{
	if (table->field_sql[WATCH_PAID] == NULL || table->field_sql[WATCH_EVENT_UID] == NULL)
		return;
	appendStringInfo(&query->sql, " AND ((%s)::boolean IS TRUE OR (true", query->field_sql[WATCH_PAID]);
	entity_query_append_value_is_any(query, query->field_sql[WATCH_EVENT_UID],
									 entity_query_field_type(table, rel, WATCH_EVENT_UID), only_paid);
	appendStringInfoString(&query->sql, ") IS NOT TRUE)");
}

/* Is the expression a sub-select and nothing else? */
static bool
entity_query_is_subselect(const char *sql)
{
	RawStmt    *raw = linitial(pg_parse_query(psprintf("SELECT %s", sql)));
	ResTarget  *target = linitial(castNode(SelectStmt, raw->stmt)->targetList);
	SubLink    *link = IsA(target->val, SubLink) ? (SubLink *) target->val : NULL;

	return link != NULL && link->subLinkType == EXPR_SUBLINK;
}

/*
 * Join a field that is a sub-select.  The planner evaluates a sub-select in WHERE for
 * every row of the table.  In FROM it becomes a join, which can begin with the row of
 * the other table, and lead to those of ours through an index.  If the sub-select
 * returns several rows for one of ours, which would be an error in an expression, our
 * row is returned several times.
 */
static void
entity_query_append_join(EntityQuery *query, WatchedTable *table, WatchField field, bool null_matters)
{
	const char *sql = table->field_sql[field];

	/* Rows on the nullable side of a join cannot be locked. */
	if (sql == NULL || query->locks || table->field_column[field] != 0 || !entity_query_is_subselect(sql))
		return;
	appendStringInfo(&query->sql, " %sJOIN LATERAL %s AS webhook_%d (webhook_value_%d) ON true",
					 null_matters ? "LEFT " : "", sql, field, field);
	query->field_sql[field] = psprintf("webhook_%d.webhook_value_%d", field, field);
}

/* Join the fields that the filter asks for. */
static void
entity_query_append_joins(EntityQuery *query, WatchedTable *table, const EntityFilter *filter)
{
	memcpy(query->field_sql, table->field_sql, sizeof(query->field_sql));
	if (filter->event_uid != NULL)
		entity_query_append_join(query, table, WATCH_EVENT_UID, false);
	if (filter->profiles != NULL)
		entity_query_append_join(query, table, WATCH_PROFILE, false);
	entity_query_append_join(query, table, WATCH_DELETED, true);
	if (filter->only_paid != NULL)
	{
		if (filter->event_uid == NULL)
			entity_query_append_join(query, table, WATCH_EVENT_UID, true);
		entity_query_append_join(query, table, WATCH_PAID, true);
	}
}

/* Append "FROM ... WHERE ..." for the rows that pass the filter. */
static void
entity_query_append_source(EntityQuery *query, WatchedTable *table, Relation rel, const EntityFilter *filter)
{
	const char *alias = quote_identifier(RelationGetRelationName(rel));

	/*
	 * The trigger on a plain table does not see the rows of tables that
	 * inherit from it.
	 */
	appendStringInfo(&query->sql, " FROM %s%s AS %s",
					 rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)), alias);
	entity_query_append_joins(query, table, filter);
	appendStringInfoString(&query->sql, " WHERE true");
	if (filter->entity_id != NULL)
		entity_query_append_id_is(query, table, rel, filter->entity_id);
	if (filter->event_uid != NULL)
	{
		if (table->field_sql[WATCH_EVENT_UID] != NULL)
			entity_query_append_value_is(query, query->field_sql[WATCH_EVENT_UID],
										 entity_query_field_type(table, rel, WATCH_EVENT_UID),
										 pstrdup(filter->event_uid));
		/* Without setting for it, the UID of an event is its id. */
		else if (strcmp(filter->entity_type, "event") == 0)
			entity_query_append_id_is(query, table, rel, filter->event_uid);
		else
			appendStringInfoString(&query->sql, " AND false");
	}
	if (filter->profiles != NULL && table->field_sql[WATCH_PROFILE] != NULL)
		entity_query_append_value_is_any(query, query->field_sql[WATCH_PROFILE],
										 entity_query_field_type(table, rel, WATCH_PROFILE),
										 filter->profiles);
	else if (filter->profiles != NULL)
		appendStringInfoString(&query->sql, " AND false");
	if (table->field_sql[WATCH_DELETED] != NULL)
		appendStringInfo(&query->sql, " AND (%s)::boolean IS NOT TRUE", query->field_sql[WATCH_DELETED]);
	if (filter->only_paid != NULL)
		entity_query_append_paid(query, table, rel, filter->only_paid);
}

/* By id, and by the columns of the primary key where ids are not unique; backward: from the end. */
static void
entity_query_append_order(EntityQuery *query, WatchedTable *table, Relation rel, Bitmapset *key, bool newest_first,
						  bool backward)
{
	static const char *const directions[2][2] = {{"", " DESC"}, {" DESC NULLS LAST", " NULLS FIRST"}};
	const char *direction = directions[newest_first][backward];
	const char *separator = " ORDER BY ";
	int			i = -1;

	if (table->field_sql[WATCH_ID] != NULL)
	{
		appendStringInfo(&query->sql, "%s%s%s", separator, table->field_sql[WATCH_ID], direction);
		separator = ", ";
	}
	while ((i = bms_next_member(key, i)) >= 0)
	{
		AttrNumber	attnum = i + FirstLowInvalidHeapAttributeNumber;

		appendStringInfo(&query->sql, "%s%s.%s%s", separator,
						 quote_identifier(RelationGetRelationName(rel)),
						 quote_identifier(get_attname(RelationGetRelid(rel), attnum, false)),
						 direction);
		separator = ", ";
	}
}

/*
 * Run the query as the table's owner.  Returns its only column, copied to the
 * current memory context.
 */
static int
entity_query_run(EntityQuery *query, const WatchedTable *table, Datum **result, int16 typlen, bool typbyval)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorContextCallback hint = {error_context_stack, run_as_callback, unconstify(Oid *, &table->owner)};
	RunAs		state;
	MemoryContext old;
	int			n;

	run_as_table_owner(table->owner, table->search_path, &state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	error_context_stack = &hint;
	if (SPI_execute_with_args(query->sql.data, query->nargs, query->types, query->values, NULL,
							  !query->locks, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", query->sql.data);
	error_context_stack = hint.previous;
	n = (int) SPI_processed;
	old = MemoryContextSwitchTo(caller);
	*result = palloc(Max(n, 1) * sizeof(Datum));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		d = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		(*result)[i] = datumCopy(d, typbyval, typlen);
	}
	MemoryContextSwitchTo(old);
	SPI_finish();
	run_as_end(&state);
	return n;
}

int64
entity_query_count(WatchedTable *table, Relation rel, const EntityFilter *filter)
{
	EntityQuery query = {0};
	Datum	   *result;

	initStringInfo(&query.sql);
	appendStringInfoString(&query.sql, "SELECT pg_catalog.count(*)");
	entity_query_append_source(&query, table, rel, filter);
	(void) entity_query_run(&query, table, &result, sizeof(int64), FLOAT8PASSBYVAL);
	return DatumGetInt64(result[0]);
}

int
entity_query_rows(WatchedTable *table, Relation rel, const EntityFilter *filter, int64 offset, int64 limit,
				  int64 total, bool lock, Datum **rows)
{
	EntityQuery query = {0};
	Bitmapset  *key = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	bool		backward = key != NULL && total > offset && offset > total / 2;
	int			n;

	if (backward)
	{
		limit = Min(limit, total - offset);
		offset = total - offset - limit;
	}

	initStringInfo(&query.sql);
	query.locks = lock;
	appendStringInfo(&query.sql, "SELECT (%s.*)::%s",
					 quote_identifier(RelationGetRelationName(rel)),
					 format_type_extended(rel->rd_rel->reltype, -1, FORMAT_TYPE_FORCE_QUALIFY));
	entity_query_append_source(&query, table, rel, filter);
	entity_query_append_order(&query, table, rel, key, filter->newest_first, backward);
	appendStringInfo(&query.sql, " OFFSET $%d", entity_query_add_argument(&query, INT8OID, Int64GetDatum(offset)));
	appendStringInfo(&query.sql, " LIMIT $%d", entity_query_add_argument(&query, INT8OID, Int64GetDatum(limit)));
	if (query.locks)
		appendStringInfoString(&query.sql, " FOR NO KEY UPDATE");
	n = entity_query_run(&query, table, rows, -1, false);
	for (int i = 0; backward && i < n / 2; i++)
	{
		Datum		row = (*rows)[i];

		(*rows)[i] = (*rows)[n - 1 - i];
		(*rows)[n - 1 - i] = row;
	}
	return n;
}
