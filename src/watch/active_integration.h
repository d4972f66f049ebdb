/*-------------------------------------------------------------------------
 *
 * active_integration.h
 *		Which integration is active for an event.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ACTIVE_INTEGRATION_H
#define WEBHOOK_ACTIVE_INTEGRATION_H

typedef struct ActiveIntegration
{
	const char *integration;	/* NULL: none */
	bool		overridden;		/* is it an override of the event?  If so: */
	bool		send_on_payment;
	bool		only_paid;
} ActiveIntegration;

/*
 * Look up the override of the event, else the active integration of the profile.
 * Either argument may be NULL.  The string in the result is palloc'd.
 */
extern void active_integration_lookup(const char *event_uid, const char *profile, ActiveIntegration *result);

/* Does any event have an override, as of the last lookup? */
extern bool active_integration_overridden(void);

#endif							/* WEBHOOK_ACTIVE_INTEGRATION_H */
