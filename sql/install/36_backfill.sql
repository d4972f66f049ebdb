-- Backfill: what a watched table contains, for one webhook.  See src/send/backfill.c.  A replay, of what the history contains
-- (45_replay.sql), is a job as well, one without a table.

CREATE TABLE webhook.backfill (
    job            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id     bigint NOT NULL,
    relation       regclass,                -- null: a replay
    role           regrole NOT NULL,        -- which called backfill(): the condition is evaluated with its privileges
    condition      text,
    search_path    text NOT NULL,           -- for the condition
    rate           integer,                 -- rows per second
    phase          text NOT NULL,
    position       text[],                  -- key of the last row; null: before the first
    discarded      pg_snapshot,             -- of the webhook, when the walk began: if that changes, messages have been dropped
    rows_estimated bigint NOT NULL,
    rows_sent      bigint NOT NULL DEFAULT 0,
    started_at     timestamptz NOT NULL,
    finished_at    timestamptz,
    last_error     text,
    since          timestamptz,             -- of a replay, as all that follows: what is repeated
    until          timestamptz,
    event          text,
    entity_id      text,
    snapshot       pg_snapshot,             -- what is visible in this is repeated; it goes to the history first
    epoch          bigint,                  -- drawn with it: what is not visible in it has this epoch, or a greater one, in the history
    replayed_to    bigint,                  -- messages with ids up to this one are finished, or stored in webhook.delivery
    last_id        bigint,                  -- the id of the last message; null: it is not known
    CHECK (relation IS NOT NULL OR since IS NOT NULL)
);
COMMENT ON TABLE webhook.backfill IS 'the jobs that backfill() and replay() have made, and how far they are';
CREATE INDEX backfill_webhook_id_idx ON webhook.backfill (webhook_id);
CREATE TRIGGER config_changed AFTER INSERT ON webhook.backfill
    FOR EACH STATEMENT EXECUTE FUNCTION webhook.config_changed();
ALTER TABLE webhook.backfill ENABLE ALWAYS TRIGGER config_changed;
SELECT pg_catalog.pg_extension_config_dump('webhook.backfill',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relation) AND EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = role)');
SELECT pg_catalog.pg_extension_config_dump('webhook.backfill_job_seq', '');

