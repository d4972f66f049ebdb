/*-------------------------------------------------------------------------
 *
 * outbox.h
 *		Append messages to the log, in the application's transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_OUTBOX_H
#define WEBHOOK_OUTBOX_H

#include "access/transam.h"
#include "utils/array.h"
#include "utils/uuid.h"

/*
 * The position of a message in the log.  nth counts the ids that the transaction
 * has drawn; fence is the next unassigned transaction id at that moment, or
 * invalid, see outbox.c.
 */
typedef struct OutboxId
{
	int64		id;
	int64		nth;
	FullTransactionId fence;
} OutboxId;

/* One message; texts may be NULL where the column may be null. */
typedef struct OutboxRow
{
	const OutboxId *id;			/* the id, if drawn before, else NULL */
	const char *event;			/* trigger name */
	const char *entity_type;
	const char *entity_id;		/* JSON: a number or a string */
	const char *event_uid;
	const char *profile;
	const char *payload;		/* JSON text */
	int			payload_len;
	const char *changed;		/* former values of the columns that changed,
								 * as JSON text */
	int			changed_len;
	const char *former;			/* the payload before the change, likewise */
	int			former_len;
	const char *context;		/* see context.h */
	Oid			relation;		/* source table, or InvalidOid */
	ArrayType  *webhook_ids;	/* bigint[], at least one */
} OutboxRow;

/*
 * Append a message.  It is sent if the current (sub)transaction commits.  All data
 * is copied.  Sets *message_id.  Raises an error if the extension does not exist, or
 * the payload is too large.  Requires a transaction that can write.
 */
extern void outbox_append(const OutboxRow *row, pg_uuid_t *message_id);

/* Draw the id of a message that will be appended later in this transaction, under the lock of the changed row. */
extern void outbox_draw_id(OutboxId *id);

/* The last id that this process has drawn; 0: none. */
extern int64 outbox_last_id(void);

/* Generate a message id; the text form of one, palloc'd. */
extern void outbox_new_message_id(pg_uuid_t *message_id);
extern char *outbox_message_id_text(const pg_uuid_t *message_id);

/*
 * The current partition, from shared memory or, when first used after a server start,
 * from webhook.ring.  Requires a transaction, and the extension.
 */
extern int	outbox_current_partition(void);

/*
 * Before a commit: write what is buffered.  Before that of a subtransaction: if
 * there is much.
 */
extern void outbox_at_pre_commit(void);
extern void outbox_at_pre_subcommit(SubTransactionId subid);

/* Must be called at the end of every transaction and subtransaction. */
extern void outbox_at_eoxact(void);
extern void outbox_at_eosubxact(bool committed, SubTransactionId subid, SubTransactionId parent);

#endif							/* WEBHOOK_OUTBOX_H */
