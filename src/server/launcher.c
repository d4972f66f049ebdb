/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		Which databases get a worker.
 *
 * The launcher is a background worker that can access shared catalogs only, so it
 * does not know which databases have the extension.  It starts a worker in each of
 * them, which exits if the extension does not exist there.  Only a few workers may
 * be in this phase at a time, so that on a server with many databases they do not
 * use up all background worker slots.
 *
 * Databases without the extension are remembered in local memory and need no slot
 * in shared memory, so there can be any number of them.  They are checked again
 * when a backend reports that it has created the extension.  If the launcher dies,
 * its successor checks all of them again.
 *
 * Template databases are not served, even if they allow connections and have the
 * extension: a template has no messages, and a connected worker would block CREATE
 * DATABASE.
 *
 * The launcher sleeps on its latch.  It is set by backends that create the
 * extension, by DDL on databases, by workers that start or exit, and by the
 * postmaster when a registered worker has exited.  Other changes of pg_database are
 * found by polling.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/container.h"
#include "compat.h"
#include "http/http.h"
#include "server/launcher.h"
#include "server/shmem.h"
#include "server/worker_settings.h"
#include "webhook.h"

#define LAUNCHER_RESTART_SECONDS	5

/* Maximum number of workers that are checking whether their database has the extension. */
#define MAX_PROBES				3

/* A probe that takes longer than this, e.g. because the database is locked, is no longer counted. */
#define PROBE_PATIENCE			(5 * USECS_PER_SEC)

/* Poll interval of pg_database. */
#define SCAN_INTERVAL			(60 * USECS_PER_SEC)

/* Interval of checks whether the backend that holds a database still exists. */
#define HOLDER_CHECK_INTERVAL	(10 * USECS_PER_SEC)

/*
 * Delay before a worker that has exited is restarted.  Doubled each time; reset when
 * a worker has made progress, or has lived for the maximum.
 */
#define BACKOFF_MIN				(1 * USECS_PER_SEC)
#define BACKOFF_MAX				(60 * USECS_PER_SEC)

/* Retry interval when the server has no free background worker slot. */
#define REGISTER_RETRY			(10 * USECS_PER_SEC)

/* pg_database.datconnlimit of a database whose DROP was interrupted */
#define CONNLIMIT_INVALID_DATABASE	(-2)

/* Contents of bgw_extra; the slot's number is the main argument. */
typedef struct WorkerExtra
{
	uint32		generation;
	Oid			database;
} WorkerExtra;

StaticAssertDecl(sizeof(WorkerExtra) <= BGW_EXTRALEN,
				 "WorkerExtra does not fit into bgw_extra");

/* A database that could be served. */
typedef struct Database
{
	Oid			oid;			/* hash key */
	bool		absent;			/* known not to have the extension */
	uint32		scan;			/* number of the scan that saw it last */
} Database;

/* The worker that this launcher started last for a slot. */
typedef struct Launch
{
	BackgroundWorkerHandle *handle; /* NULL: none */
	TimestampTz started_at;		/* 0: started by a previous launcher */
} Launch;

static HTAB *launcher_databases = NULL;
static uint32 launcher_scan_number = 0;
static Launch *launcher_launches = NULL;	/* one per slot */

/* Is there a slot of a database that the last scan did not find, or that cannot be served? */
static bool launcher_scan_wanted = false;

