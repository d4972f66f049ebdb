/*-------------------------------------------------------------------------
 *
 * outcome.h
 *		How a request ended.
 *
 * The transfer must be one that libcurl has just finished, still with its handle.  Texts
 * belong to the transfer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_OUTCOME_H
#define WEBHOOK_OUTCOME_H

#include "http/transfer.h"

/* Classify the end of a request that is not the proxy's fault; sets transfer->error. */
extern HttpOutcome outcome_judge(Transfer *transfer, CURLcode code, int status);

/* Must be called first: discard a message of libcurl that is about another connection. */
extern void outcome_discard_foreign_message(Transfer *transfer, CURLcode code);

/* Is it certain that the receiver has not processed this request, so that it can be sent again? */
extern bool outcome_not_taken(const Transfer *transfer, CURLcode code);

/*
 * Is that so because a pooled connection turned out to be closed?  Then there may
 * be more of them.
 */
extern bool outcome_stale_connection(const Transfer *transfer, CURLcode code);

/* Has the proxy connected to the host? */
extern bool outcome_tunnelled(const Transfer *transfer);

/* libcurl's message for this request, or its generic one for the code. */
extern const char *outcome_curl_words(const Transfer *transfer, CURLcode code);

/* Set transfer->error.  Control characters, which a receiver may have sent, are replaced. */
extern void outcome_set_error(Transfer *transfer, const char *format,...)
			__attribute__((format(printf, 2, 3)));

#endif							/* WEBHOOK_OUTCOME_H */
