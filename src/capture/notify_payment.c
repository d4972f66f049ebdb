/*-------------------------------------------------------------------------
 *
 * notify_payment.c
 *		notify_payment(): payments that are stored in another table.
 *
 * The application calls it, usually from a trigger there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/argument.h"
#include "capture/report.h"
#include "server/shmem.h"
#include "watch/entity.h"

PG_FUNCTION_INFO_V1(webhook_notify_payment);


static void
notify_payment_report(WatchedTable *table, TupleTableSlot *slot, void *found)
{
	Change		change = {table, WATCH_UPDATE, NULL, slot};

	*(bool *) found = true;
	report_payment(&change);
}

/* notify_payment(entity_type, entity_id) returns boolean: false if there is no such entity. */
Datum
webhook_notify_payment(PG_FUNCTION_ARGS)
{
	char	   *entity_type;
	char	   *entity_id;

	shmem_require();
	PreventCommandIfReadOnly("webhook.notify_payment()");
	PreventCommandIfParallelMode("webhook.notify_payment()");
	entity_type = TextDatumGetCString(argument_required(fcinfo, 0, "entity_type"));
	entity_id = TextDatumGetCString(argument_required(fcinfo, 1, "entity_id"));
	PG_RETURN_BOOL(entity_visit(entity_type, entity_id, notify_payment_report));
}
