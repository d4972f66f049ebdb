/*-------------------------------------------------------------------------
 *
 * log_scan.c
 *		Scan the outbox in order of transaction id and message id.
 *
 * One index scan per partition, merged.  A row can contain a run of messages, of
 * which only the first has an index entry (packed_row.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/catalog.h"
#include "compat.h"
#include "log/log_scan.h"

/* A text column of the current row.  *copy is set if it had to be detoasted, else NULL. */
static TextSpan
log_scan_column_text(TupleTableSlot *slot, int attnum, struct varlena **copy)
{
	TextSpan	text = {NULL, 0};
	struct varlena *value;
	bool		isnull;
	Datum		datum = slot_getattr(slot, attnum, &isnull);

	*copy = NULL;
	if (isnull)
		return text;

	value = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(datum));
	if (value != (struct varlena *) DatumGetPointer(datum))
		*copy = value;
	text.data = VARDATA_ANY(value);
	text.len = VARSIZE_ANY_EXHDR(value);
	return text;
}

/* Release what belongs to the current row. */
static void
log_scan_leave_row(LogScan *scan, int p)
{
	if (scan->more[p] != NULL)
		pfree(scan->more[p]);
	scan->more[p] = NULL;
	scan->run[p].at = scan->run[p].end = NULL;
	scan->follows[p] = false;
}

/*
 * Begin to read the messages after the first one of a row, if there are any.  Such
 * rows are small, so the other columns need not be detoasted.
 */
static void
log_scan_begin_run(LogScan *scan, int p)
{
	struct varlena *copies[2];
	TextSpan	more = log_scan_column_text(scan->slot[p], Anum_outbox_more, &scan->more[p]);

	if (more.data == NULL)
		return;
	packed_row_begin(&scan->run[p], log_scan_column_text(scan->slot[p], Anum_outbox_event_uid, &copies[0]),
					 log_scan_column_text(scan->slot[p], Anum_outbox_profile, &copies[1]), more.data, more.len);
}

/* Argument of the error context callback. */
typedef struct RowPlace
{
	LogScan    *scan;
	int			p;
} RowPlace;

/* Identify a row that cannot be read, so that an administrator can repair or delete it. */
static void
log_scan_error_callback(void *arg)
{
	const RowPlace *place = arg;
	TupleTableSlot *slot = place->scan->slot[place->p];
	bool		isnull;

	if (!TTS_EMPTY(slot))
		errcontext("row with id " INT64_FORMAT " in table \"webhook.%s\"",
				   DatumGetInt64(slot_getattr(slot, Anum_outbox_id, &isnull)),
				   RelationGetRelationName(place->scan->heap[place->p]));
}

/* Move to the next row, if there is one. */
static void
log_scan_advance_row(LogScan *scan, int p)
{
	bool		isnull;

	Assert(scan->run[p].at == scan->run[p].end);
	log_scan_leave_row(scan, p);
	ExecClearTuple(scan->slot[p]);
	if (!index_getnext_slot(scan->scan[p], ForwardScanDirection, scan->slot[p]))
		return;
	scan->xid[p] = U64FromFullTransactionId(
											DatumGetFullTransactionId(slot_getattr(scan->slot[p], Anum_outbox_xid, &isnull)));
	scan->id[p] = DatumGetInt64(slot_getattr(scan->slot[p], Anum_outbox_id, &isnull));
	log_scan_begin_run(scan, p);
}

static void
log_scan_advance(LogScan *scan, int p)
{
	RowPlace	place = {scan, p};
	ErrorContextCallback callback = {error_context_stack, log_scan_error_callback, &place};

	error_context_stack = &callback;
	scan->follows[p] = packed_row_next(&scan->run[p], &scan->follower[p]);
	if (scan->follows[p])
		scan->id[p] = scan->follower[p].id;
	else
		log_scan_advance_row(scan, p);
	error_context_stack = callback.previous;
}

/* Restart the index scan for rows of one transaction with ids up to, or from, this one. */
static void
log_scan_rescan_ids(LogScan *scan, int p, uint64 xid, StrategyNumber strategy, RegProcedure compare, int64 id)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], Anum_outbox_index_xid, BTEqualStrategyNumber, F_XID8EQ,
				FullTransactionIdGetDatum(FullTransactionIdFromU64(xid)));
	ScanKeyInit(&keys[1], Anum_outbox_index_id, strategy, compare, Int64GetDatum(id));
	index_rescan(scan->scan[p], keys, lengthof(keys), NULL, 0);
}

