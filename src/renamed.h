/*-------------------------------------------------------------------------
 *
 * renamed.h
 *		Webhooks that follow a column that gets another name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_RENAMED_H
#define WEBHOOK_RENAMED_H

extern void renamed_init(void);

#endif							/* WEBHOOK_RENAMED_H */
