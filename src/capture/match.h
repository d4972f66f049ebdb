/*-------------------------------------------------------------------------
 *
 * match.h
 *		Which webhooks a message is for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_MATCH_H
#define WEBHOOK_MATCH_H

#include "base/catalog_event.h"
#include "executor/tuptable.h"
#include "nodes/bitmapset.h"

/* A change may need two messages with different actions, see payment_decide(). */
typedef enum MatchPart
{
	MATCH_FREE = 1,				/* those that belong to no integration */
	MATCH_INTEGRATED = 2,		/* those of the active integration */
	MATCH_ALL = MATCH_FREE | MATCH_INTEGRATED
} MatchPart;

#define MATCH_LISTS		3

/* What a message is matched by. */
typedef struct Match
{
	MatchPart	part;
	const char *integration;	/* the active one, or NULL */
	int64		only;			/* if not 0, no other webhook is considered */
	const Bitmapset *visible;	/* columns that may be compared; NULL: all */
	TupleTableSlot *old;		/* set for an update, else NULL */
	TupleTableSlot *new;
	const char *event_uid;
	const char *payload;		/* only needed if there are filters */
	Jsonb	   *parsed;			/* the payload, NULL until a filter needs it */
	Jsonb	   *rows;			/* what conditions are about; NULL: it is not
								 * known, or there are none, and they count as
								 * true */
	int			previous;		/* result: what the matched webhooks need of
								 * the row before, see catalog_event.h */
} Match;

/*
 * A payload as jsonb.  Escapes that json accepts and jsonb does not become U+FFFD,
 * see json_field_document().  A payload that jsonb cannot hold for another reason,
 * like a number with a million digits, counts as null: no filter matches it.
 */
extern Jsonb *match_parse_payload(const char *payload);

/* The document that conditions are about, {"new": ..., "old": ...}, of the two payloads; either may be NULL. */
extern Jsonb *match_condition_document(const char *new, const char *old);

/* Is this condition true?  What cannot be judged is not. */
extern bool match_condition(JsonPath *condition, Jsonb *document);

/* Is it a predicate, and so can be a condition at all? */
extern bool match_is_predicate(JsonPath *condition);

/*
 * Find the lists of webhooks that may match, each can be NULL.  Returns the number of webhooks in them; 0 if
 * the only one that the message is for is not among them.
 */
extern int	match_lists(const CatalogEvent *event, const Match *match, const CatalogWebhookList **lists);

/* The webhooks that the message is for, as bigint[]; NULL if there are none. */
extern ArrayType *match_webhooks(const CatalogEvent *event, Match *match);

#endif							/* WEBHOOK_MATCH_H */
