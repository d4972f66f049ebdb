/*-------------------------------------------------------------------------
 *
 * replay_run.c
 *		How far a replay is, in the worker's memory and in webhook.backfill.
 *
 * Messages are read in the order of their ids and finished in any order.  The
 * position that is stored is before the first one that is not finished, as with the
 * cursor: a crash repeats what was in flight, and loses nothing.
 *
 * Sessions end a replay by setting finished_at.  The worker does not wait for one
 * that has locked the row, but pauses.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/container.h"
#include "base/spi_statement.h"
#include "capture/backfill_job.h"
#include "log/history.h"
#include "log/message.h"
#include "send/replay_run.h"

/* A message that has been read. */
typedef struct ReplayEntry
{
	dlist_node	node;
	int64		id;
	Size		bytes;
	bool		finished;
} ReplayEntry;

/* Keys of live messages that have been looked up. */
typedef struct ReplayKey
{
	int64		order_key;
	int64		last_id;		/* of the messages that are replayed; 0: none */
} ReplayKey;

/* Maximum number of cached keys. */
#define REPLAY_KEYS		10000

static List *replay_run_all = NIL;	/* of ReplayRun */

/* Columns of replay_run_list_statement */
enum
{
	Anum_replay_webhook_id = 1,
	Anum_replay_job,
	Anum_replay_snapshot,
	Anum_replay_begun,
	Anum_replay_replayed_to,
	Anum_replay_rows_sent
};

static SpiStatement replay_run_list_statement = {
	"SELECT webhook_id, job, snapshot, begun, replayed_to, rows_sent FROM webhook.replay_to_do", 0, {0}
};
static SpiStatement replay_run_lock_statement = {
	"SELECT FROM webhook.backfill WHERE job = $1 AND finished_at IS NULL FOR UPDATE SKIP LOCKED", 1, {INT8OID}
};
static SpiStatement replay_run_snapshot_statement = {
	"UPDATE webhook.backfill SET snapshot = $2, epoch = nextval('webhook.history_epoch_seq') WHERE job = $1"
	" RETURNING snapshot::text", 2, {INT8OID, PG_SNAPSHOTOID}
};
static SpiStatement replay_run_begin_statement = {
	"UPDATE webhook.backfill SET phase = '" BACKFILL_SENDING "' WHERE job = $1", 1, {INT8OID}
};
static SpiStatement replay_run_save_statement = {
	"UPDATE webhook.backfill SET replayed_to = $2, rows_sent = $3 WHERE job = $1", 3, {INT8OID, INT8OID, INT8OID}
};
static SpiStatement replay_run_end_statement = {
	"UPDATE webhook.backfill SET rows_sent = $2, phase = $3, last_error = $4, finished_at = $5 WHERE job = $1",
	5, {INT8OID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
};
static SpiStatement replay_run_last_id_statement = {
	"SELECT webhook.replay_last_id($1, $2, $3::json)", 3, {INT8OID, TEXTOID, TEXTOID}
};


/* ---------- the replays ---------- */

void
replay_run_foreach(void (*callback) (ReplayRun *run))
{
	ListCell   *lc;

	foreach(lc, replay_run_all)
	{
		callback(lfirst(lc));
	}
}

int
replay_run_count(void)
{
	return list_length(replay_run_all);
}

void
replay_run_rotate(void)
{
	MemoryContext old;
	ReplayRun  *first;

	if (list_length(replay_run_all) < 2)
		return;
	first = linitial(replay_run_all);
	old = MemoryContextSwitchTo(TopMemoryContext);
	replay_run_all = lappend(list_delete_first(replay_run_all), first);
	MemoryContextSwitchTo(old);
}

static void
replay_run_free(ReplayRun *run)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &run->entries)
		pfree(dlist_container(ReplayEntry, node, iter.cur));
	if (run->snapshot != NULL)
		pfree(run->snapshot);
	if (run->keys != NULL)
		hash_destroy(run->keys);
	pfree(run);
}

/* What the last statement has listed, as long as it is needed. */
typedef struct ReplayListed
{
	int64		webhook_id;
	ReplayRun	run;
} ReplayListed;

static int
replay_run_list(ReplayListed **result)
{
	int			n = (int) spi_statement_execute(&replay_run_list_statement, NULL, NULL);
	bool		isnull;

	*result = palloc0(Max(n, 1) * sizeof(ReplayListed));
	for (int i = 0; i < n; i++)
	{
		ReplayListed *listed = &(*result)[i];

		listed->webhook_id = DatumGetInt64(spi_statement_value(i, Anum_replay_webhook_id, &isnull));
		listed->run.job = DatumGetInt64(spi_statement_value(i, Anum_replay_job, &isnull));
		listed->run.snapshot = spi_statement_text(i, Anum_replay_snapshot);
		listed->run.begun = DatumGetBool(spi_statement_value(i, Anum_replay_begun, &isnull));
		listed->run.read = DatumGetInt64(spi_statement_value(i, Anum_replay_replayed_to, &isnull));
		listed->run.sent = DatumGetInt64(spi_statement_value(i, Anum_replay_rows_sent, &isnull));
	}
	return n;
}

