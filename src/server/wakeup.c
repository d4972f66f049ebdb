/*-------------------------------------------------------------------------
 *
 * wakeup.c
 *		Waking the worker when a transaction commits.
 *
 * The latch is set in the callback at the end of the transaction, when what it
 * wrote has become visible to others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/inval.h"

#include "base/catalog.h"
#include "server/shmem.h"
#include "server/wakeup.h"

/* Both are false between transactions. */
static bool wakeup_requested = false;
static bool wakeup_extension_created = false;

PG_FUNCTION_INFO_V1(webhook_announce);


void
wakeup_at_commit(void)
{
	wakeup_requested = true;
}

void
wakeup_reload_at_commit(void)
{
	if (catalog_oids() != NULL)
		CacheInvalidateRelcacheByRelid(catalog_oids()->webhook);
	wakeup_requested = true;
}

/* CREATE EXTENSION calls this once, so that a worker comes as soon as it has committed. */
Datum
webhook_announce(PG_FUNCTION_ARGS)
{
	if (!shmem_available())
		ereport(WARNING,
				(errmsg("webhook is not loaded via shared_preload_libraries"),
				 errdetail("Until it is, nothing can be watched and nothing is sent."),
				 errhint("Add webhook to shared_preload_libraries in postgresql.conf and restart the server.")));
	wakeup_extension_created = true;
	PG_RETURN_VOID();
}

void
wakeup_end_transaction(bool committed)
{
	if (committed && wakeup_requested)
		shmem_wake_worker();
	if (committed && wakeup_extension_created)
		shmem_extension_created();
	wakeup_requested = wakeup_extension_created = false;
}
