-- Mappings, templates and forms: what is rejected, and how forms compare with tables.
-- Proves I15 (check_form, configure_form) and R6 for I13, I14, I15; what is sent is tested in test/t/shape_payloads.pl.
CREATE SCHEMA shapes_test;
SET search_path = shapes_test;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

CREATE TABLE guest (id int PRIMARY KEY, firstname text, amount numeric, vip text, secret text, born timestamptz);
SELECT webhook.watch('guest', 'guest', columns => '{id,firstname,amount,vip,born}');
SELECT webhook.create_integration('shapes') <> '' AS created;
SELECT webhook.connect_profile('shapes', 'p');

--
-- I13
--
SELECT mapping, r.* FROM (VALUES ('{}'), ('1'), ('"x"'), ('null'), ('[1]'), ('[[]]'), ('[{}]'), ('[{"name": 1, "value": 1}]'),
    ('[{"name": "", "value": 1}]'), ('[{"name": "a"}]'), ('[{"name": "a", "value": 1, "mapped_to": "b"}]'),
    ('[{"name": "a", "value": 1}, {"name": "a", "value": 2}]'), ('[{"name": "a", "mapped_to": 1}]'), ('[{"name": "a", "mapped_to": ""}]'),
    ('[{"name": "a", "mapped_to": "b..c"}]'), ('[{"name": "a", "mapped_to": ".b"}]'), ('[{"name": "a", "mapped_to": "b."}]'),
    ('[{"name": "a", "mapped_to": "b[x]"}]'), ('[{"name": "a", "mapped_to": "b[1"}]'), ('[{"name": "a", "mapped_to": "b[99999999999]"}]'),
    ('[{"name": "a", "mapped": "b"}]')) AS v (mapping),
    refused(format('SELECT webhook.set_field_mapping(%L, ''shapes'')', mapping)) AS r;
SELECT r.* FROM refused($$SELECT webhook.set_field_mapping(jsonb_build_array(jsonb_build_object('name', repeat('x', 1000000), 'value', 1)), 'shapes')$$) AS r;
SELECT r.* FROM refused($$SELECT webhook.set_field_mapping(jsonb_build_array(jsonb_build_object('name', 'x', 'mapped_to', repeat('x.', 1000000))), 'shapes')$$) AS r;
SELECT convert_to(message, 'UTF8') IS NOT NULL AS whole_characters FROM unnest(ARRAY[
    $$SELECT webhook.set_field_mapping(jsonb_build_array(jsonb_build_object('x' || repeat('é', 300), 1)), 'shapes')$$,
    $$SELECT webhook.set_payload_template('shapes', 'guest', jsonb_build_object('a', '{{x' || repeat('é', 300) || ' | nope}}'))$$]) AS c, refused(c);
SELECT * FROM refused($$SELECT webhook.set_field_mapping('[]')$$);
SELECT * FROM refused($$SELECT webhook.set_field_mapping('[]', 'nobody')$$);
SELECT * FROM refused($$SELECT webhook.set_field_mapping('[]', 'shapes', 'p', 'e')$$);
SELECT * FROM refused($$SELECT webhook.set_field_mapping('[]', 'shapes', profile => 'unknown')$$);
SELECT * FROM refused($$SELECT webhook.set_field_mapping('[]', profile => 'unknown')$$);
SELECT * FROM refused($$SELECT webhook.set_field_mapping('[]', event_uid => '')$$);
SELECT count(*) FROM webhook.shape;
-- Setting a mapping replaces it; NULL and an empty array remove it.
SELECT webhook.set_field_mapping('[{"name": "a", "value": null}]', 'shapes'), webhook.set_field_mapping('[{"name": "b", "mapped_to": "x[0][1].y"}]', 'shapes');
SELECT webhook.set_field_mapping('[{"name": "a", "value": 1}]', profile => 'p'), webhook.set_field_mapping('[{"name": "a", "value": 1}]', 'shapes', event_uid => 'e');
SELECT integration, kind, target, value FROM webhook.shape ORDER BY 1, 2, 3;
-- C24: one mapping per entity type.
SELECT webhook.set_field_mapping('[{"name": "c", "value": 2}]', 'shapes', entity_type => 'event'), webhook.set_field_mapping('[{"name": "d", "value": 3}]', 'shapes');
SELECT value FROM webhook.shape WHERE kind = 'account';
SELECT webhook.set_field_mapping(NULL, 'shapes', entity_type => 'event'), webhook.set_field_mapping(NULL, 'shapes', entity_type => 'party');
SELECT value FROM webhook.shape WHERE kind = 'account';
SELECT * FROM refused($$SELECT webhook.set_field_mapping('[]', 'shapes', entity_type => '')$$);
SELECT * FROM refused($$SELECT webhook.set_field_mapping('[]', 'shapes', entity_type => NULL)$$);
SELECT webhook.set_field_mapping(NULL, 'shapes'), webhook.set_field_mapping('[]', profile => 'p'), webhook.set_field_mapping(NULL, 'shapes', event_uid => 'e');
SELECT count(*) FROM webhook.shape;

--
-- I14
--
SELECT template, r.* FROM (VALUES ('"{{firstname"'), ('{"a": ["{{firstname}}", "x {{ "]}'), ('{"{{firstname}}": 1}'), ('[{"a": {"x{{firstname}}": "{{firstname}}"}}]'), ('{"{{": 1}'), ('"{{}}"'), ('"{{ }}"'), ('"{{a..b}}"'), ('"{{nope}}"'),
    ('{"deep": {"er": "Dear {{nope}}"}}'), ('"{{secret}}"')) AS v (template),
    refused(format('SELECT webhook.set_payload_template(''shapes'', ''guest'', %L)', template)) AS r;
