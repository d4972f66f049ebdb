/*-------------------------------------------------------------------------
 *
 * backfill_limit.c
 *		How long a step of a backfill may take.
 *
 * What takes longer is canceled, and makes the backfill fail.  A condition can call a
 * function that swallows this.  Then the process is ended, and the next one ends the job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/timeout.h"

#include "compat.h"
#include "send/backfill_limit.h"

/* The server's statement_timeout may be shorter. */
#define LIMIT_MS			60000

/* When the process is ended, as a multiple of that. */
#define HARD_LIMIT_FACTOR	2

static DatabaseSlot *backfill_limit_slot;
static int	backfill_limit_ms;
static TimeoutId backfill_limit_hard;
static int64 backfill_limit_job;


static void
backfill_limit_handle_hard(void)
{
	pg_atomic_write_u64(&backfill_limit_slot->faulty_backfill, (uint64) backfill_limit_job);
	webhook_die();
}

void
backfill_limit_read_setting(void)
{
	backfill_limit_ms = StatementTimeout > 0 ? Min(StatementTimeout, LIMIT_MS) : LIMIT_MS;
}

void
backfill_limit_init(DatabaseSlot *slot)
{
	backfill_limit_slot = slot;
	backfill_limit_hard = RegisterTimeout(USER_TIMEOUT, backfill_limit_handle_hard);
}

void
backfill_limit_begin(int64 job)
{
	backfill_limit_job = job;
	enable_timeout_after(STATEMENT_TIMEOUT, backfill_limit_ms);
	enable_timeout_after(backfill_limit_hard, backfill_limit_ms * HARD_LIMIT_FACTOR);
}

void
backfill_limit_end(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	disable_timeout(backfill_limit_hard, false);
}

bool
backfill_limit_exceeded(int64 took)
{
	return took >= backfill_limit_ms * INT64CONST(1000);
}

int64
backfill_limit_faulty_job(void)
{
	return (int64) pg_atomic_read_u64(&backfill_limit_slot->faulty_backfill);
}

void
backfill_limit_forget_faulty(void)
{
	pg_atomic_write_u64(&backfill_limit_slot->faulty_backfill, 0);
}
