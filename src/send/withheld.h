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
 * Refuse a webhook whose owner may not select from a table that it subscribes
 * to by name; store what it will not be sent.  Must be called within
 * as_owner_begin().
 */
extern void withheld_check_webhook(int64 webhook_id);

/*
 * Why may a message that was captured before not be sent to this role now?
 * NULL: it may.  *unknown: that cannot be checked now, because a session has
 * locked the table.  Results are cached, so most calls cost a hash lookup.  For
 * the worker, in a transaction; the text lives in the current memory context, or longer.
 */
extern const char *withheld_reason(Oid role, const Message *message, bool *unknown);

/*
 * Remove from a message what such a role may not see, where it is part of a JSON object.  The texts that
 * remain are as they were, or palloc'd.
 */
extern void withheld_remove_hidden(Oid role, Message *message);

/* Has a change of privileges or settings made them invalid since the last call? */
extern bool withheld_changed(void);

/*
 * When must webhook.withheld be brought up to date?  The second function does it, in
 * a transaction with SPI connected, and reports what is new.
 */
extern TimestampTz withheld_next_note(TimestampTz now);
extern void withheld_note(TimestampTz now);

/* The clock has been set back: correct the times that are remembered. */
extern void withheld_clock_set_back(TimestampTz now);

#endif							/* WEBHOOK_WITHHELD_H */
