-- watch() and unwatch(): every argument, repeated calls, and everything that is rejected.
-- Proves R6 for both, and the part of I1, W14 and W15 that is about settings.
CREATE ROLE regress_watch_owner;
CREATE ROLE regress_watch_other;
CREATE SCHEMA watch_test;
SET search_path = watch_test;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers
GRANT USAGE, CREATE ON SCHEMA watch_test TO regress_watch_owner;
GRANT USAGE ON SCHEMA watch_test, webhook TO regress_watch_owner, regress_watch_other;
GRANT EXECUTE ON FUNCTION webhook.watch, webhook.unwatch TO regress_watch_owner, regress_watch_other;

CREATE VIEW settings AS
    SELECT relation, entity_type, id, event_uid, profile, paid, deleted, columns, exclude, payload FROM webhook.watch;
CREATE VIEW triggers AS
    SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgfoid = 'webhook.capture'::regproc ORDER BY 1;

CREATE TABLE event (id integer PRIMARY KEY, uid text UNIQUE, title text);
CREATE TABLE guest (id integer PRIMARY KEY, event_id integer REFERENCES event, name text, password text, paid boolean,
    gone_at timestamptz, account text);
CREATE TABLE keyless (name text, number integer);
CREATE TABLE "Odd ""table""" ("Odd id" integer PRIMARY KEY, "a,b" text);
CREATE FUNCTION guest_payload(guest) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('n', $1.name) $$;

--
-- All arguments
--
SELECT webhook.watch('event', 'event');
SELECT webhook.watch('guest', 'guest', id => 'id', event_uid => '(SELECT e.uid FROM event e WHERE e.id = event_id)',
    profile => 'account', paid => 'paid', deleted => 'gone_at IS NOT NULL', columns => '{id,name,password}',
    exclude => '{password}');
SELECT webhook.watch(relation => '"Odd ""table"""', entity_type => 'odd', event_uid => 'a,b');
SELECT webhook.watch('keyless', 'thing', id => $$name || '/' || number -- a comment at the end$$);
SELECT * FROM settings ORDER BY entity_type;
SELECT * FROM triggers;

-- Again: other settings, the same trigger.
SELECT webhook.watch('guest', 'attendee', payload => 'guest_payload(guest)');
SELECT * FROM settings WHERE relation = 'guest'::regclass;
SELECT count(*) FROM triggers WHERE tgrelid = 'guest'::regclass;

-- Unwatching, also a table that is not watched.
SELECT webhook.unwatch('keyless'), webhook.unwatch('keyless'), webhook.unwatch(relation => '"Odd ""table"""');
SELECT * FROM settings ORDER BY entity_type;
SELECT * FROM triggers;

-- The settings of a dropped table are deleted by the next call; its trigger is dropped with it.
SELECT webhook.watch('keyless', 'thing', id => 'number');
DROP TABLE keyless;
SELECT webhook.watch('event', 'event');
SELECT count(*) FROM webhook.watch;
CREATE TABLE keyless (name text, number integer);

-- Inside a transaction that is rolled back.
BEGIN;
SELECT webhook.watch('keyless', 'thing', id => 'number');
SELECT webhook.unwatch('event');
ROLLBACK;
SELECT * FROM triggers;
SELECT count(*) FROM webhook.watch;

--
-- Refusals: nothing is stored
--
CREATE VIEW a_view AS SELECT * FROM guest;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM guest;
CREATE TEMPORARY TABLE a_temp (id integer PRIMARY KEY);
CREATE SEQUENCE a_sequence;
CREATE TYPE a_type AS (id integer);
CREATE FUNCTION wrong_argument(event) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
CREATE FUNCTION wrong_result(guest) RETURNS text LANGUAGE sql AS $$ SELECT '{}' $$;
CREATE FUNCTION two_arguments(guest, text) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
CREATE FUNCTION a_set(guest) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
CREATE FUNCTION big(n integer) RETURNS text LANGUAGE sql AS $$ SELECT quote_literal(repeat('x', n)) $$;

