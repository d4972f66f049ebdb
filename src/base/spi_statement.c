/*-------------------------------------------------------------------------
 *
 * spi_statement.c
 *		SQL of the worker: prepared once, executed often.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/spi_statement.h"
#include "base/wire.h"
#include "compat.h"

uint64
spi_statement_execute(SpiStatement *statement, Datum *values, const char *nulls)
{
	int			result;

	Assert(IsTransactionState());
	Assert(statement->nargs <= STATEMENT_MAX_ARGS);
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->sql, statement->nargs, statement->types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\"", statement->sql);
		statement->plan = plan;
	}

	/*
	 * Release the previous result: one transaction may load thousands of
	 * endpoints.
	 */
	if (SPI_tuptable != NULL)
		SPI_freetuptable(SPI_tuptable);
	result = SPI_execute_plan(statement->plan, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement->sql, SPI_result_code_string(result));
	return SPI_processed;
}

char *
spi_statement_text(uint64 row, int column)
{
	Assert(SPI_tuptable != NULL && row < SPI_tuptable->numvals);
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

Datum
spi_statement_value(uint64 row, int column, bool *isnull)
{
	Assert(SPI_tuptable != NULL && row < SPI_tuptable->numvals);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

int32
spi_statement_int32(uint64 row, int column, int32 absent)
{
	bool		isnull;
	Datum		d = spi_statement_value(row, column, &isnull);

	return isnull ? absent : DatumGetInt32(d);
}

int64
spi_statement_int64(uint64 row, int column, int64 absent)
{
	bool		isnull;
	Datum		d = spi_statement_value(row, column, &isnull);

	return isnull ? absent : DatumGetInt64(d);
}

TimestampTz
spi_statement_timestamp(uint64 row, int column, TimestampTz absent)
{
	bool		isnull;
	Datum		d = spi_statement_value(row, column, &isnull);

	return isnull ? absent : DatumGetTimestampTz(d);
}

Datum
spi_statement_safe_text(const char *text, int len)
{
	StringInfoData safe;

	initStringInfo(&safe);
	wire_to_server(&safe, text, len);
	return PointerGetDatum(cstring_to_text_with_len(safe.data, safe.len));
}
