/*-------------------------------------------------------------------------
 *
 * outbox.c
 *		Append messages to the log, in the application's transaction.
 *
 * A message is formed into a heap tuple immediately, but written later, together
 * with others, by table_multi_insert(): at the end of the transaction, or when a
 * batch is full.  Consecutive messages with common fields become one tuple, see
 * packed_row.c, as long as it fits into a page.  To recognize them, the
 * transaction counts the ids that it has drawn.  When one has been skipped, for a
 * message that is written later or by another subtransaction, a new tuple is
 * started.  So all ids of a tuple are either less or greater than all ids of any
 * other tuple of the transaction, and the reader finds them in order.
 *
 * A tuple must be inserted by the subtransaction it belongs to, or by one of its
 * parents after that subtransaction has committed.  So every buffered tuple has
 * the id of its subtransaction.  When that commits, the tuple is passed on to the
 * parent; when it aborts, the tuple is dropped.  A full batch writes only the
 * tuples of the current subtransaction; those of its parents remain in the
 * buffer.  To limit what thousands of small subtransactions leave to their
 * parent, a committing subtransaction writes its own tuples if the buffer already
 * holds a batch.
 *
 * The id is drawn when the message is captured, while the transaction holds the
 * lock on the changed row, so two transactions that change the same row draw ids
 * in the order in which they commit.  Every FENCE_INTERVAL-th message also records
 * the next unassigned transaction id at that moment: that transaction, and all
 * later ones, will draw greater message ids.  The reader uses these fences to put
 * a long backlog in order without sorting all of it (cursor.c).
 *
 * The number of the current partition is read from shared memory, and read again
 * after locking that partition.  If it has not changed, the worker cannot seal the
 * partition before our transaction ends, see partitions.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/random.h"
#include "base/settings.h"
#include "base/table_append.h"
#include "compat.h"
#include "log/id_block.h"
#include "log/outbox.h"
#include "log/packed_row.h"
#include "server/shmem.h"
#include "server/wakeup.h"

#define BATCH_ROWS		500
#define BATCH_BYTES		(256 * 1024)
#define FENCE_INTERVAL	256

/* The columns of a tuple's first message, to compare further messages with. */
typedef struct CommonFields
{
	Datum		values[Natts_outbox];
	bool		nulls[Natts_outbox];
	PackedMessage first;
} CommonFields;

typedef struct BufferedTuple
{
	HeapTuple	tuple;			/* with the first message */
	int64		id;				/* of the first message */
	int64		last_id;		/* of the last message */
	int64		last_nth;
	SubTransactionId subid;
	CommonFields *common;		/* NULL until there is a second message to
								 * compare */
	StringInfoData more;		/* further messages; data is NULL if there are
								 * none */
} BufferedTuple;

/* Maximum size of a tuple and its further messages; 16 is for the column's header and alignment. */
#define PACKED_BYTES_MAX		(MaxHeapTupleSize - 16)

/* All of this is empty between transactions. */
static MemoryContext outbox_buffer_context = NULL;	/* child of
													 * TopTransactionContext */
static BufferedTuple *outbox_buffer = NULL;
static int	outbox_buffered = 0;
static int	outbox_buffer_space = 0;
static int	outbox_batch_rows = 0;	/* added since the last flush */
static Size outbox_batch_bytes = 0;
static Size outbox_buffered_bytes = 0;	/* of all that are buffered */
static int64 outbox_ids_drawn = 0;

/* These survive the transaction. */
static int64 outbox_last_drawn = 0;
static TupleDesc outbox_desc = NULL;
static uint64 outbox_desc_generation;	/* of the table's columns when it was
										 * made */
static TupleTableSlot *outbox_batch_slots[BATCH_ROWS];
static MemoryContext outbox_flush_context = NULL;


