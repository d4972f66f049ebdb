/*-------------------------------------------------------------------------
 *
 * result.h
 *		What follows from the result of an attempt.
 *
 * Pure: no backend state and no clock; the caller passes the time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_RESULT_H
#define WEBHOOK_RESULT_H

#include "pure/health.h"

/* An attempt that has ended. */
typedef struct AttemptResult
{
	bool		delivered;		/* answered with 2xx */
	bool		agreed;			/* it was a handshake, and the endpoint may be
								 * sent to now */
	bool		test;			/* it was a test call */
	bool		no_proxy;		/* the proxy does not work */
	bool		unprepared;		/* no request was made: the payload could not
								 * be shaped or transformed */
	bool		final;			/* the receiver has refused it for good, see
								 * result_is_final() */
	bool		active;			/* the webhook is active */
	bool		sendable;		/* ... and this delivery may be sent to it now */
	int			messages;		/* number of messages in the request */
	int			status;			/* that was answered, or 0 */
	HealthFailure failure;		/* if it has failed */
} AttemptResult;

/* What happens to the delivery. */
typedef enum ResultDelivery
{
	RESULT_SEND,				/* it is sent now */
	RESULT_SPLIT,				/* the same, in smaller batches */
	RESULT_FINISH,				/* it is removed */
	RESULT_RETRY,				/* it is tried again after the delay */
	RESULT_FAIL,				/* it is given up */
	RESULT_WAIT					/* it waits until its endpoint works or is
								 * active again */
} ResultDelivery;

/* What happens to its order key. */
typedef enum ResultKey
{
	RESULT_KEEP_KEY,
	RESULT_PASS_KEY,			/* the next delivery gets it */
	RESULT_BLOCK_KEY			/* those that follow must wait for the retry */
} ResultKey;

/* What happens to its endpoint. */
typedef enum ResultEndpoint
{
	RESULT_UNCHANGED,
	RESULT_RECOVERED,			/* it was failing and works again */
	RESULT_FAILING,				/* it begins to fail: what it has waits for
								 * probes */
	RESULT_DEACTIVATE
} ResultEndpoint;

typedef struct ResultDecision
{
	ResultDelivery delivery;
	ResultKey	key;
	ResultEndpoint endpoint;
	bool		judged;			/* the result says something about the
								 * endpoint */
	int64_t		delay;			/* microseconds, with RESULT_RETRY */
	int			warn;			/* percentage of the schedule to report as
								 * elapsed without a success, or 0 */
} ResultDecision;

/* The statuses with which a webhook's deliveries fail at once. */
#define RESULT_MAX_FINAL	32

typedef struct FinalStatuses
{
	int			count;
	int			statuses[RESULT_MAX_FINAL];
} FinalStatuses;

extern bool result_is_final(const FinalStatuses *final, int status);

/* Decide, and keep the endpoint's health up to date. */
extern ResultDecision result_decide(Health *health, const RetrySchedule *schedule, const AttemptResult *result);

#endif							/* WEBHOOK_RESULT_H */
