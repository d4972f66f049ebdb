/*-------------------------------------------------------------------------
 *
 * transaction.h
 *		What happens at the end of transactions and subtransactions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TRANSACTION_H
#define WEBHOOK_TRANSACTION_H

/* Register the callbacks of the library. */
extern void transaction_init(void);

#endif							/* WEBHOOK_TRANSACTION_H */
