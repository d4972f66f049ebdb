/*-------------------------------------------------------------------------
 *
 * watch.c
 *		Watched tables: their settings, prepared for the row trigger.
 *
 * Each backend caches, for every table or partition whose trigger has fired, its
 * settings in webhook.watch, with all names resolved to attribute numbers.
 * Entries are marked invalid by relcache invalidations of the table, of the root
 * of its partition tree, and of webhook.watch.
 *
 * Each entry also has audiences: the webhooks that subscribe to it, grouped by
 * what their owners may read (audience.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "base/container.h"
#include "compat.h"
#include "watch/audience.h"
#include "watch/expression.h"
#include "watch/row_query.h"
#include "watch/watch.h"

static const char *const watch_action_names[WATCH_NACTIONS] = {"create", "update", "delete"};

static const AttrNumber watch_field_attnums[WATCH_NFIELDS] = {
	Anum_watch_id, Anum_watch_event_uid, Anum_watch_profile,
	Anum_watch_paid, Anum_watch_deleted, Anum_watch_payload
};

/*
 * An invalid entry is replaced rather than changed: an expression may write to its
 * own table, which looks up the table again, while a caller up the stack still
 * uses the old settings.
 */
typedef struct TableEntry
{
	Oid			relid;			/* hash key */
	WatchedTable *table;		/* or NULL */
} TableEntry;

static HTAB *watch_tables = NULL;	/* entries are never removed */
static WatchedTable *watch_cached_table = NULL; /* looked up last, and still
												 * in an entry */
static uint64 watch_invalidations = 0;
static uint64 watch_role_changes = 0;	/* changes of roles and schemas that
										 * privileges depend on */
static uint64 watch_table_changes = 1;	/* changes of tables that we know to
										 * be watched */


static void
watch_relcache_callback(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	TableEntry *entry;

	watch_invalidations++;
	if (relid == InvalidOid || relid == catalog_watch_relid())
		watch_table_changes++;
	if (watch_tables == NULL)
		return;
	hash_seq_init(&status, watch_tables);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (relid == InvalidOid || entry->relid == relid || relid == catalog_watch_relid() ||
			(entry->table != NULL && entry->table->root == relid))
		{
			if (entry->table != NULL)
				entry->table->valid = false;
			watch_table_changes++;
		}
}

static void
watch_role_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	watch_role_changes++;
}

/* A cast was created or dropped, perhaps one to json that a column uses.  Rare, so invalidate everything. */
static void
watch_cast_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	watch_relcache_callback((Datum) 0, InvalidOid);
}

void
watch_init(void)
{
	expression_init();
	row_query_init();
	CacheRegisterRelcacheCallback(watch_relcache_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, watch_role_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, watch_role_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, watch_role_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(CASTSOURCETARGET, watch_cast_callback, (Datum) 0);
}

uint64
watch_access_changes(void)
{
	return watch_role_changes + watch_table_changes;
}

static bool
watch_field_is_boolean(WatchField field)
{
	return field == WATCH_PAID || field == WATCH_DELETED;
}

/* A copy of the row in webhook.watch for this table; NULL if there is none. */
static HeapTuple
watch_fetch_settings(Relation watch, Oid relid)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_watch_relation, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(watch, catalog_oids()->watch_pkey, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return tuple;
}

/* A text column of the settings, or NULL. */
static char *
watch_setting_text(HeapTuple settings, TupleDesc desc, int attnum)
{
	bool		isnull;
	Datum		d = catalog_column(settings, desc, attnum, &isnull);

	return isnull ? NULL : TextDatumGetCString(d);
}

static bool
watch_in_list(const char *name, char **list, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

/*
 * Check whether one of these columns has been renamed.  Otherwise a column that
 * should be excluded would be sent.  Dropped columns do not matter.
 */
static void
watch_find_renamed(WatchedTable *table, TupleDesc desc, char **names, int n, HeapTuple settings,
				   TupleDesc settings_desc)
{
	bool		isnull;
	Datum		d = catalog_column(settings, settings_desc, Anum_watch_numbers, &isnull);

	for (int i = 0; i < n && !isnull; i++)
	{
		JsonbValue	v;
		int			attnum = 0;
		bool		found = false;

		for (int a = 0; a < desc->natts && !found; a++)
			found = !TupleDescAttr(desc, a)->attisdropped &&
				strcmp(NameStr(TupleDescAttr(desc, a)->attname), names[i]) == 0;
		if (!found && getKeyJsonValueFromContainer(&DatumGetJsonbP(d)->root, names[i], strlen(names[i]), &v) != NULL)
			attnum = DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(v.val.numeric)));
		if (attnum > 0 && attnum <= desc->natts && !TupleDescAttr(desc, attnum - 1)->attisdropped)
		{
			table->renamed_from = names[i];
			table->renamed_to = pstrdup(NameStr(TupleDescAttr(desc, attnum - 1)->attname));
		}
	}
}

