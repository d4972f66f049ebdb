/*-------------------------------------------------------------------------
 *
 * column_rename.h
 *		Webhooks that follow a column that gets another name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_COLUMN_RENAME_H
#define WEBHOOK_COLUMN_RENAME_H

extern void column_rename_init(void);

#endif							/* WEBHOOK_COLUMN_RENAME_H */
