/*-------------------------------------------------------------------------
 *
 * config_api.c
 *		The configuration as a document: export_config(), apply_config().
 *
 * SQL in 80_config.sql compares a document with the tables, and returns the calls of
 * our functions that make up the difference.  They are executed here, with the
 * privileges of the caller or, where the document names another owner, of that role,
 * which the caller must be a member of.
 *
 * What they have changed is found out by comparing the tables with what they were
 * before, so values need not be written in their normal form.  All of it happens in a
 * subtransaction, which is rolled back if nothing has changed, or for a dry run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/resowner.h"

#include "api/fields.h"
#include "base/argument.h"
#include "base/as_owner.h"
#include "base/subtransaction.h"
#include "compat.h"
#include "server/version.h"

PG_FUNCTION_INFO_V1(webhook_webhook_fields);
PG_FUNCTION_INFO_V1(webhook_export_config);
PG_FUNCTION_INFO_V1(webhook_apply_config);

#define MAX_STEP_ARGS	10

/* A row of config_steps(). */
typedef struct ConfigStep
{
	char	   *path;
	char	   *problem;		/* or NULL */
	char	   *hint;
	char	   *owner;			/* or NULL: the extension's */
	char	   *search_path;	/* or NULL: the caller's */
	char	   *command;
	char	   *args[MAX_STEP_ARGS];	/* any of them can be NULL */
	int			nargs;
	bool		on_created;		/* the first argument is the id of the webhook
								 * just created */
} ConfigStep;


/*
 * webhook_fields() returns jsonb
 */
Datum
webhook_webhook_fields(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	version_require();
	initStringInfo(&buf);
	for (int i = 0; i < FIELD_COUNT; i++)
	{
		appendStringInfo(&buf, "%s\"%s\": {", i == 0 ? "{" : ", ", field_name(i));
		field_describe(i, &buf);
		appendStringInfoChar(&buf, '}');
	}
	appendStringInfoChar(&buf, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
}

/* The result of a query of one jsonb, in this memory context.  As the extension's owner. */
static Datum
config_api_query(MemoryContext context, const char *sql, int nargs, Oid *types, Datum *values, const bool *nulls)
{
	MemoryContext old;
	Datum		result;

	as_owner_execute(sql, SPI_OK_SELECT, nargs, types, values, nulls);
	old = MemoryContextSwitchTo(context);
	result = JsonbPGetDatum(DatumGetJsonbPCopy(as_owner_result(1)));
	MemoryContextSwitchTo(old);
	return result;
}

/*
 * export_config(secrets, managed_by) returns jsonb
 */
Datum
webhook_export_config(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {OIDOID, BOOLOID, TEXTOID};
	Datum		values[3];
	bool		nulls[] = {false, false, PG_ARGISNULL(1)};
	Datum		document;
	RunAs		state;

	version_require();
	values[1] = argument_required(fcinfo, 0, "secrets");
	values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(argument_label(fcinfo, 1, "managed_by"));

	as_owner_begin(&state);
	values[0] = ObjectIdGetDatum(state.caller);
	document = config_api_query(context, "SELECT webhook.config_document($1, $2, $3)", 3, types, values, nulls);
	as_owner_end(&state);
	PG_RETURN_DATUM(document);
}

static void
config_api_refuse(int sqlstate, const char *path, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("invalid configuration: %s%s%s", path, path[0] != '\0' ? ": " : "", problem),
			 errhint("%s", hint)));
}

/* Raise an error if the structure of the document is wrong. */
static void
config_api_check(Datum config)
{
	Oid			types[] = {JSONBOID};

	if (as_owner_execute("SELECT * FROM webhook.config_problem($1)", SPI_OK_SELECT, 1, types, &config, NULL) > 0)
		config_api_refuse(ERRCODE_INVALID_PARAMETER_VALUE, TextDatumGetCString(as_owner_result(1)),
						  TextDatumGetCString(as_owner_result(2)), TextDatumGetCString(as_owner_result(3)));
}

/* The items of the configuration that a role may manage, as a JSON array. */
static Datum
config_api_items(MemoryContext context, Oid role)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(role)};

	return config_api_query(context, "SELECT COALESCE(jsonb_agg(i ORDER BY i.kind, i.key, i.id), '[]') FROM webhook.config_items($1) AS i", 1, types, values, NULL);
}

/* Read row i of the last query. */
static void
config_api_read_step(uint64 i, ConfigStep *step)
{
	HeapTuple	row = SPI_tuptable->vals[i];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	bool		isnull;
	Datum		array = SPI_getbinval(row, desc, 7, &isnull);

	memset(step, 0, sizeof(*step));
	step->path = SPI_getvalue(row, desc, 1);
	step->problem = SPI_getvalue(row, desc, 2);
	step->hint = SPI_getvalue(row, desc, 3);
	step->owner = SPI_getvalue(row, desc, 4);
	step->search_path = SPI_getvalue(row, desc, 5);
	step->command = SPI_getvalue(row, desc, 6);
	if (!isnull)
	{
		Datum	   *elements;
		bool	   *nulls;

		deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &step->nargs);
		Assert(step->nargs <= MAX_STEP_ARGS);
		for (int n = 0; n < step->nargs; n++)
			step->args[n] = nulls[n] ? NULL : TextDatumGetCString(elements[n]);
	}
	step->on_created = DatumGetBool(SPI_getbinval(row, desc, 8, &isnull));
}

