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

/*
 * Create the deliveries of a message that the cursor has returned.  If there are none,
 * the message is finished.  Requires a transaction with SPI connected.
 */
extern void dispatch_message(Message *message);

/*
 * Reload the endpoints in memory whose configuration may have changed, and put aside
 * or go on accordingly.  Requires a transaction with SPI connected.
 */
extern void dispatch_refresh(void);

/* Note requests that take long, and have what they hold up written with the next transaction. */
extern void dispatch_check_slow(TimestampTz now);

/* When there will be something to send or to check; DT_NOEND: never. */
extern TimestampTz dispatch_next_event(TimestampTz now);

#endif							/* WEBHOOK_DISPATCH_H */