/* Position the scan at the first message of a transaction with at least this id, which may be inside a row. */
static void
log_scan_start_at_id(LogScan *scan, int p, uint64 xid, int64 id)
{
	int64		first = id;
	bool		isnull;

	log_scan_rescan_ids(scan, p, xid, BTLessEqualStrategyNumber, F_INT8LE, id);
	if (index_getnext_slot(scan->scan[p], BackwardScanDirection, scan->slot[p]))
		first = DatumGetInt64(slot_getattr(scan->slot[p], Anum_outbox_id, &isnull));
	log_scan_rescan_ids(scan, p, xid, BTGreaterEqualStrategyNumber, F_INT8GE, first);
	do
		log_scan_advance(scan, p);
	while (!TTS_EMPTY(scan->slot[p]) && scan->id[p] < id);
}

static void
log_scan_start_at_xid(LogScan *scan, int p, uint64 from_xid, uint64 to_xid)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], Anum_outbox_index_xid, BTGreaterEqualStrategyNumber, F_XID8GE,
				FullTransactionIdGetDatum(FullTransactionIdFromU64(from_xid)));
	ScanKeyInit(&keys[1], Anum_outbox_index_xid, BTLessStrategyNumber, F_XID8LT,
				FullTransactionIdGetDatum(FullTransactionIdFromU64(to_xid)));
	index_rescan(scan->scan[p], keys, lengthof(keys), NULL, 0);
	log_scan_advance(scan, p);
}

void
log_scan_begin(LogScan *scan, uint64 from_xid, uint64 to_xid, int64 from_id, int partition)
{
	Assert(ActiveSnapshotSet());
	Assert(from_xid <= to_xid);
	memset(scan, 0, sizeof(*scan));
	scan->current = -1;
	for (int p = 0; p < WEBHOOK_PARTITIONS; p++)
	{
		if (partition >= 0 && p != partition)
			continue;
		scan->heap[p] = table_open(catalog_oids()->outbox[p], AccessShareLock);
		if (RelationGetNumberOfBlocks(scan->heap[p]) == 0)
			continue;
		scan->index[p] = index_open(catalog_oids()->outbox_index[p], AccessShareLock);
		scan->slot[p] = table_slot_create(scan->heap[p], NULL);
		scan->scan[p] = webhook_index_beginscan(scan->heap[p], scan->index[p], GetActiveSnapshot(), 2);
		if (from_id > 0)
			log_scan_start_at_id(scan, p, from_xid, from_id);
		else
			log_scan_start_at_xid(scan, p, from_xid, to_xid);
	}
}

bool
log_scan_next(LogScan *scan)
{
	int			best = -1;
	uint64		xid PG_USED_FOR_ASSERTS_ONLY = 0;
	int64		id PG_USED_FOR_ASSERTS_ONLY = 0;

	if (scan->current >= 0)
	{
		xid = scan->xid[scan->current];
		id = scan->id[scan->current];
		log_scan_advance(scan, scan->current);
	}
	for (int p = 0; p < WEBHOOK_PARTITIONS; p++)
		if (scan->slot[p] != NULL && !TTS_EMPTY(scan->slot[p]) &&
			(best < 0 || scan->xid[p] < scan->xid[best] ||
			 (scan->xid[p] == scan->xid[best] && scan->id[p] < scan->id[best])))
			best = p;

	/*
	 * Rows of a transaction do not overlap, so messages are returned in
	 * ascending order.
	 */
	Assert(best < 0 || scan->xid[best] > xid || (scan->xid[best] == xid && scan->id[best] >= id));
	scan->current = best;
	return best >= 0;
}

void
log_scan_end(LogScan *scan)
{
	for (int p = 0; p < WEBHOOK_PARTITIONS; p++)
	{
		if (scan->scan[p] != NULL)
		{
			log_scan_leave_row(scan, p);
			index_endscan(scan->scan[p]);
			ExecDropSingleTupleTableSlot(scan->slot[p]);
			index_close(scan->index[p], AccessShareLock);
		}
		if (scan->heap[p] != NULL)
			table_close(scan->heap[p], AccessShareLock);
	}
}

