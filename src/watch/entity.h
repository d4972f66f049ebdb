/*-------------------------------------------------------------------------
 *
 * entity.h
 *		The current state of entities: rows of watched tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ENTITY_H
#define WEBHOOK_ENTITY_H

#include "nodes/pg_list.h"

#include "log/outbox.h"
#include "watch/watch.h"

/* Restrictions of entities; NULL means no restriction. */
typedef struct EntityFilter
{
	const char *entity_type;
	const char *entity_id;		/* as text, not as JSON */
	const char *event_uid;
	ArrayType  *profiles;		/* text[] */
	ArrayType  *only_paid;		/* text[]: omit unpaid entities of these event
								 * UIDs */
	bool		newest_first;	/* in descending order of ids */
	Oid			reader;			/* only what this role may read; InvalidOid:
								 * everything */
} EntityFilter;

/*
 * Read the tables watched as this entity type, with the privileges of their owners
 * and in a stable order, omitting rows marked as deleted.  The result is a list of
 * OutboxRows with entity_type, entity_id, event_uid, profile and payload set as in
 * a message about the row, palloc'd.  total is the result of entity_count() with the
 * same snapshot, or -1: a page near the end is read from there if it is known.
 */
extern List *entity_list(const EntityFilter *filter, int64 offset, int64 limit, int64 total);
extern int64 entity_count(const EntityFilter *filter);

/*
 * Fetch the entity with this id, or the newest one if it is NULL, with the columns
 * that this role may read.  only_paid is as in EntityFilter.  Returns false if
 * there is none.
 */
extern bool entity_fetch(const char *entity_type, const char *entity_id, ArrayType *only_paid, Oid reader,
						 OutboxRow *row);

/*
 * Lock the row of this entity as an UPDATE does, and call back; the visitor must
 * set *(bool *) arg.  Returns false if there is none.
 */
typedef void (*EntityVisitor) (WatchedTable *table, TupleTableSlot *slot, void *arg);
extern bool entity_visit(const char *entity_type, const char *entity_id, EntityVisitor visit);

/* Call back for all entities of an event whose payment is an expression. */
extern void entity_visit_event(const char *event_uid, EntityVisitor visit, void *arg);

/*
 * Call back for each payload column of the tables watched as this entity type.
 * Returns false if the columns of the payload are not known: there is no such
 * table, or it has a payload function.
 */
extern bool entity_foreach_column(const char *entity_type,
								  void (*callback) (const char *name, void *arg), void *arg);

/* Oids of the tables watched as this entity type (NULL: any), in ascending order. */
extern List *entity_relations(const char *entity_type);
extern bool entity_type_watched(const char *entity_type);

#endif							/* WEBHOOK_ENTITY_H */
