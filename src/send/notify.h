/*-------------------------------------------------------------------------
 *
 * notify.h
 *		Notifications for operators: warnings, deactivated webhooks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_NOTIFY_H
#define WEBHOOK_NOTIFY_H

#include "send/endpoint.h"

/*
 * These run in a transaction with SPI connected.  Each writes a row of
 * webhook.notification, sends NOTIFY webhook, and a message to the webhooks that
 * subscribe to such news.
 */

/*
 * Can a notification be written without waiting?  A session that may delete notifications can lock their table for
 * long, and the worker must not wait for it.  If so, it can be for the rest of our transaction.
 */
extern bool notify_possible(void);

/* This percentage of the schedule has elapsed without a success. */
extern void notify_warning(const Endpoint *endpoint, int percent);

/* A payload does not fit the form of the webhook's integration.  Reported once while the notification exists. */
extern void notify_form(const Endpoint *endpoint, const char *faults);

/*
 * Switch a webhook off: what is pending is buffered, and so is what comes in.  False, and nothing done, if it is off
 * already, or has been changed after this time; only a new owner counts when it had none.
 */
extern bool notify_deactivate(const Endpoint *endpoint, const char *reason, TimestampTz as_of);

/*
 * When is it time to check the ages of API keys?  The second function raises a
 * notification for each that has become too old.
 */
extern TimestampTz notify_next_key_ages(void);
extern void notify_key_ages(TimestampTz now);

/* The clock has been set back: correct the times that are remembered. */
extern void notify_clock_set_back(TimestampTz now);

#endif							/* WEBHOOK_NOTIFY_H */
