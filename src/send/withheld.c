/*-------------------------------------------------------------------------
 *
 * withheld.c
 *		What must not be sent any more: messages whose rows the owner may not see.
 *
 * When an owner loses its rights, capturing stops at once, in every backend.
 * So does sending: the worker judges each delivery once more, by the rules of
 * access.c, and fails what was captured before and may not be seen any more.
 * It then writes into webhook.withheld what is withheld from which webhook, with a
 * notification.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/as_owner.h"
#include "base/container.h"
#include "base/spi_statement.h"
#include "capture/match.h"
#include "send/notify.h"
#include "send/withheld.h"
#include "watch/access.h"
#include "watch/watch.h"

/* A table that was locked is looked at again after this time. */
#define LOOK_AGAIN_MS	1000

/* Does webhook w subscribe to watched table k: by name, or also through "*"? */
#define SUBSCRIBES_BY_NAME \
	"w.events && ARRAY[k.entity_type || '.*', k.entity_type || '.create'," \
	" k.entity_type || '.update', k.entity_type || '.delete']"
#define SUBSCRIBES	"('*' = ANY (w.events) OR " SUBSCRIBES_BY_NAME ")"

/* What is wrong with table k: all rows are withheld, or these columns.  It must not be too long for a NOTIFY. */
#define PROBLEM \
	"CASE WHEN k.columns IS NULL THEN k.problem ELSE 'permission denied for column ' ||" \
	" pg_catalog.left(pg_catalog.array_to_string(k.columns, ', '), 500) END"

/*
 * Bring webhook.withheld up to date, and report what is new in it; what is less
 * than before is not reported.  What cannot be judged now (NULL) stays as it is.  The
 * result says whether there is such a thing.
 *
 * The bootstrap superuser (10) may see everything.  It is among the owners so
 * that each watched table is looked at: only then is this process notified of
 * its changes.
 */
static SpiStatement withheld_note_statement = {
	"WITH owner AS (SELECT DISTINCT w.owner FROM webhook.webhook AS w WHERE w.active OR w.buffering"
	"  UNION SELECT 10::oid::regrole),"
	" judged AS MATERIALIZED (SELECT o.owner, k.relation, k.entity_type,"
	"  webhook.access_problem(o.owner::oid, k.relation) AS problem,"
	"  webhook.access_hidden(o.owner::oid, k.relation) AS columns FROM owner AS o, webhook.watch AS k),"
	" bad AS MATERIALIZED (SELECT w.id, k.relation, k.columns, " PROBLEM " AS problem,"
	"  h.webhook_id IS NULL OR CASE WHEN k.columns IS NULL THEN h.columns IS NOT NULL OR h.problem <> k.problem"
	"   ELSE NOT k.columns <@ h.columns END AS news"
	"  FROM judged AS k JOIN webhook.webhook AS w ON w.owner = k.owner"
	"  LEFT JOIN webhook.withheld AS h ON h.webhook_id = w.id AND h.relation = k.relation"
	"  WHERE (k.problem <> '' OR k.columns IS NOT NULL) AND (w.active OR w.buffering) AND " SUBSCRIBES "),"
	" over AS (DELETE FROM webhook.withheld AS h"
	"  WHERE NOT EXISTS (SELECT FROM bad AS b WHERE b.id = h.webhook_id AND b.relation = h.relation)"
	"  AND NOT EXISTS (SELECT FROM judged AS j WHERE j.relation = h.relation AND j.problem IS NULL)),"
	" kept AS (INSERT INTO webhook.withheld AS h (webhook_id, relation, problem, columns)"
	"  SELECT b.id, b.relation, b.problem, b.columns FROM bad AS b"
	"  ON CONFLICT (webhook_id, relation) DO UPDATE SET problem = excluded.problem, columns = excluded.columns, since = now()"
	"  WHERE (h.problem, h.columns) IS DISTINCT FROM (excluded.problem, excluded.columns)),"
	" noted AS (INSERT INTO webhook.notification (webhook_id, kind, message)"
	"  SELECT b.id, 'withheld', format('%s of %s are no longer sent: %s',"
	"   CASE WHEN b.columns IS NULL THEN 'rows' ELSE 'columns' END, b.relation, b.problem)"
	"  FROM bad AS b WHERE b.news RETURNING id, webhook_id, kind, message),"
	" told AS (SELECT count(pg_notify('webhook', json_build_object('id', n.id, 'webhook_id', n.webhook_id,"
	"  'kind', n.kind, 'message', n.message)::text)) AS n FROM noted AS n)"
	" SELECT EXISTS (SELECT FROM judged AS j WHERE j.problem IS NULL) FROM told",
	0
};

