-- Expressions of watch(): which are evaluated, when, how often, as which role, and what they see.
-- Proves C34 (nothing is evaluated that no webhook needs), W14 (with the privileges of the table's owner), W15 (any existing schema).
\set SHOW_CONTEXT never
CREATE SCHEMA expressions_test;
SET search_path = expressions_test;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers
CREATE FUNCTION new_messages(OUT event text, OUT entity_id text, OUT uid text, OUT payload text) RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
    SELECT event, entity_id::text, event_uid, payload::text FROM new_rows()
$$;

-- C34: an expression that fails whenever it is evaluated is harmless until a webhook needs it.
CREATE FUNCTION fail(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% was asked for', $1; END $$;
CREATE TABLE guest (id integer PRIMARY KEY, name text, note text, gone timestamptz);
SELECT webhook.watch('guest', 'guest', event_uid => 'fail(''event'')', profile => 'fail(''profile'')', paid => 'fail(''payment'')::boolean');
SELECT webhook.create_webhook('test', 'guest.*', 'http://127.0.0.1:9/') AS hook \gset
INSERT INTO guest VALUES (1, 'Ann');
UPDATE guest SET name = 'Anna';
SELECT * FROM new_messages();
SELECT webhook.update_webhook(:hook, '{"url": "http://127.0.0.1:9/{event_uid}"}');
SELECT code, message FROM refused($$UPDATE guest SET name = 'Ann'$$);
SELECT webhook.update_webhook(:hook, '{"url": "http://127.0.0.1:9/", "event_uids": "gala"}');
SELECT code, message FROM refused($$UPDATE guest SET name = 'Ann'$$);
-- Not for a change of other columns than those that webhooks want.
SELECT webhook.update_webhook(:hook, '{"columns": ["note"]}');
UPDATE guest SET name = 'Ann';
SELECT code, message FROM refused($$UPDATE guest SET note = 'vegan'$$);
SELECT webhook.update_webhook(:hook, '{"event_uids": null, "columns": null}'), webhook.create_integration('test') <> '' AS created;
SELECT webhook.create_webhook('test', 'guest.*', 'http://127.0.0.1:9/', integration => 'test') AS integrated \gset
SELECT webhook.watch('guest', 'guest', profile => 'fail(''profile'')', paid => 'fail(''payment'')::boolean');
SELECT code, message FROM refused($$UPDATE guest SET name = 'Anna'$$);
-- Payment matters only where there is an override.
SELECT webhook.watch('guest', 'guest', event_uid => 'note', paid => 'fail(''payment'')::boolean');
UPDATE guest SET name = 'Anna';
SELECT webhook.override_event('gala', 'test', only_paid => true);
SELECT code, message FROM refused($$UPDATE guest SET name = 'Ann', note = 'gala'$$);
SELECT webhook.clear_event_override('gala'), webhook.delete_integration('test');
SELECT * FROM new_messages();

-- An update of columns that no webhook wants can still be a delete, or change the id.
SELECT webhook.update_webhook(:hook, '{"url": "http://127.0.0.1:9/{event_uid}", "columns": ["note"]}');
SELECT webhook.watch('guest', 'guest', event_uid => $$'event of ' || name$$, deleted => 'gone IS NOT NULL');
UPDATE guest SET name = 'Bob';
UPDATE guest SET gone = now(), name = 'Cyd';
UPDATE guest SET gone = NULL;
UPDATE guest SET id = 2;
SELECT event, entity_id, uid FROM new_messages();
SELECT webhook.update_webhook(:hook, '{"columns": null}');

-- W14: functions evaluated in place are looked up as the owner of the table, whichever role changes the row; a revoked privilege counts at once.
CREATE ROLE expressions_owner;
CREATE ROLE expressions_clerk;
GRANT USAGE, CREATE ON SCHEMA expressions_test TO expressions_owner;
GRANT USAGE ON SCHEMA expressions_test TO expressions_clerk;
CREATE FUNCTION secret(text) RETURNS text LANGUAGE internal IMMUTABLE AS 'upper';
REVOKE ALL ON FUNCTION secret FROM public;
GRANT EXECUTE ON FUNCTION secret TO expressions_owner;
ALTER TABLE guest OWNER TO expressions_owner;
GRANT ALL ON guest TO expressions_clerk;
SELECT webhook.watch('guest', 'guest', event_uid => 'secret(name)');
SET ROLE expressions_clerk;
UPDATE guest SET name = 'Dan';
RESET ROLE;
REVOKE EXECUTE ON FUNCTION secret FROM expressions_owner;
GRANT EXECUTE ON FUNCTION secret TO expressions_clerk;
SET ROLE expressions_clerk;
UPDATE guest SET name = 'Eve';
RESET ROLE;
GRANT EXECUTE ON FUNCTION secret TO expressions_owner;
UPDATE guest SET name = 'Fay';
SELECT event, uid FROM new_messages();

-- A function that is replaced, altered or dropped.
CREATE OR REPLACE FUNCTION secret(text) RETURNS text LANGUAGE internal IMMUTABLE AS 'lower';
UPDATE guest SET name = 'Gus';
CREATE OR REPLACE FUNCTION secret(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'sql ' || $1 $$;
UPDATE guest SET name = 'Hal';
CREATE OR REPLACE FUNCTION secret(text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN current_user || ' ' || $1; END $$;
SET ROLE expressions_clerk;
UPDATE guest SET name = 'Ida';
RESET ROLE;
ALTER FUNCTION secret(text) SECURITY DEFINER;
CREATE OR REPLACE FUNCTION secret(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper($1) $$;
ALTER FUNCTION secret(text) RENAME TO no_secret;
SELECT code, message FROM refused($$UPDATE guest SET name = 'Joy'$$);
ALTER FUNCTION no_secret(text) RENAME TO secret;
UPDATE guest SET name = 'Kim';
SELECT event, uid FROM new_messages();

-- An error in one is an error of the statement.
SELECT webhook.watch('guest', 'guest', event_uid => '(1 / length(name))::text');
SELECT code, message FROM refused($$UPDATE guest SET name = ''$$);
UPDATE guest SET name = 'Lea';
SELECT event, uid FROM new_messages();

-- A sub-select sees the completed statement, and what triggers have done for the rows before.
CREATE TABLE place (id integer PRIMARY KEY, name text, seen integer NOT NULL DEFAULT 0);
INSERT INTO place VALUES (1, 'hall'), (2, 'roof');
CREATE TABLE seat (id integer PRIMARY KEY, place integer, guest text);
INSERT INTO seat SELECT i, 1 + i % 2 FROM generate_series(1, 4) AS i;
SELECT webhook.watch('seat', 'seat', event_uid => $$(SELECT p.name || ' ' || p.seen || ' ' || (SELECT count(*) FROM seat s WHERE s.guest = seat.guest) FROM place p WHERE p.id = place)$$,
    columns => '{id}');
SELECT webhook.update_webhook(:hook, '{"event": "guest.*,seat.*"}');
INSERT INTO seat SELECT i, 1 + i % 2, 'Max' FROM generate_series(5, 7) AS i;
SELECT event, entity_id, uid FROM new_messages();
CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE place SET seen = seen + 1 WHERE id = NEW.place; RETURN NULL; END $$;
CREATE TRIGGER count_it AFTER INSERT OR UPDATE ON seat FOR EACH ROW EXECUTE FUNCTION count_it();
INSERT INTO seat SELECT i, 1 + i % 2, 'Ned' FROM generate_series(8, 11) AS i;
COPY seat FROM stdin;
12	1	Oda
13	2	Oda
\.
SELECT event, entity_id, uid FROM new_messages();
-- Also inside a savepoint that is rolled back, and if a trigger changes the tables that the sub-select reads.
CREATE OR REPLACE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        UPDATE place SET name = 'lost' WHERE id = NEW.place;
        INSERT INTO seat VALUES (100 + NEW.id, NEW.place, 'lost');
        RAISE EXCEPTION 'no';
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
    IF NEW.id % 2 = 0 THEN
        ALTER TABLE place ALTER seen TYPE bigint;
        TRUNCATE place;
        INSERT INTO place VALUES (1, 'cellar'), (2, 'yard');
    END IF;
    RETURN NULL;
END
$$;
ALTER TABLE seat DISABLE TRIGGER count_it;
CREATE TRIGGER count_it_once AFTER INSERT ON seat FOR EACH ROW WHEN (NEW.id < 100) EXECUTE FUNCTION count_it();
INSERT INTO seat SELECT i, 1 + i % 2, 'Pia' FROM generate_series(14, 17) AS i;
SELECT event, entity_id, uid FROM new_messages();
DROP TRIGGER count_it_once ON seat;
-- A query that fails in a savepoint leaves the others alone.
SELECT webhook.watch('seat', 'seat', event_uid => $$(SELECT p.name || 1 / (seat.id - 20) FROM place p WHERE p.id = place)$$);
DO $$
BEGIN
    FOR i IN 18..22 LOOP
        BEGIN
            INSERT INTO expressions_test.seat VALUES (i, 1, 'Quy'), (i + 10, 2, 'Quy');
        EXCEPTION WHEN division_by_zero THEN
            NULL;
        END;
    END LOOP;
END
$$;
SELECT event, entity_id, uid FROM new_messages();

-- Reused queries give the same values as new ones: all rows of a bulk statement, captured either way.
SELECT webhook.watch('seat', 'seat', id => $$'seat ' || id$$, event_uid => '(SELECT p.name FROM place p WHERE p.id = place)', columns => '{id}', deleted => $$guest = 'gone'$$);
TRUNCATE seat;
INSERT INTO seat SELECT i, 1 + i % 3, 'Ray' FROM generate_series(1, 3000) AS i;
UPDATE seat SET guest = CASE WHEN id % 5 = 0 THEN 'gone' ELSE 'Sue' END, place = 1 + (place + 1) % 3;
SELECT event, uid, count(*), count(DISTINCT entity_id) FROM new_messages() GROUP BY 1, 2 ORDER BY 1, 2;

-- W14: settings of the session do not matter for the second row either, where a query goes on that has been started for the first.
CREATE TABLE day (id integer PRIMARY KEY, day date, opens timestamptz);
INSERT INTO day VALUES (1, '2026-03-04', '2026-03-04 09:00+00');
CREATE VIEW day_text AS SELECT id, day::text AS text FROM day;
CREATE FUNCTION setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN current_setting($1); END $$;
CREATE PROCEDURE insert_three(event_uid text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM webhook.watch('seat', 'seat', event_uid => event_uid);
    INSERT INTO seat SELECT max(s.id) + i, 1 FROM seat s, generate_series(1, 3) i GROUP BY i;
END
$$;
SET datestyle = 'German, DMY';
SET timezone = 'Asia/Tokyo';
CALL insert_three('(SELECT d.day::text FROM day d WHERE d.id = place)');
CALL insert_three('(SELECT d.day FROM day d WHERE d.id = place)');
CALL insert_three('(SELECT t.text FROM day_text t WHERE t.id = place)');
CALL insert_three($$(SELECT to_char(d.opens, 'HH24:MI TZ') FROM day d WHERE d.id = place)$$);
CALL insert_three($$(SELECT setting('timezone') || ', ' || setting('datestyle') || ', ' || p.name FROM place p WHERE p.id = place)$$);
RESET datestyle;
RESET timezone;
SELECT uid, count(*) FROM new_messages() GROUP BY 1 ORDER BY 1;

SELECT webhook.delete_webhook_by_id(:hook);
SELECT count(webhook.unwatch(relation)) FROM webhook.watch;
RESET search_path;
DROP SCHEMA expressions_test CASCADE;
DROP ROLE expressions_owner;
DROP ROLE expressions_clerk;
