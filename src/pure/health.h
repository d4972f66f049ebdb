/*-------------------------------------------------------------------------
 *
 * health.h
 *		The health of an endpoint: well, failing, or deactivated.
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

/* Number of consecutive failures, of any messages, after which an endpoint is failing. */
#define HEALTH_FAILING_AFTER	5

/* Minimum number of consecutive failures for an exhausted schedule to deactivate an endpoint. */
#define HEALTH_MIN_FAILURES		2

/* How long until the next probe, when the proxy does not connect to the endpoint's host. */
#define HEALTH_REFUSED_US		((int64_t) 60 * 1000 * 1000)

typedef struct Health
{
	int			failures;		/* in a row since the last success */
	int64_t		failing_since;	/* the first of them */
	bool		failing;		/* one probe at a time, everything else waits */
	int			probes;			/* attempts on the schedule so far, while
								 * failing */
	int64_t		next_probe_at;
	int			warned;			/* percent of the schedule in the last warning */
	int			ramp;			/* maximum number of requests in flight; 0: no
								 * limit */
} Health;

typedef enum HealthAction
{
	HEALTH_RETRY,				/* try this delivery again after the delay */
	HEALTH_GIVE_UP,				/* its schedule is exhausted while the
								 * endpoint is well: it has failed */
	HEALTH_WAIT,				/* the endpoint is failing: wait with all
								 * others for a successful probe */
	HEALTH_DEACTIVATE			/* deactivate the endpoint */
} HealthAction;

/* What has just happened. */
typedef struct HealthFailure
{
	int64_t		now;
	int			attempts;		/* made so far for this delivery, this one
								 * included */
	bool		probe;			/* it was the probe of a failing endpoint */
	bool		gone;			/* the receiver said 410 */
	bool		handshake;		/* the endpoint has refused permission; no
								 * delivery has been tried */
	bool		refused;		/* the proxy does not connect to its host; no
								 * delivery has been tried */
	int64_t		retry_after;	/* microseconds, 0 if the receiver did not say */
	uint32_t	random;
} HealthFailure;

/*
 * An attempt has failed.  A failed handshake is a problem of the endpoint rather than
 * a delivery, so the endpoint is failing at once.  *delay is set with HEALTH_RETRY.
 * The same if the proxy refuses to connect to its host, but then it is not deactivated.
 * *warn is set to 50 or 90 if this percentage of the schedule has just been exceeded
 * without any success, else to 0.
 */
extern HealthAction health_failure(Health *health, const RetrySchedule *schedule,
								   const HealthFailure *failure, int64_t *delay, int *warn);

/* An attempt has succeeded.  True if the endpoint was failing until now. */
extern bool health_success(Health *health);

#endif							/* WEBHOOK_HEALTH_H */
