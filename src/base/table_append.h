/*-------------------------------------------------------------------------
 *
 * table_append.h
 *		Append rows to a table of the extension, without SQL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TABLE_APPEND_H
#define WEBHOOK_TABLE_APPEND_H

#include "executor/tuptable.h"
#include "utils/rel.h"

/* The table must be locked for writing, and a snapshot must be active, because values may be toasted. */
extern void table_append(Relation rel, TupleTableSlot **slots, int n);

#endif							/* WEBHOOK_TABLE_APPEND_H */
