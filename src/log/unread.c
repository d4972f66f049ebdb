/*-------------------------------------------------------------------------
 *
 * unread.c
 *		The messages in the outbox that have not been processed, for any process.
 *
 * This is what sessions see of a backlog.  The worker itself reads with cursor.c,
 * and may be ahead of the stored position that counts here.
 *
 * The worker cannot truncate a partition that is locked, so no lock is held from
 * one batch of rows to the next.  What is truncated in between has been
 * processed, and new rows in its place are not visible to our snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/catalog.h"
#include "log/unread.h"

/* Messages that outbox_unread() reads at a time. */
#define BATCH_MESSAGES	256

/* Columns of outbox_unread() */
#define Anum_unread_id				1
#define Anum_unread_message_id		2
#define Anum_unread_event			3
#define Anum_unread_entity_id		4
#define Anum_unread_webhook_ids		5
#define Anum_unread_created_at		6
#define Anum_unread_xid				7
#define Natts_unread				7

PG_FUNCTION_INFO_V1(webhook_outbox_unread);


void
unread_load(Unread *unread)
{
	cursor_table_newest(false, &unread->own);
	cursor_table_newest(true, &unread->restored);
}

/* Has the position passed a message?  xid is its transaction id on the server where it was written. */
static bool
unread_is_passed(const CursorPosition *position, uint64 xid, int64 id)
{
	return xid_set_contains(position->done, xid) ||
		(position->through != NULL && id <= position->through_id && xid_set_contains(position->through, xid));
}

bool
unread_contains(const Unread *unread, uint64 xid, int64 id, FullTransactionId fence)
{
	if (xid != LOG_SCAN_RESTORED_XID)
		return unread->own.done != NULL && !unread_is_passed(&unread->own, xid, id);

	/* The trigger has put the transaction id into the fence. */
	return unread->restored.done == NULL || !FullTransactionIdIsValid(fence) ||
		!unread_is_passed(&unread->restored, U64FromFullTransactionId(fence), id);
}

/* ---------- reading by the index ---------- */

/* Determine the next range; false if there are no more. */
static bool
unread_scan_next_range(UnreadScan *scan)
{
	const XidSet *done = scan->unread->own.done;
	int			n = ++scan->range;

	scan->id = 0;
	if (n == 0)
	{
		scan->xid = LOG_SCAN_RESTORED_XID;
		scan->end = scan->xid + 1;
	}
	else if (done != NULL && n <= done->nrunning)
	{
		scan->xid = done->running[n - 1];
		scan->end = scan->xid + 1;
	}
	else if (done != NULL && n == done->nrunning + 1)
	{
		scan->xid = done->xmax;
		scan->end = PG_UINT64_MAX;
	}
	else
		return false;
	return true;
}

void
unread_scan_begin(UnreadScan *scan, const Unread *unread)
{
	memset(scan, 0, sizeof(*scan));
	scan->unread = unread;
	scan->range = -1;
}

/* Open the tables where the scan continues; false at the end. */
static bool
unread_scan_open(UnreadScan *scan)
{
	if (scan->xid >= scan->end && !unread_scan_next_range(scan))
		return false;
	if (scan->id > 0)
		log_scan_begin(&scan->log, scan->xid, scan->xid + 1, scan->id, -1);
	else
		log_scan_begin(&scan->log, scan->xid, scan->end, 0, -1);
	scan->open = true;
	return true;
}

/* Close the tables after the last message of the range. */
static void
unread_scan_close(UnreadScan *scan)
{
	log_scan_end(&scan->log);
	scan->open = false;
	scan->xid = scan->id > 0 ? scan->xid + 1 : scan->end;
	scan->id = 0;
}

static bool
unread_scan_is_unread(UnreadScan *scan)
{
	LogScan    *log = &scan->log;
	int			p = log->current;
	bool		isnull;
	Datum		fence = slot_getattr(log->slot[p], Anum_outbox_fence, &isnull);

	return unread_contains(scan->unread, log->xid[p], log->id[p],
						   isnull ? InvalidFullTransactionId : DatumGetFullTransactionId(fence));
}

bool
unread_scan_next(UnreadScan *scan, int max_messages)
{
	while (scan->open || unread_scan_open(scan))
	{
		while (log_scan_next(&scan->log))
		{
			CHECK_FOR_INTERRUPTS();
			if (scan->nmessages++ == max_messages && max_messages > 0)
				return false;
			scan->nrows += !scan->log.follows[scan->log.current];
			if (unread_scan_is_unread(scan))
				return true;
		}
		unread_scan_close(scan);
	}
	return false;
}

