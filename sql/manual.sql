-- Manual triggers: one entity, fired by a user, for one webhook.
-- Proves I1 (event.manual, guest.manual), I3, and of W15 the ids of all kinds of tables.
CREATE SCHEMA manual_test;
SET search_path = manual_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

CREATE VIEW sent AS
    SELECT o.event, o.entity_id, o.event_uid, o.payload, cardinality(o.webhook_ids) AS webhooks
    FROM webhook.outbox AS o ORDER BY o.id;

-- The tables: a plain key, a key in several columns, an expression, partitions, a soft delete.
CREATE TABLE event (uid text PRIMARY KEY, title text, profile text);
CREATE TABLE guest (id int PRIMARY KEY, name text, event_uid text, gone boolean NOT NULL DEFAULT false);
CREATE TABLE "Odd ""Name" (a int, "b,c" text, PRIMARY KEY (a, "b,c"));
CREATE TABLE nokey (x text, y int);
CREATE TABLE parts (id bigint, region text, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_eu (note text, region text NOT NULL, id bigint NOT NULL);
ALTER TABLE parts ATTACH PARTITION parts_eu FOR VALUES IN ('eu');
ALTER TABLE guest ADD dropped int;
ALTER TABLE guest DROP dropped;
SELECT webhook.watch('event', 'event', event_uid => 'uid');
SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid', deleted => 'gone');
SELECT webhook.watch('"Odd ""Name"', 'odd');
SELECT webhook.watch('nokey', 'nokey', id => $$x || '-' || y$$);
SELECT webhook.watch('parts', 'part', id => 'id');
INSERT INTO event VALUES ('e1', 'Gala', 'p'), ('e2', 'Fair', 'p');
INSERT INTO guest VALUES (1, 'Ann', 'e1', false), (2, 'Bob', 'e2', false), (3, 'Cy', 'e1', true);
INSERT INTO "Odd ""Name" VALUES (1, 'x,y\z'), (2, 'plain');
INSERT INTO nokey VALUES ('a', 1), ('b', 2);
INSERT INTO parts VALUES (7, 'eu', 'in a partition whose columns are in another order');

SELECT webhook.create_webhook('crm', 'guest.manual', 'http://127.0.0.1:1/', name => 'Send to the CRM', event_uids => 'e1') AS guest_hook \gset
SELECT webhook.create_webhook('crm', 'event.*,event.manual', 'http://127.0.0.1:1/', name => 'Publish') AS event_hook \gset
SELECT webhook.create_webhook('crm', 'odd.manual,nokey.manual,part.manual', 'http://127.0.0.1:1/') AS many_hook \gset
SELECT webhook.create_webhook('crm', 'guest.create', 'http://127.0.0.1:1/') AS plain_hook \gset

--
-- I1, I3: fire
--
SELECT webhook.fire_webhook(:guest_hook, '1') ~ '^[0-9a-f-]{36}$' AS message_id;
SELECT webhook.fire_webhook(:event_hook, 'e2') <> '' AS fired;
SELECT webhook.fire_webhook(:many_hook, '1,x\,y\\z') <> '' AS fired;
SELECT webhook.fire_webhook(:many_hook, 'b-2') <> '' AS fired;
SELECT webhook.fire_webhook(:many_hook, '7') <> '' AS fired;
SELECT * FROM sent;

-- A manual message that is rolled back is not sent.
BEGIN;
SELECT webhook.fire_webhook(:guest_hook, '1') <> '' AS fired;
ROLLBACK;
SELECT count(*) FROM sent;

-- What json accepts and jsonb rejects does not keep a filter from seeing the rest.
CREATE TABLE note (id int PRIMARY KEY, body json);
SELECT webhook.watch('note', 'note');
INSERT INTO note VALUES (1, '"\u0000"'), (2, '1e1000000');
SELECT webhook.create_webhook('note', 'note.manual', 'http://127.0.0.1:1/', filter => '{"id": 1}') AS note_hook \gset
SELECT webhook.fire_webhook(:note_hook, '1') <> '' AS fired;
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :note_hook, '2'));
SELECT webhook.delete_webhook_by_id(:note_hook);

-- R6: refused
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :guest_hook, '99'));
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :guest_hook, 'no number'));
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :guest_hook, '3')); -- deleted
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :guest_hook, '2')); -- another event
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :many_hook, '1,x\,y\\z,3'));
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :many_hook, '99999999999999999999'));
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :many_hook, '2'));
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, NULL)', :many_hook));
SELECT * FROM refused('SELECT webhook.fire_webhook(NULL, ''1'')');
SELECT * FROM refused('SELECT webhook.fire_webhook(-1, ''1'')');
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :plain_hook, '1'));
SELECT webhook.update_webhook(:guest_hook, '{"filter": {"name": "Zoe"}}');
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :guest_hook, '1'));
SELECT webhook.update_webhook(:guest_hook, '{"filter": {"name": "Ann"}}');
SELECT webhook.deactivate_webhook(:guest_hook);
SELECT * FROM refused(format('SELECT webhook.fire_webhook(%s, %L)', :guest_hook, '1'));
SELECT webhook.activate_webhook(:guest_hook);
SELECT webhook.fire_webhook(:guest_hook, '1') <> '' AS fired;

SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('crm');
DROP SCHEMA manual_test CASCADE;
