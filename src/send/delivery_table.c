/*-------------------------------------------------------------------------
 *
 * delivery_table.c
 *		The table of deliveries that did not succeed at once.
 *
 * All SQL on webhook.delivery that the worker uses is here.  A row holds
 * its own copy of the message, so that it does not depend on the outbox, whose
 * partitions are truncated.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/spi_statement.h"
#include "base/webhook_lock.h"
#include "send/delivery_table.h"


/* Rows read in one go; a message can be large. */
#define READ_BYTES			(4 * 1024 * 1024)

static const char *const delivery_table_state_names[] = {"waiting", "retrying", "failed"};

/* The payload has no cast, which would convert all of them at once: see delivery_table_take_rows(). */
#define ROW_COLUMNS \
	"webhook_id, id, message_id, event, entity_type, entity_id::text, event_uid, profile, " \
	"payload, created_at, order_key, attempts, state, next_attempt_at, relation::oid, changed, former, context"

/* The columns of ROW_COLUMNS and, in the same order, the parameters of the INSERT, which has two more. */
enum
{
	Anum_row_webhook_id = 1,
	Anum_row_id,
	Anum_row_message_id,
	Anum_row_event,
	Anum_row_entity_type,
	Anum_row_entity_id,
	Anum_row_event_uid,
	Anum_row_profile,
	Anum_row_payload,
	Anum_row_created_at,
	Anum_row_order_key,
	Anum_row_attempts,
	Anum_row_state,
	Anum_row_next_attempt_at,
	Anum_row_relation,
	Anum_row_changed,
	Anum_row_former,
	Anum_row_context,
	Anum_row_last_error,
	Anum_row_failed_at,
	Natts_row = Anum_row_failed_at
};

static SpiStatement delivery_table_insert_statement = {
	"INSERT INTO webhook.delivery AS d (webhook_id, id, message_id, event, entity_type, entity_id, event_uid,"
	" profile, payload, created_at, order_key, attempts, state, next_attempt_at, relation, changed, former, context,"
	" last_error, failed_at)"
	" VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8, $9::json, $10, $11, $12, $13, $14, $15, $16::json, $17::json, $18::json, $19, $20)"
	" ON CONFLICT (webhook_id, id) DO UPDATE SET attempts = excluded.attempts, state = excluded.state,"
	"  next_attempt_at = excluded.next_attempt_at, last_error = COALESCE(excluded.last_error, d.last_error),"
	"  failed_at = excluded.failed_at",
	Natts_row, {INT8OID, INT8OID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TIMESTAMPTZOID, INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID, REGCLASSOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	TIMESTAMPTZOID}
};

/* Without the message, which the row has already. */
static SpiStatement delivery_table_update_statement = {
	"UPDATE webhook.delivery SET attempts = $3, state = $4, next_attempt_at = $5,"
	" last_error = COALESCE($6, last_error), failed_at = $7 WHERE webhook_id = $1 AND id = $2",
	7, {INT8OID, INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID}
};

static SpiStatement delivery_table_delete_statement = {
	"DELETE FROM webhook.delivery WHERE webhook_id = $1 AND id = $2",
	2, {INT8OID, INT8OID}
};

/*
 * Deleted rows remain while an old snapshot exists.  Where a scan would pass over the
 * same ones again and again, it begins after what is known to have been processed.
 */
static SpiStatement delivery_table_expired_statement = {
	"SELECT webhook_id, id, failed_at FROM webhook.delivery WHERE state = 'failed' AND failed_at >= $1 AND failed_at <= $2"
	" ORDER BY failed_at LIMIT $3",
	3, {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}
};

static SpiStatement delivery_table_delete_failed_statement = {
	"DELETE FROM webhook.delivery WHERE webhook_id = $1 AND id = $2 AND state = 'failed'",
	2, {INT8OID, INT8OID}
};

static SpiStatement delivery_table_first_failed_statement = {
	"SELECT min(failed_at) FROM webhook.delivery WHERE state = 'failed' AND failed_at >= $1",
	1, {TIMESTAMPTZOID}
};

#define FORBIDDEN	"state = 'retrying' AND next_attempt_at > $1 AND last_error LIKE 'address % is not allowed%'"

static SpiStatement delivery_table_forbidden_statement = {
	"SELECT DISTINCT webhook_id FROM webhook.delivery WHERE " FORBIDDEN,
	1, {TIMESTAMPTZOID}
};

static SpiStatement delivery_table_retry_forbidden_statement = {
	"UPDATE webhook.delivery SET next_attempt_at = $1 WHERE webhook_id = $2 AND " FORBIDDEN,
	2, {TIMESTAMPTZOID, INT8OID}
};

