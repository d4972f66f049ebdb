-- What is sent about a row depends on the row, never on the settings of the session that writes or reads it: every kind of
-- value, in payloads, ids, expressions, payload functions, filters, the API, samples and tests.  Proves C13, C10, W3 and E3.
SET client_min_messages = warning;
CREATE SCHEMA settings_test;
SET search_path = settings_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
CREATE FUNCTION settings_test.use(kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY CASE kind
        WHEN 'usual' THEN '{{datestyle,"ISO, DMY"},{timezone,Europe/Rome},{intervalstyle,postgres},{extra_float_digits,1},{bytea_output,hex},
            {xmlbinary,base64},{xmloption,content},{lc_monetary,C.UTF-8},{lc_numeric,C.UTF-8},{lc_time,C.UTF-8},{search_path,settings_test},
            {quote_all_identifiers,off},{array_nulls,on}}'::text[]
        WHEN 'german' THEN '{{datestyle,"German"},{timezone,Asia/Tokyo},{intervalstyle,iso_8601},{extra_float_digits,0},{bytea_output,escape},
            {xmlbinary,hex},{xmloption,document},{lc_monetary,C},{search_path,pg_catalog},{quote_all_identifiers,on},{array_nulls,off}}'
        WHEN 'sql' THEN '{{datestyle,"SQL, DMY"},{timezone,America/New_York},{intervalstyle,sql_standard},{extra_float_digits,-15},
            {bytea_output,escape},{lc_monetary,C.UTF-8},{search_path,"pg_temp,public,settings_test"}}'
        ELSE '{{datestyle,"Postgres, YMD"},{timezone,-05:30},{intervalstyle,postgres_verbose},{extra_float_digits,3},{bytea_output,hex},
            {search_path,""}}' END
    LOOP
        PERFORM set_config(pair[1], pair[2], false);
    END LOOP;
END
$$;

CREATE TYPE pair AS (at timestamptz, span interval, ratio double precision);
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE FUNCTION colour_to_json(colour) RETURNS json LANGUAGE sql STABLE AS
    $$ SELECT json_build_object('colour', $1::text, 'at', '2026-06-01 00:00+00'::timestamptz::text, 'name', 'settings_test.pair'::regtype::text) $$;
CREATE CAST (colour AS json) WITH FUNCTION colour_to_json(colour);
CREATE DOMAIN span AS interval;
CREATE TABLE template (
    id timestamptz PRIMARY KEY, d date, ts timestamp, tz timestamptz, t time, ttz timetz, iv interval, dom span, f4 real, f8 double precision,
    n numeric, by bytea, m money, x xml, p point, box box, r tstzrange, nr numrange, fr float8[], tza timestamptz[], iva interval[], bya bytea[],
    ma money[], da date[], pa pair, paa pair[], oc regclass, op regproc, ot regtype, j json, jb jsonb, c char(5), tq tsquery, tv tsvector,
    txt text, far timestamptz);
INSERT INTO template VALUES ('2026-05-31 22:30+00', '2026-05-31', '2026-05-31 22:30', '2026-05-31 22:30:00.5+00', '22:30', '22:30+05:30',
    '1 year -2 days 03:04:05.6', '1 day', 0.1, 0.1::float8 + 0.2, 1.50, '\x00ff41', '1234.5', '<a>&#xfc;</a>', '(0.30000000000000004,2)',
    '(1,1),(0.1,0.1)', '[2026-05-31 22:30+00,)', '[1.0,2)', '{0.30000000000000004,NaN}', '{2026-05-31 22:30+00,infinity}', '{1 day,-1 mon}', '{"\\x41"}',
    '{1.5}', '{2026-05-31}', ROW ('2026-05-31 22:30+00', '1 day', 0.1::float8 + 0.2), ARRAY[ROW ('2026-05-31 22:30+00', '1 day', 0.1::float8 + 0.2)::pair],
    'settings_test.template', 'settings_test.use', 'settings_test.pair', '{"a" : 1}', '{"b": 1}', 'ab', 'a & b', 'a b:1', 'text', '0044-03-15 12:00:00 BC');
CREATE TABLE fast (LIKE template INCLUDING ALL);
ALTER TABLE fast DROP COLUMN pa, DROP COLUMN paa;
CREATE TABLE cast_used (LIKE template INCLUDING ALL, col colour DEFAULT 'red');
CREATE TABLE by_function (LIKE template INCLUDING ALL);
CREATE TABLE parted (LIKE template INCLUDING ALL) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted DEFAULT;
CREATE FUNCTION made(by_function) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('at', $1.tz, 'text', $1.tz::text, 'span', $1.iv::text, 'float', $1.f8::text, 'bytes', $1.by::text, 'money', $1.m::text,
        'xml', xmlelement(name x, $1.by)::text, 'table', $1.oc, 'name', 'settings_test.pair'::regtype::text, 'char', to_char($1.n, '9D99') || to_char($1.d, 'TMMonth'),
        'zone', current_setting('timezone'), 'path', current_setting('search_path'), 'array', '{NULL}'::text[], 'order', '03/04/2026'::date)
$$;
SELECT webhook.watch('fast', 'fast', event_uid => 'tz', profile => 'iv'),
    webhook.watch('cast_used', 'cast_used', id => 'far', event_uid => 'tz::text', profile => 'iv::text || f8::text || by::text || m::text'),
    webhook.watch('by_function', 'by_function', id => 'tz::date', event_uid => $$'01/02/2026'::date$$, payload => 'made(by_function)'),
    webhook.watch('parted', 'parted', event_uid => 'd');
