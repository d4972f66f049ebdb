/*-------------------------------------------------------------------------
 *
 * watch.h
 *		Watched tables: their settings, prepared for the row trigger.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WATCH_H
#define WEBHOOK_WATCH_H

#include "base/catalog_event.h"
#include "watch/access.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "watch/row_json.h"
#include "utils/snapshot.h"

/*
 * Triggers fire in order of their names.  Ours must be the first: if another one
 * changes the same row again, that change must not be captured before the one
 * that it followed.
 */
#define WATCH_TRIGGER_NAME	"00_webhook_capture"

/* Settings of watch() that are column names or SQL expressions. */
typedef enum WatchField
{
	WATCH_ID,
	WATCH_EVENT_UID,
	WATCH_PROFILE,
	WATCH_PAID,
	WATCH_DELETED,
	WATCH_PAYLOAD,				/* a function of the row, always evaluated as
								 * an expression */
	WATCH_NFIELDS
} WatchField;

/* Sets of fields */
#define WATCH_BIT(field)	(1u << (field))
#define WATCH_ALL_FIELDS	(WATCH_BIT(WATCH_NFIELDS) - 1)

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
	Bitmapset  *condition_columns[WATCH_NACTIONS];	/* that conditions read */
	int			ncompare;		/* columns whose change causes a message about
								 * an update */
	AttrNumber *compare;
} WatchAudience;

/* How to convert values of a type to text; all zeros until first used. */
typedef struct WatchTextForm
{
	Oid			type;
	Oid			base;			/* base type of a domain, or the type itself */
	int			settings;		/* that the output function depends on, see
								 * pinned_settings.h */
	FmgrInfo	output;
} WatchTextForm;

typedef struct Prefilter Prefilter;
typedef struct Expression Expression;
typedef struct RowQuery RowQuery;

/* A table with the capture trigger, or a partition of one. */
typedef struct WatchedTable
{
	Oid			relid;
	Oid			root;			/* the table that was watched */
	bool		valid;			/* if false, must be rebuilt before use */
	MemoryContext context;		/* contains everything below */

	/* subscribers; out of date if one of the two numbers is */
	uint64		generation;		/* of the subscriptions */
	uint64		role_changes;
	MemoryContext audience_context;
	int			naudiences;
	WatchAudience *audiences;	/* the first one sees all columns */
	bool		wanted[WATCH_NACTIONS]; /* does any webhook subscribe to what
										 * this may be for a receiver? */
	unsigned	needed;			/* fields that messages or decisions about
								 * them depend on */
	bool		any_update;		/* does any webhook want an update whatever
								 * has changed? */
	Bitmapset  *update_columns; /* else, the columns that they want it for */
	bool		context_matters;	/* does any webhook want certain events or
									 * integrations only? */
	Prefilter  *prefilter;		/* see prefilter.c */

	char	   *entity_type;
	char	   *event_names[WATCH_NACTIONS];

	/* for a partition with another column order than the root's, else NULL */
	struct TupleConversionMap *map;
	TupleTableSlot *root_slot[2];

	/* a column that has been renamed since watch(), and its new name; or NULL */
	char	   *renamed_from;
	char	   *renamed_to;

	AccessColumns access_columns;	/* for access_check() */
	int			npayload;
	AttrNumber *payload;		/* columns of the payload */
	RowJson    *json;			/* the same, prepared; NULL if there is a
								 * payload function */
	bool		runs_user_code; /* see row_json_runs_user_code() */
	int			ncompare;		/* columns whose change causes a message about
								 * an update */
	AttrNumber *compare;

	/* primary key columns, if there is no setting for the id */
	int			nkeys;
	AttrNumber *keys;
	bool		other_key;		/* has the primary key been replaced since
								 * watch()? */
	WatchTextForm *key_form;

	char	   *field_sql[WATCH_NFIELDS];	/* an SQL expression over the
											 * table's columns, or NULL */
	AttrNumber	field_column[WATCH_NFIELDS];	/* plain column, or 0 */
	WatchTextForm field_form[WATCH_NFIELDS];

	/* what is not a plain column */
	unsigned	expressions;	/* set of these fields */
	char	   *field_expression[WATCH_NFIELDS];	/* an element of a SELECT
													 * list for the row, or
													 * NULL */
	char	   *row_alias;		/* the table's name, quoted */
	Expression *expression[WATCH_NFIELDS];	/* see expression.c */
	struct ExprContext *expression_context; /* likewise */
	RowQuery   *queries;		/* see row_query.c */
	Oid			owner;			/* of the table; expressions run with its
								 * privileges */
	char	   *search_path;
} WatchedTable;

static inline bool
watch_is_expression(const WatchedTable *table, WatchField field)
{
	return (table->expressions & WATCH_BIT(field)) != 0;
}

static inline bool
watch_has_field(const WatchedTable *table, WatchField field)
{
	return table->field_column[field] != 0 || watch_is_expression(table, field);
}

/* Can a receiver see an action as the effective one?  An update can be anything, because of "deleted" or "paid". */
static inline bool
watch_may_become(const WatchedTable *table, WatchAction action, WatchAction effective)
{
	return action == effective ||
		(action == WATCH_UPDATE &&
		 (watch_has_field(table, WATCH_DELETED) || watch_has_field(table, WATCH_PAID)));
}

extern void watch_init(void);

/* Changes whenever the privileges of any role on a watched table may have changed. */
extern uint64 watch_access_changes(void);

/*
 * The settings of a table that has the trigger; NULL if it is not, or no longer,
 * watched.  watch_lookup() also updates the audiences.  Both raise an error if the
 * settings no longer fit the table.  watch_settings_unchecked() does not; it is for
 * checking privileges, which must go on regardless of changes to the table.
 */
extern WatchedTable *watch_lookup(Relation rel);
extern WatchedTable *watch_settings(Relation rel);
extern WatchedTable *watch_settings_unchecked(Relation rel);

/* The last result of watch_lookup(), if it is for this table and up to date; else NULL. */
extern WatchedTable *watch_cached(Relation rel);

/*
 * Convert a row to the layout of the watched table, if this is a partition with
 * another one.  There are two slots, 0 and 1, for the old and the new row; -1
 * allocates one in the current memory context.
 */
extern TupleTableSlot *watch_root_slot(WatchedTable *table, TupleTableSlot *slot, int which);

#endif							/* WEBHOOK_WATCH_H */
