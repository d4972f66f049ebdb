/*-------------------------------------------------------------------------
 *
 * order_key.h
 *		Deliveries that must follow each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ORDER_KEY_H
#define WEBHOOK_ORDER_KEY_H

#include "send/delivery_table.h"

typedef struct OrderKeyTag
{
	int64		webhook_id;
	int64		order_key;
} OrderKeyTag;

/* The deliveries with one order key.  It exists while there are any, or while rows with it may be read. */
typedef struct OrderKey
{
	OrderKeyTag tag;			/* hash key */
	Delivery   *holder;			/* preparing, ready or being sent */
	dlist_head	queue;			/* in PHASE_HELD, after it */
	bool		blocked;		/* the table holds an unfinished row with it:
								 * newer ones go there, too */
	bool		follow_pending; /* its next row will be read */
	int64		followed;		/* unfinished rows with it have greater ids */
	dlist_node	follow_node;
} OrderKey;

/* Must be called once, before the others. */
extern void order_key_init(MemoryContext context);

/* Find an order key, or create it.  NULL if it does not exist and create is false, or for order_key 0. */
extern OrderKey *order_key_get(int64 webhook_id, int64 order_key, bool create);
extern bool order_key_blocked(int64 webhook_id, int64 order_key);

/* Schedule the next row with this key to be read from the table. */
extern void order_key_follow(OrderKey *key);

/* The same for all blocked keys without a holder, of webhooks that the callback accepts, or of one webhook. */
extern void order_key_follow_blocked(bool (*wanted) (int64 webhook_id));
extern void order_key_follow_all(int64 webhook_id);

/* Remove and return a key that was scheduled, or NULL; and is there any? */
extern OrderKey *order_key_next_to_read(void);
extern bool order_key_any_to_read(void);

/* Free the key if nothing depends on it. */
extern void order_key_release(OrderKey *key);

/* The rows of this webhook no longer block their keys. */
extern void order_key_unblock_all(int64 webhook_id);

#endif							/* WEBHOOK_ORDER_KEY_H */
