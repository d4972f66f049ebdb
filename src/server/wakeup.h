/*-------------------------------------------------------------------------
 *
 * wakeup.h
 *		Waking the worker when a transaction commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WAKEUP_H
#define WEBHOOK_WAKEUP_H

/* Wake the worker at commit, to look for messages and due deliveries. */
extern void wakeup_at_commit(void);

/* At commit let all processes reload the configuration, and the worker the delivery table. */
extern void wakeup_reload_at_commit(void);

/* At commit let the launcher find out that the extension does not exist any more. */
extern void wakeup_extension_dropped_at_commit(void);

/* Must be called at the end of the transaction; committed is false for a prepared one. */
extern void wakeup_end_transaction(bool committed);

#endif							/* WEBHOOK_WAKEUP_H */
