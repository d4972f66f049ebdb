-- The API with its keys, the menu of manual actions, REST hooks, and payments in another table.
-- Proves I16, I8, I2 (the same JSON as the webhook's), I3 and I10 (get_manual_actions), I12 (notify_payment), M10.
CREATE SCHEMA restapi_test;
SET search_path = restapi_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

CREATE TYPE mood AS ENUM ('happy', 'sad');
CREATE TABLE event (uid text PRIMARY KEY, title text, profile text NOT NULL, starts timestamptz);
CREATE TABLE guest (uid uuid PRIMARY KEY, event_uid text REFERENCES event, n int, big bigint, num numeric, f float8, t text, b boolean, d date,
                    ts timestamptz, iv interval, j json, jb jsonb, a text[], m mood, by bytea, gone boolean DEFAULT false, secret text DEFAULT 'secret');
CREATE TABLE payment (guest uuid REFERENCES guest ON DELETE CASCADE, amount numeric);
SELECT webhook.watch('event', 'event', event_uid => 'uid', profile => 'profile');
SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid', profile => '(SELECT e.profile FROM event e WHERE e.uid = event_uid)',
    paid => 'EXISTS (SELECT FROM payment p WHERE p.guest = uid)', deleted => 'gone', exclude => '{secret}');
SELECT webhook.create_integration('api') AS key \gset
SELECT webhook.connect_profile('api', 'shown', true), webhook.connect_profile('api', 'hidden');
SELECT webhook.create_webhook('rest', 'guest.*,event.*', 'http://127.0.0.1:1/', format => 'rest', name => 'All') AS rest_id \gset

INSERT INTO event VALUES ('e1', 'Gala', 'shown', '2025-06-01'), ('e2', 'Fair', 'shown', NULL), ('h1', 'Board', 'hidden', NULL), ('x1', 'Other', 'x', NULL);
SELECT setseed(0.5);
INSERT INTO guest
SELECT gen_random_uuid(), (ARRAY['e1', 'e2', 'h1', NULL])[1 + i % 4], (random() * 1e9)::int, (random() * 1e18)::bigint,
       CASE WHEN i % 5 > 0 THEN (random() * 1e6)::numeric(20, 7) END, random() * 10 ^ (i % 30 - 15), repeat(chr(1 + (random() * 300)::int), i % 7) || '"\' || i,
       i % 2 = 0, '2025-01-01'::date + i, now() + i * interval '7 h', i * interval '1 h 3 s',
       format('{"z" : %s, "a":[1, {"k":"v"}]}', i)::json, jsonb_build_object('k', i, 'n', NULL), ARRAY['x', NULL, i::text],
       CASE WHEN i % 3 = 0 THEN 'happy'::mood END, decode(md5(i::text), 'hex')
FROM generate_series(1, 200) AS i;
UPDATE guest SET gone = true WHERE n % 10 = 0;