SELECT webhook.create_webhook('settings', '*', 'http://127.0.0.1:9/{event_uid}') AS hook \gset
-- Profiles matter to integrations only.
SELECT webhook.create_integration('asks') <> '' AS asks, webhook.create_webhook('settings', 'cast_used.*', 'http://127.0.0.1:9/', integration => 'asks') > 0 AS created;
-- A filter on a value whose text depends on settings.
SELECT webhook.create_webhook('settings', 'fast.create,parted.create', 'http://127.0.0.1:9/', filter => '{"iv": "1 year -2 days +03:04:05.6", "dom": "1 day", "by": "\\x00ff41",
    "f8": 0.30000000000000004, "tz": "2026-05-31T22:30:00.5+00:00", "m": "$1,234.50", "oc": "settings_test.template"}') AS filtered \gset
CREATE FUNCTION settings_test.write(kind text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    PERFORM settings_test.use(kind);
    FOREACH name IN ARRAY '{cast_used,by_function,parted}'::text[] LOOP
        EXECUTE format('DELETE FROM settings_test.%I', name);
        EXECUTE format('INSERT INTO settings_test.%I SELECT * FROM settings_test.template', name);
    END LOOP;
    DELETE FROM settings_test.fast;
    INSERT INTO settings_test.fast SELECT id, d, ts, tz, t, ttz, iv, dom, f4, f8, n, by, m, x, p, box, r, nr, fr, tza, iva, bya, ma, da, oc, op, ot, j, jb,
        c, tq, tv, txt, far FROM settings_test.template;
END
$$;
SELECT settings_test.write('usual');
SELECT settings_test.write('german');
SELECT settings_test.write('sql');
SELECT settings_test.write('odd');
SELECT settings_test.use('usual');
SELECT event, count(*), count(DISTINCT (entity_id::text, event_uid, profile, payload::text)) AS differing,
    count(*) FILTER (WHERE :filtered = ANY (webhook_ids)) AS filtered FROM webhook.outbox WHERE entity_type IN ('fast', 'cast_used', 'by_function', 'parted') GROUP BY 1 ORDER BY 1;
SELECT entity_id, event_uid, profile, payload FROM webhook.outbox WHERE event IN ('cast_used.create', 'by_function.create') ORDER BY id LIMIT 2;

-- Reading: the API, samples, tests and manual actions, in any session.
CREATE TABLE event (uid char(6) PRIMARY KEY, starts timestamptz, span interval, ratio double precision, profile interval);
CREATE TABLE guest (id timestamptz PRIMARY KEY, event char(6), span interval, ratio double precision, at timestamptz);
SELECT webhook.watch('event', 'event', event_uid => 'uid', profile => 'profile'), webhook.watch('guest', 'guest', event_uid => 'event', profile => '(SELECT e.profile FROM event e WHERE e.uid = event)');
INSERT INTO event VALUES ('GALA', '2026-05-31 22:30+00', '1 day', 0.1::float8 + 0.2, '1 day');
INSERT INTO guest VALUES ('2026-05-31 22:30+00', 'GALA', '1 day', 0.1::float8 + 0.2, '2026-05-31 22:30+00');
SELECT webhook.create_integration('settings') AS key \gset
SELECT webhook.connect_profile('settings', '1 day', true);
-- C10: the date of a timestamp is the date in UTC.
SELECT webhook.set_form('settings', 'guest', '[{"name": "at", "type": "date"}, {"name": "span", "type": "text"}, {"name": "ratio", "type": "number"}]');
SELECT webhook.set_form('settings', 'event', (SELECT jsonb_agg(jsonb_build_object('name', 'd' || i, 'type', 'date', 'default', d)) FROM unnest('{2026-01-01,
    2026-01-01T00:30:00,2026-01-01T00:30:00Z,2026-01-01 00:30+01,2026-01-01T00:30:00.5+0100,2026-12-31T23:30:00-00:30,2026-03-01T00:00:00+05:30,
    2026-01-01T12:00:00-11:00,2024-02-29T23:00:00-01:00,2026-01-01T,2026-01-01T+}'::text[]) WITH ORDINALITY AS v (d, i)));
SELECT webhook.create_webhook('settings', 'guest.manual', 'http://127.0.0.1:9/', filter => '{"span": "1 day", "at": "2026-05-31T22:30:00+00:00"}') AS manual \gset
CREATE TABLE seen (kind text, events text, guests text, sample text, fired text, tested text);
CREATE FUNCTION look(kind text, key text, manual bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM settings_test.use(kind);
    INSERT INTO settings_test.seen SELECT kind, webhook.get_events(key, 'GALA')::text, webhook.get_attendees(key, 'GALA', '2026-05-31T22:30:00+00:00')::text,
        webhook.rest_hook_sample('guest.create')::text, webhook.fire_webhook(manual, '2026-05-31T22:30:00+00:00'), webhook.test_webhook(manual);
END
$$;
SELECT look(kind, :'key', :manual) FROM unnest('{usual,german,sql,odd}'::text[]) AS kind;
SELECT settings_test.use('usual');
SELECT DISTINCT events, guests, sample FROM seen;
SELECT DISTINCT event, entity_id::text, event_uid, profile, payload::text FROM webhook.outbox WHERE event IN ('guest.manual', 'guest.test') ORDER BY 1;

SELECT webhook.delete_integration('settings'), webhook.delete_integration('asks'), webhook.delete_webhook_by_id(:hook), webhook.delete_webhook_by_id(:filtered), webhook.delete_webhook_by_id(:manual);
SELECT count(webhook.unwatch(relation)) FROM webhook.watch;
RESET ALL;
SET client_min_messages = warning;
DROP SCHEMA settings_test CASCADE;
