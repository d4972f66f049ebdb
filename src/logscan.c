/*-------------------------------------------------------------------------
 *
 * logscan.c
 *		Rows of the outbox, in the order of transaction id and message id.
 *
 * One index scan per partition, merged.
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

#include "catalog.h"
#include "compat.h"
#include "logscan.h"

static void
advance(LogScan *scan, int p)
{
	bool		isnull;

	if (!index_getnext_slot(scan->scan[p], ForwardScanDirection, scan->slot[p]))
	{
		ExecClearTuple(scan->slot[p]);
		return;
	}
	scan->xid[p] = U64FromFullTransactionId(
		DatumGetFullTransactionId(slot_getattr(scan->slot[p], Anum_outbox_xid, &isnull)));
	scan->id[p] = DatumGetInt64(slot_getattr(scan->slot[p], Anum_outbox_id, &isnull));
}

void
logscan_begin(LogScan *scan, uint64 from_xid, uint64 to_xid, int64 from_id, int partition)
{
	memset(scan, 0, sizeof(*scan));
	scan->current = -1;
	for (int p = 0; p < WEBHOOK_PARTITIONS; p++)
	{
		ScanKeyData keys[2];

		if (partition >= 0 && p != partition)
			continue;
		scan->heap[p] = table_open(catalog_oids()->outbox[p], AccessShareLock);
		if (RelationGetNumberOfBlocks(scan->heap[p]) == 0)
			continue;
		scan->index[p] = index_open(catalog_oids()->outbox_index[p], AccessShareLock);
		scan->slot[p] = table_slot_create(scan->heap[p], NULL);
		scan->scan[p] = webhook_index_beginscan(scan->heap[p], scan->index[p],
												GetActiveSnapshot(), lengthof(keys));
		ScanKeyInit(&keys[0], Anum_outbox_index_xid, BTGreaterEqualStrategyNumber, F_XID8GE,
					FullTransactionIdGetDatum(FullTransactionIdFromU64(from_xid)));
		ScanKeyInit(&keys[1], Anum_outbox_index_xid, BTLessStrategyNumber, F_XID8LT,
					FullTransactionIdGetDatum(FullTransactionIdFromU64(to_xid)));
		if (from_id > 0)
		{
			ScanKeyInit(&keys[0], Anum_outbox_index_xid, BTEqualStrategyNumber, F_XID8EQ,
						FullTransactionIdGetDatum(FullTransactionIdFromU64(from_xid)));
			ScanKeyInit(&keys[1], Anum_outbox_index_id, BTGreaterEqualStrategyNumber, F_INT8GE,
						Int64GetDatum(from_id));
		}
		index_rescan(scan->scan[p], keys, lengthof(keys), NULL, 0);
		advance(scan, p);
	}
}

bool
logscan_next(LogScan *scan)
{
	int			best = -1;

	if (scan->current >= 0)
		advance(scan, scan->current);
	for (int p = 0; p < WEBHOOK_PARTITIONS; p++)
		if (scan->slot[p] != NULL && !TTS_EMPTY(scan->slot[p]) &&
			(best < 0 || scan->xid[p] < scan->xid[best] ||
			 (scan->xid[p] == scan->xid[best] && scan->id[p] < scan->id[best])))
			best = p;
	scan->current = best;
	return best >= 0;
}

void
logscan_end(LogScan *scan)
{
	for (int p = 0; p < WEBHOOK_PARTITIONS; p++)
	{
		if (scan->scan[p] != NULL)
		{
			index_endscan(scan->scan[p]);
			ExecDropSingleTupleTableSlot(scan->slot[p]);
			index_close(scan->index[p], AccessShareLock);
		}
		if (scan->heap[p] != NULL)
			table_close(scan->heap[p], AccessShareLock);
	}
}

static Size
text_size(TupleTableSlot *slot, int attnum)
{
	return slot->tts_isnull[attnum - 1] ? 0 :
		toast_raw_datum_size(slot->tts_values[attnum - 1]) - VARHDRSZ + 1;
}

/* Copy a text value behind *to and move *to on; NULL for NULL. */
static char *
copy_text(TupleTableSlot *slot, int attnum, char **to, int *len)
{
	text	   *value;
	char	   *copy = *to;
	int			size;

	if (slot->tts_isnull[attnum - 1])
		return NULL;
	value = DatumGetTextPP(slot->tts_values[attnum - 1]);
	size = VARSIZE_ANY_EXHDR(value);
	memcpy(copy, VARDATA_ANY(value), size);
	copy[size] = '\0';
	*to += size + 1;
	if (len != NULL)
		*len = size;
	if ((Pointer) value != DatumGetPointer(slot->tts_values[attnum - 1]))
		pfree(value);
	return copy;
}

Message *
logscan_message(TupleTableSlot *slot, MemoryContext context)
{
	static const int text_attnums[] = {Anum_outbox_event, Anum_outbox_entity_type,
		Anum_outbox_entity_id, Anum_outbox_event_uid, Anum_outbox_profile, Anum_outbox_payload};
	ArrayType  *ids;
	Message    *message;
	Size		size = MAXALIGN(sizeof(Message));
	int			nids;
	char	   *to;

	slot_getallattrs(slot);
	for (int i = 0; i < lengthof(text_attnums); i++)
		size += text_size(slot, text_attnums[i]);
	ids = DatumGetArrayTypeP(slot->tts_values[Anum_outbox_webhook_ids - 1]);
	nids = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));

	message = MemoryContextAlloc(context, size + nids * sizeof(int64));
	memset(message, 0, sizeof(Message));
	dlist_init(&message->deliveries);
	message->webhook_ids = (int64 *) ((char *) message + MAXALIGN(sizeof(Message)));
	memcpy(message->webhook_ids, ARR_DATA_PTR(ids), nids * sizeof(int64));
	message->nwebhooks = nids;
	message->id = DatumGetInt64(slot->tts_values[Anum_outbox_id - 1]);
	message->message_id = *DatumGetUUIDP(slot->tts_values[Anum_outbox_message_id - 1]);
	message->created_at = DatumGetTimestampTz(slot->tts_values[Anum_outbox_created_at - 1]);
	if (!slot->tts_isnull[Anum_outbox_relation - 1])
		message->relation = DatumGetObjectId(slot->tts_values[Anum_outbox_relation - 1]);

	to = (char *) (message->webhook_ids + nids);
	message->event = copy_text(slot, Anum_outbox_event, &to, NULL);
	message->entity_type = copy_text(slot, Anum_outbox_entity_type, &to, NULL);
	message->entity_id = copy_text(slot, Anum_outbox_entity_id, &to, NULL);
	message->event_uid = copy_text(slot, Anum_outbox_event_uid, &to, NULL);
	message->profile = copy_text(slot, Anum_outbox_profile, &to, NULL);
	message->payload = copy_text(slot, Anum_outbox_payload, &to, &message->payload_len);
	return message;
}
