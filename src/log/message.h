/*-------------------------------------------------------------------------
 *
 * message.h
 *		A message in the memory of the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_MESSAGE_H
#define WEBHOOK_MESSAGE_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "utils/uuid.h"

/* A text that need not be terminated; data NULL means NULL. */
typedef struct TextSpan
{
	const char *data;
	int			len;
} TextSpan;

/* The texts of a message; the first three are the same for all messages in a row of the outbox. */
enum
{
	MESSAGE_EVENT,
	MESSAGE_ENTITY_TYPE,
	MESSAGE_CONTEXT,
	MESSAGE_ENTITY_ID,
	MESSAGE_EVENT_UID,
	MESSAGE_PROFILE,
	MESSAGE_PAYLOAD,
	MESSAGE_CHANGED,
	MESSAGE_FORMER,
	MESSAGE_NTEXTS
};

typedef struct Message
{
	int64		id;				/* order of the log */
	pg_uuid_t	message_id;		/* "webhook-id" */
	TimestampTz created_at;
	Oid			relation;		/* source table, or InvalidOid */
	char	   *event;			/* trigger name */
	char	   *entity_type;	/* these four may be NULL */
	char	   *entity_id;		/* JSON: a number or a string */
	char	   *event_uid;
	char	   *profile;
	char	   *payload;		/* JSON text, or NULL */
	int			payload_len;
	char	   *changed;		/* former values of the columns that changed,
								 * or NULL; JSON text */
	char	   *former;			/* the payload before the change, or NULL */
	int			previous_len;	/* of both */
	char	   *context;		/* see context.h, or NULL */
	const char *previous;		/* what is sent of them, see prepare_message() */
	int			nwebhooks;
	int64	   *webhook_ids;

	/* position in the log; NULL and 0 if it was read from the delivery table */
	struct Window *window;
	uint64		xid;

	/* set by the worker */
	int			unfinished;		/* deliveries that are neither done nor
								 * spilled */
	bool		finished;
	dlist_head	deliveries;		/* of this message, in memory */
	dlist_node	node;			/* in the cursor's list of messages, in order
								 * of ids */
	TimestampTz read_at;
} Message;

/*
 * Create a message with copies of these texts (MESSAGE_NTEXTS of them) and webhooks.
 * All other fields are zero.  It is freed by pfree().
 */
extern Message *message_create(const TextSpan *texts, const int64 *webhook_ids, int nwebhooks, MemoryContext context);

/* Copy the contents of a message, except for its webhooks, its window and its deliveries. */
extern Message *message_copy(const Message *message, MemoryContext context);

/* Approximate memory used by a message and its deliveries, in bytes. */
#define MESSAGE_SIZE(m) \
	(sizeof(Message) + (m)->payload_len + (m)->previous_len + \
	 (m)->nwebhooks * (sizeof(int64) + MESSAGE_DELIVERY_SIZE) + 256)
#define MESSAGE_DELIVERY_SIZE	320

#endif							/* WEBHOOK_MESSAGE_H */
