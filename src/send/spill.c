/*-------------------------------------------------------------------------
 *
 * spill.c
 *		Deliveries on their way to the delivery table.
 *
 * Rows to be written or deleted are listed when a delivery fails, is put aside or
 * is finished, which may be outside of a transaction.  spill_save() writes them in
 * the turn's next one, which also saves the position of the cursor.  recall.c reads
 * them again.
 *
 * Existing rows are changed under the lock of their webhook.  The worker does not wait
 * for it: what it cannot write remains listed, and blocks its key meanwhile.
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
#include "send/replay_run.h"
#include "send/spill.h"
#include "send/trim.h"

static MemoryContext spill_context;

/* Work for the next transaction: lists of Delivery, DeliveryId, Endpoint and Endpoint. */
static dlist_head spill_pending_writes = DLIST_STATIC_INIT(spill_pending_writes);
static List *spill_pending_deletes = NIL;
static List *spill_pending_suspends = NIL;
static List *spill_pending_drops = NIL;

/* Do they contain more than items that had to be postponed for want of a lock? */
static bool spill_has_new = false;


void
spill_init(MemoryContext context)
{
	spill_context = context;
	recall_init(context);
	blocker_init(context);
}

static List *
spill_append(List *list, void *item)
{
	MemoryContext old = MemoryContextSwitchTo(spill_context);

	spill_has_new = true;
	list = lappend(list, item);
	MemoryContextSwitchTo(old);
	return list;
}

/* Process the items of a list; those for which the function returns false remain in it. */
static void
spill_process_list(List **list, bool (*done) (void *item))
{
	List	   *rest = NIL;
	ListCell   *lc;

	foreach(lc, *list)
	{
		if (!done(lfirst(lc)))
			rest = spill_append(rest, lfirst(lc));
	}
	list_free(*list);
	*list = rest;
}

/* ---------- what must be written ---------- */

/* List a delivery to be written with this state. */
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
	if (!delivery->row.write_pending)
		dlist_push_tail(&spill_pending_writes, &delivery->write_node);
	delivery->row.write_pending = true;
	spill_has_new = true;
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
spill_cancel_write(Delivery *delivery)
{
	if (delivery->row.write_pending)
		dlist_delete(&delivery->write_node);
	delivery->row.write_pending = false;
}

void
spill_finish(Delivery *delivery)
{
	spill_cancel_write(delivery);
	if (delivery->row.exists)
	{
		DeliveryId *tag = MemoryContextAlloc(spill_context, sizeof(DeliveryId));

		tag->webhook_id = delivery->endpoint->id;
		tag->id = delivery->message->id;
		spill_pending_deletes = spill_append(spill_pending_deletes, tag);

		/* The row must not be read before it has been deleted. */
		delivery->row.exists = false;
	}
	queue_release_key(delivery);
	delivery_forget(delivery);
}

void
spill_drop(Delivery *delivery)
{
	attempt_log_count_dropped(delivery->endpoint);
	spill_finish(delivery);
}

void
spill_start_failing(Endpoint *endpoint)
{
	if (!endpoint->spill.suspend_pending)
		spill_pending_suspends = spill_append(spill_pending_suspends, endpoint);
	endpoint->spill.suspend_pending = true;
	probe_plan(endpoint);
}

/* ---------- endpoints that are slow, failing or deactivated ---------- */

/* A test gets one attempt and no row.  It stays in memory, but no longer holds up the cursor. */
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
		/* A row that has been read as due would not be read again. */
		if (delivery->row.exists && !delivery->row.was_retrying && delivery->attempts == 0)
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

void
spill_to_backlog(Endpoint *endpoint)
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

void
spill_store_waiting(Endpoint *endpoint, TimestampTz before)
{
	dlist_iter	iter;

	dlist_foreach(iter, &endpoint->queue.all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (delivery->phase != PHASE_SENDING && !delivery->row.exists && !delivery->row.write_pending &&
			delivery->message->read_at <= before && !message_is_test(delivery->message))
			spill_list_row(delivery, DELIVERY_WAITING, 0, NULL);
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
			spill_to_backlog(endpoint);
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
	webhook_lock_retry_now();
	recall_reset();
}

/* These functions return false if they do not get a lock; they are called again later. */
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
 * Adjust the state in which a delivery is written to its webhook's present
 * configuration.  Returns false if its row is not needed any more.
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
		attempt_log_count_dropped(endpoint);
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
		attempt_log_count_dropped(endpoint);
	return false;
}

/* Waiting rows are not read by themselves, but with the backlog, as a probe, or after a row with the same key. */
static bool
spill_needs_backlog(const Delivery *delivery)
{
	const Endpoint *endpoint = delivery->endpoint;

	if (delivery->row.next_state != DELIVERY_WAITING || delivery->phase != PHASE_TO_WRITE || delivery->behind_replay)
		return false;
	return endpoint->spill.backlog ||
		(endpoint_is_working(endpoint) && !order_key_blocked(endpoint->id, delivery->order_key));
}

/* A row that cannot be written yet blocks its key, so that later deliveries do not overtake it. */
static void
spill_block_key(Delivery *delivery)
{
	OrderKey   *key;

	if (delivery->phase != PHASE_TO_WRITE || delivery->row.next_state == DELIVERY_FAILED)
		return;
	key = order_key_get(delivery->endpoint->id, delivery->order_key, true);
	if (key != NULL)
		delivery->row.blocks_key = key->blocked = true;
}