-- the table
SELECT r.* FROM unnest(ARRAY[
    $$SELECT webhook.watch(NULL, 'x')$$,
    $$SELECT webhook.watch('no_such_table', 'x')$$,
    $$SELECT webhook.watch(4294967295, 'x')$$,
    $$SELECT webhook.watch(0, 'x')$$,
    $$SELECT webhook.watch('a_view', 'x', id => 'id')$$,
    $$SELECT webhook.watch('a_matview', 'x', id => 'id')$$,
    $$SELECT webhook.watch('a_sequence', 'x', id => 'last_value')$$,
    $$SELECT webhook.watch('a_type', 'x', id => 'id')$$,
    $$SELECT webhook.watch('event_pkey', 'x', id => 'id')$$,
    $$SELECT webhook.watch('a_temp', 'x')$$,
    $$SELECT webhook.watch('pg_class', 'x', id => 'oid')$$,
    $$SELECT webhook.watch('webhook.webhook', 'x')$$,
    $$SELECT webhook.watch('webhook.outbox_0', 'x', id => 'id')$$,
    $$SELECT webhook.watch('keyless', 'x')$$,
    $$SELECT webhook.unwatch(NULL)$$,
    $$SELECT webhook.unwatch('no_such_table')$$,
    $$SELECT webhook.unwatch('a_view')$$]) AS command, refused(command) AS r;

-- the entity type
SELECT r.* FROM unnest(ARRAY[
    $$SELECT webhook.watch('keyless', NULL, id => 'number')$$,
    $$SELECT webhook.watch('keyless', '', id => 'number')$$,
    $$SELECT webhook.watch('keyless', 'a.b', id => 'number')$$,
    $$SELECT webhook.watch('keyless', 'webhook', id => 'number')$$,
    $$SELECT webhook.watch('keyless', E'a\nb', id => 'number')$$,
    $$SELECT webhook.watch('keyless', 'größe', id => 'number')$$,
    $$SELECT webhook.watch('keyless', $$ || big(1000000) || $$, id => 'number')$$]) AS command, refused(command) AS r;

-- expressions
SELECT r.* FROM unnest(ARRAY[
    $$SELECT webhook.watch('keyless', 'x', id => 'no_such_column')$$,
    $$SELECT webhook.watch('keyless', 'x', id => '')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number +')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number); DROP TABLE keyless; --')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'name, number')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'name), (number')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number', event_uid => '(SELECT uid FROM no_such_table)')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number', event_uid => 'OLD.name')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number', event_uid => 'count(*)')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'generate_series(1, 2)')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number', profile => 'row_number() OVER ()')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number', profile => 'keyless')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number', paid => 'name::date')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number', paid => '1.5::numeric')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number', paid => 'name')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number', deleted => $_$'no'$_$)$$,
    $$SELECT webhook.watch('guest', 'x', deleted => 'gone_at')$$,
    $$SELECT webhook.watch('keyless', 'x', id => 'number', deleted => '42::date')$$,
    $$SELECT webhook.watch('keyless', 'x', id => $$ || big(1000000) || $$)$$]) AS command, refused(command) AS r;

-- columns
SELECT r.* FROM unnest(ARRAY[
    $$SELECT webhook.watch('guest', 'x', columns => '{id,no_such_column}')$$,
    $$SELECT webhook.watch('guest', 'x', columns => '{}')$$,
    $$SELECT webhook.watch('guest', 'x', columns => '{ctid}')$$,
    $$SELECT webhook.watch('guest', 'x', columns => '{NULL}')$$,
    $$SELECT webhook.watch('guest', 'x', exclude => '{Name}')$$,
    $$SELECT webhook.watch('guest', 'x', exclude => ARRAY[$$ || big(1000000) || $$])$$]) AS command, refused(command) AS r;

-- payload
SELECT r.* FROM unnest(ARRAY[
    $$SELECT webhook.watch('guest', 'x', payload => 'wrong_argument(event)')$$,
    $$SELECT webhook.watch('guest', 'x', payload => 'wrong_result(guest)')$$,
    $$SELECT webhook.watch('guest', 'x', payload => 'two_arguments(guest, text)')$$,
    $$SELECT webhook.watch('guest', 'x', payload => 'a_set(guest)')$$,
    $$SELECT webhook.watch('guest', 'x', payload => 'no_such_function(guest)')$$,
    $$SELECT webhook.watch('guest', 'x', payload => '4294967295')$$,
    $$SELECT webhook.watch('event', 'x', payload => 'guest_payload(guest)')$$]) AS command, refused(command) AS r;

