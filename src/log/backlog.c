/*-------------------------------------------------------------------------
 *
 * backlog.c
 *		How many messages have not been processed, for each webhook.
 *
 * A message names the webhooks that it is for, and nothing counts messages as they
 * are written.  So a backlog must be read, unless an estimate will do:
 *
 *	1. Up to INDEX_MESSAGES are read by the index.  A backlog that ends before is
 *	   counted, whatever else is in the outbox.
 *	2. Otherwise the partitions are read without the index: all of their blocks for
 *	   an exact count, else SAMPLE_BLOCKS of each, evenly spaced.
 *
 * Rows of a partition are nearly in the order in which they are processed, so what
 * has been processed is at its beginning.  If that is more than half, the sample is
 * taken once more, from what follows it.  So the estimate is as good for the end of a
 * backlog, and exact for one of few blocks.
 *
 * Sequential scans of tables that are large compared to shared buffers use a small
 * ring of buffers, so that a count does not evict what the worker and the
 * applications use.  Partitions are locked one after the other, as the worker cannot
 * truncate one while it is locked.
 *
 * A message that has been put aside is in the delivery table, and is counted there,
 * although the position may not have passed it yet.
 *
 * outbox_backlog() can be called in any backend.  It reads with the caller's snapshot, as
 * the owner of the extension.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/as_owner.h"
#include "base/catalog.h"
#include "base/container.h"
#include "log/unread.h"
#include "webhook.h"

#define INDEX_MESSAGES			10000
#define INDEX_MESSAGES_EXACT	50000
#define SAMPLE_BLOCKS			200

/* Columns of outbox_backlog() */
#define Anum_backlog_webhook_id		1
#define Anum_backlog_messages		2
#define Anum_backlog_oldest			3
#define Anum_backlog_estimated		4
#define Natts_backlog				4

/* One webhook. */
typedef struct BacklogEntry
{
	int64		id;				/* hash key */
	bool		exists;
	XidSet	   *discarded;		/* or NULL */
	int64		last_stored;	/* greatest message id in the delivery table,
								 * or 0 */
	int64		read;			/* messages read and not summed up */
	int64		least;			/* the result is not less than this */
	double		messages;		/* the result */
	TimestampTz oldest;			/* DT_NOEND: there is none */
} BacklogEntry;

typedef struct Backlog
{
	MemoryContext context;
	Unread		unread;
	HTAB	   *entries;
	bool		counting;		/* false: only look for the oldest messages */
	bool		estimated;
	SPIPlanPtr	load_plan;
	SPIPlanPtr	stored_plan;

	/* The current row. */
	MemoryContext row_context;
	uint64		xid;
	FullTransactionId fence;
	ArrayType  *webhook_ids;
	BacklogEntry **webhooks;	/* NULL until there is an unread message */
	int			nwebhooks;
	int64		nunread;		/* of all rows so far, whatever their webhooks */

	/* The partition being read. */
	TableScanDesc scan;
	TupleTableSlot *slot;
} Backlog;

/* Rows that outbox_backlog() has not returned yet. */
typedef struct BacklogRows
{
	HASH_SEQ_STATUS sequence;
	bool		estimated;
} BacklogRows;

PG_FUNCTION_INFO_V1(webhook_outbox_backlog);


static SPIPlanPtr
backlog_prepare(const char *sql, int nargs)
{
	Oid			types[] = {INT8OID, INT8OID};
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, types);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	return plan;
}

