/*-------------------------------------------------------------------------
 *
 * spill.c
 *		Deliveries on their way to the delivery table, and back.
 *
 * What is written is collected during a turn and goes to the table with its
 * transaction, the one that also saves the position of the cursor.  There are
 * four ways back:
 *
 *	due			a delivery that failed, at its time;
 *	followers	what had to wait after one that failed: its key is *blocked* as
 *				long as the table holds an unfinished row with it, newer messages are
 *				stored, too, and read back one by one;
 *	backlog		what waits for an endpoint that was slow, failing or deactivated:
 *				newer messages are stored after it until it has been read to the end;
 *	probe		one delivery at a time of an endpoint that is failing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/webhook_lock.h"
#include "send/attempt_log.h"
#include "send/blocker.h"
#include "send/order_key.h"
#include "send/probe.h"
#include "send/queue.h"
#include "send/spill.h"
#include "send/trim.h"

/* Rows read in one go: of one endpoint, of those that are due, to choose a probe from. */
#define BACKLOG_ROWS		200
#define DUE_ROWS			500
#define PROBE_CANDIDATES	100

/* What comes from the table leaves room for what comes from the outbox. */
#define STORED_MAX_IN_MEMORY	(QUEUE_MAX_IN_MEMORY / 2)
#define STORED_MAX_BYTES		(16 * 1024 * 1024)

/* When to try again to read what follows a row that could not be written or deleted yet. */
#define FOLLOW_AGAIN_MS		20

static MemoryContext spill_context;
static dlist_head spill_to_write = DLIST_STATIC_INIT(spill_to_write);	/* of Delivery */
static List *spill_to_delete = NIL; /* of DeliveryId */
static List *spill_to_wait = NIL;	/* of Endpoint: rows to be retried become
									 * waiting ones */
static List *spill_to_drop = NIL;	/* of Endpoint: deactivated without a
									 * buffer */
static bool spill_news = false; /* in these lists: not just what has had no
								 * claim so far */
static List *spill_backlogs = NIL;	/* of Endpoint */
static DuePosition spill_due_after; /* rows due up to this one have been read */
static TimestampTz spill_next_due;	/* DT_NOEND: none */
static TimestampTz spill_followers_at = DT_NOBEGIN; /* when keys to follow are
													 * looked at again */


void
spill_init(MemoryContext dispatch_context)
{
	spill_context = dispatch_context;
	spill_due_after.at = DT_NOBEGIN;
	spill_next_due = DT_NOBEGIN;
	blocker_init(dispatch_context);
}

static List *
spill_remember(List *list, void *item)
{
	MemoryContext old = MemoryContextSwitchTo(spill_context);

	spill_news = true;
	list = lappend(list, item);
	MemoryContextSwitchTo(old);
	return list;
}

/* Do this with each item of a list; those for which it is false remain for the next time. */
static void
spill_work_off(List **list, bool (*done) (void *item))
{
	List	   *rest = NIL;
	ListCell   *lc;

	foreach(lc, *list)
		if (!done(lfirst(lc)))
		rest = spill_remember(rest, lfirst(lc));
	list_free(*list);
	*list = rest;
}

/* ---------- what must be written ---------- */

/* Its time must not fall among those of the rows that have been read already. */
static void
spill_plan_retry(Delivery *delivery, TimestampTz next_attempt_at)
{
	delivery->row.next_attempt_at = Max(next_attempt_at, spill_due_after.at + 1);
	spill_next_due = Min(spill_next_due, delivery->row.next_attempt_at);
}

/* List a delivery to be written in this state. */
static void
spill_list_row(Delivery *delivery, DeliveryState state, TimestampTz next_attempt_at, const char *error)
{
	delivery->row.next_state = state;
	delivery->row.next_attempt_at = next_attempt_at;
	if (state == DELIVERY_RETRYING)
		spill_plan_retry(delivery, next_attempt_at);
	if (error != NULL)
	{
		if (delivery->row.last_error != NULL)
			pfree(delivery->row.last_error);
		delivery->row.last_error = MemoryContextStrdup(spill_context, error);
	}
	if (!delivery->row.to_write)
		dlist_push_tail(&spill_to_write, &delivery->write_node);
	delivery->row.to_write = true;
	spill_news = true;
}

