/*-------------------------------------------------------------------------
 *
 * backfill_job.h
 *		Backfills as they are stored in webhook.backfill.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_BACKFILL_JOB_H
#define WEBHOOK_BACKFILL_JOB_H

#include "utils/array.h"

/* Values of column phase; the last three mean that it has ended. */
#define BACKFILL_INITIALIZING	"initializing"
#define BACKFILL_PROCESS		"waiting for process"
#define BACKFILL_SENDING		"sending rows"
#define BACKFILL_LOCK			"waiting for lock"
#define BACKFILL_BACKLOG		"waiting for backlog"
#define BACKFILL_FINISHED		"finished"
#define BACKFILL_CANCELLED		"cancelled"
#define BACKFILL_FAILED			"failed"

/* A job that has not ended, of an active webhook. */
typedef struct BackfillJob
{
	int64		id;
	int64		webhook_id;
	Oid			relation;
	Oid			role;			/* evaluates the condition */
	char	   *condition;		/* or NULL */
	char	   *search_path;
	int			rate;			/* rows per second; 0: unlimited */
	char	   *phase;
	ArrayType  *position;		/* text[], the key of the last row; NULL:
								 * before the first */
	int64		rows_sent;
	bool		integrated;		/* does the webhook belong to an integration? */
	int			batch_size;		/* of the webhook */
	char	   *discarded;		/* what the webhook has discarded, or NULL */
	bool		dropped;		/* have messages of the webhook been dropped
								 * since the walk began? */
	TransactionId webhook_xmin; /* that changed the webhook last */
} BackfillJob;

/* All of these require a transaction, a connection to SPI and an active snapshot, and act as a superuser. */

/* The ids of all jobs that can go on; returns their number.  Palloc'd. */
extern int	backfill_job_list(int64 **ids, MemoryContext context);

/* Load a job; false if it has ended or is paused. */
extern bool backfill_job_load(int64 id, BackfillJob *job, MemoryContext context);

/* Lock a job against cancelling, without waiting.  False if that is not possible, or the job has ended. */
extern bool backfill_job_lock(int64 id);

/* Save the position after a step, and that it has been the last one. */
extern void backfill_job_save(const BackfillJob *job, bool finished);

/* Note what a job is waiting for, and why, if it has not ended. */
extern void backfill_job_note(int64 id, const char *phase, const char *error);

/* End a job that cannot go on. */
extern void backfill_job_fail(int64 id, const char *error);

/*
 * What is stored of an error, which the role that has added the job may read.  Data of others may be
 * quoted by functions and expressions that are not its own.
 */
extern const char *backfill_job_error(const ErrorData *error, bool own);

/* How many of the webhook's deliveries are stored, up to a maximum? */
extern int64 backfill_job_waiting(int64 webhook_id, int64 maximum);

#endif							/* WEBHOOK_BACKFILL_JOB_H */
