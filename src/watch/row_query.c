/*-------------------------------------------------------------------------
 *
 * row_query.c
 *		Queries that evaluate fields of a watched table for one row.
 *
 * Payload functions, and expressions that are not pure (expression.c), are
 * evaluated by
 *
 *		SELECT (expr), ... FROM "webhook row" AS tablename
 *
 * where "webhook row" is a tuplestore with this one row.  The query runs with the
 * privileges of the table's owner, with the search_path at the time of watch(), and as a
 * security-restricted operation, so that it cannot be used to obtain the
 * privileges of a role that changes a row.  It sees the completed statement.
 *
 * Starting a query costs several times what it takes to look up a row by its key.  So a
 * query that has been started for one row of a statement is reused for the next one:
 * the row in the tuplestore is replaced, and the executor fetches one more row.  That
 * is correct as long as nothing has changed that its snapshot does not show.  Whatever
 * changes or locks rows in this transaction first uses a command id.  So if none has
 * been used since the query was started, nothing has been changed in this transaction,
 * and the rows that are captured were locked before the snapshot was taken, which
 * payment.c depends on.  Otherwise the query is started again.
 *
 * If the result of a query depends on no settings (expression_is_closed()), they are
 * changed only to start it.  What the planner and the start of the executor use them for,
 * such as looking up names and checking policies, is not repeated for each row.
 *
 * Queries are reused only while a command is finishing, when row triggers fire, or
 * while COPY is running, and they end with that phase (see RowQueryPhase).  The
 * beginning of any utility command ends them, too: a query keeps its relations open, so
 * that a trigger could not alter or drop them.  An error drops the queries together
 * with the subtransaction whose resources they are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/dest.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/queryenvironment.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/run_as.h"
#include "compat.h"
#include "watch/expression.h"
#include "watch/row_query.h"

/* The query for one combination of fields.  Lives as long as its table. */
struct RowQuery
{
	RowQuery   *next;			/* of the same table */
	unsigned	fields;
	char	   *sql;
	int			position[WATCH_NFIELDS];	/* column of the result, or -1 */
	TupleDesc	desc;			/* layout of the row */
	Oid			parameter;		/* type of the row, if a payload function
								 * takes it as $1 */
	SPIPlanPtr	plan;			/* NULL until first used */
};

/* Takes the result of one row. */
typedef struct RowReceiver
{
	DestReceiver dest;			/* must be first */
	WatchedTable *table;
	const RowQuery *query;
	MemoryContext context;		/* the caller's */
	RowQueryResult result;
	void	   *arg;
} RowReceiver;

/* A query that has been started. */
typedef struct RunningQuery
{
	struct RunningQuery *next;	/* of the same phase */
	const RowQuery *query;
	MemoryContext context;		/* contains everything here */
	ResourceOwner owner;		/* of its resources */
	CommandId	command;		/* current one when it was started */
	bool		closed;			/* can it go on with any settings? */
	bool		busy;			/* it is evaluating a row */
	CachedPlan *plan;
	Tuplestorestate *row;
	ParamListInfo parameter;
	QueryDesc  *desc;
	RowReceiver receiver;
} RunningQuery;

/* A phase during which queries are reused.  Phases are nested as commands are. */
typedef struct RowQueryPhase
{
	struct RowQueryPhase *outer;
	ResourceOwner owner;
	RunningQuery *running;
} RowQueryPhase;

static RowQueryPhase *row_query_phase = NULL;
static ExecutorFinish_hook_type row_query_prev_executor_finish = NULL;
static ProcessUtility_hook_type row_query_prev_process_utility = NULL;


Snapshot
row_query_payment_snapshot(void)
{
	return XactIsoLevel == XACT_REPEATABLE_READ ? GetLatestSnapshot() : InvalidSnapshot;
}

static void
row_query_free_plan(void *arg)
{
	SPI_freeplan((SPIPlanPtr) arg);
}

/* The query for these fields. */
static RowQuery *
row_query_get(WatchedTable *table, unsigned fields, TupleDesc desc)
{
	RowQuery   *query = table->queries;
	StringInfoData sql;
	MemoryContext old;
	int			n = 0;

	while (query != NULL && query->fields != fields)
		query = query->next;
	if (query != NULL)
		return query;

	old = MemoryContextSwitchTo(table->context);
	query = palloc0(sizeof(RowQuery));
	initStringInfo(&sql);
	for (int f = 0; f < WATCH_NFIELDS; f++)
	{
		query->position[f] = -1;
		if (!(fields & WATCH_BIT(f)))
			continue;
		Assert(watch_is_expression(table, f));
		query->position[f] = n++;
		appendStringInfo(&sql, "%s%s", n == 1 ? "SELECT " : ", ", table->field_expression[f]);
	}
	appendStringInfo(&sql, " FROM \"%s\" AS %s", EXPRESSION_ROW_NAME, table->row_alias);
	query->sql = sql.data;
	query->desc = CreateTupleDescCopy(desc);
	query->parameter = (fields & WATCH_BIT(WATCH_PAYLOAD)) ? desc->tdtypeid : InvalidOid;
	query->fields = fields;
	query->next = table->queries;
	table->queries = query;
	MemoryContextSwitchTo(old);
	return query;
}

