\echo Use "ALTER EXTENSION webhook UPDATE TO '0.2.0'" to load this file. \quit

-- Integrations: an old API key can be kept for some time, and what an integration was chosen for goes with it.

ALTER TABLE webhook.integration
    ADD COLUMN previous_api_key_id    text,
    ADD COLUMN previous_api_key_hash  bytea,
    ADD COLUMN previous_api_key_until timestamptz;

DROP FUNCTION webhook.rotate_api_key(text);
CREATE FUNCTION webhook.rotate_api_key(integration text, grace interval DEFAULT '0') RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_rotate_api_key';
COMMENT ON FUNCTION webhook.rotate_api_key(text, interval)
    IS 'replaces the API key of an integration; returns the new one, which is not shown again; the old one works until the grace period is over';
REVOKE ALL ON FUNCTION webhook.rotate_api_key FROM PUBLIC;

ALTER TABLE webhook.event_override DROP CONSTRAINT event_override_integration_fkey,
    ADD CONSTRAINT event_override_integration_fkey
    FOREIGN KEY (integration) REFERENCES webhook.integration ON UPDATE CASCADE ON DELETE CASCADE;
COMMENT ON FUNCTION webhook.get_integrations()
    IS 'lists the integrations of the current role, with the age of their API keys; under no name the events that were given none';

-- A field mapping belongs to an entity type.  Those that are there become those of guests.

UPDATE webhook.shape SET value = pg_catalog.jsonb_build_object('guest', value)
    WHERE kind IN ('account', 'profile', 'event') AND pg_catalog.jsonb_typeof(value) = 'array';

DROP FUNCTION webhook.set_field_mapping(jsonb, text, text, text);
CREATE FUNCTION webhook.set_field_mapping(mapping jsonb, integration text DEFAULT NULL, profile text DEFAULT NULL,
    event_uid text DEFAULT NULL, entity_type text DEFAULT 'guest') RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_set_field_mapping';
COMMENT ON FUNCTION webhook.set_field_mapping(jsonb, text, text, text, text)
    IS 'sets which fields of an entity type are sent under which names, for an integration, a profile or an event; NULL removes it';
REVOKE ALL ON FUNCTION webhook.set_field_mapping FROM PUBLIC;

-- Test calls with the record of any watched entity type.

DROP FUNCTION webhook.test_webhook(bigint, text);
CREATE FUNCTION webhook.test_webhook(id bigint, entity_id text DEFAULT NULL, entity_type text DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_test_webhook';
COMMENT ON FUNCTION webhook.test_webhook(bigint, text, text)
    IS 'sends one request with the record of this entity, or the newest one, of any watched entity type, even if the webhook is not active; returns the message id';
REVOKE ALL ON FUNCTION webhook.test_webhook FROM PUBLIC;

-- Why a worker has ended, and when the next one is started.  Who may see the workers may see this.

CREATE FUNCTION webhook.worker_failures(
    OUT database   oid,
    OUT restart_at timestamptz,
    OUT last_error text
) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_worker_failures';
COMMENT ON FUNCTION webhook.worker_failures() IS 'the databases whose worker has ended with an error, or is to be started again later';
REVOKE ALL ON FUNCTION webhook.worker_failures FROM PUBLIC;
DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END
        FROM pg_catalog.pg_proc AS p, LATERAL pg_catalog.aclexplode(p.proacl) AS a
        WHERE p.oid = 'webhook.worker_slots()'::pg_catalog.regprocedure AND a.grantee <> p.proowner
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION webhook.worker_failures TO %s', grantee);
    END LOOP;
END
$$;
CREATE OR REPLACE VIEW webhook.stat_workers AS
    SELECT d.datname AS database, s.pid, s.state, s.activity, s.in_flight, s.delivered, s.failed, f.restart_at, f.last_error
      FROM webhook.worker_slots() AS s
      LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.database
      LEFT JOIN webhook.worker_failures() AS f ON f.database = s.database;

-- The primary key that is the id is written down, to notice when it is another one.

UPDATE webhook.watch AS w SET numbers = COALESCE(w.numbers, '{}') || k.key
    FROM (SELECT i.indrelid, pg_catalog.jsonb_build_object('', pg_catalog.jsonb_object_agg(a.attname, a.attnum)) AS key
          FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS a
              ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
          WHERE i.indisprimary GROUP BY i.indrelid) AS k
    WHERE k.indrelid = w.relation AND w.id IS NULL;
