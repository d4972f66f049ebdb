-- What webhooks did by minutes and by hours.  Counts by outcome and by duration are bigint[]: src/api/activity_api.c.

CREATE FUNCTION webhook.counts_add(a bigint[], b bigint[]) RETURNS bigint[]
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_counts_add';
COMMENT ON FUNCTION webhook.counts_add(bigint[], bigint[]) IS 'adds the counts in two arrays; what is missing is 0';

CREATE FUNCTION webhook.counts_subtract(a bigint[], b bigint[]) RETURNS bigint[]
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_counts_subtract';
COMMENT ON FUNCTION webhook.counts_subtract(bigint[], bigint[]) IS 'subtracts the counts in an array from those in another one; what is missing is 0';

CREATE AGGREGATE webhook.counts_sum(bigint[]) (SFUNC = webhook.counts_add, STYPE = bigint[], COMBINEFUNC = webhook.counts_add, PARALLEL = SAFE);
COMMENT ON AGGREGATE webhook.counts_sum(bigint[]) IS 'adds the counts in arrays';

CREATE FUNCTION webhook.attempt_outcomes() RETURNS text[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_attempt_outcomes';
COMMENT ON FUNCTION webhook.attempt_outcomes() IS 'the outcomes of attempts in the order in which they are counted';

CREATE FUNCTION webhook.histogram_bounds() RETURNS double precision[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_histogram_bounds';
COMMENT ON FUNCTION webhook.histogram_bounds() IS 'the upper bounds of the buckets of all histograms, in seconds';

CREATE FUNCTION webhook.histogram_quantile(histogram bigint[], quantile double precision) RETURNS double precision
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_histogram_quantile';
COMMENT ON FUNCTION webhook.histogram_quantile(bigint[], double precision) IS
    'the duration, in seconds, below which this part of the values of a histogram lies; about right';

-- The counters of a webhook in the order of seq; the last ones are those of the webhook itself.  Without search_path, so that it
-- can be inlined.
CREATE FUNCTION webhook.activity_counters(id bigint, period text)
RETURNS TABLE (recorded_at timestamptz, seq bigint, delivered bigint, failed bigint, attempts bigint, dropped bigint,
               outcomes bigint[], durations bigint[], latencies bigint[], duration_us bigint, latency_us bigint)
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS $$
    SELECT m.recorded_at, m.seq, m.delivered, m.failed, m.attempts, m.dropped, m.outcomes, m.durations, m.latencies, m.duration_us, m.latency_us
    FROM (SELECT * FROM webhook.activity_minute UNION ALL SELECT * FROM webhook.activity_minute_1) AS m WHERE m.webhook_id = $1 AND $2 = 'minute'
    UNION ALL
    SELECT h.recorded_at, h.seq, h.delivered, h.failed, h.attempts, h.dropped, h.outcomes, h.durations, h.latencies, h.duration_us, h.latency_us
    FROM (SELECT * FROM webhook.activity_hour UNION ALL SELECT * FROM webhook.activity_hour_1) AS h WHERE h.webhook_id = $1 AND $2 = 'hour'
    UNION ALL
    (SELECT c.recorded_at, c.seq, c.delivered, c.failed, c.attempts, c.dropped, c.outcomes, c.durations, c.latencies, c.duration_us, c.latency_us
     FROM (SELECT * FROM webhook.health UNION ALL SELECT * FROM webhook.health_1) AS c
     WHERE c.webhook_id = $1 ORDER BY c.seq DESC LIMIT 1);
$$;
COMMENT ON FUNCTION webhook.activity_counters(bigint, text) IS
    'the counters of a webhook at the end of each minute or hour in which anything was done';

-- Rows are differences between the counters in successive rows; the first row of webhooks from before the history was introduced has no time.
CREATE FUNCTION webhook.activity(id bigint, period text)
RETURNS TABLE (since timestamptz, delivered bigint, failed bigint, attempts bigint, dropped bigint, outcomes bigint[],
               durations bigint[], latencies bigint[], duration_us bigint, latency_us bigint)
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 100
AS $$
    SELECT CASE WHEN $2 = 'minute' THEN d.recorded_at
                ELSE to_timestamp(floor(extract(epoch FROM d.recorded_at) / 3600) * 3600) END,
           d.delivered - coalesce(d.delivered_before, 0), d.failed - coalesce(d.failed_before, 0),
           d.attempts - coalesce(d.attempts_before, 0), d.dropped - coalesce(d.dropped_before, 0),
           webhook.counts_subtract(d.outcomes, d.outcomes_before),
           webhook.counts_subtract(d.durations, d.durations_before),
           webhook.counts_subtract(d.latencies, d.latencies_before),
           d.duration_us - coalesce(d.duration_us_before, 0), d.latency_us - coalesce(d.latency_us_before, 0)
    FROM (SELECT a.*, lag(a.delivered) OVER w AS delivered_before, lag(a.failed) OVER w AS failed_before,
                 lag(a.attempts) OVER w AS attempts_before, lag(a.dropped) OVER w AS dropped_before,
                 lag(a.outcomes) OVER w AS outcomes_before, lag(a.durations) OVER w AS durations_before,
                 lag(a.latencies) OVER w AS latencies_before, lag(a.duration_us) OVER w AS duration_us_before,
                 lag(a.latency_us) OVER w AS latency_us_before
          FROM webhook.activity_counters($1, $2) AS a
          WINDOW w AS (ORDER BY a.seq)) AS d
    WHERE d.recorded_at > now() - CASE WHEN $2 = 'minute' THEN interval '2 hours' ELSE interval '14 days' END
      AND (d.delivered, d.failed, d.attempts, d.dropped) IS DISTINCT FROM
          (coalesce(d.delivered_before, 0), coalesce(d.failed_before, 0), coalesce(d.attempts_before, 0), coalesce(d.dropped_before, 0))
    ORDER BY 1;
$$;
COMMENT ON FUNCTION webhook.activity(bigint, text) IS
    'what a webhook, or with id 0 all of them, did in each minute of the last two hours or in each hour of the last 14 days';

CREATE VIEW webhook.stat_webhooks_history AS
    SELECT w.id AS webhook_id, w.app, w.name, p.period, a.since, a.delivered, a.failed, a.attempts, a.dropped,
           (SELECT pg_catalog.jsonb_object_agg(o.name, o.n)
            FROM ROWS FROM (pg_catalog.unnest(webhook.attempt_outcomes()), pg_catalog.unnest(a.outcomes)) AS o (name, n) WHERE o.n > 0) AS outcomes,
           pg_catalog.make_interval(secs => webhook.histogram_quantile(a.durations, 0.5)) AS duration_p50,
           pg_catalog.make_interval(secs => webhook.histogram_quantile(a.durations, 0.9)) AS duration_p90,
           pg_catalog.make_interval(secs => webhook.histogram_quantile(a.durations, 0.99)) AS duration_p99,
           pg_catalog.make_interval(secs => webhook.histogram_quantile(a.latencies, 0.5)) AS latency_p50,
           pg_catalog.make_interval(secs => webhook.histogram_quantile(a.latencies, 0.9)) AS latency_p90,
           pg_catalog.make_interval(secs => webhook.histogram_quantile(a.latencies, 0.99)) AS latency_p99,
           a.durations, a.latencies
    FROM webhook.webhook AS w
    CROSS JOIN (VALUES ('minute'), ('hour')) AS p (period)
    CROSS JOIN LATERAL webhook.activity(w.id, p.period) AS a;
COMMENT ON VIEW webhook.stat_webhooks_history IS
    'per webhook: what was done in each minute of the last two hours, and each hour of the last 14 days, in which anything was';