int
outbox_current_partition(void)
{
	DatabaseSlot *slot = shmem_my_slot();
	uint32		partition = WEBHOOK_PARTITION_UNKNOWN;
	Relation	rel;
	TableScanDesc scan;
	Snapshot	snapshot;
	TupleTableSlot *tts;

	if (slot != NULL)
		partition = pg_atomic_read_u32(&slot->partition);
	if (partition != WEBHOOK_PARTITION_UNKNOWN)
		return (int) partition;

	/* First use since server start: read what the worker saved last. */
	rel = table_open(catalog_oids()->ring, AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = webhook_table_beginscan(rel, snapshot);
	tts = table_slot_create(rel, NULL);
	if (table_scan_getnextslot(scan, ForwardScanDirection, tts))
	{
		bool		isnull;

		partition = (uint32) DatumGetInt16(slot_getattr(tts, Anum_ring_current, &isnull)) % WEBHOOK_PARTITIONS;
	}
	else
		partition = 0;
	ExecDropSingleTupleTableSlot(tts);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);

	if (slot != NULL)
	{
		uint32		expected = WEBHOOK_PARTITION_UNKNOWN;

		if (!pg_atomic_compare_exchange_u32(&slot->partition, &expected, partition))
			partition = expected;
	}
	return (int) partition;
}

/* Open and lock the current partition for writing. */
static Relation
outbox_open_current_partition(int *partition)
{
	for (;;)
	{
		Oid			relid;

		*partition = outbox_current_partition();
		relid = catalog_oids()->outbox[*partition];
		LockRelationOid(relid, RowExclusiveLock);
		if (outbox_current_partition() == *partition)
			return table_open(relid, NoLock);
		UnlockRelationOid(relid, RowExclusiveLock);
	}
}

/*
 * The columns of the outbox that both this library and the table know, which may
 * have been created by another version of the extension.
 */
static TupleDesc
outbox_create_desc(void)
{
	Relation	rel = table_open(catalog_oids()->outbox[0], AccessShareLock);
	TupleDesc	columns = RelationGetDescr(rel);
	TupleDesc	desc = CreateTemplateTupleDesc(Min(columns->natts, Natts_outbox));

	for (AttrNumber i = 1; i <= desc->natts; i++)
		TupleDescCopyEntry(desc, i, columns, i);
	TupleDescFinalize(desc);
	table_close(rel, AccessShareLock);
	return desc;
}

/*
 * Create what every flush uses: the row type and scratch memory; slots are created
 * on demand.  When the table has changed it is created again, but not before the
 * tuples formed with the old row type have been written.
 */
static void
outbox_prepare_to_write(void)
{
	MemoryContext old;
	uint64		generation = catalog_outbox_generation();

	if (outbox_desc != NULL && (outbox_desc_generation == generation || outbox_buffered > 0))
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (outbox_flush_context == NULL)
		outbox_flush_context = AllocSetContextCreate(TopMemoryContext, "webhook outbox flush",
													 ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < BATCH_ROWS; i++)
	{
		if (outbox_batch_slots[i] != NULL)
			ExecDropSingleTupleTableSlot(outbox_batch_slots[i]);
		outbox_batch_slots[i] = NULL;
	}
	if (outbox_desc != NULL)
		FreeTupleDesc(outbox_desc);
	outbox_desc = NULL;
	outbox_desc = outbox_create_desc();
	outbox_desc_generation = generation;
	MemoryContextSwitchTo(old);
}

static TupleTableSlot *
outbox_batch_slot(int i)
{
	if (outbox_batch_slots[i] == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		outbox_batch_slots[i] = MakeSingleTupleTableSlot(outbox_desc, &TTSOpsHeapTuple);
		MemoryContextSwitchTo(old);
	}
	return outbox_batch_slots[i];
}

/* Form the final tuple, with all its messages. */
static HeapTuple
outbox_complete_tuple(const BufferedTuple *entry)
{
	Datum		values[Natts_outbox];
	bool		nulls[Natts_outbox];

	if (entry->more.data == NULL)
		return entry->tuple;
	memcpy(values, entry->common->values, sizeof(values));
	memcpy(nulls, entry->common->nulls, sizeof(nulls));
	values[Anum_outbox_more - 1] =
		PointerGetDatum(cstring_to_text_with_len(entry->more.data, entry->more.len));
	nulls[Anum_outbox_more - 1] = false;
	return heap_form_tuple(outbox_desc, values, nulls);
}

