/*-------------------------------------------------------------------------
 *
 * shape_api.c
 *		Functions that set mappings, templates and forms, and add columns for forms.
 *
 * All documents are compiled before they are stored, so that they can be compiled
 * again without errors where they are used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "api/check.h"
#include "api/manage.h"
#include "base/argument.h"
#include "compat.h"
#include "server/version.h"
#include "shape/form.h"
#include "shape/mapping.h"
#include "shape/shape_cache.h"
#include "shape/template.h"
#include "watch/entity.h"

#define MAX_TEMPLATE_SIZE	(64 * 1024)

PG_FUNCTION_INFO_V1(webhook_set_field_mapping);
PG_FUNCTION_INFO_V1(webhook_set_payload_template);
PG_FUNCTION_INFO_V1(webhook_set_form);
PG_FUNCTION_INFO_V1(webhook_check_form);
PG_FUNCTION_INFO_V1(webhook_configure_form);


static Datum
shape_api_text_or_null(const char *s, bool *isnull)
{
	*isnull = s == NULL;
	return s ? CStringGetTextDatum(s) : (Datum) 0;
}

/* The key of a row of webhook.shape. */
typedef struct ShapeKey
{
	const char *integration;	/* or NULL */
	const char *kind;
	const char *target;
} ShapeKey;

/* A row without integration belongs to the role that set it. */
static void
shape_api_refuse_other_setter(const ShapeKey *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for the field mapping of %s \"%s\"", key->kind, key->target),
			 errhint("Another role has set it. Specify one of your integrations to add to it.")));
}

/*
 * Replace a document, or delete it if it is NULL.  entity_type is set for mappings
 * only.  A row that another role inserts concurrently, and that belongs to it, is not
 * replaced.  Must be called between as_owner_begin() and as_owner_end().
 */
static void
shape_api_store(const RunAs *state, const ShapeKey *key, const char *entity_type, Jsonb *document)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, OIDOID, TEXTOID, JSONBOID};
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = shape_api_text_or_null(key->integration, &nulls[0]);
	values[1] = CStringGetTextDatum(key->kind);
	values[2] = CStringGetTextDatum(key->target);
	values[3] = ObjectIdGetDatum(state->caller);
	values[4] = shape_api_text_or_null(entity_type, &nulls[4]);
	values[5] = document ? JsonbPGetDatum(document) : (Datum) 0;
	if (document == NULL)
		as_owner_execute("SELECT webhook.remove_shape($1, $2, $3, $4, $5)", SPI_OK_SELECT, 5, types, values, nulls);
	else
	{
		bool		isnull;

		as_owner_execute("SELECT webhook.store_shape($1, $2, $3, $4, $5, $6)", SPI_OK_SELECT, 6, types, values, nulls);
		(void) SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		if (isnull)
			shape_api_refuse_other_setter(key);
	}
}

static Jsonb *
shape_api_document_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

/* ---------- mappings ---------- */

/* A profile must be connected to the integration or, without one, to any that the caller may manage. */
static void
shape_api_check_profile(const RunAs *state, const char *integration, const char *profile)
{
	Oid			types[] = {TEXTOID, TEXTOID, OIDOID};
	Datum		values[3];
	bool		nulls[3] = {false};

	values[0] = shape_api_text_or_null(integration, &nulls[0]);
	values[1] = CStringGetTextDatum(profile);
	values[2] = ObjectIdGetDatum(state->caller);
	if (as_owner_execute("SELECT FROM webhook.integration_profile AS p JOIN webhook.integration AS i"
						 " ON i.name = p.integration WHERE p.profile = $2 AND (i.name = $1 OR $1 IS NULL)"
						 " AND pg_has_role($3, i.owner::oid, 'USAGE')",
						 SPI_OK_SELECT, 3, types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("profile \"%s\" is not connected to an integration that you may manage", profile),
				 errhint("Call webhook.connect_profile() first.")));
}

static void
shape_api_check_setter(const RunAs *state, const ShapeKey *key)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(key->kind), CStringGetTextDatum(key->target)};
	bool		isnull;

	if (as_owner_execute("SELECT owner FROM webhook.shape WHERE integration IS NULL AND kind = $1 AND target = $2",
						 SPI_OK_SELECT, 2, types, values, NULL) > 0 &&
		!has_privs_of_role(state->caller,
						   DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull))))
		shape_api_refuse_other_setter(key);
}

