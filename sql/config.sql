-- The configuration as a document: export, apply, what differs, and documents that are refused.
-- Proves X15 and, for documents, R6 and W14.
CREATE SCHEMA config_test;
SET search_path = config_test;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers
\set ECHO none

CREATE ROLE regress_config;
CREATE ROLE regress_config_other;
GRANT USAGE ON SCHEMA webhook TO regress_config, regress_config_other;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO regress_config, regress_config_other;
GRANT ALL ON SCHEMA config_test TO regress_config, regress_config_other;
GRANT ALL ON ALL TABLES IN SCHEMA config_test TO regress_config, regress_config_other;
\set ECHO all

-- X15: whatever create_webhook() has for an argument can be exported, and so can "owner", "managed_by" and "buffer_events".
SELECT (SELECT array_agg(a ORDER BY a) FROM unnest(proargnames) AS a) =
       (SELECT array_agg(f ORDER BY f) FROM jsonb_object_keys(webhook.webhook_fields()) AS f) AS same_arguments
FROM pg_proc WHERE oid = 'webhook.create_webhook'::regproc;
SELECT f.key, f.value FROM jsonb_each(webhook.webhook_fields()) AS f WHERE f.value ? 'secrets' ORDER BY 1;

-- Everything once.
SET ROLE regress_config;
CREATE TABLE event (uid text PRIMARY KEY, profile text, name text);
CREATE TABLE guest (id int PRIMARY KEY, event_uid text, paid boolean, name text, email text, secret text);
CREATE FUNCTION shorter(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1 - ''email''';
SELECT webhook.export_config();
SELECT webhook.watch('event', 'event', event_uid => 'uid', profile => 'profile');
SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid', paid => 'paid', exclude => '{secret}',
    profile => '(SELECT e.profile FROM event AS e WHERE e.uid = guest.event_uid)');
SELECT webhook.create_integration('config crm', 'customers') <> '' AS created;
SELECT webhook.create_integration('config news') <> '' AS created;
SELECT webhook.connect_profile('config crm', 'config p', true), webhook.connect_profile('config news', 'config p'),
       webhook.connect_profile('config crm', 'config q'), webhook.activate_integration('config p', 'config crm');
SELECT webhook.set_form('config crm', 'guest', '[{"name": "name", "type": "text"}, {"name": "email", "type": "text", "default": "none"}]'),
       webhook.set_payload_template('config crm', 'event', '{"n": "{{name}}", "nothing": null}'),
       webhook.set_field_mapping('[{"name": "Mail", "mapped_to": "email"}]', 'config crm'),
       webhook.set_field_mapping('[{"name": "Name", "mapped_to": "name"}]', 'config crm', profile => 'config p'),
       webhook.set_field_mapping('[{"name": "Name", "value": null}]', 'config crm', event_uid => 'config E', entity_type => 'event'),
       webhook.set_field_mapping('[{"name": "All", "value": [1, {"a": null}]}]', profile => 'config p');
SELECT webhook.override_event('config E', 'config news', only_paid => true), webhook.override_event('config F');
SELECT webhook.create_webhook('config', 'guest.*', 'https://example.com/hook') > 0 AS created;
SELECT webhook.create_webhook('config', 'guest.update', 'https://example.com/all', name => 'All of it', method => 'PUT',
    headers => '{"X-Other": "s3cret", "X-Token": "s3cret"}', event_uids => 'A,B', integration => 'config crm', columns => '{name,email}',
    filter => '{"paid": true, "name": null}', transform => 'shorter', ordering => 'none', secret => 'whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=',
    retry_schedule => '{0,1 day 2 hours,30 s}', timeout => '2.5 s', rate_limit => 10, max_in_flight => 3, handshake => true, previous => 'changed',
    condition => '$.new.name == "x"', batch_size => 5, batch_wait => '1 min', no_retry => '{400,422}') AS full_id \gset
SELECT webhook.create_webhook('config', 'guest.update', 'https://example.com/all', name => 'All of it', secret => 'any text', signature => 'github', challenge => true,
                              active => false) AS paused_id \gset
SELECT webhook.deactivate_webhook(:paused_id, true);

SELECT jsonb_pretty(webhook.export_config());
SELECT webhook.export_config(true)::text ~ 's3cret' AS secrets_if_asked_for, webhook.export_config()::text ~ 's3cret|any text|whs' AS secrets_else;
SELECT webhook.export_config() = webhook.export_config() AS stable;

-- Applied again, it changes nothing.
SELECT * FROM webhook.apply_config(webhook.export_config());
SELECT * FROM webhook.apply_config(webhook.export_config(true), dry_run => true);
SELECT bool_and(updated_at = created_at OR id = :paused_id) AS untouched FROM webhook.get_webhooks('config');

-- Nor does it if the same configuration is written differently.
SELECT * FROM webhook.apply_config('{"version": 1, "webhooks": [{"app": "config", "event": " guest.* ,guest.*", "url": "https://example.com/hook",
    "method": "post", "name": null, "headers": {}, "active": true}]}');

-- Without "managed_by" nothing is deleted; with it, what has the same name is.
SELECT * FROM webhook.apply_config('{"version": 1}');
SELECT object, action, regexp_replace(detail, '^id \d+', 'id N') AS detail FROM webhook.apply_config('{"version": 1, "managed_by": "shop", "webhooks": [
    {"app": "config", "event": "guest.delete", "url": "https://example.com/shop", "name": "Shop"},
    {"app": "config", "event": "guest.*", "url": "https://example.com/hook", "rate_limit": 3}],
  "watch": [{"relation": "config_test.\"event\"", "entity_type": "event", "event_uid": "uid", "profile": "profile"}],
  "events": [{"event_uid": "config F", "only_paid": true}], "mappings": [{"event_uid": "config F", "mapping": [{"name": "F", "value": 1}]}],
  "integrations": [{"name": "config shop", "profiles": [{"profile": "config p", "active": true}]}]}', dry_run => true);
SELECT count(*) FROM webhook.get_webhooks('config');
SELECT object, action FROM webhook.apply_config('{"version": 1, "managed_by": "shop", "webhooks": [
    {"app": "config", "event": "guest.delete", "url": "https://example.com/shop", "name": "Shop"},
    {"app": "config", "event": "guest.*", "url": "https://example.com/hook", "rate_limit": 3}],
  "watch": [{"relation": "config_test.\"event\"", "entity_type": "event", "event_uid": "uid", "profile": "profile"}],
  "events": [{"event_uid": "config F", "only_paid": true}], "mappings": [{"event_uid": "config F", "mapping": [{"name": "F", "value": 1}]}],
  "integrations": [{"name": "config shop", "profiles": [{"profile": "config p", "active": true}]}]}');
SELECT jsonb_pretty(webhook.export_config(managed_by => 'shop'));
-- What is changed by hand keeps the name.
SELECT webhook.watch('event', 'event', event_uid => 'uid', profile => 'profile', columns => '{name}');
SELECT object, action, regexp_replace(detail, '^id \d+', 'id N') AS detail FROM webhook.apply_config(jsonb_set(webhook.export_config(managed_by => 'shop'), '{webhooks}',
    '[{"app": "config", "event": "guest.create", "url": "https://example.com/new", "name": "Shop"}]') - '{events,mappings}'::text[]);
-- Another document does not take it over, unless it says so.
SELECT * FROM refused($$ SELECT webhook.apply_config('{"version": 1, "managed_by": "ops", "webhooks": [
    {"app": "config", "event": "guest.create", "url": "https://example.com/new", "name": "Shop"}]}') $$);
SELECT * FROM webhook.apply_config('{"version": 1, "managed_by": "ops", "webhooks": [
    {"app": "config", "event": "guest.create", "url": "https://example.com/new", "name": "Shop", "managed_by": null}]}');
SELECT object, action FROM webhook.apply_config('{"version": 1, "managed_by": "shop"}');

-- An integration to which others have added something is not deleted.
SELECT object, action FROM webhook.apply_config('{"version": 1, "managed_by": "shop", "integrations": [{"name": "config shop"}]}');
SELECT webhook.create_webhook('config', 'guest.create', 'https://example.com/x', integration => 'config shop') > 0 AS created;
SELECT regexp_replace(message, 'webhook \d+', 'webhook N'), hint FROM refused($$ SELECT webhook.apply_config('{"version": 1, "managed_by": "shop"}') $$);

-- A secret that the document lacks is kept; a new header needs its value.
SELECT webhook.get_secret(:full_id) AS secret \gset
CREATE VIEW exported AS SELECT w.value, w.value ? 'condition' AS is_full FROM jsonb_array_elements(webhook.export_config() -> 'webhooks') AS w;
SELECT * FROM webhook.apply_config(jsonb_build_object('version', 1, 'webhooks', (SELECT jsonb_agg(CASE WHEN is_full
    THEN value || '{"url": "https://example.com/other", "headers": {"X-Token": "***", "X-New": "s3cret"}}' ELSE value END) FROM exported)));
SELECT webhook.get_secret(:full_id) = :'secret' AS same_secret;
SELECT w -> 'headers' AS headers FROM jsonb_array_elements(webhook.export_config(true) -> 'webhooks') AS w WHERE w ? 'condition';
SELECT * FROM refused(format('SELECT webhook.apply_config(%L)', jsonb_build_object('version', 1, 'webhooks',
    (SELECT jsonb_agg(value || '{"name": "New"}') FROM exported WHERE is_full))));
-- Two webhooks with the same name are distinguished only as long as one of them is unchanged.
SELECT * FROM refused(format('SELECT webhook.apply_config(%L)', jsonb_build_object('version', 1, 'webhooks',
    (SELECT jsonb_agg(value || '{"url": "https://example.com/third"}') FROM exported WHERE is_full))));
-- Another secret is a change, which is not shown.
SELECT detail FROM webhook.apply_config(jsonb_build_object('version', 1, 'webhooks', (SELECT jsonb_agg(CASE WHEN is_full
    THEN value || '{"secret": "whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcg=="}' ELSE value END) FROM exported)));
-- A webhook that has the requested state already is left alone, and a buffer is delivered.
SELECT object, detail FROM webhook.apply_config(jsonb_build_object('version', 1, 'webhooks', (SELECT jsonb_agg(value - 'active' - 'buffer_events') FROM exported)));
RESET ROLE;
UPDATE webhook.webhook SET active = false, buffering = true, deactivation_reason = 'failures', deactivated_at = now() WHERE id = :full_id;
SET ROLE regress_config;
SELECT * FROM webhook.apply_config(webhook.export_config());
SELECT active, deactivation_reason FROM webhook.get_webhooks('config') WHERE id = :full_id;

-- All or nothing: the second webhook is refused, the first one is not created.
SELECT * FROM refused($$ SELECT webhook.apply_config('{"version": 1, "webhooks": [
    {"app": "config half", "event": "a.b", "url": "https://example.com/"}, {"app": "config half", "event": "a.b", "url": "ftp://example.com/"}]}') $$);
SELECT count(*) FROM webhook.get_webhooks('config half');

-- R6: documents that are refused, with the location of the error.
SELECT r.code, r.message, r.hint <> '' AS hint FROM (VALUES
    (NULL), ('1'), ('[]'), ('"x"'), ('null'), ('{}'), ('{"version": 2}'), ('{"version": "1"}'), ('{"version": 1, "webhook": []}'), ('{"version": 1, "webhooks": {}}'),
    ('{"version": 1, "webhooks": [1]}'), ('{"version": 1, "webhooks": [{"app": "config", "event": "a.b"}]}'),
    ('{"version": 1, "webhooks": [{"app": "config", "event": "a.b", "url": "https://h/", "urll": 1}]}'),
    ('{"version": 1, "webhooks": [{"app": "config", "event": ["a.b"], "url": "https://h/"}]}'),
    ('{"version": 1, "webhooks": [{"app": "config", "event": "a.b", "url": "https://h/", "timeout": "soon"}]}'),
    ('{"version": 1, "webhooks": [{"app": "config", "event": "a.b", "url": "https://h/", "headers": {"A": 1}}]}'),
    ('{"version": 1, "webhooks": [{"app": "config", "event": "a.b", "url": "https://h/", "headers": ["***"]}]}'),
    ('{"version": 1, "webhooks": [{"app": "config", "event": "a.b", "url": "https://h/", "client_cert": "x", "client_key": "***"}]}'),
    ('{"version": 1, "webhooks": [{"app": "config", "event": "a.b", "url": "https://h/", "integration": "config none"}]}'),
    ('{"version": 1, "webhooks": [{"app": "config", "event": "a.b", "url": "https://h/", "owner": "regress_config_other"}]}'),
    ('{"version": 1, "webhooks": [{"app": "config", "event": "a.b", "url": "https://h/", "owner": "config nobody"}]}'),
    ('{"version": 1, "watch": [{"relation": "guest", "entity_type": "guest"}]}'),
    ('{"version": 1, "watch": [{"relation": "config_test.nothing", "entity_type": "guest"}]}'),
    ('{"version": 1, "watch": [{"relation": "config_test.last_message", "entity_type": "guest"}]}'),
    ('{"version": 1, "watch": [{"relation": "config_test.guest", "entity_type": "guest", "paid": "nonsense"}]}'),
    ('{"version": 1, "watch": [{"relation": "config_test.guest", "entity_type": "guest", "columns": "name"}]}'),
    ('{"version": 1, "watch": [{"relation": "config_test.guest", "entity_type": "guest"}, {"relation": "config_test.guest", "entity_type": "x"}]}'),
    ('{"version": 1, "integrations": [{"name": "config crm", "profiles": [{"profile": "p", "actif": true}]}]}'),
    ('{"version": 1, "integrations": [{"name": "config crm", "profiles": [{"profile": "p"}, {"profile": "p"}]}]}'),
    ('{"version": 1, "integrations": [{"name": "config crm", "mappings": [{"mapping": [], "profile": "p", "event_uid": "e"}]}]}'),
    ('{"version": 1, "integrations": [{"name": "config crm", "mappings": [{"mapping": [{"name": 1}], "profile": "config p"}], "profiles": [{"profile": "config p"}]}]}'),
    ('{"version": 1, "integrations": [{"name": "config crm", "forms": {"guest": [{"name": "x", "type": "y"}]}}]}'),
    ('{"version": 1, "mappings": [{"mapping": [{"name": "x", "value": 1}]}]}'),
    ('{"version": 1, "events": [{"event_uid": "config E", "only_paid": "yes"}]}'),
    ('{"version": 1, "managed_by": " "}'), ('{"version": 1, "watch": [{"relation": "a.b", "entity_type": "x", "managed_by": ""}]}'))
    AS v (document) CROSS JOIN LATERAL refused(format('SELECT webhook.apply_config(%L)', v.document)) AS r;
-- 10 MB, as one text and as many objects.
SELECT code, left(message, 60) FROM refused(format('SELECT webhook.apply_config(%L)',
    jsonb_build_object('version', 1, 'webhooks', jsonb_build_array(jsonb_build_object('app', repeat('x', 10000000), 'event', 'a.b', 'url', 'https://h/')))));
SELECT code, left(message, 60) FROM refused(format('SELECT webhook.apply_config(%L)', jsonb_build_object('version', 1, repeat('x', 10000000), 1)));
SELECT code, message FROM refused(format('SELECT webhook.apply_config(%L)', jsonb_build_object('version', 1, 'webhooks', (
    SELECT jsonb_agg(jsonb_build_object('app', 'config', 'event', 'a.b', 'url', 'https://example.com/' || n, 'name', n, 'x', repeat('x', 500)))
    FROM generate_series(1, 20000) AS n))));

-- W14: objects of another role are not in the document, and can be neither named nor changed.
SELECT webhook.export_config() AS document \gset
SET ROLE regress_config_other;
SELECT webhook.export_config();
SELECT code, message FROM refused(format('SELECT webhook.apply_config(%L)', :'document'));
SELECT code, message FROM refused(format('SELECT webhook.apply_config(%L)', :'document'::jsonb - 'watch'));
SELECT object, action FROM webhook.apply_config('{"version": 1, "managed_by": "shop"}');
-- Superusers see owners, and a copy belongs to them again.
RESET ROLE;
SELECT count(*), min(w ->> 'owner'), max(w ->> 'owner') FROM jsonb_array_elements(webhook.export_config() -> 'webhooks') AS w WHERE w ->> 'app' = 'config';

-- X15: export, drop everything, apply, export: the same, over random configurations.
\set ECHO none
GRANT regress_config TO regress_config_other;
SET ROLE regress_config;
CREATE FUNCTION wipe() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w record;
BEGIN
    FOR w IN SELECT id FROM webhook.get_webhooks() LOOP PERFORM webhook.delete_webhook_by_id(w.id); END LOOP;
    FOR w IN SELECT o FROM webhook.get_integrations() AS i, unnest(i.override_events) AS o LOOP PERFORM webhook.clear_event_override(w.o); END LOOP;
    FOR w IN SELECT u.u, p.p FROM unnest('{E1,E2,E3,NULL}'::text[]) AS u, unnest('{p1,p2,p3,config p,NULL}'::text[]) AS p
             WHERE (u.u IS NULL) <> (p.p IS NULL) LOOP
        BEGIN
            PERFORM webhook.set_field_mapping(NULL, NULL, w.p, w.u, t) FROM unnest('{guest,event}'::text[]) AS t;
        EXCEPTION WHEN no_data_found THEN NULL;
        END;
    END LOOP;
    FOR w IN SELECT name FROM webhook.get_integrations() WHERE name IS NOT NULL LOOP PERFORM webhook.delete_integration(w.name); END LOOP;
    PERFORM webhook.unwatch('event'), webhook.unwatch('guest');
END
$$;
CREATE FUNCTION chance(p float) RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT random() < p';
CREATE FUNCTION pick(VARIADIC text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT $1[1 + floor(random() * cardinality($1))]';
CREATE FUNCTION random_config() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    IF chance(0.8) THEN
        PERFORM webhook.watch('guest', pick('guest', 'visitor'), event_uid => pick('event_uid', '(SELECT ''E1'')', NULL), paid => pick('paid', 'name = ''x''', NULL),
            columns => pick('{id,name,email}', NULL)::text[], exclude => pick('{secret}', '{secret,email}', NULL)::text[]);
    END IF;
    IF chance(0.5) THEN PERFORM webhook.watch('event', 'event', id => pick('uid', 'uid || ''x''', NULL), profile => pick('profile', NULL)); END IF;
    FOR i IN 0 .. floor(random() * 4) - 1 LOOP
        PERFORM webhook.create_integration('config ' || i, pick(NULL, 'ü "quoted" \ ''', ''));
        FOR p IN 1 .. 3 LOOP
            CONTINUE WHEN chance(0.4);
            PERFORM webhook.connect_profile('config ' || i, 'p' || p, chance(0.5));
            IF chance(0.5) THEN PERFORM webhook.activate_integration('p' || p, 'config ' || i); END IF;
            IF chance(0.3) THEN
                PERFORM webhook.set_field_mapping(jsonb_build_array(jsonb_build_object('name', 'n', 'value', random()::text)),
                    pick('config ' || i, NULL), profile => 'p' || p, entity_type => pick('guest', 'event'));
            END IF;
            IF chance(0.2) THEN PERFORM webhook.disconnect_profile('config ' || i, 'p' || p); END IF;
        END LOOP;
        IF chance(0.3) THEN PERFORM webhook.set_field_mapping('[{"name": "n", "value": {"a": [null, 1e30]}}]', 'config ' || i); END IF;
        IF chance(0.3) THEN PERFORM webhook.set_form('config ' || i, pick('guest', 'event'), '[{"name": "f", "type": "integer", "required": true, "default": 7}]'); END IF;
        IF chance(0.3) THEN PERFORM webhook.set_payload_template('config ' || i, pick('visitor', 'other'), '{"b": null, "a": {"x": []}}'); END IF;
        IF chance(0.5) THEN PERFORM webhook.override_event(pick('E1', 'E2', 'E3'), pick('config ' || i, NULL), chance(0.5), chance(0.3)); END IF;
        IF chance(0.3) THEN PERFORM webhook.set_field_mapping('[{"name": "n", "value": false}]', pick('config ' || i, NULL), event_uid => pick('E1', 'E2')); END IF;
    END LOOP;
    FOR n IN 1 .. floor(random() * 8) LOOP
        id := webhook.create_webhook(pick('config', 'config b'), pick('guest.*', '*', 'guest.create,x.y'), 'https://example.com/' || pick('a', 'b'), name => pick('x', 'y', NULL),
            method => pick('POST', 'PUT'), headers => pick('{}', '{"A": "s", "B": ""}')::jsonb, format => pick('entity', 'standard', 'cloudevents'), event_uids => pick('E1,E2', NULL),
            integration => (SELECT name FROM webhook.get_integrations() WHERE name IS NOT NULL AND chance(0.3) LIMIT 1), columns => pick('{a,"b c"}', NULL)::text[],
            filter => pick('{"a": [1, null]}', '{}', NULL)::jsonb, transform => pick('shorter', NULL), ordering => pick('entity', 'strict', 'none'),
            secret => pick(NULL, 'v1 v1a'), retry_schedule => pick('{1 s,1 day 00:00:00.5}', '{0}', NULL)::interval[], timeout => pick('1 min', '100 ms', NULL)::interval,
            rate_limit => pick('1', NULL)::int, max_in_flight => pick('1000', NULL)::int, handshake => chance(0.3), previous => pick('row', 'changed', NULL),
            condition => pick('$.new.a == "x" && exists($.old)', NULL), batch_size => 5, batch_wait => pick('1 hour', NULL)::interval, signature => pick('standard', NULL),
            no_retry => pick('{400}', NULL)::int[], oauth => pick('{"token_url": "https://example.com/t", "grant": "client_credentials", "client_id": "a", "client_secret": "b"}', NULL)::jsonb, challenge => chance(0.3), active => chance(0.8));
        IF chance(0.2) THEN PERFORM webhook.deactivate_webhook(id, chance(0.5)); END IF;
    END LOOP;
