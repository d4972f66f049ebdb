/*-------------------------------------------------------------------------
 *
 * trace.h
 *		Trace context, as defined by the W3C recommendation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TRACE_H
#define WEBHOOK_TRACE_H

#include <stdbool.h>
#include <stddef.h>

#define TRACE_PARENT_LENGTH		55
#define TRACE_SPAN_BYTES		8
#define TRACE_STATE_MAX			512

/* What is wrong with a value of the header traceparent or tracestate, as a constant phrase; NULL: nothing. */
extern const char *trace_parent_problem(const char *value);
extern const char *trace_state_problem(const char *value);

/* The same trace with another span as parent; out has room for TRACE_PARENT_LENGTH bytes and a NUL. */
extern void trace_set_span(const char *parent, const unsigned char span[TRACE_SPAN_BYTES], char *out);

/*
 * Write a JSON text, which is UTF-8, without space between its tokens and with
 * escapes for all characters outside of ASCII.  Returns the length, or 0 if it does
 * not fit into out together with a NUL.
 */
extern size_t trace_json_to_ascii(const char *json, char *out, size_t size);

#endif							/* WEBHOOK_TRACE_H */
