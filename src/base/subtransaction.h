/*-------------------------------------------------------------------------
 *
 * subtransaction.h
 *		Errors that are caught in an internal subtransaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SUBTRANSACTION_H
#define WEBHOOK_SUBTRANSACTION_H

#include "utils/resowner.h"

/*
 * For PG_CATCH(): roll back the subtransaction, and return to the context and the resource
 * owner from before it.  Returns the error, allocated in that context; the caller must
 * rethrow it unless it is one that it can handle.
 */
extern ErrorData *subtransaction_abort(MemoryContext context, ResourceOwner owner);

#endif							/* WEBHOOK_SUBTRANSACTION_H */
