/*-------------------------------------------------------------------------
 *
 * cursor.c
 *		The reading end of the log: what has been dealt with, what comes next.
 *
 * Transactions commit in another order than they draw message ids, so "id >
 * last" would lose rows.  The position is a snapshot instead: everything that
 * is visible in it has been dealt with.  What comes next is a *window*: the
 * rows that are visible in a snapshot taken now and not in that one.  Their
 * transaction ids are those from the old snapshot's xmax on, a range of the
 * index, and those that were running in the old snapshot and have ended since,
 * one probe each.  A transaction left open elsewhere costs nothing: it is one
 * entry of a list.
 *
 * Within a window messages are handed out in the order of their ids, which for
 * one entity is the order of the commits (see outbox.c).  A window can be
 * long, after a time without a worker or because of one huge transaction, so
 * it is merged rather than sorted: the rows of one transaction are a stream,
 * already in order in the index; streams are opened in the order of their
 * transaction ids.  What can be handed out is what no row that we have not
 * seen can precede: unread rows of open streams are known by their next id,
 * and of streams not opened yet a *fence* tells that all their ids are
 * greater: message q says "transaction ids from X on draw ids greater than q".
 * A long stream is parked at its first row beyond the fence, so memory depends
 * on the number of transactions that ran at the same time, not on their size.
 *
 * The position can lie within a window: "done", everything visible in it, and of
 * what is visible in "through" the ids up to "through_id".
 *
 * Saving the position inserts a row; the newest counts.  An updated row would
 * grow a chain of dead versions while any old snapshot is open.  The table is
 * truncated when it has grown a little and nobody looks; the first row after
 * that is frozen, so that those who took their snapshot before do not find the
 * table empty.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/catalog.h"
#include "base/container.h"
#include "compat.h"
#include "log/cursor.h"
#include "log/log_scan.h"
#include "log/standby.h"
#include "log/xid_set.h"
#include "server/version.h"

/* Rows taken from the index in one go, and of those at most so many of one transaction. */
#define SCAN_ROWS			1024
#define SCAN_ROWS_PER_XID	512

/* The same in bytes: messages can be large. */
#define SCAN_BYTES			(4 * 1024 * 1024)

/*
 * Rows in webhook.cursor at which it is truncated.  A hot standby that replays that waits for its readers, or cancels
 * them: with one, as rarely as the time allows that it takes to read the table.
 */
#define CURSOR_ROWS			1000
#define CURSOR_ROWS_STANDBY	50000

/*
 * A message restored from a dump has this transaction id, and its old one, which
 * means nothing here, as its fence: no window contains it.
 */
#define RESTORED_XID		0

/* Its messages are visible in "through" and not in "done"; reference-counted. */
typedef struct Window
{
	int			references;		/* messages and the reader */
	uint64		number;
	XidSet	   *done;
	XidSet	   *through;

	/* Set when all of it has been read: */
	Message    *last;			/* its last message that is outstanding */
	XidSet	   *after;			/* position when that is finished: "through" or later, if empty windows followed */
	uint64		after_number;
} Window;

/* The unread rows of a transaction that has been opened. */
typedef struct Stream
{
	uint64		xid;
	int64		next_id;
} Stream;

typedef struct Fence
{
	uint64		xid;
	int64		id;
} Fence;

static MemoryContext cursor_context;	/* positions, windows, the state of the merge */
static MemoryContext cursor_message_context;	/* messages */

/* the position, in memory */
static XidSet *cursor_position_done;
static XidSet *cursor_position_through; /* NULL: at the beginning of a window */
static int64 cursor_position_id;
static bool cursor_has_moved;				/* since it was saved */
static int64 cursor_seq;
static int	cursor_rows;
static Oid	cursor_loaded_from;		/* webhook.cursor; DROP and CREATE EXTENSION makes another one */

/* messages handed out */
static dlist_head cursor_messages = DLIST_STATIC_INIT(cursor_messages);
static int	cursor_nmessages;
static Size cursor_message_bytes;