/*
 * set_field_mapping(mapping, integration, profile, event_uid, entity_type) returns void
 *
 * In version 0.1.0 it does not have the last argument.
 */
Datum
webhook_set_field_mapping(PG_FUNCTION_ARGS)
{
	Jsonb	   *mapping = shape_api_document_argument(fcinfo, 0);
	ShapeKey	key = {NULL, "account", ""};
	const char *entity_type = SHAPES_DEFAULT_TYPE;
	RunAs		state;

	version_require();
	if (mapping != NULL)
		(void) mapping_compile(mapping);
	if (PG_NARGS() > 4)
		entity_type = argument_label(fcinfo, 4, "entity_type");
	if (!PG_ARGISNULL(1))
		key.integration = argument_label(fcinfo, 1, "integration");
	if (!PG_ARGISNULL(2))
	{
		key.kind = "profile";
		key.target = argument_label(fcinfo, 2, "profile");
	}
	if (!PG_ARGISNULL(3))
	{
		key.kind = "event";
		key.target = argument_label(fcinfo, 3, "event_uid");
	}
	if (!PG_ARGISNULL(2) && !PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("arguments \"profile\" and \"event_uid\" cannot be used together"),
				 errhint("Specify a profile, or an event UID, or neither for the integration's own mapping.")));
	if (PG_ARGISNULL(1) && PG_ARGISNULL(2) && PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("one of the arguments \"integration\", \"profile\" and \"event_uid\" must be specified"),
				 errhint("Specify an integration for the account's mapping, and a profile or an event UID for theirs.")));

	as_owner_begin(&state);
	if (key.integration != NULL)
		manage_require_integration(&state, key.integration);
	else
		shape_api_check_setter(&state, &key);
	if (strcmp(key.kind, "profile") == 0)
		shape_api_check_profile(&state, key.integration, key.target);
	if (mapping != NULL && JB_ROOT_COUNT(mapping) == 0)
		mapping = NULL;
	shape_api_store(&state, &key, entity_type, mapping);
	as_owner_end(&state);
	PG_RETURN_VOID();
}

/* ---------- forms and templates ---------- */

/* The form of an entity type; NULL if there is none. */
static ShapeForm *
shape_api_find_form(const char *integration, const char *entity_type, MemoryContext context)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(integration), CStringGetTextDatum(entity_type)};
	MemoryContext old;
	ShapeForm  *form;
	bool		isnull;
	Datum		d;

	if (as_owner_execute("SELECT value FROM webhook.shape WHERE integration = $1 AND kind = 'form' AND target = $2",
						 SPI_OK_SELECT, 2, types, values, NULL) == 0)
		return NULL;
	old = MemoryContextSwitchTo(context);
	d = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	form = form_compile(DatumGetJsonbPCopy(d));
	MemoryContextSwitchTo(old);
	return form;
}

static void
shape_api_add_name(const char *name, void *arg)
{
	List	  **names = arg;

	*names = lappend(*names, pstrdup(name));
}

static bool
shape_api_is_known(const char *name, void *arg)
{
	ListCell   *lc;

	foreach(lc, (List *) arg)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/* Raise an error if a template refers to fields that are known not to exist. */
static void
shape_api_check_placeholders(const ShapeTemplate *template, const ShapeForm *form, const char *entity_type)
{
	List	   *names = NIL;
	const char *unknown;

	if (form != NULL)
		for (int i = 0; i < form->nfields; i++)
			shape_api_add_name(form->fields[i].name, &names);
	else if (!entity_foreach_column(entity_type, shape_api_add_name, &names))
		return;
	unknown = template_unknown(template, shape_api_is_known, names);
	if (unknown != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("invalid value for argument \"%s\"", "template"),
				 errdetail("There is no field \"%s\".", unknown),
				 errhint("Use fields of the form, or payload columns of tables watched as \"%s\".",
						 entity_type)));
}