void
spill_write_later(Delivery *delivery, DeliveryState state, TimestampTz next_attempt_at,
				  const char *error)
{
	spill_list_row(delivery, state, next_attempt_at, error);
	delivery_enter(delivery, PHASE_TO_WRITE);
	queue_release_key(delivery);
}

void
spill_keep(Delivery *delivery)
{
	if (delivery->row.to_write)
		dlist_delete(&delivery->write_node);
	delivery->row.to_write = false;
}

void
spill_finish(Delivery *delivery)
{
	spill_keep(delivery);
	if (delivery->row.exists)
	{
		DeliveryId *tag = MemoryContextAlloc(spill_context, sizeof(DeliveryId));

		tag->webhook_id = delivery->endpoint->id;
		tag->id = delivery->message->id;
		spill_to_delete = spill_remember(spill_to_delete, tag);

		/* Its row must not be read until it has gone. */
		delivery->row.exists = false;
	}
	queue_release_key(delivery);
	delivery_forget(delivery);
}

void
spill_start_failing(Endpoint *endpoint)
{
	if (!endpoint->spill.to_wait)
		spill_to_wait = spill_remember(spill_to_wait, endpoint);
	endpoint->spill.to_wait = true;
	probe_plan(endpoint);
}

void
spill_start_backlog(Endpoint *endpoint)
{
	endpoint->spill.backlog_read = 0;
	if (endpoint->spill.backlog)
		return;
	endpoint->spill.backlog = true;
	spill_backlogs = spill_remember(spill_backlogs, endpoint);
}

/* ---------- endpoints that are slow, failing or deactivated ---------- */

/*
 * A test is worth one attempt, and no row; it stays in memory, and what it was
 * read with is processed.
 */
static void
spill_put_test_aside(Delivery *delivery)
{
	if (!delivery->endpoint->config.exists && delivery->phase != PHASE_SENDING)
		delivery_forget(delivery);
	else if (delivery->message->window != NULL)
		delivery_detach(delivery);
}

void
spill_put_aside(Endpoint *endpoint)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &endpoint->queue.all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (message_is_test(delivery->message))
		{
			spill_put_test_aside(delivery);
			continue;
		}
		if (delivery->phase == PHASE_SENDING || delivery->phase == PHASE_TO_WRITE)
			continue;
		/* A row that has been due would not be read again as such. */
		if (delivery->row.exists && delivery->attempts == 0)
		{
			queue_release_key(delivery);
			delivery_forget(delivery);
		}
		else
			spill_write_later(delivery, DELIVERY_WAITING, 0, NULL);
	}
}

void
spill_put_key_aside(OrderKey *key)
{
	while (!dlist_is_empty(&key->queue))
	{
		Delivery   *delivery = dlist_head_element(Delivery, phase_node, &key->queue);

		delivery->key = NULL;
		if (delivery->row.exists)
			delivery_forget(delivery);
		else
			spill_write_later(delivery, DELIVERY_WAITING, 0, NULL);
	}
}

/* What is being sent goes on; the rest is read back when there is room. */
void
spill_endpoint(Endpoint *endpoint)
{
	dlist_mutable_iter iter;
	bool		rest = false;

	dlist_foreach_modify(iter, &endpoint->queue.all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (message_is_test(delivery->message))
			spill_put_test_aside(delivery);
		else if (delivery->phase != PHASE_SENDING)
			rest = true;
		else if (!delivery->row.exists)
			spill_list_row(delivery, DELIVERY_WAITING, 0, NULL);
	}
	if (rest)
	{
		spill_put_aside(endpoint);
		spill_start_backlog(endpoint);
	}
}

static void
spill_overtaken(Endpoint *endpoint)
{
	dlist_iter	iter;

	dlist_foreach(iter, &endpoint->queue.all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (!delivery->row.exists && delivery->message->id <= delivery_last_finished())
		{
			/* This changes the list. */
			spill_endpoint(endpoint);
			break;
		}
	}
}

