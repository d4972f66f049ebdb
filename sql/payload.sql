-- The payload of a message equals row_to_json() byte for byte, for every kind of column, whatever the settings of the session.
-- Proves E3, I2 and W15 for types; webhook.dispatch = off in the test cluster keeps the messages in the outbox.
SET client_min_messages = warning;
SET timezone = 'Europe/Rome';
CREATE SCHEMA payload;
SET search_path = payload, public;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'über "happy"');
CREATE TYPE place AS (city text, zip integer, tags text[]);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN more_positive AS positive;
CREATE DOMAIN label AS varchar(40);
CREATE DOMAIN flag AS boolean;
CREATE DOMAIN amount AS numeric(12, 2);
CREATE DOMAIN moment AS timestamptz;
CREATE DOMAIN doc AS jsonb;
CREATE DOMAIN mood_domain AS mood;
CREATE DOMAIN tags AS text[];
CREATE DOMAIN home AS place;

-- A type with a cast to json, which row_to_json() uses.
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE FUNCTION colour_to_json(colour) RETURNS json LANGUAGE sql IMMUTABLE
    AS $$ SELECT json_build_object('colour', $1::text) $$;
CREATE CAST (colour AS json) WITH FUNCTION colour_to_json(colour);

CREATE TABLE t (
    id            bigint PRIMARY KEY,
    gone          text,
    b             boolean,
    i2            smallint,
    i4            integer,
    f4            real,
    f8            double precision,
    n             numeric,
    n2            numeric(10, 3),
    t             text,
    v             varchar(80),
    c             char(12),
    "char"        "char",
    name          name,
    d             date,
    ts            timestamp,
    tz            timestamptz,
    tm            time,
    tmz           timetz,
    iv            interval,
    u             uuid,
    by            bytea,
    j             json,
    jb            jsonb,
    ia            integer[],
    ta            text[],
    ma            numeric[],
    tza           timestamptz[],
    ja            jsonb[],
    p             place,
    pa            place[],
    e             mood,
    ea            mood[],
    r             int4range,
    tr            tstzrange,
    s             span,
    ip            inet,
    net           cidr,
    mac           macaddr,
    pt            point,
    bits          bit varying(20),
    m             money,
    o             oid,
    rc            regclass,
    ts_v          tsvector,
    dp            positive,
    dpp           more_positive,
    dl            label,
    df            flag,
    da            amount,
    dm            moment,
    dd            doc,
    dmo           mood_domain,
    dt            tags,
    dh            home,
    col           colour,
    cola          colour[],
    "odd ""name"" \ ü
x"                text,
    g             text GENERATED ALWAYS AS ('<' || id || '>') STORED,
    big           text,
    bigj          jsonb
);
ALTER TABLE t DROP COLUMN gone;
ALTER TABLE t ADD COLUMN added text DEFAULT 'has a "missing" value';

SELECT webhook.watch('t', 'thing');
SELECT webhook.create_webhook('payload test', 'thing.*', 'http://127.0.0.1:9/', format => 'rest') > 0 AS created;

-- The newest message (messages are in the outbox when their transaction has committed) against the row it came from.  Shows only the result unless they differ.
CREATE FUNCTION check_payload(row_id bigint) RETURNS text LANGUAGE plpgsql
    SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C' AS $$
DECLARE
    expected text := (SELECT row_to_json(thing)::text FROM t AS thing WHERE id = row_id);
    got      text := (SELECT payload::text FROM webhook.outbox ORDER BY id DESC LIMIT 1);
BEGIN
    RETURN CASE WHEN got = expected THEN 'same' ELSE format(E'expected %s\ngot      %s', expected, got) END;
END
$$;

-- All NULL.
INSERT INTO t (id) VALUES (1);
SELECT check_payload(1);

