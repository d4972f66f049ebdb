/*-------------------------------------------------------------------------
 *
 * clock.c
 *		The time by which deliveries are scheduled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"

TimestampTz
clock_now(void)
{
	return GetCurrentTimestamp() + (int64) webhook_clock_offset * USECS_PER_SEC;
}
