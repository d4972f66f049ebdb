/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *		Deliveries in memory: whose turn it is, and what became of them.
 *
 * A delivery is ready, waits behind another one with the same order key, or is being sent.  Endpoints
 * with ready deliveries and room for a request take turns, so that nobody's queue delays anybody
 * else's.
 *
 * Nothing here needs the database but for the deliveries that do not succeed at once.
 * Those are written to the delivery table ("stored"), and the message counts as dealt
 * with.  From then on three things keep the order:
 *
 *	- a key is *blocked* while the table holds an unfinished row with it that is to be
 *	  retried: newer messages with this key are stored, too, and read back one by one;
 *	- an endpoint has a *backlog* while rows of it wait in the table: newer messages are stored
 *	  behind them and read back in order;
 *	- a stored delivery that is in memory is known by (webhook, id), so that it is
 *	  not read a second time.
 *
 * The states of a delivery are drawn in README.md.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "nodes/pg_list.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cursor.h"
#include "dispatch.h"
#include "record.h"
#include "request.h"
#include "settings.h"

/* Stop reading from the table while so many deliveries are in memory. */
#define MAX_IN_MEMORY		10000

/* Rows read from the table in one go, per endpoint and of those that are due. */
#define BACKLOG_ROWS		200
#define DUE_ROWS			500

/* What has held up the cursor for so long is stored. */
#define SLOW_AFTER_MS		300

typedef struct OrderKeyTag
{
	int64		webhook_id;
	int64		order_key;
} OrderKeyTag;

/* The deliveries with one order key. */
typedef struct OrderKey
{
	OrderKeyTag tag;			/* hash key */
	Delivery   *holder;			/* ready or being sent */
	dlist_head	queue;			/* those behind it */
	bool		blocked;		/* by a row in the table */
	bool		to_follow;		/* the next row is to be read */
	dlist_node	follow_node;
} OrderKey;

typedef struct StoredTag
{
	int64		webhook_id;
	int64		id;
} StoredTag;

static Http *http;
static MemoryContext dispatch_context;
static HTAB *order_keys;
static HTAB *stored_in_memory;	/* StoredTag alone: a set */
static dlist_head turns = DLIST_STATIC_INIT(turns); /* endpoints that may send */
static dlist_head to_follow = DLIST_STATIC_INIT(to_follow);
static List *to_store = NIL;	/* of Delivery */
static List *to_delete = NIL;	/* of StoredTag */
static List *backlogs = NIL;	/* of Endpoint */
static int	in_memory = 0;
static int	in_flight = 0;
static TimestampTz due_after;	/* rows due up to then have been read */
static TimestampTz next_due;	/* DT_NOEND: none */


