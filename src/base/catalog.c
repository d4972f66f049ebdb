/*-------------------------------------------------------------------------
 *
 * catalog.c
 *		The extension's own tables, and a cache of subscriptions.
 *
 * A backend that writes to a watched table must find out, for each row, which
 * webhooks subscribe to it.  It caches all webhooks that can receive messages in
 * a hash table by subscription ("guest.create", "guest.*", "*") and, filled on
 * demand, in another one by trigger name, where matching subscriptions are
 * merged.  Both are in one memory context, which is discarded on a relcache
 * invalidation of webhook.webhook; a statement trigger on that table sends it
 * (see webhook_config_changed() in wakeup.c).
 *
 * The table is read with a new snapshot, regardless of the transaction's
 * isolation level: the cache outlives the transaction, so it must not be built
 * from old data.  A new cache is built completely before the old one is
 * discarded.  The old one survives until the end of the transaction, because a
 * payload function may write to another watched table while its caller still
 * has pointers into it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/container.h"
#include "compat.h"

typedef struct SubscriptionEntry
{
	char		pattern[CATALOG_NAME_SIZE];
	CatalogWebhookList list;
} SubscriptionEntry;

typedef struct EventEntry
{
	char		name[CATALOG_NAME_SIZE];
	CatalogEvent event;
} EventEntry;

/* By event UID, or by integration. */
typedef struct UidEntry
{
	char		uid[CATALOG_NAME_SIZE];
	CatalogWebhookList list;
} UidEntry;

static CatalogOids catalog_oid_cache;
static bool catalog_oids_valid = false;

static MemoryContext catalog_cache_context = NULL;	/* NULL: nothing cached */
static MemoryContext catalog_retired_context = NULL;	/* parent of caches
														 * discarded in this
														 * transaction */
static HTAB *catalog_subscriptions;
static HTAB *catalog_events;
static bool catalog_cache_valid = false;
static uint64 catalog_event_generation = 1;
static uint64 catalog_outbox_changes = 1;
static uint64 catalog_cursor_changes = 1;
static uint64 catalog_integration_changes = 1;


static void
catalog_relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == catalog_oid_cache.cursor)
		catalog_cursor_changes++;
	if (relid == InvalidOid || relid == catalog_oid_cache.outbox[0])
		catalog_outbox_changes++;
	if (relid == InvalidOid || relid == catalog_oid_cache.webhook || relid == catalog_oid_cache.watch)
	{
		catalog_cache_valid = false;
		catalog_oids_valid = false;
		catalog_event_generation++;
	}
	if (relid == InvalidOid || relid == catalog_oid_cache.watch || relid == catalog_oid_cache.active_integration ||
		relid == catalog_oid_cache.event_override || relid == catalog_oid_cache.shape)
		catalog_integration_changes++;
}

static void
catalog_namespace_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	catalog_oids_valid = false;
}

/* The owner of a webhook may have been dropped. */
static void
catalog_role_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	catalog_cache_valid = false;
	catalog_event_generation++;
}

void
catalog_init(void)
{
	CacheRegisterRelcacheCallback(catalog_relcache_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_namespace_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, catalog_role_callback, (Datum) 0);
}

Oid
catalog_watch_relid(void)
{
	return catalog_oid_cache.watch;
}

uint64
catalog_generation(void)
{
	return catalog_event_generation;
}

uint64
catalog_integration_generation(void)
{
	return catalog_integration_changes;
}

uint64
catalog_outbox_generation(void)
{
	return catalog_outbox_changes;
}

uint64
catalog_cursor_generation(void)
{
	return catalog_cursor_changes;
}

void
catalog_retire(MemoryContext context)
{
	Assert(IsTransactionState() && context != catalog_retired_context);
	if (catalog_retired_context == NULL)
		catalog_retired_context = AllocSetContextCreate(TopMemoryContext, "webhook retired caches",
														ALLOCSET_SMALL_SIZES);
	MemoryContextSetParent(context, catalog_retired_context);
}

