/*-------------------------------------------------------------------------
 *
 * backfill_job.c
 *		Backfills as they are stored in webhook.backfill.
 *
 * Only the process that carries them out uses this.  Sessions end a job by setting
 * finished_at, so nothing is changed here once that is set.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/spi_statement.h"
#include "capture/backfill_job.h"

/* Columns of backfill_job_load_statement */
enum
{
	Anum_job_webhook_id = 1,
	Anum_job_relation,
	Anum_job_role,
	Anum_job_condition,
	Anum_job_search_path,
	Anum_job_rate,
	Anum_job_phase,
	Anum_job_position,
	Anum_job_rows_sent,
	Anum_job_integrated,
	Anum_job_batch_size,
	Anum_job_discarded,
	Anum_job_dropped,
	Anum_job_webhook_xmin
};

static SpiStatement backfill_job_list_statement = {
	"SELECT job FROM webhook.backfill_to_do ORDER BY job"
};
static SpiStatement backfill_job_load_statement = {
	"SELECT webhook_id, relation, role, condition, search_path, rate, phase, position, rows_sent, integrated,"
	" batch_size, discarded, dropped, webhook_xmin"
	" FROM webhook.backfill_to_do WHERE job = $1", 1, {INT8OID}
};
static SpiStatement backfill_job_lock_statement = {
	"SELECT FROM webhook.backfill WHERE job = $1 AND finished_at IS NULL FOR UPDATE SKIP LOCKED", 1, {INT8OID}
};
static SpiStatement backfill_job_save_statement = {
	"UPDATE webhook.backfill SET position = $2, rows_sent = $3, phase = $4, finished_at = $5, last_error = NULL,"
	" discarded = $6::pg_snapshot WHERE job = $1",
	6, {INT8OID, TEXTARRAYOID, INT8OID, TEXTOID, TIMESTAMPTZOID, TEXTOID}
};
static SpiStatement backfill_job_note_statement = {
	"UPDATE webhook.backfill SET phase = $2, last_error = $3 WHERE job = $1 AND finished_at IS NULL"
	" AND (phase, last_error) IS DISTINCT FROM ($2, $3)", 3, {INT8OID, TEXTOID, TEXTOID}
};
static SpiStatement backfill_job_fail_statement = {
	"UPDATE webhook.backfill SET phase = 'failed', last_error = $2, finished_at = $3 WHERE job = $1 AND finished_at IS NULL",
	3, {INT8OID, TEXTOID, TIMESTAMPTZOID}
};
static SpiStatement backfill_job_waiting_statement = {
	"SELECT webhook.backfill_waiting($1, $2)", 2, {INT8OID, INT8OID}
};


int
backfill_job_list(int64 **ids, MemoryContext context)
{
	int			n = (int) spi_statement_execute(&backfill_job_list_statement, NULL, NULL);
	bool		isnull;

	*ids = MemoryContextAlloc(context, Max(n, 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
		(*ids)[i] = DatumGetInt64(spi_statement_value(i, 1, &isnull));
	return n;
}

static char *
backfill_job_text(int column, MemoryContext context)
{
	char	   *value = spi_statement_text(0, column);

	return value != NULL ? MemoryContextStrdup(context, value) : NULL;
}

bool
backfill_job_load(int64 id, BackfillJob *job, MemoryContext context)
{
	Datum		values[] = {Int64GetDatum(id)};
	MemoryContext old;
	bool		isnull;
	Datum		d;

	if (spi_statement_execute(&backfill_job_load_statement, values, NULL) == 0)
		return false;
	job->id = id;
	job->webhook_id = DatumGetInt64(spi_statement_value(0, Anum_job_webhook_id, &isnull));
	job->relation = DatumGetObjectId(spi_statement_value(0, Anum_job_relation, &isnull));
	job->role = DatumGetObjectId(spi_statement_value(0, Anum_job_role, &isnull));
	job->condition = backfill_job_text(Anum_job_condition, context);
	job->search_path = backfill_job_text(Anum_job_search_path, context);
	d = spi_statement_value(0, Anum_job_rate, &isnull);
	job->rate = isnull ? 0 : DatumGetInt32(d);
	job->phase = backfill_job_text(Anum_job_phase, context);
	job->rows_sent = DatumGetInt64(spi_statement_value(0, Anum_job_rows_sent, &isnull));
	job->integrated = DatumGetBool(spi_statement_value(0, Anum_job_integrated, &isnull));
	d = spi_statement_value(0, Anum_job_batch_size, &isnull);
	job->batch_size = isnull ? 1 : DatumGetInt32(d);
	job->discarded = backfill_job_text(Anum_job_discarded, context);
	job->dropped = DatumGetBool(spi_statement_value(0, Anum_job_dropped, &isnull));
	job->webhook_xmin = DatumGetTransactionId(spi_statement_value(0, Anum_job_webhook_xmin, &isnull));
	d = spi_statement_value(0, Anum_job_position, &isnull);
	old = MemoryContextSwitchTo(context);
	job->position = isnull ? NULL : DatumGetArrayTypePCopy(d);
	MemoryContextSwitchTo(old);
	return true;
}

bool
backfill_job_lock(int64 id)
{
	Datum		values[] = {Int64GetDatum(id)};

	return spi_statement_execute(&backfill_job_lock_statement, values, NULL) > 0;
}

void
backfill_job_save(const BackfillJob *job, bool finished)
{
	Datum		values[] = {Int64GetDatum(job->id), PointerGetDatum(job->position), Int64GetDatum(job->rows_sent),
		CStringGetTextDatum(finished ? BACKFILL_FINISHED : BACKFILL_SENDING), TimestampTzGetDatum(clock_now()),
	job->discarded ? CStringGetTextDatum(job->discarded) : (Datum) 0};
	char		nulls[] = {' ', job->position ? ' ' : 'n', ' ', ' ', finished ? ' ' : 'n', job->discarded ? ' ' : 'n', '\0'};

	spi_statement_execute(&backfill_job_save_statement, values, nulls);
}

void
backfill_job_note(int64 id, const char *phase, const char *error)
{
	Datum		values[] = {Int64GetDatum(id), CStringGetTextDatum(phase), error ? CStringGetTextDatum(error) : (Datum) 0};

	spi_statement_execute(&backfill_job_note_statement, values, error ? "   " : "  n");
}

void
backfill_job_fail(int64 id, const char *error)
{
	Datum		values[] = {Int64GetDatum(id), CStringGetTextDatum(error), TimestampTzGetDatum(clock_now())};

	spi_statement_execute(&backfill_job_fail_statement, values, NULL);
}

const char *
backfill_job_error(const ErrorData *error, bool own)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
			return error->message;
		default:
			return own ? error->message : psprintf("error %s, see the server's log", unpack_sql_state(error->sqlerrcode));
	}
}

int64
backfill_job_waiting(int64 webhook_id, int64 maximum)
{
	Datum		values[] = {Int64GetDatum(webhook_id), Int64GetDatum(maximum)};
	bool		isnull;

	spi_statement_execute(&backfill_job_waiting_statement, values, NULL);
	return DatumGetInt64(spi_statement_value(0, 1, &isnull));
}
