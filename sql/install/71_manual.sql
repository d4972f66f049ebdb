-- Manual triggers: src/manual.c.

CREATE FUNCTION webhook.fire_webhook(id bigint, entity_id text) RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_fire_webhook';
COMMENT ON FUNCTION webhook.fire_webhook(bigint, text)
    IS 'the manual trigger: sends an entity, as it is now, to one webhook; returns the message id';

CREATE FUNCTION webhook.get_manual_actions(entity_type text, event_uid text DEFAULT NULL)
RETURNS TABLE (webhook_id bigint, label text, app text)
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_get_manual_actions';
COMMENT ON FUNCTION webhook.get_manual_actions(text, text)
    IS 'the actions that an application offers for an entity, all of them or those for one event; fire_webhook() runs one';
