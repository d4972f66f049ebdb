/*-------------------------------------------------------------------------
 *
 * catalog.c
 *		The extension's own tables, and a cache of subscriptions.
 *
 * A backend that writes to a watched table must find out, for each row, which
 * webhooks subscribe to it.  It caches them by trigger name, in a hash table that is filled on
 * demand: an index on the subscriptions finds those to the name itself, to
 * "guest.*" and to "*".  So a session pays for the webhooks that its tables can
 * concern, and not for all that there are.  The cache is in one memory context, which is
 * discarded on a relcache invalidation of webhook.webhook; a statement trigger on
 * that table sends it (see webhook_config_changed() in wakeup.c).
 *
 * The table is read with a new snapshot, regardless of the transaction's
 * isolation level: the cache outlives the transaction, so it must not be built
 * from old data.  The old cache survives until the end of the transaction, because a
 * payload function may write to another watched table while its caller still
 * has pointers into it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
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
#include "base/run_as.h"
#include "compat.h"

typedef struct EventEntry
{
	char		name[CATALOG_NAME_SIZE];
	CatalogEvent event;
	CatalogWebhookList webhooks;	/* all that subscribe to it */
} EventEntry;

/* One webhook can subscribe to many names. */
typedef struct WebhookEntry
{
	int64		id;				/* hash key */
	CatalogWebhook *webhook;	/* NULL if it receives nothing */
} WebhookEntry;

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
static HTAB *catalog_webhooks;
static HTAB *catalog_events;
static SPIPlanPtr catalog_find_plan = NULL;
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

	/* REINDEX CONCURRENTLY gives a table other indexes. */
	for (int i = 0; i < WEBHOOK_PARTITIONS; i++)
		if (relid == catalog_oid_cache.outbox[i])
			catalog_oids_valid = false;
	if (relid == catalog_oid_cache.active_integration || relid == catalog_oid_cache.event_override)
		catalog_oids_valid = false;

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
catalog_is_unwanted(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	TimestampTz created_at = DatumGetTimestampTz(catalog_column(tuple, desc, Anum_webhook_created_at, &isnull));
	Datum		deactivated_at = catalog_column(tuple, desc, Anum_webhook_deactivated_at, &isnull);
	Datum		reason;

	if (!isnull && DatumGetTimestampTz(deactivated_at) == created_at)
		return true;
	reason = catalog_column(tuple, desc, Anum_webhook_deactivation_reason, &isnull);
	return !isnull && strcmp(TextDatumGetCString(reason), "copy") == 0;
}

/*
 * What a webhook needs of the row before a change.  If payloads are converted before
 * they are sent, so is the former one, and what has changed shows afterwards.
 */
static int
catalog_read_previous(const CatalogWebhook *webhook, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	bool		converts;
	Datum		previous = catalog_column(tuple, desc, Anum_webhook_previous, &isnull);

	if (isnull)
		return 0;
	(void) catalog_column(tuple, desc, Anum_webhook_transform, &isnull);
	converts = webhook->integration != NULL || !isnull;
	return converts || strcmp(TextDatumGetCString(previous), "row") == 0 ? CATALOG_FORMER : CATALOG_CHANGED;
}

