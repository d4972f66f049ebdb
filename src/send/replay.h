/*-------------------------------------------------------------------------
 *
 * replay.h
 *		Messages of the history that are sent to one webhook again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_REPLAY_H
#define WEBHOOK_REPLAY_H

#include "datatype/timestamp.h"

/* When replay_turn() is due.  It requires a transaction, and must run before messages are dispatched. */
extern TimestampTz replay_next(TimestampTz now);
extern void replay_turn(TimestampTz now);

/* The clock has been set back: look at once at what is locked. */
extern void replay_clock_set_back(void);

/* Is there a replay that has not ended, and does not pause? */
extern bool replay_under_way(void);

#endif							/* WEBHOOK_REPLAY_H */
