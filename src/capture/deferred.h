/*-------------------------------------------------------------------------
 *
 * deferred.h
 *		Changes that are captured at the end of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DEFERRED_H
#define WEBHOOK_DEFERRED_H

#include "capture/change.h"
#include "capture/row_copy.h"
#include "log/outbox.h"

typedef struct DeferredRow DeferredRow;

/*
 * Defer a change, and reserve the next positions in the log for its messages.
 * Returns false if the limit of the transaction has been reached, or if
 * deferred rows are being captured.
 */
extern bool deferred_add(const Change *change);

/* Has a change been deferred in this transaction? */
extern bool deferred_pending(void);

/* Next reserved log position of the deferred row being captured; NULL if none is left or the row is not deferred. */
extern const OutboxId *deferred_next_id(DeferredRow *row);

/* The context of its change, or NULL. */
extern const char *deferred_context(const DeferredRow *row);

/* Before the commit: call back for each deferred row, in the order of the changes. */
extern void deferred_at_pre_commit(void (*capture) (const RowCopy *copy, DeferredRow *row));

/* Must be called at the end of every transaction and subtransaction. */
extern void deferred_at_eoxact(void);
extern void deferred_at_eosubxact(bool committed, SubTransactionId subid, SubTransactionId parent);

#endif							/* WEBHOOK_DEFERRED_H */
