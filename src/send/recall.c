/*-------------------------------------------------------------------------
 *
 * recall.c
 *		Deliveries on their way back from the delivery table.
 *
 * There are four ways:
 *
 *	due			a delivery that failed, at its time;
 *	followers	what had to wait after one that failed: its key is *blocked* as
 *				long as the table holds an unfinished row with it, newer messages are
 *				stored, too, and read back one by one, or as many as make a batch;
 *	backlog		what waits for an endpoint that was slow, failing or deactivated:
 *				newer messages are stored after it until it has been read to the end;
 *	probe		one delivery at a time of an endpoint that is failing.
 *
 * A row remains in the table while its delivery is in memory, and is deleted when that
 * is finished (spill.c).  delivery_has_row() keeps it from being read twice.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "send/attempt_log.h"
#include "send/delivery_table.h"
#include "send/egress.h"
#include "send/order_key.h"
#include "send/probe.h"
#include "send/queue.h"
#include "send/recall.h"
#include "send/replay_run.h"

/* Rows read in one go: of one endpoint, of those that are due, to choose a probe from. */
#define BACKLOG_ROWS		200
#define BACKLOG_MAX			2000	/* with batches */
#define DUE_ROWS			500
#define PROBE_CANDIDATES	100

/*
 * Rows from the table leave room for messages from the outbox.  Endpoints that
 * do not finish their deliveries must not keep others from reading theirs, so
 * these limits apply by degrees.  From SMALL percent on an endpoint gets no
 * more rows than it can send at once, or a few if it may not work.  Backlogs
 * are read up to FULL percent; due rows and followers, of which a failing
 * endpoint has few, up to MORE.
 */
#define RECALL_MAX_IN_MEMORY	(QUEUE_MAX_IN_MEMORY / 2)
#define RECALL_MAX_BYTES		(16 * 1024 * 1024)
#define RECALL_SMALL			50
#define RECALL_FULL				100
#define RECALL_MORE				150

/* Keys that are followed in one transaction. */
#define FOLLOW_KEYS				500

/* When to try again to read what follows a row that could not be written or deleted yet. */
#define FOLLOW_AGAIN_MS		20

static MemoryContext recall_context;
static List *recall_backlogs = NIL; /* of Endpoint */
static DuePosition recall_due_after;	/* rows due up to this one have been
										 * read */
static TimestampTz recall_next_due; /* DT_NOEND: none */
static TimestampTz recall_followers_at = DT_NOBEGIN;	/* when keys to follow
														 * are looked at again */


void
recall_init(MemoryContext context)
{
	recall_context = context;
	recall_reset_due();
}

static List *
recall_append(List *list, Endpoint *endpoint)
{
	MemoryContext old = MemoryContextSwitchTo(recall_context);

	list = lappend(list, endpoint);
	MemoryContextSwitchTo(old);
	return list;
}

void
recall_start_backlog(Endpoint *endpoint, int64 after)
{
	if (endpoint->spill.backlog)
	{
		endpoint->spill.backlog_read = Min(endpoint->spill.backlog_read, after);
		return;
	}
	endpoint->spill.backlog_read = after;
	endpoint->spill.backlog = true;
	recall_backlogs = recall_append(recall_backlogs, endpoint);
}

TimestampTz
recall_plan_retry(TimestampTz at)
{
	/*
	 * Rows due up to recall_due_after have been read already, so use a later
	 * time.
	 */
	at = Max(at, recall_due_after.at + 1);
	recall_next_due = Min(recall_next_due, at);
	return at;
}

void
recall_reset_due(void)
{
	recall_due_after.at = DT_NOBEGIN;
	recall_next_due = DT_NOBEGIN;
}

void
recall_reset(void)
{
	recall_followers_at = DT_NOBEGIN;
	recall_reset_due();
}

/* Is less than this percentage of the limits in memory? */
static bool
recall_has_room(int percent)
{
	return delivery_load() < RECALL_MAX_IN_MEMORY / 100 * percent &&
		delivery_own_bytes() < (Size) RECALL_MAX_BYTES / 100 * percent;
}

static bool
recall_is_in_memory(const StoredDelivery *row)
{
	return delivery_has_row(row->webhook_id, row->message->id);
}

/* Take a row back into memory. */
static Delivery *
recall_restore(StoredDelivery *row, Endpoint *endpoint)
{
	Delivery   *delivery = delivery_restore(row->message, endpoint, row->order_key, row->attempts);

	delivery->row.was_retrying = row->state == DELIVERY_RETRYING;
	queue_add(delivery);
	return delivery;
}