/* What must be done; sets *steps, in this memory context.  Raises an error if it cannot be done. */
static uint64
config_api_plan(MemoryContext context, Datum before, Datum config, const char *role, ConfigStep **steps)
{
	Oid			types[] = {JSONBOID, JSONBOID, TEXTOID};
	Datum		values[] = {before, config, CStringGetTextDatum(role)};
	uint64		n = as_owner_execute("SELECT * FROM webhook.config_steps($1, $2, $3)", SPI_OK_SELECT, 3, types, values, NULL);
	MemoryContext old = MemoryContextSwitchTo(context);

	*steps = MemoryContextAllocHuge(context, Max(n, 1) * sizeof(ConfigStep));
	for (uint64 i = 0; i < n; i++)
	{
		ConfigStep *step = &(*steps)[i];

		config_api_read_step(i, step);
		if (step->problem != NULL)
			config_api_refuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, step->path, step->problem, step->hint);
	}
	MemoryContextSwitchTo(old);
	return n;
}

/* Execute the command of a step, after SPI_connect(); the id of a webhook that it creates goes to *created. */
static void
config_api_execute(const ConfigStep *step, char **created, MemoryContext context)
{
	Oid			types[MAX_STEP_ARGS];
	Datum		values[MAX_STEP_ARGS];
	char		nulls[MAX_STEP_ARGS + 1];

	for (int i = 0; i < step->nargs; i++)
	{
		const char *arg = i == 0 && step->on_created ? *created : step->args[i];

		types[i] = TEXTOID;
		values[i] = arg != NULL ? CStringGetTextDatum(arg) : (Datum) 0;
		nulls[i] = arg != NULL ? ' ' : 'n';
	}
	nulls[step->nargs] = '\0';
	(void) SPI_execute_with_args(step->command, step->nargs, types, values, nulls, false, 0);
	if (SPI_tuptable != NULL && SPI_gettypeid(SPI_tuptable->tupdesc, 1) == INT8OID)
	{
		char	   *id = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		*created = id != NULL ? MemoryContextStrdup(context, id) : NULL;
	}
}

/* The role of a step, which the caller must be a member of. */
static Oid
config_api_role(const ConfigStep *step, Oid caller)
{
	Oid			role = get_role_oid(step->owner, true);

	if (!OidIsValid(role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", step->owner),
				 errhint("Specify the name of a role as \"owner\", or omit it.")));
	if (!has_privs_of_role(caller, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be member of role \"%s\"", step->owner),
				 errhint("Objects of another role can be configured by superusers and by members of that role.")));
	return role;
}

static void
config_api_run(const ConfigStep *step, Oid caller, const char *search_path, char **created, MemoryContext context)
{
	RunAs		state;

	if (step->owner == NULL)
		as_owner_begin(&state);
	else
	{
		run_as_role(config_api_role(step, caller), step->search_path != NULL ? step->search_path : search_path, &state);
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
	}
	config_api_execute(step, created, context);
	as_owner_end(&state);
}

/*
 * Make the changes in a subtransaction; returns the items as they are then, and keeps
 * the changes if it should and if there are any.  Errors name the place in the document.
 */
static Datum
config_api_run_steps(MemoryContext context, const ConfigStep *steps, uint64 nsteps, Datum before, bool dry_run)
{
	Oid			caller = GetUserId();
	ResourceOwner owner = CurrentResourceOwner;
	char	   *search_path = run_as_current_search_path();
	char	   *created = NULL;
	const char *volatile path = NULL;
	Datum volatile after = (Datum) 0;
	RunAs		state;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		for (uint64 i = 0; i < nsteps; i++)
		{
			CHECK_FOR_INTERRUPTS();
			path = steps[i].path;
			config_api_run(&steps[i], caller, search_path, &created, context);
		}
		path = NULL;
		as_owner_begin(&state);
		after = config_api_items(context, caller);
		as_owner_end(&state);
	}
	PG_CATCH();
	{
		ErrorData  *error = subtransaction_abort(context, owner);

		if (path != NULL)
			error->message = psprintf("%s: %s", path, error->message);
		if (path != NULL && error->hint == NULL)
			error->hint = "Nothing has been changed. Correct the document there.";
		ReThrowError(error);
	}
	PG_END_TRY();
	if (dry_run || compareJsonbContainers(&DatumGetJsonbP(before)->root, &DatumGetJsonbP(after)->root) == 0)
		RollbackAndReleaseCurrentSubTransaction();
	else
		ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return after;
}

/* Make the changes, if there are any and they are wanted; sets *before and *after. */
static void
config_api_apply(MemoryContext context, Datum config, bool dry_run, Datum *before, Datum *after)
{
	ConfigStep *steps;
	uint64		nsteps;
	RunAs		state;

	as_owner_begin(&state);
	config_api_check(config);
	*before = config_api_items(context, state.caller);
	nsteps = config_api_plan(context, *before, config, GetUserNameFromId(state.caller, false), &steps);
	as_owner_end(&state);
	*after = config_api_run_steps(context, steps, nsteps, *before, dry_run);
}

/*
 * apply_config(config, dry_run) returns setof (object, action, detail)
 */
Datum
webhook_apply_config(PG_FUNCTION_ARGS)
{
	Oid			types[] = {JSONBOID, JSONBOID, JSONBOID, TEXTOID};
	Datum		values[4];
	bool		nulls[4] = {false};
	bool		dry_run;

	version_require();
	values[2] = argument_required(fcinfo, 0, "config");
	dry_run = DatumGetBool(argument_required(fcinfo, 1, "dry_run"));
	config_api_apply(CurrentMemoryContext, values[2], dry_run, &values[0], &values[1]);
	values[3] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	return as_owner_return_query(fcinfo, "SELECT object, action, detail FROM webhook.config_difference($1, $2, $3, $4)",
								 4, types, values, nulls);
}
