/*-------------------------------------------------------------------------
 *
 * wakeup.h
 *		Waking the worker when a transaction commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WAKEUP_H
#define WEBHOOK_WAKEUP_H

/*
 * These take effect if the current transaction commits, once its changes are visible.
 *
 * Wake the worker, to look for messages and due deliveries.
 */
extern void wakeup_at_commit(void);

/* Have all processes reload the configuration, and the worker look at the delivery table. */
extern void wakeup_reload_at_commit(void);

/* Have the launcher find out that the extension no longer exists. */
extern void wakeup_extension_dropped_at_commit(void);

/* Must be called at the end of every transaction; committed is false for a prepared one. */
extern void wakeup_end_transaction(bool committed);

#endif							/* WEBHOOK_WAKEUP_H */
