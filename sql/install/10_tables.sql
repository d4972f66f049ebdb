-- The tables.  Nothing on a hot path is referenced by a foreign key or updated per request: see src/README.md.

CREATE SEQUENCE webhook.webhook_id_seq AS bigint;

CREATE TABLE webhook.webhook (
    id                    bigint PRIMARY KEY DEFAULT pg_catalog.nextval('webhook.webhook_id_seq'),
    owner                 regrole NOT NULL,
    app                   text NOT NULL,
    name                  text,
    event                 text NOT NULL,
    events                text[] NOT NULL GENERATED ALWAYS AS (pg_catalog.string_to_array(event, ',')) STORED,
    url                   text NOT NULL,
    method                text NOT NULL,
    headers               jsonb NOT NULL,
    format                text NOT NULL,
    event_uids            text,
    uids                  text[] GENERATED ALWAYS AS (pg_catalog.string_to_array(event_uids, ',')) STORED,
    integration           text,
    columns               text[],
    filter                jsonb,
    transform             text,
    ordering              text NOT NULL,
    secret                text NOT NULL,
    previous_secret       text,
    previous_secret_until timestamptz,
    retry_schedule        interval[],
    timeout               interval,
    rate_limit            integer,
    max_in_flight         integer,
    client_cert           text,
    client_key            text,
    ca_cert               text,
    active                boolean NOT NULL,
    buffering             boolean NOT NULL DEFAULT false,
    deactivated_at        timestamptz,
    deactivation_reason   text,
    created_at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at            timestamptz NOT NULL DEFAULT pg_catalog.now(),
    handshake             boolean NOT NULL DEFAULT false,
    discarded             pg_snapshot,    -- what had been written when it was activated without its buffer
    previous              text,
    condition             jsonpath,
    batch_size            integer,
    batch_wait            interval,
    no_retry              integer[],
    signature             text,
    challenge             boolean NOT NULL DEFAULT false,
    activated_at          timestamptz,    -- again, by a user; agreements from before are void
    oauth                 jsonb,          -- how access tokens are requested
    managed_by            text,           -- the document that it was configured by, see apply_config()
    template              jsonb           -- the payload, with placeholders
);
ALTER SEQUENCE webhook.webhook_id_seq OWNED BY webhook.webhook.id;
COMMENT ON TABLE webhook.webhook IS 'the webhooks, as create_webhook() made them; holds secrets';
CREATE INDEX webhook_app_idx ON webhook.webhook (app);
CREATE INDEX webhook_events_idx ON webhook.webhook USING gin (events) WITH (fastupdate = off);     -- webhooks that subscribe to a trigger name

-- Refresh tokens that replace the configured ones.  Added to by the worker; the newest of a webhook counts, older ones are
-- removed when no session holds the webhook's lock.
CREATE TABLE webhook.refresh_token (
    webhook_id bigint NOT NULL,
    configured text NOT NULL,         -- what it replaces: a hash of that, the token URL and the client
    token      text NOT NULL,
    saved_at   timestamptz NOT NULL
);
CREATE INDEX refresh_token_webhook_idx ON webhook.refresh_token (webhook_id);
CREATE INDEX refresh_token_configured_idx ON webhook.refresh_token (configured);
ALTER TABLE webhook.refresh_token REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.refresh_token IS 'the latest refresh tokens, where token servers replace them; holds secrets';

CREATE TABLE webhook.watch (
    relation    regclass PRIMARY KEY,
    entity_type text NOT NULL,
    id          text,
    event_uid   text,
    profile     text,
    paid        text,
    deleted     text,
    columns     text[],
    exclude     text[],
    payload     text,
    search_path text NOT NULL,
    numbers     jsonb,          -- attribute numbers of the columns in columns and exclude, to detect renaming; with key '' those of
                                -- the primary key if that is the id, to detect that it is replaced
    name        text,           -- of the relation, to detect that another relation has taken it
    managed_by  text
);
COMMENT ON TABLE webhook.watch IS 'the watched tables and their settings';

