/*-------------------------------------------------------------------------
 *
 * cursor_table.h
 *		webhook.cursor, where the position in the log is stored.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CURSOR_TABLE_H
#define WEBHOOK_CURSOR_TABLE_H

#include "log/xid_set.h"

/* Contents of webhook.cursor. */
typedef struct CursorTable
{
	Oid			relid;
	int			nrows;
	bool		foreign;		/* are there rows that were not written here
								 * and have not been adopted? */
	int64		seq;			/* of the newest row, -1 if there is none */
	XidSet	   *done;			/* its position, see cursor.c */
	XidSet	   *through;		/* or NULL */
	int64		through_id;
} CursorTable;

/* A position: everything in "done" has been processed, and of what is in "through" the ids up to through_id. */
typedef struct CursorPosition
{
	XidSet	   *done;
	XidSet	   *through;		/* or NULL */
	int64		through_id;
} CursorPosition;

/*
 * Read the table, and release the sets.  Requires a transaction with an active
 * snapshot, by which rows are seen.
 */
extern void cursor_table_read(CursorTable *table);
extern void cursor_table_free(CursorTable *table);

/*
 * The newest position, of those written in this database or of those restored from
 * a dump, for any process.  Returns false, with done NULL, if there is none.  The sets
 * are allocated in the current memory context.  Requires an active snapshot.
 */
extern bool cursor_table_newest(bool restored, CursorPosition *position);

/* Note that this is the state of the table after which positions will be inserted.  It must not be foreign. */
extern void cursor_table_set_current(const CursorTable *table);

/*
 * Insert a position, and truncate the table first if that is possible.  Requires SPI to
 * be connected, and the transaction to hold RowExclusiveLock on the table since
 * cursor_is_current(), so that no other process inserts one.
 */
extern void cursor_table_insert(const XidSet *done, const XidSet *through, int64 through_id);

/*
 * Adopt the outbox, discarding nothing, if no webhook has ever been created here,
 * as in a database made from a template; a dump may be just about to bring some.
 * Returns false if an administrator must decide.  Requires a transaction with SPI
 * connected.
 */
extern bool cursor_table_adopt_untouched(void);

#endif							/* WEBHOOK_CURSOR_TABLE_H */
