/*-------------------------------------------------------------------------
 *
 * trim.h
 *		Removes rows of the delivery table that failed too long ago.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TRIM_H
#define WEBHOOK_TRIM_H

#include "datatype/timestamp.h"

/* Note that a row has failed for good, to be removed after webhook.failed_retention. */
extern void trim_note_failed(TimestampTz now);

/* When trim_failed() is due; DT_NOEND: never. */
extern TimestampTz trim_next(TimestampTz now);

/*
 * Remove some rows, and determine when the next ones are due.  Requires a transaction
 * with SPI connected, after webhook_lock_begin().
 */
extern void trim_failed(TimestampTz now);

/* webhook.failed_retention may have changed: look again. */
extern void trim_plan(void);

#endif							/* WEBHOOK_TRIM_H */
