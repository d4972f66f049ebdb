/*-------------------------------------------------------------------------
 *
 * rotation.h
 *		Which database gets a worker next, and which worker makes room for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ROTATION_H
#define WEBHOOK_ROTATION_H

#include "server/launch.h"

/*
 * Start workers as long as there is room, and ask others to leave if there is none.
 * For the launcher.  Takes the lock.  Returns the time of the next try, by
 * clock_monotonic().
 */
extern int64 rotation_start_workers(int64 now);

#endif							/* WEBHOOK_ROTATION_H */