/*
 * Set the columns of the payload, and those whose change causes a message: columns
 * of the payload, of the key, and used as fields.  With a payload function these
 * are all columns.
 */
static void
watch_set_columns(WatchedTable *table, TupleDesc desc, HeapTuple settings, TupleDesc settings_desc)
{
	char	  **columns;
	char	  **exclude;
	int			ncolumns;
	int			nexclude;
	bool		isnull;
	Datum		d;

	d = catalog_column(settings, settings_desc, Anum_watch_columns, &isnull);
	ncolumns = catalog_strings(d, isnull, &columns);
	d = catalog_column(settings, settings_desc, Anum_watch_exclude, &isnull);
	nexclude = catalog_strings(d, isnull, &exclude);

	watch_find_renamed(table, desc, columns, ncolumns, settings, settings_desc);
	watch_find_renamed(table, desc, exclude, nexclude, settings, settings_desc);

	table->payload = palloc(desc->natts * sizeof(AttrNumber));
	table->compare = palloc(desc->natts * sizeof(AttrNumber));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = NameStr(att->attname);
		bool		in_payload;

		if (att->attisdropped || webhook_attribute_is_virtual(att))
			continue;
		in_payload = (ncolumns == 0 || watch_in_list(name, columns, ncolumns)) &&
			!watch_in_list(name, exclude, nexclude);
		if (in_payload)
			table->payload[table->npayload++] = att->attnum;
		if (!in_payload && !watch_is_expression(table, WATCH_PAYLOAD))
		{
			bool		used = false;

			for (int f = 0; f < WATCH_NFIELDS; f++)
				used |= (table->field_column[f] == att->attnum);
			for (int k = 0; k < table->nkeys; k++)
				used |= (table->keys[k] == att->attnum);
			if (!used)
				continue;
		}
		table->compare[table->ncompare++] = att->attnum;
	}
	if (!watch_is_expression(table, WATCH_PAYLOAD))
	{
		table->json = row_json_create(desc, table->payload, table->npayload);
		table->runs_user_code = row_json_runs_user_code(table->json);
	}
}

/*
 * Is the primary key still the one at the time of watch()?  Its columns may have
 * been renamed, or renumbered by dump and restore.
 */
static bool
watch_is_watched_key(const WatchedTable *table, TupleDesc desc, HeapTuple settings, TupleDesc settings_desc)
{
	bool		isnull;
	Datum		d = catalog_column(settings, settings_desc, Anum_watch_numbers, &isnull);
	JsonbValue	key;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	char	   *name = NULL;
	int			found = 0;

	/* The settings were stored by an older version. */
	if (isnull || getKeyJsonValueFromContainer(&DatumGetJsonbP(d)->root, "", 0, &key) == NULL || key.type != jbvBinary)
		return true;
	it = JsonbIteratorInit(key.val.binary.data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		int			number;

		if (token == WJB_KEY)
			name = pnstrdup(v.val.string.val, v.val.string.len);
		if (token != WJB_VALUE)
			continue;
		number = DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(v.val.numeric)));
		for (int i = 0; i < table->nkeys; i++)
			if (table->keys[i] == number ||
				strcmp(NameStr(TupleDescAttr(desc, table->keys[i] - 1)->attname), name) == 0)
			{
				found++;
				break;
			}
	}
	return found == table->nkeys && found == JsonContainerSize(key.val.binary.data);
}

