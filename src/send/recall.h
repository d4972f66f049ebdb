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

extern void recall_init(MemoryContext context);

/*
 * Read what waits in the table for this endpoint after this id.  0: from the start, which passes over all that has been
 * deleted there, as long as an old snapshot keeps it.
 */
extern void recall_start_backlog(Endpoint *endpoint, int64 after);

/* When to retry a row: at this time, or a little later.  It will be read then. */
extern TimestampTz recall_plan_retry(TimestampTz at);

/* Read all due rows once more; or everything, because the clock has been set back. */
extern void recall_reset_due(void);
extern void recall_reset(void);

/* Read what is due, in a transaction with SPI connected. */
extern void recall_rows(TimestampTz now);

/* Is there anything to read now; or when will a row be due?  DT_NOEND: never. */
extern bool recall_due(TimestampTz now);
extern TimestampTz recall_next_event(void);

#endif							/* WEBHOOK_RECALL_H */
