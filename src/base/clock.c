/*-------------------------------------------------------------------------
 *
 * clock.c
 *		Two clocks: the one that deliveries are scheduled by, and a monotonic one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"

TimestampTz
clock_now(void)
{
	return GetCurrentTimestamp() + (int64) webhook_clock_offset * USECS_PER_SEC;
}

int64
clock_monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}
