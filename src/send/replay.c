/*-------------------------------------------------------------------------
 *
 * replay.c
 *		Messages of the history that are sent to one webhook again.
 *
 * A replay begins with what is in the outbox by then: it is moved to the history
 * (history.c), where messages can be read in the order of their ids.  They are read
 * as they can be sent, like rows of the delivery table, and the rest of the worker does
 * not distinguish them: what is put aside, because the endpoint is slow, fails or is
 * deactivated, is forgotten and read again.  Only those that have failed become rows.
 *
 * A live message waits in the delivery table while messages of its entity are to be
 * replayed, and follows them.  src/README.md says why the order is right.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "base/context.h"
#include "base/settings.h"
#include "base/spi_statement.h"
#include "base/subtransaction.h"
#include "capture/backfill_job.h"
#include "log/cursor.h"
#include "log/history.h"
#include "log/message.h"
#include "send/delivery.h"
#include "send/egress.h"
#include "send/order_key.h"
#include "send/queue.h"
#include "send/recall.h"
#include "send/replay.h"
#include "send/replay_run.h"
#include "send/withheld.h"

/* Messages of an endpoint in memory, in addition to two for each request that it may be sent at once. */
#define REPLAY_ROWS		20

/* All replays share this many of them, and bytes, in equal parts; live messages have more. */
#define REPLAY_MAX_IN_MEMORY	1000
#define REPLAY_MAX_BYTES		(8 * 1024 * 1024)

/* Steps of a turn begin within this time, as nothing is sent meanwhile. */
#define REPLAY_TURN_US	20000

/* How long to wait for a session that has locked the job or the history. */
#define REPLAY_RETRY_MS	100

static uint64 replay_seen = 0;	/* generations that the replays were loaded
								 * with; 0: load them */
static TimestampTz replay_retry_at = DT_NOBEGIN;
static TimestampTz replay_now;	/* of a turn */
static int64 replay_turn_ends_at;	/* by clock_monotonic() */

/* Columns of replay_read_statement */
enum
{
	Anum_read_id = 1,
	Anum_read_wanted,
	Anum_read_entity_type,
	Anum_read_entity_id,
	Anum_read_message_id,
	Anum_read_event,
	Anum_read_event_uid,
	Anum_read_profile,
	Anum_read_payload,
	Anum_read_created_at,
	Anum_read_relation,
	Anum_read_changed,
	Anum_read_former,
	Anum_read_context
};

static SpiStatement replay_read_statement = {
	"SELECT id, wanted, entity_type, entity_id, message_id, event, event_uid, profile, payload, created_at, relation,"
	" changed, former, context FROM webhook.replay_next($1, $2, $3)",
	3, {INT8OID, INT8OID, INT4OID}
};

/* A message that has been read; one that is not wanted has an id and an entity only. */
typedef struct ReplayMessage
{
	bool		wanted;
	Message    *message;
} ReplayMessage;


/* ---------- the end ---------- */

static uint64
replay_generation(void)
{
	return catalog_backfill_generation() + catalog_generation();
}

/* Forget what has not been sent; it is not stored anywhere but in the history. */
static void
replay_forget_unsent(Endpoint *endpoint)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &endpoint->queue.all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (!delivery->replayed || delivery->phase == PHASE_SENDING || delivery->phase == PHASE_TO_WRITE)
			continue;
		queue_release_key(delivery);
		delivery_forget(delivery);
	}
}

/* It has ended, or pauses: what has waited for it goes on. */
static void
replay_gone(Endpoint *endpoint)
{
	replay_forget_unsent(endpoint);
	if (endpoint_is_working(endpoint))
		recall_start_backlog(endpoint, 0);
}

/* ---------- the beginning ---------- */

/* A step to move what is in the outbox to the history; then it can be read. */
static void
replay_prepare(ReplayRun *run)
{
	if (run->snapshot == NULL && !(cursor_between_windows() && replay_run_take_snapshot(run, cursor_snapshot())))
		return;
	if (run->partition < WEBHOOK_PARTITIONS)
	{
		if (history_move_visible(run->partition, run->snapshot, replay_now, &run->locked))
			run->partition++;
		return;
	}
	if (replay_run_begin(run))
		recall_start_backlog(run->endpoint, 0);
}

/* ---------- reading ---------- */

/* How many more may be in memory? */
static int
replay_room(const ReplayRun *run)
{
	const Endpoint *endpoint = run->endpoint;
	bool		works = endpoint->state.proven && endpoint->queue.slow == 0;
	int			batch = endpoint_batch_size(endpoint);
	int			rows = works ? REPLAY_ROWS + 2 * endpoint->config.max_in_flight :
		Min(endpoint->config.max_in_flight, HEALTH_FAILING_AFTER);

	rows = Max(rows, 2 * batch);
	if (endpoint->config.send_interval > 0)
		rows = Min(rows, (1 + (int) (USECS_PER_SEC / endpoint->config.send_interval)) * Max(batch, 1));

	/*
	 * Where live messages wait for the endpoint as well, they get the larger
	 * part.
	 */
	if (endpoint->spill.backlog)
		rows = Max(rows / 2, 1);
	return Min(rows, Max(REPLAY_MAX_IN_MEMORY / replay_run_count(), 1)) - run->in_memory;
}

