/*-------------------------------------------------------------------------
 *
 * activation.c
 *		Activating and deactivating webhooks.
 *
 * As in webhook_api.c, the webhook is locked first.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "api/activation.h"
#include "api/manage.h"
#include "base/argument.h"
#include "base/as_owner.h"
#include "base/clock.h"
#include "base/webhook_lock.h"
#include "log/xid_set.h"
#include "server/version.h"

PG_FUNCTION_INFO_V1(webhook_activate_webhook);
PG_FUNCTION_INFO_V1(webhook_deactivate_webhook);
PG_FUNCTION_INFO_V1(webhook_reactivate);

/* Let buffered messages be sent, with the full retry schedule; returns their number. */
static int64
activation_replay_buffer(int64 id)
{
	as_owner_execute_for_id("UPDATE webhook.delivery SET state = 'waiting', attempts = 0, next_attempt_at = NULL"
							" WHERE webhook_id = $1 AND state IN ('waiting', 'retrying') AND (attempts > 0 OR state = 'retrying')",
							SPI_OK_UPDATE, id);
	as_owner_execute_for_id("SELECT webhook.buffered($1)", SPI_OK_SELECT, id);
	return DatumGetInt64(as_owner_result(1));
}

/*
 * Append a row of counters and state: with messages that were dropped, and perhaps as
 * one that is not failing.  In a REPEATABLE READ transaction, too, it must follow on
 * the newest row that the worker has added, and the webhook's lock is held.
 */
static void
activation_add_health(int64 id, int64 dropped, bool well)
{
	static const char *const sql =
		"INSERT INTO webhook.health (webhook_id, seq, delivered, failed, attempts, dropped, expired, last_success_at,"
		" last_failure_at, last_error, agreed_at, allowed_rate, recorded_at, outcomes, durations, latencies, duration_us, latency_us,"
		" failures, failing_since, probes, next_probe_at, warned)"
		" SELECT w.id, COALESCE(h.seq, 0) + 1, COALESCE(h.delivered, 0), COALESCE(h.failed, 0), COALESCE(h.attempts, 0),"
		"  COALESCE(h.dropped, 0) + $2, COALESCE(h.expired, 0), h.last_success_at, h.last_failure_at, h.last_error,"
		"  h.agreed_at, h.allowed_rate, h.recorded_at, h.outcomes, h.durations, h.latencies, COALESCE(h.duration_us, 0),"
		"  COALESCE(h.latency_us, 0), COALESCE(s.failures, 0), s.failing_since, COALESCE(s.probes, 0), s.next_probe_at,"
		"  COALESCE(s.warned, 0)"
		" FROM webhook.webhook AS w LEFT JOIN webhook.current_health AS h ON h.webhook_id = w.id"
		" LEFT JOIN webhook.current_health AS s ON s.webhook_id = w.id AND NOT $3"
		" WHERE w.id = $1 AND (h.seq IS NOT NULL OR $2 > 0)";
	Oid			types[] = {INT8OID, INT8OID, BOOLOID};
	Datum		values[] = {Int64GetDatum(id), Int64GetDatum(dropped), BoolGetDatum(well)};

	as_owner_execute_snapshot(sql, SPI_OK_INSERT, 3, types, values, GetLatestSnapshot());
}

/* Delete the messages that were not delivered and have not failed permanently; returns their number. */
static int64
activation_drop_buffer(int64 id)
{
	return (int64) as_owner_execute_for_id("DELETE FROM webhook.delivery WHERE webhook_id = $1 AND state IN ('waiting', 'retrying')",
										   SPI_OK_DELETE, id);
}

/*
 * The same for messages that the worker has not read yet: those of transactions that
 * have ended by now.  What others, or this transaction, append later is sent.
 */
static void
activation_discard_unread(int64 id)
{
	Oid			types[] = {INT8OID, PG_SNAPSHOTOID};
	Datum		values[] = {Int64GetDatum(id), (Datum) 0};
	XidSet	   *ended;

	PushActiveSnapshot(GetTransactionSnapshot());
	ended = xid_set_now();
	PopActiveSnapshot();
	values[1] = xid_set_to_datum(ended);
	xid_set_release(ended);
	as_owner_execute("UPDATE webhook.webhook SET discarded = $2 WHERE id = $1",
					 SPI_OK_UPDATE, 2, types, values, NULL);
}

