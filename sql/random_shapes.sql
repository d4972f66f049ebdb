-- Random mappings, templates and forms on random records: each is rejected with an error that says why, or produces JSON.
-- Proves R5 (the parsers of mapping and template as a whole; their pure parts are fuzzed in test/fuzz) and R6 for I13, I14, I15.
SET client_min_messages = warning;
CREATE SCHEMA random_test;
SET search_path = random_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;

CREATE TABLE event (uid text PRIMARY KEY, profile text, title text, n numeric, doc jsonb, list text[]);
SELECT webhook.watch('event', 'event', event_uid => 'uid', profile => 'profile');
SELECT webhook.create_integration('random') AS key \gset
SELECT webhook.connect_profile('random', 'p', true), webhook.activate_integration('p', 'random');

CREATE FUNCTION pick(variadic text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT $1[1 + floor(random() * cardinality($1))] $$;

-- A path, or what looks like one.
CREATE FUNCTION random_path() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(pick('title', 'n', 'doc', 'list', 'uid', 'nope', 'a', 'ü', '', ' ', '.', '..', '[0]', '[1]', '[99]', '[', ']', '[-1]',
                           '[1234567890]', '.a', '.b', '"', '\', E'\n', '{', '}}'), '')
    FROM generate_series(0, floor(random() * random() * 40)::int)
$$;

-- A string with placeholders, or what looks like them.
CREATE FUNCTION random_text() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(pick('{{', '}}', '{{title}}', '{{ n }}', '{{doc.a}}', '{{list[0]}}', '{{' || random_path() || '}}', 'text', '"', '\', 'ü', E'\x01', ''), '')
    FROM generate_series(0, floor(random() * 3)::int)
$$;

CREATE FUNCTION random_json(depth int) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    kind int := CASE WHEN depth = 0 THEN 2 + floor(random() * 4) ELSE floor(random() * 6) END;
BEGIN
    CASE kind
        WHEN 0 THEN RETURN (SELECT jsonb_object_agg(random_text(), random_json(depth - 1)) FROM generate_series(0, floor(random() * 3)::int));
        WHEN 1 THEN RETURN (SELECT jsonb_agg(random_json(depth - 1)) FROM generate_series(0, floor(random() * 3)::int));
        WHEN 2 THEN RETURN to_jsonb(random_text());
        WHEN 3 THEN RETURN to_jsonb((random() * 1e6)::numeric ^ 3);
        WHEN 4 THEN RETURN pick('true', 'false', 'null', '{}', '[]', '1e30', '-0.0')::jsonb;
        ELSE RETURN to_jsonb(random_path());
    END CASE;
END
$$;

CREATE FUNCTION random_field() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN random() < 0.05 THEN random_json(1)
           ELSE jsonb_build_object(CASE WHEN random() < 0.98 THEN 'name' ELSE random_text() END,
                                   CASE WHEN random() < 0.95 THEN to_jsonb(random()::text) ELSE random_json(1) END)
             || CASE floor(random() * 5) WHEN 0 THEN jsonb_build_object('value', random_json(2))
                                         WHEN 1 THEN jsonb_build_object('mapped_to', random_json(0))
                                         ELSE jsonb_build_object('mapped_to', pick('title', 'doc.a', 'doc.a.b[0]', 'list[1]', random_path())) END
           END
$$;

CREATE FUNCTION random_form() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_agg(jsonb_build_object('name', pick('title', 'n', 'doc', 'list', 'f' || i), 'type', pick('text', 'integer', 'number', 'boolean', 'date', 'timestamp', 'json', 'x'))
                     || CASE WHEN random() < 0.3 THEN jsonb_build_object('default', random_json(0)) ELSE '{}' END)
    FROM generate_series(0, floor(random() * 3)::int) AS i
$$;

-- What must not happen: an error that is not ours, or invalid JSON.
CREATE TABLE problem (input text, message text);
CREATE TABLE tally (kind text PRIMARY KEY, accepted int NOT NULL DEFAULT 0, refused int NOT NULL DEFAULT 0);
INSERT INTO tally VALUES ('form'), ('mapping'), ('template');

CREATE FUNCTION try(kind text, input jsonb, key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    hint   text;
    answer jsonb;
BEGIN
    BEGIN
        CASE kind
            WHEN 'mapping' THEN PERFORM webhook.set_field_mapping(input, 'random');
            WHEN 'template' THEN PERFORM webhook.set_payload_template('random', 'event', input);
            ELSE PERFORM webhook.set_form('random', 'event', input);
        END CASE;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
        IF SQLSTATE NOT IN ('22023', '22004', '42703') OR hint = '' THEN
            INSERT INTO problem VALUES (kind || ' ' || input::text, SQLSTATE || ' ' || SQLERRM);
        END IF;
        UPDATE tally AS t SET refused = refused + 1 WHERE t.kind = try.kind;
        RETURN;
    END;
    UPDATE tally AS t SET accepted = accepted + 1 WHERE t.kind = try.kind;
    answer := webhook.get_events(key);
    IF jsonb_array_length(answer -> 'data') <> 3 THEN
        INSERT INTO problem VALUES (kind || ' ' || input::text, answer::text);
    END IF;
EXCEPTION WHEN OTHERS THEN
    INSERT INTO problem VALUES (kind || ' ' || input::text, SQLSTATE || ' ' || SQLERRM);
END
$$;

SELECT setseed(0.25);
INSERT INTO event SELECT i::text, 'p', random_text(), random()::numeric * 1e9, random_json(4), ARRAY[random_text(), NULL, random_path()]
FROM generate_series(1, 3) AS i;
SELECT count(try('mapping', (SELECT jsonb_agg(random_field()) FROM generate_series(0, i % 4)), :'key')) FROM generate_series(1, 400) AS i;
SELECT webhook.set_field_mapping(NULL, 'random');
SELECT count(try('template', random_json(4), :'key')) FROM generate_series(1, 400) AS i;
SELECT webhook.set_payload_template('random', 'event', NULL);
SELECT count(try('form', CASE WHEN i % 10 = 0 THEN random_json(2) ELSE random_form() END, :'key')) FROM generate_series(1, 400) AS i;

SELECT * FROM problem LIMIT 5;
SELECT kind, accepted > 20 AS some_accepted, refused > 20 AS some_refused FROM tally ORDER BY kind;

SELECT webhook.delete_integration('random');
DROP SCHEMA random_test CASCADE;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
