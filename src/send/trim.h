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

/* A row has failed for good: it will be removed when its time has come. */
extern void trim_note_failed(TimestampTz now);

/* When is it time to remove some? */
extern TimestampTz trim_next(void);

/* Remove some, and find out when it is time for the next.  In a transaction with SPI connected. */
extern void trim_failed(TimestampTz now);

/* webhook.failed_retention may have changed: look again. */
extern void trim_plan(void);

#endif							/* WEBHOOK_TRIM_H */
