/*-------------------------------------------------------------------------
 *
 * stored.h
 *		Deliveries on their way to the delivery table, and back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_STORED_H
#define WEBHOOK_STORED_H

#include "delivery.h"

extern void stored_init(MemoryContext context);

/* Have a delivery written with the next transaction; it is then forgotten unless it is being sent. */
extern void stored_write_later(Delivery *delivery, DeliveryState state,
							   TimestampTz next_attempt_at, const char *error);

/* verdict_save() has got something to do. */
extern void stored_note_news(void);

/* It is queued again: it need not be written after all. */
extern void stored_keep(Delivery *delivery);

/* It has succeeded: no need to write it, or have its row deleted with the next transaction. */
extern void stored_done(Delivery *delivery);

/* A delivery that has a row has left memory. */
extern void stored_forget(const Delivery *delivery);

/* Read what waits in the table of this endpoint, from the start. */
extern void stored_start_backlog(Endpoint *endpoint);

/* The endpoint is failing: what it has in the table waits for probes. */
extern void stored_start_failing(Endpoint *endpoint);

/* Somebody has switched the endpoint off. */
extern void stored_switched_off(Endpoint *endpoint);

/* The time of the endpoint's next probe has changed. */
extern void stored_plan_probe(Endpoint *endpoint);

/* Rows written from now on may be due before others that have been read already. */
extern void stored_clock_set_back(void);

/* These run in a transaction with SPI connected. */
extern void stored_recover(void);
extern void stored_config_changed(void);

/*
 * Other networks are allowed: what waits because its address was not is due now.  What we have no claim on keeps its
 * time.
 */
extern void stored_retry_forbidden(TimestampTz now);

/*
 * Does the table hold this delivery already?  After a crash messages are read again that had been written
 * there, and their rows know more.
 */
extern bool stored_known(int64 webhook_id, int64 id);
extern void stored_save(void);
extern void stored_load(TimestampTz now);

extern bool stored_to_save(TimestampTz now);
extern TimestampTz stored_next_save(void);	/* when there may be a claim on what has had none so far */
extern bool stored_to_load(TimestampTz now);
extern TimestampTz stored_next_event(void);

#endif							/* WEBHOOK_STORED_H */
