/*-------------------------------------------------------------------------
 *
 * packed_row.c
 *		Runs: several messages in one row of the outbox.
 *
 * Row and index entry are half of the cost of appending a message.  Therefore a
 * transaction that writes many messages packs as many of them into one row as
 * fit into a page: the first one is stored in the columns, the following ones in
 * column "more".  All of them have the same transaction id, trigger name, entity
 * type, table, context and webhooks.
 *
 * "more" consists of a format number, the encoding of the database that wrote it,
 * and for each message
 *
 *		flags		which of the following are present
 *		id, message_id, created_at, fence
 *		entity_id, event_uid, profile, payload, changed, former: length and text
 *
 * with all numbers in network byte order.  A dump may be restored on a machine
 * with another byte order, or in a database with another encoding; COPY converts
 * text columns, but not this one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "log/packed_row.h"

#define FORMAT			1
#define HEADER_SIZE		2		/* format and encoding */

/* Flags of a message. */
#define HAS_FENCE		0x01
#define HAS_ENTITY_ID	0x02
#define HAS_EVENT_UID	0x04	/* its own */
#define SAME_EVENT_UID	0x08	/* that of the first message */
#define HAS_PROFILE		0x10
#define SAME_PROFILE	0x20
#define HAS_PAYLOAD		0x40
#define HAS_MORE_FLAGS	0x80	/* another byte with those below follows */

#define HAS_CHANGED		0x01
#define HAS_FORMER		0x02

/* Size of flags and numbers. */
#define FIXED_SIZE		(2 + 8 + UUID_LEN + 8 + 8)
#define TEXTS			6

PG_FUNCTION_INFO_V1(webhook_run_followers);


Size
packed_row_message_size(const PackedMessage *message)
{
	return HEADER_SIZE + FIXED_SIZE + TEXTS * sizeof(int32) + message->entity_id.len + message->event_uid.len +
		message->profile.len + message->payload.len + message->changed.len + message->former.len;
}

static bool
packed_row_text_equals(TextSpan a, TextSpan b)
{
	return a.data != NULL && b.data != NULL && a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static void
packed_row_write_text(StringInfo run, TextSpan text)
{
	pq_writeint32(run, text.len);
	memcpy(run->data + run->len, text.data, text.len);
	run->len += text.len;
}

void
packed_row_add(StringInfo run, const PackedMessage *first, const PackedMessage *message)
{
	uint8		flags = 0;
	uint8		more_flags = 0;

	Assert(run->len == 0 || run->len > HEADER_SIZE);
	flags |= FullTransactionIdIsValid(message->fence) ? HAS_FENCE : 0;
	flags |= message->entity_id.data != NULL ? HAS_ENTITY_ID : 0;
	if (message->event_uid.data != NULL)
		flags |= packed_row_text_equals(message->event_uid, first->event_uid) ? SAME_EVENT_UID : HAS_EVENT_UID;
	if (message->profile.data != NULL)
		flags |= packed_row_text_equals(message->profile, first->profile) ? SAME_PROFILE : HAS_PROFILE;
	flags |= message->payload.data != NULL ? HAS_PAYLOAD : 0;
	more_flags |= message->changed.data != NULL ? HAS_CHANGED : 0;
	more_flags |= message->former.data != NULL ? HAS_FORMER : 0;
	flags |= more_flags != 0 ? HAS_MORE_FLAGS : 0;

	enlargeStringInfo(run, packed_row_message_size(message));
	if (run->len == 0)
	{
		pq_writeint8(run, FORMAT);
		pq_writeint8(run, GetDatabaseEncoding());
	}
	pq_writeint8(run, flags);
	if (flags & HAS_MORE_FLAGS)
		pq_writeint8(run, more_flags);
	pq_writeint64(run, message->id);
	memcpy(run->data + run->len, message->message_id.data, UUID_LEN);
	run->len += UUID_LEN;
	pq_writeint64(run, message->created_at);
	if (flags & HAS_FENCE)
		pq_writeint64(run, U64FromFullTransactionId(message->fence));
	if (flags & HAS_ENTITY_ID)
		packed_row_write_text(run, message->entity_id);
	if (flags & HAS_EVENT_UID)
		packed_row_write_text(run, message->event_uid);
	if (flags & HAS_PROFILE)
		packed_row_write_text(run, message->profile);
	if (flags & HAS_PAYLOAD)
		packed_row_write_text(run, message->payload);
	if (more_flags & HAS_CHANGED)
		packed_row_write_text(run, message->changed);
	if (more_flags & HAS_FORMER)
		packed_row_write_text(run, message->former);
}

static const char *
packed_row_take(RunReader *reader, int n)
{
	const char *data = reader->at;

	if (n < 0 || n > reader->end - reader->at)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("invalid message format in outbox row"),
				 errdetail("Column \"more\" ends too early.")));
	reader->at += n;
	return data;
}

static int64
packed_row_take_int64(RunReader *reader)
{
	uint64		value;

	memcpy(&value, packed_row_take(reader, sizeof(value)), sizeof(value));
	return (int64) pg_ntoh64(value);
}

static TextSpan
packed_row_take_text(RunReader *reader)
{
	TextSpan	text;
	uint32		len;

	memcpy(&len, packed_row_take(reader, sizeof(len)), sizeof(len));
	text.len = (int) pg_ntoh32(len);
	text.data = packed_row_take(reader, text.len);

	if (reader->convert)
	{
		const char *converted = pg_any_to_server(text.data, text.len, reader->encoding);

		if (converted != text.data)
			text.len = strlen(converted);
		text.data = converted;
	}
	return text;
}

