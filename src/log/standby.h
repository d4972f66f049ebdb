/*-------------------------------------------------------------------------
 *
 * standby.h
 *		What the synchronous standbys have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_STANDBY_H
#define WEBHOOK_STANDBY_H

#include "utils/timestamp.h"

/* Messages have been read, perhaps by an earlier worker: everything visible now must reach the standbys first. */
extern void standby_note_read(void);

/* Do the synchronous standbys have all that has been read?  True if the server has none. */
extern bool standby_has_all(TimestampTz now);

/* While they do not: when to ask again. */
extern TimestampTz standby_next_check(void);

/* Does anything receive our WAL?  Its readers hold locks that nobody sees here. */
extern bool standby_connected(void);

#endif							/* WEBHOOK_STANDBY_H */
