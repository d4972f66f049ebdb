/*-------------------------------------------------------------------------
 *
 * access.h
 *		What of a table's rows a webhook's owner may see.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ACCESS_H
#define WEBHOOK_ACCESS_H

#include "datatype/timestamp.h"
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

/*
 * Refuse a webhook whose owner may not select from a table that it subscribes
 * to by name; note the tables that "*" does not reach.  To be called within
 * as_owner_begin().
 */
extern void access_check_webhook(int64 webhook_id);

/*
 * The worker's part: has anything changed since it last looked?  If so, it is to call
 * access_note_withheld(), in a transaction with SPI connected.
 */
extern bool access_note_due(TimestampTz now);
extern void access_note_withheld(TimestampTz now);

#endif							/* WEBHOOK_ACCESS_H */
