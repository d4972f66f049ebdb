/*-------------------------------------------------------------------------
 *
 * notify.h
 *		Notifications for operators: warnings, deactivated webhooks, failed messages.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_NOTIFY_H
#define WEBHOOK_NOTIFY_H

#include "send/endpoint.h"

/*
 * These run in a transaction with SPI connected.  Each writes a row of
 * webhook.notification, sends NOTIFY webhook, and emits an event to webhooks
 * that subscribe to it.
 */

/*
 * Can a notification be written without waiting?  A session can lock the table
 * for long, and the worker must not wait for it.  If the result is true, it
 * remains so for the rest of our transaction.
 */
extern bool notify_possible(void);

/* This percentage of the schedule has elapsed without a success. */
extern void notify_warning(const Endpoint *endpoint, int percent);

/* There is no access token for it. */
extern void notify_token(const Endpoint *endpoint, const char *problem);

/* A payload does not fit the form of the webhook's integration.  Reported once while the notification exists. */
extern void notify_form(const Endpoint *endpoint, const char *faults);

/*
 * A webhook has been deactivated; the reason is the one in its row.  The
 * notification includes a token that activates it again.
 */
extern void notify_deactivated(const Endpoint *endpoint, const char *reason);

/* Messages that have failed for good since the last notification of it, and the last of them. */
typedef struct FailureNotice
{
	int64		count;
	const char *message_id;
	const char *event;
	const char *entity_type;	/* or NULL, like the next two */
	const char *entity_id;		/* as JSON */
	const char *event_uid;
	int			attempts;
	const char *error;			/* or NULL */
	int			status;			/* 0: unknown, or there was no response */
	const char *answer;			/* its body, in any encoding; NULL: unknown */
} FailureNotice;

extern void notify_message_failed(const Endpoint *endpoint, const FailureNotice *notice);

/* Messages were removed from the history before their time.  Reported once an hour at most. */
extern void notify_history(void);

/* The proxy does not work; false: call it again later.  And: it does not connect to this webhook's host. */
extern bool notify_proxy(const char *error);
extern void notify_proxy_refusal(const Endpoint *endpoint, const char *error);

/*
 * When is it time to check the ages of API keys?  The second function raises a
 * notification for each that has become too old.
 */
extern TimestampTz notify_next_key_ages(TimestampTz now);
extern void notify_key_ages(TimestampTz now);

/* The clock has been set back: correct the times that are remembered. */
extern void notify_clock_set_back(TimestampTz now);

#endif							/* WEBHOOK_NOTIFY_H */
