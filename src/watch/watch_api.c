/*-------------------------------------------------------------------------
 *
 * watch_api.c
 *		watch() and unwatch(): which tables are captured, and how.
 *
 * All settings are checked here, expressions by preparing them with the
 * privileges that they will run with, so that the row trigger gets only settings
 * that have worked once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "base/as_owner.h"
#include "base/catalog.h"
#include "base/function.h"
#include "base/subtransaction.h"
#include "compat.h"
#include "server/version.h"
#include "watch/entity.h"
#include "watch/watch.h"

#define ENTITY_TYPE_MAX		100
#define EXPRESSION_MAX		10000

#define QUOTED_TRIGGER_NAME	"\"" WATCH_TRIGGER_NAME "\""

/* The arguments of watch(), in order; also the columns of webhook.watch up to payload. */
enum
{
	ARG_RELATION,
	ARG_ENTITY_TYPE,
	ARG_ID,
	ARG_EVENT_UID,
	ARG_PROFILE,
	ARG_PAID,
	ARG_DELETED,
	ARG_COLUMNS,
	ARG_EXCLUDE,
	ARG_PAYLOAD,
	ARG_SEARCH_PATH,			/* not an argument, but stored with them */
	NARGS
};

static const char *const watch_api_arg_names[] = {
	"relation", "entity_type", "id", "event_uid", "profile", "paid", "deleted",
	"columns", "exclude", "payload"
};

PG_FUNCTION_INFO_V1(webhook_watch);
PG_FUNCTION_INFO_V1(webhook_unwatch);


static void
watch_api_require_owner(Oid relid)
{
	if (!webhook_owns_relation(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", get_rel_name(relid)),
				 errhint("Only the table's owner can call webhook.watch() and webhook.unwatch().")));
}

/* Open and lock a table that can be watched, which the caller must own. */
static Relation
watch_api_open_watchable(Oid relid)
{
	Relation	rel;
	char		relkind;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid),
				 errhint("Specify the name of a table.")));

	/* Check this before queuing for a lock, which would block others. */
	watch_api_require_owner(relid);
	rel = relation_open(relid, ShareRowExclusiveLock);
	relkind = rel->rd_rel->relkind;

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(rel)),
				 errhint("Only tables and partitioned tables can be watched. For a view, watch its tables and use a payload function.")));
	if (IsSystemRelation(rel) ||
		RelationGetNamespace(rel) == get_namespace_oid(WEBHOOK_SCHEMA, false))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("\"%s\" cannot be watched", RelationGetRelationName(rel)),
				 errhint("System catalogs and the tables of this extension cannot be watched.")));
	if (RelationUsesLocalBuffers(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("temporary table \"%s\" cannot be watched", RelationGetRelationName(rel)),
				 errhint("Watch a permanent table, or use webhook.emit().")));
	watch_api_require_owner(relid);
	return rel;
}

static void
watch_api_check_entity_type(const char *entity_type)
{
	size_t		len = strlen(entity_type);

	if (len == 0 || len > ENTITY_TYPE_MAX ||
		strspn(entity_type, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != len ||
		strcmp(entity_type, "webhook") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", "entity_type"),
				 errhint("An entity type consists of letters, digits and underscores, such as \"guest\", has at most %d characters, and is not \"webhook\".",
						 ENTITY_TYPE_MAX)));
}

/* Virtual columns have no stored value, so the trigger would see NULL. */
static void
watch_api_refuse_virtual(Relation rel, const char *argument, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	if (webhook_attribute_is_virtual(att))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("invalid value for argument \"%s\"", argument),
				 errdetail("Column \"%s\" is a virtual generated column.", NameStr(att->attname)),
				 errhint("Specify the generation expression, make the column STORED, or use a payload function.")));
}

