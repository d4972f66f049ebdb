/*-------------------------------------------------------------------------
 *
 * handshake.h
 *		Ask an endpoint for permission before the first delivery.
 *
 * The abuse protection of "HTTP 1.1 Web Hooks for Event Delivery" by
 * CloudEvents.  Pure: no backend state.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_HANDSHAKE_H
#define WEBHOOK_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#define HANDSHAKE_MAX_ORIGIN	253 /* of a DNS name */
#define HANDSHAKE_MAX_PROBLEM	400

/* All zeros: not asked yet. */
typedef struct Handshake
{
	bool		wanted;			/* the webhook's configuration says so */
	char	   *asked_url;		/* of the question that was asked last;
								 * malloc'd, or NULL */
	char	   *asked_origin;
	bool		agreed;			/* to what was asked */
	int			rate;			/* requests per minute that the endpoint
								 * allows; 0: any number */
	int64_t		agreed_at;
	char		problem[HANDSHAKE_MAX_PROBLEM]; /* why there is no agreement,
												 * one line */
} Handshake;

/* Must the endpoint be asked before anything is sent to this URL from this origin? */
extern bool handshake_needed(const Handshake *handshake, const char *url, const char *origin);

/* The endpoint is being asked, for this URL and origin.  Voids an earlier agreement. */
extern void handshake_ask(Handshake *handshake, const char *url, const char *origin);

/*
 * It has answered.  The arguments are the values of WebHook-Allowed-Origin and
 * WebHook-Allowed-Rate, NULL if they are missing.  False: it does not agree.
 */
extern bool handshake_answer(Handshake *handshake, const char *allowed_origin,
							 const char *allowed_rate, int64_t now);

/* The request failed. */
extern void handshake_failed(Handshake *handshake, const char *error);

/* Ask again next time. */
extern void handshake_forget(Handshake *handshake);

/* Can this be the name of the sender? */
extern bool handshake_origin_valid(const char *origin);

#endif							/* WEBHOOK_HANDSHAKE_H */
