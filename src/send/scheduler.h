/*-------------------------------------------------------------------------
 *
 * scheduler.h
 *		Which endpoint may send next, and the requests in flight.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SCHEDULER_H
#define WEBHOOK_SCHEDULER_H

#include "send/delivery_table.h"

/* How many requests may this endpoint have in flight at once? */
extern int	scheduler_allowed(const Endpoint *endpoint);

/*
 * The endpoint may have something to send, and room to send it: queue it for
 * its turn.  Or it has nothing any more.
 */
extern void scheduler_enter(Endpoint *endpoint);
extern void scheduler_leave(Endpoint *endpoint);

/* Let endpoints take turns again whose time has come, or for which there is room now. */
extern void scheduler_wake(TimestampTz now);

/* Take the endpoint whose turn it is; NULL: there is none, or no room for a request. */
extern Endpoint *scheduler_next(TimestampTz now);

/* Is what is ready waiting for more messages to share its request?  Nothing waits while the worker is in a hurry. */
extern bool scheduler_waits_for_batch(Endpoint *endpoint, TimestampTz now);
extern void scheduler_hurry(bool hurry);

/*
 * For requests that are not deliveries, and may well take long: is a connection free?
 * They count among those in flight.
 */
extern bool scheduler_has_connection(void);
extern void scheduler_reserve_connection(void);
extern void scheduler_release_connection(void);

/* A request has been sent: with a rate limit, when may the next one be? */
extern void scheduler_charge(Endpoint *endpoint, TimestampTz now);

/* The clock has been set back: correct the times that are remembered. */
extern void scheduler_clock_set_back(void);

/* A request of this delivery is in flight, and has ended; called by delivery_enter(). */
extern void scheduler_request_started(Delivery *delivery);
extern void scheduler_request_ended(Delivery *delivery);

/* Is this request slow by now?  And: the next one that has become so, for delivery_mark_slow(); NULL: none. */
extern bool scheduler_is_slow(const Delivery *delivery, TimestampTz now);
extern Delivery *scheduler_next_slow(TimestampTz now);

extern int	scheduler_in_flight(void);
extern TimestampTz scheduler_next_event(void);	/* DT_NOEND: never */

#endif							/* WEBHOOK_SCHEDULER_H */
