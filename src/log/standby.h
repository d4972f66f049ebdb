/*-------------------------------------------------------------------------
 *
 * standby.h
 *		Do not send what the synchronous standbys have not flushed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_STANDBY_H
#define WEBHOOK_STANDBY_H

#include "utils/timestamp.h"

/*
 * No function requires a transaction.
 *
 * Messages have been read, perhaps by an earlier worker: the standbys must flush
 * everything that is visible now.
 */
extern void standby_note_read(void);

/* Have the synchronous standbys flushed everything that has been read?  Also true if there are none. */
extern bool standby_has_all(TimestampTz now);

/* If they have not, the time of the next check, else DT_NOEND. */
extern TimestampTz standby_next_check(void);

/* Is any standby connected?  The locks of its queries are not visible here. */
extern bool standby_connected(void);

#endif							/* WEBHOOK_STANDBY_H */
