-- What webhooks are not sent because of their owners' privileges, see src/send/withheld.c.

CREATE TABLE webhook.withheld (
    webhook_id bigint NOT NULL,
    relation   regclass NOT NULL,
    problem    text NOT NULL,
    columns    text[],             -- null: whole rows
    since      timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (webhook_id, relation)
);
COMMENT ON TABLE webhook.withheld IS
    'watched tables of which a webhook subscribes to rows but gets none, or not all columns, because its owner may not select them';

CREATE FUNCTION webhook.access_problem(role oid, relation regclass) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_access_problem';
COMMENT ON FUNCTION webhook.access_problem(oid, regclass) IS
    'why rows of a watched table are not sent to the webhooks of a role; empty if they are, null if the table is locked';

CREATE FUNCTION webhook.access_hidden(role oid, relation regclass) RETURNS text[]
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_access_hidden';
COMMENT ON FUNCTION webhook.access_hidden(oid, regclass) IS
    'the columns of a watched table that are omitted for the webhooks of a role that get its rows; null if there are none';

-- What is withheld from webhooks of this role with these events: watched tables that it may not select, and those of which it
-- may not select all columns.  problem is null for a table that is locked now.  A long list of columns must fit into a NOTIFY.
CREATE FUNCTION webhook.withheld_from(role regrole, events text[])
RETURNS TABLE (relation regclass, event_names text[], problem text, columns text[])
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.relation, k.event_names,
           CASE WHEN k.columns IS NULL THEN k.problem
                ELSE 'permission denied for column ' || left(array_to_string(k.columns, ', '), 500) END,
           k.columns
    FROM (SELECT w.relation, e.names AS event_names, webhook.access_problem($1, w.relation) AS problem,
                 webhook.access_hidden($1, w.relation) AS columns
          FROM webhook.watch AS w CROSS JOIN LATERAL (
               SELECT ARRAY[w.entity_type || '.*', w.entity_type || '.create', w.entity_type || '.update',
                            w.entity_type || '.delete']) AS e (names)
          WHERE $2 && ('*'::text || e.names) OFFSET 0) AS k
    WHERE k.problem IS DISTINCT FROM '' OR k.columns IS NOT NULL;
$$;
COMMENT ON FUNCTION webhook.withheld_from(regrole, text[]) IS 'the watched tables whose rows, or some columns, are not sent to webhooks of a role';

-- For create_webhook() and update_webhook().  A table that the webhook subscribes to only by the event * is not reported.
CREATE FUNCTION webhook.check_withheld(webhook_id bigint) RETURNS text
    LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM webhook.withheld AS h WHERE h.webhook_id = $1;
    WITH found AS MATERIALIZED (
        SELECT k.relation, k.problem, k.columns, w.events && k.event_names AS named
        FROM webhook.webhook AS w CROSS JOIN LATERAL webhook.withheld_from(w.owner, w.events) AS k
        WHERE w.id = $1 AND k.problem IS NOT NULL),
    stored AS (
        INSERT INTO webhook.withheld (webhook_id, relation, problem, columns)
        SELECT $1, f.relation, f.problem, f.columns FROM found AS f)
    SELECT min(f.problem) FROM found AS f WHERE f.named AND f.columns IS NULL;
$$;
COMMENT ON FUNCTION webhook.check_withheld(bigint)
    IS 'brings webhook.withheld up to date for a webhook; returns why its owner gets no rows of a table that its events name';

-- For the worker.  What is no longer withheld is not reported; what cannot be checked now stays as it is, and the result is true.
-- The bootstrap superuser (10) may see everything.  It is among the owners so that the worker looks at each watched table: only
-- then is it notified of the table's changes.
CREATE FUNCTION webhook.note_withheld() RETURNS boolean
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH owners AS (
        SELECT w.owner FROM webhook.webhook AS w WHERE w.active OR w.buffering UNION SELECT 10::oid::regrole),
    judged AS MATERIALIZED (
        SELECT o.owner, k.* FROM owners AS o CROSS JOIN LATERAL webhook.withheld_from(o.owner, '{*}') AS k),
    found AS MATERIALIZED (
        SELECT w.id, k.relation, k.problem, k.columns,
               h.webhook_id IS NULL OR CASE WHEN k.columns IS NULL THEN h.columns IS NOT NULL OR h.problem <> k.problem
                                            ELSE NOT k.columns <@ h.columns END AS is_new
        FROM judged AS k JOIN webhook.webhook AS w ON w.owner = k.owner
             LEFT JOIN webhook.withheld AS h ON h.webhook_id = w.id AND h.relation = k.relation
        WHERE k.problem IS NOT NULL AND (w.active OR w.buffering) AND w.events && ('*'::text || k.event_names)),
    deleted AS (
        DELETE FROM webhook.withheld AS h
        WHERE NOT EXISTS (SELECT FROM found AS f WHERE f.id = h.webhook_id AND f.relation = h.relation)
          AND NOT EXISTS (SELECT FROM judged AS j WHERE j.relation = h.relation AND j.problem IS NULL)),
    stored AS (
        INSERT INTO webhook.withheld AS h (webhook_id, relation, problem, columns)
        SELECT f.id, f.relation, f.problem, f.columns FROM found AS f
        ON CONFLICT (webhook_id, relation) DO UPDATE
           SET problem = excluded.problem, columns = excluded.columns, since = now()
         WHERE (h.problem, h.columns) IS DISTINCT FROM (excluded.problem, excluded.columns)),
    noted AS (
        INSERT INTO webhook.notification (webhook_id, kind, message)
        SELECT f.id, 'withheld', format('%s of %s are no longer sent: %s',
                                        CASE WHEN f.columns IS NULL THEN 'rows' ELSE 'columns' END, f.relation, f.problem)
        FROM found AS f WHERE f.is_new RETURNING id, webhook_id, kind, message),
    sent AS (
        SELECT count(pg_notify('webhook', json_build_object('id', n.id, 'webhook_id', n.webhook_id, 'kind', n.kind,
                                                            'message', n.message)::text)) FROM noted AS n)
    SELECT EXISTS (SELECT FROM judged AS j WHERE j.problem IS NULL) FROM sent;
$$;
COMMENT ON FUNCTION webhook.note_withheld()
    IS 'brings webhook.withheld up to date and reports what is new in it; true: some tables are locked';
