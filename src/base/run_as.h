/*-------------------------------------------------------------------------
 *
 * run_as.h
 *		Acting as another role.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_RUN_AS_H
#define WEBHOOK_RUN_AS_H

/* State to return to. */
typedef struct RunAs
{
	Oid			caller;			/* role whose privileges count */
	int			sec_context;
	int			nest_level;		/* of settings, inside; 0: they are the
								 * caller's */
	Oid			role;			/* role acted as */
} RunAs;

/*
 * Each of the following is undone by run_as_end(), or by (sub)transaction abort.
 * They nest; run_as_end() must be called in reverse order.
 *
 * Act as the owner of the extension, with a search_path in which no other role
 * can create objects: for SQL on the extension's own tables.
 */
extern void run_as_extension_owner(Oid owner, RunAs *saved);

/*
 * Act as the owner of a watched table, to run code that users wrote: expressions
 * and payload functions.  search_path is the one that watch() was called with,
 * other settings are those of pinned_settings.h, and it is a security-restricted
 * operation.  Row-level security that the owner forces on itself is not applied;
 * a query to which policies on other roles' tables would apply fails.
 */
extern void run_as_table_owner(Oid owner, const char *search_path, RunAs *saved);

/*
 * The same for a query that was started while acting as this owner, and whose result
 * depends on no setting.  Changing settings costs more than it takes to look up a row.
 */
extern void run_as_table_owner_again(Oid owner, RunAs *saved);

/*
 * Act as the owner of a webhook, to run its transform: a security-restricted
 * operation with a safe search_path.
 */
extern void run_as_webhook_owner(Oid owner, RunAs *saved);

/*
 * Act as a role, to evaluate an expression that it wrote with its own privileges: a
 * security-restricted operation with this search_path, and the settings of
 * pinned_settings.h.
 */
extern void run_as_role(Oid role, const char *search_path, RunAs *saved);

/* The effective search_path, with temporary objects last; palloc'd. */
extern char *run_as_current_search_path(void);

extern void run_as_end(const RunAs *saved);

/* Are we between one of these and its run_as_end()?  For assertions. */
extern bool run_as_is_nested(void);

/* For ereport(): a hint that names the privileges that the owner of a watched table needs. */
extern int	run_as_hint(Oid table_owner);

/*
 * Error context callback that adds this hint to permission errors.  arg points
 * to the Oid of the owner.
 */
extern void run_as_callback(void *arg);

#endif							/* WEBHOOK_RUN_AS_H */
