/*-------------------------------------------------------------------------
 *
 * backfill_start.h
 *		The worker's part in backfills: it starts the process that does them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_BACKFILL_START_H
#define WEBHOOK_BACKFILL_START_H

#include "datatype/timestamp.h"

/*
 * Start the process if there are backfills; a backfill shows the reason if that is not
 * possible.  Requires a transaction with SPI connected, and backfill_start_next() to
 * be due.
 */
extern void backfill_start(TimestampTz now);

/* When to call it; DT_NOEND while the process runs or nothing has changed. */
extern TimestampTz backfill_start_next(TimestampTz now);

/* Is the process running, or may it still start? */
extern bool backfill_start_running(void);

#endif							/* WEBHOOK_BACKFILL_START_H */