/* Set the columns of the primary key. */
static void
watch_set_keys(WatchedTable *table, Relation root, HeapTuple settings, TupleDesc settings_desc)
{
	Bitmapset  *key = RelationGetIndexAttrBitmap(root, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	int			i = -1;

	table->keys = palloc(Max(1, bms_num_members(key)) * sizeof(AttrNumber));
	table->key_form = palloc0(Max(1, bms_num_members(key)) * sizeof(WatchTextForm));
	while ((i = bms_next_member(key, i)) >= 0)
		table->keys[table->nkeys++] = i + FirstLowInvalidHeapAttributeNumber;
	table->other_key = table->nkeys > 0 && !watch_is_watched_key(table, RelationGetDescr(root), settings, settings_desc);
}

/* Set the columns that a webhook's owner must be able to read, and those that can be omitted. */
static void
watch_set_access_columns(WatchedTable *table)
{
	AccessColumns *columns = &table->access_columns;

	columns->all_needed = (table->json == NULL || watch_is_expression(table, WATCH_ID));
	for (int i = 0; i < table->nkeys; i++)
		columns->needed = bms_add_member(columns->needed, table->keys[i]);
	if (table->field_column[WATCH_ID] > 0)
		columns->needed = bms_add_member(columns->needed, table->field_column[WATCH_ID]);
	for (int i = 0; i < table->ncompare; i++)
		columns->useful = bms_add_member(columns->useful, table->compare[i]);
}

/* Determine which fields are plain columns and which are expressions. */
static void
watch_set_fields(WatchedTable *table, Relation root, HeapTuple settings, TupleDesc settings_desc)
{
	table->row_alias = pstrdup(quote_identifier(RelationGetRelationName(root)));
	for (int f = 0; f < WATCH_NFIELDS; f++)
	{
		char	   *text = watch_setting_text(settings, settings_desc, watch_field_attnums[f]);
		AttrNumber	attnum = InvalidAttrNumber;

		if (text == NULL)
			continue;
		if (f == WATCH_PAYLOAD)
		{
			table->field_expression[f] = psprintf("%.*s($1)::text", (int) strcspn(text, "("), text);
			table->expressions |= WATCH_BIT(f);
			continue;
		}
		attnum = get_attnum(RelationGetRelid(root), text);
		if (attnum > 0 && (!watch_field_is_boolean(f) ||
						   TupleDescAttr(RelationGetDescr(root), attnum - 1)->atttypid == BOOLOID))
		{
			table->field_column[f] = attnum;
			table->field_sql[f] = psprintf("%s.%s", table->row_alias, quote_identifier(text));
			continue;
		}
		if (attnum > 0)
			text = pstrdup(quote_identifier(text));

		/* The line break ends a comment that the expression may end with. */
		table->field_sql[f] = psprintf("(%s\n)", text);
		table->field_expression[f] = psprintf("(%s\n)%s", text, watch_field_is_boolean(f) ? "::boolean" : "");
		table->expressions |= WATCH_BIT(f);
	}
}

/*
 * Find the table whose settings apply: this one or its nearest watched ancestor.
 * Returns the settings, or NULL if there are none.
 */
static HeapTuple
watch_find_root(Relation rel, Relation watch, Oid *root)
{
	Oid			relid = RelationGetRelid(rel);
	HeapTuple	settings = watch_fetch_settings(watch, relid);
	ListCell   *lc;

	*root = relid;
	if (settings != NULL || !rel->rd_rel->relispartition)
		return settings;
	foreach(lc, get_partition_ancestors(relid))
	{
		*root = lfirst_oid(lc);
		settings = watch_fetch_settings(watch, *root);
		if (settings != NULL)
			break;
	}
	return settings;
}

/*
 * Does the table have our trigger?  The settings of a dropped table remain until the
 * next watch(), and another table, which is not watched, may get the same OID.
 */
static bool
watch_has_trigger(Relation rel)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Oid			function = rel->trigdesc->triggers[i].tgfoid;
		const char *name = get_func_name(function);

		if (name != NULL && strcmp(name, "capture") == 0 &&
			get_func_namespace(function) == get_namespace_oid(WEBHOOK_SCHEMA, true))
			return true;
	}
	return false;
}

/* Build the settings in the current memory context; false if the table is not watched. */
static bool
watch_build_table(WatchedTable *table, Relation rel)
{
	Relation	watch = table_open(catalog_oids()->watch, AccessShareLock);
	TupleDesc	settings_desc = RelationGetDescr(watch);
	Oid			root_oid;
	HeapTuple	settings = watch_find_root(rel, watch, &root_oid);
	Relation	root;

	if (settings == NULL || !watch_has_trigger(rel))
	{
		table_close(watch, AccessShareLock);
		return false;
	}
	root = root_oid == table->relid ? rel : table_open(root_oid, AccessShareLock);

	table->root = root_oid;
	table->owner = root->rd_rel->relowner;
	table->entity_type = watch_setting_text(settings, settings_desc, Anum_watch_entity_type);
	table->search_path = watch_setting_text(settings, settings_desc, Anum_watch_search_path);
	for (int a = 0; a < WATCH_NACTIONS; a++)
		table->event_names[a] = psprintf("%s.%s", table->entity_type, watch_action_names[a]);
	watch_set_fields(table, root, settings, settings_desc);
	if (!watch_has_field(table, WATCH_ID))
		watch_set_keys(table, root, settings, settings_desc);
	watch_set_columns(table, RelationGetDescr(root), settings, settings_desc);
	watch_set_access_columns(table);
	if (root != rel)
	{
		table->map = convert_tuples_by_name(RelationGetDescr(rel), RelationGetDescr(root));
		if (table->map != NULL)
			for (int i = 0; i < 2; i++)
				table->root_slot[i] =
					MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(root)),
											 &TTSOpsVirtual);
		table_close(root, AccessShareLock);
	}
	table_close(watch, AccessShareLock);
	return true;
}

