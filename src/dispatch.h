/*-------------------------------------------------------------------------
 *
 * dispatch.h
 *		Deliveries in memory: how they get ready to be sent, and where they wait.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DISPATCH_H
#define WEBHOOK_DISPATCH_H

#include "delivery.h"
#include "http.h"
#include "orderkey.h"

/* Nothing is read from the outbox or the delivery table while so many are in memory. */
#define DISPATCH_MAX_IN_MEMORY	10000

extern void dispatch_init(Http *http);

/* A message from the outbox: make its deliveries.  In a transaction with SPI connected. */
extern void dispatch_message(Message *message);

/* Shape and transform what is next to be sent, for a limited time. */
extern void dispatch_prepare(void);

/* Configuration changed: drop what is not to be sent any more.  In a transaction with SPI connected. */
extern void dispatch_refresh(void);

/* Somebody's rights have changed: see what may not be sent any more.  In a transaction. */
extern void dispatch_check_access(void);

/* A row of the delivery table, back in memory: queue it. */
extern Delivery *dispatch_restore(Message *message, Endpoint *endpoint, int64 order_key, int attempts);

/* Forget a delivery that is neither queued nor being sent. */
extern void dispatch_forget(Delivery *delivery);

/* Give a delivery that is being sent a message of its own: the cursor moves on. */
extern void dispatch_detach(Delivery *delivery);

/* Nothing that it must follow is left: it gets its turn, once it has been prepared. */
extern void dispatch_ready(Delivery *delivery);

/* The key is free: it goes to the next in the queue, or to the next row in the table. */
extern void dispatch_pass_on(OrderKey *key);

/* Take what is not being sent out of memory; it is written to the table. */
extern void dispatch_put_aside(Endpoint *endpoint);

/* Requests that take long, and what they hold up. */
extern void dispatch_check_slow(TimestampTz now);

/* The moments that are remembered may be far in the future now. */
extern void dispatch_clock_set_back(TimestampTz now);

/* Before the end: have what later ones have overtaken written to the table, so that the cursor passes these. */
extern void dispatch_spill_overtaken(void);

extern bool dispatch_to_prepare(void);	/* is there something for dispatch_prepare? */
extern int	dispatch_in_memory(void);
extern Size dispatch_own_bytes(void);	/* of messages that were read from the delivery table, or detached */
extern int	dispatch_in_flight(void);
extern TimestampTz dispatch_next_event(TimestampTz now);	/* when to look again, DT_NOEND: never */

#endif							/* WEBHOOK_DISPATCH_H */
