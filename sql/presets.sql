-- Webhooks for well-known services: what they are made of, and parameters that are refused.  What is sent is compared with the services'
-- schemas in test/t/app_conformance.pl.
-- Proves I19 and, for its parameters, R6.
CREATE SCHEMA presets_test;
SET search_path = presets_test;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

SELECT preset, title, parameters -> 'required' AS required, (SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(parameters -> 'properties') AS k) AS parameters,
       documentation ~ '^https://' AS documented, parameters -> 'additionalProperties' AS additional
FROM webhook.get_presets();
SELECT bool_and(p.value ? 'description') AS described FROM webhook.get_presets(), jsonb_each(parameters -> 'properties') AS p;
SELECT preset FROM webhook.get_presets() WHERE webhook.create_webhook_from_preset(preset, 'presets examples', 'guest.create', parameters #> '{examples,0}') > 0;

SELECT webhook.create_webhook_from_preset('hubspot', 'presets', 'guest.create', '{"access_token": "pat-eu1-s3cr3t"}'),
       webhook.create_webhook_from_preset('hubspot_oauth', 'presets', 'guest.create', '{"client_id": "a-b", "client_secret": "s3cr3t", "refresh_token": "t0k3n"}'),
       webhook.create_webhook_from_preset('mailchimp', 'presets', 'guest.create,guest.update', '{"api_key": "0123456789abcdef-us21", "server": "us21", "list_id": "a1b2c3d4e5",
           "merge_fields": {"FNAME": "{{name}}", "MMERGE3": "{{city.name}}"}, "status": "pending"}'),
       webhook.create_webhook_from_preset('brevo', 'presets', 'guest.create', '{"api_key": "xkeysib-s3cr3t", "list_ids": [2, 7]}'),
       webhook.create_webhook_from_preset('brevo', 'presets', 'guest.create', '{"api_key": "xkeysib-s3cr3t", "attributes": {}, "list_ids": null}'),
       webhook.create_webhook_from_preset('slack', 'presets', 'guest.*', '{"url": "https://hooks.slack.com/services/T0/B0/x", "text": "{{name}} from <{{city}}> <url>"}'),
       webhook.create_webhook_from_preset('teams', 'presets', 'guest.*', '{"url": "https://prod-1.westeurope.logic.azure.com:443/workflows/a/triggers/manual/paths/invoke?api-version=2016-06-01&sig=x", "text": "{{name}}"}'),
       webhook.create_webhook_from_preset('zapier', 'presets', '*', '{"url": "https://hooks.zapier.com/hooks/catch/1/ab/"}'),
       webhook.create_webhook_from_preset('make', 'presets', '*', '{"url": "https://hook.eu1.make.com/abc", "api_key": "s3cr3t"}'),
       webhook.create_webhook_from_preset('n8n', 'presets', '*', '{"url": "http://n8n.example.com:5678/webhook/a-b"}') > 0 AS created \gset made_
SELECT name, event, url, method, headers, format, oauth, template FROM webhook.get_webhooks('presets');
SELECT w -> 'headers' AS headers FROM jsonb_array_elements(webhook.export_config(true) -> 'webhooks') AS w WHERE w ->> 'app' = 'presets' AND w ? 'headers' ORDER BY 1;

-- I19: with an integration, as create_webhook() has it.
SELECT webhook.create_integration('presets') <> '' AS created;
SELECT webhook.create_webhook_from_preset('zapier', 'presets i', '*', '{"url": "https://hooks.zapier.com/hooks/catch/1/ab/"}', 'presets') > 0 AS created;
SELECT integration FROM webhook.get_webhooks('presets i');

-- I19: one row adds another.
INSERT INTO webhook.preset (preset, title, documentation, parameters, url, properties) VALUES ('own', 'Our own', 'https://example.com/docs',
    '{"room": {"type": "string"}, "user_name": {"type": "string", "default": null}, "tags": {"type": "array", "default": [1, null]}}', 'https://example.com/<room>/?u=<user_name>',
    '{"method": "PUT", "headers": {"X-User": "U <user_name>", "Authorization": "<basic:user_name>"}, "template": ["<room> <none> < <room>", "<tags>", {"u": "<user_name>", "n": null}, "<>", ""]}');
SELECT webhook.create_webhook_from_preset('own', 'presets own', 'guest.*', '{"room": "../{entity_id} <room>\u00e4?", "user_name": "a:b"}') > 0 AS created;
SELECT webhook.create_webhook_from_preset('own', 'presets own', 'guest.*', jsonb_build_object('room', repeat('x', 100), 'user_name', repeat('y', 100))) > 0 AS created;
SELECT webhook.create_webhook_from_preset('own', 'presets own', 'guest.*', '{"room": "a"}') > 0 AS created;
SELECT url, method, template FROM webhook.get_webhooks('presets own') ORDER BY id;
SELECT w -> 'headers' AS headers FROM jsonb_array_elements(webhook.export_config(true) -> 'webhooks') AS w WHERE w ->> 'app' = 'presets own' ORDER BY length(w::text);
UPDATE webhook.preset SET url = '<user_name>' WHERE preset = 'own';
SELECT * FROM refused($$ SELECT webhook.create_webhook_from_preset('own', 'presets own', 'guest.*', '{"room": "a"}') $$);
DELETE FROM webhook.preset WHERE preset = 'own';

-- R6: what is refused.
SELECT preset, parameters, r.code, r.message, r.hint <> '' AS hint FROM (VALUES
    ('nothing', '{}'), (NULL, '{}'), ('slack', NULL), ('slack', '[]'), ('slack', '{}'), ('slack', '{"url": "https://hooks.slack.com/services/T0/B0/x"}'),
    ('slack', '{"url": "https://hooks.slack.com/services/T0/B0/x", "text": "x", "channel": "#a"}'),
    ('slack', '{"url": "https://hooks.slack.com/services/T0/B0/x", "text": 1}'), ('slack', '{"url": "https://hooks.slack.com/services/T0/B0/x", "text": ""}'),
    ('slack', '{"url": "https://hooks.slack.com/services/T0/B0/x", "text": "{{"}'),
    ('slack', '{"url": "https://hooks.slack.com.example.com/services/T0/B0/x", "text": "x"}'),
    ('slack', '{"url": "https://hooks.slack.com@10.0.0.1/services/T0/B0/x", "text": "x"}'),
    ('slack', '{"url": "https://hooks.slack.com/services/T0/../x?{entity_id}", "text": "x"}'),
    ('slack', '{"url": "http://hooks.slack.com/services/T0/B0/x", "text": "x"}'),
    ('slack', E'{"url": "https://hooks.slack.com/services/T0/B0/x\\n", "text": "x"}'),
    ('slack', '{"url": "https://hooks.slack.com/services/T0/B0/x", "text": "x", "summary": "<!channel>"}'),
    ('mailchimp', '{"api_key": "k", "server": "us21.example.com/", "list_id": "a1"}'), ('mailchimp', '{"api_key": "k", "server": "us21", "list_id": "a1/members"}'),
    ('mailchimp', '{"api_key": "k", "server": "us21", "list_id": "a1?x=1"}'), ('mailchimp', '{"api_key": "k", "server": "us21", "list_id": "<server>"}'),
    ('mailchimp', '{"api_key": "k", "server": "us21", "list_id": "a1", "status": "cleaned"}'),
    ('mailchimp', '{"api_key": "k", "server": "us21", "list_id": "a1", "merge_fields": "x"}'),
    ('hubspot', E'{"access_token": "x\\r\\nHost: example.com"}'), ('hubspot', E'{"access_token": "file:/x\\nHost: example.com"}'),
    ('hubspot_oauth', E'{"client_id": "a", "client_secret": "file:/x\\n", "refresh_token": "x"}'), ('hubspot_oauth', '{"client_id": "a", "client_secret": "x"}'),
    ('brevo', E'{"api_key": "file:\\n"}'), ('make', E'{"url": "https://hook.make.com/x", "api_key": "file:/x\\r"}'), ('hubspot', '{"access_token": "a b"}'), ('hubspot', '{"access_token": ""}'),
    ('hubspot', '{"access_token": "x", "properties": {"{{a}}": 1}}'),
    ('brevo', '{"api_key": "x", "list_ids": ["1"]}'), ('brevo', '{"api_key": "x", "list_ids": [1.5]}'), ('brevo', '{"api_key": "x", "list_ids": 1}'),
    ('teams', '{"url": "https://example.com/logic.azure.com/workflows", "text": "x"}'), ('teams', '{"url": "https://x.logic.azure.com/{event_uid}", "text": "x"}'),
    ('zapier', '{"url": "https://hooks.zapier.com/"}'), ('make', '{"url": "https://hook.example.com/make.com/x"}'), ('n8n', '{"url": "ftp://n8n/x"}'),
    ('n8n', '{"url": "https://n8n.example.com/{entity_id}"}'))
    AS v (preset, parameters) CROSS JOIN LATERAL
    refused(format('SELECT webhook.create_webhook_from_preset(%L, ''presets bad'', ''guest.create'', %L)', v.preset, v.parameters)) AS r;
SELECT * FROM refused($$ SELECT webhook.create_webhook_from_preset('brevo', 'presets bad', 'guest.create,guest.delete', '{"api_key": "x"}') $$);
SELECT code, message FROM refused($$ SELECT webhook.create_webhook_from_preset('brevo', 'presets bad', 'guest.*', '{"api_key": "x"}') $$);
SELECT code, message FROM refused($$ SELECT webhook.create_webhook_from_preset('zapier', 'presets bad', 'guest create', '{"url": "https://hooks.zapier.com/hooks/catch/1/ab/"}') $$);
SELECT count(*) FROM webhook.get_webhooks('presets bad');

-- A template of one's own, which belongs to the webhook.
SELECT webhook.create_webhook('presets t', 'guest.create', 'https://example.com/', template => '{"a": "{{name}}"}') AS id \gset
SELECT webhook.update_webhook(:id, '{"template": ["{{name}}", null]}');
SELECT template FROM webhook.get_webhooks('presets t');
SELECT webhook.update_webhook(:id, '{"template": null}');
SELECT template IS NULL AS removed FROM webhook.get_webhooks('presets t');
SELECT * FROM refused($$ SELECT webhook.create_webhook('presets t', 'a.b', 'https://example.com/', template => '"{{a"') $$);
SELECT * FROM refused($$ SELECT webhook.create_webhook('presets t', 'a.b', 'https://example.com/', template => to_jsonb(repeat('x', 70000))) $$);

-- X1: the former row is converted as well, so all of it is needed.
CREATE TABLE thing (id integer PRIMARY KEY, name text, note text);
SELECT webhook.watch('thing', 'thing');
SELECT webhook.create_webhook('presets t', 'thing.*', 'https://example.com/', previous => 'changed', template => '{"a": "{{name}}"}') > 0 AS created;
INSERT INTO thing VALUES (1, 'a', 'x');
UPDATE thing SET name = 'b';
SELECT event, payload, changed, former FROM new_rows() WHERE event = 'thing.update';

SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks() WHERE app LIKE 'presets%';
SELECT webhook.delete_integration('presets');
DROP SCHEMA presets_test CASCADE;
