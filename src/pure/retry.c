/*-------------------------------------------------------------------------
 *
 * retry.c
 *		When to make the next attempt.
 *
 * A schedule is a list of delays: the first one is before the first attempt, and
 * there are no more attempts at the end of the list.  So that requests that fail
 * together are not retried together, each delay gets a random jitter.  If a receiver
 * sends Retry-After, it is respected.
 *
 *-------------------------------------------------------------------------
 */
#include "pure/ascii.h"
#include "pure/retry.h"

#include <stddef.h>
#include <string.h>

#define USECS_PER_MSEC	INT64_C(1000)
#define USECS_PER_SEC	INT64_C(1000000)
#define SECS_PER_MINUTE 60
#define SECS_PER_HOUR	3600
#define SECS_PER_DAY	86400

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

static const struct
{
	const char *name;
	int64_t		usecs;
}			units[] = {
	{"", USECS_PER_SEC},
	{"ms", USECS_PER_MSEC},
	{"s", USECS_PER_SEC},
	{"m", SECS_PER_MINUTE * USECS_PER_SEC},
	{"min", SECS_PER_MINUTE * USECS_PER_SEC},
	{"h", SECS_PER_HOUR * USECS_PER_SEC},
	{"d", SECS_PER_DAY * USECS_PER_SEC},
};

/* In the order of a year; the days of the week begin with that of 1 January 1970. */
static const char *const retry_months[] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};
static const char *const retry_days[] = {
	"Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"
};

#define DAY_ABBREVIATION	3	/* letters */

/* A point in time as an HTTP date writes it. */
typedef struct Date
{
	int			year;
	int			month;			/* 0 to 11 */
	int			day;
	int			hour;
	int			minute;
	int			second;
} Date;

static const char *
retry_skip_blanks(const char *text)
{
	while (ascii_is_blank(*text))
		text++;
	return text;
}

/* Microseconds in the unit text[0..len-1], or 0 when there is no such unit. */
static int64_t
retry_unit_usecs(const char *text, size_t len)
{
	for (size_t i = 0; i < lengthof(units); i++)
	{
		if (strlen(units[i].name) == len && memcmp(units[i].name, text, len) == 0)
			return units[i].usecs;
	}
	return 0;
}

/*
 * Read one step and the blanks around it.  Returns where it ends, at a comma or
 * at the end of the text, or NULL with *error set.
 */
static const char *
retry_parse_step(const char *text, int64_t *usecs, const char **error)
{
	const int64_t limit = RETRY_MAX_STEP_SECONDS * USECS_PER_SEC;
	int64_t		number = 0;
	int64_t		unit;
	size_t		len;

	text = retry_skip_blanks(text);

	if (*text == '-')
	{
		*error = "a step is negative";
		return NULL;
	}
	if (!ascii_is_digit(*text))
	{
		*error = "a step is not a duration such as \"90\", \"500ms\", \"5s\", \"30min\", \"2h\" or \"1d\"";
		return NULL;
	}

	/* Stop growing at the limit: any larger number is rejected anyway. */
	for (; ascii_is_digit(*text); text++)
	{
		if (number <= limit)
			number = number * 10 + (*text - '0');
	}

	text = retry_skip_blanks(text);

	len = strcspn(text, ", \t\n\v\f\r");
	unit = retry_unit_usecs(text, len);
	text = retry_skip_blanks(text + len);

	if (unit == 0 || (*text != ',' && *text != '\0'))
	{
		*error = "a step is not a duration such as \"90\", \"500ms\", \"5s\", \"30min\", \"2h\" or \"1d\"";
		return NULL;
	}
	if (number > limit / unit)
	{
		*error = "a step is longer than 30 days";
		return NULL;
	}
	*usecs = number * unit;
	return text;
}

bool
retry_parse_schedule(const char *text, RetrySchedule *schedule, const char **error)
{
	schedule->count = 0;
	if (*retry_skip_blanks(text) == '\0')
	{
		*error = "there is no step";
		return false;
	}
	for (;;)
	{
		if (schedule->count >= RETRY_MAX_STEPS)
		{
			*error = "there are more than 32 steps";
			return false;
		}
		text = retry_parse_step(text, &schedule->steps[schedule->count], error);

		if (text == NULL)
			return false;
		schedule->count++;
		if (*text == '\0')
			return true;
		text++;
	}
}

int64_t
retry_delay(const RetrySchedule *schedule, int attempts, uint32_t random, int64_t retry_after)
{
	int64_t		delay;
	int64_t		spread;

	if (attempts < 0 || attempts >= schedule->count)
		return -1;

	delay = schedule->steps[attempts];
	spread = delay * RETRY_JITTER_PERCENT / 100;
	delay += (int64_t) ((double) random / UINT32_MAX * (double) (2 * spread)) - spread;

	return delay > retry_after ? delay : retry_after;
}

