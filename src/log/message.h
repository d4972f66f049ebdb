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

typedef struct Message
{
	int64		id;				/* order of the log */
	pg_uuid_t	message_id;		/* "webhook-id" */
	TimestampTz created_at;
	Oid			relation;		/* watched table that it is about, or InvalidOid */
	char	   *event;			/* trigger name */
	char	   *entity_type;	/* these four may be NULL */
	char	   *entity_id;		/* JSON: a number or a string */
	char	   *event_uid;
	char	   *profile;
	char	   *payload;		/* JSON text, or NULL */
	int			payload_len;
	int			nwebhooks;
	int64	   *webhook_ids;

	/* where it came from; NULL, 0: from the delivery table */
	struct Window *window;
	uint64		xid;

	/* bookkeeping of whoever holds it */
	int			unfinished;		/* deliveries that are neither done nor spilled */
	bool		finished;
	dlist_head	deliveries;		/* of this message, in memory */
	dlist_node	node;			/* in the cursor's list of messages in order */
	TimestampTz read_at;
} Message;

/* Bytes that a message takes in memory with its deliveries, about. */
#define MESSAGE_SIZE(m) \
	(sizeof(Message) + (m)->payload_len + (m)->nwebhooks * (sizeof(int64) + MESSAGE_DELIVERY_SIZE) + 256)
#define MESSAGE_DELIVERY_SIZE	320

#endif							/* WEBHOOK_MESSAGE_H */