--
-- I16, I2: the API returns exactly what was sent last.
--
CREATE VIEW last_sent AS
    SELECT DISTINCT ON (o.entity_id #>> '{}') o.entity_id #>> '{}' AS uid, o.event, o.event_uid, o.payload::jsonb AS payload
    FROM webhook.outbox AS o WHERE o.entity_type = 'guest' ORDER BY o.entity_id #>> '{}', o.id DESC;
SELECT count(*) = (webhook.get_attendees(:'key')->'meta'->>'total')::int AS total_right,
       bool_and(webhook.get_attendees(:'key', guest_uid => uid) = jsonb_build_object('data', jsonb_build_array(payload), 'meta', '{"total": 1}'::jsonb)) AS same,
       count(*) > 50 AS many
FROM last_sent WHERE event <> 'guest.delete' AND event_uid IN ('e1', 'e2');
SELECT bool_and(webhook.get_attendees(:'key', guest_uid => uid) = '{"data": [], "meta": {"total": 0}}') AS nothing_else, count(*) > 50 AS many
FROM last_sent WHERE event = 'guest.delete' OR event_uid IS NULL OR event_uid = 'h1';
SELECT webhook.get_events(:'key');
SELECT webhook.get_events(:'key', 'e1'), webhook.get_events(:'key', 'h1') AS hidden, webhook.get_events(:'key', 'nope') AS nope;
SELECT jsonb_path_query_array(webhook.get_attendees(:'key', 'e1', page_size => 1000), '$.data[*].event_uid') ->> 0 AS event_uid,
       webhook.get_attendees(:'key', 'e1')->'meta'->'total' = to_jsonb((SELECT count(*) FROM guest WHERE event_uid = 'e1' AND NOT gone)) AS total_right,
       webhook.get_attendees(:'key')::text NOT LIKE '%secret%' AS no_secret;

-- Pages are stable, complete and do not overlap; those near the end are read from there.
SELECT count(*) = count(DISTINCT uid) AND count(*) = (webhook.get_attendees(:'key')->'meta'->>'total')::int AS complete,
       jsonb_agg(d ORDER BY page, n) = webhook.get_attendees(:'key', page_size => 1000)->'data' AS in_order, max(page) > 10 AS many
FROM generate_series(1, 40) AS page, jsonb_array_elements(webhook.get_attendees(:'key', page => page, page_size => 7)->'data') WITH ORDINALITY AS x (d, n), jsonb_extract_path_text(d, 'uid') AS uid;
SELECT jsonb_array_length(webhook.get_attendees(:'key', page => 2147483647)->'data') AS beyond, jsonb_array_length(webhook.get_attendees(:'key')->'data') AS by_default;

-- Fields
SELECT webhook.get_events(:'key', 'e1', fields => ' title , uid');
-- What json accepts and jsonb does not must not make a whole page fail.
UPDATE guest SET j = '["\u0000", "a\\u0000", "\ud83d\ude00", "\ud83d", "\ude00", "\u00E9", "\uDBff\u0041"]', t = '\u0000' WHERE n = (SELECT max(n) FROM guest WHERE event_uid = 'e1' AND NOT gone);
SELECT webhook.get_attendees(:'key', 'e1', page_size => 1000) #>> '{meta,total}' = count(*)::text AS all_of_them FROM guest WHERE event_uid = 'e1' AND NOT gone;
SELECT d->>'j' AS j, d->>'t' AS t FROM jsonb_array_elements(webhook.get_attendees(:'key', 'e1', page_size => 1000)->'data') AS d WHERE d->>'t' = '\u0000';
SELECT * FROM refused(format('SELECT webhook.get_events(%L, page => 0)', :'key'));
SELECT * FROM refused(format('SELECT webhook.get_events(%L, page_size => 0)', :'key'));
SELECT * FROM refused(format('SELECT webhook.get_attendees(%L, page_size => 1001)', :'key'));
SELECT * FROM refused(format('SELECT webhook.get_attendees(%L, page => NULL)', :'key'));
SELECT * FROM refused(format('SELECT webhook.get_attendees(%L, fields => ''a,,b'')', :'key'));
SELECT * FROM refused(format('SELECT webhook.get_attendees(%L, fields => '''')', :'key'));
-- C31: unknown fields are rejected, whether there is a row or not.
SELECT * FROM refused(format('SELECT webhook.get_events(%L, fields => ''title, nope'')', :'key'));
SELECT * FROM refused(format('SELECT webhook.get_events(%L, ''nobody'', fields => ''nope'')', :'key'));
SELECT * FROM refused(format('SELECT webhook.get_attendees(%L, fields => ''secret'')', :'key'));

-- The caller needs no privilege but EXECUTE; the key's integration shows what its owner may select.
CREATE ROLE restapi_test_caller;
CREATE ROLE restapi_test_owner;
GRANT USAGE ON SCHEMA webhook TO restapi_test_caller, restapi_test_owner;
GRANT USAGE ON SCHEMA restapi_test TO restapi_test_owner;
GRANT EXECUTE ON FUNCTION webhook.get_events TO restapi_test_caller;
GRANT EXECUTE ON FUNCTION webhook.create_integration, webhook.connect_profile TO restapi_test_owner;
SET ROLE restapi_test_caller;
SELECT webhook.get_events(:'key')->'meta' AS meta;
SET ROLE restapi_test_owner;
SELECT webhook.create_integration('api of another') AS other_key \gset
SELECT webhook.connect_profile('api of another', 'shown', true);
SET ROLE restapi_test_caller;
SELECT webhook.get_events(:'other_key') AS nothing;
RESET ROLE;
GRANT SELECT (uid, title, profile) ON event TO restapi_test_owner;
SET ROLE restapi_test_caller;
SELECT webhook.get_events(:'other_key') AS some_columns;
RESET ROLE;
SELECT webhook.delete_integration('api of another');
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA webhook FROM restapi_test_caller, restapi_test_owner;
REVOKE ALL ON SCHEMA webhook FROM restapi_test_caller, restapi_test_owner;
REVOKE ALL ON SCHEMA restapi_test FROM restapi_test_owner;
REVOKE ALL ON event FROM restapi_test_owner;
REVOKE ALL (uid, title, profile) ON event FROM restapi_test_owner;
DROP ROLE restapi_test_caller, restapi_test_owner;

-- A wrong key: always the same error, whatever is wrong with it.
SELECT DISTINCT r.* FROM unnest(ARRAY[NULL, '', 'x', :'key' || '0', left(:'key', -1), translate(:'key', '0123456789', '1234567890'),
    left(:'key', 21) || translate(substr(:'key', 22), '0123456789', '1234567890'), repeat('x', 1000000)]) AS k,
    refused(format('SELECT webhook.get_attendees(%L)', k)) AS r;
SELECT webhook.rotate_api_key('api') AS new_key \gset
SELECT * FROM refused(format('SELECT webhook.get_events(%L)', :'key'));
SELECT webhook.get_events(:'new_key')->'meta' AS meta;
SELECT :'new_key' AS key \gset
-- C32: with a grace period the old key goes on working until it is over; the one before it does not.
SELECT webhook.rotate_api_key('api', grace => '1 day') AS second_key \gset
SELECT webhook.get_events(:'key')->'meta' AS old, webhook.get_events(:'second_key')->'meta' AS new;
SELECT webhook.rotate_api_key('api', '1 day') AS third_key \gset
SELECT * FROM refused(format('SELECT webhook.get_events(%L)', :'key'));
SELECT webhook.get_events(:'second_key')->'meta' AS old;
UPDATE webhook.integration SET previous_api_key_until = now() - interval '1 s' WHERE name = 'api';
SELECT * FROM refused(format('SELECT webhook.get_events(%L)', :'second_key'));
SELECT * FROM refused($$SELECT webhook.rotate_api_key('api', grace => '-1 s')$$);
SELECT * FROM refused($$SELECT webhook.rotate_api_key('api', grace => NULL)$$);
SELECT webhook.rotate_api_key('api') AS key \gset
SELECT * FROM refused(format('SELECT webhook.get_events(%L)', :'third_key'));

-- I13: mappings apply here, too, unless they are disabled; the form always applies.
SELECT webhook.set_field_mapping('[{"name": "t", "mapped_to": "title"}, {"name": "v", "value": 1}]', 'api', entity_type => 'event'),
       webhook.set_field_mapping('[{"name": "v", "value": 2}]', 'api', profile => 'shown', entity_type => 'event'),
       webhook.set_field_mapping('[{"name": "t", "value": "hidden"}, {"name": "w", "value": 3}]', 'api', event_uid => 'e2', entity_type => 'event');
SELECT webhook.get_events(:'key')->'data' AS mapped, webhook.get_events(:'key', 'e1', fields => 't')->'data' AS field;
-- C31: a field that a mapping has for some entities is accepted; a name that is not sent is not.
SELECT webhook.get_events(:'key', 'e1', fields => 'w')->'data' AS of_another_event;
SELECT * FROM refused(format('SELECT webhook.get_events(%L, fields => ''title'')', :'key'));
-- C24: a mapping belongs to an entity type, guests if none is named.
SELECT webhook.set_field_mapping('[{"name": "id", "mapped_to": "uid"}]', 'api');
SELECT (webhook.get_attendees(:'key', 'e1', page_size => 1)->'data'->0) - 'id'::text AS guests_alone, webhook.get_events(:'key', 'e1')->'data' AS as_before;
SELECT webhook.set_field_mapping(NULL, 'api');
SELECT webhook.get_attendees(:'key', 'e1', page_size => 1)->'data'->0 ? 'event_uid' AS plain, webhook.get_events(:'key', 'e1')->'data' AS as_before;
SELECT webhook.get_events(:'key', 'e2', ignore_fields_mapping => true)->'data' AS plain;
SELECT webhook.set_form('api', 'event', '[{"name": "title", "type": "text"}]'), webhook.set_payload_template('api', 'event', '["{{title}}"]');
SELECT webhook.get_events(:'key')->'data' AS structured, webhook.get_events(:'key', 'e1', ignore_fields_mapping => true)->'data' AS form;
SELECT webhook.set_form('api', 'event', NULL), webhook.set_payload_template('api', 'event', NULL), webhook.set_field_mapping(NULL, 'api', entity_type => 'event'),
       webhook.set_field_mapping(NULL, 'api', profile => 'shown', entity_type => 'event'),
       webhook.set_field_mapping(NULL, 'api', event_uid => 'e2', entity_type => 'event');

--
-- I3: the menu; I10, I11: an integration's actions where it is active
--
SELECT webhook.create_webhook('crm', 'guest.manual', 'http://127.0.0.1:1/', name => 'Send to the CRM') AS a \gset
SELECT webhook.create_webhook('print', 'event.manual,guest.manual', 'http://127.0.0.1:1/', name => 'Print', event_uids => 'e1') AS b \gset
SELECT webhook.create_webhook('nameless', 'guest.manual', 'http://127.0.0.1:1/', integration => 'api') AS c \gset
SELECT webhook.create_webhook('off', 'guest.manual', 'http://127.0.0.1:1/', name => 'Off', active => false) AS d \gset
SELECT label, app FROM webhook.get_manual_actions('guest') ORDER BY label COLLATE "C";
SELECT label, app FROM webhook.get_manual_actions('event') ORDER BY label COLLATE "C";
SELECT label FROM webhook.get_manual_actions('user') ORDER BY label COLLATE "C";
SELECT label FROM webhook.get_manual_actions('guest', 'e1') ORDER BY label COLLATE "C";
SELECT label FROM webhook.get_manual_actions('guest', 'e2') ORDER BY label COLLATE "C";
SELECT uid AS guest_uid FROM guest WHERE event_uid = 'e2' AND NOT gone ORDER BY uid LIMIT 1 \gset
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :c, :'guest_uid'));
SELECT webhook.activate_integration('shown', 'api');
SELECT label FROM webhook.get_manual_actions('guest', 'e2') ORDER BY label COLLATE "C";
SELECT webhook.fire_webhook(:c, :'guest_uid') <> '' AS fired;
SELECT webhook.override_event('e2');
SELECT label FROM webhook.get_manual_actions('guest', event_uid => 'e2') ORDER BY label COLLATE "C";
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :c, :'guest_uid'));
SELECT * FROM refused('SELECT webhook.get_manual_actions(NULL)');

--
-- I12: a payment in another table
--
SELECT webhook.update_webhook(:c, '{"event": "guest.*"}');
SELECT webhook.override_event('e2', 'api', only_paid => true), webhook.override_event('e1', 'api');
CREATE FUNCTION paid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM webhook.notify_payment('guest', COALESCE(NEW.guest, OLD.guest)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER paid AFTER INSERT OR DELETE ON payment FOR EACH ROW EXECUTE FUNCTION paid();
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
CREATE VIEW sent AS SELECT o.event, (SELECT string_agg(w.app, ',' ORDER BY w.app) FROM webhook.webhook AS w WHERE w.id = ANY (o.webhook_ids)) AS apps
    FROM webhook.outbox AS o ORDER BY o.id;
INSERT INTO guest (uid, event_uid) VALUES ('00000000-0000-0000-0000-000000000001', 'e2');
UPDATE guest SET t = 'x' WHERE uid = '00000000-0000-0000-0000-000000000001';
INSERT INTO payment VALUES ('00000000-0000-0000-0000-000000000001', 10);
UPDATE guest SET t = 'y' WHERE uid = '00000000-0000-0000-0000-000000000001';
-- The payment is deleted first, by cascade, and still the receiver is sent the deletion once.
BEGIN;
DELETE FROM guest WHERE uid = '00000000-0000-0000-0000-000000000001';
COMMIT;
SELECT * FROM sent;
SELECT webhook.notify_payment('guest', '00000000-0000-0000-0000-000000000001'), webhook.notify_payment('nobody', '1');
-- C9: where unpaid guests do not exist for a receiver, the API does not show them, nor does a manual action or a test send them.
INSERT INTO guest (uid, event_uid) VALUES ('00000000-0000-0000-0000-000000000002', 'e2'), ('00000000-0000-0000-0000-000000000003', 'e2'),
    ('00000000-0000-0000-0000-000000000004', 'e1');
INSERT INTO payment VALUES ('00000000-0000-0000-0000-000000000002', 10);
SELECT webhook.get_attendees(:'key', 'e2', fields => 'uid') AS paid_ones, webhook.get_attendees(:'key', 'e1')->'meta'->>'total' = count(*)::text AS others_all
FROM guest WHERE event_uid = 'e1' AND NOT gone;
SELECT webhook.get_attendees(:'key', guest_uid => g)->'meta'->'total' AS total
FROM unnest('{00000000-0000-0000-0000-000000000002,00000000-0000-0000-0000-000000000003,00000000-0000-0000-0000-000000000004}'::text[]) AS g;
SELECT webhook.get_attendees(:'key')->'meta'->>'total' = count(*)::text AS total_right FROM guest
WHERE NOT gone AND (event_uid = 'e1' OR uid = '00000000-0000-0000-0000-000000000002');
SELECT webhook.fire_webhook(:c, '00000000-0000-0000-0000-000000000002') <> '' AS fired;
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, ''00000000-0000-0000-0000-000000000003'')', :c));
SELECT * FROM refused(format('SELECT webhook.test_webhook(%s, ''00000000-0000-0000-0000-000000000003'')', :c));
SELECT webhook.fire_webhook(:a, '00000000-0000-0000-0000-000000000003') <> '' AS without_an_integration;
DELETE FROM guest WHERE uid::text LIKE '00000000-%';
SELECT * FROM refused($$SELECT webhook.notify_payment('guest', NULL)$$);

--
-- M10: REST hooks
--
SELECT webhook.rest_hook_subscribe('zapier', 'guest.create', 'https://hooks.example.com/1') AS answer \gset
SELECT :'answer'::json->>'app' AS app, :'answer'::json->>'event' AS event, :'answer'::json->>'url' AS url,
       (SELECT w.format || ' ' || w.active FROM webhook.get_webhooks('zapier') AS w WHERE w.id = (:'answer'::json->>'id')::bigint) AS webhook;
SELECT jsonb_array_length(webhook.rest_hook_sample('guest.create')) AS samples, webhook.rest_hook_sample('guest.update')->0 ? 'event_uid' AS an_attendee,
       webhook.rest_hook_sample('unheard_of') AS none;
-- An application event has no row: an example, until one was sent to a webhook of the caller.
SELECT e AS event, jsonb_array_length(s) AS samples, s->0->'subscriber_id' AS subscriber
FROM unnest('{optin_finalized,optout_finalized,profilemanager_finalized}'::text[]) AS e, webhook.rest_hook_sample(e) AS s;
SELECT webhook.create_webhook('mailing', 'optin_finalized,seminar.booked', 'http://127.0.0.1:1/') AS mailing_id \gset
SELECT count(webhook.emit(e, jsonb_build_object('n', i))) AS emitted FROM generate_series(1, 4) AS i, unnest('{optin_finalized,seminar.booked,other}'::text[]) AS e;
SELECT e AS event, webhook.rest_hook_sample(e) AS samples FROM unnest('{optin_finalized,seminar.booked,other}'::text[]) AS e;
CREATE ROLE restapi_test_stranger;
GRANT USAGE ON SCHEMA webhook TO restapi_test_stranger;
GRANT EXECUTE ON FUNCTION webhook.rest_hook_sample TO restapi_test_stranger;
SET ROLE restapi_test_stranger;
SELECT webhook.rest_hook_sample('seminar.booked') AS nothing, webhook.rest_hook_sample('optin_finalized')->0->'subscriber_id' AS subscriber;
RESET ROLE;
REVOKE ALL ON FUNCTION webhook.rest_hook_sample FROM restapi_test_stranger;
REVOKE ALL ON SCHEMA webhook FROM restapi_test_stranger;
DROP ROLE restapi_test_stranger;
SELECT webhook.delete_webhook_by_id(:mailing_id);
SELECT webhook.rest_hook_unsubscribe((:'answer'::json->>'id')::bigint);
SELECT count(*) FROM webhook.get_webhooks('zapier');
SELECT * FROM refused($$SELECT webhook.rest_hook_unsubscribe(-1)$$);
SELECT * FROM refused($$SELECT webhook.rest_hook_subscribe('zapier', 'guest.create', 'ftp://x')$$);
SELECT * FROM refused($$SELECT webhook.rest_hook_sample('')$$);

SELECT webhook.delete_integration('api');
SELECT * FROM refused(format('SELECT webhook.get_events(%L)', :'key'));
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks() WHERE app IN ('rest', 'crm', 'print', 'off');
SELECT count(webhook.clear_event_override(u)) FROM unnest('{e1,e2}'::text[]) AS u;
-- C35: a page reads the rows that it shows, also where event and profile are sub-selects.
CREATE TABLE host (id int PRIMARY KEY, uid text UNIQUE NOT NULL, profile text NOT NULL);
CREATE TABLE seat (id int PRIMARY KEY, host_id int, gone boolean NOT NULL DEFAULT false);
CREATE INDEX ON seat (host_id);
INSERT INTO host SELECT n, 's' || n, 'shown' FROM generate_series(1, 2001) AS n;
INSERT INTO seat SELECT n, 1 + n % 100 FROM generate_series(1, 5000) AS n;
INSERT INTO seat VALUES (5001, NULL, false), (5002, 1, true);
ANALYZE host, seat;
SELECT webhook.unwatch('guest');
SELECT webhook.watch('seat', 'guest', event_uid => '(SELECT h.uid FROM host h WHERE h.id = host_id -- its host
)', profile => '(SELECT h.profile FROM host h WHERE h.id = host_id)', deleted => '(SELECT s.gone FROM seat s WHERE s.id = seat.id)');
SELECT webhook.create_integration('seats') AS seats_key \gset
SELECT webhook.connect_profile('seats', 'shown', true);
-- A first call in a transaction reads our own tables; these two are counted from before it.
CREATE FUNCTION page_reads(key text, uid text, OUT total text, OUT rows int, OUT few boolean) LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    page jsonb;
BEGIN
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) INTO before FROM pg_stat_xact_user_tables WHERE relname IN ('host', 'seat');
    page := webhook.get_attendees(key, uid);
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) - before < 1500 INTO few FROM pg_stat_xact_user_tables WHERE relname IN ('host', 'seat');
    total := page #>> '{meta,total}';
    rows := jsonb_array_length(page->'data');
END
$$;
SELECT * FROM page_reads(:'seats_key', 's1');
SELECT * FROM page_reads(:'seats_key', 's101');
SELECT * FROM page_reads(:'seats_key', 'nowhere');
SELECT webhook.get_attendees(:'seats_key')->'meta' AS all_with_an_event;
SELECT webhook.override_event('s1', NULL, only_paid => true);
SELECT webhook.unwatch('seat');
SELECT webhook.watch('seat', 'guest', event_uid => '(SELECT h.uid FROM host h WHERE h.id = host_id)', profile => '(SELECT h.profile FROM host h WHERE h.id = host_id)',
    paid => '(SELECT s.id % 200 = 0 FROM seat s WHERE s.id = seat.id)');
SELECT webhook.get_attendees(:'seats_key')->'meta' AS without_unpaid, webhook.get_attendees(:'seats_key', 's1')->'meta' AS of_one;
SELECT webhook.clear_event_override('s1');
-- Pages are complete although ids are not unique.
SELECT webhook.watch('seat', 'guest', id => 'host_id % 50', event_uid => '(SELECT h.uid FROM host h WHERE h.id = host_id)', profile => '(SELECT h.profile FROM host h WHERE h.id = host_id)');
SELECT count(DISTINCT d->>'id') = max(page->'meta'->>'total')::int AS complete, count(*) = count(DISTINCT d->>'id') AS each_once
FROM generate_series(1, 52) AS n, webhook.get_attendees(:'seats_key', page => n, page_size => 99) AS page, jsonb_array_elements(page->'data') AS d;
SELECT webhook.delete_integration('seats'), webhook.unwatch('seat');
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
DROP SCHEMA restapi_test CASCADE;
