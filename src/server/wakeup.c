/*-------------------------------------------------------------------------
 *
 * wakeup.c
 *		Waking the worker when a transaction commits.
 *
 * The latch is set by a callback at the end of the transaction, when its changes
 * have become visible.  A rollback of a savepoint does not undo a request: a worker
 * that is woken in vain does no harm.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "base/catalog.h"
#include "server/shmem.h"
#include "server/wakeup.h"

/* All are false between transactions. */
static bool wakeup_requested = false;
static bool wakeup_extension_created = false;
static bool wakeup_extension_dropped = false;

PG_FUNCTION_INFO_V1(webhook_announce);
PG_FUNCTION_INFO_V1(webhook_config_changed);


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

void
wakeup_extension_dropped_at_commit(void)
{
	wakeup_extension_dropped = true;
}

/* Statement trigger on configuration tables: invalidates the caches of all processes at commit. */
Datum
webhook_config_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called as a trigger", "webhook.config_changed")));
	CacheInvalidateRelcache(trigger->tg_relation);
	wakeup_at_commit();
	PG_RETURN_POINTER(NULL);
}

/* Called by CREATE EXTENSION, so that a worker is started when it commits. */
Datum
webhook_announce(PG_FUNCTION_ARGS)
{
	if (!shmem_available())
		ereport(WARNING,
				(errmsg("webhook is not loaded via shared_preload_libraries"),
				 errdetail("Without that, no tables can be watched and nothing is sent."),
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
	if (committed && wakeup_extension_dropped)
		shmem_extension_dropped();
	wakeup_requested = wakeup_extension_created = wakeup_extension_dropped = false;
}
