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

/*
 * Must be called once, in a transaction, by a process that builds requests.  All
 * other functions require none.  Texts are in the database's encoding, and results in the
 * current memory context.
 */
extern void format_init(void);

/* The format with this name, NULL if there is none. */
extern const PayloadFormat *format_find(const char *name);
extern bool format_exists(const char *name);

/* A constant; NULL for batches of a format that has none. */
extern const char *format_content_type(const PayloadFormat *format, bool batch);

/* Can its body contain former values? */
extern bool format_has_previous(const PayloadFormat *format);

/* Can several messages share a body? */
extern bool format_has_batches(const PayloadFormat *format);

/* Append the body of the request; or the message as an element of a batch, with its id. */
extern void format_append_body(const PayloadFormat *format, const Message *message, StringInfo body);
extern void format_append_element(const PayloadFormat *format, const Message *message, StringInfo body);

/* Append the format's own header lines, in UTF-8, each terminated by a NUL.  Returns their number. */
extern int	format_append_headers(const PayloadFormat *format, const Message *message, StringInfo lines);

/* A member of a message's context as text, or the JSON text for FORMAT_CONTEXT; NULL if it was not set. */
#define FORMAT_TRACEPARENT	"traceparent"
#define FORMAT_TRACESTATE	"tracestate"
#define FORMAT_CONTEXT		"context"
extern const char *format_context(const Message *message, const char *name);

/* What the placeholders of a URL and the query string of a GET need. */
extern const char *format_entity_id_text(const Message *message);	/* "" for none */
extern const char *format_action(const Message *message);	/* "new", "update", ... */

/* Is it what test_webhook() sends?  Such names are not given to anything else. */
extern bool message_is_test(const Message *message);

#endif							/* WEBHOOK_FORMAT_H */
