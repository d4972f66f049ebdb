/*-------------------------------------------------------------------------
 *
 * catalog_event.c
 *		Which webhooks subscribe to an event: a cache of every backend.
 *
 * A backend that writes to a watched table must find out, for each row, which
 * webhooks subscribe to it.  It caches them by trigger name, in a hash table that
 * is filled on demand: an index on the subscriptions finds those to the name
 * itself, to "guest.*" and to "*".  So a session pays only for the webhooks that
 * its tables can concern.  The cache is in one memory context, which is discarded
 * when the generation of the configuration changes (catalog.c).
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

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/catalog_event.h"
#include "base/condition.h"
#include "base/container.h"
#include "base/run_as.h"

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

static MemoryContext catalog_event_context = NULL;	/* NULL: nothing cached */
static HTAB *catalog_event_webhooks;
static HTAB *catalog_event_table;
static SPIPlanPtr catalog_event_find_plan = NULL;
static uint64 catalog_event_cached = 0; /* generation of the cache */


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
catalog_event_list_add(CatalogWebhookList *list, CatalogWebhook *webhook)
{
	list->items = container_grow(list->items, list->count, &list->space, 4, sizeof(CatalogWebhook *),
								 CurrentMemoryContext);
	list->items[list->count++] = webhook;
}

static HTAB *
catalog_event_create_hash(const char *name, Size entrysize, MemoryContext context)
{
	return container_name_hash(name, 64, CATALOG_NAME_SIZE, entrysize, context);
}

/*
 * Has this webhook, which is inactive and does not buffer, never been active, or
 * was it deactivated in a copied database?  Others still get messages, which the
 * worker counts as dropped.
 */
static bool
catalog_event_is_unwanted(HeapTuple tuple, TupleDesc desc)
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
 * they are sent, the worker converts the former one as well, and what has changed is
 * known only after that.
 */
static int
catalog_event_read_previous(const CatalogWebhook *webhook, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	bool		has_transform;
	bool		has_template;
	Datum		previous = catalog_column(tuple, desc, Anum_webhook_previous, &isnull);

	if (isnull)
		return 0;
	(void) catalog_column(tuple, desc, Anum_webhook_transform, &isnull);
	has_transform = !isnull;
	(void) catalog_column(tuple, desc, Anum_webhook_template, &isnull);
	has_template = !isnull;
	return webhook->integration != NULL || has_transform || has_template ||
		strcmp(TextDatumGetCString(previous), "row") == 0 ? CATALOG_FORMER : CATALOG_CHANGED;
}

