-- Webhooks for well-known services, see src/api/preset_api.c.

-- In strings of url and properties, <name> is the value of that parameter, and <basic:name> its encoding as a password.  A string
-- with a parameter that has no value is left out.
CREATE TABLE webhook.preset (
    preset        text PRIMARY KEY,
    title         text NOT NULL,
    documentation text NOT NULL,
    parameters    jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(parameters) = 'object'),
    example       jsonb,
    url           text NOT NULL,
    properties    jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(properties) = 'object'),
    deletions     boolean NOT NULL DEFAULT true,
    shipped       boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE webhook.preset IS 'services for which create_webhook_from_preset() creates webhooks; a row adds another';
COMMENT ON COLUMN webhook.preset.preset IS 'the name that create_webhook_from_preset() is called with';
COMMENT ON COLUMN webhook.preset.title IS 'the service and what is done there; the name of its webhooks';
COMMENT ON COLUMN webhook.preset.documentation IS 'address of the service''s documentation';
COMMENT ON COLUMN webhook.preset.parameters IS 'JSON Schema of each parameter, with type, pattern, enum, items, default and description; those with a default are optional';
COMMENT ON COLUMN webhook.preset.example IS 'parameters to begin with';
COMMENT ON COLUMN webhook.preset.url IS 'URL, in which <name> is a parameter';
COMMENT ON COLUMN webhook.preset.properties IS 'other properties, as update_webhook() takes them, in which <name> is a parameter, and <basic:name> one as a password';
COMMENT ON COLUMN webhook.preset.deletions IS 'may it be used for deletions?';
COMMENT ON COLUMN webhook.preset.shipped IS 'true: it comes with the extension, and is not part of dumps';
SELECT pg_catalog.pg_extension_config_dump('webhook.preset', 'WHERE NOT shipped');

