/*-------------------------------------------------------------------------
 *
 * prepare.h
 *		What is done to a payload before it can be sent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PREPARE_H
#define WEBHOOK_PREPARE_H

#include "send/delivery_table.h"

/* Must be called once by the worker, after it has attached to its slot. */
extern void prepare_init(void);

/* Does this webhook send the message otherwise than it was captured? */
extern bool prepare_needed(const Endpoint *endpoint, const Message *message);

/*
 * Shape and transform the payload of a delivery.  Sets delivery->prepared, which is
 * allocated in this context; an error of the shape or the transform goes there, too,
 * and is not raised.  Requires a transaction with SPI connected.  A transform that
 * cannot be canceled ends the process.
 */
extern void prepare_delivery(Delivery *delivery, MemoryContext context);

/* Set delivery->prepared for one that cannot be sent now, for this reason, and must be retried. */
extern void prepare_set_error(Delivery *delivery, const char *error, MemoryContext context);

/*
 * The message as it is sent: its own, or *copy, which refers to it and to
 * delivery->prepared.  Requires no transaction.
 */
extern const Message *prepare_message(const Delivery *delivery, Message *copy);

/* Free delivery->prepared, and reset it to PREPARATION_NONE. */
extern void prepare_forget(Delivery *delivery);

#endif							/* WEBHOOK_PREPARE_H */