static void
watch_api_check_columns(Relation rel, const char *argument, Datum array)
{
	char	  **names;
	int			n = catalog_strings(array, false, &names);

	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must name at least one column", argument),
				 errhint("Omit it to include all columns.")));
	for (int i = 0; i < n; i++)
	{
		AttrNumber	attnum = get_attnum(RelationGetRelid(rel), names[i]);

		if (attnum <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" in argument \"%s\" does not exist in table \"%s\"",
							names[i], argument, RelationGetRelationName(rel)),
					 errhint("Specify column names exactly as they are stored, without quotes.")));
		if (strcmp(argument, watch_api_arg_names[ARG_COLUMNS]) == 0)
			watch_api_refuse_virtual(rel, argument, attnum);
	}
}

#define PAYLOAD_HINT	"It must take one argument, the row type of the table, and return json or jsonb."

/* Does the function take a row of the table and return json or jsonb? */
static bool
watch_api_payload_fits(Oid function, Oid rowtype)
{
	HeapTuple	tup = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	bool		fits;

	if (!HeapTupleIsValid(tup))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tup);
	fits = proc->prokind == PROKIND_FUNCTION && !proc->proretset && proc->pronargs == 1 &&
		proc->proargtypes.values[0] == rowtype &&
		(proc->prorettype == JSONOID || proc->prorettype == JSONBOID);
	ReleaseSysCache(tup);
	return fits;
}

/* Look up the payload function; returns its qualified signature. */
static char *
watch_api_find_payload(Relation rel, const char *text)
{
	Oid			function = function_find(watch_api_arg_names[ARG_PAYLOAD], text, watch_api_payload_fits,
										 rel->rd_rel->reltype, PAYLOAD_HINT);

	if (!watch_api_payload_fits(function, rel->rd_rel->reltype))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s cannot be the payload of table \"%s\"",
						format_procedure(function), RelationGetRelationName(rel)),
				 errhint(PAYLOAD_HINT)));
	return format_procedure_qualified(function);
}

/* An expression must return one value: "(a, b)" would be a row, and "a), (b" two columns. */
static void
watch_api_check_result(SPIPlanPtr plan)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));

	if (source->resultDesc->natts != 1 ||
		type_is_rowtype(TupleDescAttr(source->resultDesc, 0)->atttypid))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("more than one value")));
}

/* Text could be cast to boolean, but an invalid value would make writes to the table fail. */
static void
watch_api_check_boolean(const char *query, Oid rowtype)
{
	SPIPlanPtr	plan = SPI_prepare(query, 1, &rowtype);
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
	Oid			type = getBaseType(TupleDescAttr(source->resultDesc, 0)->atttypid);
	char		category;
	bool		preferred;

	get_type_category_preferred(type, &category, &preferred);
	if (category == TYPCATEGORY_STRING)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("expression is of type %s, not boolean", format_type_be(type))));
}

/*
 * Reject a subquery that returns more than one row.  Typically it compares a column
 * of its own tables with itself instead of a column of the watched table, and
 * would make every statement fail.  It is evaluated for a row of nulls and for an
 * existing row.  Other errors are ignored, as they may depend on the row.
 */
static void
watch_api_check_single_row(Relation rel, int arg, const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Oid			rowtype = rel->rd_rel->reltype;
	const char *name = quote_identifier(RelationGetRelationName(rel));
	char	   *query = psprintf("SELECT (%s\n) FROM (SELECT ($1).* UNION ALL (SELECT * FROM %s.%s LIMIT 1)) AS %s", text,
								 quote_identifier(get_namespace_name(RelationGetNamespace(rel))), name, name);
	SPIPlanPtr	plan = SPI_prepare(query, 1, &rowtype);
	CachedPlanSource *source = plan ? linitial(SPI_plan_get_plan_sources(plan)) : NULL;
	Query	   *parsed = source ? linitial_node(Query, source->query_list) : NULL;
	Datum		values[] = {(Datum) 0};
	bool volatile several = false;

	/* Do not execute expressions that may have side effects. */
	if (parsed == NULL || !parsed->hasSubLinks || contain_volatile_functions((Node *) parsed))
		return;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		(void) SPI_execute_plan(plan, values, "n", true, 0);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error = subtransaction_abort(context, owner);

		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_OUT_OF_MEMORY)
			ReThrowError(error);
		several = error->sqlerrcode == ERRCODE_CARDINALITY_VIOLATION;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (several)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("subquery returns more than one row"),
				 errhint("Unqualified names in a subquery refer to columns of its own tables. Qualify columns of the watched table, as in %s.%s.",
						 name, quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), 0)->attname)))));
}

