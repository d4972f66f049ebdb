/*-------------------------------------------------------------------------
 *
 * entity.c
 *		The current state of entities: rows of watched tables.
 *
 * Manual triggers, tests and the REST API show an entity exactly as a message
 * about it would, so they use the same settings and code as the row trigger.
 * entity_query.c finds the rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "watch/audience.h"
#include "watch/entity.h"
#include "watch/entity_query.h"
#include "watch/evaluate.h"



List *
entity_relations(const char *entity_type)
{
	const CatalogOids *oids = catalog_oids();
	List	   *result = NIL;
	Relation	watch;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	if (oids == NULL)
		return NIL;
	watch = table_open(oids->watch, AccessShareLock);
	if (entity_type != NULL)
	{
		ScanKeyInit(&key, Anum_watch_entity_type, BTEqualStrategyNumber, F_TEXTEQ,
					CStringGetTextDatum(entity_type));
		key.sk_collation = DEFAULT_COLLATION_OID;
	}
	scan = systable_beginscan(watch, InvalidOid, false, NULL, entity_type ? 1 : 0, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Oid			relid = DatumGetObjectId(heap_getattr(tuple, Anum_watch_relation,
														  RelationGetDescr(watch), &isnull));

		/*
		 * The settings of a dropped table remain for a while, see
		 * watch_api_store_settings().
		 */
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
			result = lappend_oid(result, relid);
	}
	systable_endscan(scan);
	table_close(watch, AccessShareLock);
	list_sort(result, list_oid_cmp);
	return result;
}

bool
entity_type_watched(const char *entity_type)
{
	return entity_relations(entity_type) != NIL;
}

/* The contents of a message about this row. */
static OutboxRow *
entity_make_row(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *slot)
{
	OutboxRow  *row = palloc0(sizeof(OutboxRow));
	WatchValues values = {0};

	evaluate_row(table, slot, InvalidCommandId, WATCH_ALL_FIELDS, &values);
	row->relation = table->root;
	row->entity_type = table->entity_type;
	row->entity_id = values.text[WATCH_ID];
	if (audience_sees(table, audience, WATCH_EVENT_UID))
		row->event_uid = values.text[WATCH_EVENT_UID];
	if (audience_sees(table, audience, WATCH_PROFILE))
		row->profile = values.text[WATCH_PROFILE];
	row->payload = evaluate_payload(table, audience, slot, &values, &row->payload_len);
	return row;
}

