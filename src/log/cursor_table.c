/*-------------------------------------------------------------------------
 *
 * cursor_table.c
 *		webhook.cursor, where the position in the log is stored.
 *
 * Saving the position inserts a row; the newest row counts.  Updating a row
 * would build a chain of dead versions while any old snapshot exists.  The table
 * is truncated when it has grown a little and no session is reading it.  The first
 * row after that is frozen, so that transactions with an older snapshot do not
 * find the table empty.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/catalog.h"
#include "compat.h"
#include "log/cursor.h"
#include "log/cursor_table.h"
#include "log/log_scan.h"
#include "log/standby.h"
#include "server/version.h"

/*
 * Number of rows at which the table is truncated.  A hot standby that replays this
 * waits for its readers, or cancels them.  If there is one, truncate as rarely as
 * the time to read the table allows.
 */
#define CURSOR_ROWS			1000
#define CURSOR_ROWS_STANDBY	50000

/* State of the table as we know it. */
static int64 cursor_table_seq;	/* of the row that we loaded, or inserted last */
static int	cursor_table_nrows;
static Oid	cursor_table_relid; /* DROP and CREATE EXTENSION creates another
								 * table */

PG_FUNCTION_INFO_V1(webhook_outbox_is_foreign);


/*
 * Was this row written here?  A trigger marks rows that are restored from a dump
 * (50_adopt.sql), and rows in a database copied from a template contain the Oid of
 * the template.  The system identifier tells servers apart, but pg_upgrade creates
 * a new one although it takes over the tables as they are; then the row still has
 * the transaction that wrote it as its xmin.
 */
static bool
cursor_table_row_is_ours(TupleTableSlot *slot, uint64 system, Oid database, uint64 written_by)
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

static void
cursor_table_read_row(TupleTableSlot *slot, CursorTable *table)
{
	Datum	   *values = slot->tts_values;
	int64		seq;

	slot_getallattrs(slot);
	seq = DatumGetInt64(values[Anum_cursor_seq - 1]);
	table->nrows++;
	if (!cursor_table_row_is_ours(slot, (uint64) DatumGetInt64(values[Anum_cursor_system_identifier - 1]),
								  DatumGetObjectId(values[Anum_cursor_database - 1]),
								  U64FromFullTransactionId(DatumGetFullTransactionId(values[Anum_cursor_written_by - 1]))))
		table->foreign = true;
	if (seq < table->seq)
		return;
	xid_set_release(table->done);
	xid_set_release(table->through);
	table->seq = seq;
	table->done = xid_set_from_datum(values[Anum_cursor_done - 1], TopMemoryContext);
	table->through = NULL;
	table->through_id = 0;
	if (!slot->tts_isnull[Anum_cursor_through - 1])
	{
		table->through = xid_set_from_datum(values[Anum_cursor_through - 1], TopMemoryContext);
		table->through_id = DatumGetInt64(values[Anum_cursor_through_id - 1]);
	}
}

void
cursor_table_read(CursorTable *table)
{
	Relation	rel = table_open(catalog_oids()->cursor, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = webhook_table_beginscan(rel, GetActiveSnapshot());

	memset(table, 0, sizeof(*table));
	table->relid = RelationGetRelid(rel);
	table->seq = -1;
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		cursor_table_read_row(slot, table);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);

	/* Without any row nothing is known about the outbox. */
	if (table->nrows == 0 || log_scan_has_restored(-1))
		table->foreign = true;
	Assert(table->foreign || table->done != NULL);
}

/*
 * Rows are added in order of seq, so nearly always only the last one must be
 * converted.
 */