/* Read one row of webhook.webhook; NULL if the webhook receives nothing.  Palloc'd. */
static CatalogWebhook *
catalog_read_webhook(HeapTuple tuple, TupleDesc desc)
{
	CatalogWebhook *webhook;
	Oid			owner;
	bool		isnull;
	Datum		d;

	if (!DatumGetBool(catalog_column(tuple, desc, Anum_webhook_active, &isnull)) &&
		!DatumGetBool(catalog_column(tuple, desc, Anum_webhook_buffering, &isnull)) && catalog_is_unwanted(tuple, desc))
		return NULL;

	/* A dropped role receives nothing, not even emit() events. */
	owner = DatumGetObjectId(catalog_column(tuple, desc, Anum_webhook_owner, &isnull));
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		return NULL;

	webhook = palloc0(sizeof(CatalogWebhook));
	webhook->id = DatumGetInt64(catalog_column(tuple, desc, Anum_webhook_id, &isnull));
	webhook->owner = owner;
	d = catalog_column(tuple, desc, Anum_webhook_uids, &isnull);
	webhook->nuids = catalog_strings(d, isnull, &webhook->uids);
	d = catalog_column(tuple, desc, Anum_webhook_columns, &isnull);
	webhook->ncolumns = catalog_strings(d, isnull, &webhook->columns);
	d = catalog_column(tuple, desc, Anum_webhook_filter, &isnull);
	if (!isnull)
		webhook->filter = DatumGetJsonbPCopy(d);
	d = catalog_column(tuple, desc, Anum_webhook_condition, &isnull);
	if (!isnull)
		webhook->condition = DatumGetJsonPathPCopy(d);
	d = catalog_column(tuple, desc, Anum_webhook_integration, &isnull);
	if (!isnull)
		webhook->integration = TextDatumGetCString(d);
	webhook->previous = catalog_read_previous(webhook, tuple, desc);
	d = catalog_column(tuple, desc, Anum_webhook_url, &isnull);
	if (!isnull)
	{
		char	   *url = TextDatumGetCString(d);

		webhook->uid_in_url = strstr(url, "{event_uid}") != NULL;
		pfree(url);
	}
	return webhook;
}

/* Replace the cache by an empty one. */
static void
catalog_reset(void)
{
	MemoryContext context = AllocSetContextCreate(CacheMemoryContext, "webhook subscriptions", ALLOCSET_DEFAULT_SIZES);

	if (catalog_cache_context != NULL)
		catalog_retire(catalog_cache_context);
	catalog_cache_context = context;
	catalog_webhooks = container_hash("webhooks", 64, sizeof(int64), sizeof(WebhookEntry), context);
	catalog_events = catalog_create_hash("webhook events", sizeof(EventEntry), context);
	catalog_cache_valid = true;
}