void
launcher_init(void)
{
	BackgroundWorker worker;

	/* During pg_upgrade nothing must be changed, or be sent from two servers. */
	if (IsBinaryUpgrade)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = LAUNCHER_RESTART_SECONDS;
	strlcpy(worker.bgw_library_name, "webhook", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "webhook_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "webhook launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "webhook launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

WorkerArgs
launcher_worker_args(Datum main_arg)
{
	WorkerExtra extra;
	WorkerArgs	args;

	memcpy(&extra, MyBgworkerEntry->bgw_extra, sizeof(extra));
	args.slot = DatumGetInt32(main_arg);
	args.generation = extra.generation;
	args.database = extra.database;
	return args;
}

static Database *
launcher_find_database(Oid oid)
{
	return hash_search(launcher_databases, &oid, HASH_FIND, NULL);
}

static void
launcher_remember_absent(Oid oid)
{
	Database   *database = launcher_find_database(oid);

	/* It may have been removed by a scan. */
	if (database != NULL)
		database->absent = true;
}

static void
launcher_forget_absent(void)
{
	HASH_SEQ_STATUS seq;
	Database   *database;

	hash_seq_init(&seq, launcher_databases);
	while ((database = hash_seq_search(&seq)) != NULL)
		database->absent = false;
}

/* Update launcher_databases from pg_database. */
static void
launcher_read_pg_database(void)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	launcher_scan_number++;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	pgstat_report_activity(STATE_RUNNING, "looking for databases with the extension webhook");

	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		Database   *database;
		bool		found;

		if (!form->datallowconn || form->datistemplate ||
			form->datconnlimit == CONNLIMIT_INVALID_DATABASE)
			continue;

		database = hash_search(launcher_databases, &form->oid, HASH_ENTER, &found);
		if (!found)
			database->absent = false;
		database->scan = launcher_scan_number;
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);

	CommitTransactionCommand();
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Free the slot of a database that was dropped or can no longer be served. */
static void
launcher_retire_slot(DatabaseSlot *slot)
{
	Assert(LWLockHeldByMeInMode(shmem_lock(), LW_EXCLUSIVE));

	/* The holder wakes us when it releases the slot. */
	if (slot->holder_pid != 0)
		return;

	if (slot->worker_pid == 0)
		shmem_free_slot(slot);
	else
	{
		/* Freed like any other ABSENT slot once the worker has exited. */
		slot->state = DATABASE_ABSENT;
		kill(slot->worker_pid, SIGTERM);
	}
}

/* Scan pg_database, and retire the slots of databases that are gone. */
static void
launcher_scan_databases(void)
{
	int			nslots = shmem_slots();
	Oid		   *before = palloc(nslots * sizeof(Oid));
	HASH_SEQ_STATUS seq;
	Database   *database;

	/*
	 * Slots assigned after this may belong to databases created after the
	 * scan.
	 */
	LWLockAcquire(shmem_lock(), LW_SHARED);
	for (int i = 0; i < nslots; i++)
		before[i] = shmem_slot(i)->database;
	LWLockRelease(shmem_lock());

	launcher_read_pg_database();

	hash_seq_init(&seq, launcher_databases);
	while ((database = hash_seq_search(&seq)) != NULL)
		if (database->scan != launcher_scan_number)
			hash_search(launcher_databases, &database->oid, HASH_REMOVE, NULL);

	LWLockAcquire(shmem_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < nslots; i++)
	{
		DatabaseSlot *slot = shmem_slot(i);

		if (OidIsValid(before[i]) && slot->database == before[i] &&
			launcher_find_database(before[i]) == NULL)
			launcher_retire_slot(slot);
	}
	LWLockRelease(shmem_lock());

	pfree(before);
}

/* Is the worker registered for slot i running, or may it still start? */
static bool
launcher_worker_may_come(int i)
{
	BackgroundWorkerHandle *handle = launcher_launches[i].handle;
	pid_t		pid;

	return handle != NULL && GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED;
}

static void
launcher_back_off(int i, TimestampTz now)
{
	DatabaseSlot *slot = shmem_slot(i);
	int64		delay = BACKOFF_MIN;

	if (now - launcher_launches[i].started_at >= BACKOFF_MAX)
		slot->failures = 0;
	for (int n = 0; n < slot->failures && delay < BACKOFF_MAX; n++)
		delay *= 2;
	slot->failures++;
	slot->state = DATABASE_BACKOFF;
	slot->restart_at = now + Min(delay, BACKOFF_MAX);

	/*
	 * A worker registered by a previous launcher that starts late must not
	 * attach.
	 */
	slot->generation++;
}

static void
launcher_tend_new_slot(DatabaseSlot *slot)
{
	Database   *database;

	if (!OidIsValid(slot->database) || slot->worker_pid != 0)
		return;

	database = launcher_find_database(slot->database);
	if (database == NULL)
		launcher_scan_wanted = true;
	else if (database->absent && !slot->recheck)
	{
		/*
		 * It was assigned for a hold.  A backend reports if the extension is
		 * created.
		 */
		shmem_free_slot(slot);
	}
}

/*
 * Advance slot i to its next state, if the launcher has to.  Returns the time of the
 * next check.  The lock must be held exclusively.
 */
static TimestampTz
launcher_tend_slot(int i, TimestampTz now)
{
	DatabaseSlot *slot = shmem_slot(i);

	Assert(LWLockHeldByMeInMode(shmem_lock(), LW_EXCLUSIVE));

	switch (slot->state)
	{
		case DATABASE_NEW:
			launcher_tend_new_slot(slot);
			break;

		case DATABASE_ABSENT:
			if (slot->worker_pid == 0)
			{
				launcher_remember_absent(slot->database);
				shmem_free_slot(slot);
			}
			break;

		case DATABASE_STARTING:
			if (slot->worker_pid == 0 && !launcher_worker_may_come(i))
				launcher_back_off(i, now);
			break;

		case DATABASE_SERVED:
			if (slot->worker_pid == 0)
				launcher_back_off(i, now);
			break;

		case DATABASE_BACKOFF:
			/* The clock may have been set back. */
			slot->restart_at = Min(slot->restart_at, now + BACKOFF_MAX);
			break;

		case DATABASE_HELD:
			/* Transaction end releases the hold; this is just a safeguard. */
			if (BackendPidGetProc(slot->holder_pid) == NULL)
				shmem_release_slot(slot);
			else
				return now + HOLDER_CHECK_INTERVAL;
			break;
	}

	if (slot->state == DATABASE_BACKOFF)
	{
		if (slot->restart_at > now)
			return slot->restart_at;
		slot->state = DATABASE_NEW;
	}
	return now + SCAN_INTERVAL;
}

static TimestampTz
launcher_tend_slots(TimestampTz now)
{
	TimestampTz wake_at = now + SCAN_INTERVAL;

	LWLockAcquire(shmem_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < shmem_slots(); i++)
	{
		TimestampTz slot_wake_at = launcher_tend_slot(i, now);

		wake_at = Min(wake_at, slot_wake_at);
	}
	LWLockRelease(shmem_lock());
	return wake_at;
}

static int
launcher_probes_under_way(TimestampTz now)
{
	int			n = 0;

	for (int i = 0; i < shmem_slots(); i++)
		if (shmem_slot(i)->state == DATABASE_STARTING &&
			now - launcher_launches[i].started_at < PROBE_PATIENCE)
			n++;
	return n;
}

/* Find a database that has not been checked, InvalidOid if there is none.  The lock must be held. */
static Oid
launcher_unknown_database(void)
{
	HASH_SEQ_STATUS seq;
	Database   *database;

	hash_seq_init(&seq, launcher_databases);
	while ((database = hash_seq_search(&seq)) != NULL)
	{
		if (!database->absent && shmem_find_slot(database->oid) == NULL)
		{
			Oid			oid = database->oid;

			hash_seq_term(&seq);
			return oid;
		}
	}
	return InvalidOid;
}

static void
launcher_warn_out_of_slots(void)
{
	static bool warned = false;

	if (!warned)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of webhook worker slots"),
				 errdetail("All %d slots are in use, so some databases are not served.", shmem_slots()),
				 errhint("You might need to increase \"webhook.workers\".")));
	warned = true;
}

