/*-------------------------------------------------------------------------
 *
 * log_scan.c
 *		Messages of the outbox, in the order of transaction id and message id.
 *
 * One index scan per partition, merged.  A row can hold a run of messages, of
 * which the index knows the first (packed_row.c).
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
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/catalog.h"
#include "compat.h"
#include "log/log_scan.h"

/* A column of the row that the next message is in; the copy, if there had to be one, in *copy. */
static RunText
log_scan_column_text(TupleTableSlot *slot, int attnum, struct varlena **copy)
{
	RunText		text = {NULL, 0};
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

/* The row has been read: forget what was made of it. */
static void
log_scan_leave_row(LogScan *scan, int p)
{
	if (scan->more[p] != NULL)
		pfree(scan->more[p]);
	scan->more[p] = NULL;
	scan->run[p].at = scan->run[p].end = NULL;
	scan->follows[p] = false;
}

/* Begin to read what follows the first message of a row.  Rows that have that are small, so nothing else is copied. */
static void
log_scan_begin_run(LogScan *scan, int p)
{
	struct varlena *copies[2];
	RunText		more = log_scan_column_text(scan->slot[p], Anum_outbox_more, &scan->more[p]);

	if (more.data == NULL)
		return;
	packed_row_begin(&scan->run[p], log_scan_column_text(scan->slot[p], Anum_outbox_event_uid, &copies[0]),
			  log_scan_column_text(scan->slot[p], Anum_outbox_profile, &copies[1]), more.data, more.len);
}

/* Where a scan is. */
typedef struct RowPlace
{
	LogScan    *scan;
	int			p;
} RowPlace;

/* Whoever has to repair or remove a row that cannot be read must find it. */
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

/* Look for rows of a transaction, with ids in one direction from this one. */
static void
log_scan_rescan_ids(LogScan *scan, int p, uint64 xid, StrategyNumber strategy, RegProcedure compare, int64 id)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], Anum_outbox_index_xid, BTEqualStrategyNumber, F_XID8EQ,
				FullTransactionIdGetDatum(FullTransactionIdFromU64(xid)));
	ScanKeyInit(&keys[1], Anum_outbox_index_id, strategy, compare, Int64GetDatum(id));
	index_rescan(scan->scan[p], keys, lengthof(keys), NULL, 0);
}

/* Stand before the messages of a transaction from this id on, which may lie within a row. */
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

	if (scan->current >= 0)
		log_scan_advance(scan, scan->current);
	for (int p = 0; p < WEBHOOK_PARTITIONS; p++)
		if (scan->slot[p] != NULL && !TTS_EMPTY(scan->slot[p]) &&
			(best < 0 || scan->xid[p] < scan->xid[best] ||
			 (scan->xid[p] == scan->xid[best] && scan->id[p] < scan->id[best])))
			best = p;
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

/* The texts of a message, and what there is to be freed of them. */
enum
{
	EVENT, ENTITY_TYPE, ENTITY_ID, EVENT_UID, PROFILE, PAYLOAD, NTEXTS
};

typedef struct MessageTexts
{
	RunText		text[NTEXTS];
	struct varlena *copies[NTEXTS];
	Size		size;			/* of all, each with a NUL */
} MessageTexts;

static void
log_scan_gather_texts(LogScan *scan, MessageTexts *texts)
{
	static const int attnums[NTEXTS] = {Anum_outbox_event, Anum_outbox_entity_type, Anum_outbox_entity_id,
		Anum_outbox_event_uid, Anum_outbox_profile, Anum_outbox_payload};
	int			p = scan->current;
	const PackedMessage *follower = scan->follows[p] ? &scan->follower[p] : NULL;

	memset(texts, 0, sizeof(*texts));
	for (int i = EVENT; i <= (follower ? ENTITY_TYPE : PAYLOAD); i++)
		texts->text[i] = log_scan_column_text(scan->slot[p], attnums[i], &texts->copies[i]);
	if (follower != NULL)
	{
		texts->text[ENTITY_ID] = follower->entity_id;
		texts->text[EVENT_UID] = follower->event_uid;
		texts->text[PROFILE] = follower->profile;
		texts->text[PAYLOAD] = follower->payload;
	}
	for (int i = 0; i < NTEXTS; i++)
		texts->size += texts->text[i].data ? texts->text[i].len + 1 : 0;
}

/* Copy a text behind *to and move *to on; NULL for NULL. */
static char *
log_scan_copy_text(MessageTexts *texts, int i, char **to)
{
	RunText		text = texts->text[i];
	char	   *copy = *to;

	if (text.data == NULL)
		return NULL;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	*to += text.len + 1;
	if (texts->copies[i] != NULL)
		pfree(texts->copies[i]);
	return copy;
}

/* What is not text. */
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
	MessageTexts texts;
	ArrayType  *ids;
	Message    *message;
	int			nids;
	char	   *to;

	slot_getallattrs(slot);
	log_scan_gather_texts(scan, &texts);
	ids = DatumGetArrayTypeP(slot->tts_values[Anum_outbox_webhook_ids - 1]);
	nids = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));

	message = MemoryContextAlloc(context, MAXALIGN(sizeof(Message)) + nids * sizeof(int64) + texts.size);
	memset(message, 0, sizeof(Message));
	dlist_init(&message->deliveries);
	log_scan_set_numbers(scan, message);
	message->webhook_ids = (int64 *) ((char *) message + MAXALIGN(sizeof(Message)));
	memcpy(message->webhook_ids, ARR_DATA_PTR(ids), nids * sizeof(int64));
	message->nwebhooks = nids;

	to = (char *) (message->webhook_ids + nids);
	message->payload_len = texts.text[PAYLOAD].len;
	message->event = log_scan_copy_text(&texts, EVENT, &to);
	message->entity_type = log_scan_copy_text(&texts, ENTITY_TYPE, &to);
	message->entity_id = log_scan_copy_text(&texts, ENTITY_ID, &to);
	message->event_uid = log_scan_copy_text(&texts, EVENT_UID, &to);
	message->profile = log_scan_copy_text(&texts, PROFILE, &to);
	message->payload = log_scan_copy_text(&texts, PAYLOAD, &to);
	return message;
}
