-- Several messages in one row of the outbox: none is lost or out of order, whatever the transaction does.
-- Proves P4 and P11 as far as rows and index entries are saved, W1, W3, W16.
SET client_min_messages = warning;
CREATE SCHEMA runs_test;
SET search_path = runs_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;

-- The rows of all partitions, with the ids of all their messages.
CREATE VIEW stored AS
    SELECT o.xid, o.id AS first, pg_column_size(o.*) AS size,
        (SELECT array_agg(coalesce(f.id, o.id)) FROM webhook.run_followers(o.event_uid, o.profile, o.more) AS f) AS ids
    FROM (SELECT * FROM webhook.outbox_0 UNION ALL SELECT * FROM webhook.outbox_1 UNION ALL
          SELECT * FROM webhook.outbox_2 UNION ALL SELECT * FROM webhook.outbox_3) AS o;
-- W3: of two rows of a transaction all messages of one come before all of the other, and each has its own in order.
CREATE FUNCTION out_of_place() RETURNS bigint LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM stored AS a JOIN stored AS b ON a.xid = b.xid AND a.first < b.first AND a.ids[cardinality(a.ids)] > b.first)
         + (SELECT count(*) FROM stored AS s WHERE s.ids <> ARRAY(SELECT id FROM unnest(s.ids) AS id ORDER BY id))
$$;
SELECT webhook.create_webhook('runs', '*', 'http://127.0.0.1:9/') AS hook \gset

-- One row for as many messages as fit into a page.
CREATE TABLE thing (id integer PRIMARY KEY, event text, name text);
SELECT webhook.watch('thing', 'thing', event_uid => 'event');
INSERT INTO thing SELECT i, 'event', 'name' FROM generate_series(1, 2000) AS i;
SELECT count(*) AS messages, count(DISTINCT message_id) AS ids, count(DISTINCT event_uid) AS events,
    bool_and(payload::text = format('{"id":%s,"event":"event","name":"name"}', entity_id)) AS payloads,
    array_agg(entity_id::text::integer ORDER BY id) = array_agg(entity_id::text::integer ORDER BY entity_id::text::integer) AS in_order
FROM webhook.outbox;
SELECT count(*) BETWEEN 10 AND 40 AS few_rows, max(size) < current_setting('block_size')::integer AS in_a_page, out_of_place() FROM stored;
SELECT count(*) = 2000 AS all_seen FROM webhook.outbox_unread();

-- Fields that differ, and fields that are null.
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
BEGIN;
INSERT INTO thing VALUES (-1, 'a', 'first'), (-2, NULL, 'no event'), (-3, 'b', NULL), (-4, 'a', E'"quoted"\n\\ \u00e9\U0001F600');
UPDATE thing SET name = 'other trigger name' WHERE id IN (-1, -2);
SELECT count(webhook.emit('runs.emitted', payload => p, entity_id => e)) FROM (VALUES ('null'::jsonb, NULL), ('{}', 'x'), ('[1.10, 1e40]', 'x')) AS v (p, e);
COMMIT;
SELECT event, entity_type, entity_id, event_uid, profile, payload, webhook_ids = ARRAY[:hook::bigint] AS webhook, relation FROM webhook.outbox ORDER BY id;
SELECT cardinality(ids) AS messages, out_of_place() FROM stored ORDER BY first;

