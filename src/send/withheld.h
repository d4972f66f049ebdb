/*-------------------------------------------------------------------------
 *
 * withheld.h
 *		What must not be sent any more: messages whose rows the owner may not see.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WITHHELD_H
#define WEBHOOK_WITHHELD_H

#include "datatype/timestamp.h"

#include "log/message.h"

/*
 * For sessions: raise an error if the webhook's owner may not select from a table that
 * it subscribes to by name; else store what it will not be sent.  Must be called
 * within as_owner_begin().
 */
extern void withheld_check_webhook(int64 webhook_id);

/*
 * Why a message that was captured before must not be sent to this role now; NULL if it
 * may.  *unknown: that cannot be checked now, because a session has locked the table.
 * Results are cached, so most calls cost a hash lookup.  The text is palloc'd, or valid
 * until privileges change.  For the worker; requires a transaction, and does not wait
 * for a lock on the table.
 */
extern const char *withheld_reason(Oid role, const Message *message, bool *unknown);

/*
 * Remove from a message the members of JSON objects that this role may not read.  A text
 * that changes is replaced by a palloc'd one.  Nothing is removed if it cannot be
 * checked now.  Requires a transaction.
 */
extern void withheld_remove_hidden(Oid role, Message *message);

/* Has a change of privileges or settings invalidated such results since the last call? */
extern bool withheld_take_access_change(void);

/*
 * When webhook.withheld must be updated, DT_NOEND if never; and update it, and report
 * what is new.  Requires a transaction with SPI connected.
 */
extern TimestampTz withheld_next_note(TimestampTz now);
extern void withheld_note(TimestampTz now);

/* The clock has been set back: correct the times that are remembered. */
extern void withheld_clock_set_back(TimestampTz now);

#endif							/* WEBHOOK_WITHHELD_H */
