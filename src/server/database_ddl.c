/*-------------------------------------------------------------------------
 *
 * database_ddl.c
 *		DDL commands that require our worker to disconnect from a database.
 *
 * DROP DATABASE, ALTER DATABASE ... RENAME and SET TABLESPACE, and CREATE DATABASE
 * with the database as template fail while there are connections to it, and our
 * worker is always connected.  So before such a command the database's slot is put
 * on hold, which keeps the launcher from starting a worker, and the worker is
 * terminated.  The hold ends with the transaction.
 *
 * The wait is bounded: if the worker does not exit in time, the command is executed
 * anyway and reports the connection.
 *
 * A role without the required privileges does not stop the worker, since they are
 * checked first.  The owner of a database can stop its worker until the end of a
 * transaction by a command that fails for another reason; but it could also drop the
 * database.
 *
 * ALTER DATABASE ... SET TABLESPACE commits before it has finished.  A worker
 * started then waits for the lock on the database while it connects.
 *
 * DROP EXTENSION and ALTER EXTENSION lock the tables one after the other, and so
 * does the worker.  It begins with webhook.cursor, so that table is locked before
 * these commands, too: then they wait for the worker's transaction, without
 * deadlock.  ALTER EXTENSION may change just the version of the extension, for which
 * the server sends no invalidation.
 *
 * COMMIT PREPARED runs no callback for what the prepared transaction has written, so
 * it wakes the worker in any case.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/condition_variable.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "base/catalog.h"
#include "base/clock.h"
#include "compat.h"
#include "server/database_ddl.h"
#include "server/shmem.h"
#include "server/wakeup.h"

/* How long to wait for the worker, or for another session's hold. */
#define HOLD_TIMEOUT_MS			10000
#define HOLD_RECHECK_MS			1000

static ProcessUtility_hook_type database_ddl_prev_process_utility = NULL;

/* To do at the end of this transaction. */
static bool database_ddl_holding = false;
static bool database_ddl_databases_changed = false;

static bool
database_ddl_may_create_databases(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return result;
}

static bool
database_ddl_is_template(Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return result;
}

/* The value of a string option, NULL if it was not specified. */
static const char *
database_ddl_string_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

static Oid
database_ddl_template_of_createdb(CreatedbStmt *stmt)
{
	const char *name = database_ddl_string_option(stmt->options, "template");
	Oid			database = get_database_oid(name != NULL ? name : "template1", true);
	Oid			role = GetUserId();

	if (OidIsValid(database) &&
		(superuser() || (database_ddl_may_create_databases(role) &&
						 (database_ddl_is_template(database) || webhook_owns_database(database, role)))))
		return database;
	return InvalidOid;
}

/*
 * The database to which the command allows no connections; InvalidOid if there is
 * none, or if the role lacks the privileges.  Sets *changes if the command changes
 * columns of pg_database that the launcher uses.
 */
static Oid
database_ddl_database_to_hold(Node *command, bool *changes)
{
	const char *name = NULL;
	Oid			database;

	*changes = true;
	switch (nodeTag(command))
	{
		case T_CreatedbStmt:
			return database_ddl_template_of_createdb((CreatedbStmt *) command);

		case T_DropdbStmt:
			name = ((DropdbStmt *) command)->dbname;
			break;

		case T_AlterDatabaseStmt:
			if (database_ddl_string_option(((AlterDatabaseStmt *) command)->options, "tablespace") != NULL)
				name = ((AlterDatabaseStmt *) command)->dbname;
			break;

		case T_RenameStmt:
			if (((RenameStmt *) command)->renameType == OBJECT_DATABASE)
				name = ((RenameStmt *) command)->subname;
			else
				*changes = false;
			break;

		default:
			*changes = false;
			break;
	}

	if (name == NULL)
		return InvalidOid;

	/* These commands cannot be run on the current database. */
	database = get_database_oid(name, true);
	if (!OidIsValid(database) || database == MyDatabaseId ||
		!webhook_owns_database(database, GetUserId()))
		return InvalidOid;
	return database;
}

/*
 * Put the database on hold unless another session has done so, and terminate its
 * worker.  Returns true if there is no worker, and false to try again.
 */