/* Insert one batch of tuples, all of the current subtransaction. */
static void
outbox_write_batch(Relation rel, const BufferedTuple *const *batch, int n)
{
	Assert(n > 0 && n <= BATCH_ROWS);
	for (int i = 0; i < n; i++)
	{
		Assert(batch[i]->subid == GetCurrentSubTransactionId());
		ExecStoreHeapTuple(outbox_complete_tuple(batch[i]), outbox_batch_slot(i), false);
	}
	table_append(rel, outbox_batch_slots, n);
	for (int i = 0; i < n; i++)
		ExecClearTuple(outbox_batch_slots[i]);
}

/* Drop the tuples of this subtransaction, which have been written or must not be written. */
static void
outbox_buffer_drop(SubTransactionId subid)
{
	int			kept = 0;

	for (int i = 0; i < outbox_buffered; i++)
	{
		if (outbox_buffer[i].subid != subid)
		{
			outbox_buffer[kept++] = outbox_buffer[i];
			continue;
		}
		outbox_buffered_bytes -= outbox_buffer[i].tuple->t_len;
		heap_freetuple(outbox_buffer[i].tuple);
		if (outbox_buffer[i].common != NULL)
			pfree(outbox_buffer[i].common);
		if (outbox_buffer[i].more.data != NULL)
		{
			outbox_buffered_bytes -= outbox_buffer[i].more.len;
			pfree(outbox_buffer[i].more.data);
		}
	}
	outbox_buffered = kept;
	Assert(outbox_buffered > 0 || outbox_buffered_bytes == 0);
}

/* Write the tuples of this subtransaction, the current one. */
static void
outbox_buffer_flush(SubTransactionId subid)
{
	const BufferedTuple *batch[BATCH_ROWS];
	MemoryContext old;
	Relation	rel;
	int			partition;
	int			n = 0;

	for (int i = 0; i < outbox_buffered; i++)
		n += (outbox_buffer[i].subid == subid);
	if (n == 0)
		return;
	if (catalog_oids() == NULL)
	{
		/* This transaction has dropped the extension. */
		outbox_buffer_drop(subid);
		return;
	}
	n = 0;
	old = MemoryContextSwitchTo(outbox_flush_context);

	/*
	 * TOASTing large payloads requires an active snapshot; at the end of a
	 * transaction there is none.
	 */
	PushActiveSnapshot(GetTransactionSnapshot());
	rel = outbox_open_current_partition(&partition);
	for (int i = 0; i < outbox_buffered; i++)
	{
		if (outbox_buffer[i].subid != subid)
			continue;
		batch[n++] = &outbox_buffer[i];
		if (n == BATCH_ROWS)
		{
			outbox_write_batch(rel, batch, n);
			n = 0;
		}
	}
	if (n > 0)
		outbox_write_batch(rel, batch, n);
	table_close(rel, NoLock);	/* keep the lock, which keeps the worker from
								 * sealing the partition */
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextReset(outbox_flush_context);

	outbox_buffer_drop(subid);
	outbox_batch_rows = 0;
	outbox_batch_bytes = 0;
}

static void
outbox_buffer_add(HeapTuple tuple, const OutboxId *id)
{
	outbox_buffer = container_grow(outbox_buffer, outbox_buffered, &outbox_buffer_space, 16, sizeof(BufferedTuple),
								   outbox_buffer_context);
	memset(&outbox_buffer[outbox_buffered], 0, sizeof(BufferedTuple));
	outbox_buffer[outbox_buffered].tuple = tuple;
	outbox_buffer[outbox_buffered].id = id->id;
	outbox_buffer[outbox_buffered].last_id = id->id;
	outbox_buffer[outbox_buffered].last_nth = id->nth;
	outbox_buffer[outbox_buffered].subid = GetCurrentSubTransactionId();
	outbox_buffered++;
	outbox_batch_rows++;
	outbox_batch_bytes += tuple->t_len;
	outbox_buffered_bytes += tuple->t_len;
}