void
spill_all_overtaken(void)
{
	endpoint_foreach(spill_overtaken);
}

/* ---------- writing ---------- */

/* Read all rows that must be retried once more. */
static void
spill_reread_due(void)
{
	spill_due_after.at = DT_NOBEGIN;
	spill_next_due = DT_NOBEGIN;
}

void
spill_clock_set_back(void)
{
	webhook_lock_ask_again();
	spill_followers_at = DT_NOBEGIN;
	spill_reread_due();
}

/* Of these functions each leaves what it has no claim on for the next time. */
static bool
spill_delete_row(void *item)
{
	DeliveryId *row = item;

	if (!webhook_lock_try(row->webhook_id))
		return false;
	delivery_table_delete(row->webhook_id, row->id);
	delivery_forget_row(row->webhook_id, row->id);
	pfree(row);
	return true;
}

/*
 * The state in which a delivery is written depends on what its webhook has
 * become by now; false if there is no use for the row any more.
 */
static bool
spill_settle_state(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	if (!endpoint->config.exists)
		return false;
	if (delivery->row.next_state == DELIVERY_FAILED)
		return true;

	if (delivery->row.next_state == DELIVERY_RETRYING && endpoint->state.health.failing)
	{
		/* All that it has waits for a probe, and blocks no key. */
		delivery->row.next_state = DELIVERY_WAITING;
		delivery->row.blocks_key = true;
	}
	if (!delivery->row.exists && endpoint_discards(endpoint, delivery->message->xid))
	{
		attempt_log_dropped(endpoint);
		return false;
	}
	if (endpoint->config.active)
		return true;
	if (endpoint->config.buffering)
	{
		delivery->row.next_state = DELIVERY_WAITING;
		return true;
	}
	if (!delivery->row.exists)
		attempt_log_dropped(endpoint);
	return false;
}

/* May deliveries of this endpoint be sent, other than a probe? */
static bool
spill_may_send(const Endpoint *endpoint)
{
	return endpoint_is_sendable(endpoint) && !endpoint->state.health.failing;
}

/*
 * A waiting row is not looked for by itself: it is read with the backlog, as a probe, or
 * after a row with its key.
 */
static bool
spill_needs_reader(const Delivery *delivery)
{
	const Endpoint *endpoint = delivery->endpoint;

	return delivery->row.next_state == DELIVERY_WAITING && delivery->phase != PHASE_SENDING && !endpoint->spill.backlog &&
		spill_may_send(endpoint) && !order_key_blocked(endpoint->id, delivery->order_key);
}

/* It cannot be written yet: later ones must not overtake it while it is neither queued nor to be read. */
static void
spill_hold_back(Delivery *delivery)
{
	OrderKey   *key = order_key_get(delivery->endpoint->id, delivery->order_key, true);

	if (key != NULL && delivery->phase != PHASE_SENDING && delivery->row.next_state != DELIVERY_FAILED)
		delivery->row.blocks_key = key->blocked = true;
}

/* It has been written, or is not needed: the key's next is in the table. */
static void
spill_let_pass(Delivery *delivery)
{
	if (delivery->row.blocks_key && delivery->order_key != 0)
		order_key_follow(order_key_get(delivery->endpoint->id, delivery->order_key, true));
	delivery->row.blocks_key = false;
}

static bool
spill_write_row(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	if (delivery->row.exists && !webhook_lock_try(endpoint->id))
	{
		spill_hold_back(delivery);
		return false;
	}
	spill_keep(delivery);
	if (spill_settle_state(delivery))
	{
		/* It may have had to wait for its claim. */
		if (delivery->row.next_state == DELIVERY_RETRYING)
		{
			spill_plan_retry(delivery, delivery->row.next_attempt_at);
			blocker_watch(endpoint->id, endpoint->config.updated_at);
		}
		delivery_table_store(delivery);
		if (delivery->row.next_state == DELIVERY_FAILED)
			trim_note_failed(clock_now());
		if (spill_needs_reader(delivery))
			spill_start_backlog(endpoint);

		/*
		 * After a crash messages are read again that precede rows of the
		 * table.
		 */
		endpoint->spill.backlog_read = Min(endpoint->spill.backlog_read, delivery->message->id - 1);
		if (delivery->phase == PHASE_SENDING && !delivery->row.exists)
		{
			delivery_note_row(endpoint->id, delivery->message->id);
			delivery->row.exists = true;
			delivery_detach(delivery);
		}
	}
	if (delivery->row.last_error != NULL)
		pfree(delivery->row.last_error);
	delivery->row.last_error = NULL;
	spill_let_pass(delivery);
	if (delivery->phase != PHASE_SENDING)
		delivery_forget(delivery);
	else if (delivery->message->window != NULL)
		delivery_detach(delivery);
	return true;
}

