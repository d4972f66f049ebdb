/*-------------------------------------------------------------------------
 *
 * activity_tables.h
 *		The tables with the activity of each webhook by minutes and by hours.
 *
 * All functions must be called in the worker's transaction, with SPI connected.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ACTIVITY_TABLES_H
#define WEBHOOK_ACTIVITY_TABLES_H

#include "datatype/timestamp.h"

/* The beginning of a minute: times of recorded activity are as exact as that. */
extern TimestampTz activity_tables_minute(TimestampTz now);

/*
 * Counters of a webhook are about to be recorded in this minute: copy the newest
 * ones, which were recorded in the minute before, to the tables, if that was an earlier minute or hour.
 * 0: it is not known when that was.
 */
extern void activity_tables_copy(int64 webhook_id, TimestampTz before, TimestampTz minute);

/* If what a table holds is old enough, change to the other one of its pair. */
extern void activity_tables_turn(TimestampTz now);

#endif							/* WEBHOOK_ACTIVITY_TABLES_H */
