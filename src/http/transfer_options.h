/*-------------------------------------------------------------------------
 *
 * transfer_options.h
 *		What libcurl is told about a request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TRANSFER_OPTIONS_H
#define WEBHOOK_TRANSFER_OPTIONS_H

#include "http/transfer.h"

/* Set an option; on failure returns from the function that uses it. */
#define TRANSFER_SET(option, value) \
	do { \
		CURLcode	rc_ = curl_easy_setopt(transfer->easy, (option), (value)); \
		if (rc_ != CURLE_OK) \
			return rc_; \
	} while (0)

/* Set the constant options of a handle that is new or has been reset. */
extern CURLcode transfer_options_reset(Transfer *transfer);

/* Set the options for the transfer's request, except for those of route.c. */
extern CURLcode transfer_options_set(Transfer *transfer);

/* Extend the timeout of a running request; 0 restores it.  Returns false if libcurl fails. */
extern bool transfer_options_allow_more(Transfer *transfer, long ms);

#endif							/* WEBHOOK_TRANSFER_OPTIONS_H */
