-- The prefilter: where only event UIDs and integrations decide which webhooks want a change, the result is cached.
-- Proves E5, I6, I10, I11 and I12 for it: its result must never differ from that of the full evaluation.
SET client_min_messages = warning;
CREATE SCHEMA screen_test;
SET search_path = screen_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
SELECT setseed(0.4);

-- The same rows twice: the fields of "short" are plain columns, those of "long" are expressions, which the prefilter cannot use.
CREATE TYPE flavour AS ENUM ('sweet', 'sour');
CREATE DOMAIN tag AS varchar(200);
CREATE TABLE short (id bigint PRIMARY KEY, uid text, profile tag, paid boolean, gone boolean, n int2, u uuid, f flavour);
CREATE TABLE long (LIKE short INCLUDING ALL);
SELECT webhook.watch('short', 'short', event_uid => 'uid', profile => 'profile', paid => 'paid', deleted => 'gone');
SELECT webhook.watch('long', 'long', event_uid => '(uid)', profile => '(profile)', paid => '(paid)', deleted => '(gone)');

CREATE FUNCTION some_uid() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE (random() * 5)::int WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'event' || (random() * 600)::int
           WHEN 3 THEN repeat('x', 50 + (random() * 30)::int) ELSE 'event' || (random() * 6)::int END $$;
CREATE FUNCTION some_profile() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE (random() * 4)::int WHEN 0 THEN NULL WHEN 1 THEN repeat('é', 60) ELSE 'profile' || (random() * 4)::int END $$;

