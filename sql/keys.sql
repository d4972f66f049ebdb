-- An UPDATE that changes the id is the delete of one entity and the create of another: a copy kept by entity_id equals the table.
-- Proves C7, C19, C20, C23, C27 and W3, for plain tables, expressions, partitions, soft deletes, payments and moves between events.
CREATE SCHEMA keys_test;
SET search_path = keys_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers
CREATE FUNCTION new_messages(hook bigint DEFAULT NULL, OUT event text, OUT entity_id text, OUT uid text, OUT payload text)
    RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
    SELECT event, entity_id #>> '{}', event_uid, payload::text FROM new_rows() WHERE hook IS NULL OR hook = ANY (webhook_ids)
$$;
SELECT webhook.create_webhook('keys', '*', 'http://127.0.0.1:9/') AS everything,
    webhook.create_webhook('keys', 'guest.create,ticket.create', 'http://127.0.0.1:9/') AS creations \gset

-- C7: a column, hidden or not; an expression; several columns.  No other column need have changed.
CREATE TABLE guest (id integer PRIMARY KEY, code text, day date DEFAULT '2026-01-01', event text);
SELECT webhook.watch('guest', 'guest', exclude => '{id}', event_uid => 'event');
INSERT INTO guest VALUES (1, 'a'), (2, 'b');
UPDATE guest SET id = 30 WHERE id = 2;
DELETE FROM guest WHERE id = 30;
-- One statement may give a key to another row.
INSERT INTO guest VALUES (2, 'b');
UPDATE guest SET id = g.id FROM (VALUES ('b', 3), ('a', 2)) AS g (code, id) WHERE g.code = guest.code AND guest.id = 2;
UPDATE guest SET id = 2, code = 'new' WHERE id = 1;
SELECT * FROM new_messages(:everything);
-- A webhook that subscribes to creations only is sent those.
UPDATE guest SET id = 4 WHERE id = 2;
UPDATE guest SET code = 'not sent' WHERE id = 4;
SELECT * FROM new_messages(:creations);
SELECT webhook.watch('guest', 'guest', id => 'upper(code)');
UPDATE guest SET code = 'NOT SENT' WHERE id = 4;
UPDATE guest SET code = 'other' WHERE id = 4;
UPDATE guest SET day = day + 1 WHERE id = 4;
SELECT * FROM new_messages(:creations);
-- C6: another primary key is an error until watch() is called again; renaming its column is not, nor is another order.
SELECT webhook.watch('guest', 'guest');
ALTER TABLE guest DROP CONSTRAINT guest_pkey, ADD PRIMARY KEY (id, day);
UPDATE guest SET code = 'refused' WHERE id = 4;
SELECT webhook.test_webhook(:everything, '4');
ALTER TABLE guest DROP CONSTRAINT guest_pkey, ADD PRIMARY KEY (day);
UPDATE guest SET code = 'refused' WHERE id = 4;
ALTER TABLE guest DROP CONSTRAINT guest_pkey, ADD PRIMARY KEY (id);
ALTER TABLE guest RENAME id TO number;
UPDATE guest SET code = 'taken' WHERE number = 4;
ALTER TABLE guest RENAME number TO id;
UPDATE guest SET code = 'taken, too' WHERE id = 4;
ALTER TABLE guest DROP CONSTRAINT guest_pkey, ADD PRIMARY KEY (id, day);
SELECT webhook.watch('guest', 'guest');
ALTER TABLE guest DROP CONSTRAINT guest_pkey, ADD PRIMARY KEY (day, id) INCLUDE (code);
SELECT count(*) FROM new_messages();
UPDATE guest SET day = day + 1 WHERE id = 4;
SELECT * FROM new_messages(:everything);

-- C19: a released ticket gets a new id, and comes back under another.
CREATE TABLE ticket (n integer PRIMARY KEY, uid text NOT NULL UNIQUE, gone boolean DEFAULT false, event text);
SELECT webhook.watch('ticket', 'ticket', id => 'uid', deleted => 'gone', event_uid => 'event');
SELECT webhook.create_webhook('keys', 'ticket.*', 'http://127.0.0.1:9/', event_uids => 'gala') AS gala \gset
INSERT INTO ticket VALUES (1, 'a', false, 'gala');
UPDATE ticket SET gone = true, uid = 'b';
UPDATE ticket SET uid = 'c';
UPDATE ticket SET gone = false, uid = 'd';
UPDATE ticket SET uid = 'e', event = 'ball';
SELECT * FROM new_messages(:everything);
-- Deleted while it moves to another event: webhooks that were sent the row are sent its deletion.
UPDATE ticket SET event = 'gala';
SELECT count(*) FROM new_messages();
UPDATE ticket SET gone = true, event = 'ball';
SELECT * FROM new_messages(:gala);

