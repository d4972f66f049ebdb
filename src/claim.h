/*-------------------------------------------------------------------------
 *
 * claim.h
 *		Who changes the rows of a webhook.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CLAIM_H
#define WEBHOOK_CLAIM_H

/* A session: wait until nobody else does, and keep others from it until the end of the transaction. */
extern void claim_wait(int64 webhook_id);

/* The worker: at the start of each transaction, and before it changes rows that exist.  False: later. */
extern void claim_begin(void);
extern bool claim_try(int64 webhook_id);

#endif							/* WEBHOOK_CLAIM_H */
