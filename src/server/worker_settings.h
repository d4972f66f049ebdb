/*-------------------------------------------------------------------------
 *
 * worker_settings.h
 *		Settings that the background processes work with, whatever others have set.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WORKER_SETTINGS_H
#define WEBHOOK_WORKER_SETTINGS_H

/* Before the process connects to a database, whose settings would count from then on. */
extern void worker_settings_before_connection(void);

/* When it is connected. */
extern void worker_settings_after_connection(void);

#endif							/* WEBHOOK_WORKER_SETTINGS_H */