INSERT INTO webhook.preset (shipped, preset, title, documentation, deletions, url, properties, parameters, example) VALUES
    (true, 'hubspot', 'HubSpot: create or update a contact',
     'https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/batch/post-crm-v3-objects-contacts-batch-upsert', false,
     'https://api.hubapi.com/crm/v3/objects/contacts/batch/upsert',
     '{"format": "rest", "headers": {"Authorization": "Bearer <access_token>"},
       "template": {"inputs": [{"idProperty": "email", "id": "<email>", "properties": "<properties>"}]}}',
     '{"access_token": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$",
                        "description": "token of a private app with the scope crm.objects.contacts.write, or a file with the whole header, Bearer included"},
       "email": {"type": "string", "default": "{{email}}", "description": "the contact''s address, which identifies it"},
       "properties": {"type": "object", "default": {"email": "{{email}}", "firstname": "{{firstname}}", "lastname": "{{lastname}}"},
                      "description": "properties in HubSpot and their values"}}',
     '{"access_token": "pat-eu1-1234"}'),
    (true, 'hubspot_oauth', 'HubSpot, by OAuth 2: create or update a contact',
     'https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/batch/post-crm-v3-objects-contacts-batch-upsert', false,
     'https://api.hubapi.com/crm/v3/objects/contacts/batch/upsert',
     '{"format": "rest",
       "oauth": {"token_url": "https://api.hubapi.com/oauth/v1/token", "grant": "refresh_token", "auth": "body",
                 "client_id": "<client_id>", "client_secret": "<client_secret>", "refresh_token": "<refresh_token>"},
       "template": {"inputs": [{"idProperty": "email", "id": "<email>", "properties": "<properties>"}]}}',
     '{"client_id": {"type": "string", "pattern": "^[!-~]+$", "description": "id of an app with the scope crm.objects.contacts.write"},
       "client_secret": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$", "description": "its secret, or a file with it"},
       "refresh_token": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$",
                         "description": "what the app received when it was installed in the account, or a file with it"},
       "email": {"type": "string", "default": "{{email}}", "description": "the contact''s address, which identifies it"},
       "properties": {"type": "object", "default": {"email": "{{email}}", "firstname": "{{firstname}}", "lastname": "{{lastname}}"},
                      "description": "properties in HubSpot and their values"}}',
     '{"client_id": "1234", "client_secret": "5678", "refresh_token": "na1-90ab"}'),
    (true, 'mailchimp', 'Mailchimp: add or update a member of an audience',
     'https://mailchimp.com/developer/marketing/api/lists/batch-subscribe-or-unsubscribe/', false,
     'https://<server>.api.mailchimp.com/3.0/lists/<list_id>',
     '{"format": "rest", "headers": {"Authorization": "Basic <basic:api_key>"},
       "template": {"members": [{"email_address": "<email>", "status": "<status>", "merge_fields": "<merge_fields>"}], "update_existing": true}}',
     '{"api_key": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$", "description": "an API key, or a file with the whole header, Basic included"},
       "server": {"type": "string", "pattern": "^[a-z]{2,3}[0-9]{1,3}$", "description": "the end of the API key, such as us21"},
       "list_id": {"type": "string", "pattern": "^[A-Za-z0-9]{1,50}$", "description": "id of the audience"},
       "email": {"type": "string", "default": "{{email}}", "description": "the member''s address"},
       "status": {"type": "string", "enum": ["subscribed", "pending", "unsubscribed"], "default": "subscribed",
                  "description": "pending: the member is asked by mail first"},
       "merge_fields": {"type": "object", "default": {"FNAME": "{{firstname}}", "LNAME": "{{lastname}}"}, "description": "merge fields and their values"}}',
     '{"api_key": "1234567890abcdef-us21", "server": "us21", "list_id": "a1b2c3d4e5"}'),
    (true, 'brevo', 'Brevo: create or update a contact',
     'https://developers.brevo.com/reference/create-contact', false,
     'https://api.brevo.com/v3/contacts',
     '{"format": "rest", "headers": {"api-key": "<api_key>"},
       "template": {"email": "<email>", "attributes": "<attributes>", "listIds": "<list_ids>", "updateEnabled": true}}',
     '{"api_key": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$", "description": "an API key, or a file with it"},
       "email": {"type": "string", "default": "{{email}}", "description": "the contact''s address"},
       "attributes": {"type": "object", "default": {"FIRSTNAME": "{{firstname}}", "LASTNAME": "{{lastname}}"},
                      "description": "attributes, which must exist in Brevo, and their values"},
       "list_ids": {"type": "array", "items": {"type": "integer"}, "default": null, "description": "ids of the lists that the contact is added to"}}',
     '{"api_key": "xkeysib-1234", "list_ids": [2, 7]}'),
    (true, 'slack', 'Slack: post a message to a channel',
     'https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks', true,
     '<url>',
     '{"format": "rest", "template": {"text": "<summary>", "blocks": [{"type": "section", "text": {"type": "plain_text", "text": "<text>"}}]}}',
     '{"url": {"type": "string", "pattern": "^https://hooks[.]slack(-gov)?[.]com/services/[A-Za-z0-9_/-]+$", "description": "URL of an incoming webhook"},
       "text": {"type": "string", "description": "the message, with fields such as {{name}}; at most 3000 characters"},
       "summary": {"type": "string", "default": "New message", "pattern": "^[^{}<>&]+$", "description": "what notifications show"}}',
     '{"url": "https://hooks.slack.com/services/T1234/B5678/90abcdef", "text": "{{firstname}} {{lastname}} has joined"}'),
    (true, 'teams', 'Microsoft Teams: post a card to a chat or channel',
     'https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using', true,
     '<url>',
     '{"format": "rest", "template": {"type": "message", "attachments": [{
         "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": {
             "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": [
                 {"type": "TextBlock", "text": "<title>", "weight": "Bolder", "wrap": true}, {"type": "TextBlock", "text": "<text>", "wrap": true}]}}]}}',
     '{"url": {"type": "string", "pattern": "^https://[A-Za-z0-9.-]+[.](logic[.]azure[.]com|api[.]powerplatform[.]com|webhook[.]office[.]com)(:443)?/[!-z|~]+$",
               "description": "URL of a workflow that starts when a webhook request is received"},
       "text": {"type": "string", "description": "the text of the card, with fields such as {{name}}"},
       "title": {"type": "string", "default": "New message", "description": "its title"}}',
     '{"url": "https://prod-1.westeurope.logic.azure.com:443/workflows/1234/triggers/manual/paths/invoke?api-version=2016-06-01&sig=5678",
       "text": "{{firstname}} {{lastname}} has joined"}'),
    (true, 'zapier', 'Zapier: start a Zap',
     'https://help.zapier.com/hc/en-us/articles/8496288690317', true,
     '<url>',
     '{"format": "rest"}',
     '{"url": {"type": "string", "pattern": "^https://hooks[.]zapier[.]com/hooks/(catch|standard)/[A-Za-z0-9_/-]+$",
               "description": "URL of the trigger Webhooks by Zapier, Catch Hook"}}',
     '{"url": "https://hooks.zapier.com/hooks/catch/1234/abcd/"}'),
    (true, 'make', 'Make: start a scenario',
     'https://help.make.com/webhooks', true,
     '<url>',
     '{"format": "standard", "headers": {"x-make-apikey": "<api_key>"}}',
     '{"url": {"type": "string", "pattern": "^https://hook[.]([a-z0-9-]+[.])?(make|integromat)[.]com/[A-Za-z0-9_-]+$", "description": "URL of a custom webhook"},
       "api_key": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$", "default": null, "description": "the webhook''s API key, if it has one, or a file with it"}}',
     '{"url": "https://hook.eu1.make.com/abcd1234", "api_key": "5678"}'),
    (true, 'n8n', 'n8n: start a workflow',
     'https://docs.n8n.io/integrations/builtin/core-nodes/n8n-nodes-base.webhook/', true,
     '<url>',
     '{"format": "standard", "headers": {"Authorization": "<authorization>"}}',
     '{"url": {"type": "string", "pattern": "^https?://[!-z|~]+$", "description": "production URL of a Webhook node, for the method POST"},
       "authorization": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[ -~]+)$", "default": null,
                         "description": "the header Authorization, if the node has basic or JWT authentication, or a file with it"}}',
     '{"url": "https://n8n.example.com/webhook/1234", "authorization": "Basic dXNlcjpwYXNzd29yZA=="}');

