/*-------------------------------------------------------------------------
 *
 * delivery_table.h
 *		One message for one webhook, and the table of those that take longer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DELIVERY_TABLE_H
#define WEBHOOK_DELIVERY_TABLE_H

#include "log/message.h"
#include "send/endpoint.h"

/* What a row of webhook.delivery says; the names are in delivery_table.c. */
typedef enum DeliveryState
{
	DELIVERY_WAITING,			/* to be sent when its turn comes, or its webhook is switched on */
	DELIVERY_RETRYING,			/* has failed, to be tried again at next_attempt_at */
	DELIVERY_FAILED				/* given up */
} DeliveryState;

typedef struct Delivery
{
	Message    *message;
	Endpoint   *endpoint;
	int64		order_key;		/* deliveries with the same one follow each other; 0: any order */
	int			attempts;		/* made so far */
	bool		stored;			/* has a row in webhook.delivery */
	bool		sending;
	bool		slow;			/* while sending: it takes long */
	bool		doubtful;		/* while sending: it takes long, or may well do so */
	bool		handshake;		/* while sending: the endpoint is being asked whether it may be sent */
	bool		probe;			/* it shall show whether a failing endpoint works again */
	bool		waiting;		/* behind another one with the same key */
	bool		preparing;		/* listed for dispatch_prepare() */
	bool		to_store;		/* listed in stored.c */
	bool		holds_key;		/* ... where it waits for a claim, later ones behind it */
	TimestampTz ready_at;
	TimestampTz sent_at;
	TimestampTz configured_at;	/* when what it was sent with had last been changed */
	struct Request *request;	/* while sending */

	/* how the row is to be written, see stored.c */
	DeliveryState next_state;
	TimestampTz next_attempt_at;
	char	   *last_error;

	char	   *withheld;		/* why its webhook's owner may not be sent it any more, or NULL */

	/* what prepare_delivery() has made of the payload */
	bool		prepared;
	bool		dropped;		/* by the transform: not to be sent */
	char	   *payload;		/* NULL: the message's */
	char	   *prepare_error;	/* NULL: none */
	char	   *faults;			/* what does not fit the form, or NULL */
	bool		held;			/* not to be sent for that reason */

	struct OrderKey *key;
	dlist_node	key_node;		/* in the key's queue */
	dlist_node	ready_node;		/* in endpoint->ready, among those to be prepared, or the requests that are fast so far */
	dlist_node	all_node;		/* in endpoint->all */
	dlist_node	message_node;	/* in message->deliveries */
} Delivery;

extern int64 delivery_order_key(const Endpoint *endpoint, const Message *message);

/*
 * All of these run in a transaction with SPI connected.
 *
 * Insert or update the row of a delivery as its next_state, next_attempt_at
 * and last_error say.
 */
extern void delivery_table_store(const Delivery *delivery);
extern void delivery_table_delete(int64 webhook_id, int64 id);
extern void delivery_table_delete_all(int64 webhook_id);

extern bool delivery_table_exists(int64 webhook_id, int64 id);

/* The greatest id in the table, 0 if it is empty. */
extern int64 delivery_table_last_id(void);

/* A row as read back. */
typedef struct StoredDelivery
{
	Message    *message;		/* in the given context */
	int64		webhook_id;
	int64		order_key;
	int			attempts;
	DeliveryState state;
	TimestampTz next_attempt_at;
} StoredDelivery;

/*
 * Up to max waiting rows of a webhook with ids above after, in order; fewer if they are large.  more:
 * there may be others.
 */
extern int	delivery_table_read_backlog(int64 webhook_id, int64 after, int max,
								  MemoryContext context, StoredDelivery *result, bool *more);

/* A row in the order of what is due. */
typedef struct DuePosition
{
	TimestampTz at;
	int64		webhook_id;
	int64		id;
} DuePosition;

/* In the same way, rows that are due by now and stand after this one, in order. */
extern int	delivery_table_read_due(const DuePosition *after, TimestampTz now, int max,
							  MemoryContext context, StoredDelivery *result, bool *more);

/* The first unfinished row with this key; 0 or 1. */
extern int	delivery_table_read_next(int64 webhook_id, int64 order_key,
							   MemoryContext context, StoredDelivery *result);

/* The first max rows of a webhook that a probe can be chosen from: no other row with its key precedes it. */
extern int	delivery_table_read_probes(int64 webhook_id, int max, MemoryContext context,
								 StoredDelivery *result);

/* Rows of the webhook that are to be retried wait from now on. */
extern void delivery_table_all_waiting(int64 webhook_id);

/* Up to max rows that failed before this time, the oldest first. */
typedef struct DeliveryId
{
	int64		webhook_id;
	int64		id;
} DeliveryId;

extern int	delivery_table_read_expired(TimestampTz before, int max, DeliveryId *result);

/* Remove such a row; false if it has been made another one since. */
extern bool delivery_table_delete_failed(int64 webhook_id, int64 id);

/* When the oldest of them failed; DT_NOEND: there is none. */
extern TimestampTz delivery_table_first_failed(void);

/*
 * Webhooks with rows that wait to be retried because their address was not allowed, in the current memory context; and
 * make these of one webhook due.
 */
extern int	delivery_table_read_forbidden(TimestampTz now, int64 **webhook_ids);
extern void delivery_table_retry_forbidden(int64 webhook_id, TimestampTz now);

/* Remove what has not been delivered and has not failed for good; how many rows? */
extern int64 delivery_table_drop(int64 webhook_id);

/* When the next row after this one is due; DT_NOEND: none is. */
extern TimestampTz delivery_table_next_due(const DuePosition *after);

/*
 * Call back for every active webhook with waiting rows, and for every one with rows that nobody wants
 * any more, as it has been deleted or switched off; and for every key with a row to be retried.
 */
extern void delivery_table_foreach_backlog(void (*callback) (int64 webhook_id, bool wanted));
extern void delivery_table_foreach_retrying(void (*callback) (int64 webhook_id, int64 order_key));

/* A message of its own with the same contents. */
extern Message *message_copy(const Message *message, MemoryContext context);

#endif							/* WEBHOOK_DELIVERY_TABLE_H */
