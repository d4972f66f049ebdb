-- Monitoring.

-- Messages that the worker has not processed, according to the newest position; see src/log/unread.c.  In the target list of a
-- query they are read as they are needed.
CREATE FUNCTION webhook.outbox_unread() RETURNS TABLE (id bigint, message_id uuid, event text, entity_id json,
    webhook_ids bigint[], created_at timestamptz, xid xid8)
    LANGUAGE c STABLE PARALLEL SAFE ROWS 100
    AS 'MODULE_PATHNAME', 'webhook_outbox_unread';
COMMENT ON FUNCTION webhook.outbox_unread() IS 'the messages in the outbox that have not been processed';

-- How many of them there are for each webhook, without those that are in the delivery table as well: src/log/backlog.c.
CREATE FUNCTION webhook.outbox_backlog(
    exact          boolean,
    OUT webhook_id bigint,
    OUT messages   bigint,
    OUT oldest     timestamptz,
    OUT estimated  boolean
) RETURNS SETOF record
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_outbox_backlog';
COMMENT ON FUNCTION webhook.outbox_backlog(boolean) IS
    'how many messages in the outbox have not been processed, for each webhook that there are any for; exact or, if there are many, estimated';

-- The same including stored rows, in constant time however many are pending.  A large delivery table is sampled, and for each
-- webhook rows are counted by the index, up to its share of 10,000 for all of them.
CREATE FUNCTION webhook.backlog_estimate() RETURNS TABLE (webhook_id bigint, unread bigint, waiting bigint, retrying bigint,
    oldest timestamptz, estimated boolean, failed bigint)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
    SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    blocks  bigint := pg_relation_size('webhook.delivery') / current_setting('block_size')::bigint;
    maximum bigint;
BEGIN
    IF blocks <= 1000 THEN
        RETURN QUERY
            SELECT coalesce(d.webhook_id, u.webhook_id), coalesce(u.messages, 0), coalesce(d.waiting, 0), coalesce(d.retrying, 0),
                   least(u.oldest, d.oldest), coalesce(u.estimated, false), coalesce(d.failed, 0)
            FROM (SELECT s.webhook_id, count(*) FILTER (WHERE s.state = 'waiting') AS waiting,
                         count(*) FILTER (WHERE s.state = 'retrying') AS retrying,
                         min(s.created_at) FILTER (WHERE s.state <> 'failed') AS oldest,
                         count(*) FILTER (WHERE s.state = 'failed') AS failed
                  FROM webhook.delivery AS s GROUP BY s.webhook_id) AS d
            FULL JOIN webhook.outbox_backlog(false) AS u ON u.webhook_id = d.webhook_id;
        RETURN;
    END IF;
    maximum := greatest(20, 10000 / greatest(1, (SELECT count(*) FROM webhook.webhook)));
    RETURN QUERY
        SELECT w.id, coalesce(u.messages, 0),
               CASE WHEN c.waiting < maximum THEN c.waiting ELSE greatest(c.waiting, (s.waiting * blocks / 200.0)::bigint) END,
               CASE WHEN c.retrying < maximum THEN c.retrying ELSE greatest(c.retrying, (s.retrying * blocks / 200.0)::bigint) END,
               least(u.oldest, c.oldest),
               coalesce(u.estimated, false) OR c.waiting >= maximum OR c.retrying >= maximum OR c.failed >= maximum,
               CASE WHEN c.failed < maximum THEN c.failed ELSE greatest(c.failed, (s.failed * blocks / 200.0)::bigint) END
        FROM webhook.webhook AS w
        CROSS JOIN LATERAL (
            SELECT (SELECT count(*) FROM (SELECT FROM webhook.delivery AS d WHERE d.webhook_id = w.id AND d.state = 'waiting'
                                          LIMIT maximum) AS n) AS waiting,
                   (SELECT count(*) FROM (SELECT FROM webhook.delivery AS d WHERE d.webhook_id = w.id AND d.state = 'retrying'
                                          LIMIT maximum) AS n) AS retrying,
                   (SELECT count(*) FROM (SELECT FROM webhook.delivery AS d WHERE d.webhook_id = w.id AND d.state = 'failed'
                                          LIMIT maximum) AS n) AS failed,
                   least((SELECT d.created_at FROM webhook.delivery AS d WHERE d.webhook_id = w.id AND d.state = 'waiting'
                          ORDER BY d.id LIMIT 1),
                         (SELECT d.created_at FROM webhook.delivery AS d WHERE d.webhook_id = w.id AND d.state = 'retrying'
                          ORDER BY d.id LIMIT 1)) AS oldest) AS c
        LEFT JOIN (SELECT d.webhook_id, count(*) FILTER (WHERE d.state = 'waiting') AS waiting,
                          count(*) FILTER (WHERE d.state = 'retrying') AS retrying,
                          count(*) FILTER (WHERE d.state = 'failed') AS failed
                   FROM webhook.delivery AS d TABLESAMPLE SYSTEM (20000.0 / blocks) REPEATABLE (0)
                   GROUP BY d.webhook_id) AS s ON s.webhook_id = w.id
        LEFT JOIN webhook.outbox_backlog(false) AS u ON u.webhook_id = w.id;