void
dispatch_init(Http *the_http)
{
	HASHCTL		ctl = {0};

	http = the_http;
	dispatch_context = AllocSetContextCreate(TopMemoryContext, "webhook deliveries",
											 ALLOCSET_DEFAULT_SIZES);
	ctl.hcxt = dispatch_context;
	ctl.keysize = sizeof(OrderKeyTag);
	ctl.entrysize = sizeof(OrderKey);
	order_keys = hash_create("webhook order keys", 1024, &ctl,
							 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ctl.keysize = ctl.entrysize = sizeof(StoredTag);
	stored_in_memory = hash_create("webhook stored deliveries", 256, &ctl,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	due_after = DT_NOBEGIN;
	next_due = DT_NOBEGIN;
	endpoint_init();
}

/* ---------- order keys ---------- */

static OrderKey *
key_get(int64 webhook_id, int64 order_key, bool create)
{
	OrderKeyTag tag = {webhook_id, order_key};
	OrderKey   *key;
	bool		found;

	if (order_key == 0)
		return NULL;
	key = hash_search(order_keys, &tag, create ? HASH_ENTER : HASH_FIND, &found);
	if (key != NULL && !found)
	{
		key->holder = NULL;
		key->blocked = key->to_follow = false;
		dlist_init(&key->queue);
	}
	return key;
}

/* Nobody holds the key, nobody waits for it, no row blocks it: it can go. */
static void
key_drop_if_unused(OrderKey *key)
{
	if (key->holder == NULL && dlist_is_empty(&key->queue) && !key->blocked && !key->to_follow)
		hash_search(order_keys, &key->tag, HASH_REMOVE, NULL);
}

/* ---------- turns ---------- */

static void
give_turn(Endpoint *endpoint)
{
	if (endpoint->has_turn || endpoint->nready == 0 ||
		endpoint->in_flight >= endpoint->max_in_flight)
		return;
	endpoint->has_turn = true;
	dlist_push_tail(&turns, &endpoint->turn);
}

static void
push_ready(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	delivery->waiting = false;
	dlist_push_tail(&endpoint->ready, &delivery->ready_node);
	endpoint->nready++;
	give_turn(endpoint);
}

static void
remove_ready(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	dlist_delete(&delivery->ready_node);
	endpoint->nready--;
	if (endpoint->nready == 0 && endpoint->has_turn)
	{
		dlist_delete(&endpoint->turn);
		endpoint->has_turn = false;
	}
}

/* The key is free: it goes to the next in the queue, or to the next row in the table. */
static void
key_pass_on(OrderKey *key)
{
	key->holder = NULL;
	if (!dlist_is_empty(&key->queue))
	{
		key->holder = dlist_container(Delivery, key_node, dlist_pop_head_node(&key->queue));
		push_ready(key->holder);
	}
	else if (key->blocked && !key->to_follow)
	{
		key->to_follow = true;
		dlist_push_tail(&to_follow, &key->follow_node);
	}
	else
		key_drop_if_unused(key);
}

/* ---------- deliveries ---------- */

static Delivery *
delivery_create(Message *message, Endpoint *endpoint, int64 order_key)
{
	Delivery   *delivery = MemoryContextAllocZero(dispatch_context, sizeof(Delivery));

	delivery->message = message;
	delivery->endpoint = endpoint;
	delivery->order_key = order_key;
	message->unfinished++;
	dlist_push_tail(&message->deliveries, &delivery->message_node);
	dlist_push_tail(&endpoint->all, &delivery->all_node);
	endpoint->in_memory++;
	in_memory++;
	return delivery;
}

/* One delivery of the message is dealt with. */
static void
message_done(Message *message)
{
	if (--message->unfinished > 0)
		return;
	if (message->window != NULL)
		cursor_finish(message);
	else
		pfree(message);
}

/* Forget a delivery that is neither ready nor queued nor being sent. */
static void
delivery_free(Delivery *delivery)
{
	Endpoint   *endpoint = delivery->endpoint;

	if (delivery->stored)
	{
		StoredTag	tag = {endpoint->id, delivery->message->id};

		hash_search(stored_in_memory, &tag, HASH_REMOVE, NULL);
	}
	dlist_delete(&delivery->all_node);
	dlist_delete(&delivery->message_node);
	endpoint->in_memory--;
	in_memory--;
	message_done(delivery->message);
	pfree(delivery);
}

/* Have a delivery written to the table with the next transaction. */
static void
store_later(Delivery *delivery, DeliveryState state, TimestampTz next_attempt_at, const char *error)
{
	MemoryContext old;

	delivery->next_state = state;
	delivery->next_attempt_at = next_attempt_at;
	if (error != NULL)
		delivery->last_error = MemoryContextStrdup(dispatch_context, error);
	if (delivery->to_store)
		return;
	delivery->to_store = true;
	old = MemoryContextSwitchTo(dispatch_context);
	to_store = lappend(to_store, delivery);
	MemoryContextSwitchTo(old);
}

/* Take a delivery that is not being sent out of its queues. */
static void
unqueue(Delivery *delivery)
{
	OrderKey   *key = delivery->key;

	if (delivery->waiting)
		dlist_delete(&delivery->key_node);
	else
	{
		remove_ready(delivery);
		if (key != NULL)
			key_pass_on(key);
	}
	delivery->waiting = false;
	delivery->key = NULL;
}

/* Queue a delivery for sending, behind others with its key. */
static void
enqueue(Delivery *delivery)
{
	OrderKey   *key = key_get(delivery->endpoint->id, delivery->order_key, true);

	delivery->key = key;
	if (key != NULL && key->holder != NULL)
	{
		delivery->waiting = true;
		dlist_push_tail(&key->queue, &delivery->key_node);
		return;
	}
	if (key != NULL)
		key->holder = delivery;
	push_ready(delivery);
}

static void
start_backlog(Endpoint *endpoint)
{
	MemoryContext old;

	endpoint->backlog_read = 0;
	if (endpoint->backlog)
		return;
	endpoint->backlog = true;
	old = MemoryContextSwitchTo(dispatch_context);
	backlogs = lappend(backlogs, endpoint);
	MemoryContextSwitchTo(old);
}

void
dispatch_message(Message *message)
{
	message->read_at = GetCurrentTimestamp();
	message->unfinished = 1;	/* held by us until all deliveries exist */
	for (int i = 0; i < message->nwebhooks; i++)
	{
		Endpoint   *endpoint = endpoint_get(message->webhook_ids[i]);
		Delivery   *delivery;
		OrderKey   *key;

		if (!endpoint->exists)
			continue;
		if (!endpoint->active && !endpoint->buffering)
		{
			record_dropped(endpoint);
			continue;
		}
		delivery = delivery_create(message, endpoint, delivery_order_key(endpoint, message));
		key = key_get(endpoint->id, delivery->order_key, false);
		if (!endpoint->active)
			store_later(delivery, DELIVERY_BUFFERED, 0, NULL);
		else if (endpoint->backlog || (key != NULL && key->blocked))
			store_later(delivery, DELIVERY_WAITING, 0, NULL);
		else
			enqueue(delivery);
	}
	message_done(message);
}

/* ---------- results ---------- */

/* Those behind a delivery that has to be retried go to the table, or stay there. */
static void
store_queue(OrderKey *key)
{
	while (!dlist_is_empty(&key->queue))
	{
		Delivery   *behind = dlist_container(Delivery, key_node, dlist_pop_head_node(&key->queue));

		behind->waiting = false;
		behind->key = NULL;
		if (behind->stored)
			delivery_free(behind);
		else
			store_later(behind, DELIVERY_WAITING, 0, NULL);
	}
}

static void
delete_later(Delivery *delivery)
{
	StoredTag  *tag = MemoryContextAlloc(dispatch_context, sizeof(StoredTag));
	MemoryContext old = MemoryContextSwitchTo(dispatch_context);

	tag->webhook_id = delivery->endpoint->id;
	tag->id = delivery->message->id;
	to_delete = lappend(to_delete, tag);
	MemoryContextSwitchTo(old);
}

static void
delivery_succeeded(Delivery *delivery)
{
	OrderKey   *key = delivery->key;

	/* It may be on the list of slow ones that are still to be stored. */
	if (delivery->to_store)
	{
		to_store = list_delete_ptr(to_store, delivery);
		delivery->to_store = false;
	}
	if (delivery->stored)
		delete_later(delivery);
	delivery_free(delivery);
	if (key != NULL)
		key_pass_on(key);
}

static void
delivery_failed(Delivery *delivery, TimestampTz now, const HttpResult *result)
{
	OrderKey   *key = delivery->key;
	char		value[128];
	int64		after = 0;
	int64		delay;

	if (http_header(result, "Retry-After", value, sizeof(value)))
		after = Max(0, retry_parse_after(value, (int64) timestamptz_to_time_t(now)));
	delay = retry_delay(endpoint_schedule(delivery->endpoint), delivery->attempts,
						(uint32) random(), after);
	delivery->key = NULL;
	if (delay < 0)
	{
		record_failed(delivery->endpoint);
		store_later(delivery, DELIVERY_FAILED, 0, result->error);
		if (key != NULL)
			key_pass_on(key);
		return;
	}
	store_later(delivery, DELIVERY_RETRYING, Max(now + delay, due_after + 1), result->error);
	next_due = Min(next_due, delivery->next_attempt_at);
	if (key != NULL)
	{
		key->blocked = true;
		key->holder = NULL;
		store_queue(key);
	}
}

/* An attempt has ended, or could not even begin (request NULL). */
static void
attempt_ended(Delivery *delivery, const HttpResult *result, TimestampTz now)
{
	delivery->attempts++;
	record_attempt(delivery, delivery->request, result, now);
	if (delivery->request != NULL)
		request_release(delivery->request);
	delivery->request = NULL;
	if (result->outcome == HTTP_DELIVERED)
		delivery_succeeded(delivery);
	else
		delivery_failed(delivery, now, result);
}

void
dispatch_results(TimestampTz now)
{
	HttpResult	result;

	while (http_result(http, &result))
	{
		Delivery   *delivery = result.owner;
		Endpoint   *endpoint = delivery->endpoint;

		delivery->sending = false;
		endpoint->in_flight--;
		in_flight--;
		attempt_ended(delivery, &result, now);
		http_release(http, result.transfer);
		give_turn(endpoint);
	}
}

/* ---------- sending ---------- */

static void
could_not_send(Delivery *delivery, const char *error, TimestampTz now)
{
	HttpResult	result = {0};

	result.outcome = HTTP_INVALID;
	result.error = error;
	result.headers = result.body = "";
	attempt_ended(delivery, &result, now);
}

/* Begin one attempt.  A request that cannot be built fails alone. */
static void
send_delivery(Delivery *delivery, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;
	char		error[256] = "";

	delivery->sent_at = now;
	PG_TRY();
	{
		delivery->request = request_build(delivery->endpoint, delivery->message, now);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		strlcpy(error, edata->message, sizeof(error));
	}
	PG_END_TRY();

	if (delivery->request != NULL)
	{
		delivery->request->http.owner = delivery;
		if (http_start(http, &delivery->request->http, error))
		{
			delivery->sending = true;
			delivery->endpoint->in_flight++;
			in_flight++;
			return;
		}
	}
	could_not_send(delivery, error, now);
}

void
dispatch_send(TimestampTz now)
{
	while (in_flight < webhook_max_connections && !dlist_is_empty(&turns))
	{
		Endpoint   *endpoint = dlist_container(Endpoint, turn, dlist_pop_head_node(&turns));
		Delivery   *delivery;

		endpoint->has_turn = false;
		delivery = dlist_container(Delivery, ready_node, dlist_pop_head_node(&endpoint->ready));
		endpoint->nready--;
		send_delivery(delivery, now);
		give_turn(endpoint);
	}
}

/* ---------- what takes long ---------- */

/*
 * Store all that is in memory of an endpoint.  What is being sent goes on;
 * the rest is read back when there is room.
 */
static void
spill_endpoint(Endpoint *endpoint)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &endpoint->all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (delivery->to_store || delivery->stored)
			continue;
		if (!delivery->sending)
		{
			unqueue(delivery);
			start_backlog(endpoint);
		}
		store_later(delivery, DELIVERY_WAITING, 0, NULL);
	}
}