END
$$;
CREATE TABLE run (n int, what text, first text, second text);
DO $$
DECLARE
    document jsonb;
    listed   bigint;
BEGIN
    PERFORM setseed(0.5), wipe();
    FOR n IN 1 .. 5 LOOP
        PERFORM random_config();
        document := webhook.export_config(true);
        SELECT count(*) INTO listed FROM webhook.apply_config(document);
        INSERT INTO run VALUES (n, 'applied to itself', '0', listed::text);
        INSERT INTO run VALUES (n, 'without secrets', '0', (SELECT count(*)::text FROM webhook.apply_config(webhook.export_config())));
        PERFORM wipe();
        INSERT INTO run VALUES (n, 'dropped', '{"version": 1}', webhook.export_config(true)::text);
        SELECT count(*) INTO listed FROM webhook.apply_config(document, dry_run => true);
        INSERT INTO run VALUES (n, 'after dry_run', '{"version": 1}', webhook.export_config(true)::text);
        INSERT INTO run VALUES (n, 'as announced', listed::text, (SELECT count(*)::text FROM webhook.apply_config(document)));
        INSERT INTO run VALUES (n, 'applied', document::text, webhook.export_config(true)::text);
        -- From another configuration, managed by the same document.
        PERFORM webhook.apply_config(document || '{"managed_by": "random"}');
        INSERT INTO run VALUES (n, 'managed', (document || '{"managed_by": "random"}')::text, webhook.export_config(true, 'random')::text);
        IF n % 2 = 0 THEN
            PERFORM webhook.apply_config('{"version": 1, "managed_by": "random"}');
            INSERT INTO run VALUES (n, 'deleted', '{"version": 1}', webhook.export_config(true)::text);
        END IF;
        PERFORM wipe();
    END LOOP;
END
$$;
\set ECHO all
SELECT what, count(*), count(*) FILTER (WHERE first = second) AS same,
       CASE what WHEN 'applied' THEN count(DISTINCT first) > 3 END AS various FROM run GROUP BY what ORDER BY 1;
SELECT n, what, first, second FROM run WHERE first IS DISTINCT FROM second ORDER BY n LIMIT 2;

-- A superuser's copy has the owners that the document names.
SELECT random_config(), setseed(0.1);
SELECT webhook.export_config(true) AS before \gset
RESET ROLE;
SELECT webhook.export_config(true) AS document \gset
SET ROLE regress_config;
SELECT wipe();
RESET ROLE;
SELECT count(*) > 0 AS restored FROM webhook.apply_config(:'document');
SET ROLE regress_config;
SELECT webhook.export_config(true) = :'before' AS same, :'before' <> '{"version": 1}' AS something;
SELECT wipe();

RESET ROLE;
REVOKE regress_config FROM regress_config_other;
DROP OWNED BY regress_config, regress_config_other CASCADE;
DROP SCHEMA config_test CASCADE;
DROP ROLE regress_config, regress_config_other;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
