-- Statements that newer releases of PostgreSQL have.  Where the server does not know one, the messages are the same without it.
-- Proves W1: what reads or rewrites rows without changing them sends nothing, and what is stored stays readable.
SET client_min_messages = warning;
SELECT current_setting('server_version_num')::integer >= 180000 AS has_18, current_setting('server_version_num')::integer >= 190000 AS has_19 \gset
CREATE SCHEMA newer_test;
SET search_path = newer_test;
CREATE TABLE guest (id integer PRIMARY KEY, name text);
SELECT webhook.watch('guest', 'guest');
SELECT webhook.create_webhook('newer', '*', 'http://127.0.0.1:9/') AS hook \gset

-- Since 18 the server knows the name and version of the library.
SELECT extversion AS version FROM pg_extension WHERE extname = 'webhook' \gset
\set loaded :version
\if :has_18
SELECT version AS loaded FROM pg_get_loaded_modules() WHERE module_name = 'webhook' \gset
\endif
SELECT :'loaded' = :'version' AS same_version;

-- An existing row is only read, even if it is locked.  Each new one is a create.
INSERT INTO guest VALUES (1, 'Ada');
\if :has_19
INSERT INTO guest VALUES (1, 'not taken'), (2, 'Grace') ON CONFLICT (id) DO SELECT RETURNING id, name \g /dev/null
INSERT INTO guest VALUES (1, 'not taken'), (2, 'not taken') ON CONFLICT (id) DO SELECT FOR UPDATE WHERE guest.id = 1 RETURNING id, name \g /dev/null
\else
INSERT INTO guest VALUES (1, 'not taken'), (2, 'Grace') ON CONFLICT (id) DO NOTHING;
\endif

-- A table that is rewritten, in one piece or while it is in use, sends nothing; changes after it do.
\if :has_19
REPACK guest;
REPACK (CONCURRENTLY) guest;
\else
VACUUM FULL guest;
\endif
UPDATE guest SET name = name || ' H.' WHERE id = 2;

-- The same for our own tables.
\if :has_19
REPACK webhook.outbox_0;
REPACK webhook.outbox_1;
REPACK webhook.outbox_2;
REPACK webhook.outbox_3;
REPACK webhook.cursor;
REPACK (CONCURRENTLY) webhook.webhook;
REPACK (CONCURRENTLY) webhook.watch;
REPACK (CONCURRENTLY) webhook.delivery;
\else
VACUUM FULL webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3, webhook.cursor, webhook.webhook, webhook.watch, webhook.delivery;
\endif
DELETE FROM guest WHERE id = 1;
SELECT event, entity_id::text, payload::text FROM webhook.outbox WHERE webhook_ids = ARRAY[:hook::bigint] ORDER BY id;

SELECT webhook.delete_webhook_by_id(:hook);
SELECT webhook.unwatch('guest');
DROP SCHEMA newer_test CASCADE;
