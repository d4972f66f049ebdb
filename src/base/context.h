/*-------------------------------------------------------------------------
 *
 * context.h
 *		The context that a session gives its changes: who makes them, and their trace.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CONTEXT_H
#define WEBHOOK_CONTEXT_H

/* Bytes of the setting webhook.context. */
#define CONTEXT_MAX_LENGTH	4096

/* The context of messages about existing rows; the header webhook-replay contains the value. */
#define CONTEXT_REPLAY			"replay"
#define CONTEXT_OF_BACKFILL		"{\"" CONTEXT_REPLAY "\":\"backfill\"}"
#define CONTEXT_OF_REPLAY		"{\"" CONTEXT_REPLAY "\":\"replay\"}"

/* Define the settings. */
extern void context_define_settings(void);

/*
 * The current settings as JSON, {"traceparent": ..., "tracestate": ..., "context":
 * ...}, with those that are set; NULL if none is.  Valid until one of them is
 * changed.
 */
extern const char *context_current(void);

#endif							/* WEBHOOK_CONTEXT_H */
