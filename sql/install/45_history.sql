-- The history: messages that were moved here when their partition of the outbox was emptied, see src/log/history.c.
--
-- Eight tables in turn; the outbox's own indexes do not support the searches that users need.  The newest row
-- of history_part is the table that is being filled; a table without a row there is empty.  No unique keys, see 10_tables.sql.
-- They are analyzed, or searches would be planned for thousands of rows; there is nothing to vacuum.
DO $$
BEGIN
    FOR i IN 0..7 LOOP
        EXECUTE pg_catalog.format($ddl$
            CREATE TABLE webhook.history_%1$s (
                id          bigint NOT NULL,
                message_id  uuid NOT NULL,
                event       text NOT NULL,
                entity_type text,
                entity_id   json,
                event_uid   text,
                profile     text,
                webhook_ids bigint[] NOT NULL,
                payload     json,
                created_at  timestamptz NOT NULL,
                relation    regclass,
                changed     json,
                former      json,
                context     json,
                epoch       bigint      -- of the latest replay that does not repeat it; null: of none that has not ended
            ) WITH (autovacuum_vacuum_threshold = 2147483647, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_insert_threshold = -1,
                    autovacuum_analyze_scale_factor = 0.5, autovacuum_analyze_threshold = 10000, toast.autovacuum_enabled = off);
            CREATE INDEX history_%1$s_id_idx ON webhook.history_%1$s (id);
            CREATE INDEX history_%1$s_entity_idx ON webhook.history_%1$s USING hash ((entity_id #>> '{}')) WITH (fillfactor = 100);   -- ids may be long
            CREATE INDEX history_%1$s_event_idx ON webhook.history_%1$s (event);
            -- Both ascend with time.  The worker summarizes it.
            CREATE INDEX history_%1$s_created_idx ON webhook.history_%1$s USING brin (created_at, (message_id::text))
                WITH (pages_per_range = 64, autosummarize = off);
            ALTER TABLE webhook.history_%1$s REPLICA IDENTITY FULL;
            COMMENT ON TABLE webhook.history_%1$s IS 'messages that have left the outbox, for webhook.history_retention; truncated when all of them are older';
            SELECT pg_catalog.pg_extension_config_dump('webhook.history_%1$s', '');
        $ddl$, i);
    END LOOP;
END
$$;

CREATE TABLE webhook.history_part (
    part  smallint NOT NULL,
    since timestamptz NOT NULL
);
ALTER TABLE webhook.history_part REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.history_part IS 'the tables of the history that are not empty, and since when they have been filled';
SELECT pg_catalog.pg_extension_config_dump('webhook.history_part', '');

-- Of a partition of the outbox, these have been moved: what is visible in "done", and what is visible in "through", or
-- everything if that is null, up to the position (xid, id).  The row with the greatest "seq" counts.  Rows are only inserted:
-- while a snapshot is held elsewhere, dead ones would accumulate.
CREATE TABLE webhook.history_moved (
    partition smallint NOT NULL,
    xid       xid8 NOT NULL,
    id        bigint NOT NULL,
    done      pg_snapshot,
    through   pg_snapshot,
    seq       bigint NOT NULL
);
ALTER TABLE webhook.history_moved REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.history_moved IS 'how far a partition of the outbox has been moved to the history';

CREATE SEQUENCE webhook.history_epoch_seq AS bigint;
COMMENT ON SEQUENCE webhook.history_epoch_seq IS 'the number of the latest replay that has a snapshot';
SELECT pg_catalog.pg_extension_config_dump('webhook.history_epoch_seq', '');

-- Moves rows of the outbox, of which each can contain several messages, and returns whether that was all.  With a snapshot only
-- what is visible in that, which must have been processed or be about to be; without, the partition is drained.
CREATE FUNCTION webhook.move_to_history(partition smallint, part smallint, maximum integer, snapshot pg_snapshot) RETURNS boolean
    LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    place webhook.history_moved;
    start webhook.history_moved;
    moved bigint;
BEGIN
    SELECT * INTO start FROM webhook.history_moved AS m WHERE m.partition = $1 ORDER BY m.seq DESC LIMIT 1;
    place := start;
    IF place.partition IS NULL THEN
        place := ($1, '0', 0, NULL, $4, 0);
    ELSIF place.id = 0 THEN
        IF pg_snapshot_xmax($4) <= pg_snapshot_xmax(place.done)
           AND NOT EXISTS (SELECT FROM pg_snapshot_xip(place.done) AS x WHERE pg_visible_in_snapshot(x, $4)) THEN
            -- For a replay that began later, all of it has been moved.
            RETURN true;
        END IF;
        place.through := $4;
    END IF;
    EXECUTE format($sql$
        WITH next AS MATERIALIZED (
            SELECT n.* FROM (SELECT o.*, sum(COALESCE(pg_column_size(o.payload), 0)) OVER (ORDER BY o.xid, o.id)
                                         - COALESCE(pg_column_size(o.payload), 0) AS before
                             FROM (SELECT * FROM webhook.outbox_%1$s
                                   WHERE (xid, id) > ($1, $2) AND pg_visible_in_snapshot(xid, $4) IS NOT TRUE
                                     AND pg_visible_in_snapshot(xid, $5) IS NOT FALSE
                                   ORDER BY xid, id LIMIT $3) AS o) AS n
            WHERE n.before < 4000000),
        replays AS MATERIALIZED (SELECT b.epoch, b.snapshot FROM webhook.backfill AS b WHERE b.finished_at IS NULL AND b.epoch IS NOT NULL),
        moved AS (
            INSERT INTO webhook.history_%2$s (id, message_id, event, entity_type, entity_id, event_uid, profile, webhook_ids, payload,
                                              created_at, relation, changed, former, context, epoch)
            SELECT COALESCE(f.id, n.id), COALESCE(f.message_id, n.message_id), n.event, n.entity_type,
                   CASE WHEN f.id IS NULL THEN n.entity_id ELSE f.entity_id END,
                   CASE WHEN f.id IS NULL THEN n.event_uid ELSE f.event_uid END,
                   CASE WHEN f.id IS NULL THEN n.profile ELSE f.profile END, n.webhook_ids,
                   CASE WHEN f.id IS NULL THEN n.payload ELSE f.payload END,
                   COALESCE(f.created_at, n.created_at), n.relation,
                   CASE WHEN f.id IS NULL THEN n.changed ELSE f.changed END,
                   CASE WHEN f.id IS NULL THEN n.former ELSE f.former END, n.context,
                   (SELECT max(b.epoch) FROM replays AS b WHERE NOT pg_visible_in_snapshot(n.xid, b.snapshot))
            FROM next AS n CROSS JOIN LATERAL webhook.run_followers(n.event_uid, n.profile, n.more) AS f)
        SELECT n.xid, n.id, (SELECT count(*) FROM next) FROM next AS n ORDER BY n.xid DESC, n.id DESC LIMIT 1
        $sql$, $1, $2) INTO start.xid, start.id, moved USING place.xid, place.id, $3, place.done, place.through;
    IF moved IS NULL THEN
        IF place.through IS NULL THEN
            RETURN true;
        END IF;
        -- This is all of the snapshot: it is a pass of its own.
        place := ($1, '0', 0, place.through, NULL, place.seq);
    ELSE
        place.xid := start.xid;
        place.id := start.id;
    END IF;
    INSERT INTO webhook.history_moved (partition, xid, id, done, through, seq)
        VALUES (place.partition, place.xid, place.id, place.done, place.through, place.seq + 1);
    RETURN place.id = 0 AND place.done::text IS NOT DISTINCT FROM $4::text;
END
$$;
COMMENT ON FUNCTION webhook.move_to_history(smallint, smallint, integer, pg_snapshot) IS
    'moves some rows of a partition of the outbox to a table of the history; true if there are no more';

-- After the partition has been truncated.  Does not wait for sessions that read the table.  Transactions with an older snapshot
-- see no position after TRUNCATE, so that is done more rarely while other partitions have one.
CREATE FUNCTION webhook.forget_moved(partition smallint) RETURNS void
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    others webhook.history_moved[] := ARRAY(
        SELECT l.last
        FROM (SELECT DISTINCT ON (m.partition) m AS last FROM webhook.history_moved AS m ORDER BY m.partition, m.seq DESC) AS l
        WHERE (l.last).partition <> $1 AND ((l.last).id <> 0 OR (l.last).done IS NOT NULL));
BEGIN
    IF (SELECT count(*) FROM webhook.history_moved) > (CASE WHEN cardinality(others) = 0 THEN 1000 ELSE 10000 END) THEN
        BEGIN
            LOCK TABLE webhook.history_moved IN ACCESS EXCLUSIVE MODE NOWAIT;
            TRUNCATE webhook.history_moved;
            INSERT INTO webhook.history_moved SELECT (o).* FROM unnest(others) AS o;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END IF;
    INSERT INTO webhook.history_moved (partition, xid, id, done, through, seq)
        SELECT $1, '0', 0, NULL, NULL, max(m.seq) + 1 FROM webhook.history_moved AS m WHERE m.partition = $1 HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION webhook.forget_moved(smallint) IS 'the partition of the outbox has been truncated: nothing of it has been moved';

-- Truncates the tables that are too old or exceed the size, and returns the one to be filled.  Waits for no lock.
CREATE FUNCTION webhook.trim_history(retention interval, max_size bigint, moment timestamptz, OUT part smallint, OUT shortened boolean)
    RETURNS record
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    oldest  record;
    newest  record;
    too_big boolean;
BEGIN
    shortened := false;
    LOOP
        SELECT h.part, h.since, lead(h.since) OVER (ORDER BY h.since) AS until INTO oldest
            FROM webhook.history_part AS h ORDER BY h.since LIMIT 1;
        EXIT WHEN oldest.part IS NULL;
        -- A table that outgrew its part, because a session read it, is kept until others hold a good deal.
        SELECT max_size > 0 AND oldest.until IS NOT NULL AND sum(s.size) > max_size
               AND sum(s.size) FILTER (WHERE s.part <> oldest.part) > max_size / 2 INTO too_big
            FROM (SELECT p AS part, pg_total_relation_size(t) AS size
                  FROM generate_series(0, 7) AS p CROSS JOIN LATERAL (SELECT ('webhook.history_' || p)::regclass) AS r (t)
                  WHERE pg_relation_size(t) > 0) AS s;
        EXIT WHEN NOT (retention = '0' OR oldest.until <= moment - retention OR too_big) IS TRUE;
        BEGIN
            EXECUTE format('LOCK TABLE webhook.history_%s IN ACCESS EXCLUSIVE MODE NOWAIT', oldest.part);
        EXCEPTION WHEN lock_not_available THEN
            EXIT;
        END;
        EXECUTE format('TRUNCATE webhook.history_%s', oldest.part);
        DELETE FROM webhook.history_part AS h WHERE h.part = oldest.part;
        shortened := shortened OR too_big AND oldest.until > moment - retention;
    END LOOP;
    IF retention = '0' THEN
        IF oldest.part IS NULL THEN
            DELETE FROM webhook.history_moved;
        END IF;
        RETURN;
    END IF;
    SELECT h.part, h.since, pg_total_relation_size(('webhook.history_' || h.part)::regclass) AS size INTO newest
        FROM webhook.history_part AS h ORDER BY h.since DESC LIMIT 1;
    part := newest.part;
    IF newest.part IS NULL THEN
        part := 0;
    ELSIF pg_relation_size(('webhook.history_' || newest.part)::regclass) > 0
          AND (newest.since <= moment - retention / 7 OR max_size > 0 AND newest.size > max_size / 8)
          AND NOT EXISTS (SELECT FROM webhook.history_part AS h WHERE h.part = (newest.part + 1) % 8) THEN
        part := (newest.part + 1) % 8;
    END IF;
    IF part IS DISTINCT FROM newest.part THEN
        INSERT INTO webhook.history_part (part, since) VALUES (trim_history.part, greatest(moment, newest.since));
    END IF;
END
$$;
COMMENT ON FUNCTION webhook.trim_history(interval, bigint, timestamptz) IS
    'removes what is too old, or too much, from the history; returns the table that is to be filled, and whether messages were removed before their time';

CREATE VIEW webhook.history_rows AS
    SELECT * FROM webhook.history_0 UNION ALL SELECT * FROM webhook.history_1 UNION ALL
    SELECT * FROM webhook.history_2 UNION ALL SELECT * FROM webhook.history_3 UNION ALL
    SELECT * FROM webhook.history_4 UNION ALL SELECT * FROM webhook.history_5 UNION ALL
    SELECT * FROM webhook.history_6 UNION ALL SELECT * FROM webhook.history_7;
COMMENT ON VIEW webhook.history_rows IS 'the messages that have been moved to the history';

-- For replay(), too.
CREATE VIEW webhook.captured AS
    SELECT h.id, h.message_id, h.event, h.entity_type, h.entity_id, h.event_uid, h.profile, h.webhook_ids, h.payload, h.created_at,
           h.relation, h.former, h.context
    FROM webhook.history_rows AS h
    UNION ALL
    SELECT COALESCE((r.m).id, r.id), COALESCE((r.m).message_id, r.message_id), r.event, r.entity_type,
           CASE WHEN (r.m).id IS NULL THEN r.entity_id ELSE (r.m).entity_id END,
           CASE WHEN (r.m).id IS NULL THEN r.event_uid ELSE (r.m).event_uid END,
           CASE WHEN (r.m).id IS NULL THEN r.profile ELSE (r.m).profile END, r.webhook_ids,
           CASE WHEN (r.m).id IS NULL THEN r.payload ELSE (r.m).payload END,
           COALESCE((r.m).created_at, r.created_at), r.relation,
           CASE WHEN (r.m).id IS NULL THEN r.former ELSE (r.m).former END, r.context
    FROM (SELECT o.*, webhook.run_followers(o.event_uid, o.profile, o.more) AS m
          FROM (SELECT 0 AS partition, * FROM webhook.outbox_0 UNION ALL SELECT 1, * FROM webhook.outbox_1 UNION ALL
                SELECT 2, * FROM webhook.outbox_2 UNION ALL SELECT 3, * FROM webhook.outbox_3) AS o
          LEFT JOIN (SELECT DISTINCT ON (m.partition) m.* FROM webhook.history_moved AS m ORDER BY m.partition, m.seq DESC) AS h
                 ON h.partition = o.partition
          WHERE (pg_catalog.pg_visible_in_snapshot(o.xid, h.done)
                 OR ((o.xid, o.id) <= (h.xid, h.id) AND pg_catalog.pg_visible_in_snapshot(o.xid, h.through) IS NOT FALSE)) IS NOT TRUE) AS r;
COMMENT ON VIEW webhook.captured IS 'the messages in the history, and those in the outbox that have not been moved there';

-- The part of a message's payload that a role may read now.
CREATE FUNCTION webhook.history_payload(role name, relation oid, payload json) RETURNS json
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_history_payload';
COMMENT ON FUNCTION webhook.history_payload(name, oid, json) IS
    'the payload of a message without what a role may not read; null if it may read nothing, or the table is locked';

CREATE FUNCTION webhook.history_event_uid(role name, relation oid, event_uid text) RETURNS text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_history_event_uid';
COMMENT ON FUNCTION webhook.history_event_uid(name, oid, text) IS
    'the event UID of a message; null if a role may not read it, or the table is locked';

-- The extension's owner sees everything, other roles the messages that were for their webhooks.
CREATE VIEW webhook.message_history WITH (security_barrier) AS
    SELECT c.message_id::text AS message_id, c.event, c.entity_type, c.entity_id #>> '{}' AS entity_id,
           CASE WHEN (SELECT pg_catalog.pg_has_role(n.nspowner, 'USAGE') FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'webhook') THEN c.event_uid
                ELSE webhook.history_event_uid(current_user, c.relation, c.event_uid) END AS event_uid,
           CASE WHEN (SELECT pg_catalog.pg_has_role(n.nspowner, 'USAGE') FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'webhook') THEN c.payload
                ELSE webhook.history_payload(current_user, c.relation, c.payload) END AS payload,
           c.created_at, c.webhook_ids
    FROM webhook.captured AS c
    WHERE (SELECT pg_catalog.pg_has_role(n.nspowner, 'USAGE') FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'webhook')
       OR c.webhook_ids && ARRAY(SELECT w.id FROM webhook.webhook AS w WHERE pg_catalog.pg_has_role(w.owner::oid, 'USAGE'));
COMMENT ON VIEW webhook.message_history IS 'the messages that are kept, and those still in the outbox; of these a role sees those that were for its webhooks';
