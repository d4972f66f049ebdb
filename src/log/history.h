/*-------------------------------------------------------------------------
 *
 * history.h
 *		Messages that are kept after they have left the outbox.
 *
 * All functions must be called in the worker's transaction, with SPI connected.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_HISTORY_H
#define WEBHOOK_HISTORY_H

#include "datatype/timestamp.h"

/*
 * Move some messages of a drained partition of the outbox to the history.  Returns
 * true if there are no more, or if nothing is kept: the partition can be truncated.
 */
extern bool history_move(int partition, TimestampTz now);

/*
 * The same for those of any partition that are visible in a snapshot, given as text,
 * which must be one of a time before this transaction.
 */
extern bool history_move_visible(int partition, const char *snapshot, TimestampTz now, bool *locked);

/*
 * Lock the history for reading, until the end of the transaction.  False if a session prevents
 * it; the worker does not wait.
 */
extern bool history_lock(void);

/* It has been truncated. */
extern void history_note_truncated(int partition);

/*
 * Enforce history_retention and history_max_size.  Returns true if messages were removed before
 * their time since the last call, because of webhook.history_max_size.
 */
extern bool history_trim(TimestampTz now);

#endif							/* WEBHOOK_HISTORY_H */
