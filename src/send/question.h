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

/* What must be asked before anything is sent to this endpoint? */
extern Question question_next(const Endpoint *endpoint);

/* It is being asked. */
extern void question_ask(Endpoint *endpoint, Question question);

/* Take the answer; sets its outcome and error. */
extern void question_answered(Endpoint *endpoint, Question question, HttpResult *result);

/* When it last agreed to what it was asked; 0 if it has not, or is asked nothing. */
extern TimestampTz question_agreed_at(const Endpoint *endpoint);

#endif							/* WEBHOOK_QUESTION_H */