static uint64 withheld_noted = 0;	/* rights have been looked at up to this
									 * change */
static TimestampTz withheld_look_at = DT_NOEND; /* for what could not be
												 * judged */

PG_FUNCTION_INFO_V1(webhook_access_problem);
PG_FUNCTION_INFO_V1(webhook_access_hidden);


/*
 * What may the role see of a watched table?  ACCESS_ALL if it is not watched,
 * or does not exist.  False if that is not known now because a session has
 * locked the table; the worker must not wait for that.
 */
static bool
withheld_judge_watched(Oid role, Oid relid, Access *access, Bitmapset **hidden)
{
	Relation	rel;
	WatchedTable *table;
	Bitmapset  *readable;

	*access = ACCESS_ALL;
	*hidden = NULL;
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return true;
	}
	table = watch_settings_unchecked(rel);
	if (table != NULL)
		*access = access_check(role, relid, &table->access_columns, &readable);
	if (*access == ACCESS_COLUMNS)
		*hidden = bms_difference(table->access_columns.useful, readable);
	relation_close(rel, NoLock);
	return true;
}

/*
 * access_problem(role, relation) returns text: why rows of a watched table are
 * withheld from a role; '' if they are not.  NULL when that is not known now.
 */
Datum
webhook_access_problem(PG_FUNCTION_ARGS)
{
	Oid			role = PG_GETARG_OID(0);
	Oid			relid = PG_GETARG_OID(1);
	Access		access;
	Bitmapset  *hidden;

	if (!withheld_judge_watched(role, relid, &access, &hidden))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(access_problem_text(access, role, relid)));
}

/*
 * access_hidden(role, relation) returns text[]: the columns of a watched table
 * that are withheld from a role which is sent its rows.  NULL if there are
 * none, or when that is not known now.
 */
