/*-------------------------------------------------------------------------
 *
 * match.h
 *		Which webhooks want a message.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_MATCH_H
#define WEBHOOK_MATCH_H

#include "base/catalog.h"
#include "executor/tuptable.h"
#include "nodes/bitmapset.h"

/* Which webhooks a message is for: a change may need two messages, see payment_action(). */
typedef enum MatchPart
{
	MATCH_FREE = 1,				/* those that belong to no integration */
	MATCH_INTEGRATED = 2,		/* those of the integration in force */
	MATCH_ALL = MATCH_FREE | MATCH_INTEGRATED
} MatchPart;

#define MATCH_LISTS		3

/* What a message is matched by. */
typedef struct Match
{
	MatchPart	part;
	const char *integration;	/* in force, or NULL */
	const Bitmapset *visible;	/* columns that may be compared; NULL: all */
	TupleTableSlot *old;		/* these two are given for an update */
	TupleTableSlot *new;
	const char *event_uid;
	const char *payload;
	Jsonb	   *parsed;			/* the payload, once somebody has needed it so */
} Match;

/*
 * A payload as jsonb.  Escapes that json accepts and jsonb does not become U+FFFD,
 * see json_field_document().  What cannot be mended, a number with a million digits,
 * contains nothing that a filter could ask for: it counts as null.
 */
extern Jsonb *match_parse_payload(const char *payload);

/* The lists of webhooks to be looked at, each may be NULL; returns how many webhooks there are. */
extern int	match_lists(const CatalogEvent *event, const Match *match, const CatalogWebhookList **lists);

/* The webhooks that want this message, as bigint[]; NULL if none does. */
extern ArrayType *match_webhooks(const CatalogEvent *event, Match *match);

#endif							/* WEBHOOK_MATCH_H */
