/*-------------------------------------------------------------------------
 *
 * stat_workers.c
 *		SQL functions that show the slots in shared memory.
 *
 * worker_slots() has the columns of version 0.1.0; later ones are in worker_states().
 * Both are called with the SQL of any version, see src/README.md, and take the lock for
 * one slot at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "server/shmem.h"

#define WORKER_SLOTS_COLUMNS	7
#define WORKER_STATES_COLUMNS	6

PG_FUNCTION_INFO_V1(webhook_worker_slots);
PG_FUNCTION_INFO_V1(webhook_worker_states);

static const char *
stat_workers_state_name(DatabaseState state)
{
	switch (state)
	{
		case DATABASE_NEW:
			return "new";
		case DATABASE_ABSENT:
			return "absent";
		case DATABASE_RESTING:
			return "resting";
		case DATABASE_WAITING:
			return "waiting";
		case DATABASE_STARTING:
			return "starting";
		case DATABASE_SERVED:
			return "served";
		case DATABASE_BACKOFF:
			return "backoff";
		case DATABASE_HELD:
			return "held";
	}
	return "unknown";
}

static const char *
stat_workers_activity_name(WorkerActivity activity)
{
	switch (activity)
	{
		case WORKER_IDLE:
			return "idle";
		case WORKER_SENDING:
			return "sending";
		case WORKER_PAUSED:
			return "paused";
		case WORKER_UNCONFIRMED:
			return "unconfirmed";
		case WORKER_FOREIGN:
			return "foreign";
		case WORKER_MISMATCHED:
			return "mismatched";
		case WORKER_LEAVING:
			return "leaving";
	}
	return "unknown";
}

/* Form a row.  If the extension has a later version, further columns are null. */
static HeapTuple
stat_workers_form_row(TupleDesc desc, int n, const Datum *values, const bool *nulls)
{
	Datum	   *all_values = palloc0(Max(desc->natts, n) * sizeof(Datum));
	bool	   *all_nulls = palloc(Max(desc->natts, n) * sizeof(bool));

	memset(all_nulls, true, Max(desc->natts, n) * sizeof(bool));
	memcpy(all_values, values, n * sizeof(Datum));
	memcpy(all_nulls, nulls, n * sizeof(bool));
	return heap_form_tuple(desc, all_values, all_nulls);
}

/* Form a row for a slot, or return NULL if it is free. */
static HeapTuple
stat_workers_slot_tuple(DatabaseSlot *slot, TupleDesc desc)
{
	Datum		values[WORKER_SLOTS_COLUMNS];
	bool		nulls[WORKER_SLOTS_COLUMNS] = {false};
	Oid			database;
	pid_t		pid;
	DatabaseState state;

	LWLockAcquire(shmem_lock(), LW_SHARED);
	database = slot->database;
	pid = slot->worker_pid;
	state = slot->state;
	LWLockRelease(shmem_lock());

	if (!OidIsValid(database))
		return NULL;

	values[0] = ObjectIdGetDatum(database);
	values[1] = Int32GetDatum(pid);
	values[2] = PointerGetDatum(cstring_to_text(stat_workers_state_name(state)));
	values[3] = PointerGetDatum(cstring_to_text(stat_workers_activity_name(pg_atomic_read_u32(&slot->activity))));
	values[4] = Int32GetDatum(pg_atomic_read_u32(&slot->in_flight));
	values[5] = Int64GetDatum(pg_atomic_read_u64(&slot->delivered));
	values[6] = Int64GetDatum(pg_atomic_read_u64(&slot->failed));

	/* Show the activity only while there is a worker. */
	nulls[1] = nulls[3] = pid == 0;

	return stat_workers_form_row(desc, WORKER_SLOTS_COLUMNS, values, nulls);
}

/* Convert a time by clock_monotonic(). */
static Datum
stat_workers_timestamp(int64 time)
{
	return TimestampTzGetDatum(GetCurrentTimestamp() + (time - clock_monotonic()));
}

/* When will there be a worker again, if nothing happens? */
static Datum
stat_workers_restart_at(const DatabaseSlot *slot, bool *isnull)
{
	*isnull = false;
	if (slot->state == DATABASE_BACKOFF)
		return stat_workers_timestamp(slot->restart_at);
	if (slot->state == DATABASE_RESTING && slot->due_at != DT_NOEND)
		return TimestampTzGetDatum(slot->due_at);
	*isnull = true;
	return (Datum) 0;
}

/*
 * Form a row for a slot, or return NULL if it is free.  The error is shown in its own
 * database only, because it may contain data and has that database's encoding.
 */
static HeapTuple
stat_workers_state_tuple(DatabaseSlot *slot, TupleDesc desc)
{
	Datum		values[WORKER_STATES_COLUMNS];
	bool		nulls[WORKER_STATES_COLUMNS] = {false};
	DatabaseSlot copy;

	LWLockAcquire(shmem_lock(), LW_SHARED);
	memcpy(&copy, slot, sizeof(copy));
	LWLockRelease(shmem_lock());

	if (!OidIsValid(copy.database))
		return NULL;

	values[0] = ObjectIdGetDatum(copy.database);
	values[1] = stat_workers_timestamp(copy.since);
	values[2] = stat_workers_restart_at(&copy, &nulls[2]);
	values[3] = PointerGetDatum(cstring_to_text(copy.last_error));
	nulls[3] = copy.last_error[0] == '\0' || copy.database != MyDatabaseId;
	values[4] = Int64GetDatum(pg_atomic_read_u64(&slot->condition_errors));
	values[5] = TimestampTzGetDatum((TimestampTz) pg_atomic_read_u64(&slot->proxy_failing_since));
	nulls[5] = values[5] == 0;
	return stat_workers_form_row(desc, WORKER_STATES_COLUMNS, values, nulls);
}

/* Return a set with the rows that make_tuple returns for the slots. */
static Datum
stat_workers_slot_rows(PG_FUNCTION_ARGS, HeapTuple (*make_tuple) (DatabaseSlot *slot, TupleDesc desc))
{
	FuncCallContext *context;
	int		   *next;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old_context;
		TupleDesc	desc;

		shmem_require();

		context = SRF_FIRSTCALL_INIT();
		old_context = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		context->tuple_desc = BlessTupleDesc(desc);
		context->user_fctx = palloc0(sizeof(int));
		MemoryContextSwitchTo(old_context);
	}

	context = SRF_PERCALL_SETUP();
	next = context->user_fctx;
	while (*next < shmem_slots())
	{
		HeapTuple	tuple = make_tuple(shmem_slot((*next)++), context->tuple_desc);

		if (tuple != NULL)
			SRF_RETURN_NEXT(context, HeapTupleGetDatum(tuple));
	}
	SRF_RETURN_DONE(context);
}

/*
 * worker_slots() → (database, pid, state, activity, in_flight, delivered, failed)
 */
Datum
webhook_worker_slots(PG_FUNCTION_ARGS)
{
	return stat_workers_slot_rows(fcinfo, stat_workers_slot_tuple);
}

/*
 * worker_states() → (database, since, restart_at, last_error, condition_errors, proxy_failing_since)
 */
Datum
webhook_worker_states(PG_FUNCTION_ARGS)
{
	return stat_workers_slot_rows(fcinfo, stat_workers_state_tuple);
}
