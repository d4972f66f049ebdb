/*-------------------------------------------------------------------------
 *
 * retry.h
 *		When to make the next attempt.
 *
 * Pure: no backend state and no clock; the caller passes the time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_RETRY_H
#define WEBHOOK_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#define RETRY_MAX_STEPS			32
#define RETRY_MAX_STEP_SECONDS	(30 * 24 * 3600)	/* one step: 30 days */
#define RETRY_JITTER_PERCENT	20
#define RETRY_MAX_AFTER_SECONDS	(24 * 3600) /* upper bound for Retry-After */

/* steps[0] is the delay before the first attempt, 0 as a rule; microseconds. */
typedef struct RetrySchedule
{
	int			count;
	int64_t		steps[RETRY_MAX_STEPS];
} RetrySchedule;

/*
 * Parse "0, 5s, 5m, 30m, 2h, 1d" (units: ms, s, m or min, h, d; a bare number
 * is seconds).  Returns false when empty, too long, negative, too large or not
 * a duration; *error is then a constant lower-case phrase for a detail message.
 */
extern bool retry_parse_schedule(const char *text, RetrySchedule *schedule, const char **error);

/*
 * Delay in microseconds before the attempt that follows the attempts made so
 * far (attempts >= 1), or -1 when the schedule is exhausted.  random is any
 * 32-bit random number; it spreads the delay by +-RETRY_JITTER_PERCENT.
 * retry_after (microseconds, 0 if the receiver did not say) is a lower bound.
 */
extern int64_t retry_delay(const RetrySchedule *schedule, int attempts,
						   uint32_t random, int64_t retry_after);

/*
 * Parse the value of a Retry-After header: seconds, or an HTTP date (IMF-fixdate,
 * RFC 850 or asctime form) compared with now (Unix seconds).  Returns microseconds,
 * at least 0 and at most RETRY_MAX_AFTER_SECONDS, or -1 when it cannot be read.
 */
extern int64_t retry_parse_after(const char *value, int64_t now);

#endif							/* WEBHOOK_RETRY_H */
