-- Creating, listing, changing, activating, deactivating and deleting webhooks, and everything that is rejected.
-- Proves M1 M2 M4, E4 E5 E7, I4 I5 I6, R6, and the part of M3, W14 and I17 (which functions may transform) that needs no
-- receiver; what a transform does is tested in test/t/shape_payloads.pl.
CREATE SCHEMA webhooks_test;
SET search_path = webhooks_test;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

-- The same for one argument of create_webhook(), as an expression.
CREATE FUNCTION refused_argument(argument text, value text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
DECLARE
    result record;
BEGIN
    result := refused(CASE argument
        WHEN 'app' THEN format('SELECT webhook.create_webhook(%s, ''a.b'', ''http://h/'')', value)
        WHEN 'event' THEN format('SELECT webhook.create_webhook(''bad'', %s, ''http://h/'')', value)
        WHEN 'url' THEN format('SELECT webhook.create_webhook(''bad'', ''a.b'', %s)', value)
        ELSE format('SELECT webhook.create_webhook(''bad'', ''a.b'', ''http://h/'', %s => %s)', argument, value) END);
    code := result.code;
    message := result.message;
    IF message <> 'NOT REFUSED' AND (result.hint IS NULL OR result.hint = '') THEN
        message := message || ' (NO HINT)';
    END IF;
    IF length(message) > 200 THEN
        message := 'TOO LONG: ' || left(message, 200);
    END IF;
    IF position('"' || argument || '"' IN message) = 0 THEN
        message := message || ' (DOES NOT NAME THE ARGUMENT)';
    END IF;
END
$$;

--
-- M1: create; M2: get
--
SELECT webhook.create_webhook('crm', 'guest.create', 'https://example.com/hook') AS crm \gset
SELECT :crm > 0 AS created;
SELECT webhook.create_webhook(app => 'crm', event => ' guest.update ,guest.delete, event.* , guest.update',
    url => 'https://example.com/{entity_id}/{action}?e={event_uid}', name => 'Guests to the CRM', method => 'put',
    headers => '{"Authorization": "Bearer s3cret", "X-Tenant": "7"}', format => 'rest',
    event_uids => ' uid-1, uid-2 ,uid-1,Köln 2025', columns => '{paid,name}', filter => '{"paid": true}',
    ordering => 'strict', retry_schedule => '{0,5 s,5 min,1 day}', timeout => '2.5 s', rate_limit => 10,
    max_in_flight => 3, active => false) AS full_id \gset
SELECT webhook.create_webhook('billing', '*', 'http://127.0.0.1:8080/') AS billing \gset

SELECT app, event, name, url, method, headers, format, event_uids, integration, active, deactivated_at IS NOT NULL AS deactivated,
       deactivation_reason, failing_since, pending, buffered, created_at IS NOT NULL AS created, updated_at = created_at AS fresh
  FROM webhook.get_webhooks() WHERE app IN ('crm', 'billing');
SELECT app, owner = current_user::regrole AS mine, columns, filter, transform, ordering, retry_schedule, timeout, rate_limit, max_in_flight
  FROM webhook.get_webhooks('crm');
SELECT app, event FROM webhook.get_webhooks(event => 'guest.delete');
SELECT app, event FROM webhook.get_webhooks(event => 'guest.delete, event.*');
SELECT app, event FROM webhook.get_webhooks('billing', '*');
SELECT app, event FROM webhook.get_webhooks('billing', 'guest.create');
-- C28: all webhooks that would be sent the event are found, also those with a pattern.
SELECT webhook.create_webhook('pattern', e, 'http://h/') <> 0 AS created FROM unnest('{guest.*,*,guest.manual,guest_x.*,webhook.*}'::text[]) AS e;
SELECT n AS name, (SELECT string_agg(w.event, ' ' ORDER BY w.id) FROM webhook.get_webhooks('pattern', n) AS w) AS found
FROM unnest('{guest.create,guest.*,guest.manual,guest_x.create,*,webhook.failing,guest,ticket.x}'::text[]) AS n;
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('pattern');
SELECT app, event FROM webhook.get_webhooks('nobody');

-- Secrets are generated, and shown by get_secret() alone.
SELECT webhook.get_secret(:crm) ~ '^whsec_[A-Za-z0-9+/]{32}$' AS generated,
       webhook.get_secret(:crm) <> webhook.get_secret(:billing) AS differ;
SELECT count(*) FROM webhook.get_webhooks() g
 WHERE g::text LIKE '%whsec%' OR g::text LIKE '%s3cret%';

-- Every method and format (I4, W7), upper and lower case.
SELECT m, webhook.create_webhook('methods', 'a.b', 'http://h/', method => m) > 0 AS ok
  FROM unnest('{GET,POST,PUT,DELETE,PATCH,get,Post}'::text[]) m;
SELECT f, webhook.create_webhook('formats', 'a.b', 'http://h/', format => f) > 0 AS ok
  FROM unnest('{entity,rest,standard,cloudevents,cloudevents-binary}'::text[]) f;
SELECT array_agg(method ORDER BY id) FROM webhook.get_webhooks('methods');
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks() WHERE app IN ('methods', 'formats');

--
-- R6: bad input; nothing is stored
--
SELECT count(*) AS before FROM webhook.webhook \gset
SELECT * FROM refused($$ SELECT webhook.create_webhook('a', 'b c', 'http://h/') $$) \gx
SELECT * FROM refused($$ SELECT webhook.create_webhook('a', 'b', 'ftp://h/') $$) \gx
SELECT * FROM refused($$ SELECT webhook.create_webhook('a', 'b', 'http://h/', headers => '{"X": "a\r\nY: b"}') $$) \gx
SELECT * FROM refused($$ SELECT webhook.create_webhook(NULL, 'b', 'http://h/') $$) \gx
SELECT * FROM refused($$ SELECT webhook.create_webhook('a', 'b', 'http://h/', client_cert => '-----BEGIN CERTIFICATE-----
-----END CERTIFICATE-----') $$) \gx

CREATE FUNCTION f_good(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f_three(jsonb, text, text) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f_json(json) RETURNS jsonb LANGUAGE sql AS 'SELECT $1::jsonb';
CREATE FUNCTION f_text(jsonb) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
CREATE FUNCTION f_set(jsonb) RETURNS SETOF jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f_two(jsonb, text) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f_none() RETURNS jsonb LANGUAGE sql AS 'SELECT ''{}''::jsonb';

SELECT argument, left(value, 60) AS value, r.*
  FROM (VALUES
    ('app', 'NULL'), ('app', ''''''), ('app', '''   '''), ('app', $$repeat('x', 201)$$), ('app', $$repeat('x', 1000000)$$),
    ('app', $$E'a\nb'$$),
    ('event', 'NULL'), ('event', ''''''), ('event', $$','$$), ('event', $$'a.b,'$$), ('event', $$',a.b'$$), ('event', $$'a.b,,c.d'$$),
    ('event', $$'guest create'$$), ('event', $$'guest.*.x'$$), ('event', $$'guest*'$$), ('event', $$'.*'$$), ('event', $$'**'$$),
    ('event', $$'größe.create'$$), ('event', $$'a;drop'$$), ('event', $$repeat('x', 201)$$), ('event', $$repeat('x', 1000000)$$),
    ('event', $$repeat('é', 1000)$$),
    ('url', 'NULL'), ('url', ''''''), ('url', $$'example.com'$$), ('url', $$'ftp://h/'$$), ('url', $$'file:///etc/passwd'$$),
    ('url', $$'http://'$$), ('url', $$'http:///x'$$), ('url', $$'http://user:pw@h/'$$), ('url', $$'http://h/ x'$$),
    ('url', $$E'http://h/\r\nX: y'$$), ('url', $$'http://h/#f'$$), ('url', $$'http://{entity_id}/'$$), ('url', $$'http://h/{nope}'$$),
    ('url', $$'http://h:99999/'$$), ('url', $$'http://h/ü'$$), ('url', $$'http://h/' || repeat('x', 1000000)$$),
    ('name', ''''''), ('name', $$repeat('x', 1000000)$$),
    ('method', 'NULL'), ('method', ''''''), ('method', $$'HEAD'$$), ('method', $$'POST '$$), ('method', $$E'GET / HTTP/1.1\r\n'$$),
    ('headers', 'NULL'), ('headers', $$'[]'$$), ('headers', $$'"x"'$$), ('headers', $$'null'$$), ('headers', $$'{"A": 1}'$$),
    ('headers', $$'{"A": null}'$$), ('headers', $$'{"A": {}}'$$), ('headers', $$'{"": "x"}'$$), ('headers', $$'{"A B": "x"}'$$),
    ('headers', $$'{"A\r\nB": "x"}'$$), ('headers', $$'{"A": "x\r\nB: y"}'$$), ('headers', $$'{"A": "x\nB: y"}'$$),
    ('headers', $$'{"Host": "x"}'$$), ('headers', $$'{"content-length": "1"}'$$), ('headers', $$'{"Transfer-Encoding": "chunked"}'$$),
    ('headers', $$'{"webhook-id": "1"}'$$), ('headers', $$'{"Webhook-Signature": "1"}'$$), ('headers', $$'{"X-A": "1", "x-a": "2"}'$$),
    ('headers', $$jsonb_build_object('A', repeat('x', 1000000))$$),
    ('headers', $$(SELECT jsonb_object_agg('H' || i, 'x') FROM generate_series(1, 101) i)$$),
    ('headers', $$jsonb_build_object(repeat('x', 1000000), 'x')$$),
    ('format', 'NULL'), ('format', $$'xml'$$), ('format', $$'REST'$$), ('format', $$repeat('x', 1000000)$$),
    ('event_uids', ''''''), ('event_uids', $$','$$), ('event_uids', $$'a,,b'$$), ('event_uids', $$'a, '$$), ('event_uids', $$E'a\nb'$$),
    ('event_uids', $$repeat('x', 201)$$), ('event_uids', $$repeat('x', 1000000)$$),
    ('integration', ''''''), ('integration', $$repeat('x', 1000000)$$),
    ('columns', $$'{}'$$), ('columns', $$'{""}'$$), ('columns', $$'{NULL}'$$), ('columns', $$'{{a},{b}}'$$),
    ('columns', $$ARRAY[repeat('x', 64)]$$), ('columns', $$ARRAY[repeat('x', 1000000)]$$),
    ('filter', $$'[]'$$), ('filter', $$'1'$$), ('filter', $$'null'$$), ('filter', $$jsonb_build_object('a', repeat('x', 1000000))$$),
    ('transform', $$'f_json(json)'$$), ('transform', $$'f_text(jsonb)'$$), ('transform', $$'f_set(jsonb)'$$),
    ('transform', $$'f_two(jsonb, text)'$$), ('transform', $$'f_none()'$$), ('transform', $$'1'$$),
    ('transform', $$'jsonb_agg(anyelement)'$$),
    ('ordering', 'NULL'), ('ordering', $$'fifo'$$), ('ordering', ''''''),
    ('secret', ''''''), ('secret', $$'secret'$$), ('secret', $$'whsec_'$$), ('secret', $$'whsec_c2hvcnQ='$$), ('secret', $$'whsec_!!!!'$$),
    ('secret', $$'whsk_AAAA'$$), ('secret', $$'whsec_' || repeat('A', 1000000)$$), ('secret', $$E'a\nb'$$),
    ('signature', $$''$$), ('signature', $$'gitlab'$$), ('signature', $$E'github\nnone'$$), ('signature', $$E'github\ngithub'$$),
    ('signature', $$'X-Sig: {hmac_sha256_hex:{body}'$$), ('signature', $$'X-Sig: {id}}'$$), ('signature', $$'X-Sig: {md5:{body}}'$$),
    ('signature', $$'X-Sig: {nope}'$$), ('signature', $$'X-Sig: {body}'$$), ('signature', $$'X-Sig: static'$$), ('signature', $$'X-Sig: {id}ü'$$),
    ('signature', $$E'github\nHost: {id}'$$), ('signature', $$'Content-Length: {id}'$$), ('signature', $$'webhook-id: {id}'$$),
    ('signature', $$'webhook-signature: {hmac_sha256_hex:{body}}'$$), ('signature', $$'Content-Type: {id}'$$),
    ('signature', $$'X-Sig: {hmac_sha256_hex:' || repeat('{body}', 200000) || '}'$$),
    ('signature', $$'X-Sig: {id}' || repeat('x', 1000000)$$), ('signature', $$repeat(E'X-Sig: {id}\n', 80000)$$), ('signature', $$'X-Sig: {' || repeat('x', 1000000)$$),
    ('signature', $$'X-Sig: {id'$$), ('signature', $$'X-Sig: {'$$), ('signature', $$'X-Sig: {hmac_sha256_hex:'$$), ('signature', $$'X-Sig: {hmac_sha256_hex:{body'$$),
    ('signature', $$'X-Sig: {hmac_sha256_hex:{hmac_sha1_hex:{body}}}'$$), ('signature', $$'X-Sig: {hmac_sha256_hex:}'$$), ('signature', $$'X-Sig: {HMAC_SHA256_HEX:{body}}'$$),
    ('signature', $$'Host: {id}'$$), ('signature', $$'hOST: {hmac_sha256_hex:{body}}'$$), ('signature', $$'Host : {id}'$$), ('signature', $$E'X-Sig: {id}\r\nHost: {id}'$$),
    ('signature', $$E'X-Sig: {id}\rHost: {id}'$$), ('signature', $$'Transfer-Encoding: {id}'$$), ('signature', $$'Connection: {id}'$$),
    ('signature', $$'Proxy-Authorization: {id}'$$), ('signature', $$'ce-id: {id}'$$), ('signature', $$'traceparent: {id}'$$), ('signature', $$'User-Agent: {id}'$$),
    ('signature', $$'WebHook-Request-Origin: {id}'$$), ('signature', $$'Webhook-Replay: {id}'$$),
    ('oauth', $$'{"token_url": "https://10.0.0.1/", "grant": "client_credentials", "client_id": "c", "client_secret": "s"}'$$),
    ('oauth', $$'{"token_url": "https://h/", "grant": "password", "client_id": "c", "client_secret": "s"}'$$), ('oauth', $$'{}'$$), ('oauth', $$'[1]'$$),
    ('retry_schedule', $$'{}'$$), ('retry_schedule', $$'{NULL}'$$), ('retry_schedule', $$'{{0},{0}}'$$), ('retry_schedule', $$'{-1 s}'$$),
    ('retry_schedule', $$'{0,31 days}'$$), ('retry_schedule', $$'{1 month}'$$), ('retry_schedule', $$'{1000000 years}'$$),
    ('retry_schedule', $$'{2000000000 days}'$$), ('retry_schedule', $$array_fill('1 s'::interval, '{33}')$$),
    ('timeout', $$'99 ms'$$), ('timeout', $$'0'$$), ('timeout', $$'-1 s'$$), ('timeout', $$'601 s'$$), ('timeout', $$'1 mon'$$),
    ('rate_limit', '0'), ('rate_limit', '-1'), ('rate_limit', '2147483647'),
    ('max_in_flight', '0'), ('max_in_flight', '-1'), ('max_in_flight', '1001'),
    ('client_cert', ''''''), ('client_cert', $$'x'$$), ('client_key', $$'-----BEGIN CERTIFICATE----- -----END CERTIFICATE-----'$$),
    ('client_key', $$'-----BEGIN ENCRYPTED PRIVATE KEY----- -----END ENCRYPTED PRIVATE KEY-----'$$),
    ('client_key', $$'-----BEGIN PRIVATE KEY----- -----END PRIVATE KEY-----'$$),
    ('ca_cert', $$'x'$$), ('ca_cert', $$repeat('x', 1000000)$$),
    ('active', 'NULL')
  ) AS bad (argument, value), refused_argument(argument, value) r;

-- A function the caller may not execute.
CREATE ROLE regress_webhook_alice;
CREATE ROLE regress_webhook_bob;
CREATE ROLE regress_webhook_team;
GRANT regress_webhook_team TO regress_webhook_alice;
GRANT USAGE ON SCHEMA webhook, webhooks_test TO regress_webhook_alice, regress_webhook_bob, regress_webhook_team;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO regress_webhook_alice, regress_webhook_bob, regress_webhook_team;
REVOKE EXECUTE ON FUNCTION f_good(jsonb) FROM PUBLIC;
SET ROLE regress_webhook_alice;
SELECT code, message FROM refused($$ SELECT webhook.create_webhook('a', 'b', 'http://h/', transform => 'webhooks_test.f_good(jsonb)') $$);
RESET ROLE;

SELECT count(*) - :before AS stored_by_mistake FROM webhook.webhook;

-- The bounds themselves are accepted.
BEGIN;
SELECT webhook.create_integration('any') <> '' AS created;
-- C30: a function's name alone, if one fits
CREATE FUNCTION f_one(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f_one(text) RETURNS jsonb LANGUAGE sql AS 'SELECT to_jsonb($1)';
CREATE FUNCTION f_only(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f_several(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION f_several(jsonb, text, text) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
SELECT webhook.create_webhook('named', 'b', 'http://h/', transform => f) <> 0 AS created FROM unnest('{f_one,webhooks_test.f_one,f_several(jsonb)}'::text[]) AS f;
SELECT transform FROM webhook.get_webhooks('named') ORDER BY id;
SELECT webhook.update_webhook(id, '{"transform": "f_one"}') FROM webhook.get_webhooks('named') WHERE transform ~ 'f_several';
SELECT DISTINCT transform FROM webhook.get_webhooks('named');
SELECT webhook.create_webhook('named', 'b', 'http://h/', transform => 'f_several(jsonb)'::regprocedure) <> 0 AS of_regprocedure,
    webhook.create_webhook('named', 'b', 'http://h/', transform => 'f_one(jsonb)'::varchar) <> 0 AS of_varchar,
    webhook.create_webhook('named', 'b', 'http://h/', transform => 'f_only'::regproc) <> 0 AS of_regproc;
SELECT transform FROM webhook.get_webhooks('named') ORDER BY id DESC LIMIT 3;
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('named');
SELECT f, r.* FROM unnest('{f_several,f_text,nope,nowhere.f_one,a.b.c.d,""}'::text[]) AS f,
    refused(format('SELECT webhook.create_webhook(''a'', ''b'', ''http://h/'', transform => %L)', f)) AS r;

-- C29: names that are probably misspelt are accepted, with a notice.
CREATE TABLE guest (id int PRIMARY KEY, email text, name text);
SELECT webhook.watch('guest', 'guest');
SET client_min_messages = notice;
SELECT webhook.create_webhook('typo', 'guest.creat,gast.*,guest.update', 'http://h/', columns => '{emial,name,nothing_like_it}') <> 0 AS created;
SELECT webhook.create_webhook('typo', 'guest.checked_in,optin_finalized,guest.*,guest.manual,*,webhook.failed', 'http://h/', columns => '{email}') AS typo \gset
SELECT webhook.update_webhook(:typo, '{"columns": ["nmae"]}'), webhook.update_webhook(:typo, '{"event": "guest.updat"}'), webhook.update_webhook(:typo, '{"name": "x"}');
SET client_min_messages = warning;
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('typo');
DROP TABLE guest;

SELECT webhook.create_webhook(repeat('é', 200), 'a_1.B.c', 'http://h/', name => repeat('x', 200), transform => 'f_three(jsonb,text,text)',
    secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', retry_schedule => array_fill('30 days'::interval, '{32}'),
    timeout => '100 ms', rate_limit => 1, max_in_flight => 1000, integration => 'any',
    headers => '{"content-type": "text/plain", "X": ""}',
    client_cert => E'-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----', client_key => E'-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----',
    ca_cert => E'Bag\n-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----') AS id \gset
SELECT transform, webhook.get_secret(id) FROM webhook.get_webhooks() WHERE id = :id;
SELECT webhook.create_webhook('x', 'a.b', 'http://h/', timeout => '10 min',
    secret => 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==') AS key_id \gset
SELECT regexp_replace(webhook.get_secret(:key_id), 'whsec_[A-Za-z0-9+/]{32}', 'SHARED') AS secret, webhook.get_public_key(:key_id);
SELECT webhook.rotate_secret(:key_id) ~ '^whsec_[A-Za-z0-9+/]{32} whsk_[A-Za-z0-9+/]{86}==$' AS same_kinds;
SELECT webhook.update_webhook(:key_id, '{"secret": "v1 v1 v1a"}');
SELECT webhook.get_secret(:key_id) ~ '^whsec_[^ ]* whsec_[^ ]* whsk_[^ ]*$' AS several, length(webhook.get_public_key(:key_id));
SELECT webhook.update_webhook(:key_id, '{"secret": null}');
SELECT webhook.get_public_key(:key_id) IS NULL AS no_public_key;
ROLLBACK;

--
-- update_webhook: the same names and rules; null is the default
--
SELECT webhook.create_integration('i') <> '' AS created;
SELECT webhook.update_webhook(:full_id, '{"url": "http://new/", "method": "patch", "headers": {"X": "y"}, "event": "a.b, c.*",
    "event_uids": "u1 , u2", "columns": ["a", "b \"c\"", "NULL"], "filter": {"a": [1]}, "transform": "f_good(jsonb)",
    "retry_schedule": ["0", "1 min"], "timeout": "3 s", "rate_limit": 5, "active": true, "name": "new", "app": "new", "ordering": "none",
    "max_in_flight": 9, "format": "standard", "integration": "i"}');
SELECT app, event, name, url, method, headers, format, event_uids, integration, active, deactivated_at, columns, filter, transform,
       ordering, retry_schedule, timeout, rate_limit, max_in_flight FROM webhook.get_webhooks() WHERE id = :full_id \gx
SELECT events, uids, headers FROM webhook.webhook WHERE id = :full_id;
SELECT webhook.get_secret(:full_id) AS secret \gset
SELECT webhook.update_webhook(:full_id, '{"method": null, "headers": null, "format": null, "event_uids": null, "columns": null,
    "filter": null, "transform": null, "ordering": null, "retry_schedule": null, "timeout": null, "rate_limit": null,
    "max_in_flight": null, "name": null, "integration": null, "active": null, "secret": null, "client_cert": null, "client_key": null, "ca_cert": null}');
SELECT app, event, name, url, method, headers, format, event_uids, integration, active, columns, filter, transform,
       ordering, retry_schedule, timeout, rate_limit, max_in_flight FROM webhook.get_webhooks() WHERE id = :full_id \gx
SELECT webhook.delete_integration('i');
SELECT webhook.get_secret(:full_id) <> :'secret' AS new_secret;
SELECT webhook.update_webhook(:full_id, '{"active": false}');
SELECT active, deactivation_reason FROM webhook.get_webhooks() WHERE id = :full_id;
SELECT webhook.update_webhook(:full_id, '{}');

SELECT md5(string_agg(w::text, '' ORDER BY id)) AS state FROM webhook.webhook w \gset
SELECT left(changes, 60) AS changes, r.*
  FROM (VALUES
    ('[]'), ('"url"'), ('null'), ('{"nope": 1}'), ('{"id": 1}'), ('{"owner": 10}'), ('{"owner": "no such role"}'), ('{"URL": "http://h/"}'),
    ('{"url": "http://good/", "timeout": "1 hour"}'), ('{"url": null}'), ('{"app": null}'), ('{"event": null}'),
    ('{"url": 1}'), ('{"url": ["http://h/"]}'), ('{"app": ""}'), ('{"active": "yes"}'), ('{"active": 1}'), ('{"rate_limit": "5"}'),
    ('{"rate_limit": 1.5}'), ('{"rate_limit": 1e20}'), ('{"rate_limit": 0}'), ('{"timeout": 5}'), ('{"timeout": "soon"}'), ('{"timeout": "' || repeat('x', 1000000) || '"}'),
    ('{"timeout": "1 mon"}'), ('{"retry_schedule": "0"}'), ('{"retry_schedule": [0]}'), ('{"retry_schedule": ["x"]}'),
    ('{"retry_schedule": []}'), ('{"retry_schedule": [null]}'), ('{"columns": {"a": 1}}'), ('{"columns": [["a"]]}'), ('{"columns": [""]}'),
    ('{"transform": "nope(jsonb)"}'), ('{"transform": "f_text(jsonb)"}'), ('{"transform": "((("}'), ('{"headers": {"A": 1}}'),
    ('{"headers": {"A": "***"}}'),
    ('{"headers": "x"}'), ('{"filter": [1]}'), ('{"client_key": "-----BEGIN PRIVATE KEY----- -----END PRIVATE KEY-----"}'),
    ('{"secret": "x"}'), ('{"method": "TRACE"}'), ('{"no_retry": [200]}'), ('{"no_retry": [422, 600]}'),
    ('{"no_retry": [100]}'), ('{"no_retry": []}'), ('{"no_retry": 422}'), ('{"no_retry": ["422"]}'), ('{"no_retry": [4.5]}'), ('{"' || repeat('x', 1000000) || '": 1}'),
    ('{"a' || repeat('é', 300) || '": 1}')
  ) AS bad (changes), refused(format('SELECT webhook.update_webhook(%s, %L)', :full_id, changes)) r;
SELECT md5(string_agg(w::text, '' ORDER BY id)) = :'state' AS nothing_changed FROM webhook.webhook w;

--
-- Deactivating and activating (M3), without a receiver: the rows that a worker would have buffered are inserted by hand
-- (while buffering, or the worker would drop them at any time)
--
SELECT webhook.deactivate_webhook(:crm, true), webhook.deactivate_webhook(:crm, true);
SELECT active, deactivation_reason, deactivated_at = now() AS deactivated FROM webhook.get_webhooks('crm');
INSERT INTO webhook.delivery (webhook_id, id, message_id, event, payload, created_at, order_key, attempts, state)
SELECT :crm, i, gen_random_uuid(), 'guest.create', '{}', now(), i, 0, 'waiting' FROM generate_series(1, 3) i;
INSERT INTO webhook.health (webhook_id, failing_since, probes, next_probe_at, seq) VALUES (:crm, now(), 4, now(), 1000);
SELECT active, buffered, failing_since IS NOT NULL AS failing FROM webhook.get_webhooks('crm');
BEGIN;
SELECT webhook.activate_webhook(:crm);
SELECT count(*) AS left_over FROM webhook.delivery WHERE webhook_id = :crm;
ROLLBACK;
SELECT webhook.activate_webhook(:crm, replay_events => true);
SELECT active, buffered, failing_since, deactivated_at, deactivation_reason FROM webhook.get_webhooks('crm');
SELECT probes, next_probe_at FROM webhook.current_health WHERE webhook_id = :crm;
SELECT id, state, attempts, next_attempt_at FROM webhook.delivery WHERE webhook_id = :crm ORDER BY id;
SELECT webhook.activate_webhook(:crm, true) AS again;
SELECT webhook.deactivate_webhook(:crm, buffer_events => true);
SELECT buffering FROM webhook.webhook WHERE id = :crm;

--
-- The log (E7): newest first, ten at the most
--
INSERT INTO webhook.log (webhook_id, seq, attempted_at, message_id, event, attempt, method, url, request_headers,
                         request_body, status, duration, outcome)
SELECT :crm, i, '2025-01-01'::timestamptz + i * interval '1 s', ('00000000-0000-0000-0000-0000000000' || i)::uuid,
       'guest.create', 1, 'POST', 'http://h/', 'A: b', '{}', 200, '3 ms', 'delivered'
  FROM generate_series(13, 22) i;
SELECT * FROM webhook.get_webhook_log(:crm) LIMIT 1 \gx
SELECT array_agg(right(message_id, 2)) FROM webhook.get_webhook_log(:crm);
SELECT count(*) FROM webhook.get_webhook_log(:billing);
SELECT count(*) FROM webhook.get_webhook_log(-1);

--
-- Rotation
--
SELECT webhook.get_secret(:crm) AS secret \gset
SELECT webhook.rotate_secret(:crm) AS new_secret \gset
SELECT :'new_secret' <> :'secret' AS differ, webhook.get_secret(:crm) = :'new_secret' AS stored;
SELECT previous_secret = :'secret' AS kept, previous_secret_until - updated_at AS until FROM webhook.webhook WHERE id = :crm;
SELECT webhook.rotate_secret(:crm, '0') <> :'new_secret' AS at_once;
SELECT previous_secret, previous_secret_until FROM webhook.webhook WHERE id = :crm;
SELECT webhook.rotate_secret(:crm, secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');

--
-- X8: how access tokens are requested; bad input is refused and secrets are not shown
SELECT webhook.create_webhook('oauth', 'a.b', 'https://example.com/', oauth => '{"token_url": "https://auth.example.com/token",
    "grant": "refresh_token", "client_id": "c", "client_secret": "s3cr3t", "refresh_token": "s3cr3t", "scope": "a b"}') AS oauth \gset
SELECT oauth FROM webhook.get_webhooks('oauth');
SELECT left(changes, 60) AS changes, r.code, r.message, r.hint <> '' AS hint FROM (VALUES ('[]'), ('"https://example.com/"'), ('{"secret": "s3cr3t"}'), ('{"token_url": null}'), ('{"token_url": 1}'),
    ('{"client_id": null}'), ('{"client_id": ""}'), ('{"client_id": "a\r\nb"}'), ('{"client_id": {}}'), ('{"client_secret": null}'), ('{"client_secret": "a\nb"}'),
    ('{"client_secret": "***"}'), ('{"client_secret": "file:nobody/token"}'), ('{"grant": null}'), ('{"grant": "password"}'), ('{"grant": "authorization_code"}'),
    ('{"grant": "Client_Credentials"}'), ('{"grant": ""}'), ('{"grant": "client_credentials\r\n"}'), ('{"grant": ["client_credentials"]}'), ('{"grant": "refresh_token"}'),
    ('{"refresh_token": "a"}'), ('{"grant": "refresh_token", "refresh_token": "***"}'), ('{"auth": "header"}'), ('{"scope": ["a"]}'),
    ('{"token_url": "ftp://example.com/"}'), ('{"token_url": "https://a:b@example.com/"}'), ('{"token_url": "https://example.com/{entity_id}"}'),
    ('{"token_url": "https://example.com/a b"}'), ('{"token_url": "https://10.1.2.3/token"}'),
    ('{"token_url": "http://0x0a.1/"}'), ('{"token_url": "http://[::1]/"}'), ('{"token_url": "http://[::ffff:169.254.169.254]:80/latest"}'),
    ('{"token_url": "http://10.66051/"}'), ('{"token_url": "http://167838211/"}'), ('{"token_url": "http://0/"}'), ('{"token_url": "https://[fe80::1]/"}'),
    ('{"token_url": "https://[fe80::1%25lo]/"}'), ('{"token_url": "https://example.com/\r\nX: y"}'), ('{"token_url": "https://example.com/#f"}'), ('{"token_url": ""}'),
    ('{"token_url": "https://example.com/' || repeat('x', 1000000) || '"}'), ('{"client_id": "' || repeat('x', 1000000) || '"}'),
    ('{"scope": "' || repeat('x', 4001) || '"}')) AS v (changes),
    refused(format('SELECT webhook.update_webhook(%s, %L)', :oauth, jsonb_build_object('oauth', CASE jsonb_typeof(changes::jsonb) WHEN 'object' THEN
        jsonb_strip_nulls('{"token_url": "https://auth.example.com/token", "grant": "client_credentials", "client_id": "c", "client_secret": "s"}'::jsonb || changes::jsonb)
        ELSE changes::jsonb END))) AS r;
SELECT oauth ->> 'scope' AS scope, oauth ->> 'grant' AS "grant" FROM webhook.get_webhooks('oauth');
SELECT webhook.update_webhook(:oauth, '{"oauth": {"token_url": "https://auth.example.com/token", "grant": "client_credentials", "client_id": "c", "client_secret": "s",
    "auth": "body", "audience": "b"}}');
SELECT code, message, hint FROM refused(format('SELECT webhook.update_webhook(%s, %L)', :oauth, '{"headers": {"authorization": "Bearer x"}}'));
SELECT code, message, hint FROM refused(format('SELECT webhook.update_webhook(%s, %L)', :oauth, '{"signature": "Authorization: {hmac_sha256_hex:{body}}"}'));
SELECT webhook.update_webhook(:oauth, '{"oauth": null, "headers": {"authorization": "Bearer x"}}');
SELECT oauth FROM webhook.get_webhooks('oauth');
SELECT code, message FROM refused($$SELECT webhook.create_webhook('oauth', 'a.b', 'http://h/', headers => '{"Authorization": "x"}', oauth =>
    '{"token_url": "http://h/", "grant": "client_credentials", "client_id": "c", "client_secret": "s"}')$$);
SELECT webhook.delete_webhook_by_id(:oauth);

-- X9: signatures of other services; they determine which secrets are valid
--
SELECT webhook.create_webhook('signed', 'a.b', 'http://h/', signature => E' github \n\nX-Id: {id}', secret => 'any text') AS signed \gset
SELECT signature, webhook.get_secret(id), webhook.get_public_key(id) FROM webhook.get_webhooks('signed');
SELECT signature FROM webhook.get_webhooks('crm') LIMIT 1;
SELECT changes, r.* FROM (VALUES ('{"signature": null}'), ('{"signature": "standard"}'), ('{"signature": "github\nstandard"}'),
    ('{"signature": "standard", "secret": "x"}'), ('{"secret": ""}'), ('{"headers": {"x-hub-signature-256": "x"}}'), ('{"signature": "gitlab"}'),
    ('{"signature": "standard\nstripe", "secret": "v1 v1a"}'), ('{"signature": "stripe", "headers": {"stripe-signature": "x"}}'), ('{"signature": 1}'),
    ('{"signature": "X-Sig: {hmac_sha256_hex:{body}"}'), ('{"signature": "X-Sig: {md5:{body}}"}'), ('{"signature": "github\nHost: {id}"}'), ('{"signature": ""}')
  ) AS bad (changes), refused(format('SELECT webhook.update_webhook(%s, %L)', :signed, changes)) AS r;
SELECT signature, webhook.get_secret(id) AS secret, headers FROM webhook.get_webhooks('signed');
SELECT code, message FROM refused(format('SELECT webhook.rotate_secret(%s, secret => %L)', :crm, 'any text'));
SELECT webhook.rotate_secret(:signed, secret => 'whsec_another text');
SELECT webhook.rotate_secret(:signed) ~ '^whsec_[A-Za-z0-9+/]{32}$' AS generated;
SELECT webhook.update_webhook(:signed, '{"secret": "v1"}');
SELECT webhook.get_secret(:signed) ~ '^whsec_[A-Za-z0-9+/]{32}$' AS generated;
SELECT webhook.rotate_secret(:signed, secret => 'any text');
SELECT webhook.update_webhook(:signed, '{"signature": "standard", "secret": "v1 v1a"}');
SELECT signature, webhook.get_secret(id) ~ '^whsec_[^ ]+ whsk_[^ ]+$' AS both_kinds FROM webhook.get_webhooks('signed');
SELECT previous_secret, previous_secret_until FROM webhook.webhook WHERE id = :signed;
SELECT code, message FROM refused(format('SELECT webhook.update_webhook(%s, %L)', :signed, '{"signature": "github"}'));
SELECT webhook.update_webhook(:signed, '{"signature": "none", "secret": null}');
SELECT signature FROM webhook.get_webhooks('signed');
SELECT webhook.delete_webhook_by_id(:signed);

--
-- Owners (W14): others' webhooks do not exist, membership counts
--
SET ROLE regress_webhook_team;
SELECT webhook.create_webhook('team', 'a.b', 'http://h/') AS team \gset
RESET ROLE;
SET ROLE regress_webhook_alice;
SELECT webhook.create_webhook('alice', 'a.b', 'http://h/') AS alice \gset
SELECT app, owner FROM webhook.get_webhooks();
SELECT webhook.update_webhook(:team, '{"name": "by a member"}');
SELECT count(*) FROM webhook.get_webhook_log(:crm);
SELECT code, message FROM refused('SELECT * FROM webhook.webhook');
RESET ROLE;
SET ROLE regress_webhook_bob;
SELECT app FROM webhook.get_webhooks();
SELECT DISTINCT code, replace(message, :'team', '<id>') AS message, hint
  FROM unnest(ARRAY['get_secret(%s)', 'get_public_key(%s)', 'rotate_secret(%s)', 'update_webhook(%s, ''{}'')', 'activate_webhook(%s)',
                    'deactivate_webhook(%s)', 'delete_webhook_by_id(%s)']) f, refused(format('SELECT webhook.' || f, :team));
RESET ROLE;
SET ROLE regress_webhook_team;
SELECT app FROM webhook.get_webhooks();
SELECT code FROM refused(format('SELECT webhook.get_secret(%s)', :alice));
RESET ROLE;
SELECT name FROM webhook.get_webhooks('team');
-- Neither the role nor the settings of the caller change.
SELECT current_user = session_user AS role_restored, current_setting('search_path') AS search_path;
-- Nothing is granted to PUBLIC.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook FROM regress_webhook_bob;
SET ROLE regress_webhook_bob;
SELECT code, message FROM refused('SELECT * FROM webhook.get_webhooks()');
RESET ROLE;

-- Objects in schemas that are first in search_path, or temporary ones, are not used instead of ours.
CREATE TEMP TABLE webhook (id bigint);
CREATE FUNCTION webhooks_test.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2000-01-01'::timestamptz $$;
SET search_path = webhooks_test, pg_catalog;
SELECT webhook.deactivate_webhook(:billing);
SELECT deactivated_at > '2001-01-01' AS not_fooled FROM webhook.get_webhooks('billing');
DROP TABLE pg_temp.webhook;

--
-- Unknown ids and NULLs (R6)
--
SELECT f, r.* FROM unnest(ARRAY['get_secret(-1)', 'get_public_key(-1)', 'rotate_secret(-1)', 'update_webhook(-1, ''{}'')', 'activate_webhook(-1)',
    'deactivate_webhook(9223372036854775807)', 'delete_webhook_by_id(0)', 'get_secret(NULL)', 'rotate_secret(NULL)',
    'rotate_secret(1, NULL)', 'rotate_secret(1, ''-1 s'')', 'rotate_secret(1, ''1 year'')', 'rotate_secret(1, ''366 days'')',
    'update_webhook(NULL, ''{}'')', 'update_webhook(1, NULL)', 'activate_webhook(NULL)',
    'activate_webhook(1, NULL)', 'deactivate_webhook(NULL)', 'deactivate_webhook(1, NULL)', 'delete_webhook_by_id(NULL)',
    'get_webhook_log(NULL)']) f, refused('SELECT webhook.' || f) r;

--
-- M4: delete it and all that belongs to it
--
INSERT INTO webhook.notification (webhook_id, kind, message) VALUES (:crm, 'test', 'test');
SELECT webhook.delete_webhook_by_id(:crm);
SELECT (SELECT count(*) FROM webhook.webhook WHERE id = :crm) AS webhooks,
       (SELECT count(*) FROM webhook.delivery WHERE webhook_id = :crm) AS deliveries,
       (SELECT count(*) FROM webhook.log WHERE webhook_id = :crm) AS logs,
       (SELECT count(*) FROM webhook.health WHERE webhook_id = :crm) AS health,
       (SELECT count(*) FROM webhook.notification WHERE webhook_id = :crm) AS notifications;
SELECT code FROM refused(format('SELECT webhook.delete_webhook_by_id(%s)', :crm));
SELECT app, webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks();

-- Every function of the schema has a comment, and only its owner has privileges.
SELECT p.oid::regprocedure FROM pg_proc p
 WHERE pronamespace = 'webhook'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT p.oid::regprocedure FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
 WHERE pronamespace = 'webhook'::regnamespace AND a.grantee = 0;
SELECT c.oid::regclass FROM pg_class c, aclexplode(c.relacl) a
 WHERE relnamespace = 'webhook'::regnamespace AND a.grantee = 0;

RESET search_path;
DROP SCHEMA webhooks_test CASCADE;
DROP OWNED BY regress_webhook_alice, regress_webhook_bob, regress_webhook_team;
DROP ROLE regress_webhook_alice, regress_webhook_bob, regress_webhook_team;
