/*-------------------------------------------------------------------------
 *
 * unread.h
 *		The messages in the outbox that have not been processed, for any process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_UNREAD_H
#define WEBHOOK_UNREAD_H

#include "access/transam.h"

#include "log/cursor_table.h"
#include "log/log_scan.h"

/* What has been processed, according to the newest positions.  done is NULL if there is no such position. */
typedef struct Unread
{
	CursorPosition own;
	CursorPosition restored;	/* came with messages restored from a dump,
								 * see 50_adopt.sql */
} Unread;

/*
 * Load the positions, in the current memory context.  Requires an active snapshot,
 * like all of the following.
 */
extern void unread_load(Unread *unread);

/* Has a message not been processed?  fence is that of its row. */
extern bool unread_contains(const Unread *unread, uint64 xid, int64 id, FullTransactionId fence);

/* Reads them by the index: the ranges of transaction ids that can contain unread messages, one after the other. */
typedef struct UnreadScan
{
	const Unread *unread;
	LogScan		log;			/* at the current message */
	bool		open;			/* are the tables open? */
	int			range;			/* number of the current range */
	uint64		xid;			/* where to continue in it */
	int64		id;				/* if > 0, with this id of that transaction */
	uint64		end;			/* the range's end */
	int			nmessages;		/* messages read, whether unread or not */
	int			nrows;			/* the same of rows */
} UnreadScan;

/* Begin a scan, without locking anything yet.  unread must outlive it. */
extern void unread_scan_begin(UnreadScan *scan, const Unread *unread);

/*
 * Advance to the next unread message; false at the end.  With max_messages > 0, also
 * false when that many have been read: then the scan can only be paused, not continued.
 */
extern bool unread_scan_next(UnreadScan *scan, int max_messages);

/*
 * Close the tables, which releases their locks.  unread_scan_next() opens them again and
 * continues after the current message.
 */
extern void unread_scan_pause(UnreadScan *scan);

#endif							/* WEBHOOK_UNREAD_H */
