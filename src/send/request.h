/*-------------------------------------------------------------------------
 *
 * request.h
 *		The HTTP request of one attempt.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_REQUEST_H
#define WEBHOOK_REQUEST_H

#include "http/http.h"
#include "log/message.h"
#include "send/endpoint.h"
#include "send/question.h"

/* It has copies of all that it needs, since the endpoint may be reloaded while it is in flight. */
typedef struct Request
{
	HttpRequest http;			/* points into the buffers below */
	StringInfoData url;
	StringInfoData body;
	StringInfoData lines;		/* header lines, each ended by a NUL */
	struct Delivery **deliveries;	/* those that it is sent for, the first
									 * one is its owner */
	int			ndeliveries;
	int			deliveries_space;
	int			own_headers;	/* number of lines that are not from the
								 * webhook's configuration: shown in the log */
	uint64		token;			/* the number of its access token, or 0 */
	const char **headers;
	int			headers_space;
	char	   *certificates[3];	/* PEM or NULL */
	struct Request *next_free;
} Request;

/* Why the webhook's URL cannot be used with this message, as a constant; NULL if it can. */
extern const char *request_check_message(const Endpoint *endpoint, const Message *message);

/* Messages for one request: a single one, or an array of them if the endpoint has batches. */
typedef struct RequestBatch
{
	const Message **messages;
	int			n;
	int			current;		/* the one that is being written; -1: none */
} RequestBatch;

/*
 * Build the request for one attempt at the given time.  Reduces batch->n to the
 * messages that fit.  Raises an error if the URL becomes too long, a message cannot be
 * written or signed, or config.problem is set; batch->current tells which message of a
 * batch could not be written.  Requires no transaction.  Requests come from a pool and
 * must be released, after their result has been taken.
 */
extern Request *request_build(const Endpoint *endpoint, RequestBatch *batch, TimestampTz now);
extern void request_release(Request *request);

/* Set the deliveries that the request is sent for; the first one is its owner. */
extern void request_set_deliveries(Request *request, struct Delivery *const *deliveries, int n);

/* In the same way, build a handshake or challenge, after question_note_asked(), that precedes this message. */
extern Request *request_build_question(const Endpoint *endpoint, Question question, const Message *message,
									   TimestampTz now);

/* How many messages it contains; 1 for NULL, a request that could not be built. */
extern int	request_messages(const Request *request);

/* The method as a constant, so that it outlives the endpoint's configuration. */
extern const char *request_method(const char *method);

#endif							/* WEBHOOK_REQUEST_H */