-- Messages of one table that the other one lacks; the outbox is empty afterwards.  The order in which a statement finds
-- several rows depends on when a table was vacuumed; what counts is that of each row's messages.
CREATE FUNCTION differences() RETURNS TABLE (messages boolean, differences bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY WITH said AS (
            SELECT entity_type, substring(event FROM '[^.]*$') AS action, entity_id::text, event_uid, payload::text,
                   webhook_ids::text, row_number() OVER (PARTITION BY entity_type, entity_id::text ORDER BY id) AS place FROM webhook.outbox),
        a AS (SELECT action, entity_id, event_uid, payload, webhook_ids, place FROM said WHERE entity_type = 'short'),
        b AS (SELECT action, entity_id, event_uid, payload, webhook_ids, place FROM said WHERE entity_type = 'long')
        SELECT (SELECT count(*) FROM a) > 0, count(*) FROM (((TABLE a) EXCEPT (TABLE b)) UNION ALL ((TABLE b) EXCEPT (TABLE a))) AS d;
    TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
END
$$;
CREATE FUNCTION change(rounds integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r short;
BEGIN
    FOR i IN 1 .. rounds LOOP
        r := ROW((random() * 40)::int, some_uid(), some_profile(), random() < 0.5, random() < 0.3, 1, NULL, 'sweet')::short;
        FOR t IN 1 .. 2 LOOP
            EXECUTE format('INSERT INTO %I SELECT ($1).* ON CONFLICT (id) DO UPDATE SET uid = excluded.uid, profile = excluded.profile,
                            paid = excluded.paid, gone = excluded.gone', (ARRAY['short', 'long'])[t]) USING r;
            IF i % 7 = 0 THEN
                EXECUTE format('UPDATE %I SET paid = NOT paid WHERE id %% 3 = 0', (ARRAY['short', 'long'])[t]);
            ELSIF i % 11 = 0 THEN
                EXECUTE format('DELETE FROM %I WHERE id %% 5 = $1', (ARRAY['short', 'long'])[t]) USING i % 5;
            END IF;
        END LOOP;
    END LOOP;
END
$$;

-- No webhook subscribes to the event; some do, to creations or deletions only.
SELECT webhook.create_webhook('a', 'short.*,long.*', 'http://127.0.0.1:9/', event_uids => 'another') > 0;
SELECT change(100);
SELECT * FROM differences();
SELECT webhook.create_webhook('b', 'short.create,long.create', 'http://127.0.0.1:9/', event_uids => 'event1, event3, ' || repeat('x', 66)) AS b \gset
SELECT change(300);
SELECT * FROM differences();
SELECT webhook.create_webhook('c', 'short.delete,long.delete', 'http://127.0.0.1:9/', event_uids => 'event2') > 0;
SELECT change(300);
SELECT * FROM differences();

-- Integrations: none active, for a profile, for events, with payment.
SELECT webhook.create_integration('one') <> '', webhook.create_integration('two') <> '';
SELECT webhook.connect_profile(i, p) FROM unnest(ARRAY['one', 'two']) i, unnest(ARRAY['profile0', 'profile1', 'profile2', 'profile3', repeat('é', 60)]) p;
SELECT webhook.create_webhook('d', 'short.*,long.*', 'http://127.0.0.1:9/', integration => 'one') > 0;
SELECT webhook.create_webhook('e', 'short.update,long.update', 'http://127.0.0.1:9/', integration => 'two', event_uids => 'event2,event4') > 0;
SELECT change(200);
SELECT * FROM differences();
SELECT webhook.activate_integration('profile1', 'one'), webhook.activate_integration('profile2', 'two'), webhook.activate_integration(repeat('é', 60), 'one');
SELECT change(300);
SELECT * FROM differences();
SELECT webhook.override_event('event1', 'two'), webhook.override_event('event2'), webhook.override_event('event3', 'one', only_paid => true),
       webhook.override_event('event4', 'one', send_on_payment => true), webhook.override_event(repeat('x', 60), 'two');
SELECT change(300);
SELECT * FROM differences();
-- Settings change between two rows, and back again.
BEGIN;
SELECT webhook.deactivate_integration('profile1');
SELECT change(100);
SAVEPOINT s;
SELECT webhook.activate_integration('profile1', 'two'), webhook.delete_webhook_by_id(:b);
SELECT change(100);
ROLLBACK TO s;
SELECT change(100);
COMMIT;
SELECT * FROM differences();
SELECT webhook.clear_event_override('event3'), webhook.activate_integration('profile1', 'two');
SELECT change(300);
SELECT * FROM differences();

-- One pair of values, and no other that would replace it in the cache.
CREATE FUNCTION same(n integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO short VALUES (n, 'event9', 'profile3', false, false); INSERT INTO long VALUES (n, 'event9', 'profile3', false, false) $$;
SELECT same(1001);
SELECT webhook.activate_integration('profile3', 'one');
SELECT same(1002);
SELECT webhook.override_event('event9');
SELECT same(1003);
SELECT webhook.clear_event_override('event9');
SELECT same(1004);
SELECT webhook.deactivate_integration('profile3');
SELECT same(1005);
SELECT event, entity_id::text FROM webhook.outbox ORDER BY id;
SELECT * FROM differences();

-- Other types: small integers, UUIDs, and those that the prefilter does not support.
SELECT webhook.create_webhook('n', 'short.update,long.update', 'http://127.0.0.1:9/', event_uids => '7, 00000000-0000-0000-0000-000000000007, sour') > 0;
CREATE FUNCTION by_type(field text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM webhook.watch('short', 'short', event_uid => field), webhook.watch('long', 'long', event_uid => '(' || field || ')');
    FOR t IN 1 .. 2 LOOP
        FOR i IN 1 .. 9 LOOP
            EXECUTE format('UPDATE %I SET n = $1, u = (''00000000-0000-0000-0000-00000000000'' || $1)::uuid, f = $2::flavour',
                           (ARRAY['short', 'long'])[t]) USING i, CASE WHEN i > 7 THEN 'sour' ELSE 'sweet' END;
        END LOOP;
    END LOOP;
END
$$;
SELECT by_type('n');
SELECT * FROM differences();
SELECT by_type('u');
SELECT * FROM differences();
SELECT by_type('f');
SELECT * FROM differences();

-- Partitions with columns in another order, and rows that move between them.
CREATE TABLE place (uid text, id integer, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE place_north PARTITION OF place FOR VALUES IN ('north');
CREATE TABLE place_south (region text NOT NULL, junk integer, id integer NOT NULL, uid text);
ALTER TABLE place_south DROP COLUMN junk;
ALTER TABLE place ATTACH PARTITION place_south FOR VALUES IN ('south');
SELECT webhook.watch('place', 'place', event_uid => 'uid');
SELECT webhook.create_webhook('place', 'place.*', 'http://127.0.0.1:9/', event_uids => 'wanted') > 0;
INSERT INTO place VALUES ('wanted', 1, 'north'), ('wanted', 2, 'south'), ('other', 3, 'north'), ('other', 4, 'south'), (NULL, 5, 'south');
UPDATE place SET region = CASE region WHEN 'north' THEN 'south' ELSE 'north' END;
UPDATE place SET uid = CASE uid WHEN 'wanted' THEN 'other' ELSE 'wanted' END;
UPDATE place SET region = CASE region WHEN 'north' THEN 'south' ELSE 'north' END, uid = 'wanted' WHERE id IN (1, 5);
DELETE FROM place;
SELECT event, entity_id::text, event_uid FROM webhook.outbox ORDER BY id;

DELETE FROM webhook.webhook;
DELETE FROM webhook.event_override;
SELECT webhook.delete_integration('one'), webhook.delete_integration('two');
DROP SCHEMA screen_test CASCADE;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
