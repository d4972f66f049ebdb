-- Expressions and payload functions that write to the table they are evaluated for, so that the row trigger calls itself.
-- Also those that send messages, change settings or call themselves, and which of that a transform may do.
-- Proves W15 (any existing schema), I17 and R6 (what a table's owner writes cannot harm the server).
CREATE SCHEMA nested_test;
SET search_path = nested_test;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers
CREATE FUNCTION new_messages(OUT event text, OUT entity_id text, OUT payload text) RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
    SELECT event, entity_id::text, payload::text FROM new_rows()
$$;
SELECT webhook.create_webhook('nested', 'seat.*', 'http://127.0.0.1:9/{event_uid}') > 0;

-- Two partitions with columns in another order; taking a seat updates the neighbours.
CREATE TABLE seat (id integer PRIMARY KEY, guest text, news text) PARTITION BY RANGE (id);
CREATE TABLE seat_low (news text, id integer NOT NULL, guest text);
CREATE TABLE seat_high (guest text, news text, id integer NOT NULL);
ALTER TABLE seat ATTACH PARTITION seat_low FOR VALUES FROM (0) TO (100);
ALTER TABLE seat ATTACH PARTITION seat_high FOR VALUES FROM (100) TO (200);
INSERT INTO seat SELECT i, 'guest ' || i FROM generate_series(98, 102) AS i;
CREATE FUNCTION tell_neighbours(seat) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    IF $1.news IS NULL THEN
        UPDATE seat SET news = repeat('beside ' || $1.guest || ' ', 2) WHERE id IN ($1.id - 1, $1.id + 1);
    END IF;
    RETURN row_to_json($1);
END
$$;
SELECT webhook.watch('seat', 'seat', payload => 'tell_neighbours(seat)');
UPDATE seat SET guest = 'Ada' WHERE id = 99;
SELECT * FROM new_messages();
UPDATE seat SET guest = 'Bob', news = NULL WHERE id IN (98, 101);
SELECT * FROM new_messages();

-- An expression that does the same; this time the row itself is the payload.
CREATE FUNCTION uid_of(seat) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_neighbours($1);
    RETURN 'uid of ' || $1.id;
END
$$;
SELECT webhook.watch('seat', 'seat', event_uid => 'uid_of(seat)', exclude => '{news}');
UPDATE seat SET guest = 'Cyd', news = NULL WHERE id = 98;
SELECT * FROM new_messages();

-- One that watches the table with other settings, which apply from the next row on.
CREATE TABLE place (id integer PRIMARY KEY, name text);
CREATE FUNCTION watch_anew(place) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    PERFORM webhook.watch('nested_test.place', 'seat');
    UPDATE nested_test.place SET name = 'renamed' WHERE id = $1.id - 1;
    RETURN json_build_object('function', $1.id);
END
$$;
INSERT INTO place VALUES (1, 'one');
SELECT webhook.watch('place', 'seat', payload => 'watch_anew(place)');
INSERT INTO place VALUES (2, 'two'), (3, 'three');
SELECT * FROM new_messages();
CREATE FUNCTION watch_otherwise(place) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM webhook.watch('nested_test.place', 'seat', payload => 'watch_anew(place)');
    UPDATE nested_test.place SET name = 'renamed' WHERE id = $1.id - 2;
    RETURN 'uid';
END
$$;
SELECT webhook.watch('place', 'seat', event_uid => 'watch_otherwise(place)');
INSERT INTO place VALUES (5, 'five'), (6, 'six'), (7, 'seven');
SELECT * FROM new_messages();

-- One that unwatches it.
CREATE FUNCTION unwatch_it(place) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM webhook.unwatch('nested_test.place');
    UPDATE nested_test.place SET name = 'renamed again' WHERE id = $1.id - 1;
    RETURN 'uid';
END
$$;
SELECT webhook.watch('place', 'seat', event_uid => 'unwatch_it(place)');
INSERT INTO place VALUES (8, 'eight'), (9, 'nine');
SELECT * FROM new_messages();

-- Payload functions that send messages and change settings: their messages come first, and the row is sent with the original settings.
CREATE FUNCTION attempt(command text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    message := 'NOT REFUSED';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
END
$$;
CREATE TABLE ticket (id integer PRIMARY KEY, name text);
SELECT webhook.create_integration('nested') <> '' AS created, webhook.create_webhook('nested', 'told.*', 'http://127.0.0.1:9/') AS told,
    webhook.create_webhook('nested', 'seat.manual', 'http://127.0.0.1:9/') AS manual \gset
CREATE FUNCTION tell(ticket) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    manual bigint := (SELECT id FROM webhook.get_webhooks('nested', 'seat.manual') WHERE event = 'seat.manual');
BEGIN
    IF $1.name = 'fire' THEN
        PERFORM webhook.fire_webhook(manual, $1.id::text);
    END IF;
    PERFORM webhook.emit('told.emit', jsonb_build_object('of', $1.id)), webhook.update_webhook(manual, '{"url": "http://127.0.0.1:9/changed"}'),
        webhook.set_field_mapping('[{"name": "a", "value": 1}]', 'nested');
    RETURN to_jsonb($1);
END
$$;
SELECT webhook.watch('ticket', 'seat', payload => 'tell(ticket)');
INSERT INTO ticket VALUES (1, 'plain');
SELECT * FROM new_messages();
SELECT url, (SELECT count(*) FROM webhook.shape WHERE integration = 'nested') AS mappings FROM webhook.get_webhooks('nested', 'seat.manual') WHERE id = :manual;
-- Firing at the same entity calls the payload function again: an endless recursion, of which nothing is stored.
SELECT * FROM attempt($$INSERT INTO ticket VALUES (2, 'fire')$$);
SELECT * FROM new_messages();
TABLE ticket;

-- Those that call themselves without end: by name, by an expression, and by writing to the table.
CREATE FUNCTION endless(ticket) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    CASE $1.name
        WHEN 'itself' THEN RETURN endless($1);
        WHEN 'insert' THEN INSERT INTO ticket VALUES ($1.id + 1, 'insert');
        WHEN 'update' THEN UPDATE ticket SET name = 'update' WHERE id = $1.id; UPDATE ticket SET name = $1.id::text WHERE id = $1.id;
        ELSE NULL;
    END CASE;
    RETURN row_to_json($1);
END
$$;
SELECT webhook.watch('ticket', 'seat', payload => 'endless(ticket)');
SELECT name, a.* FROM unnest(ARRAY['itself', 'insert']) AS name, attempt(format('INSERT INTO ticket VALUES (100, %L)', name)) AS a;
SELECT webhook.watch('ticket', 'seat', event_uid => '(endless(ticket)->>''id'')');
SELECT name, a.* FROM unnest(ARRAY['itself', 'insert']) AS name, attempt(format('INSERT INTO ticket VALUES (100, %L)', name)) AS a;
SELECT * FROM new_messages();
-- The server and the session are as before; messages of a recursion that ends are appended from the inside out.
INSERT INTO ticket VALUES (100, 'update');
SELECT * FROM new_messages();
TABLE ticket;

-- W3: what an expression writes when a row is captured at the end of the transaction has its own positions in the log.
CREATE TABLE late (id integer PRIMARY KEY, uid text);
CREATE TABLE visitor (id integer PRIMARY KEY, late integer);
CREATE TABLE trace (id serial PRIMARY KEY);
SELECT webhook.watch('trace', 'trace');
CREATE FUNCTION traced(late integer) RETURNS text LANGUAGE sql AS $$
    INSERT INTO nested_test.trace DEFAULT VALUES; INSERT INTO nested_test.trace DEFAULT VALUES;
    INSERT INTO nested_test.trace DEFAULT VALUES; SELECT l.uid FROM nested_test.late AS l WHERE l.id = $1
$$;
SELECT webhook.watch('visitor', 'visitor', event_uid => 'nested_test.traced(late)');
SELECT webhook.create_webhook('nested', 'visitor.*', 'http://127.0.0.1:9/', event_uids => 'e') > 0 AS asks_for_events,
    webhook.create_webhook('nested', 'trace.*', 'http://127.0.0.1:9/') > 0 AS hears_of_traces;
BEGIN;
INSERT INTO visitor VALUES (1, 7);
SELECT webhook.emit('told.between', '{}') <> '' AS emitted;
INSERT INTO late VALUES (7, 'e');
COMMIT;
SELECT event, payload FROM new_messages();

-- A transform (I17) runs in a read-only transaction, so it can send, store and change nothing; t/shape_payloads.pl has the worker call some.
CREATE FUNCTION unchanged(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
SELECT webhook.override_event('e', 'nested', only_paid => true);
SELECT token FROM (SELECT webhook.emit('told.token', '{}') AS token) AS t \gset
BEGIN READ ONLY;
SELECT split_part(command, '(', 1) AS function, a.* FROM unnest(ARRAY['watch(''ticket'', ''seat'')', 'unwatch(''ticket'')', 'emit(''told.emit'', ''{}'')',
    'create_webhook(''nested'', ''seat.*'', ''http://127.0.0.1:9/'', transform => ''unchanged(jsonb)'')',
    'update_webhook(%1$s, ''{"transform": "unchanged(jsonb)"}'')', 'activate_webhook(%1$s)', 'deactivate_webhook(%1$s)', 'delete_webhook_by_id(%1$s)',
    'test_webhook(%1$s)', 'fire_webhook(%1$s, ''1'')', 'redeliver(%1$s, %2$L)', 'rotate_secret(%1$s)', 'create_integration(''other'')', 'rotate_api_key(''nested'')',
    'delete_integration(''nested'')', 'connect_profile(''nested'', ''p'')', 'disconnect_profile(''nested'', ''p'')', 'activate_integration(''p'', ''nested'')',
    'deactivate_integration(''p'')', 'override_event(''e'', ''nested'')', 'clear_event_override(''e'')', 'set_field_mapping(NULL, ''nested'')',
    'set_payload_template(''nested'', ''seat'', ''{}'')', 'set_form(''nested'', ''seat'', ''[{"name": "id", "type": "text"}]'')', 'configure_form(''nested'', ''seat'')',
    'notify_payment(''seat'', ''1'')', 'rest_hook_subscribe(''nested'', ''told.*'', ''http://127.0.0.1:9/'')', 'rest_hook_unsubscribe(%1$s)']) AS command,
    attempt(format('SELECT webhook.' || command, :manual, :'token')) AS a;
SELECT * FROM attempt('INSERT INTO ticket VALUES (200)');
COMMIT;
SELECT count(*) FROM new_messages() WHERE event <> 'told.token';

SELECT webhook.clear_event_override('e'), webhook.delete_integration('nested');
SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('nested');
DROP SCHEMA nested_test CASCADE;