/* the merge within the newest window */
static Window *cursor_window;
static int64 cursor_after_id;			/* skip ids up to this one: dealt with before a restart */
static uint64 cursor_frontier;			/* first transaction id that has not been opened */
static bool cursor_all_opened;
static int64 cursor_fence;				/* no row from the frontier on has an id up to this one */
static Fence *cursor_fences;			/* that wait for the frontier */
static int	cursor_nfences;
static int	cursor_fences_space;
static Stream *cursor_streams;
static int	cursor_nstreams;
static int	cursor_streams_space;
static Message **cursor_held_messages;			/* read, not handed out; sorted by id from held_first on */
static int	cursor_held_first;
static int	cursor_nheld;
static int	cursor_held_space;
static XidSet *cursor_newest;			/* "through" of the newest window: where the next one begins */
static uint64 cursor_last_opened;	/* number of the newest window */
static uint64 cursor_last_finished;


/* ---------- windows ---------- */

/* Takes over the caller's references to done and through. */
static Window *
cursor_window_create(XidSet *done, XidSet *through)
{
	Window	   *window = MemoryContextAllocZero(cursor_context, sizeof(Window));

	window->references = 1;
	window->number = ++cursor_last_opened;
	window->done = done;
	window->through = through;
	return window;
}

static void
cursor_window_release(Window *window)
{
	if (--window->references > 0)
		return;
	xid_set_release(window->done);
	xid_set_release(window->through);
	xid_set_release(window->after);
	pfree(window);
}

static void
cursor_set_position(XidSet *done, XidSet *through, int64 id)
{
	xid_set_reference(done);
	if (through != NULL)
		xid_set_reference(through);
	xid_set_release(cursor_position_done);
	xid_set_release(cursor_position_through);
	cursor_position_done = done;
	cursor_position_through = through;
	cursor_position_id = id;
}

/* ---------- the merge ---------- */

static void
cursor_add_stream(uint64 xid, int64 next_id)
{
	cursor_streams = container_grow(cursor_streams, cursor_nstreams, &cursor_streams_space, 16, sizeof(Stream),
									cursor_context);
	cursor_streams[cursor_nstreams].xid = xid;
	cursor_streams[cursor_nstreams++].next_id = next_id;
}

static void
cursor_add_fence(uint64 xid, int64 id)
{
	cursor_fences = container_grow(cursor_fences, cursor_nfences, &cursor_fences_space, 16, sizeof(Fence),
								   cursor_context);
	cursor_fences[cursor_nfences].xid = xid;
	cursor_fences[cursor_nfences++].id = id;
}

/* The frontier has moved: the fences that it has reached count from now on. */
static void
cursor_apply_fences(void)
{
	int			kept = 0;

	for (int i = 0; i < cursor_nfences; i++)
		if (cursor_fences[i].xid <= cursor_frontier)
			cursor_fence = Max(cursor_fence, cursor_fences[i].id);
		else
			cursor_fences[kept++] = cursor_fences[i];
	cursor_nfences = kept;
	if (cursor_all_opened)
		cursor_fence = PG_INT64_MAX;
}

/* Take in the message that the scan stands on; the bytes that takes. */
static Size
cursor_hold_message(LogScan *scan)
{
	FullTransactionId carried = log_scan_fence(scan);

	if (FullTransactionIdIsValid(carried))
		cursor_add_fence(U64FromFullTransactionId(carried), scan->id[scan->current]);
	if (scan->id[scan->current] <= cursor_after_id)
		return 0;
	cursor_held_messages = container_grow(cursor_held_messages, cursor_nheld, &cursor_held_space, 256,
										  sizeof(Message *), cursor_context);
	cursor_held_messages[cursor_nheld] = log_scan_message(scan, cursor_message_context);
	cursor_nheld++;
	return MESSAGE_SIZE(cursor_held_messages[cursor_nheld - 1]);
}

static int
cursor_compare_ids(const void *a, const void *b)
{
	int64		x = (*(Message *const *) a)->id;
	int64		y = (*(Message *const *) b)->id;

	return x < y ? -1 : x > y;
}

