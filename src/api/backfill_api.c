/*-------------------------------------------------------------------------
 *
 * backfill_api.c
 *		backfill() and cancel_backfill().
 *
 * A backfill sends what a table contains already.  It is checked here, and carried
 * out by a process of its own (send/backfill.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "api/backfill_api.h"
#include "api/manage.h"
#include "base/argument.h"
#include "base/catalog_event.h"
#include "base/clock.h"
#include "capture/backfill_walk.h"
#include "server/version.h"
#include "server/wakeup.h"
#include "watch/access.h"
#include "watch/watch.h"

#define CONDITION_MAX	10000
#define RATE_MAX		1000000

/* Jobs of a webhook: those that have not ended, and those that are shown afterwards. */
#define JOBS_MAX		1000
#define JOBS_SHOWN		1000

PG_FUNCTION_INFO_V1(webhook_backfill);
PG_FUNCTION_INFO_V1(webhook_cancel_backfill);


/* Lock the webhook, which the caller must be allowed to manage; its owner and subscriptions. */
static Oid
backfill_api_lock_webhook(int64 id, char ***events, int *nevents)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext old;
	Oid			owner;
	RunAs		state;

	as_owner_begin(&state);
	(void) manage_lock_webhook(&state, id);
	manage_require_owner(id);
	as_owner_execute_for_id("SELECT owner, events FROM webhook.webhook WHERE id = $1", SPI_OK_SELECT, id);
	owner = DatumGetObjectId(as_owner_result(1));
	old = MemoryContextSwitchTo(context);
	*nevents = catalog_strings(as_owner_result(2), false, events);
	MemoryContextSwitchTo(old);
	as_owner_end(&state);
	return owner;
}

/* May this webhook be sent the rows of this table? */
static void
backfill_api_check_table(Relation rel, int64 id, Oid owner, char **events, int nevents)
{
	WatchedTable *table = watch_settings(rel);
	Bitmapset  *readable;
	Access		access;
	bool		subscribed = false;

	if (table == NULL || table->root != RelationGetRelid(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not watched", RelationGetRelationName(rel)),
				 errhint(table == NULL ? "Use webhook.watch() first." : "Specify the partitioned table that is watched.")));
	for (int i = 0; i < nevents; i++)
		subscribed |= catalog_event_matches(events[i], table->event_names[WATCH_CREATE]);
	if (!subscribed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("webhook " INT64_FORMAT " does not subscribe to \"%s\"", id, table->event_names[WATCH_CREATE]),
				 errhint("Use webhook.update_webhook() to change its property \"event\".")));
	access = access_check(owner, table->root, &table->access_columns, &readable);
	if (access != ACCESS_ALL && access != ACCESS_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s", access_problem_text(access, owner, table->root)),
				 errhint("A webhook is sent what its owner, role \"%s\", may read.", GetUserNameFromId(owner, true))));
	if (!backfill_walk_possible(table->root))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no key", RelationGetRelationName(rel)),
				 errhint("Add a primary key, or a unique index on columns that are NOT NULL.")));
}

/* The number of rows that the planner expects; this checks the condition's privileges, too. */
static int64
backfill_api_estimate(const char *sql)
{
	const char *label = "\"Plan Rows\": ";
	char	   *plan;
	char	   *rows;

	if (SPI_execute(psprintf("EXPLAIN (FORMAT JSON) %s", sql), false, 0) != SPI_OK_UTILITY || SPI_processed == 0)
		elog(ERROR, "could not explain \"%s\"", sql);
	plan = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	rows = strstr(plan, label);
	return rows != NULL ? strtoll(rows + strlen(label), NULL, 10) : 0;
}

/* Check that it is one expression, by preparing it.  A semicolon would end the statement. */
static void
backfill_api_check_single(const char *sql)
{
	SPIPlanPtr	plan = SPI_prepare(sql, 0, NULL);

	if (plan == NULL || list_length(SPI_plan_get_plan_sources(plan)) != 1 || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("not a single expression")));
}

/* In PG_CATCH(): raise an error about the condition as one about the argument. */
static void
backfill_api_rethrow(Relation rel, MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	ereport(ERROR,
			(errcode(error->sqlerrcode),
			 errmsg("invalid value for argument \"%s\": %s", "condition", error->message),
			 error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ?
			 errhint("The condition is evaluated with the privileges of role \"%s\".", GetUserNameFromId(GetUserId(), true)) :
			 errhint("Specify an SQL expression over the columns of table \"%s\" that is true or false.",
					 RelationGetRelationName(rel))));
}

/* Check a condition, which may be NULL, with the caller's privileges.  Returns the estimated number of rows. */
static int64
backfill_api_check_condition(Relation rel, const char *condition, const char *search_path)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *sql = backfill_walk_condition(rel, condition);
	volatile int64 rows = 0;
	RunAs		state;

	if (condition != NULL && (condition[0] == '\0' || strlen(condition) > CONDITION_MAX))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", "condition"),
				 errhint("Specify an SQL expression of at most %d characters.", CONDITION_MAX)));
	if (condition != NULL)
		run_as_role(GetUserId(), search_path, &state);
	else
		run_as_table_owner(rel->rd_rel->relowner, search_path, &state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PG_TRY();
	{
		backfill_api_check_single(sql);
		rows = backfill_api_estimate(sql);
	}
	PG_CATCH();
	{
		backfill_api_rethrow(rel, context);
	}
	PG_END_TRY();
	SPI_finish();
	run_as_end(&state);
	return rows;
}

