/*-------------------------------------------------------------------------
 *
 * dispatch.h
 *		Deliveries in memory: whose turn it is, and what became of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DISPATCH_H
#define WEBHOOK_DISPATCH_H

#include "delivery.h"
#include "http.h"

extern void dispatch_init(Http *http);

/*
 * These run in a transaction with SPI connected.
 */

/* Find out what the delivery table holds, after a start. */
extern void dispatch_recover(void);

/* A message from the outbox: make its deliveries. */
extern void dispatch_message(Message *message);

/* Configuration changed: drop what is not to be sent any more. */
extern void dispatch_refresh(void);

/* Write what has happened to the delivery table. */
extern void dispatch_save(void);

/* Read what is due from the delivery table, as far as there is room in memory. */
extern void dispatch_load(TimestampTz now);

/*
 * These do not touch the database.
 */

/* Start requests, fairly, within all limits. */
extern void dispatch_send(TimestampTz now);

/* Collect results. */
extern void dispatch_results(TimestampTz now);

/* Deliveries that hold up the cursor for too long go to the table. */
extern void dispatch_spill_slow(TimestampTz now);

extern bool dispatch_has_changes(void); /* is there something for dispatch_save? */
extern bool dispatch_can_load(TimestampTz now); /* ... for dispatch_load? */
extern int	dispatch_in_memory(void);
extern int	dispatch_in_flight(void);
extern TimestampTz dispatch_next_event(void);	/* when to look again, DT_NOEND: never */

#endif							/* WEBHOOK_DISPATCH_H */
