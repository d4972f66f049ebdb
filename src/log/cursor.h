/*-------------------------------------------------------------------------
 *
 * cursor.h
 *		The reading end of the log: what has been dealt with, what comes next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CURSOR_H
#define WEBHOOK_CURSOR_H

#include "log/message.h"

typedef enum CursorHome
{
	CURSOR_HERE,				/* the log was written in this database of this server */
	CURSOR_FOREIGN				/* restored from a dump, or a copy of another database */
} CursorHome;

/* Load the persisted position if it is ours.  In a transaction with an active snapshot. */
extern CursorHome cursor_load(void);

/* Is the newest position in the table the one that we have saved, or loaded, last?  In a transaction. */
extern bool cursor_is_current(void);

/*
 * Read the next messages, in the order of their ids, and hand each to the
 * callback.  Stops after about max messages or max_bytes.  Returns whether
 * there may be more.  In a transaction.
 */
extern bool cursor_read(int max, Size max_bytes, void (*callback) (Message *message));

/* Messages handed out that the position has not passed yet, their bytes, and the oldest of them. */
extern int	cursor_outstanding(void);
extern Size cursor_outstanding_bytes(void);
extern Message *cursor_oldest(void);

/*
 * Every delivery of the message is done or stands in the delivery table.  The
 * position moves on when all earlier ones are finished too.  The message is
 * freed then.
 */
extern void cursor_finish(Message *message);

/* Has the position moved since it was saved? */
extern bool cursor_moved(void);

/* Save the position, with the current transaction. */
extern void cursor_save(void);

/*
 * Windows are numbered in the order in which their snapshots were taken.  What
 * had committed before the last one opened is dealt with as soon as
 * cursor_window_finished() has reached its number.
 */
extern uint64 cursor_window_opened(void);
extern uint64 cursor_window_finished(void);

/* Does the partition hold a message that the position has not passed?  In a transaction. */
extern bool cursor_partition_unread(int partition);

#endif							/* WEBHOOK_CURSOR_H */