/* Create the cached settings of a table; entity_type is NULL if it is not watched. */
static WatchedTable *
watch_create_table(Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "webhook watched table",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	WatchedTable *table = palloc0(sizeof(WatchedTable));
	uint64		before = watch_invalidations;

	table->relid = RelationGetRelid(rel);
	table->context = context;
	if (!watch_build_table(table, rel))
		table->entity_type = NULL;
	table->valid = (before == watch_invalidations);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, CacheMemoryContext);
	return table;
}

/*
 * Form new audiences after a subscription or a privilege has changed.  The old ones
 * survive until the end of the transaction, for callers up the stack.
 */
static void
watch_refresh_audiences(WatchedTable *table, Relation rel)
{
	uint64		generation = catalog_generation();
	uint64		changes = watch_role_changes;
	Relation	root = table->root == table->relid ? rel : table_open(table->root, AccessShareLock);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "webhook audiences",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	WatchedTable built = *table;

	audience_form_all(&built, RelationGetDescr(root));
	for (int a = 0; a < WATCH_NACTIONS; a++)
		built.wanted[a] = audience_is_subscribed(&built, a);
	audience_set_conditions(&built, RelationGetDescr(root));
	MemoryContextSwitchTo(old);
	if (root != rel)
		table_close(root, AccessShareLock);

	if (table->audience_context != NULL)
		catalog_retire(table->audience_context);
	MemoryContextSetParent(context, table->context);
	table->audience_context = context;
	table->audiences = built.audiences;
	table->naudiences = built.naudiences;
	table->needed = built.needed;
	table->context_matters = built.context_matters;
	table->any_update = built.any_update;
	table->update_columns = built.update_columns;
	memcpy(table->wanted, built.wanted, sizeof(table->wanted));
	table->prefilter = NULL;
	table->generation = generation;
	table->role_changes = changes;
}

WatchedTable *
watch_settings_unchecked(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	TableEntry *entry;
	bool		found;

	if (watch_tables == NULL)
		watch_tables = container_hash("watched tables", 16, sizeof(Oid), sizeof(TableEntry), TopMemoryContext);
	entry = hash_search(watch_tables, &relid, HASH_ENTER, &found);
	if (!found)
		entry->table = NULL;

	if (entry->table == NULL || !entry->table->valid)
	{
		WatchedTable *table;

		if (catalog_oids() == NULL)
			return NULL;
		table = watch_create_table(rel);
		watch_cached_table = NULL;
		if (entry->table != NULL)
			catalog_retire(entry->table->context);
		entry->table = table;
	}
	return entry->table->entity_type != NULL ? entry->table : NULL;
}

static bool
watch_audiences_are_current(const WatchedTable *table)
{
	return table->generation == catalog_generation() && table->role_changes == watch_role_changes;
}

WatchedTable *
watch_cached(Relation rel)
{
	if (watch_cached_table != NULL && watch_cached_table->relid == RelationGetRelid(rel) && watch_cached_table->valid &&
		watch_audiences_are_current(watch_cached_table))
		return watch_cached_table;
	return NULL;
}

WatchedTable *
watch_settings(Relation rel)
{
	WatchedTable *table = watch_settings_unchecked(rel);

	if (table != NULL && table->renamed_from != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("watched column \"%s\" has been renamed to \"%s\"", table->renamed_from,
						table->renamed_to),
				 errhint("Call webhook.watch() again with its new name.")));
	if (table != NULL && table->nkeys == 0 && !watch_has_field(table, WATCH_ID))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("watched table \"%s\" no longer has a primary key", get_rel_name(table->root)),
				 errhint("Add one, or call webhook.watch() again with argument \"id\".")));
	if (table != NULL && table->other_key)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("primary key of watched table \"%s\" has been replaced", get_rel_name(table->root)),
				 errdetail("The ids of its rows would change."),
				 errhint("Call webhook.watch() again, with argument \"id\" to keep the ids.")));
	return table;
}

WatchedTable *
watch_lookup(Relation rel)
{
	WatchedTable *table = watch_cached(rel);

	Assert(IsTransactionState());
	if (table != NULL)
		return table;
	table = watch_settings(rel);
	if (table != NULL && !watch_audiences_are_current(table))
		watch_refresh_audiences(table, rel);
	Assert(table == NULL || (table->naudiences > 0 && table->audiences[0].columns == NULL));
	watch_cached_table = table;
	return table;
}

TupleTableSlot *
watch_root_slot(WatchedTable *table, TupleTableSlot *slot, int which)
{
	if (table->map == NULL)
		return slot;
	return execute_attr_map_slot(table->map->attrMap, slot, which >= 0 ? table->root_slot[which] :
								 MakeSingleTupleTableSlot(table->root_slot[0]->tts_tupleDescriptor, &TTSOpsVirtual));
}