/*
 * Check an expression over the columns of the table by preparing it, with the
 * privileges of the table's owner and this search_path.
 */
static void
watch_api_check_expression(Relation rel, int arg, const char *text, const char *search_path)
{
	bool		boolean = (arg == ARG_PAID || arg == ARG_DELETED);
	MemoryContext context = CurrentMemoryContext;
	Oid			rowtype = rel->rd_rel->reltype;
	RunAs		state;

	if (strlen(text) == 0 || strlen(text) > EXPRESSION_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", watch_api_arg_names[arg]),
				 errhint("Specify a column name or an SQL expression of at most %d characters.",
						 EXPRESSION_MAX)));

	run_as_table_owner(rel->rd_rel->relowner, search_path, &state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PG_TRY();
	{
		const char *query = "SELECT (%s\n)%s FROM (SELECT ($1).*) AS %s";
		const char *name = quote_identifier(RelationGetRelationName(rel));
		SPIPlanPtr	plan = SPI_prepare(psprintf(query, text, boolean ? "::boolean" : "", name), 1, &rowtype);

		if (plan == NULL || list_length(SPI_plan_get_plan_sources(plan)) != 1 ||
			!SPI_is_cursor_plan(plan))
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("not a single expression")));
		watch_api_check_result(plan);

		/* In WHERE, aggregates and set-returning functions are errors. */
		if (SPI_prepare(psprintf("SELECT FROM (SELECT ($1).*) AS %s WHERE (%s\n) IS NULL", name, text), 1, &rowtype) == NULL)
			elog(ERROR, "SPI_prepare failed");
		if (boolean)
			watch_api_check_boolean(psprintf(query, text, "", name), rowtype);
		watch_api_check_single_row(rel, arg, text);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		ereport(ERROR,
				(errcode(edata->sqlerrcode),
				 errmsg("invalid value for argument \"%s\": %s", watch_api_arg_names[arg], edata->message),
				 edata->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ? run_as_hint(rel->rd_rel->relowner) :
				 edata->hint != NULL && edata->sqlerrcode == ERRCODE_CARDINALITY_VIOLATION ? errhint("%s", edata->hint) :
				 errhint("Specify a column of table \"%s\", or an SQL expression over its columns%s.",
						 RelationGetRelationName(rel), boolean ? " that is true or false" : "")));
	}
	PG_END_TRY();
	SPI_finish();
	run_as_end(&state);
}

/* Check a setting that is a column or an expression.  A column must be boolean, or castable, if the field is. */
static void
watch_api_check_field(Relation rel, int arg, const char *text, const char *search_path)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), text);

	if (attnum > 0)
		watch_api_refuse_virtual(rel, watch_api_arg_names[arg], attnum);
	if (attnum <= 0)
		watch_api_check_expression(rel, arg, text, search_path);
	else if (arg >= ARG_PAID)
		watch_api_check_expression(rel, arg, quote_identifier(text), search_path);
}

/* Without primary key, argument "id" is required. */
static void
watch_api_check_key(Relation rel)
{
	if (bms_is_empty(RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has no primary key", RelationGetRelationName(rel)),
				 errhint("Specify argument \"id\": a column or an expression that identifies a row.")));
}

