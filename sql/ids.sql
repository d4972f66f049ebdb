-- The text of a value, as id, event UID and profile, is the same whatever the settings of a session are, and leads back
-- to the row.  Proves W3 (one entity, one id), W15 and E1.
SET client_min_messages = warning;
CREATE SCHEMA ids_test;
SET search_path = ids_test;
-- Two sessions with entirely different settings.
CREATE FUNCTION foreign_settings() RETURNS void LANGUAGE sql AS $$
    SELECT set_config('datestyle', 'German', false), set_config('timezone', 'Asia/Tokyo', false),
           set_config('intervalstyle', 'iso_8601', false), set_config('extra_float_digits', '-3', false),
           set_config('bytea_output', 'escape', false)
$$;
CREATE FUNCTION other_settings() RETURNS void LANGUAGE sql AS $$
    SELECT set_config('datestyle', 'SQL, DMY', false), set_config('timezone', 'America/New_York', false),
           set_config('intervalstyle', 'sql_standard', false), set_config('extra_float_digits', '0', false),
           set_config('bytea_output', 'hex', false)
$$;
SELECT webhook.create_webhook('ids', '*', 'http://127.0.0.1:9/{event_uid}') AS webhook \gset
-- Profiles matter to integrations only.
SELECT webhook.create_integration('asks') <> '' AS asks, webhook.create_webhook('ids', '*', 'http://127.0.0.1:9/', integration => 'asks') > 0 AS created;

CREATE TABLE found (column_name text, found boolean);
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE DOMAIN day AS date CHECK (VALUE > '2000-01-01');
CREATE TABLE keyed (
    a_day day, a_timestamp timestamp, an_instant timestamptz, an_interval interval, a_float double precision, a_real real,
    some_bytes bytea, a_time timetz, a_range tstzrange, some_days date[], a_table regclass, padded char(5), a_colour colour,
    a_number numeric, a_bool boolean, some_money money, changes integer);
INSERT INTO keyed VALUES ('2026-01-02', '2026-01-02 03:04:05.678', '2026-01-02 03:04:05+00', '-1 day 02:03:04', 0.1, 1e-7,
    '\x00ff41', '12:00:00+02', '[2026-01-02 00:00:00+00,)', '{2026-01-02,2026-02-01}', 'found', 'ab', 'green',
    1.50, true, 1.5, 0);
-- Each column as the id, the event UID and the profile.  The row is changed in sessions of either kind, and found by its id.
\set ECHO none
SELECT s FROM unnest('{a_day,a_timestamp,an_instant,an_interval,a_float,a_real,some_bytes,a_time,a_range,some_days,a_table,
    padded,a_colour,a_number,a_bool,some_money}'::text[]) WITH ORDINALITY AS c (name, n), LATERAL (VALUES
    (1, format('DO $do$ BEGIN PERFORM webhook.watch(%L, %2$L, id => %2$L, event_uid => %2$L, profile => %3$L); END $do$',
               'keyed', c.name, format('(SELECT %I)', c.name))),
    (2, 'DO $$ BEGIN PERFORM foreign_settings(); UPDATE keyed SET changes = changes + 1; END $$'),
    (3, 'DO $$ BEGIN PERFORM other_settings(); UPDATE keyed SET changes = changes + 1; END $$'),
    (4, format('INSERT INTO found SELECT %1$L, webhook.notify_payment(%1$L, entity_id #>> %2$L) FROM webhook.outbox'
               ' WHERE event = %1$L || %3$L LIMIT 1', c.name, '{}', '.update'))) AS v (i, s)
