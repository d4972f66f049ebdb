/*-------------------------------------------------------------------------
 *
 * as_owner.h
 *		SQL on the extension's own tables, on behalf of whoever called.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_AS_OWNER_H
#define WEBHOOK_AS_OWNER_H

#include "fmgr.h"
#include "utils/snapshot.h"

#include "base/run_as.h"

/*
 * Between these two, SPI is connected and everything runs as the extension's
 * owner with a search_path that nobody else can put anything into.  An error
 * in between leaves nothing to clean up: the end of the (sub)transaction does.
 */
extern void as_owner_begin(RunAs *state);
extern void as_owner_end(RunAs *state);

/*
 * SPI_execute_with_args(), within as_owner_begin(); errors out unless the
 * command succeeds with the expected result code (SPI_OK_...).  nulls is one
 * bool per argument, or NULL.  Returns the number of rows.
 */
extern uint64 as_owner_execute(const char *sql, int expected, int nargs,
							   Oid *types, Datum *values, const bool *nulls);

/* The same for a command whose only argument is the id of a webhook. */
extern uint64 as_owner_execute_for_id(const char *sql, int expected, int64 id);

/* The first with this snapshot; InvalidSnapshot: a usual one. */
extern uint64 as_owner_execute_snapshot(const char *sql, int expected, int nargs,
										Oid *types, Datum *values, Snapshot snapshot);

/* Column of the first row that the last of these commands returned; 0 if it is null. */
extern Datum as_owner_result(int column);

/*
 * For a STABLE function that RETURNS TABLE: run the query as the extension's owner
 * and return its rows, whose columns must be those of the function.  To be
 * called outside of as_owner_begin().  The caller's role is appended to the
 * arguments, as oid; the query judges by it what may be seen.
 */
extern Datum as_owner_return_query(FunctionCallInfo fcinfo, const char *sql, int nargs,
								   const Oid *types, const Datum *values, const bool *nulls);

#endif							/* WEBHOOK_AS_OWNER_H */