/* Put the rows read last into order with the ones that are held already. */
static void
cursor_sort_held(void)
{
	if (cursor_held_first > 0)
	{
		memmove(cursor_held_messages, cursor_held_messages + cursor_held_first,
				(cursor_nheld - cursor_held_first) * sizeof(Message *));
		cursor_nheld -= cursor_held_first;
		cursor_held_first = 0;
	}
	for (int i = 1; i < cursor_nheld; i++)
		if (cursor_held_messages[i - 1]->id > cursor_held_messages[i]->id)
		{
			qsort(cursor_held_messages, cursor_nheld, sizeof(Message *), cursor_compare_ids);
			break;
		}
}

/* Open further transactions, in the order of their ids. */
static void
cursor_open_streams(void)
{
	const XidSet *through = cursor_window->through;
	LogScan		scan;
	uint64		xid = cursor_frontier;
	Size		bytes = 0;
	int			rows = 0;
	int			rows_of_xid = 0;

	log_scan_begin(&scan, cursor_frontier, through->xmax, 0, -1);
	cursor_all_opened = true;
	while (log_scan_next(&scan))
	{
		uint64		row_xid = scan.xid[scan.current];

		if (row_xid != xid)
		{
			xid = row_xid;
			rows_of_xid = 0;
		}
		if (!xid_set_contains(through, xid))
		{
			/* Committed after the window's snapshot: it belongs to a later one. */
			cursor_frontier = xid + 1;
			cursor_all_opened = false;
			break;
		}
		if (rows >= SCAN_ROWS || rows_of_xid >= SCAN_ROWS_PER_XID || bytes >= SCAN_BYTES)
		{
			if (rows_of_xid > 0)
				cursor_add_stream(xid, Max(scan.id[scan.current], cursor_after_id + 1));
			cursor_frontier = rows_of_xid > 0 ? xid + 1 : xid;
			cursor_all_opened = false;
			break;
		}
		bytes += cursor_hold_message(&scan);
		rows++;
		rows_of_xid++;
	}
	log_scan_end(&scan);
	if (cursor_all_opened)
		cursor_frontier = through->xmax;
	cursor_apply_fences();
}

/* Read on in one open stream, as far as the fence allows. */
static void
cursor_read_stream(int s)
{
	LogScan		scan;
	Size		bytes = 0;
	int			rows = 0;
	bool		exhausted = true;

	log_scan_begin(&scan, cursor_streams[s].xid, cursor_streams[s].xid + 1, Max(cursor_streams[s].next_id, 1), -1);
	while (log_scan_next(&scan))
	{
		if (rows >= SCAN_ROWS_PER_XID || bytes >= SCAN_BYTES || scan.id[scan.current] > cursor_fence)
		{
			cursor_streams[s].next_id = scan.id[scan.current];
			exhausted = false;
			break;
		}
		bytes += cursor_hold_message(&scan);
		rows++;
	}
	log_scan_end(&scan);
	if (exhausted)
		cursor_streams[s] = cursor_streams[--cursor_nstreams];
	cursor_apply_fences();
}

static int
cursor_first_stream(void)
{
	int			first = -1;

	for (int s = 0; s < cursor_nstreams; s++)
		if (first < 0 || cursor_streams[s].next_id < cursor_streams[first].next_id)
			first = s;
	return first;
}

/* Begin to read a window; takes over the caller's reference to it. */
static void
cursor_begin_window(Window *window, int64 skip_to)
{
	const XidSet *done = window->done;

	cursor_window = window;
	cursor_after_id = skip_to;
	cursor_nstreams = cursor_nfences = 0;
	cursor_fence = PG_INT64_MIN;
	cursor_all_opened = false;
	cursor_frontier = done->xmax;
	for (int i = 0; i < done->nrunning; i++)
		if (xid_set_contains(window->through, done->running[i]))
			cursor_add_stream(done->running[i], skip_to + 1);
}

