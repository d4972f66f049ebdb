/*-------------------------------------------------------------------------
 *
 * clock.h
 *		The time by which deliveries are scheduled.
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

#endif							/* WEBHOOK_CLOCK_H */