static TextSpan
outbox_text_span(const char *data, int len)
{
	TextSpan	text = {data, data == NULL ? 0 : len < 0 ? (int) strlen(data) : len};

	return text;
}

/* A text column of the first message, not copied. */
static TextSpan
outbox_column_text(const CommonFields *common, int attnum)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(common->values[attnum - 1]);
	TextSpan	text = {NULL, 0};

	if (!common->nulls[attnum - 1])
	{
		text.data = VARDATA_ANY(value);
		text.len = VARSIZE_ANY_EXHDR(value);
	}
	return text;
}

static bool
outbox_text_is(TextSpan text, const char *other)
{
	return other == NULL ? text.data == NULL :
		text.data != NULL && text.len == (int) strlen(other) && memcmp(text.data, other, text.len) == 0;
}

/* Does the message agree with the first one in the fields that a tuple stores once? */
static bool
outbox_can_pack(const CommonFields *common, const OutboxRow *row)
{
	TextSpan	ids = outbox_column_text(common, Anum_outbox_webhook_ids);
	Oid			relation = common->nulls[Anum_outbox_relation - 1] ? InvalidOid :
		DatumGetObjectId(common->values[Anum_outbox_relation - 1]);

	return relation == row->relation &&
		ids.len == (int) (VARSIZE(row->webhook_ids) - VARHDRSZ) &&
		memcmp(ids.data, VARDATA(row->webhook_ids), ids.len) == 0 &&
		outbox_text_is(outbox_column_text(common, Anum_outbox_event), row->event) &&
		outbox_text_is(outbox_column_text(common, Anum_outbox_entity_type), row->entity_type) &&
		outbox_text_is(outbox_column_text(common, Anum_outbox_context), row->context);
}

static CommonFields *
outbox_read_common_fields(HeapTuple tuple)
{
	CommonFields *common = MemoryContextAllocZero(outbox_buffer_context, sizeof(CommonFields));

	memset(common->nulls, true, sizeof(common->nulls));
	heap_deform_tuple(tuple, outbox_desc, common->values, common->nulls);
	common->first.event_uid = outbox_column_text(common, Anum_outbox_event_uid);
	common->first.profile = outbox_column_text(common, Anum_outbox_profile);
	return common;
}

/* Add a message to the last tuple in the buffer, if it may and fits. */
static bool
outbox_buffer_pack(const OutboxRow *row, const OutboxId *id, PackedMessage *message)
{
	BufferedTuple *last = outbox_buffered > 0 ? &outbox_buffer[outbox_buffered - 1] : NULL;
	Size		size;

	if (last == NULL || last->last_nth + 1 != id->nth || last->subid != GetCurrentSubTransactionId())
		return false;
	message->entity_id = outbox_text_span(row->entity_id, -1);
	message->event_uid = outbox_text_span(row->event_uid, -1);
	message->profile = outbox_text_span(row->profile, -1);
	message->payload = outbox_text_span(row->payload, row->payload_len);
	message->changed = outbox_text_span(row->changed, row->changed_len);
	message->former = outbox_text_span(row->former, row->former_len);
	if (last->tuple->t_len + last->more.len + packed_row_message_size(message) > PACKED_BYTES_MAX)
		return false;
	if (last->common == NULL)
		last->common = outbox_read_common_fields(last->tuple);
	if (!outbox_can_pack(last->common, row))
		return false;
	if (last->more.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(outbox_buffer_context);

		initStringInfo(&last->more);
		MemoryContextSwitchTo(old);
	}
	size = last->more.len;
	packed_row_add(&last->more, &last->common->first, message);
	size = last->more.len - size;

	/* No other message of this transaction has an id in between. */
	Assert(id->id > last->last_id);
	last->last_id = id->id;
	last->last_nth = id->nth;
	outbox_batch_bytes += size;
	outbox_buffered_bytes += size;
	return true;
}

