/*-------------------------------------------------------------------------
 *
 * verdict.c
 *		Endpoints that are to be warned of, or switched off.
 *
 * Between the failure that condemns an endpoint and the transaction that
 * switches it off somebody may have switched it off himself, or mended it.  So
 * the verdict is about one configuration, and is carried out only if that one
 * still stands in the table.  Until then nothing is sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "claim.h"
#include "clock.h"
#include "notify.h"
#include "orderkey.h"
#include "probe.h"
#include "spill.h"
#include "statement.h"
#include "verdict.h"

static MemoryContext context;
static List *condemned = NIL;	/* of Endpoint, those to be warned of included */
static bool news = false;		/* in it: not just what has had no claim so far */


void
verdict_init(MemoryContext dispatch_context)
{
	context = dispatch_context;
}

static void
list_endpoint(Endpoint *endpoint)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	condemned = list_append_unique_ptr(condemned, endpoint);
	news = true;
	MemoryContextSwitchTo(old);
}

void
verdict_warn(Endpoint *endpoint, int percent)
{
	endpoint->warning = percent;
	list_endpoint(endpoint);
}

void
verdict_switch_off(Endpoint *endpoint, const char *reason, TimestampTz as_of)
{
	endpoint->deactivate = reason;
	endpoint->deactivate_as_of = as_of;
	probe_plan(endpoint);
	list_endpoint(endpoint);
}

void
verdict_punish(int64 webhook_id)
{
	Endpoint   *endpoint = endpoint_get(webhook_id);

	verdict_switch_off(endpoint, "transform", endpoint->updated_at);
}

void
verdict_find_orphans(void)
{
	static Statement orphans = {
		"SELECT w.id FROM webhook.webhook AS w WHERE w.active"
		" AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = w.owner)",
		0
	};
	uint64		n = statement_execute(&orphans, NULL, NULL);
	int64	   *ids = palloc(Max(n, 1) * sizeof(int64));
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
		ids[i] = DatumGetInt64(statement_value(i, 1, &isnull));
	for (uint64 i = 0; i < n; i++)
		verdict_switch_off(endpoint_get(ids[i]), "owner", DT_NOBEGIN);
	pfree(ids);
}

bool
verdict_to_save(TimestampTz now)
{
	return condemned != NIL && (news || claim_limited() || now >= claim_next_try());
}

TimestampTz
verdict_next_save(void)
{
	return condemned != NIL ? claim_next_try() : DT_NOEND;
}

/* False if somebody else has been there before. */
static bool
switch_off(Endpoint *endpoint)
{
	if (!notify_deactivate(endpoint, endpoint->deactivate, endpoint->deactivate_as_of))
		return false;
	endpoint->active = false;
	endpoint->buffering = true;
	endpoint->deactivated_at = clock_now();
	orderkey_unblock_all(endpoint->id);
	return true;
}

/* Its configuration is another one by now; it goes on as that says. */
static void
acquit(Endpoint *endpoint)
{
	/* What was committed before we got the claim has been announced. */
	AcceptInvalidationMessages();
	endpoint_refresh(endpoint);
	if (endpoint->exists && endpoint->active)
		spill_start_backlog(endpoint);
}

/* False: somebody else has a claim on it, or has locked the notifications. */
static bool
carry_out(Endpoint *endpoint)
{
	const char *reason = endpoint->deactivate;

	if (!notify_possible() || !claim_try(endpoint->id))
		return false;
	if (reason != NULL)
	{
		bool		done = endpoint->exists && endpoint->active && switch_off(endpoint);

		endpoint->deactivate = NULL;
		if (!done)
			acquit(endpoint);
		probe_plan(endpoint);
	}
	else if (endpoint->exists && endpoint->active)
		notify_warning(endpoint, endpoint->warning);
	endpoint->warning = 0;
	return true;
}

void
verdict_save(void)
{
	List	   *all = condemned;
	ListCell   *lc;

	condemned = NIL;
	foreach(lc, all)
		if (!carry_out(lfirst(lc)))
			list_endpoint(lfirst(lc));
	list_free(all);
	news = false;
}
