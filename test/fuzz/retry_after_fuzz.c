/*-------------------------------------------------------------------------
 *
 * retry_after_fuzz.c
 *		R5: values of Retry-After.  Input: eight bytes of time, then the value.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include "pure/retry.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t		now;
	int64_t		after;
	char	   *value;

	if (size < sizeof(now))
		return 0;
	memcpy(&now, data, sizeof(now));
	value = fuzz_text(data + sizeof(now), size - sizeof(now));

	after = retry_parse_after(value, now);
	MUST(after >= -1 && after <= RETRY_MAX_AFTER_SECONDS * INT64_C(1000000));

	/*
	 * Later, there is never more to wait for; only a year of two digits may
	 * change its meaning.
	 */
	if (after >= 0 && now < INT64_MAX && strchr(value, '-') == NULL)
		MUST(retry_parse_after(value, now + 1) <= after && retry_parse_after(value, now + 1) >= 0);

	free(value);
	return 0;
}
