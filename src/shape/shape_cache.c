/*-------------------------------------------------------------------------
 *
 * shape_cache.c
 *		The shapes of messages for integrations.
 *
 * The mappings of account, profile and event are merged.  The result is cached with
 * form and template, all compiled, by integration, entity type, profile and event.
 * A change of webhook.shape or webhook.watch invalidates all entries (see
 * catalog.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/container.h"
#include "compat.h"
#include "shape/json_field.h"
#include "shape/mapping.h"
#include "shape/shape_cache.h"
#include "shape/template.h"

#define KEY_SIZE		1024	/* combinations with longer names are not
								 * remembered */
#define MAX_REMEMBERED	1000

struct ShapeSet
{
	ShapeForm  *form;			/* each may be NULL */
	ShapeMapping *mapping;
	ShapeTemplate *template;
};

typedef struct ShapeSetEntry
{
	char		key[KEY_SIZE];
	ShapeSet	set;
} ShapeSetEntry;

static MemoryContext shape_cache_context = NULL;
static HTAB *shape_cache_sets;
static uint64 shape_cache_generation = 0;


static void
shape_cache_reset(void)
{
	if (shape_cache_context != NULL)
		catalog_retire(shape_cache_context);
	shape_cache_context = AllocSetContextCreate(CacheMemoryContext, "webhook shapes", ALLOCSET_DEFAULT_SIZES);
	shape_cache_sets = container_name_hash("webhook shapes", 32, KEY_SIZE, sizeof(ShapeSetEntry), shape_cache_context);
	shape_cache_generation = catalog_integration_generation();
}

/* Add a row of webhook.shape to the set.  Must be called in ascending order of precedence. */
static void
shape_cache_add_row(ShapeSet *set, const char *kind, Jsonb *value)
{
	if (strcmp(kind, "form") == 0)
		set->form = form_compile(value);
	else if (strcmp(kind, "template") == 0)
		set->template = template_compile(value);
	else
		set->mapping = mapping_merge(set->mapping, mapping_compile(value));
}

/*
 * Read webhook.shape.  Uses a new snapshot regardless of the isolation level, since
 * the cache outlives the transaction.  Rows without integration are added before
 * those of this integration.
 */
static void
shape_cache_load(ShapeSet *set, MemoryContext target, const char **names)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[4];
	char		nulls[] = "    ";
	MemoryContext old = CurrentMemoryContext;	/* SPI leaves us in one of its
												 * own */

	memset(set, 0, sizeof(*set));
	for (int i = 0; i < 4; i++)
	{
		nulls[i] = names[i] ? ' ' : 'n';
		values[i] = names[i] ? CStringGetTextDatum(names[i]) : (Datum) 0;
	}
	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute_with_args("SELECT kind, value FROM (SELECT kind, target, integration, CASE WHEN kind IN ('form', 'template')"
							  "  THEN value ELSE " SHAPES_MAPPING("value", "$2") " END AS value FROM webhook.shape) AS s"
							  " WHERE COALESCE(integration, '') IN ($1, '') AND value IS NOT NULL"
							  " AND ((kind = 'account' AND target = '') OR (kind IN ('form', 'template') AND target = $2)"
							  "  OR (kind = 'profile' AND target = $3) OR (kind = 'event' AND target = $4))"
							  " ORDER BY array_position('{account,profile,event}', kind), integration NULLS FIRST",
							  4, types, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read webhook.shape");
	PopActiveSnapshot();
	MemoryContextSwitchTo(target);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		char	   *kind = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull);

		shape_cache_add_row(set, kind, DatumGetJsonbPCopy(value));
	}
	MemoryContextSwitchTo(old);
}

const ShapeSet *
shape_cache_get(const char *integration, const char *entity_type, const char *profile,
				const char *event_uid)
{
	const char *names[] = {integration, entity_type, profile, event_uid};
	ShapeSetEntry *entry;
	StringInfoData key;
	ShapeSet   *set;

	if (shape_cache_context == NULL || shape_cache_generation != catalog_integration_generation() ||
		hash_get_num_entries(shape_cache_sets) >= MAX_REMEMBERED)
		shape_cache_reset();

	/*
	 * Names contain no control characters; NULL and "" must have different
	 * keys.
	 */
	initStringInfo(&key);
	for (int i = 0; i < lengthof(names); i++)
		appendStringInfo(&key, "%s%c", names[i] ? names[i] : "\1", '\2');
	entry = key.len < KEY_SIZE ? hash_search(shape_cache_sets, key.data, HASH_FIND, NULL) : NULL;
	if (entry != NULL)
		set = &entry->set;
	else if (key.len < KEY_SIZE)
	{
		ShapeSet	loaded;

		shape_cache_load(&loaded, shape_cache_context, names);
		entry = hash_search(shape_cache_sets, key.data, HASH_ENTER, NULL);
		set = &entry->set;
		*set = loaded;
	}
	else
	{
		set = palloc(sizeof(ShapeSet));
		shape_cache_load(set, CurrentMemoryContext, names);
	}
	return set->form || set->mapping || set->template ? set : NULL;
}

char *
shape_cache_apply(const ShapeSet *set, const char *payload, bool mapping, ShapeFaults *faults, int *len)
{
	StringInfoData out;
	bool		mapped = mapping && (set->mapping || set->template);
	Jsonb	   *document;

	initStringInfo(&out);
	if (set->form == NULL && !mapped)
	{
		appendStringInfoString(&out, payload);
		*len = out.len;
		return out.data;
	}
	document = json_field_document(pstrdup(payload));
	if (set->form != NULL)
		form_apply(set->form, document, &out, faults);
	if (mapped)
	{
		if (set->form != NULL)
			document = json_field_document(out.data);
		resetStringInfo(&out);
		if (set->template != NULL)
			template_apply(set->template, document, &out);
		else
			mapping_apply(set->mapping, document, &out);
	}
	*len = out.len;
	return out.data;
}