static void
launcher_warn_out_of_workers(void)
{
	static bool warned = false;

	if (!warned)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not register a background worker for webhook"),
				 errdetail("A database is not served until a background worker slot is free."),
				 errhint("You might need to increase \"max_worker_processes\".")));
	warned = true;
}

/*
 * Find the slot whose worker should be started next, -1 if there is none.
 * Databases known to have the extension come first.  The lock must be held
 * exclusively.
 */
static int
launcher_next_slot_to_start(bool *out_of_slots)
{
	DatabaseSlot *slot;
	Oid			oid;

	Assert(LWLockHeldByMeInMode(shmem_lock(), LW_EXCLUSIVE));

	for (int i = 0; i < shmem_slots(); i++)
	{
		slot = shmem_slot(i);
		if (OidIsValid(slot->database) && slot->state == DATABASE_NEW &&
			slot->worker_pid == 0 && launcher_find_database(slot->database) != NULL)
			return i;
	}

	oid = launcher_unknown_database();
	if (!OidIsValid(oid))
		return -1;
	slot = shmem_assign_slot(oid);
	if (slot == NULL)
	{
		*out_of_slots = true;
		return -1;
	}
	return slot - shmem_slot(0);
}

/*
 * Register the worker for a slot in state STARTING.  Returns false if the server has
 * no free background worker slot.
 */
static bool
launcher_register_worker(const WorkerArgs *args)
{
	BackgroundWorker worker;
	WorkerExtra extra = {.generation = args->generation,.database = args->database};
	Launch	   *launch = &launcher_launches[args->slot];
	MemoryContext old_context;
	bool		registered;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(args->slot);
	memcpy(worker.bgw_extra, &extra, sizeof(extra));
	strlcpy(worker.bgw_library_name, "webhook", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "webhook_worker_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name),
			 "webhook worker for database %u", args->database);
	strlcpy(worker.bgw_type, "webhook worker", sizeof(worker.bgw_type));

	if (launch->handle != NULL)
		pfree(launch->handle);
	launch->handle = NULL;

	old_context = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &launch->handle);
	MemoryContextSwitchTo(old_context);

	if (!registered)
	{
		DatabaseSlot *slot = shmem_slot(args->slot);

		launch->handle = NULL;
		launcher_warn_out_of_workers();

		/* The database may have been put on hold meanwhile. */
		LWLockAcquire(shmem_lock(), LW_EXCLUSIVE);
		if (slot->state == DATABASE_STARTING && slot->generation == args->generation)
		{
			slot->state = DATABASE_BACKOFF;
			slot->restart_at = GetCurrentTimestamp() + REGISTER_RETRY;
		}
		LWLockRelease(shmem_lock());
	}
	return registered;
}

