-- How failures are handled, as far as no receiver is needed: webhook.dispatch is off here.
--
-- Mission: M3 M7 M8 M9, E6 E7, W10 W11 W12; R6: bad input.

\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE failure_owner;
CREATE ROLE failure_other;
GRANT USAGE ON SCHEMA webhook TO failure_owner, failure_other;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO failure_owner, failure_other;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
RESET client_min_messages;
SELECT last_value AS last_id, is_called AS called FROM webhook.webhook_id_seq \gset
ALTER SEQUENCE webhook.webhook_id_seq RESTART 4711;

-- Invalid schedules and limits (W4, W10)

SET ROLE failure_owner;
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', retry_schedule => ARRAY['0', '-1 s']::interval[]);
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', retry_schedule => ARRAY['0', '1000 years']::interval[]);
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', retry_schedule => ARRAY['0', NULL]::interval[]);
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', retry_schedule => '{}');
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', retry_schedule => array_fill('1 s'::interval, ARRAY[33]));
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', retry_schedule => ARRAY[ARRAY['1 s'], ARRAY['2 s']]::interval[]);
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', timeout => '0');
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', timeout => '1 day');
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', rate_limit => 0);
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', rate_limit => -1);
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', max_in_flight => 0);
SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', ordering => 'random');
SELECT count(*) AS stored FROM webhook.get_webhooks();

SELECT webhook.create_webhook('f', 'thing.done', 'http://127.0.0.1/', name => 'first') AS id \gset
SELECT webhook.update_webhook(:id, '{"rate_limit": 0}');
SELECT webhook.update_webhook(:id, '{"retry_schedule": ["0", "-5 s"]}');
SELECT webhook.update_webhook(:id, '{"max_in_flight": 0}');

-- Webhooks that do not exist, or belong to another role (M3, E6, W11)

SELECT webhook.activate_webhook(0);
SELECT webhook.deactivate_webhook(-1);
SELECT webhook.test_webhook(0);
SELECT webhook.test_webhook(NULL);
SELECT webhook.redeliver(0, gen_random_uuid()::text);
SELECT webhook.redeliver(:id, 'nonsense');
SELECT webhook.redeliver(:id, NULL);
SELECT webhook.redeliver(:id, '00000000-0000-7000-8000-000000000000');
SELECT webhook.reactivate('nonsense');
SELECT webhook.reactivate('');
SELECT webhook.reactivate(NULL);
SELECT webhook.activate_webhook(:id, NULL);
SELECT webhook.deactivate_webhook(:id, NULL);
SELECT webhook.test_webhook(:id, 'no such entity');
SET ROLE failure_other;
SELECT webhook.activate_webhook(:id) IS NULL;
SELECT webhook.deactivate_webhook(:id);
SELECT webhook.test_webhook(:id);
SELECT webhook.redeliver(:id, '00000000-0000-7000-8000-000000000000');
SELECT count(*) FROM webhook.get_webhook_log(:id);
SELECT * FROM webhook.notification;
SELECT * FROM webhook.delivery;
SELECT * FROM webhook.health;
SELECT * FROM webhook.undelivered;
SELECT * FROM webhook.stat_webhooks;
RESET ROLE;

-- What is shown of pending messages (W12)

SET ROLE failure_owner;
SELECT webhook.emit('thing.done', '{"n": 1}', 'a') AS message \gset
SELECT webhook.redeliver(:id, :'message') AS on_its_way_anyhow;
RESET ROLE;
SELECT webhook.pending(:id), webhook.pending(0);
SELECT webhook_id = :id AS this, message_id = :'message' AS message, event, entity_id, attempts, next_attempt_at, last_error, state
    FROM webhook.undelivered WHERE webhook_id = :id;
SELECT webhook_id = :id AS this, delivered, failed, attempts, pending, retrying, buffered, dropped,
       oldest_pending_age >= '0' AS age, last_success_at, last_failure_at, last_error, failing_since
    FROM webhook.stat_webhooks WHERE webhook_id = :id;
SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'webhook' AND table_name = 'notification' ORDER BY ordinal_position;
SELECT count(*) FROM webhook.notification WHERE webhook_id = :id;

-- Deliveries as the worker would leave them: one of each state, of an active webhook and of a deactivated one (M9)

