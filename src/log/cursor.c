/*-------------------------------------------------------------------------
 *
 * cursor.c
 *		Read the log: keep the position, and return the next messages in order.
 *
 * Transactions do not commit in the order in which they draw message ids, so
 * "id > last" would lose rows.  Instead, the position is a snapshot: everything
 * visible in it has been processed.  Next comes a *window*: the rows that are
 * visible in a snapshot taken now, but not in that one.  Their transaction ids
 * are those from the old snapshot's xmax on, which is an index range scan, and
 * those that were running in the old snapshot and have ended since, which take
 * one index probe each.  An idle transaction elsewhere is just an entry in a
 * list.
 *
 * Within a window messages are returned in order of their ids, which for one
 * entity is the commit order (see outbox.c).  A window can be large, after a
 * time without a worker or because of one huge transaction, so it is merged
 * rather than sorted.  The rows of one transaction are a stream, which the index
 * returns in order; streams are opened in order of their transaction ids.  A
 * message can be returned once no unseen row can precede it.  For open streams
 * we know the id of the next unread row.  For streams that have not been opened
 * a *fence* gives a lower bound of their ids: the one stored in message q says
 * "transaction ids from X on draw ids greater than q".  A long stream is parked
 * at its first row after the fence, so memory usage depends on the number of
 * concurrent transactions, not on their size.
 *
 * The position can be inside a window: everything visible in "done" has been
 * processed, and of what is visible in "through" the ids up to "through_id".
 * cursor_table.c stores it.
 *
 * Only the worker has a cursor.  It loads the position once, then reads, finishes
 * messages in any order and saves the position, in the same transaction as the rows of
 * what is not finished.  So after a crash nothing is missing, and only what was
 * finished since is read again.  An error while reading leaves the merge in no
 * defined state, and ends the process.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/container.h"
#include "log/cursor.h"
#include "log/cursor_table.h"
#include "log/log_scan.h"
#include "log/xid_set.h"

/* Maximum number of rows read by one scan, and of those belonging to one transaction. */
#define SCAN_ROWS			1024
#define SCAN_ROWS_PER_XID	512

/* The limit in bytes, since messages can be large. */
#define SCAN_BYTES			(4 * 1024 * 1024)

/* Messages visible in "through" but not in "done". */
typedef struct Window
{
	int			references;		/* by its messages and by the reader */
	uint64		number;
	XidSet	   *done;
	XidSet	   *through;

	/* Set once all of it has been read: */
	Message    *last;			/* its last outstanding message */
	XidSet	   *after;			/* position after that: "through", or later if
								 * empty windows followed */
	uint64		after_number;
} Window;

/* The unread rows of a transaction. */
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

static MemoryContext cursor_context;	/* positions, windows, the state of
										 * the merge */
static MemoryContext cursor_message_context;	/* messages */

/* the position */
static XidSet *cursor_position_done;
static XidSet *cursor_position_through; /* NULL: at the beginning of a window */
static int64 cursor_position_id;
static bool cursor_has_moved;	/* since it was saved */

/* messages returned and not passed by the position, in order of ids within a window */
static dlist_head cursor_messages = DLIST_STATIC_INIT(cursor_messages);
static int	cursor_nmessages;
static Size cursor_message_bytes;

/* state of the merge within the newest window */
static Window *cursor_window;
static int64 cursor_last_id;	/* id of the message returned last from this
								 * window */
static int64 cursor_after_id;	/* skip ids up to this one: processed before a
								 * restart */
static uint64 cursor_frontier;	/* first transaction id that has not been
								 * opened */
static bool cursor_all_opened;
static int64 cursor_fence;		/* no row from the frontier on has an id up to
								 * this one */
static Fence *cursor_fences;	/* not reached by the frontier */
static int	cursor_nfences;
static int	cursor_fences_space;
static Stream *cursor_streams;
static int	cursor_nstreams;
static int	cursor_streams_space;
static Message **cursor_held_messages;	/* read, not handed out; sorted by id
										 * from held_first on */
static int	cursor_held_first;
static int	cursor_nheld;
static int	cursor_held_space;
static XidSet *cursor_newest;	/* "through" of the newest window, where the
								 * next one begins */
static uint64 cursor_last_opened;	/* number of the newest window */
static uint64 cursor_last_finished;


/* ---------- windows ---------- */

/* Create a window, taking over the caller's references to done and through. */
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
	Assert(window->references > 0);
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
	/* A position within a window needs the window's end. */
	Assert(done != NULL && (through != NULL || id == 0));
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

