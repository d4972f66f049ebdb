/*-------------------------------------------------------------------------
 *
 * shortcut.h
 *		Rows captured while the statement runs, without a trigger event.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SHORTCUT_H
#define WEBHOOK_SHORTCUT_H

extern void shortcut_init(void);

#endif							/* WEBHOOK_SHORTCUT_H */
