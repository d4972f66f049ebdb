/*-------------------------------------------------------------------------
 *
 * entity.h
 *		Entities as they are now: rows of watched tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ENTITY_H
#define WEBHOOK_ENTITY_H

#include "nodes/pg_list.h"

#include "log/outbox.h"
#include "watch/watch.h"

/* Which entities; NULL: whichever. */
typedef struct EntityFilter
{
	const char *entity_type;
	const char *entity_id;		/* as text, not as JSON */
	const char *event_uid;
	ArrayType  *profiles;		/* text[] */
	ArrayType  *only_paid;		/* text[]: event UIDs of which unpaid entities are left out */
	bool		newest_first;	/* by id */
	Oid			reader;			/* only what this role may see; InvalidOid: everything */
} EntityFilter;

/*
 * Read the tables that are watched as this entity type with the rights of
 * their owners, in a stable order.  Rows that count as deleted are left out.
 * The elements are OutboxRows with entity_type, entity_id, event_uid, profile
 * and payload set exactly as in a message about the row, in the current memory
 * context.
 */
extern List *entity_list(const EntityFilter *filter, int64 offset, int64 limit);
extern int64 entity_count(const EntityFilter *filter);

/*
 * One entity, as this role may see it: the one with this id, the newest one
 * when it is NULL.  only_paid is as in a filter.  False when there is none.
 */
extern bool entity_fetch(const char *entity_type, const char *entity_id, ArrayType *only_paid, Oid reader,
						 OutboxRow *row);

/*
 * Call back for the row of this entity, which is locked as by an UPDATE; the
 * visitor sets *(bool *) arg.  False when there is none.
 */
typedef void (*EntityVisitor) (WatchedTable *table, TupleTableSlot *slot, void *arg);
extern bool entity_visit(const char *entity_type, const char *entity_id, EntityVisitor visit);

/* Call back for all entities of an event whose payment is an expression. */
extern void entity_visit_event(const char *event_uid, EntityVisitor visit, void *arg);

/*
 * Call back for each column of the payload of the tables watched as this
 * entity type.  False when that says nothing about the payload: there is no
 * such table, or a function makes it.
 */
extern bool entity_foreach_column(const char *entity_type,
								  void (*callback) (const char *name, void *arg), void *arg);

/* Oids of the tables that are watched as this entity type, NULL: as any, in order. */
extern List *entity_relations(const char *entity_type);
extern bool entity_type_watched(const char *entity_type);

#endif							/* WEBHOOK_ENTITY_H */
