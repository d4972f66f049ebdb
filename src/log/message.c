/*-------------------------------------------------------------------------
 *
 * message.c
 *		A message in the memory of the worker.
 *
 * A message is one chunk of memory: the struct, the ids of its webhooks, and
 * its texts, each terminated by a NUL.  One that was read from the outbox belongs to
 * the cursor, one that was read from a table to its delivery.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "log/message.h"

/* Copy a text to *to and advance *to; NULL for NULL. */
static char *
message_copy_text(TextSpan text, char **to)
{
	char	   *copy = *to;

	if (text.data == NULL)
		return NULL;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	*to += text.len + 1;

	return copy;
}

Message *
message_create(const TextSpan *texts, const int64 *webhook_ids, int nwebhooks, MemoryContext context)
{
	Size		ids_size = nwebhooks * sizeof(int64);
	Size		size = MAXALIGN(sizeof(Message)) + ids_size;
	Message    *message;
	char	   *to;

	for (int i = 0; i < MESSAGE_NTEXTS; i++)
		size += texts[i].data != NULL ? texts[i].len + 1 : 0;
	message = MemoryContextAlloc(context, size);
	memset(message, 0, sizeof(Message));
	dlist_init(&message->deliveries);

	to = (char *) message + MAXALIGN(sizeof(Message));
	message->webhook_ids = (int64 *) to;
	message->nwebhooks = nwebhooks;
	if (nwebhooks > 0)
		memcpy(message->webhook_ids, webhook_ids, ids_size);
	to += ids_size;
	message->payload_len = texts[MESSAGE_PAYLOAD].len;
	message->event = message_copy_text(texts[MESSAGE_EVENT], &to);
	message->entity_type = message_copy_text(texts[MESSAGE_ENTITY_TYPE], &to);
	message->context = message_copy_text(texts[MESSAGE_CONTEXT], &to);
	message->entity_id = message_copy_text(texts[MESSAGE_ENTITY_ID], &to);
	message->event_uid = message_copy_text(texts[MESSAGE_EVENT_UID], &to);
	message->profile = message_copy_text(texts[MESSAGE_PROFILE], &to);
	message->payload = message_copy_text(texts[MESSAGE_PAYLOAD], &to);
	message->previous_len = texts[MESSAGE_CHANGED].len + texts[MESSAGE_FORMER].len;
	message->changed = message_copy_text(texts[MESSAGE_CHANGED], &to);
	message->former = message_copy_text(texts[MESSAGE_FORMER], &to);
	Assert(to == (char *) message + size);
	return message;
}

static TextSpan
message_text(const char *string)
{
	TextSpan	text = {string, string != NULL ? (int) strlen(string) : 0};

	return text;
}

Message *
message_copy(const Message *message, MemoryContext context)
{
	TextSpan	texts[MESSAGE_NTEXTS];
	Message    *copy;

	texts[MESSAGE_EVENT] = message_text(message->event);
	texts[MESSAGE_ENTITY_TYPE] = message_text(message->entity_type);
	texts[MESSAGE_CONTEXT] = message_text(message->context);
	texts[MESSAGE_ENTITY_ID] = message_text(message->entity_id);
	texts[MESSAGE_EVENT_UID] = message_text(message->event_uid);
	texts[MESSAGE_PROFILE] = message_text(message->profile);
	texts[MESSAGE_PAYLOAD].data = message->payload;
	texts[MESSAGE_PAYLOAD].len = message->payload_len;
	texts[MESSAGE_CHANGED] = message_text(message->changed);
	texts[MESSAGE_FORMER] = message_text(message->former);
	copy = message_create(texts, NULL, 0, context);
	copy->id = message->id;
	copy->message_id = message->message_id;
	copy->created_at = message->created_at;
	copy->xid = message->xid;
	copy->relation = message->relation;
	return copy;
}
