/*-------------------------------------------------------------------------
 *
 * spi_statement.h
 *		SQL of the worker: prepared once, executed often.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SPI_STATEMENT_H
#define WEBHOOK_SPI_STATEMENT_H

#include "executor/spi.h"

#define STATEMENT_MAX_ARGS	20

/* A static one per statement; plan is filled in at its first execution. */
typedef struct SpiStatement
{
	const char *sql;
	int			nargs;
	Oid			types[STATEMENT_MAX_ARGS];
	SPIPlanPtr	plan;
} SpiStatement;

/*
 * Execute, within SPI_connect(); nulls as SPI wants them or NULL.  Errors out
 * unless it succeeds.  Returns the number of rows; the result
 * is there until the next statement is executed.
 */
extern uint64 spi_statement_execute(SpiStatement *statement, Datum *values, const char *nulls);

/* Column of row i of the last result (counted from 1), as text or NULL. */
extern char *spi_statement_text(uint64 row, int column);
extern Datum spi_statement_value(uint64 row, int column, bool *isnull);

/*
 * Text that may hold anything a receiver sends, made valid in the database's encoding: see wire_to_server().
 */
extern Datum spi_statement_safe_text(const char *text, int len);

#endif							/* WEBHOOK_SPI_STATEMENT_H */
