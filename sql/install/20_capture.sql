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

-- A watched table that has been renamed may have been replaced by the table that now has its name.
CREATE VIEW webhook.changed_table AS
    SELECT * FROM (
        SELECT k.relation, k.entity_type, COALESCE(k.name, k.relation::text) AS name, t.name AS new_name,
               CASE WHEN t.name IS NULL THEN 'dropped'
                    WHEN k.name = t.name THEN NULL
                    WHEN pg_catalog.to_regclass(k.name) IS NULL THEN 'renamed'
                    WHEN EXISTS (SELECT FROM pg_catalog.pg_class AS c
                                 WHERE c.oid = pg_catalog.to_regclass(k.name) AND c.relkind IN ('r', 'p')
                                   AND NOT EXISTS (SELECT FROM webhook.watch AS o WHERE o.relation = c.oid)) THEN 'replaced'
               END AS change
        FROM webhook.watch AS k LEFT JOIN (
            SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
            FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace) AS t ON t.oid = k.relation
        ) AS compared
    WHERE change IS NOT NULL;
COMMENT ON VIEW webhook.changed_table
    IS 'watched tables that have been dropped, renamed, or replaced by a table of the same name that is not watched';

-- For the worker.  Each change is reported once: the settings are deleted, or get the table's new name.  Those that a session is
-- about to change with watch() are left to it.
CREATE FUNCTION webhook.note_changed_tables() RETURNS void
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH found AS MATERIALIZED (
        SELECT c.* FROM webhook.watch AS k JOIN webhook.changed_table AS c ON c.relation = k.relation
        WHERE c.change IN ('dropped', 'replaced') FOR UPDATE OF k SKIP LOCKED),
    deleted AS (
        DELETE FROM webhook.watch AS k USING found AS f WHERE k.relation = f.relation AND f.change = 'dropped'),
    updated AS (
        UPDATE webhook.watch AS k SET name = f.new_name FROM found AS f WHERE k.relation = f.relation AND f.change = 'replaced'),
    noted AS (
        INSERT INTO webhook.notification (kind, message)
        SELECT 'watched_table', CASE f.change
            WHEN 'dropped' THEN format('table %s, watched as "%s", has been dropped; changes are no longer captured',
                                       f.name, f.entity_type)
            ELSE format('table %s, watched as "%s", is now %s; another table has its name and is not watched: '
                        'call webhook.watch() for it', f.name, f.entity_type, f.new_name) END
        FROM found AS f RETURNING id, kind, message)
    SELECT pg_notify('webhook', json_build_object('id', n.id, 'kind', n.kind, 'message', n.message)::text) FROM noted AS n;
$$;
COMMENT ON FUNCTION webhook.note_changed_tables() IS 'reports watched tables that have been dropped or replaced';
