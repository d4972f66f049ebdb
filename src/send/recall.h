/*-------------------------------------------------------------------------
 *
 * recall.h
 *		Deliveries on their way back from the delivery table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_RECALL_H
#define WEBHOOK_RECALL_H

#include "send/endpoint.h"

/* Must be called once, before the others.  The context is that of deliveries. */
extern void recall_init(MemoryContext context);

/*
 * Have the waiting rows of this endpoint read that have greater ids than "after".
 * From 0 on, the scan passes over all deleted rows that an old snapshot retains.
 */
extern void recall_start_backlog(Endpoint *endpoint, int64 after);

/*
 * Plan to read a row that will be due then.  Returns the time to store as its
 * next_attempt_at, which is a little later if rows due then have been read already.
 */
extern TimestampTz recall_plan_retry(TimestampTz at);

/* Have all due rows looked at once more.  If the clock has been set back, call the second function. */
extern void recall_reset_due(void);
extern void recall_reset(void);

/* Read what is due, as far as memory permits.  Requires a transaction with SPI connected. */
extern void recall_rows(TimestampTz now);

/* Can anything be read now? */
extern bool recall_due(TimestampTz now);

/* When a row or a probe will be due; DT_NOEND: never. */
extern TimestampTz recall_next_event(void);

#endif							/* WEBHOOK_RECALL_H */