/* Call back for each row, in order. */
static void
entity_visit_rows(WatchedTable *table, Relation rel, const EntityFilter *filter, int64 offset, int64 limit,
				  int64 total, bool lock, EntityVisitor visit, void *arg)
{
	Datum	   *rows;
	int			n = entity_query_rows(table, rel, filter, offset, limit, total, lock, &rows);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);

	for (int i = 0; i < n; i++)
	{
		HeapTupleHeader header = DatumGetHeapTupleHeader(rows[i]);
		HeapTupleData tuple = {0};

		tuple.t_len = HeapTupleHeaderGetDatumLength(header);
		tuple.t_tableOid = RelationGetRelid(rel);
		tuple.t_data = header;
		ItemPointerSetInvalid(&tuple.t_self);
		ExecStoreHeapTuple(&tuple, slot, false);
		visit(table, slot, arg);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* Argument of entity_add_row(). */
typedef struct RowList
{
	const WatchAudience *audience;
	List	   *rows;
} RowList;

static void
entity_add_row(WatchedTable *table, TupleTableSlot *slot, void *arg)
{
	RowList    *list = arg;

	list->rows = lappend(list->rows, entity_make_row(table, list->audience, slot));
}

/* The settings of a table, and the columns that the filter's reader may read; NULL if it is not readable. */
static WatchedTable *
entity_readable_table(Relation rel, const EntityFilter *filter, WatchAudience *audience)
{
	WatchedTable *table = rel ? watch_settings(rel) : NULL;

	if (table == NULL)
		return NULL;
	if (OidIsValid(filter->reader))
		return audience_for_role(table, rel, filter->reader, audience) ? table : NULL;
	memset(audience, 0, sizeof(*audience));
	audience->json = table->json;
	return table;
}

int64
entity_count(const EntityFilter *filter)
{
	int64		total = 0;
	ListCell   *lc;

	foreach(lc, entity_relations(filter->entity_type))
	{
		Relation	rel = try_relation_open(lfirst_oid(lc), AccessShareLock);
		WatchAudience audience;
		WatchedTable *table = entity_readable_table(rel, filter, &audience);

		if (table != NULL)
			total += entity_query_count(table, rel, filter);
		if (rel != NULL)
			relation_close(rel, AccessShareLock);
	}
	return total;
}

List *
entity_list(const EntityFilter *filter, int64 offset, int64 limit, int64 total)
{
	List	   *relations = entity_relations(filter->entity_type);
	bool		single = list_length(relations) == 1;
	RowList		list = {NULL, NIL};
	ListCell   *lc;

	foreach(lc, relations)
	{
		Relation	rel = try_relation_open(lfirst_oid(lc), AccessShareLock);
		WatchAudience audience;
		WatchedTable *table = entity_readable_table(rel, filter, &audience);

		if (table != NULL)
		{
			int			before = list_length(list.rows);
			int64		count = single ? total : -1;
			int64		here = offset;

			/* A page may continue in the next table. */
			if (offset > 0 && !single)
			{
				count = entity_query_count(table, rel, filter);
				here = Min(offset, count);
			}
			list.audience = &audience;
			entity_visit_rows(table, rel, filter, here, limit, count, false, entity_add_row, &list);
			offset -= here;
			limit -= list_length(list.rows) - before;
		}
		if (rel != NULL)
			relation_close(rel, AccessShareLock);
		if (limit <= 0)
			break;
	}
	return list.rows;
}

bool
entity_fetch(const char *entity_type, const char *entity_id, ArrayType *only_paid, Oid reader, OutboxRow *row)
{
	EntityFilter filter = {0};
	List	   *list;

	filter.entity_type = entity_type;
	filter.entity_id = entity_id;
	filter.newest_first = true;
	filter.only_paid = only_paid;
	filter.reader = reader;
	list = entity_list(&filter, 0, 1, -1);
	if (list == NIL)
		return false;
	*row = *(OutboxRow *) linitial(list);
	return true;
}

bool
entity_visit(const char *entity_type, const char *entity_id, EntityVisitor visit)
{
	EntityFilter filter = {0};
	bool		found = false;
	ListCell   *lc;

	filter.entity_type = entity_type;
	filter.entity_id = entity_id;
	foreach(lc, entity_relations(entity_type))
	{
		Relation	rel = try_relation_open(lfirst_oid(lc), AccessShareLock);
		WatchedTable *table = rel ? watch_lookup(rel) : NULL;

		if (table != NULL)
			entity_visit_rows(table, rel, &filter, 0, 1, -1, true, visit, &found);
		if (rel != NULL)
			relation_close(rel, AccessShareLock);
		if (found)
			break;
	}
	return found;
}

void
entity_visit_event(const char *event_uid, EntityVisitor visit, void *arg)
{
	EntityFilter filter = {0};
	ListCell   *lc;

	filter.event_uid = event_uid;
	foreach(lc, entity_relations(NULL))
	{
		Relation	rel = try_relation_open(lfirst_oid(lc), AccessShareLock);
		WatchedTable *table = rel ? watch_settings(rel) : NULL;

		if (table != NULL && watch_is_expression(table, WATCH_PAID))
		{
			filter.entity_type = table->entity_type;
			entity_visit_rows(table, rel, &filter, 0, PG_INT64_MAX, -1, false, visit, arg);
		}
		if (rel != NULL)
			relation_close(rel, AccessShareLock);
	}
}

bool
entity_foreach_column(const char *entity_type, void (*callback) (const char *name, void *arg), void *arg)
{
	bool		known = false;
	ListCell   *lc;

	foreach(lc, entity_relations(entity_type))
	{
		Relation	rel = try_relation_open(lfirst_oid(lc), AccessShareLock);
		WatchedTable *table = rel ? watch_settings(rel) : NULL;

		known = table != NULL && table->json != NULL;
		for (int i = 0; known && i < table->npayload; i++)
			callback(NameStr(TupleDescAttr(RelationGetDescr(rel), table->payload[i] - 1)->attname), arg);
		if (rel != NULL)
			relation_close(rel, AccessShareLock);
		if (!known)
			break;
	}
	return known;
}
