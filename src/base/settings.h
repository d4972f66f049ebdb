/*-------------------------------------------------------------------------
 *
 * settings.h
 *		The settings of postgresql.conf.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SETTINGS_H
#define WEBHOOK_SETTINGS_H

#include "pure/netguard.h"
#include "pure/retry.h"

extern char *webhook_allowed_networks;	/* text; parsed form below */
extern int	webhook_max_connections;	/* open requests at once, per database */
extern int	webhook_max_response_size;	/* bytes */
extern int	webhook_max_payload_size;	/* kilobytes */
extern int	webhook_timeout;	/* milliseconds, whole request */
extern int	webhook_buffer_retention;	/* seconds */
extern int	webhook_history_retention;	/* seconds */
extern int	webhook_history_max_size;	/* megabytes */
extern int	webhook_failed_retention;	/* seconds, 0: no limit */
extern bool webhook_dispatch;
extern bool webhook_inline_capture; /* without trigger events, where possible */
extern int	webhook_transform_timeout;	/* milliseconds */
extern int	webhook_api_key_max_age;	/* seconds, 0: no limit */
extern int	webhook_workers;	/* databases served at once */
extern int	webhook_max_databases;	/* with the extension */
extern char *webhook_reactivation_url;	/* with {token}; empty: none */
extern char *webhook_secrets_directory; /* for "file:" references; empty: none */
extern int	webhook_clock_offset;	/* seconds, for tests */
extern int	webhook_partition_size; /* kilobytes, of a full partition of the
									 * outbox */

/* Define the settings; called once from _PG_init. */
extern void settings_init(void);

/* Reload the configuration files.  Returns whether webhook.allowed_networks has changed. */
extern bool settings_reload(void);

/* For check hooks: allocate memory for the assign hook's argument; on failure sets the error and returns NULL. */
extern void *settings_allocate_extra(size_t size);

/*
 * The parsed forms.  The pointers stay valid; a configuration reload changes
 * what they point to.
 */
extern const NetguardList *settings_allowed_networks(void);
extern const RetrySchedule *settings_retry_schedule(void);

/* The name by which we introduce ourselves in a handshake. */
extern const char *settings_request_origin(void);

#endif							/* WEBHOOK_SETTINGS_H */
