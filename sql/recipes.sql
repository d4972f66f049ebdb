-- Recipes for existing schemas of all kinds.
-- Proves W15: keys in several columns, the event over two joins, soft deletes, payments in another table, partitions, row-level
-- security, secret columns, views, odd names, triggers that write to other watched tables, and ALTER TABLE after watch(); W8 for
-- unchanged updates.
CREATE SCHEMA recipes_test;
SET search_path = recipes_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

-- What has been sent since the last call.
CREATE FUNCTION sent(OUT event text, OUT entity_id text, OUT event_uid text, OUT payload text) RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
    SELECT o.event, o.entity_id::text, o.event_uid, o.payload::text FROM new_rows() AS o
$$;
SELECT webhook.create_webhook('recipes', '*', 'http://127.0.0.1:1/{event_uid}') AS hook \gset

-- A key in several columns: its values joined by commas, escaped by backslashes.
CREATE TABLE seat (hall text, row_no int, seat_no int, holder text, PRIMARY KEY (hall, row_no, seat_no));
SELECT webhook.watch('seat', 'seat');
INSERT INTO seat VALUES ('A, left', 1, 2, 'Ann');
-- Another name for the entity than its key.
CREATE TABLE person (id int PRIMARY KEY, login text UNIQUE, born date);
SELECT webhook.watch('person', 'user', id => 'login');
INSERT INTO person VALUES (1, 'ann', '2000-02-29');
SELECT * FROM sent();

-- The event by two joins.
CREATE TABLE event (id int PRIMARY KEY, uid text, organiser text);
CREATE TABLE session (id int PRIMARY KEY, event_id int REFERENCES event ON DELETE CASCADE);
CREATE TABLE registration (id int PRIMARY KEY, session_id int REFERENCES session ON DELETE CASCADE, name text);
SELECT webhook.watch('registration', 'registration',
    event_uid => '(SELECT e.uid FROM session s JOIN event e ON e.id = s.event_id WHERE s.id = session_id)',
    profile => '(SELECT e.organiser FROM session s JOIN event e ON e.id = s.event_id WHERE s.id = session_id)');
INSERT INTO event VALUES (1, 'e1', 'p1');
INSERT INTO session VALUES (10, 1);
INSERT INTO registration VALUES (100, 10, 'Ann');
-- Deleted by cascade: the event is still found.
DELETE FROM event;
SELECT * FROM sent();

-- A soft delete is a delete, undoing it a create.
CREATE TABLE booking (id int PRIMARY KEY, note text, deleted_at timestamptz);
SELECT webhook.watch('booking', 'booking', deleted => 'deleted_at IS NOT NULL', exclude => '{deleted_at}');
INSERT INTO booking VALUES (1, 'a');
UPDATE booking SET deleted_at = now();
UPDATE booking SET note = 'nobody hears of this';
UPDATE booking SET deleted_at = NULL;
UPDATE booking SET deleted_at = now();
DELETE FROM booking;
SELECT event, payload FROM sent();

-- Payments in another table, whose trigger calls notify_payment().
CREATE TABLE guest (id int PRIMARY KEY, name text);
CREATE TABLE payment (id int PRIMARY KEY, guest_id int REFERENCES guest, amount int);
SELECT webhook.watch('guest', 'guest', paid => 'EXISTS (SELECT FROM payment p WHERE p.guest_id = guest.id)');
CREATE FUNCTION tell_payment() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN
        IF TG_OP <> 'INSERT' THEN PERFORM webhook.notify_payment('guest', OLD.guest_id::text); END IF;
        IF TG_OP <> 'DELETE' THEN PERFORM webhook.notify_payment('guest', NEW.guest_id::text); END IF;
        RETURN NULL;
    END$$;
