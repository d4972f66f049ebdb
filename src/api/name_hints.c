/*-------------------------------------------------------------------------
 *
 * name_hints.c
 *		Notices about names of a webhook that are probably misspelt.
 *
 * A trigger name need not belong to a watched table: applications can emit any
 * event, and the table may be watched later.  So these are notices rather than
 * errors, and there is none for a name that is not similar to any other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "api/name_hints.h"
#include "base/as_owner.h"

/* Limits of the edit distance, like the parser's for columns: this, and half of the characters. */
#define MAX_DISTANCE	3

static const char *const name_hints_actions[] = {"create", "update", "delete", "manual", "*"};


/* The first column, text, of a query whose argument is the webhook's id. */
static List *
name_hints_read(const char *sql, int64 webhook_id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(webhook_id)};
	uint64		n = as_owner_execute(sql, SPI_OK_SELECT, 1, types, values, NULL);
	List	   *result = NIL;

	for (uint64 i = 0; i < n; i++)
		result = lappend(result, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	return result;
}

static bool
name_hints_has(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/* The most similar name, or NULL. */
static const char *
name_hints_nearest(List *names, const char *name)
{
	const char *nearest = NULL;
	int			len = (int) strlen(name);
	int			limit = Min(MAX_DISTANCE, len / 2);
	ListCell   *lc;

	foreach(lc, names)
	{
		int			distance = varstr_levenshtein_less_equal(name, len, lfirst(lc), (int) strlen(lfirst(lc)), 1, 1, 1,
															 limit, true);

		if (distance <= limit)
		{
			nearest = lfirst(lc);
			limit = distance - 1;
		}
	}
	return nearest;
}

static void
name_hints_event(const char *event, List *entity_types)
{
	const char *dot = strrchr(event, '.');
	char	   *entity_type;
	List	   *names = NIL;
	const char *nearest;

	if (dot == NULL || strncmp(event, "webhook.", strlen("webhook.")) == 0)
		return;
	entity_type = pnstrdup(event, dot - event);
	if (name_hints_has(entity_types, entity_type))
	{
		for (int i = 0; i < lengthof(name_hints_actions); i++)
			names = lappend(names, unconstify(char *, name_hints_actions[i]));
		nearest = name_hints_has(names, dot + 1) ? NULL : name_hints_nearest(names, dot + 1);
		if (nearest != NULL)
			ereport(NOTICE,
					(errmsg("no watched table sends \"%s\"", event),
					 errhint("Perhaps you meant \"%s.%s\".", entity_type, nearest)));
		return;
	}
	nearest = name_hints_nearest(entity_types, entity_type);
	if (nearest != NULL)
		ereport(NOTICE,
				(errmsg("no watched table sends \"%s\"", event),
				 errhint("Perhaps you meant \"%s%s\".", nearest, dot)));
}

static void
name_hints_column(const char *column, List *columns)
{
	const char *nearest = name_hints_nearest(columns, column);

	ereport(NOTICE,
			(errmsg("no watched table that the webhook subscribes to has a column \"%s\"", column),
			 nearest != NULL ? errhint("Perhaps you meant \"%s\".", nearest) : 0));
}

void
name_hints_names(int64 webhook_id)
{
	List	   *entity_types = name_hints_read("SELECT DISTINCT k.entity_type FROM webhook.watch AS k WHERE $1 IS NOT NULL ORDER BY 1",
											   webhook_id);
	List	   *columns = name_hints_read("SELECT DISTINCT a.attname FROM webhook.webhook AS w, webhook.watch AS k, pg_attribute AS a"
										  " WHERE w.id = $1 AND w.events && ARRAY['*', k.entity_type || '.*', k.entity_type || '.update']"
										  " AND a.attrelid = k.relation AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1",
										  webhook_id);
	ListCell   *lc;

	foreach(lc, name_hints_read("SELECT unnest(events) FROM webhook.webhook WHERE id = $1", webhook_id))
		name_hints_event(lfirst(lc), entity_types);
	if (columns == NIL)
		return;
	foreach(lc, name_hints_read("SELECT unnest(columns) FROM webhook.webhook WHERE id = $1", webhook_id))
	{
		if (!name_hints_has(columns, lfirst(lc)))
			name_hints_column(lfirst(lc), columns);
	}
}
