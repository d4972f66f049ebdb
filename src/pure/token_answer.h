/*-------------------------------------------------------------------------
 *
 * token_answer.h
 *		The answer of an OAuth 2 token server.
 *
 * Pure: no backend state, no memory allocation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TOKEN_ANSWER_H
#define WEBHOOK_TOKEN_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_ANSWER_MAX		(64 * 1024) /* bytes */
#define TOKEN_ANSWER_MAX_TOKEN	8000

/* Lifetimes in seconds.  Shorter and longer ones count as these; the last one is assumed where there is none. */
#define TOKEN_ANSWER_MIN_LIFETIME		1
#define TOKEN_ANSWER_MAX_LIFETIME		(30 * 24 * 3600)
#define TOKEN_ANSWER_DEFAULT_LIFETIME	3600

typedef struct TokenAnswer
{
	char		access_token[TOKEN_ANSWER_MAX_TOKEN + 1];	/* printable ASCII
															 * without spaces */
	char		refresh_token[TOKEN_ANSWER_MAX_TOKEN + 1];	/* printable ASCII, ""
															 * if there is none */
	int			lifetime;		/* seconds */
} TokenAnswer;

/*
 * Read an answer of status 2xx.  NULL if there is a token, else what is wrong with it
 * as a constant lower-case phrase.
 */
extern const char *token_answer_read(const char *body, size_t len, TokenAnswer *answer);

/* The error code in another answer, if it is one that RFC 6749 defines; else NULL. */
extern const char *token_answer_error(const char *body, size_t len);

#endif							/* WEBHOOK_TOKEN_ANSWER_H */