/* Errors say which query raised them, and which privileges the owner needs. */
static void
row_query_error_callback(void *arg)
{
	const RowReceiver *receiver = arg;

	run_as_callback(&receiver->table->owner);
	errcontext("SQL statement \"%s\"", receiver->query->sql);
}

/* ---------- the result ---------- */

static void
row_query_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
row_query_shutdown(DestReceiver *self)
{
}

static bool
row_query_receive(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->context);

	slot_getallattrs(slot);
	for (int f = 0; f < WATCH_NFIELDS; f++)
	{
		int			position = receiver->query->position[f];

		if (position >= 0 && !slot->tts_isnull[position])
			receiver->result(receiver->table, f, slot->tts_values[position],
							 TupleDescAttr(slot->tts_tupleDescriptor, position)->atttypid, receiver->arg);
	}
	MemoryContextSwitchTo(old);
	return true;
}

/* ---------- start, run, end ---------- */

/* The plan of the query, prepared if necessary. */
static CachedPlan *
row_query_get_plan(WatchedTable *table, RowQuery *query)
{
	if (SPI_register_relation(expression_row(query->desc, NULL)) != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed");
	if (query->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(query->sql, OidIsValid(query->parameter) ? 1 : 0, &query->parameter);
		MemoryContextCallback *callback;

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		callback = MemoryContextAlloc(table->context, sizeof(MemoryContextCallback));
		callback->func = row_query_free_plan;
		callback->arg = plan;
		MemoryContextRegisterResetCallback(table->context, callback);
		query->plan = plan;
	}
	return SPI_plan_get_cached_plan(query->plan);
}

/* Does the result depend on rows only?  Payload functions can do anything. */
static bool
row_query_is_closed(const WatchedTable *table, unsigned fields)
{
	for (int f = 0; f < WATCH_NFIELDS; f++)
		if ((fields & WATCH_BIT(f)) && (f == WATCH_PAYLOAD || !expression_is_closed(table, f)))
			return false;
	return true;
}

/* Start a query.  Must run as the table's owner; the snapshot must be active. */
static RunningQuery *
row_query_start(WatchedTable *table, RowQuery *query)
{
	MemoryContext context = AllocSetContextCreate(CurTransactionContext, "webhook row query", ALLOCSET_SMALL_SIZES);
	RunningQuery *running = MemoryContextAllocZero(context, sizeof(RunningQuery));
	QueryEnvironment *environment;
	MemoryContext old;

	Assert(GetUserId() == table->owner && InSecurityRestrictedOperation());
	Assert(!row_security);
	running->query = query;
	running->context = context;
	running->owner = CurrentResourceOwner;
	running->command = GetCurrentCommandId(false);
	running->receiver.dest = (DestReceiver)
	{
		row_query_receive, row_query_startup, row_query_shutdown, row_query_shutdown, DestNone
	};

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	running->plan = row_query_get_plan(table, query);
	SPI_finish();
	running->closed = row_query_is_closed(table, query->fields);

	old = MemoryContextSwitchTo(context);
	running->row = tuplestore_begin_heap(false, false, work_mem);
	environment = create_queryEnv();
	register_ENR(environment, expression_row(query->desc, running->row));
	if (OidIsValid(query->parameter))
	{
		running->parameter = makeParamList(1);
		running->parameter->params[0] = (ParamExternData)
		{
			.ptype = query->parameter
		};
	}
	running->desc = CreateQueryDesc(linitial_node(PlannedStmt, running->plan->stmt_list), query->sql,
									GetActiveSnapshot(), InvalidSnapshot, &running->receiver.dest,
									running->parameter, environment, 0);
	ExecutorStart(running->desc, 0);
	MemoryContextSwitchTo(old);
	return running;
}

/* Evaluate one row. */
static void
row_query_next(RunningQuery *running, TupleTableSlot *slot)
{
	tuplestore_clear(running->row);
	tuplestore_puttupleslot(running->row, slot);
	if (running->parameter != NULL)
		running->parameter->params[0].value = ExecFetchSlotHeapTupleDatum(slot);
	webhook_executor_run(running->desc, 1);
}

static void
row_query_end(RunningQuery *running)
{
	ResourceOwner old = CurrentResourceOwner;

	Assert(!running->busy);
	CurrentResourceOwner = running->owner;
	ExecutorFinish(running->desc);
	ExecutorEnd(running->desc);
	FreeQueryDesc(running->desc);
	tuplestore_end(running->row);
	webhook_release_cached_plan(running->plan);
	CurrentResourceOwner = old;
	MemoryContextDelete(running->context);
}

/* ---------- reuse ---------- */

static void
row_query_begin_phase(RowQueryPhase *phase)
{
	phase->outer = row_query_phase;
	phase->owner = CurrentResourceOwner;
	phase->running = NULL;
	row_query_phase = phase;
}

/* End the queries of a phase, except those in use further up the stack. */
static void
row_query_end_all(RowQueryPhase *phase)
{
	RunningQuery **link = &phase->running;

	while (*link != NULL)
	{
		RunningQuery *running = *link;

		if (running->busy)
			link = &running->next;
		else
		{
			*link = running->next;
			row_query_end(running);
		}
	}
}

/* The query that was started for an earlier row, if it can be reused; else NULL. */
static RunningQuery *
row_query_find(const RowQuery *query)
{
	RunningQuery **link;

	if (row_query_phase == NULL)
		return NULL;
	for (link = &row_query_phase->running; *link != NULL; link = &(*link)->next)
		if ((*link)->query == query && !(*link)->busy)
		{
			RunningQuery *running = *link;

			if (running->command == GetCurrentCommandId(false) && running->owner == CurrentResourceOwner)
				return running;
			*link = running->next;
			row_query_end(running);
			return NULL;
		}
	return NULL;
}

/* Start a query that sees everything up to here, and keep it for the next row if possible. */
static RunningQuery *
row_query_start_now(WatchedTable *table, RowQuery *query)
{
	Snapshot	snapshot = (query->fields & WATCH_BIT(WATCH_PAID)) ? row_query_payment_snapshot() : InvalidSnapshot;
	RunningQuery *running;

	PushCopiedSnapshot(snapshot != InvalidSnapshot ? snapshot : GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	running = row_query_start(table, query);
	PopActiveSnapshot();
	if (row_query_phase != NULL && row_query_phase->owner == CurrentResourceOwner)
	{
		running->next = row_query_phase->running;
		row_query_phase->running = running;
	}
	return running;
}

static bool
row_query_is_registered(const RunningQuery *running)
{
	for (RunningQuery *kept = row_query_phase ? row_query_phase->running : NULL; kept != NULL; kept = kept->next)
		if (kept == running)
			return true;
	return false;
}

void
row_query_run(WatchedTable *table, unsigned fields, TupleTableSlot *slot, bool past, RowQueryResult result,
			  void *arg)
{
	RowQuery   *query = row_query_get(table, fields, slot->tts_tupleDescriptor);
	RowReceiver receiver = {.table = table,.query = query,.context = CurrentMemoryContext,.result = result,.arg = arg};
	ErrorContextCallback callback = {error_context_stack, row_query_error_callback, &receiver};
	RunningQuery *running = NULL;
	RunAs		state;

	if (!past)
	{
		CommandCounterIncrement();
		running = row_query_find(query);
	}
	if (running != NULL && running->closed)
		run_as_table_owner_again(table->owner, &state);
	else
		run_as_table_owner(table->owner, table->search_path, &state);
	error_context_stack = &callback;
	if (running == NULL)
		running = past ? row_query_start(table, query) : row_query_start_now(table, query);

	receiver.dest = running->receiver.dest;
	running->receiver = receiver;
	running->busy = true;
	PushActiveSnapshot(running->desc->snapshot);
	row_query_next(running, slot);
	PopActiveSnapshot();
	running->busy = false;
	if (past || !row_query_is_registered(running))
		row_query_end(running);
	error_context_stack = callback.previous;
	run_as_end(&state);
}

static void
row_query_executor_finish(QueryDesc *query)
{
	RowQueryPhase phase;

	row_query_begin_phase(&phase);
	PG_TRY();
	{
		if (row_query_prev_executor_finish)
			row_query_prev_executor_finish(query);
		else
			standard_ExecutorFinish(query);
		row_query_end_all(&phase);
	}
	PG_FINALLY();
	{
		row_query_phase = phase.outer;
	}
	PG_END_TRY();
}

static void
row_query_call_utility(WEBHOOK_UTILITY_PARAMS)
{
	if (row_query_prev_process_utility)
		row_query_prev_process_utility(WEBHOOK_UTILITY_ARGS);
	else
		standard_ProcessUtility(WEBHOOK_UTILITY_ARGS);
}

static void
row_query_process_utility(WEBHOOK_UTILITY_PARAMS)
{
	RowQueryPhase phase;

	for (RowQueryPhase *outer = row_query_phase; outer != NULL; outer = outer->outer)
		row_query_end_all(outer);
	if (!IsA(pstmt->utilityStmt, CopyStmt))
	{
		row_query_call_utility(WEBHOOK_UTILITY_ARGS);
		return;
	}
	row_query_begin_phase(&phase);
	PG_TRY();
	{
		row_query_call_utility(WEBHOOK_UTILITY_ARGS);
		row_query_end_all(&phase);
	}
	PG_FINALLY();
	{
		row_query_phase = phase.outer;
	}
	PG_END_TRY();
}

void
row_query_init(void)
{
	row_query_prev_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = row_query_executor_finish;
	row_query_prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = row_query_process_utility;
}
