/*-------------------------------------------------------------------------
 *
 * page_text.c
 *		SQL functions for the texts in the HTML pages.
 *
 * A page calls them some thousand times.  In SQL they would be planned anew for
 * each place that they are called from.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/xact.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "api/page_text.h"
#include "compat.h"

#define NAME_LENGTH		200		/* characters of a name that are shown */

PG_FUNCTION_INFO_V1(webhook_html);
PG_FUNCTION_INFO_V1(webhook_page_name);
PG_FUNCTION_INFO_V1(webhook_page_number);
PG_FUNCTION_INFO_V1(webhook_page_seconds);
PG_FUNCTION_INFO_V1(webhook_page_time);
PG_FUNCTION_INFO_V1(webhook_page_ago);


static void
page_text_append(StringInfo s, const char *text, int len)
{
	for (int i = 0; i < len; i++)
	{
		switch (text[i])
		{
			case '&':
				appendStringInfoString(s, "&amp;");
				break;
			case '<':
				appendStringInfoString(s, "&lt;");
				break;
			case '>':
				appendStringInfoString(s, "&gt;");
				break;
			case '"':
				appendStringInfoString(s, "&quot;");
				break;
			case '\'':
				appendStringInfoString(s, "&#39;");
				break;
			default:
				appendStringInfoCharMacro(s, text[i]);
		}
	}
}

static Datum
page_text_result(StringInfo s)
{
	return PointerGetDatum(cstring_to_text_with_len(s->data, s->len));
}

/*
 * html(value text) returns text
 */
Datum
webhook_html(PG_FUNCTION_ARGS)
{
	StringInfoData s;

	initStringInfo(&s);
	if (!PG_ARGISNULL(0))
	{
		text	   *value = PG_GETARG_TEXT_PP(0);

		page_text_append(&s, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	}
	return page_text_result(&s);
}

/*
 * page_name(value text) returns text
 */
Datum
webhook_page_name(PG_FUNCTION_ARGS)
{
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfoString(&s, "<bdi>");
	if (!PG_ARGISNULL(0))
	{
		text	   *value = PG_GETARG_TEXT_PP(0);
		int			len = VARSIZE_ANY_EXHDR(value);
		int			shown = pg_mbcharcliplen(VARDATA_ANY(value), len, NAME_LENGTH);

		page_text_append(&s, VARDATA_ANY(value), shown);
		if (shown < len)
			appendStringInfoString(&s, "...");
	}
	appendStringInfoString(&s, "</bdi>");
	return page_text_result(&s);
}

/* Append a number with commas between thousands. */
static void
page_text_append_thousands(StringInfo s, int64 n)
{
	char		digits[32];
	int			len = snprintf(digits, sizeof(digits), INT64_FORMAT, n);

	for (int i = 0; i < len; i++)
	{
		if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
			appendStringInfoChar(s, ',');
		appendStringInfoChar(s, digits[i]);
	}
}

void
page_text_append_number(StringInfo s, int64 n)
{
	int64		tenths = n / 100000 + (n % 100000 >= 50000);

	page_text_append_thousands(s, n < 1000000 ? n : tenths / 10);
	if (n >= 1000000)
		appendStringInfo(s, ".%d M", (int) (tenths % 10));
}

/*
 * page_number(value numeric) returns text
 */
Datum
webhook_page_number(PG_FUNCTION_ARGS)
{
	StringInfoData s;

	initStringInfo(&s);
	page_text_append_number(&s, PG_ARGISNULL(0) ? 0 :
							DatumGetInt64(DirectFunctionCall1(numeric_int8, PG_GETARG_DATUM(0))));
	return page_text_result(&s);
}

void
page_text_append_seconds(StringInfo s, double seconds)
{
	if (seconds < 0)
		appendStringInfoChar(s, '-');
	else if (seconds < 0.0095)
		appendStringInfo(s, "%.1f ms", seconds * 1000);
	else if (seconds < 0.9995)
		appendStringInfo(s, "%.0f ms", seconds * 1000);
	else if (seconds < 9.95)
		appendStringInfo(s, "%.1f s", seconds);
	else if (seconds < 100)
		appendStringInfo(s, "%.0f s", seconds);
	else if (seconds < 90 * SECS_PER_MINUTE)
		appendStringInfo(s, "%.0f min", seconds / SECS_PER_MINUTE);
	else if (seconds < 2 * SECS_PER_DAY)
		appendStringInfo(s, "%.0f h", seconds / SECS_PER_HOUR);
	else
		appendStringInfo(s, "%.0f days", seconds / SECS_PER_DAY);
}

/*
 * page_seconds(seconds double precision) returns text
 */
Datum
webhook_page_seconds(PG_FUNCTION_ARGS)
{
	StringInfoData s;

	initStringInfo(&s);
	page_text_append_seconds(&s, PG_ARGISNULL(0) ? -1 : PG_GETARG_FLOAT8(0));
	return page_text_result(&s);
}

/* A time, by the session's time zone or else as HTML has it for programs. */
static void
page_text_append_time(StringInfo s, TimestampTz value, bool local)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			zone;
	const char *zone_name;

	if (timestamp2tm(value, local ? &zone : NULL, &tm, &fsec, local ? &zone_name : NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	if (!local)
		appendStringInfo(s, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
						 tm.tm_hour, tm.tm_min, tm.tm_sec);
	else
	{
		appendStringInfo(s, "%d %s %04d, %02d:%02d:%02d ", tm.tm_mday, months[tm.tm_mon - 1], tm.tm_year,
						 tm.tm_hour, tm.tm_min, tm.tm_sec);
		if (zone_name != NULL)
			page_text_append(s, zone_name, (int) strlen(zone_name));
	}
}

/*
 * page_time(value timestamptz) returns text
 */
Datum
webhook_page_time(PG_FUNCTION_ARGS)
{
	StringInfoData s;

	initStringInfo(&s);
	if (PG_ARGISNULL(0) || TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(0)))
		appendStringInfoChar(&s, '-');
	else
	{
		appendStringInfoString(&s, "<time datetime=\"");
		page_text_append_time(&s, PG_GETARG_TIMESTAMPTZ(0), false);
		appendStringInfoString(&s, "\">");
		page_text_append_time(&s, PG_GETARG_TIMESTAMPTZ(0), true);
		appendStringInfoString(&s, "</time>");
	}
	return page_text_result(&s);
}

/*
 * page_ago(value timestamptz) returns text
 */
Datum
webhook_page_ago(PG_FUNCTION_ARGS)
{
	StringInfoData s;

	initStringInfo(&s);
	if (PG_ARGISNULL(0) || TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(0)))
		appendStringInfoString(&s, "never");
	else
	{
		TimestampTz value = PG_GETARG_TIMESTAMPTZ(0);
		double		seconds = (double) (value - GetCurrentTransactionStartTimestamp()) / USECS_PER_SEC;

		appendStringInfoString(&s, "<time datetime=\"");
		page_text_append_time(&s, value, false);
		appendStringInfoString(&s, "\" title=\"");
		page_text_append_time(&s, value, true);
		appendStringInfoString(&s, seconds > 1 ? "\">in " : "\">");
		if (fabs(seconds) <= 1)
			appendStringInfoString(&s, "now");
		else
			page_text_append_seconds(&s, fabs(seconds));
		appendStringInfoString(&s, seconds < -1 ? " ago</time>" : "</time>");
	}
	return page_text_result(&s);
}
