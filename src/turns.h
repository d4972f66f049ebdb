/*-------------------------------------------------------------------------
 *
 * turns.h
 *		Which endpoint may send next, and the requests under way.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TURNS_H
#define WEBHOOK_TURNS_H

#include "delivery.h"

/* How many requests may this endpoint have under way at once? */
extern int	turns_allowed(const Endpoint *endpoint);

/* The endpoint has got something to send, or room to send it; or has nothing any more. */
extern void turns_enter(Endpoint *endpoint);
extern void turns_leave(Endpoint *endpoint);

/* Those whose time has come, or for whom there is room now, may take turns again. */
extern void turns_wake(TimestampTz now);

/* Take the endpoint whose turn it is; NULL: there is none, or no room for a request. */
extern Endpoint *turns_next(TimestampTz now);

/* A request of this delivery is under way, and has ended. */
extern void turns_begun(Delivery *delivery);
extern void turns_ended(Delivery *delivery);

/* Is this request slow by now?  And: see which ones have become so. */
extern bool turns_is_slow(const Delivery *delivery, TimestampTz now);
extern void turns_check_slow(TimestampTz now);

extern int	turns_in_flight(void);
extern TimestampTz turns_next_event(void);	/* DT_NOEND: never */

#endif							/* WEBHOOK_TURNS_H */
