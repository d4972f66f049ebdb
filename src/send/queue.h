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

/* Must be called once, before the others.  The context is that of deliveries. */
extern void queue_init(MemoryContext context);

/* Queue a delivery in PHASE_NEW, after others with its order key. */
extern void queue_add(Delivery *delivery);

/* Queue a delivery that holds its key again, before all others of its endpoint. */
extern void queue_ready_first(Delivery *delivery);

/*
 * Separate a delivery from its key, which it no longer needs.  If it has held it, the
 * next one in the key's queue gets it, or the next row is read if the key is blocked.
 */
extern void queue_release_key(Delivery *delivery);

/* Shape and transform what will be sent next, for a limited time.  Requires a transaction with SPI connected. */
extern void queue_prepare(void);

/* When that is due; DT_NOEND if there is nothing to prepare. */
extern TimestampTz queue_next_prepare(void);

/* The clock has been set back: correct the times that are remembered. */
extern void queue_clock_set_back(TimestampTz now);

#endif							/* WEBHOOK_QUEUE_H */