static void
spill_write_rows(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &spill_to_write)
		(void) spill_write_row(dlist_container(Delivery, write_node, iter.cur));
}

/*
 * Until this is done the rows of a failing endpoint are still to be retried, and
 * their keys blocked.  If it is well again before, they are retried: what came
 * due in the meantime was passed over, and so were those that follow.
 */
static bool
spill_make_rows_wait(void *item)
{
	Endpoint   *endpoint = item;

	if (!endpoint->state.health.failing)
	{
		spill_reread_due();
		order_key_follow_all(endpoint->id);
	}
	else if (!webhook_lock_try(endpoint->id))
		return false;
	else
	{
		delivery_table_all_waiting(endpoint->id);
		order_key_unblock_all(endpoint->id);
	}
	endpoint->spill.to_wait = false;
	return true;
}

/* Rows that were written while a session deactivated or deleted the webhook. */
static bool
spill_drop_rows(void *item)
{
	Endpoint   *endpoint = item;

	if (!webhook_lock_try(endpoint->id))
		return false;
	endpoint->spill.to_drop = false;
	if (!endpoint->config.exists)
		delivery_table_delete_all(endpoint->id);
	else if (!endpoint->config.active && !endpoint->config.buffering)
	{
		int64		dropped = delivery_table_drop(endpoint->id);

		while (dropped-- > 0)
			attempt_log_dropped(endpoint);
	}
	return true;
}

void
spill_save(void)
{
	webhook_lock_begin();
	spill_work_off(&spill_to_delete, spill_delete_row);
	spill_write_rows();
	spill_work_off(&spill_to_wait, spill_make_rows_wait);
	spill_work_off(&spill_to_drop, spill_drop_rows);
	spill_news = false;
}

/* ---------- reading ---------- */

static bool
spill_has_room(void)
{
	return delivery_in_memory() < STORED_MAX_IN_MEMORY && delivery_own_bytes() < STORED_MAX_BYTES;
}

static bool
spill_is_in_memory(const StoredDelivery *row)
{
	return delivery_has_row(row->webhook_id, row->message->id);
}

/* Take a row back into memory. */
static Delivery *
spill_restore(StoredDelivery *row, Endpoint *endpoint)
{
	Delivery   *delivery = delivery_restore(row->message, endpoint, row->order_key, row->attempts);

	queue_add(delivery);
	return delivery;
}

/* How much of its backlog shall be in memory?  What may not work gets no more than finds that out. */
static int
spill_backlog_rows(const Endpoint *endpoint)
{
	return endpoint->state.proven && endpoint->queue.slow == 0 ? BACKLOG_ROWS :
		Min(BACKLOG_ROWS, Max(endpoint->config.max_in_flight, HEALTH_FAILING_AFTER));
}

/* Read on in the backlog of one endpoint; false when there is no more. */
static bool
spill_load_backlog(Endpoint *endpoint)
{
	StoredDelivery *rows;
	bool		more;
	int			max;
	int			n;

	endpoint_refresh(endpoint);
	if (!spill_may_send(endpoint))
		return false;
	max = spill_backlog_rows(endpoint);
	rows = palloc(max * sizeof(StoredDelivery));
	n = delivery_table_read_backlog(endpoint->id, endpoint->spill.backlog_read, max, spill_context, rows, &more);
	for (int i = 0; i < n; i++)
	{
		endpoint->spill.backlog_read = rows[i].message->id;
		/* After a row that must be retried it will be found by its key. */
		if (spill_is_in_memory(&rows[i]) || order_key_blocked(endpoint->id, rows[i].order_key))
			pfree(rows[i].message);
		else
			spill_restore(&rows[i], endpoint);
	}
	pfree(rows);				/* many endpoints may be read in one
								 * transaction */
	return more;
}

