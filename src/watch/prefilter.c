/*-------------------------------------------------------------------------
 *
 * prefilter.c
 *		Recognize changes that no webhook subscribes to, at low cost.
 *
 * If all webhooks for a trigger name are restricted to certain events, or belong
 * to integrations, event UID and profile of a row decide whether any webhook
 * subscribes to it.  To find out, both must be converted to text and looked up.
 * This is done once for each pair of values: the results are cached by the binary
 * representation of the values in the row.  So a bulk INSERT for an event without
 * webhooks costs hardly more than without the trigger.
 *
 * This works for plain columns of types that are common for UIDs.  Otherwise
 * capture.c has to decide.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "compat.h"
#include "watch/active_integration.h"
#include "watch/evaluate.h"
#include "watch/prefilter.h"

#define PREFILTER_ENTRIES	256 /* a power of two; pairs with the same hash
								 * replace each other */
#define KEY_BYTES		62		/* longer pairs are not cached */

/* Representation of a value in a row. */
typedef enum PrefilterKind
{
	KEY_NONE,					/* there is no such field: NULL */
	KEY_VARLENA,
	KEY_INT2,
	KEY_INT4,
	KEY_INT8,
	KEY_UUID,
	KEY_OTHER					/* not supported */
} PrefilterKind;

typedef struct PrefilterColumn
{
	AttrNumber	attnum;
	PrefilterKind kind;
} PrefilterColumn;

/* Event UID and profile, each preceded by its length plus one, or 0 for NULL. */
typedef struct PrefilterKey
{
	int			len;
	unsigned char bytes[KEY_BYTES];
} PrefilterKey;

typedef struct PrefilterEntry
{
	PrefilterKey key;
	uint8		result;
} PrefilterEntry;

struct Prefilter
{
	MemoryContext context;
	bool		applies[WATCH_NACTIONS];
	PrefilterColumn event_uid;
	PrefilterColumn profile;
	uint64		integration_generation; /* that the entries were made with */
	PrefilterEntry *entries[WATCH_NACTIONS];	/* NULL until first used */
};


/*
 * Is there a webhook that subscribes to this regardless of the event?  Sets
 * *integrated if there are webhooks of integrations.
 */
static bool
prefilter_summarize(const WatchedTable *table, WatchAction action, bool *integrated)
{
	for (int i = 0; i < table->naudiences; i++)
		for (int a = 0; a < WATCH_NACTIONS; a++)
		{
			const CatalogEvent *event = table->audiences[i].events[a];

			if (!watch_may_become(table, action, a))
				continue;
			if (event->unrestricted.count > 0)
				return true;
			*integrated |= (event->by_integration != NULL);
		}
	return false;
}

static void
prefilter_set_column(const WatchedTable *table, WatchField field, TupleDesc desc, PrefilterColumn *column)
{
	column->attnum = table->field_column[field];
	column->kind = KEY_OTHER;
	if (!watch_has_field(table, field))
		column->kind = KEY_NONE;
	if (column->attnum == 0)
		return;
	switch (getBaseType(TupleDescAttr(desc, column->attnum - 1)->atttypid))
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			column->kind = KEY_VARLENA;
			break;
		case INT2OID:
			column->kind = KEY_INT2;
			break;
		case INT4OID:
			column->kind = KEY_INT4;
			break;
		case INT8OID:
			column->kind = KEY_INT8;
			break;
		case UUIDOID:
			column->kind = KEY_UUID;
			break;
		default:
			break;
	}
}

/* Create the prefilter for the current audiences of a table, with the same lifetime. */
static Prefilter *
prefilter_create(const WatchedTable *table, TupleDesc desc)
{
	Prefilter  *prefilter = MemoryContextAllocZero(table->audience_context, sizeof(Prefilter));
	bool		integrated = false;

	prefilter->context = table->audience_context;
	prefilter_set_column(table, WATCH_EVENT_UID, desc, &prefilter->event_uid);
	prefilter_set_column(table, WATCH_PROFILE, desc, &prefilter->profile);
	if (prefilter->event_uid.kind == KEY_OTHER)
		return prefilter;
	for (int a = 0; a < WATCH_NACTIONS; a++)
		prefilter->applies[a] = table->wanted[a] && !prefilter_summarize(table, a, &integrated);
	if (!integrated)
		prefilter->profile.kind = KEY_NONE;
	else if (prefilter->profile.kind == KEY_OTHER)
		memset(prefilter->applies, 0, sizeof(prefilter->applies));
	return prefilter;
}

static inline bool
prefilter_append(PrefilterKey *key, const void *bytes, int len)
{
	if (key->len + 1 + len > KEY_BYTES)
		return false;
	key->bytes[key->len++] = len + 1;
	memcpy(key->bytes + key->len, bytes, len);
	key->len += len;
	return true;
}

