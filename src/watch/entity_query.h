/*-------------------------------------------------------------------------
 *
 * entity_query.h
 *		Queries for the rows of a watched table that pass a filter.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ENTITY_QUERY_H
#define WEBHOOK_ENTITY_QUERY_H

#include "watch/entity.h"

/* The number of the rows. */
extern int64 entity_query_count(WatchedTable *table, Relation rel, const EntityFilter *filter);

/*
 * The rows as composite values, in the order of their ids, palloc'd.  total: their
 * number without offset and limit, or -1 if it is not known.  lock: lock them as an
 * UPDATE does.  Returns their number.
 */
extern int	entity_query_rows(WatchedTable *table, Relation rel, const EntityFilter *filter, int64 offset, int64 limit,
							  int64 total, bool lock, Datum **rows);

#endif							/* WEBHOOK_ENTITY_QUERY_H */
