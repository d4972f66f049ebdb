-- Manual triggers: src/manual.c.

CREATE FUNCTION webhook.fire_webhook(id bigint, entity_id text) RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_fire_webhook';
COMMENT ON FUNCTION webhook.fire_webhook(bigint, text)
    IS 'the manual trigger: sends an entity, as it is now, to one webhook; returns the message id';