/* The template of a single webhook. */
Datum
check_template(const Field *field, Datum value)
{
	Jsonb	   *template = DatumGetJsonbP(value);

	if (VARSIZE(template) > MAX_TEMPLATE_SIZE)
		check_refuse(field, "it is too large");
	(void) template_compile(template);
	return value;
}

/*
 * set_payload_template(integration, entity_type, template) returns void
 */
Datum
webhook_set_payload_template(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb	   *template = shape_api_document_argument(fcinfo, 2);
	ShapeTemplate *compiled = NULL;
	ShapeForm  *form;
	ShapeKey	key = {NULL, "template", NULL};
	RunAs		state;

	version_require();
	key.integration = argument_label(fcinfo, 0, "integration");
	key.target = argument_label(fcinfo, 1, "entity_type");
	if (template != NULL)
		compiled = template_compile(template);

	as_owner_begin(&state);
	manage_require_integration(&state, key.integration);
	form = shape_api_find_form(key.integration, key.target, context);
	if (compiled != NULL)
		shape_api_check_placeholders(compiled, form, key.target);
	shape_api_store(&state, &key, NULL, template);
	as_owner_end(&state);
	PG_RETURN_VOID();
}

/*
 * set_form(integration, entity_type, fields) returns void
 */
Datum
webhook_set_form(PG_FUNCTION_ARGS)
{
	Jsonb	   *fields = shape_api_document_argument(fcinfo, 2);
	ShapeKey	key = {NULL, "form", NULL};
	RunAs		state;

	version_require();
	key.integration = argument_label(fcinfo, 0, "integration");
	key.target = argument_label(fcinfo, 1, "entity_type");
	if (fields != NULL)
		(void) form_compile(fields);

	as_owner_begin(&state);
	manage_require_integration(&state, key.integration);
	shape_api_store(&state, &key, NULL, fields);
	as_owner_end(&state);
	PG_RETURN_VOID();
}

/* ---------- forms and tables ---------- */

static void
shape_api_require_form(const char *integration, const char *entity_type, ShapeForm **form)
{
	MemoryContext context = CurrentMemoryContext;
	RunAs		state;

	as_owner_begin(&state);
	manage_require_integration(&state, integration);
	*form = shape_api_find_form(integration, entity_type, context);
	as_owner_end(&state);
	if (*form == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("integration \"%s\" has no form for \"%s\"", integration, entity_type),
				 errhint("Call webhook.set_form() first.")));
}