/* Random bytes for message ids, generated in blocks to save system calls. */
static void
outbox_random_bytes(unsigned char *out, int n)
{
	static unsigned char pool[1024];
	static int	used = sizeof(pool);

	if (used + n > (int) sizeof(pool))
	{
		random_bytes(pool, sizeof(pool));
		used = 0;
	}
	memcpy(out, pool + used, n);
	used += n;
}

/* A UUID of version 7 (RFC 9562): milliseconds since 1970, then random bits. */
static void
outbox_generate_uuid(TimestampTz now, pg_uuid_t *uuid)
{
	uint64		ms = (uint64) (now / 1000 +
							   (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000);

	outbox_random_bytes(uuid->data + 6, UUID_LEN - 6);
	for (int i = 0; i < 6; i++)
		uuid->data[i] = (unsigned char) (ms >> (8 * (5 - i)));
	uuid->data[6] = 0x70 | (uuid->data[6] & 0x0f);
	uuid->data[8] = 0x80 | (uuid->data[8] & 0x3f);
}

void
outbox_new_message_id(pg_uuid_t *message_id)
{
	outbox_generate_uuid(GetCurrentTimestamp(), message_id);
}

char *
outbox_message_id_text(const pg_uuid_t *message_id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(message_id)));
}

static inline void
outbox_set_text(Datum *values, bool *nulls, int attnum, const char *text, int len)
{
	nulls[attnum - 1] = (text == NULL);
	if (text != NULL)
		values[attnum - 1] = PointerGetDatum(cstring_to_text_with_len(text, len < 0 ? (int) strlen(text) : len));
}

void
outbox_draw_id(OutboxId *id)
{
	/*
	 * Our own transaction id must be assigned first, or it could be greater
	 * than the fence; and the id must be drawn before the fence is read.
	 */
	(void) GetTopFullTransactionId();
	id->id = id_block_draw();
	outbox_last_drawn = id->id;
	id->nth = ++outbox_ids_drawn;
	id->fence = id->id % FENCE_INTERVAL == 0 ? ReadNextFullTransactionId() : InvalidFullTransactionId;
	Assert(!FullTransactionIdIsValid(id->fence) ||
		   FullTransactionIdPrecedes(GetTopFullTransactionIdIfAny(), id->fence));
}

int64
outbox_last_id(void)
{
	return outbox_last_drawn;
}

/* A payload that is too large would crash the worker, again after each restart. */
static void
outbox_check_size(const OutboxRow *row)
{
	int64		size = (int64) row->payload_len + row->changed_len + row->former_len;

	if (size <= (int64) webhook_max_payload_size * 1024)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("payload of message \"%s\" is too large", row->event),
			 errdetail("The payload has " INT64_FORMAT " bytes, \"webhook.max_payload_size\" is %d kB.",
					   size, webhook_max_payload_size),
			 errhint("Use argument \"exclude\" of webhook.watch() to omit large columns, or increase the setting.")));
}