/* Drop the trigger, unless it was cloned from a partitioned table's. */
static void
watch_api_drop_trigger(Oid relid)
{
	Oid			types[2] = {OIDOID, TEXTOID};
	Datum		values[2] = {ObjectIdGetDatum(relid), CStringGetTextDatum(WATCH_TRIGGER_NAME)};

	if (as_owner_execute("SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = $1 AND tgname = $2 "
						 "AND tgfoid = 'webhook.capture()'::pg_catalog.regprocedure AND tgparentid = 0",
						 SPI_OK_SELECT, 2, types, values, NULL) > 0)
		as_owner_execute(psprintf("DROP TRIGGER " QUOTED_TRIGGER_NAME " ON %s",
								  quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
															 get_rel_name(relid))),
						 SPI_OK_UTILITY, 0, NULL, NULL, NULL);
}

/* Create the trigger, unless there is one. */
static void
watch_api_put_trigger(Relation rel)
{
	char	   *table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												   RelationGetRelationName(rel));
	Oid			types[2] = {OIDOID, TEXTOID};
	Datum		values[2] = {ObjectIdGetDatum(RelationGetRelid(rel)), CStringGetTextDatum(WATCH_TRIGGER_NAME)};
	ListCell   *lc;

	/* A partition may have a clone of its parent's. */
	if (as_owner_execute("SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = $1 AND tgname = $2 "
						 "AND tgfoid = 'webhook.capture()'::pg_catalog.regprocedure",
						 SPI_OK_SELECT, 2, types, values, NULL) > 0)
		return;

	/*
	 * Partitions that are watched already keep their settings, but get a
	 * clone of this trigger.
	 */
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		foreach(lc, find_all_inheritors(RelationGetRelid(rel), ShareRowExclusiveLock, NULL))
			watch_api_drop_trigger(lfirst_oid(lc));

	as_owner_execute(psprintf("CREATE TRIGGER " QUOTED_TRIGGER_NAME " AFTER INSERT OR UPDATE OR DELETE ON %s "
							  "FOR EACH ROW EXECUTE FUNCTION webhook.capture()", table),
					 SPI_OK_UTILITY, 0, NULL, NULL, NULL);

	/* Let DROP EXTENSION drop the trigger instead of failing. */
	as_owner_execute(psprintf("ALTER TRIGGER " QUOTED_TRIGGER_NAME " ON %s DEPENDS ON EXTENSION webhook", table),
					 SPI_OK_UTILITY, 0, NULL, NULL, NULL);
}

/* Create triggers on partitions that have their own settings, since the cloned ones are gone. */
static void
watch_api_put_partition_triggers(Relation rel)
{
	ListCell   *lc;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return;
	foreach(lc, find_all_inheritors(RelationGetRelid(rel), ShareRowExclusiveLock, NULL))
	{
		Oid			types[1] = {OIDOID};
		Datum		values[1] = {ObjectIdGetDatum(lfirst_oid(lc))};

		if (as_owner_execute("SELECT FROM webhook.watch WHERE relation = $1", SPI_OK_SELECT, 1, types, values, NULL) > 0)
		{
			Relation	partition = relation_open(lfirst_oid(lc), NoLock);

			watch_api_put_trigger(partition);
			relation_close(partition, NoLock);
		}
	}
}

static void
watch_api_store_settings(Datum *values, bool *nulls)
{
	static Oid	types[NARGS] = {REGCLASSOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID};

	/* Also delete settings of tables that have been dropped. */
	as_owner_execute("DELETE FROM webhook.watch AS w WHERE NOT EXISTS "
					 "(SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = w.relation)",
					 SPI_OK_DELETE, 0, NULL, NULL, NULL);
	as_owner_execute("INSERT INTO webhook.watch VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,"
					 " webhook.watched_numbers($1, $3, $8, $9),"
					 " (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c"
					 "  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1))"
					 " ON CONFLICT (relation) DO UPDATE SET (entity_type, id, event_uid, profile, paid, deleted, columns, exclude,"
					 "  payload, search_path, numbers, name) = ROW (excluded.entity_type, excluded.id, excluded.event_uid,"
					 "  excluded.profile, excluded.paid, excluded.deleted, excluded.columns, excluded.exclude, excluded.payload,"
					 "  excluded.search_path, excluded.numbers, excluded.name)",
					 SPI_OK_INSERT, NARGS, types, values, nulls);
}

