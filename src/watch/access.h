/*-------------------------------------------------------------------------
 *
 * access.h
 *		What of a table's rows a webhook's owner may see.
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
	ACCESS_NO_ROLE,				/* nothing: the role does not exist any more */
	ACCESS_NO_SCHEMA,			/* nothing: it may not use the schema */
	ACCESS_NO_SELECT,			/* nothing: it may not select what is needed */
	ACCESS_ROW_SECURITY			/* nothing: it would see some rows only */
} Access;

/* Judged by column number; the table's settings say which they are. */
typedef struct AccessColumns
{
	Bitmapset  *needed;			/* without these there is nothing to send */
	Bitmapset  *useful;			/* any of these may be missing */
	bool		all_needed;		/* a function makes the payload of who knows what */
} AccessColumns;

/*
 * May this role select from this table?  For ACCESS_COLUMNS, *readable is set to the needed and useful
 * columns that it may read, in the current memory context.
 */
extern Access access_check(Oid role, Oid relid, const AccessColumns *columns, Bitmapset **readable);

/* What is wrong, in words; "" if nothing is. */
extern char *access_problem_text(Access access, Oid role, Oid relid);

#endif							/* WEBHOOK_ACCESS_H */
