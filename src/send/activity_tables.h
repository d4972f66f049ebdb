/*-------------------------------------------------------------------------
 *
 * activity_tables.h
 *		The tables with the activity of each webhook by minutes and by hours.
 *
 * All functions except activity_tables_minute() must be called in the worker's
 * transaction, with SPI connected.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ACTIVITY_TABLES_H
#define WEBHOOK_ACTIVITY_TABLES_H

#include "datatype/timestamp.h"

/* The beginning of the minute, which is the resolution of recorded times. */
extern TimestampTz activity_tables_minute(TimestampTz now);

/*
 * Must be called before counters of a webhook are recorded for this minute.  Its
 * newest counters were recorded for minute "before", which is 0 if unknown.  If they
 * are the last ones of their minute, or hour, they are copied to its table.
 */
extern void activity_tables_copy(int64 webhook_id, TimestampTz before, TimestampTz minute);

/*
 * Where all of a pair's other table is outdated, truncate that and make it the
 * current one, unless another session is using it.
 */
extern void activity_tables_recycle(TimestampTz now);

#endif							/* WEBHOOK_ACTIVITY_TABLES_H */
