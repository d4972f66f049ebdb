/*-------------------------------------------------------------------------
 *
 * dispatch.h
 *		From a message to its deliveries.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DISPATCH_H
#define WEBHOOK_DISPATCH_H

#include "datatype/timestamp.h"

#include "log/message.h"

/* A message from the outbox: make its deliveries.  In a transaction with SPI connected. */
extern void dispatch_message(Message *message);

/* The configuration has changed: drop what may not be sent any more.  In a transaction with SPI connected. */
extern void dispatch_refresh(void);

/* Requests that take long, and what they hold up. */
extern void dispatch_check_slow(TimestampTz now);

extern TimestampTz dispatch_next_event(TimestampTz now);	/* when to look again,
															 * DT_NOEND: never */

#endif							/* WEBHOOK_DISPATCH_H */
