/*-------------------------------------------------------------------------
 *
 * partitions.c
 *		Use the partitions of the outbox in turn.
 *
 * Rows of the outbox are never deleted.  A partition is truncated when all its
 * messages have been processed.  It goes through four states:
 *
 *	current		Transactions append to it.  Its number is in shared memory and,
 *				saved before it is published there, in webhook.ring.
 *	left		Another partition is current.  A writer that read the old number
 *				holds, or is about to take, RowExclusiveLock on it; it reads the number
 *				again after locking, and starts over if that has changed.
 *	sealed		ShareLock was available without waiting, so all transactions that
 *				wrote to it have ended, and there will be no new ones.
 *	drained		A window that was opened after sealing has been processed, so all
 *				messages in the partition have.  They are moved to the history, if
 *				they are to be kept (history.c).  As soon as AccessExclusiveLock is
 *				available without waiting, the partition is truncated and can be
 *				used again.
 *
 * Another partition is chosen when the current one has reached
 * webhook.partition_size and there is an empty one.  A partition that cannot be
 * sealed because of a long-running transaction does not block the others.  After a
 * restart all partitions except the current one are in state "left".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/settings.h"
#include "base/spi_statement.h"
#include "log/cursor.h"
#include "log/history.h"
#include "log/outbox.h"
#include "log/partitions.h"

/* A partition is full at this size if a history is kept. */
#define HISTORY_PARTITION_KB	1024

/* Number of the window that must be finished for a sealed partition to be drained; 0: not sealed. */
static uint64 partitions_drained_by[WEBHOOK_PARTITIONS];

/* Is there work left that may become possible later? */
static bool partitions_work_left = true;

/* The partition chosen in this transaction, published after commit; -1: none. */
static int	partitions_chosen = -1;

static SpiStatement partitions_change_statement = {
	"UPDATE webhook.ring SET current = $1, switched_at = clock_timestamp()", 1, {INT2OID}
};


/*
 * Where a history is kept, what has not been moved to it yet is searched without an
 * index, so it is moved early.
 */
static uint64
partitions_full_size(void)
{
	int			kilobytes = webhook_partition_size;

	if (webhook_history_retention > 0)
		kilobytes = Min(kilobytes, HISTORY_PARTITION_KB);
	return (uint64) kilobytes * 1024;
}

static void
partitions_try_seal(int partition)
{
	Oid			relid = catalog_oids()->outbox[partition];

	Assert(partitions_drained_by[partition] == 0);
	if (!ConditionalLockRelationOid(relid, ShareLock))
		return;
	UnlockRelationOid(relid, ShareLock);
	partitions_drained_by[partition] = cursor_window_opened() + 1;
}

static void
partitions_try_truncate(int partition)
{
	Oid			relid = catalog_oids()->outbox[partition];

	Assert(partition != outbox_current_partition());
	Assert(partitions_drained_by[partition] > 0 && cursor_window_finished() >= partitions_drained_by[partition]);
	if (!history_move(partition, clock_now()))
		return;
	if (!ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return;

	/*
	 * Check it once more, now that no other transaction can access the
	 * partition.
	 */
	if (cursor_partition_unread(partition))
	{
		UnlockRelationOid(relid, AccessExclusiveLock);
		partitions_drained_by[partition] = 0;
		return;
	}
	if (SPI_execute(psprintf("TRUNCATE webhook.outbox_%d", partition), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate a partition of the outbox");
	history_note_truncated(partition);
	partitions_drained_by[partition] = 0;
}

void
partitions_recycle(DatabaseSlot *slot)
{
	int			current = outbox_current_partition();
	int			empty = -1;

	partitions_chosen = -1;
	partitions_work_left = false;
	for (int p = 0; p < WEBHOOK_PARTITIONS; p++)
	{
		if (p == current)
			continue;
		if (catalog_table_size(catalog_oids()->outbox[p]) == 0)
		{
			empty = p;
			continue;
		}
		partitions_work_left = true;
		if (partitions_drained_by[p] == 0)
			partitions_try_seal(p);
		else if (cursor_window_finished() >= partitions_drained_by[p])
			partitions_try_truncate(p);
	}
	if (catalog_table_size(catalog_oids()->outbox[current]) <= partitions_full_size())
		return;
	partitions_work_left = true;
	if (empty >= 0)
	{
		Datum		values[1] = {Int16GetDatum((int16) empty)};

		spi_statement_execute(&partitions_change_statement, values, NULL);
		partitions_chosen = empty;
	}
}

bool
partitions_unfinished(void)
{
	return partitions_work_left;
}

void
partitions_publish(DatabaseSlot *slot)
{
	Assert(!IsTransactionState());
	if (partitions_chosen < 0)
		return;
	partitions_drained_by[partitions_chosen] = 0;
	pg_atomic_write_u32(&slot->partition, (uint32) partitions_chosen);
	pg_memory_barrier();
	partitions_chosen = -1;
}