Datum
webhook_access_hidden(PG_FUNCTION_ARGS)
{
	Oid			role = PG_GETARG_OID(0);
	Oid			relid = PG_GETARG_OID(1);
	Access		access;
	Bitmapset  *hidden;
	Datum	   *names;
	int			n = 0;
	int			attnum = -1;

	if (!withheld_judge_watched(role, relid, &access, &hidden) || bms_is_empty(hidden))
		PG_RETURN_NULL();
	names = palloc(bms_num_members(hidden) * sizeof(Datum));
	while ((attnum = bms_next_member(hidden, attnum)) >= 0)
		names[n++] = CStringGetTextDatum(get_attname(relid, attnum, false));
	PG_RETURN_ARRAYTYPE_P(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

void
withheld_check_webhook(int64 webhook_id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(webhook_id)};
	uint64		n;

	as_owner_execute("DELETE FROM webhook.withheld WHERE webhook_id = $1",
					 SPI_OK_DELETE, 1, types, values, NULL);
	n = as_owner_execute("INSERT INTO webhook.withheld (webhook_id, relation, problem, columns)"
						 " SELECT k.id, k.relation, " PROBLEM ", k.columns FROM ("
						 "  SELECT w.id, k.relation, webhook.access_problem(w.owner::oid, k.relation) AS problem,"
						 "  webhook.access_hidden(w.owner::oid, k.relation) AS columns"
						 "  FROM webhook.webhook AS w, webhook.watch AS k"
						 "  WHERE w.id = $1 AND " SUBSCRIBES ") AS k WHERE k.problem <> '' OR k.columns IS NOT NULL"
						 " RETURNING problem, columns IS NULL AND EXISTS (SELECT FROM webhook.webhook AS w, webhook.watch AS k"
						 "  WHERE w.id = $1 AND k.relation = withheld.relation AND " SUBSCRIBES_BY_NAME ")",
						 SPI_OK_INSERT_RETURNING, 1, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		if (DatumGetBool(spi_statement_value(i, 2, &isnull)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("%s", spi_statement_text(i, 1)),
					 errdetail("Argument \"event\" names changes of this table."),
					 errhint("A webhook is sent what its owner may select. Grant SELECT on the table, or on some of its columns, and USAGE on its schema. Where row-level security applies, only roles that see every row can be sent them.")));
	}
}

/* ---------- what has been captured before ---------- */

/* What a role may see of a table now. */
typedef struct WithheldVerdict
{
	struct
	{
		Oid			role;
		Oid			relid;
	}			key;
	Access		access;
	const char *problem;		/* NULL: some columns at least may be seen */
	Bitmapset  *readable;		/* with ACCESS_COLUMNS */
	bool		event_uid_hidden;	/* likewise */
	bool		unknown;		/* not known now: the table is locked */
} WithheldVerdict;

static HTAB *withheld_verdicts = NULL;
static MemoryContext withheld_context;	/* all of them */
static uint64 withheld_verdict_changes = 0; /* of which they take account */
static uint64 withheld_checked = 0;

/* The part of the verdict for which the table must be opened. */
static void
withheld_judge_columns(WithheldVerdict *verdict)
{
	static const AccessColumns all = {.all_needed = true};
	Oid			relid = verdict->key.relid;
	WatchedTable *table = NULL;
	Relation	rel = NULL;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
	{
		verdict->problem = psprintf("table %s is locked", get_rel_name(relid));
		verdict->unknown = true;
		return;
	}
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		verdict->access = ACCESS_ALL;
		return;
	}
	table = watch_settings_unchecked(rel);
	verdict->access = access_check(verdict->key.role, relid, table ? &table->access_columns : &all, &verdict->readable);
	verdict->event_uid_hidden = table != NULL && table->field_column[WATCH_EVENT_UID] > 0 &&
		!bms_is_member(table->field_column[WATCH_EVENT_UID], verdict->readable);
	relation_close(rel, NoLock);
	verdict->problem = verdict->access == ACCESS_COLUMNS || verdict->access == ACCESS_ALL ? NULL :
		access_problem_text(verdict->access, verdict->key.role, relid);
}

/* Nothing is withheld of a table that has been dropped. */
static void
withheld_judge(WithheldVerdict *verdict)
{
	static const AccessColumns all = {.all_needed = true};
	Oid			role = verdict->key.role;
	Oid			relid = verdict->key.relid;
	Bitmapset  *none;

	verdict->access = ACCESS_ALL;
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return;
	verdict->access = access_check(role, relid, &all, &none);
	if (verdict->access == ACCESS_NO_SELECT)
		withheld_judge_columns(verdict);
	else if (verdict->access != ACCESS_ALL)
		verdict->problem = access_problem_text(verdict->access, role, relid);
}

static void
withheld_forget_verdicts(void)
{
	if (withheld_verdicts == NULL)
		withheld_context = AllocSetContextCreate(TopMemoryContext, "webhook verdicts", ALLOCSET_DEFAULT_SIZES);
	else
		MemoryContextReset(withheld_context);
	withheld_verdicts = container_hash("webhook verdicts", 64, sizeof(((WithheldVerdict *) NULL)->key),
									   sizeof(WithheldVerdict), withheld_context);
	withheld_verdict_changes = watch_access_changes();
}

