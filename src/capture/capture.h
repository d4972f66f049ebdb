/*-------------------------------------------------------------------------
 *
 * capture.h
 *		The row trigger, and what it does while the statement runs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CAPTURE_H
#define WEBHOOK_CAPTURE_H

#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/rel.h"

extern void capture_init(void);

/* The row trigger. */
extern PGDLLEXPORT Datum webhook_capture(PG_FUNCTION_ARGS);

/*
 * Capture a change of one row of an ordinary table without queuing a trigger
 * event: old and new are NULL where a trigger would not have them.  False:
 * nothing has been done, the change must be left to the trigger.
 */
extern bool capture_inline(Relation rel, TupleTableSlot *old, TupleTableSlot *new);

#endif							/* WEBHOOK_CAPTURE_H */
