/*-------------------------------------------------------------------------
 *
 * catalog.c
 *		The extension's own tables: their OIDs, and when they have changed.
 *
 * Caches built from these tables are kept up to date by relcache invalidations: a
 * statement trigger on a table of settings sends one (see webhook_config_changed()
 * in wakeup.c).  Each cache remembers the generation it was built from.
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
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/catalog.h"

static CatalogOids catalog_oid_cache;
static bool catalog_oids_valid = false;

static MemoryContext catalog_retired_context = NULL;	/* parent of caches
														 * discarded in this
														 * transaction */
static uint64 catalog_config_changes = 1;
static uint64 catalog_outbox_changes = 1;
static uint64 catalog_cursor_changes = 1;
static uint64 catalog_integration_changes = 1;
static uint64 catalog_backfill_changes = 1;


static void
catalog_relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == catalog_oid_cache.cursor)
		catalog_cursor_changes++;
	if (relid == InvalidOid || relid == catalog_oid_cache.outbox[0])
		catalog_outbox_changes++;
	if (relid == InvalidOid || relid == catalog_oid_cache.webhook || relid == catalog_oid_cache.watch)
	{
		catalog_oids_valid = false;
		catalog_config_changes++;
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
	if (relid == InvalidOid || relid == catalog_oid_cache.backfill)
		catalog_backfill_changes++;
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
	catalog_config_changes++;
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
	return catalog_config_changes;
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

uint64
catalog_backfill_generation(void)
{
	return catalog_backfill_changes;
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
	found.backfill = get_relname_relid("backfill", nsp);
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

uint64
catalog_table_size(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);
	uint64		blocks = (uint64) RelationGetNumberOfBlocks(rel) + RelationGetNumberOfBlocks(toast);

	table_close(toast, AccessShareLock);
	table_close(rel, AccessShareLock);
	return blocks * BLCKSZ;
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
