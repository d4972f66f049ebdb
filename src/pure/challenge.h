/*-------------------------------------------------------------------------
 *
 * challenge.h
 *		Have an endpoint prove that it wants to receive messages.
 *
 * Pure: OpenSSL only, no backend state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CHALLENGE_H
#define WEBHOOK_CHALLENGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHALLENGE_NONCE_BYTES	32	/* random ones */
#define CHALLENGE_NONCE_LENGTH	(2 * CHALLENGE_NONCE_BYTES) /* in hexadecimal */
#define CHALLENGE_MAX_ANSWER	1024	/* bytes */
#define CHALLENGE_MAX_PROBLEM	400

/* All zeros: not asked yet. */
typedef struct Challenge
{
	bool		wanted;			/* the webhook's configuration says so */
	char	   *asked_url;		/* of the question that was asked last;
								 * malloc'd, or NULL */
	char		nonce[CHALLENGE_NONCE_LENGTH + 1];	/* of that question */
	bool		agreed;			/* it was answered */
	int64_t		agreed_at;
	char		problem[CHALLENGE_MAX_PROBLEM]; /* why there is no agreement,
												 * one line */
} Challenge;

/* Must the endpoint be asked before anything is sent to this URL? */
extern bool challenge_needed(const Challenge *challenge, const char *url);

/* It is being asked, with these random bytes, which must not have been used before.  Voids an earlier agreement. */
extern void challenge_ask(Challenge *challenge, const char *url, const unsigned char *nonce);

/*
 * It has responded with a 2xx and this body: the nonce, or {"challenge":
 * "nonce"}.  False: it is something else.
 */
extern bool challenge_answer(Challenge *challenge, const char *body, size_t len, int64_t now);

/* The request failed. */
extern void challenge_failed(Challenge *challenge, const char *error);

/* Ask again next time. */
extern void challenge_forget(Challenge *challenge);

#endif							/* WEBHOOK_CHALLENGE_H */