int64
activation_activate(int64 id, bool was_active, bool replay_events)
{
	bool		was_buffering;
	bool		replay;
	int64		dropped = 0;

	Assert(webhook_lock_is_held(id));
	manage_require_owner(id);
	as_owner_execute_for_id("SELECT buffering FROM webhook.webhook WHERE id = $1", SPI_OK_SELECT, id);
	was_buffering = DatumGetBool(as_owner_result(1));
	as_owner_execute_for_id("UPDATE webhook.webhook SET active = true, buffering = false, deactivated_at = NULL,"
							" deactivation_reason = NULL, updated_at = pg_catalog.now(),"
							" activated_at = pg_catalog.clock_timestamp() WHERE id = $1",
							SPI_OK_UPDATE, id);
	as_owner_execute_for_id("UPDATE webhook.notification SET token = NULL WHERE webhook_id = $1 AND token IS NOT NULL",
							SPI_OK_UPDATE, id);
	replay = !was_active && replay_events && was_buffering;
	if (!was_active && !replay)
	{
		dropped = activation_drop_buffer(id);
		activation_discard_unread(id);
	}
	activation_add_health(id, dropped, true);
	return replay ? activation_replay_buffer(id) : 0;
}

void
activation_deactivate(int64 id, bool buffer_events)
{
	Oid			types[] = {INT8OID, BOOLOID, TIMESTAMPTZOID};
	Datum		values[] = {Int64GetDatum(id), BoolGetDatum(buffer_events), TimestampTzGetDatum(clock_now())};

	Assert(webhook_lock_is_held(id));
	as_owner_execute("UPDATE webhook.webhook SET active = false, buffering = $2,"
					 " deactivated_at = COALESCE(deactivated_at, $3),"
					 " deactivation_reason = COALESCE(deactivation_reason, 'manual'),"
					 " updated_at = pg_catalog.now() WHERE id = $1",
					 SPI_OK_UPDATE, 3, types, values, NULL);
	if (!buffer_events)
	{
		int64		dropped = activation_drop_buffer(id);

		if (dropped > 0)
			activation_add_health(id, dropped, false);
	}
}

/*
 * activate_webhook(id, replay_events) returns bigint
 */
Datum
webhook_activate_webhook(PG_FUNCTION_ARGS)
{
	int64		id;
	bool		replay_events;
	bool		was_active;
	int64		replayed;
	RunAs		state;

	version_require();
	id = DatumGetInt64(argument_required(fcinfo, 0, "id"));
	replay_events = DatumGetBool(argument_required(fcinfo, 1, "replay_events"));

	as_owner_begin(&state);
	was_active = manage_lock_webhook(&state, id);
	replayed = activation_activate(id, was_active, replay_events);
	as_owner_end(&state);
	PG_RETURN_INT64(replayed);
}

/*
 * deactivate_webhook(id, buffer_events) returns boolean: was it active?
 */
Datum
webhook_deactivate_webhook(PG_FUNCTION_ARGS)
{
	int64		id;
	bool		buffer_events;
	bool		was_active;
	RunAs		state;

	version_require();
	id = DatumGetInt64(argument_required(fcinfo, 0, "id"));
	buffer_events = DatumGetBool(argument_required(fcinfo, 1, "buffer_events"));

	as_owner_begin(&state);
	was_active = manage_lock_webhook(&state, id);
	activation_deactivate(id, buffer_events);
	as_owner_end(&state);
	PG_RETURN_BOOL(was_active);
}

/* Look up the webhook of a token. */
static int64
activation_find_token(Datum token)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {token};

	if (as_owner_execute("SELECT n.webhook_id FROM webhook.notification n JOIN webhook.webhook w ON w.id = n.webhook_id"
						 " WHERE n.token = $1 AND NOT w.active",
						 SPI_OK_SELECT, 1, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("invalid token"),
				 errhint("A token can be used once, and only until its webhook is activated in another way.")));
	return DatumGetInt64(as_owner_result(1));
}

/*
 * reactivate(token, replay_events) returns bigint
 *
 * Any role with the token can use it, once.  It is for a link in a notification.
 */
Datum
webhook_reactivate(PG_FUNCTION_ARGS)
{
	Datum		values[1];
	bool		replay_events;
	int64		id;
	int64		replayed;
	RunAs		state;

	version_require();
	values[0] = argument_required(fcinfo, 0, "token");
	replay_events = DatumGetBool(argument_required(fcinfo, 1, "replay_events"));

	as_owner_begin(&state);
	id = activation_find_token(values[0]);
	manage_wait_for_webhook(id);
	/* Another session may have used it meanwhile. */
	id = activation_find_token(values[0]);
	replayed = activation_activate(id, false, replay_events);
	as_owner_end(&state);
	PG_RETURN_INT64(replayed);
}
