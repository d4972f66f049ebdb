/*-------------------------------------------------------------------------
 *
 * as_owner.h
 *		SQL on the extension's own tables, executed on behalf of the caller.
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
 * owner, with a search_path in which no other role can create objects.  After
 * an error in between, (sub)transaction abort cleans up.
 */
extern void as_owner_begin(RunAs *state);
extern void as_owner_end(RunAs *state);

/*
 * SPI_execute_with_args(), between as_owner_begin() and as_owner_end().  Raises
 * an error unless the command returns the expected result code (SPI_OK_...).
 * nulls has one bool per argument, or is NULL.  Returns the number of rows.
 */
extern uint64 as_owner_execute(const char *sql, int expected, int nargs,
							   Oid *types, Datum *values, const bool *nulls);

/* The same for a command whose only argument is a bigint, the id of a webhook. */
extern uint64 as_owner_execute_for_id(const char *sql, int expected, int64 id);

/* As as_owner_execute(), with this snapshot; InvalidSnapshot takes a new one. */
extern uint64 as_owner_execute_snapshot(const char *sql, int expected, int nargs,
										Oid *types, Datum *values, Snapshot snapshot);

/* Column of the first row returned by the last of these commands; 0 if null. */
extern Datum as_owner_result(int column);

/*
 * Body of a STABLE function that RETURNS TABLE: run the query as the extension's
 * owner and return its rows, whose columns must be those of the function.  Must
 * be called outside of as_owner_begin().  The caller's role is appended to the
 * arguments, as oid, so that the query can decide what the caller may see.
 */
extern Datum as_owner_return_query(FunctionCallInfo fcinfo, const char *sql, int nargs,
								   const Oid *types, const Datum *values, const bool *nulls);

#endif							/* WEBHOOK_AS_OWNER_H */