/*
 * How many rows of its backlog may be in memory?  An endpoint that may not
 * work gets only enough rows to test it, and one with a rate limit what it may
 * send in a second.
 */
static int
recall_backlog_rows(const Endpoint *endpoint)
{
	bool		works = endpoint->state.proven && endpoint->queue.slow == 0;
	int			rows = Max(endpoint->config.max_in_flight, HEALTH_FAILING_AFTER);
	int			batch = endpoint_batch_size(endpoint);
	int			most = Max(BACKLOG_ROWS, Min(2 * batch, BACKLOG_MAX));

	if (!recall_has_room(RECALL_SMALL))
		rows = works ? endpoint->config.max_in_flight : HEALTH_FAILING_AFTER;
	else if (works)
		rows = most;
	if (endpoint->config.send_interval > 0)
		rows = Min(rows, (1 + (int) (USECS_PER_SEC / endpoint->config.send_interval)) * Max(batch, 1));
	return Min(rows, most);
}

/* Read on in the backlog of one endpoint.  Returns false at its end. */
static bool
recall_load_backlog(Endpoint *endpoint)
{
	StoredDelivery *rows;
	bool		more;
	int			max;
	int			n;

	endpoint_refresh(endpoint);
	if (!endpoint_is_working(endpoint))
		return false;
	max = recall_backlog_rows(endpoint);
	rows = palloc(max * sizeof(StoredDelivery));
	n = delivery_table_read_backlog(endpoint->id, endpoint->spill.backlog_read, max, recall_context, rows, &more);
	for (int i = 0; i < n; i++)
	{
		endpoint->spill.backlog_read = rows[i].message->id;
		/* A row that follows one to be retried is read by its key. */
		if (recall_is_in_memory(&rows[i]) || order_key_blocked(endpoint->id, rows[i].order_key) ||
			replay_run_holds(endpoint, rows[i].order_key, rows[i].message))
			pfree(rows[i].message);
		else
			recall_restore(&rows[i], endpoint);
	}
	pfree(rows);				/* many endpoints may be read in one
								 * transaction */
	return more;
}

/* Is it time to read on? */
static bool
recall_wants_backlog(Endpoint *endpoint)
{
	return !egress_holds(endpoint) &&
		endpoint->queue.in_memory - replay_run_in_memory(endpoint) < recall_backlog_rows(endpoint);
}

/*
 * Read on while there is room.  Endpoints whose backlog has been read to its
 * end leave the list; those for which there was no room come first the next
 * time.
 */
static void
recall_read_backlogs(void)
{
	List	   *first = NIL;
	List	   *rest = NIL;
	ListCell   *lc;
	MemoryContext old;

	foreach(lc, recall_backlogs)
	{
		Endpoint   *endpoint = lfirst(lc);

		if (!recall_has_room(RECALL_FULL))
			first = recall_append(first, endpoint);
		else if (!recall_wants_backlog(endpoint) || recall_load_backlog(endpoint))
			rest = recall_append(rest, endpoint);
		else
			endpoint->spill.backlog = false;
	}
	list_free(recall_backlogs);
	old = MemoryContextSwitchTo(recall_context);
	recall_backlogs = list_concat(first, rest);
	MemoryContextSwitchTo(old);
	list_free(rest);
}

/* Rows with this key that may share a request with the one that has just been read. */
static void
recall_load_batch(Endpoint *endpoint, const OrderKey *key, int64 after)
{
	StoredDelivery row;

	for (int n = 1; n < endpoint_batch_size(endpoint) && recall_has_room(RECALL_SMALL) &&
		 endpoint->queue.in_memory < recall_backlog_rows(endpoint) &&
		 delivery_table_read_next(endpoint->id, key->tag.order_key, after, recall_context, &row) > 0; n++)
	{
		after = row.message->id;
		if (recall_is_in_memory(&row) || row.next_attempt_at > recall_due_after.at)
		{
			pfree(row.message);
			break;
		}
		recall_restore(&row, endpoint);
	}
}

