/*-------------------------------------------------------------------------
 *
 * context.h
 *		What a session says of its changes: who makes them, and their trace.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CONTEXT_H
#define WEBHOOK_CONTEXT_H

/* Bytes of the setting webhook.context. */
#define CONTEXT_MAX_LENGTH	4096

/* The context of messages about what was there already; the header webhook-replay has the value. */
#define CONTEXT_REPLAY			"replay"
#define CONTEXT_OF_BACKFILL		"{\"" CONTEXT_REPLAY "\":\"backfill\"}"

/* Define the settings. */
extern void context_define_settings(void);

/*
 * The settings of this moment as JSON, {"traceparent": ..., "tracestate": ...,
 * "context": ...}, with those that are set; NULL if none is.  Valid until one of them
 * is changed.
 */
extern const char *context_current(void);

#endif							/* WEBHOOK_CONTEXT_H */
