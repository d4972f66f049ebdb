/*-------------------------------------------------------------------------
 *
 * worker_settings.h
 *		Settings of the background processes, independent of the configuration.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WORKER_SETTINGS_H
#define WEBHOOK_WORKER_SETTINGS_H

/* Must be called before the process connects to a database, which would apply settings of lower priority. */
extern void worker_settings_before_connection(void);

/* Must be called right after that. */
extern void worker_settings_after_connection(void);

#endif							/* WEBHOOK_WORKER_SETTINGS_H */
