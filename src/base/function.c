/*-------------------------------------------------------------------------
 *
 * function.c
 *		Functions named by users; the name alone suffices if one function fits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "base/argument.h"
#include "base/function.h"


/* All functions with this name that are visible or, if it is qualified, in its schema. */
static List *
function_candidates(const char *text)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(text));
	char	   *schema;
	char	   *name;
	Oid			namespace = InvalidOid;
	List	   *result = NIL;
	CatCList   *procs;

	DeconstructQualifiedName(names, &schema, &name);
	if (schema != NULL)
		namespace = LookupExplicitNamespace(schema, true);
	procs = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	for (int i = 0; i < procs->n_members; i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&procs->members[i]->tuple);

		if (schema != NULL ? proc->pronamespace == namespace : FunctionIsVisible(proc->oid))
			result = lappend_oid(result, proc->oid);
	}
	ReleaseSysCacheList(procs);
	return result;
}

/* Look up a signature as regprocedurein() does, with errors that name our argument. */
static Oid
function_input(const char *argument, const char *text, const char *hint)
{
	MemoryContext context = CurrentMemoryContext;
	Oid volatile result = InvalidOid;

	PG_TRY();
	{
		result = DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(text)));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 errmsg("invalid value for argument \"%s\": %s", argument,
						argument_excerpt(error->message, strlen(error->message))),
				 errhint("%s", hint)));
	}
	PG_END_TRY();
	return result;
}

Oid
function_find(const char *argument, const char *text, bool (*fits) (Oid function, Oid arg), Oid arg, const char *hint)
{
	List	   *candidates;
	List	   *fitting = NIL;
	StringInfoData list;
	ListCell   *lc;

	/* As for regprocedurein(), a number is an OID. */
	if (strchr(text, '(') != NULL || strspn(text, "0123456789") == strlen(text))
		return function_input(argument, text, hint);
	candidates = function_candidates(text);
	foreach(lc, candidates)
	{
		if (fits(lfirst_oid(lc), arg))
			fitting = lappend_oid(fitting, lfirst_oid(lc));
	}
	if (list_length(fitting) == 1)
		return linitial_oid(fitting);
	if (candidates == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("invalid value for argument \"%s\"", argument),
				 errdetail("Function \"%s\" does not exist.", argument_excerpt(text, strlen(text))),
				 errhint("%s", hint)));
	initStringInfo(&list);
	foreach(lc, fitting != NIL ? fitting : candidates)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", format_procedure(lfirst_oid(lc)));
	ereport(ERROR,
			(errcode(fitting != NIL ? ERRCODE_AMBIGUOUS_FUNCTION : ERRCODE_INVALID_FUNCTION_DEFINITION),
			 errmsg("invalid value for argument \"%s\"", argument),
			 errdetail(fitting != NIL ? "More than one function fits: %s." :
					   "Argument or result types do not fit: %s.", list.data),
			 errhint("%s", hint)));
	return InvalidOid;			/* not reached */
}

bool
function_is_transform(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	Oid		   *args;
	bool		fits;

	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	args = proc->proargtypes.values;
	fits = proc->prokind == PROKIND_FUNCTION &&
		!proc->proretset &&
		proc->prorettype == JSONBOID &&
		(proc->pronargs == 1 || proc->pronargs == 3 || proc->pronargs == 4) &&
		args[0] == JSONBOID &&
		(proc->pronargs == 1 || (args[1] == TEXTOID && args[2] == TEXTOID)) &&
		(proc->pronargs < 4 || args[3] == JSONBOID);
	ReleaseSysCache(tuple);
	return fits;
}

char *
function_argument(FunctionCallInfo fcinfo, int n)
{
	Oid		   *types;
	int			ntypes;

	if (PG_ARGISNULL(n))
		return NULL;
	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &ntypes);
	if (n < ntypes && types[n] == REGPROCEDUREOID)
		return format_procedure_qualified(DatumGetObjectId(PG_GETARG_DATUM(n)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}