void
catalog_at_eoxact(void)
{
	if (catalog_retired_context != NULL)
	{
		MemoryContextDelete(catalog_retired_context);
		catalog_retired_context = NULL;
	}
}

/* Look up the version of the extension in this database; false if it does not exist. */
static bool
catalog_read_version(char *version)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("webhook"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		bool		isnull;
		Datum		d = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		strlcpy(version, TextDatumGetCString(d), CATALOG_VERSION_SIZE);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static const CatalogOids *
catalog_find_oids(void)
{
	CatalogOids found = {0};
	Oid			nsp;
	HeapTuple	tup;

	nsp = get_namespace_oid(WEBHOOK_SCHEMA, true);
	if (!OidIsValid(nsp) || !catalog_read_version(found.version))
		return NULL;

	tup = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(nsp));
	if (!HeapTupleIsValid(tup))
		return NULL;
	found.extension_owner = ((Form_pg_namespace) GETSTRUCT(tup))->nspowner;
	ReleaseSysCache(tup);

	for (int i = 0; i < WEBHOOK_PARTITIONS; i++)
	{
		found.outbox[i] = get_relname_relid(psprintf("outbox_%d", i), nsp);
		found.outbox_index[i] = get_relname_relid(psprintf("outbox_%d_xid_id_idx", i), nsp);
	}
	found.outbox_id_seq = get_relname_relid("outbox_id_seq", nsp);
	found.ring = get_relname_relid("ring", nsp);
	found.cursor = get_relname_relid("cursor", nsp);
	found.watch = get_relname_relid("watch", nsp);
	found.watch_pkey = get_relname_relid("watch_pkey", nsp);
	found.webhook = get_relname_relid("webhook", nsp);
	found.webhook_pkey = get_relname_relid("webhook_pkey", nsp);
	found.active_integration = get_relname_relid("active_integration", nsp);
	found.active_integration_pkey = get_relname_relid("active_integration_pkey", nsp);
	found.event_override = get_relname_relid("event_override", nsp);
	found.event_override_pkey = get_relname_relid("event_override_pkey", nsp);
	found.shape = get_relname_relid("shape", nsp);

	/* While CREATE EXTENSION is running some do not exist yet. */
	if (!OidIsValid(found.outbox[WEBHOOK_PARTITIONS - 1]) || !OidIsValid(found.cursor) ||
		!OidIsValid(found.shape))
		return NULL;
	catalog_oid_cache = found;
	catalog_oids_valid = true;
	return &catalog_oid_cache;
}

/* Called for every captured row. */
const CatalogOids *
catalog_oids(void)
{
	Assert(IsTransactionState());
	return catalog_oids_valid ? &catalog_oid_cache : catalog_find_oids();
}

const CatalogOids *
catalog_require(void)
{
	const CatalogOids *oids = catalog_oids();

	if (oids == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"webhook\" does not exist in this database"),
				 errhint("Use CREATE EXTENSION webhook to create it.")));
	return oids;
}

