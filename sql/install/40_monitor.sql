-- Monitoring.

-- Messages that the worker has not processed, according to the newest position; see src/log/cursor.c.
CREATE FUNCTION webhook.outbox_unread() RETURNS TABLE (id bigint, message_id uuid, event text, entity_id json,
    webhook_ids bigint[], created_at timestamptz, xid xid8)
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
    SET jit = off
AS $$
DECLARE
    c webhook.cursor;
    r webhook.cursor;   -- the one that came with messages restored from a dump, see 50_adopt.sql
BEGIN
    SELECT * INTO c FROM webhook.cursor AS k WHERE k.database <> 0 ORDER BY k.seq DESC LIMIT 1;
    SELECT * INTO r FROM webhook.cursor AS k WHERE k.database = 0 ORDER BY k.seq DESC LIMIT 1;
    RETURN QUERY
        SELECT o.id, o.message_id, o.event, o.entity_id, o.webhook_ids, o.created_at, o.xid
        FROM webhook.outbox AS o
        WHERE (o.xid >= pg_snapshot_xmax(c.done) OR o.xid = ANY (ARRAY(SELECT pg_snapshot_xip(c.done))))
          AND NOT (c.through IS NOT NULL AND o.id <= c.through_id AND pg_visible_in_snapshot(o.xid, c.through))
        UNION ALL
        SELECT o.id, o.message_id, o.event, o.entity_id, o.webhook_ids, o.created_at, NULL
        FROM webhook.outbox AS o
        WHERE o.xid = '0'
          AND NOT coalesce(pg_visible_in_snapshot(o.fence, r.done), false)
          AND NOT coalesce(o.id <= r.through_id AND pg_visible_in_snapshot(o.fence, r.through), false);
END
$$;
COMMENT ON FUNCTION webhook.outbox_unread() IS 'the messages in the outbox that have not been processed';

