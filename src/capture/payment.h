/*-------------------------------------------------------------------------
 *
 * payment.h
 *		What payments mean for integrations, and the record of what those know.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PAYMENT_H
#define WEBHOOK_PAYMENT_H

#include "utils/array.h"

#include "capture/change.h"

/*
 * Find the integration that is active for the row of a change, and what it is
 * sent of the change: sets change->integration, ruling and nothing_but_payment,
 * and updates the record of what it knows.  Does nothing the second time.
 */
extern void payment_decide(Change *change);

/* Start only_paid for an event: record currently paid entities as already announced. */
extern void payment_begin_event(const char *event_uid);

/* End it: the record of the event's entities is removed. */
extern void payment_end_event(const char *event_uid);

/* UIDs (text[]) of the events with only_paid; NULL if there are none. */
extern ArrayType *payment_only_events(void);

#endif							/* WEBHOOK_PAYMENT_H */
