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

/* Must be called once, before the others.  turn_context is the one to return to after a commit. */
extern void jobs_init(DatabaseSlot *slot, MemoryContext turn_context);

/*
 * If anything is due, do all jobs in one transaction.  Must be called outside of a
 * transaction.  Exits if the extension has been dropped.
 */
extern void jobs_run(TimestampTz now);

/* When jobs_run() should be called, if nothing happens before. */
extern TimestampTz jobs_next(TimestampTz now);

/* A session has committed messages, or has changed something. */
extern void jobs_note_wakeup(void);

/* webhook.allowed_networks has changed. */
extern void jobs_note_networks(void);

/*
 * Check whether the synchronous standbys have confirmed what has been read; until then
 * nothing more may be read or sent.  And: the result of the last check.
 */
extern bool jobs_ask_standbys(TimestampTz now);
extern bool jobs_confirmed(void);

/* Must some of what is in memory be sent or stored before more is read? */
extern bool jobs_memory_full(void);

/* Is there nothing to do until a session commits something or a time comes? */
extern bool jobs_idle(TimestampTz now);

/* For a worker that makes room for another database's: record in the slot what is left to do, and when. */
extern void jobs_leave(TimestampTz now);

/* The clock has been set back: correct the times that are remembered. */
extern void jobs_clock_set_back(TimestampTz before, TimestampTz now);

/* Save refresh tokens that have replaced others; the access tokens that came with them can be used then. */
extern void jobs_save_tokens(void);

/* For shutdown: write what is not recorded yet, as far as one transaction can.  Returns true if that is all. */
extern bool jobs_record_rest(void);

#endif							/* WEBHOOK_JOBS_H */
