/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		The launcher: provides every database with a worker.
 *
 * The launcher sleeps on its latch.  It is set by backends that create the
 * extension or commit something in a database without a worker, by DDL on databases,
 * by workers that start or exit, and by the postmaster when a registered worker has
 * exited.  Other changes of pg_database are found by polling.
 *
 * Each turn it advances all slots in shared memory (shmem.c shows their states), and
 * then starts workers (rotation.c), both under the lock.  pg_database is read without it.  A
 * new launcher goes on from the slots; only the list of databases (database_list.c)
 * is local, and read again.
 *
 * All times are by clock_monotonic(), so it does no harm if the clock is set.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/settings.h"
#include "compat.h"
#include "http/http.h"
#include "server/database_list.h"
#include "server/launch.h"
#include "server/rotation.h"
#include "server/shmem.h"
#include "server/worker_settings.h"
#include "webhook.h"

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

/* Is there a slot for a database that the last scan did not find, or that cannot be served? */
static bool launcher_scan_wanted = false;


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
		shmem_set_state(slot, DATABASE_ABSENT);
		kill(slot->worker_pid, SIGTERM);
	}
}

/* Scan pg_database, and retire the slots of databases that are gone. */
static void
launcher_scan_databases(void)
{
	int			nslots = shmem_slots();
	Oid		   *before = palloc(nslots * sizeof(Oid));

	/*
	 * Slots assigned after this may belong to databases created after the
	 * scan.
	 */
	LWLockAcquire(shmem_lock(), LW_SHARED);
	for (int i = 0; i < nslots; i++)
		before[i] = shmem_slot(i)->database;
	LWLockRelease(shmem_lock());

	database_list_scan();

	LWLockAcquire(shmem_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < nslots; i++)
	{
		DatabaseSlot *slot = shmem_slot(i);

		if (OidIsValid(before[i]) && slot->database == before[i] &&
			!database_list_contains(before[i]))
			launcher_retire_slot(slot);
	}
	LWLockRelease(shmem_lock());

	pfree(before);
}

/* A worker has exited or did not start: delay the next attempt.  The lock must be held exclusively. */
static void
launcher_back_off(int i, int64 now)
{
	DatabaseSlot *slot = shmem_slot(i);
	int64		delay = BACKOFF_MIN;

	Assert(LWLockHeldByMeInMode(shmem_lock(), LW_EXCLUSIVE));

	if (now - launch_started_at(i) >= BACKOFF_MAX)
		slot->failures = 0;
	for (int n = 0; n < slot->failures && delay < BACKOFF_MAX; n++)
		delay *= 2;
	slot->failures++;
	shmem_set_state(slot, DATABASE_BACKOFF);
	slot->restart_at = now + Min(delay, BACKOFF_MAX);

	/*
	 * A worker registered by a previous launcher that starts late must not
	 * attach.
	 */
	slot->generation++;
}

/* Free a slot that needs no worker, or have pg_database scanned if its database is unknown. */
static void
launcher_advance_new_slot(DatabaseSlot *slot)
{
	Assert(LWLockHeldByMeInMode(shmem_lock(), LW_EXCLUSIVE));

	if (!OidIsValid(slot->database) || slot->worker_pid != 0)
		return;

	if (!database_list_contains(slot->database))
		launcher_scan_wanted = true;
	else if (database_list_is_absent(slot->database) && !slot->recheck)
	{
		/*
		 * It was assigned for a hold.  A backend reports if the extension is
		 * created.
		 */
		shmem_free_slot(slot);
	}
}

/*
 * Check whether a database without a worker needs one; with webhook.dispatch = off,
 * only at slot->restart_at.
 */
static int64
launcher_advance_resting_slot(DatabaseSlot *slot, int64 now)
{
	TimestampTz clock = clock_now();
	bool		due = slot->due_at <= clock || pg_atomic_read_u32(&slot->wake_requested) != 0;

	Assert(LWLockHeldByMeInMode(shmem_lock(), LW_EXCLUSIVE));

	if (slot->restart_at <= now)
		shmem_set_state(slot, DATABASE_NEW);
	else if (!webhook_dispatch)
		return slot->restart_at;
	else if (due && slot->not_before > now)
		return slot->not_before;
	else if (due)
		shmem_set_state(slot, DATABASE_WAITING);
	else
		return slot->due_at - clock < slot->restart_at - now ? now + (slot->due_at - clock) : slot->restart_at;
	return now + SCAN_INTERVAL;
}

/*
 * Advance slot i to its next state, if that is up to the launcher.  Returns the time of the
 * next check.  The lock must be held exclusively.
 */
