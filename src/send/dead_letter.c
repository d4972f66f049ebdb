/*-------------------------------------------------------------------------
 *
 * dead_letter.c
 *		Messages that have failed for good, and notifications of them.
 *
 * A webhook gets a notification a moment after its first message has failed, and
 * then at most one in each DEAD_LETTER_WINDOW, with the number of messages.  What has
 * been reported follows from the notifications, and what has not from the delivery
 * table, so a restart neither loses nor repeats a notification.  Only the response of
 * the last message is held in memory, and missing in the notification after a restart.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/spi_statement.h"
#include "send/dead_letter.h"
#include "send/notify.h"

/* From the first failure to the notification, and to the next one of the webhook. */
#define DEAD_LETTER_DELAY_MS	1000
#define DEAD_LETTER_WINDOW_MS	(3600 * 1000)

/* When to try again if the notifications are locked. */
#define DEAD_LETTER_AGAIN_MS	1000

/* Maximum length of a reported response, and number of webhooks for which it is remembered. */
#define DEAD_LETTER_ANSWER_MAX	1000
#define DEAD_LETTER_ANSWERS		1000

/* A webhook with messages that have not been reported. */
typedef struct DeadLetters
{
	int64		webhook_id;
	TimestampTz report_at;
	int64		message_id;		/* of the one that the answer is about; 0:
								 * none is remembered */
	int			status;
	char	   *answer;
} DeadLetters;

static MemoryContext dead_letter_context;
static List *dead_letter_list = NIL;	/* of DeadLetters */

/* Have the unreported failures of earlier processes been found? */
static bool dead_letter_started = false;

static SpiStatement dead_letter_unreported_statement = {
	"SELECT webhook_id FROM webhook.unreported_failures", 0, {0}
};

static SpiStatement dead_letter_last_report_statement = {
	"SELECT max(created_at) FROM webhook.notification WHERE webhook_id = $1 AND kind = 'message_failed'",
	1, {INT8OID}
};

static SpiStatement dead_letter_failures_statement = {
	"SELECT id, message_id::text, event, entity_type, entity_id::text, event_uid, attempts, last_error, failures"
	" FROM webhook.failures_since($1, $2)",
	2, {INT8OID, TIMESTAMPTZOID}
};

/* Its columns. */
enum
{
	Anum_failures_id = 1,
	Anum_failures_message_id,
	Anum_failures_event,
	Anum_failures_entity_type,
	Anum_failures_entity_id,
	Anum_failures_event_uid,
	Anum_failures_attempts,
	Anum_failures_last_error,
	Anum_failures_failures,
};


void
dead_letter_init(MemoryContext context)
{
	dead_letter_context = context;
}

static DeadLetters *
dead_letter_get(int64 webhook_id, TimestampTz report_at)
{
	ListCell   *lc;
	DeadLetters *letters;
	MemoryContext old;

	foreach(lc, dead_letter_list)
	{
		letters = lfirst(lc);
		if (letters->webhook_id == webhook_id)
			return letters;
	}
	old = MemoryContextSwitchTo(dead_letter_context);
	letters = palloc0(sizeof(DeadLetters));
	letters->webhook_id = webhook_id;
	letters->report_at = report_at;
	dead_letter_list = lappend(dead_letter_list, letters);
	MemoryContextSwitchTo(old);
	return letters;
}

static void
dead_letter_forget_answer(DeadLetters *letters)
{
	if (letters->answer != NULL)
		pfree(letters->answer);
	letters->answer = NULL;
	letters->message_id = 0;
}

void
dead_letter_note(const Delivery *delivery, const HttpResult *result, TimestampTz now)
{
	DeadLetters *letters = dead_letter_get(delivery->endpoint->id, TimestampTzPlusMilliseconds(now, DEAD_LETTER_DELAY_MS));

	dead_letter_forget_answer(letters);
	if (list_length(dead_letter_list) > DEAD_LETTER_ANSWERS)
		return;
	letters->message_id = delivery->message->id;
	letters->status = result->status;
	letters->answer = MemoryContextAlloc(dead_letter_context, DEAD_LETTER_ANSWER_MAX + 1);
	strlcpy(letters->answer, result->body, DEAD_LETTER_ANSWER_MAX + 1);
}

