/*-------------------------------------------------------------------------
 *
 * question.h
 *		What an endpoint is asked before anything is sent there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_QUESTION_H
#define WEBHOOK_QUESTION_H

#include "send/endpoint.h"

typedef enum Question
{
	QUESTION_NONE,
	QUESTION_HANDSHAKE,
	QUESTION_CHALLENGE,
	QUESTION_TOKEN				/* asked of the token server, see authorize.c */
} Question;

/* The question that must precede anything that is sent to this endpoint; never QUESTION_TOKEN. */
extern Question question_next(const Endpoint *endpoint);

/* Note that a handshake or challenge is about to be sent.  The challenge gets a new nonce. */
extern void question_note_asked(Endpoint *endpoint, Question question);

/*
 * Take the result of that request.  Sets its outcome, HTTP_AGREED if the endpoint
 * agrees, and its error, which is valid until the next question.
 */
extern void question_take_answer(Endpoint *endpoint, Question question, HttpResult *result);

/* When the endpoint last agreed to what it was asked; 0 if it has not, or is asked nothing. */
extern TimestampTz question_agreed_at(const Endpoint *endpoint);

#endif							/* WEBHOOK_QUESTION_H */