-- C20: the same where only paid guests are sent, and payments are in another table.
CREATE TABLE attendee (n integer PRIMARY KEY, uid text NOT NULL UNIQUE, gone boolean DEFAULT false, event text DEFAULT 'strict', mail text);
CREATE TABLE payment (attendee integer);
SELECT webhook.watch('attendee', 'attendee', id => 'uid', event_uid => 'event', deleted => 'gone', paid => 'EXISTS (SELECT FROM payment p WHERE p.attendee = n)');
SELECT webhook.create_integration('crm') <> '' AS created, webhook.override_event('strict', 'crm', only_paid => true);
SELECT webhook.create_webhook('keys', 'attendee.*,payer.*', 'http://127.0.0.1:9/', integration => 'crm') AS crm \gset
INSERT INTO payment VALUES (1), (2);
INSERT INTO attendee VALUES (1, 'a'), (2, 'x');
UPDATE attendee SET gone = true, uid = 'b' WHERE n = 1;
UPDATE attendee SET uid = 'y' WHERE n = 2;
SELECT * FROM new_messages(:crm);
SELECT entity_id, event_uid FROM webhook.paid_entity WHERE entity_type = 'attendee';

-- C27: payment alone is not sent if an override says so; other changes in the same update are.
CREATE TABLE payer (id integer PRIMARY KEY, event text, status text, mail text);
SELECT webhook.watch('payer', 'payer', event_uid => 'event', paid => $$status = 'paid'$$);
SELECT webhook.override_event('quiet', 'crm'), webhook.override_event('loud', 'crm', send_on_payment => true);
SELECT webhook.connect_profile('crm', 'p'), webhook.activate_integration('p', 'crm');
INSERT INTO payer VALUES (1, 'quiet'), (2, 'quiet'), (3, 'loud');
SELECT count(*) FROM new_messages();
UPDATE payer SET status = 'paid' WHERE id = 1;
UPDATE payer SET status = 'paid', mail = 'new' WHERE id = 2;
UPDATE payer SET status = 'paid' WHERE id = 3;
UPDATE payer SET status = 'refunded' WHERE id = 1;
SELECT * FROM new_messages(:crm);
-- Without an override it is a change like any other.
SELECT webhook.watch('payer', 'payer', event_uid => 'event', paid => $$status = 'paid'$$, profile => $$'p'::text$$);
UPDATE payer SET event = 'usual', status = NULL;
SELECT count(*) FROM new_messages();
UPDATE payer SET status = 'paid' WHERE id = 1;
SELECT * FROM new_messages(:crm);

-- C23: an event and its guests, created and deleted in one transaction.
CREATE TABLE event (id integer PRIMARY KEY, uid text);
CREATE TABLE session (id integer PRIMARY KEY, event integer REFERENCES event ON DELETE CASCADE);
CREATE TABLE seat (id integer PRIMARY KEY, session integer REFERENCES session ON DELETE CASCADE, name text) PARTITION BY RANGE (id);
CREATE TABLE seat_high PARTITION OF seat FOR VALUES FROM (10) TO (20);
CREATE TABLE seat_low (name text, session integer, id integer NOT NULL);
ALTER TABLE seat ATTACH PARTITION seat_low FOR VALUES FROM (0) TO (10);
SELECT webhook.watch('seat', 'seat', event_uid => '(SELECT e.uid FROM session s JOIN event e ON e.id = s.event WHERE s.id = session)');
SELECT webhook.create_webhook('keys', 'seat.*', 'http://127.0.0.1:9/', event_uids => 'gala') AS seats \gset
BEGIN;
INSERT INTO event VALUES (1, 'gala');
INSERT INTO session VALUES (1, 1);
SAVEPOINT s;
INSERT INTO seat VALUES (1, 1), (11, 1);
RELEASE s;
UPDATE seat SET name = 'changed' WHERE id = 11;
DELETE FROM event;
COMMIT;
-- The event is older than its guests, or has been renamed since.
INSERT INTO event VALUES (2, 'gala'), (3, 'ball');
INSERT INTO session VALUES (2, 2), (3, 3);
BEGIN;
INSERT INTO seat VALUES (2, 2), (3, 3);
UPDATE event SET uid = 'gala' WHERE id = 3;
UPDATE seat SET name = 'now' WHERE id = 3;
DELETE FROM event;
COMMIT;
SELECT * FROM new_messages(:seats);
SELECT webhook.delete_webhook_by_id(:gala), webhook.delete_webhook_by_id(:seats), webhook.delete_webhook_by_id(:creations);