/* Form a tuple for a message that starts a new one. */
static HeapTuple
outbox_form_tuple(const OutboxRow *row, const PackedMessage *message)
{
	Datum		values[Natts_outbox];
	bool		nulls[Natts_outbox] = {0};
	MemoryContext old;
	HeapTuple	tuple;

	values[Anum_outbox_id - 1] = Int64GetDatum(message->id);
	values[Anum_outbox_xid - 1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	nulls[Anum_outbox_fence - 1] = !FullTransactionIdIsValid(message->fence);
	values[Anum_outbox_fence - 1] = FullTransactionIdGetDatum(message->fence);
	values[Anum_outbox_message_id - 1] = UUIDPGetDatum(&message->message_id);
	outbox_set_text(values, nulls, Anum_outbox_event, row->event, -1);
	outbox_set_text(values, nulls, Anum_outbox_entity_type, row->entity_type, -1);
	outbox_set_text(values, nulls, Anum_outbox_entity_id, row->entity_id, -1);
	outbox_set_text(values, nulls, Anum_outbox_event_uid, row->event_uid, -1);
	outbox_set_text(values, nulls, Anum_outbox_profile, row->profile, -1);
	values[Anum_outbox_webhook_ids - 1] = PointerGetDatum(row->webhook_ids);
	outbox_set_text(values, nulls, Anum_outbox_payload, row->payload, row->payload_len);
	values[Anum_outbox_created_at - 1] = TimestampTzGetDatum(message->created_at);
	nulls[Anum_outbox_relation - 1] = !OidIsValid(row->relation);
	values[Anum_outbox_relation - 1] = ObjectIdGetDatum(row->relation);
	nulls[Anum_outbox_more - 1] = true;
	outbox_set_text(values, nulls, Anum_outbox_changed, row->changed, row->changed_len);
	outbox_set_text(values, nulls, Anum_outbox_former, row->former, row->former_len);
	outbox_set_text(values, nulls, Anum_outbox_context, row->context, -1);
	old = MemoryContextSwitchTo(outbox_buffer_context);
	tuple = heap_form_tuple(outbox_desc, values, nulls);
	MemoryContextSwitchTo(old);
	return tuple;
}

void
outbox_append(const OutboxRow *row, pg_uuid_t *message_id)
{
	PackedMessage message = {0};
	OutboxId	id;

	(void) catalog_require();
	Assert(ARR_NDIM(row->webhook_ids) == 1);
	outbox_check_size(row);
	outbox_prepare_to_write();

	if (row->id != NULL)
		id = *row->id;
	else
		outbox_draw_id(&id);
	Assert(id.nth > 0 && id.nth <= outbox_ids_drawn);
	message.id = id.id;
	message.fence = id.fence;
	message.created_at = clock_now();
	outbox_generate_uuid(message.created_at, message_id);
	message.message_id = *message_id;

	if (outbox_buffer_context == NULL)
		outbox_buffer_context = AllocSetContextCreate(TopTransactionContext, "webhook outbox buffer",
													  ALLOCSET_DEFAULT_SIZES);
	if (!outbox_buffer_pack(row, &id, &message))
		outbox_buffer_add(outbox_form_tuple(row, &message), &id);
	wakeup_at_commit();

	if (outbox_batch_rows >= BATCH_ROWS || outbox_batch_bytes >= BATCH_BYTES)
		outbox_buffer_flush(GetCurrentSubTransactionId());
}

void
outbox_at_pre_commit(void)
{
	/*
	 * By now committed subtransactions have passed their tuples on to the top
	 * level.
	 */
	outbox_buffer_flush(TopSubTransactionId);
	Assert(outbox_buffered == 0);
}

void
outbox_at_pre_subcommit(SubTransactionId subid)
{
	if (outbox_buffered >= BATCH_ROWS || outbox_buffered_bytes >= BATCH_BYTES)
		outbox_buffer_flush(subid);
}

void
outbox_at_eosubxact(bool committed, SubTransactionId subid, SubTransactionId parent)
{
	if (!committed)
	{
		outbox_buffer_drop(subid);
		id_block_at_eoxact();
		return;
	}
	for (int i = 0; i < outbox_buffered; i++)
		if (outbox_buffer[i].subid == subid)
			outbox_buffer[i].subid = parent;
}

/* Forget all buffered tuples; their memory is freed with the transaction. */
void
outbox_at_eoxact(void)
{
	outbox_buffer_context = NULL;
	outbox_buffer = NULL;
	outbox_buffered = outbox_buffer_space = 0;
	outbox_batch_rows = 0;
	outbox_batch_bytes = outbox_buffered_bytes = 0;
	outbox_ids_drawn = 0;
	id_block_at_eoxact();
}
