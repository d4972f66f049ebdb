/*-------------------------------------------------------------------------
 *
 * run_as.h
 *		Acting as another role.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_RUN_AS_H
#define WEBHOOK_RUN_AS_H

/* What to return to; caller is the role to judge permissions by. */
typedef struct RunAs
{
	Oid			caller;
	int			sec_context;
	int			nest_level;
} RunAs;

/*
 * Each of the following is undone by run_as_end(), or by the end of the
 * (sub)transaction after an error.
 *
 * As the owner of the extension, with a search path that no other role can put
 * anything into: for SQL on the extension's own tables.
 */
extern void run_as_extension_owner(Oid owner, RunAs *saved);

/*
 * As the owner of a watched table, for what users have written: expressions and
 * payload functions.  The search path is that of watch(), the settings are those
 * of pinned_settings.h, and it is a security-restricted operation.  Policies that the
 * owner forces on itself do not apply, and a query to which those of other
 * roles' tables would apply is an error.
 */
extern void run_as_table_owner(Oid owner, const char *search_path, RunAs *saved);

/* As the owner of a webhook, for its transform: a security-restricted operation with a safe search path. */
extern void run_as_webhook_owner(Oid owner, RunAs *saved);

extern void run_as_end(const RunAs *saved);

/* For ereport(): which rights the owner of a watched table needs. */
extern int	run_as_hint(Oid table_owner);

/* The same as an error context callback, for errors about permissions; arg is a pointer to the owner's Oid. */
extern void run_as_callback(void *arg);

#endif							/* WEBHOOK_RUN_AS_H */
