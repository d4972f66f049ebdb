/*-------------------------------------------------------------------------
 *
 * clock.h
 *		The time by which deliveries are scheduled, and one that is never set.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CLOCK_H
#define WEBHOOK_CLOCK_H

#include "datatype/timestamp.h"

/*
 * The current time plus webhook.clock_offset, so that tests can go through a retry
 * schedule of three days in seconds.
 */
extern TimestampTz clock_now(void);

/* Microseconds of a clock that nobody sets, the same one in all processes. */
extern int64 clock_monotonic(void);

#endif							/* WEBHOOK_CLOCK_H */