static bool
replay_has_room(const ReplayRun *run)
{
	return replay_room(run) > 0 && (run->in_memory == 0 || run->bytes < REPLAY_MAX_BYTES / replay_run_count());
}

static bool
replay_wants_more(const ReplayRun *run)
{
	return !run->end && endpoint_is_working(run->endpoint) && !egress_holds(run->endpoint) &&
		replay_has_room(run);
}

/* The context of the session that has made the change, with that of a replay. */
static char *
replay_context(const char *context)
{
	if (context == NULL || strcmp(context, CONTEXT_OF_BACKFILL) == 0 || context[0] != '{' || context[1] == '}')
		return CONTEXT_OF_REPLAY;
	return psprintf("{\"" CONTEXT_REPLAY "\":\"" CONTEXT_REPLAY "\",%s", context + 1);
}

static Message *
replay_take_message(uint64 row, const Endpoint *endpoint, bool wanted, MemoryContext context)
{
	Message		message = {0};
	bool		isnull;
	Datum		d;

	message.id = DatumGetInt64(spi_statement_value(row, Anum_read_id, &isnull));
	message.entity_type = spi_statement_text(row, Anum_read_entity_type);
	message.entity_id = spi_statement_text(row, Anum_read_entity_id);
	message.event = wanted ? spi_statement_text(row, Anum_read_event) : "";
	if (!wanted)
		return message_copy(&message, context);
	message.message_id = *DatumGetUUIDP(spi_statement_value(row, Anum_read_message_id, &isnull));
	message.event_uid = spi_statement_text(row, Anum_read_event_uid);
	message.profile = spi_statement_text(row, Anum_read_profile);
	message.payload = spi_statement_text(row, Anum_read_payload);
	message.created_at = DatumGetTimestampTz(spi_statement_value(row, Anum_read_created_at, &isnull));
	d = spi_statement_value(row, Anum_read_relation, &isnull);
	message.relation = isnull ? InvalidOid : DatumGetObjectId(d);
	message.changed = spi_statement_text(row, Anum_read_changed);
	message.former = spi_statement_text(row, Anum_read_former);
	message.context = replay_context(spi_statement_text(row, Anum_read_context));
	if (OidIsValid(message.relation))
		withheld_remove_hidden(endpoint->config.owner, &message);
	message.payload_len = message.payload ? strlen(message.payload) : 0;
	return message_copy(&message, context);
}

/* Copy what the last statement has found; the next one may free it.  Returns their number. */
static int
replay_take_messages(uint64 n, const Endpoint *endpoint, MemoryContext context, ReplayMessage *result)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "webhook replay", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
	{
		result[i].wanted = DatumGetBool(spi_statement_value(i, Anum_read_wanted, &isnull));
		result[i].message = replay_take_message(i, endpoint, result[i].wanted, context);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	return (int) n;
}

/* What waits for messages with this key is read when they are finished, or at once if there are none in memory. */
static void
replay_block_key(ReplayRun *run, Endpoint *endpoint, int64 order_key, bool wanted)
{
	OrderKey   *key;

	if (order_key == 0 || !(wanted || run->held))
		return;
	key = order_key_get(endpoint->id, order_key, true);
	key->blocked = true;
	if (!wanted && key->holder == NULL)
		order_key_follow(key);
}

/* May the webhook's owner see it?  What is not known is judged again when it is sent. */
static bool
replay_is_allowed(const Endpoint *endpoint, const Message *message)
{
	bool		unknown;

	return !OidIsValid(message->relation) ||
		withheld_reason(endpoint->config.owner, message, &unknown) == NULL || unknown;
}

/* The replayed delivery of this message, by an earlier replay or before it was put back: it is in flight.  Or NULL. */
static Delivery *
replay_find_in_flight(Endpoint *endpoint, int64 id)
{
	dlist_iter	iter;

	dlist_foreach(iter, &endpoint->queue.all)
	{
		Delivery   *delivery = dlist_container(Delivery, all_node, iter.cur);

		if (delivery->replayed && delivery->message->id == id)
			return delivery;
	}
	return NULL;
}

/*
 * Take a message that has been read; it is the delivery's from now on, or freed.  False if it
 * cannot be sent yet, because a row of it is still to be deleted.
 */
