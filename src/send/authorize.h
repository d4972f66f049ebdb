/*-------------------------------------------------------------------------
 *
 * authorize.h
 *		Endpoints to which access tokens are sent.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_AUTHORIZE_H
#define WEBHOOK_AUTHORIZE_H

#include "send/delivery.h"

typedef enum Authorization
{
	AUTHORIZATION_READY,		/* there is a token, or none is needed */
	AUTHORIZATION_AWAITED,		/* when there is one, the endpoint gets its
								 * turn */
	AUTHORIZATION_DENIED		/* there is none; token_failure() has the
								 * reason */
} Authorization;

/* May something be sent to the endpoint?  If not, a token is requested by the next call of authorize_start(). */
extern Authorization authorize_endpoint(Endpoint *endpoint, TimestampTz now);

/* Start requests for tokens. */
extern void authorize_start(Http *http, TimestampTz now);

/* The request has ended.  False if it was not for a token. */
extern bool authorize_take_answer(const HttpResult *result, TimestampTz now);

/* Has the receiver refused the token, so that the same is sent again with another one? */
extern bool authorize_again(const Delivery *delivery, const HttpResult *result, TimestampTz now);

/* What token_save() has written is committed. */
extern void authorize_saved(void);

#endif							/* WEBHOOK_AUTHORIZE_H */
