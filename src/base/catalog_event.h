/*-------------------------------------------------------------------------
 *
 * catalog_event.h
 *		Which webhooks subscribe to an event: a cache of every backend.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CATALOG_EVENT_H
#define WEBHOOK_CATALOG_EVENT_H

#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/jsonpath.h"

#include "base/catalog.h"

/* What messages about a change contain of the row before it, as bits. */
#define CATALOG_CHANGED		0x01	/* the values of the columns that changed */
#define CATALOG_FORMER		0x02	/* all of it */

/* The properties of a webhook that capture uses. */
typedef struct CatalogWebhook
{
	int64		id;
	Oid			owner;
	int			nuids;			/* 0: all events */
	char	  **uids;
	int			ncolumns;		/* 0: any change */
	char	  **columns;
	Jsonb	   *filter;			/* or NULL */
	JsonPath   *condition;		/* or NULL */
	List	   *condition_columns;	/* see condition.h */
	bool		condition_reads_all;	/* not only these columns? */
	int			previous;		/* CATALOG_CHANGED, CATALOG_FORMER or 0 */
	char	   *integration;	/* or NULL */
	bool		uid_in_url;		/* is the event UID part of its URL? */
} CatalogWebhook;

/* The webhooks with the same event UID, within one CatalogEvent. */
typedef struct CatalogWebhookList
{
	int			count;
	int			space;
	CatalogWebhook **items;
} CatalogWebhookList;

/* All webhooks that subscribe to one trigger name. */
typedef struct CatalogEvent
{
	bool		wanted;			/* is there any webhook? */
	bool		plain;			/* no webhook has restrictions: all_ids is the
								 * answer */
	CatalogWebhookList unrestricted;	/* for any event UID */
	struct HTAB *by_uid;		/* event UID -> CatalogWebhookList, or NULL */
	struct HTAB *by_integration;	/* name -> webhooks of that integration,
									 * for any UID; or NULL */
	ArrayType  *all_ids;		/* when plain */
	bool		asks_uid;		/* does any webhook depend on the event UID? */
	bool		asks_filter;	/* does any webhook have a filter? */
	bool		asks_condition; /* does any webhook have a condition? */
	bool		condition_reads_all;	/* do conditions read whole rows? */
	int			ncondition_columns; /* else, the columns that they read */
	char	  **condition_columns;
	int			previous;		/* of all webhooks */
	bool		any_change;		/* does any webhook want an update whatever
								 * has changed? */
	int			ncolumns;		/* else, the columns that they want it for */
	char	  **columns;
	int			nowners;
	Oid		   *owners;			/* of these webhooks, each once */
} CatalogEvent;

/* Should this webhook be included? */
typedef bool (*CatalogFilter) (const CatalogWebhook *webhook, void *arg);

/* The webhooks that subscribe to this trigger name.  Requires a transaction. */
extern const CatalogEvent *catalog_event(const char *event);

/*
 * The same, including only webhooks that pass the filter.  Allocated in the current
 * memory context; valid no longer than the result of catalog_event().
 */
extern const CatalogEvent *catalog_event_filtered(const char *event, CatalogFilter filter, void *arg);

/* The webhooks of this event that are restricted to this event UID, or NULL. */
extern const CatalogWebhookList *catalog_event_uid(const CatalogEvent *event, const char *uid);

/* The webhooks of this integration, or NULL.  The name may be NULL. */
extern const CatalogWebhookList *catalog_event_integration(const CatalogEvent *event,
														   const char *integration);

/* "guest.*" matches "guest.create", "*" everything but the names in "webhook." */
extern bool catalog_event_matches(const char *pattern, const char *event);

#endif							/* WEBHOOK_CATALOG_EVENT_H */
