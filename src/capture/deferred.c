/*-------------------------------------------------------------------------
 *
 * deferred.c
 *		Changes that are captured at the end of the transaction.
 *
 * A guest may be inserted before the event that it belongs to.  Deferred rows
 * are captured when nothing else can happen in the transaction, each at the
 * position in the log that it reserved when it was changed.  If privileges are
 * granted in between, a row can become more messages than it has reserved
 * positions for.  Then the rest of them, and all messages of later rows, get
 * new positions, so that they remain in order.
 *
 * Memory is bounded: beyond a limit, further changes of a transaction are not
 * deferred.  They are captured without the missing event, and if payment is an
 * expression, their payments are recorded before those of deferred rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/context.h"
#include "capture/deferred.h"

/* Limits of a transaction. */
#define MAX_ROWS	10000
#define MAX_BYTES	(64 * 1024 * 1024)

struct DeferredRow
{
	DeferredRow *next;
	SubTransactionId subid;		/* InvalidSubTransactionId: it was rolled back */
	RowCopy		copy;
	int			nids;			/* reserved positions in the log, one for each
								 * message that the row may become */
	int			used;			/* of these */
	char	   *context;		/* of the moment of the change, or NULL */
	OutboxId	ids[FLEXIBLE_ARRAY_MEMBER];
};

/* All of this is empty between transactions; rows live in TopTransactionContext. */
static DeferredRow *deferred_first = NULL;
static DeferredRow *deferred_last = NULL;
static int	deferred_count = 0;
static Size deferred_bytes = 0;
static bool deferred_capturing = false;
static bool deferred_ran_out = false;	/* a row had too few positions */


bool
deferred_add(const Change *change)
{
	/* An override can make two messages of one change. */
	int			nids = 2 * change->table->naudiences;
	DeferredRow *row;

	if (deferred_capturing || deferred_count >= MAX_ROWS || deferred_bytes >= MAX_BYTES)
		return false;
	Assert(change->deferred == NULL);
	row = MemoryContextAllocZero(TopTransactionContext, offsetof(DeferredRow, ids) + nids * sizeof(OutboxId));
	row_copy_make(change, &row->copy);
	row->subid = GetCurrentSubTransactionId();
	if (context_current() != NULL)
		row->context = MemoryContextStrdup(TopTransactionContext, context_current());
	row->nids = nids;
	for (int i = 0; i < nids; i++)
	{
		outbox_draw_id(&row->ids[i]);
		Assert(i == 0 || row->ids[i].id > row->ids[i - 1].id);
	}
	if (deferred_last != NULL)
	{
		/* The order of the list is that of the log. */
		Assert(deferred_last->ids[deferred_last->nids - 1].id < row->ids[0].id);
		deferred_last->next = row;
	}
	else
		deferred_first = row;
	deferred_last = row;
	deferred_count++;
	deferred_bytes += row_copy_size(&row->copy) + nids * sizeof(OutboxId) + (row->context ? strlen(row->context) : 0);
	return true;
}

bool
deferred_pending(void)
{
	return deferred_first != NULL;
}

const OutboxId *
deferred_next_id(DeferredRow *row)
{
	Assert(row == NULL || deferred_capturing);
	if (row != NULL && row->used == row->nids)
		deferred_ran_out = true;
	return row != NULL && !deferred_ran_out ? &row->ids[row->used++] : NULL;
}

const char *
deferred_context(const DeferredRow *row)
{
	return row->context;
}

void
deferred_at_pre_commit(void (*capture) (const RowCopy *copy, DeferredRow *row))
{
	MemoryContext context;
	MemoryContext old;

	if (deferred_first == NULL)
		return;
	Assert(GetCurrentSubTransactionId() == TopSubTransactionId);
	context = AllocSetContextCreate(CurrentMemoryContext, "webhook deferred rows", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	PushActiveSnapshot(GetTransactionSnapshot());
	deferred_capturing = true;
	for (DeferredRow *row = deferred_first; row != NULL; row = row->next)
	{
		if (row->subid == InvalidSubTransactionId)
			continue;
		Assert(row->subid == TopSubTransactionId && row->used == 0);
		capture(&row->copy, row);
		MemoryContextReset(context);
	}
	deferred_capturing = false;
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
deferred_at_eoxact(void)
{
	/* The memory goes with the transaction. */
	deferred_first = deferred_last = NULL;
	deferred_count = 0;
	deferred_bytes = 0;
	deferred_capturing = deferred_ran_out = false;
}

void
deferred_at_eosubxact(bool committed, SubTransactionId subid, SubTransactionId parent)
{
	for (DeferredRow *row = deferred_first; row != NULL; row = row->next)
	{
		/* Subtransactions that began later have ended. */
		Assert(row->subid <= subid);
		if (row->subid == subid)
			row->subid = committed ? parent : InvalidSubTransactionId;
	}
}
