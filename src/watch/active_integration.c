/*-------------------------------------------------------------------------
 *
 * active_integration.c
 *		Which integration is active for an event.
 *
 * The row trigger, manual triggers and the REST API all use this.
 *
 * Each backend caches its lookups, including negative results, until a relcache
 * invalidation of one of the two tables, which a statement trigger sends as for
 * webhook.webhook (see catalog.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/container.h"
#include "compat.h"
#include "watch/active_integration.h"

#define MAX_REMEMBERED	10000

/* Cached result for one event UID, or for one profile. */
typedef struct ActiveIntegrationEntry
{
	char		key[CATALOG_NAME_SIZE];
	bool		found;			/* there is a row */
	ActiveIntegration value;
} ActiveIntegrationEntry;

/* One of the two tables, and the cache of its rows. */
typedef struct ActiveIntegrationSource
{
	const char *name;
	int			anum_integration;
	int			anum_send_on_payment;	/* 0: has no such column */
	int			anum_only_paid;
	HTAB	   *entries;
	bool		empty;			/* the table has no row at all */
	const ActiveIntegrationEntry *last; /* the entry found last, or NULL */
} ActiveIntegrationSource;

static ActiveIntegrationSource active_integration_overrides = {
	"webhook event overrides", Anum_override_integration, Anum_override_send_on_payment,
	Anum_override_only_paid
};
static ActiveIntegrationSource active_integration_profiles = {
	"webhook active integrations", Anum_active_integration, 0, 0
};

static MemoryContext active_integration_context = NULL;
static uint64 active_integration_generation = 0;	/* when the caches were
													 * filled */


/* Is the table empty? */
static bool
active_integration_is_empty(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	bool		empty = !HeapTupleIsValid(systable_getnext(scan));

	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return empty;
}

static HTAB *
active_integration_create_hash(const char *name)
{
	return container_name_hash(name, 64, CATALOG_NAME_SIZE, sizeof(ActiveIntegrationEntry), active_integration_context);
}

/* Replace the caches by empty ones.  Callers get copies, so nothing points into the old ones. */
static void
active_integration_reset(const CatalogOids *oids)
{
	if (active_integration_context != NULL)
		MemoryContextDelete(active_integration_context);
	active_integration_context = NULL;
	active_integration_context = AllocSetContextCreate(CacheMemoryContext, "webhook integrations in force",
													   ALLOCSET_DEFAULT_SIZES);
	active_integration_overrides.last = active_integration_profiles.last = NULL;
	active_integration_overrides.empty = active_integration_is_empty(oids->event_override);
	active_integration_profiles.empty = active_integration_is_empty(oids->active_integration);
	active_integration_overrides.entries = active_integration_create_hash(active_integration_overrides.name);
	active_integration_profiles.entries = active_integration_create_hash(active_integration_profiles.name);
}

/*
 * Read the row with this key.  Uses a new snapshot regardless of the isolation
 * level, since the cache outlives the transaction.
 */
static void
active_integration_read_row(const ActiveIntegrationSource *source, Oid relid, Oid index, ActiveIntegrationEntry *entry)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(entry->key));
	key.sk_collation = DEFAULT_COLLATION_OID;
	scan = systable_beginscan(rel, index, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	memset(&entry->value, 0, sizeof(entry->value));
	entry->found = HeapTupleIsValid(tuple);
	if (entry->found)
	{
		bool		isnull;
		Datum		d = catalog_column(tuple, desc, source->anum_integration, &isnull);

		if (!isnull)
			entry->value.integration = MemoryContextStrdup(active_integration_context, TextDatumGetCString(d));
		if (source->anum_send_on_payment > 0)
		{
			entry->value.overridden = true;
			entry->value.send_on_payment =
				DatumGetBool(catalog_column(tuple, desc, source->anum_send_on_payment, &isnull));
			entry->value.only_paid =
				DatumGetBool(catalog_column(tuple, desc, source->anum_only_paid, &isnull));
		}
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
}

/* Look up a key in the cache, or else in the table; NULL if there is no row. */
static const ActiveIntegration *
active_integration_find(ActiveIntegrationSource *source, Oid relid, Oid index, const char *key)
{
	ActiveIntegrationEntry *entry;
	ActiveIntegrationEntry fresh;

	Assert(active_integration_context != NULL);

	/* Longer keys cannot be stored. */
	if (key == NULL || source->empty || strlen(key) >= CATALOG_NAME_SIZE)
		return NULL;
	if (source->last != NULL && strcmp(source->last->key, key) == 0)
		return source->last->found ? &source->last->value : NULL;
	entry = hash_search(source->entries, key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		strlcpy(fresh.key, key, CATALOG_NAME_SIZE);
		active_integration_read_row(source, relid, index, &fresh);

		/*
		 * Bound the size of the cache: the next lookup starts with an empty
		 * one.
		 */
		if (hash_get_num_entries(source->entries) >= MAX_REMEMBERED)
		{
			active_integration_generation = 0;
			if (!fresh.found)
				return NULL;
		}
		entry = hash_search(source->entries, key, HASH_ENTER, NULL);
		*entry = fresh;
	}
	source->last = entry;
	return entry->found ? &entry->value : NULL;
}

static void
active_integration_refresh(const CatalogOids *oids)
{
	uint64		current = catalog_integration_generation();

	if (active_integration_generation == current)
		return;
	active_integration_reset(oids);
	active_integration_generation = current;
}

void
active_integration_lookup(const char *event_uid, const char *profile, ActiveIntegration *result)
{
	const CatalogOids *oids = catalog_oids();
	const ActiveIntegration *found;

	memset(result, 0, sizeof(*result));
	if (oids == NULL)
		return;
	active_integration_refresh(oids);
	found = active_integration_find(&active_integration_overrides, oids->event_override,
									oids->event_override_pkey, event_uid);
	if (found == NULL)
		found = active_integration_find(&active_integration_profiles, oids->active_integration,
										oids->active_integration_pkey, profile);
	if (found == NULL)
		return;
	*result = *found;
	if (found->integration != NULL)
		result->integration = pstrdup(found->integration);
}

bool
active_integration_overridden(void)
{
	const CatalogOids *oids = catalog_oids();

	if (oids == NULL)
		return false;
	active_integration_refresh(oids);
	return !active_integration_overrides.empty;
}
