/*-------------------------------------------------------------------------
 *
 * capture.h
 *		From a changed row to a message in the outbox.
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
 * Capture a change of one row of an ordinary table without waiting for its
 * trigger: old and new are NULL where a trigger would not have them.  False: nothing
 * has been done, this one is for the trigger.
 */
extern bool capture_at_once(Relation rel, TupleTableSlot *old, TupleTableSlot *new);

#endif							/* WEBHOOK_CAPTURE_H */