static int
backfill_api_rate(FunctionCallInfo fcinfo, int n)
{
	int			rate = PG_ARGISNULL(n) ? 0 : PG_GETARG_INT32(n);

	if (!PG_ARGISNULL(n) && (rate < 1 || rate > RATE_MAX))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", "rate"),
				 errhint("Specify a number of rows per second from 1 to %d, or NULL for no limit.", RATE_MAX)));
	return rate;
}

void
backfill_api_require_room(int64 webhook_id)
{
	as_owner_execute("DELETE FROM webhook.backfill WHERE finished_at < pg_catalog.now() - interval '30 days'",
					 SPI_OK_DELETE, 0, NULL, NULL, NULL);
	as_owner_execute_for_id("DELETE FROM webhook.backfill WHERE webhook_id = $1 AND finished_at IS NOT NULL AND job <="
							" (SELECT job FROM webhook.backfill WHERE webhook_id = $1 AND finished_at IS NOT NULL"
							" ORDER BY job DESC LIMIT 1 OFFSET " CppAsString2(JOBS_SHOWN) ")", SPI_OK_DELETE, webhook_id);
	as_owner_execute_for_id("SELECT pg_catalog.count(*) FROM webhook.backfill WHERE webhook_id = $1 AND finished_at IS NULL",
							SPI_OK_SELECT, webhook_id);
	if (DatumGetInt64(as_owner_result(1)) >= JOBS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("webhook " INT64_FORMAT " has %d backfills and replays already that have not ended", webhook_id, JOBS_MAX),
				 errhint("Wait until some have ended, or use webhook.cancel_backfill().")));
}

static int64
backfill_api_insert(int64 id, Oid relation, const char *condition, const char *search_path, int rate, int64 rows)
{
	Oid			role = GetUserId();
	Oid			types[] = {INT8OID, REGCLASSOID, REGROLEOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, INT8OID, TIMESTAMPTZOID};
	Datum		values[] = {Int64GetDatum(id), ObjectIdGetDatum(relation), ObjectIdGetDatum(role),
		condition ? CStringGetTextDatum(condition) : (Datum) 0, CStringGetTextDatum(search_path), Int32GetDatum(rate),
	CStringGetTextDatum(BACKFILL_INITIALIZING), Int64GetDatum(rows), TimestampTzGetDatum(clock_now())};
	bool		nulls[] = {false, false, false, condition == NULL, false, rate == 0, false, false, false};
	int64		job;
	RunAs		state;

	as_owner_begin(&state);
	backfill_api_require_room(id);
	as_owner_execute("INSERT INTO webhook.backfill (webhook_id, relation, role, condition, search_path, rate, phase,"
					 " rows_estimated, started_at, discarded)"
					 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, (SELECT discarded FROM webhook.webhook WHERE id = $1))"
					 " RETURNING job", SPI_OK_INSERT_RETURNING, lengthof(types), types, values, nulls);
	job = DatumGetInt64(as_owner_result(1));
	as_owner_end(&state);
	return job;
}

/*
 * backfill(webhook_id, relation, condition, rate) returns bigint: the job
 */
Datum
webhook_backfill(PG_FUNCTION_ARGS)
{
	int64		id;
	Oid			relation;
	char	   *condition;
	char	   *search_path;
	int			rate;
	int			nevents;
	char	  **events;
	int64		rows;
	Oid			owner;
	Relation	rel;

	version_require();
	PreventCommandIfReadOnly("webhook.backfill()");
	id = DatumGetInt64(argument_required(fcinfo, 0, "webhook_id"));
	relation = DatumGetObjectId(argument_required(fcinfo, 1, "relation"));
	condition = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	rate = backfill_api_rate(fcinfo, 3);

	owner = backfill_api_lock_webhook(id, &events, &nevents);
	rel = try_relation_open(relation, AccessShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relation),
				 errhint("Specify the name of a watched table.")));
	backfill_api_check_table(rel, id, owner, events, nevents);
	search_path = run_as_current_search_path();
	rows = backfill_api_check_condition(rel, condition, search_path);
	relation_close(rel, NoLock);
	PG_RETURN_INT64(backfill_api_insert(id, relation, condition, search_path, rate, rows));
}

/* Raise an error unless there is this job, of a webhook that the caller may manage. */
static void
backfill_api_require_job(const RunAs *state, int64 job)
{
	if (as_owner_execute_for_id("SELECT w.owner FROM webhook.backfill AS b JOIN webhook.webhook AS w ON w.id = b.webhook_id"
								" WHERE b.job = $1", SPI_OK_SELECT, job) == 0 ||
		!has_privs_of_role(state->caller, DatumGetObjectId(as_owner_result(1))))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("backfill " INT64_FORMAT " does not exist", job),
				 errhint("Specify the result of webhook.backfill(). The backfills are listed in webhook.stat_progress_backfill.")));
}

/*
 * cancel_backfill(job) returns boolean: false if it has ended already
 */
Datum
webhook_cancel_backfill(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[3];
	int64		job;
	bool		cancelled;
	RunAs		state;

	version_require();
	PreventCommandIfReadOnly("webhook.cancel_backfill()");
	job = DatumGetInt64(argument_required(fcinfo, 0, "job"));
	values[0] = Int64GetDatum(job);
	values[1] = CStringGetTextDatum(BACKFILL_CANCELLED);
	values[2] = TimestampTzGetDatum(clock_now());

	as_owner_begin(&state);
	backfill_api_require_job(&state, job);
	cancelled = as_owner_execute("UPDATE webhook.backfill SET phase = $2, finished_at = $3 WHERE job = $1 AND finished_at IS NULL",
								 SPI_OK_UPDATE, lengthof(types), types, values, NULL) > 0;
	wakeup_reload_at_commit();
	as_owner_end(&state);
	PG_RETURN_BOOL(cancelled);
}