bool
log_scan_has_restored(int partition)
{
	LogScan		scan;
	bool		found;

	log_scan_begin(&scan, LOG_SCAN_RESTORED_XID, LOG_SCAN_RESTORED_XID + 1, 0, partition);
	found = log_scan_next(&scan);
	log_scan_end(&scan);
	return found;
}

FullTransactionId
log_scan_fence(LogScan *scan)
{
	int			p = scan->current;
	bool		isnull;
	Datum		fence;

	if (scan->follows[p])
		return scan->follower[p].fence;
	fence = slot_getattr(scan->slot[p], Anum_outbox_fence, &isnull);
	return isnull ? InvalidFullTransactionId : DatumGetFullTransactionId(fence);
}

/*
 * Collect the texts of the current message; copies[i] is set if text i had to be
 * detoasted, else NULL.
 */
static void
log_scan_gather_texts(LogScan *scan, TextSpan *texts, struct varlena **copies)
{
	static const int attnums[MESSAGE_NTEXTS] = {
		[MESSAGE_EVENT] = Anum_outbox_event,
		[MESSAGE_ENTITY_TYPE] = Anum_outbox_entity_type,
		[MESSAGE_CONTEXT] = Anum_outbox_context,
		[MESSAGE_ENTITY_ID] = Anum_outbox_entity_id,
		[MESSAGE_EVENT_UID] = Anum_outbox_event_uid,
		[MESSAGE_PROFILE] = Anum_outbox_profile,
		[MESSAGE_PAYLOAD] = Anum_outbox_payload,
		[MESSAGE_CHANGED] = Anum_outbox_changed,
		[MESSAGE_FORMER] = Anum_outbox_former
	};
	int			p = scan->current;
	const PackedMessage *follower = scan->follows[p] ? &scan->follower[p] : NULL;

	memset(copies, 0, MESSAGE_NTEXTS * sizeof(*copies));
	for (int i = 0; i < (follower ? MESSAGE_ENTITY_ID : MESSAGE_NTEXTS); i++)
		texts[i] = log_scan_column_text(scan->slot[p], attnums[i], &copies[i]);
	if (follower != NULL)
	{
		texts[MESSAGE_ENTITY_ID] = follower->entity_id;
		texts[MESSAGE_EVENT_UID] = follower->event_uid;
		texts[MESSAGE_PROFILE] = follower->profile;
		texts[MESSAGE_PAYLOAD] = follower->payload;
		texts[MESSAGE_CHANGED] = follower->changed;
		texts[MESSAGE_FORMER] = follower->former;
	}
}

/* Set the fields of a message that are not texts. */
static void
log_scan_set_numbers(LogScan *scan, Message *message)
{
	int			p = scan->current;
	const Datum *values = scan->slot[p]->tts_values;

	message->id = scan->id[p];
	message->xid = scan->xid[p];
	if (scan->follows[p])
	{
		message->message_id = scan->follower[p].message_id;
		message->created_at = scan->follower[p].created_at;
	}
	else
	{
		message->message_id = *DatumGetUUIDP(values[Anum_outbox_message_id - 1]);
		message->created_at = DatumGetTimestampTz(values[Anum_outbox_created_at - 1]);
	}
	if (!scan->slot[p]->tts_isnull[Anum_outbox_relation - 1])
		message->relation = DatumGetObjectId(values[Anum_outbox_relation - 1]);
}

Message *
log_scan_message(LogScan *scan, MemoryContext context)
{
	TupleTableSlot *slot = scan->slot[scan->current];
	TextSpan	texts[MESSAGE_NTEXTS];
	struct varlena *copies[MESSAGE_NTEXTS];
	ArrayType  *ids;
	Message    *message;

	Assert(scan->current >= 0 && !TTS_EMPTY(slot));
	slot_getallattrs(slot);
	log_scan_gather_texts(scan, texts, copies);
	ids = DatumGetArrayTypeP(slot->tts_values[Anum_outbox_webhook_ids - 1]);
	message = message_create(texts, (int64 *) ARR_DATA_PTR(ids), ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids)), context);
	log_scan_set_numbers(scan, message);
	for (int i = 0; i < MESSAGE_NTEXTS; i++)
		if (copies[i] != NULL)
			pfree(copies[i]);
	return message;
}