/* Is it time to read on? */
static bool
spill_wants_backlog(const Endpoint *endpoint)
{
	return endpoint->queue.in_memory < spill_backlog_rows(endpoint);
}

/* Is the backlog of an endpoint in memory to its end?  Read on if there is room. */
static bool
spill_read_on(void *item)
{
	Endpoint   *endpoint = item;

	if (!spill_has_room() || !spill_wants_backlog(endpoint) || spill_load_backlog(endpoint))
		return false;
	endpoint->spill.backlog = false;
	return true;
}

/* Rows that follow those that have been processed. */
static void
spill_load_followers(TimestampTz now)
{
	List	   *again = NIL;
	ListCell   *lc;
	OrderKey   *key;

	while ((key = order_key_take_to_follow()) != NULL)
	{
		Endpoint   *endpoint = endpoint_get(key->tag.webhook_id);
		StoredDelivery row;

		if (key->holder != NULL || (endpoint->spill.to_wait && !spill_may_send(endpoint)))
			continue;
		if (!spill_may_send(endpoint) ||
			delivery_table_read_next(endpoint->id, key->tag.order_key, spill_context, &row) == 0)
		{
			key->blocked = false;
			order_key_release(key);
		}
		else if (spill_is_in_memory(&row))
		{
			/* It could not be deleted or written yet. */
			pfree(row.message);
			again = lappend(again, key);
		}
		else if (row.next_attempt_at <= spill_due_after.at)
			spill_restore(&row, endpoint);	/* a waiting one, or one that has
											 * been due before */
		else
			pfree(row.message);
	}
	foreach(lc, again)
		order_key_follow(lfirst(lc));
	spill_followers_at = again != NIL ? TimestampTzPlusMilliseconds(now, FOLLOW_AGAIN_MS) : DT_NOBEGIN;
}

static void
spill_load_due(TimestampTz now)
{
	StoredDelivery *rows;
	bool		more;
	int			n;

	if (now < spill_next_due || !spill_has_room())
		return;
	rows = palloc(DUE_ROWS * sizeof(StoredDelivery));
	n = delivery_table_read_due(&spill_due_after, now, DUE_ROWS, spill_context, rows, &more);
	for (int i = 0; i < n; i++)
	{
		Endpoint   *endpoint = endpoint_get(rows[i].webhook_id);

		spill_due_after.at = rows[i].next_attempt_at;
		spill_due_after.webhook_id = rows[i].webhook_id;
		spill_due_after.id = rows[i].message->id;
		if (spill_is_in_memory(&rows[i]) || !spill_may_send(endpoint))
			pfree(rows[i].message);
		else
			spill_restore(&rows[i], endpoint);
	}
	if (!more)
		spill_next_due = delivery_table_next_due(&spill_due_after);
}

/*
 * Choose the delivery that finds out whether a failing endpoint works
 * again: the oldest one, but not the same each time, as it may be the
 * only one that is disliked.
 */
static void
spill_load_probe(Endpoint *endpoint)
{
	StoredDelivery *rows = palloc(PROBE_CANDIDATES * sizeof(StoredDelivery));
	int			n = delivery_table_read_probes(endpoint->id, PROBE_CANDIDATES, spill_context, rows);
	int			best = -1;

	for (int i = 0; i < n; i++)
		if (!spill_is_in_memory(&rows[i]) &&
			(best < 0 || rows[i].attempts < rows[best].attempts))
			best = i;
	for (int i = 0; i < n; i++)
		if (i != best)
			pfree(rows[i].message);
	if (best >= 0)
	{
		endpoint->state.probing = true;
		spill_restore(&rows[best], endpoint)->probe = true;
	}
	else if (n == 0 && endpoint->queue.in_memory == 0)
	{
		/* Nothing left to try it with. */
		memset(&endpoint->state.health, 0, sizeof(endpoint->state.health));
		attempt_log_health(endpoint);
	}
	else
		endpoint->state.health.next_probe_at = clock_now() + USECS_PER_SEC;
	pfree(rows);
}