END
$$;
COMMENT ON FUNCTION webhook.backlog_estimate() IS
    'what has not been delivered, for each webhook, and since when; estimated if there is much of it';

-- Counts only webhooks of the caller: src/api/pending_api.c.
CREATE FUNCTION webhook.pending(webhook_id bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_pending';
COMMENT ON FUNCTION webhook.pending(bigint) IS
    'committed messages that are neither delivered, nor permanently failed, nor buffered, of one or all webhooks of the current role, counted once per webhook';

CREATE FUNCTION webhook.pending_estimate(webhook_id bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_pending_estimate';
COMMENT ON FUNCTION webhook.pending_estimate(bigint) IS
    'about as many as pending() counts, in constant time; the same number if they are few';

CREATE FUNCTION webhook.oldest_pending_age(webhook_id bigint DEFAULT NULL) RETURNS interval
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_oldest_pending_age';
COMMENT ON FUNCTION webhook.oldest_pending_age(bigint) IS
    'how long the oldest message that pending() counts has waited, or at least has if there are many, in constant time';

-- For these: the active webhooks of this role, or all if it has the privilege to see stat_webhooks.
CREATE FUNCTION webhook.pending_of(webhook_id bigint, role oid) RETURNS SETOF bigint
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.id FROM webhook.webhook AS w
    WHERE w.active AND (w.id = $1 OR $1 IS NULL)
      AND (pg_has_role($2, w.owner::oid, 'USAGE') OR has_table_privilege($2, 'webhook.stat_webhooks', 'SELECT'));
$$;
COMMENT ON FUNCTION webhook.pending_of(bigint, oid) IS 'the active webhooks whose undelivered messages a role may count';

CREATE FUNCTION webhook.pending_for(webhook_id bigint, role oid) RETURNS bigint
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH seen AS MATERIALIZED (SELECT s.id FROM webhook.pending_of($1, $2) AS s (id))
    SELECT (SELECT coalesce(sum(b.messages), 0)::bigint FROM webhook.outbox_backlog(true) AS b JOIN seen AS s ON s.id = b.webhook_id)
         + (SELECT count(*) FROM webhook.delivery AS d JOIN seen AS s ON s.id = d.webhook_id
            WHERE d.state IN ('waiting', 'retrying'));
$$;
COMMENT ON FUNCTION webhook.pending_for(bigint, oid) IS 'undelivered messages of one or all webhooks that a role may see';

CREATE FUNCTION webhook.estimate_for(webhook_id bigint, role oid, OUT pending bigint, OUT oldest timestamptz) RETURNS record
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    SELECT coalesce(sum(b.unread + b.waiting + b.retrying), 0)::bigint, min(b.oldest)
    FROM webhook.backlog_estimate() AS b JOIN webhook.pending_of($1, $2) AS s (id) ON s.id = b.webhook_id;
$$;
COMMENT ON FUNCTION webhook.estimate_for(bigint, oid) IS
    'estimate of the undelivered messages of one or all webhooks that a role may see, and when the oldest was captured';

-- For redeliver().
CREATE FUNCTION webhook.outbox_to_delivery(webhook_id bigint, message_id uuid) RETURNS boolean
    LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH copied AS (
        INSERT INTO webhook.delivery (webhook_id, id, message_id, event, entity_type, entity_id, event_uid, profile, payload,
                                      created_at, order_key, attempts, state, relation, changed, former, context)
        SELECT $1, o.id, o.message_id, o.event, o.entity_type, o.entity_id, o.event_uid, o.profile, o.payload,
               o.created_at, 0, 0, 'waiting', o.relation, o.changed, o.former, o.context
        FROM webhook.outbox AS o WHERE o.message_id = $2 AND $1 = ANY (o.webhook_ids)
        RETURNING id)
    SELECT EXISTS (SELECT FROM copied);
$$;
COMMENT ON FUNCTION webhook.outbox_to_delivery(bigint, uuid) IS 'copies a message that is still in the outbox to the delivery table';

-- For rest_hook_sample().  There may be millions of messages, so it reads the end of each partition by its index.
CREATE FUNCTION webhook.outbox_samples(event text, role oid, maximum integer) RETURNS SETOF text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(m.payload, o.payload)::text
    FROM ((SELECT * FROM webhook.outbox_0 ORDER BY xid DESC, id DESC LIMIT 1000)
          UNION ALL (SELECT * FROM webhook.outbox_1 ORDER BY xid DESC, id DESC LIMIT 1000)
          UNION ALL (SELECT * FROM webhook.outbox_2 ORDER BY xid DESC, id DESC LIMIT 1000)
          UNION ALL (SELECT * FROM webhook.outbox_3 ORDER BY xid DESC, id DESC LIMIT 1000)) AS o
         CROSS JOIN LATERAL webhook.run_followers(o.event_uid, o.profile, o.more) AS m
    WHERE o.event = $1 AND o.relation IS NULL
      AND CASE WHEN m.id IS NULL THEN o.payload ELSE m.payload END IS NOT NULL
      AND EXISTS (SELECT FROM webhook.webhook AS w
                  WHERE w.id = ANY (o.webhook_ids) AND pg_has_role($2, w.owner::oid, 'USAGE'))
    ORDER BY coalesce(m.id, o.id) DESC LIMIT $3;
$$;
COMMENT ON FUNCTION webhook.outbox_samples(text, oid, integer) IS 'payloads of the latest application events for webhooks of a role';

-- For activate_webhook(), which has checked that the caller may manage the webhook.
CREATE FUNCTION webhook.buffered(webhook_id bigint) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT count(*) FROM webhook.delivery AS d WHERE d.webhook_id = $1 AND d.state IN ('waiting', 'retrying'))
         + coalesce((SELECT b.messages FROM webhook.outbox_backlog(true) AS b JOIN webhook.webhook AS h ON h.id = b.webhook_id
                     WHERE h.id = $1 AND (h.active OR h.buffering)), 0);
$$;
COMMENT ON FUNCTION webhook.buffered(bigint) IS
    'messages that are buffered for a deactivated webhook, including those that the worker has not read yet';

CREATE VIEW webhook.undelivered AS
    SELECT d.webhook_id, d.message_id::text AS message_id, d.event, d.entity_id #>> '{}' AS entity_id, d.attempts,
           COALESCE(d.next_attempt_at, CASE WHEN d.state = 'waiting' AND h.active THEN s.next_probe_at END) AS next_attempt_at,
           d.last_error,
           CASE WHEN d.state <> 'failed' AND NOT h.active THEN 'buffered' ELSE d.state END AS state, d.created_at
    FROM webhook.delivery AS d
    JOIN webhook.webhook AS h ON h.id = d.webhook_id
    LEFT JOIN webhook.current_health AS s ON s.webhook_id = d.webhook_id
    UNION ALL
    SELECT w.id, (o.m).message_id::text, (o.m).event, (o.m).entity_id #>> '{}', 0, NULL, NULL,
           CASE WHEN h.active THEN 'pending' ELSE 'buffered' END, (o.m).created_at
    FROM (SELECT webhook.outbox_unread() AS m) AS o, pg_catalog.unnest((o.m).webhook_ids) AS w (id)
    JOIN webhook.webhook AS h ON h.id = w.id
    WHERE (h.active OR h.buffering) AND NOT COALESCE(pg_catalog.pg_visible_in_snapshot((o.m).xid, h.discarded), false)
      -- not a join, which would read all rows first
      AND (SELECT d.id FROM webhook.delivery AS d WHERE d.webhook_id = w.id AND d.id = (o.m).id) IS NULL;
COMMENT ON VIEW webhook.undelivered IS 'one row per unfinished delivery';

CREATE VIEW webhook.stat_webhooks AS
    SELECT h.id AS webhook_id, h.app, h.name, h.active,
           COALESCE(s.delivered, 0) AS delivered, COALESCE(s.failed, 0) AS failed,
           COALESCE(s.attempts, 0) AS attempts,
           CASE WHEN h.active THEN COALESCE(b.unread + b.waiting + b.retrying, 0) ELSE 0 END AS pending,
           CASE WHEN h.active THEN COALESCE(b.retrying, 0) ELSE 0 END AS retrying,
           CASE WHEN h.active THEN 0
                ELSE COALESCE(b.waiting + b.retrying + CASE WHEN h.buffering THEN b.unread ELSE 0 END, 0) END AS buffered,
           COALESCE(s.dropped, 0) AS dropped,
           CASE WHEN h.active THEN pg_catalog.clock_timestamp() - b.oldest END AS oldest_pending_age,
           s.last_success_at, s.last_failure_at, s.last_error, s.failing_since, s.next_probe_at,
           s.agreed_at, s.allowed_rate,
           COALESCE(s.expired, 0) AS expired,
           COALESCE(b.estimated, false) AS estimated,
           COALESCE(b.failed, 0) AS dead_letters,
           s.outcomes, s.durations, s.latencies, s.duration_us, s.latency_us, s.probes
    FROM webhook.webhook AS h
    LEFT JOIN webhook.current_health AS s ON s.webhook_id = h.id
    LEFT JOIN webhook.backlog_estimate() AS b ON b.webhook_id = h.id;
COMMENT ON VIEW webhook.stat_webhooks IS 'per webhook: what was delivered, what failed, what is pending';

-- For src/send/dead_letter.c: webhooks with messages that failed after the last notification about failed messages.  The webhooks are found by
-- skipping from one to the next in the index.
CREATE VIEW webhook.unreported_failures AS
    WITH RECURSIVE w AS (
        (SELECT webhook_id FROM webhook.delivery WHERE state = 'failed' ORDER BY webhook_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.webhook_id FROM webhook.delivery AS d WHERE d.webhook_id > w.webhook_id AND d.state = 'failed'
                ORDER BY d.webhook_id LIMIT 1)
        FROM w WHERE w.webhook_id IS NOT NULL)
    SELECT w.webhook_id
    FROM w JOIN webhook.webhook AS h ON h.id = w.webhook_id
    WHERE (SELECT d.failed_at FROM webhook.delivery AS d
           WHERE d.webhook_id = w.webhook_id AND d.state = 'failed' AND d.attempts > 0 AND d.failed_at IS NOT NULL
           ORDER BY d.failed_at DESC LIMIT 1)
          > COALESCE((SELECT pg_catalog.max(n.created_at) FROM webhook.notification AS n
                      WHERE n.webhook_id = w.webhook_id AND n.kind = 'message_failed'), '-infinity');
COMMENT ON VIEW webhook.unreported_failures IS 'webhooks with messages whose failure no notification has reported';

CREATE FUNCTION webhook.failures_since(webhook_id bigint, since timestamptz)
    RETURNS TABLE (id bigint, message_id uuid, event text, entity_type text, entity_id json, event_uid text, attempts integer,
                   last_error text, failures bigint)
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.id, d.message_id, d.event, d.entity_type, d.entity_id, d.event_uid, d.attempts, d.last_error,
           (SELECT count(*) FROM webhook.delivery AS c
            WHERE c.webhook_id = $1 AND c.state = 'failed' AND c.attempts > 0 AND c.failed_at > $2)
    FROM webhook.delivery AS d
    WHERE d.webhook_id = $1 AND d.state = 'failed' AND d.attempts > 0 AND d.failed_at > $2
    ORDER BY d.failed_at DESC LIMIT 1;
$$;
COMMENT ON FUNCTION webhook.failures_since(bigint, timestamptz) IS
    'the last message of a webhook that has failed for good after this time, and how many have';

-- For a worker that starts.  The webhooks are found by skipping from one to the next in the index, past all of their rows.
CREATE VIEW webhook.backlog AS
    WITH RECURSIVE w AS (
        (SELECT webhook_id FROM webhook.delivery WHERE state IN ('waiting', 'retrying') ORDER BY webhook_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.webhook_id FROM webhook.delivery AS d
                WHERE d.webhook_id > w.webhook_id AND d.state IN ('waiting', 'retrying') ORDER BY d.webhook_id LIMIT 1)
        FROM w WHERE w.webhook_id IS NOT NULL)
    SELECT w.webhook_id, COALESCE(h.active OR h.buffering, false) AS wanted
      FROM w LEFT JOIN webhook.webhook AS h ON h.id = w.webhook_id
     WHERE w.webhook_id IS NOT NULL AND (h.active OR h.buffering) IS NOT TRUE
        OR h.active AND EXISTS (SELECT FROM webhook.delivery AS d WHERE d.webhook_id = w.webhook_id AND d.state = 'waiting');
COMMENT ON VIEW webhook.backlog
    IS 'active webhooks with waiting deliveries, and those whose deliveries are not wanted any more, as they are gone or deactivated';