static bool
replay_deliver(ReplayRun *run, ReplayMessage *item)
{
	Endpoint   *endpoint = run->endpoint;
	Message    *message = item->message;
	int64		order_key = delivery_order_key(endpoint, message);
	bool		wanted = item->wanted && replay_is_allowed(endpoint, message);
	bool		has_row = wanted && delivery_has_row(endpoint->id, message->id);

	if (has_row && replay_find_in_flight(endpoint, message->id) == NULL)
	{
		pfree(message);
		return false;
	}
	run->read = message->id;
	wanted = wanted && replay_run_add(run, message);
	replay_block_key(run, endpoint, order_key, wanted);
	if (wanted && !has_row)
	{
		Delivery   *delivery = delivery_restore(message, endpoint, order_key, 0);

		delivery->replayed = true;
		queue_add(delivery);
	}
	else
		pfree(message);
	return true;
}

/* Read the next messages; their number.  Palloc'd. */
static int
replay_find_messages(ReplayRun *run, ReplayMessage **messages)
{
	Datum		values[] = {Int64GetDatum(run->job), Int64GetDatum(run->read), Int32GetDatum(replay_room(run))};
	uint64		found = spi_statement_execute(&replay_read_statement, values, NULL);

	*messages = MemoryContextAlloc(TopTransactionContext, Max(found, 1) * sizeof(ReplayMessage));
	return replay_take_messages(found, run->endpoint, TopMemoryContext, *messages);
}

/* An error is one of this replay, and must not keep the worker from sending anything else.  Returns -1 then. */
static int
replay_try_find_messages(ReplayRun *run, ReplayMessage **messages)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile int n = -1;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		n = replay_find_messages(run, messages);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		EmitErrorReport();
		error = subtransaction_abort(context, owner);
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		if (replay_run_end(run, BACKFILL_FAILED, backfill_job_error(error, false)))
			replay_seen = 0;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return n;
}

static void
replay_read(ReplayRun *run)
{
	ReplayMessage *messages;
	int			n = replay_try_find_messages(run, &messages);
	int			i;

	if (n < 0)
		return;
	run->end = n == 0;
	for (i = 0; i < n && replay_deliver(run, &messages[i]); i++)
		 /* go on */ ;

	/*
	 * The row of the first one can only be deleted when a session has
	 * released the webhook.
	 */
	if (i == 0 && n > 0)
		run->locked = true;
	for (i++; i < n; i++)
		pfree(messages[i].message);
	pfree(messages);
}

/* ---------- a turn ---------- */

/* Read the next messages, if no session has locked the history. */
static void
replay_try_read(ReplayRun *run)
{
	run->locked = !history_lock();
	if (run->locked)
		return;

	/* Those whose messages could not be looked for may have been passed. */
	if (run->unsure)
		recall_start_backlog(run->endpoint, 0);
	run->unsure = false;
	if (replay_wants_more(run))
		replay_read(run);
}

static void
replay_step(ReplayRun *run)
{
	if ((run->locked && replay_now < replay_retry_at) || clock_monotonic() >= replay_turn_ends_at)
		return;
	run->locked = false;
	endpoint_refresh(run->endpoint);
	if (webhook_history_retention == 0)
	{
		if (replay_run_end(run, BACKFILL_FAILED, "no history is kept any more"))
			replay_seen = 0;
	}
	else if (!run->begun)
		replay_prepare(run);
	else if (run->end && run->in_memory == 0)
	{
		if (replay_run_end(run, BACKFILL_FINISHED, NULL))
			replay_seen = 0;
	}
	else if (run->unsure || replay_wants_more(run))
		replay_try_read(run);
	if (run->locked)
		replay_retry_at = TimestampTzPlusMilliseconds(replay_now, REPLAY_RETRY_MS);
}

void
replay_turn(TimestampTz now)
{
	if (replay_seen != replay_generation())
	{
		replay_seen = replay_generation();
		replay_run_load(replay_gone);
	}
	replay_now = now;
	replay_turn_ends_at = clock_monotonic() + REPLAY_TURN_US;
	replay_run_foreach(replay_step);
	replay_run_rotate();
}

void
replay_clock_set_back(void)
{
	replay_retry_at = DT_NOBEGIN;
}

static TimestampTz replay_earliest;

static void
replay_find_due(ReplayRun *run)
{
	if (run->locked)
		replay_earliest = Min(replay_earliest, replay_retry_at);
	else if (!run->begun && run->snapshot == NULL && !cursor_between_windows())
		return;
	else if (!run->begun || run->unsure || webhook_history_retention == 0 || (run->end && run->in_memory == 0) ||
			 replay_wants_more(run))
		replay_earliest = DT_NOBEGIN;
}

TimestampTz
replay_next(TimestampTz now)
{
	if (replay_seen != replay_generation())
		return now;
	replay_earliest = DT_NOEND;
	replay_run_foreach(replay_find_due);
	return Max(replay_earliest, now);
}

bool
replay_under_way(void)
{
	return replay_run_count() > 0;
}