/* Begin with what has been committed since the newest window; false if nothing has. */
static bool
cursor_open_window(void)
{
	XidSet	   *now = xid_set_now();

	if (xid_set_same(cursor_newest, now))
	{
		/* The newest window covers this moment as well. */
		xid_set_release(now);
		cursor_last_opened++;
		if (dlist_is_empty(&cursor_messages))
			cursor_last_finished = cursor_last_opened;
		else
			dlist_tail_element(Message, node, &cursor_messages)->window->after_number = cursor_last_opened;
		return false;
	}
	cursor_begin_window(cursor_window_create(cursor_newest, now), 0);
	cursor_newest = xid_set_reference(now);
	return true;
}

/* The window has been read to its end: note where that leaves the position. */
static void
cursor_end_window(void)
{
	Window	   *window = cursor_window;

	cursor_window = NULL;
	if (dlist_is_empty(&cursor_messages))
	{
		/* An advance without messages is not worth a write, but these need not be read again. */
		cursor_has_moved |= cursor_position_through != NULL;
		cursor_set_position(window->through, NULL, 0);
		cursor_last_finished = window->number;
	}
	else
	{
		Message    *last = dlist_tail_element(Message, node, &cursor_messages);

		last->window->last = last;
		xid_set_release(last->window->after);
		last->window->after = xid_set_reference(window->through);
		last->window->after_number = window->number;
	}
	cursor_window_release(window);
}

/* Hand out what no unseen row can precede; the number of messages. */
static int
cursor_hand_out(int max, Size max_bytes, Size *bytes, void (*callback) (Message *message))
{
	int			first = cursor_first_stream();
	int64		safe = cursor_fence;
	int			n = 0;

	if (first >= 0)
		safe = Min(safe, cursor_streams[first].next_id - 1);
	while (cursor_held_first < cursor_nheld && cursor_held_messages[cursor_held_first]->id <= safe &&
		   n < max && *bytes < max_bytes)
	{
		Message    *message = cursor_held_messages[cursor_held_first++];

		message->window = cursor_window;
		cursor_window->references++;
		dlist_push_tail(&cursor_messages, &message->node);
		cursor_nmessages++;
		cursor_message_bytes += MESSAGE_SIZE(message);
		*bytes += MESSAGE_SIZE(message);
		n++;
		callback(message);
	}
	return n;
}

/* The loop of cursor_read(), with a snapshot that is newer than the window being read. */
static bool
cursor_read_messages(int max, Size max_bytes, void (*callback) (Message *message))
{
	Size		bytes = 0;
	int			n = 0;

	while (n < max && bytes < max_bytes)
	{
		int			handed;
		int			s;

		/* After a restart there may be millions of rows to pass over. */
		CHECK_FOR_INTERRUPTS();
		if (cursor_window == NULL && !cursor_open_window())
			return false;
		handed = cursor_hand_out(max - n, max_bytes, &bytes, callback);
		n += handed;
		if (handed > 0)
			continue;

		s = cursor_first_stream();
		if (s >= 0 && (cursor_all_opened || cursor_streams[s].next_id <= cursor_fence))
			cursor_read_stream(s);
		else if (!cursor_all_opened)
			cursor_open_streams();
		else
		{
			cursor_end_window();
			continue;
		}
		cursor_sort_held();
	}
	return true;
}

bool
cursor_read(int max, Size max_bytes, void (*callback) (Message *message))
{
	bool		more;

	PushActiveSnapshot(GetLatestSnapshot());
	more = cursor_read_messages(max, max_bytes, callback);
	PopActiveSnapshot();
	return more;
}

/* ---------- progress ---------- */

int
cursor_outstanding(void)
{
	return cursor_nmessages;
}

Size
cursor_outstanding_bytes(void)
{
	return cursor_message_bytes;
}

Message *
cursor_oldest(void)
{
	return dlist_is_empty(&cursor_messages) ? NULL : dlist_head_element(Message, node, &cursor_messages);
}

void
cursor_finish(Message *message)
{
	message->finished = true;
	while (!dlist_is_empty(&cursor_messages))
	{
		Message    *first = dlist_head_element(Message, node, &cursor_messages);
		Window	   *window = first->window;

		if (!first->finished)
			break;
		if (window->last == first)
		{
			cursor_set_position(window->after, NULL, 0);
			cursor_last_finished = window->after_number;
		}
		else
			cursor_set_position(window->done, window->through, first->id);
		cursor_has_moved = true;
		dlist_delete(&first->node);
		cursor_nmessages--;
		cursor_message_bytes -= MESSAGE_SIZE(first);
		cursor_window_release(window);
		pfree(first);
	}
}

