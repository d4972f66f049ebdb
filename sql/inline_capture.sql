-- Rows are captured while the statement runs where that is possible, and by the trigger where it is not: the messages are the same.
-- Proves P5 as far as no trigger event is queued, W1 and E5 for errors later in the statement, and the order of messages (E2).
CREATE SCHEMA inline_test;
SET search_path = inline_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

-- How often a statement calls the trigger.
CREATE FUNCTION trigger_calls(command text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    line text;
    calls bigint := 0;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || command LOOP
        calls := calls + coalesce(substring(line FROM '00_webhook_capture.*calls=(\d+)')::bigint, 0);
    END LOOP;
    RETURN calls;
END
$$;
CREATE FUNCTION new_messages(OUT event text, OUT entity_id text, OUT payload text) RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
    SELECT event, entity_id::text, left(payload::text, 200) FROM new_rows()
$$;

CREATE TABLE guest (id integer PRIMARY KEY, name text, event text, notes text);
SELECT webhook.watch('guest', 'guest', event_uid => 'event');

-- P5: no webhook subscribes, or none for this event.
SELECT trigger_calls($$INSERT INTO guest VALUES (1, 'unheard', 'party')$$) AS calls;
SELECT webhook.create_webhook('inline', 'guest.create', 'http://127.0.0.1:9/', event_uids => 'ball') AS hook \gset
SELECT trigger_calls($$INSERT INTO guest VALUES (2, 'unheard', 'party'), (3, 'heard', 'ball'), (4, 'unheard', NULL)$$) AS calls;
SELECT trigger_calls($$UPDATE guest SET name = 'unheard, too'$$) AS calls, trigger_calls($$DELETE FROM guest$$) AS calls;
SELECT * FROM new_messages();
SELECT webhook.delete_webhook_by_id(:hook);

-- A webhook does.
SELECT webhook.create_webhook('inline', '*', 'http://127.0.0.1:9/{event_uid}') AS hook \gset
SELECT trigger_calls($$INSERT INTO guest SELECT i, 'guest', 'party' FROM generate_series(1, 3) AS i$$) AS calls;
SELECT trigger_calls($$UPDATE guest SET name = 'changed' WHERE id < 3$$) AS calls;
SELECT trigger_calls($$INSERT INTO guest VALUES (3, 'on conflict'), (4, 'new') ON CONFLICT (id) DO UPDATE SET name = excluded.name$$) AS calls;
SELECT trigger_calls($$WITH gone AS (DELETE FROM guest WHERE id = 4 RETURNING *) INSERT INTO guest SELECT 5, name FROM gone$$) AS calls;
SELECT trigger_calls($$DELETE FROM guest WHERE id = 5$$) AS calls;
SELECT * FROM new_messages();
-- With the setting off, the trigger captures them; only a superuser can change it.
SET webhook.inline_capture = off;
SELECT trigger_calls($$INSERT INTO guest VALUES (5, 'slow'), (6, 'slow')$$) AS calls, trigger_calls($$DELETE FROM guest WHERE id > 4$$) AS calls;
RESET webhook.inline_capture;
SELECT * FROM new_messages();
SET ROLE pg_monitor;
SET webhook.inline_capture = off;
RESET ROLE;

-- User-defined functions run in the trigger, when the statement has completed.
CREATE TABLE seat (id integer PRIMARY KEY, guest integer);
SELECT webhook.watch('seat', 'seat', event_uid => '(SELECT count(*)::text FROM inline_test.seat AS s WHERE s.guest = seat.guest)');
SELECT trigger_calls($$INSERT INTO seat VALUES (1, 1), (2, 1), (3, 2)$$) AS calls;
SELECT o.entity_id::text, o.event_uid FROM webhook.outbox AS o WHERE o.id > (SELECT id FROM last_message) ORDER BY o.id;
-- C34: they do not, if no webhook needs them, if no webhook subscribes to the columns that change, or if they depend on the row alone.
SELECT webhook.update_webhook(:hook, '{"url": "http://127.0.0.1:9/"}');
SELECT trigger_calls($$INSERT INTO seat VALUES (4, 1)$$) AS calls;
SELECT webhook.update_webhook(:hook, '{"url": "http://127.0.0.1:9/{event_uid}", "columns": ["name"]}');
SELECT trigger_calls($$UPDATE seat SET guest = 3$$) AS calls;
SELECT webhook.update_webhook(:hook, '{"columns": null}');
SELECT webhook.watch('seat', 'seat', event_uid => $$'guest ' || guest$$, deleted => 'guest IS NULL', id => $$CASE WHEN id > 1 THEN id::text ELSE 'first' END$$);
SELECT trigger_calls($$UPDATE seat SET guest = id$$) AS calls, trigger_calls($$UPDATE seat SET guest = NULL$$) AS calls;
SELECT webhook.watch('seat', 'seat', event_uid => $$to_char(guest, '9')$$);
SELECT trigger_calls($$UPDATE seat SET guest = id WHERE id = 2$$) AS calls;
SELECT o.event, o.entity_id::text, o.event_uid FROM webhook.outbox AS o WHERE o.id > (SELECT id FROM last_message) ORDER BY o.id;
-- So do partitions.
CREATE TABLE visit (id integer PRIMARY KEY, place text) PARTITION BY RANGE (id);
CREATE TABLE visit_low PARTITION OF visit FOR VALUES FROM (0) TO (10);
CREATE TABLE visit_high PARTITION OF visit FOR VALUES FROM (10) TO (20);
SELECT webhook.watch('visit', 'visit');
SELECT trigger_calls($$INSERT INTO visit VALUES (1, 'hall'), (12, 'hall')$$) AS calls, trigger_calls($$UPDATE visit SET id = id + 5$$) AS calls,
    trigger_calls($$DELETE FROM visit$$) AS calls;
SELECT * FROM new_messages();

-- E2: a trigger of the application changes rows that the same statement changes; messages are in the order of the changes.
CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE guest SET notes = 'after ' || NEW.id WHERE id IN (NEW.id, NEW.id + 1);
    RETURN NULL;
END
$$;
CREATE TRIGGER mark AFTER UPDATE OF name ON guest FOR EACH ROW EXECUTE FUNCTION mark();
UPDATE guest SET name = 'twice' WHERE id < 3;
SELECT * FROM new_messages();
DROP TRIGGER mark ON guest;

-- E5: an error later in the statement rolls the messages back, and does not have our error context.
CREATE TABLE ticket (id integer PRIMARY KEY, guest integer REFERENCES guest);
CREATE TABLE slow_ticket (id integer PRIMARY KEY, guest integer REFERENCES guest);
SELECT webhook.watch('ticket', 'ticket'), webhook.watch('slow_ticket', 'ticket');
-- If the trigger has another condition, the trigger captures all rows.
DROP TRIGGER "00_webhook_capture" ON slow_ticket;
CREATE TRIGGER "00_webhook_capture" AFTER INSERT OR UPDATE OR DELETE ON slow_ticket FOR EACH ROW WHEN (true) EXECUTE FUNCTION webhook.capture();
INSERT INTO ticket VALUES (1, 1), (2, 99);
INSERT INTO slow_ticket VALUES (1, 1), (2, 99);
DO $$
BEGIN
    INSERT INTO ticket VALUES (3, 1), (4, 99);
EXCEPTION WHEN foreign_key_violation THEN
    INSERT INTO ticket VALUES (5, 1);
END
$$;
SELECT trigger_calls($$INSERT INTO ticket VALUES (6, 1)$$) AS calls, trigger_calls($$INSERT INTO slow_ticket VALUES (6, 1)$$) AS calls;
SELECT * FROM new_messages();

-- The same changes both ways, with values stored out of line, generated, dropped and excluded columns.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{fast,slow}'::text[] LOOP
        EXECUTE format('CREATE TABLE %I (id integer PRIMARY KEY, gone integer, name text, event text, body text,
            twice integer GENERATED ALWAYS AS (id * 2) STORED, paid boolean, deleted boolean DEFAULT false, secret text)', name);
        EXECUTE format('ALTER TABLE %I DROP COLUMN gone, ALTER COLUMN body SET STORAGE EXTERNAL', name);
    END LOOP;
END
$$;
SELECT webhook.watch('fast', 'fast', event_uid => 'event', paid => 'paid', deleted => 'deleted', exclude => '{secret}'),
    webhook.watch('slow', 'slow', event_uid => 'event', paid => 'paid', deleted => 'deleted', exclude => '{secret}');
DROP TRIGGER "00_webhook_capture" ON slow;
CREATE TRIGGER "00_webhook_capture" AFTER INSERT OR UPDATE OR DELETE ON slow FOR EACH ROW WHEN (true) EXECUTE FUNCTION webhook.capture();
SELECT setseed(0.25);
DO $$
DECLARE
    n integer;
    id integer;
    change text;
BEGIN
    FOR n IN 1..600 LOOP
        id := (random() * 30)::integer;
        change := CASE (random() * 6)::integer
            WHEN 0 THEN format('DELETE FROM %%I WHERE id = %s', id)
            WHEN 1 THEN format('UPDATE %%I SET secret = %L WHERE id < %s', n, id)
            WHEN 2 THEN format('UPDATE %%I SET name = %L, paid = NOT coalesce(paid, false) WHERE mod(id, 5) = %s', 'name ' || n % 7, id % 5)
            WHEN 3 THEN format('UPDATE %%I SET deleted = NOT deleted WHERE id = %s', id)
            WHEN 4 THEN format('UPDATE %%I SET body = body || %L WHERE id = %s', repeat('more', 700), id)
            ELSE format('INSERT INTO %%I (id, name, event, body) VALUES (%s, %L, %L, repeat(%L, 1000)) ON CONFLICT (id) DO UPDATE SET event = excluded.event',
                id, 'new', CASE WHEN n % 3 > 0 THEN 'event ' || n % 3 END, n)
        END;
        EXECUTE format(change, 'fast');
        EXECUTE format(change, 'slow');
    END LOOP;
END
$$;
WITH told AS (
    SELECT o.entity_type, row_number() OVER (PARTITION BY o.entity_type ORDER BY o.id) AS nth,
        ROW (split_part(o.event, '.', 2), o.entity_id::text, o.event_uid, o.payload::text) AS message
    FROM webhook.outbox AS o WHERE o.id > (SELECT id FROM last_message) AND o.entity_type IN ('fast', 'slow'))
SELECT count(*) > 300 AS many, count(*) FILTER (WHERE f.message IS DISTINCT FROM s.message) AS differences
FROM (SELECT * FROM told WHERE entity_type = 'fast') AS f FULL JOIN (SELECT * FROM told WHERE entity_type = 'slow') AS s USING (nth);

SELECT count(webhook.unwatch(relation)) FROM webhook.watch;
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.webhook;
DROP SCHEMA inline_test CASCADE;
