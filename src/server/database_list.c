/*-------------------------------------------------------------------------
 *
 * database_list.c
 *		The databases of the server that could be served, in the launcher.
 *
 * The launcher can access shared catalogs only, so it does not know which databases
 * have the extension.  Every database that may have it gets a slot, and a worker
 * that finds out.  Databases without the extension are remembered here, in local
 * memory, and lose their slot, so there can be any number of them.  They are checked
 * again when a backend has created the extension but found no free slot to record
 * that.  If the launcher dies, its successor checks all of them again.
 *
 * Template databases are not served, even if they allow connections and have the
 * extension: a template has no messages, and a connected worker would block CREATE
 * DATABASE.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "lib/stringinfo.h"
#include "pgstat.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/container.h"
#include "server/database_list.h"
#include "server/shmem.h"

/* pg_database.datconnlimit of a database whose DROP was interrupted */
#define CONNLIMIT_INVALID_DATABASE	(-2)

/* Number of names in a message. */
#define MAX_NAMES					20

typedef struct Database
{
	Oid			oid;			/* hash key */
	NameData	name;
	int			slot;			/* where its slot was last; -1: it had none */
	bool		absent;			/* known not to have the extension */
	uint32		scan;			/* number of the scan that saw it last */
} Database;

static HTAB *database_list_hash = NULL;
static uint32 database_list_scan_number = 0;

/* May there be databases that need a slot and have none? */
static bool database_list_unassigned = false;


void
database_list_init(void)
{
	database_list_hash = container_hash("webhook databases", 64, sizeof(Oid), sizeof(Database), TopMemoryContext);
}

static Database *
database_list_find(Oid oid)
{
	return hash_search(database_list_hash, &oid, HASH_FIND, NULL);
}

bool
database_list_contains(Oid database)
{
	return database_list_find(database) != NULL;
}

bool
database_list_is_absent(Oid database)
{
	Database   *entry = database_list_find(database);

	return entry != NULL && entry->absent;
}

void
database_list_set_absent(Oid database, bool absent)
{
	Database   *entry = database_list_find(database);

	/* It may have been removed by a scan. */
	if (entry != NULL)
		entry->absent = absent;
}

void
database_list_forget_absent(void)
{
	HASH_SEQ_STATUS seq;
	Database   *entry;

	hash_seq_init(&seq, database_list_hash);
	while ((entry = hash_seq_search(&seq)) != NULL)
		entry->absent = false;
	database_list_unassigned = true;
}

static void
database_list_note(Form_pg_database form)
{
	Database   *entry;
	bool		found;

	if (!form->datallowconn || form->datistemplate ||
		form->datconnlimit == CONNLIMIT_INVALID_DATABASE)
		return;

	entry = hash_search(database_list_hash, &form->oid, HASH_ENTER, &found);
	if (!found)
	{
		entry->absent = false;
		entry->slot = -1;
	}
	entry->name = form->datname;
	entry->scan = database_list_scan_number;
}

void
database_list_scan(void)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	HASH_SEQ_STATUS seq;
	Database   *entry;

	database_list_scan_number++;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	pgstat_report_activity(STATE_RUNNING, "looking for databases with the extension webhook");

	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		database_list_note((Form_pg_database) GETSTRUCT(tuple));
	table_endscan(scan);
	table_close(relation, AccessShareLock);

	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);

	hash_seq_init(&seq, database_list_hash);
	while ((entry = hash_seq_search(&seq)) != NULL)
		if (entry->scan != database_list_scan_number)
			hash_search(database_list_hash, &entry->oid, HASH_REMOVE, NULL);
	database_list_unassigned = true;
}

static bool
database_list_has_slot(Database *entry)
{
	DatabaseSlot *slot;

	if (entry->slot >= 0 && shmem_slot(entry->slot)->database == entry->oid)
		return true;
	slot = shmem_find_slot(entry->oid);
	entry->slot = slot != NULL ? slot - shmem_slot(0) : -1;
	return slot != NULL;
}

void
database_list_assign_slots(void)
{
	HASH_SEQ_STATUS seq;
	Database   *entry;

	Assert(LWLockHeldByMeInMode(shmem_lock(), LW_EXCLUSIVE));

	if (!database_list_unassigned || !shmem_any_free())
		return;

	database_list_unassigned = false;
	hash_seq_init(&seq, database_list_hash);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		DatabaseSlot *slot;

		if (entry->absent || database_list_has_slot(entry))
			continue;
		slot = shmem_assign_slot(entry->oid);
		if (slot != NULL)
			entry->slot = slot - shmem_slot(0);
		else
			database_list_unassigned = true;
	}
}

char *
database_list_without_slot(int *count)
{
	HASH_SEQ_STATUS seq;
	Database   *entry;
	StringInfoData names;

	*count = 0;
	initStringInfo(&names);
	if (!database_list_unassigned)
		return names.data;

	LWLockAcquire(shmem_lock(), LW_SHARED);
	hash_seq_init(&seq, database_list_hash);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->absent || database_list_has_slot(entry))
			continue;
		if (++*count <= MAX_NAMES)
			appendStringInfo(&names, "%s\"%s\"", *count > 1 ? ", " : "", NameStr(entry->name));
		else if (*count == MAX_NAMES + 1)
			appendStringInfoString(&names, ", ...");
	}
	LWLockRelease(shmem_lock());
	return names.data;
}