/* Apply the fences that the frontier has reached. */
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

/* Add the current message of the scan to those held back; returns its size. */
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

/* Merge the messages read last into those held back. */
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

/* Open more streams, in order of transaction ids. */
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
			/*
			 * It committed after the window's snapshot, so it belongs to a
			 * later window.
			 */
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

/* Continue to read an open stream, up to the fence. */
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

/* The stream with the smallest next id, or -1. */
static int
cursor_first_stream(void)
{
	int			first = -1;

	for (int s = 0; s < cursor_nstreams; s++)
		if (first < 0 || cursor_streams[s].next_id < cursor_streams[first].next_id)
			first = s;
	return first;
}

/* Begin to read a window, taking over the caller's reference to it. */
static void
cursor_begin_window(Window *window, int64 skip_to)
{
	const XidSet *done = window->done;

	Assert(cursor_window == NULL && cursor_held_first == cursor_nheld);
	Assert(done->xmax <= window->through->xmax);
	cursor_window = window;
	cursor_after_id = skip_to;
	cursor_last_id = skip_to;
	cursor_nstreams = cursor_nfences = 0;
	cursor_fence = PG_INT64_MIN;
	cursor_all_opened = false;
	cursor_frontier = done->xmax;
	for (int i = 0; i < done->nrunning; i++)
		if (xid_set_contains(window->through, done->running[i]))
			cursor_add_stream(done->running[i], skip_to + 1);
}

/* Open a window of what has committed since the newest one; false if nothing has. */
static bool
cursor_open_window(void)
{
	XidSet	   *now = xid_set_now();

	if (xid_set_same(cursor_newest, now))
	{
		/* The newest window covers this moment, too. */
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

/* The window has been read completely: determine the position after it. */
static void
cursor_end_window(void)
{
	Window	   *window = cursor_window;

	Assert(cursor_all_opened && cursor_nstreams == 0 && cursor_held_first == cursor_nheld);
	cursor_window = NULL;
	if (dlist_is_empty(&cursor_messages))
	{
		/*
		 * An advance without messages is not worth a write, unless the
		 * position was inside a window.
		 */
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

/* Return the messages that no unseen row can precede, by calling back; returns their number. */
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

		/* The order that the key logic of dispatch relies on. */
		Assert(message->id > cursor_after_id && message->id >= cursor_last_id);
		Assert(xid_set_contains(cursor_window->through, message->xid) &&
			   !xid_set_contains(cursor_window->done, message->xid));
		cursor_last_id = message->id;
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

/* Body of cursor_read(), with an active snapshot that is newer than the window being read. */
static bool
cursor_read_messages(int max, Size max_bytes, void (*callback) (Message *message))
{
	Size		bytes = 0;
	int			n = 0;

	while (n < max && bytes < max_bytes)
	{
		int			handed;
		int			s;

		/* After a restart there may be millions of rows to skip. */
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

	Assert(cursor_position_done != NULL);
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
	Assert(message->window != NULL && !message->finished);
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

bool
cursor_between_windows(void)
{
	return cursor_window == NULL;
}

Datum
cursor_snapshot(void)
{
	Assert(cursor_between_windows());
	return xid_set_to_datum(cursor_newest);
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
	unread = unread || log_scan_has_restored(partition);
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

CursorHome
cursor_load(void)
{
	CursorTable table;

	if (cursor_context == NULL)
	{
		cursor_context = AllocSetContextCreate(TopMemoryContext, "webhook cursor", ALLOCSET_DEFAULT_SIZES);
		cursor_message_context = AllocSetContextCreate(TopMemoryContext, "webhook messages", ALLOCSET_DEFAULT_SIZES);
	}
	cursor_table_read(&table);
	if (!table.foreign)
	{
		Assert(cursor_window == NULL && dlist_is_empty(&cursor_messages));
		cursor_table_set_current(&table);
		cursor_set_position(table.done, table.through, table.through_id);
		cursor_newest = xid_set_reference(table.through ? table.through : table.done);
		if (table.through != NULL)
			cursor_begin_window(cursor_window_create(xid_set_reference(table.done), xid_set_reference(table.through)),
								table.through_id);
	}
	cursor_table_free(&table);
	return table.foreign ? CURSOR_FOREIGN : CURSOR_HERE;
}

void
cursor_save(void)
{
	Assert(cursor_position_done != NULL);
	cursor_table_insert(cursor_position_done, cursor_position_through, cursor_position_id);
	cursor_has_moved = false;
}
