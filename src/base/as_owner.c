/*-------------------------------------------------------------------------
 *
 * as_owner.c
 *		SQL on the extension's own tables, executed on behalf of the caller.
 *
 * Application roles have no privileges on the tables in schema webhook, which
 * contain secrets of other roles.  Our functions access them as the extension's
 * owner.  SECURITY DEFINER would do that, too, but then a function could not
 * find out which role called it: current_user is the owner in there, and
 * session_user is the wrong role after SET ROLE or inside another SECURITY
 * DEFINER function.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "base/as_owner.h"
#include "base/catalog.h"

/* Maximum number of arguments of a query, including the caller's role. */
#define MAX_QUERY_ARGS		8

void
as_owner_begin(RunAs *state)
{
	run_as_extension_owner(catalog_require()->extension_owner, state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
as_owner_end(RunAs *state)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	run_as_end(state);
}

static uint64
as_owner_run(const char *sql, int expected, int nargs,
			 Oid *types, Datum *values, const bool *nulls, bool read_only)
{
	char	   *spi_nulls = palloc(nargs + 1);
	int			result;

	Assert(run_as_is_nested());
	for (int i = 0; i < nargs; i++)
		spi_nulls[i] = (nulls && nulls[i]) ? 'n' : ' ';
	spi_nulls[nargs] = '\0';

	result = SPI_execute_with_args(sql, nargs, types, values, spi_nulls, read_only, 0);
	if (result != expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	return SPI_processed;
}

uint64
as_owner_execute(const char *sql, int expected, int nargs,
				 Oid *types, Datum *values, const bool *nulls)
{
	return as_owner_run(sql, expected, nargs, types, values, nulls, false);
}

uint64
as_owner_execute_for_id(const char *sql, int expected, int64 id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};

	return as_owner_execute(sql, expected, 1, types, values, NULL);
}

uint64
as_owner_execute_snapshot(const char *sql, int expected, int nargs,
						  Oid *types, Datum *values, Snapshot snapshot)
{
	SPIPlanPtr	plan;
	int			result;

	Assert(run_as_is_nested());
	plan = SPI_prepare(sql, nargs, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	result = SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot, false, true, 0);
	if (result != expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	return SPI_processed;
}

Datum
as_owner_result(int column)
{
	bool		isnull;

	Assert(SPI_tuptable != NULL && SPI_processed > 0);
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);
}

/* Set up a tuplestore to return a set in materialize mode. */
static Tuplestorestate *
as_owner_begin_set(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	TupleDesc	desc;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		!(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setDesc = CreateTupleDescCopy(desc);
	rsinfo->setResult = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0,
											  false, work_mem);
	MemoryContextSwitchTo(old);
	return rsinfo->setResult;
}

Datum
as_owner_return_query(FunctionCallInfo fcinfo, const char *sql, int nargs,
					  const Oid *types, const Datum *values, const bool *nulls)
{
	Tuplestorestate *result = as_owner_begin_set(fcinfo);
	Oid			all_types[MAX_QUERY_ARGS];
	Datum		all_values[MAX_QUERY_ARGS];
	bool		all_nulls[MAX_QUERY_ARGS];
	uint64		nrows;
	RunAs		state;

	Assert(nargs < MAX_QUERY_ARGS);
	for (int i = 0; i < nargs; i++)
	{
		all_types[i] = types[i];
		all_values[i] = values[i];
		all_nulls[i] = nulls[i];
	}
	all_types[nargs] = OIDOID;
	all_values[nargs] = ObjectIdGetDatum(GetUserId());
	all_nulls[nargs] = false;

	as_owner_begin(&state);
	nrows = as_owner_run(sql, SPI_OK_SELECT, nargs + 1, all_types, all_values, all_nulls, true);
	for (uint64 i = 0; i < nrows; i++)
		tuplestore_puttuple(result, SPI_tuptable->vals[i]);
	as_owner_end(&state);
	return (Datum) 0;
}