static SpiStatement delivery_table_delete_all_statement = {
	"DELETE FROM webhook.delivery WHERE webhook_id = $1",
	1, {INT8OID}
};

static SpiStatement delivery_table_exists_statement = {
	"SELECT FROM webhook.delivery WHERE webhook_id = $1 AND id = $2",
	2, {INT8OID, INT8OID}
};

static SpiStatement delivery_table_last_id_statement = {
	"SELECT COALESCE(max(id), 0) FROM webhook.delivery", 0, {0}
};

static SpiStatement delivery_table_backlog_statement = {
	"SELECT " ROW_COLUMNS " FROM webhook.delivery"
	" WHERE webhook_id = $1 AND id > $2 AND state = 'waiting' ORDER BY id LIMIT $3",
	3, {INT8OID, INT8OID, INT4OID}
};

static SpiStatement delivery_table_due_statement = {
	"SELECT " ROW_COLUMNS " FROM webhook.delivery AS d"
	" WHERE state = 'retrying' AND (next_attempt_at, webhook_id, id) > ($1, $2, $3) AND next_attempt_at <= $4"
	"  AND EXISTS (SELECT FROM webhook.webhook AS w WHERE w.id = d.webhook_id AND w.active)"
	" ORDER BY next_attempt_at, webhook_id, id LIMIT $5",
	5, {TIMESTAMPTZOID, INT8OID, INT8OID, TIMESTAMPTZOID, INT4OID}
};

static SpiStatement delivery_table_next_statement = {
	"SELECT " ROW_COLUMNS " FROM webhook.delivery"
	" WHERE webhook_id = $1 AND order_key = $2 AND id > $3 AND state IN ('waiting', 'retrying') ORDER BY id LIMIT 1",
	3, {INT8OID, INT8OID, INT8OID}
};

/*
 * Among the oldest rows, those that are the first with their key.  Some may
 * still be retrying, see spill_suspend_rows().
 */
static SpiStatement delivery_table_probes_statement = {
	"SELECT " ROW_COLUMNS " FROM (SELECT *, row_number() OVER (PARTITION BY order_key ORDER BY id) AS place FROM ("
	"  (SELECT * FROM webhook.delivery WHERE webhook_id = $1 AND state = 'waiting' ORDER BY id LIMIT $2)"
	"  UNION ALL"
	"  (SELECT * FROM webhook.delivery WHERE webhook_id = $1 AND state = 'retrying' ORDER BY id LIMIT $2)"
	"  ORDER BY id LIMIT $2) AS oldest) AS d"
	" WHERE order_key = 0 OR place = 1 ORDER BY id",
	2, {INT8OID, INT4OID}
};

static SpiStatement delivery_table_suspend_statement = {
	"UPDATE webhook.delivery SET state = 'waiting', next_attempt_at = NULL"
	" WHERE webhook_id = $1 AND state = 'retrying'",
	1, {INT8OID}
};

static SpiStatement delivery_table_drop_statement = {
	"DELETE FROM webhook.delivery WHERE webhook_id = $1 AND state IN ('waiting', 'retrying')",
	1, {INT8OID}
};

static SpiStatement delivery_table_next_due_statement = {
	"SELECT next_attempt_at FROM webhook.delivery AS d"
	" WHERE state = 'retrying' AND (next_attempt_at, webhook_id, id) > ($1, $2, $3)"
	" AND EXISTS (SELECT FROM webhook.webhook AS w WHERE w.id = d.webhook_id AND w.active)"
	" ORDER BY next_attempt_at, webhook_id, id LIMIT 1",
	3, {TIMESTAMPTZOID, INT8OID, INT8OID}
};

static SpiStatement delivery_table_backlog_webhooks_statement = {
	"SELECT webhook_id, wanted FROM webhook.backlog", 0, {0}
};

static SpiStatement delivery_table_retrying_statement = {
	"SELECT DISTINCT webhook_id, order_key FROM webhook.delivery WHERE state = 'retrying' AND order_key <> 0",
	0, {0}
};


