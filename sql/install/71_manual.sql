-- Manual triggers, see src/api/manual.c.

CREATE FUNCTION webhook.fire_webhook(id bigint, entity_id text) RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_fire_webhook';
COMMENT ON FUNCTION webhook.fire_webhook(bigint, text)
    IS 'sends an entity as it is now to one webhook, which must have a manual trigger; returns the message id';

CREATE FUNCTION webhook.get_manual_actions(entity_type text, event_uid text DEFAULT NULL)
RETURNS TABLE (webhook_id bigint, label text, app text)
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_get_manual_actions';
COMMENT ON FUNCTION webhook.get_manual_actions(text, text)
    IS 'lists the manual triggers for entities of a type, all or those for one event; fire_webhook() fires one';

-- For get_manual_actions(), with the integration that counts for the event.
CREATE FUNCTION webhook.manual_actions_for(entity_type text, event_uid text, integration text, role oid)
RETURNS TABLE (webhook_id bigint, label text, app text)
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.id, COALESCE(w.name, w.app), w.app FROM webhook.webhook AS w
    WHERE w.active AND w.events && ARRAY[$1 || '.manual', $1 || '.*']
      AND ($2 IS NULL OR ((w.uids IS NULL OR $2 = ANY (w.uids)) AND (w.integration IS NULL OR w.integration = $3)))
      AND pg_has_role($4, w.owner::oid, 'USAGE')
    ORDER BY 2, 1;
$$;
COMMENT ON FUNCTION webhook.manual_actions_for(text, text, text, oid) IS 'webhooks of a role that users can fire for an entity type';
