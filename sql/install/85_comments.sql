-- Comments on the columns of views and tables for users.

COMMENT ON SCHEMA webhook IS 'webhooks: what changes in this database is sent over HTTP';

COMMENT ON COLUMN webhook.stat_webhooks.webhook_id IS 'id of the webhook';
COMMENT ON COLUMN webhook.stat_webhooks.app IS 'the application that it was created for';
COMMENT ON COLUMN webhook.stat_webhooks.name IS 'its name for people';
COMMENT ON COLUMN webhook.stat_webhooks.active IS 'false: deactivated, nothing is sent';
COMMENT ON COLUMN webhook.stat_webhooks.delivered IS 'messages that the receiver has accepted';
COMMENT ON COLUMN webhook.stat_webhooks.failed IS 'messages that have failed permanently';
COMMENT ON COLUMN webhook.stat_webhooks.attempts IS 'attempts to deliver; test calls and handshakes do not count';
COMMENT ON COLUMN webhook.stat_webhooks.pending IS 'committed messages that are not delivered yet; see estimated';
COMMENT ON COLUMN webhook.stat_webhooks.retrying IS 'those of them that have failed and will be tried again';
COMMENT ON COLUMN webhook.stat_webhooks.buffered IS 'messages buffered while it is deactivated; see estimated';
COMMENT ON COLUMN webhook.stat_webhooks.dropped IS 'messages not buffered while it was deactivated, or dropped by its transform';
COMMENT ON COLUMN webhook.stat_webhooks.oldest_pending_age IS 'how long the oldest pending message has waited, or at least has if estimated';
COMMENT ON COLUMN webhook.stat_webhooks.last_success_at IS 'when the receiver last accepted a message';
COMMENT ON COLUMN webhook.stat_webhooks.last_failure_at IS 'when an attempt last failed';
COMMENT ON COLUMN webhook.stat_webhooks.last_error IS 'the error of that attempt';
COMMENT ON COLUMN webhook.stat_webhooks.failing_since IS 'since when every attempt has failed; null: it is not failing';
COMMENT ON COLUMN webhook.stat_webhooks.next_probe_at IS 'when a failing webhook is tried again';
COMMENT ON COLUMN webhook.stat_webhooks.agreed_at IS 'when the receiver agreed in a handshake';
COMMENT ON COLUMN webhook.stat_webhooks.allowed_rate IS 'requests per minute that the receiver allows; null: any';
COMMENT ON COLUMN webhook.stat_webhooks.expired IS 'failed messages that were removed after webhook.failed_retention';
COMMENT ON COLUMN webhook.stat_webhooks.estimated IS
    'true: there is so much that pending, retrying, buffered and dead_letters are estimates; webhook.pending() counts';
COMMENT ON COLUMN webhook.stat_webhooks.dead_letters IS 'messages that have failed for good and can be delivered again; see estimated';
COMMENT ON COLUMN webhook.stat_webhooks.outcomes IS 'attempts by outcome, in the order of attempt_outcomes()';
COMMENT ON COLUMN webhook.stat_webhooks.durations IS 'a histogram of how long attempts took; histogram_bounds() has its bounds';
COMMENT ON COLUMN webhook.stat_webhooks.latencies IS 'a histogram of the times from change to delivery';
COMMENT ON COLUMN webhook.stat_webhooks.duration_us IS 'the sum of durations, in microseconds';
COMMENT ON COLUMN webhook.stat_webhooks.latency_us IS 'the sum of latencies, in microseconds';
COMMENT ON COLUMN webhook.stat_webhooks.probes IS 'attempts of its schedule that a failing webhook has used up';

COMMENT ON COLUMN webhook.stat_webhooks_history.webhook_id IS 'id of the webhook';
COMMENT ON COLUMN webhook.stat_webhooks_history.app IS 'the application that it was created for';
COMMENT ON COLUMN webhook.stat_webhooks_history.name IS 'its name for people';
COMMENT ON COLUMN webhook.stat_webhooks_history.period IS 'minute or hour';
COMMENT ON COLUMN webhook.stat_webhooks_history.since IS 'when the period began; those in which nothing was done are left out';
COMMENT ON COLUMN webhook.stat_webhooks_history.delivered IS 'messages that the receiver has accepted';
COMMENT ON COLUMN webhook.stat_webhooks_history.failed IS 'messages that have failed permanently';
COMMENT ON COLUMN webhook.stat_webhooks_history.attempts IS 'attempts to deliver';
COMMENT ON COLUMN webhook.stat_webhooks_history.dropped IS 'messages not buffered while it was deactivated, or dropped by its transform';
COMMENT ON COLUMN webhook.stat_webhooks_history.outcomes IS 'attempts by outcome';
COMMENT ON COLUMN webhook.stat_webhooks_history.duration_p50 IS 'half of the attempts took no longer; like all of these, estimated from a histogram';
COMMENT ON COLUMN webhook.stat_webhooks_history.duration_p90 IS 'the same for nine tenths';
COMMENT ON COLUMN webhook.stat_webhooks_history.duration_p99 IS 'the same for 99 of 100';
COMMENT ON COLUMN webhook.stat_webhooks_history.latency_p50 IS 'half of what was delivered was delivered within this time after the change';
COMMENT ON COLUMN webhook.stat_webhooks_history.latency_p90 IS 'the same for nine tenths';
COMMENT ON COLUMN webhook.stat_webhooks_history.latency_p99 IS 'the same for 99 of 100';
COMMENT ON COLUMN webhook.stat_webhooks_history.durations IS 'the histogram of attempts; histogram_bounds() has its bounds';
COMMENT ON COLUMN webhook.stat_webhooks_history.latencies IS 'the histogram of deliveries';