-- The outbox: a log in a ring of partitions.  src/log/outbox.c depends on the order of the columns.  A row can contain
-- several messages of a transaction, as many as fit into a page (src/log/packed_row.c).  toast_tuple_target is the size of a
-- page, so that such a row is neither compressed nor stored out of line.
--
-- Here and below, tables without a primary key have replica identity FULL: otherwise their rows could not be updated or
-- deleted in a database with a publication for all tables.
--
-- The outbox and the cursor are written without firing triggers, so they must not have a unique key: pg_repack copies
-- tables that have one, and records by a trigger what is written meanwhile.
CREATE SEQUENCE webhook.outbox_id_seq AS bigint CACHE 1;
DO $$
BEGIN
    FOR i IN 0..3 LOOP
        EXECUTE pg_catalog.format($ddl$
            CREATE TABLE webhook.outbox_%1$s (
                id          bigint NOT NULL,
                xid         xid8 NOT NULL,
                fence       xid8,
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
                more        bytea,      -- the messages after the first
                changed     json,       -- former values of the columns that changed, if a webhook wants them, or
                former      json,       -- the whole payload before the change
                context     json        -- the session's context of the change: webhook.context and its trace
            ) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off, toast_tuple_target = %2$s);
            CREATE INDEX outbox_%1$s_xid_id_idx ON webhook.outbox_%1$s (xid, id);
            ALTER TABLE webhook.outbox_%1$s REPLICA IDENTITY FULL;
            COMMENT ON TABLE webhook.outbox_%1$s IS 'messages, a partition of the outbox; truncated when all of them are processed';
        $ddl$, i, pg_catalog.current_setting('block_size')::integer - 32);
    END LOOP;
END
$$;

CREATE TYPE webhook.follower AS (
    id          bigint,
    message_id  uuid,
    created_at  timestamptz,
    entity_id   json,
    event_uid   text,
    profile     text,
    payload     json,
    changed     json,
    former      json
);
COMMENT ON TYPE webhook.follower IS 'a message after the first one in a row of the outbox: the values that may differ from those of the first one';

CREATE FUNCTION webhook.run_followers(event_uid text, profile text, more bytea) RETURNS SETOF webhook.follower
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 2
    AS 'MODULE_PATHNAME', 'webhook_run_followers';
COMMENT ON FUNCTION webhook.run_followers(text, text, bytea) IS
    'the messages of a row of the outbox: NULL for the first one, and those after it';

CREATE VIEW webhook.outbox AS
    SELECT COALESCE((r.m).id, r.id) AS id, r.xid, r.fence, COALESCE((r.m).message_id, r.message_id) AS message_id,
           r.event, r.entity_type,
           CASE WHEN (r.m).id IS NULL THEN r.entity_id ELSE (r.m).entity_id END AS entity_id,
           CASE WHEN (r.m).id IS NULL THEN r.event_uid ELSE (r.m).event_uid END AS event_uid,
           CASE WHEN (r.m).id IS NULL THEN r.profile ELSE (r.m).profile END AS profile,
           r.webhook_ids,
           CASE WHEN (r.m).id IS NULL THEN r.payload ELSE (r.m).payload END AS payload,
           COALESCE((r.m).created_at, r.created_at) AS created_at, r.relation,
           CASE WHEN (r.m).id IS NULL THEN r.changed ELSE (r.m).changed END AS changed,
           CASE WHEN (r.m).id IS NULL THEN r.former ELSE (r.m).former END AS former,
           r.context
    FROM (SELECT o.*, webhook.run_followers(o.event_uid, o.profile, o.more) AS m
          FROM (SELECT * FROM webhook.outbox_0 UNION ALL
                SELECT * FROM webhook.outbox_1 UNION ALL
                SELECT * FROM webhook.outbox_2 UNION ALL
                SELECT * FROM webhook.outbox_3) AS o) AS r;
COMMENT ON VIEW webhook.outbox IS 'the messages that are still in the log, delivered ones included';

