/*-------------------------------------------------------------------------
 *
 * token.h
 *		OAuth 2 access tokens in the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TOKEN_H
#define WEBHOOK_TOKEN_H

#include "datatype/timestamp.h"

#include "http/http.h"
#include "send/token_settings.h"

typedef struct Token Token;

extern void token_init(void);

/*
 * The token for these settings, which all webhooks of an owner that have the same ones share.
 * In a transaction, with SPI connected.
 */
extern Token *token_take(const TokenSettings *settings);
extern void token_release(Token *token);

extern const char *token_url(const Token *token);

/* Is the token valid now?  If so, its header, and its number, which is unique within the worker. */
extern bool token_usable(const Token *token, TimestampTz now);
extern const char *token_header(const Token *token);
extern uint64 token_number(const Token *token);

/* It is being sent: have it renewed in time. */
extern void token_use(Token *token);

/* Request it, unless that is done already. */
extern void token_want(Token *token);

/* Has no other token than that of this number been received, and is it not about to be replaced? */
extern bool token_is_current(const Token *token, uint64 number);

/*
 * A receiver has refused the current token, so that another one is needed.  False if that
 * has happened just now: another one would not help.
 */
extern bool token_refused(Token *token, TimestampTz now);

/* Want those that must be renewed now. */
extern void token_find_due(TimestampTz now);

/*
 * The next token that is wanted; it is in flight then, and its request valid until
 * token_answered().  If there is none because of an error, that is set, else empty.  NULL: no
 * token.
 */
extern Token *token_next_request(char *error, size_t size);
extern const HttpRequest *token_request(Token *token);

/* The token whose request this is the owner of, or NULL. */
extern Token *token_of_request(const void *owner);

typedef enum TokenOutcome
{
	TOKEN_GRANTED,
	TOKEN_GRANTED_UNSAVED,		/* it can be used when token_saved() says so */
	TOKEN_DENIED
} TokenOutcome;

/* Its request has ended.  The token may have been freed if no webhook uses it. */
extern TokenOutcome token_answered(Token *token, const HttpResult *result, TimestampTz now);

/* Are there requests that may replace a refresh token? */
extern bool token_refresh_in_flight(void);

/* The last failure, as the result of an attempt; false if there was none, or it was long ago. */
extern bool token_failed_lately(const Token *token, TimestampTz now);
extern void token_failure(const Token *token, HttpResult *result);

/* When the next renewal of a token in use is due; DT_NOEND if none is. */
extern TimestampTz token_next_event(void);

/*
 * Are there refresh tokens to be saved?  The second function does it, in a transaction
 * with SPI connected.  When that has been committed, the third one must be called, which
 * calls back for each token that can be used now.
 */
extern bool token_unsaved(void);
extern void token_save(void);
extern void token_saved(void (*callback) (Token *token));

/* The clock has been set back. */
extern void token_clock_set_back(TimestampTz now);

#endif							/* WEBHOOK_TOKEN_H */
