-- Integrations: which role owns them, for which events they are active, and what payment means.
-- Proves I7 I8 I9 I10 I11 I12, E5 and I6 for webhooks of integrations, R6.
CREATE SCHEMA integrations_test;
SET search_path = integrations_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

-- What has been sent since the last call: the webhooks, the event and the guest.
CREATE FUNCTION sent() RETURNS SETOF text LANGUAGE sql VOLATILE AS $$
    SELECT receivers(o.webhook_ids) || ' ' || o.event || ' ' || (o.payload->>'name')
    FROM new_rows() AS o
$$;

--
-- I7: integrations; I9: API keys
--
SELECT webhook.create_integration('crm', 'the customers') AS crm_key \gset
SELECT webhook.create_integration(name => 'news') AS news_key \gset
SELECT :'crm_key' ~ '^whk_[0-9a-f]{16}_[0-9a-f]{48}$' AS looks_like_a_key, :'crm_key' <> :'news_key' AS another;
SELECT name, description, owner = current_user::regrole AS mine, profiles, api_profiles, active_profiles, webhooks,
       api_key_age < '1 hour' AS young, api_key_too_old
FROM webhook.get_integrations();

-- The key is not stored anywhere, only its hash.
SELECT count(*) FROM webhook.integration AS i WHERE i::text LIKE '%' || right(:'crm_key', 48) || '%';
SELECT api_key_hash = sha256(convert_to(:'crm_key', 'UTF8')) AS hashed FROM webhook.integration WHERE name = 'crm';
SELECT webhook.rotate_api_key('crm') AS new_key \gset
SELECT :'new_key' <> :'crm_key' AS rotated, api_key_hash = sha256(convert_to(:'new_key', 'UTF8')) AS hashed
FROM webhook.integration WHERE name = 'crm';
UPDATE webhook.integration SET api_key_created_at = now() - interval '13 months' WHERE name = 'crm';
SELECT name, api_key_age > '1 year' AS old, api_key_too_old FROM webhook.get_integrations();
SELECT webhook.rotate_api_key('crm') <> '' AS rotated;
SELECT name, api_key_too_old FROM webhook.get_integrations();

SELECT * FROM refused($$SELECT webhook.create_integration('crm')$$);
SELECT * FROM refused($$SELECT webhook.create_integration('')$$);
SELECT * FROM refused($$SELECT webhook.create_integration(repeat('x', 1000000))$$);
SELECT * FROM refused($$SELECT webhook.create_integration(E'a\nb')$$);
SELECT * FROM refused($$SELECT webhook.create_integration(NULL)$$);
SELECT * FROM refused($$SELECT webhook.rotate_api_key('nobody')$$);
SELECT * FROM refused($$SELECT webhook.delete_integration('nobody')$$);

--
-- I8: profiles; I10: one active integration per profile
--
SELECT webhook.connect_profile('crm', 'conferences', api_access => true);
SELECT webhook.connect_profile('news', 'conferences');
SELECT webhook.connect_profile('news', 'parties');
SELECT webhook.connect_profile('crm', 'trainings', true);
SELECT webhook.connect_profile('crm', 'trainings');
SELECT name, profiles, api_profiles, active_profiles FROM webhook.get_integrations();
SELECT * FROM refused($$SELECT webhook.activate_integration('parties', 'crm')$$);
SELECT * FROM refused($$SELECT webhook.activate_integration('parties', 'nobody')$$);
SELECT * FROM refused($$SELECT webhook.connect_profile('crm', '')$$);
SELECT * FROM refused($$SELECT webhook.connect_profile('nobody', 'x')$$);
SELECT * FROM refused($$SELECT webhook.connect_profile('crm', 'x', NULL)$$);

CREATE TABLE guest (id serial PRIMARY KEY, name text, event_uid text, profile text, paid boolean NOT NULL DEFAULT false,
                    gone boolean NOT NULL DEFAULT false);
SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid', profile => 'profile', paid => 'paid', deleted => 'gone');
SELECT * FROM refused($$SELECT webhook.create_webhook('bad', 'guest.*', 'http://h/', integration => 'nobody')$$);
SELECT webhook.create_webhook('free', 'guest.*', 'http://127.0.0.1:1/') AS free_id \gset
SELECT webhook.create_webhook('crm', 'guest.*', 'http://127.0.0.1:1/', integration => 'crm') AS crm_id \gset
SELECT webhook.create_webhook('crm_e9', 'guest.*', 'http://127.0.0.1:1/', integration => 'crm', event_uids => 'e8, e9') AS e9_id \gset
SELECT webhook.create_webhook('news', 'guest.create', 'http://127.0.0.1:1/', integration => 'news') AS news_id \gset
SELECT * FROM refused(format('SELECT webhook.update_webhook(%s, ''{"integration": "nobody"}'')', :crm_id));

