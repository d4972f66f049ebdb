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
 * to by name; note the tables that "*" does not reach.  To be called within
 * as_owner_begin().
 */
extern void withheld_check_webhook(int64 webhook_id);

/*
 * Why may a message that was captured before not be sent to this role now?
 * NULL: it may.  *unknown: that is not known now, because a session has locked
 * the table.  The verdicts are cached: asking costs a look into a hash table.
 * For the worker, in a transaction; the text lives in the current memory context, or longer.
 */
extern const char *withheld_reason(Oid role, const Message *message, bool *unknown);

/* Have the verdicts been given up since the last call?  What was not withheld may be so now. */
extern bool withheld_changed(void);

/*
 * When must what is withheld be looked at again?  The second function does so, in
 * a transaction with SPI connected, and reports what has changed.
 */
extern TimestampTz withheld_next_note(TimestampTz now);
extern void withheld_note(TimestampTz now);

/* The clock has been set back: correct the times that are remembered. */
extern void withheld_clock_set_back(TimestampTz now);

#endif							/* WEBHOOK_WITHHELD_H */
