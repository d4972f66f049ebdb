/*-------------------------------------------------------------------------
 *
 * home.h
 *		May this worker send what is in the outbox of its database?
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_HOME_H
#define WEBHOOK_HOME_H

#include "server/shmem.h"

typedef enum HomeState
{
	HOME_UNKNOWN,				/* not checked yet */
	HOME_OURS,					/* it may, and the position has been loaded */
	HOME_FOREIGN,				/* the outbox comes from another database:
								 * webhook.adopt() must be called */
	HOME_MISMATCHED				/* the extension is of another version than
								 * the library */
} HomeState;

extern HomeState home_state(void);

/* Must home_check() be called?  Other processes have written to its tables, or the version may have changed. */
extern bool home_check_due(void);

/*
 * Check it.  Requires a transaction with SPI connected and a lock on webhook.cursor.
 * Exits if the state in the worker's memory has become invalid.
 */
extern void home_check(DatabaseSlot *slot);

/* Is the position still the one that we know?  Requires a transaction with a lock on webhook.cursor. */
extern bool home_is_current(void);

#endif							/* WEBHOOK_HOME_H */
