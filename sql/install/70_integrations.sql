-- Integrations, the profiles and events they are used for, and how they shape payloads.

CREATE TABLE webhook.integration (
    name               text PRIMARY KEY,
    owner              regrole NOT NULL,
    description        text,
    api_key_id         text NOT NULL UNIQUE,
    api_key_hash       bytea NOT NULL,
    api_key_created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    age_reported_at    timestamptz,
    created_at         timestamptz NOT NULL DEFAULT pg_catalog.now(),
    previous_api_key_id    text,
    previous_api_key_hash  bytea,
    previous_api_key_until timestamptz,
    managed_by             text
);
COMMENT ON TABLE webhook.integration IS 'the integrations; only hashes of their API keys are stored';

ALTER TABLE webhook.webhook ADD CONSTRAINT webhook_integration_fkey
    FOREIGN KEY (integration) REFERENCES webhook.integration ON UPDATE CASCADE;
CREATE INDEX webhook_integration_idx ON webhook.webhook (integration);

CREATE TABLE webhook.integration_profile (
    integration text NOT NULL REFERENCES webhook.integration ON UPDATE CASCADE ON DELETE CASCADE,
    profile     text NOT NULL,
    api_access  boolean NOT NULL,
    PRIMARY KEY (integration, profile)
);
COMMENT ON TABLE webhook.integration_profile IS 'the profiles that are connected to an integration';