/* Read one row of webhook.webhook; NULL if the webhook receives nothing.  Palloc'd. */
static CatalogWebhook *
catalog_event_read_webhook(HeapTuple tuple, TupleDesc desc)
{
	CatalogWebhook *webhook;
	Oid			owner;
	bool		isnull;
	Datum		d;

	if (!DatumGetBool(catalog_column(tuple, desc, Anum_webhook_active, &isnull)) &&
		!DatumGetBool(catalog_column(tuple, desc, Anum_webhook_buffering, &isnull)) && catalog_event_is_unwanted(tuple, desc))
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
	{
		webhook->condition = DatumGetJsonPathPCopy(d);
		webhook->condition_reads_all = !condition_columns(webhook->condition, &webhook->condition_columns);
	}
	d = catalog_column(tuple, desc, Anum_webhook_integration, &isnull);
	if (!isnull)
		webhook->integration = TextDatumGetCString(d);
	webhook->previous = catalog_event_read_previous(webhook, tuple, desc);
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
catalog_event_reset(void)
{
	MemoryContext context = AllocSetContextCreate(CacheMemoryContext, "webhook subscriptions", ALLOCSET_DEFAULT_SIZES);

	if (catalog_event_context != NULL)
		catalog_retire(catalog_event_context);
	catalog_event_context = context;
	catalog_event_webhooks = container_hash("webhooks", 64, sizeof(int64), sizeof(WebhookEntry), context);
	catalog_event_table = catalog_event_create_hash("webhook events", sizeof(EventEntry), context);
	catalog_event_cached = catalog_generation();
}

/* The subscriptions that match a trigger name, as text[]: the name itself, "a.b.*", "a.*" and "*". */
static Datum
catalog_event_patterns(const char *name)
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
catalog_event_find_webhooks(const char *name)
{
	Oid			types[] = {TEXTARRAYOID};
	Datum		values[] = {catalog_event_patterns(name)};

	if (catalog_event_find_plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare("SELECT * FROM webhook.webhook WHERE events && $1 ORDER BY id", 1, types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		catalog_event_find_plan = plan;
	}
	if (SPI_execute_snapshot(catalog_event_find_plan, values, NULL, GetLatestSnapshot(), InvalidSnapshot,
							 true, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(SPI_result));
}

/* Add the webhooks that were found to the cache and to the list. */
static void
catalog_event_add_webhooks(CatalogWebhookList *list)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	MemoryContext old = MemoryContextSwitchTo(catalog_event_context);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;
		int64		id = DatumGetInt64(catalog_column(tuple, desc, Anum_webhook_id, &isnull));
		WebhookEntry *entry = hash_search(catalog_event_webhooks, &id, HASH_FIND, NULL);

		if (entry == NULL)
		{
			CatalogWebhook *webhook = catalog_event_read_webhook(tuple, desc);

			entry = hash_search(catalog_event_webhooks, &id, HASH_ENTER, NULL);
			entry->webhook = webhook;
		}
		if (entry->webhook != NULL)
			catalog_event_list_add(list, entry->webhook);
	}
	MemoryContextSwitchTo(old);
}

/* Load the webhooks that subscribe to a name. */
static void
catalog_event_load(const CatalogOids *oids, const char *name, CatalogWebhookList *list)
{
	RunAs		state;

	run_as_extension_owner(oids->extension_owner, &state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	catalog_event_find_webhooks(name);
	catalog_event_add_webhooks(list);
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
	HTAB	   *condition_columns;	/* in event->condition_columns */
	int			condition_columns_space;
	CatalogFilter filter;		/* or NULL */
	void	   *arg;
} Merge;

static void
catalog_event_add_owner(Merge *merge, Oid owner)
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
catalog_event_keyed_add(HTAB **hash, const char *name, const char *key, CatalogWebhook *webhook)
{
	UidEntry   *entry;
	bool		found;

	if (*hash == NULL)
		*hash = catalog_event_create_hash(name, sizeof(UidEntry), CurrentMemoryContext);
	entry = hash_search(*hash, key, HASH_ENTER, &found);
	if (!found)
		memset(&entry->list, 0, sizeof(entry->list));
	catalog_event_list_add(&entry->list, webhook);
}

/* Add the name of a column to an array that grows, unless it has been seen. */
static void
catalog_event_add_column(HTAB *seen, char *name, char ***columns, int *n, int *space)
{
	bool		found;

	if (strlen(name) >= NAMEDATALEN)
		return;					/* no column has this name */
	hash_search(seen, name, HASH_ENTER, &found);
	if (found)
		return;
	*columns = container_grow(*columns, *n, space, 4, sizeof(char *), CurrentMemoryContext);
	(*columns)[(*n)++] = name;
}

/* Record what decides whether a row is for this webhook. */
static void
catalog_event_add_conditions(Merge *merge, const CatalogWebhook *webhook)
{
	CatalogEvent *event = merge->event;
	ListCell   *cell;

	event->asks_uid |= webhook->nuids > 0 || webhook->integration != NULL || webhook->uid_in_url;
	event->any_change |= webhook->ncolumns == 0;
	event->asks_filter |= webhook->filter != NULL;
	event->asks_condition |= webhook->condition != NULL;
	event->condition_reads_all |= webhook->condition_reads_all;
	event->previous |= webhook->previous;
	for (int i = 0; i < webhook->ncolumns && !event->any_change; i++)
		catalog_event_add_column(merge->columns, webhook->columns[i],
								 &event->columns, &event->ncolumns, &merge->columns_space);
	if (event->condition_reads_all)
		return;
	foreach(cell, webhook->condition_columns)
		catalog_event_add_column(merge->condition_columns, lfirst(cell),
								 &event->condition_columns, &event->ncondition_columns,
								 &merge->condition_columns_space);
}

/* Add a webhook to an event. */
static void
catalog_event_merge_webhook(Merge *merge, CatalogWebhook *webhook)
{
	CatalogEvent *event = merge->event;

	event->wanted = true;
	catalog_event_add_owner(merge, webhook->owner);
	catalog_event_add_conditions(merge, webhook);
	if (webhook->integration != NULL)
		catalog_event_keyed_add(&event->by_integration, "webhooks of integrations", webhook->integration, webhook);
	else if (webhook->nuids == 0)
		catalog_event_list_add(&event->unrestricted, webhook);
	else
		for (int u = 0; u < webhook->nuids; u++)
			catalog_event_keyed_add(&event->by_uid, "webhook event UIDs", webhook->uids[u], webhook);
	if (webhook->nuids > 0 || webhook->ncolumns > 0 || webhook->filter != NULL || webhook->condition != NULL ||
		webhook->integration != NULL)
		event->plain = false;
}

/* Merge those of the webhooks that pass the filter into an event, which the caller must have zeroed. */
static void
catalog_event_form(const CatalogWebhookList *webhooks, CatalogFilter filter, void *arg, CatalogEvent *event)
{
	Merge		merge = {.event = event};

	event->plain = true;
	merge.owners = container_hash("webhook owners seen", 16, sizeof(Oid), sizeof(Oid), CurrentMemoryContext);
	merge.columns = container_name_hash("webhook columns seen", 16, NAMEDATALEN, NAMEDATALEN, CurrentMemoryContext);
	merge.condition_columns = container_name_hash("condition columns seen", 16, NAMEDATALEN, NAMEDATALEN,
												  CurrentMemoryContext);
	for (int i = 0; i < webhooks->count; i++)
		if (filter == NULL || filter(webhooks->items[i], arg))
			catalog_event_merge_webhook(&merge, webhooks->items[i]);
	hash_destroy(merge.owners);
	hash_destroy(merge.columns);
	hash_destroy(merge.condition_columns);

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
catalog_event_get(const char *name)
{
	const CatalogOids *oids = catalog_oids();
	EventEntry *entry;
	EventEntry	fresh = {0};
	MemoryContext old;

	if (oids == NULL || strlen(name) >= CATALOG_NAME_SIZE)
		return NULL;
	if (catalog_event_cached != catalog_generation())
		catalog_event_reset();
	entry = hash_search(catalog_event_table, name, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;

	/*
	 * If an invalidation arrives while the webhooks are read, the cache is no
	 * longer valid when we return, and this entry is used only once.
	 */
	strlcpy(fresh.name, name, CATALOG_NAME_SIZE);
	catalog_event_load(oids, name, &fresh.webhooks);
	old = MemoryContextSwitchTo(catalog_event_context);
	catalog_event_form(&fresh.webhooks, NULL, NULL, &fresh.event);
	MemoryContextSwitchTo(old);
	entry = hash_search(catalog_event_table, name, HASH_ENTER, NULL);
	*entry = fresh;
	return entry;
}

const CatalogEvent *
catalog_event(const char *name)
{
	static const CatalogEvent none = {0};
	const EventEntry *entry = catalog_event_get(name);

	return entry ? &entry->event : &none;
}

const CatalogEvent *
catalog_event_filtered(const char *name, CatalogFilter filter, void *arg)
{
	CatalogEvent *event = palloc0(sizeof(CatalogEvent));
	const EventEntry *entry = catalog_event_get(name);

	if (entry != NULL)
		catalog_event_form(&entry->webhooks, filter, arg, event);
	return event;
}

static const CatalogWebhookList *
catalog_event_keyed_find(HTAB *hash, const char *key)
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
	return catalog_event_keyed_find(event->by_uid, uid);
}

const CatalogWebhookList *
catalog_event_integration(const CatalogEvent *event, const char *integration)
{
	return catalog_event_keyed_find(event->by_integration, integration);
}
