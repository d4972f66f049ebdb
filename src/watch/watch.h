/*-------------------------------------------------------------------------
 *
 * watch.h
 *		A watched table: its settings, made ready for the row trigger.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WATCH_H
#define WEBHOOK_WATCH_H

#include "base/catalog.h"
#include "watch/access.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "watch/row_json.h"
#include "utils/snapshot.h"

/*
 * Triggers fire in the order of their names.  Ours is to be the first: one
 * that changes the same row once more would otherwise be reported before the
 * change that it followed.
 */
#define WATCH_TRIGGER_NAME	"00_webhook_capture"

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

/* How values of one type become text; all zeros until it is first used. */
typedef struct WatchTextForm
{
	Oid			type;
	Oid			base;			/* what it is a domain over, or the type itself */
	int			settings;		/* that the output function heeds, see pinned_settings.h */
	FmgrInfo	output;
} WatchTextForm;

/* A table with the capture trigger, or a partition of one. */
typedef struct Prefilter Prefilter;

typedef struct WatchedTable
{
	Oid			relid;
	Oid			root;			/* the table that was watched */
	bool		valid;			/* false: to be built again before use */
	MemoryContext context;		/* holds all that follows */

	/* who hears of it; out of date when one of the two numbers is */
	uint64		generation;		/* of the subscriptions */
	uint64		role_changes;
	MemoryContext audience_context;
	int			naudiences;
	WatchAudience *audiences;	/* first those who see everything */
	bool		wanted[WATCH_NACTIONS]; /* by anybody, or what it may turn out to be */
	Prefilter	   *screen;			/* see prefilter.c */

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
	bool		other_key;		/* than when the table was watched */
	WatchTextForm *key_form;

	char	   *field_sql[WATCH_NFIELDS];	/* an SQL expression over the table's columns, or NULL */
	AttrNumber	field_column[WATCH_NFIELDS];	/* plain column, or 0 */
	int			field_position[WATCH_NFIELDS];	/* column of the query's result, or 0 */
	WatchTextForm field_form[WATCH_NFIELDS];
	char	   *query;			/* evaluates the expressions for one row; NULL: there are none */
	struct _SPI_plan *plan;		/* kept, NULL until first used */
	bool		reads_known;	/* since then: */
	Bitmapset  *reads[WATCH_NFIELDS];	/* the columns that each expression reads */
	Oid			owner;			/* of the table; expressions run with its rights */
	char	   *search_path;
} WatchedTable;

static inline bool
watch_has_field(const WatchedTable *table, WatchField field)
{
	return table->field_column[field] != 0 || table->field_position[field] != 0;
}

/* Can a change of this kind be one of that kind for a receiver?  An update can, by deletion or payment. */
static inline bool
watch_may_become(const WatchedTable *table, WatchAction action, WatchAction effective)
{
	return action == effective ||
		(action == WATCH_UPDATE &&
		 (watch_has_field(table, WATCH_DELETED) || watch_has_field(table, WATCH_PAID)));
}

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

/* What watch_lookup() returned last, if it is this table's and up to date; else NULL. */
extern WatchedTable *watch_recent(Relation rel);

/*
 * What a role may see of the table, in the current memory context: an audience
 * of one, without events.  False: nothing.
 */
extern bool watch_audience_for(const WatchedTable *table, Relation root, Oid role, WatchAudience *audience);

/*
 * The row in the layout of the table that was watched.  which: 0 or 1, there
 * is room for an old and a new row; -1: in the current memory context.
 */
extern TupleTableSlot *watch_root_slot(WatchedTable *table, TupleTableSlot *slot, int which);

/* May the audience see this value? */
extern bool watch_audience_sees(const WatchedTable *table, const WatchAudience *audience, WatchField field);

#endif							/* WEBHOOK_WATCH_H */
