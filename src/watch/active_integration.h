/*-------------------------------------------------------------------------
 *
 * active_integration.h
 *		Which integration counts for an event.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ACTIVE_INTEGRATION_H
#define WEBHOOK_ACTIVE_INTEGRATION_H

typedef struct ActiveIntegration
{
	const char *integration;	/* NULL: none */
	bool		overridden;		/* by the event; the two below say how */
	bool		send_on_payment;
	bool		only_paid;
} ActiveIntegration;

/*
 * The override of the event, else the integration that is active on the
 * profile.  Either may be NULL.  The string is in the current memory context.
 */
extern void active_integration_lookup(const char *event_uid, const char *profile, ActiveIntegration *result);

/* Did the last lookup find that any event at all has an override? */
extern bool active_integration_overridden(void);

#endif							/* WEBHOOK_ACTIVE_INTEGRATION_H */
