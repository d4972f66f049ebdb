/*-------------------------------------------------------------------------
 *
 * spill.h
 *		Deliveries on their way to the delivery table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SPILL_H
#define WEBHOOK_SPILL_H

#include "send/delivery_table.h"
#include "send/order_key.h"

extern void spill_init(MemoryContext context);

/*
 * Write a delivery, which is not being sent (any more), with the next
 * transaction in this state.  Releases its key; it leaves memory when it has
 * been written.
 */
extern void spill_write_later(Delivery *delivery, DeliveryState state,
							  TimestampTz next_attempt_at, const char *error);

/* Cancel that, because the delivery is queued again. */
extern void spill_keep(Delivery *delivery);

/* The delivery is finished: forget it, release its key, and delete its row, if any, with the next transaction. */
extern void spill_finish(Delivery *delivery);

/* The same for one that is not sent, as its transform has returned null. */
extern void spill_drop(Delivery *delivery);

/* The endpoint is failing: its rows wait for probes. */
extern void spill_start_failing(Endpoint *endpoint);

/* Remove what is not being sent from memory; it is written to the table. */
extern void spill_put_aside(Endpoint *endpoint);

/* The same for what follows a delivery that has to be retried. */
extern void spill_put_key_aside(OrderKey *key);

/* Write all deliveries of an endpoint to the table.  Requests in flight go on, and the rest is read back later. */
extern void spill_endpoint(Endpoint *endpoint);

/*
 * What the endpoint has and was read before that time waits for a batch: write it
 * as well, so that the cursor can move on.  It stays in memory until it is sent.
 */
extern void spill_waiting(Endpoint *endpoint, TimestampTz before);

/* At shutdown: write deliveries that later ones have overtaken, so that the cursor can pass them. */
extern void spill_all_overtaken(void);

/* Rows written from now on may be due before others that have been read already. */
extern void spill_clock_set_back(void);

/* These run in a transaction with SPI connected. */
extern void spill_recover(void);

/* Find the rows that must be retried again, and the keys that they block. */
extern void spill_block_retrying(void);

extern void spill_config_changed(void);

/*
 * The allowed networks have changed: rows that wait because their address was
 * not allowed are due now, except those whose webhook is locked.
 */
extern void spill_retry_forbidden(TimestampTz now);

/*
 * Is this delivery in the table already?  After a crash, messages are read
 * again whose rows contain the attempts made.
 */
extern bool spill_known(int64 webhook_id, int64 id);
extern void spill_save(void);

extern bool spill_save_due(TimestampTz now);
extern TimestampTz spill_next_save(void);	/* when to try again after a lock
											 * was refused */

#endif							/* WEBHOOK_SPILL_H */