-- Nothing is active yet: only the webhook without an integration fires.
INSERT INTO guest (name, event_uid, profile) VALUES ('a', 'e1', 'conferences');
SELECT sent();
SELECT webhook.activate_integration('conferences', 'crm');
INSERT INTO guest (name, event_uid, profile) VALUES ('b', 'e1', 'conferences'), ('c', 'e2', 'parties'), ('d', NULL, NULL),
    ('e', 'e9', 'conferences');
SELECT sent();
SELECT webhook.activate_integration('conferences', 'news');
SELECT name, active_profiles FROM webhook.get_integrations();
INSERT INTO guest (name, event_uid, profile) VALUES ('f', 'e1', 'conferences');
UPDATE guest SET name = 'f2' WHERE name = 'f';
SELECT sent();
-- In one transaction, rolled back: nothing is sent, and afterwards everything is as before.
BEGIN;
SELECT webhook.activate_integration('conferences', 'crm');
INSERT INTO guest (name, event_uid, profile) VALUES ('g', 'e1', 'conferences');
SELECT sent();
ROLLBACK;
INSERT INTO guest (name, event_uid, profile) VALUES ('h', 'e1', 'conferences');
SELECT sent();
SELECT webhook.deactivate_integration('conferences'), webhook.deactivate_integration('conferences') AS again;
INSERT INTO guest (name, event_uid, profile) VALUES ('i', 'e1', 'conferences');
SELECT sent();
-- At most one: the table has a key, whichever way it is written to.
SELECT webhook.activate_integration('conferences', 'crm');
SELECT * FROM refused($$INSERT INTO webhook.active_integration VALUES ('conferences', 'news')$$);

-- Application events have an event and a profile, too.
SELECT webhook.emit('guest.checked_in', '{"name": "j"}', event_uid => 'e1', profile => 'conferences') <> '' AS emitted;
SELECT sent();

--
-- I11: an event overrides its profile's integration with another, or none
--
SELECT webhook.override_event('e2', 'news');
SELECT webhook.override_event('e3');
SELECT webhook.override_event('e4', 'crm');
SELECT name, override_events FROM webhook.get_integrations();
INSERT INTO guest (name, event_uid, profile) VALUES ('k', 'e1', 'conferences'), ('l', 'e2', 'conferences'),
    ('m', 'e3', 'conferences'), ('n', 'e4', 'parties');
SELECT sent();
SELECT webhook.clear_event_override('e2'), webhook.clear_event_override('e2') AS again;
INSERT INTO guest (name, event_uid, profile) VALUES ('o', 'e2', 'conferences');
SELECT sent();
-- C21: every override is shown, those of events without an integration under no name.
SELECT name, override_events, webhooks FROM webhook.get_integrations();
SELECT * FROM refused($$SELECT webhook.override_event(NULL)$$);
SELECT * FROM refused($$SELECT webhook.override_event('e1', 'nobody')$$);
SELECT * FROM refused($$SELECT webhook.override_event('e1', 'crm', only_paid => NULL)$$);

--
-- I12: payment
--
DELETE FROM guest;
SELECT count(*) > 0 AS told FROM sent();
SELECT webhook.override_event('quiet', 'crm');
SELECT webhook.override_event('loud', 'crm', send_on_payment => true);
SELECT webhook.override_event('strict', 'crm', only_paid => true);

-- Payment fires guest.update or not; a refund and any other change does in any case.
INSERT INTO guest (name, event_uid, profile) VALUES ('quiet', 'quiet', 'p'), ('loud', 'loud', 'p'), ('usual', 'e1', 'conferences');
UPDATE guest SET paid = true;
UPDATE guest SET paid = false;
UPDATE guest SET name = name || '!';
SELECT sent();