INSERT INTO webhook.delivery (webhook_id, id, message_id, event, entity_id, payload, created_at, order_key, attempts, state,
                              next_attempt_at, last_error)
    SELECT :id, 1000000 + i, gen_random_uuid(), 'thing.done', to_json(i), '{}', '2025-01-01', 0, i,
           (ARRAY['waiting', 'retrying', 'failed'])[i], CASE i WHEN 2 THEN timestamptz '2100-01-01' END, 'HTTP status 500'
    FROM generate_series(1, 3) i;
SELECT entity_id, attempts, state, next_attempt_at IS NOT NULL AS planned, last_error FROM webhook.undelivered WHERE webhook_id = :id ORDER BY 1;
SELECT pending, retrying, buffered FROM webhook.stat_webhooks WHERE webhook_id = :id;
SET ROLE failure_owner;
SELECT pending, buffered FROM webhook.get_webhooks();
SELECT webhook.deactivate_webhook(:id, buffer_events => true);
SELECT webhook.deactivate_webhook(:id, buffer_events => true);
SELECT pending, buffered, active, deactivation_reason FROM webhook.get_webhooks();
SELECT webhook.redeliver(:id, :'message');
RESET ROLE;
SELECT entity_id, attempts, state FROM webhook.undelivered WHERE webhook_id = :id ORDER BY 1;
SELECT pending, retrying, buffered, oldest_pending_age FROM webhook.stat_webhooks WHERE webhook_id = :id;
SELECT webhook.pending(:id);

-- Replay: with the full retry schedule again, not what has failed for good (M3, W11)

SET ROLE failure_owner;
SELECT webhook.activate_webhook(:id, replay_events => true) AS will_be_sent;
SELECT webhook.activate_webhook(:id, replay_events => true) AS it_is_active;
RESET ROLE;
SELECT entity_id, attempts, state, next_attempt_at FROM webhook.undelivered WHERE webhook_id = :id ORDER BY 1;
SELECT message_id AS failed FROM webhook.undelivered WHERE webhook_id = :id AND state = 'failed' \gset
SET ROLE failure_owner;
SELECT webhook.redeliver(:id, :'failed');
SELECT webhook.redeliver(:id, :'failed') AS on_its_way_anyhow;
RESET ROLE;
SELECT entity_id, attempts, state FROM webhook.undelivered WHERE message_id = :'failed';

-- No replay: dropped, and counted (M3)

SET ROLE failure_owner;
SELECT webhook.deactivate_webhook(:id, buffer_events => true);
SELECT webhook.activate_webhook(:id, replay_events => false) AS will_be_sent;
RESET ROLE;
SELECT dropped, buffered FROM webhook.stat_webhooks WHERE webhook_id = :id;
SELECT count(*) FROM webhook.delivery WHERE webhook_id = :id;

-- Tokens (M8): they work once, for any role, until the webhook is activated in another way

SET ROLE failure_owner;
SELECT webhook.deactivate_webhook(:id, buffer_events => true);
RESET ROLE;
INSERT INTO webhook.notification (webhook_id, kind, message, token) VALUES (:id, 'deactivated', 'switched off', 'secret-one');
SET ROLE failure_other;
SELECT webhook.reactivate('secret-one');
SELECT webhook.reactivate('secret-one');
SET ROLE failure_owner;
SELECT active, deactivated_at, deactivation_reason FROM webhook.get_webhooks();
SELECT webhook.deactivate_webhook(:id);
RESET ROLE;
INSERT INTO webhook.notification (webhook_id, kind, message, token) VALUES (:id, 'deactivated', 'switched off', 'secret-two');
SET ROLE failure_owner;
SELECT webhook.activate_webhook(:id);
SELECT webhook.reactivate('secret-two');
RESET ROLE;
SELECT kind, token FROM webhook.notification WHERE webhook_id = :id ORDER BY id;

-- A test call shows a record, or an empty object if there is none (E6)

SET ROLE failure_owner;
SELECT webhook.test_webhook(:id) ~ '^[0-9a-f-]{36}$' AS message_id;
RESET ROLE;
SELECT event, entity_type, entity_id, payload, webhook_ids = ARRAY[:id::bigint] AS this_one_alone
    FROM webhook.outbox ORDER BY id DESC LIMIT 1;