-- Another role's table: not even locked.
ALTER TABLE keyless OWNER TO regress_watch_owner;
SET ROLE regress_watch_other;
SELECT r.* FROM unnest(ARRAY[
    $$SELECT webhook.watch('keyless', 'x', id => 'number')$$,
    $$SELECT webhook.unwatch('guest')$$]) AS command, refused(command) AS r;
SET ROLE regress_watch_owner;
SELECT webhook.watch('keyless', 'mine', id => 'number');
RESET ROLE;

-- The trigger function cannot be used on other tables.
CREATE TRIGGER wrong BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION webhook.capture();
SELECT r.* FROM refused($$INSERT INTO event VALUES (1)$$) AS r;
DROP TRIGGER wrong ON event;
SELECT r.* FROM refused($$SELECT webhook.capture()$$) AS r;

-- The settings are still those from before.
SELECT * FROM settings ORDER BY entity_type;
SELECT * FROM triggers;

-- A partition of a watched table may have settings of its own; unwatch() leaves the parent's trigger in place.
CREATE TABLE log (id integer PRIMARY KEY, name text) PARTITION BY RANGE (id);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10);
SELECT webhook.watch('log', 'log');
SELECT webhook.watch('log_1', 'part');
SELECT webhook.unwatch('log_1');
SELECT * FROM triggers WHERE tgrelid IN ('log'::regclass, 'log_1'::regclass);
SELECT webhook.unwatch('log');
SELECT * FROM triggers WHERE tgrelid IN ('log'::regclass, 'log_1'::regclass);

-- C11: a table from which others inherit
CREATE TABLE parent (id integer PRIMARY KEY);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE "Grand child" (PRIMARY KEY (id)) INHERITS (child);
SELECT webhook.watch('parent', 'parent');
SELECT webhook.watch('child', 'child'), webhook.watch('"Grand child"', 'child'), webhook.watch('parent', 'parent');

-- C29: a sub-select that compares a column with itself
CREATE TABLE party (id integer PRIMARY KEY, uid text);
CREATE TABLE visitor (id integer PRIMARY KEY, party_id integer, deleted boolean);
INSERT INTO party VALUES (1, 'a'), (2, 'b');
SELECT * FROM refused($$SELECT webhook.watch('visitor', 'visitor', event_uid => '(SELECT p.uid FROM party p WHERE p.id = id)')$$);
SELECT * FROM refused($$SELECT webhook.watch('visitor', 'visitor', deleted => '(SELECT p.uid = ''a'' FROM party p WHERE p.id = id)')$$);
INSERT INTO visitor VALUES (7, 1);
SELECT * FROM refused($$SELECT webhook.watch('visitor', 'visitor', event_uid => '(SELECT p.uid FROM party p WHERE p.id < visitor.id)')$$);
SELECT webhook.watch('visitor', 'visitor', event_uid => '(SELECT p.uid FROM party p WHERE p.id = party_id)', profile => '(SELECT max(p.uid) FROM party p)',
    paid => 'EXISTS (SELECT FROM party p WHERE 1 / (p.id - 1) > 0 AND p.id = visitor.id)');

-- C30: a payload function by its name alone
CREATE FUNCTION one_payload(visitor) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
CREATE FUNCTION one_payload(party) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
SELECT webhook.watch('visitor', 'visitor', payload => 'one_payload');
SELECT payload FROM settings WHERE entity_type = 'visitor';
SELECT webhook.watch('visitor', 'visitor', payload => 'watch_test.one_payload(visitor)');
SELECT webhook.watch('visitor', 'visitor', payload => 'one_payload(visitor)'::regprocedure);
SELECT f, r.* FROM unnest('{guest_payload,nope,one_payload(party)}'::text[]) AS f, refused(format('SELECT webhook.watch(''visitor'', ''visitor'', payload => %L)', f)) AS r;

SELECT webhook.unwatch(relation) FROM webhook.watch;
SELECT * FROM triggers;
RESET search_path;
DROP SCHEMA watch_test CASCADE;
DROP OWNED BY regress_watch_owner, regress_watch_other;
DROP ROLE regress_watch_owner, regress_watch_other;
