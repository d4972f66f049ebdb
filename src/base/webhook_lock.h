/*-------------------------------------------------------------------------
 *
 * webhook_lock.h
 *		A lock per webhook, which sessions wait for and the worker only tries.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WEBHOOK_LOCK_H
#define WEBHOOK_WEBHOOK_LOCK_H

#include "datatype/timestamp.h"

/*
 * For sessions: keep the worker from changing rows of the webhook until the end of
 * the transaction, waiting for it if necessary.  To exclude other sessions as well,
 * lock the row of the webhook after that.
 */
extern void webhook_lock_wait(int64 webhook_id);

/* Is it held by this transaction?  For assertions. */
extern bool webhook_lock_is_held(int64 webhook_id);

/* Must be called at the end of every transaction. */
extern void webhook_lock_at_eoxact(void);

/*
 * For the worker: webhook_lock_begin() must be called at the start of each
 * transaction, webhook_lock_try() before changing existing rows of a webhook.  The
 * latter returns false if the rows cannot be changed in this transaction.
 */
extern void webhook_lock_begin(void);
extern bool webhook_lock_try(int64 webhook_id);

/* Was a lock refused because the transaction has too many?  Then the next transaction can go on at once. */
extern bool webhook_lock_limited(void);

/* Time of the next try for locks held by sessions, DT_NOEND if there are none. */
extern TimestampTz webhook_lock_next_try(void);

/* Forget the pauses: try all of them in the next transaction. */
extern void webhook_lock_retry_now(void);

#endif							/* WEBHOOK_WEBHOOK_LOCK_H */
