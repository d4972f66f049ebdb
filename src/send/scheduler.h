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

/*
 * No function requires a transaction, and none raises errors.
 *
 * The number of requests that this endpoint may have in flight at once.
 */
extern int	scheduler_allowed(const Endpoint *endpoint);

/*
 * Queue the endpoint for its turn, unless it waits already, has nothing ready, or may
 * send no more at once.  Must be called whenever one of these may have changed.
 */
extern void scheduler_enter(Endpoint *endpoint);

/* Remove the endpoint from the list in which it waits. */
extern void scheduler_leave(Endpoint *endpoint);

/* Let endpoints take turns again whose time has come, or for which there is room now. */
extern void scheduler_wake(TimestampTz now);

/*
 * Take the endpoint whose turn it is; NULL if there is none, or no room for a request.
 * The caller must let it enter again when it may send more.
 */
extern Endpoint *scheduler_next(TimestampTz now);

/* Does what is ready wait for more messages to share its request? */
extern bool scheduler_waits_for_batch(Endpoint *endpoint, TimestampTz now);

/* From now on, does nothing wait for a batch, because memory is full? */
extern void scheduler_hurry(bool hurry);

/*
 * For requests that are not deliveries, and may take long: is a connection free?  A
 * reserved one counts as a doubtful request in flight until it is released.
 */
extern bool scheduler_has_connection(void);
extern void scheduler_reserve_connection(void);
extern void scheduler_release_connection(void);

/* A request has been sent: with a rate limit, set the time of the next one. */
extern void scheduler_charge(Endpoint *endpoint, TimestampTz now);

/* The clock has been set back: correct the times that are remembered. */
extern void scheduler_clock_set_back(void);

/* The request of which this delivery is the owner has been started, or has ended.  For delivery_enter(). */
extern void scheduler_request_started(Delivery *delivery);
extern void scheduler_request_ended(Delivery *delivery);

/*
 * Is this delivery's request slow by now?  And: take the next one that has become slow,
 * for delivery_mark_slow(); NULL if there is none.
 */
extern bool scheduler_is_slow(const Delivery *delivery, TimestampTz now);
extern Delivery *scheduler_next_slow(TimestampTz now);

extern int	scheduler_in_flight(void);

/* When a request will become slow, or an endpoint may send again; DT_NOEND: never. */
extern TimestampTz scheduler_next_event(void);

#endif							/* WEBHOOK_SCHEDULER_H */
