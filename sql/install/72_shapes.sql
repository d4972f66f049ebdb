-- What an integration makes of payloads: src/shape_api.c.

CREATE FUNCTION webhook.set_field_mapping(mapping jsonb, integration text DEFAULT NULL, profile text DEFAULT NULL,
    event_uid text DEFAULT NULL, entity_type text DEFAULT 'guest') RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_set_field_mapping';
COMMENT ON FUNCTION webhook.set_field_mapping(jsonb, text, text, text, text)
    IS 'sets which fields of an entity type are sent under which names, for an integration, a profile or an event; NULL removes it';

CREATE FUNCTION webhook.set_payload_template(integration text, entity_type text, template jsonb) RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_set_payload_template';
COMMENT ON FUNCTION webhook.set_payload_template(text, text, jsonb)
    IS 'sets the structure in which an entity is sent instead of a mapping; NULL removes it';

CREATE FUNCTION webhook.set_form(integration text, entity_type text, fields jsonb) RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_set_form';
COMMENT ON FUNCTION webhook.set_form(text, text, jsonb)
    IS 'fixes the fields of an entity, with their types and defaults; NULL removes it';

CREATE FUNCTION webhook.check_form(integration text, entity_type text)
RETURNS TABLE (field text, type text, problem text)
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_check_form';
COMMENT ON FUNCTION webhook.check_form(text, text) IS 'lists where the watched tables do not fit the form';

CREATE FUNCTION webhook.configure_form(integration text, entity_type text) RETURNS integer
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_configure_form';
COMMENT ON FUNCTION webhook.configure_form(text, text)
    IS 'adds the columns of the form that the watched tables lack, as the caller; returns how many';
