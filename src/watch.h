/*-------------------------------------------------------------------------
 *
 * watch.h
 *		A watched table: its settings, made ready for the row trigger.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WATCH_H
#define WEBHOOK_WATCH_H

#include "access.h"
#include "catalog.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "rowjson.h"
#include "utils/snapshot.h"

/* What watch() lets the user give as a column name or an SQL expression. */
typedef enum WatchField
{
	WATCH_ID,
	WATCH_EVENT_UID,
	WATCH_PROFILE,
	WATCH_PAID,
	WATCH_DELETED,
	WATCH_PAYLOAD,				/* a function of the row, always evaluated as an expression */
	WATCH_NFIELDS
} WatchField;

typedef enum WatchAction
{
	WATCH_CREATE,
	WATCH_UPDATE,
	WATCH_DELETE,
	WATCH_NACTIONS
} WatchAction;

/* Webhooks whose owners may see the same columns of a table. */
typedef struct WatchAudience
{
	const CatalogEvent *events[WATCH_NACTIONS];
	Bitmapset  *columns;		/* NULL: all of them */
	RowJson    *json;			/* payload from columns; NULL: by a function */
	int			ncompare;		/* columns whose change makes an update worth telling */
	AttrNumber *compare;
} WatchAudience;

/* A table with the capture trigger, or a partition of one. */
typedef struct WatchedTable
{
	Oid			relid;			/* hash key */
	Oid			root;			/* the table that was watched */
	bool		valid;			/* false: to be built again before use */
	MemoryContext context;		/* holds all that follows */

	/* who hears of it; out of date when one of the two numbers is */
	uint64		generation;		/* of the subscriptions */
	uint64		role_changes;
	MemoryContext audience_context;
	int			naudiences;
	WatchAudience *audiences;	/* first those who see everything */

	char	   *entity_type;
	char	   *event_names[WATCH_NACTIONS];

	/* for a partition whose columns are in another order than the root's; else NULL */
	struct TupleConversionMap *map;
	TupleTableSlot *root_slot[2];

	/* a column that the settings name, and its name now; NULL: there is no such column */
	char	   *renamed_from;
	char	   *renamed_to;

	AccessColumns access_columns;	/* to judge what an owner may see */
	int			npayload;
	AttrNumber *payload;		/* columns of the payload */
	RowJson    *json;			/* the same ready for use; NULL: a function makes it */
	bool		calls_users;	/* which takes functions that a user wrote */
	int			ncompare;		/* columns whose change makes an update worth telling */
	AttrNumber *compare;

	/* key columns of the default id, when there is no field for it */
	int			nkeys;
	AttrNumber *keys;

	char	   *field_sql[WATCH_NFIELDS];	/* an SQL expression over the table's columns, or NULL */
	AttrNumber	field_column[WATCH_NFIELDS];	/* plain column, or 0 */
	int			field_position[WATCH_NFIELDS];	/* column of the query's result, or 0 */
	char	   *query;			/* evaluates the expressions for one row; NULL: there are none */
	struct _SPI_plan *plan;		/* kept, NULL until first used */
	Oid			owner;			/* of the table; expressions run with its rights */
	char	   *search_path;
} WatchedTable;

/* Values of the fields for one row; NULL where the value is NULL. */
typedef struct WatchValues
{
	char	   *text[WATCH_NFIELDS];
	bool		is_true[WATCH_NFIELDS]; /* of the boolean fields */
} WatchValues;

/* What to go back to after acting for a table's owner. */
typedef struct WatchOwner
{
	Oid			userid;
	int			sec_context;
	int			nest_level;
} WatchOwner;

extern void watch_init(void);

/* Changes whenever somebody's right to see a watched table may have changed. */
extern uint64 watch_access_changes(void);

/*
 * The settings for a table that has the trigger; NULL when it is not watched
 * (any more).  An error when the settings do not fit the table any more.  The
 * second leaves the audiences as they are: it looks at no webhook.  The third
 * is for judging rights only, which goes on whatever a table's owner does to it.
 */
extern WatchedTable *watch_lookup(Relation rel);
extern WatchedTable *watch_settings(Relation rel);
extern WatchedTable *watch_settings_unchecked(Relation rel);

/*
 * What a role may see of the table, in the current memory context: an audience
 * of one, without events.  False: nothing.
 */
extern bool watch_audience_for(const WatchedTable *table, Relation root, Oid role, WatchAudience *audience);

/*
 * The row in the layout of the table that was watched.  which: 0 or 1, there
 * is room for an old and a new row.
 */
extern TupleTableSlot *watch_root_slot(WatchedTable *table, TupleTableSlot *slot, int which);

/*
 * Evaluate all fields for a row (in the root's layout).  An event UID or
 * profile that an expression cannot find any more because its row was deleted
 * earlier in the same transaction is looked up as of the transaction's start
 * when deleted is true.
 */
extern void watch_evaluate(WatchedTable *table, TupleTableSlot *slot, bool deleted,
						   WatchValues *values);

/*
 * The payload that this audience sees, for a row whose fields have been
 * evaluated, in the current memory context; NULL: none.
 */
extern char *watch_payload(WatchedTable *table, const WatchAudience *audience, TupleTableSlot *slot,
						   const WatchValues *values, int *len);

/* May the audience see this value? */
extern bool watch_audience_sees(const WatchedTable *table, const WatchAudience *audience, WatchField field);

/*
 * What happens between these two has the rights of the table's owner, the
 * search path that the table was watched with, and is a security-restricted
 * operation.
 */
extern void watch_owner_begin(const WatchedTable *table, WatchOwner *state);
extern void watch_owner_end(const WatchOwner *state);

/* Is there an event UID or profile that an expression did not find? */
extern bool watch_context_missing(const WatchedTable *table, const WatchValues *values);

#endif							/* WEBHOOK_WATCH_H */
