/*-------------------------------------------------------------------------
 *
 * backfill_limit.h
 *		How long a step of a backfill may take.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_BACKFILL_LIMIT_H
#define WEBHOOK_BACKFILL_LIMIT_H

#include "server/shmem.h"

/* At the start of the process: before it has settings of its own, and after it has a slot. */
extern void backfill_limit_read_setting(void);
extern void backfill_limit_init(DatabaseSlot *slot);

/* A step of this job begins; it has ended, or failed. */
extern void backfill_limit_begin(int64 job);
extern void backfill_limit_end(void);

/* Was this, in microseconds, too long? */
extern bool backfill_limit_exceeded(int64 took);

/* The job that could be stopped only by ending the previous process; 0: none. */
extern int64 backfill_limit_faulty_job(void);
extern void backfill_limit_forget_faulty(void);

#endif							/* WEBHOOK_BACKFILL_LIMIT_H */