-- Counts only webhooks of the caller: src/api/webhook_api.c.
CREATE FUNCTION webhook.pending(webhook_id bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_pending';
COMMENT ON FUNCTION webhook.pending(bigint) IS
    'committed messages that are neither delivered, nor permanently failed, nor buffered, of one or all webhooks of the current role, counted once per webhook';

-- For pending(): the webhooks of this role, or all if it has the privilege to see stat_webhooks.
CREATE FUNCTION webhook.pending_for(webhook_id bigint, role oid) RETURNS bigint
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH seen AS MATERIALIZED (
        SELECT w.id, w.discarded FROM webhook.webhook AS w
        WHERE w.active AND (w.id = $1 OR $1 IS NULL)
          AND (pg_has_role($2, w.owner::oid, 'USAGE') OR has_table_privilege($2, 'webhook.stat_webhooks', 'SELECT')))
    SELECT (SELECT count(*) FROM webhook.outbox_unread() AS o, unnest(o.webhook_ids) AS u (id) JOIN seen AS s ON s.id = u.id
            WHERE NOT coalesce(pg_visible_in_snapshot(o.xid, s.discarded), false)
              AND NOT EXISTS (SELECT FROM webhook.delivery AS d WHERE d.webhook_id = u.id AND d.id = o.id))
         + (SELECT count(*) FROM webhook.delivery AS d JOIN seen AS s ON s.id = d.webhook_id
            WHERE d.state IN ('waiting', 'retrying'));
$$;
COMMENT ON FUNCTION webhook.pending_for(bigint, oid) IS 'undelivered messages of one or all webhooks that a role may see';

-- For redeliver().
CREATE FUNCTION webhook.outbox_to_delivery(webhook_id bigint, message_id uuid) RETURNS boolean
    LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH copied AS (
        INSERT INTO webhook.delivery (webhook_id, id, message_id, event, entity_type, entity_id, event_uid, profile, payload,
                                      created_at, order_key, attempts, state, relation, changed, former)
        SELECT $1, o.id, o.message_id, o.event, o.entity_type, o.entity_id, o.event_uid, o.profile, o.payload,
               o.created_at, 0, 0, 'waiting', o.relation, o.changed, o.former
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
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT count(*) FROM webhook.delivery AS d WHERE d.webhook_id = $1 AND d.state IN ('waiting', 'retrying'))
         + (SELECT count(*) FROM webhook.outbox_unread() AS o
            WHERE $1 = ANY (o.webhook_ids)
              AND EXISTS (SELECT FROM webhook.webhook AS h WHERE h.id = $1 AND (h.active OR h.buffering)
                          AND NOT COALESCE(pg_visible_in_snapshot(o.xid, h.discarded), false))
              AND NOT EXISTS (SELECT FROM webhook.delivery AS d WHERE d.webhook_id = $1 AND d.id = o.id));
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
    SELECT w.id, o.message_id::text, o.event, o.entity_id #>> '{}', 0, NULL, NULL,
           CASE WHEN h.active THEN 'pending' ELSE 'buffered' END, o.created_at
    FROM webhook.outbox_unread() AS o, pg_catalog.unnest(o.webhook_ids) AS w (id)
    JOIN webhook.webhook AS h ON h.id = w.id
    WHERE (h.active OR h.buffering) AND NOT COALESCE(pg_catalog.pg_visible_in_snapshot(o.xid, h.discarded), false)
      AND NOT EXISTS (SELECT FROM webhook.delivery AS d WHERE d.webhook_id = w.id AND d.id = o.id);
COMMENT ON VIEW webhook.undelivered IS 'one row per unfinished delivery';

CREATE VIEW webhook.stat_webhooks AS
    WITH unread AS (
        SELECT w.id AS webhook_id, pg_catalog.count(*) AS n, pg_catalog.min(o.created_at) AS oldest
        FROM webhook.outbox_unread() AS o, pg_catalog.unnest(o.webhook_ids) AS w (id)
        JOIN webhook.webhook AS h ON h.id = w.id
        WHERE NOT COALESCE(pg_catalog.pg_visible_in_snapshot(o.xid, h.discarded), false)
          AND NOT EXISTS (SELECT FROM webhook.delivery AS d WHERE d.webhook_id = w.id AND d.id = o.id)
        GROUP BY w.id
    ), stored AS (
        SELECT d.webhook_id,
               pg_catalog.count(*) AS n,
               pg_catalog.count(*) FILTER (WHERE d.state = 'retrying') AS retrying,
               pg_catalog.min(d.created_at) AS oldest
        FROM webhook.delivery AS d
        WHERE d.state IN ('waiting', 'retrying')
        GROUP BY d.webhook_id
    )
    SELECT h.id AS webhook_id, h.app, h.name, h.active,
           COALESCE(s.delivered, 0) AS delivered, COALESCE(s.failed, 0) AS failed,
           COALESCE(s.attempts, 0) AS attempts,
           CASE WHEN h.active THEN COALESCE(u.n, 0) + COALESCE(d.n, 0) ELSE 0 END AS pending,
           CASE WHEN h.active THEN COALESCE(d.retrying, 0) ELSE 0 END AS retrying,
           CASE WHEN h.active THEN 0 ELSE COALESCE(d.n, 0) + CASE WHEN h.buffering THEN COALESCE(u.n, 0) ELSE 0 END END AS buffered,
           COALESCE(s.dropped, 0) AS dropped,
           CASE WHEN h.active THEN pg_catalog.clock_timestamp() - LEAST(u.oldest, d.oldest) END AS oldest_pending_age,
           s.last_success_at, s.last_failure_at, s.last_error, s.failing_since, s.next_probe_at,
           s.agreed_at, s.allowed_rate,
           COALESCE(s.expired, 0) AS expired
    FROM webhook.webhook AS h
    LEFT JOIN webhook.current_health AS s ON s.webhook_id = h.id
    LEFT JOIN unread AS u ON u.webhook_id = h.id
    LEFT JOIN stored AS d ON d.webhook_id = h.id;
COMMENT ON VIEW webhook.stat_webhooks IS 'per webhook: what was delivered, what failed, what is pending';

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