-- Ordinary values.
INSERT INTO t (id, b, i2, i4, f4, f8, n, n2, t, v, c, "char", name, d, ts, tz, tm, tmz, iv, u, by, j, jb, ia, ta, ma, tza,
               ja, p, pa, e, ea, r, tr, s, ip, net, mac, pt, bits, m, o, rc, ts_v, dp, dpp, dl, df, da, dm, dd, dmo, dt, dh,
               col, cola, "odd ""name"" \ ü
x")
VALUES (2, true, 12, -34, 1.5, 1e-7, 123.4500, 7.1, 'text', 'varchar', 'char', 'x', 'a name', '2025-11-11',
        '2025-11-11 09:27:29.123456', '2025-11-11 09:27:29+00', '09:27', '09:27+02', '1 year -2 days 03:04:05.6',
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\x00ff5c22', '{"a" :  1,"a":[ ] }', '{"b" :  1,"a":[ ] }', '{1,NULL,3}',
        '{a,"b \"c\"",NULL}', '{{1,2},{NaN,4.50}}', '{2025-11-11 09:27:29+00,infinity}', ARRAY['{"a":1}'::jsonb],
        ROW('Roma', 118, '{x,y}'), ARRAY[ROW('Köln', NULL, NULL)::place], 'über "happy"', '{sad,ok}', '[1,5)',
        '[2025-01-01 00:00+00,)', '[0.5,1.5]', '192.168.1.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '(1,2)', '10101', '12.34',
        42, 'pg_class', 'a:1 ''b c'':2', 1, 2, 'label', false, 1.5, '2025-07-01 12:00+00', '{"z":null}', 'ok',
        '{q,r}', ROW('Bonn', 53111, '{}'), 'red', '{red,green}', 'odd');
SELECT check_payload(2);

-- Numbers at their limits; what JSON cannot represent is quoted.
INSERT INTO t (id, i2, i4, f4, f8, n, m) VALUES
    (-9223372036854775808, -32768, -2147483648, '-Infinity', 'NaN', 'NaN', '-92233720368547758.08');
SELECT check_payload(-9223372036854775808);
INSERT INTO t (id, i2, i4, f4, f8, n) VALUES
    (9223372036854775807, 32767, 2147483647, 'Infinity', '-0', 1e100);
SELECT check_payload(9223372036854775807);
INSERT INTO t (id, f4, f8, n, n2) VALUES (10, 3.4028235e38, 1.7976931348623157e308, -0.000000000000000000001, -0.5);
SELECT check_payload(10);

-- Dates and times at their limits, whatever DateStyle says.
INSERT INTO t (id, d, ts, tz, iv) VALUES (20, 'infinity', 'infinity', '-infinity', '-1 mon');
SELECT check_payload(20);
INSERT INTO t (id, d, ts, tz, dm) VALUES
    (21, '0044-03-15 BC', '0044-03-15 12:00:00.5 BC', '0044-03-15 12:00:00 BC', '294276-12-31 23:59:59.999999+00');
SELECT check_payload(21);
SET datestyle = 'German';
SET intervalstyle = 'iso_8601';
SET timezone = 'Asia/Kolkata';
SET bytea_output = 'escape';
SET extra_float_digits = -3;
INSERT INTO t (id, d, ts, tz, iv, by, f8) VALUES
    (22, '2025-02-01', '2025-02-01 10:00', '2025-02-01 10:00+00', '1 day 2 hours', '\x0061', 0.1::float8 + 0.2);
SELECT check_payload(22);
RESET datestyle;
RESET intervalstyle;
RESET bytea_output;
RESET extra_float_digits;
SET timezone = 'Europe/Rome';

-- Strings: everything that must be escaped, at every offset of a word.
INSERT INTO t (id, t, v, c, name) VALUES (30, '', '', '', '');
SELECT check_payload(30);
INSERT INTO t (id, t, v, c)
SELECT 31, string_agg(repeat('x', n % 17) || chr(n), ''), E'"\\/\b\f\n\r\t\x7f', E'tab\t'
  FROM generate_series(1, 300) n;
SELECT check_payload(31);
INSERT INTO t (id, t, v) VALUES (32, 'grüße 你好 🎉 ' || chr(8232) || chr(65279), '</script>&amp;''');
SELECT check_payload(32);
INSERT INTO t (id, t)
SELECT 1000 + i, repeat('é', i / 2) || repeat('a', i % 9) || chr(1 + i % 40) || repeat('b', i) FROM generate_series(0, 40) i;
SELECT count(*) AS rows, count(*) FILTER (WHERE o.payload::text = row_to_json(thing)::text) AS same
  FROM t AS thing JOIN webhook.outbox o ON o.entity_id::text = thing.id::text
 WHERE o.event = 'thing.create' AND thing.id BETWEEN 1000 AND 1040;

-- jsonb of all shapes.
INSERT INTO t (id, jb)
SELECT 1100 + n, doc::jsonb
  FROM unnest(ARRAY['null', 'true', '1.50', '-1e30', '"a \"b\" \\ \n\u0001é"', '""', '[]', '{}', '[[]]', '[{}, [], [1, [2, "x"], {"a": null}], null, false]',
                    '{"a": {}, "b \"c\"": [1, {"d": [[]]}], "": {"": ""}, "e": 2}']) WITH ORDINALITY AS d (doc, n);
SELECT count(*) AS rows, count(*) FILTER (WHERE o.payload::text = row_to_json(thing)::text) AS same
  FROM t AS thing JOIN webhook.outbox o ON o.entity_id::text = thing.id::text
 WHERE o.event = 'thing.create' AND thing.id > 1100 AND thing.id < 1200;

-- Values out of line, compressed and not.
INSERT INTO t (id, big, bigj) VALUES (40, repeat('0123456789"', 100000 / 11), jsonb_build_object('k', repeat('x', 100000)));
SELECT check_payload(40);
ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
INSERT INTO t (id, big) VALUES (41, repeat('0123456789"', 100000 / 11));
SELECT check_payload(41);
-- An update that does not change them still contains them.
UPDATE t SET i4 = 7 WHERE id = 40;
SELECT check_payload(40);
UPDATE t SET i4 = 8 WHERE id = 41;
SELECT check_payload(41);

-- Columns that are added and dropped after watch().
ALTER TABLE t ADD COLUMN late integer;
UPDATE t SET late = 5 WHERE id = 2;
SELECT check_payload(2);
ALTER TABLE t DROP COLUMN i4;
UPDATE t SET late = 6 WHERE id = 2;
SELECT check_payload(2);
ALTER TABLE t RENAME COLUMN late TO later;
UPDATE t SET later = 7 WHERE id = 2;
SELECT check_payload(2);
ALTER TABLE t ALTER COLUMN later TYPE text;
UPDATE t SET later = 'x' WHERE id = 2;
SELECT check_payload(2);

-- C14: a value that its type's own cast to json refuses is sent as its text, with one warning per table; the statement goes on.
CREATE TYPE geometry AS ENUM ('POINT(1 2)', 'CIRCULARSTRING(0 0,1 1,2 0)', 'ZERO', 'NULL', 'CANCEL', 'MEMORY');
CREATE FUNCTION geometry_to_json(geometry) RETURNS json LANGUAGE plpgsql STABLE AS $$
BEGIN
    CASE $1
        WHEN 'CIRCULARSTRING(0 0,1 1,2 0)' THEN RAISE EXCEPTION 'type not supported' USING ERRCODE = 'XX000';
        WHEN 'ZERO' THEN RETURN (1 / 0)::text;
        WHEN 'NULL' THEN RETURN NULL;
        WHEN 'CANCEL' THEN RAISE EXCEPTION 'cancelled' USING ERRCODE = '57014';
        WHEN 'MEMORY' THEN RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200';
        ELSE RETURN '{"type": "Point"}';
    END CASE;
END
$$;
CREATE CAST (geometry AS json) WITH FUNCTION geometry_to_json(geometry);
CREATE TYPE spot AS (name text, place geometry);
CREATE TABLE map (id integer PRIMARY KEY, g geometry, ga geometry[], s spot, after text);
CREATE TABLE second_map (LIKE map INCLUDING ALL);
SELECT webhook.watch('map', 'thing'), webhook.watch('second_map', 'thing');
INSERT INTO map VALUES (1, 'POINT(1 2)', '{POINT(1 2)}', ROW ('a', 'POINT(1 2)'), 'after'), (2, 'CIRCULARSTRING(0 0,1 1,2 0)', NULL, NULL, 'after'),
    (3, 'ZERO', '{POINT(1 2),ZERO}', ROW ('b', 'ZERO'), 'after'), (4, 'NULL', NULL, NULL, 'after');
INSERT INTO second_map VALUES (5, NULL, NULL, ROW ('c', 'ZERO'), 'after');
UPDATE map SET after = 'changed' WHERE id = 2;
INSERT INTO map VALUES (6, 'CANCEL');
INSERT INTO map VALUES (7, 'POINT(1 2)', NULL, ROW ('d', 'MEMORY'));
SELECT event, payload FROM webhook.outbox WHERE payload::text ~ '^{"id":\d,"g"' ORDER BY id;
SELECT webhook.unwatch('map'), webhook.unwatch('second_map');

-- Composite types within each other: the schema of one with too many fields says so (X14).
CREATE TYPE level0 AS (a integer, b integer);
DO $$
BEGIN
    FOR i IN 1 .. 12 LOOP
        EXECUTE format('CREATE TYPE level%s AS (x level%s, y level%2$s)', i, i - 1);
    END LOOP;
END
$$;
CREATE TABLE deep (id integer PRIMARY KEY, v level12, w level1);
SELECT webhook.watch('deep', 'deep');
SELECT c.p -> 'v' AS v, c.p #> '{w,required}' AS w FROM (SELECT webhook.describe_event('deep.create') #> '{properties,result,properties}') AS c (p);
SELECT webhook.unwatch('deep');

SELECT webhook.unwatch('t');
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('payload test');
DROP SCHEMA payload CASCADE;