CREATE FUNCTION webhook.backfill(webhook_id bigint, relation regclass, condition text DEFAULT NULL, rate integer DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_backfill';
COMMENT ON FUNCTION webhook.backfill(bigint, regclass, text, integer) IS
    'sends the rows of a watched table to one webhook, all or those that meet an SQL condition, at most so many a second; returns the job, see stat_progress_backfill';

CREATE FUNCTION webhook.cancel_backfill(job bigint) RETURNS boolean
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_cancel_backfill';
COMMENT ON FUNCTION webhook.cancel_backfill(bigint) IS 'ends a backfill or a replay; false if it has ended already';

CREATE VIEW webhook.stat_progress_backfill AS
    SELECT b.job, b.webhook_id, b.relation,
           CASE WHEN b.finished_at IS NULL AND NOT w.active THEN 'paused' ELSE b.phase END AS phase,
           b.rows_estimated, b.rows_sent, b.started_at, b.finished_at,
           -- Errors may quote rows that this role may read, and others not.
           CASE WHEN b.last_error IS NULL OR pg_catalog.pg_has_role(b.role::oid, 'USAGE') THEN b.last_error
                ELSE '<insufficient privilege>' END AS last_error
    FROM webhook.backfill AS b JOIN webhook.webhook AS w ON w.id = b.webhook_id;
COMMENT ON VIEW webhook.stat_progress_backfill IS 'per backfill and replay: how far it is';
COMMENT ON COLUMN webhook.stat_progress_backfill.job IS 'what backfill() returned; for cancel_backfill()';
COMMENT ON COLUMN webhook.stat_progress_backfill.webhook_id IS 'the webhook that the rows are sent to';
COMMENT ON COLUMN webhook.stat_progress_backfill.relation IS 'the table; null: it is a replay of the history';
COMMENT ON COLUMN webhook.stat_progress_backfill.phase IS
    'initializing, sending rows, waiting for process, lock or backlog, paused; at last finished, cancelled or failed';
COMMENT ON COLUMN webhook.stat_progress_backfill.rows_estimated IS 'rows that meet the condition, as the planner estimated at the beginning; of a replay, what that returned';
COMMENT ON COLUMN webhook.stat_progress_backfill.rows_sent IS 'rows of which there is a message, fewer are delivered as long as there is a backlog; of a replay, messages that are delivered, or stored because they must be retried';
COMMENT ON COLUMN webhook.stat_progress_backfill.started_at IS 'when backfill() or replay() was called';
COMMENT ON COLUMN webhook.stat_progress_backfill.finished_at IS 'when it finished, failed or was cancelled; null until then';
COMMENT ON COLUMN webhook.stat_progress_backfill.last_error IS 'why it failed, or why the last step must be repeated; for the role that called backfill() or replay()';

-- For the process that carries them out.
CREATE VIEW webhook.backfill_to_do AS
    SELECT b.job, b.webhook_id, b.relation::oid AS relation, b.role::oid AS role, b.condition, b.search_path, b.rate, b.phase, b.position,
           b.rows_sent, w.integration IS NOT NULL AS integrated, w.batch_size, w.discarded, b.discarded::text IS DISTINCT FROM w.discarded::text AS dropped, w.xmin AS webhook_xmin
    FROM webhook.backfill AS b JOIN webhook.webhook AS w ON w.id = b.webhook_id
    WHERE b.relation IS NOT NULL AND b.finished_at IS NULL AND w.active;
COMMENT ON VIEW webhook.backfill_to_do IS 'backfills that have not ended, of active webhooks';

-- The key by which a table is read: if its ids are a column with a unique index, that, else the primary key, else another unique
-- index whose columns cannot be null.  No row if there is none.
CREATE FUNCTION webhook.backfill_key(relation oid) RETURNS TABLE (columns text[], types text[], schemas text)
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(quote_ident(a.attname) ORDER BY k.n), array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY k.n),
           (SELECT string_agg(DISTINCT quote_ident(s.nspname), ', ')
            FROM unnest(i.indclass) AS c (oid) JOIN pg_catalog.pg_opclass AS o ON o.oid = c.oid
                 JOIN pg_catalog.pg_amop AS m ON m.amopfamily = o.opcfamily AND m.amoplefttype = o.opcintype AND m.amoprighttype = o.opcintype
                 JOIN pg_catalog.pg_operator AS p ON p.oid = m.amopopr JOIN pg_catalog.pg_namespace AS s ON s.oid = p.oprnamespace
            WHERE s.nspname <> 'pg_catalog')
    FROM (SELECT i.indrelid, i.indkey, i.indnkeyatts, i.indclass
          FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
               LEFT JOIN webhook.watch AS w ON w.relation = i.indrelid
          WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree'
            AND NOT EXISTS (SELECT FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
                            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                            JOIN pg_catalog.pg_opclass AS o ON o.oid = i.indclass[k.n - 1]
                            WHERE k.n <= i.indnkeyatts
                              AND (NOT a.attnotnull OR NOT o.opcdefault OR a.attcollation <> i.indcollation[k.n - 1]))
          ORDER BY i.indnkeyatts = 1 AND w.id IS NOT DISTINCT FROM
                   (SELECT a.attname::text FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = i.indrelid AND a.attnum = i.indkey[0]) DESC,
                   i.indisprimary DESC, i.indexrelid
          LIMIT 1) AS i
    CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.n <= i.indnkeyatts
    GROUP BY i.indclass;
$$;
COMMENT ON FUNCTION webhook.backfill_key(oid) IS 'columns and types of the key by which a backfill reads a table, and the schemas of its operators';

-- The number of undelivered messages of a webhook, at most the second argument.
CREATE FUNCTION webhook.backfill_waiting(webhook_id bigint, maximum bigint) RETURNS bigint
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT count(*) FROM (SELECT FROM webhook.delivery AS d WHERE d.webhook_id = $1 AND d.state IN ('waiting', 'retrying') LIMIT $2) AS n;
$$;
COMMENT ON FUNCTION webhook.backfill_waiting(bigint, bigint) IS 'how many deliveries of a webhook are stored, up to a maximum';
