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

/* Start the process if there is anything to do for it; when must that be checked? */
extern void backfill_start(TimestampTz now);
extern TimestampTz backfill_start_next(TimestampTz now);

/* Is it running, or may it still start? */
extern bool backfill_start_running(void);

#endif							/* WEBHOOK_BACKFILL_START_H */