/* The types of the fields, by our names for types, as text[]. */
static Datum
shape_api_type_names(const ShapeForm *form)
{
	Datum	   *names = palloc(form->nfields * sizeof(Datum));

	for (int i = 0; i < form->nfields; i++)
		names[i] = CStringGetTextDatum(form_type_name(form->fields[i].type));
	return PointerGetDatum(construct_array(names, form->nfields, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * check_form(integration, entity_type) returns setof (field, type, problem)
 */
Datum
webhook_check_form(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTARRAYOID};
	Datum		values[3];
	bool		nulls[] = {false, false, false};
	char	   *integration;
	char	   *entity_type;
	ShapeForm  *form;

	version_require();
	integration = argument_label(fcinfo, 0, "integration");
	entity_type = argument_label(fcinfo, 1, "entity_type");
	shape_api_require_form(integration, entity_type, &form);
	values[0] = CStringGetTextDatum(integration);
	values[1] = CStringGetTextDatum(entity_type);
	values[2] = shape_api_type_names(form);
	return as_owner_return_query(fcinfo, "SELECT * FROM webhook.form_problems($1, $2, $3, $4)", 3, types, values, nulls);
}

static void
shape_api_require_owner(Oid relid)
{
	if (!webhook_owns_relation(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", get_rel_name(relid)),
				 errhint("Only the table's owner can call webhook.configure_form().")));
}

/* Does a query return a row?  Requires a connection to SPI. */
static bool
shape_api_finds_any(const char *query)
{
	if (SPI_execute(query, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", query);
	return SPI_processed > 0;
}

/* Append the clause of ALTER TABLE that adds a column. */
static void
shape_api_append_column(StringInfo sql, const ShapeField *field, bool empty)
{
	appendStringInfo(sql, " ADD COLUMN %s pg_catalog.%s", quote_identifier(field->name), form_sql_type(field->type));
	if (field->default_text != NULL)
		appendStringInfo(sql, " DEFAULT %s", quote_literal_cstr(field->default_text));
	if (field->required && (field->default_text != NULL || empty))
		appendStringInfoString(sql, " NOT NULL");
	appendStringInfoChar(sql, ',');
}

/*
 * Add missing columns to a table, as the caller, which must own it; returns their
 * names.  Required ones become NOT NULL if existing rows allow it.
 */
static List *
shape_api_add_columns(Oid relid, const ShapeForm *form)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *added = NIL;
	Relation	rel;
	char	   *table;
	bool		empty;
	StringInfoData sql;

	/*
	 * Check this before queuing for a lock, which would block others, and
	 * again afterwards.
	 */
	shape_api_require_owner(relid);
	rel = relation_open(relid, AccessExclusiveLock);
	shape_api_require_owner(relid);
	table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									   RelationGetRelationName(rel));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	empty = !shape_api_finds_any(psprintf("SELECT FROM %s", table));
	initStringInfo(&sql);
	for (int i = 0; i < form->nfields; i++)
	{
		const ShapeField *field = &form->fields[i];
		const char *name = quote_identifier(field->name);
		AttrNumber	attnum = get_attnum(relid, field->name);

		if (attnum == InvalidAttrNumber)
		{
			MemoryContext old = MemoryContextSwitchTo(context);

			shape_api_append_column(&sql, field, empty);
			added = lappend(added, field->name);
			MemoryContextSwitchTo(old);
		}
		else if (field->required && field->default_text == NULL && attnum > 0 &&
				 !TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull &&
				 !shape_api_finds_any(psprintf("SELECT FROM %s WHERE %s IS NULL", table, name)))
			appendStringInfo(&sql, " ALTER COLUMN %s SET NOT NULL,", name);
	}
	relation_close(rel, NoLock);
	if (sql.len > 0)
	{
		char	   *command = psprintf("ALTER TABLE %s%s", table, sql.data);

		command[strlen(command) - 1] = '\0';
		if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "could not execute \"%s\"", command);
	}
	SPI_finish();
	return added;
}

/* Include the added columns in the payload, even if watch() was called with a list. */
static void
shape_api_include_columns(Oid relid, List *names)
{
	Oid			types[] = {REGCLASSOID, TEXTOID};
	Datum		values[2] = {ObjectIdGetDatum(relid)};
	ListCell   *lc;
	RunAs		state;

	as_owner_begin(&state);
	foreach(lc, names)
	{
		values[1] = CStringGetTextDatum(lfirst(lc));
		as_owner_execute("UPDATE webhook.watch SET columns = columns || $2, numbers = COALESCE(numbers, '{}') || jsonb_build_object("
						 "  $2, (SELECT attnum FROM pg_attribute WHERE attrelid = $1 AND attname = $2))"
						 " WHERE relation = $1 AND $2 <> ALL (columns)",
						 SPI_OK_UPDATE, 2, types, values, NULL);
		as_owner_execute("UPDATE webhook.watch SET exclude = NULLIF(array_remove(exclude, $2), '{}')"
						 " WHERE relation = $1 AND $2 = ANY (exclude)",
						 SPI_OK_UPDATE, 2, types, values, NULL);
	}
	as_owner_end(&state);
}

/*
 * configure_form(integration, entity_type) returns integer: how many columns
 * were added
 */
Datum
webhook_configure_form(PG_FUNCTION_ARGS)
{
	char	   *integration;
	char	   *entity_type;
	ShapeForm  *form;
	List	   *relations;
	ListCell   *lc;
	int			added = 0;

	version_require();
	integration = argument_label(fcinfo, 0, "integration");
	entity_type = argument_label(fcinfo, 1, "entity_type");
	shape_api_require_form(integration, entity_type, &form);
	relations = entity_relations(entity_type);
	if (relations == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("no table is watched as \"%s\"", entity_type),
				 errhint("Call webhook.watch() first.")));
	foreach(lc, relations)
	{
		List	   *names = shape_api_add_columns(lfirst_oid(lc), form);

		shape_api_include_columns(lfirst_oid(lc), names);
		added += list_length(names);
	}
	PG_RETURN_INT32(added);
}
