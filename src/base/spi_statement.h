/*-------------------------------------------------------------------------
 *
 * spi_statement.h
 *		SQL of the worker: prepared once, executed often.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SPI_STATEMENT_H
#define WEBHOOK_SPI_STATEMENT_H

#include "datatype/timestamp.h"
#include "executor/spi.h"

#define STATEMENT_MAX_ARGS	24

/* One static variable per statement; plan is filled in by the first execution. */
typedef struct SpiStatement
{
	const char *sql;
	int			nargs;
	Oid			types[STATEMENT_MAX_ARGS];
	SPIPlanPtr	plan;
} SpiStatement;

/*
 * Execute a statement; nulls is as for SPI_execute_plan().  Requires a
 * transaction and a connection to SPI.  Returns the number of rows; the result
 * is valid until the next statement is executed.
 */
extern uint64 spi_statement_execute(SpiStatement *statement, Datum *values, const char *nulls);

/* Column of row i of the last result (counted from 1), as text or NULL. */
extern char *spi_statement_text(uint64 row, int column);
extern Datum spi_statement_value(uint64 row, int column, bool *isnull);

/* The same as a number, or the default for null. */
extern int32 spi_statement_int32(uint64 row, int column, int32 absent);
extern int64 spi_statement_int64(uint64 row, int column, int64 absent);
extern TimestampTz spi_statement_timestamp(uint64 row, int column, TimestampTz absent);

/* Data from a receiver as text that is valid in the database's encoding, see wire_to_server(). */
extern Datum spi_statement_safe_text(const char *text, int len);

#endif							/* WEBHOOK_SPI_STATEMENT_H */