TimestampTz
dead_letter_next(TimestampTz now)
{
	TimestampTz first = DT_NOEND;
	ListCell   *lc;

	if (!dead_letter_started)
		return DT_NOBEGIN;
	foreach(lc, dead_letter_list)
		first = Min(first, ((DeadLetters *) lfirst(lc))->report_at);
	return first;
}

void
dead_letter_clock_set_back(void)
{
	ListCell   *lc;

	foreach(lc, dead_letter_list)
		((DeadLetters *) lfirst(lc))->report_at = DT_NOBEGIN;
}

static void
dead_letter_find_unreported(TimestampTz now)
{
	uint64		n = spi_statement_execute(&dead_letter_unreported_statement, NULL, NULL);
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
		(void) dead_letter_get(DatumGetInt64(spi_statement_value(i, 1, &isnull)), now);
	dead_letter_started = true;
}

static TimestampTz
dead_letter_last_report(int64 webhook_id)
{
	Datum		values[] = {Int64GetDatum(webhook_id)};
	bool		isnull;
	Datum		last;

	spi_statement_execute(&dead_letter_last_report_statement, values, NULL);
	last = spi_statement_value(0, 1, &isnull);
	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(last);
}

static void
dead_letter_raise(const DeadLetters *letters, TimestampTz since)
{
	Datum		values[] = {Int64GetDatum(letters->webhook_id), TimestampTzGetDatum(since)};
	FailureNotice notice = {0};
	bool		isnull;

	/* They may have been delivered again or deleted meanwhile. */
	if (spi_statement_execute(&dead_letter_failures_statement, values, NULL) == 0)
		return;
	notice.count = DatumGetInt64(spi_statement_value(0, Anum_failures_failures, &isnull));
	notice.message_id = spi_statement_text(0, Anum_failures_message_id);
	notice.event = spi_statement_text(0, Anum_failures_event);
	notice.entity_type = spi_statement_text(0, Anum_failures_entity_type);
	notice.entity_id = spi_statement_text(0, Anum_failures_entity_id);
	notice.event_uid = spi_statement_text(0, Anum_failures_event_uid);
	notice.attempts = DatumGetInt32(spi_statement_value(0, Anum_failures_attempts, &isnull));
	notice.error = spi_statement_text(0, Anum_failures_last_error);
	if (letters->message_id == DatumGetInt64(spi_statement_value(0, Anum_failures_id, &isnull)))
	{
		notice.status = letters->status;
		notice.answer = letters->answer;
	}
	notify_message_failed(endpoint_get(letters->webhook_id), &notice);
}

/* Returns false if it is not time yet; report_at is set then. */
static bool
dead_letter_report_one(DeadLetters *letters, TimestampTz now)
{
	TimestampTz last;
	TimestampTz next;

	if (!notify_possible())
	{
		letters->report_at = TimestampTzPlusMilliseconds(now, DEAD_LETTER_AGAIN_MS);
		return false;
	}
	last = dead_letter_last_report(letters->webhook_id);
	next = TIMESTAMP_NOT_FINITE(last) ? last : TimestampTzPlusMilliseconds(last, DEAD_LETTER_WINDOW_MS);
	if (now < next && last <= now)
	{
		letters->report_at = next;
		return false;
	}

	/*
	 * If the clock has been set back, it is not known which ones that was
	 * about.
	 */
	dead_letter_raise(letters, last > now ? DT_NOBEGIN : last);
	return true;
}

void
dead_letter_report(TimestampTz now)
{
	List	   *rest = NIL;
	ListCell   *lc;
	MemoryContext old;

	if (!dead_letter_started)
		dead_letter_find_unreported(now);
	foreach(lc, dead_letter_list)
	{
		DeadLetters *letters = lfirst(lc);

		if (letters->report_at <= now && dead_letter_report_one(letters, now))
		{
			dead_letter_forget_answer(letters);
			pfree(letters);
			continue;
		}
		old = MemoryContextSwitchTo(dead_letter_context);
		rest = lappend(rest, letters);
		MemoryContextSwitchTo(old);
	}
	list_free(dead_letter_list);
	dead_letter_list = rest;
}
