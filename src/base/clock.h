/*-------------------------------------------------------------------------
 *
 * clock.h
 *		Two clocks: the one that deliveries are scheduled by, and a monotonic one.
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

/* Monotonic time in microseconds, comparable between all processes of the server. */
extern int64 clock_monotonic(void);

#endif							/* WEBHOOK_CLOCK_H */