/* Add a value to the key; false if it cannot be added, e.g. because it is toasted. */
static bool
prefilter_append_column(PrefilterKey *key, const PrefilterColumn *column, TupleTableSlot *slot)
{
	bool		isnull = true;
	Datum		value = (Datum) 0;
	int16		i2;
	int32		i4;
	int64		i8;

	if (column->kind != KEY_NONE)
		value = slot_getattr(slot, column->attnum, &isnull);
	if (isnull)
	{
		if (key->len == KEY_BYTES)
			return false;
		key->bytes[key->len++] = 0;
		return true;
	}
	switch (column->kind)
	{
		case KEY_VARLENA:
			if (VARATT_IS_EXTENDED(DatumGetPointer(value)) && !VARATT_IS_SHORT(DatumGetPointer(value)))
				return false;
			return prefilter_append(key, VARDATA_ANY(DatumGetPointer(value)),
									VARSIZE_ANY_EXHDR(DatumGetPointer(value)));
		case KEY_INT2:
			i2 = DatumGetInt16(value);
			return prefilter_append(key, &i2, sizeof(i2));
		case KEY_INT4:
			i4 = DatumGetInt32(value);
			return prefilter_append(key, &i4, sizeof(i4));
		case KEY_INT8:
			i8 = DatumGetInt64(value);
			return prefilter_append(key, &i8, sizeof(i8));
		case KEY_UUID:
			return prefilter_append(key, DatumGetPointer(value), UUID_LEN);
		default:
			return false;
	}
}

/* The cache entry for event UID and profile of this row, or NULL if they cannot be cached.  Sets *key. */
static PrefilterEntry *
prefilter_find_entry(const Prefilter *prefilter, WatchAction action, TupleTableSlot *slot, PrefilterKey *key)
{
	key->len = 0;
	if (!prefilter_append_column(key, &prefilter->event_uid, slot) ||
		!prefilter_append_column(key, &prefilter->profile, slot))
		return NULL;
	return &prefilter->entries[action][hash_bytes(key->bytes, key->len) & (PREFILTER_ENTRIES - 1)];
}

static PrefilterResult
prefilter_recall(const Prefilter *prefilter, WatchAction action, TupleTableSlot *slot)
{
	PrefilterKey key;
	const PrefilterEntry *entry;

	if (prefilter->integration_generation != catalog_integration_generation())
		return PREFILTER_UNKNOWN;
	entry = prefilter_find_entry(prefilter, action, slot, &key);
	if (entry == NULL || entry->key.len != key.len || memcmp(entry->key.bytes, key.bytes, key.len) != 0)
		return PREFILTER_UNKNOWN;
	return entry->result;
}

PrefilterResult
prefilter_lookup(const WatchedTable *table, WatchAction action, TupleTableSlot *slot)
{
	const Prefilter *prefilter = table->prefilter;

	if (prefilter == NULL || prefilter->entries[action] == NULL)
		return PREFILTER_UNKNOWN;
	return prefilter_recall(prefilter, action, slot);
}

/* Find out without the cache. */
static PrefilterResult
prefilter_evaluate(WatchedTable *table, WatchAction action, TupleTableSlot *slot)
{
	char	   *event_uid = evaluate_column(table, slot, WATCH_EVENT_UID);
	char	   *profile = evaluate_column(table, slot, WATCH_PROFILE);
	ActiveIntegration rule = {0};
	bool		looked_up = false;

	for (int i = 0; i < table->naudiences; i++)
		for (int a = 0; a < WATCH_NACTIONS; a++)
		{
			const CatalogEvent *event = table->audiences[i].events[a];

			if (!watch_may_become(table, action, a))
				continue;
			if (catalog_event_uid(event, event_uid) != NULL)
				return PREFILTER_WANTED;
			if (event->by_integration == NULL)
				continue;
			if (!looked_up)
				active_integration_lookup(event_uid, profile, &rule);
			looked_up = true;
			if (catalog_event_integration(event, rule.integration) != NULL)
				return PREFILTER_WANTED;
		}
	return PREFILTER_UNWANTED;
}

/* Allocate the entries for this action, or empty them if they are out of date. */
static void
prefilter_reset(Prefilter *prefilter, WatchAction action)
{
	uint64		generation = catalog_integration_generation();

	for (int a = 0; a < WATCH_NACTIONS && prefilter->integration_generation != generation; a++)
		if (prefilter->entries[a] != NULL)
			memset(prefilter->entries[a], 0, PREFILTER_ENTRIES * sizeof(PrefilterEntry));
	prefilter->integration_generation = generation;
	if (prefilter->entries[action] == NULL)
		prefilter->entries[action] = MemoryContextAllocZero(prefilter->context,
															PREFILTER_ENTRIES * sizeof(PrefilterEntry));
}

PrefilterResult
prefilter_check(WatchedTable *table, WatchAction action, TupleTableSlot *slot)
{
	Prefilter  *prefilter;
	PrefilterResult result;
	PrefilterEntry *entry;
	PrefilterKey key;

	if (table->prefilter == NULL)
		table->prefilter = prefilter_create(table, slot->tts_tupleDescriptor);
	prefilter = table->prefilter;
	if (!prefilter->applies[action])
		return PREFILTER_WANTED;
	result = prefilter_lookup(table, action, slot);
	if (result != PREFILTER_UNKNOWN)
		return result;
	prefilter_reset(prefilter, action);
	result = prefilter_evaluate(table, action, slot);

	/*
	 * If an invalidation has arrived meanwhile, the result must not be
	 * cached.
	 */
	if (table->prefilter != prefilter || prefilter->integration_generation != catalog_integration_generation())
		return result;
	entry = prefilter_find_entry(prefilter, action, slot, &key);
	if (entry != NULL)
	{
		entry->key = key;
		entry->result = result;
	}
	return result;
}
