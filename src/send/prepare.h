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

/* In the worker, before anything is prepared. */
extern void prepare_init(void);

/* Does this webhook send anything but what was captured? */
extern bool prepare_needed(const Endpoint *endpoint, const Message *message);

/*
 * Shape and transform the payload of a delivery: sets delivery->prepared.  Never
 * errors out because of the payload.  In a transaction
 * with SPI connected.
 */
extern void prepare_delivery(Delivery *delivery, MemoryContext context);

/* It cannot be sent now, for this reason, but must be tried again later. */
extern void prepare_refuse(Delivery *delivery, const char *error, MemoryContext context);

/* The message as it is sent; it uses the memory of copy. */
extern const Message *prepare_message(const Delivery *delivery, Message *copy);

/* Free what prepare_delivery() has made. */
extern void prepare_forget(Delivery *delivery);

#endif							/* WEBHOOK_PREPARE_H */
