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
	HOME_UNKNOWN,				/* not asked yet */
	HOME_OURS,					/* it may, and the position has been loaded */
	HOME_FOREIGN,				/* the outbox comes from another database:
								 * someone must decide */
	HOME_MISMATCHED				/* the extension is of another version than
								 * the library */
} HomeState;

extern HomeState home_state(void);

/* Must home_check() be called again?  Its tables have been written to by others, or the version has changed. */
extern bool home_check_due(void);

/*
 * Find out, in the transaction of a turn.  The process ends if what it knows is
 * not true any more.
 */
extern void home_check(DatabaseSlot *slot);

/* The transaction has been committed: if the webhook that ended the last worker is deactivated, that is settled. */
extern void home_committed(DatabaseSlot *slot);

/* Is the position still the one that we know?  In a transaction that has locked webhook.cursor. */
extern bool home_is_current(void);

#endif							/* WEBHOOK_HOME_H */
