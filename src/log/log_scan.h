/*-------------------------------------------------------------------------
 *
 * log_scan.h
 *		Scan the outbox in order of transaction id and message id.
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

/*
 * The transaction id of messages restored from a dump, see 50_adopt.sql.  No window
 * contains it.
 */
#define LOG_SCAN_RESTORED_XID	0

/* Reads all partitions, in the order (xid, id). */
typedef struct LogScan
{
	Relation	heap[WEBHOOK_PARTITIONS];
	Relation	index[WEBHOOK_PARTITIONS];
	IndexScanDesc scan[WEBHOOK_PARTITIONS];
	TupleTableSlot *slot[WEBHOOK_PARTITIONS];	/* row of the next message;
												 * empty at the end */
	uint64		xid[WEBHOOK_PARTITIONS];
	int64		id[WEBHOOK_PARTITIONS];
	bool		follows[WEBHOOK_PARTITIONS];	/* is the next message not the
												 * first of its row, but this
												 * one? */
	PackedMessage follower[WEBHOOK_PARTITIONS];
	RunReader	run[WEBHOOK_PARTITIONS];
	struct varlena *more[WEBHOOK_PARTITIONS];	/* the data that run reads, if
												 * it had to be detoasted */
	int			current;		/* partition of the current message, or -1 */
} LogScan;

/*
 * Scan messages with from_xid <= xid < to_xid; if from_id > 0, only those of from_xid
 * with at least this id.  partition is -1 for all of them.  Requires a transaction with
 * an active snapshot, which must remain until log_scan_end(), and locks the tables
 * until then.  Allocates in the current memory context, which must not be reset before.
 */
extern void log_scan_begin(LogScan *scan, uint64 from_xid, uint64 to_xid, int64 from_id, int partition);

/*
 * Advance to the next message; false at the end.  Raises an error, which names the row,
 * if its contents are invalid.
 */
extern bool log_scan_next(LogScan *scan);
extern void log_scan_end(LogScan *scan);

/* The fence of the current message, or InvalidFullTransactionId; see cursor.c. */
extern FullTransactionId log_scan_fence(LogScan *scan);

/* A copy of the current message, without a window. */
extern Message *log_scan_message(LogScan *scan, MemoryContext context);

/*
 * Does the outbox, or this partition (-1: any), contain messages that were restored
 * from a dump?  Requires a transaction with an active snapshot.
 */
extern bool log_scan_has_restored(int partition);

#endif							/* WEBHOOK_LOG_SCAN_H */