/* Rows that follow those that have been processed. */
static void
recall_load_followers(TimestampTz now)
{
	List	   *again = NIL;
	ListCell   *lc;
	OrderKey   *key;

	for (int n = 0; n < FOLLOW_KEYS && recall_has_room(RECALL_MORE) && (key = order_key_next_to_read()) != NULL; n++)
	{
		Endpoint   *endpoint = endpoint_get(key->tag.webhook_id);
		StoredDelivery row;

		if (key->holder != NULL || (endpoint->spill.suspend_pending && !endpoint_is_working(endpoint)))
			continue;
		if (!endpoint_is_working(endpoint) ||
			delivery_table_read_next(endpoint->id, key->tag.order_key, key->followed, recall_context, &row) == 0)
		{
			key->blocked = false;
			order_key_release(key);
		}
		else if (replay_run_holds(endpoint, key->tag.order_key, row.message))
		{
			/* A message that is replayed will lead to it. */
			pfree(row.message);
			key->blocked = false;
			order_key_release(key);
		}
		else if (recall_is_in_memory(&row))
		{
			/* It has not been deleted or written yet, for want of a lock. */
			pfree(row.message);
			again = lappend(again, key);
		}
		else if (row.next_attempt_at <= recall_due_after.at)
		{
			/* A waiting one, or one that has been due before. */
			key->followed = row.message->id - 1;
			recall_restore(&row, endpoint);
			recall_load_batch(endpoint, key, row.message->id);
		}
		else
			pfree(row.message);
	}
	foreach(lc, again)
		order_key_follow(lfirst(lc));
	recall_followers_at = again != NIL ? TimestampTzPlusMilliseconds(now, FOLLOW_AGAIN_MS) : DT_NOBEGIN;
}

static void
recall_load_due(TimestampTz now)
{
	StoredDelivery *rows;
	bool		more;
	int			n;

	if (now < recall_next_due || !recall_has_room(RECALL_MORE))
		return;
	rows = palloc(DUE_ROWS * sizeof(StoredDelivery));
	n = delivery_table_read_due(&recall_due_after, now, DUE_ROWS, recall_context, rows, &more);
	for (int i = 0; i < n; i++)
	{
		Endpoint   *endpoint = endpoint_get(rows[i].webhook_id);

		recall_due_after.at = rows[i].next_attempt_at;
		recall_due_after.webhook_id = rows[i].webhook_id;
		recall_due_after.id = rows[i].message->id;
		/* When the proxy works again, recall_reset_due() is called. */
		if (recall_is_in_memory(&rows[i]) || !endpoint_is_working(endpoint) || egress_holds(endpoint))
			pfree(rows[i].message);
		else
			recall_restore(&rows[i], endpoint);
	}
	if (!more)
		recall_next_due = delivery_table_next_due(&recall_due_after);
}

/*
 * Choose the delivery that shows whether a failing endpoint works again: the
 * oldest one, but not the same each time, because the receiver may reject that
 * one only.
 */
static void
recall_load_probe(Endpoint *endpoint)
{
	StoredDelivery *rows = palloc(PROBE_CANDIDATES * sizeof(StoredDelivery));
	int			n = delivery_table_read_probes(endpoint->id, PROBE_CANDIDATES, recall_context, rows);
	int			best = -1;
	int			nheld = 0;

	for (int i = 0; i < n; i++)
		if (replay_run_holds(endpoint, rows[i].order_key, rows[i].message))
			nheld++;
		else if (!recall_is_in_memory(&rows[i]) && (best < 0 || rows[i].attempts < rows[best].attempts))
			best = i;
	for (int i = 0; i < n; i++)
		if (i != best)
			pfree(rows[i].message);
	if (best >= 0)
	{
		endpoint->state.probing = true;
		recall_restore(&rows[best], endpoint)->probe = true;
	}
	else if (n == nheld && endpoint->queue.in_memory == 0)
	{
		/* Nothing is left to test it with: assume that it works. */
		memset(&endpoint->state.health, 0, sizeof(endpoint->state.health));
		attempt_log_mark_health(endpoint);
	}
	else
		endpoint->state.health.next_probe_at = clock_now() + USECS_PER_SEC;
	pfree(rows);
}

static void
recall_load_probes(TimestampTz now)
{
	Endpoint   *endpoint;

	while ((endpoint = probe_first_due(now)) != NULL)
	{
		endpoint_refresh(endpoint);
		if (endpoint->config.exists && endpoint->config.active)
			recall_load_probe(endpoint);
		probe_plan(endpoint);
	}
}

void
recall_rows(TimestampTz now)
{
	recall_load_followers(now);
	recall_load_due(now);
	recall_load_probes(now);
	recall_read_backlogs();
}

bool
recall_due(TimestampTz now)
{
	ListCell   *lc;

	if (now >= recall_next_event())
		return true;
	if (!recall_has_room(RECALL_FULL))
		return false;
	foreach(lc, recall_backlogs)
	{
		if (recall_wants_backlog(lfirst(lc)))
			return true;
	}
	return false;
}

TimestampTz
recall_next_event(void)
{
	TimestampTz next = probe_next_event();

	if (!recall_has_room(RECALL_MORE))
		return next;
	next = Min(next, recall_next_due);
	return order_key_any_to_read() ? Min(next, recall_followers_at) : next;
}