bool
cursor_moved(void)
{
	return cursor_has_moved;
}

uint64
cursor_window_opened(void)
{
	return cursor_last_opened;
}

uint64
cursor_window_finished(void)
{
	return cursor_last_finished;
}

/* Does the outbox hold messages that were restored from a dump?  -1: all partitions. */
static bool
cursor_restored_messages(int partition)
{
	LogScan		scan;
	bool		found;

	log_scan_begin(&scan, RESTORED_XID, RESTORED_XID + 1, 0, partition);
	found = log_scan_next(&scan);
	log_scan_end(&scan);
	return found;
}

bool
cursor_partition_unread(int partition)
{
	LogScan		scan;
	bool		unread;

	PushActiveSnapshot(GetLatestSnapshot());
	log_scan_begin(&scan, cursor_position_done->xmax, PG_UINT64_MAX, 0, partition);
	unread = log_scan_next(&scan);
	log_scan_end(&scan);
	unread = unread || cursor_restored_messages(partition);
	for (int i = 0; i < cursor_position_done->nrunning && !unread; i++)
	{
		uint64		xid = cursor_position_done->running[i];

		log_scan_begin(&scan, xid, xid + 1, 1, partition);
		unread = log_scan_next(&scan);
		log_scan_end(&scan);
	}
	PopActiveSnapshot();
	return unread;
}

/* ---------- persistence ---------- */

/* What webhook.cursor holds. */
typedef struct CursorTable
{
	int			nrows;
	bool		foreign;		/* there are rows that were not written here, and nobody has decided what they mean */
	int64		seq;			/* of the newest row, -1: there is none */
	XidSet	   *done;			/* its position */
	XidSet	   *through;
	int64		through_id;
} CursorTable;

/*
 * Was this row written here?  What comes from a dump is marked by a trigger, see
 * 50_adopt.sql, and what came with the files of a template names another database.  The
 * server's identifier tells one server from another, but pg_upgrade makes a new one while it
 * carries the tables over as they are: what it carries still shows the transaction that wrote the row.
 */
static bool
cursor_written_here(TupleTableSlot *slot, uint64 system, Oid database, uint64 written_by)
{
	bool		should_free;
	HeapTuple	tuple;
	TransactionId xmin;

	if (!OidIsValid(database))
		return false;
	if (system == GetSystemIdentifier())
		return database == MyDatabaseId;
	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
	xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	return xmin == (TransactionId) written_by;
}

/* Take in one row. */
static void
cursor_read_row(TupleTableSlot *slot, CursorTable *table)
{
	Datum	   *values = slot->tts_values;
	int64		seq;

	slot_getallattrs(slot);
	seq = DatumGetInt64(values[Anum_cursor_seq - 1]);
	table->nrows++;
	if (!cursor_written_here(slot, (uint64) DatumGetInt64(values[Anum_cursor_system_identifier - 1]),
					  DatumGetObjectId(values[Anum_cursor_database - 1]),
					  U64FromFullTransactionId(DatumGetFullTransactionId(values[Anum_cursor_written_by - 1]))))
		table->foreign = true;
	if (seq < table->seq)
		return;
	xid_set_release(table->done);
	xid_set_release(table->through);
	table->seq = seq;
	table->done = xid_set_from_datum(values[Anum_cursor_done - 1]);
	table->through = NULL;
	if (!slot->tts_isnull[Anum_cursor_through - 1])
	{
		table->through = xid_set_from_datum(values[Anum_cursor_through - 1]);
		table->through_id = DatumGetInt64(values[Anum_cursor_through_id - 1]);
	}
}