static int64
launcher_advance_slot(int i, int64 now)
{
	DatabaseSlot *slot = shmem_slot(i);

	Assert(LWLockHeldByMeInMode(shmem_lock(), LW_EXCLUSIVE));

	switch (slot->state)
	{
		case DATABASE_NEW:
			launcher_advance_new_slot(slot);
			break;

		case DATABASE_ABSENT:
			if (slot->worker_pid == 0)
			{
				database_list_set_absent(slot->database, true);
				shmem_free_slot(slot);
			}
			break;

		case DATABASE_STARTING:
			if (slot->worker_pid == 0 && !launch_unfinished(i))
				launcher_back_off(i, now);
			break;

		case DATABASE_SERVED:
			if (slot->worker_pid == 0)
				launcher_back_off(i, now);
			break;

		case DATABASE_RESTING:
			return launcher_advance_resting_slot(slot, now);

		case DATABASE_WAITING:
		case DATABASE_BACKOFF:
			break;

		case DATABASE_HELD:
			/* Transaction end releases the hold; this is just a safeguard. */
			if (BackendPidGetProc(slot->holder_pid) == NULL)
				shmem_release_slot(slot);
			else
				return now + HOLDER_CHECK_INTERVAL;
			break;
	}

	/* This includes slots whose worker has just exited. */
	if (slot->state == DATABASE_BACKOFF)
	{
		if (slot->restart_at > now)
			return slot->restart_at;
		shmem_set_state(slot, DATABASE_NEW);
	}
	return now + SCAN_INTERVAL;
}

/* Advance all slots.  Returns the time of the next check. */
static int64
launcher_advance_slots(int64 now)
{
	int64		wake_at = now + SCAN_INTERVAL;

	LWLockAcquire(shmem_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < shmem_slots(); i++)
	{
		int64		slot_wake_at = launcher_advance_slot(i, now);

		wake_at = Min(wake_at, slot_wake_at);
	}
	LWLockRelease(shmem_lock());
	return wake_at;
}

/* Warn, once, that databases are left without a slot and none is about to become free. */
static void
launcher_warn_out_of_slots(void)
{
	static bool warned = false;
	bool		any_unsettled = false;
	int			count;
	char	   *names;

	if (warned)
		return;
	names = database_list_without_slot(&count);
	LWLockAcquire(shmem_lock(), LW_SHARED);
	for (int i = 0; i < shmem_slots(); i++)
		any_unsettled |= shmem_slot(i)->state < DATABASE_RESTING || shmem_slot(i)->state == DATABASE_STARTING;
	LWLockRelease(shmem_lock());
	if (count == 0 || any_unsettled)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg_plural("webhook cannot serve %d database", "webhook cannot serve %d databases", count, count),
			 errdetail("All %d slots are in use. Databases without a slot: %s.", shmem_slots(), names),
			 errhint("You might need to increase \"%s\".", "webhook.max_databases")));
	warned = true;
}

/* webhook.allowed_networks has changed: let databases without a worker retry what it has blocked. */
static void
launcher_note_networks(void)
{
	LWLockAcquire(shmem_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < shmem_slots(); i++)
	{
		DatabaseSlot *slot = shmem_slot(i);

		/*
		 * Set for all: a worker that is about to leave may not see the new
		 * setting.
		 */
		slot->networks_changed = true;
		if (slot->state == DATABASE_RESTING)
			pg_atomic_write_u32(&slot->wake_requested, 1);
	}
	LWLockRelease(shmem_lock());
}

/* Wait for the latch or until wake_at, and process interrupts and configuration reloads. */
static void
launcher_sleep_until(int64 wake_at)
{
	static uint32 wait_event = 0;
	int64		timeout = (wake_at - clock_monotonic()) / 1000 + 1;

	if (wait_event == 0)
		wait_event = webhook_wait_event("WebhookLauncherMain");

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Max(timeout, 0), wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		if (settings_reload())
			launcher_note_networks();
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

	database_list_init();
	launch_init();
}

void
webhook_launcher_main(Datum arg)
{
	int64		next_scan = 0;
	MemoryContext turn_context;

	launcher_prepare_launcher();
	launcher_check_libcurl();
	ereport(DEBUG1, (errmsg_internal("webhook launcher started")));
	turn_context = AllocSetContextCreate(TopMemoryContext, "webhook launcher turn",
										 ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		int64		now = clock_monotonic();
		int64		slots_wake_at;
		int64		start_wake_at;

		MemoryContextSwitchTo(turn_context);
		MemoryContextReset(turn_context);

		if (shmem_take_forget())
			database_list_forget_absent();
		if (shmem_take_rescan() || launcher_scan_wanted || now >= next_scan)
		{
			launcher_scan_wanted = false;
			launcher_scan_databases();
			now = clock_monotonic();
			next_scan = now + SCAN_INTERVAL;
		}

		/*
		 * Slots of databases that no longer exist are freed before workers
		 * are started.
		 */
		slots_wake_at = launcher_advance_slots(now);
		start_wake_at = rotation_start_workers(now);
		launcher_warn_out_of_slots();

		/*
		 * A scan settles every slot that asked for one, so this does not
		 * repeat.
		 */
		if (launcher_scan_wanted)
			continue;
		launcher_sleep_until(Min(next_scan, Min(slots_wake_at, start_wake_at)));
	}
}