/* These set parameter $n. */
static void
delivery_table_bind_text(Datum *values, char *nulls, int n, const char *text)
{
	nulls[n - 1] = text ? ' ' : 'n';
	values[n - 1] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* The error may contain text of the receiver. */
static void
delivery_table_bind_error(Datum *values, char *nulls, int n, const Delivery *delivery)
{
	const char *error = delivery->row.last_error;

	nulls[n - 1] = error ? ' ' : 'n';
	values[n - 1] = error ? spi_statement_safe_text(error, strlen(error)) : (Datum) 0;
}

static void
delivery_table_bind_due(Datum *values, char *nulls, int n, const Delivery *delivery)
{
	nulls[n - 1] = delivery->row.next_state == DELIVERY_RETRYING ? ' ' : 'n';
	values[n - 1] = TimestampTzGetDatum(delivery->row.next_attempt_at);
}

static void
delivery_table_bind_failed_at(Datum *values, char *nulls, int n, const Delivery *delivery)
{
	nulls[n - 1] = delivery->row.next_state == DELIVERY_FAILED ? ' ' : 'n';
	values[n - 1] = TimestampTzGetDatum(clock_now());
}

static void
delivery_table_update(const Delivery *delivery)
{
	Datum		values[7];
	char		nulls[8] = "       ";

	Assert(webhook_lock_is_held(delivery->endpoint->id));
	values[0] = Int64GetDatum(delivery->endpoint->id);
	values[1] = Int64GetDatum(delivery->message->id);
	values[2] = Int32GetDatum(delivery->attempts);
	values[3] = CStringGetTextDatum(delivery_table_state_names[delivery->row.next_state]);
	delivery_table_bind_due(values, nulls, 5, delivery);
	delivery_table_bind_error(values, nulls, 6, delivery);
	delivery_table_bind_failed_at(values, nulls, 7, delivery);
	spi_statement_execute(&delivery_table_update_statement, values, nulls);
}

static void
delivery_table_insert(const Delivery *delivery)
{
	const Message *message = delivery->message;
	Datum		values[Natts_row];
	char		nulls[Natts_row];

	memset(nulls, ' ', sizeof(nulls));
	values[Anum_row_webhook_id - 1] = Int64GetDatum(delivery->endpoint->id);
	values[Anum_row_id - 1] = Int64GetDatum(message->id);
	values[Anum_row_message_id - 1] = UUIDPGetDatum(&message->message_id);
	delivery_table_bind_text(values, nulls, Anum_row_event, message->event);
	delivery_table_bind_text(values, nulls, Anum_row_entity_type, message->entity_type);
	delivery_table_bind_text(values, nulls, Anum_row_entity_id, message->entity_id);
	delivery_table_bind_text(values, nulls, Anum_row_event_uid, message->event_uid);
	delivery_table_bind_text(values, nulls, Anum_row_profile, message->profile);
	delivery_table_bind_text(values, nulls, Anum_row_payload, message->payload);
	values[Anum_row_created_at - 1] = TimestampTzGetDatum(message->created_at);
	values[Anum_row_order_key - 1] = Int64GetDatum(delivery->order_key);
	values[Anum_row_attempts - 1] = Int32GetDatum(delivery->attempts);
	values[Anum_row_state - 1] = CStringGetTextDatum(delivery_table_state_names[delivery->row.next_state]);
	delivery_table_bind_due(values, nulls, Anum_row_next_attempt_at, delivery);
	values[Anum_row_relation - 1] = ObjectIdGetDatum(message->relation);
	nulls[Anum_row_relation - 1] = OidIsValid(message->relation) ? ' ' : 'n';
	delivery_table_bind_text(values, nulls, Anum_row_changed, message->changed);
	delivery_table_bind_text(values, nulls, Anum_row_former, message->former);
	delivery_table_bind_text(values, nulls, Anum_row_context, message->context);
	delivery_table_bind_error(values, nulls, Anum_row_last_error, delivery);
	delivery_table_bind_failed_at(values, nulls, Anum_row_failed_at, delivery);
	spi_statement_execute(&delivery_table_insert_statement, values, nulls);
}

void
delivery_table_store(const Delivery *delivery)
{
	if (delivery->row.exists && !delivery->replayed)
		delivery_table_update(delivery);
	else
		delivery_table_insert(delivery);
}

void
delivery_table_delete(int64 webhook_id, int64 id)
{
	Datum		values[2] = {Int64GetDatum(webhook_id), Int64GetDatum(id)};

	Assert(webhook_lock_is_held(webhook_id));
	spi_statement_execute(&delivery_table_delete_statement, values, NULL);
}

int
delivery_table_read_expired(TimestampTz from, TimestampTz to, int max, DeliveryId *result, TimestampTz *last)
{
	Datum		values[3] = {TimestampTzGetDatum(from), TimestampTzGetDatum(to), Int32GetDatum(max)};
	uint64		n = spi_statement_execute(&delivery_table_expired_statement, values, NULL);
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
	{
		result[i].webhook_id = DatumGetInt64(spi_statement_value(i, 1, &isnull));
		result[i].id = DatumGetInt64(spi_statement_value(i, 2, &isnull));
		*last = DatumGetTimestampTz(spi_statement_value(i, 3, &isnull));
	}
	return (int) n;
}

bool
delivery_table_delete_failed(int64 webhook_id, int64 id)
{
	Datum		values[2] = {Int64GetDatum(webhook_id), Int64GetDatum(id)};

	Assert(webhook_lock_is_held(webhook_id));
	return spi_statement_execute(&delivery_table_delete_failed_statement, values, NULL) > 0;
}

TimestampTz
delivery_table_first_failed(TimestampTz from)
{
	Datum		values[] = {TimestampTzGetDatum(from)};
	bool		isnull;
	Datum		first;

	spi_statement_execute(&delivery_table_first_failed_statement, values, NULL);
	first = spi_statement_value(0, 1, &isnull);
	return isnull ? DT_NOEND : DatumGetTimestampTz(first);
}

int
delivery_table_read_forbidden(TimestampTz now, int64 **webhook_ids)
{
	Datum		values[] = {TimestampTzGetDatum(now)};
	int			n = (int) spi_statement_execute(&delivery_table_forbidden_statement, values, NULL);
	bool		isnull;

	*webhook_ids = palloc(Max(n, 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
		(*webhook_ids)[i] = DatumGetInt64(spi_statement_value(i, 1, &isnull));
	return n;
}

void
delivery_table_retry_forbidden(int64 webhook_id, TimestampTz now)
{
	Datum		values[] = {TimestampTzGetDatum(now), Int64GetDatum(webhook_id)};

	Assert(webhook_lock_is_held(webhook_id));
	spi_statement_execute(&delivery_table_retry_forbidden_statement, values, NULL);
}

/* Execute a statement about all rows of a webhook.  Returns how many it has changed. */
static uint64
delivery_table_change_all(SpiStatement *statement, int64 webhook_id)
{
	Datum		values[1] = {Int64GetDatum(webhook_id)};

	Assert(webhook_lock_is_held(webhook_id));
	return spi_statement_execute(statement, values, NULL);
}

void
delivery_table_delete_all(int64 webhook_id)
{
	delivery_table_change_all(&delivery_table_delete_all_statement, webhook_id);
}

bool
delivery_table_exists(int64 webhook_id, int64 id)
{
	Datum		values[2] = {Int64GetDatum(webhook_id), Int64GetDatum(id)};

	return spi_statement_execute(&delivery_table_exists_statement, values, NULL) > 0;
}

int64
delivery_table_last_id(void)
{
	bool		isnull;

	spi_statement_execute(&delivery_table_last_id_statement, NULL, NULL);
	return DatumGetInt64(spi_statement_value(0, 1, &isnull));
}

/* Convert rows of the last result, until they exceed READ_BYTES.  Returns their number. */
static int
delivery_table_take_rows(uint64 n, MemoryContext context, StoredDelivery *result)
{
	Size		bytes = 0;
	uint64		i;
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "webhook rows",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);

	for (i = 0; i < n && bytes < READ_BYTES; i++)
	{
		StoredDelivery *stored = &result[i];
		Message		row = {0};
		bool		isnull;
		Datum		d;
		char	   *state;

		stored->webhook_id = DatumGetInt64(spi_statement_value(i, Anum_row_webhook_id, &isnull));
		row.id = DatumGetInt64(spi_statement_value(i, Anum_row_id, &isnull));
		row.message_id = *DatumGetUUIDP(spi_statement_value(i, Anum_row_message_id, &isnull));
		row.event = spi_statement_text(i, Anum_row_event);
		row.entity_type = spi_statement_text(i, Anum_row_entity_type);
		row.entity_id = spi_statement_text(i, Anum_row_entity_id);
		row.event_uid = spi_statement_text(i, Anum_row_event_uid);
		row.profile = spi_statement_text(i, Anum_row_profile);
		row.payload = spi_statement_text(i, Anum_row_payload);
		row.payload_len = row.payload ? strlen(row.payload) : 0;
		row.created_at = DatumGetTimestampTz(spi_statement_value(i, Anum_row_created_at, &isnull));
		stored->order_key = DatumGetInt64(spi_statement_value(i, Anum_row_order_key, &isnull));
		stored->attempts = DatumGetInt32(spi_statement_value(i, Anum_row_attempts, &isnull));
		state = spi_statement_text(i, Anum_row_state);
		stored->state = DELIVERY_WAITING;
		while (strcmp(delivery_table_state_names[stored->state], state) != 0)
			stored->state++;
		d = spi_statement_value(i, Anum_row_next_attempt_at, &isnull);
		stored->next_attempt_at = isnull ? DT_NOBEGIN : DatumGetTimestampTz(d);
		d = spi_statement_value(i, Anum_row_relation, &isnull);
		row.relation = isnull ? InvalidOid : DatumGetObjectId(d);
		row.changed = spi_statement_text(i, Anum_row_changed);
		row.former = spi_statement_text(i, Anum_row_former);
		row.context = spi_statement_text(i, Anum_row_context);
		stored->message = message_copy(&row, context);
		bytes += MESSAGE_SIZE(stored->message);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return (int) i;
}

int
delivery_table_read_backlog(int64 webhook_id, int64 after, int max, MemoryContext context,
							StoredDelivery *result, bool *more)
{
	Datum		values[3] = {Int64GetDatum(webhook_id), Int64GetDatum(after), Int32GetDatum(max)};
	uint64		found = spi_statement_execute(&delivery_table_backlog_statement, values, NULL);
	int			n = delivery_table_take_rows(found, context, result);

	*more = n < found || n == max;
	return n;
}

int
delivery_table_read_due(const DuePosition *after, TimestampTz now, int max, MemoryContext context,
						StoredDelivery *result, bool *more)
{
	uint64		found;
	int			n;
	Datum		values[5] = {TimestampTzGetDatum(after->at), Int64GetDatum(after->webhook_id),
	Int64GetDatum(after->id), TimestampTzGetDatum(now), Int32GetDatum(max)};

	found = spi_statement_execute(&delivery_table_due_statement, values, NULL);
	n = delivery_table_take_rows(found, context, result);
	*more = n < found || n == max;
	return n;
}

int
delivery_table_read_next(int64 webhook_id, int64 order_key, int64 after, MemoryContext context, StoredDelivery *result)
{
	Datum		values[3] = {Int64GetDatum(webhook_id), Int64GetDatum(order_key), Int64GetDatum(after)};

	return delivery_table_take_rows(spi_statement_execute(&delivery_table_next_statement, values, NULL), context, result);
}

int
delivery_table_read_probes(int64 webhook_id, int max, MemoryContext context, StoredDelivery *result)
{
	Datum		values[2] = {Int64GetDatum(webhook_id), Int32GetDatum(max)};

	uint64		found = spi_statement_execute(&delivery_table_probes_statement, values, NULL);

	return delivery_table_take_rows(found, context, result);
}

void
delivery_table_suspend(int64 webhook_id)
{
	delivery_table_change_all(&delivery_table_suspend_statement, webhook_id);
}

int64
delivery_table_drop(int64 webhook_id)
{
	return (int64) delivery_table_change_all(&delivery_table_drop_statement, webhook_id);
}

TimestampTz
delivery_table_next_due(const DuePosition *after)
{
	Datum		values[3] = {TimestampTzGetDatum(after->at), Int64GetDatum(after->webhook_id),
	Int64GetDatum(after->id)};
	bool		isnull;

	if (spi_statement_execute(&delivery_table_next_due_statement, values, NULL) == 0)
		return DT_NOEND;
	return DatumGetTimestampTz(spi_statement_value(0, 1, &isnull));
}

void
delivery_table_foreach_backlog(void (*callback) (int64 webhook_id, bool wanted))
{
	uint64		n = spi_statement_execute(&delivery_table_backlog_webhooks_statement, NULL, NULL);
	int64	   *ids = palloc(Max(n, 1) * sizeof(int64));
	bool	   *wanted = palloc(Max(n, 1) * sizeof(bool));
	bool		isnull;

	/* The callback may execute statements of its own. */
	for (uint64 i = 0; i < n; i++)
	{
		ids[i] = DatumGetInt64(spi_statement_value(i, 1, &isnull));
		wanted[i] = DatumGetBool(spi_statement_value(i, 2, &isnull));
	}
	for (uint64 i = 0; i < n; i++)
		callback(ids[i], wanted[i]);
}

void
delivery_table_foreach_retrying(void (*callback) (int64 webhook_id, int64 order_key))
{
	uint64		n = spi_statement_execute(&delivery_table_retrying_statement, NULL, NULL);
	int64	   *ids = palloc(Max(n, 1) * 2 * sizeof(int64));
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
	{
		ids[2 * i] = DatumGetInt64(spi_statement_value(i, 1, &isnull));
		ids[2 * i + 1] = DatumGetInt64(spi_statement_value(i, 2, &isnull));
	}
	for (uint64 i = 0; i < n; i++)
		callback(ids[2 * i], ids[2 * i + 1]);
}
