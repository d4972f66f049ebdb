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

extern void dead_letter_init(MemoryContext dispatch_context);

/* A delivery has been given up after an attempt with this result. */
extern void dead_letter_note(const Delivery *delivery, const HttpResult *result, TimestampTz now);

/* When is a notification due?  And: raise those that are, in a transaction with SPI connected. */
extern TimestampTz dead_letter_next(void);
extern void dead_letter_report(TimestampTz now);

extern void dead_letter_clock_set_back(void);

#endif							/* WEBHOOK_DEAD_LETTER_H */
