/*-------------------------------------------------------------------------
 *
 * clock.c
 *		The time by which deliveries are scheduled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "clock.h"
#include "settings.h"

TimestampTz
clock_now(void)
{
	return GetCurrentTimestamp() + (int64) webhook_clock_offset * USECS_PER_SEC;
}