/*
 * Is it the endpoint that holds this delivery up, and not just the number of
 * requests that we send at once?
 */
static bool
is_slow(const Delivery *delivery, TimestampTz now)
{
	const Endpoint *endpoint = delivery->endpoint;

	if (delivery->sending)
		return TimestampDifferenceExceeds(delivery->sent_at, now, SLOW_AFTER_MS);
	return delivery->waiting || endpoint->in_flight >= endpoint->max_in_flight;
}

void
dispatch_spill_slow(TimestampTz now)
{
	Message    *oldest = cursor_oldest();
	dlist_mutable_iter iter;

	if (oldest == NULL || !TimestampDifferenceExceeds(oldest->read_at, now, SLOW_AFTER_MS))
		return;
	dlist_foreach_modify(iter, &oldest->deliveries)
	{
		Delivery   *delivery = dlist_container(Delivery, message_node, iter.cur);

		if (!delivery->to_store && is_slow(delivery, now))
			spill_endpoint(delivery->endpoint);
	}
}

/* ---------- the delivery table ---------- */

/* A stored delivery that is still being sent needs the message for itself: the cursor moves on. */
static void
detach_message(Delivery *delivery)
{
	Message    *message = delivery->message;
	StoredTag	tag = {delivery->endpoint->id, message->id};

	delivery->stored = true;
	hash_search(stored_in_memory, &tag, HASH_ENTER, NULL);
	delivery->message = message_copy(message, dispatch_context);
	delivery->message->unfinished = 1;
	dlist_delete(&delivery->message_node);
	dlist_push_tail(&delivery->message->deliveries, &delivery->message_node);
	message_done(message);
}