static void
spill_load_probes(TimestampTz now)
{
	Endpoint   *endpoint;

	while ((endpoint = probe_first_due(now)) != NULL)
	{
		endpoint_refresh(endpoint);
		if (endpoint->config.exists && endpoint->config.active)
			spill_load_probe(endpoint);
		probe_plan(endpoint);
	}
}

void
spill_load(TimestampTz now)
{
	spill_load_followers(now);
	spill_load_due(now);
	spill_load_probes(now);
	spill_work_off(&spill_backlogs, spill_read_on);
}

/* ---------- after a start, and after changes of the configuration ---------- */

static void
spill_recover_backlog(int64 webhook_id, bool wanted)
{
	Endpoint   *endpoint = endpoint_get(webhook_id);

	if (!wanted)
	{
		/*
		 * A webhook that we have never seen may be about to be restored from
		 * a dump.
		 */
		if (!endpoint->config.known || endpoint->spill.to_drop)
			return;
		endpoint->spill.to_drop = true;
		spill_to_drop = spill_remember(spill_to_drop, endpoint);
	}
	else if (endpoint->state.health.failing)
		probe_plan(endpoint);
	else
		spill_start_backlog(endpoint);
}

static void
spill_recover_key(int64 webhook_id, int64 order_key)
{
	order_key_get(webhook_id, order_key, true)->blocked = true;
	if (!blocker_watched(webhook_id))
		blocker_watch(webhook_id, endpoint_changed_at(webhook_id));
}

void
spill_recover(void)
{
	delivery_table_foreach_backlog(spill_recover_backlog);
	delivery_table_foreach_retrying(spill_recover_key);
}

/*
 * A session may have switched webhooks on, made retries due, had messages
 * delivered again; or it may have removed rows that blocked their keys.  Only the worker blocks keys,
 * and a session that removes such rows changes the webhook.
 */
void
spill_config_changed(void)
{
	webhook_lock_ask_again();
	delivery_table_foreach_backlog(spill_recover_backlog);
	spill_reread_due();
	blocker_follow_changed();
}

void
spill_retry_forbidden(TimestampTz now)
{
	int64	   *webhook_ids;
	int			n = delivery_table_read_forbidden(now, &webhook_ids);

	for (int i = 0; i < n; i++)
		if (webhook_lock_try(webhook_ids[i]))
			delivery_table_retry_forbidden(webhook_ids[i], now);
	pfree(webhook_ids);
	spill_reread_due();
}

bool
spill_known(int64 webhook_id, int64 id)
{
	static int64 known_up_to = -1;

	/*
	 * Asked first when the first message is read: by then nothing has been
	 * written since the start.
	 */
	if (known_up_to < 0)
		known_up_to = delivery_table_last_id();
	return id <= known_up_to && delivery_table_exists(webhook_id, id);
}

/* ---------- what the worker asks ---------- */

static bool
spill_anything_to_save(void)
{
	return !dlist_is_empty(&spill_to_write) || spill_to_delete != NIL || spill_to_wait != NIL || spill_to_drop != NIL;
}

bool
spill_to_save(TimestampTz now)
{
	return spill_anything_to_save() && (spill_news || webhook_lock_limited() || now >= webhook_lock_next_try());
}

TimestampTz
spill_next_save(void)
{
	return spill_anything_to_save() ? webhook_lock_next_try() : DT_NOEND;
}

bool
spill_to_load(TimestampTz now)
{
	ListCell   *lc;

	if (order_key_any_to_follow() && now >= spill_followers_at)
		return true;
	if (now >= spill_next_event())
		return true;
	if (!spill_has_room())
		return false;
	foreach(lc, spill_backlogs)
		if (spill_wants_backlog(lfirst(lc)))
		return true;
	return false;
}

TimestampTz
spill_next_event(void)
{
	TimestampTz next = Min(spill_has_room() ? spill_next_due : DT_NOEND, probe_next_event());

	return order_key_any_to_follow() ? Min(next, spill_followers_at) : next;
}
