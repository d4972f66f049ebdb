/*-------------------------------------------------------------------------
 *
 * audience.c
 *		Group the webhooks that subscribe to a table by what their owners may read.
 *
 * Usually all owners may read the whole table, and there is one audience.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/rel.h"

#include "base/container.h"
#include "watch/access.h"
#include "watch/audience.h"

/* The audience of an owner, while audiences are being formed. */
typedef struct OwnerEntry
{
	Oid			owner;			/* hash key */
	int			audience;		/* -1 if it may not read the table */
} OwnerEntry;

typedef struct AudienceFilter
{
	HTAB	   *owners;
	int			audience;
} AudienceFilter;

static bool
audience_includes(const CatalogWebhook *webhook, void *arg)
{
	AudienceFilter *filter = arg;
	OwnerEntry *entry = hash_search(filter->owners, &webhook->owner, HASH_FIND, NULL);

	return entry != NULL && entry->audience == filter->audience;
}

/* Select the columns that are in the set; returns their number. */
static int
audience_filter_columns(const AttrNumber *columns, int n, const Bitmapset *set, AttrNumber **result)
{
	int			kept = 0;

	*result = palloc(Max(n, 1) * sizeof(AttrNumber));
	for (int i = 0; i < n; i++)
		if (bms_is_member(columns[i], set))
			(*result)[kept++] = columns[i];
	return kept;
}

/* Set up an audience that sees just these columns. */
static void
audience_fill(const WatchedTable *table, Bitmapset *columns, TupleDesc desc, WatchAudience *audience)
{
	AttrNumber *payload;
	int			npayload;

	memset(audience, 0, sizeof(*audience));
	audience->columns = columns;
	npayload = audience_filter_columns(table->payload, table->npayload, columns, &payload);
	audience->json = row_json_create(desc, payload, npayload);
	audience->ncompare = audience_filter_columns(table->compare, table->ncompare, columns, &audience->compare);
}

bool
audience_for_role(const WatchedTable *table, Relation root, Oid role, WatchAudience *audience)
{
	Bitmapset  *readable;

	switch (access_check(role, table->root, &table->access_columns, &readable))
	{
		case ACCESS_ALL:
			memset(audience, 0, sizeof(*audience));
			audience->json = table->json;
			return true;
		case ACCESS_COLUMNS:
			audience_fill(table, readable, RelationGetDescr(root), audience);
			return true;
		default:
			return false;
	}
}

/* Find or add the audience that sees just these columns. */
static int
audience_find(WatchedTable *table, Bitmapset *columns, TupleDesc desc)
{
	for (int i = 1; i < table->naudiences; i++)
		if (bms_equal(table->audiences[i].columns, columns))
			return i;
	table->audiences = repalloc(table->audiences, (table->naudiences + 1) * sizeof(WatchAudience));
	audience_fill(table, columns, desc, &table->audiences[table->naudiences]);
	return table->naudiences++;
}

/* Assign the owners of an event's webhooks to audiences; returns whether any of them is restricted. */
static bool
audience_sort_owners(WatchedTable *table, const CatalogEvent *event, TupleDesc desc, HTAB *owners)
{
	bool		restricted = false;

	for (int i = 0; i < event->nowners; i++)
	{
		bool		found;
		OwnerEntry *entry = hash_search(owners, &event->owners[i], HASH_ENTER, &found);

		if (!found)
		{
			Bitmapset  *readable;
			Access		access = access_check(entry->owner, table->root, &table->access_columns,
											  &readable);

			entry->audience = -1;
			if (access == ACCESS_ALL)
				entry->audience = 0;
			else if (access == ACCESS_COLUMNS)
				entry->audience = audience_find(table, readable, desc);
		}
		restricted |= (entry->audience != 0);
	}
	return restricted;
}

void
audience_form_all(WatchedTable *table, TupleDesc desc)
{
	AudienceFilter filter = {0};
	WatchAudience *all = palloc0(sizeof(WatchAudience));
	bool		restricted = false;

	all->json = table->json;
	all->ncompare = table->ncompare;
	all->compare = table->compare;
	table->audiences = all;
	table->naudiences = 1;

	filter.owners = container_hash("webhook owners", 16, sizeof(Oid), sizeof(OwnerEntry), CurrentMemoryContext);
	for (int a = 0; a < WATCH_NACTIONS; a++)
		restricted |= audience_sort_owners(table, catalog_event(table->event_names[a]), desc, filter.owners);

	for (int i = 0; i < table->naudiences; i++)
	{
		filter.audience = i;
		for (int a = 0; a < WATCH_NACTIONS; a++)
			table->audiences[i].events[a] = restricted ?
				catalog_event_filtered(table->event_names[a], audience_includes, &filter) :
				catalog_event(table->event_names[a]);
	}
	hash_destroy(filter.owners);
}

bool
audience_is_subscribed(const WatchedTable *table, WatchAction action)
{
	for (int i = 0; i < table->naudiences; i++)
		for (int a = 0; a < WATCH_NACTIONS; a++)
			if (table->audiences[i].events[a]->wanted && watch_may_become(table, action, a))
				return true;
	return false;
}

/* Add the columns of these names to a set. */
static Bitmapset *
audience_add_columns(Bitmapset *columns, TupleDesc desc, char **names, int n)
{
	for (int i = 0; i < n; i++)
		for (int a = 0; a < desc->natts; a++)
			if (!TupleDescAttr(desc, a)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, a)->attname), names[i]) == 0)
				columns = bms_add_member(columns, a + 1);
	return columns;
}

/* Set the columns whose updates webhooks want, unless one wants all updates. */
static void
audience_set_update_columns(WatchedTable *table, TupleDesc desc)
{
	table->any_update = false;
	table->update_columns = NULL;
	for (int i = 0; i < table->naudiences; i++)
	{
		const CatalogEvent *event = table->audiences[i].events[WATCH_UPDATE];

		table->any_update |= event->any_change;
		table->update_columns = audience_add_columns(table->update_columns, desc, event->columns, event->ncolumns);
	}
}

void
audience_set_conditions(WatchedTable *table, TupleDesc desc)
{
	unsigned	needed = WATCH_BIT(WATCH_ID) | WATCH_BIT(WATCH_DELETED) | WATCH_BIT(WATCH_PAYLOAD);

	table->context_matters = false;
	for (int i = 0; i < table->naudiences; i++)
		for (int a = 0; a < WATCH_NACTIONS; a++)
		{
			const CatalogEvent *event = table->audiences[i].events[a];

			table->audiences[i].condition_columns[a] =
				audience_add_columns(NULL, desc, event->condition_columns, event->ncondition_columns);
			if (event->asks_uid)
				needed |= WATCH_BIT(WATCH_EVENT_UID);
			if (event->by_integration != NULL)
				needed |= WATCH_BIT(WATCH_PROFILE) | WATCH_BIT(WATCH_PAID);
			table->context_matters |= event->by_uid != NULL || event->by_integration != NULL;
		}
	for (int f = 0; f < WATCH_NFIELDS; f++)
	{
		/* A plain column costs nothing, and is worth having in the outbox. */
		if (table->field_column[f] > 0 && f != WATCH_PAID)
			needed |= WATCH_BIT(f);
		if (f != WATCH_ID && !watch_has_field(table, f))
			needed &= ~WATCH_BIT(f);
	}
	table->needed = needed;
	audience_set_update_columns(table, desc);
}

bool
audience_sees(const WatchedTable *table, const WatchAudience *audience, WatchField field)
{
	return audience->columns == NULL || table->field_column[field] == 0 ||
		bms_is_member(table->field_column[field], audience->columns);
}