void
dispatch_save(void)
{
	ListCell   *lc;

	foreach(lc, to_delete)
	{
		StoredTag  *tag = lfirst(lc);

		delivery_delete(tag->webhook_id, tag->id);
		pfree(tag);
	}
	list_free(to_delete);
	to_delete = NIL;

	foreach(lc, to_store)
	{
		Delivery   *delivery = lfirst(lc);

		delivery->to_store = false;
		if (delivery->endpoint->exists)
			delivery_store(delivery);
		if (delivery->last_error != NULL)
			pfree(unconstify(char *, delivery->last_error));
		delivery->last_error = NULL;
		if (!delivery->sending)
			delivery_free(delivery);
		else if (!delivery->stored)
			detach_message(delivery);
	}
	list_free(to_store);
	to_store = NIL;
}

/* Take a row back into memory. */
static void
load_stored(StoredDelivery *row, Endpoint *endpoint)
{
	StoredTag	tag = {row->webhook_id, row->message->id};
	Delivery   *delivery = delivery_create(row->message, endpoint, row->order_key);

	delivery->stored = true;
	delivery->attempts = row->attempts;
	hash_search(stored_in_memory, &tag, HASH_ENTER, NULL);
	enqueue(delivery);
}

static bool
is_in_memory(const StoredDelivery *row)
{
	StoredTag	tag = {row->webhook_id, row->message->id};

	return hash_search(stored_in_memory, &tag, HASH_FIND, NULL) != NULL;
}