void
unread_scan_pause(UnreadScan *scan)
{
	if (!scan->open)
		return;
	scan->xid = scan->log.xid[scan->log.current];
	scan->id = scan->log.id[scan->log.current] + 1;
	log_scan_end(&scan->log);
	scan->open = false;
}

/* ---------- outbox_unread() ---------- */

typedef struct UnreadBatch
{
	Unread		unread;
	UnreadScan	scan;
	MemoryContext context;		/* of the tuples */
	HeapTuple	tuples[BATCH_MESSAGES];
	int			ntuples;
	int			returned;
} UnreadBatch;

/* The current message as a row of outbox_unread(). */
static HeapTuple
unread_form_tuple(LogScan *log, TupleDesc desc)
{
	int			p = log->current;
	TupleTableSlot *slot = log->slot[p];
	const PackedMessage *follower = &log->follower[p];
	Datum		values[Natts_unread];
	bool		nulls[Natts_unread] = {false};

	slot_getallattrs(slot);
	values[Anum_unread_id - 1] = Int64GetDatum(log->id[p]);
	values[Anum_unread_event - 1] = slot->tts_values[Anum_outbox_event - 1];
	values[Anum_unread_webhook_ids - 1] = slot->tts_values[Anum_outbox_webhook_ids - 1];
	values[Anum_unread_xid - 1] = FullTransactionIdGetDatum(FullTransactionIdFromU64(log->xid[p]));
	nulls[Anum_unread_xid - 1] = log->xid[p] == LOG_SCAN_RESTORED_XID;
	if (log->follows[p])
	{
		values[Anum_unread_message_id - 1] = UUIDPGetDatum(&follower->message_id);
		values[Anum_unread_created_at - 1] = TimestampTzGetDatum(follower->created_at);
		nulls[Anum_unread_entity_id - 1] = follower->entity_id.data == NULL;
		if (follower->entity_id.data != NULL)
			values[Anum_unread_entity_id - 1] =
				PointerGetDatum(cstring_to_text_with_len(follower->entity_id.data, follower->entity_id.len));
	}
	else
	{
		values[Anum_unread_message_id - 1] = slot->tts_values[Anum_outbox_message_id - 1];
		values[Anum_unread_created_at - 1] = slot->tts_values[Anum_outbox_created_at - 1];
		values[Anum_unread_entity_id - 1] = slot->tts_values[Anum_outbox_entity_id - 1];
		nulls[Anum_unread_entity_id - 1] = slot->tts_isnull[Anum_outbox_entity_id - 1];
	}
	return heap_form_tuple(desc, values, nulls);
}

static void
unread_read_batch(UnreadBatch *batch, TupleDesc desc)
{
	MemoryContext old;

	MemoryContextReset(batch->context);
	old = MemoryContextSwitchTo(batch->context);
	batch->ntuples = batch->returned = 0;
	while (batch->ntuples < BATCH_MESSAGES && unread_scan_next(&batch->scan, 0))
		batch->tuples[batch->ntuples++] = unread_form_tuple(&batch->scan.log, desc);
	unread_scan_pause(&batch->scan);
	MemoryContextSwitchTo(old);
}

static void
unread_begin(FunctionCallInfo fcinfo, FuncCallContext *call)
{
	MemoryContext old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
	UnreadBatch *batch = palloc0(sizeof(UnreadBatch));
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	call->tuple_desc = BlessTupleDesc(desc);
	call->user_fctx = batch;
	batch->context = AllocSetContextCreate(CurrentMemoryContext, "webhook unread messages", ALLOCSET_DEFAULT_SIZES);
	unread_load(&batch->unread);
	unread_scan_begin(&batch->scan, &batch->unread);
	MemoryContextSwitchTo(old);
}

/*
 * outbox_unread() returns setof record
 *
 * Returns the messages one by one, so that a query with LIMIT that has it in its
 * target list reads no more than it needs.
 */
Datum
webhook_outbox_unread(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	UnreadBatch *batch;

	if (SRF_IS_FIRSTCALL())
		unread_begin(fcinfo, SRF_FIRSTCALL_INIT());
	call = SRF_PERCALL_SETUP();
	batch = call->user_fctx;
	if (batch->returned == batch->ntuples)
		unread_read_batch(batch, call->tuple_desc);
	if (batch->ntuples == 0)
		SRF_RETURN_DONE(call);
	SRF_RETURN_NEXT(call, HeapTupleGetDatum(batch->tuples[batch->returned++]));
}
