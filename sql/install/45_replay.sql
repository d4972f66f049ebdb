-- Replay: what the history contains, for one webhook.  See src/send/replay.c.

-- Would the webhook be sent this message now?  "events" are trigger names, separated by commas; null: all.
CREATE FUNCTION webhook.replay_matches(webhook_id bigint, events text, webhook_ids bigint[], event text, event_uid text, profile text,
                                       payload json, former json, of_row boolean) RETURNS boolean
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_replay_matches';
COMMENT ON FUNCTION webhook.replay_matches(bigint, text, bigint[], text, text, text, json, json, boolean) IS
    'whether a message that has been captured is one that a webhook subscribes to now';

-- What a webhook may be judged by of a message that has been captured.  If it was not for this webhook, that is what the owner may
-- read now: filters and conditions must not find out the rest.  Of a table that does not exist any more that is nothing.
CREATE FUNCTION webhook.replay_visible(webhook webhook.webhook, webhook_ids bigint[], relation oid, INOUT payload json, INOUT former json,
                                       OUT allowed boolean) RETURNS record
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem  text;
    captured json := payload;
BEGIN
    allowed := true;
    IF relation IS NULL OR webhook.id = ANY (webhook_ids) THEN
        RETURN;
    END IF;
    allowed := EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relation);
    IF NOT allowed THEN
        RETURN;
    END IF;
    problem := webhook.access_problem(webhook.owner, relation::regclass);
    -- Null: the table is locked.  Then it is judged again when it is sent.
    IF problem IS NOT NULL THEN
        payload := webhook.history_payload(pg_get_userbyid(webhook.owner), relation, payload);
        former := webhook.history_payload(pg_get_userbyid(webhook.owner), relation, former);
        allowed := problem = '' AND (payload IS NOT NULL OR captured IS NULL);
    END IF;
END
$$;
COMMENT ON FUNCTION webhook.replay_visible(webhook.webhook, bigint[], oid, json, json) IS
    'what a webhook may be judged by of a message that has been captured';

CREATE FUNCTION webhook.replay_count(webhook_id bigint, since timestamptz, until timestamptz, events text, entity_id text,
                                     OUT messages bigint, OUT first_id bigint, OUT last_id bigint) RETURNS record
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
    -- Null as a parameter would be planned for.
    EXECUTE 'SELECT count(*), min(c.id), max(c.id) FROM webhook.captured AS c JOIN webhook.webhook AS w ON w.id = $1'
            ' CROSS JOIN LATERAL webhook.replay_visible(w, c.webhook_ids, c.relation, c.payload, c.former) AS v WHERE v.allowed AND c.created_at >= $2'
            || CASE WHEN until IS NOT NULL THEN ' AND c.created_at < $3' ELSE '' END
            || CASE WHEN entity_id IS NOT NULL THEN ' AND c.entity_id #>> ''{}'' = $5' ELSE '' END
            -- What a backfill has sent to another webhook is no change.
            || ' AND (c.context ->> ''replay'' IS NULL OR $1 = ANY (c.webhook_ids)) AND webhook.replay_matches($1, $4, c.webhook_ids, c.event, c.event_uid, c.profile, v.payload, v.former,'
               ' c.relation IS NOT NULL)'
        INTO messages, first_id, last_id USING webhook_id, since, until, events, entity_id;
END
$$;
COMMENT ON FUNCTION webhook.replay_count(bigint, timestamptz, timestamptz, text, text) IS
    'how many messages a replay would send, and the ids of the first and the last one';

