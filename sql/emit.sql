-- emit(): application events.
-- Proves M5, R6 and the writing half of E1, E5, I6, W1 and W8 for messages without a row.
CREATE SCHEMA emit_test;
SET search_path = emit_test;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

CREATE FUNCTION new_messages(OUT event text, OUT type text, OUT entity_id json, OUT uid text, OUT profile text, OUT webhooks text, OUT payload text)
    RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
    SELECT event, entity_type, entity_id, event_uid, profile, receivers(webhook_ids), left(payload::text, 300) FROM new_rows()
$$;

-- No webhook subscribes: an id, but nothing is written.
SELECT length(webhook.emit('optin_finalized', '{}')) AS length_of_id;
SELECT * FROM new_messages();

SELECT count(webhook.create_webhook('emit', event, 'http://127.0.0.1:9/', name => event)) FROM unnest(ARRAY[
    'optin_finalized,optout_finalized,profilemanager_finalized', 'order.*', 'order.paid', 'order.paid.*', '*']) AS event;
SELECT webhook.create_webhook('emit', 'order.*', 'http://127.0.0.1:9/', name => 'party', event_uids => 'party,ball') > 0;
SELECT webhook.create_webhook('emit', 'order.*', 'http://127.0.0.1:9/', name => 'large', filter => '{"size": "L"}') > 0;
SELECT webhook.create_webhook('emit', 'order.*', 'http://127.0.0.1:9/', name => 'price', columns => '{price}') > 0;

-- M5: the example of the first product, except for the order of the keys, which jsonb does not preserve.
SELECT webhook.emit('optin_finalized', '{"id":371,"optinsetup_id":60,"subscriber_id":6049065,"fields":[{"id":1,"value":"max.muster@example.com"}],"lists":[{"id":1,"value":1},{"id":3,"value":0}],"activate_at":"2025-11-11 09:27:29"}') AS message_id \gset
SELECT message_id::text = :'message_id' AS same_id,
       payload::jsonb = '{"id":371,"optinsetup_id":60,"subscriber_id":6049065,"fields":[{"id":1,"value":"max.muster@example.com"}],"lists":[{"id":1,"value":1},{"id":3,"value":0}],"activate_at":"2025-11-11 09:27:29"}' AS same_payload,
       position(' ' IN replace(payload::text, '11 09', '')) = 0 AS compact,
       get_byte(uuid_send(message_id), 6) / 16 AS uuid_version
  FROM webhook.outbox WHERE message_id = :'message_id';
SELECT event, type, entity_id, webhooks FROM new_messages();

-- Wildcards, event UIDs, filters; columns restrict updates of rows alone.
SELECT count(webhook.emit(event => 'order.paid', payload => '{"size": "L"}', entity_id => '7"', event_uid => 'party', profile => 'p'));
SELECT count(webhook.emit('order.paid.late', '{"size": "S"}', event_uid => 'part'));
SELECT count(webhook.emit('order', '[]', event_uid => 'party'));
SELECT count(webhook.emit('ordered', 'null'));
SELECT count(webhook.emit('Order.Paid', '"order.paid"'));
SELECT count(webhook.emit('webhooks', '1.50'));
SELECT * FROM new_messages();

-- JSON is passed on without blanks outside strings.
SELECT count(webhook.emit('x', '{"a b": " \" \\ , : ", "c": [1, 2, {"d" : null}], "ü\u00e9\t\u2028": true}'));
SELECT * FROM new_messages();
SELECT count(webhook.emit('x', jsonb_build_object('big', repeat('x y', 350000))));
SELECT length(payload::text) FROM webhook.outbox ORDER BY id DESC LIMIT 1;
SELECT event, left(payload, 20) FROM new_messages();

-- W1: the transaction decides, and every savepoint.
BEGIN;
SELECT count(webhook.emit('x', '1'));
SAVEPOINT a;
SELECT count(webhook.emit('x', '2'));
SAVEPOINT b;
SELECT count(webhook.emit('x', '3'));
ROLLBACK TO a;
SELECT count(webhook.emit('x', '4'));
SAVEPOINT c;
SELECT count(webhook.emit('x', '5'));
RELEASE c;
COMMIT;
BEGIN;
SELECT count(webhook.emit('x', '6'));
ROLLBACK;
SELECT event, payload FROM new_messages();

-- More of them than fit into a batch, in small subtransactions, every third of which is rolled back.
DO $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        BEGIN
            PERFORM webhook.emit('x', to_jsonb(i));
            IF i % 3 = 0 THEN
                RAISE EXCEPTION 'undo';
            END IF;
        EXCEPTION WHEN raise_exception THEN
        END;
    END LOOP;
END
$$;
SELECT count(*), count(DISTINCT o.payload) AS different, bool_and(o.payload::integer % 3 <> 0) AS committed_ones FROM new_messages() AS o;

-- The longest name.
SELECT count(webhook.emit(repeat('n', 200), '{}'));
SELECT length(event) FROM new_messages();

-- Each allowed character at any position.
SELECT count(webhook.emit(name, '{}')) FROM unnest(ARRAY['.a', 'a.', 'a..b', '_', '1.2']) AS name;
SELECT event, type FROM new_messages();

-- Refusals
SELECT r.* FROM unnest(ARRAY[
    $$SELECT webhook.emit(NULL, '{}')$$,
    $$SELECT webhook.emit('', '{}')$$,
    $$SELECT webhook.emit('a b', '{}')$$,
    $$SELECT webhook.emit('a-b', '{}')$$,
    $$SELECT webhook.emit('a.*', '{}')$$,
    $$SELECT webhook.emit(E'a\r\nb', '{}')$$,
    $$SELECT webhook.emit('grüße', '{}')$$,
    $$SELECT webhook.emit(repeat('n', 201), '{}')$$,
    $$SELECT webhook.emit(repeat('n', 1000000), '{}')$$,
    $$SELECT webhook.emit('webhook.own', '{}')$$,
    $$SELECT webhook.emit('x', NULL)$$]) AS command, refused(command) AS r;
SELECT r.code, r.message FROM unnest(ARRAY[
    $$SELECT webhook.emit('x', 'no json')$$,
    $$SELECT webhook.emit('x')$$]) AS command, refused(command) AS r;
BEGIN READ ONLY;
SELECT webhook.emit('x', '{}');
ROLLBACK;
SELECT * FROM new_messages();

SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('emit');
DROP SCHEMA emit_test CASCADE;
