/*-------------------------------------------------------------------------
 *
 * access.h
 *		Which columns of a table the owner of a webhook may read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ACCESS_H
#define WEBHOOK_ACCESS_H

#include "nodes/bitmapset.h"

typedef enum Access
{
	ACCESS_ALL,					/* every column */
	ACCESS_COLUMNS,				/* some columns */
	ACCESS_NO_ROLE,				/* nothing: the role no longer exists */
	ACCESS_NO_SCHEMA,			/* nothing: it lacks USAGE on the schema */
	ACCESS_NO_SELECT,			/* nothing: it lacks SELECT on required
								 * columns */
	ACCESS_ROW_SECURITY			/* nothing: row-level security would apply to
								 * it */
} Access;

/* The columns of a table that its settings refer to, by number. */
typedef struct AccessColumns
{
	Bitmapset  *needed;			/* without these there is nothing to send */
	Bitmapset  *useful;			/* any of these may be missing */
	bool		all_needed;		/* a payload function may use any column */
} AccessColumns;

/*
 * May this role select from this table?  For ACCESS_COLUMNS, *readable is set to the
 * needed and useful columns that it may read, in the current memory context.
 */
extern Access access_check(Oid role, Oid relid, const AccessColumns *columns, Bitmapset **readable);

/* A message that explains the result of access_check(); "" if there is no problem. */
extern char *access_problem_text(Access access, Oid role, Oid relid);

#endif							/* WEBHOOK_ACCESS_H */