CREATE FUNCTION webhook.replay(webhook_id bigint, since timestamptz, until timestamptz DEFAULT NULL, event text DEFAULT NULL,
                               entity_id text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_replay';
COMMENT ON FUNCTION webhook.replay(bigint, timestamptz, timestamptz, text, text) IS
    'sends messages of the history to one webhook again, or those of some trigger names or of one entity; returns how many, see stat_progress_backfill';

-- For the worker.  A webhook has one replay at a time.
CREATE VIEW webhook.replay_to_do AS
    SELECT DISTINCT ON (b.webhook_id) b.job, b.webhook_id, b.snapshot::text AS snapshot, b.phase <> 'initializing' AS begun, b.replayed_to, b.rows_sent
    FROM webhook.backfill AS b JOIN webhook.webhook AS w ON w.id = b.webhook_id
    WHERE b.relation IS NULL AND b.finished_at IS NULL AND w.active
    ORDER BY b.webhook_id, b.job;
COMMENT ON VIEW webhook.replay_to_do IS 'replays that have not ended, of active webhooks';

-- The next messages of the history, in the order of their ids, until there are so many that the webhook must be sent.  Of the others
-- there is only what is needed to look for deliveries that wait for them.  No row: that was all.
CREATE FUNCTION webhook.replay_next(job bigint, after bigint, maximum integer)
    RETURNS TABLE (id bigint, wanted boolean, entity_type text, entity_id text, message_id uuid, event text, event_uid text, profile text,
                   payload json, created_at timestamptz, relation oid, changed json, former json, context json)
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE ROWS 100 SET search_path = pg_catalog, pg_temp SET jit = off
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
    j     webhook.backfill;
    w     webhook.webhook;
    rows  refcursor;
    m     record;
    v     record;
    sent  integer := 0;
BEGIN
    SELECT * INTO j FROM webhook.backfill AS b WHERE b.job = $1;
    SELECT * INTO w FROM webhook.webhook AS k WHERE k.id = j.webhook_id;
    j.last_id := COALESCE(j.last_id, 9223372036854775807);
    IF j.entity_id IS NULL THEN
        OPEN rows FOR
            SELECT h.*, d.state FROM (SELECT * FROM webhook.history_rows AS h WHERE h.id > $2 AND h.id <= j.last_id ORDER BY h.id LIMIT 200) AS h
            LEFT JOIN webhook.delivery AS d ON d.webhook_id = j.webhook_id AND d.id = h.id
            ORDER BY h.id;
    ELSE
        OPEN rows FOR
            SELECT h.*, d.state FROM (
                SELECT * FROM (SELECT * FROM webhook.history_rows AS h WHERE h.entity_id #>> '{}' = j.entity_id OFFSET 0) AS h
                WHERE h.id > $2 AND h.id <= j.last_id ORDER BY h.id LIMIT 200) AS h
            LEFT JOIN webhook.delivery AS d ON d.webhook_id = j.webhook_id AND d.id = h.id
            ORDER BY h.id;
    END IF;
    LOOP
        FETCH rows INTO m;
        EXIT WHEN NOT FOUND;
        id := m.id;
        entity_type := m.entity_type;
        entity_id := m.entity_id::text;
        SELECT * INTO v FROM webhook.replay_visible(w, m.webhook_ids, m.relation, m.payload, m.former);
        wanted := v.allowed AND (m.epoch < j.epoch) IS NOT FALSE AND m.created_at >= j.since AND (m.created_at < j.until) IS NOT FALSE
            AND (m.state = 'failed') IS NOT FALSE AND (m.context ->> 'replay' IS NULL OR j.webhook_id = ANY (m.webhook_ids))
            AND webhook.replay_matches(j.webhook_id, j.event, m.webhook_ids, m.event, m.event_uid, m.profile, v.payload, v.former,
                                       m.relation IS NOT NULL);
        IF wanted THEN
            message_id := m.message_id;
            event := m.event;
            event_uid := m.event_uid;
            profile := m.profile;
            payload := m.payload;
            created_at := m.created_at;
            relation := m.relation;
            changed := m.changed;
            former := m.former;
            context := m.context;
            sent := sent + 1;
        ELSE
            payload := NULL;
            changed := NULL;
            former := NULL;
            context := NULL;
        END IF;
        RETURN NEXT;
        EXIT WHEN sent >= $3;
    END LOOP;
    CLOSE rows;
END
$$;
COMMENT ON FUNCTION webhook.replay_next(bigint, bigint, integer) IS 'the messages of the history after an id, and whether a replay sends them';

-- The id of the last message about an entity that a replay may have to send; 0: none.  It does not change once the replay has begun.
CREATE FUNCTION webhook.replay_last_id(job bigint, entity_type text, entity_id json) RETURNS bigint
    LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
    SET enable_seqscan = off
AS $$
DECLARE
    j      webhook.backfill;
    entity text := $3 #>> '{}';
BEGIN
    SELECT * INTO j FROM webhook.backfill AS b WHERE b.job = $1;
    IF j.entity_id <> entity THEN
        RETURN 0;
    END IF;
    RETURN (SELECT COALESCE(max(h.id), 0) FROM webhook.history_rows AS h
            WHERE h.entity_id #>> '{}' = entity AND h.entity_type IS NOT DISTINCT FROM $2
              AND (h.id <= j.last_id) IS NOT FALSE AND (h.epoch < j.epoch) IS NOT FALSE
              AND h.created_at >= j.since AND (h.created_at < j.until) IS NOT FALSE);
END
$$;
COMMENT ON FUNCTION webhook.replay_last_id(bigint, text, json) IS
    'the id of the last message about an entity that a replay may have to send';
