/*-------------------------------------------------------------------------
 *
 * delivery_table.h
 *		The table of deliveries that did not succeed at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DELIVERY_TABLE_H
#define WEBHOOK_DELIVERY_TABLE_H

#include "send/delivery.h"

/*
 * All of these run in a transaction with SPI connected.
 *
 * Insert or update the row of a delivery as delivery->row says.
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

/* In the same way, rows that are due by now and come after this one, in order. */
extern int	delivery_table_read_due(const DuePosition *after, TimestampTz now, int max,
									MemoryContext context, StoredDelivery *result, bool *more);

/* The first unfinished row with this key and a greater id; 0 or 1. */
extern int	delivery_table_read_next(int64 webhook_id, int64 order_key, int64 after,
									 MemoryContext context, StoredDelivery *result);

/* The first max rows of a webhook that a probe can be chosen from: no other row with its key precedes it. */
extern int	delivery_table_read_probes(int64 webhook_id, int max, MemoryContext context,
									   StoredDelivery *result);

/* Turn rows of the webhook from retrying to waiting. */
extern void delivery_table_suspend(int64 webhook_id);

/* Up to max rows that failed between these times, the oldest first; *last becomes the time of the last of them. */
typedef struct DeliveryId
{
	int64		webhook_id;
	int64		id;
} DeliveryId;

extern int	delivery_table_read_expired(TimestampTz from, TimestampTz to, int max, DeliveryId *result,
										TimestampTz *last);

/* Delete such a row; returns false if its state has changed since. */
extern bool delivery_table_delete_failed(int64 webhook_id, int64 id);

/* When the oldest of them failed, not before that time; DT_NOEND: there is none. */
extern TimestampTz delivery_table_first_failed(TimestampTz from);

/*
 * Webhooks with rows that wait because their address was not allowed, in the
 * current memory context; and make those of one webhook due.
 */
extern int	delivery_table_read_forbidden(TimestampTz now, int64 **webhook_ids);
extern void delivery_table_retry_forbidden(int64 webhook_id, TimestampTz now);

/* Delete the rows that have not failed for good; returns their number. */
extern int64 delivery_table_drop(int64 webhook_id);

/* When the next row after this one is due; DT_NOEND: none is. */
extern TimestampTz delivery_table_next_due(const DuePosition *after);

/*
 * Call back for each active webhook with waiting rows, and for each whose rows
 * are not wanted any more, as it has been deleted or deactivated; and for each
 * key with a row to be retried.
 */
extern void delivery_table_foreach_backlog(void (*callback) (int64 webhook_id, bool wanted));
extern void delivery_table_foreach_retrying(void (*callback) (int64 webhook_id, int64 order_key));

#endif							/* WEBHOOK_DELIVERY_TABLE_H */