-- Only paid ones: the receiver is never sent anything about a guest that it does not know.
DELETE FROM guest;
SELECT count(*) > 0 AS told FROM sent();
INSERT INTO guest (name, event_uid) VALUES ('unpaid', 'strict');
UPDATE guest SET name = 'still unpaid';
DELETE FROM guest;
SELECT sent();
INSERT INTO guest (name, event_uid) VALUES ('pays', 'strict');
UPDATE guest SET paid = true;
UPDATE guest SET name = 'paid';
UPDATE guest SET paid = false;
UPDATE guest SET name = 'refunded';
DELETE FROM guest;
SELECT sent();
INSERT INTO guest (name, event_uid, paid) VALUES ('paid at once', 'strict', true);
UPDATE guest SET gone = true;
UPDATE guest SET gone = false;
DELETE FROM guest;
SELECT sent();
INSERT INTO guest (name, event_uid) VALUES ('soft, unpaid', 'strict');
UPDATE guest SET gone = true;
UPDATE guest SET gone = false, paid = true;
UPDATE guest SET gone = true, paid = false;
SELECT sent();
DELETE FROM guest;
-- Both: the receiver does not know the guest, so being paid is its creation.
SELECT webhook.override_event('both', 'crm', send_on_payment => true, only_paid => true);
INSERT INTO guest (name, event_uid) VALUES ('both', 'both');
UPDATE guest SET paid = true;
UPDATE guest SET name = 'both!';
UPDATE guest SET paid = false;
SELECT sent();
DELETE FROM guest;
-- From event to event: what counts is whether the integration knows the guest, whether payment is a column or in another table.
CREATE TABLE walker (id integer PRIMARY KEY, event_uid text, profile text, paid boolean, n integer);
CREATE TABLE walker_payment (walker integer PRIMARY KEY);
SELECT webhook.connect_profile('crm', 'q'), webhook.connect_profile('crm', 'r');
SELECT webhook.activate_integration('q', 'crm'), webhook.activate_integration('r', 'crm'),
    webhook.create_webhook('walk', 'walker.*', 'http://127.0.0.1:1/', integration => 'crm') AS walk_id \gset