CREATE FUNCTION webhook.get_presets()
RETURNS TABLE (preset text, title text, parameters jsonb, documentation text)
LANGUAGE c STABLE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'webhook_get_presets';
COMMENT ON FUNCTION webhook.get_presets() IS 'services for which create_webhook_from_preset() creates webhooks, and a JSON Schema of its parameters for each';

CREATE FUNCTION webhook.create_webhook_from_preset(preset text, app text, event text, parameters jsonb, integration text DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_create_webhook_from_preset';
COMMENT ON FUNCTION webhook.create_webhook_from_preset(text, text, text, jsonb, text)
    IS 'creates a webhook that sends what a service expects, and returns its id';

CREATE FUNCTION webhook.preset_schema(parameters jsonb, example jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('type', 'object', 'properties', $1, 'additionalProperties', false, 'required', (
               SELECT COALESCE(jsonb_agg(p.key ORDER BY p.key COLLATE "C"), '[]') FROM jsonb_each($1) AS p WHERE NOT p.value ? 'default'))
        || CASE WHEN $2 IS NULL THEN '{}' ELSE jsonb_build_object('examples', jsonb_build_array($2)) END;
$$;
COMMENT ON FUNCTION webhook.preset_schema(jsonb, jsonb) IS 'the JSON Schema of the parameters of a preset';

CREATE FUNCTION webhook.preset_encode(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(string_agg(CASE WHEN c.char COLLATE "C" ~ '^[A-Za-z0-9._~-]$' THEN c.char
                    ELSE regexp_replace(upper(encode(convert_to(c.char, 'UTF8'), 'hex')), '..', '%\&', 'g') END, '' ORDER BY c.n), '')
    FROM regexp_split_to_table($1, '') WITH ORDINALITY AS c (char, n) WHERE c.char <> '';
$$;
COMMENT ON FUNCTION webhook.preset_encode(text) IS 'a value as a part of a URL';

CREATE FUNCTION webhook.preset_fill(template jsonb, parameters jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text := '';
    piece  text;
    name   text;
    value  text;
BEGIN
    CASE jsonb_typeof(template)
        WHEN 'object' THEN
            RETURN (SELECT COALESCE(jsonb_object_agg(m.key, m.filled) FILTER (WHERE m.filled IS NOT NULL), '{}')
                    FROM (SELECT o.key, webhook.preset_fill(o.value, parameters) AS filled FROM jsonb_each(template) AS o) AS m);
        WHEN 'array' THEN
            RETURN (SELECT COALESCE(jsonb_agg(m.filled ORDER BY m.n) FILTER (WHERE m.filled IS NOT NULL), '[]')
                    FROM (SELECT e.n, webhook.preset_fill(e.value, parameters) AS filled
                          FROM jsonb_array_elements(template) WITH ORDINALITY AS e (value, n)) AS m);
        WHEN 'string' THEN
            FOR piece IN
                SELECT m.piece[1] FROM regexp_matches(template #>> '{}', '[^<]+|<(?:basic:)?[a-z_]+>|<', 'g') WITH ORDINALITY AS m (piece, n) ORDER BY m.n
            LOOP
                name := substring(piece FROM '^<(?:basic:)?([a-z_]+)>$');
                IF parameters ? name IS NOT TRUE THEN
                    name := NULL;
                ELSIF to_jsonb(format('<%s>', name)) = template THEN
                    RETURN NULLIF(parameters -> name, 'null');
                END IF;
                value := CASE WHEN name IS NULL THEN piece
                              WHEN piece LIKE '<basic:%' AND parameters ->> name NOT LIKE 'file:%' THEN
                                  translate(encode(convert_to('user:' || (parameters ->> name), 'UTF8'), 'base64'), E'\n', '')
                              ELSE parameters ->> name END;
                IF value IS NULL THEN
                    RETURN NULL;
                END IF;
                result := result || value;
            END LOOP;
            RETURN to_jsonb(result);
        ELSE
            RETURN template;
    END CASE;
END
$$;
COMMENT ON FUNCTION webhook.preset_fill(jsonb, jsonb) IS 'a part of a preset with the values of its parameters';

CREATE FUNCTION webhook.preset_problem(definitions jsonb, parameters jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.problem FROM (
        SELECT 1, 'The value is not a JSON object.' WHERE jsonb_typeof($2) <> 'object'
        UNION ALL
        SELECT 2, format('There is no parameter "%s".', left(k.key, 64))
        FROM jsonb_object_keys(CASE jsonb_typeof($2) WHEN 'object' THEN $2 ELSE '{}' END) AS k (key) WHERE NOT $1 ? k.key
        UNION ALL
        SELECT 3, format('Parameter "%s" is missing.', d.key)
        FROM jsonb_each($1) AS d WHERE NOT d.value ? 'default' AND COALESCE($2 -> d.key, 'null') = 'null'
        UNION ALL
        SELECT 4, format('Parameter "%s" is not of type %s.', d.key, d.value ->> 'type')
        FROM jsonb_each($1) AS d WHERE jsonb_typeof($2 -> d.key) NOT IN (d.value ->> 'type', 'null')
        UNION ALL
        SELECT 5, format('Parameter "%s" contains something that is not an integer.', d.key)
        FROM jsonb_each($1) AS d, jsonb_array_elements(CASE jsonb_typeof($2 -> d.key) WHEN 'array' THEN $2 -> d.key ELSE '[]' END) AS e
        WHERE d.value #>> '{items,type}' = 'integer' AND (jsonb_typeof(e.value) <> 'number' OR e.value #>> '{}' !~ '^[0-9]{1,18}$')
        UNION ALL
        SELECT 6, format('Parameter "%s" is not allowed to have this value.', d.key)
        FROM jsonb_each($1) AS d
        WHERE jsonb_typeof($2 -> d.key) = 'string'
          AND ($2 ->> d.key = '' OR $2 ->> d.key !~ (d.value ->> 'pattern') OR NOT d.value -> 'enum' @> ($2 -> d.key)))
        AS p (place, problem)
    ORDER BY p.place, p.problem COLLATE "C" LIMIT 1;
$$;
COMMENT ON FUNCTION webhook.preset_problem(jsonb, jsonb) IS 'what is wrong with the parameters of a preset; null if nothing is';

-- A deletion would create a contact again, and patterns may include deletions.  A header in a file is in there as a whole.
CREATE FUNCTION webhook.preset_webhook(preset text, event text, parameters jsonb, OUT problem text, OUT detail text, OUT hint text, OUT url text, OUT changes jsonb)
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p       webhook.preset;
    filled  jsonb;
    encoded jsonb;
BEGIN
    SELECT * INTO p FROM webhook.preset AS d WHERE d.preset = preset_webhook.preset;
    IF p.preset IS NULL THEN
        problem := 'invalid value for argument "preset"';
        detail := format('Preset "%s" does not exist.', left(preset, 64));
        hint := (SELECT format('Use one of %s.', string_agg(d.preset, ', ' ORDER BY d.preset COLLATE "C")) FROM webhook.preset AS d);
        RETURN;
    END IF;
    detail := webhook.preset_problem(p.parameters, parameters);
    IF detail IS NOT NULL THEN
        problem := 'invalid value for argument "parameters"';
        hint := format('webhook.get_presets() describes the parameters of "%s": %s.', p.preset,
                       (SELECT string_agg(k.key, ', ' ORDER BY k.key COLLATE "C") FROM jsonb_object_keys(p.parameters) AS k (key)));
        RETURN;
    END IF;
    IF NOT p.deletions AND event ~ '\*|\.delete\s*(,|$)' THEN
        problem := 'invalid value for argument "event"';
        detail := format('Preset "%s" is not for deletions.', p.preset);
        hint := 'Specify the other events, such as "guest.create,guest.update".';
        RETURN;
    END IF;

    SELECT jsonb_object_agg(v.key, v.value), jsonb_object_agg(v.key, webhook.preset_encode(COALESCE(v.value #>> '{}', ''))) INTO filled, encoded
    FROM (SELECT d.key, COALESCE(NULLIF(parameters -> d.key, 'null'), d.value -> 'default') AS value FROM jsonb_each(p.parameters) AS d) AS v;
    url := COALESCE(webhook.preset_fill(to_jsonb(p.url), CASE WHEN p.url ~ '^<[a-z_]+>$' THEN filled ELSE encoded END) #>> '{}', '');
    changes := jsonb_build_object('name', p.title) || webhook.preset_fill(p.properties, filled);
    IF changes ? 'headers' THEN
        changes := jsonb_set(changes, '{headers}', (
            SELECT COALESCE(jsonb_object_agg(h.key, regexp_replace(h.value, '^[A-Za-z]+ (?=file:)', '')), '{}') FROM jsonb_each_text(changes -> 'headers') AS h));
    END IF;
END
$$;
COMMENT ON FUNCTION webhook.preset_webhook(text, text, jsonb) IS 'the URL and other properties of a webhook that a preset makes';