static const WithheldVerdict *
withheld_verdict(Oid role, Oid relid)
{
	static WithheldVerdict judged;
	WithheldVerdict *verdict;
	MemoryContext old;
	bool		found;

	if (withheld_verdicts == NULL || withheld_verdict_changes != watch_access_changes())
		withheld_forget_verdicts();
	memset(&judged, 0, sizeof(judged));
	judged.key.role = role;
	judged.key.relid = relid;
	verdict = hash_search(withheld_verdicts, &judged.key, HASH_FIND, NULL);
	if (verdict != NULL)
		return verdict;

	old = MemoryContextSwitchTo(withheld_context);
	withheld_judge(&judged);
	MemoryContextSwitchTo(old);
	if (judged.unknown)
		return &judged;
	verdict = hash_search(withheld_verdicts, &judged.key, HASH_ENTER, &found);
	*verdict = judged;
	return verdict;
}

/* The first key of a payload that is no column which the role may read; NULL: there is none. */
static const char *
withheld_hidden_key(const WithheldVerdict *verdict, const Jsonb *payload)
{
	JsonbIterator *it = JsonbIteratorInit(unconstify(JsonbContainer *, &payload->root));
	JsonbIteratorToken token;
	JsonbValue	v;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(v.val.string.val, v.val.string.len);
		if (!bms_is_member(get_attnum(verdict->key.relid, name), verdict->readable))
			return name;
	}
	return NULL;
}

/*
 * Is there something in this part of a message that the role may not read, or that
 * does not exist any more?  Parsed JSON can be many times as large as its text, and
 * there is as much of it in a transaction as there are deliveries.
 */
static const char *
withheld_hidden_in(const WithheldVerdict *verdict, const char *json)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(caller, "webhook parsed payload", ALLOCSET_DEFAULT_SIZES);
	const char *result = NULL;
	const char *key;
	Jsonb	   *parsed;

	MemoryContextSwitchTo(scratch);
	parsed = match_parse_payload(json);
	key = JB_ROOT_IS_OBJECT(parsed) ? withheld_hidden_key(verdict, parsed) : NULL;
	MemoryContextSwitchTo(caller);
	if (!JB_ROOT_IS_OBJECT(parsed))
		result = "permission denied for part of the payload";
	else if (key != NULL)
		result = psprintf("permission denied for column %s of table %s", key, get_rel_name(verdict->key.relid));
	MemoryContextDelete(scratch);
	return result;
}

static const char *
withheld_hidden_part(const WithheldVerdict *verdict, const Message *message)
{
	const char *parts[] = {message->payload, message->former, message->changed};
	const char *result = NULL;

	if (verdict->event_uid_hidden && message->event_uid != NULL)
		return "permission denied for the event UID";
	for (int i = 0; i < lengthof(parts) && result == NULL; i++)
		if (parts[i] != NULL)
			result = withheld_hidden_in(verdict, parts[i]);
	return result;
}

const char *
withheld_reason(Oid role, const Message *message, bool *unknown)
{
	const WithheldVerdict *verdict = withheld_verdict(role, message->relation);

	*unknown = verdict->unknown;
	return verdict->access == ACCESS_COLUMNS ? withheld_hidden_part(verdict, message) : verdict->problem;
}

bool
withheld_changed(void)
{
	uint64		before = withheld_checked;

	withheld_checked = watch_access_changes();
	return withheld_checked != before;
}

/* ---------- what is reported ---------- */

/* Each watched table with the name it was watched under, its present name, and the table that has the former now. */
#define SEEN(watch) \
	"WITH seen AS MATERIALIZED (SELECT k.relation, k.entity_type, COALESCE(k.name, k.relation::text) AS name, t.name AS now," \
	"  t.name IS NULL AS dropped, CASE WHEN k.name <> t.name THEN to_regclass(k.name)::oid END AS other" \
	"  FROM " watch " AS k LEFT JOIN (SELECT c.oid," \
	"   format('%I.%I', n.nspname, c.relname) AS name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace)" \
	"  AS t ON t.oid = k.relation)," \
	" replaced AS (SELECT s.* FROM seen AS s JOIN pg_class AS c ON c.oid = s.other AND c.relkind IN ('r', 'p')" \
	"  WHERE NOT EXISTS (SELECT FROM webhook.watch AS o WHERE o.relation = s.other))"