static bool
database_ddl_try_hold(Oid database)
{
	DatabaseSlot *slot;
	bool		done;

	LWLockAcquire(shmem_lock(), LW_EXCLUSIVE);

	/*
	 * If there is no free slot, the launcher cannot start a worker either,
	 * unless one becomes free right now.
	 */
	slot = shmem_assign_slot(database);
	if (slot == NULL)
		done = true;
	else if (slot->holder_pid != 0 && slot->holder_pid != MyProcPid)
		done = false;
	else
	{
		if (slot->holder_pid == 0)
		{
			slot->holder_pid = MyProcPid;
			shmem_set_state(slot, DATABASE_HELD);
			database_ddl_holding = true;

			/*
			 * A worker that has been registered but has not attached must not
			 * do so.
			 */
			slot->generation++;
			if (slot->worker_pid != 0)
				kill(slot->worker_pid, SIGTERM);
		}
		done = slot->worker_pid == 0;
	}

	LWLockRelease(shmem_lock());
	return done;
}

/* Put the database on hold and wait until its worker has exited. */
static void
database_ddl_hold_database(Oid database)
{
	int64		deadline = clock_monotonic() + HOLD_TIMEOUT_MS * INT64CONST(1000);

	while (!database_ddl_try_hold(database) && clock_monotonic() < deadline)
		shmem_wait_for_change(HOLD_RECHECK_MS);
	ConditionVariableCancelSleep();
}

/* Release the holds of this transaction, and wake the launcher if pg_database has changed. */
void
database_ddl_at_eoxact(void)
{
	if (!database_ddl_holding && !database_ddl_databases_changed)
		return;

	if (database_ddl_holding)
	{
		LWLockAcquire(shmem_lock(), LW_EXCLUSIVE);

		/* Several RENAMEs in one transaction hold several databases. */
		for (int i = 0; i < shmem_slots(); i++)
			if (shmem_slot(i)->holder_pid == MyProcPid)
				shmem_release_slot(shmem_slot(i));
		LWLockRelease(shmem_lock());
	}
	database_ddl_holding = false;
	database_ddl_databases_changed = false;
	shmem_wake_launcher();
}

/* Does the command drop or alter our extension? */
static bool
database_ddl_is_about_extension(Node *command)
{
	ListCell   *cell;

	if (IsA(command, AlterExtensionStmt))
		return strcmp(((AlterExtensionStmt *) command)->extname, "webhook") == 0;
	if (!IsA(command, DropStmt) || ((DropStmt *) command)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, ((DropStmt *) command)->objects)
	{
		if (strcmp(strVal(lfirst(cell)), "webhook") == 0)
			return true;
	}
	return false;
}

/* Lock webhook.cursor, unless the role lacks the privileges for the command. */
static void
database_ddl_lock_cursor(void)
{
	Oid			extension = get_extension_oid("webhook", true);

	if (OidIsValid(extension) && webhook_owns_extension(extension, GetUserId()) && catalog_oids() != NULL)
		LockRelationOid(catalog_oids()->cursor, AccessExclusiveLock);
}

static bool
database_ddl_commits_prepared(Node *command)
{
	return IsA(command, TransactionStmt) && ((TransactionStmt *) command)->kind == TRANS_STMT_COMMIT_PREPARED;
}

static void
database_ddl_process_utility(WEBHOOK_UTILITY_PARAMS)
{
	bool		changes;
	Node	   *command = pstmt->utilityStmt;
	bool		alters = IsA(command, AlterExtensionStmt) && database_ddl_is_about_extension(command);
	bool		drops = IsA(command, DropStmt) && database_ddl_is_about_extension(command);
	bool		commits_prepared = database_ddl_commits_prepared(command);
	Oid			database = database_ddl_database_to_hold(command, &changes);

	if (changes)
		database_ddl_databases_changed = true;
	if (OidIsValid(database))
		database_ddl_hold_database(database);
	if (alters || drops)
		database_ddl_lock_cursor();

	if (database_ddl_prev_process_utility)
		database_ddl_prev_process_utility(WEBHOOK_UTILITY_ARGS);
	else
		standard_ProcessUtility(WEBHOOK_UTILITY_ARGS);

	if (alters)
		wakeup_reload_at_commit();
	if (drops)
		wakeup_extension_dropped_at_commit();
	if (commits_prepared && catalog_oids() != NULL)
		wakeup_at_commit();
}

void
database_ddl_init(void)
{
	database_ddl_prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = database_ddl_process_utility;
}
