/*-------------------------------------------------------------------------
 *
 * schedule_fuzz.c
 *		R5: retry schedules.  Input: four bytes of randomness, then the schedule.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/retry.h"

#define LONGEST_STEP	(RETRY_MAX_STEP_SECONDS * INT64_C(1000000))

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RetrySchedule schedule;
	const char *error = NULL;
	uint32_t	random;
	char	   *text;

	if (size < sizeof(random))
		return 0;
	memcpy(&random, data, sizeof(random));
	text = fuzz_text(data + sizeof(random), size - sizeof(random));

	if (retry_parse_schedule(text, &schedule, &error))
	{
		MUST(schedule.count > 0 && schedule.count <= RETRY_MAX_STEPS);
		for (int i = 0; i < schedule.count; i++)
		{
			int64_t		step = schedule.steps[i];
			int64_t		delay = retry_delay(&schedule, i, random, 0);

			MUST(step >= 0 && step <= LONGEST_STEP);
			MUST(delay >= step / 100 * (100 - RETRY_JITTER_PERCENT));
			MUST(delay <= step + step / 100 * RETRY_JITTER_PERCENT + RETRY_JITTER_PERCENT);
		}
		MUST(retry_delay(&schedule, schedule.count, random, 0) == -1);
	}
	else
		MUST(error != NULL);

	free(text);
	return 0;
}
