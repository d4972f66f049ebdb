/*-------------------------------------------------------------------------
 *
 * dead_letter.h
 *		Messages that have failed for good, and notifications of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DEAD_LETTER_H
#define WEBHOOK_DEAD_LETTER_H

#include "send/delivery.h"

/* Must be called once, before the others. */
extern void dead_letter_init(MemoryContext context);

/* Note that a delivery has failed for good, after an attempt with this result, whose body is copied. */
extern void dead_letter_note(const Delivery *delivery, const HttpResult *result, TimestampTz now);

/* When a notification is due; DT_NOBEGIN until the first report, DT_NOEND if none is. */
extern TimestampTz dead_letter_next(TimestampTz now);

/*
 * Write the notifications that are due.  Requires a transaction with SPI connected.
 * While the notifications are locked, they are tried again later.
 */
extern void dead_letter_report(TimestampTz now);

/* The clock has been set back: look again at all that is noted. */
extern void dead_letter_clock_set_back(void);

#endif							/* WEBHOOK_DEAD_LETTER_H */
