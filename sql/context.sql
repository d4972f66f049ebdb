-- The context of a session is stored with its changes.  Proves X6 as far as the outbox shows it;
-- webhook.dispatch = off in the test cluster keeps the messages there.
CREATE SCHEMA context_test;
SET search_path = context_test, public;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers
\set ECHO all
CREATE TABLE event (uid text PRIMARY KEY, name text);
CREATE TABLE guest (id integer PRIMARY KEY, uid text, name text);
SELECT webhook.watch('event', 'event', id => 'uid', event_uid => 'uid'),
    webhook.watch('guest', 'guest', event_uid => '(SELECT e.uid FROM context_test.event AS e WHERE e.uid = guest.uid)');
SELECT webhook.create_webhook('context', '*', 'http://127.0.0.1:9/', event_uids => 'a,b') IS NULL AS none,
    webhook.create_webhook('context', 'guest.manual', 'http://127.0.0.1:9/') AS manual \gset
INSERT INTO event VALUES ('a', 'A');
INSERT INTO guest VALUES (1, 'a', 'none');

-- The value at the time of the change counts, also with SET LOCAL and savepoints.
SET webhook.context = '{"user": "Zoë"}';
INSERT INTO guest VALUES (2, 'a', 'session');
BEGIN;
SET LOCAL webhook.context = '[1]';
SET LOCAL webhook.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
INSERT INTO guest VALUES (3, 'a', 'transaction');
SAVEPOINT s;
SET LOCAL webhook.tracestate = 'a=x"y\z,b=c';
INSERT INTO guest VALUES (4, 'a', 'savepoint'), (5, 'a', 'savepoint');
RELEASE s;
SAVEPOINT s;
SET LOCAL webhook.context = '2';
INSERT INTO guest VALUES (6, 'a', 'rolled back');
ROLLBACK TO s;
UPDATE guest SET name = 'after the savepoint' WHERE id = 5;
COMMIT;
UPDATE guest SET name = 'session again' WHERE id = 2;
RESET webhook.context;
UPDATE guest SET name = 'none again' WHERE id = 1;
SELECT payload ->> 'name' AS name, context FROM new_rows();
SELECT count(*) AS rows, count(more) AS runs FROM (SELECT * FROM webhook.outbox_0 UNION ALL SELECT * FROM webhook.outbox_1
    UNION ALL SELECT * FROM webhook.outbox_2 UNION ALL SELECT * FROM webhook.outbox_3) AS o WHERE context::text LIKE '%tracestate%';

-- A row that is captured at the end of its transaction, because its event is missing, has what was set when it was changed.
BEGIN;
SET LOCAL webhook.context = '"early"';
INSERT INTO guest VALUES (7, 'b', 'deferred');
SET LOCAL webhook.context = '"late"';
INSERT INTO event VALUES ('b', 'B');
RESET webhook.context;
INSERT INTO guest VALUES (8, 'b', 'deferred');
SET LOCAL webhook.context = '"at the end"';
COMMIT;
SELECT payload ->> 'name' AS name, context FROM new_rows();

-- A function with a setting of its own; application events and manual triggers.
CREATE FUNCTION change() RETURNS void LANGUAGE sql SET webhook.context = '{"by": "function"}' AS
    $$ UPDATE context_test.guest SET name = 'function' WHERE id = 1 $$;
SELECT change();
SET webhook.context = '{"by":"session"}';
SELECT webhook.emit('app.sent', '{}', event_uid => 'a') IS NULL AS none, webhook.fire_webhook(:manual, '1') IS NULL AS none;
SELECT event, context FROM new_rows();

-- A tracestate is meaningless without its traceparent.
RESET webhook.context;
SET webhook.tracestate = 'a=b';
UPDATE guest SET name = 'state only' WHERE id = 1;
SELECT context FROM new_rows();

-- Invalid values are rejected when they are set.
SELECT name, left(value, 60) AS value, r.* FROM (VALUES
    ('context', '{'), ('context', 'x'), ('context', '1 2'), ('context', '"' || repeat('x', 4095) || '"'),
    ('traceparent', 'x'), ('traceparent', '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01'),
    ('traceparent', '00-00000000000000000000000000000000-b7ad6b7169203331-01'), ('traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331'),
    ('tracestate', 'a'), ('tracestate', E'a=b\nX-Header: 1')) AS v (name, value),
    refused(format('SET webhook.%s = %L', name, value)) AS r;
SELECT set_config('webhook.context', '"' || repeat('x', 4094) || '"', false) IS NULL AS none;
RESET webhook.context;
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('context');
SELECT webhook.unwatch('guest'), webhook.unwatch('event');
SET client_min_messages = warning;
DROP SCHEMA context_test CASCADE;