void
packed_row_begin(RunReader *reader, TextSpan event_uid, TextSpan profile, const char *data, int len)
{
	reader->at = data;
	reader->end = data + len;
	reader->event_uid = event_uid;
	reader->profile = profile;
	if (*packed_row_take(reader, 1) != FORMAT)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("invalid message format in outbox row"),
				 errdetail("Column \"more\" has an unknown format.")));
	reader->encoding = (uint8) *packed_row_take(reader, 1);
	if (!PG_VALID_BE_ENCODING(reader->encoding))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("invalid message format in outbox row"),
				 errdetail("Column \"more\" has an unknown encoding.")));
	reader->convert = reader->encoding != GetDatabaseEncoding();
}

bool
packed_row_next(RunReader *reader, PackedMessage *message)
{
	uint8		flags;
	uint8		more_flags;

	if (reader->at == reader->end)
		return false;
	memset(message, 0, sizeof(*message));
	flags = (uint8) *packed_row_take(reader, 1);
	more_flags = (flags & HAS_MORE_FLAGS) ? (uint8) *packed_row_take(reader, 1) : 0;
	message->id = packed_row_take_int64(reader);
	memcpy(message->message_id.data, packed_row_take(reader, UUID_LEN), UUID_LEN);
	message->created_at = packed_row_take_int64(reader);
	if (flags & HAS_FENCE)
		message->fence = FullTransactionIdFromU64(packed_row_take_int64(reader));
	if (flags & HAS_ENTITY_ID)
		message->entity_id = packed_row_take_text(reader);
	if (flags & HAS_EVENT_UID)
		message->event_uid = packed_row_take_text(reader);
	else if (flags & SAME_EVENT_UID)
		message->event_uid = reader->event_uid;
	if (flags & HAS_PROFILE)
		message->profile = packed_row_take_text(reader);
	else if (flags & SAME_PROFILE)
		message->profile = reader->profile;
	if (flags & HAS_PAYLOAD)
		message->payload = packed_row_take_text(reader);
	if (more_flags & HAS_CHANGED)
		message->changed = packed_row_take_text(reader);
	if (more_flags & HAS_FORMER)
		message->former = packed_row_take_text(reader);
	return true;
}

/* State of run_followers() between calls. */
typedef struct Followers
{
	RunReader	reader;
	bool		first_returned;
} Followers;

/* An argument, copied because it is used by later calls, too. */
static TextSpan
packed_row_text_argument(FunctionCallInfo fcinfo, int i)
{
	TextSpan	result = {NULL, 0};

	if (!PG_ARGISNULL(i))
	{
		text	   *value = PG_GETARG_TEXT_P_COPY(i);

		result.data = VARDATA(value);
		result.len = VARSIZE(value) - VARHDRSZ;
	}
	return result;
}

static Datum
packed_row_text_datum(TextSpan text, bool *isnull)
{
	*isnull = text.data == NULL;

	return *isnull ? (Datum) 0 : PointerGetDatum(cstring_to_text_with_len(text.data, text.len));
}

static Datum
packed_row_message_datum(TupleDesc desc, const PackedMessage *message)
{
	Datum		values[9];		/* the type of version 0.1.0 has two less */
	bool		nulls[9] = {false};

	values[0] = Int64GetDatum(message->id);
	values[1] = UUIDPGetDatum(&message->message_id);
	values[2] = TimestampTzGetDatum(message->created_at);
	values[3] = packed_row_text_datum(message->entity_id, &nulls[3]);
	values[4] = packed_row_text_datum(message->event_uid, &nulls[4]);
	values[5] = packed_row_text_datum(message->profile, &nulls[5]);
	values[6] = packed_row_text_datum(message->payload, &nulls[6]);
	values[7] = packed_row_text_datum(message->changed, &nulls[7]);
	values[8] = packed_row_text_datum(message->former, &nulls[8]);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

/*
 * run_followers(event_uid, profile, more) returns setof follower: NULL, in place
 * of the first message of the row, and then the others.
 */
Datum
webhook_run_followers(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	Followers  *followers;
	PackedMessage message;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		TupleDesc	desc;
		TextSpan	more;

		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		followers = palloc0(sizeof(Followers));
		more = packed_row_text_argument(fcinfo, 2);
		if (more.data != NULL)
		{
			if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
				elog(ERROR, "return type must be a row type");
			call->tuple_desc = BlessTupleDesc(desc);
			packed_row_begin(&followers->reader, packed_row_text_argument(fcinfo, 0),
							 packed_row_text_argument(fcinfo, 1), more.data, more.len);

			/* A dump may contain anything. */
			followers->reader.convert = true;
		}
		call->user_fctx = followers;
		MemoryContextSwitchTo(old);
	}
	call = SRF_PERCALL_SETUP();
	followers = call->user_fctx;
	if (!followers->first_returned)
	{
		followers->first_returned = true;
		SRF_RETURN_NEXT_NULL(call);
	}
	if (!packed_row_next(&followers->reader, &message))
		SRF_RETURN_DONE(call);
	SRF_RETURN_NEXT(call, packed_row_message_datum(call->tuple_desc, &message));
}