ORDER BY n, i \gexec
\set ECHO all
SELECT column_name, min(entity_id #>> '{}') AS id, count(DISTINCT entity_id #>> '{}') AS ids, count(DISTINCT event_uid) AS uids,
    count(DISTINCT profile) AS profiles, found FROM found JOIN webhook.outbox ON event = column_name || '.update'
GROUP BY found, column_name ORDER BY min(webhook.outbox.id);

-- An id in several columns, and one that no row can have.
ALTER TABLE keyed ADD PRIMARY KEY (a_day, an_instant, padded);
SELECT webhook.watch('keyed', 'keyed');
SELECT other_settings();
UPDATE keyed SET changes = 0;
SELECT foreign_settings();
UPDATE keyed SET changes = 1;
SELECT entity_id #>> '{}' AS id, count(*) FROM webhook.outbox WHERE event = 'keyed.update' GROUP BY 1;
SELECT i AS id, webhook.notify_payment('keyed', i) FROM unnest(ARRAY['2026-01-02,2026-01-02T03:04:05+00:00,ab   ',
    '2026-01-02,2026-01-02T12:04:05+09:00,ab', '2026-01-02,yesterday?,ab', '2026-01-02,2026-01-02T03:04:05+00:00',
    '1.1.1999,2026-01-02T03:04:05+00:00,ab', ',,', '']) AS i;

-- C2: char(n) is its text without padding: what a webhook lists, integrations, profiles, overrides, mappings, keys, the API.
CREATE DOMAIN code AS char(8);
CREATE TABLE gala (code code PRIMARY KEY, profile char(12));
CREATE TABLE seat (room char(10), nr char(4), event code, profile code, paid boolean, PRIMARY KEY (room, nr));
CREATE TABLE badge (nr char(4) PRIMARY KEY, event code);
SELECT webhook.watch('gala', 'event', event_uid => 'code', profile => 'profile'), webhook.watch('seat', 'seat', event_uid => 'event', profile => 'profile', paid => '(SELECT paid)'),
    webhook.watch('badge', 'guest', event_uid => '(SELECT g.code FROM gala g WHERE g.code = badge.event)', profile => '(SELECT g.profile FROM gala g WHERE g.code = badge.event)');
SELECT webhook.create_integration('padded') AS key \gset
SELECT webhook.connect_profile('padded', 'fairs', true), webhook.activate_integration('fairs', 'padded'), webhook.override_event('BALL', 'padded', only_paid => true),
    webhook.set_field_mapping('[{"name": "number", "mapped_to": "nr"}]', 'padded', profile => 'fairs');
SELECT webhook.create_webhook('padded', 'event.*,seat.*,guest.*', 'http://127.0.0.1:9/', event_uids => 'GALA') AS listed,
    webhook.create_webhook('padded', 'event.*,seat.*,guest.*', 'http://127.0.0.1:9/', integration => 'padded') AS integrated \gset
INSERT INTO gala VALUES ('GALA', 'fairs'), ('OTHER', 'nobody');
INSERT INTO seat VALUES ('red hall', 'a,1', 'GALA', 'fairs', NULL), ('x ', '2', 'OTHER', 'nobody', NULL), ('x', '3', 'BALL', 'nobody', true);
INSERT INTO badge VALUES ('7', 'GALA'), ('8', 'OTHER');
SELECT event, '<' || (entity_id #>> '{}') || '>' AS id, '<' || event_uid || '>' AS event_uid, '<' || profile || '>' AS profile, :listed = ANY (webhook_ids) AS listed,
    :integrated = ANY (webhook_ids) AS integrated FROM webhook.outbox WHERE webhook_ids && ARRAY[:listed, :integrated]::bigint[] ORDER BY id;
SELECT '<' || entity_id || '>' AS paid, '<' || event_uid || '>' AS event_uid FROM webhook.paid_entity;
SELECT webhook.get_events(:'key', 'GALA') AS event, webhook.get_events(:'key', 'GALA   ') -> 'meta' AS padded, webhook.get_attendees(:'key', 'GALA', '7') AS guest;
SELECT webhook.notify_payment('seat', 'red hall,a\,1'), webhook.notify_payment('seat', 'x,3');
SELECT webhook.delete_integration('padded'), webhook.delete_webhook_by_id(:listed), webhook.unwatch('gala'), webhook.unwatch('badge');

-- The look-up uses the index, whatever the type.
CREATE TABLE many (id timestamptz PRIMARY KEY, name text);
INSERT INTO many SELECT '2026-01-01 00:00:00+00'::timestamptz + i * interval '1 minute' FROM generate_series(1, 20000) AS i;
ANALYZE many;
SELECT webhook.watch('many', 'many');
SELECT webhook.notify_payment('many', '2026-01-01T00:01:00+00:00');
BEGIN;
SELECT webhook.notify_payment('many', '2026-01-01T00:02:00+00:00'), pg_stat_get_xact_tuples_returned('many'::regclass) AS scanned;
COMMIT;

-- P5, C34: whatever an update is for receivers, the new row is evaluated once, and the old one only if the expression can differ for it.
CREATE SEQUENCE evaluations MINVALUE 0;
CREATE FUNCTION evaluated(text) RETURNS text LANGUAGE sql AS $$ SELECT nextval('ids_test.evaluations'); SELECT $1 $$;
CREATE TABLE counted (id integer PRIMARY KEY, uid text, paid boolean, gone boolean);
SELECT webhook.watch('counted', 'counted', event_uid => 'ids_test.evaluated(uid)', paid => 'paid', deleted => 'gone');
INSERT INTO counted VALUES (1, 'e', false, false);
CREATE FUNCTION count_evaluations(command text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setval('ids_test.evaluations', 0);
    EXECUTE command;
    RETURN last_value FROM ids_test.evaluations;
END
$$;
SELECT command, count_evaluations('UPDATE ids_test.counted SET ' || command) FROM unnest(ARRAY['uid = ''f''', 'paid = true', 'id = 2',
    'gone = true', 'gone = false', 'id = 3, uid = ''g''']) AS command;
-- C34: what no webhook asks for is not evaluated.
SELECT webhook.update_webhook(:webhook, '{"url": "http://127.0.0.1:9/"}'), webhook.delete_integration('asks');
SELECT command, count_evaluations('UPDATE ids_test.counted SET ' || command) FROM unnest(ARRAY['uid = ''h''', 'id = 4, uid = ''i''']) AS command;

-- The API finds by event UID and profile, likewise.
CREATE TABLE party (day date PRIMARY KEY, host integer);
INSERT INTO party VALUES ('2026-03-01', 7), ('2026-03-02', 8);
SELECT webhook.watch('party', 'event', event_uid => 'day', profile => 'host');
SELECT webhook.create_integration('ids') AS key \gset
SELECT webhook.connect_profile('ids', '7', true), webhook.connect_profile('ids', 'no number', true);
SELECT webhook.get_events(:'key'), webhook.get_events(:'key', '2026-03-01') -> 'meta', webhook.get_events(:'key', '2026-03-02') -> 'meta',
    webhook.get_events(:'key', 'no day') -> 'meta';

RESET datestyle; RESET timezone; RESET intervalstyle; RESET extra_float_digits; RESET bytea_output;
SELECT webhook.delete_integration('ids'), webhook.delete_webhook_by_id(:webhook);
SELECT webhook.unwatch(relation) FROM webhook.watch;
RESET search_path;
DROP SCHEMA ids_test CASCADE;
