/*-------------------------------------------------------------------------
 *
 * id_block.c
 *		Draw message ids, which are reserved in blocks.
 *
 * nextval() opens the sequence, looks up its properties and changes its page.  Done
 * for each message, that was a fifth of what it costs to capture a short row.  So a
 * session advances the sequence by 1,024 and puts these ids into shared memory, where
 * all sessions draw from the block.  As with nextval(), whoever draws later gets the
 * greater id; with a block for each session (CACHE of CREATE SEQUENCE) this would not be
 * so.  And lastval remains the application's.
 *
 * The sequence is advanced before the first id of a block is used.  So in a dump, on
 * a standby and after a crash its next value is greater than all ids in use.  The rest
 * of a block is lost when the server stops.
 *
 * pg_restore or an administrator may set the sequence, too.  That always writes WAL, so
 * the sequence's page gets another LSN.  Before a transaction draws its first id, it
 * compares the value and the LSN with those that the block was reserved with.  If they
 * differ, the rest of the block is abandoned; a value that is less than what has been
 * drawn is corrected.  A value that is set within the microseconds in which a session
 * reserves a block can be lost; adopt() excludes that, see webhook_skip_ids().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xlog.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "base/catalog.h"
#include "base/run_as.h"
#include "log/id_block.h"
#include "server/shmem.h"
#include "server/version.h"

#define BLOCK_IDS		1024

/* Has this transaction locked the sequence, and seen that the block may be used? */
static bool id_block_checked = false;

PG_FUNCTION_INFO_V1(webhook_skip_ids);


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

/*
 * Does the block contain ids of this sequence?  The Oid alone does not say so: a copy of
 * the database has the same, and may have been assigned the slot.  The block must be
 * locked.
 */
static bool
id_block_is_of(const IdBlock *block, Oid sequence)
{
	return block->database == MyDatabaseId && block->sequence == sequence;
}

/* Take the next id of the block; 0: there is none. */
static int64
id_block_take(IdBlock *block, Oid sequence)
{
	int64		id = 0;

	SpinLockAcquire(&block->mutex);
	if (id_block_is_of(block, sequence) && block->next < block->end)
		id = block->next++;
	SpinLockRelease(&block->mutex);
	return id;
}

/* The least id that may be drawn next; 1 if the block is not of this sequence. */
static int64
id_block_least(IdBlock *block, Oid sequence)
{
	int64		least;

	SpinLockAcquire(&block->mutex);
	least = id_block_is_of(block, sequence) ? block->next : 1;
	SpinLockRelease(&block->mutex);
	return least;
}

/* Is there anything left of the block, and has nobody changed the sequence since it was reserved? */
static bool
id_block_is_usable(IdBlock *block, Oid sequence)
{
	XLogRecPtr	lsn;
	int64		end = id_block_read_sequence(sequence, &lsn);
	bool		usable;

	SpinLockAcquire(&block->mutex);
	usable = (id_block_is_of(block, sequence) && block->next < block->end && block->end == end && block->lsn == lsn);
	SpinLockRelease(&block->mutex);
	return usable;
}

/* Replace the block by this one. */
static void
id_block_publish(IdBlock *block, Oid sequence, int64 first, int64 end, XLogRecPtr lsn)
{
	SpinLockAcquire(&block->mutex);
	block->next = id_block_is_of(block, sequence) ? Max(first, block->next) : first;
	block->end = end;
	block->lsn = lsn;
	block->sequence = sequence;
	block->database = MyDatabaseId;
	SpinLockRelease(&block->mutex);
}

/*
 * Advance the sequence by a block that begins with this id or a greater one.  Returns
 * the first id, and sets the LSN.
 */
static int64
id_block_advance(IdBlock *block, Oid sequence, int64 least, XLogRecPtr *lsn)
{
	XLogRecPtr	before;
	XLogRecPtr	own;
	RunAs		saved;

	run_as_extension_owner(catalog_require()->extension_owner, &saved);
	do
	{
		least = Max(least, id_block_read_sequence(sequence, &before));
		least = Max(least, id_block_least(block, sequence));
		DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(least + BLOCK_IDS - 1));
		own = XactLastRecEnd;
		(void) id_block_read_sequence(sequence, lsn);

		/*
		 * Repeat it if somebody else has set the sequence since, perhaps to
		 * an id in this block.  A sequence that was created by this
		 * transaction may need no WAL, and keeps its LSN.
		 */
	} while (*lsn != own && *lsn != before);
	run_as_end(&saved);
	return least;
}

/*
 * Make sure that there is a usable block whose ids are not less than this one.  Others
 * may go on drawing from the old block meanwhile, but only one session reserves.
 */
static void
id_block_reserve(IdBlock *block, Oid sequence, int64 least)
{
	LockRelationOid(sequence, ShareUpdateExclusiveLock);
	if (!id_block_is_usable(block, sequence) || id_block_least(block, sequence) < least)
	{
		XLogRecPtr	lsn;
		int64		first = id_block_advance(block, sequence, least, &lsn);

		id_block_publish(block, sequence, first, first + BLOCK_IDS, lsn);
	}
	UnlockRelationOid(sequence, ShareUpdateExclusiveLock);
}

/*
 * Until the end of the transaction, even if this subtransaction is aborted, the
 * sequence must remain the one that the extension uses.
 */
static Oid
id_block_lock_sequence(void)
{
	Oid			sequence;

	do
	{
		ResourceOwner owner = CurrentResourceOwner;

		sequence = catalog_require()->outbox_id_seq;
		CurrentResourceOwner = TopTransactionResourceOwner;
		LockRelationOid(sequence, RowExclusiveLock);
		CurrentResourceOwner = owner;
	} while (catalog_require()->outbox_id_seq != sequence);
	return sequence;
}

int64
id_block_draw(void)
{
	Oid			sequence = id_block_checked ? catalog_require()->outbox_id_seq : id_block_lock_sequence();
	int64		id = 0;

	while (id == 0)
	{
		DatabaseSlot *slot = shmem_my_slot();

		if (slot == NULL)
		{
			/*
			 * If there is a slot by now, others may have begun to use a block
			 * that this id is not in.
			 */
			int64		single = nextval_internal(sequence, false);

			if (shmem_my_slot() == NULL)
				return single;
			continue;
		}
		if (!id_block_checked && !id_block_is_usable(&slot->ids, sequence))
			id_block_reserve(&slot->ids, sequence, 1);
		id_block_checked = true;
		id = id_block_take(&slot->ids, sequence);
		if (id == 0)
			id_block_reserve(&slot->ids, sequence, 1);
	}
	return id;
}

/* skip_ids(used bigint): no message gets an id up to this one any more, if it is not NULL. */
Datum
webhook_skip_ids(PG_FUNCTION_ARGS)
{
	DatabaseSlot *slot;
	IdBlock		none = {0};
	Oid			sequence;

	version_require();
	if (PG_ARGISNULL(0))
		PG_RETURN_VOID();
	sequence = id_block_lock_sequence();
	slot = shmem_my_slot();
	SpinLockInit(&none.mutex);
	id_block_reserve(slot != NULL ? &slot->ids : &none, sequence, PG_GETARG_INT64(0) + 1);
	PG_RETURN_VOID();
}

void
id_block_at_eoxact(void)
{
	id_block_checked = false;
}
