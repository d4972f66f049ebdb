/*-------------------------------------------------------------------------
 *
 * column_rename.h
 *		Update webhooks that refer to a renamed column.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_COLUMN_RENAME_H
#define WEBHOOK_COLUMN_RENAME_H

extern void column_rename_init(void);

#endif							/* WEBHOOK_COLUMN_RENAME_H */
