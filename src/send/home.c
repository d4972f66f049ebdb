/*-------------------------------------------------------------------------
 *
 * home.c
 *		May this worker send what is in the outbox of its database?
 *
 * Not if the outbox was restored from a dump or copied with its database,
 * until webhook.adopt() is called; and not if the extension's SQL is of
 * another version than this library.
 *
 * jobs.c checks this in each transaction, under a lock on webhook.cursor that excludes
 * adopt() and ALTER EXTENSION.  Once the worker has begun to send, its state is valid for
 * one position and one version only.  If either changes, the process exits without
 * writing anything, and the launcher starts another one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/lsyscache.h"

#include "base/catalog.h"
#include "log/cursor.h"
#include "log/cursor_table.h"
#include "send/deactivation.h"
#include "send/home.h"
#include "send/spill.h"
#include "server/version.h"

static HomeState home_current = HOME_UNKNOWN;
static bool home_matched = false;	/* library and extension were of the same
									 * version when we looked last */
static uint64 home_generation = 0;	/* of webhook.cursor as we know it */
static uint64 home_configuration = 0;	/* generation of the configuration
										 * when the version was compared */


HomeState
home_state(void)
{
	return home_current;
}

bool
home_check_due(void)
{
	return home_current == HOME_UNKNOWN || home_generation != catalog_cursor_generation() ||
		home_configuration != catalog_generation();
}

bool
home_is_current(void)
{
	if (home_generation == catalog_cursor_generation())
		return true;
	home_generation = catalog_cursor_generation();
	return cursor_is_current();
}

/* The outbox belongs to this database: begin to send what is in it. */
static void
home_start(DatabaseSlot *slot)
{
	spill_recover();
	deactivation_load_faulty_transform(slot);
	home_current = HOME_OURS;
}

/* Called at the start, and after others have written to webhook.cursor: pg_restore, adopt() or CREATE EXTENSION. */
static void
home_check_outbox(DatabaseSlot *slot)
{
	if (home_current == HOME_OURS)
	{
		if (home_is_current())
			return;

		/* Our state is that of another outbox. */
		ereport(LOG,
				(errmsg("restarting webhook worker because the outbox position was changed")));
		shmem_note_progress(slot);
		proc_exit(1);
	}
	if (home_current == HOME_FOREIGN && home_generation == catalog_cursor_generation())
		return;
	home_generation = catalog_cursor_generation();
	if (cursor_load() == CURSOR_HERE)
		home_start(slot);
	else
	{
		if (home_current != HOME_FOREIGN && !cursor_table_adopt_untouched())
			ereport(WARNING,
					(errmsg("webhook is not sending from database \"%s\"", get_database_name(MyDatabaseId)),
					 errdetail("Its outbox was restored from a dump or copied from another database."),
					 errhint("If this database replaces the other one, call webhook.adopt('send'). "
							 "If it is a copy, call webhook.adopt('discard').")));
		home_current = HOME_FOREIGN;
	}
}

void
home_check(DatabaseSlot *slot)
{
	home_configuration = catalog_generation();
	if (version_fits())
	{
		if (home_current == HOME_MISMATCHED)
			home_current = HOME_UNKNOWN;
		home_matched = true;
		home_check_outbox(slot);
		return;
	}

	/*
	 * Tables and functions of another version must not be used, not even to
	 * record what has been sent: that is sent again.
	 */
	if (home_matched)
	{
		ereport(LOG,
				(errmsg("restarting webhook worker because the extension was updated")));
		proc_exit(1);
	}
	if (home_current != HOME_MISMATCHED)
		version_warn();
	home_current = HOME_MISMATCHED;
}
