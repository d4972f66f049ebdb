/*-------------------------------------------------------------------------
 *
 * replay_match.c
 *		Would a webhook be sent a message that was captured before?
 *
 * A webhook's configuration of this moment is applied to what has been kept of the
 * message: trigger name, event UID, integration, filter and condition.  Which columns
 * an update has changed is not kept.  Neither are the values before it, unless a
 * webhook wanted to be sent them; without them a condition is not evaluated for a
 * webhook that the message was for, as that met it then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/argument.h"
#include "base/catalog_event.h"
#include "capture/match.h"
#include "server/version.h"
#include "watch/active_integration.h"

PG_FUNCTION_INFO_V1(webhook_replay_matches);


static bool
replay_match_ends_with(const char *text, const char *end)
{
	size_t		len = strlen(text);

	return len > strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

/* Is the trigger name one of these, separated by commas? */
static bool
replay_match_event(const char *patterns, const char *event)
{
	char	   *rest = pstrdup(patterns);
	char	   *pattern;

	while ((pattern = strsep(&rest, ",")) != NULL)
		if (catalog_event_matches(pattern, event))
			return true;
	return false;
}

static bool
replay_match_was_for(ArrayType *webhook_ids, int64 id)
{
	Datum	   *ids;
	int			n;

	deconstruct_array(webhook_ids, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &ids, NULL, &n);
	while (n-- > 0)
		if (DatumGetInt64(ids[n]) == id)
			return true;
	return false;
}

static char *
replay_match_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* Set what is compared, as far as any webhook of the event asks for it. */
static void
replay_match_set(FunctionCallInfo fcinfo, const CatalogEvent *event, const char *name, bool was_for, Match *match)
{
	bool		of_row = DatumGetBool(argument_required(fcinfo, 8, "of_row"));
	char	   *former;

	match->payload = replay_match_text(fcinfo, 6);
	if (!event->asks_condition)
		return;
	former = replay_match_text(fcinfo, 7);
	if (of_row && replay_match_ends_with(name, ".delete"))
		match->rows = match_condition_document(NULL, match->payload);
	else if (former != NULL || !was_for || !of_row || replay_match_ends_with(name, ".create"))
		match->rows = match_condition_document(match->payload, former);
}

/*
 * replay_matches(webhook_id, events, webhook_ids, event, event_uid, profile, payload, former, of_row) returns boolean
 */
Datum
webhook_replay_matches(PG_FUNCTION_ARGS)
{
	int64		id;
	char	   *patterns;
	bool		was_for;
	char	   *name;
	const CatalogEvent *event;
	Match		match = {MATCH_ALL};
	ActiveIntegration active = {0};

	version_require();
	id = DatumGetInt64(argument_required(fcinfo, 0, "webhook_id"));
	patterns = replay_match_text(fcinfo, 1);
	was_for = replay_match_was_for(DatumGetArrayTypeP(argument_required(fcinfo, 2, "webhook_ids")), id);
	name = TextDatumGetCString(argument_required(fcinfo, 3, "event"));
	if (replay_match_ends_with(name, ".test") || (patterns != NULL && !replay_match_event(patterns, name)))
		PG_RETURN_BOOL(false);

	/* These are not subscribed to, but addressed to webhooks. */
	if (replay_match_ends_with(name, ".manual") || strncmp(name, "webhook.", 8) == 0)
		PG_RETURN_BOOL(was_for);
	event = catalog_event(name);
	if (!event->wanted)
		PG_RETURN_BOOL(false);
	match.event_uid = replay_match_text(fcinfo, 4);
	if (event->by_integration != NULL)
		active_integration_lookup(match.event_uid, replay_match_text(fcinfo, 5), &active);
	match.integration = active.integration;
	match.only = id;
	replay_match_set(fcinfo, event, name, was_for, &match);
	PG_RETURN_BOOL(match_webhooks(event, &match) != NULL);
}
