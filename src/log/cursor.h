/*-------------------------------------------------------------------------
 *
 * cursor.h
 *		Read the log: keep the position, and return the next messages in order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CURSOR_H
#define WEBHOOK_CURSOR_H

#include "log/message.h"

typedef enum CursorHome
{
	CURSOR_HERE,				/* the log was written in this database of
								 * this server */
	CURSOR_FOREIGN				/* restored from a dump, or a copy of another
								 * database */
} CursorHome;

/*
 * Load the stored position if it was written here.  Must be called before all others,
 * again as long as the result is CURSOR_FOREIGN.  Requires a transaction with an
 * active snapshot and RowExclusiveLock on webhook.cursor.
 */
extern CursorHome cursor_load(void);

/*
 * Is the newest stored position the one that we saved, or loaded, last?  If not, the
 * state here is invalid, and the process must exit.  Requires the same.
 */
extern bool cursor_is_current(void);

/*
 * Read the next messages, in order of their ids, and call back for each.  Stops
 * after about max messages or max_bytes.  Returns whether there may be more.
 * Messages belong to the cursor; the callback may finish its message at once.
 * Requires a transaction.  After an error the state is undefined.
 */
extern bool cursor_read(int max, Size max_bytes, void (*callback) (Message *message));

/* Number and bytes of the messages that the position has not passed yet, and the oldest one or NULL. */
extern int	cursor_outstanding(void);
extern Size cursor_outstanding_bytes(void);
extern Message *cursor_oldest(void);

/*
 * Must be called when every delivery of a message is finished, or stored by this
 * transaction or an earlier one.  Once all earlier messages are finished, too, the
 * position advances and the message is freed.
 */
extern void cursor_finish(Message *message);

/* Has the position advanced since it was saved? */
extern bool cursor_moved(void);

/* Save the position, in the current transaction.  Requires SPI to be connected. */
extern void cursor_save(void);

/*
 * Windows are numbered in the order of their snapshots.  Everything that committed
 * before window N was opened has been processed when cursor_window_finished()
 * has reached N.
 */
extern uint64 cursor_window_opened(void);
extern uint64 cursor_window_finished(void);

/*
 * Is no window being read?  Then exactly what is visible in the snapshot, a pg_snapshot, has
 * been returned by cursor_read(), or processed before.
 */
extern bool cursor_between_windows(void);
extern Datum cursor_snapshot(void);

/* Does the partition contain a message that the position has not passed?  Requires a transaction. */
extern bool cursor_partition_unread(int partition);

#endif							/* WEBHOOK_CURSOR_H */
