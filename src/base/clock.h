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
 * Now, shifted by webhook.clock_offset: retries over three days and a buffer of
 * five can be tried out in seconds.
 */
extern TimestampTz clock_now(void);

#endif							/* WEBHOOK_CLOCK_H */