-- Copies kept by entity_id, under random changes: of everything, and of what an integration with only_paid is sent.
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM webhook.notify_payment('bought', OLD.of);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM webhook.notify_payment('bought', NEW.of);
    END IF;
    RETURN NULL;
END
$$;
CREATE TABLE plain (uid text PRIMARY KEY, n integer UNIQUE, gone boolean DEFAULT false, paid boolean DEFAULT false, event text, name text);
CREATE TABLE expressed (LIKE plain INCLUDING ALL);
CREATE TABLE parted (uid text, n integer, gone boolean DEFAULT false, paid boolean DEFAULT false, event text, name text, PRIMARY KEY (uid)) PARTITION BY RANGE (uid);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO ('5');
CREATE TABLE parted_high (name text, event text, paid boolean, gone boolean, n integer, uid text NOT NULL);
ALTER TABLE parted ATTACH PARTITION parted_high FOR VALUES FROM ('5') TO (MAXVALUE);
CREATE TABLE bought (LIKE plain INCLUDING ALL);
CREATE TABLE purchase (of text REFERENCES bought ON UPDATE CASCADE ON DELETE CASCADE);
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON purchase FOR EACH ROW EXECUTE FUNCTION tell();
SELECT webhook.watch(t::regclass, t, event_uid => 'event', profile => $$'p'::text$$, paid => 'paid', deleted => 'gone', exclude => '{paid}') FROM unnest('{plain,parted}'::text[]) AS t;
SELECT webhook.watch('expressed', 'expressed', id => $$'<' || uid || '>'$$, event_uid => '(event)', profile => $$'p'::text$$, paid => '(paid)', deleted => 'gone IS TRUE', exclude => '{paid}'),
    webhook.watch('bought', 'bought', event_uid => 'event', profile => $$'p'::text$$, paid => 'EXISTS (SELECT FROM purchase p WHERE p.of = uid)', deleted => 'gone', exclude => '{paid}');
