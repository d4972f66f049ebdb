/*-------------------------------------------------------------------------
 *
 * id_block.c
 *		Draw message ids, which are reserved in blocks.
 *
 * nextval() opens the sequence, looks up its properties and changes its page for
 * each id, which was a fifth of what it costs to capture a short row.  So sessions
 * advance the sequence by a block of ids, whose rest is in shared memory, from where
 * all of them draw.  The order is that of nextval(): whoever draws later gets the
 * greater id.  A block for each session (CACHE of CREATE SEQUENCE) would not do.
 *
 * The sequence is advanced before the first id of a block is used, so after a crash
 * or in a dump it is past all ids that can be found anywhere.  The rest of a block is
 * lost when the server stops.
 *
 * Others may set the sequence, too: pg_restore, adopt(), an administrator, and
 * sessions that do not have a slot in shared memory.  Each change gives its page
 * another LSN, which every transaction compares before it draws its first id.  If it is
 * not that of our own last change, the rest of the block is abandoned for one that
 * is greater than what was drawn and what was set.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/lmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "base/catalog.h"
#include "base/run_as.h"
#include "log/id_block.h"
#include "server/shmem.h"

#define BLOCK_IDS		1024


/* The next value of the sequence, which must be locked, and the LSN of its page. */
static int64
id_block_read_sequence(Oid sequence, XLogRecPtr *lsn)
{
	Relation	rel = relation_open(sequence, NoLock);
	Buffer		buffer = ReadBuffer(rel, 0);
	Page		page;
	HeapTupleData tuple;
	Form_pg_sequence_data data;
	int64		next;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	tuple.t_data = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, FirstOffsetNumber));
	data = (Form_pg_sequence_data) GETSTRUCT(&tuple);
	next = data->last_value + (data->is_called ? 1 : 0);
	*lsn = BufferGetLSNAtomic(buffer);
	UnlockReleaseBuffer(buffer);
	relation_close(rel, NoLock);
	return next;
}

/* Take the next id of the block; 0: there is none. */
static int64
id_block_take(IdBlock *block, Oid sequence)
{
	int64		id = 0;

	SpinLockAcquire(&block->mutex);
	if (block->sequence == sequence && block->next < block->end)
		id = block->next++;
	SpinLockRelease(&block->mutex);
	return id;
}

/* Is there anything left of the block, and has nobody changed the sequence since it was reserved? */
static bool
id_block_is_usable(IdBlock *block, Oid sequence)
{
	XLogRecPtr	lsn;
	bool		usable;

	(void) id_block_read_sequence(sequence, &lsn);
	SpinLockAcquire(&block->mutex);
	usable = (block->sequence == sequence && block->next < block->end && block->lsn == lsn);
	SpinLockRelease(&block->mutex);
	return usable;
}

/* The least id that may be drawn next, given what the sequence says. */
static int64
id_block_least(IdBlock *block, Oid sequence, int64 next)
{
	return block->sequence == sequence ? Max(block->next, next) : next;
}

/* Advance the sequence by a block; returns the first id, and sets the LSN. */
static int64
id_block_advance(IdBlock *block, Oid sequence, XLogRecPtr *lsn)
{
	int64		first;
	RunAs		saved;

	run_as_extension_owner(catalog_require()->extension_owner, &saved);
	do
	{
		first = id_block_read_sequence(sequence, lsn);
		SpinLockAcquire(&block->mutex);
		first = id_block_least(block, sequence, first);
		SpinLockRelease(&block->mutex);
		DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(first + BLOCK_IDS - 1));

		/* If somebody else has set it at the same time, it is not our LSN. */
	} while (id_block_read_sequence(sequence, lsn) != first + BLOCK_IDS);
	run_as_end(&saved);
	return first;
}

/*
 * Make sure that there is a usable block.  The lock excludes only others that do the
 * same: as long as the old block is not used up, they may draw from it.
 */
static void
id_block_reserve(IdBlock *block, Oid sequence)
{
	LockRelationOid(sequence, ShareUpdateExclusiveLock);
	if (!id_block_is_usable(block, sequence))
	{
		XLogRecPtr	lsn;
		int64		first = id_block_advance(block, sequence, &lsn);

		SpinLockAcquire(&block->mutex);
		block->next = id_block_least(block, sequence, first);
		block->end = first + BLOCK_IDS;
		block->sequence = sequence;
		block->lsn = lsn;
		SpinLockRelease(&block->mutex);
	}
	UnlockRelationOid(sequence, ShareUpdateExclusiveLock);
}

/*
 * Without a slot, ids are drawn from the sequence itself.  If there is one by now,
 * other sessions may have begun to use a block that the id is not in; returns 0 then.
 */
static int64
id_block_draw_without_slot(Oid sequence)
{
	int64		id = nextval_internal(sequence, false);
	DatabaseSlot *slot = shmem_my_slot();

	if (slot == NULL)
		return id;
	if (!id_block_is_usable(&slot->ids, sequence))
		id_block_reserve(&slot->ids, sequence);
	return 0;
}

void
id_block_begin_transaction(void)
{
	DatabaseSlot *slot = shmem_my_slot();
	ResourceOwner owner = CurrentResourceOwner;
	Oid			sequence;

	/*
	 * Until the end of the transaction, also if this subtransaction aborts,
	 * the ids must remain those of the sequence that exists.
	 */
	CurrentResourceOwner = TopTransactionResourceOwner;
	do
	{
		sequence = catalog_require()->outbox_id_seq;
		LockRelationOid(sequence, RowExclusiveLock);
	} while (catalog_require()->outbox_id_seq != sequence);
	CurrentResourceOwner = owner;

	if (slot != NULL && !id_block_is_usable(&slot->ids, sequence))
		id_block_reserve(&slot->ids, sequence);
}

int64
id_block_draw(void)
{
	Oid			sequence = catalog_oids()->outbox_id_seq;
	int64		id;

	for (;;)
	{
		DatabaseSlot *slot = shmem_my_slot();

		if (slot == NULL)
			id = id_block_draw_without_slot(sequence);
		else if ((id = id_block_take(&slot->ids, sequence)) == 0)
			id_block_reserve(&slot->ids, sequence);
		if (id != 0)
			return id;
	}
}