/* The row has been written, or is not needed: go on with the next one of its key. */
static void
spill_unblock_key(Delivery *delivery)
{
	if (delivery->row.blocks_key && delivery->order_key != 0)
		order_key_follow(order_key_get(delivery->endpoint->id, delivery->order_key, true));
	delivery->row.blocks_key = false;
}

/* The row has just been written: read it even if the table has been read past its id. */
static void
spill_schedule_read(const Delivery *delivery)
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
	bool		needed;

	if (delivery->row.exists && !webhook_lock_try(endpoint->id))
	{
		spill_block_key(delivery);
		return false;
	}
	spill_cancel_write(delivery);
	needed = spill_settle_state(delivery);
	if (needed)
	{
		/* The lock may have delayed it beyond its time. */
		if (delivery->row.next_state == DELIVERY_RETRYING)
		{
			delivery->row.next_attempt_at = recall_plan_retry(delivery->row.next_attempt_at);
			blocker_watch(endpoint->id, endpoint->config.updated_at);
		}
		delivery_table_store(delivery);
		if (delivery->replayed)
			replay_run_finish(endpoint, delivery->message->id);
		delivery->replayed = false;
		if (delivery->row.next_state == DELIVERY_FAILED)
			trim_note_failed(clock_now());
		spill_schedule_read(delivery);
		if (delivery->phase != PHASE_TO_WRITE && !delivery->row.exists)
		{
			delivery_note_row(endpoint->id, delivery->message->id);
			delivery->row.exists = true;
			delivery_detach(delivery);
		}
	}
	if (delivery->row.last_error != NULL)
		pfree(delivery->row.last_error);
	delivery->row.last_error = NULL;
	spill_unblock_key(delivery);
	if (delivery->phase == PHASE_TO_WRITE)
		delivery_forget(delivery);
	else if (!needed && delivery->phase != PHASE_SENDING)
	{
		queue_release_key(delivery);
		delivery_forget(delivery);
	}
	else if (delivery->message->window != NULL)
		delivery_detach(delivery);
	return true;
}

static void
spill_write_rows(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &spill_pending_writes)
		(void) spill_write_row(dlist_container(Delivery, write_node, iter.cur));
}

/*
 * Until then the rows of a failing endpoint are still to be retried, and their
 * keys blocked.  If it recovers before, what came due in the meantime has been
 * passed over; that, and what follows it, is read now.
 */
static bool
spill_suspend_rows(void *item)
{
	Endpoint   *endpoint = item;

	if (!endpoint->state.health.failing)
	{
		recall_reset_due();
		order_key_follow_all(endpoint->id);
	}
	else if (!webhook_lock_try(endpoint->id))
		return false;
	else
	{
		delivery_table_suspend(endpoint->id);
		order_key_unblock_all(endpoint->id);
	}
	endpoint->spill.suspend_pending = false;
	return true;
}

/* Delete rows that were written while a session deactivated or deleted the webhook. */
static bool
spill_drop_rows(void *item)
{
	Endpoint   *endpoint = item;

	if (!webhook_lock_try(endpoint->id))
		return false;
	endpoint->spill.drop_pending = false;
	if (!endpoint->config.exists)
		delivery_table_delete_all(endpoint->id);
	else if (!endpoint->config.active && !endpoint->config.buffering)
	{
		int64		dropped = delivery_table_drop(endpoint->id);

		while (dropped-- > 0)
			attempt_log_count_dropped(endpoint);
	}
	return true;
}

void
spill_save(void)
{
	webhook_lock_begin();
	spill_process_list(&spill_pending_deletes, spill_delete_row);
	spill_write_rows();
	spill_process_list(&spill_pending_suspends, spill_suspend_rows);
	spill_process_list(&spill_pending_drops, spill_drop_rows);
	spill_has_new = false;
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
		if (!endpoint->config.known || endpoint->spill.drop_pending)
			return;
		endpoint->spill.drop_pending = true;
		spill_pending_drops = spill_append(spill_pending_drops, endpoint);
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
	recall_reset_due();
}

void
spill_recover(void)
{
	delivery_table_foreach_backlog(spill_recover_backlog);
	spill_block_retrying();
}

/*
 * A session may have activated webhooks, made retries due, or had messages
 * delivered again; or it may have removed rows that blocked their keys.  Only
 * the worker blocks keys, and a session that removes such rows changes the
 * webhook.
 */
void
spill_config_changed(void)
{
	webhook_lock_retry_now();
	delivery_table_foreach_backlog(spill_recover_backlog);
	recall_reset_due();
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
	recall_reset_due();
}

bool
spill_is_stored(int64 webhook_id, int64 id)
{
	static int64 known_up_to = -1;

	/*
	 * This is called first for the first message that is read, before this
	 * process has written any row.
	 */
	if (known_up_to < 0)
		known_up_to = delivery_table_last_id();
	return id <= known_up_to && delivery_table_exists(webhook_id, id);
}

/* ---------- when to save ---------- */

static bool
spill_any_pending(void)
{
	return !dlist_is_empty(&spill_pending_writes) || spill_pending_deletes != NIL ||
		spill_pending_suspends != NIL || spill_pending_drops != NIL;
}

bool
spill_save_due(TimestampTz now)
{
	return spill_any_pending() && (spill_has_new || webhook_lock_limited() || now >= webhook_lock_next_try());
}

TimestampTz
spill_next_save(void)
{
	return spill_any_pending() ? webhook_lock_next_try() : DT_NOEND;
}
