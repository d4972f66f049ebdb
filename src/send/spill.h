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
 * A delivery that is not being sent any more, or has not been, leaves memory:
 * have it written with the next transaction, in this state, and release its key.
 */
extern void spill_write_later(Delivery *delivery, DeliveryState state,
							  TimestampTz next_attempt_at, const char *error);

/* It is queued again: it need not be written after all. */
extern void spill_keep(Delivery *delivery);

/* It is done with: forget it, have its row, if any, deleted with the next transaction, and release its key. */
extern void spill_finish(Delivery *delivery);

/* The endpoint is failing: what it has in the table waits for probes. */
extern void spill_start_failing(Endpoint *endpoint);

/* Take what is not being sent out of memory; it is written to the table. */
extern void spill_put_aside(Endpoint *endpoint);

/* The same for what follows a delivery that has to be retried. */
extern void spill_put_key_aside(OrderKey *key);

/* Have all that is in memory of an endpoint written; what is being sent goes on, and the rest is read back later. */
extern void spill_endpoint(Endpoint *endpoint);

/* Before the end: have what later ones have overtaken written to the table, so that the cursor passes these. */
extern void spill_all_overtaken(void);

/* Rows written from now on may be due before others that have been read already. */
extern void spill_clock_set_back(void);

/* These run in a transaction with SPI connected. */
extern void spill_recover(void);

/* Find the rows that must be retried again, and the keys that they block. */
extern void spill_block_retrying(void);

extern void spill_config_changed(void);

/*
 * Other networks are allowed: what waits because its address was not is due now.  What cannot be locked keeps its
 * time.
 */
extern void spill_retry_forbidden(TimestampTz now);

/*
 * Does the table hold this delivery already?  After a crash messages are read again that had been written
 * there, and their rows know more.
 */
extern bool spill_known(int64 webhook_id, int64 id);
extern void spill_save(void);

extern bool spill_save_due(TimestampTz now);
extern TimestampTz spill_next_save(void);	/* when to try again what has been
											 * refused a lock */

#endif							/* WEBHOOK_SPILL_H */
