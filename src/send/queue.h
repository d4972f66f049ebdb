/*-------------------------------------------------------------------------
 *
 * queue.h
 *		What deliveries in memory wait for until they can be sent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_QUEUE_H
#define WEBHOOK_QUEUE_H

#include "send/delivery.h"

/* Nothing is read from the outbox or the delivery table while this many deliveries are in memory. */
#define QUEUE_MAX_IN_MEMORY	10000

extern void queue_init(MemoryContext context);

/* Queue a new delivery, after others with its order key. */
extern void queue_add(Delivery *delivery);

/* Have a delivery that holds its key sent before all others of its endpoint. */
extern void queue_ready_first(Delivery *delivery);

/*
 * The delivery is not going to be sent from this queue: if it holds its key,
 * this goes to the next in the queue, or to the next row in the table.
 */
extern void queue_release_key(Delivery *delivery);

/* Shape and transform what is next to be sent, for a limited time. */
extern void queue_prepare(void);

/* When that is due; DT_NOEND: there is nothing. */
extern TimestampTz queue_next_prepare(void);

/* The clock has been set back: correct the times that are remembered. */
extern void queue_clock_set_back(TimestampTz now);

#endif							/* WEBHOOK_QUEUE_H */
