/*-------------------------------------------------------------------------
 *
 * webhook_lock.h
 *		Who changes the rows of a webhook.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WEBHOOK_LOCK_H
#define WEBHOOK_WEBHOOK_LOCK_H

#include "datatype/timestamp.h"

/* A session: wait until nobody else does, and keep others from it until the end of the transaction. */
extern void webhook_lock_wait(int64 webhook_id);

/* The worker: at the start of each transaction, and before it changes rows that exist.  False: later. */
extern void webhook_lock_begin(void);
extern bool webhook_lock_try(int64 webhook_id);

/* Was a claim refused because the transaction has so many?  Then another one can go on at once. */
extern bool webhook_lock_limited(void);

/* When to ask again for what somebody else has; DT_NOEND: nobody has.  And: do so the next time. */
extern TimestampTz webhook_lock_next_try(void);
extern void webhook_lock_ask_again(void);

#endif							/* WEBHOOK_WEBHOOK_LOCK_H */
