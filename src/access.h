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

#include "message.h"

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
 * Why may a message that was captured before not be sent to this role now?
 * NULL: it may.  *unknown: it cannot be told now, because somebody has locked
 * the table.  The verdicts are kept: asking costs a look into a hash table.
 * For the worker, in a transaction; the text lives in the current memory context, or longer.
 */
extern const char *access_withheld(Oid role, const Message *message, bool *unknown);

/* Have the verdicts been given up since the last call?  What was not withheld may be so now. */
extern bool access_changed(void);

/*
 * The worker's part: has anything changed since it last looked?  If so, it is to call
 * access_note_withheld(), in a transaction with SPI connected.
 */
extern bool access_note_due(TimestampTz now);
extern void access_note_withheld(TimestampTz now);

#endif							/* WEBHOOK_ACCESS_H */
