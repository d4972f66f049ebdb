-- Descriptions of the formats, for developers of receivers.

CREATE FUNCTION webhook.describe_format(format text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id      jsonb := '{"type": "string", "format": "uuid", "description": "the same in every attempt: drop what you have seen"}';
    event   jsonb := '{"type": "string", "pattern": "^[A-Za-z0-9_.]+$", "description": "the trigger name, such as guest.create"}';
    moment  jsonb := '{"type": "string", "format": "date-time", "pattern": "Z$", "description": "when it was captured, in UTC"}';
    source  jsonb := '{"type": "string", "format": "uri-reference", "pattern": "^/postgresql/", "description": "the database"}';
    subject jsonb := '{"type": "string", "minLength": 1, "description": "the id of the entity; absent if there is none"}';
    payload jsonb := '{"description": "the record as it was captured, or what emit() was given"}';
    former  jsonb := '{"description": "what of the record was different before, or the record before; only if the webhook has previous"}';
    extensions jsonb := jsonb_build_object('traceparent', '{"type": "string", "description": "the trace that the change belongs to"}'::jsonb,
        'tracestate', '{"type": "string"}'::jsonb,
        'context', '{"type": "string", "description": "JSON that the application has set, as text"}'::jsonb);
    headers jsonb := jsonb_build_object('type', 'object', 'properties', jsonb_build_object(
        'webhook-id', id,
        'webhook-timestamp', '{"type": "string", "pattern": "^[0-9]+$", "description": "when this attempt was made, in seconds since 1970"}'::jsonb,
        'webhook-signature', '{"type": "string", "pattern": "^v1a?,[A-Za-z0-9+/=]+( v1a?,[A-Za-z0-9+/=]+)*$",
            "description": "signatures of id.timestamp.body, one per key; see www.standardwebhooks.com; absent if the webhook has only others"}'::jsonb,
        'content-type', '{"const": "application/json"}'::jsonb),
        'required', '["webhook-id", "webhook-timestamp"]'::jsonb);
    body    jsonb;
    definitions jsonb;
BEGIN
    CASE format
        WHEN 'entity' THEN
            body := jsonb_build_object('type', 'object', 'properties', jsonb_build_object(
                    'entity_id', '{"type": ["integer", "string", "null"], "description": "a number if the key is of an integer type"}'::jsonb,
                    'entity_type', '{"type": ["string", "null"]}'::jsonb,
                    'action_type', '{"type": "string", "description": "new, update, delete, test, or the last word of the trigger name"}'::jsonb,
                    'result', payload, 'previous', former),
                'required', '["entity_id", "entity_type", "action_type"]'::jsonb, 'additionalProperties', false,
                'if', '{"properties": {"action_type": {"const": "delete"}, "entity_type": {"type": "string"}}}'::jsonb,
                'then', '{"not": {"required": ["result"]}}'::jsonb, 'else', '{"required": ["result"]}'::jsonb);
        WHEN 'rest' THEN
            body := payload;
        WHEN 'standard' THEN
            body := jsonb_build_object('type', 'object',
                'properties', jsonb_build_object('type', event, 'timestamp', moment, 'data', payload, 'previous', former),
                'required', '["type", "timestamp", "data"]'::jsonb, 'additionalProperties', false);
        WHEN 'cloudevents' THEN
            headers := jsonb_set(headers, '{properties,content-type}',
                '{"type": "string", "pattern": "^application/cloudevents(-batch)?\\+json$"}');
            body := jsonb_build_object('type', 'object', 'properties', jsonb_build_object(
                    'specversion', '{"const": "1.0"}'::jsonb, 'id', id, 'source', source, 'type', event, 'subject', subject,
                    'time', moment, 'datacontenttype', '{"const": "application/json"}'::jsonb, 'data', payload,
                    'previous', former) || extensions,
                'required', '["specversion", "id", "source", "type", "time", "datacontenttype", "data"]'::jsonb,
                'additionalProperties', false);
        WHEN 'cloudevents-binary' THEN
            headers := jsonb_set(headers, '{properties}', (headers -> 'properties') || jsonb_build_object(
                'ce-specversion', '{"const": "1.0"}'::jsonb, 'ce-id', id, 'ce-source', source, 'ce-type', event,
                'ce-subject', subject || '{"description": "the id of the entity, percent-encoded; absent if there is none"}',
                'ce-time', moment));
            headers := jsonb_set(headers, '{required}', (headers -> 'required')
                || '["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time"]');
            body := payload;
        WHEN 'thin' THEN
            body := jsonb_build_object('type', 'object', 'properties', jsonb_build_object(
                    'id', id, 'type', event, 'timestamp', moment, 'entity_type', '{"type": ["string", "null"]}'::jsonb,
                    'entity_id', '{"type": ["integer", "string", "null"], "description": "a number if the key is of an integer type"}'::jsonb,
                    'event_uid', '{"type": ["string", "null"], "description": "the UID of the event that it belongs to"}'::jsonb),
                'required', '["id", "type", "timestamp", "entity_type", "entity_id", "event_uid"]'::jsonb, 'additionalProperties', false);
        ELSE
            RAISE EXCEPTION 'invalid value for argument "format": unknown format'
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Allowed formats are entity, rest, standard, cloudevents, cloudevents-binary and thin.';
    END CASE;
    definitions := jsonb_build_object('headers', headers);
    IF format IN ('entity', 'standard', 'cloudevents', 'thin') THEN
        definitions := definitions || jsonb_build_object('batch', jsonb_build_object('type', 'array', 'minItems', 1,
            'description', 'the body with batch_size, in the order of the log; drop those whose id you have seen',
            'items', body || jsonb_build_object('properties', (body -> 'properties') || jsonb_build_object('id', id),
                'required', CASE WHEN (body -> 'required') ? 'id' THEN body -> 'required' ELSE '["id"]' || (body -> 'required') END)));
    END IF;
    RETURN jsonb_build_object('$schema', 'https://json-schema.org/draft/2020-12/schema',
            'title', 'body of a webhook in the format ' || format,
            '$comment', 'a GET request has no body; $defs/headers describes the request headers, their names in lower case, $defs/batch batches',
            '$defs', definitions) || body;
END
$$;
COMMENT ON FUNCTION webhook.describe_format(text) IS 'the JSON Schema (draft 2020-12) of request bodies in this format';