SELECT * FROM refused($$SELECT webhook.set_payload_template('nobody', 'guest', '{}')$$);
SELECT * FROM refused($$SELECT webhook.set_payload_template('shapes', NULL, '{}')$$);
-- Entity types that are not watched may have any fields.
SELECT webhook.set_payload_template('shapes', 'subscriber', '"{{whatever}}"');
SELECT webhook.set_payload_template('shapes', 'subscriber', NULL);

--
-- I15
--
SELECT fields, r.* FROM (VALUES ('{}'), ('[]'), ('[1]'), ('[{"name": "a"}]'), ('[{"name": "a", "type": "whole"}]'), ('[{"type": "text"}]'),
    ('[{"name": "a", "type": "text", "required": "yes"}]'), ('[{"name": "a", "type": "integer", "default": "x"}]'),
    ('[{"name": "a", "type": "boolean", "default": 7}]'), ('[{"name": "a", "type": "date", "default": "today"}]'),
    ('[{"name": "a", "type": "text"}, {"name": "a", "type": "text"}]'), ('[{"name": "a", "type": "text", "defualt": "x"}]'),
    ('[{"name": "a", "type": "text", "on_missing": "drop"}]'), ('[{"name": "a", "type": "text", "on_missing": true}]')) AS v (fields),
    refused(format('SELECT webhook.set_form(''shapes'', ''guest'', %L)', fields)) AS r;
SELECT * FROM refused($$SELECT webhook.check_form('shapes', 'guest')$$);
SELECT * FROM refused($$SELECT webhook.configure_form('shapes', 'guest')$$);
SELECT * FROM refused($$SELECT webhook.configure_form('nobody', 'guest')$$);

SELECT webhook.set_form('shapes', 'guest', '[{"name": "firstname", "type": "text", "required": true}, {"name": "amount", "type": "integer"},
    {"name": "vip", "type": "boolean"}, {"name": "born", "type": "date"}, {"name": "secret", "type": "text"},
    {"name": "City; DROP TABLE guest", "type": "text", "default": "O''Hare"}, {"name": "seats", "type": "integer", "default": 2},
    {"name": "extra", "type": "json", "default": {"a": [1]}}, {"name": "since", "type": "date", "default": "2025-01-31"},
    {"name": "fee", "type": "number", "default": 1.5}, {"name": "ok", "type": "boolean", "default": true}]');
SELECT * FROM webhook.check_form('shapes', 'guest');
SELECT webhook.configure_form('shapes', 'guest');
SELECT webhook.configure_form('shapes', 'guest') AS again;
SELECT * FROM webhook.check_form('shapes', 'guest');
INSERT INTO guest (id, firstname) VALUES (1, 'Ada');
SELECT * FROM guest \gx
SELECT columns FROM webhook.watch WHERE entity_type = 'guest';
-- A template can refer to the fields of the form.
SELECT * FROM refused($$SELECT webhook.set_payload_template('shapes', 'guest', '"{{id}}"')$$);
SELECT webhook.set_payload_template('shapes', 'guest', '"{{seats}}"');

-- SQL's names for the types are known as well.
CREATE TABLE member (id bigint PRIMARY KEY, n smallint, t text);
SELECT webhook.watch('member', 'member');
SELECT webhook.set_form('shapes', 'member', '[{"name": "id", "type": "bigint"}, {"name": "n", "type": "int", "default": 1},
    {"name": "t", "type": "numeric"}, {"name": "d", "type": "double precision"}, {"name": "at", "type": "timestamptz"}]');
SELECT * FROM webhook.check_form('shapes', 'member');
SELECT webhook.configure_form('shapes', 'member');
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'member' AND table_schema = 'shapes_test' ORDER BY ordinal_position;
SELECT webhook.unwatch('member');

-- C25: required columns that can be null are reported, and become NOT NULL unless a row prevents it.
CREATE TABLE required (id int PRIMARY KEY, has_null text, has_none text, has_default text, optional text);
SELECT webhook.watch('required', 'required');
SELECT webhook.set_form('shapes', 'required', '[{"name": "has_null", "type": "text", "required": true, "on_missing": "hold"},
    {"name": "has_none", "type": "text", "required": true, "on_missing": "send"}, {"name": "has_default", "type": "text", "required": true, "default": "x"},
    {"name": "optional", "type": "text"}, {"name": "new", "type": "integer", "required": true}, {"name": "new_default", "type": "integer", "required": true, "default": 1}]');
INSERT INTO required VALUES (1, NULL, 'x', NULL, NULL), (2, 'x', 'x', NULL, NULL);
SELECT * FROM webhook.check_form('shapes', 'required');
SELECT webhook.configure_form('shapes', 'required');
SELECT * FROM webhook.check_form('shapes', 'required');
SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = 'required'::regclass AND attnum > 0 ORDER BY attnum;
DELETE FROM required;
SELECT webhook.configure_form('shapes', 'required');
SELECT * FROM webhook.check_form('shapes', 'required');
SELECT webhook.unwatch('required');

SELECT webhook.set_form('shapes', 'user', '[{"name": "x", "type": "text"}]');
SELECT * FROM webhook.check_form('shapes', 'user');
SELECT * FROM refused($$SELECT webhook.configure_form('shapes', 'user')$$);

SELECT webhook.delete_integration('shapes');
SELECT count(*) FROM webhook.shape;
DROP SCHEMA shapes_test CASCADE;
