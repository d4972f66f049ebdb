/*-------------------------------------------------------------------------
 *
 * payload.h
 *		Formats: what a message looks like in the body of a request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PAYLOAD_H
#define WEBHOOK_PAYLOAD_H

#include "lib/stringinfo.h"
#include "message.h"

typedef struct PayloadFormat PayloadFormat;

/* To be called once, in a transaction: the formats themselves are written outside of any. */
extern void payload_init(void);

/* NULL when there is no format of this name. */
extern const PayloadFormat *payload_format(const char *name);
extern bool payload_format_known(const char *name);

extern const char *payload_content_type(const PayloadFormat *format);

/* Append the body of the request. */
extern void payload_append_body(const PayloadFormat *format, const Message *message, StringInfo body);

/* Append header lines of the format's own, each ended by a NUL; their number. */
extern int	payload_append_headers(const PayloadFormat *format, const Message *message, StringInfo lines);

/* What the placeholders of a URL and the query string of a GET need, in the current memory context. */
extern const char *payload_entity_id_text(const Message *message);	/* "" for none */
extern const char *payload_action(const Message *message);	/* new, update, delete, ... */

/* Is it what test_webhook() sends?  Such names are not given to anything else. */
extern bool payload_is_test(const Message *message);

#endif							/* WEBHOOK_PAYLOAD_H */
