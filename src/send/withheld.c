/*-------------------------------------------------------------------------
 *
 * withheld.c
 *		What must not be sent any more: messages whose rows the owner may not see.
 *
 * When an owner loses a privilege, capturing stops at once, in every backend.
 * So does sending: the worker checks each delivery once more, by the rules of
 * access.c, and fails what was captured before and may not be seen any more.
 * It also updates webhook.withheld, which lists what is withheld from which
 * webhook, and sends a notification.
 *
 * The history shows roles its messages by the same rules.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/argument.h"
#include "base/as_owner.h"
#include "base/container.h"
#include "base/spi_statement.h"
#include "capture/match.h"
#include "pure/json_members.h"
#include "send/notify.h"
#include "send/withheld.h"
#include "server/version.h"
#include "shape/json_field.h"
#include "watch/access.h"
#include "watch/watch.h"

/* A table that was locked is checked again after this time. */
#define LOOK_AGAIN_MS	1000

static SpiStatement withheld_note_statement = {"SELECT webhook.note_withheld()", 0};

static uint64 withheld_noted = 0;	/* privileges have been checked up to this
									 * change */
static TimestampTz withheld_check_at = DT_NOEND;	/* when to check again
													 * what was locked */

PG_FUNCTION_INFO_V1(webhook_access_problem);
PG_FUNCTION_INFO_V1(webhook_access_hidden);
PG_FUNCTION_INFO_V1(webhook_history_payload);
PG_FUNCTION_INFO_V1(webhook_history_event_uid);


/*
 * What may the role see of a watched table?  ACCESS_ALL if it is not watched
 * or does not exist.  Returns false if a session has locked the table, for
 * which the worker must not wait.
 */
static bool
withheld_check_watched(Oid role, Oid relid, Access *access, Bitmapset **hidden)
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
 * access_problem(role, relation) returns text: why the rows of a watched table
 * are withheld from a role; '' if they are not.  NULL if the table is locked.
 */
Datum
webhook_access_problem(PG_FUNCTION_ARGS)
{
	Oid			role = PG_GETARG_OID(0);
	Oid			relid = PG_GETARG_OID(1);
	Access		access;
	Bitmapset  *hidden;

	if (!withheld_check_watched(role, relid, &access, &hidden))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(access_problem_text(access, role, relid)));
}

/*
 * access_hidden(role, relation) returns text[]: the columns of a watched table
 * that are omitted for a role that gets its rows.  NULL if there are none, or
 * if the table is locked.
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

	if (!withheld_check_watched(role, relid, &access, &hidden) || bms_is_empty(hidden))
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
	char	   *problem;

	as_owner_execute("SELECT webhook.check_withheld($1)", SPI_OK_SELECT, 1, types, values, NULL);
	problem = spi_statement_text(0, 1);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s", problem),
				 errdetail("Argument \"event\" names changes of this table."),
				 errhint("A webhook is sent what its owner may select. Grant SELECT on the table, or on some of its columns, and USAGE on its schema. Where row-level security applies, only roles that see every row can be sent them.")));
}

/* ---------- messages captured before ---------- */

/* What a role may see of a table now.  Cached. */
typedef struct WithheldAccess
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
	bool		unknown;		/* not known, because the table is locked; not
								 * cached */
} WithheldAccess;

static HTAB *withheld_access_table = NULL;
static MemoryContext withheld_context;	/* of the table and its entries */
static uint64 withheld_access_changes = 0;	/* the table is valid up to this
											 * change */
static uint64 withheld_checked = 0;

/* The part of the entry for which the table must be opened. */
static void
withheld_check_columns(WithheldAccess *entry)
{
	static const AccessColumns all = {.all_needed = true};
	Oid			relid = entry->key.relid;
	WatchedTable *table = NULL;
	Relation	rel = NULL;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
	{
		entry->problem = psprintf("table %s is locked", get_rel_name(relid));
		entry->unknown = true;
		return;
	}
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		entry->access = ACCESS_ALL;
		return;
	}
	table = watch_settings_unchecked(rel);
	entry->access = access_check(entry->key.role, relid, table ? &table->access_columns : &all, &entry->readable);
	entry->event_uid_hidden = table != NULL && table->field_column[WATCH_EVENT_UID] > 0 &&
		!bms_is_member(table->field_column[WATCH_EVENT_UID], entry->readable);
	relation_close(rel, NoLock);
	entry->problem = entry->access == ACCESS_COLUMNS || entry->access == ACCESS_ALL ? NULL :
		access_problem_text(entry->access, entry->key.role, relid);
}

/* Nothing is withheld of a table that has been dropped. */
static void
withheld_check_access(WithheldAccess *entry)
{
	static const AccessColumns all = {.all_needed = true};
	Oid			role = entry->key.role;
	Oid			relid = entry->key.relid;
	Bitmapset  *none;

	entry->access = ACCESS_ALL;
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return;
	entry->access = access_check(role, relid, &all, &none);
	if (entry->access == ACCESS_NO_SELECT)
		withheld_check_columns(entry);
	else if (entry->access != ACCESS_ALL)
		entry->problem = access_problem_text(entry->access, role, relid);
}