bool
cursor_table_newest(bool restored, CursorPosition *position)
{
	Relation	rel = table_open(catalog_oids()->cursor, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = webhook_table_beginscan(rel, GetActiveSnapshot());
	int64		newest = -1;

	memset(position, 0, sizeof(*position));
	while (table_scan_getnextslot(scan, BackwardScanDirection, slot))
	{
		Datum	   *values = slot->tts_values;

		slot_getallattrs(slot);
		if (OidIsValid(DatumGetObjectId(values[Anum_cursor_database - 1])) == restored ||
			DatumGetInt64(values[Anum_cursor_seq - 1]) <= newest)
			continue;
		newest = DatumGetInt64(values[Anum_cursor_seq - 1]);
		position->done = xid_set_from_datum(values[Anum_cursor_done - 1], CurrentMemoryContext);
		position->through = NULL;
		if (slot->tts_isnull[Anum_cursor_through - 1])
			continue;
		position->through = xid_set_from_datum(values[Anum_cursor_through - 1], CurrentMemoryContext);
		position->through_id = DatumGetInt64(values[Anum_cursor_through_id - 1]);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return newest >= 0;
}

void
cursor_table_free(CursorTable *table)
{
	xid_set_release(table->done);
	xid_set_release(table->through);
}

void
cursor_table_set_current(const CursorTable *table)
{
	Assert(!table->foreign);
	cursor_table_relid = table->relid;
	cursor_table_nrows = table->nrows;
	cursor_table_seq = table->seq;
}

bool
cursor_is_current(void)
{
	CursorTable table;

	cursor_table_read(&table);
	cursor_table_free(&table);
	return !table.foreign && table.seq == cursor_table_seq && table.relid == cursor_table_relid;
}

Datum
webhook_outbox_is_foreign(PG_FUNCTION_ARGS)
{
	CursorTable table;

	version_require();
	cursor_table_read(&table);
	cursor_table_free(&table);
	PG_RETURN_BOOL(table.foreign);
}

/*
 * Truncate the table if it has grown and no session is reading it, not even a backup.
 * Returns whether this was done.  Nothing is lost, as the caller inserts the
 * newest row afterwards.
 */
static bool
cursor_table_truncate(void)
{
	Oid			relid = catalog_oids()->cursor;
	bool		current;

	if (cursor_table_nrows < CURSOR_ROWS ||
		(cursor_table_nrows < CURSOR_ROWS_STANDBY && standby_connected()) ||
		!ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return false;

	/* Rows that others have inserted must not be removed. */
	PushActiveSnapshot(GetLatestSnapshot());
	current = cursor_is_current();
	PopActiveSnapshot();
	if (!current)
		return false;
	if (SPI_execute("TRUNCATE webhook.cursor", false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate webhook.cursor");
	cursor_table_nrows = 0;
	return true;
}

void
cursor_table_insert(const XidSet *done, const XidSet *through, int64 through_id)
{
	Datum		values[Natts_cursor];
	bool		nulls[Natts_cursor] = {0};
	Relation	rel;
	bool		truncated = cursor_table_truncate();

	values[Anum_cursor_seq - 1] = Int64GetDatum(++cursor_table_seq);
	values[Anum_cursor_system_identifier - 1] = Int64GetDatum((int64) GetSystemIdentifier());
	values[Anum_cursor_database - 1] = ObjectIdGetDatum(MyDatabaseId);
	values[Anum_cursor_written_by - 1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[Anum_cursor_done - 1] = xid_set_to_datum(done);
	if (through != NULL)
	{
		values[Anum_cursor_through - 1] = xid_set_to_datum(through);
		values[Anum_cursor_through_id - 1] = Int64GetDatum(through_id);
	}
	else
		nulls[Anum_cursor_through - 1] = nulls[Anum_cursor_through_id - 1] = true;
	values[Anum_cursor_written_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());

	rel = table_open(catalog_oids()->cursor, RowExclusiveLock);
	heap_insert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls),
				GetCurrentCommandId(true), truncated ? HEAP_INSERT_FROZEN : 0, NULL);
	table_close(rel, NoLock);
	cursor_table_nrows++;
}

bool
cursor_table_adopt_untouched(void)
{
	int			result = SPI_execute("SELECT webhook.adopt('discard') WHERE NOT EXISTS (SELECT FROM webhook.webhook)"
									 " AND NOT EXISTS (SELECT FROM webhook.outbox WHERE xid = '0')"
									 " AND NOT EXISTS (SELECT FROM webhook.cursor WHERE database = 0)", false, 0);

	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not adopt the outbox: %s", SPI_result_code_string(result));
	return SPI_processed > 0;
}
