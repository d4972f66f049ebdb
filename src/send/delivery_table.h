/*-------------------------------------------------------------------------
 *
 * delivery_table.h
 *		The table of deliveries that did not succeed at once.
 *
 * All functions must be called in a transaction with SPI connected.  Existing rows may
 * be changed or deleted under the webhook's lock only, see webhook_lock_try().
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DELIVERY_TABLE_H
#define WEBHOOK_DELIVERY_TABLE_H

#include "send/delivery.h"

/* Insert or update the row of a delivery as delivery->row says. */
extern void delivery_table_store(const Delivery *delivery);

/* Delete a row, if it exists; or all rows of a webhook. */
extern void delivery_table_delete(int64 webhook_id, int64 id);
extern void delivery_table_delete_all(int64 webhook_id);

extern bool delivery_table_exists(int64 webhook_id, int64 id);

/* The greatest id in the table, 0 if it is empty. */
extern int64 delivery_table_last_id(void);

/* A row as read back. */
typedef struct StoredDelivery
{
	Message    *message;		/* in the given context; freed by pfree() */
	int64		webhook_id;
	int64		order_key;
	int			attempts;
	DeliveryState state;
	TimestampTz next_attempt_at;
} StoredDelivery;

/*
 * The following functions return the number of rows that they have read into result,
 * which has room for max.
 *
 * Read waiting rows of a webhook with ids above "after", in order; fewer than there are
 * if they are large.  *more: there may be others.
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

/* In the same way, read rows that are due by now and come after this one, in order. */
extern int	delivery_table_read_due(const DuePosition *after, TimestampTz now, int max,
									MemoryContext context, StoredDelivery *result, bool *more);

/* Read the first unfinished row with this key and a greater id than "after", if there is one. */
extern int	delivery_table_read_next(int64 webhook_id, int64 order_key, int64 after,
									 MemoryContext context, StoredDelivery *result);

/* Read rows of a webhook from which a probe can be chosen: no other row with the same key precedes them. */
extern int	delivery_table_read_probes(int64 webhook_id, int max, MemoryContext context,
									   StoredDelivery *result);

/* Turn rows of the webhook from retrying to waiting. */
extern void delivery_table_suspend(int64 webhook_id);

typedef struct DeliveryId
{
	int64		webhook_id;
	int64		id;
} DeliveryId;

/* Read rows that failed between these times, the oldest first.  *last becomes the time of the last one, if any. */
extern int	delivery_table_read_expired(TimestampTz from, TimestampTz to, int max, DeliveryId *result,
										TimestampTz *last);

/* Delete such a row.  Returns false if its state has changed since. */
extern bool delivery_table_delete_failed(int64 webhook_id, int64 id);

/* When the oldest failed row from that time on failed; DT_NOEND if there is none. */
extern TimestampTz delivery_table_first_failed(TimestampTz from);

/*
 * Find webhooks with rows to be retried whose address was not allowed, and make those
 * of one webhook due.  The array is palloc'd.
 */
extern int	delivery_table_read_forbidden(TimestampTz now, int64 **webhook_ids);
extern void delivery_table_retry_forbidden(int64 webhook_id, TimestampTz now);

/* Delete the rows that have not failed for good; returns their number. */
extern int64 delivery_table_drop(int64 webhook_id);

/* When the next row after this one is due; DT_NOEND if there is none. */
extern TimestampTz delivery_table_next_due(const DuePosition *after);

/*
 * Call back for each active webhook with waiting rows, and for each whose rows are no
 * longer wanted, because it has been deleted or deactivated.  Callbacks may execute
 * statements.
 */
extern void delivery_table_foreach_backlog(void (*callback) (int64 webhook_id, bool wanted));

/* Call back for each order key with a row to be retried. */
extern void delivery_table_foreach_retrying(void (*callback) (int64 webhook_id, int64 order_key));

#endif							/* WEBHOOK_DELIVERY_TABLE_H */
