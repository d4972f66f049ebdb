/*-------------------------------------------------------------------------
 *
 * format.h
 *		Formats: what a message looks like in the body of a request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_FORMAT_H
#define WEBHOOK_FORMAT_H

#include "lib/stringinfo.h"
#include "log/message.h"

typedef struct PayloadFormat PayloadFormat;

/* To be called once, in a transaction: the formats themselves are written outside of any. */
extern void format_init(void);

/* NULL when there is no format of this name. */
extern const PayloadFormat *format_format(const char *name);
extern bool format_format_known(const char *name);

extern const char *format_content_type(const PayloadFormat *format, bool batch);

/* Has its body a place for former values? */
extern bool format_has_previous(const PayloadFormat *format);

/* Can several messages share a body? */
extern bool format_has_batches(const PayloadFormat *format);

/* Append the body of the request; or the message as an element of a batch, with its id. */
extern void format_append_body(const PayloadFormat *format, const Message *message, StringInfo body);
extern void format_append_element(const PayloadFormat *format, const Message *message, StringInfo body);

/* Append header lines of the format's own, each ended by a NUL; their number. */
extern int	format_append_headers(const PayloadFormat *format, const Message *message, StringInfo lines);

/* A part of the context of a message, as text, or the JSON text for FORMAT_CONTEXT; NULL if it was not set. */
#define FORMAT_TRACEPARENT	"traceparent"
#define FORMAT_TRACESTATE	"tracestate"
#define FORMAT_CONTEXT		"context"
extern const char *format_context(const Message *message, const char *name);

/* What the placeholders of a URL and the query string of a GET need, in the current memory context. */
extern const char *format_entity_id_text(const Message *message);	/* "" for none */
extern const char *format_action(const Message *message);	/* new, update, delete,
															 * ... */

/* Is it what test_webhook() sends?  Such names are not given to anything else. */
extern bool message_is_test(const Message *message);

#endif							/* WEBHOOK_FORMAT_H */
