/*-------------------------------------------------------------------------
 *
 * queue.h
 *		Deliveries in memory, and what they wait for until they can be sent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_QUEUE_H
#define WEBHOOK_QUEUE_H

#include "send/delivery_table.h"
#include "send/order_key.h"

/* Nothing is read from the outbox or the delivery table while this many are in memory. */
#define QUEUE_MAX_IN_MEMORY	10000

extern void queue_init(MemoryContext context);

/* A new delivery of a message, which is neither queued nor being sent yet. */
extern Delivery *queue_create(Message *message, Endpoint *endpoint, int64 order_key);

/* Queue a delivery for sending, after others with its key; or take it out of its queues. */
extern void queue_add(Delivery *delivery);
extern void queue_remove(Delivery *delivery);

/* A row of the delivery table, back in memory: queue it. */
extern Delivery *queue_restore(Message *message, Endpoint *endpoint, int64 order_key, int attempts);

/* Forget a delivery that is neither queued nor being sent. */
extern void queue_forget(Delivery *delivery);

/* Give a delivery that is being sent a message of its own: the cursor moves on. */
extern void queue_detach(Delivery *delivery);

/* One delivery of the message, or its creator, needs it no longer. */
extern void queue_message_done(Message *message);

/* Nothing that it must follow is left: it gets its turn, once it has been prepared. */
extern void queue_ready(Delivery *delivery);

/* The key is free: it goes to the next in the queue, or to the next row in the table. */
extern void queue_pass_on(OrderKey *key);

/* Shape and transform what is next to be sent, for a limited time; is there anything?  When? */
extern void queue_prepare(void);
extern bool queue_to_prepare(void);
extern TimestampTz queue_next_prepare(void);

/* Rights have changed: judge again what may not be sent any more.  In a transaction. */
extern void queue_check_access(void);

/* The moments that are remembered may be far in the future now. */
extern void queue_clock_set_back(TimestampTz now);

/* Which deliveries in memory have a row in the delivery table, or had one that is still to be deleted. */
extern bool queue_has_row(int64 webhook_id, int64 id);
extern void queue_note_row(int64 webhook_id, int64 id);
extern void queue_forget_row(int64 webhook_id, int64 id);

extern int	queue_in_memory(void);
extern Size queue_own_bytes(void);	/* of messages that were read from the delivery table, or detached */
extern int64 queue_last_finished(void); /* the greatest message id of which a delivery has been done or stored */

#endif							/* WEBHOOK_QUEUE_H */
