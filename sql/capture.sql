-- What a change of a row becomes: which messages are written, and for whom.
-- Proves I1, W1, W8, W15, E2, E5 and I6 as far as the outbox shows them; payloads are compared in payload.sql.
-- webhook.dispatch = off in the test cluster keeps the messages where they are.
CREATE SCHEMA capture_test;
SET search_path = capture_test;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

-- refused() with the context of the error.
CREATE FUNCTION refused_in(command text, OUT code text, OUT message text, OUT context text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    message := 'NOT REFUSED';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, context = PG_EXCEPTION_CONTEXT;
    context := substring(context FROM 'webhook capture.*?\n');
END
$$;
CREATE FUNCTION new_messages(OUT event text, OUT entity_id text, OUT uid text, OUT profile text, OUT webhooks text, OUT payload text)
    RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
    SELECT event, entity_id::text, event_uid, profile, receivers(webhook_ids), left(payload::text, 200) FROM new_rows()
$$;
SELECT webhook.create_webhook('capture', '*', 'http://127.0.0.1:9/{event_uid}', name => 'all') > 0;

--
-- I1: INSERT, UPDATE, DELETE, and their relatives
--
CREATE TABLE guest (id integer PRIMARY KEY, name text, event text);
SELECT webhook.watch('guest', 'guest', event_uid => 'event');
INSERT INTO guest VALUES (1, 'Ada', 'party'), (2, 'Bob', NULL);
UPDATE guest SET name = 'Ada Lovelace' WHERE id = 1;
UPDATE guest SET id = 3 WHERE id = 2;
DELETE FROM guest WHERE id = 1;
SELECT * FROM new_messages();
COPY guest FROM stdin;
10	Copied	ball
11	\N	\N
\.
INSERT INTO guest VALUES (10, 'Again', 'x') ON CONFLICT DO NOTHING;
INSERT INTO guest VALUES (10, 'Conflict', 'x'), (12, 'New', 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name;
WITH gone AS (DELETE FROM guest WHERE id = 11 RETURNING *) INSERT INTO guest SELECT id + 10, name, event FROM gone;
SELECT * FROM new_messages();
SELECT current_setting('server_version_num')::integer >= 150000 AS has_merge \gset
SELECT current_setting('max_prepared_transactions')::int > 0 AS can_prepare \gset
\if :has_merge
MERGE INTO guest AS g USING (VALUES (3, 'delete'), (10, 'update'), (30, 'insert'), (12, 'nothing')) AS v (id, what) ON g.id = v.id
    WHEN MATCHED AND what = 'delete' THEN DELETE
    WHEN MATCHED AND what = 'update' THEN UPDATE SET name = 'Merged'
    WHEN MATCHED THEN DO NOTHING
    WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'Merged', NULL);
\else
DELETE FROM guest WHERE id = 3;
UPDATE guest SET name = 'Merged' WHERE id = 10;
INSERT INTO guest VALUES (30, 'Merged', NULL);
\endif
SELECT * FROM new_messages();

-- W8: an update that changes nothing.
UPDATE guest SET name = name;
UPDATE guest SET name = 'Merged' WHERE id IN (10, 30);
SELECT * FROM new_messages();

-- TRUNCATE is not a change of rows.
TRUNCATE guest;
SELECT * FROM new_messages();

-- W1: savepoints, and a function that catches an error.
BEGIN;
INSERT INTO guest VALUES (1, 'kept', NULL);
SAVEPOINT a;
INSERT INTO guest VALUES (2, 'undone', NULL);
SAVEPOINT b;
INSERT INTO guest VALUES (3, 'undone, though released', NULL);
RELEASE b;
ROLLBACK TO a;
SAVEPOINT c;
INSERT INTO guest VALUES (4, 'released', NULL);
RELEASE c;
COMMIT;
BEGIN;
INSERT INTO guest VALUES (5, 'rolled back', NULL);
ROLLBACK;
DO $$
BEGIN
    INSERT INTO guest VALUES (6, 'undone', NULL), (1, 'duplicate', NULL);
EXCEPTION WHEN unique_violation THEN
    INSERT INTO guest VALUES (7, 'after the error', NULL);
END
$$;
SELECT * FROM new_messages();

-- Replicated rows, and those of a table whose trigger is disabled, are not captured.
SET session_replication_role = replica;
INSERT INTO guest VALUES (40, 'replicated', NULL);
RESET session_replication_role;
ALTER TABLE guest DISABLE TRIGGER "00_webhook_capture";
INSERT INTO guest VALUES (41, 'quiet', NULL);
ALTER TABLE guest ENABLE TRIGGER "00_webhook_capture";
INSERT INTO guest VALUES (42, 'heard', NULL);
SELECT * FROM new_messages();

-- Changes of the table after watch(), and of its settings.
ALTER TABLE guest ADD COLUMN added integer DEFAULT 5, DROP COLUMN name;
INSERT INTO guest VALUES (50, 'e', 6);
ALTER TABLE guest RENAME TO attendee;
UPDATE attendee SET added = 7 WHERE id = 50;
SELECT webhook.watch('attendee', 'attendee', exclude => '{event}');
UPDATE attendee SET added = 8, event = 'f' WHERE id = 50;
UPDATE attendee SET event = 'g' WHERE id = 50;
SELECT * FROM new_messages();
-- A setting that refers to a dropped column: the statement fails, and the error says why.
SELECT webhook.watch('attendee', 'attendee', event_uid => 'event');
ALTER TABLE attendee RENAME COLUMN event TO occasion;
SELECT r.* FROM refused_in('DELETE FROM attendee WHERE id = 50') AS r;
SELECT webhook.watch('attendee', 'attendee', event_uid => 'occasion');
DELETE FROM attendee WHERE id = 50;
SELECT webhook.unwatch('attendee');
DELETE FROM attendee;
SELECT * FROM new_messages();

--
-- Identity
--
CREATE TABLE keys (a text, b integer, c text, PRIMARY KEY (b, a));
CREATE TABLE text_key (id text PRIMARY KEY);
CREATE TABLE uuid_key (id uuid PRIMARY KEY);
CREATE DOMAIN number AS bigint;
CREATE TABLE domain_key (id number PRIMARY KEY);
CREATE TABLE numeric_key (id numeric PRIMARY KEY);
CREATE TABLE no_key (x integer, y text);
SELECT webhook.watch('keys', 'k'), webhook.watch('text_key', 'k'), webhook.watch('uuid_key', 'k'), webhook.watch('domain_key', 'k'),
    webhook.watch('numeric_key', 'k'), webhook.watch('no_key', 'k', id => 'x + 1');
INSERT INTO keys VALUES ('one', 2, 'c'), ('with,comma\', -3, NULL);
INSERT INTO text_key VALUES (E'"quoted"\n'), ('17');
INSERT INTO uuid_key VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
INSERT INTO domain_key VALUES (9007199254740993);
INSERT INTO numeric_key VALUES (1.50);
INSERT INTO no_key VALUES (1), (NULL);
SELECT event, entity_id, payload FROM new_messages();
-- The key column of a composite key changes: an update of the row with its new id.
UPDATE keys SET b = 4 WHERE b = 2;
SELECT event, entity_id, payload FROM new_messages();

--
-- Soft deletes
--
CREATE TABLE soft (id integer PRIMARY KEY, name text, gone boolean, gone_at date);
SELECT webhook.watch('soft', 'soft', deleted => 'gone');
INSERT INTO soft VALUES (1, 'a', false), (2, 'b', NULL), (3, 'born dead', true);
UPDATE soft SET name = 'A' WHERE id = 1;
UPDATE soft SET gone = true;
UPDATE soft SET name = 'nobody cares' WHERE id = 1;
UPDATE soft SET gone = NULL WHERE id = 1;
DELETE FROM soft;
SELECT event, entity_id, payload FROM new_messages();
-- By an expression, over a column that is not in the payload.
SELECT webhook.watch('soft', 'soft', deleted => 'gone_at IS NOT NULL', columns => '{id,name}');
INSERT INTO soft VALUES (4, 'd');
UPDATE soft SET gone = true;
UPDATE soft SET gone_at = '2025-01-01';
UPDATE soft SET gone_at = '2025-01-02';
UPDATE soft SET gone_at = NULL;
SELECT event, entity_id, payload FROM new_messages();

--
-- Generated columns, large values, forced row-level security
--
CREATE TABLE various (id integer PRIMARY KEY, n integer, twice integer GENERATED ALWAYS AS (n * 2) STORED, large text);
ALTER TABLE various ALTER large SET STORAGE EXTERNAL;
SELECT webhook.watch('various', 'various');
INSERT INTO various VALUES (1, 21, DEFAULT, repeat('x', 100000));
UPDATE various SET n = 22;
UPDATE various SET large = repeat('x', 100000);
UPDATE various SET large = repeat('x', 99999) || 'y';
SELECT event, o.payload::json->>'twice' AS twice, length(o.payload::json->>'large') AS length
  FROM webhook.outbox AS o WHERE id > (SELECT id FROM last_message) ORDER BY id;
SELECT count(*) FROM new_messages();

CREATE ROLE regress_capture_user;
GRANT USAGE ON SCHEMA capture_test TO regress_capture_user;
CREATE TABLE secured (id integer PRIMARY KEY, tenant text, ref integer);
CREATE TABLE secured_event (id integer PRIMARY KEY, uid text);
INSERT INTO secured_event VALUES (1, 'hidden uid');
ALTER TABLE secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON secured FOR ALL USING (tenant = current_user) WITH CHECK (true);
GRANT ALL ON secured TO regress_capture_user;
SELECT webhook.watch('secured', 'secured', event_uid => '(SELECT e.uid FROM secured_event AS e WHERE e.id = ref)');
-- A role with no privileges on the table that the expression reads, nor on any object of the extension.
SET ROLE regress_capture_user;
INSERT INTO secured VALUES (1, 'regress_capture_user', 1), (2, 'another', 1);
UPDATE secured SET tenant = 'another';
SELECT count(*) FROM secured_event;
RESET ROLE;
SELECT event, entity_id, uid, payload FROM new_messages();

--
-- Event UIDs by a join, also of rows that are deleted together with the event
--
CREATE TABLE event (id integer PRIMARY KEY, uid text, account text);
CREATE TABLE ticket (id integer PRIMARY KEY, event_id integer REFERENCES event ON DELETE CASCADE);
SELECT webhook.watch('event', 'event', event_uid => 'uid', profile => 'account');
SELECT webhook.watch('ticket', 'ticket', event_uid => '(SELECT e.uid FROM event e WHERE e.id = event_id)',
    profile => '(SELECT e.account FROM event e WHERE e.id = event_id)');
SELECT webhook.create_webhook('capture', 'ticket.delete,event.*', 'http://127.0.0.1:9/', name => 'party', event_uids => 'party, gala') > 0;
INSERT INTO event VALUES (1, 'party', 'acme'), (2, 'ball', 'acme');
INSERT INTO ticket VALUES (1, 1), (2, 1), (3, 2), (4, NULL);
DELETE FROM event WHERE id = 1;
DELETE FROM event WHERE id = 2;
DELETE FROM ticket;
SELECT event, entity_id, uid, profile, webhooks FROM new_messages();
-- All in one transaction, so no other one has ever seen the event.
BEGIN;
INSERT INTO event VALUES (3, 'gala', 'acme');
INSERT INTO ticket VALUES (5, 3);
UPDATE event SET uid = 'gala 2';
DELETE FROM event;
COMMIT;
SELECT event, entity_id, uid, profile, webhooks FROM new_messages();

-- E5, I6: a row that moves to another event belongs to the new one only.
SELECT webhook.create_webhook('capture', 'visitor.*', 'http://127.0.0.1:9/', name => 'old', event_uids => 'old') > 0,
       webhook.create_webhook('capture', 'visitor.*', 'http://127.0.0.1:9/', name => 'new', event_uids => 'new') > 0;
CREATE TABLE visitor (id integer PRIMARY KEY, event text);
SELECT webhook.watch('visitor', 'visitor', event_uid => 'event');
INSERT INTO visitor VALUES (50, 'old');
UPDATE visitor SET event = 'new';
DELETE FROM visitor;
SELECT event, entity_id, uid, webhooks FROM new_messages();

--
-- W8, E5: columns and filters of webhooks, wildcards, webhooks that come and go
--
CREATE TABLE thing (id integer PRIMARY KEY, price integer, name text, extra json);
SELECT webhook.watch('thing', 'thing');
SELECT count(webhook.create_webhook('capture', 'thing.*', 'http://127.0.0.1:9/', name => 'price', columns => '{price,no_such}'));
SELECT count(webhook.create_webhook('capture', 'thing.update,thing.*', 'http://127.0.0.1:9/', name => 'cheap', filter => '{"price": 1}'));
SELECT count(webhook.create_webhook('capture', 'thin.*,things.*,thing', 'http://127.0.0.1:9/', name => 'never'));
SELECT count(webhook.create_webhook('capture', 'thing.*', 'http://127.0.0.1:9/', name => 'sleeping', active => false));
INSERT INTO thing VALUES (1, 1, 'a'), (2, 2, 'b');
UPDATE thing SET name = 'c' WHERE id = 1;
UPDATE thing SET price = 3 WHERE id = 1;
UPDATE thing SET price = NULL WHERE id = 2;
UPDATE thing SET price = 1 WHERE id = 2;
DELETE FROM thing;
SELECT event, entity_id, webhooks, payload FROM new_messages();
-- What json accepts and jsonb rejects does no harm; a filter sees as much of it as jsonb can hold.
INSERT INTO thing VALUES (3, 1, 'x', '"\u0000"'), (4, 1, 'x', '1e1000000');
SELECT event, entity_id, webhooks, payload FROM new_messages();
-- In the transaction that creates, changes and deletes it, and after a rollback of that.
BEGIN;
DELETE FROM thing WHERE id = 3;
SELECT webhook.create_webhook('capture', 'thing.*', 'http://127.0.0.1:9/', name => 'brief') AS brief \gset
INSERT INTO thing VALUES (5);
SELECT webhook.deactivate_webhook(:brief);
INSERT INTO thing VALUES (6);
SAVEPOINT a;
SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('capture') WHERE name IN ('all', 'price', 'cheap');
INSERT INTO thing VALUES (7);
ROLLBACK TO a;
INSERT INTO thing VALUES (8);
ROLLBACK;
SELECT * FROM new_messages();
BEGIN;
SELECT webhook.create_webhook('capture', 'thing.*', 'http://127.0.0.1:9/', name => 'brief') AS brief \gset
INSERT INTO thing VALUES (5);
SELECT webhook.deactivate_webhook(:brief);
INSERT INTO thing VALUES (6);
SAVEPOINT a;
SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('capture') WHERE name IN ('all', 'price', 'cheap');
INSERT INTO thing VALUES (7);
ROLLBACK TO a;
INSERT INTO thing VALUES (8);
COMMIT;
SELECT event, entity_id, webhooks FROM new_messages();
SELECT webhook.delete_webhook_by_id(:brief);

--
-- Payload functions
--
CREATE FUNCTION thing_payload(thing) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    IF $1.name = 'fail' THEN
        RAISE EXCEPTION 'this thing has no payload' USING ERRCODE = 'P0042';
    END IF;
    RETURN CASE WHEN $1.name <> 'null' THEN json_build_object('who', current_user, 'name', $1.name, 'path', current_setting('search_path')) END;
END
$$;
ALTER TABLE thing OWNER TO regress_capture_user;
SELECT webhook.watch('thing', 'thing', payload => 'thing_payload(thing)');
INSERT INTO thing VALUES (20, 1, 'ok'), (21, 1, 'null');
UPDATE thing SET extra = '1' WHERE id = 20;
DELETE FROM thing WHERE id = 20;
SELECT event, entity_id, webhooks, payload FROM new_messages();
-- An error in one is an error of the statement; if it is caught, nothing remains.
SELECT r.* FROM refused_in($$INSERT INTO thing VALUES (22, 1, 'good'), (23, 1, 'fail'), (24, 1, 'good')$$) AS r;
SELECT count(*) FROM thing WHERE id > 21;
DROP FUNCTION thing_payload(thing);
SELECT r.* FROM refused_in($$INSERT INTO thing VALUES (25, 1, 'good')$$) AS r;
SELECT * FROM new_messages();

-- A function that writes to a watched table itself, and another trigger that does; the order is that of the changes.
CREATE TABLE history (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, thing integer);
CREATE FUNCTION noting_payload(thing) RETURNS jsonb LANGUAGE sql AS $$
    INSERT INTO history (thing) VALUES ($1.id);
    SELECT jsonb_build_object('history', (SELECT count(*) FROM history WHERE thing = $1.id))
$$;
GRANT ALL ON history TO regress_capture_user;
SELECT webhook.watch('history', 'history');
SELECT webhook.watch('thing', 'thing', payload => 'noting_payload(thing)');
INSERT INTO thing VALUES (30, 1, 'a'), (31, 1, 'b');
SELECT event, entity_id, payload FROM new_messages();
SELECT webhook.watch('thing', 'thing');
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history (thing) VALUES (NEW.id);
    UPDATE thing SET name = 'noted' WHERE id = NEW.id AND name IS DISTINCT FROM 'noted';
    RETURN NEW;
END
$$;
CREATE TRIGGER a_note AFTER INSERT OR UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION note();
CREATE CONSTRAINT TRIGGER z_note AFTER INSERT ON thing DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO thing VALUES (40, 1, 'a');
SELECT event, entity_id, payload FROM new_messages();

--
-- Partitions
--
CREATE TABLE part (id integer NOT NULL, area integer NOT NULL, name text, PRIMARY KEY (id, area)) PARTITION BY LIST (area);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 (junk integer, name text, area integer NOT NULL, id integer NOT NULL);
ALTER TABLE part_2 DROP COLUMN junk;
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES IN (2);
SELECT webhook.watch('part', 'part', id => 'id', event_uid => $$'area ' || area$$);
-- Attached later, with another order of columns, and partitioned itself.
CREATE TABLE part_3 (name text, id integer NOT NULL, area integer NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE part_3_1 (area integer NOT NULL, name text, id integer NOT NULL);
ALTER TABLE part_3 ATTACH PARTITION part_3_1 DEFAULT;
ALTER TABLE part ATTACH PARTITION part_3 FOR VALUES IN (3);
CREATE TABLE part_4 PARTITION OF part FOR VALUES IN (4);
INSERT INTO part VALUES (1, 1, 'one'), (2, 2, 'two'), (3, 3, 'three'), (4, 4, 'four');
UPDATE part SET name = upper(name);
INSERT INTO part_2 (id, area, name) VALUES (5, 2, 'direct');
SELECT event, entity_id, uid, payload FROM new_messages();
-- A row that moves to another partition is updated, once.
UPDATE part SET area = area % 4 + 1 WHERE id < 5;
SELECT event, entity_id, uid, payload FROM new_messages();
-- Also if triggers change, and move, rows of other tables, and of the same, between the two halves.
CREATE TABLE other (id integer, area integer) PARTITION BY LIST (area);
CREATE TABLE other_1 PARTITION OF other FOR VALUES IN (1);
CREATE TABLE other_2 PARTITION OF other FOR VALUES IN (2);
SELECT webhook.watch('other', 'other', id => 'id');
INSERT INTO other VALUES (1, 1), (2, 1);
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM other WHERE id = OLD.id;
    UPDATE other SET area = 2;
    INSERT INTO part VALUES (OLD.id + 90, 4, 'meddled');
    INSERT INTO part VALUES (OLD.id + 90, 4, 'conflict');
EXCEPTION WHEN unique_violation THEN
    UPDATE other SET area = 3 - area;
    RETURN NULL;
END
$$;
CREATE TRIGGER meddle AFTER DELETE ON part FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT count(*) FROM new_messages();
UPDATE part SET area = 3 WHERE id = 1;
DROP TRIGGER meddle ON part;
DROP TABLE other;
SELECT event, entity_id, uid, payload FROM new_messages();
DELETE FROM part WHERE area IN (2, 3);
-- Inserted, moved and moved back in one transaction.
BEGIN;
INSERT INTO part VALUES (6, 1, 'six');
UPDATE part SET area = 2 WHERE id = 6;
UPDATE part SET area = 1 WHERE id = 6;
COMMIT;
SELECT event, entity_id, uid, payload FROM new_messages();
-- The new partition's trigger drops one of the rows: it is captured as deleted, by the next change or at commit.
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.name = 'error' THEN
        RAISE division_by_zero;
    END IF;
    RETURN CASE WHEN NEW.name <> 'swallow' THEN NEW END;
END
$$;
CREATE TRIGGER swallow BEFORE INSERT ON part_2 FOR EACH ROW EXECUTE FUNCTION swallow();
INSERT INTO part VALUES (10, 1, 'swallow'), (11, 1, 'move'), (12, 1, 'swallow');
SELECT count(*) FROM new_messages();
UPDATE part SET area = 2 WHERE id BETWEEN 10 AND 12;
SELECT event, entity_id, uid, payload FROM new_messages();
SELECT id, area FROM part ORDER BY 1;
-- The same where the command inserts another row as well: it is not taken for the one that moved, unless it has the same id.
TRUNCATE part;
INSERT INTO part VALUES (10, 1, 'swallow'), (11, 1, 'move'), (12, 1, 'new id');
SELECT count(*) FROM new_messages();
WITH lost AS (UPDATE part SET area = 2 WHERE id = 10 RETURNING id)
    INSERT INTO part SELECT 20, 3, 'another' FROM (SELECT count(*) FROM lost) AS l;
SELECT event, entity_id, uid, payload FROM new_messages();
WITH kept AS (UPDATE part SET area = 2, id = CASE id WHEN 12 THEN 13 ELSE id END RETURNING id)
    INSERT INTO part SELECT 21, 3, 'another' FROM (SELECT count(*) FROM kept) AS k;
SELECT event, entity_id, uid, payload FROM new_messages();
UPDATE part SET area = 3, id = 14 WHERE id = 13;
SELECT event, entity_id, uid, payload FROM new_messages();
INSERT INTO part VALUES (10, 1, 'swallow');
SELECT count(*) FROM new_messages();
\if :has_merge
MERGE INTO part AS p USING (VALUES (10), (22)) AS v (id) ON p.id = v.id
    WHEN MATCHED THEN UPDATE SET area = 2
    WHEN NOT MATCHED THEN INSERT VALUES (v.id, 4, 'merged');
\else
UPDATE part SET area = 2 WHERE id = 10;
INSERT INTO part VALUES (22, 4, 'merged');
\endif
SELECT event, entity_id, uid, payload FROM new_messages();
TRUNCATE part;
INSERT INTO part VALUES (13, 1, 'swallow'), (14, 1, 'error');
BEGIN;
UPDATE part SET area = 2 WHERE id = 13;
\if :can_prepare
PREPARE TRANSACTION 'a lost move';
COMMIT PREPARED 'a lost move';
\else
COMMIT;
\endif
-- An error after the first half of a move: nothing happened.
INSERT INTO part VALUES (15, 1, 'fails in the expression');
SELECT webhook.watch('part', 'part', id => 'id', event_uid => $$CASE WHEN area = 2 THEN (1 / (area - 2))::text END$$);
DO $$
BEGIN
    UPDATE part SET area = 2 WHERE id = 15;
EXCEPTION WHEN division_by_zero THEN
    RAISE NOTICE 'caught';
END
$$;
SELECT event, entity_id, uid, payload FROM new_messages();
-- The partition that the row left is dropped in the same transaction.
BEGIN;
INSERT INTO part VALUES (16, 1, 'swallow');
UPDATE part SET area = 2 WHERE id = 16;
DROP TABLE part_1;
COMMIT;
SELECT event, entity_id FROM new_messages();
SELECT webhook.unwatch('part');
INSERT INTO part VALUES (20, 3, 'quiet');
SELECT * FROM new_messages();

-- W15: a guest before its event, in one transaction: the event UID is found when the transaction ends; what a
-- savepoint rolled back is not sent, and the order is that of the changes.
CREATE TABLE late_event (id integer PRIMARY KEY, uid text);
CREATE TABLE early_guest (id integer PRIMARY KEY, event_id integer, name text);
SELECT webhook.watch('late_event', 'late_event', event_uid => 'uid');
SELECT webhook.watch('early_guest', 'early_guest',
    event_uid => '(SELECT e.uid FROM late_event e WHERE e.id = event_id)');
SELECT webhook.create_webhook('capture', 'early_guest.*,late_event.*', 'https://example.com/', event_uids => 'LATE') IS NOT NULL;
BEGIN;
INSERT INTO early_guest VALUES (1, 1, 'Ann');
SAVEPOINT s;
INSERT INTO early_guest VALUES (2, 1, 'taken back');
ROLLBACK TO s;
INSERT INTO late_event VALUES (1, 'LATE');
UPDATE early_guest SET name = 'Anna' WHERE id = 1;
COMMIT;
SELECT event, entity_id, uid, payload FROM new_messages();
INSERT INTO early_guest VALUES (3, 7, 'of no event');
SELECT event, entity_id, uid, payload FROM new_messages();
BEGIN;
INSERT INTO early_guest VALUES (4, 9, 'Bob');
INSERT INTO late_event VALUES (9, 'LATE');
DELETE FROM early_guest WHERE id = 1;
COMMIT;
SELECT event, entity_id, uid, payload FROM new_messages();

-- Deleted again before the event is inserted: receivers that were sent the guest are sent its deletion.
BEGIN;
INSERT INTO early_guest VALUES (5, 10, 'Eve');
DELETE FROM early_guest WHERE id = 5;
INSERT INTO late_event VALUES (10, 'LATE');
COMMIT;
SELECT event, entity_id, uid FROM new_messages();

-- Privileges are granted in between, so the guest becomes more messages than were reserved: each webhook is still sent
-- them in order, and what its owner may read.
CREATE ROLE regress_capture_one;
CREATE ROLE regress_capture_two;
GRANT USAGE ON SCHEMA webhook, capture_test TO regress_capture_one, regress_capture_two;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO regress_capture_one, regress_capture_two;
GRANT SELECT ON early_guest TO regress_capture_one, regress_capture_two;
SET ROLE regress_capture_one;
SELECT webhook.create_webhook('capture', 'early_guest.*', 'http://127.0.0.1:9/', name => 'one') > 0;
SET ROLE regress_capture_two;
SELECT webhook.create_webhook('capture', 'early_guest.*', 'http://127.0.0.1:9/', name => 'two') > 0;
RESET ROLE;
BEGIN;
INSERT INTO early_guest VALUES (6, 11, 'Kim');
UPDATE early_guest SET name = 'Tim' WHERE id = 6;
REVOKE SELECT ON early_guest FROM regress_capture_one, regress_capture_two;
GRANT SELECT (id) ON early_guest TO regress_capture_one;
GRANT SELECT (id, name) ON early_guest TO regress_capture_two;
INSERT INTO late_event VALUES (11, 'LATE');
COMMIT;
SELECT event, entity_id, payload, webhooks FROM new_messages() WHERE event LIKE 'early_guest.%';

-- More rows than fit into a batch, while a row of the parent transaction is buffered.
CREATE TABLE many (id integer PRIMARY KEY);
SELECT webhook.watch('many', 'many');
BEGIN;
INSERT INTO many VALUES (-1);
SAVEPOINT a;
INSERT INTO many SELECT i FROM generate_series(1, 8000) AS i;
SAVEPOINT b;
INSERT INTO many SELECT i FROM generate_series(10001, 18000) AS i;
ROLLBACK TO b;
INSERT INTO many VALUES (8001);
RELEASE a;
COMMIT;
SELECT count(*), count(DISTINCT entity_id), min(entity_id::integer), max(entity_id::integer) FROM new_messages();

SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('capture');
SELECT count(webhook.unwatch(relation)) FROM webhook.watch;
RESET search_path;
DROP SCHEMA capture_test CASCADE;
DROP OWNED BY regress_capture_user, regress_capture_one, regress_capture_two;
DROP ROLE regress_capture_user, regress_capture_one, regress_capture_two;