static void
withheld_reset_access(void)
{
	if (withheld_access_table == NULL)
		withheld_context = AllocSetContextCreate(TopMemoryContext, "webhook access", ALLOCSET_DEFAULT_SIZES);
	else
		MemoryContextReset(withheld_context);
	withheld_access_table = container_hash("webhook access", 64, sizeof(((WithheldAccess *) NULL)->key),
										   sizeof(WithheldAccess), withheld_context);
	withheld_access_changes = watch_access_changes();
}

static const WithheldAccess *
withheld_access(Oid role, Oid relid)
{
	static WithheldAccess checked;
	WithheldAccess *entry;
	MemoryContext old;
	bool		found;

	if (withheld_access_table == NULL || withheld_access_changes != watch_access_changes())
		withheld_reset_access();
	memset(&checked, 0, sizeof(checked));
	checked.key.role = role;
	checked.key.relid = relid;
	entry = hash_search(withheld_access_table, &checked.key, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;

	old = MemoryContextSwitchTo(withheld_context);
	withheld_check_access(&checked);
	MemoryContextSwitchTo(old);
	if (checked.unknown)
		return &checked;
	entry = hash_search(withheld_access_table, &checked.key, HASH_ENTER, &found);
	*entry = checked;
	return entry;
}

/* The first key of a payload that is not a column which the role may read, or NULL. */
static const char *
withheld_hidden_key(const WithheldAccess *entry, const Jsonb *payload)
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
		if (!bms_is_member(get_attnum(entry->key.relid, name), entry->readable))
			return name;
	}
	return NULL;
}

/*
 * Does this part of a message contain anything that the role may not read, or
 * that does not exist any more?  Parsed JSON can be many times as large as its
 * text, and a transaction may check thousands of deliveries.
 */
static const char *
withheld_hidden_in(const WithheldAccess *entry, const char *json)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(caller, "webhook parsed payload", ALLOCSET_DEFAULT_SIZES);
	const char *result = NULL;
	const char *key;
	Jsonb	   *parsed;

	MemoryContextSwitchTo(scratch);
	parsed = match_parse_payload(json);
	key = JB_ROOT_IS_OBJECT(parsed) ? withheld_hidden_key(entry, parsed) : NULL;
	MemoryContextSwitchTo(caller);
	if (!JB_ROOT_IS_OBJECT(parsed))
		result = "permission denied for part of the payload";
	else if (key != NULL)
		result = psprintf("permission denied for column %s of table %s", key, get_rel_name(entry->key.relid));
	MemoryContextDelete(scratch);
	return result;
}

static const char *
withheld_hidden_part(const WithheldAccess *entry, const Message *message)
{
	const char *parts[] = {message->payload, message->former, message->changed};
	const char *result = NULL;

	if (entry->event_uid_hidden && message->event_uid != NULL)
		return "permission denied for the event UID";
	for (int i = 0; i < lengthof(parts) && result == NULL; i++)
		if (parts[i] != NULL)
			result = withheld_hidden_in(entry, parts[i]);
	return result;
}

const char *
withheld_reason(Oid role, const Message *message, bool *unknown)
{
	const WithheldAccess *entry = withheld_access(role, message->relation);

	*unknown = entry->unknown;
	return entry->access == ACCESS_COLUMNS ? withheld_hidden_part(entry, message) : entry->problem;
}

/* A key of a JSON object, without quotes and escapes. */
static char *
withheld_key_name(const JsonMember *member)
{
	char	   *array = psprintf("[%.*s]", (int) member->key_len, member->key);

	json_field_replace_impossible(array);
	return TextDatumGetCString(DirectFunctionCall2(json_array_element_text, CStringGetTextDatum(array), Int32GetDatum(0)));
}

/* Where a JSON text begins after white space. */
static const char *
withheld_json_start(const char *json)
{
	return json + strspn(json, " \t\n\r");
}

/* A JSON object without the members that the role may not read.  What is no object stays as it is. */
static char *
withheld_visible_members(const WithheldAccess *entry, char *json)
{
	StringInfoData result;
	JsonMembers members;
	JsonMember	member;

	if (json == NULL || *withheld_json_start(json) != '{' || withheld_hidden_in(entry, json) == NULL)
		return json;
	initStringInfo(&result);
	members = json_members(withheld_json_start(json));
	while (json_members_next(&members, &member))
	{
		if (!bms_is_member(get_attnum(entry->key.relid, withheld_key_name(&member)), entry->readable))
			continue;
		appendStringInfoChar(&result, result.len == 0 ? '{' : ',');
		appendBinaryStringInfo(&result, member.key, (int) member.key_len);
		appendStringInfoChar(&result, ':');
		appendBinaryStringInfo(&result, member.value, (int) member.value_len);
	}
	appendStringInfoString(&result, result.len == 0 ? "{}" : "}");
	return result.data;
}