/* The subscriptions that match a trigger name, as text[]: the name itself, "a.b.*", "a.*" and "*". */
static Datum
catalog_patterns(const char *name)
{
	char		pattern[CATALOG_NAME_SIZE + 2];
	Datum		patterns[CATALOG_NAME_SIZE];
	int			n = 0;

	patterns[n++] = CStringGetTextDatum(name);
	strlcpy(pattern, name, CATALOG_NAME_SIZE);
	for (char *dot = strrchr(pattern, '.'); dot != NULL; dot = strrchr(pattern, '.'))
	{
		strcpy(dot, ".*");
		patterns[n++] = CStringGetTextDatum(pattern);
		*dot = '\0';
	}
	if (catalog_event_matches("*", name))
		patterns[n++] = CStringGetTextDatum("*");
	Assert(n <= lengthof(patterns));
	return PointerGetDatum(construct_array(patterns, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Run the query for the webhooks that subscribe to a name.  Requires a connection to SPI. */
static void
catalog_find_webhooks(const char *name)
{
	Oid			types[] = {TEXTARRAYOID};
	Datum		values[] = {catalog_patterns(name)};

	if (catalog_find_plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare("SELECT * FROM webhook.webhook WHERE events && $1 ORDER BY id", 1, types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		catalog_find_plan = plan;
	}
	if (SPI_execute_snapshot(catalog_find_plan, values, NULL, GetLatestSnapshot(), InvalidSnapshot, true, false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(SPI_result));
}

/* Take the webhooks that were found into the cache, and into the list. */
static void
catalog_take_webhooks(CatalogWebhookList *list)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	MemoryContext old = MemoryContextSwitchTo(catalog_cache_context);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;
		int64		id = DatumGetInt64(catalog_column(tuple, desc, Anum_webhook_id, &isnull));
		WebhookEntry *entry = hash_search(catalog_webhooks, &id, HASH_FIND, NULL);

		if (entry == NULL)
		{
			CatalogWebhook *webhook = catalog_read_webhook(tuple, desc);

			entry = hash_search(catalog_webhooks, &id, HASH_ENTER, NULL);
			entry->webhook = webhook;
		}
		if (entry->webhook != NULL)
			catalog_list_add(list, entry->webhook);
	}
	MemoryContextSwitchTo(old);
}

/* Load the webhooks that subscribe to a name. */
static void
catalog_load(const CatalogOids *oids, const char *name, CatalogWebhookList *list)
{
	RunAs		state;

	run_as_extension_owner(oids->extension_owner, &state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	catalog_find_webhooks(name);
	catalog_take_webhooks(list);
	SPI_finish();
	run_as_end(&state);
}

/* State while the webhooks of an event are merged. */
typedef struct Merge
{
	CatalogEvent *event;
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
	event->asks_condition |= webhook->condition != NULL;
	event->previous |= webhook->previous;
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

/* Add a webhook to an event. */
static void
catalog_merge_webhook(Merge *merge, CatalogWebhook *webhook)
{
	CatalogEvent *event = merge->event;

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
	if (webhook->nuids > 0 || webhook->ncolumns > 0 || webhook->filter != NULL || webhook->condition != NULL ||
		webhook->integration != NULL)
		event->plain = false;
}

/* Merge those of the webhooks that pass the filter into an event, which the caller must have zeroed. */
static void
catalog_form_event(const CatalogWebhookList *webhooks, CatalogFilter filter, void *arg, CatalogEvent *event)
{
	Merge		merge = {.event = event};

	event->plain = true;
	merge.owners = container_hash("webhook owners seen", 16, sizeof(Oid), sizeof(Oid), CurrentMemoryContext);
	merge.columns = container_name_hash("webhook columns seen", 16, NAMEDATALEN, NAMEDATALEN, CurrentMemoryContext);
	for (int i = 0; i < webhooks->count; i++)
		if (filter == NULL || filter(webhooks->items[i], arg))
			catalog_merge_webhook(&merge, webhooks->items[i]);
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

/* The cache entry for a name, loaded if necessary; NULL if there cannot be any webhook. */
static EventEntry *
catalog_event_entry(const char *name)
{
	const CatalogOids *oids = catalog_oids();
	EventEntry *entry;
	EventEntry	fresh = {0};
	MemoryContext old;

	if (oids == NULL || strlen(name) >= CATALOG_NAME_SIZE)
		return NULL;
	if (!catalog_cache_valid)
		catalog_reset();
	entry = hash_search(catalog_events, name, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;

	/*
	 * If an invalidation arrives meanwhile, the cache has ceased to be valid
	 * when we return, and this entry may be used once only.
	 */
	strlcpy(fresh.name, name, CATALOG_NAME_SIZE);
	catalog_load(oids, name, &fresh.webhooks);
	old = MemoryContextSwitchTo(catalog_cache_context);
	catalog_form_event(&fresh.webhooks, NULL, NULL, &fresh.event);
	MemoryContextSwitchTo(old);
	entry = hash_search(catalog_events, name, HASH_ENTER, NULL);
	*entry = fresh;
	return entry;
}

const CatalogEvent *
catalog_event(const char *name)
{
	static const CatalogEvent nobody = {0};
	const EventEntry *entry = catalog_event_entry(name);

	return entry ? &entry->event : &nobody;
}

const CatalogEvent *
catalog_event_filtered(const char *name, CatalogFilter filter, void *arg)
{
	CatalogEvent *event = palloc0(sizeof(CatalogEvent));
	const EventEntry *entry = catalog_event_entry(name);

	if (entry != NULL)
		catalog_form_event(&entry->webhooks, filter, arg, event);
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
