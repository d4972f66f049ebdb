/*-------------------------------------------------------------------------
 *
 * jobs.h
 *		What the worker does in the database, and when.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_JOBS_H
#define WEBHOOK_JOBS_H

#include "datatype/timestamp.h"

#include "server/shmem.h"

extern void jobs_init(DatabaseSlot *slot, MemoryContext turn_context);

/* If anything is due, do it in one transaction. */
extern void jobs_run(TimestampTz now);

/* When something will be due, if nothing happens before. */
extern TimestampTz jobs_next(TimestampTz now);

/* A session has committed messages, or has changed something. */
extern void jobs_note_wakeup(void);

/* webhook.allowed_networks has changed. */
extern void jobs_note_networks(void);

/* Have the synchronous standbys confirmed what has been read?  Nothing more is read or sent before. */
extern bool jobs_ask_standbys(TimestampTz now);
extern bool jobs_confirmed(void);

/* Is nothing more read until some of what is in memory has been sent or stored? */
extern bool jobs_memory_full(void);

/* Is there nothing to do until somebody commits something or something becomes due? */
extern bool jobs_idle(TimestampTz now);

/* To make room for another database's worker: let the launcher know what there is left to do. */
extern void jobs_leave(TimestampTz now);

/* The clock has been set back: correct the times that are remembered. */
extern void jobs_clock_set_back(TimestampTz before, TimestampTz now);

/* At shutdown: write as much of what has happened as one transaction can.  Returns true if that is all. */
extern bool jobs_record_rest(void);

#endif							/* WEBHOOK_JOBS_H */