/* Execute one of our queries; returns whether there is a row. */
static bool
backlog_query(SPIPlanPtr plan, int64 first, int64 second)
{
	Datum		values[] = {Int64GetDatum(first), Int64GetDatum(second)};

	if (SPI_execute_plan(plan, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the tables of the extension");
	return SPI_processed > 0;
}

static void
backlog_load_entry(Backlog *backlog, BacklogEntry *entry)
{
	bool		isnull;
	Datum		value;

	entry->exists = backlog_query(backlog->load_plan, entry->id, 0);
	entry->discarded = NULL;
	entry->last_stored = entry->read = entry->least = 0;
	entry->messages = 0;
	entry->oldest = DT_NOEND;
	if (entry->exists)
	{
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		if (!isnull)
			entry->discarded = xid_set_from_datum(value, backlog->context);
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
		if (!isnull)
			entry->last_stored = DatumGetInt64(value);
	}
	SPI_freetuptable(SPI_tuptable);
}

static bool
backlog_is_stored(Backlog *backlog, const BacklogEntry *entry, int64 id)
{
	bool		stored = backlog_query(backlog->stored_plan, entry->id, id);

	SPI_freetuptable(SPI_tuptable);
	return stored;
}

/* ---------- rows ---------- */

/* Begin with a row, which must remain in the slot until the next call. */
static void
backlog_begin_row(Backlog *backlog, TupleTableSlot *slot)
{
	Datum		fence;
	Datum		webhook_ids;
	bool		isnull;
	MemoryContext old;

	MemoryContextReset(backlog->row_context);
	backlog->xid = U64FromFullTransactionId(DatumGetFullTransactionId(slot_getattr(slot, Anum_outbox_xid, &isnull)));
	fence = slot_getattr(slot, Anum_outbox_fence, &isnull);
	backlog->fence = isnull ? InvalidFullTransactionId : DatumGetFullTransactionId(fence);
	webhook_ids = slot_getattr(slot, Anum_outbox_webhook_ids, &isnull);
	old = MemoryContextSwitchTo(backlog->row_context);
	backlog->webhook_ids = DatumGetArrayTypeP(webhook_ids);
	MemoryContextSwitchTo(old);
	backlog->webhooks = NULL;
}

static void
backlog_find_webhooks(Backlog *backlog)
{
	int64	   *ids = (int64 *) ARR_DATA_PTR(backlog->webhook_ids);

	backlog->nwebhooks = ArrayGetNItems(ARR_NDIM(backlog->webhook_ids), ARR_DIMS(backlog->webhook_ids));
	backlog->webhooks = MemoryContextAlloc(backlog->row_context, Max(backlog->nwebhooks, 1) * sizeof(BacklogEntry *));
	for (int i = 0; i < backlog->nwebhooks; i++)
	{
		bool		found;
		BacklogEntry *entry = hash_search(backlog->entries, &ids[i], HASH_ENTER, &found);

		if (!found)
			backlog_load_entry(backlog, entry);
		backlog->webhooks[i] = entry;
	}
}

/* Count a message of the current row, unless it has been processed. */
static void
backlog_add_message(Backlog *backlog, int64 id, TimestampTz created_at)
{
	if (!unread_contains(&backlog->unread, backlog->xid, id, backlog->fence))
		return;
	backlog->nunread++;
	if (backlog->webhooks == NULL)
		backlog_find_webhooks(backlog);
	for (int i = 0; i < backlog->nwebhooks; i++)
	{
		BacklogEntry *entry = backlog->webhooks[i];

		if (!entry->exists ||
			(entry->discarded != NULL && backlog->xid != LOG_SCAN_RESTORED_XID &&
			 xid_set_contains(entry->discarded, backlog->xid)) ||
			(id <= entry->last_stored && backlog_is_stored(backlog, entry, id)))
			continue;
		entry->oldest = Min(entry->oldest, created_at);
		entry->read += backlog->counting;
	}
}

/* Add what was read to the result, multiplied by a factor if it is a sample. */
static void
backlog_sum_up(Backlog *backlog, double factor)
{
	HASH_SEQ_STATUS sequence;
	BacklogEntry *entry;

	hash_seq_init(&sequence, backlog->entries);
	while ((entry = hash_seq_search(&sequence)) != NULL)
	{
		entry->messages += factor * entry->read;
		entry->read = 0;
	}
}

/* ---------- by the index ---------- */

/* Count the backlog if it is small.  Else return false; then the oldest messages and lower bounds are known. */
static bool
backlog_count_small(Backlog *backlog, int max_messages)
{
	UnreadScan	scan;
	HASH_SEQ_STATUS sequence;
	BacklogEntry *entry;
	bool		complete;
	int			row = 0;

	unread_scan_begin(&scan, &backlog->unread);
	while (unread_scan_next(&scan, max_messages))
	{
		LogScan    *log = &scan.log;
		int			p = log->current;
		bool		isnull;

		if (row != scan.nrows)
			backlog_begin_row(backlog, log->slot[p]);
		row = scan.nrows;
		backlog_add_message(backlog, log->id[p], log->follows[p] ? log->follower[p].created_at :
							DatumGetTimestampTz(slot_getattr(log->slot[p], Anum_outbox_created_at, &isnull)));
	}
	complete = !scan.open;
	unread_scan_pause(&scan);
	hash_seq_init(&sequence, backlog->entries);
	while ((entry = hash_seq_search(&sequence)) != NULL)
	{
		entry->least = entry->read;
		entry->read = 0;
	}
	return complete;
}

/* ---------- by block ---------- */

static void
backlog_read_row(Backlog *backlog, TupleTableSlot *slot)
{
	static const TextSpan none = {NULL, 0};
	bool		isnull;
	Datum		more;
	struct varlena *run;
	RunReader	reader;
	PackedMessage follower;
	MemoryContext old;

	backlog_begin_row(backlog, slot);
	backlog_add_message(backlog, DatumGetInt64(slot_getattr(slot, Anum_outbox_id, &isnull)),
						DatumGetTimestampTz(slot_getattr(slot, Anum_outbox_created_at, &isnull)));
	more = slot_getattr(slot, Anum_outbox_more, &isnull);
	if (isnull)
		return;

	old = MemoryContextSwitchTo(backlog->row_context);
	run = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(more));
	packed_row_begin(&reader, none, none, VARDATA_ANY(run), VARSIZE_ANY_EXHDR(run));
	while (packed_row_next(&reader, &follower))
		backlog_add_message(backlog, follower.id, follower.created_at);
	MemoryContextSwitchTo(old);
}

/* Read blocks of the partition; returns the number of unread messages in them. */
static int64
backlog_read_blocks(Backlog *backlog, BlockNumber first, BlockNumber n)
{
	int64		before = backlog->nunread;

	table_rescan(backlog->scan, NULL);
	heap_setscanlimits(backlog->scan, first, n);
	while (table_scan_getnextslot(backlog->scan, ForwardScanDirection, backlog->slot))
	{
		CHECK_FOR_INTERRUPTS();
		backlog_read_row(backlog, backlog->slot);
	}
	return backlog->nunread - before;
}

/*
 * The sample may have missed the first unread messages: search for them between a
 * block that contains none (-1 if all do) and one that does.
 */
static void
backlog_find_oldest(Backlog *backlog, int64 without, int64 with)
{
	backlog->counting = false;
	while (with - without > 1)
	{
		int64		middle = without + (with - without) / 2;

		if (backlog_read_blocks(backlog, (BlockNumber) middle, 1) > 0)
			with = middle;
		else
			without = middle;
	}
	backlog->counting = true;
}

/* The i-th of n blocks that are evenly spaced from "first" on. */
static BlockNumber
backlog_sample_block(BlockNumber first, BlockNumber nblocks, int i, int n)
{
	return first + (BlockNumber) (((2 * (uint64) i + 1) * (nblocks - first)) / (2 * n));
}

static void
backlog_estimate_partition(Backlog *backlog, BlockNumber nblocks)
{
	BlockNumber first = 0;

	while (first < nblocks)
	{
		int			n = (int) Min(nblocks - first, SAMPLE_BLOCKS);
		int			leading = 0;	/* blocks without unread messages */

		for (int i = 0; i < n; i++)
			if (backlog_read_blocks(backlog, backlog_sample_block(first, nblocks, i, n), 1) == 0 && leading == i)
				leading++;
		if (n == nblocks - first)
		{
			backlog_sum_up(backlog, 1);
			break;
		}
		if (leading <= n / 2)
		{
			backlog_sum_up(backlog, (double) (nblocks - first) / n);
			backlog_find_oldest(backlog,
								leading > 0 ? backlog_sample_block(first, nblocks, leading - 1, n) : (int64) first - 1,
								backlog_sample_block(first, nblocks, leading, n));
			backlog->estimated = true;
			break;
		}
		backlog_sum_up(backlog, 0);
		first = backlog_sample_block(first, nblocks, leading - 1, n) + 1;
	}
}

static void
backlog_read_partition(Backlog *backlog, int partition, bool exact)
{
	Relation	rel = table_open(catalog_oids()->outbox[partition], AccessShareLock);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	if (nblocks > 0)
	{
		backlog->slot = table_slot_create(rel, NULL);
		backlog->scan = table_beginscan_strat(rel, GetActiveSnapshot(), 0, NULL, true, false);
		if (exact)
		{
			backlog_read_blocks(backlog, 0, nblocks);
			backlog_sum_up(backlog, 1);
		}
		else
			backlog_estimate_partition(backlog, nblocks);
		table_endscan(backlog->scan);
		ExecDropSingleTupleTableSlot(backlog->slot);
	}
	table_close(rel, AccessShareLock);
}

/* ---------- outbox_backlog() ---------- */

/* Read the backlog.  The result, BacklogEntry by id, is allocated in the current memory context. */
static HTAB *
backlog_read(bool exact, bool *estimated)
{
	Backlog		backlog = {.context = CurrentMemoryContext,.counting = true};
	RunAs		state;

	backlog.row_context = AllocSetContextCreate(CurrentMemoryContext, "webhook backlog row", ALLOCSET_DEFAULT_SIZES);
	backlog.entries = container_hash("webhook backlog", 64, sizeof(int64), sizeof(BacklogEntry), CurrentMemoryContext);
	unread_load(&backlog.unread);

	as_owner_begin(&state);
	backlog.load_plan = backlog_prepare("SELECT discarded, (SELECT max(d.id) FROM webhook.delivery AS d WHERE d.webhook_id = w.id)"
										" FROM webhook.webhook AS w WHERE w.id = $1", 1);
	backlog.stored_plan = backlog_prepare("SELECT FROM webhook.delivery WHERE webhook_id = $1 AND id = $2", 2);
	if (!backlog_count_small(&backlog, exact ? INDEX_MESSAGES_EXACT : INDEX_MESSAGES))
		for (int p = 0; p < WEBHOOK_PARTITIONS; p++)
			backlog_read_partition(&backlog, p, exact);
	as_owner_end(&state);
	hash_freeze(backlog.entries);	/* so that it need not be read to the end */
	*estimated = backlog.estimated;
	return backlog.entries;
}

static void
backlog_begin(FunctionCallInfo fcinfo, FuncCallContext *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
	BacklogRows *rows = palloc(sizeof(BacklogRows));
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	call->tuple_desc = BlessTupleDesc(desc);
	call->user_fctx = rows;
	hash_seq_init(&rows->sequence, backlog_read(PG_GETARG_BOOL(0), &rows->estimated));
	MemoryContextSwitchTo(old);
}

/*
 * outbox_backlog(exact) returns setof record
 */
Datum
webhook_outbox_backlog(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	BacklogRows *rows;
	BacklogEntry *entry;

	if (SRF_IS_FIRSTCALL())
		backlog_begin(fcinfo, SRF_FIRSTCALL_INIT());
	call = SRF_PERCALL_SETUP();
	rows = call->user_fctx;
	while ((entry = hash_seq_search(&rows->sequence)) != NULL)
	{
		Datum		values[Natts_backlog];
		bool		nulls[Natts_backlog] = {false};

		if (entry->oldest == DT_NOEND)
			continue;
		values[Anum_backlog_webhook_id - 1] = Int64GetDatum(entry->id);
		values[Anum_backlog_messages - 1] = Int64GetDatum(Max(entry->least, (int64) rint(entry->messages)));
		values[Anum_backlog_oldest - 1] = TimestampTzGetDatum(entry->oldest);
		values[Anum_backlog_estimated - 1] = BoolGetDatum(rows->estimated);
		SRF_RETURN_NEXT(call, HeapTupleGetDatum(heap_form_tuple(call->tuple_desc, values, nulls)));
	}
	SRF_RETURN_DONE(call);
}