/* Consume this character; false if the text begins with another one. */
static bool
retry_take_char(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

/* Consume exactly this many digits. */
static bool
retry_take_number(const char **text, int ndigits, int *number)
{
	*number = 0;
	for (int i = 0; i < ndigits; i++)
	{
		if (!ascii_is_digit(**text))
			return false;
		*number = *number * 10 + (**text - '0');
		(*text)++;
	}
	return true;
}

/* Consume the name of a month. */
static bool
retry_take_month(const char **text, int *month)
{
	for (size_t i = 0; i < lengthof(retry_months); i++)
	{
		size_t		len = strlen(retry_months[i]);

		if (strncmp(*text, retry_months[i], len) == 0)
		{
			*month = (int) i;
			*text += len;
			return true;
		}
	}
	return false;
}

/* Consume the name of a day of the week, abbreviated or in full. */
static bool
retry_take_day_name(const char **text, bool *in_full)
{
	for (size_t i = 0; i < lengthof(retry_days); i++)
	{
		size_t		len = strlen(retry_days[i]);

		*in_full = strncmp(*text, retry_days[i], len) == 0;
		if (!*in_full && strncmp(*text, retry_days[i], DAY_ABBREVIATION) != 0)
			continue;
		*text += *in_full ? len : DAY_ABBREVIATION;
		return true;
	}
	return false;
}

/* Consume "08:49:37". */
static bool
retry_take_time(const char **text, Date *date)
{
	return retry_take_number(text, 2, &date->hour) && retry_take_char(text, ':') &&
		retry_take_number(text, 2, &date->minute) && retry_take_char(text, ':') &&
		retry_take_number(text, 2, &date->second);
}

/* Consume the rest of the two forms that end in a time zone. */
static bool
retry_take_time_gmt(const char **text, Date *date)
{
	if (!retry_take_char(text, ' ') || !retry_take_time(text, date) || strncmp(*text, " GMT", 4) != 0)
		return false;
	*text += 4;
	return true;
}

/* "06 Nov 1994 08:49:37 GMT" */
static bool
retry_take_imf_fixdate(const char **text, Date *date)
{
	return retry_take_number(text, 2, &date->day) && retry_take_char(text, ' ') &&
		retry_take_month(text, &date->month) && retry_take_char(text, ' ') &&
		retry_take_number(text, 4, &date->year) && retry_take_time_gmt(text, date);
}

/*
 * "06-Nov-94 08:49:37 GMT".  The two digits mean the year that is nearest to
 * the present one, as RFC 9110 demands for dates far in the future.
 */
static bool
retry_take_rfc850_date(const char **text, Date *date, int current_year)
{
	if (!retry_take_number(text, 2, &date->day) || !retry_take_char(text, '-') ||
		!retry_take_month(text, &date->month) || !retry_take_char(text, '-') ||
		!retry_take_number(text, 2, &date->year) || !retry_take_time_gmt(text, date))
		return false;

	date->year += current_year / 100 * 100;
	if (date->year > current_year + 50)
		date->year -= 100;
	else if (date->year < current_year - 50)
		date->year += 100;
	return true;
}

/* "Nov  6 08:49:37 1994" */
static bool
retry_take_asctime_date(const char **text, Date *date)
{
	if (!retry_take_month(text, &date->month) || !retry_take_char(text, ' '))
		return false;
	if (!retry_take_number(text, retry_take_char(text, ' ') ? 1 : 2, &date->day))
		return false;
	return retry_take_char(text, ' ') && retry_take_time(text, date) &&
		retry_take_char(text, ' ') && retry_take_number(text, 4, &date->year);
}

/* Days from 1 January 1970 to 1 January of a year >= 0 of the Gregorian calendar. */
static int64_t
retry_days_before_year(int64_t year)
{
	int64_t		past = year - 1 + 400;	/* a cycle more, to stay positive */

	return past * 365 + past / 4 - past / 100 + past / 400 - (719162 + 146097);
}

static bool
retry_is_leap_year(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
retry_days_in_month(int year, int month)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return lengths[month] + (month == 1 && retry_is_leap_year(year));
}

/* The year that a time lies in, within what a four-digit year can hold. */
static int
retry_year_of(int64_t unix_seconds)
{
	int			low = 0;
	int			high = 9999;

	while (low < high)
	{
		int			middle = (low + high + 1) / 2;

		if (retry_days_before_year(middle) * SECS_PER_DAY <= unix_seconds)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* A leap second counts as the second that follows it. */
static bool
retry_date_is_valid(const Date *date)
{
	return date->day >= 1 && date->day <= retry_days_in_month(date->year, date->month) &&
		date->hour <= 23 && date->minute <= 59 && date->second <= 60;
}

static int64_t
retry_date_to_unix(const Date *date)
{
	int64_t		day = retry_days_before_year(date->year) + date->day - 1;

	for (int month = 0; month < date->month; month++)
		day += retry_days_in_month(date->year, month);

	return day * SECS_PER_DAY + date->hour * SECS_PER_HOUR +
		date->minute * SECS_PER_MINUTE + date->second;
}

/* Consume a date in any of the three forms. */
static bool
retry_take_date(const char **text, Date *date, int64_t now)
{
	bool		in_full;

	if (!retry_take_day_name(text, &in_full))
		return false;
	if (retry_take_char(text, ','))
	{
		if (!retry_take_char(text, ' '))
			return false;
		return in_full ? retry_take_rfc850_date(text, date, retry_year_of(now)) : retry_take_imf_fixdate(text, date);
	}
	return !in_full && retry_take_char(text, ' ') && retry_take_asctime_date(text, date);
}

int64_t
retry_parse_after(const char *value, int64_t now)
{
	int64_t		seconds = 0;
	Date		date;

	value = retry_skip_blanks(value);
	if (ascii_is_digit(*value))
	{
		for (; ascii_is_digit(*value); value++)
		{
			if (seconds < RETRY_MAX_AFTER_SECONDS)
				seconds = seconds * 10 + (*value - '0');
		}
	}
	else
	{
		int64_t		at;

		if (!retry_take_date(&value, &date, now) || !retry_date_is_valid(&date))
			return -1;

		/* Compared before it is subtracted: now may be anything. */
		at = retry_date_to_unix(&date);
		if (now < at - RETRY_MAX_AFTER_SECONDS)
			seconds = RETRY_MAX_AFTER_SECONDS;
		else if (now < at)
			seconds = at - now;
	}
	if (*retry_skip_blanks(value) != '\0')
		return -1;

	if (seconds > RETRY_MAX_AFTER_SECONDS)
		seconds = RETRY_MAX_AFTER_SECONDS;
	return seconds * USECS_PER_SEC;
}
