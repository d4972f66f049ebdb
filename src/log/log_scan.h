/*-------------------------------------------------------------------------
 *
 * log_scan.h
 *		Messages of the outbox, in the order of transaction id and message id.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_LOG_SCAN_H
#define WEBHOOK_LOG_SCAN_H

#include "access/genam.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"

#include "log/message.h"
#include "log/packed_row.h"
#include "webhook.h"

/* Reads all partitions, in the order (xid, id). */
typedef struct LogScan
{
	Relation	heap[WEBHOOK_PARTITIONS];
	Relation	index[WEBHOOK_PARTITIONS];
	IndexScanDesc scan[WEBHOOK_PARTITIONS];
	TupleTableSlot *slot[WEBHOOK_PARTITIONS];	/* row of the next message, empty: none */
	uint64		xid[WEBHOOK_PARTITIONS];
	int64		id[WEBHOOK_PARTITIONS];
	bool		follows[WEBHOOK_PARTITIONS];	/* the next message is not the first of its row, but this one: */
	PackedMessage	follower[WEBHOOK_PARTITIONS];
	RunReader	run[WEBHOOK_PARTITIONS];
	struct varlena *more[WEBHOOK_PARTITIONS];	/* what that reads, if it had to be copied */
	int			current;		/* partition of the message last returned, -1: none */
} LogScan;

/*
 * Messages with from_xid <= xid < to_xid; with from_id > 0 only those of from_xid
 * with ids from there on.  partition: -1 for all.  In a transaction with an
 * active snapshot.
 */
extern void log_scan_begin(LogScan *scan, uint64 from_xid, uint64 to_xid, int64 from_id, int partition);

/* Move to the next message; false at the end. */
extern bool log_scan_next(LogScan *scan);
extern void log_scan_end(LogScan *scan);

/* The fence that the current message carries, or invalid. */
extern FullTransactionId log_scan_fence(LogScan *scan);

/* The current message in one piece of memory. */
extern Message *log_scan_message(LogScan *scan, MemoryContext context);

#endif							/* WEBHOOK_LOG_SCAN_H */
