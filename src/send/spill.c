/*-------------------------------------------------------------------------
 *
 * spill.c
 *		Deliveries on their way to the delivery table.
 *
 * What is written is collected during a turn and goes to the table with its
 * transaction, the one that also saves the position of the cursor.  recall.c
 * reads it again.
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
#include "send/recall.h"
#include "send/spill.h"
#include "send/trim.h"

static MemoryContext spill_context;
static dlist_head spill_to_write = DLIST_STATIC_INIT(spill_to_write);	/* of Delivery */
static List *spill_to_delete = NIL; /* of DeliveryId */
static List *spill_to_wait = NIL;	/* of Endpoint: rows to be retried become
									 * waiting ones */
static List *spill_to_drop = NIL;	/* of Endpoint: deactivated without a
									 * buffer */
static bool spill_news = false; /* in these lists: not just what has been
								 * refused a lock */


void
spill_init(MemoryContext dispatch_context)
{
	spill_context = dispatch_context;
	recall_init(dispatch_context);
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
	{
		if (!done(lfirst(lc)))
			rest = spill_remember(rest, lfirst(lc));
	}
	list_free(*list);
	*list = rest;
}

/* ---------- what must be written ---------- */

/* List a delivery to be written in this state. */
static void
spill_list_row(Delivery *delivery, DeliveryState state, TimestampTz next_attempt_at, const char *error)
{
	delivery->row.next_state = state;
	delivery->row.next_attempt_at = next_attempt_at;
	if (state == DELIVERY_RETRYING)
		delivery->row.next_attempt_at = recall_plan_retry(next_attempt_at);
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

/* Returns the least id of what has left memory; PG_INT64_MAX: nothing has. */
static int64
spill_put_all_aside(Endpoint *endpoint)
{
	int64		first = PG_INT64_MAX;
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
		first = Min(first, delivery->message->id);
		/* A row that has been due would not be read again as such. */
		if (delivery->row.exists && delivery->attempts == 0)
		{
			queue_release_key(delivery);
			delivery_forget(delivery);
		}
		else
			spill_write_later(delivery, DELIVERY_WAITING, 0, NULL);
	}
	return first;
}

void
spill_put_aside(Endpoint *endpoint)
{
	(void) spill_put_all_aside(endpoint);
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
	int64		first;

	dlist_foreach_modify(iter, &endpoint->queue.all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (message_is_test(delivery->message))
			spill_put_test_aside(delivery);
		else if (delivery->phase == PHASE_SENDING && !delivery->row.exists)
			spill_list_row(delivery, DELIVERY_WAITING, 0, NULL);
	}
	first = spill_put_all_aside(endpoint);
	if (first != PG_INT64_MAX)
		recall_start_backlog(endpoint, first - 1);
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

void
spill_clock_set_back(void)
{
	webhook_lock_ask_again();
	recall_start_again();
}

/* Each of these functions leaves for the next time what it gets no lock for. */
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

/*
 * A waiting row is not looked for by itself: it is read with the backlog, as a probe, or
 * after a row with its key.
 */
static bool
spill_needs_backlog(const Delivery *delivery)
{
	const Endpoint *endpoint = delivery->endpoint;

	if (delivery->row.next_state != DELIVERY_WAITING || delivery->phase == PHASE_SENDING)
		return false;
	return endpoint->spill.backlog ||
		(endpoint_is_working(endpoint) && !order_key_blocked(endpoint->id, delivery->order_key));
}

/* It cannot be written yet: later ones must not overtake it while it is neither queued nor to be read. */
static void
spill_hold_back(Delivery *delivery)
{
	OrderKey   *key;

	if (delivery->phase == PHASE_SENDING || delivery->row.next_state == DELIVERY_FAILED)
		return;
	key = order_key_get(delivery->endpoint->id, delivery->order_key, true);
	if (key != NULL)
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

/* Have the row found that has just been written, even if others with greater ids have been read before. */
static void
spill_have_read(const Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;
	int64		before = delivery->message->id - 1;
	OrderKey   *key = order_key_get(endpoint->id, delivery->order_key, false);

	if (key != NULL)
		key->followed = Min(key->followed, before);
	if (spill_needs_backlog(delivery))
		recall_start_backlog(endpoint, before);
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
		/* It may have had to wait for its lock. */
		if (delivery->row.next_state == DELIVERY_RETRYING)
		{
			delivery->row.next_attempt_at = recall_plan_retry(delivery->row.next_attempt_at);
			blocker_watch(endpoint->id, endpoint->config.updated_at);
		}
		delivery_table_store(delivery);
		if (delivery->row.next_state == DELIVERY_FAILED)
			trim_note_failed(clock_now());
		spill_have_read(delivery);
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
		recall_due_again();
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
		recall_start_backlog(endpoint, 0);
}

static void
spill_recover_key(int64 webhook_id, int64 order_key)
{
	order_key_get(webhook_id, order_key, true)->blocked = true;
	if (!blocker_watched(webhook_id))
		blocker_watch(webhook_id, endpoint_changed_at(webhook_id));
}

void
spill_block_retrying(void)
{
	delivery_table_foreach_retrying(spill_recover_key);
	recall_due_again();
}

void
spill_recover(void)
{
	delivery_table_foreach_backlog(spill_recover_backlog);
	spill_block_retrying();
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
	recall_due_again();
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
	recall_due_again();
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
spill_anything_unsaved(void)
{
	return !dlist_is_empty(&spill_to_write) || spill_to_delete != NIL || spill_to_wait != NIL || spill_to_drop != NIL;
}

bool
spill_save_due(TimestampTz now)
{
	return spill_anything_unsaved() && (spill_news || webhook_lock_limited() || now >= webhook_lock_next_try());
}

TimestampTz
spill_next_save(void)
{
	return spill_anything_unsaved() ? webhook_lock_next_try() : DT_NOEND;
}