CREATE TRIGGER tell_payment AFTER INSERT OR UPDATE OR DELETE ON payment FOR EACH ROW EXECUTE FUNCTION tell_payment();
SELECT webhook.create_integration('recipes') <> '' AS created;
SELECT webhook.connect_profile('recipes', 'p'), webhook.override_event('gala', 'recipes', only_paid => true);
SELECT webhook.watch('guest', 'guest', event_uid => $$'gala'$$, paid => 'EXISTS (SELECT FROM payment p WHERE p.guest_id = guest.id)');
SELECT webhook.create_webhook('paid', 'guest.*', 'http://127.0.0.1:1/', integration => 'recipes') AS paid_hook \gset
INSERT INTO guest VALUES (1, 'Ann'), (2, 'Bob');
INSERT INTO payment VALUES (7, 2, 100);
UPDATE guest SET name = 'Rob' WHERE id = 2;
DELETE FROM payment;
SELECT o.event, o.entity_id, (SELECT string_agg(w.app, ',' ORDER BY w.app) FROM webhook.webhook AS w WHERE w.id = ANY (o.webhook_ids)) AS apps
FROM webhook.outbox AS o WHERE o.entity_type = 'guest' ORDER BY o.id;
SELECT count(*) FROM sent();
-- I12: the receiver is sent once that a guest has paid, however often, when and in whichever way that is reported.
CREATE FUNCTION told(OUT entity_id text, OUT heard text) RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
    SELECT o.entity_id::text, string_agg(substr(o.event, 7), ' ' ORDER BY o.id) FROM new_rows() AS o
    WHERE (SELECT id FROM webhook.get_webhooks('paid')) = ANY (o.webhook_ids) GROUP BY 1 ORDER BY 1
$$;
INSERT INTO guest SELECT i, 'guest ' || i FROM generate_series(3, 9) AS i;
SELECT webhook.notify_payment('guest', '3');
SELECT * FROM told();
-- Instalments: in one command, in commands of one transaction, later.
INSERT INTO payment VALUES (30, 3, 50), (31, 3, 50);
BEGIN;
INSERT INTO payment VALUES (40, 4, 50);
INSERT INTO payment VALUES (41, 4, 50);
COMMIT;
INSERT INTO payment VALUES (42, 4, 1);
-- Revoked before it was reported.
BEGIN;
SAVEPOINT s;
INSERT INTO payment VALUES (50, 5, 50);
ROLLBACK TO s;
INSERT INTO payment VALUES (51, 5, 50);
DELETE FROM payment WHERE id = 51;
INSERT INTO payment VALUES (52, 5, 50);
COMMIT;
SELECT * FROM told();
-- Reported by the application in another transaction, with or without a change of the guest before.
ALTER TABLE payment DISABLE TRIGGER tell_payment;
INSERT INTO payment VALUES (60, 6, 50), (70, 7, 50);
UPDATE guest SET name = upper(name) WHERE id = 6;
SELECT webhook.notify_payment('guest', '6'), webhook.notify_payment('guest', '7'), webhook.notify_payment('guest', '7');
SELECT * FROM told();
ALTER TABLE payment ENABLE TRIGGER tell_payment;
-- The payment is deleted first, and then the guest; a guest that never paid.
BEGIN;
DELETE FROM payment WHERE guest_id = 7;
DELETE FROM guest WHERE id = 7;
COMMIT;
DELETE FROM guest WHERE id = 8;
SELECT * FROM told();
-- Guests that were sent before only_paid was set are known, too.
SELECT webhook.override_event('gala', 'recipes');
INSERT INTO guest VALUES (10, 'guest 10');
INSERT INTO payment VALUES (100, 10, 50);
SELECT webhook.override_event('gala', 'recipes', only_paid => true);
INSERT INTO payment VALUES (101, 10, 50);
SELECT webhook.override_event('gala', 'recipes', send_on_payment => true, only_paid => true);
INSERT INTO payment VALUES (90, 9, 50), (102, 10, 50);
SELECT * FROM told();
SELECT webhook.delete_integration('recipes'), webhook.clear_event_override('gala');
SELECT count(*) FROM webhook.paid_entity;

