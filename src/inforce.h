/*-------------------------------------------------------------------------
 *
 * inforce.h
 *		Which integration counts for an event.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_INFORCE_H
#define WEBHOOK_INFORCE_H

typedef struct InForce
{
	const char *integration;	/* NULL: none */
	bool		overridden;		/* by the event; the two below say how */
	bool		send_on_payment;
	bool		only_paid;
} InForce;

/*
 * The override of the event, else the integration that is active on the
 * profile.  Either may be NULL.  The string is in the current memory context.
 */
extern void inforce_lookup(const char *event_uid, const char *profile, InForce *result);

/* Did the last lookup find that any event at all has an override? */
extern bool inforce_overridden(void);

#endif							/* WEBHOOK_INFORCE_H */
