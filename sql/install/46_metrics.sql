-- What metrics() shows: src/api/metrics.c depends on the order of the columns.

CREATE FUNCTION webhook.metrics_label(name text, value text) RETURNS text
    LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
AS $$
    SELECT name || '="' || pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(coalesce(value, ''), E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n') || '"';
$$;
COMMENT ON FUNCTION webhook.metrics_label(text, text) IS 'a label in the text format of Prometheus';

-- The webhooks that a role may see, or all if it may read stat_webhooks.  There are no more than a thousand sets of labels: with
-- more webhooks one for each app, with more apps a single one.
CREATE FUNCTION webhook.metrics_webhooks(role oid)
RETURNS TABLE (labels text, webhooks bigint, active bigint, deactivated bigint, failing bigint, delivered bigint, failed bigint,
               dropped bigint, expired bigint, waiting bigint, retrying bigint, buffered bigint, oldest_age double precision,
               last_success double precision, last_failure double precision, outcomes bigint[], durations bigint[],
               latencies bigint[], duration_us bigint, latency_us bigint)
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH seen AS MATERIALIZED (
        SELECT t.*, w.deactivation_reason
        FROM webhook.stat_webhooks AS t
        CROSS JOIN LATERAL (SELECT h.owner, h.deactivation_reason FROM webhook.webhook AS h WHERE h.id = t.webhook_id OFFSET 0) AS w
        WHERE (SELECT has_table_privilege($1, 'webhook.stat_webhooks', 'SELECT')) OR pg_has_role($1, w.owner::oid, 'USAGE')),
    sets AS MATERIALIZED (SELECT count(*) AS webhooks, count(DISTINCT s.app) AS apps FROM seen AS s),
    labelled AS (
        SELECT s.*, CASE WHEN n.webhooks <= 1000 THEN 'webhook_id="' || s.webhook_id || '",' || webhook.metrics_label('app', s.app)
                                                      || CASE WHEN s.name <> '' THEN ',' || webhook.metrics_label('name', s.name) ELSE '' END
                         WHEN n.apps <= 1000 THEN webhook.metrics_label('app', s.app)
                         ELSE '' END AS labels
        FROM seen AS s CROSS JOIN sets AS n)
    SELECT l.labels, count(*), count(*) FILTER (WHERE l.active),
           count(*) FILTER (WHERE NOT l.active AND l.deactivation_reason <> 'manual'), count(l.next_probe_at) FILTER (WHERE l.active),
           sum(l.delivered)::bigint, sum(l.failed)::bigint, sum(l.dropped)::bigint, sum(l.expired)::bigint,
           sum(l.pending - l.retrying)::bigint, sum(l.retrying)::bigint, sum(l.buffered)::bigint,
           coalesce(max(extract(epoch FROM l.oldest_pending_age)), 0)::double precision,
           extract(epoch FROM max(l.last_success_at))::double precision, extract(epoch FROM max(l.last_failure_at))::double precision,
           webhook.counts_sum(l.outcomes), webhook.counts_sum(l.durations), webhook.counts_sum(l.latencies),
           coalesce(sum(l.duration_us), 0)::bigint, coalesce(sum(l.latency_us), 0)::bigint
    FROM labelled AS l
    GROUP BY l.labels ORDER BY min(l.webhook_id);
$$;
COMMENT ON FUNCTION webhook.metrics_webhooks(oid) IS 'what metrics() shows of webhooks';

-- Of all databases, for roles that may read stat_workers, else of this one, which is in the result even if nothing serves it.
CREATE FUNCTION webhook.metrics_workers(role oid)
RETURNS TABLE (labels text, up bigint, in_flight bigint, proxy_failing double precision, slots bigint, workers bigint)
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT webhook.metrics_label('database', d.database),
           coalesce(s.state IN ('served', 'resting') AND coalesce(s.activity, 'idle') IN ('idle', 'sending', 'leaving') AND s.last_error IS NULL, false)
               ::integer::bigint,
           coalesce(s.in_flight, 0)::bigint,
           coalesce(extract(epoch FROM clock_timestamp() - s.proxy_failing_since), 0)::double precision, n.slots, n.workers
    FROM (SELECT current_database() AS database UNION SELECT w.database FROM webhook.stat_workers AS w WHERE w.database IS NOT NULL) AS d
    LEFT JOIN webhook.stat_workers AS s ON s.database = d.database
    CROSS JOIN (SELECT count(*) AS slots, count(pid) AS workers FROM webhook.worker_slots()) AS n
    WHERE d.database = current_database() OR has_table_privilege($1, 'webhook.stat_workers', 'SELECT')
    ORDER BY d.database;
$$;
COMMENT ON FUNCTION webhook.metrics_workers(oid) IS 'what metrics() shows of background workers';

CREATE FUNCTION webhook.metrics_storage() RETURNS TABLE (part text, bytes bigint)
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.part, sum(pg_total_relation_size(c.oid))::bigint
    FROM (VALUES ('outbox', '^outbox_\d$'), ('delivery', '^delivery$'), ('log', '^log(_1)?$'),
                 ('counters', '^(health|activity_.*)$'), ('history', '^history')) AS p (part, pattern)
    JOIN pg_catalog.pg_class AS c ON c.relname ~ p.pattern AND c.relnamespace = 'webhook'::regnamespace AND c.relkind = 'r'
    GROUP BY p.part ORDER BY p.part;
$$;
COMMENT ON FUNCTION webhook.metrics_storage() IS 'what metrics() shows of the size of tables';

CREATE FUNCTION webhook.metrics() RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_metrics';
COMMENT ON FUNCTION webhook.metrics() IS
    'counters, histograms and state of the webhooks of the current role, or of all for a role that may read stat_webhooks, in the text format of Prometheus';