SELECT webhook.override_event('both', 'crm', send_on_payment => true, only_paid => true);
SELECT webhook.create_webhook('keys', 'plain.*,expressed.*,parted.*,bought.*', 'http://127.0.0.1:9/', integration => 'crm') AS minding \gset
SELECT count(*) > 0 FROM new_messages();
CREATE FUNCTION one_change(t text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    which integer := (random() * 12)::integer;
    sets text := '';
    fields text[] := ARRAY['uid = ' || quote_literal(to_char(random() * 30, 'FM09')), 'gone = NOT gone', 'paid = NOT paid', 'paid = true',
        'event = ' || quote_literal((ARRAY['strict', 'quiet', 'loud', 'both', 'usual'])[1 + (random() * 4)::integer]), 'name = ' || quote_literal(random()::text)];
BEGIN
    FOR i IN 1 .. 6 LOOP
        sets := sets || CASE WHEN random() < 0.3 AND NOT (i = 4 AND sets LIKE '%paid%') THEN ', ' || fields[i] ELSE '' END;
    END LOOP;
    IF random() < 0.15 THEN
        EXECUTE format('DELETE FROM %I WHERE n = %s', t, which);
    ELSIF random() < 0.3 THEN
        EXECUTE format('INSERT INTO %I (uid, n, event) VALUES (to_char(random() * 30, ''FM09''), %s, ''strict'') ON CONFLICT DO NOTHING', t, which);
    ELSIF t = 'bought' AND random() < 0.4 THEN
        INSERT INTO purchase SELECT uid FROM bought AS b WHERE b.n = which;
    ELSIF t = 'bought' AND random() < 0.3 THEN
        DELETE FROM purchase WHERE of IN (SELECT uid FROM bought AS b WHERE b.n = which);
    ELSE
        EXECUTE format('UPDATE %I SET n = n%s WHERE n %s', t, sets, CASE WHEN sets LIKE '%uid%' OR random() < 0.5 THEN '= ' || which ELSE '% 3 = ' || which % 3 END);
    END IF;
EXCEPTION WHEN unique_violation THEN
    NULL;
END
$$;
-- What a receiver has in the end; an update or delete of an unknown entity, or a create of a known one, is an error.
CREATE TABLE copy (hook bigint, type text, id text, payload jsonb, PRIMARY KEY (hook, type, id));
CREATE TABLE fault (hook bigint, type text, event text, id text);
CREATE FUNCTION receive(hook bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    m record;
    known boolean;
BEGIN
    FOR m IN SELECT o.entity_type AS type, split_part(o.event, '.', 2) AS action, o.entity_id #>> '{}' AS id, o.payload::jsonb AS payload FROM webhook.outbox AS o
        WHERE hook = ANY (o.webhook_ids) AND o.id > (SELECT id FROM last_message) AND o.entity_type IN ('plain', 'expressed', 'parted', 'bought') ORDER BY o.id
    LOOP
        known := EXISTS (SELECT FROM copy AS c WHERE c.hook = receive.hook AND c.type = m.type AND c.id = m.id);
        IF known = (m.action = 'create') THEN
            INSERT INTO fault VALUES (hook, m.type, m.action, m.id);
        END IF;
        DELETE FROM copy AS c WHERE c.hook = receive.hook AND c.type = m.type AND c.id = m.id;
        INSERT INTO copy SELECT hook, m.type, m.id, m.payload WHERE m.action <> 'delete';
    END LOOP;
END
$$;
SELECT setseed(0.7);
DO $$
DECLARE
    t text;
BEGIN
    FOR i IN 1 .. 250 LOOP
        FOREACH t IN ARRAY '{plain,expressed,parted,bought}'::text[] LOOP
            FOR j IN 0 .. (random() * 4)::integer LOOP
                PERFORM one_change(t);
            END LOOP;
        END LOOP;
        COMMIT;
    END LOOP;
END
$$;
SELECT receive(:everything), receive(:minding);
CREATE VIEW truth AS
    WITH row AS (SELECT 'plain' AS type, t.uid AS id, t.* FROM plain AS t UNION ALL SELECT 'expressed', '<' || t.uid || '>', t.* FROM expressed AS t
        UNION ALL SELECT 'parted', t.uid, t.* FROM parted AS t UNION ALL SELECT 'bought', t.uid, t.* FROM bought AS t)
    SELECT type, id, event, CASE type WHEN 'bought' THEN EXISTS (SELECT FROM purchase AS p WHERE p.of = uid) ELSE paid END AS paid,
        json_build_object('uid', uid, 'n', n, 'gone', gone, 'event', event, 'name', name)::jsonb AS payload FROM row WHERE NOT gone;
SELECT count(*) > 5 AS many FROM truth;
SELECT type, count(*) AS faults FROM fault GROUP BY 1;
(SELECT 'missing', type, id, payload FROM truth EXCEPT SELECT 'missing', type, id, payload FROM copy WHERE hook = :everything)
UNION ALL (SELECT 'too much', type, id, payload FROM copy WHERE hook = :everything EXCEPT SELECT 'too much', type, id, payload FROM truth);
(SELECT 'missing', type, id, payload FROM truth WHERE paid OR event NOT IN ('strict', 'both') EXCEPT SELECT 'missing', type, id, payload FROM copy WHERE hook = :minding)
UNION ALL (SELECT 'too much', type, id, payload FROM copy WHERE hook = :minding EXCEPT SELECT 'too much', type, id, payload FROM truth WHERE paid OR event NOT IN ('strict', 'both'));
SELECT count(*) AS wrongly_known FROM webhook.paid_entity AS p WHERE entity_type IN ('expressed', 'bought')
    AND NOT EXISTS (SELECT FROM truth AS t WHERE t.type = p.entity_type AND t.id = p.entity_id::jsonb #>> '{}' AND t.paid AND t.event IN ('strict', 'both'));

SELECT webhook.delete_integration('crm');
SELECT count(webhook.unwatch(relation)) FROM webhook.watch;
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('keys');
DROP SCHEMA keys_test CASCADE;