-- The primary key permits only one active integration per profile.
CREATE TABLE webhook.active_integration (
    profile     text PRIMARY KEY,
    integration text NOT NULL,
    FOREIGN KEY (integration, profile) REFERENCES webhook.integration_profile ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE webhook.active_integration IS 'the integration whose webhooks fire for a profile';

CREATE TABLE webhook.event_override (
    event_uid       text PRIMARY KEY,
    integration     text REFERENCES webhook.integration ON UPDATE CASCADE ON DELETE CASCADE,
    send_on_payment boolean NOT NULL,
    only_paid       boolean NOT NULL,
    owner           regrole NOT NULL,
    managed_by      text
);
COMMENT ON TABLE webhook.event_override IS 'events that do not use the integration of their profile';

-- For tables whose payment is an expression, see src/capture/payment.c.
CREATE TABLE webhook.paid_entity (
    entity_type text NOT NULL,
    entity_id   text NOT NULL,
    event_uid   text NOT NULL,
    PRIMARY KEY (entity_type, entity_id)
);
COMMENT ON TABLE webhook.paid_entity IS 'paid entities of events with only_paid, which receivers have been sent';

-- The target is '' for an account's mapping, else a profile, an event UID or an entity type.
CREATE TABLE webhook.shape (
    integration text REFERENCES webhook.integration ON UPDATE CASCADE ON DELETE CASCADE,
    kind        text NOT NULL CHECK (kind IN ('account', 'profile', 'event', 'template', 'form')),
    target      text NOT NULL CHECK ((target = '') = (kind = 'account')),
    value       jsonb NOT NULL,
    owner       regrole NOT NULL,
    managed_by  text,       -- without an integration, else that is managed
    CHECK (integration IS NOT NULL OR kind IN ('profile', 'event'))
);
CREATE UNIQUE INDEX shape_idx ON webhook.shape (COALESCE(integration, ''), kind, target);
ALTER TABLE webhook.shape REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.shape IS 'field mappings of an account, profile or event, payload templates and forms';

-- As in 10_tables.sql, dumps do not contain what belongs to dropped roles.
DO $$
DECLARE
    owned      text := 'EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = owner)';
    integrated text := 'EXISTS (SELECT FROM webhook.integration AS i JOIN pg_catalog.pg_roles AS r ON r.oid = i.owner'
                       ' WHERE i.name = integration)';
BEGIN
    PERFORM pg_catalog.pg_extension_config_dump('webhook.integration', pg_catalog.concat('WHERE ', owned));
    PERFORM pg_catalog.pg_extension_config_dump('webhook.integration_profile', pg_catalog.concat('WHERE ', integrated));
    PERFORM pg_catalog.pg_extension_config_dump('webhook.active_integration', pg_catalog.concat('WHERE ', integrated));
    integrated := pg_catalog.concat('WHERE ', owned, ' AND (integration IS NULL OR ', integrated, ')');
    PERFORM pg_catalog.pg_extension_config_dump('webhook.event_override', integrated);
    PERFORM pg_catalog.pg_extension_config_dump('webhook.paid_entity', '');
    PERFORM pg_catalog.pg_extension_config_dump('webhook.shape', integrated);
END
$$;

CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON webhook.active_integration
    FOR EACH STATEMENT EXECUTE FUNCTION webhook.config_changed();
ALTER TABLE webhook.active_integration ENABLE ALWAYS TRIGGER config_changed;
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON webhook.event_override
    FOR EACH STATEMENT EXECUTE FUNCTION webhook.config_changed();
ALTER TABLE webhook.event_override ENABLE ALWAYS TRIGGER config_changed;
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON webhook.shape
    FOR EACH STATEMENT EXECUTE FUNCTION webhook.config_changed();
ALTER TABLE webhook.shape ENABLE ALWAYS TRIGGER config_changed;

-- Functions to manage them, see src/api/integration.c.

CREATE FUNCTION webhook.create_integration(name text, description text DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_create_integration';
COMMENT ON FUNCTION webhook.create_integration(text, text)
    IS 'creates an integration that belongs to the current role; returns its API key, which is not shown again';

CREATE FUNCTION webhook.rotate_api_key(integration text, grace interval DEFAULT '0') RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_rotate_api_key';
COMMENT ON FUNCTION webhook.rotate_api_key(text, interval)
    IS 'replaces the API key of an integration; returns the new one, which is not shown again; the old one works until the grace period is over';

CREATE FUNCTION webhook.delete_integration(name text) RETURNS boolean
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_delete_integration';
COMMENT ON FUNCTION webhook.delete_integration(text)
    IS 'deletes an integration with its webhooks and everything that belongs to it; true if it existed';

CREATE FUNCTION webhook.connect_profile(integration text, profile text, api_access boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_connect_profile';
COMMENT ON FUNCTION webhook.connect_profile(text, text, boolean)
    IS 'connects a profile to an integration, or changes whether the API shows its data';

CREATE FUNCTION webhook.disconnect_profile(integration text, profile text) RETURNS boolean
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_disconnect_profile';
COMMENT ON FUNCTION webhook.disconnect_profile(text, text)
    IS 'disconnects a profile from an integration, even if that is active for it; true if it was connected';

CREATE FUNCTION webhook.activate_integration(profile text, integration text) RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_activate_integration';
COMMENT ON FUNCTION webhook.activate_integration(text, text)
    IS 'makes an integration the active one of a profile: its webhooks are sent the changes';

CREATE FUNCTION webhook.deactivate_integration(profile text) RETURNS boolean
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_deactivate_integration';
COMMENT ON FUNCTION webhook.deactivate_integration(text) IS 'leaves a profile without active integration; true if it had one';

CREATE FUNCTION webhook.override_event(event_uid text, integration text DEFAULT NULL,
    send_on_payment boolean DEFAULT false, only_paid boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_override_event';
COMMENT ON FUNCTION webhook.override_event(text, text, boolean, boolean)
    IS 'sets the integration of an event, or none, in place of that of its profile, and what payment means for its webhooks';

CREATE FUNCTION webhook.clear_event_override(event_uid text) RETURNS boolean
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_clear_event_override';
COMMENT ON FUNCTION webhook.clear_event_override(text) IS 'removes an override, so that the event uses the integration of its profile; true if there was one';

CREATE FUNCTION webhook.get_integrations()
RETURNS TABLE (
    name               text,
    description        text,
    owner              regrole,
    profiles           text[],
    api_profiles       text[],
    active_profiles    text[],
    override_events    text[],
    webhooks           bigint,
    api_key_created_at timestamptz,
    api_key_age        interval,
    api_key_too_old    boolean,
    created_at         timestamptz
)
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_get_integrations';
COMMENT ON FUNCTION webhook.get_integrations()
    IS 'lists the integrations of the current role, with the age of their API keys; a row without a name has events without integration';

-- For get_integrations().  A row without a name has the role's events without an integration.
CREATE FUNCTION webhook.integrations_for(role oid, max_key_age integer)
RETURNS TABLE (
    name               text,
    description        text,
    owner              regrole,
    profiles           text[],
    api_profiles       text[],
    active_profiles    text[],
    override_events    text[],
    webhooks           bigint,
    api_key_created_at timestamptz,
    api_key_age        interval,
    api_key_too_old    boolean,
    created_at         timestamptz
)
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.name, i.description, i.owner,
           ARRAY(SELECT p.profile FROM webhook.integration_profile AS p WHERE p.integration = i.name ORDER BY 1),
           ARRAY(SELECT p.profile FROM webhook.integration_profile AS p WHERE p.integration = i.name AND p.api_access ORDER BY 1),
           ARRAY(SELECT a.profile FROM webhook.active_integration AS a WHERE a.integration = i.name ORDER BY 1),
           ARRAY(SELECT o.event_uid FROM webhook.event_override AS o WHERE o.integration = i.name ORDER BY 1),
           (SELECT count(*) FROM webhook.webhook AS w WHERE w.integration = i.name),
           i.api_key_created_at, now() - i.api_key_created_at,
           $2 > 0 AND i.api_key_created_at < now() - make_interval(secs => $2), i.created_at
    FROM webhook.integration AS i WHERE pg_has_role($1, i.owner::oid, 'USAGE')
    UNION ALL
    SELECT NULL, NULL, o.owner, '{}', '{}', '{}', array_agg(o.event_uid ORDER BY o.event_uid), 0, NULL, NULL, NULL, NULL
    FROM webhook.event_override AS o
    WHERE o.integration IS NULL AND pg_has_role($1, o.owner::oid, 'USAGE') GROUP BY o.owner
    ORDER BY 1, 3;
$$;
COMMENT ON FUNCTION webhook.integrations_for(oid, integer) IS 'the integrations that a role may manage';

-- For the worker.  Each key is reported once.
CREATE FUNCTION webhook.note_key_ages(max_age integer) RETURNS void
    LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH old AS (
        UPDATE webhook.integration SET age_reported_at = now()
        WHERE age_reported_at IS NULL AND api_key_created_at < now() - make_interval(secs => $1)
        RETURNING name, api_key_created_at::date AS created),
    noted AS (
        INSERT INTO webhook.notification (kind, message)
        SELECT 'api_key_age', format('The API key of integration "%s" is from %s and should be replaced with webhook.rotate_api_key().',
                                     o.name, o.created)
        FROM old AS o RETURNING id, kind, message)
    SELECT pg_notify('webhook', json_build_object('id', n.id, 'kind', n.kind, 'message', n.message)::text) FROM noted AS n;
$$;
COMMENT ON FUNCTION webhook.note_key_ages(integer) IS 'reports API keys that are older than this many seconds';
