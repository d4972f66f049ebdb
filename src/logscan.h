/*-------------------------------------------------------------------------
 *
 * logscan.h
 *		Rows of the outbox, in the order of transaction id and message id.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_LOGSCAN_H
#define WEBHOOK_LOGSCAN_H

#include "access/genam.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"

#include "message.h"
#include "webhook.h"

/* Reads rows of the index from all partitions, in the order (xid, id). */
typedef struct LogScan
{
	Relation	heap[WEBHOOK_PARTITIONS];
	Relation	index[WEBHOOK_PARTITIONS];
	IndexScanDesc scan[WEBHOOK_PARTITIONS];
	TupleTableSlot *slot[WEBHOOK_PARTITIONS];	/* next row, empty: none */
	uint64		xid[WEBHOOK_PARTITIONS];
	int64		id[WEBHOOK_PARTITIONS];
	int			current;		/* partition of the row last returned, -1: none */
} LogScan;

/*
 * Rows with from_xid <= xid < to_xid; with from_id > 0 only those of from_xid
 * with ids from there on.  partition: -1 for all.  In a transaction with an
 * active snapshot.
 */
extern void logscan_begin(LogScan *scan, uint64 from_xid, uint64 to_xid, int64 from_id, int partition);

/* Move to the next row; false at the end. */
extern bool logscan_next(LogScan *scan);
extern void logscan_end(LogScan *scan);

/* A row as a message, in one piece of memory. */
extern Message *logscan_message(TupleTableSlot *slot, MemoryContext context);

#endif							/* WEBHOOK_LOGSCAN_H */