CREATE FUNCTION walked(first integer, last integer) RETURNS TABLE (event text, entity_id integer, n integer) LANGUAGE sql AS $$
    SELECT o.event::text, (o.entity_id #>> '{}')::integer, (o.payload->>'n')::integer FROM webhook.outbox AS o
    WHERE o.entity_type = 'walker' AND (o.payload->>'n')::integer BETWEEN first AND last ORDER BY o.id
$$;
SELECT webhook.watch('walker', 'walker', event_uid => 'event_uid', profile => 'profile', paid => 'paid');
INSERT INTO walker VALUES (1, 'strict', 'q', false, 1);
UPDATE walker SET event_uid = 'usual', n = 2;
UPDATE walker SET event_uid = 'strict', n = 3;
UPDATE walker SET paid = true, n = 4;
UPDATE walker SET event_uid = 'both', n = 5;
UPDATE walker SET event_uid = 'quiet', paid = false, n = 6;
UPDATE walker SET event_uid = 'strict', paid = true, n = 7;
UPDATE walker SET event_uid = NULL, n = 8;
UPDATE walker SET event_uid = 'both', paid = NULL, n = 9;
DELETE FROM walker;
SELECT * FROM walked(1, 9);
-- At random: created when unknown, updated and deleted when known, and in the end exactly the right guests are known.
CREATE PROCEDURE walk(first integer, last integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN first .. last LOOP
        INSERT INTO walker VALUES (1 + i % 9, 'strict', 'q', false, i) ON CONFLICT DO NOTHING;
        IF random() < 0.5 THEN
            INSERT INTO walker_payment VALUES (1 + i % 9) ON CONFLICT DO NOTHING;
        ELSE
            DELETE FROM walker_payment WHERE walker = 1 + i % 9;
        END IF;
        UPDATE walker SET event_uid = (ARRAY['strict', 'both', 'quiet', 'loud', 'usual', NULL])[1 + floor(random() * 6)::integer],
            profile = (ARRAY['q', 'r'])[1 + floor(random() * 2)::integer], n = i,
            paid = EXISTS (SELECT FROM walker_payment AS p WHERE p.walker = id) WHERE id = 1 + i % 9;
        DELETE FROM walker WHERE id = 1 + i % 9 AND random() < 0.1;
    END LOOP;
END
$$;
CREATE FUNCTION known(first integer, last integer) RETURNS TABLE (messages boolean, wrong bigint, known_are_right boolean) LANGUAGE sql AS $$
    SELECT count(*) > 100,
        count(*) FILTER (WHERE (m.event = 'walker.create') <> (m.previous IS NULL OR m.previous = 'walker.delete')),
        array_agg(m.entity_id ORDER BY m.entity_id) FILTER (WHERE m.next IS NULL AND m.event <> 'walker.delete') =
            (SELECT array_agg(w.id ORDER BY w.id) FROM walker AS w WHERE w.paid OR w.event_uid IS NULL OR w.event_uid IN ('quiet', 'loud', 'usual'))
    FROM (SELECT w.event, w.entity_id, lag(w.event) OVER entity AS previous, lead(w.event) OVER entity AS next
          FROM walked(first, last) WITH ORDINALITY AS w (event, entity_id, n, position) WINDOW entity AS (PARTITION BY w.entity_id ORDER BY w.position)) AS m
$$;
SELECT setseed(0.25);
CALL walk(101, 600);
SELECT * FROM known(101, 600);
DELETE FROM walker;
DELETE FROM walker_payment;
SELECT webhook.watch('walker', 'walker', event_uid => 'event_uid', profile => 'profile', paid => 'EXISTS (SELECT FROM walker_payment p WHERE p.walker = id)');
CREATE FUNCTION tell_payment() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN PERFORM webhook.notify_payment('walker', COALESCE(NEW.walker, OLD.walker)::text); RETURN NULL; END$$;
CREATE TRIGGER tell_payment AFTER INSERT OR DELETE ON walker_payment FOR EACH ROW EXECUTE FUNCTION tell_payment();
CALL walk(701, 1200);
SELECT * FROM known(701, 1200);
SELECT entity_id, event_uid FROM webhook.paid_entity WHERE entity_type = 'walker'
EXCEPT SELECT id::text, event_uid FROM walker WHERE paid AND event_uid IN ('strict', 'both');
SELECT webhook.unwatch('walker'), webhook.delete_webhook_by_id(:walk_id), webhook.disconnect_profile('crm', 'q'), webhook.disconnect_profile('crm', 'r');
-- Also if webhooks subscribe to nothing but creations.
SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('free');
SELECT webhook.update_webhook(:crm_id, '{"event": "guest.create"}'), webhook.update_webhook(:e9_id, '{"event": "guest.create"}');
SELECT count(*) > 0 AS told FROM sent();
INSERT INTO guest (name, event_uid) VALUES ('comes late', 'strict');
UPDATE guest SET paid = true;
UPDATE guest SET name = 'x';
SELECT sent();

--
-- Deleting: everything that belongs to an integration is deleted, including overrides of events (C21).
--
SELECT webhook.disconnect_profile('crm', 'conferences'), webhook.disconnect_profile('crm', 'conferences') AS again;
SELECT name, profiles, active_profiles FROM webhook.get_integrations();
SELECT webhook.delete_integration('crm');
SELECT app FROM webhook.get_webhooks() ORDER BY app;
SELECT event_uid, integration FROM webhook.event_override ORDER BY 1;
SELECT count(*) AS known_to_be_paid FROM webhook.paid_entity;
SELECT name, override_events FROM webhook.get_integrations();
-- C21: created again, it works as if it had never existed.
SELECT webhook.create_integration('crm') <> '' AS created;
SELECT webhook.connect_profile('crm', 'conferences'), webhook.activate_integration('conferences', 'crm');
SELECT webhook.create_webhook('again', 'guest.*', 'http://127.0.0.1:1/', integration => 'crm') <> 0 AS created;
SELECT count(*) > 0 AS told FROM sent();
INSERT INTO guest (name, event_uid, profile) VALUES ('p', 'strict', 'conferences');
SELECT sent();
SELECT webhook.delete_integration('crm'), webhook.clear_event_override('e3');
SELECT webhook.delete_integration('news');
SELECT count(*) AS integrations FROM webhook.get_integrations();

-- Another role's integration does not exist, and its overrides remain.
CREATE ROLE integrations_test_a;
CREATE ROLE integrations_test_b;
GRANT USAGE ON SCHEMA webhook, integrations_test TO integrations_test_a, integrations_test_b;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO integrations_test_a, integrations_test_b;
SET ROLE integrations_test_a;
SELECT webhook.create_integration('a') <> '' AS created;
SELECT webhook.connect_profile('a', 'p'), webhook.activate_integration('p', 'a'), webhook.override_event('e', 'a');
SET ROLE integrations_test_b;
SELECT webhook.create_integration('b') <> '' AS created;
SELECT webhook.connect_profile('b', 'p');
SELECT name FROM webhook.get_integrations();
SELECT * FROM refused($$SELECT webhook.create_integration('a')$$);
SELECT * FROM refused($$SELECT webhook.rotate_api_key('a')$$);
SELECT * FROM refused($$SELECT webhook.delete_integration('a')$$);
SELECT * FROM refused($$SELECT webhook.connect_profile('a', 'q')$$);
SELECT * FROM refused($$SELECT webhook.activate_integration('p', 'b')$$);
SELECT * FROM refused($$SELECT webhook.deactivate_integration('p')$$);
SELECT * FROM refused($$SELECT webhook.override_event('e', 'b')$$);
SELECT * FROM refused($$SELECT webhook.clear_event_override('e')$$);
SELECT * FROM refused($$SELECT webhook.create_webhook('b', 'guest.*', 'http://h/', integration => 'a')$$);
RESET ROLE;
SELECT webhook.delete_integration('a'), webhook.delete_integration('b'), webhook.clear_event_override('e');
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA webhook FROM integrations_test_a, integrations_test_b;
DROP SCHEMA integrations_test CASCADE;
REVOKE ALL ON SCHEMA webhook FROM integrations_test_a, integrations_test_b;
DROP ROLE integrations_test_a, integrations_test_b;