COMMENT ON COLUMN webhook.undelivered.webhook_id IS 'id of the webhook';
COMMENT ON COLUMN webhook.undelivered.message_id IS 'id of the message, the header webhook-id';
COMMENT ON COLUMN webhook.undelivered.event IS 'trigger name';
COMMENT ON COLUMN webhook.undelivered.entity_id IS 'id of the entity';
COMMENT ON COLUMN webhook.undelivered.attempts IS 'attempts so far';
COMMENT ON COLUMN webhook.undelivered.next_attempt_at IS 'when the next attempt is due, if that is known';
COMMENT ON COLUMN webhook.undelivered.last_error IS 'the error of the last attempt, or why nothing was sent';
COMMENT ON COLUMN webhook.undelivered.state IS
    'pending: not read by the worker yet; waiting; retrying: has failed and is tried again; failed: permanently; buffered: the webhook is deactivated';
COMMENT ON COLUMN webhook.undelivered.created_at IS 'when the message was captured';

COMMENT ON COLUMN webhook.message_history.message_id IS 'id of the message, the header webhook-id';
COMMENT ON COLUMN webhook.message_history.event IS 'trigger name';
COMMENT ON COLUMN webhook.message_history.entity_type IS 'type of the entity';
COMMENT ON COLUMN webhook.message_history.entity_id IS 'id of the entity';
COMMENT ON COLUMN webhook.message_history.event_uid IS 'UID of the event that it belongs to, if a webhook needed it';
COMMENT ON COLUMN webhook.message_history.payload IS 'the record as it was captured, before forms, mappings and transforms';
COMMENT ON COLUMN webhook.message_history.created_at IS 'when it was captured';
COMMENT ON COLUMN webhook.message_history.webhook_ids IS 'the webhooks that it was for';

COMMENT ON COLUMN webhook.notification.id IS 'id of the notification';
COMMENT ON COLUMN webhook.notification.webhook_id IS 'the webhook that it is about, if there is one';
COMMENT ON COLUMN webhook.notification.kind IS 'failing, deactivated, message_failed, history, proxy, withheld, form, watched_table, api_key_age';
COMMENT ON COLUMN webhook.notification.message IS 'what has happened, for people';
COMMENT ON COLUMN webhook.notification.token IS 'for webhook.reactivate(), once; null when it is of no use any more';
COMMENT ON COLUMN webhook.notification.created_at IS 'when it happened';
COMMENT ON COLUMN webhook.notification.read_at IS 'may be set by operators';

COMMENT ON COLUMN webhook.stat_workers.database IS 'name of the database';
COMMENT ON COLUMN webhook.stat_workers.pid IS 'process id of its worker; null: it has none';
COMMENT ON COLUMN webhook.stat_workers.state IS 'served: it has a worker, resting: there is nothing to do and no worker, waiting: for its turn, backoff: its worker has failed';
COMMENT ON COLUMN webhook.stat_workers.activity IS 'what the worker is doing; foreign: it waits for webhook.adopt(), paused: webhook.dispatch is off, leaving: it makes room for another database';
COMMENT ON COLUMN webhook.stat_workers.in_flight IS 'requests that are under way';
COMMENT ON COLUMN webhook.stat_workers.delivered IS 'messages delivered since the server was started';
COMMENT ON COLUMN webhook.stat_workers.failed IS 'messages that have failed permanently since the server was started';
COMMENT ON COLUMN webhook.stat_workers.restart_at IS 'when the next worker is started, if nothing happens before; null: not known';
COMMENT ON COLUMN webhook.stat_workers.last_error IS 'why the last worker has ended; shown in its own database only';
COMMENT ON COLUMN webhook.stat_workers.since IS 'since when it has been in this state';
COMMENT ON COLUMN webhook.stat_workers.condition_errors IS 'how often since the server was started a condition could not be judged for a change';
COMMENT ON COLUMN webhook.stat_workers.proxy_failing_since IS 'since when deliveries have been waiting for webhook.proxy; null: it works, or there is none';

COMMENT ON COLUMN webhook.withheld.webhook_id IS 'id of the webhook';
COMMENT ON COLUMN webhook.withheld.relation IS 'the watched table';
COMMENT ON COLUMN webhook.withheld.problem IS 'why its owner is not sent rows or columns of it';
COMMENT ON COLUMN webhook.withheld.columns IS 'the columns that are left out; null: whole rows are withheld';
COMMENT ON COLUMN webhook.withheld.since IS 'since when';