-- Partitions: watch the table at the root; a row that moves is updated.
CREATE TABLE visit (id int, day date, door text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE visit_2025 PARTITION OF visit FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
SELECT webhook.watch('visit', 'visit', id => 'id');
CREATE TABLE visit_2026 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO visit VALUES (1, '2025-05-05', 'N');
UPDATE visit SET day = '2026-06-06';
INSERT INTO visit_2026 VALUES (2, '2026-01-01', 'S');
DELETE FROM visit WHERE id = 1;
SELECT event, entity_id, payload FROM sent();

-- C18: maintenance that moves rows by DELETE and INSERT is a delete and a create, or a delete alone if the partition is attached
-- later, unless row triggers are off; the new partition is watched.
CREATE TABLE visit_rest PARTITION OF visit DEFAULT;
INSERT INTO visit VALUES (3, '2027-07-07', 'W'), (4, '2028-08-08', 'E');
WITH d AS (DELETE FROM ONLY visit_rest WHERE day < '2028-01-01' RETURNING *) INSERT INTO visit_2026 SELECT id, '2026-07-07', door FROM d;
INSERT INTO visit VALUES (5, '2027-07-07', 'W');
CREATE TABLE visit_2027 (LIKE visit INCLUDING ALL);
BEGIN;
WITH d AS (DELETE FROM ONLY visit_rest WHERE day < '2028-01-01' RETURNING *) INSERT INTO visit_2027 SELECT * FROM d;
ALTER TABLE visit ATTACH PARTITION visit_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
COMMIT;
SELECT event, entity_id FROM sent();
SET session_replication_role = replica;
CREATE TEMP TABLE moving ON COMMIT PRESERVE ROWS AS SELECT * FROM visit_rest;
DELETE FROM visit_rest;
CREATE TABLE visit_2028 PARTITION OF visit FOR VALUES FROM ('2028-01-01') TO ('2029-01-01');
INSERT INTO visit SELECT * FROM moving;
RESET session_replication_role;
UPDATE visit SET door = 'moved' WHERE id = 4;
SELECT event, entity_id, payload FROM sent();
DROP TABLE moving;

-- Secret columns are excluded, and a change of them alone sends nothing; the other columns can be listed instead.
CREATE TABLE account (id int PRIMARY KEY, name text, password text, token text);
SELECT webhook.watch('account', 'account', exclude => '{password,token}');
INSERT INTO account VALUES (1, 'ann', 'hunter2', 't');
UPDATE account SET password = 'hunter3';
UPDATE account SET name = 'Ann';
UPDATE account SET name = 'Ann';
SELECT event, payload FROM sent();
-- Renamed, it would no longer be excluded, so that is an error; dropped, it does no harm.
ALTER TABLE account RENAME password TO passphrase;
SELECT * FROM refused($r$UPDATE account SET name = 'ANN'$r$);
SELECT webhook.watch('account', 'account', exclude => '{passphrase,token}');
ALTER TABLE account DROP passphrase;
UPDATE account SET name = 'ANN';
SELECT event, payload FROM sent();

-- Row-level security: expressions run as the table's owner; the role that changes a row need not be able to see it.
CREATE ROLE recipes_test_clerk;
GRANT USAGE ON SCHEMA recipes_test TO recipes_test_clerk;
CREATE TABLE case_file (id int PRIMARY KEY, clerk text, text text);
ALTER TABLE case_file ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON case_file USING (clerk = current_user);
GRANT ALL ON case_file TO recipes_test_clerk;
GRANT USAGE ON SCHEMA webhook TO recipes_test_clerk;
GRANT EXECUTE ON FUNCTION webhook.watch TO recipes_test_clerk;
SELECT webhook.watch('case_file', 'case', event_uid => '(SELECT min(c.clerk) FROM case_file c)');
SET ROLE recipes_test_clerk;
INSERT INTO case_file VALUES (1, 'recipes_test_clerk', 'x');
SELECT * FROM refused($$SELECT webhook.watch('case_file', 'case')$$);
RESET ROLE;
INSERT INTO case_file VALUES (2, 'another', 'y');
SELECT event, entity_id, event_uid FROM sent();

-- A view cannot be watched: watch its tables, with a function that returns what the view shows.
CREATE VIEW account_view AS SELECT id, name FROM account;
SELECT * FROM refused($$SELECT webhook.watch('account_view', 'account')$$);
CREATE FUNCTION account_payload(account) RETURNS json LANGUAGE sql STABLE AS $$SELECT to_json(v) FROM recipes_test.account_view AS v WHERE v.id = $1.id$$;
SELECT webhook.watch('account', 'account', payload => 'account_payload(account)');
UPDATE account SET name = 'Anna';
SELECT event, payload FROM sent();

-- Another schema, odd names.
CREATE SCHEMA "Box ""office""";
CREATE TABLE "Box ""office"""."Gäste (2025)" ("Id" int PRIMARY KEY, "select" text, "a,b" text, "Über ""uns""" text);
SELECT webhook.watch('"Box ""office"""."Gäste (2025)"', 'Odd_1', event_uid => '"select"', profile => 'a,b', exclude => '{"Über \"uns\""}');
INSERT INTO "Box ""office"""."Gäste (2025)" VALUES (1, 'e1', 'p', 'x');
SELECT * FROM sent();
SELECT webhook.create_webhook('recipes', 'Odd_1.manual', 'http://127.0.0.1:1/') AS odd_hook \gset
SELECT webhook.fire_webhook(:odd_hook, '1') <> '' AS fired;
SELECT event, entity_id, payload FROM sent();

-- A trigger that writes to another watched table: both changes are sent, in the order in which they happened.
CREATE FUNCTION add_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO recipes_test.booking VALUES (NEW.id, 'for ' || NEW.name);
    RETURN NEW;
END $$;
CREATE TRIGGER a_before BEFORE INSERT ON registration FOR EACH ROW EXECUTE FUNCTION add_note();
INSERT INTO registration VALUES (101, NULL, 'Bob');
SELECT event, payload FROM sent();

--
-- ALTER TABLE after watch()
--
CREATE TABLE item (id int PRIMARY KEY, label text, price int, event text, old boolean DEFAULT false);
SELECT webhook.watch('item', 'item', event_uid => 'event', deleted => 'old', exclude => '{old}');
INSERT INTO item VALUES (1, 'a', 5, 'e1');
-- A new column is in the payload from then on; a column with another type is sent with its new type.
ALTER TABLE item ADD extra text DEFAULT 'new', ALTER price TYPE numeric(8,2);
UPDATE item SET price = 6;
ALTER TABLE item DROP label;
UPDATE item SET price = 7;
ALTER TABLE item RENAME price TO cost;
UPDATE item SET cost = 8;
SELECT event, event_uid, payload FROM sent();
-- The table itself under another name, in another schema.
ALTER TABLE item RENAME TO thing;
ALTER TABLE thing SET SCHEMA "Box ""office""";
UPDATE "Box ""office""".thing SET cost = 9;
SELECT event, event_uid, payload FROM sent();
ALTER TABLE "Box ""office""".thing SET SCHEMA recipes_test;
-- A column that a setting needs is dropped or renamed: an error instead of a wrong message, until watch() is called again.
ALTER TABLE thing RENAME event TO event_code;
SELECT r.code, r.hint <> '' AS hinted FROM refused('UPDATE thing SET cost = 10') AS r;
SELECT webhook.watch('thing', 'item', event_uid => 'event_code', deleted => 'old', exclude => '{old}');
UPDATE thing SET cost = 10;
ALTER TABLE thing DROP old;
SELECT r.code, r.hint <> '' AS hinted FROM refused('UPDATE thing SET cost = 11') AS r;
SELECT webhook.watch('thing', 'item', event_uid => 'event_code');
UPDATE thing SET cost = 11;
-- The key is replaced: an error until watch() is called again (C6).
ALTER TABLE thing DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (id, event_code);
SELECT r.* FROM refused('UPDATE thing SET cost = 12') AS r;
SELECT webhook.watch('thing', 'item', event_uid => 'event_code');
UPDATE thing SET cost = 12;
SELECT event, entity_id, event_uid, payload FROM sent();
-- It is dropped, and nothing identifies a row: an error instead of a message about no entity.
ALTER TABLE thing DROP CONSTRAINT thing_pkey;
SELECT r.* FROM refused('UPDATE thing SET cost = 13') AS r;
SELECT webhook.watch('thing', 'item', id => 'event_code || id');
UPDATE thing SET cost = 13;
ALTER TABLE thing ADD PRIMARY KEY (id);
SELECT webhook.watch('thing', 'item');
ALTER TABLE thing DROP id;
SELECT r.* FROM refused('INSERT INTO thing (event_code) VALUES (1)') AS r;
SELECT event, entity_id, event_uid, payload FROM sent();

SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('recipes');
DROP SCHEMA "Box ""office""" CASCADE;
DROP SCHEMA recipes_test CASCADE;
REVOKE ALL ON SCHEMA webhook FROM recipes_test_clerk;
REVOKE ALL ON FUNCTION webhook.watch FROM recipes_test_clerk;
DROP ROLE recipes_test_clerk;