/* Read on in the backlog of one endpoint; false when there is no more. */
static bool
load_backlog(Endpoint *endpoint)
{
	StoredDelivery rows[BACKLOG_ROWS];
	int			n;

	endpoint_refresh(endpoint);
	if (!endpoint->exists || !endpoint->active)
		return false;
	n = delivery_read_backlog(endpoint->id, endpoint->backlog_read, BACKLOG_ROWS,
							  dispatch_context, rows);
	for (int i = 0; i < n; i++)
	{
		OrderKey   *key = key_get(endpoint->id, rows[i].order_key, false);

		endpoint->backlog_read = rows[i].message->id;
		/* Behind a row that is to be retried it will be found by its key. */
		if (is_in_memory(&rows[i]) || (key != NULL && key->blocked))
			pfree(rows[i].message);
		else
			load_stored(&rows[i], endpoint);
	}
	return n == BACKLOG_ROWS;
}

static void
load_backlogs(void)
{
	List	   *rest = NIL;
	ListCell   *lc;

	foreach(lc, backlogs)
	{
		Endpoint   *endpoint = lfirst(lc);

		if (in_memory >= MAX_IN_MEMORY || endpoint->in_memory >= BACKLOG_ROWS ||
			load_backlog(endpoint))
		{
			MemoryContext old = MemoryContextSwitchTo(dispatch_context);

			rest = lappend(rest, endpoint);
			MemoryContextSwitchTo(old);
		}
		else
			endpoint->backlog = false;
	}
	list_free(backlogs);
	backlogs = rest;
}