static void
replay_run_take(const ReplayListed *listed)
{
	Endpoint   *endpoint = endpoint_get(listed->webhook_id);
	ReplayRun  *run = endpoint->spill.replay;
	MemoryContext old;

	if (run != NULL && run->job == listed->run.job)
	{
		run->listed = true;
		return;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	run = palloc(sizeof(ReplayRun));
	*run = listed->run;
	run->endpoint = endpoint;
	run->snapshot = run->snapshot ? pstrdup(run->snapshot) : NULL;
	run->saved_to = run->read;
	run->saved_sent = run->sent;
	run->held = run->listed = true;
	dlist_init(&run->entries);
	replay_run_all = lappend(replay_run_all, run);
	MemoryContextSwitchTo(old);
}

void
replay_run_load(void (*gone) (Endpoint *endpoint))
{
	ReplayListed *listed;
	int			n = replay_run_list(&listed);
	ListCell   *lc;

	foreach(lc, replay_run_all)
	{
		((ReplayRun *) lfirst(lc))->listed = false;
	}
	for (int i = 0; i < n; i++)
		replay_run_take(&listed[i]);
	pfree(listed);
	foreach(lc, replay_run_all)
	{
		ReplayRun  *run = lfirst(lc);
		Endpoint   *endpoint = run->endpoint;

		if (run->listed)
			continue;
		replay_run_all = foreach_delete_current(replay_run_all, lc);
		gone(endpoint);
		endpoint->spill.replay = NULL;
		replay_run_free(run);
	}

	/* Another one may follow it at once. */
	foreach(lc, replay_run_all)
	{
		ReplayRun  *run = lfirst(lc);

		run->endpoint->spill.replay = run;
	}
}

/* ---------- messages ---------- */

/* The last entry whose id is not greater, or NULL. */
static ReplayEntry *
replay_run_entry_up_to(ReplayRun *run, int64 id)
{
	dlist_iter	iter;

	dlist_reverse_foreach(iter, &run->entries)
	{
		ReplayEntry *entry = dlist_container(ReplayEntry, node, iter.cur);

		if (entry->id <= id)
			return entry;
	}
	return NULL;
}

static ReplayEntry *
replay_run_entry(ReplayRun *run, int64 id)
{
	ReplayEntry *entry = run ? replay_run_entry_up_to(run, id) : NULL;

	return entry != NULL && entry->id == id ? entry : NULL;
}

bool
replay_run_add(ReplayRun *run, const Message *message)
{
	ReplayEntry *before = replay_run_entry_up_to(run, message->id);
	ReplayEntry *entry;

	if (before != NULL && before->id == message->id)
		return false;
	entry = MemoryContextAllocZero(TopMemoryContext, sizeof(ReplayEntry));
	entry->id = message->id;
	entry->bytes = MESSAGE_SIZE(message);
	if (before != NULL)
		dlist_insert_after(&before->node, &entry->node);
	else
		dlist_push_head(&run->entries, &entry->node);
	run->in_memory++;
	run->bytes += entry->bytes;
	return true;
}

static void
replay_run_remove(ReplayEntry *entry)
{
	dlist_delete(&entry->node);
	pfree(entry);
}

void
replay_run_finish(Endpoint *endpoint, int64 id)
{
	ReplayRun  *run = endpoint->spill.replay;
	ReplayEntry *entry = replay_run_entry(run, id);

	if (entry == NULL || entry->finished)
		return;
	entry->finished = true;
	run->in_memory--;
	run->bytes -= entry->bytes;
	run->sent++;
	while (!dlist_is_empty(&run->entries) && (entry = dlist_head_element(ReplayEntry, node, &run->entries))->finished &&
		   entry->id <= run->read)
		replay_run_remove(entry);
}

void
replay_run_put_back(Endpoint *endpoint, int64 id)
{
	ReplayRun  *run = endpoint->spill.replay;
	ReplayEntry *entry = replay_run_entry(run, id);

	if (entry == NULL || entry->finished)
		return;
	run->in_memory--;
	run->bytes -= entry->bytes;
	replay_run_remove(entry);
	run->read = Min(run->read, id - 1);
	run->end = false;
}

static int64
replay_run_position(const ReplayRun *run)
{
	dlist_iter	iter;

	dlist_foreach(iter, unconstify(dlist_head *, &run->entries))
	{
		const ReplayEntry *entry = dlist_container(ReplayEntry, node, iter.cur);

		if (!entry->finished)
			return Min(run->read, entry->id - 1);
	}
	return run->read;
}

static bool
replay_run_has_key(const ReplayRun *run, int64 order_key)
{
	return run->keys != NULL && hash_search(run->keys, &order_key, HASH_FIND, NULL) != NULL;
}

/*
 * The id of the last message with this key that is replayed; 0: none.  They are the same to the end.
 * The history must be locked unless the key is remembered.
 */
static int64
replay_run_last_id(ReplayRun *run, int64 order_key, const Message *message)
{
	Datum		values[] = {Int64GetDatum(run->job), (Datum) 0, CStringGetTextDatum(message->entity_id)};
	ReplayKey  *key;
	bool		found;
	bool		isnull;

	if (run->keys != NULL && hash_get_num_entries(run->keys) >= REPLAY_KEYS)
	{
		hash_destroy(run->keys);
		run->keys = NULL;
	}
	if (run->keys == NULL)
		run->keys = container_hash("webhook replayed keys", 256, sizeof(int64), sizeof(ReplayKey), TopMemoryContext);
	key = hash_search(run->keys, &order_key, HASH_FIND, NULL);
	if (key != NULL)
		return key->last_id;
	if (message->entity_type != NULL)
		values[1] = CStringGetTextDatum(message->entity_type);
	spi_statement_execute(&replay_run_last_id_statement, values, message->entity_type ? NULL : " n ");
	key = hash_search(run->keys, &order_key, HASH_ENTER, &found);
	key->last_id = DatumGetInt64(spi_statement_value(0, 1, &isnull));
	return key->last_id;
}

bool
replay_run_holds(const Endpoint *endpoint, int64 order_key, const Message *message)
{
	ReplayRun  *run = endpoint->spill.replay;

	if (run == NULL || run->end || order_key == 0)
		return false;
	/* What is sent until there is a snapshot is replayed with the rest. */
	if (run->snapshot == NULL)
		return false;
	run->held = true;
	if (!run->begun || endpoint->config.ordering == ORDER_STRICT)
		return true;
	if (!replay_run_has_key(run, order_key) && !history_lock())
	{
		run->unsure = run->locked = true;
		return true;
	}
	return replay_run_last_id(run, order_key, message) > run->read;
}

int
replay_run_in_memory(const Endpoint *endpoint)
{
	return endpoint->spill.replay ? endpoint->spill.replay->in_memory : 0;
}

/* ---------- the table ---------- */

static bool
replay_run_lock(ReplayRun *run)
{
	Datum		values[] = {Int64GetDatum(run->job)};

	run->locked = spi_statement_execute(&replay_run_lock_statement, values, NULL) == 0;
	return !run->locked;
}

bool
replay_run_take_snapshot(ReplayRun *run, Datum snapshot)
{
	Datum		values[] = {Int64GetDatum(run->job), snapshot};

	if (!replay_run_lock(run))
		return false;
	spi_statement_execute(&replay_run_snapshot_statement, values, NULL);
	run->snapshot = MemoryContextStrdup(TopMemoryContext, spi_statement_text(0, 1));
	return true;
}

bool
replay_run_begin(ReplayRun *run)
{
	Datum		values[] = {Int64GetDatum(run->job)};

	if (!replay_run_lock(run))
		return false;
	spi_statement_execute(&replay_run_begin_statement, values, NULL);
	return run->begun = true;
}

bool
replay_run_end(ReplayRun *run, const char *phase, const char *error)
{
	Datum		values[] = {Int64GetDatum(run->job), Int64GetDatum(run->sent), CStringGetTextDatum(phase),
	error ? CStringGetTextDatum(error) : (Datum) 0, TimestampTzGetDatum(clock_now())};

	if (!replay_run_lock(run))
		return false;
	spi_statement_execute(&replay_run_end_statement, values, error ? NULL : "   n ");
	return true;
}

static bool
replay_run_is_unsaved(const ReplayRun *run)
{
	return run->begun && (replay_run_position(run) != run->saved_to || run->sent != run->saved_sent);
}

bool
replay_run_unsaved(void)
{
	ListCell   *lc;

	foreach(lc, replay_run_all)
	{
		const ReplayRun *run = lfirst(lc);

		if (replay_run_is_unsaved(run) && !run->locked)
			return true;
	}
	return false;
}

void
replay_run_save(void)
{
	ListCell   *lc;

	foreach(lc, replay_run_all)
	{
		ReplayRun  *run = lfirst(lc);
		int64		position = replay_run_position(run);
		Datum		values[] = {Int64GetDatum(run->job), Int64GetDatum(position), Int64GetDatum(run->sent)};

		if (!replay_run_is_unsaved(run) || !replay_run_lock(run))
			continue;
		spi_statement_execute(&replay_run_save_statement, values, NULL);
		run->saved_to = position;
		run->saved_sent = run->sent;
	}
}