static void
cursor_read_table(CursorTable *table)
{
	Relation	rel = table_open(catalog_oids()->cursor, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = webhook_table_beginscan(rel, GetActiveSnapshot());

	if (cursor_context == NULL)
	{
		cursor_context = AllocSetContextCreate(TopMemoryContext, "webhook cursor", ALLOCSET_DEFAULT_SIZES);
		cursor_message_context = AllocSetContextCreate(TopMemoryContext, "webhook messages", ALLOCSET_DEFAULT_SIZES);
	}
	memset(table, 0, sizeof(*table));
	table->seq = -1;
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		cursor_read_row(slot, table);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);

	/* Without any row we do not know either. */
	if (table->nrows == 0 || cursor_restored_messages(-1))
		table->foreign = true;
}

static void
cursor_free_table(CursorTable *table)
{
	xid_set_release(table->done);
	xid_set_release(table->through);
}

CursorHome
cursor_load(void)
{
	CursorTable table;

	cursor_read_table(&table);
	if (!table.foreign)
	{
		cursor_loaded_from = catalog_oids()->cursor;
		cursor_rows = table.nrows;
		cursor_seq = table.seq;
		cursor_set_position(table.done, table.through, table.through_id);
		cursor_newest = xid_set_reference(table.through ? table.through : table.done);
		if (table.through != NULL)
			cursor_begin_window(cursor_window_create(xid_set_reference(table.done), xid_set_reference(table.through)),
						 table.through_id);
	}
	cursor_free_table(&table);
	return table.foreign ? CURSOR_FOREIGN : CURSOR_HERE;
}

bool
cursor_is_current(void)
{
	CursorTable table;

	cursor_read_table(&table);
	cursor_free_table(&table);
	return !table.foreign && table.seq == cursor_seq && cursor_loaded_from == catalog_oids()->cursor;
}

PG_FUNCTION_INFO_V1(webhook_outbox_is_foreign);

Datum
webhook_outbox_is_foreign(PG_FUNCTION_ARGS)
{
	CursorTable table;

	version_require();
	cursor_read_table(&table);
	cursor_free_table(&table);
	PG_RETURN_BOOL(table.foreign);
}

/*
 * Start the table afresh when it has grown and nobody is looking at it, not
 * even a backup.  Nothing is lost: the newest row is inserted right behind.
 */
static bool
cursor_truncate_table(void)
{
	Oid			relid = catalog_oids()->cursor;
	bool		current;

	if (cursor_rows < CURSOR_ROWS || (cursor_rows < CURSOR_ROWS_STANDBY && standby_connected()) ||
		!ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return false;

	/* What somebody else has put there is not ours to remove. */
	PushActiveSnapshot(GetLatestSnapshot());
	current = cursor_is_current();
	PopActiveSnapshot();
	if (!current)
		return false;
	if (SPI_execute("TRUNCATE webhook.cursor", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate webhook.cursor");
	cursor_rows = 0;
	return true;
}

void
cursor_save(void)
{
	Datum		values[Natts_cursor];
	bool		nulls[Natts_cursor] = {0};
	Relation	rel;
	bool		truncated = cursor_truncate_table();

	values[Anum_cursor_seq - 1] = Int64GetDatum(++cursor_seq);
	values[Anum_cursor_system_identifier - 1] = Int64GetDatum((int64) GetSystemIdentifier());
	values[Anum_cursor_database - 1] = ObjectIdGetDatum(MyDatabaseId);
	values[Anum_cursor_written_by - 1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[Anum_cursor_done - 1] = xid_set_to_datum(cursor_position_done);
	if (cursor_position_through != NULL)
	{
		values[Anum_cursor_through - 1] = xid_set_to_datum(cursor_position_through);
		values[Anum_cursor_through_id - 1] = Int64GetDatum(cursor_position_id);
	}
	else
		nulls[Anum_cursor_through - 1] = nulls[Anum_cursor_through_id - 1] = true;
	values[Anum_cursor_written_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());

	rel = table_open(catalog_oids()->cursor, RowExclusiveLock);
	heap_insert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls),
				GetCurrentCommandId(true), truncated ? HEAP_INSERT_FROZEN : 0, NULL);
	table_close(rel, NoLock);
	cursor_rows++;
	cursor_has_moved = false;
}