/* Rows behind those that have been dealt with. */
static void
load_followers(void)
{
	while (!dlist_is_empty(&to_follow))
	{
		OrderKey   *key = dlist_container(OrderKey, follow_node, dlist_pop_head_node(&to_follow));
		StoredDelivery row;

		key->to_follow = false;
		if (delivery_read_next(key->tag.webhook_id, key->tag.order_key, dispatch_context, &row) == 0)
		{
			key->blocked = false;
			key_drop_if_unused(key);
		}
		else if (row.state == DELIVERY_WAITING && !is_in_memory(&row))
			load_stored(&row, endpoint_get(row.webhook_id));
		else
			pfree(row.message);
	}
}

static void
load_due(TimestampTz now)
{
	StoredDelivery *rows;
	int			n;

	if (now < next_due || in_memory >= MAX_IN_MEMORY)
		return;
	rows = palloc(DUE_ROWS * sizeof(StoredDelivery));
	n = delivery_read_due(due_after, now, DUE_ROWS, dispatch_context, rows);
	for (int i = 0; i < n; i++)
	{
		Endpoint   *endpoint = endpoint_get(rows[i].webhook_id);

		due_after = rows[i].next_attempt_at;
		if (is_in_memory(&rows[i]) || !endpoint->exists || !endpoint->active)
			pfree(rows[i].message);
		else
			load_stored(&rows[i], endpoint);
	}
	if (n < DUE_ROWS)
		next_due = delivery_next_due(due_after);
}

void
dispatch_load(TimestampTz now)
{
	load_followers();
	load_due(now);
	load_backlogs();
}

/* ---------- start and changes of the configuration ---------- */

static void
recover_backlog(int64 webhook_id)
{
	start_backlog(endpoint_get(webhook_id));
}

static void
recover_key(int64 webhook_id, int64 order_key)
{
	key_get(webhook_id, order_key, true)->blocked = true;
}

void
dispatch_recover(void)
{
	delivery_foreach_backlog(recover_backlog);
	delivery_foreach_retrying(recover_key);
	due_after = DT_NOBEGIN;
	next_due = delivery_next_due(due_after);
}

/* Drop the deliveries of an endpoint that is not to be sent to any more; what is under way ends by itself. */
static void
drop_deliveries(Endpoint *endpoint)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &endpoint->all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (delivery->sending || delivery->to_store)
			continue;
		unqueue(delivery);
		if (endpoint->exists && !delivery->stored)
		{
			if (endpoint->buffering)
			{
				store_later(delivery, DELIVERY_BUFFERED, 0, NULL);
				continue;
			}
			record_dropped(endpoint);
		}
		delivery_free(delivery);
	}
}

static void
refresh_endpoint(Endpoint *endpoint)
{
	if (endpoint->in_memory == 0 || !endpoint_stale(endpoint))
		return;
	endpoint_refresh(endpoint);
	if (!endpoint->exists || !endpoint->active)
		drop_deliveries(endpoint);
	else
		give_turn(endpoint);
}

void
dispatch_refresh(void)
{
	endpoint_foreach(refresh_endpoint);

	/* A webhook may have been switched on again: look at all of the table. */
	dispatch_recover();
}

/* ---------- what the worker asks ---------- */

bool
dispatch_has_changes(void)
{
	return to_store != NIL || to_delete != NIL;
}

bool
dispatch_can_load(TimestampTz now)
{
	ListCell   *lc;

	if (!dlist_is_empty(&to_follow))
		return true;
	if (in_memory >= MAX_IN_MEMORY)
		return false;
	if (now >= next_due)
		return true;
	foreach(lc, backlogs)
		if (((Endpoint *) lfirst(lc))->in_memory < BACKLOG_ROWS)
			return true;
	return false;
}

int
dispatch_in_memory(void)
{
	return in_memory;
}

int
dispatch_in_flight(void)
{
	return in_flight;
}

TimestampTz
dispatch_next_event(void)
{
	Message    *oldest = cursor_oldest();
	TimestampTz next = next_due;

	if (oldest != NULL)
		next = Min(next, TimestampTzPlusMilliseconds(oldest->read_at, SLOW_AFTER_MS));
	return next;
}