CREATE TABLE webhook.ring (
    current     smallint NOT NULL,
    switched_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
INSERT INTO webhook.ring (current) VALUES (0);
ALTER TABLE webhook.ring REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.ring IS 'one row: the outbox partition that is being written';

-- How far the outbox has been processed: everything visible in "done", and of what is visible in "through" the ids up to
-- "through_id".  Rows are only inserted, and the newest one counts; the table is truncated from time to time.
CREATE TABLE webhook.cursor (
    seq               bigint NOT NULL,
    system_identifier bigint NOT NULL,
    database          oid NOT NULL,
    written_by        xid8 NOT NULL,
    done              pg_snapshot NOT NULL,
    through           pg_snapshot,
    through_id        bigint,
    written_at        timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (autovacuum_enabled = off);
INSERT INTO webhook.cursor (seq, system_identifier, database, written_by, done)
    SELECT 0, c.system_identifier, d.oid, pg_catalog.pg_current_xact_id(), pg_catalog.pg_current_snapshot()
    FROM pg_catalog.pg_control_system() AS c, pg_catalog.pg_database AS d
    WHERE d.datname = pg_catalog.current_database();
ALTER TABLE webhook.cursor REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.cursor IS 'how far the outbox has been processed, and in which database of which server';

CREATE TABLE webhook.delivery (
    webhook_id      bigint NOT NULL,
    id              bigint NOT NULL,
    message_id      uuid NOT NULL,
    event           text NOT NULL,
    entity_type     text,
    entity_id       json,
    event_uid       text,
    profile         text,
    payload         json,
    created_at      timestamptz NOT NULL,
    order_key       bigint NOT NULL,
    attempts        integer NOT NULL,
    state           text NOT NULL CHECK (state IN ('waiting', 'retrying', 'failed')),
    next_attempt_at timestamptz,
    last_error      text,
    relation        regclass,
    failed_at       timestamptz,
    changed         json,
    former          json,
    context         json,
    PRIMARY KEY (webhook_id, id)
);
CREATE INDEX delivery_due_idx ON webhook.delivery (next_attempt_at, webhook_id, id) WHERE state = 'retrying';
CREATE INDEX delivery_state_idx ON webhook.delivery (webhook_id, state, id) WHERE state IN ('waiting', 'retrying');
CREATE INDEX delivery_order_idx ON webhook.delivery (webhook_id, order_key, id) WHERE state IN ('waiting', 'retrying');
CREATE INDEX delivery_failed_idx ON webhook.delivery (failed_at) WHERE state = 'failed';
CREATE INDEX delivery_dead_idx ON webhook.delivery (webhook_id, failed_at) WHERE state = 'failed';
COMMENT ON TABLE webhook.delivery IS
    'deliveries that did not succeed at once; those that have not failed are the buffer of a deactivated webhook';

-- Attempts and counters: two tables each, used in turn (src/send/log_tables.c).  Rows are only added, and the newest
-- of a webhook count, so that there are no dead rows even if an old snapshot is held; a table is truncated when the
-- other one is full.  No unique keys, as above.
CREATE TABLE webhook.log (
    webhook_id       bigint NOT NULL,
    slot             smallint,      -- no longer used, but dumps of version 0.1.0 have it
    seq              bigint NOT NULL,
    attempted_at     timestamptz NOT NULL,
    message_id       uuid NOT NULL,
    event            text NOT NULL,
    attempt          integer NOT NULL,
    method           text NOT NULL,
    url              text NOT NULL,
    request_headers  text,
    request_body     text,
    status           integer,
    response_headers text,
    response_body    text,
    duration         interval NOT NULL,
    error            text,
    outcome          text NOT NULL,
    messages         integer NOT NULL DEFAULT 1,    -- in the request
    remote_address   text,
    http_version     text,
    dns_time         interval,      -- from the beginning of the request, like the next three
    connect_time     interval,
    tls_time         interval,
    first_byte_time  interval
) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE INDEX log_seq_idx ON webhook.log (webhook_id, seq);
ALTER TABLE webhook.log REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.log IS 'the latest requests of every webhook, see also log_1';

CREATE TABLE webhook.log_1 (LIKE webhook.log INCLUDING DEFAULTS) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE INDEX log_1_seq_idx ON webhook.log_1 (webhook_id, seq);
ALTER TABLE webhook.log_1 REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.log_1 IS 'more of the latest requests, see log';

CREATE TABLE webhook.health (
    webhook_id       bigint NOT NULL,
    delivered        bigint NOT NULL DEFAULT 0,
    failed           bigint NOT NULL DEFAULT 0,
    attempts         bigint NOT NULL DEFAULT 0,
    dropped          bigint NOT NULL DEFAULT 0,
    expired          bigint NOT NULL DEFAULT 0,
    last_success_at  timestamptz,
    last_failure_at  timestamptz,
    last_error       text,
    failures         integer NOT NULL DEFAULT 0,
    failing_since    timestamptz,
    probes           integer NOT NULL DEFAULT 0,
    next_probe_at    timestamptz,
    warned           integer NOT NULL DEFAULT 0,
    agreed_at        timestamptz,
    allowed_rate     integer,
    seq              bigint NOT NULL DEFAULT 0,
    recorded_at      timestamptz,                   -- the minute in which the counters were last written by the worker
    outcomes         bigint[],                      -- attempts by outcome, see attempt_outcomes()
    durations        bigint[],                      -- of attempts: a histogram, see histogram_bounds()
    latencies        bigint[],                      -- from capture to delivery
    duration_us      bigint NOT NULL DEFAULT 0,     -- sums of these, in microseconds
    latency_us       bigint NOT NULL DEFAULT 0
) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE INDEX health_seq_idx ON webhook.health (webhook_id, seq);
ALTER TABLE webhook.health REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.health IS
    'counters and state of every webhook that has sent something, and with id 0 of all; the greatest seq counts, see also health_1';

CREATE TABLE webhook.health_1 (LIKE webhook.health INCLUDING DEFAULTS) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE INDEX health_1_seq_idx ON webhook.health_1 (webhook_id, seq);
ALTER TABLE webhook.health_1 REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.health_1 IS 'more of the counters and states, see health';

-- What the counters were at the end of each minute, and each hour, in which they were written (src/send/activity_tables.c).
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{activity_minute,activity_minute_1,activity_hour,activity_hour_1}'::text[] LOOP
        EXECUTE pg_catalog.format($ddl$
            CREATE TABLE webhook.%1$s (
                webhook_id  bigint NOT NULL,
                recorded_at timestamptz NOT NULL,
                written_at  timestamptz NOT NULL,
                seq         bigint NOT NULL,
                delivered   bigint NOT NULL,
                failed      bigint NOT NULL,
                attempts    bigint NOT NULL,
                dropped     bigint NOT NULL,
                outcomes    bigint[],
                durations   bigint[],
                latencies   bigint[],
                duration_us bigint NOT NULL,
                latency_us  bigint NOT NULL
            ) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
            CREATE INDEX %1$s_seq_idx ON webhook.%1$s (webhook_id, seq);
            ALTER TABLE webhook.%1$s REPLICA IDENTITY FULL;
            COMMENT ON TABLE webhook.%1$s IS 'counters of webhooks as they were at the end of earlier minutes or hours, see health';
        $ddl$, name);
    END LOOP;
END
$$;

CREATE VIEW webhook.last_attempts AS
    SELECT l.*
    FROM webhook.webhook AS w CROSS JOIN LATERAL
         (SELECT * FROM (SELECT * FROM webhook.log UNION ALL SELECT * FROM webhook.log_1) AS a
          WHERE a.webhook_id = w.id ORDER BY a.seq DESC LIMIT 10) AS l;
COMMENT ON VIEW webhook.last_attempts IS 'the last ten requests of every webhook';

CREATE VIEW webhook.current_health AS
    SELECT w.id AS webhook_id, h.delivered, h.failed, h.attempts, h.dropped, h.expired, h.last_success_at, h.last_failure_at,
           h.last_error, h.failures, h.failing_since, h.probes, h.next_probe_at, h.warned, h.agreed_at, h.allowed_rate, h.seq,
           h.recorded_at, h.outcomes, h.durations, h.latencies, h.duration_us, h.latency_us
    FROM webhook.webhook AS w CROSS JOIN LATERAL
         (SELECT * FROM (SELECT * FROM webhook.health UNION ALL SELECT * FROM webhook.health_1) AS a
          WHERE a.webhook_id = w.id ORDER BY a.seq DESC LIMIT 1) AS h;
COMMENT ON VIEW webhook.current_health IS 'counters and state of every webhook that has sent something';

CREATE TABLE webhook.notification (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id bigint,
    kind       text NOT NULL,
    message    text NOT NULL,
    token      text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    read_at    timestamptz
);
CREATE INDEX notification_webhook_idx ON webhook.notification (webhook_id, kind, created_at);
COMMENT ON TABLE webhook.notification IS 'what an operator should know; also sent as NOTIFY webhook';

-- A dump contains the configuration, undelivered messages, and how far the outbox has been processed, which marks a
-- restored outbox as foreign.  It does not contain the ring: CREATE EXTENSION inserts its row, and any partition can be the
-- first one.  Nor does it contain what belongs to dropped roles or tables, of which only the OID is left: where the dump is
-- restored, another role or table may have it.
SELECT pg_catalog.pg_extension_config_dump('webhook.webhook',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = owner) AND (integration IS NULL OR EXISTS (SELECT'
    ' FROM webhook.integration AS i JOIN pg_catalog.pg_roles AS r ON r.oid = i.owner WHERE i.name = integration))');
SELECT pg_catalog.pg_extension_config_dump('webhook.webhook_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.refresh_token', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.watch',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relation)');
SELECT pg_catalog.pg_extension_config_dump('webhook.outbox_0', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.outbox_1', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.outbox_2', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.outbox_3', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.outbox_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.cursor', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.delivery', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.log', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.log_1', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.health', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.health_1', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.activity_minute', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.activity_minute_1', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.activity_hour', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.activity_hour_1', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.notification', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.notification_id_seq', '');