/* Is there anything to report, and is there a table that has lost its name to none yet? */
static SpiStatement withheld_look_statement = {
	SEEN("webhook.watch")
	" SELECT EXISTS (SELECT FROM seen AS s WHERE s.dropped) OR EXISTS (SELECT FROM replaced),"
	"  EXISTS (SELECT FROM seen AS s WHERE s.name <> s.now AND s.other IS NULL)",
	0
};

/*
 * Watched tables that have been dropped, and those whose name another table has that is not watched: it has taken their
 * place, it may be.  Either is reported once: the settings go, or get the table's new name.  What watch() is about to
 * change is its business.  Running it counts as a change of the settings, after which everything is looked at again.
 */
static SpiStatement withheld_lost_statement = {
	SEEN("(SELECT * FROM webhook.watch FOR UPDATE SKIP LOCKED)") ","
	" gone AS (DELETE FROM webhook.watch AS k USING seen AS s WHERE k.relation = s.relation AND s.dropped),"
	" renamed AS (UPDATE webhook.watch AS k SET name = r.now FROM replaced AS r WHERE k.relation = r.relation),"
	" noted AS (INSERT INTO webhook.notification (kind, message)"
	"  SELECT 'watched_table', format('table %s, watched as \"%s\", has been dropped; changes are no longer captured',"
	"   s.name, s.entity_type) FROM seen AS s WHERE s.dropped"
	"  UNION ALL SELECT 'watched_table', format('table %s, watched as \"%s\", is now %s; another table has its name and is not"
	" watched: call webhook.watch() for it', r.name, r.entity_type, r.now) FROM replaced AS r"
	"  RETURNING id, kind, message)"
	" SELECT count(pg_notify('webhook', json_build_object('id', n.id, 'kind', n.kind, 'message', n.message)::text)) FROM noted AS n",
	0
};

TimestampTz
withheld_next_note(TimestampTz now)
{
	return watch_access_changes() != withheld_noted ? now : withheld_look_at;
}

void
withheld_clock_set_back(TimestampTz now)
{
	if (withheld_look_at != DT_NOEND)
		withheld_look_at = Min(withheld_look_at, TimestampTzPlusMilliseconds(now, LOOK_AGAIN_MS));
}

/* Report watched tables that have been lost.  True: look again later. */
static bool
withheld_note_lost(TimestampTz now)
{
	static TimestampTz last = 0;
	bool		isnull;
	bool		found;
	bool		again;

	spi_statement_execute(&withheld_look_statement, NULL, NULL);
	found = DatumGetBool(spi_statement_value(0, 1, &isnull));
	again = DatumGetBool(spi_statement_value(0, 2, &isnull));

	/* Settings that a session has locked are still found afterwards. */
	if (found && (now >= TimestampTzPlusMilliseconds(last, LOOK_AGAIN_MS) || now < last))
	{
		spi_statement_execute(&withheld_lost_statement, NULL, NULL);
		last = now;
	}
	return found || again;
}

void
withheld_note(TimestampTz now)
{
	static bool unsettled = true;
	bool		isnull;
	bool		changed = watch_access_changes() != withheld_noted;
	bool		lost;

	withheld_noted = watch_access_changes();
	if (!notify_possible())
	{
		unsettled = true;
		withheld_look_at = TimestampTzPlusMilliseconds(now, LOOK_AGAIN_MS);
		return;
	}
	if (changed || unsettled)
	{
		spi_statement_execute(&withheld_note_statement, NULL, NULL);
		unsettled = DatumGetBool(spi_statement_value(0, 1, &isnull));
	}
	lost = withheld_note_lost(now);
	withheld_look_at = unsettled || lost ? TimestampTzPlusMilliseconds(now, LOOK_AGAIN_MS) : DT_NOEND;
}