-- W1, W3: savepoints that are kept, rolled back, and fill a batch of their own; large messages between small ones; rows that are captured at
-- the end of the transaction at the position that they reserved.
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
CREATE TABLE event (id integer PRIMARY KEY, uid text);
CREATE TABLE guest (id integer PRIMARY KEY, event integer, notes text);
SELECT webhook.watch('guest', 'guest', event_uid => '(SELECT e.uid FROM runs_test.event AS e WHERE e.id = guest.event)');
SELECT webhook.create_webhook('runs', 'guest.*', 'http://127.0.0.1:9/', event_uids => 'LATE') > 0;
-- What has been written and not rolled back.
CREATE TABLE expected (nth serial, what text);
CREATE PROCEDURE work(depth integer, steps integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. steps LOOP
        CASE (random() * 9)::integer
            WHEN 0 THEN
                BEGIN
                    CALL work(depth - 1, CASE WHEN depth > 0 THEN steps / 2 ELSE 0 END);
                    IF random() < 0.5 THEN
                        RAISE EXCEPTION SQLSTATE 'RUN01';
                    END IF;
                EXCEPTION WHEN SQLSTATE 'RUN01' THEN
                    NULL;
                END;
            WHEN 1 THEN
                INSERT INTO guest VALUES ((SELECT coalesce(max(id), 0) + 1 FROM guest), 7, repeat('guest', (random() * 3)::integer));
                INSERT INTO expected (what) SELECT 'guest ' || max(id) FROM guest;
            WHEN 2 THEN
                PERFORM webhook.emit('runs.large', jsonb_build_object('x', repeat('large ', (random() * 2000)::integer)), entity_id => 'l' || i);
                INSERT INTO expected (what) VALUES ('large "l' || i || '"');
            ELSE
                FOR n IN 1 .. (random() * 40)::integer LOOP
                    PERFORM webhook.emit('runs.small', '{}', entity_id => 's' || i || '.' || n);
                    INSERT INTO expected (what) VALUES ('small "s' || i || '.' || n || '"');
                END LOOP;
        END CASE;
    END LOOP;
END
$$;
SELECT setseed(0.5);
BEGIN;
CALL work(4, 60);
INSERT INTO event VALUES (7, 'LATE');
COMMIT;
SELECT count(*) > 1000 AS many, count(*) FILTER (WHERE what LIKE 'guest%') > 10 AS guests, count(*) FILTER (WHERE what LIKE 'large%') > 10 AS large,
    array_agg(what ORDER BY nth) = (SELECT array_agg(split_part(replace(event, 'runs.', ''), '.', 1) || ' ' || entity_id ORDER BY id) FROM webhook.outbox) AS same
FROM expected;
SELECT bool_and(event_uid = 'LATE') AS found_late FROM webhook.outbox WHERE event LIKE 'guest%';
SELECT out_of_place(), bool_or(cardinality(ids) > 10) AS long_runs FROM stored;

-- W16: a dump contains a row of which some messages had been processed: adopt() sends the others.
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
SELECT count(webhook.emit('runs.dumped', to_jsonb(i), entity_id => 'e' || i)) FROM generate_series(1, 20) AS i;
SELECT id + 7 AS middle, xid FROM webhook.outbox_0 \gset
BEGIN;
CREATE TEMP TABLE dumped AS SELECT * FROM webhook.outbox_0;
TRUNCATE webhook.outbox_0;
INSERT INTO webhook.outbox_0 SELECT * FROM dumped;
INSERT INTO webhook.cursor (seq, system_identifier, database, written_by, done, through, through_id, written_at)
    SELECT 1, 1, 1, '3', format('%s:%s:', :'xid', :'xid')::pg_snapshot, format('%s:%s:', :'xid'::text::bigint + 1, :'xid'::text::bigint + 1)::pg_snapshot, :middle, '2000-01-01';
SELECT count(*) AS rows, bool_and(xid = '0') AS marked FROM webhook.outbox_0;
SELECT count(*) AS unread, min(id) - :middle AS first FROM webhook.outbox_unread();
SELECT webhook.adopt('send');
SELECT count(*) AS rows, count(more) AS packed, bool_and(xid = '2') AS adopted, string_agg(payload::text, ' ' ORDER BY id) AS payloads FROM webhook.outbox_0;
SELECT count(*) AS unread, min(id) - :middle AS first FROM webhook.outbox_unread();
ROLLBACK;

-- A row that cannot be read is an error, not a message.
SELECT webhook.run_followers('uid', NULL, '\x02');
SELECT webhook.run_followers('uid', NULL, '\x');
SELECT webhook.run_followers('uid', NULL, '\x0142');
SELECT webhook.run_followers('uid', NULL, '\x010604');
SELECT webhook.run_followers(NULL, NULL, ('\x010604' || repeat('00', 32) || 'ffffffff')::bytea);
SELECT webhook.run_followers(NULL, NULL, ('\x010604' || repeat('00', 32) || '00000005' || '6162')::bytea);
SELECT webhook.run_followers(NULL, NULL, ('\x010604' || repeat('00', 32) || '00000001' || 'fc')::bytea);
-- Random changes of bytes cause no more than an error, either.
CREATE FUNCTION reads(more bytea) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM f FROM webhook.run_followers('uid', 'profile', more) AS f;
    RETURN true;
EXCEPTION WHEN data_corrupted OR character_not_in_repertoire OR untranslatable_character THEN
    RETURN false;
END
$$;
SELECT setseed(0.75);
SELECT count(DISTINCT r) AS outcomes FROM generate_series(1, 20000) AS i,
    LATERAL (SELECT ('\x0106' || repeat('7f' || repeat('00', 40) || repeat('00000002' || '6162', 4), 4))::bytea) AS sound (more),
    LATERAL (SELECT set_byte(sound.more, (random() * (length(sound.more) - 1))::integer, (random() * 255)::integer)) AS once (more),
    LATERAL (SELECT set_byte(once.more, (i % length(once.more)), (random() * 255)::integer)) AS twice (more),
    LATERAL (SELECT reads(substring(twice.more, 1, CASE WHEN i % 3 = 0 THEN i % 262 ELSE 262 END))) AS result (r);

-- W2: rows from a database with another encoding, here LATIN1 and EUC_JP, are converted.
SELECT (f).event_uid, (f).entity_id, (f).profile FROM webhook.run_followers('für alle', NULL,
    ('\x01081a' || repeat('00', 32) || '00000005' || '22fc6265' || '22' || '00000002' || '61fc')::bytea) AS f;
SELECT (f).event_uid, (f).entity_id FROM webhook.run_followers('für alle', NULL,
    ('\x01010a' || repeat('00', 32) || '00000004' || '22c6fc22')::bytea) AS f;

SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('runs');
SELECT count(webhook.unwatch(relation)) FROM webhook.watch;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
RESET search_path;
DROP SCHEMA runs_test CASCADE;