-- C26: if two types have this id, the type that is specified, even if the webhook does not subscribe to it
CREATE TABLE failure_event (id int PRIMARY KEY, title text);
CREATE TABLE failure_guest (id int PRIMARY KEY, name text);
CREATE TABLE failure_user (id int PRIMARY KEY, login text);
SELECT webhook.watch('failure_event', 'failure_event'), webhook.watch('failure_guest', 'failure_guest'), webhook.watch('failure_user', 'failure_user');
INSERT INTO failure_event VALUES (1, 'Gala');
INSERT INTO failure_guest VALUES (1, 'Ada'), (2, 'Max');
INSERT INTO failure_user VALUES (7, 'me');
SELECT webhook.create_webhook('types', 'failure_event.*,failure_guest.*', 'http://127.0.0.1/') AS types \gset
SELECT count(webhook.test_webhook(:types, entity_id, entity_type)) FROM (VALUES ('1', NULL), ('1', 'failure_guest'), (NULL, 'failure_guest'),
    ('7', 'failure_user'), (NULL, 'failure_user')) AS v (entity_id, entity_type);
SELECT event, entity_type, entity_id, payload FROM webhook.outbox WHERE webhook_ids = ARRAY[:types::bigint] ORDER BY id;
SELECT webhook.test_webhook(:types, '7');
SELECT webhook.test_webhook(:types, '1', 'failure_user');
SELECT webhook.test_webhook(:types, '1', 'nothing');
SELECT webhook.delete_webhook_by_id(:types);
DROP TABLE failure_event, failure_guest, failure_user;

-- The log is visible to the webhook's owner, and has at most ten entries (E7)

INSERT INTO webhook.log (webhook_id, seq, attempted_at, message_id, event, attempt, method, url, duration, outcome)
    SELECT :id, i, now() + CASE i WHEN 20 THEN interval '1 s' ELSE '0' END, gen_random_uuid(), 'thing.done', i, 'POST',
           'http://127.0.0.1/', '1 ms', 'delivered'
    FROM generate_series(13, 20) i;
INSERT INTO webhook.log_1 (webhook_id, seq, attempted_at, message_id, event, attempt, method, url, duration, outcome)
    SELECT :id, i, now(), gen_random_uuid(), 'thing.done', i, 'POST', 'http://127.0.0.1/', '1 ms', 'delivered'
    FROM generate_series(21, 25) i;
SET ROLE failure_owner;
SELECT string_agg(attempt::text, ' ') AS newest_first FROM webhook.get_webhook_log(:id);
RESET ROLE;

-- Monitoring does not scan a large outbox that has been processed (W12)

INSERT INTO webhook.outbox_0 (id, xid, message_id, event, webhook_ids, payload, created_at)
    SELECT i, '3', gen_random_uuid(), 'thing.done', ARRAY[:id::bigint], '{}', now() FROM generate_series(1, 20000) i;
BEGIN;
SELECT webhook.pending() >= 0 AS counted;
SELECT count(*) >= 0 AS counted FROM webhook.undelivered;
SELECT count(*) AS this FROM webhook.stat_webhooks WHERE webhook_id = :id;
SELECT pg_stat_get_xact_tuples_returned('webhook.outbox_0'::regclass) < 20000 AS no_scan;
COMMIT;

-- Everything is deleted with the webhook

SET ROLE failure_owner;
SELECT webhook.delete_webhook_by_id(:id);
SELECT webhook.delete_webhook_by_id(:id);
RESET ROLE;
SELECT FROM webhook.delivery WHERE webhook_id = :id UNION ALL SELECT FROM webhook.health WHERE webhook_id = :id
    UNION ALL SELECT FROM webhook.log WHERE webhook_id = :id UNION ALL SELECT FROM webhook.notification WHERE webhook_id = :id;

-- Settings

ALTER SYSTEM SET webhook.retry_schedule = '0, -5s';
ALTER SYSTEM SET webhook.retry_schedule = 'soon';
ALTER SYSTEM SET webhook.reactivation_url = 'https://ops.example/';
\set VERBOSITY sqlstate
ALTER SYSTEM SET webhook.buffer_retention = '-1';		-- the limits have units since PostgreSQL 17
ALTER SYSTEM SET webhook.failed_retention = '-1';
\set VERBOSITY default
ALTER SYSTEM SET webhook.max_connections = 0;
SET webhook.clock_offset = 5;

DELETE FROM webhook.outbox_0 WHERE xid = '3';
SELECT setval('webhook.webhook_id_seq', :last_id, :'called') = :last_id AS as_before;
DROP OWNED BY failure_owner, failure_other;
DROP ROLE failure_owner, failure_other;
