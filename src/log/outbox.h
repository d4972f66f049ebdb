/*-------------------------------------------------------------------------
 *
 * outbox.h
 *		The writing end of the log: messages appended by transactions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_OUTBOX_H
#define WEBHOOK_OUTBOX_H

#include "access/transam.h"
#include "utils/array.h"
#include "utils/uuid.h"

/*
 * The place of a message in the log.  nth counts the places that the
 * transaction has drawn; fence is the next unassigned transaction id at that
 * moment, or invalid, see outbox.c.
 */
typedef struct OutboxId
{
	int64		id;
	int64		nth;
	FullTransactionId fence;
} OutboxId;

/* One message; text may be NULL where the column may be. */
typedef struct OutboxRow
{
	const OutboxId *id;			/* if it was drawn before, else NULL */
	const char *event;			/* trigger name */
	const char *entity_type;
	const char *entity_id;		/* JSON: a number or a string */
	const char *event_uid;
	const char *profile;
	const char *payload;		/* JSON text */
	int			payload_len;
	Oid			relation;		/* watched table that it is about, or InvalidOid */
	ArrayType  *webhook_ids;	/* bigint[], at least one */
} OutboxRow;

/*
 * Append a message; it is sent when the current transaction commits, and not
 * if the current subtransaction rolls back.  Everything is copied.
 */
extern void outbox_append(const OutboxRow *row, pg_uuid_t *message_id);

/* Draw the place of a message that is appended later in this transaction. */
extern void outbox_draw_id(OutboxId *id);

/* A fresh message id, and its text form (palloc'd). */
extern void outbox_new_message_id(pg_uuid_t *message_id);
extern char *outbox_message_id_text(const pg_uuid_t *message_id);

/* The partition to be written now, from shared memory or, the first time, from webhook.ring. */
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