/* The trigger does not fire for rows of inheritance children, except partitions. */
static void
watch_api_warn_of_children(Relation rel)
{
	List	   *watched = entity_relations(NULL);
	StringInfoData names;
	ListCell   *lc;

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		return;
	initStringInfo(&names);
	foreach(lc, find_all_inheritors(RelationGetRelid(rel), NoLock, NULL))
	{
		Oid			child = lfirst_oid(lc);
		char	   *name = get_rel_name(child);

		if (child != RelationGetRelid(rel) && name != NULL && !list_member_oid(watched, child))
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
							 quote_qualified_identifier(get_namespace_name(get_rel_namespace(child)), name));
	}
	if (names.len > 0)
		ereport(WARNING,
				(errmsg("rows of tables that inherit from \"%s\" are not captured", RelationGetRelationName(rel)),
				 errdetail("These tables are %s.", names.data),
				 errhint("Call webhook.watch() for each of them.")));
}

/*
 * watch(relation, entity_type, id, event_uid, profile, paid, deleted, columns,
 *		 exclude, payload)
 */
Datum
webhook_watch(PG_FUNCTION_ARGS)
{
	Datum		values[NARGS];
	bool		nulls[NARGS] = {0};
	RunAs		state;
	Relation	rel;

	version_require();
	for (int i = 0; i < ARG_SEARCH_PATH; i++)
	{
		nulls[i] = PG_ARGISNULL(i);
		values[i] = nulls[i] ? (Datum) 0 : PG_GETARG_DATUM(i);
		if (nulls[i] && i <= ARG_ENTITY_TYPE)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", watch_api_arg_names[i]),
					 errhint("Call it like this: SELECT webhook.watch('guest', 'guest').")));
	}

	rel = watch_api_open_watchable(DatumGetObjectId(values[ARG_RELATION]));
	watch_api_check_entity_type(TextDatumGetCString(values[ARG_ENTITY_TYPE]));
	for (int i = ARG_COLUMNS; i <= ARG_EXCLUDE; i++)
		if (!nulls[i])
			watch_api_check_columns(rel, watch_api_arg_names[i], values[i]);
	values[ARG_SEARCH_PATH] = CStringGetTextDatum(run_as_current_search_path());
	for (int i = ARG_ID; i <= ARG_DELETED; i++)
		if (!nulls[i])
			watch_api_check_field(rel, i, TextDatumGetCString(values[i]), TextDatumGetCString(values[ARG_SEARCH_PATH]));
	if (nulls[ARG_ID])
		watch_api_check_key(rel);
	if (!nulls[ARG_PAYLOAD])
		values[ARG_PAYLOAD] = CStringGetTextDatum(watch_api_find_payload(rel, function_argument(fcinfo, ARG_PAYLOAD)));

	as_owner_begin(&state);
	watch_api_put_trigger(rel);
	watch_api_store_settings(values, nulls);
	as_owner_end(&state);
	watch_api_warn_of_children(rel);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * unwatch(relation) returns whether it was watched
 */
Datum
webhook_unwatch(PG_FUNCTION_ARGS)
{
	Oid			types[1] = {REGCLASSOID};
	Datum		values[1];
	RunAs		state;
	Relation	rel;
	bool		watched;

	version_require();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", "relation"),
				 errhint("Specify the name of a table.")));
	values[0] = PG_GETARG_DATUM(0);
	rel = watch_api_open_watchable(DatumGetObjectId(values[0]));

	as_owner_begin(&state);
	watched = as_owner_execute("DELETE FROM webhook.watch WHERE relation = $1",
							   SPI_OK_DELETE, 1, types, values, NULL) > 0;
	watch_api_drop_trigger(RelationGetRelid(rel));
	watch_api_put_partition_triggers(rel);
	as_owner_end(&state);
	relation_close(rel, NoLock);
	PG_RETURN_BOOL(watched);
}
