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

/* Must be called once, before the others.  The context is that of deliveries. */
extern void spill_init(MemoryContext context);

/*
 * The functions up to spill_clock_set_back() change memory and list what the next
 * transaction must write.  They require none themselves.
 *
 * Have a delivery that is not being sent written in this state.  Releases its key; it
 * leaves memory when it has been written.  The error, or NULL, is copied.
 */
extern void spill_write_later(Delivery *delivery, DeliveryState state,
							  TimestampTz next_attempt_at, const char *error);

/* Cancel that, because the delivery will be queued again or is finished. */
extern void spill_cancel_write(Delivery *delivery);

/* The delivery is finished: release its key, free it, and have its row deleted, if any. */
extern void spill_finish(Delivery *delivery);

/* The same for one that is not sent, because its transform has returned null. */
extern void spill_drop(Delivery *delivery);

/* The endpoint has begun to fail: have its rows wait for probes instead of being retried. */
extern void spill_start_failing(Endpoint *endpoint);

/* Remove all deliveries of an endpoint from memory that are not being sent; they are stored. */
extern void spill_put_aside(Endpoint *endpoint);

/* The same for those held by a key whose holder must be retried. */
extern void spill_put_key_aside(OrderKey *key);

/*
 * Have all deliveries of an endpoint stored, so that the cursor can move on.  Requests
 * in flight go on; the rest leaves memory and is read back as a backlog.
 */
extern void spill_to_backlog(Endpoint *endpoint);

/* The same for deliveries read up to that time that wait for a batch.  They remain in memory until they are sent. */
extern void spill_store_waiting(Endpoint *endpoint, TimestampTz before);

/* For shutdown: have deliveries stored that later ones have overtaken, so that the cursor can pass them. */
extern void spill_all_overtaken(void);

/* The clock has been set back: rows written from now on may be due before others that have been read. */
extern void spill_clock_set_back(void);

/*
 * The following functions require a transaction with SPI connected.
 *
 * When the worker begins to send: find the backlogs and the blocked keys in the table.
 */
extern void spill_recover(void);

/* Find the rows to be retried, and the keys that they block. */
extern void spill_block_retrying(void);

/* The configuration has changed: look for rows that can be sent now, or are no longer wanted. */
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
extern bool spill_is_stored(int64 webhook_id, int64 id);

/*
 * Begin to lock webhooks in this transaction (webhook_lock_begin()), and write all that
 * is listed.  What belongs to a webhook that a session has locked remains listed.
 */
extern void spill_save(void);

/* Should spill_save() be called now?  And: when to try again after a lock was refused; DT_NOEND if none was. */
extern bool spill_save_due(TimestampTz now);
extern TimestampTz spill_next_save(void);

#endif							/* WEBHOOK_SPILL_H */
