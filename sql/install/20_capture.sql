-- Sources of messages: watched tables and application events.

CREATE FUNCTION webhook.capture() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_capture';
COMMENT ON FUNCTION webhook.capture() IS 'row trigger that watch() puts on a table';

CREATE FUNCTION webhook.watch(relation regclass, entity_type text,
    id text DEFAULT NULL, event_uid text DEFAULT NULL, profile text DEFAULT NULL, paid text DEFAULT NULL,
    deleted text DEFAULT NULL, columns text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
    payload webhook.function_name DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'webhook_watch';
COMMENT ON FUNCTION webhook.watch(regclass, text, text, text, text, text, text, text[], text[], webhook.function_name) IS
    'have every change of a table captured as <entity_type>.create, .update and .delete; calling it again changes the settings';

CREATE FUNCTION webhook.unwatch(relation regclass) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'webhook_unwatch';
COMMENT ON FUNCTION webhook.unwatch(regclass) IS 'stop capturing a table; true if it was watched';

CREATE FUNCTION webhook.emit(event text, payload jsonb, entity_id text DEFAULT NULL, event_uid text DEFAULT NULL,
    profile text DEFAULT NULL) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'webhook_emit';
COMMENT ON FUNCTION webhook.emit(text, jsonb, text, text, text) IS
    'send an application event when this transaction commits; returns the message id';

CREATE FUNCTION webhook.notify_payment(entity_type text, entity_id text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'webhook_notify_payment';
COMMENT ON FUNCTION webhook.notify_payment(text, text) IS
    'says that the payment of an entity has changed in another table; false if there is no such entity';

CREATE FUNCTION webhook.config_changed() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_config_changed';
COMMENT ON FUNCTION webhook.config_changed() IS 'statement trigger: every process reads the configuration again';

CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON webhook.webhook
    FOR EACH STATEMENT EXECUTE FUNCTION webhook.config_changed();
ALTER TABLE webhook.webhook ENABLE ALWAYS TRIGGER config_changed;
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON webhook.watch
    FOR EACH STATEMENT EXECUTE FUNCTION webhook.config_changed();
ALTER TABLE webhook.watch ENABLE ALWAYS TRIGGER config_changed;

-- The attribute numbers of the columns that the settings of a table refer to and, with key '', of its primary key if that
-- is the id: to detect that columns are renamed or that the key is replaced.
CREATE FUNCTION webhook.watched_numbers(relation regclass, id text, columns text[], exclude text[]) RETURNS jsonb
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT coalesce(jsonb_object_agg(a.attname, a.attnum), '{}') FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
              AND (a.attname = ANY ($3) OR a.attname = ANY ($4)))
        || CASE WHEN $2 IS NULL THEN (
               SELECT jsonb_build_object('', jsonb_object_agg(a.attname, a.attnum))
               FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid
                AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
               WHERE i.indrelid = $1 AND i.indisprimary) ELSE '{}' END;
$$;
COMMENT ON FUNCTION webhook.watched_numbers(regclass, text, text[], text[]) IS 'attribute numbers of columns that the settings of a table refer to';