void
withheld_remove_hidden(Oid role, Message *message)
{
	const WithheldAccess *entry = withheld_access(role, message->relation);

	if (entry->unknown || entry->access != ACCESS_COLUMNS)
		return;
	if (entry->event_uid_hidden)
		message->event_uid = NULL;
	message->payload = withheld_visible_members(entry, message->payload);
	message->former = withheld_visible_members(entry, message->former);
	message->changed = withheld_visible_members(entry, message->changed);
}

/* ---------- the history ---------- */

/*
 * What may the role that the first argument names see of the table in the second?  This is not
 * cached: a session is not notified of changes of tables that it has not looked at.
 */
static WithheldAccess
withheld_reader_access(FunctionCallInfo fcinfo)
{
	WithheldAccess result = {0};
	Name		role = DatumGetName(argument_required(fcinfo, 0, "role"));

	result.key.role = get_role_oid(NameStr(*role), true);
	result.key.relid = DatumGetObjectId(argument_required(fcinfo, 1, "relation"));
	withheld_check_access(&result);
	return result;
}

/*
 * history_payload(role, relation, payload) returns json: what a role may read now of a payload that
 * was captured before.  NULL if that is nothing, or not known because the table is locked.
 */
Datum
webhook_history_payload(PG_FUNCTION_ARGS)
{
	WithheldAccess access;
	char	   *payload;

	version_require();
	if (PG_ARGISNULL(2))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(1))
		PG_RETURN_DATUM(PG_GETARG_DATUM(2));
	access = withheld_reader_access(fcinfo);
	if (access.problem != NULL)
		PG_RETURN_NULL();
	if (access.access == ACCESS_ALL)
		PG_RETURN_DATUM(PG_GETARG_DATUM(2));
	payload = TextDatumGetCString(PG_GETARG_DATUM(2));
	if (*withheld_json_start(payload) != '{')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(withheld_visible_members(&access, payload)));
}

/* history_event_uid(role, relation, event_uid) returns text: the same for the UID of the event. */
Datum
webhook_history_event_uid(PG_FUNCTION_ARGS)
{
	WithheldAccess access;

	version_require();
	if (PG_ARGISNULL(2))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(1))
		PG_RETURN_DATUM(PG_GETARG_DATUM(2));
	access = withheld_reader_access(fcinfo);
	if (access.problem != NULL || access.event_uid_hidden)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(2));
}

bool
withheld_take_access_change(void)
{
	uint64		before = withheld_checked;

	withheld_checked = watch_access_changes();
	return withheld_checked != before;
}

/* ---------- reports ---------- */

static SpiStatement withheld_changed_tables_statement = {
	"SELECT count(*) FILTER (WHERE change <> 'renamed') > 0, count(*) FILTER (WHERE change = 'renamed') > 0"
	" FROM webhook.changed_table",
	0
};

/* This updates the settings, and so causes another check. */
static SpiStatement withheld_note_changed_tables_statement = {"SELECT webhook.note_changed_tables()", 0};

TimestampTz
withheld_next_note(TimestampTz now)
{
	return watch_access_changes() != withheld_noted ? now : withheld_check_at;
}

void
withheld_clock_set_back(TimestampTz now)
{
	if (withheld_check_at != DT_NOEND)
		withheld_check_at = Min(withheld_check_at, TimestampTzPlusMilliseconds(now, LOOK_AGAIN_MS));
}

/*
 * Report watched tables that have been dropped or replaced.  Returns true if
 * they should be looked at again later: a session has locked the settings, or a
 * renamed table may yet be replaced.
 */
static bool
withheld_note_changed_tables(TimestampTz now)
{
	static TimestampTz last = 0;
	bool		isnull;
	bool		found;
	bool		renamed;

	spi_statement_execute(&withheld_changed_tables_statement, NULL, NULL);
	found = DatumGetBool(spi_statement_value(0, 1, &isnull));
	renamed = DatumGetBool(spi_statement_value(0, 2, &isnull));

	if (found && (now >= TimestampTzPlusMilliseconds(last, LOOK_AGAIN_MS) || now < last))
	{
		spi_statement_execute(&withheld_note_changed_tables_statement, NULL, NULL);
		last = now;
	}
	return found || renamed;
}

void
withheld_note(TimestampTz now)
{
	static bool unsettled = true;
	bool		isnull;
	bool		changed = watch_access_changes() != withheld_noted;
	bool		look_again;

	withheld_noted = watch_access_changes();
	if (!notify_possible())
	{
		unsettled = true;
		withheld_check_at = TimestampTzPlusMilliseconds(now, LOOK_AGAIN_MS);
		return;
	}
	if (changed || unsettled)
	{
		spi_statement_execute(&withheld_note_statement, NULL, NULL);
		unsettled = DatumGetBool(spi_statement_value(0, 1, &isnull));
	}
	look_again = withheld_note_changed_tables(now);
	withheld_check_at = unsettled || look_again ? TimestampTzPlusMilliseconds(now, LOOK_AGAIN_MS) : DT_NOEND;
}
