/*-------------------------------------------------------------------------
 *
 * wakeup.h
 *		Waking the worker when a transaction commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WAKEUP_H
#define WEBHOOK_WAKEUP_H

/* When this transaction commits, the worker looks for messages and for due work. */
extern void wakeup_at_commit(void);

/* When this transaction commits, every process reads the configuration again, and the worker the delivery table. */
extern void wakeup_reload_at_commit(void);

/* The end of the transaction; a prepared one has not committed. */
extern void wakeup_end_transaction(bool committed);

#endif							/* WEBHOOK_WAKEUP_H */