/*
 * Choose the next slot and set it to STARTING; false if there is none.  The lock
 * must be held exclusively.
 */
static bool
launcher_claim_slot(WorkerArgs *args, TimestampTz now, bool *out_of_slots)
{
	DatabaseSlot *slot;

	Assert(LWLockHeldByMeInMode(shmem_lock(), LW_EXCLUSIVE));

	args->slot = launcher_next_slot_to_start(out_of_slots);
	if (args->slot < 0)
		return false;

	slot = shmem_slot(args->slot);
	Assert(slot->state == DATABASE_NEW && slot->worker_pid == 0 && slot->holder_pid == 0);
	slot->state = DATABASE_STARTING;
	slot->recheck = false;
	args->generation = ++slot->generation;
	args->database = slot->database;
	launcher_launches[args->slot].started_at = now;

	launcher_find_database(args->database)->absent = false;
	return true;
}

/* Start workers, up to the limit.  Returns the time of the next try. */
static TimestampTz
launcher_start_workers(TimestampTz now)
{
	for (;;)
	{
		WorkerArgs	args;
		bool		claimed = false;
		bool		out_of_slots = false;
		int			probes;

		LWLockAcquire(shmem_lock(), LW_EXCLUSIVE);
		probes = launcher_probes_under_way(now);
		if (probes < MAX_PROBES)
			claimed = launcher_claim_slot(&args, now, &out_of_slots);
		LWLockRelease(shmem_lock());

		if (claimed)
		{
			if (!launcher_register_worker(&args))
				return now + REGISTER_RETRY;
			continue;
		}

		/* While there are probes, a slot may become free. */
		if (out_of_slots && probes == 0)
			launcher_warn_out_of_slots();
		return now + (probes < MAX_PROBES ? SCAN_INTERVAL : PROBE_PATIENCE);
	}
}

static void
launcher_sleep_until(TimestampTz wake_at)
{
	static uint32 wait_event = 0;
	int64		timeout = (wake_at - GetCurrentTimestamp()) / 1000 + 1;

	if (wait_event == 0)
		wait_event = webhook_wait_event("WebhookLauncherMain");

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Max(timeout, 0), wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* Not done when the library is loaded, because messages do not reach the log yet. */
static void
launcher_check_libcurl(void)
{
	HttpLibrary library;

	http_library(&library);
	if (library.fault != NULL)
		ereport(WARNING,
				(errmsg("libcurl %s %s", library.version, library.fault),
				 errhint("Install the latest libcurl available for this system, and restart the server.")));
	if (!library.has_certificates)
		ereport(WARNING,
				(errmsg("webhooks with certificates cannot be served"),
				 errdetail("libcurl %s uses %s.", library.version,
						   library.tls[0] != '\0' ? library.tls : "no TLS library"),
				 errhint("Build webhook with a libcurl that uses OpenSSL, such as the one in libcurl4-openssl-dev.")));
}

static void
launcher_prepare_launcher(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	shmem_attach_launcher();
	worker_settings_before_connection();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	launcher_databases = container_hash("webhook databases", 64, sizeof(Oid), sizeof(Database), TopMemoryContext);
	launcher_launches = MemoryContextAllocZero(TopMemoryContext, shmem_slots() * sizeof(Launch));
}

void
webhook_launcher_main(Datum arg)
{
	TimestampTz next_scan = 0;
	MemoryContext turn_context;

	launcher_prepare_launcher();
	launcher_check_libcurl();
	turn_context = AllocSetContextCreate(TopMemoryContext, "webhook launcher turn",
										 ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		TimestampTz slots_wake_at;
		TimestampTz start_wake_at;

		MemoryContextSwitchTo(turn_context);
		MemoryContextReset(turn_context);

		if (shmem_take_forget())
			launcher_forget_absent();
		if (shmem_take_rescan() || launcher_scan_wanted || now >= next_scan)
		{
			launcher_scan_wanted = false;
			launcher_scan_databases();
			now = GetCurrentTimestamp();
			next_scan = now + SCAN_INTERVAL;
		}

		next_scan = Min(next_scan, now + SCAN_INTERVAL);	/* the clock may have
															 * been set back */
		slots_wake_at = launcher_tend_slots(now);
		start_wake_at = launcher_start_workers(now);
		if (launcher_scan_wanted)
			continue;
		launcher_sleep_until(Min(next_scan, Min(slots_wake_at, start_wake_at)));
	}
}
