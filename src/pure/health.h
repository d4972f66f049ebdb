/*-------------------------------------------------------------------------
 *
 * health.h
 *		Is an endpoint well, failing, or to be switched off?
 *
 * Pure: no backend state and no clock; the caller passes the time.  Times are
 * microseconds since any epoch, 0 means "not set".
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_HEALTH_H
#define WEBHOOK_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "pure/retry.h"

/* So many failures in a row, of whichever messages, make an endpoint failing. */
#define HEALTH_FAILING_AFTER	5

/* A schedule that is used up switches an endpoint off after so many failures in a row at least. */
#define HEALTH_MIN_FAILURES		2

typedef struct Health
{
	int			failures;		/* in a row since the last success */
	int64_t		failing_since;	/* the first of them */
	bool		failing;		/* one probe at a time, all else waits */
	int			probes;			/* attempts on the schedule so far, while failing */
	int64_t		next_probe_at;
	int			warned;			/* percent of the schedule that the operator has heard of */
	int			ramp;			/* requests that may be in flight at once; 0: no bound */
} Health;

typedef enum HealthAction
{
	HEALTH_RETRY,				/* try this delivery again after the delay */
	HEALTH_GIVE_UP,				/* its schedule is used up while the endpoint is well: it has failed */
	HEALTH_WAIT,				/* the endpoint is failing: it waits with all others for a probe to succeed */
	HEALTH_DEACTIVATE			/* switch the endpoint off */
} HealthAction;

/* What has just happened. */
typedef struct HealthFailure
{
	int64_t		now;
	int			attempts;		/* made so far for this delivery, this one included */
	bool		probe;			/* it was the probe of a failing endpoint */
	bool		gone;			/* the receiver said 410 */
	bool		handshake;		/* it does not agree that anything is sent; no delivery has been tried */
	int64_t		retry_after;	/* microseconds, 0 if the receiver did not say */
	uint32_t	random;
} HealthFailure;

/*
 * An attempt has failed.  A handshake that fails is the endpoint's fault, not
 * that of a delivery: it is failing at once.  *delay is set with HEALTH_RETRY.  *warn is set to 50
 * or 90 when so many percent of the schedule have been passed just now without
 * any success in between, else to 0.
 */
extern HealthAction health_failure(Health *health, const RetrySchedule *schedule,
								   const HealthFailure *failure, int64_t *delay, int *warn);

/* An attempt has succeeded.  True if the endpoint was failing until now. */
extern bool health_success(Health *health);

#endif							/* WEBHOOK_HEALTH_H */
