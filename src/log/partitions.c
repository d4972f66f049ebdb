/*-------------------------------------------------------------------------
 *
 * partitions.c
 *		Using the partitions of the outbox in turn.
 *
 * The outbox never deletes a row; it truncates a partition when all of it has
 * been dealt with.  A partition goes through four states:
 *
 *	current		writers append to it.  Which one that is stands in shared memory and,
 *				persisted before it is published there, in webhook.ring.
 *	left		another one has been made current.  A writer that read the old value
 *				holds, or is about to take, a RowExclusiveLock on it; it reads the value
 *				again under the lock and goes elsewhere if it has changed.
 *	sealed		ShareLock could be had without waiting, so all who wrote here have ended,
 *				and nobody will again.
 *	drained		a window that was opened after the sealing has been dealt with.  It
 *				saw everything in here.  Once AccessExclusiveLock can be had without waiting the
 *				partition is truncated, and may be used again.
 *
 * The current one is changed when it has grown to webhook.partition_size and
 * another one is empty; a partition that cannot be sealed because a
 * transaction stays open for hours does not hold up the others.  After a
 * restart every partition that is not current counts as left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "base/settings.h"
#include "base/spi_statement.h"
#include "log/cursor.h"
#include "log/outbox.h"
#include "log/partitions.h"

/* The window that must be finished before a sealed partition is drained; 0: not sealed. */
static uint64 partitions_drained_by[WEBHOOK_PARTITIONS];

/* Is there something left to do that may be possible later? */
static bool partitions_work_left = true;

/* Chosen in this transaction, to be published when it has committed; -1: none. */
static int	partitions_chosen = -1;

static SpiStatement partitions_change_statement = {
	"UPDATE webhook.ring SET current = $1, switched_at = clock_timestamp()", 1, {INT2OID}
};


/* Bytes in the table and in its TOAST table, which large payloads go to. */
static uint64
partitions_partition_size(int partition)
{
	Relation	rel = table_open(catalog_oids()->outbox[partition], AccessShareLock);
	Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);
	uint64		blocks = (uint64) RelationGetNumberOfBlocks(rel) + RelationGetNumberOfBlocks(toast);

	table_close(toast, AccessShareLock);
	table_close(rel, AccessShareLock);
	return blocks * BLCKSZ;
}

static void
partitions_try_seal(int partition)
{
	Oid			relid = catalog_oids()->outbox[partition];

	if (!ConditionalLockRelationOid(relid, ShareLock))
		return;
	UnlockRelationOid(relid, ShareLock);
	partitions_drained_by[partition] = cursor_window_opened() + 1;
}

static void
partitions_try_truncate(int partition)
{
	Oid			relid = catalog_oids()->outbox[partition];

	if (!ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return;

	/* The proof once more, now that nobody can be in there. */
	if (cursor_partition_unread(partition))
	{
		UnlockRelationOid(relid, AccessExclusiveLock);
		partitions_drained_by[partition] = 0;
		return;
	}
	if (SPI_execute(psprintf("TRUNCATE webhook.outbox_%d", partition), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate a partition of the outbox");
	partitions_drained_by[partition] = 0;
}

void
partitions_turn(DatabaseSlot *slot)
{
	int			current = outbox_current_partition();
	int			empty = -1;

	partitions_chosen = -1;
	partitions_work_left = false;
	for (int p = 0; p < WEBHOOK_PARTITIONS; p++)
	{
		if (p == current)
			continue;
		if (partitions_partition_size(p) == 0)
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
	if (partitions_partition_size(current) <= (uint64) webhook_partition_size * 1024)
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
	if (partitions_chosen < 0)
		return;
	partitions_drained_by[partitions_chosen] = 0;
	pg_atomic_write_u32(&slot->partition, (uint32) partitions_chosen);
	pg_memory_barrier();
	partitions_chosen = -1;
}
