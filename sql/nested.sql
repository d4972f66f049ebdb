-- Expressions and payload functions that write to the table they are asked about, which brings the row trigger into itself.
-- Proves W15 (any existing schema) and R6 (what a table's owner writes cannot harm the server).
SET client_min_messages = warning;
CREATE SCHEMA nested_test;
SET search_path = nested_test;
CREATE TABLE looked (id bigint NOT NULL);
INSERT INTO looked SELECT coalesce(max(id), 0) FROM webhook.outbox;
CREATE FUNCTION new_messages() RETURNS TABLE (event text, entity_id text, payload text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT o.event, o.entity_id::text, o.payload::text
        FROM webhook.outbox o WHERE o.id > (SELECT l.id FROM looked l) ORDER BY o.id;
    UPDATE looked SET id = (SELECT coalesce(max(o.id), looked.id) FROM webhook.outbox o);
END
$$;
SELECT webhook.create_webhook('nested', 'seat.*', 'http://127.0.0.1:9/') > 0;

-- Two partitions with columns in another order; who takes a seat is told to the neighbours.
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

-- One that watches the table with other settings, which count from the next row on.
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

SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('nested');
DROP SCHEMA nested_test CASCADE;
