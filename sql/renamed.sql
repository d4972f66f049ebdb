-- Webhooks that refer to a column follow when it is renamed.  Proves C8, E5 and X2.
SET client_min_messages = notice;
CREATE SCHEMA renamed_test;
SET search_path = renamed_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
CREATE TABLE guest (id integer PRIMARY KEY, email text, name text, status text) PARTITION BY RANGE (id);
CREATE TABLE guest_1 PARTITION OF guest DEFAULT;
CREATE TABLE member (id integer PRIMARY KEY, email text);
CREATE TABLE made (id integer PRIMARY KEY, email text);
CREATE TABLE plain (id integer PRIMARY KEY, email text);
CREATE FUNCTION made_payload(made) RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT jsonb_build_object('email', $1) $$;
SELECT webhook.watch('guest', 'guest'), webhook.watch('member', 'member'), webhook.watch('made', 'made', payload => 'made_payload(made)');
SELECT webhook.create_webhook('renamed', 'guest.update', 'http://127.0.0.1:9/', name => 'columns', columns => '{email,name}') > 0 AS ok
\g /dev/null
SELECT webhook.create_webhook('renamed', 'guest.*', 'http://127.0.0.1:9/', name => 'filter', filter => '{"status": "open", "name": "Ann"}') > 0 AS ok
\g /dev/null
SELECT webhook.create_webhook('renamed', '*', 'http://127.0.0.1:9/', name => 'both tables', columns => '{email}') > 0 AS ok
\g /dev/null
SELECT webhook.create_webhook('renamed', 'made.*', 'http://127.0.0.1:9/', name => 'function', filter => '{"email": "kept"}') > 0 AS ok
\g /dev/null
SELECT webhook.create_webhook('renamed', 'guest.*', 'http://127.0.0.1:9/', name => 'condition',
    condition => '$.new.status == "status" && $.old.status != "status" || $.new.email == $.old.email') > 0 AS ok
\g /dev/null
CREATE VIEW now AS SELECT w.name, w.columns, w.filter, w.condition FROM webhook.webhook AS w WHERE w.app = 'renamed' ORDER BY w.id;
\set VERBOSITY terse
INSERT INTO guest VALUES (1, 'a@example.com', 'Ann', 'open');
ALTER TABLE guest RENAME email TO mail;
UPDATE guest SET mail = 'b@example.com';
BEGIN;
ALTER TABLE guest RENAME status TO state;
SELECT * FROM now;
ROLLBACK;
ALTER TABLE guest RENAME COLUMN status TO condition;
UPDATE guest SET condition = 'open';
ALTER TABLE made RENAME email TO mail;
ALTER TABLE plain RENAME email TO mail;
SELECT * FROM now;
-- The last table that has the name.
ALTER TABLE member RENAME email TO "e-mail";
SELECT * FROM now;
SELECT o.event, (SELECT string_agg(w.name, ', ' ORDER BY w.id) FROM webhook.webhook AS w WHERE w.id = ANY (o.webhook_ids)) AS webhooks FROM webhook.outbox AS o ORDER BY o.id;
SET client_min_messages = warning;
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('renamed');
SELECT count(webhook.unwatch(relation)) FROM webhook.watch;
DROP SCHEMA renamed_test CASCADE;
