/*-------------------------------------------------------------------------
 *
 * order_key.c
 *		Deliveries that must follow each other.
 *
 * Of the deliveries with one key, one holds the key and is prepared and sent; the
 * others are held in its queue.  queue.c passes the key on when the holder is finished.
 * If the holder must be retried, its row blocks the key, and all newer deliveries
 * with it are stored, too (attempt.c).  When that row has been processed, the next one is
 * read (recall.c), until there are none: then the key is no longer blocked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/hsearch.h"

#include "base/container.h"
#include "send/order_key.h"

static HTAB *order_key_table;
static dlist_head order_key_pending_follows = DLIST_STATIC_INIT(order_key_pending_follows);

void
order_key_init(MemoryContext context)
{
	order_key_table = container_hash("webhook order keys", 1024, sizeof(OrderKeyTag), sizeof(OrderKey), context);
}

OrderKey *
order_key_get(int64 webhook_id, int64 order_key, bool create)
{
	OrderKeyTag tag = {webhook_id, order_key};
	OrderKey   *key;
	bool		found;

	if (order_key == 0)
		return NULL;
	key = hash_search(order_key_table, &tag, create ? HASH_ENTER : HASH_FIND, &found);
	if (key != NULL && !found)
	{
		key->holder = NULL;
		key->blocked = key->follow_pending = false;
		key->followed = 0;
		dlist_init(&key->queue);
	}
	return key;
}

bool
order_key_blocked(int64 webhook_id, int64 order_key)
{
	OrderKey   *key = order_key_get(webhook_id, order_key, false);

	return key != NULL && key->blocked;
}

void
order_key_follow(OrderKey *key)
{
	if (key->follow_pending)
		return;
	key->follow_pending = true;
	dlist_push_tail(&order_key_pending_follows, &key->follow_node);
}

void
order_key_follow_blocked(bool (*wanted) (int64 webhook_id))
{
	HASH_SEQ_STATUS status;
	OrderKey   *key;

	hash_seq_init(&status, order_key_table);
	while ((key = hash_seq_search(&status)) != NULL)
	{
		/* A session may have redelivered an older message. */
		key->followed = 0;
		if (key->blocked && key->holder == NULL && wanted(key->tag.webhook_id))
			order_key_follow(key);
	}
}

OrderKey *
order_key_next_to_read(void)
{
	OrderKey   *key;

	if (dlist_is_empty(&order_key_pending_follows))
		return NULL;
	key = dlist_container(OrderKey, follow_node, dlist_pop_head_node(&order_key_pending_follows));
	key->follow_pending = false;
	return key;
}

bool
order_key_any_to_read(void)
{
	return !dlist_is_empty(&order_key_pending_follows);
}

void
order_key_release(OrderKey *key)
{
	if (key->holder == NULL && dlist_is_empty(&key->queue) && !key->blocked && !key->follow_pending)
		hash_search(order_key_table, &key->tag, HASH_REMOVE, NULL);
}

void
order_key_follow_all(int64 webhook_id)
{
	HASH_SEQ_STATUS status;
	OrderKey   *key;

	hash_seq_init(&status, order_key_table);
	while ((key = hash_seq_search(&status)) != NULL)
		if (key->tag.webhook_id == webhook_id && key->blocked && key->holder == NULL)
			order_key_follow(key);
}

void
order_key_unblock_all(int64 webhook_id)
{
	HASH_SEQ_STATUS status;
	OrderKey   *key;

	hash_seq_init(&status, order_key_table);
	while ((key = hash_seq_search(&status)) != NULL)
		if (key->tag.webhook_id == webhook_id && key->blocked)
		{
			key->blocked = false;
			order_key_release(key);
		}
}