int
catalog_strings(Datum array, bool isnull, char ***result)
{
	Datum	   *elems;
	bool	   *nulls;
	int			n = 0;
	int			kept = 0;

	*result = NULL;
	if (isnull)
		return 0;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, &nulls, &n);
	*result = palloc(Max(n, 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			(*result)[kept++] = TextDatumGetCString(elems[i]);
	return kept;
}

bool
catalog_event_matches(const char *pattern, const char *event)
{
	size_t		len = strlen(pattern);

	if (strcmp(pattern, event) == 0)
		return true;
	if (len == 1 && pattern[0] == '*')
		return strncmp(event, "webhook.", 8) != 0;
	return len > 2 && pattern[len - 1] == '*' && pattern[len - 2] == '.' &&
		strncmp(pattern, event, len - 1) == 0;
}

static void
catalog_list_add(CatalogWebhookList *list, CatalogWebhook *webhook)
{
	list->items = container_grow(list->items, list->count, &list->space, 4, sizeof(CatalogWebhook *),
								 CurrentMemoryContext);
	list->items[list->count++] = webhook;
}

static HTAB *
catalog_create_hash(const char *name, Size entrysize, MemoryContext context)
{
	return container_name_hash(name, 64, CATALOG_NAME_SIZE, entrysize, context);
}

/*
 * Has this webhook, which is inactive and does not buffer, never been active, or
 * was it deactivated in a copied database?  Others still get messages, which the
 * worker counts as dropped.
 */
static bool
catalog_is_unwanted(TupleTableSlot *slot)
{
	bool		isnull;
	TimestampTz created_at = DatumGetTimestampTz(catalog_slot_column(slot, Anum_webhook_created_at, &isnull));
	Datum		deactivated_at = catalog_slot_column(slot, Anum_webhook_deactivated_at, &isnull);
	Datum		reason;

	if (!isnull && DatumGetTimestampTz(deactivated_at) == created_at)
		return true;
	reason = catalog_slot_column(slot, Anum_webhook_deactivation_reason, &isnull);
	return !isnull && strcmp(TextDatumGetCString(reason), "copy") == 0;
}

/* Read one row of webhook.webhook; NULL if the webhook receives nothing.  Palloc'd. */
static CatalogWebhook *
catalog_read_webhook(TupleTableSlot *slot)
{
	CatalogWebhook *webhook;
	Oid			owner;
	bool		isnull;
	Datum		d;

	if (!DatumGetBool(catalog_slot_column(slot, Anum_webhook_active, &isnull)) &&
		!DatumGetBool(catalog_slot_column(slot, Anum_webhook_buffering, &isnull)) && catalog_is_unwanted(slot))
		return NULL;

	/* A dropped role receives nothing, not even emit() events. */
	owner = DatumGetObjectId(catalog_slot_column(slot, Anum_webhook_owner, &isnull));
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		return NULL;

	webhook = palloc0(sizeof(CatalogWebhook));
	webhook->id = DatumGetInt64(catalog_slot_column(slot, Anum_webhook_id, &isnull));
	webhook->owner = owner;
	d = catalog_slot_column(slot, Anum_webhook_uids, &isnull);
	webhook->nuids = catalog_strings(d, isnull, &webhook->uids);
	d = catalog_slot_column(slot, Anum_webhook_columns, &isnull);
	webhook->ncolumns = catalog_strings(d, isnull, &webhook->columns);
	d = catalog_slot_column(slot, Anum_webhook_filter, &isnull);
	if (!isnull)
		webhook->filter = DatumGetJsonbPCopy(d);
	d = catalog_slot_column(slot, Anum_webhook_integration, &isnull);
	if (!isnull)
		webhook->integration = TextDatumGetCString(d);
	d = catalog_slot_column(slot, Anum_webhook_url, &isnull);
	webhook->uid_in_url = !isnull && strstr(TextDatumGetCString(d), "{event_uid}") != NULL;
	return webhook;
}

/* Read webhook.webhook and replace the cache. */
static void
catalog_build_cache(const CatalogOids *rel_oids)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "webhook subscriptions",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HTAB	   *new_subscriptions = catalog_create_hash("webhook subscriptions",
														sizeof(SubscriptionEntry), context);
	HTAB	   *new_events = catalog_create_hash("webhook events", sizeof(EventEntry), context);
	uint64		before = catalog_event_generation;
	Snapshot	snapshot;
	Relation	rel;
	TableScanDesc scan;
	TupleTableSlot *slot;

	rel = table_open(rel_oids->webhook, AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = webhook_table_beginscan(rel, snapshot);
	slot = table_slot_create(rel, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CatalogWebhook *webhook = catalog_read_webhook(slot);
		char	  **patterns;
		int			npatterns;
		bool		isnull;
		Datum		d;

		if (webhook == NULL)
			continue;
		d = catalog_slot_column(slot, Anum_webhook_events, &isnull);
		npatterns = catalog_strings(d, isnull, &patterns);
		for (int i = 0; i < npatterns; i++)
		{
			SubscriptionEntry *entry;
			bool		found;

			entry = hash_search(new_subscriptions, patterns[i], HASH_ENTER, &found);
			if (!found)
				memset(&entry->list, 0, sizeof(entry->list));
			catalog_list_add(&entry->list, webhook);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(old);

	if (catalog_cache_context != NULL)
		catalog_retire(catalog_cache_context);
	MemoryContextSetParent(context, CacheMemoryContext);
	catalog_cache_context = context;
	catalog_subscriptions = new_subscriptions;
	catalog_events = new_events;

	/*
	 * If an invalidation has arrived meanwhile, this cache may be used once
	 * only.
	 */
	catalog_cache_valid = (catalog_event_generation == before);
}

/* State while the subscriptions to an event are merged. */
typedef struct Merge
{
	CatalogEvent *event;
	HTAB	   *seen;			/* ids of webhooks */
	HTAB	   *owners;			/* roles that are in event->owners */
	int			owners_space;
	HTAB	   *columns;		/* names that are in event->columns */
	int			columns_space;
	CatalogFilter filter;		/* or NULL */
	void	   *arg;
} Merge;

static void
catalog_add_owner(Merge *merge, Oid owner)
{
	CatalogEvent *event = merge->event;
	bool		found;

	hash_search(merge->owners, &owner, HASH_ENTER, &found);
	if (found)
		return;

	event->owners = container_grow(event->owners, event->nowners, &merge->owners_space, 4, sizeof(Oid),
								   CurrentMemoryContext);
	event->owners[event->nowners++] = owner;
}

/* Add a webhook to the list of this key, creating the hash table if necessary. */
static void
catalog_keyed_add(HTAB **hash, const char *name, const char *key, CatalogWebhook *webhook)
{
	UidEntry   *entry;
	bool		found;

	if (*hash == NULL)
		*hash = catalog_create_hash(name, sizeof(UidEntry), CurrentMemoryContext);
	entry = hash_search(*hash, key, HASH_ENTER, &found);
	if (!found)
		memset(&entry->list, 0, sizeof(entry->list));
	catalog_list_add(&entry->list, webhook);
}

/* Note what must be known of a row to find out whether it is for this webhook. */
static void
catalog_add_conditions(Merge *merge, const CatalogWebhook *webhook)
{
	CatalogEvent *event = merge->event;

	event->asks_uid |= webhook->nuids > 0 || webhook->integration != NULL || webhook->uid_in_url;
	event->any_change |= webhook->ncolumns == 0;
	for (int i = 0; i < webhook->ncolumns && !event->any_change; i++)
	{
		bool		found;

		if (strlen(webhook->columns[i]) >= NAMEDATALEN)
			continue;			/* no column has this name */
		hash_search(merge->columns, webhook->columns[i], HASH_ENTER, &found);
		if (found)
			continue;
		event->columns = container_grow(event->columns, event->ncolumns, &merge->columns_space, 4, sizeof(char *),
										CurrentMemoryContext);
		event->columns[event->ncolumns++] = webhook->columns[i];
	}
}

/* Add the webhooks of one subscription to an event, unless they are in it already. */
static void
catalog_merge_subscription(Merge *merge, const char *pattern)
{
	CatalogEvent *event = merge->event;
	SubscriptionEntry *entry = hash_search(catalog_subscriptions, pattern, HASH_FIND, NULL);

	for (int i = 0; entry != NULL && i < entry->list.count; i++)
	{
		CatalogWebhook *webhook = entry->list.items[i];
		bool		found;

		if (merge->filter != NULL && !merge->filter(webhook, merge->arg))
			continue;
		hash_search(merge->seen, &webhook->id, HASH_ENTER, &found);
		if (found)
			continue;
		event->wanted = true;
		catalog_add_owner(merge, webhook->owner);
		catalog_add_conditions(merge, webhook);
		if (webhook->integration != NULL)
			catalog_keyed_add(&event->by_integration, "webhooks of integrations", webhook->integration, webhook);
		else if (webhook->nuids == 0)
			catalog_list_add(&event->unrestricted, webhook);
		else
			for (int u = 0; u < webhook->nuids; u++)
				catalog_keyed_add(&event->by_uid, "webhook event UIDs", webhook->uids[u], webhook);
		if (webhook->nuids > 0 || webhook->ncolumns > 0 || webhook->filter != NULL ||
			webhook->integration != NULL)
			event->plain = false;
	}
}

/*
 * Merge the subscriptions to the name itself, to "a.b.*", "a.*" and "*" into an
 * event, which the caller must have zeroed.
 */
static void
catalog_resolve_event(const char *name, CatalogFilter filter, void *arg, CatalogEvent *event)
{
	Merge		merge = {.event = event,.filter = filter,.arg = arg};
	char		pattern[CATALOG_NAME_SIZE + 2];

	event->plain = true;
	merge.seen = container_hash("webhooks seen", 16, sizeof(int64), sizeof(int64), CurrentMemoryContext);
	merge.owners = container_hash("webhook owners seen", 16, sizeof(Oid), sizeof(Oid), CurrentMemoryContext);
	merge.columns = container_name_hash("webhook columns seen", 16, NAMEDATALEN, NAMEDATALEN, CurrentMemoryContext);

	catalog_merge_subscription(&merge, name);
	strlcpy(pattern, name, CATALOG_NAME_SIZE);
	for (char *dot = strrchr(pattern, '.'); dot != NULL; dot = strrchr(pattern, '.'))
	{
		strcpy(dot, ".*");
		if (strlen(pattern) < CATALOG_NAME_SIZE)
			catalog_merge_subscription(&merge, pattern);
		*dot = '\0';
	}
	if (catalog_event_matches("*", name))
		catalog_merge_subscription(&merge, "*");
	hash_destroy(merge.seen);
	hash_destroy(merge.owners);
	hash_destroy(merge.columns);

	if (event->plain && event->wanted)
	{
		int			n = event->unrestricted.count;
		Datum	   *ids = palloc(n * sizeof(Datum));

		for (int i = 0; i < n; i++)
			ids[i] = Int64GetDatum(event->unrestricted.items[i]->id);
		event->all_ids = construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
										 TYPALIGN_DOUBLE);
	}
}

const CatalogEvent *
catalog_event(const char *name)
{
	static const CatalogEvent nobody = {0};
	const CatalogOids *rel_oids = catalog_oids();
	EventEntry *entry;

	if (rel_oids == NULL || strlen(name) >= CATALOG_NAME_SIZE)
		return &nobody;
	if (!catalog_cache_valid)
		catalog_build_cache(rel_oids);

	Assert(catalog_cache_context != NULL);
	entry = hash_search(catalog_events, name, HASH_FIND, NULL);
	if (entry == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(catalog_cache_context);
		CatalogEvent event = {0};

		catalog_resolve_event(name, NULL, NULL, &event);
		entry = hash_search(catalog_events, name, HASH_ENTER, NULL);
		entry->event = event;
		MemoryContextSwitchTo(old);
	}
	return &entry->event;
}

const CatalogEvent *
catalog_event_filtered(const char *name, CatalogFilter filter, void *arg)
{
	CatalogEvent *event = palloc0(sizeof(CatalogEvent));

	/* This also makes sure that the cache is up to date. */
	if (catalog_event(name)->wanted)
		catalog_resolve_event(name, filter, arg, event);
	return event;
}

static const CatalogWebhookList *
catalog_keyed_find(HTAB *hash, const char *key)
{
	UidEntry   *entry;

	if (hash == NULL || key == NULL || strlen(key) >= CATALOG_NAME_SIZE)
		return NULL;
	entry = hash_search(hash, key, HASH_FIND, NULL);
	return entry ? &entry->list : NULL;
}

const CatalogWebhookList *
catalog_event_uid(const CatalogEvent *event, const char *uid)
{
	return catalog_keyed_find(event->by_uid, uid);
}

const CatalogWebhookList *
catalog_event_integration(const CatalogEvent *event, const char *integration)
{
	return catalog_keyed_find(event->by_integration, integration);
}
