\echo Use "ALTER EXTENSION webhook UPDATE TO '0.2.0'" to load this file. \quit

-- Functions whose arguments change are dropped and created.  Privileges on them are granted again at the end.

CREATE TABLE webhook.granted AS
    SELECT p.proname, a.grantee, a.is_grantable
    FROM pg_catalog.pg_proc AS p, LATERAL pg_catalog.aclexplode(p.proacl) AS a
    WHERE p.pronamespace = 'webhook'::pg_catalog.regnamespace AND a.grantee <> p.proowner;

-- The row before a change, for messages and conditions; what the session says of it.

ALTER TABLE webhook.webhook ADD COLUMN previous text, ADD COLUMN condition jsonpath;
ALTER TABLE webhook.webhook ADD COLUMN batch_size integer, ADD COLUMN batch_wait interval, ADD COLUMN no_retry integer[];
ALTER TABLE webhook.webhook ADD COLUMN signature text, ADD COLUMN challenge boolean NOT NULL DEFAULT false,
    ADD COLUMN activated_at timestamptz, ADD COLUMN oauth jsonb;

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
SELECT pg_catalog.pg_extension_config_dump('webhook.refresh_token', '');
REVOKE ALL ON webhook.refresh_token FROM PUBLIC;

ALTER TABLE webhook.delivery ADD COLUMN changed json, ADD COLUMN former json, ADD COLUMN context json;
DO $$
BEGIN
    FOR i IN 0..3 LOOP
        EXECUTE pg_catalog.format('ALTER TABLE webhook.outbox_%s ADD COLUMN changed json, ADD COLUMN former json, ADD COLUMN context json', i);
    END LOOP;
END
$$;
ALTER TYPE webhook.follower ADD ATTRIBUTE changed json, ADD ATTRIBUTE former json;

CREATE OR REPLACE VIEW webhook.outbox AS
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

DROP FUNCTION webhook.get_webhooks(text, text);
CREATE FUNCTION webhook.get_webhooks(app text DEFAULT NULL, event text DEFAULT NULL)
RETURNS TABLE (
    id                  bigint,
    app                 text,
    event               text,
    name                text,
    url                 text,
    method              text,
    headers             jsonb,
    format              text,
    event_uids          text,
    integration         text,
    active              boolean,
    deactivated_at      timestamptz,
    deactivation_reason text,
    failing_since       timestamptz,
    pending             bigint,
    buffered            bigint,
    created_at          timestamptz,
    updated_at          timestamptz,
    owner               regrole,
    columns             text[],
    filter              jsonb,
    transform           text,
    ordering            text,
    retry_schedule      interval[],
    timeout             interval,
    rate_limit          integer,
    max_in_flight       integer,
    client_cert         text,
    ca_cert             text,
    handshake           boolean,
    previous            text,
    condition           text,
    batch_size          integer,
    batch_wait          interval,
    oauth               jsonb,
    signature           text,
    no_retry            integer[],
    challenge           boolean,
    template            jsonb
)
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_get_webhooks';
COMMENT ON FUNCTION webhook.get_webhooks(text, text)
    IS 'lists the webhooks of the current role, all or those of an app or subscribed to a trigger name; shows no secrets';
REVOKE ALL ON FUNCTION webhook.get_webhooks FROM PUBLIC;

-- Integrations: the previous API key can remain valid for some time; deleting an integration also deletes its overrides.

ALTER TABLE webhook.integration
    ADD COLUMN previous_api_key_id    text,
    ADD COLUMN previous_api_key_hash  bytea,
    ADD COLUMN previous_api_key_until timestamptz;

DROP FUNCTION webhook.rotate_api_key(text);
CREATE FUNCTION webhook.rotate_api_key(integration text, grace interval DEFAULT '0') RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_rotate_api_key';
COMMENT ON FUNCTION webhook.rotate_api_key(text, interval)
    IS 'replaces the API key of an integration; returns the new one, which is not shown again; the old one works until the grace period is over';
REVOKE ALL ON FUNCTION webhook.rotate_api_key FROM PUBLIC;

ALTER TABLE webhook.event_override DROP CONSTRAINT event_override_integration_fkey,
    ADD CONSTRAINT event_override_integration_fkey
    FOREIGN KEY (integration) REFERENCES webhook.integration ON UPDATE CASCADE ON DELETE CASCADE;
COMMENT ON FUNCTION webhook.get_integrations()
    IS 'lists the integrations of the current role, with the age of their API keys; a row without a name has events without integration';

-- A field mapping belongs to an entity type.  Existing ones become those of guests.

UPDATE webhook.shape SET value = pg_catalog.jsonb_build_object('guest', value)
    WHERE kind IN ('account', 'profile', 'event') AND pg_catalog.jsonb_typeof(value) = 'array';

DROP FUNCTION webhook.set_field_mapping(jsonb, text, text, text);
CREATE FUNCTION webhook.set_field_mapping(mapping jsonb, integration text DEFAULT NULL, profile text DEFAULT NULL,
    event_uid text DEFAULT NULL, entity_type text DEFAULT 'guest') RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_set_field_mapping';
COMMENT ON FUNCTION webhook.set_field_mapping(jsonb, text, text, text, text)
    IS 'sets which fields of an entity type are sent under which names, for an integration, a profile or an event; NULL removes it';
REVOKE ALL ON FUNCTION webhook.set_field_mapping FROM PUBLIC;

-- Test calls with the record of any watched entity type.

DROP FUNCTION webhook.test_webhook(bigint, text);
CREATE FUNCTION webhook.test_webhook(id bigint, entity_id text DEFAULT NULL, entity_type text DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_test_webhook';
COMMENT ON FUNCTION webhook.test_webhook(bigint, text, text)
    IS 'sends one request with the record of this entity, or the newest one, of any watched entity type, even if the webhook is not active; returns the message id';
REVOKE ALL ON FUNCTION webhook.test_webhook FROM PUBLIC;

-- Why a worker has failed, and when it is restarted.  Roles with privileges on worker_slots() get the same on this.

CREATE FUNCTION webhook.worker_states(
    OUT database   oid,
    OUT since      timestamptz,
    OUT restart_at timestamptz,
    OUT last_error text,
    OUT condition_errors bigint,
    OUT proxy_failing_since timestamptz
) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_worker_states';
COMMENT ON FUNCTION webhook.worker_states() IS 'since when the databases are in their state, and when and why a worker is started again';
REVOKE ALL ON FUNCTION webhook.worker_states FROM PUBLIC;
INSERT INTO webhook.granted
    SELECT 'worker_states', g.grantee, g.is_grantable FROM webhook.granted AS g WHERE g.proname OPERATOR(pg_catalog.=) 'worker_slots';
CREATE OR REPLACE VIEW webhook.stat_workers AS
    SELECT d.datname AS database, s.pid, s.state, s.activity, s.in_flight, s.delivered, s.failed, t.restart_at, t.last_error, t.since,
           t.condition_errors, t.proxy_failing_since
      FROM webhook.worker_slots() AS s
      LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.database
      LEFT JOIN webhook.worker_states() AS t ON t.database = s.database;

-- Record the primary key if it is the id, to detect that it is replaced.

UPDATE webhook.watch AS w SET numbers = COALESCE(w.numbers, '{}') || k.key
    FROM (SELECT i.indrelid, pg_catalog.jsonb_build_object('', pg_catalog.jsonb_object_agg(a.attname, a.attnum)) AS key
          FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS a
              ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
          WHERE i.indisprimary GROUP BY i.indrelid) AS k
    WHERE k.indrelid = w.relation AND w.id IS NULL;

-- A function can be named without its arguments.

-- The type of arguments that name a function: text, with the types of the function's arguments if its name is not unique,
-- or a value of one of PostgreSQL's own types for functions.
CREATE TYPE webhook.function_name;
CREATE FUNCTION webhook.function_name_in(cstring) RETURNS webhook.function_name
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textin';
COMMENT ON FUNCTION webhook.function_name_in(cstring) IS 'input function of type function_name';
CREATE FUNCTION webhook.function_name_out(webhook.function_name) RETURNS cstring
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textout';
COMMENT ON FUNCTION webhook.function_name_out(webhook.function_name) IS 'output function of type function_name';
CREATE TYPE webhook.function_name (INPUT = webhook.function_name_in, OUTPUT = webhook.function_name_out, LIKE = pg_catalog.text);
COMMENT ON TYPE webhook.function_name IS 'name of a function: ''f'', or ''f(jsonb)'' where several have that name';
CREATE CAST (pg_catalog.text AS webhook.function_name) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (pg_catalog.varchar AS webhook.function_name) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (pg_catalog.regproc AS webhook.function_name) WITH INOUT AS IMPLICIT;
CREATE CAST (pg_catalog.regprocedure AS webhook.function_name) WITH INOUT AS IMPLICIT;
REVOKE ALL ON FUNCTION webhook.function_name_in, webhook.function_name_out FROM PUBLIC;

DROP FUNCTION webhook.create_webhook(text, text, text, text, text, jsonb, text, text, text, text[], jsonb, regprocedure,
    text, text, interval[], interval, integer, integer, text, text, text, boolean, boolean);
CREATE FUNCTION webhook.create_webhook(
    app            text,
    event          text,
    url            text,
    name           text DEFAULT NULL,
    method         text DEFAULT 'POST',
    headers        jsonb DEFAULT '{}',
    format         text DEFAULT 'entity',
    event_uids     text DEFAULT NULL,
    integration    text DEFAULT NULL,
    columns        text[] DEFAULT NULL,
    filter         jsonb DEFAULT NULL,
    transform      webhook.function_name DEFAULT NULL,
    ordering       text DEFAULT 'entity',
    secret         text DEFAULT NULL,
    retry_schedule interval[] DEFAULT NULL,
    timeout        interval DEFAULT NULL,
    rate_limit     integer DEFAULT NULL,
    max_in_flight  integer DEFAULT NULL,
    client_cert    text DEFAULT NULL,
    client_key     text DEFAULT NULL,
    ca_cert        text DEFAULT NULL,
    active         boolean DEFAULT true,
    handshake      boolean DEFAULT false,
    previous       text DEFAULT NULL,
    condition      text DEFAULT NULL,
    batch_size     integer DEFAULT NULL,
    batch_wait     interval DEFAULT NULL,
    oauth          jsonb DEFAULT NULL,
    signature      text DEFAULT NULL,
    no_retry       integer[] DEFAULT NULL,
    challenge      boolean DEFAULT false,
    template       jsonb DEFAULT NULL
) RETURNS bigint
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_create_webhook';
COMMENT ON FUNCTION webhook.create_webhook(text, text, text, text, text, jsonb, text, text, text, text[], jsonb, webhook.function_name,
    text, text, interval[], interval, integer, integer, text, text, text, boolean, boolean, text, text, integer, interval, jsonb, text, integer[], boolean, jsonb)
    IS 'creates a webhook that belongs to the current role, and returns its id';
REVOKE ALL ON FUNCTION webhook.create_webhook FROM PUBLIC;

DROP FUNCTION webhook.watch(regclass, text, text, text, text, text, text, text[], text[], regprocedure);
CREATE FUNCTION webhook.watch(relation regclass, entity_type text,
    id text DEFAULT NULL, event_uid text DEFAULT NULL, profile text DEFAULT NULL, paid text DEFAULT NULL,
    deleted text DEFAULT NULL, columns text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
    payload webhook.function_name DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
    AS 'MODULE_PATHNAME', 'webhook_watch';
COMMENT ON FUNCTION webhook.watch(regclass, text, text, text, text, text, text, text[], text[], webhook.function_name) IS
    'have every change of a table captured as <entity_type>.create, .update and .delete; calling it again changes the settings';
REVOKE ALL ON FUNCTION webhook.watch FROM PUBLIC;

DROP FUNCTION webhook.get_webhook_log(bigint);
CREATE FUNCTION webhook.get_webhook_log(id bigint)
RETURNS TABLE (
    attempted_at     timestamptz,
    message_id       text,
    event            text,
    attempt          integer,
    method           text,
    url              text,
    request_headers  text,
    request_body     text,
    status           integer,
    response_headers text,
    response_body    text,
    duration         interval,
    error            text,
    outcome          text,
    messages         integer,
    remote_address   text,
    http_version     text,
    dns_time         interval,
    connect_time     interval,
    tls_time         interval,
    first_byte_time  interval
)
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'webhook_get_webhook_log';
COMMENT ON FUNCTION webhook.get_webhook_log(bigint)
    IS 'the last ten requests of a webhook of the current role, newest first';
REVOKE ALL ON FUNCTION webhook.get_webhook_log FROM PUBLIC;

-- Messages that have failed for good.

CREATE INDEX delivery_dead_idx ON webhook.delivery (webhook_id, failed_at) WHERE state = 'failed';
CREATE INDEX notification_webhook_idx ON webhook.notification (webhook_id, kind, created_at);
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
REVOKE ALL ON webhook.unreported_failures FROM PUBLIC;
REVOKE ALL ON FUNCTION webhook.failures_since FROM PUBLIC;

CREATE FUNCTION webhook.redeliver_failed(webhook_id bigint, since timestamptz DEFAULT NULL, event text DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_redeliver_failed';
COMMENT ON FUNCTION webhook.redeliver_failed(bigint, timestamptz, text)
    IS 'delivers all messages again that have failed for good, or those that did since a time, or with these trigger names; returns their number';
REVOKE ALL ON FUNCTION webhook.redeliver_failed FROM PUBLIC;

-- The name of a watched table, to detect that another one gets it.

ALTER TABLE webhook.watch ADD COLUMN name text;
UPDATE webhook.watch AS w SET name = pg_catalog.format('%I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = w.relation;

-- A session looks only for the webhooks that its trigger names concern.

CREATE INDEX webhook_events_idx ON webhook.webhook USING gin (events) WITH (fastupdate = off);

-- SQL that version 0.1.0 had in its library.

-- Attempts and counters: rows are only added, to two tables in turn.

ALTER TABLE webhook.log DROP CONSTRAINT log_pkey, DROP CONSTRAINT log_slot_check, ALTER slot DROP NOT NULL;
ALTER TABLE webhook.log ADD COLUMN messages integer NOT NULL DEFAULT 1, ADD COLUMN remote_address text,
    ADD COLUMN http_version text, ADD COLUMN dns_time interval, ADD COLUMN connect_time interval, ADD COLUMN tls_time interval,
    ADD COLUMN first_byte_time interval;
ALTER TABLE webhook.log RESET (fillfactor);
ALTER TABLE webhook.log SET (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE INDEX log_seq_idx ON webhook.log (webhook_id, seq);
ALTER TABLE webhook.log REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.log IS 'the latest requests of every webhook, see also log_1';
CREATE TABLE webhook.log_1 (LIKE webhook.log INCLUDING DEFAULTS) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
CREATE INDEX log_1_seq_idx ON webhook.log_1 (webhook_id, seq);
ALTER TABLE webhook.log_1 REPLICA IDENTITY FULL;
COMMENT ON TABLE webhook.log_1 IS 'more of the latest requests, see log';
SELECT pg_catalog.pg_extension_config_dump('webhook.log_1', '');

ALTER TABLE webhook.health DROP CONSTRAINT health_pkey, ADD COLUMN seq bigint NOT NULL DEFAULT 0, ADD COLUMN recorded_at timestamptz,
    ADD COLUMN outcomes bigint[], ADD COLUMN durations bigint[], ADD COLUMN latencies bigint[],
    ADD COLUMN duration_us bigint NOT NULL DEFAULT 0, ADD COLUMN latency_us bigint NOT NULL DEFAULT 0;
ALTER TABLE webhook.health RESET (fillfactor);
ALTER TABLE webhook.health SET (autovacuum_enabled = off, toast.autovacuum_enabled = off);
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
REVOKE ALL ON webhook.log_1, webhook.health_1, webhook.last_attempts, webhook.current_health FROM PUBLIC;
REVOKE ALL ON webhook.activity_minute, webhook.activity_minute_1, webhook.activity_hour, webhook.activity_hour_1 FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('webhook.health_1', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.activity_minute', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.activity_minute_1', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.activity_hour', '');
SELECT pg_catalog.pg_extension_config_dump('webhook.activity_hour_1', '');

-- Messages that the worker has not processed, according to the newest position; see src/log/unread.c.  In the target list of a
-- query they are read as they are needed.
CREATE OR REPLACE FUNCTION webhook.outbox_unread() RETURNS TABLE (id bigint, message_id uuid, event text, entity_id json,
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

-- For activate_webhook(), which has checked that the caller may manage the webhook.
CREATE OR REPLACE FUNCTION webhook.buffered(webhook_id bigint) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT count(*) FROM webhook.delivery AS d WHERE d.webhook_id = $1 AND d.state IN ('waiting', 'retrying'))
         + coalesce((SELECT b.messages FROM webhook.outbox_backlog(true) AS b JOIN webhook.webhook AS h ON h.id = b.webhook_id
                     WHERE h.id = $1 AND (h.active OR h.buffering)), 0);
$$;

-- Roles that can read stat_webhooks need backlog_estimate() for it from now on.
INSERT INTO webhook.granted
    SELECT 'backlog_estimate', g.grantee, g.is_grantable FROM webhook.granted AS g WHERE g.proname OPERATOR(pg_catalog.=) 'outbox_unread';
REVOKE ALL ON FUNCTION webhook.outbox_backlog, webhook.backlog_estimate, webhook.pending_estimate, webhook.oldest_pending_age, webhook.pending_of,
    webhook.pending_for, webhook.estimate_for FROM PUBLIC;

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

-- For get_integrations().  A row without a name has the role's events without an integration.
CREATE FUNCTION webhook.integrations_for(role oid, max_key_age integer)
RETURNS TABLE (
    name               text,
    description        text,
    owner              regrole,
    profiles           text[],
    api_profiles       text[],
    active_profiles    text[],
    override_events    text[],
    webhooks           bigint,
    api_key_created_at timestamptz,
    api_key_age        interval,
    api_key_too_old    boolean,
    created_at         timestamptz
)
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.name, i.description, i.owner,
           ARRAY(SELECT p.profile FROM webhook.integration_profile AS p WHERE p.integration = i.name ORDER BY 1),
           ARRAY(SELECT p.profile FROM webhook.integration_profile AS p WHERE p.integration = i.name AND p.api_access ORDER BY 1),
           ARRAY(SELECT a.profile FROM webhook.active_integration AS a WHERE a.integration = i.name ORDER BY 1),
           ARRAY(SELECT o.event_uid FROM webhook.event_override AS o WHERE o.integration = i.name ORDER BY 1),
           (SELECT count(*) FROM webhook.webhook AS w WHERE w.integration = i.name),
           i.api_key_created_at, now() - i.api_key_created_at,
           $2 > 0 AND i.api_key_created_at < now() - make_interval(secs => $2), i.created_at
    FROM webhook.integration AS i WHERE pg_has_role($1, i.owner::oid, 'USAGE')
    UNION ALL
    SELECT NULL, NULL, o.owner, '{}', '{}', '{}', array_agg(o.event_uid ORDER BY o.event_uid), 0, NULL, NULL, NULL, NULL
    FROM webhook.event_override AS o
    WHERE o.integration IS NULL AND pg_has_role($1, o.owner::oid, 'USAGE') GROUP BY o.owner
    ORDER BY 1, 3;
$$;
COMMENT ON FUNCTION webhook.integrations_for(oid, integer) IS 'the integrations that a role may manage';

-- For set_field_mapping(), set_payload_template() and set_form(), which check the document.  A mapping has an entity type
-- and is stored in an object with those of other types; version 0.1.0 stored an array, for guests.
CREATE FUNCTION webhook.store_shape(integration text, kind text, target text, role oid, entity_type text, document jsonb)
RETURNS boolean
    LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO webhook.shape AS s (integration, kind, target, owner, value)
        VALUES ($1, $2, $3, $4, CASE WHEN $5 IS NULL THEN $6 ELSE jsonb_build_object($5, $6) END)
        ON CONFLICT (COALESCE(integration, ''), kind, target) DO UPDATE
        SET owner = excluded.owner,
            value = CASE WHEN $5 IS NULL THEN excluded.value
                         WHEN jsonb_typeof(s.value) = 'object' THEN s.value || excluded.value
                         ELSE jsonb_build_object('guest', s.value) || excluded.value END
        WHERE s.integration IS NOT NULL OR pg_has_role($4, s.owner::oid, 'USAGE')
        RETURNING true;
$$;
COMMENT ON FUNCTION webhook.store_shape(text, text, text, oid, text, jsonb)
    IS 'sets a mapping, template or form for a role; null if it belongs to another role';

CREATE FUNCTION webhook.remove_shape(integration text, kind text, target text, role oid, entity_type text) RETURNS void
    LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE webhook.shape AS s
        SET value = CASE WHEN jsonb_typeof(s.value) = 'object' THEN s.value ELSE jsonb_build_object('guest', s.value) END - $5
        WHERE $5 IS NOT NULL AND COALESCE(s.integration, '') = COALESCE($1, '') AND s.kind = $2 AND s.target = $3
          AND (s.integration IS NOT NULL OR pg_has_role($4, s.owner::oid, 'USAGE'));
    DELETE FROM webhook.shape AS s
        WHERE ($5 IS NULL OR s.value = '{}') AND COALESCE(s.integration, '') = COALESCE($1, '') AND s.kind = $2 AND s.target = $3
          AND (s.integration IS NOT NULL OR pg_has_role($4, s.owner::oid, 'USAGE'));
$$;
COMMENT ON FUNCTION webhook.remove_shape(text, text, text, oid, text) IS 'the same, for NULL instead of a document';

-- For check_form().  The types are those of the fields, in their order.
CREATE FUNCTION webhook.form_problems(integration text, entity_type text, types text[], role oid)
RETURNS TABLE (field text, type text, problem text)
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.field->>'name', f.field->>'type',
           CASE WHEN w.relation IS NULL THEN 'no table is watched as this entity type'
                WHEN a.attname IS NULL THEN format('table %s has no such column', w.relation)
                WHEN a.attname = ANY (w.exclude) OR a.attname <> ALL (w.columns)
                THEN format('the column of table %s is not in the payload', w.relation)
                WHEN x.fits THEN format('the column of table %s can be null and is required', w.relation)
                ELSE format('the column of table %s is of type %s', w.relation, format_type(a.atttypid, NULL)) END
    FROM webhook.shape AS s CROSS JOIN LATERAL jsonb_array_elements(s.value) WITH ORDINALITY AS f (field, n)
         LEFT JOIN (webhook.watch AS w JOIN pg_catalog.pg_class AS c ON c.oid = w.relation) ON w.entity_type = $2
         LEFT JOIN pg_catalog.pg_attribute AS a
             ON a.attrelid = w.relation AND a.attname = f.field->>'name' AND a.attnum > 0 AND NOT a.attisdropped
         LEFT JOIN pg_catalog.pg_type AS d ON d.oid = a.atttypid AND d.typtype = 'd'
         LEFT JOIN pg_catalog.pg_type AS t ON t.oid = COALESCE(d.typbasetype, a.atttypid)
         CROSS JOIN LATERAL (SELECT
             CASE $3[f.n]
                 WHEN 'integer' THEN t.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
                 WHEN 'number' THEN t.typcategory = 'N'
                 WHEN 'boolean' THEN t.typcategory = 'B'
                 WHEN 'date' THEN t.oid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
                 WHEN 'timestamp' THEN t.oid IN ('timestamp'::regtype, 'timestamptz'::regtype)
                 ELSE t.oid IS NOT NULL END) AS x (fits)
    WHERE s.integration = $1 AND s.kind = 'form' AND s.target = $2 AND w.payload IS NULL
      AND NOT COALESCE(x.fits
                       AND (a.attnotnull OR d.typnotnull OR f.field->'required' IS DISTINCT FROM 'true'
                            OR f.field->>'default' IS NOT NULL)
                       AND (w.exclude IS NULL OR a.attname <> ALL (w.exclude))
                       AND (w.columns IS NULL OR a.attname = ANY (w.columns)), false)
      AND EXISTS (SELECT FROM webhook.integration AS i WHERE i.name = s.integration AND pg_has_role($4, i.owner::oid, 'USAGE'))
    ORDER BY w.relation, f.n;
$$;
COMMENT ON FUNCTION webhook.form_problems(text, text, text[], oid) IS 'where the watched tables do not fit the form of a role''s integration';

-- For get_manual_actions(), with the integration that counts for the event.
CREATE FUNCTION webhook.manual_actions_for(entity_type text, event_uid text, integration text, role oid)
RETURNS TABLE (webhook_id bigint, label text, app text)
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.id, COALESCE(w.name, w.app), w.app FROM webhook.webhook AS w
    WHERE w.active AND w.events && ARRAY[$1 || '.manual', $1 || '.*']
      AND ($2 IS NULL OR ((w.uids IS NULL OR $2 = ANY (w.uids)) AND (w.integration IS NULL OR w.integration = $3)))
      AND pg_has_role($4, w.owner::oid, 'USAGE')
    ORDER BY 2, 1;
$$;
COMMENT ON FUNCTION webhook.manual_actions_for(text, text, text, oid) IS 'webhooks of a role that users can fire for an entity type';

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

-- For the worker.  Each key is reported once.
CREATE FUNCTION webhook.note_key_ages(max_age integer) RETURNS void
    LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH old AS (
        UPDATE webhook.integration SET age_reported_at = now()
        WHERE age_reported_at IS NULL AND api_key_created_at < now() - make_interval(secs => $1)
        RETURNING name, api_key_created_at::date AS created),
    noted AS (
        INSERT INTO webhook.notification (kind, message)
        SELECT 'api_key_age', format('The API key of integration "%s" is from %s and should be replaced with webhook.rotate_api_key().',
                                     o.name, o.created)
        FROM old AS o RETURNING id, kind, message)
    SELECT pg_notify('webhook', json_build_object('id', n.id, 'kind', n.kind, 'message', n.message)::text) FROM noted AS n;
$$;
COMMENT ON FUNCTION webhook.note_key_ages(integer) IS 'reports API keys that are older than this many seconds';

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
REVOKE ALL ON webhook.changed_table, webhook.backlog FROM PUBLIC;
REVOKE ALL ON FUNCTION webhook.withheld_from, webhook.check_withheld, webhook.note_withheld, webhook.note_changed_tables,
    webhook.note_key_ages FROM PUBLIC;

REVOKE ALL ON FUNCTION webhook.outbox_to_delivery, webhook.outbox_samples, webhook.watched_numbers,
    webhook.integrations_for, webhook.store_shape, webhook.remove_shape, webhook.form_problems, webhook.manual_actions_for FROM PUBLIC;

-- Messages in better words.

CREATE FUNCTION webhook.skip_ids(used bigint) RETURNS void
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_skip_ids';
COMMENT ON FUNCTION webhook.skip_ids(bigint) IS 'no message gets an id up to this one any more';

CREATE OR REPLACE FUNCTION webhook.adopt(pending text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own      webhook.cursor;    -- position in what was written here, or in the template
    theirs   webhook.cursor;    -- position from the dump
    restored boolean;
    top      bigint;
    result   bigint;
BEGIN
    IF pending IS NULL OR pending NOT IN ('send', 'discard') THEN
        RAISE EXCEPTION 'invalid value for argument "pending": %', coalesce(quote_literal(pending), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Specify ''send'' if this database replaces the one that the messages come from, or ''discard'' if it is a copy.';
    END IF;
    LOCK TABLE webhook.cursor IN SHARE ROW EXCLUSIVE MODE;
    IF NOT webhook.outbox_is_foreign() THEN
        RAISE EXCEPTION 'outbox of database "%" was not restored or copied', current_database()
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'All its messages were written here, so they need not be adopted.';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        -- The worker starts to send as soon as our changes are visible, so they must be durable.
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    SELECT * INTO own FROM webhook.cursor AS c WHERE c.database <> 0 ORDER BY c.seq DESC LIMIT 1;
    SELECT * INTO theirs FROM webhook.cursor AS c WHERE c.database = 0 ORDER BY c.seq DESC LIMIT 1;
    restored := theirs.seq IS NOT NULL OR EXISTS (SELECT FROM webhook.outbox AS o WHERE o.xid = '0');
    SELECT count(*) INTO result
        FROM (SELECT u.id FROM webhook.outbox_unread() AS u
              WHERE NOT restored OR u.id IN (SELECT o.id FROM webhook.outbox AS o WHERE o.xid = '0')
              UNION SELECT d.id FROM webhook.delivery AS d WHERE d.state <> 'failed') AS m;

    IF pending = 'discard' THEN
        DELETE FROM webhook.delivery;
        UPDATE webhook.webhook
           SET active = false, buffering = false, deactivated_at = now(), deactivation_reason = 'copy'
         WHERE active OR buffering;
    END IF;
    IF restored THEN
        -- These are transaction ids of the other server.
        UPDATE webhook.webhook SET discarded = NULL WHERE discarded IS NOT NULL;
    END IF;
    FOR i IN 0..3 LOOP
        -- Processed messages of an earlier adoption would be sent again.
        EXECUTE format('DELETE FROM webhook.outbox_%s WHERE xid = ''2'' AND pg_visible_in_snapshot(xid, $1)', i)
            USING own.done;
        -- One row per message, because some messages of a row may have been processed.
        EXECUTE format('INSERT INTO webhook.outbox_%1$s (id, xid, fence, message_id, event, entity_type, entity_id, event_uid,'
                       '  profile, webhook_ids, payload, created_at, relation, changed, former, context)'
                       ' SELECT (r.m).id, r.xid, r.fence, (r.m).message_id, r.event, r.entity_type, (r.m).entity_id,'
                       '  (r.m).event_uid, (r.m).profile, r.webhook_ids, (r.m).payload, (r.m).created_at, r.relation,'
                       '  (r.m).changed, (r.m).former, r.context'
                       ' FROM (SELECT o.*, webhook.run_followers(o.event_uid, o.profile, o.more) AS m'
                       '       FROM webhook.outbox_%1$s AS o WHERE o.xid = ''0'' AND o.more IS NOT NULL) AS r'
                       ' WHERE (r.m).id IS NOT NULL', i);
        EXECUTE format('UPDATE webhook.outbox_%s SET more = NULL WHERE xid = ''0'' AND more IS NOT NULL', i);
        IF pending = 'send' THEN
            EXECUTE format('UPDATE webhook.outbox_%s SET xid = ''2'', fence = NULL WHERE xid = ''0'''
                           ' AND NOT coalesce(pg_visible_in_snapshot(fence, $1), false)'
                           ' AND NOT coalesce(id <= $3 AND pg_visible_in_snapshot(fence, $2), false)', i)
                USING theirs.done, theirs.through, theirs.through_id;
        END IF;
        EXECUTE format('DELETE FROM webhook.outbox_%s WHERE xid = ''0''', i);
    END LOOP;

    IF pending = 'send' THEN
        own.done := coalesce(own.done, '3:3:');
        IF restored THEN
            own.done := webhook.with_adopted(own.done);
            own.through := webhook.with_adopted(own.through);
        END IF;
    ELSIF own.done IS NULL OR NOT restored THEN
        own.done := pg_current_snapshot();
        own.through := NULL;
        own.through_id := NULL;
    END IF;
    DELETE FROM webhook.cursor;
    INSERT INTO webhook.cursor (seq, system_identifier, database, written_by, done, through, through_id)
        SELECT coalesce(own.seq, 0) + 1, s.system_identifier, d.oid, pg_current_xact_id(),
               own.done, own.through, own.through_id
        FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database();

    -- The dump may have been restored without its sequences.
    SELECT max(m.id) INTO top
        FROM (SELECT o.id FROM webhook.outbox AS o UNION ALL SELECT d.id FROM webhook.delivery AS d) AS m;
    PERFORM webhook.skip_ids(top);
    RETURN result;
END
$$;

-- Comments in better words.
COMMENT ON FUNCTION webhook.activate_webhook(bigint, boolean)
    IS 'activates a webhook; buffered messages are sent (replay_events) or dropped; returns how many will be sent';
COMMENT ON FUNCTION webhook.reactivate(text, boolean)
    IS 'activates a webhook with the token of a notification, which can be used once; returns how many buffered messages will be sent';
COMMENT ON FUNCTION webhook.redeliver(bigint, text)
    IS 'delivers a message again, with the same id; false if its delivery is still pending';
COMMENT ON FUNCTION webhook.deactivate_webhook(bigint, boolean)
    IS 'deactivates a webhook, buffering its messages or not; returns whether it was active';
COMMENT ON FUNCTION webhook.delete_webhook_by_id(bigint)
    IS 'deletes a webhook with everything that belongs to it; nothing is sent to it after the commit';
COMMENT ON FUNCTION webhook.get_secret(bigint)
    IS 'the secret with which the messages of a webhook are signed; for its owner only';
COMMENT ON FUNCTION webhook.mark_restored_message() IS 'row trigger that marks messages restored from a dump';
COMMENT ON FUNCTION webhook.mark_restored_position() IS 'row trigger that marks a position restored from a dump';
COMMENT ON FUNCTION webhook.outbox_is_foreign()
    IS 'whether the outbox was restored from a dump, or copied from another database';
COMMENT ON FUNCTION webhook.with_adopted(pg_snapshot) IS 'the same position, but before all adopted messages';
COMMENT ON FUNCTION webhook.adopt(text)
    IS 'after a database was restored or copied: sends or discards the undelivered messages in it; returns how many';
REVOKE ALL ON FUNCTION webhook.skip_ids FROM PUBLIC;
COMMENT ON FUNCTION webhook.worker_slots()
    IS 'the databases of this server that have the extension, or are being checked for it';
COMMENT ON VIEW webhook.stat_workers IS 'per database: its worker and what that has done';
COMMENT ON TABLE webhook.event_override IS 'events that do not use the integration of their profile';
COMMENT ON TABLE webhook.paid_entity IS 'paid entities of events with only_paid, which receivers have been sent';
COMMENT ON FUNCTION webhook.delete_integration(text)
    IS 'deletes an integration with its webhooks and everything that belongs to it; true if it existed';
COMMENT ON FUNCTION webhook.disconnect_profile(text, text)
    IS 'disconnects a profile from an integration, even if that is active for it; true if it was connected';
COMMENT ON FUNCTION webhook.activate_integration(text, text)
    IS 'makes an integration the active one of a profile: its webhooks are sent the changes';
COMMENT ON FUNCTION webhook.deactivate_integration(text)
    IS 'leaves a profile without active integration; true if it had one';
COMMENT ON FUNCTION webhook.override_event(text, text, boolean, boolean)
    IS 'sets the integration of an event, or none, in place of that of its profile, and what payment means for its webhooks';
COMMENT ON FUNCTION webhook.clear_event_override(text)
    IS 'removes an override, so that the event uses the integration of its profile; true if there was one';
COMMENT ON FUNCTION webhook.fire_webhook(bigint, text)
    IS 'sends an entity as it is now to one webhook, which must have a manual trigger; returns the message id';
COMMENT ON FUNCTION webhook.get_manual_actions(text, text)
    IS 'lists the manual triggers for entities of a type, all or those for one event; fire_webhook() fires one';
COMMENT ON FUNCTION webhook.get_events(text, text, integer, integer, text, boolean)
    IS 'events of the profiles that an API key gives access to, in the form in which webhooks of its integration are sent them';
COMMENT ON FUNCTION webhook.get_attendees(text, text, text, integer, integer, text, boolean)
    IS 'guests of the profiles that an API key gives access to, in the form in which webhooks of its integration are sent them';
COMMENT ON FUNCTION webhook.rest_hook_subscribe(text, text, text)
    IS 'creates a webhook in format rest; unsubscribe with the id in the result';
COMMENT ON FUNCTION webhook.rest_hook_unsubscribe(bigint) IS 'deletes a webhook that rest_hook_subscribe() has created';
COMMENT ON FUNCTION webhook.rest_hook_sample(text)
    IS 'up to three payloads, newest first, as webhooks that subscribe to the trigger name are sent them';
COMMENT ON FUNCTION webhook.describe_format(text) IS 'the JSON Schema (draft 2020-12) of request bodies in this format';
COMMENT ON TABLE webhook.watch IS 'the watched tables and their settings';
COMMENT ON TYPE webhook.follower IS 'a message after the first one in a row of the outbox: the values that may differ from those of the first one';
COMMENT ON FUNCTION webhook.run_followers(text, text, bytea) IS
    'the messages of a row of the outbox: NULL for the first one, and those after it';
COMMENT ON TABLE webhook.cursor IS 'how far the outbox has been processed, and in which database of which server';
COMMENT ON TABLE webhook.delivery IS
    'deliveries that did not succeed at once; those that have not failed are the buffer of a deactivated webhook';
COMMENT ON FUNCTION webhook.access_problem(oid, regclass) IS
    'why rows of a watched table are not sent to the webhooks of a role; empty if they are, null if the table is locked';
COMMENT ON FUNCTION webhook.access_hidden(oid, regclass) IS
    'the columns of a watched table that are omitted for the webhooks of a role that get its rows; null if there are none';
COMMENT ON FUNCTION webhook.pending(bigint) IS
    'committed messages that are neither delivered, nor permanently failed, nor buffered, of one or all webhooks of the current role, counted once per webhook';
COMMENT ON FUNCTION webhook.buffered(bigint) IS
    'messages that are buffered for a deactivated webhook, including those that the worker has not read yet';
COMMENT ON TABLE webhook.integration IS 'the integrations; only hashes of their API keys are stored';
DO $$
BEGIN
    FOR i IN 0..3 LOOP
        EXECUTE pg_catalog.format('COMMENT ON TABLE webhook.outbox_%s IS %L', i,
                                  'messages, a partition of the outbox; truncated when all of them are processed');
    END LOOP;
END
$$;

-- Comments on the columns of views and tables for users.

COMMENT ON SCHEMA webhook IS 'webhooks: what changes in this database is sent over HTTP';

CREATE OR REPLACE VIEW webhook.undelivered AS
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

CREATE OR REPLACE VIEW webhook.stat_webhooks AS
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

COMMENT ON COLUMN webhook.stat_webhooks.webhook_id IS 'id of the webhook';
COMMENT ON COLUMN webhook.stat_webhooks.app IS 'the application that it was created for';
COMMENT ON COLUMN webhook.stat_webhooks.name IS 'its name for people';
COMMENT ON COLUMN webhook.stat_webhooks.active IS 'false: deactivated, nothing is sent';
COMMENT ON COLUMN webhook.stat_webhooks.delivered IS 'messages that the receiver has accepted';
COMMENT ON COLUMN webhook.stat_webhooks.failed IS 'messages that have failed permanently';
COMMENT ON COLUMN webhook.stat_webhooks.attempts IS 'attempts to deliver; test calls and handshakes do not count';
COMMENT ON COLUMN webhook.stat_webhooks.pending IS 'committed messages that are not delivered yet; see estimated';
COMMENT ON COLUMN webhook.stat_webhooks.retrying IS 'those of them that have failed and will be tried again';
COMMENT ON COLUMN webhook.stat_webhooks.buffered IS 'messages buffered while it is deactivated; see estimated';
COMMENT ON COLUMN webhook.stat_webhooks.dropped IS 'messages not buffered while it was deactivated, or dropped by its transform';
COMMENT ON COLUMN webhook.stat_webhooks.oldest_pending_age IS 'how long the oldest pending message has waited, or at least has if estimated';
COMMENT ON COLUMN webhook.stat_webhooks.last_success_at IS 'when the receiver last accepted a message';
COMMENT ON COLUMN webhook.stat_webhooks.last_failure_at IS 'when an attempt last failed';
COMMENT ON COLUMN webhook.stat_webhooks.last_error IS 'the error of that attempt';
COMMENT ON COLUMN webhook.stat_webhooks.failing_since IS 'since when every attempt has failed; null: it is not failing';
COMMENT ON COLUMN webhook.stat_webhooks.next_probe_at IS 'when a failing webhook is tried again';
COMMENT ON COLUMN webhook.stat_webhooks.agreed_at IS 'when the receiver agreed in a handshake';
COMMENT ON COLUMN webhook.stat_webhooks.allowed_rate IS 'requests per minute that the receiver allows; null: any';
COMMENT ON COLUMN webhook.stat_webhooks.expired IS 'failed messages that were removed after webhook.failed_retention';
COMMENT ON COLUMN webhook.stat_webhooks.estimated IS
    'true: there is so much that pending, retrying, buffered and dead_letters are estimates; webhook.pending() counts';
COMMENT ON COLUMN webhook.stat_webhooks.dead_letters IS 'messages that have failed for good and can be delivered again; see estimated';
COMMENT ON COLUMN webhook.stat_webhooks.outcomes IS 'attempts by outcome, in the order of attempt_outcomes()';
COMMENT ON COLUMN webhook.stat_webhooks.durations IS 'a histogram of how long attempts took; histogram_bounds() has its bounds';
COMMENT ON COLUMN webhook.stat_webhooks.latencies IS 'a histogram of the times from change to delivery';
COMMENT ON COLUMN webhook.stat_webhooks.duration_us IS 'the sum of durations, in microseconds';
COMMENT ON COLUMN webhook.stat_webhooks.latency_us IS 'the sum of latencies, in microseconds';
COMMENT ON COLUMN webhook.stat_webhooks.probes IS 'attempts of its schedule that a failing webhook has used up';

COMMENT ON COLUMN webhook.undelivered.webhook_id IS 'id of the webhook';
COMMENT ON COLUMN webhook.undelivered.message_id IS 'id of the message, the header webhook-id';
COMMENT ON COLUMN webhook.undelivered.event IS 'trigger name';
COMMENT ON COLUMN webhook.undelivered.entity_id IS 'id of the entity';
COMMENT ON COLUMN webhook.undelivered.attempts IS 'attempts so far';
COMMENT ON COLUMN webhook.undelivered.next_attempt_at IS 'when the next attempt is due, if that is known';
COMMENT ON COLUMN webhook.undelivered.last_error IS 'the error of the last attempt, or why nothing was sent';
COMMENT ON COLUMN webhook.undelivered.state IS
    'pending: not read by the worker yet; waiting; retrying: has failed and is tried again; failed: permanently; buffered: the webhook is deactivated';
COMMENT ON COLUMN webhook.undelivered.created_at IS 'when the message was captured';

COMMENT ON COLUMN webhook.notification.id IS 'id of the notification';
COMMENT ON COLUMN webhook.notification.webhook_id IS 'the webhook that it is about, if there is one';
COMMENT ON COLUMN webhook.notification.kind IS 'failing, deactivated, message_failed, history, proxy, withheld, form, watched_table, api_key_age';
COMMENT ON COLUMN webhook.notification.message IS 'what has happened, for people';
COMMENT ON COLUMN webhook.notification.token IS 'for webhook.reactivate(), once; null when it is of no use any more';
COMMENT ON COLUMN webhook.notification.created_at IS 'when it happened';
COMMENT ON COLUMN webhook.notification.read_at IS 'may be set by operators';

COMMENT ON COLUMN webhook.stat_workers.database IS 'name of the database';
COMMENT ON COLUMN webhook.stat_workers.pid IS 'process id of its worker; null: it has none';
COMMENT ON COLUMN webhook.stat_workers.state IS 'served: it has a worker, resting: there is nothing to do and no worker, waiting: for its turn, backoff: its worker has failed';
COMMENT ON COLUMN webhook.stat_workers.activity IS 'what the worker is doing; foreign: it waits for webhook.adopt(), paused: webhook.dispatch is off, leaving: it makes room for another database';
COMMENT ON COLUMN webhook.stat_workers.in_flight IS 'requests that are under way';
COMMENT ON COLUMN webhook.stat_workers.delivered IS 'messages delivered since the server was started';
COMMENT ON COLUMN webhook.stat_workers.failed IS 'messages that have failed permanently since the server was started';
COMMENT ON COLUMN webhook.stat_workers.restart_at IS 'when the next worker is started, if nothing happens before; null: not known';
COMMENT ON COLUMN webhook.stat_workers.last_error IS 'why the last worker has ended; shown in its own database only';
COMMENT ON COLUMN webhook.stat_workers.since IS 'since when it has been in this state';
COMMENT ON COLUMN webhook.stat_workers.condition_errors IS 'how often since the server was started a condition could not be judged for a change';
COMMENT ON COLUMN webhook.stat_workers.proxy_failing_since IS 'since when deliveries have been waiting for webhook.proxy; null: it works, or there is none';

COMMENT ON COLUMN webhook.withheld.webhook_id IS 'id of the webhook';
COMMENT ON COLUMN webhook.withheld.relation IS 'the watched table';
COMMENT ON COLUMN webhook.withheld.problem IS 'why its owner is not sent rows or columns of it';
COMMENT ON COLUMN webhook.withheld.columns IS 'the columns that are left out; null: whole rows are withheld';
COMMENT ON COLUMN webhook.withheld.since IS 'since when';

-- The description of the new format.

CREATE OR REPLACE FUNCTION webhook.describe_format(format text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id      jsonb := '{"type": "string", "format": "uuid", "description": "the same in every attempt: drop what you have seen"}';
    event   jsonb := '{"type": "string", "pattern": "^[A-Za-z0-9_.]+$", "description": "the trigger name, such as guest.create"}';
    moment  jsonb := '{"type": "string", "format": "date-time", "pattern": "Z$", "description": "when it was captured, in UTC"}';
    source  jsonb := '{"type": "string", "format": "uri-reference", "pattern": "^/postgresql/", "description": "the database"}';
    subject jsonb := '{"type": "string", "minLength": 1, "description": "the id of the entity; absent if there is none"}';
    payload jsonb := '{"description": "the record as it was captured, or what emit() was given"}';
    former  jsonb := '{"description": "what of the record was different before, or the record before; only if the webhook has previous"}';
    extensions jsonb := jsonb_build_object('traceparent', '{"type": "string", "description": "the trace that the change belongs to"}'::jsonb,
        'tracestate', '{"type": "string"}'::jsonb,
        'context', '{"type": "string", "description": "JSON that the application has set, as text"}'::jsonb);
    headers jsonb := jsonb_build_object('type', 'object', 'properties', jsonb_build_object(
        'webhook-id', id,
        'webhook-timestamp', '{"type": "string", "pattern": "^[0-9]+$", "description": "when this attempt was made, in seconds since 1970"}'::jsonb,
        'webhook-signature', '{"type": "string", "pattern": "^v1a?,[A-Za-z0-9+/=]+( v1a?,[A-Za-z0-9+/=]+)*$",
            "description": "signatures of id.timestamp.body, one per key; see www.standardwebhooks.com; absent if the webhook has only others"}'::jsonb,
        'content-type', '{"const": "application/json"}'::jsonb),
        'required', '["webhook-id", "webhook-timestamp"]'::jsonb);
    body    jsonb;
    definitions jsonb;
BEGIN
    CASE format
        WHEN 'entity' THEN
            body := jsonb_build_object('type', 'object', 'properties', jsonb_build_object(
                    'entity_id', '{"type": ["integer", "string", "null"], "description": "a number if the key is of an integer type"}'::jsonb,
                    'entity_type', '{"type": ["string", "null"]}'::jsonb,
                    'action_type', '{"type": "string", "description": "new, update, delete, test, or the last word of the trigger name"}'::jsonb,
                    'result', payload, 'previous', former),
                'required', '["entity_id", "entity_type", "action_type"]'::jsonb, 'additionalProperties', false,
                'if', '{"properties": {"action_type": {"const": "delete"}, "entity_type": {"type": "string"}}}'::jsonb,
                'then', '{"not": {"required": ["result"]}}'::jsonb, 'else', '{"required": ["result"]}'::jsonb);
        WHEN 'rest' THEN
            body := payload;
        WHEN 'standard' THEN
            body := jsonb_build_object('type', 'object',
                'properties', jsonb_build_object('type', event, 'timestamp', moment, 'data', payload, 'previous', former),
                'required', '["type", "timestamp", "data"]'::jsonb, 'additionalProperties', false);
        WHEN 'cloudevents' THEN
            headers := jsonb_set(headers, '{properties,content-type}',
                '{"type": "string", "pattern": "^application/cloudevents(-batch)?\\+json$"}');
            body := jsonb_build_object('type', 'object', 'properties', jsonb_build_object(
                    'specversion', '{"const": "1.0"}'::jsonb, 'id', id, 'source', source, 'type', event, 'subject', subject,
                    'time', moment, 'datacontenttype', '{"const": "application/json"}'::jsonb, 'data', payload,
                    'previous', former) || extensions,
                'required', '["specversion", "id", "source", "type", "time", "datacontenttype", "data"]'::jsonb,
                'additionalProperties', false);
        WHEN 'cloudevents-binary' THEN
            headers := jsonb_set(headers, '{properties}', (headers -> 'properties') || jsonb_build_object(
                'ce-specversion', '{"const": "1.0"}'::jsonb, 'ce-id', id, 'ce-source', source, 'ce-type', event,
                'ce-subject', subject || '{"description": "the id of the entity, percent-encoded; absent if there is none"}',
                'ce-time', moment));
            headers := jsonb_set(headers, '{required}', (headers -> 'required')
                || '["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time"]');
            body := payload;
        WHEN 'thin' THEN
            body := jsonb_build_object('type', 'object', 'properties', jsonb_build_object(
                    'id', id, 'type', event, 'timestamp', moment, 'entity_type', '{"type": ["string", "null"]}'::jsonb,
                    'entity_id', '{"type": ["integer", "string", "null"], "description": "a number if the key is of an integer type"}'::jsonb,
                    'event_uid', '{"type": ["string", "null"], "description": "the UID of the event that it belongs to"}'::jsonb),
                'required', '["id", "type", "timestamp", "entity_type", "entity_id", "event_uid"]'::jsonb, 'additionalProperties', false);
        ELSE
            RAISE EXCEPTION 'invalid value for argument "format": unknown format'
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Allowed formats are entity, rest, standard, cloudevents, cloudevents-binary and thin.';
    END CASE;
    definitions := jsonb_build_object('headers', headers);
    IF format IN ('entity', 'standard', 'cloudevents', 'thin') THEN
        definitions := definitions || jsonb_build_object('batch', jsonb_build_object('type', 'array', 'minItems', 1,
            'description', 'the body with batch_size, in the order of the log; drop those whose id you have seen',
            'items', body || jsonb_build_object('properties', (body -> 'properties') || jsonb_build_object('id', id),
                'required', CASE WHEN (body -> 'required') ? 'id' THEN body -> 'required' ELSE '["id"]' || (body -> 'required') END)));
    END IF;
    RETURN jsonb_build_object('$schema', 'https://json-schema.org/draft/2020-12/schema',
            'title', 'body of a webhook in the format ' || format,
            '$comment', 'a GET request has no body; $defs/headers describes the request headers, their names in lower case, $defs/batch batches',
            '$defs', definitions) || body;
END
$$;

-- The catalogue: what webhooks are sent, for developers of receivers.

CREATE FUNCTION webhook.describe_event(event text, webhook_id bigint DEFAULT NULL) RETURNS jsonb
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_describe_event';
COMMENT ON FUNCTION webhook.describe_event(text, bigint)
    IS 'the JSON Schema (draft 2020-12) of the request bodies that a webhook is sent for a trigger name; without a webhook in the default format';

CREATE FUNCTION webhook.openapi(app text DEFAULT NULL) RETURNS jsonb
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_openapi';
COMMENT ON FUNCTION webhook.openapi(text)
    IS 'an OpenAPI 3.1 document of the requests that the webhooks of the current role send, all or those of an app';

-- The same schema, or null.
CREATE FUNCTION webhook.nullable_schema(schema jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN NOT $1 ?| '{type,const,enum,anyOf}' THEN $1
                WHEN jsonb_typeof($1 -> 'type') = 'string' AND NOT $1 ?| '{const,enum,anyOf}'
                THEN jsonb_set($1, '{type}', jsonb_build_array($1 -> 'type', 'null'))
                WHEN $1 - 'anyOf' = '{}' THEN jsonb_build_object('anyOf', ($1 -> 'anyOf') || '{"type": "null"}'::jsonb)
                ELSE jsonb_build_object('anyOf', jsonb_build_array($1, '{"type": "null"}'::jsonb)) END;
END
$$;
COMMENT ON FUNCTION webhook.nullable_schema(jsonb) IS 'a JSON Schema that accepts null in addition';

CREATE FUNCTION webhook.any_schema(schemas jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
    SELECT CASE WHEN bool_or(d.schema = '{}') THEN '{}'
                WHEN count(*) = 1 THEN (array_agg(d.schema))[1]
                ELSE jsonb_build_object('anyOf', jsonb_agg(d.schema ORDER BY d.schema::text)) END
    FROM (SELECT DISTINCT e.schema FROM jsonb_array_elements($1) AS e (schema)) AS d);
END
$$;
COMMENT ON FUNCTION webhook.any_schema(jsonb) IS 'a JSON Schema that accepts what any of these does';

CREATE FUNCTION webhook.object_schema(properties jsonb, required jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('type', 'object', 'properties', COALESCE($1, '{}'), 'required', COALESCE($2, '[]'),
                              'additionalProperties', false);
END
$$;
COMMENT ON FUNCTION webhook.object_schema(jsonb, jsonb) IS 'the JSON Schema of an object';

-- Of PostgreSQL's regular expressions, those whose syntax and meaning are the same in ECMAScript: "." is not, and neither are
-- escapes, look-ahead and named character classes.
CREATE FUNCTION webhook.pattern_translates(pattern text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH parts AS (SELECT '(?:[A-Za-z0-9_ @:/#,;!~%&=<>-]|\[\^?[^][\\^]+\])' AS atom, '(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})?' AS times)
    SELECT $1 ~ format('^\^?(?:%1$s%2$s|\((?:%1$s%2$s)+(?:\|(?:%1$s%2$s)+)*\)%2$s)+\$?$', atom, times) FROM parts;
$$;
COMMENT ON FUNCTION webhook.pattern_translates(text) IS 'does a regular expression mean the same in JSON Schema?';

-- The checks of a domain, as far as JSON Schema can express them; others are left out.  A condition is split where AND
-- connects its parts, if that is all it consists of.
CREATE FUNCTION webhook.domain_schema(domain oid) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
    WITH checks AS (
        SELECT d.condition, regexp_replace(d.condition, '''(?:[^'']|'''')*''', '', 'g') AS bare
        FROM pg_catalog.pg_constraint AS c
             CROSS JOIN LATERAL (SELECT (regexp_match(pg_get_constraintdef(c.oid), '^CHECK \(\((.*)\)\)$'))[1]) AS d (condition)
        WHERE c.contypid = $1 AND c.contype = 'c' AND c.convalidated AND d.condition IS NOT NULL),
    conditions AS (
        SELECT CASE WHEN k.bare ~ '^\((?:[^()]|\([^()]*\))*\)(?: AND \((?:[^()]|\([^()]*\))*\))+$'
                    THEN regexp_split_to_array(regexp_replace(k.condition, '^\(|\)$', '', 'g'),
                                               '\) AND \((?=(?:[^'']*''[^'']*'')*[^'']*$)')
                    ELSE ARRAY[k.condition] END AS parts
        FROM checks AS k),
    base AS (
        SELECT t.typbasetype IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) AS is_integer,
               t.typcategory = 'N' AS is_number,
               t.typbasetype IN ('text'::regtype, 'varchar'::regtype) AS is_text
        FROM pg_catalog.pg_type AS t WHERE t.oid = $1),
    parts AS (
        SELECT b.*,
               regexp_match(p.part, '^VALUE (>|>=|<|<=|=) (?:\((-?[0-9.]+)\)::(?:numeric|double precision|bigint)|(-?[0-9.]+)'
                                    '|''(-?[0-9.]+)''::[a-z ]+)$') AS comparison,
               regexp_match(p.part, '^(?:char_length|character_length|length)\((?:VALUE|\(VALUE\)::text)\) (>|>=|<|<=|=) ([0-9]+)$') AS length,
               (regexp_match(p.part, '^(?:VALUE|\(VALUE\)::text) ~ ''((?:[^'']|'''')*)''::text$'))[1] AS pattern,
               (regexp_match(p.part, '^(?:VALUE|\(VALUE\)::text) = ANY \(\(?ARRAY\[(''(?:[^'']|'''')*''::(?:text|character varying)'
                                     '(?:, ''(?:[^'']|'''')*''::(?:text|character varying))*)\](?:\)::text\[\])?\)$'))[1] AS texts,
               (regexp_match(p.part, '^VALUE = ANY \(ARRAY\[(-?[0-9]+(?:, -?[0-9]+)*)\]\)$'))[1] AS integers,
               p.part ~ '^(?:VALUE|\(VALUE\)::text) <> ''''::text$' AS not_empty
        FROM conditions AS c CROSS JOIN LATERAL unnest(c.parts) AS p (part) CROSS JOIN base AS b),
    keywords AS (
        SELECT CASE
            WHEN p.is_number AND p.comparison IS NOT NULL THEN (
                -- A receiver may round numbers with fractions, so their bounds are included.
                SELECT CASE WHEN c.operator ~ '[>=]' AND c.operator <> '<='
                            THEN jsonb_build_object('minimum', c.value + (p.is_integer AND c.operator = '>')::integer) ELSE '{}' END
                       || CASE WHEN c.operator ~ '[<=]' AND c.operator <> '>='
                               THEN jsonb_build_object('maximum', c.value - (p.is_integer AND c.operator = '<')::integer) ELSE '{}' END
                FROM (SELECT p.comparison[1], COALESCE(p.comparison[2], p.comparison[3], p.comparison[4])::numeric) AS c (operator, value))
            WHEN p.is_text AND p.length IS NOT NULL THEN (
                SELECT CASE c.operator
                    WHEN '=' THEN jsonb_build_object('minLength', c.value, 'maxLength', c.value)
                    WHEN '<' THEN jsonb_build_object('maxLength', greatest(c.value - 1, 0))
                    WHEN '<=' THEN jsonb_build_object('maxLength', c.value)
                    WHEN '>' THEN jsonb_build_object('minLength', c.value + 1)
                    ELSE jsonb_build_object('minLength', c.value) END
                FROM (SELECT p.length[1], p.length[2]::bigint) AS c (operator, value))
            WHEN p.is_text AND webhook.pattern_translates(replace(p.pattern, '''''', ''''))
                THEN jsonb_build_object('pattern', replace(p.pattern, '''''', ''''))
            WHEN p.is_text AND p.texts IS NOT NULL THEN (
                SELECT jsonb_build_object('enum', jsonb_agg(replace(m.match[1], '''''', '''') ORDER BY m.n))
                FROM regexp_matches(p.texts, '''((?:[^'']|'''')*)''::', 'g') WITH ORDINALITY AS m (match, n))
            WHEN p.is_integer AND p.integers IS NOT NULL THEN jsonb_build_object('enum', jsonb_build_array() || ('[' || p.integers || ']')::jsonb)
            WHEN p.is_text AND p.not_empty THEN '{"minLength": 1}' END AS schema
        FROM parts AS p)
    SELECT CASE WHEN count(*) = 0 THEN '{}'
                WHEN count(*) = count(DISTINCT e.key) THEN jsonb_object_agg(e.key, e.value)
                ELSE jsonb_build_object('allOf', jsonb_agg(DISTINCT k.schema)) END
    FROM keywords AS k CROSS JOIN LATERAL jsonb_each(k.schema) AS e);
END
$$;
COMMENT ON FUNCTION webhook.domain_schema(oid) IS 'the checks of a domain in JSON Schema, as far as they can be expressed';

-- The fields of composite types within each other can double with each level, so they are counted first, up to a maximum.
CREATE FUNCTION webhook.type_size(type oid, maximum integer) RETURNS bigint
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE fields AS (
        SELECT $1 AS type
        UNION ALL
        SELECT n.type
        FROM fields AS f JOIN pg_catalog.pg_type AS t ON t.oid = f.type
             CROSS JOIN LATERAL (
                 SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
                 WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
                 UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
                 UNION ALL SELECT t.typelem WHERE t.typelem <> 0 AND t.typlen = -1) AS n (type))
    SELECT count(*) FROM (SELECT FROM fields LIMIT $2) AS f;
$$;
COMMENT ON FUNCTION webhook.type_size(oid, integer) IS 'how many values one value of a type consists of, all levels counted';

-- Values as src/watch/row_json.c writes them.  PostgreSQL does not enforce the dimensions of an array.
CREATE FUNCTION webhook.type_schema(type oid, modifier integer) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t      pg_catalog.pg_type;
    schema jsonb;
    base   jsonb;
BEGIN
    SELECT * INTO t FROM pg_catalog.pg_type AS p WHERE p.oid = type;
    CASE
        WHEN t.typtype = 'd' THEN
            schema := webhook.domain_schema(type);
            base := webhook.type_schema(t.typbasetype, t.typtypmod);
            RETURN base
                || CASE WHEN schema ? 'enum' OR NOT base ?| ARRAY(SELECT jsonb_object_keys(schema))
                        THEN schema ELSE jsonb_build_object('allOf', jsonb_build_array(schema)) END;
        WHEN type = 'bool'::regtype THEN
            RETURN '{"type": "boolean"}';
        WHEN type = 'int2'::regtype THEN
            RETURN '{"type": "integer", "minimum": -32768, "maximum": 32767}';
        WHEN type = 'int4'::regtype THEN
            RETURN '{"type": "integer", "format": "int32"}';
        WHEN type = 'int8'::regtype THEN
            RETURN '{"type": "integer", "format": "int64"}';
        WHEN type IN ('float4'::regtype, 'float8'::regtype, 'numeric'::regtype) THEN
            RETURN '{"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}';
        WHEN type IN ('varchar'::regtype, 'bpchar'::regtype) AND modifier > 4
             AND current_setting('server_encoding') = 'UTF8' THEN
            RETURN jsonb_build_object('type', 'string', 'maxLength', modifier - 4);
        WHEN type IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) THEN
            RETURN '{"type": "string"}';
        WHEN type = 'date'::regtype THEN
            RETURN '{"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "pattern": "^-?infinity$|^[0-9]{5,}-| BC$"}]}';
        WHEN type = 'timestamp'::regtype THEN
            RETURN '{"type": "string", "pattern": "^-?infinity$|^[0-9]{4,}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}",
                     "$comment": "a local time, without zone"}';
        WHEN type = 'timestamptz'::regtype THEN
            RETURN '{"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": "^-?infinity$|^[0-9]{5,}-| BC$"}]}';
        WHEN type = 'uuid'::regtype THEN
            RETURN '{"type": "string", "format": "uuid"}';
        WHEN type IN ('json'::regtype, 'jsonb'::regtype) THEN
            RETURN '{}';
        WHEN type = 'record'::regtype THEN
            RETURN '{"type": "object"}';
        WHEN t.typelem <> 0 AND t.typlen = -1 THEN
            schema := webhook.nullable_schema(webhook.type_schema(t.typelem, modifier));
            RETURN jsonb_build_object('type', 'array',
                'items', CASE WHEN schema = '{}' THEN schema
                              ELSE jsonb_build_object('anyOf', jsonb_build_array(schema, '{"type": "array"}'::jsonb)) END);
        WHEN t.typtype = 'c' AND webhook.type_size(type, 1000) >= 1000 THEN
            RETURN '{"type": "object", "$comment": "its fields are too many"}';
        WHEN t.typtype = 'c' THEN
            RETURN webhook.columns_schema(t.typrelid, false, NULL, NULL);
        WHEN t.typtype = 'e' THEN
            RETURN (SELECT jsonb_build_object('type', 'string', 'enum', jsonb_agg(e.enumlabel ORDER BY e.enumsortorder))
                    FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = type);
        WHEN type >= 16384 AND EXISTS (SELECT FROM pg_catalog.pg_cast AS c WHERE c.castsource = type AND c.casttarget = 'json'::regtype) THEN
            RETURN '{}';
        ELSE
            RETURN jsonb_build_object('type', 'string', '$comment', format_type(type, modifier));
    END CASE;
END
$$;
COMMENT ON FUNCTION webhook.type_schema(oid, integer) IS 'the JSON Schema of values of a type, other than null';

-- Rows of a table, or else values of its type, which need not comply with its constraints.
CREATE FUNCTION webhook.columns_schema(relation oid, stored boolean, included text[], excluded text[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
    SELECT webhook.object_schema(
        jsonb_object_agg(a.attname,
            CASE WHEN $2 AND (a.attnotnull OR t.typtype = 'd' AND t.typnotnull)
                      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS n
                                      WHERE n.conrelid = $1 AND n.contype = 'n' AND NOT n.convalidated AND a.attnum = ANY (n.conkey))
                 THEN s.schema ELSE webhook.nullable_schema(s.schema) END
            || CASE WHEN d.description IS NULL THEN '{}' ELSE jsonb_build_object('description', d.description) END),
        jsonb_agg(a.attname ORDER BY a.attnum))
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
         JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
         CROSS JOIN LATERAL (SELECT webhook.type_schema(a.atttypid, a.atttypmod)) AS s (schema)
         CROSS JOIN LATERAL (SELECT col_description($1, a.attnum)) AS d (description)
    WHERE c.oid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND NOT ($2 AND a.attgenerated = 'v')
      AND ($3 IS NULL OR a.attname = ANY ($3)) AND ($4 IS NULL OR a.attname <> ALL ($4)));
END
$$;
COMMENT ON FUNCTION webhook.columns_schema(oid, boolean, text[], text[]) IS 'the JSON Schema of rows with these columns';

-- What is captured of a watched table for a role: the payload, and the id as an integer or text.
CREATE FUNCTION webhook.captured_schemas(entity_type text, role oid)
RETURNS TABLE (relation regclass, problem text, payload jsonb, entity_id jsonb)
    LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT w.relation, webhook.access_problem($2, w.relation),
           CASE WHEN w.payload IS NULL
                THEN webhook.columns_schema(w.relation, true, NULLIF(w.columns, '{}'), w.exclude || webhook.access_hidden($2, w.relation))
                ELSE '{}' END,
           (SELECT CASE WHEN count(*) = 0 THEN '{"type": ["integer", "string", "null"]}'
                        WHEN count(*) > 1 THEN '{"type": "string"}'
                        WHEN bool_and(a.attnotnull) THEN jsonb_build_object('type', min(i.type))
                        ELSE jsonb_build_object('type', jsonb_build_array(min(i.type), 'null')) END
            FROM pg_catalog.pg_attribute AS a
                 CROSS JOIN LATERAL (
                     WITH RECURSIVE b AS (
                         SELECT a.atttypid AS type
                         UNION ALL
                         SELECT t.typbasetype FROM b JOIN pg_catalog.pg_type AS t ON t.oid = b.type AND t.typtype = 'd')
                     SELECT CASE WHEN bool_or(b.type IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype))
                                 THEN 'integer' ELSE 'string' END FROM b) AS i (type)
            WHERE a.attrelid = w.relation AND a.attnum > 0 AND NOT a.attisdropped
              AND CASE WHEN w.id IS NOT NULL THEN w.id IN (a.attname, quote_ident(a.attname))
                       ELSE a.attnum = ANY (SELECT unnest((x.indkey::int2[])[0:x.indnkeyatts - 1]) FROM pg_catalog.pg_index AS x
                                            WHERE x.indrelid = w.relation AND x.indisprimary) END)
    FROM webhook.watch AS w JOIN pg_catalog.pg_class AS c ON c.oid = w.relation
    WHERE w.entity_type = $1
    ORDER BY w.relation;
END
$$;
COMMENT ON FUNCTION webhook.captured_schemas(text, oid) IS 'the JSON Schemas of what is captured of an entity type for a role';

-- A field of a payload, as mappings and templates refer to it; null if there is none.
CREATE FUNCTION webhook.field_schema(payload jsonb, field text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN $1 -> 'properties' IS NULL OR $1 -> 'additionalProperties' IS DISTINCT FROM 'false' THEN '{}'
        WHEN $1 -> 'properties' ? $2 AND $1 -> 'required' ? $2 THEN $1 -> 'properties' -> $2
        WHEN $1 -> 'properties' ? $2 THEN webhook.nullable_schema($1 -> 'properties' -> $2)
        WHEN $2 ~ '[.[]' THEN '{}'
        ELSE '{"type": "null"}' END;
$$;
COMMENT ON FUNCTION webhook.field_schema(jsonb, text) IS 'the JSON Schema of a field of a payload';

-- Values that do not fit are replaced by the default.  A field that is held back without a value is never null, but in
-- deletions and former values.
CREATE FUNCTION webhook.form_schema(fields jsonb, complete boolean) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
    SELECT webhook.object_schema(
        jsonb_object_agg(f.field ->> 'name',
            CASE WHEN COALESCE(f.field -> 'default', 'null') <> 'null'
                      OR ($2 AND f.field -> 'required' = 'true' AND f.field ->> 'on_missing' = 'hold')
                 THEN s.schema ELSE webhook.nullable_schema(s.schema) END),
        jsonb_agg(f.field ->> 'name' ORDER BY f.n))
    FROM jsonb_array_elements($1) WITH ORDINALITY AS f (field, n)
         LEFT JOIN pg_catalog.pg_type AS t ON t.oid = to_regtype(f.field ->> 'type')
         CROSS JOIN LATERAL (SELECT CASE
             WHEN t.typname IN ('int2', 'int4', 'int8') THEN '{"type": "integer"}'
             WHEN t.typcategory = 'N' OR f.field ->> 'type' = 'number' THEN '{"type": "number"}'
             WHEN t.typcategory = 'B' THEN '{"type": "boolean"}'
             WHEN t.typname = 'date' THEN '{"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}'
             WHEN t.typcategory = 'D' THEN '{"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|$)"}'
             WHEN t.typcategory = 'S' THEN '{"type": "string"}'
             ELSE '{}' END::jsonb) AS s (schema));
END
$$;
COMMENT ON FUNCTION webhook.form_schema(jsonb, boolean) IS 'the JSON Schema of payloads in a form';

CREATE FUNCTION webhook.template_schema(template jsonb, payload jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    text text := template #>> '{}';
BEGIN
    CASE
        WHEN jsonb_typeof(template) = 'object' THEN
            RETURN (SELECT webhook.object_schema(jsonb_object_agg(m.key, webhook.template_schema(m.value, payload)),
                                                 jsonb_agg(m.key))
                    FROM jsonb_each(template) AS m);
        WHEN template = '[]' THEN
            RETURN '{"type": "array", "maxItems": 0}';
        WHEN jsonb_typeof(template) = 'array' THEN
            RETURN (SELECT jsonb_build_object('type', 'array', 'items', false,
                        'prefixItems', jsonb_agg(webhook.template_schema(e.value, payload) ORDER BY e.n),
                        'minItems', count(*))
                    FROM jsonb_array_elements(template) WITH ORDINALITY AS e (value, n));
        WHEN jsonb_typeof(template) <> 'string' OR strpos(text, '{{') = 0 THEN
            RETURN jsonb_build_object('const', template);
        WHEN left(text, 2) = '{{' AND strpos(text, '}}') = length(text) - 1 THEN
            RETURN webhook.field_schema(payload, btrim(substr(text, 3, length(text) - 4), ' '));
        ELSE
            RETURN '{"type": "string"}';
    END CASE;
END
$$;
COMMENT ON FUNCTION webhook.template_schema(jsonb, jsonb) IS 'the JSON Schema of what a template makes of a payload';

-- The mapping of an account counts for all messages; those of profiles and events, which may be set without integration, for
-- some.  The constants of mappings without an integration may be another role's.
CREATE FUNCTION webhook.mapping_schema(integration text, entity_type text, payload jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
    WITH mappings AS (
        SELECT s.kind = 'account' AS always, s.integration IS NOT NULL AS known,
               CASE WHEN jsonb_typeof(s.value) = 'object' THEN s.value -> $2 WHEN $2 = 'guest' THEN s.value END AS entries
        FROM webhook.shape AS s
        WHERE COALESCE(s.integration, $1) = $1 AND s.kind IN ('account', 'profile', 'event')),
    entries AS (
        SELECT m.always, e.entry ->> 'name' AS name,
               CASE WHEN e.entry ? 'value' THEN CASE WHEN m.known THEN jsonb_build_object('const', e.entry -> 'value') ELSE '{}' END
                    ELSE webhook.field_schema($3, e.entry ->> 'mapped_to') END AS schema
        FROM mappings AS m CROSS JOIN LATERAL jsonb_array_elements(m.entries) AS e (entry)
        WHERE m.entries IS NOT NULL),
    merged AS (
        SELECT e.name, webhook.any_schema(jsonb_agg(e.schema)) AS schema, bool_or(e.always) AS always FROM entries AS e GROUP BY e.name),
    mapped AS (
        SELECT webhook.object_schema(jsonb_object_agg(m.name, m.schema),
                                     jsonb_agg(m.name ORDER BY m.name) FILTER (WHERE m.always)) AS schema,
               bool_or(m.always) AS always
        FROM merged AS m HAVING count(*) > 0)
    SELECT COALESCE((SELECT CASE WHEN m.always THEN m.schema ELSE webhook.any_schema(jsonb_build_array(m.schema, $3)) END
                     FROM mapped AS m), $3));
END
$$;
COMMENT ON FUNCTION webhook.mapping_schema(text, text, jsonb) IS 'the JSON Schema of what the mappings of an integration make of a payload';

CREATE FUNCTION webhook.shaped_schema(integration text, entity_type text, payload jsonb, complete boolean) RETURNS jsonb
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
    WITH form AS (
        SELECT COALESCE((SELECT webhook.form_schema(s.value, $4) FROM webhook.shape AS s
                         WHERE s.integration = $1 AND s.kind = 'form' AND s.target = $2), $3) AS schema)
    SELECT COALESCE((SELECT webhook.template_schema(s.value, f.schema) FROM webhook.shape AS s
                     WHERE s.integration = $1 AND s.kind = 'template' AND s.target = $2),
                    webhook.mapping_schema($1, $2, f.schema), f.schema)
    FROM form AS f);
END
$$;
COMMENT ON FUNCTION webhook.shaped_schema(text, text, jsonb, boolean) IS 'the JSON Schema of what an integration makes of a payload';

-- The values before a change: the whole payload, or those of its members that have changed.
CREATE FUNCTION webhook.previous_schema(previous text, action text, payload jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN $1 = 'row' AND $2 IN ('update', 'delete') THEN $3
        WHEN $1 = 'changed' AND $2 = 'update' AND $3 ? 'anyOf' THEN jsonb_build_object('anyOf', (
            SELECT jsonb_agg(webhook.previous_schema($1, $2, a.schema)) FROM jsonb_array_elements($3 -> 'anyOf') AS a (schema)))
        WHEN $1 = 'changed' AND $2 = 'update' THEN $3 - 'required' END;
END
$$;
COMMENT ON FUNCTION webhook.previous_schema(text, text, jsonb) IS 'the JSON Schema of former values; null if there are none';

-- The body in a format, with the payload and what else is known of the message.  A null in known removes a property.
CREATE FUNCTION webhook.body_schema(format text, known jsonb, payload jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema     jsonb := webhook.describe_format(format) - '{if,then,else}'::text[] #- '{$defs,batch}';
    properties jsonb;
BEGIN
    IF format = 'cloudevents' THEN
        schema := jsonb_set(schema, '{$defs,headers,properties,content-type}', '{"const": "application/cloudevents+json"}');
    ELSIF format = 'cloudevents-binary' THEN
        schema := jsonb_set(schema, '{$defs,headers,properties,ce-type}', known -> 'type');
    END IF;
    IF format IN ('rest', 'cloudevents-binary') THEN
        RETURN schema - 'description' || payload;
    END IF;
    properties := (SELECT jsonb_object_agg(p.key,
                              CASE WHEN known ? p.key THEN known -> p.key
                                   WHEN p.key IN ('result', 'data') THEN payload ELSE p.value END)
                   FROM jsonb_each(schema -> 'properties') AS p WHERE known -> p.key IS DISTINCT FROM 'null');
    RETURN schema || jsonb_build_object('properties', properties,
        'required', (SELECT jsonb_agg(r.key ORDER BY r.n)
                     FROM jsonb_array_elements_text(schema -> 'required' || CASE WHEN properties ? 'result' THEN '["result"]' ELSE '[]' END::jsonb)
                          WITH ORDINALITY AS r (key, n) WHERE properties ? r.key));
END
$$;
COMMENT ON FUNCTION webhook.body_schema(text, jsonb, jsonb) IS 'the JSON Schema of request bodies with this payload';

-- A batch contains what the webhook is sent for other trigger names, too.
CREATE FUNCTION webhook.batch_schema(schema jsonb, batch_size integer) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('$schema', $1 -> '$schema', 'title', $1 -> 'title',
        '$comment', 'each element is that of one trigger name, a batch may contain others; $defs/headers describes the request headers, their names in lower case',
        '$defs', CASE WHEN $1 #>> '{$defs,headers,properties,content-type,const}' = 'application/cloudevents+json'
                      THEN jsonb_set($1 -> '$defs', '{headers,properties,content-type,const}', '"application/cloudevents-batch+json"')
                      ELSE $1 -> '$defs' END,
        'type', 'array', 'minItems', 1, 'maxItems', $2,
        'items', $1 - '{$schema,$comment,$defs,title}'::text[] || jsonb_build_object(
            'properties', '{"id": {"type": "string", "format": "uuid", "description": "the same in every attempt: drop what you have seen"}}'
                          || ($1 -> 'properties'),
            'required', '["id"]' || (($1 -> 'required') - 'id')));
$$;
COMMENT ON FUNCTION webhook.batch_schema(jsonb, integer) IS 'the JSON Schema of batches of such bodies';

CREATE FUNCTION webhook.subscribes(events text[], event text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT bool_or(e.pattern IN ('*', $2) OR right(e.pattern, 2) = '.*' AND starts_with($2, left(e.pattern, -1)))
    FROM unnest($1) AS e (pattern);
$$;
COMMENT ON FUNCTION webhook.subscribes(text[], text) IS 'does one of these subscriptions include a trigger name?';

-- For describe_event(), with a webhook that the role may manage, or none.
CREATE FUNCTION webhook.event_schema(event text, webhook_id bigint, role oid) RETURNS jsonb
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w           webhook.webhook;
    entity_type text := substring(event, '^(.+)\.');
    action      text := substring(event, '[^.]*$');
    format      text := 'entity';
    owner       oid := role;
    found       record;
    payload     jsonb := '{}';
    former      jsonb := '{}';
    entity_id   jsonb := '{"type": ["integer", "string", "null"]}';
    schema      jsonb;
BEGIN
    IF event !~ '^[A-Za-z0-9_.]+$' THEN
        RAISE EXCEPTION 'invalid value for argument "event"'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Specify one trigger name, such as "guest.create"; names consist of letters, digits, dots and underscores.';
    END IF;
    IF webhook_id IS NOT NULL THEN
        SELECT * INTO STRICT w FROM webhook.webhook AS k WHERE k.id = webhook_id;
        format := w.format;
        owner := w.owner;
        IF NOT webhook.subscribes(w.events, event) AND action <> 'test' THEN
            RAISE EXCEPTION 'webhook % does not subscribe to "%"', webhook_id, event
                USING ERRCODE = 'no_data_found', HINT = format('It subscribes to %s.', w.event);
        END IF;
    END IF;

    SELECT count(*) AS n, count(*) FILTER (WHERE c.problem = '') AS readable,
           min(c.problem) AS problem, min(c.relation::text) FILTER (WHERE c.problem IS NULL) AS locked,
           webhook.any_schema(jsonb_agg(c.payload) FILTER (WHERE c.problem = '')) AS payload,
           webhook.any_schema(jsonb_agg(c.entity_id) FILTER (WHERE c.problem = '')) AS entity_id
      INTO found FROM webhook.captured_schemas(entity_type, owner) AS c
     WHERE action IN ('create', 'update', 'delete', 'manual', 'test');
    IF found.locked IS NOT NULL THEN
        RAISE EXCEPTION 'table % is locked', found.locked
            USING ERRCODE = 'lock_not_available', HINT = 'Try again when no other transaction changes the table''s definition.';
    ELSIF found.n > 0 AND found.readable = 0 THEN
        RAISE EXCEPTION '%', found.problem
            USING ERRCODE = 'insufficient_privilege', HINT = 'A webhook is not sent rows that its owner may not select.';
    ELSIF found.n > 0 THEN
        payload := found.payload;
        entity_id := found.entity_id;
    ELSIF webhook_id IS NULL AND NOT EXISTS (
        SELECT FROM webhook.webhook AS k WHERE k.events @> ARRAY[$1] AND pg_has_role(role, k.owner::oid, 'USAGE')) THEN
        RAISE EXCEPTION 'event "%" is unknown', event
            USING ERRCODE = 'no_data_found',
                  HINT = 'Specify a trigger name of a watched table, such as "guest.create", or of an event that one of your webhooks subscribes to by name.';
    END IF;

    IF w.transform IS NOT NULL THEN
        payload := '{}';
    ELSE
        former := webhook.shaped_schema(w.integration, entity_type, payload, false);
        payload := webhook.shaped_schema(w.integration, entity_type, payload, action <> 'delete');
        IF w.template IS NOT NULL THEN
            former := webhook.template_schema(w.template, former);
            payload := webhook.template_schema(w.template, payload);
        END IF;
    END IF;
    schema := webhook.body_schema(format, jsonb_build_object(
            'type', jsonb_build_object('const', event),
            'entity_type', jsonb_build_object('const', entity_type),
            'entity_id', entity_id,
            'action_type', jsonb_build_object('const', CASE action WHEN 'create' THEN 'new' ELSE action END),
            'previous', webhook.previous_schema(w.previous, action, former))
            || CASE WHEN action = 'delete' AND entity_type IS NOT NULL THEN '{"result": null}' ELSE '{}' END::jsonb, payload)
        || jsonb_build_object('title', event);
    RETURN CASE WHEN w.batch_size IS NULL THEN schema ELSE webhook.batch_schema(schema, w.batch_size) END;
END
$$;
COMMENT ON FUNCTION webhook.event_schema(text, bigint, oid) IS 'the JSON Schema of what a role, or a webhook, is sent for a trigger name';

-- The request of a webhook for an event, as an operation of an OpenAPI document, with the schema of the body.
CREATE FUNCTION webhook.event_operation(name text, method text, schema jsonb, body jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'operationId', $1, 'summary', $3 ->> 'title',
        'parameters', (
            SELECT jsonb_agg(jsonb_build_object('name', h.key, 'in', 'header', 'schema', h.value - 'description',
                                                'required', $3 #> '{$defs,headers,required}' ? h.key)
                             || CASE WHEN h.value ? 'description' THEN jsonb_build_object('description', h.value -> 'description')
                                     ELSE '{}' END ORDER BY h.key)
            FROM jsonb_each($3 #> '{$defs,headers,properties}') AS h WHERE h.key <> 'content-type')
            || CASE $2 WHEN 'GET' THEN
                '[{"name": "entity_id", "in": "query", "schema": {"type": "string"}}, {"name": "entity_type", "in": "query", "schema": {"type": "string"}},
                  {"name": "action_type", "in": "query", "schema": {"type": "string"}}]' ELSE '[]' END::jsonb,
        'responses', '{"2XX": {"description": "received"}, "410": {"description": "nothing is sent any more"},
                       "default": {"description": "not received; it is sent again later"}}'::jsonb)
        || CASE WHEN $2 = 'GET' THEN '{}' ELSE jsonb_build_object('requestBody', jsonb_build_object('required', true, 'content',
            jsonb_build_object($3 #>> '{$defs,headers,properties,content-type,const}',
                               jsonb_build_object('schema', $4)))) END;
$$;
COMMENT ON FUNCTION webhook.event_operation(text, text, jsonb, jsonb) IS 'an operation of an OpenAPI document';

-- For openapi().  Tables that the webhook's owner may not read, and the application's events that are subscribed to by a
-- pattern only, are left out.
CREATE FUNCTION webhook.openapi_document(app text, role oid) RETURNS jsonb
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    WITH webhooks AS MATERIALIZED (
        SELECT w.* FROM webhook.webhook AS w
        WHERE pg_has_role($2, w.owner::oid, 'USAGE') AND ($1 IS NULL OR w.app = $1)),
    watched AS MATERIALIZED (
        SELECT o.owner, t.entity_type, COALESCE(bool_or(webhook.access_problem(o.owner, t.relation) = ''), false) AS readable
        FROM (SELECT DISTINCT w.owner FROM webhooks AS w) AS o CROSS JOIN webhook.watch AS t GROUP BY 1, 2),
    subscribed AS (
        SELECT w.id, w.method, w.batch_size, t.entity_type || '.' || a.action AS event
        FROM webhooks AS w CROSS JOIN LATERAL unnest(w.events) AS e (event)
             JOIN watched AS t ON t.owner = w.owner AND t.readable
             CROSS JOIN unnest('{create,update,delete}'::text[]) AS a (action)
        WHERE e.event = '*' OR right(e.event, 2) = '.*' AND starts_with(t.entity_type || '.' || a.action, left(e.event, -1))
        UNION
        SELECT w.id, w.method, w.batch_size, e.event
        FROM webhooks AS w CROSS JOIN LATERAL unnest(w.events) AS e (event)
        WHERE right(e.event, 1) <> '*'
          AND NOT EXISTS (SELECT FROM watched AS t WHERE t.owner = w.owner AND NOT t.readable
                            AND e.event ~ '\.(create|update|delete|manual|test)$' AND t.entity_type = substring(e.event, '^(.+)\.'))),
    named AS MATERIALIZED (
        SELECT s.event || CASE WHEN count(*) OVER (PARTITION BY s.event) = 1 THEN '' ELSE '-' || s.id END AS name,
               s.id, s.method, s.batch_size, webhook.event_schema(s.event, s.id, $2) AS schema
        FROM subscribed AS s),
    requests AS (
        SELECT n.name, n.method, n.schema, CASE WHEN n.batch_size IS NULL THEN n.schema ELSE n.schema -> 'items' END AS component,
               CASE WHEN n.batch_size IS NULL THEN r.reference
                    ELSE jsonb_build_object('type', 'array', 'minItems', 1, 'maxItems', n.batch_size, 'items', jsonb_build_object(
                        'anyOf', jsonb_agg(r.reference) OVER (PARTITION BY n.id))) END AS body
        FROM named AS n CROSS JOIN LATERAL (SELECT jsonb_build_object('$ref', '#/components/schemas/' || n.name)) AS r (reference))
    SELECT jsonb_build_object(
        'openapi', '3.1.0',
        'info', jsonb_build_object('title', 'Webhooks of ' || COALESCE($1, current_database()), 'version', '1.0.0'),
        'jsonSchemaDialect', 'https://json-schema.org/draft/2020-12/schema',
        'webhooks', COALESCE(jsonb_object_agg(n.name, jsonb_build_object(lower(n.method), webhook.event_operation(n.name, n.method, n.schema, n.body)))
                             FILTER (WHERE n.name IS NOT NULL), '{}'),
        'components', jsonb_build_object('schemas', COALESCE(jsonb_object_agg(n.name, n.component - '{$defs,$schema,$comment}'::text[])
                                                             FILTER (WHERE n.method <> 'GET'), '{}')))
    FROM requests AS n;
$$;
COMMENT ON FUNCTION webhook.openapi_document(text, oid) IS 'an OpenAPI document of the webhooks that a role may manage';
REVOKE ALL ON FUNCTION webhook.describe_event, webhook.openapi, webhook.nullable_schema, webhook.any_schema,
    webhook.object_schema, webhook.pattern_translates, webhook.domain_schema, webhook.type_size, webhook.type_schema,
    webhook.columns_schema, webhook.captured_schemas, webhook.field_schema, webhook.form_schema,
    webhook.template_schema, webhook.mapping_schema, webhook.shaped_schema, webhook.previous_schema,
    webhook.body_schema, webhook.batch_schema, webhook.subscribes, webhook.event_schema, webhook.event_operation,
    webhook.openapi_document FROM PUBLIC;

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

REVOKE ALL ON webhook.backfill, webhook.backfill_to_do, webhook.stat_progress_backfill FROM PUBLIC;
REVOKE ALL ON SEQUENCE webhook.backfill_job_seq FROM PUBLIC;
REVOKE ALL ON FUNCTION webhook.backfill, webhook.cancel_backfill, webhook.backfill_key, webhook.backfill_waiting FROM PUBLIC;


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

REVOKE ALL ON webhook.stat_webhooks_history FROM PUBLIC;
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

-- HTML pages: complete documents without scripts and without anything from elsewhere.  All data is escaped by
-- html(), and a Content-Security-Policy blocks whatever might get past it.  Texts: src/api/page_text.c.

CREATE FUNCTION webhook.html(value text) RETURNS text
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_html';
COMMENT ON FUNCTION webhook.html(text) IS 'a text with which HTML shows just that text';

-- Names can be in any language; <bdi> keeps those written from right to left from moving what is around them.
CREATE FUNCTION webhook.page_name(value text) RETURNS text
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_page_name';
COMMENT ON FUNCTION webhook.page_name(text) IS 'a name, or a short text, in a page';

CREATE FUNCTION webhook.page_number(value numeric) RETURNS text
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_page_number';
COMMENT ON FUNCTION webhook.page_number(numeric) IS 'a number in a page';

CREATE FUNCTION webhook.page_seconds(seconds double precision) RETURNS text
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_page_seconds';
COMMENT ON FUNCTION webhook.page_seconds(double precision) IS 'a duration in a page';

CREATE FUNCTION webhook.page_time(value timestamptz) RETURNS text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_page_time';
COMMENT ON FUNCTION webhook.page_time(timestamptz) IS 'a time with its zone in a page';

CREATE FUNCTION webhook.page_ago(value timestamptz) RETURNS text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_page_ago';
COMMENT ON FUNCTION webhook.page_ago(timestamptz) IS 'how long ago something was, or when it will be, in a page';

CREATE FUNCTION webhook.page_style() RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT $css$
:root{color-scheme:light dark;--page:#f4f5f7;--card:#fff;--line:#d9dde3;--text:#1b2129;--soft:#566070;--link:#0b57b0;
--ok:#16703a;--okfill:#3aa564;--okback:#e3f4e9;--warn:#855300;--warnback:#fdf0d2;--bad:#b3211b;--badfill:#d6433c;--badback:#fde7e5;--code:#f1f3f6;--range:#a9c7ee;--mark:#1f5fb0}
@media (prefers-color-scheme:dark){:root{--page:#0e1217;--card:#171d25;--line:#2c3541;--text:#e8edf3;--soft:#a3afbe;--link:#7db7ff;
--ok:#5fd08a;--okfill:#2f9b5a;--okback:#12301f;--warn:#f0bd5b;--warnback:#382a0b;--bad:#ff9189;--badfill:#e5534b;--badback:#431816;--code:#10151b;--range:#284a73;--mark:#7db7ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:72rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.1rem;display:flex;flex-wrap:wrap;gap:.1rem 1rem;align-items:baseline;justify-content:space-between}
footer{padding-bottom:2rem;color:var(--soft);font-size:.87rem}
h1{font-size:1.15rem;margin:0;font-weight:650}h2{font-size:1.02rem;margin:0 0 .6rem;font-weight:650}h3{font-size:.95rem;margin:1rem 0 .3rem}
p{margin:.3rem 0}a{color:var(--link)}small,.soft{color:var(--soft);font-size:.87rem}
.verdict{border:1px solid var(--line);border-left:.5rem solid var(--ok);border-radius:.6rem;background:var(--okback);padding:.9rem 1.1rem;margin:.8rem 0 1rem}
.verdict strong{display:block;font-size:1.5rem;line-height:1.25;font-weight:700;color:var(--ok)}
.verdict ul{margin:.6rem 0 0;padding:0;list-style:none}.verdict li{padding:.35rem 0;border-top:1px solid var(--line)}
.verdict.warn{border-left-color:var(--warn);background:var(--warnback)}.verdict.warn strong{color:var(--warn)}
.verdict.bad{border-left-color:var(--bad);background:var(--badback)}.verdict.bad strong{color:var(--bad)}
.verdict .soft,.verdict small{color:var(--text)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:.6rem;margin:0 0 1rem;padding:0}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.6rem .8rem}
.tiles dt{color:var(--soft);font-size:.82rem}.tiles dd{margin:0;font-size:1.25rem;line-height:1.3;font-weight:650;font-variant-numeric:tabular-nums}.tiles small{font-size:.78rem;font-weight:400;white-space:nowrap}
.tiles .bad dd{color:var(--bad)}.tiles .warn dd{color:var(--warn)}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem 1.1rem;margin:0 0 1rem}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:.9rem 1.2rem}
figure{margin:0}figcaption{display:flex;flex-wrap:wrap;gap:0 1rem;font-size:.87rem;color:var(--soft)}
svg{display:block;width:100%;height:7.5rem;margin:.3rem 0 .1rem;border-bottom:1px solid var(--line);background:linear-gradient(var(--line),var(--line)) 0 0/100% 1px no-repeat,linear-gradient(var(--line),var(--line)) 0 50%/100% 1px no-repeat}
.axis{display:flex;justify-content:space-between;font-size:.78rem;color:var(--soft);font-variant-numeric:tabular-nums}
.key::before{content:"";display:inline-block;width:.7em;height:.7em;border-radius:.15em;margin-right:.35em;background:var(--c)}
.k1{--c:var(--okfill)}.k2{--c:var(--badfill)}.k3{--c:var(--mark)}.k4{--c:var(--range)}
.f1{fill:var(--okfill)}.f2{fill:var(--badfill)}.f3{fill:var(--mark)}.f4{fill:var(--range)}
.badge{display:inline-block;border-radius:1rem;padding:.05rem .6rem;font-size:.82rem;font-weight:650;white-space:nowrap;color:var(--ok);background:var(--okback)}
.badge.warn{color:var(--warn);background:var(--warnback)}.badge.bad{color:var(--bad);background:var(--badback)}.badge.off{color:var(--soft);background:var(--code)}
.hooks{list-style:none;margin:0;padding:0}
.hooks li{display:grid;grid-template-columns:7.2rem minmax(0,1fr) 9rem 7rem 7rem;gap:.1rem .9rem;padding:.55rem 0;border-top:1px solid var(--line);align-items:start}
.hooks .num{font-variant-numeric:tabular-nums}.hooks .num span{display:block;color:var(--soft);font-size:.78rem}
.why{grid-column:2/-1;color:var(--bad)}.why.warn{color:var(--warn)}
pre{background:var(--code);border:1px solid var(--line);border-radius:.4rem;padding:.5rem .7rem;margin:.2rem 0 .6rem;white-space:pre-wrap;font:.82rem/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;max-height:24rem;overflow:auto}
details{border-top:1px solid var(--line);padding:.45rem 0}summary{cursor:pointer}
summary .badge{margin-right:.4rem}
.list{list-style:none;margin:0;padding:0}.list li{padding:.45rem 0;border-top:1px solid var(--line)}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2rem 1rem;margin:0}.facts dt{color:var(--soft)}.facts dd{margin:0}
form{margin:.8rem 0 0}button{font:inherit;font-weight:650;border-radius:.5rem;border:1px solid var(--link);padding:.6rem 1.1rem;min-height:2.75rem;background:var(--card);color:var(--link);cursor:pointer;width:100%;max-width:28rem}
button.first{background:var(--link);color:var(--card)}
:focus-visible{outline:3px solid var(--mark);outline-offset:2px}
@media (max-width:58rem){.hooks li{grid-template-columns:repeat(3,minmax(0,1fr))}.hooks li>:first-child,.hooks li>:nth-child(2),.why{grid-column:1/-1}.verdict strong{font-size:1.25rem}.facts{grid-template-columns:minmax(0,1fr)}.facts dd{margin-bottom:.4rem}}
@media print{body{background:#fff}section{break-inside:avoid}}
$css$;
$$;
COMMENT ON FUNCTION webhook.page_style() IS 'the style sheet of all pages';

-- level is ok, warn or bad; it is the colour of the icon.
CREATE FUNCTION webhook.page_document(title text, level text, form_action text, body text) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<!DOCTYPE html>' || E'\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>' || webhook.html($1) || E'</title>\n'
        || '<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-'
        || encode(sha256(convert_to(webhook.page_style(), 'UTF8')), 'base64')
        || '&#39;; img-src data:; base-uri &#39;none&#39;; form-action &#39;' || $3 || E'&#39;">\n'
        || E'<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        || E'<meta name="robots" content="noindex">\n<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=&#39;http://www.w3.org/2000/svg&#39; '
        || 'viewBox=&#39;0 0 8 8&#39;%3E%3Ccircle cx=&#39;4&#39; cy=&#39;4&#39; r=&#39;4&#39; fill=&#39;%23'
        || CASE $2 WHEN 'ok' THEN '3aa564' WHEN 'warn' THEN 'd99a1b' ELSE 'd6433c' END || E'&#39;/%3E%3C/svg%3E">\n'
        || '<style>' || webhook.page_style() || E'</style>\n</head>\n<body>\n', $4, E'</body>\n</html>\n');
$$;
COMMENT ON FUNCTION webhook.page_document(text, text, text, text) IS 'a complete HTML document';

CREATE FUNCTION webhook.page_header(title text) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
AS $$
    SELECT '<header><h1>' || title || '</h1><small>' || webhook.page_time(pg_catalog.now()) || E'</small></header>\n';
$$;
COMMENT ON FUNCTION webhook.page_header(text) IS 'the head of a page; the title is HTML';

CREATE FUNCTION webhook.page_tile(label text, value text, level text DEFAULT 'ok') RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT '<div class="' || level || '"><dt>' || label || '</dt><dd>' || value || E'</dd></div>\n';
$$;
COMMENT ON FUNCTION webhook.page_tile(text, text, text) IS 'one number of a page';

-- For minutes the last two hours, for hours the last 14 days; tiles about the last hour come with the minutes only.
CREATE FUNCTION webhook.page_history(ids bigint[], period text, OUT tiles text, OUT plots text) RETURNS record
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_page_history';
COMMENT ON FUNCTION webhook.page_history(bigint[], text) IS 'what webhooks did, and how long it took, as tiles and plots';

CREATE FUNCTION webhook.page_history_sections(minutes text, hours text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT E'<section aria-labelledby="minutes"><h2 id="minutes">The last two hours</h2>\n' || minutes || E'</section>\n'
        || E'<section aria-labelledby="hours"><h2 id="hours">The last 14 days</h2>\n' || hours || E'</section>\n';
$$;
COMMENT ON FUNCTION webhook.page_history_sections(text, text) IS 'the pictures of a page';

-- The webhooks that a role may see, or one of them, with what their state means.  gives_up_at is when the schedule of one that
-- fails will be used up, if every probe fails.
CREATE FUNCTION webhook.page_webhooks(role oid, webhook_id bigint)
RETURNS TABLE (id bigint, app text, name text, event text, url text, method text, active boolean, level text, state text, delivered bigint,
               failed bigint, pending bigint, buffered bigint, dropped bigint, estimated boolean, oldest interval, last_success_at timestamptz,
               last_failure_at timestamptz, last_error text, failing_since timestamptz, next_probe_at timestamptz, probes integer,
               steps integer, gives_up_at timestamptz, deactivated_at timestamptz, deactivation_reason text, buffered_until timestamptz)
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    -- The second part is no join, for which the planner could read all webhooks again and again.
    RETURN QUERY
    SELECT w.id, w.app, w.name, w.event, w.url, w.method, w.active,
           CASE WHEN NOT w.active AND w.deactivation_reason <> 'manual' THEN 'bad'
                WHEN NOT w.active THEN 'off'
                WHEN s.next_probe_at IS NOT NULL THEN 'bad'
                WHEN s.failing_since IS NOT NULL OR s.oldest_pending_age > '5 min' THEN 'warn' ELSE 'ok' END,
           CASE WHEN NOT w.active THEN CASE WHEN w.deactivation_reason = 'manual' THEN 'off' ELSE 'deactivated' END
                WHEN s.next_probe_at IS NOT NULL THEN 'failing'
                WHEN s.failing_since IS NOT NULL THEN 'retrying'
                WHEN s.oldest_pending_age > '5 min' THEN 'late'
                WHEN s.last_success_at IS NULL THEN 'nothing yet' ELSE 'works' END,
           s.delivered, s.failed, s.pending, s.buffered, s.dropped, s.estimated, s.oldest_pending_age, s.last_success_at, s.last_failure_at,
           s.last_error, s.failing_since, s.next_probe_at, s.probes, cardinality(r.steps),
           s.next_probe_at + (SELECT coalesce(sum(t.step), '0') FROM unnest(r.steps) WITH ORDINALITY AS t (step, n) WHERE t.n > s.probes + 1),
           w.deactivated_at, w.deactivation_reason,
           CASE WHEN w.buffering THEN w.deactivated_at + current_setting('webhook.buffer_retention')::interval END
    FROM webhook.stat_webhooks AS s
    CROSS JOIN LATERAL (SELECT * FROM webhook.webhook AS h WHERE h.id = s.webhook_id OFFSET 0) AS w
    CROSS JOIN LATERAL (
        SELECT CASE WHEN s.next_probe_at IS NOT NULL
                    THEN coalesce(w.retry_schedule, string_to_array(current_setting('webhook.retry_schedule'), ',')::interval[]) END) AS r (steps)
    WHERE ($2 IS NULL OR s.webhook_id = $2) AND pg_has_role($1, w.owner::oid, 'USAGE');
END
$$;
COMMENT ON FUNCTION webhook.page_webhooks(oid, bigint) IS 'what the pages show of webhooks';

CREATE FUNCTION webhook.page_title(id bigint, app text, name text) RETURNS text
    LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
AS $$
    SELECT webhook.page_name(coalesce(nullif(name, ''), app)) || ' <small>#' || id || CASE WHEN name <> '' THEN ' &middot; ' || webhook.page_name(app) ELSE '' END || '</small>';
$$;
COMMENT ON FUNCTION webhook.page_title(bigint, text, text) IS 'how the pages call a webhook';

-- Why it does not deliver, and what will happen next.
CREATE FUNCTION webhook.page_why(w record) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    error text := CASE WHEN w.last_error <> '' THEN ': ' || webhook.page_name(w.last_error) ELSE '' END;
BEGIN
    RETURN CASE w.state
        WHEN 'deactivated' THEN
            'Deactivated ' || webhook.page_ago(w.deactivated_at)
            || CASE w.deactivation_reason
                   WHEN 'failing' THEN ' because all attempts failed' || error
                   WHEN 'gone' THEN ' because the receiver answered 410 Gone'
                   WHEN 'owner' THEN ' because its owner has been dropped'
                   WHEN 'copy' THEN ' because this database is a copy'
                   ELSE ' (' || webhook.html(w.deactivation_reason) || ')' END
            || '. ' || CASE WHEN w.buffered_until > now() THEN 'What comes until ' || webhook.page_time(w.buffered_until) || ' is buffered.'
                            ELSE 'What comes now is dropped.' END
        WHEN 'failing' THEN
            'Has failed for ' || webhook.page_seconds(extract(epoch FROM now() - w.failing_since)::double precision) || error || format('. %s of %s attempts are used up; the next one is ', w.probes, w.steps)
            || CASE WHEN w.next_probe_at <= now() THEN 'due' ELSE webhook.page_ago(w.next_probe_at) END
            || '. Unless one succeeds, it will be deactivated ' || webhook.page_ago(greatest(w.gives_up_at, now())) || '.'
        WHEN 'retrying' THEN 'The last attempt failed ' || webhook.page_ago(w.last_failure_at) || error || '.'
        WHEN 'late' THEN 'A message has waited for ' || webhook.page_seconds(extract(epoch FROM w.oldest)::double precision) || '.'
        ELSE '' END;
END
$$;
COMMENT ON FUNCTION webhook.page_why(record) IS 'why a row of page_webhooks() does not deliver, as HTML';

CREATE FUNCTION webhook.page_item(w record) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN '<li><span><span class="badge ' || w.level || '">' || w.state || '</span></span><span><a href="?webhook_id=' || w.id || '">'
        || webhook.page_title(w.id, w.app, w.name) || '</a><br><small>' || webhook.page_name(w.event) || ' &rarr; ' || webhook.page_name(w.method || ' ' || w.url)
        || '</small></span><span class="num"><span>last success</span>' || webhook.page_ago(w.last_success_at)
        || '</span><span class="num"><span>delivered</span>' || webhook.page_number(w.delivered)
        || '</span><span class="num"><span>' || CASE WHEN w.active THEN 'waiting' ELSE 'buffered' END || '</span>'
        || CASE WHEN w.estimated THEN '&asymp; ' ELSE '' END || webhook.page_number(w.pending + w.buffered) || '</span>'
        || CASE WHEN w.level IN ('bad', 'warn') THEN '<span class="why ' || w.level || '">' || webhook.page_why(w) || '</span>' ELSE '' END || E'</li>\n';
END
$$;
COMMENT ON FUNCTION webhook.page_item(record) IS 'a row of page_webhooks() in a list';

-- For what comes after the first hundred.
CREATE FUNCTION webhook.page_line(w record) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN '<li><span class="badge ' || w.level || '">' || w.state || '</span> <a href="?webhook_id=' || w.id || '">'
        || webhook.page_title(w.id, w.app, w.name) || E'</a></li>\n';
END
$$;
COMMENT ON FUNCTION webhook.page_line(record) IS 'a row of page_webhooks() in a short list';

CREATE FUNCTION webhook.page_list(title text, id text, items text, more text, more_count bigint) RETURNS text
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS $$
    SELECT CASE WHEN items IS NULL THEN ''
                ELSE pg_catalog.concat('<section aria-labelledby="' || id || '"><h2 id="' || id || '">' || title || '</h2><ul class="hooks">', items, '</ul>',
                         CASE WHEN more IS NOT NULL THEN '<details><summary>' || webhook.page_number(more_count) || ' more</summary><ul class="list">' END,
                         more, CASE WHEN more IS NOT NULL THEN '</ul></details>' END, E'</section>\n') END;
$$;
COMMENT ON FUNCTION webhook.page_list(text, text, text, text, bigint) IS 'a list of webhooks as a section of a page';

-- The worker of this database.  Its error may contain values of messages, so it is for roles that may read stat_workers.
CREATE FUNCTION webhook.page_worker(role oid, OUT level text, OUT verdict text, OUT words text) RETURNS record
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.level,
           CASE WHEN l.proxy THEN 'The proxy does not work' WHEN l.level = 'bad' THEN 'Nothing is sent' WHEN l.level = 'warn' THEN 'Sending has to wait' END,
           CASE s.state
               WHEN 'resting' THEN 'No worker is needed, as there is nothing to send.'
               WHEN 'waiting' THEN 'All workers are busy with other databases; this one has waited for ' || webhook.page_seconds(extract(epoch FROM now() - s.since)::double precision) || '.'
               WHEN 'starting' THEN 'A worker is being started.'
               WHEN 'backoff' THEN 'The worker ended with an error'
                                   || CASE WHEN has_table_privilege($1, 'webhook.stat_workers', 'SELECT')
                                           THEN ': ' || webhook.page_name(coalesce(s.last_error, 'unknown')) ELSE '' END
                                   || '. It will be started again ' || webhook.page_ago(s.restart_at) || '.'
               WHEN 'held' THEN 'The worker is stopped for a command that needs the database for itself.'
               WHEN 'served' THEN CASE
                   WHEN s.activity = 'paused' THEN 'Sending is disabled: the setting webhook.dispatch is off.'
                   WHEN s.activity = 'unconfirmed' THEN 'Nothing is sent until the synchronous standbys confirm what has been committed.'
                   WHEN s.activity = 'foreign' THEN 'This database seems to be a copy, so nothing is sent. Call webhook.adopt() if it is the one that should send.'
                   WHEN s.activity = 'mismatched' THEN 'Library and extension have different versions, so nothing is sent. Run ALTER EXTENSION webhook UPDATE.'
                   WHEN l.proxy THEN 'Messages have waited for webhook.proxy for ' || webhook.page_seconds(extract(epoch FROM now() - s.proxy_failing_since)::double precision)
                                     || '. Only hosts in webhook.no_proxy are reached.'
                   WHEN s.activity = 'sending' THEN 'The worker is sending, with ' || webhook.page_number(s.in_flight)
                                       || CASE s.in_flight WHEN 1 THEN ' request' ELSE ' requests' END || ' under way.'
                   WHEN s.activity = 'leaving' THEN 'The worker makes room for another database.'
                   ELSE 'The worker waits for messages.' END
               WHEN 'new' THEN 'The database is being checked for the first time.'
               ELSE 'No worker serves this database. Is webhook in shared_preload_libraries?' END
    FROM (SELECT 1) AS one LEFT JOIN webhook.stat_workers AS s ON s.database = current_database()
    CROSS JOIN LATERAL (SELECT s.state = 'resting' OR s.state = 'served' AND coalesce(s.activity, 'idle') IN ('idle', 'sending', 'leaving') AS works) AS w
    CROSS JOIN LATERAL (
        SELECT w.works AND s.state = 'served' AND s.proxy_failing_since IS NOT NULL AS proxy,
               CASE WHEN w.works AND s.proxy_failing_since IS NULL THEN 'ok'
                    WHEN w.works OR s.state IN ('served', 'backoff', 'held') OR s.state IS NULL THEN 'bad' ELSE 'warn' END AS level) AS l;
$$;
COMMENT ON FUNCTION webhook.page_worker(oid) IS 'the state of the worker in words, and what to call it if it is not well';

CREATE FUNCTION webhook.page_notifications(role oid, webhook_id bigint) RETURNS text
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '<section aria-labelledby="news"><h2 id="news">Notifications</h2><ul class="list">'
        || string_agg('<li><strong>' || webhook.html(n.kind) || '</strong> ' || webhook.page_name(n.message) || ' <small>' || webhook.page_ago(n.created_at)
                      || CASE WHEN n.read_at IS NULL THEN ' &middot; unread' ELSE '' END || '</small></li>', '' ORDER BY n.id DESC) || E'</ul></section>\n'
    FROM (SELECT m.* FROM webhook.notification AS m LEFT JOIN webhook.webhook AS w ON w.id = m.webhook_id
          WHERE CASE WHEN m.webhook_id IS NULL THEN $2 IS NULL AND has_any_column_privilege($1, 'webhook.notification', 'SELECT')
                     ELSE pg_has_role($1, w.owner::oid, 'USAGE') AND ($2 IS NULL OR m.webhook_id = $2) END
          ORDER BY m.id DESC LIMIT 10) AS n
    HAVING count(*) > 0;
$$;
COMMENT ON FUNCTION webhook.page_notifications(oid, bigint) IS 'the latest notifications that a role may see, of one webhook or all, as HTML';

-- For a role that sees only some webhooks, their history is added up; for all of them there is a sum already.
CREATE FUNCTION webhook.page_overview(role oid) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    worker   record := webhook.page_worker(role);
    s        record;
    ids      bigint[];
    minutes  record;
    hours    record;
    verdict  text;
    level    text;
    title    text := 'Webhooks of ' || current_database();
BEGIN
    WITH w AS MATERIALIZED (
        SELECT p.*, t.troubled, row_number() OVER (PARTITION BY t.troubled ORDER BY p.level IN ('warn', 'off'),
                   CASE WHEN t.troubled THEN p.last_failure_at END DESC NULLS LAST, lower(p.app), lower(p.name), p.id) AS nth
        FROM webhook.page_webhooks(role, NULL) AS p
        CROSS JOIN LATERAL (SELECT p.level IN ('bad', 'warn')) AS t (troubled)),
    causes AS (
        SELECT c.cause, count(*) AS webhooks, min(w.nth) AS nth,
               (array_agg('<a href="?webhook_id=' || w.id || '">' || webhook.page_name(coalesce(nullif(w.name, ''), w.app)) || '</a>' ORDER BY w.nth))[1:3] AS links
        FROM w CROSS JOIN LATERAL (
            SELECT CASE w.deactivation_reason WHEN 'gone' THEN 'The receiver answered 410 Gone' WHEN 'owner' THEN 'The owner has been dropped'
                                              WHEN 'copy' THEN 'This database is a copy' ELSE coalesce(nullif(w.last_error, ''), 'Unknown error') END) AS c (cause)
        WHERE w.level = 'bad' GROUP BY c.cause ORDER BY count(*) DESC, min(w.nth) LIMIT 3)
    SELECT count(*) AS webhooks, count(*) FILTER (WHERE w.state = 'deactivated') AS deactivated, count(*) FILTER (WHERE w.state = 'failing') AS failing,
           count(*) FILTER (WHERE w.state = 'retrying') AS retrying, count(*) FILTER (WHERE w.state = 'late') AS late,
           count(*) FILTER (WHERE w.active) AS active, sum(w.pending) AS pending, sum(w.buffered) AS buffered, max(w.oldest) AS oldest,
           bool_or(w.estimated) AS estimated,
           string_agg(webhook.page_item(w), '' ORDER BY w.nth) FILTER (WHERE w.troubled AND w.nth <= 100) AS troubled,
           string_agg(webhook.page_line(w), '' ORDER BY w.nth) FILTER (WHERE w.troubled AND w.nth > 100) AS troubled_more,
           count(*) FILTER (WHERE w.troubled) - 100 AS troubled_count,
           string_agg(webhook.page_item(w), '' ORDER BY w.nth) FILTER (WHERE NOT w.troubled AND w.nth <= 100) AS others,
           string_agg(webhook.page_line(w), '' ORDER BY w.nth) FILTER (WHERE NOT w.troubled AND w.nth > 100) AS others_more,
           count(*) FILTER (WHERE NOT w.troubled) - 100 AS others_count,
           array_agg(w.id) AS ids,
           (SELECT string_agg('<li>' || webhook.page_name(c.cause) || ': ' || array_to_string(c.links, ', ')
                              || CASE WHEN c.webhooks > 3 THEN ' and ' || webhook.page_number(c.webhooks - 3) || ' more' ELSE '' END || '</li>', ''
                              ORDER BY c.webhooks DESC, c.nth)
            FROM causes AS c) AS causes
      INTO s
      FROM w;
    ids := CASE WHEN s.webhooks = (SELECT count(*) FROM webhook.webhook) THEN '{0}' ELSE coalesce(s.ids, '{}') END;
    minutes := webhook.page_history(ids, 'minute');
    hours := webhook.page_history(ids, 'hour');

    level := CASE WHEN worker.level = 'bad' OR s.deactivated + s.failing > 0 THEN 'bad'
                  WHEN worker.level = 'warn' OR s.retrying + s.late > 0 THEN 'warn' ELSE 'ok' END;
    verdict := CASE WHEN worker.level = 'bad' THEN worker.verdict
                    WHEN s.deactivated + s.failing > 0 THEN concat_ws(' and ',
                        CASE WHEN s.deactivated > 0 THEN s.deactivated || CASE s.deactivated WHEN 1 THEN ' webhook is deactivated' ELSE ' webhooks are deactivated' END END,
                        CASE WHEN s.failing > 0 THEN s.failing || CASE s.failing WHEN 1 THEN ' webhook is failing' ELSE ' webhooks are failing' END END)
                    WHEN s.retrying > 0 THEN s.retrying || CASE s.retrying WHEN 1 THEN ' webhook had a failure' ELSE ' webhooks had failures' END
                    WHEN s.late > 0 THEN 'Messages are late'
                    WHEN s.webhooks = 0 THEN 'There are no webhooks yet'
                    WHEN worker.level = 'warn' THEN worker.verdict
                    ELSE 'All is well' END;
    RETURN webhook.page_document(CASE level WHEN 'ok' THEN title ELSE verdict || ' - ' || title END, level, 'none',
        concat(webhook.page_header('Webhooks of ' || webhook.page_name(current_database())) || '<main>'
        || '<div class="verdict ' || level || '" role="status"><strong>' || verdict || '.</strong>' || worker.words
        || CASE WHEN s.webhooks = 0 THEN ' The function webhook.create_webhook() makes one.' ELSE '' END
        || CASE WHEN s.causes IS NULL THEN '' ELSE '<ul>' || s.causes || '</ul>' END || E'</div>\n'
        || '<dl class="tiles">' || minutes.tiles
        || webhook.page_tile('waiting', CASE WHEN s.estimated THEN '&asymp; ' ELSE '' END || webhook.page_number(s.pending))
        || webhook.page_tile('oldest waits', webhook.page_seconds(extract(epoch FROM s.oldest)::double precision),
                             CASE WHEN s.oldest > '5 min' THEN 'warn' ELSE 'ok' END)
        || webhook.page_tile('buffered', webhook.page_number(s.buffered), CASE WHEN s.buffered > 0 THEN 'warn' ELSE 'ok' END)
        || webhook.page_tile('active', webhook.page_number(s.active) || ' <small>of ' || webhook.page_number(s.webhooks) || '</small>') || E'</dl>\n',
        webhook.page_list('What needs attention', 'trouble', s.troubled, s.troubled_more, s.troubled_count),
        webhook.page_history_sections(minutes.plots, hours.plots),
        webhook.page_list(CASE WHEN s.troubled IS NULL THEN 'Webhooks' ELSE 'The other webhooks' END, 'others', s.others, s.others_more, s.others_count),
        webhook.page_notifications(role, NULL), '</main>'));
END
$$;
COMMENT ON FUNCTION webhook.page_overview(oid) IS 'the page about all webhooks of a role';

CREATE FUNCTION webhook.page_code(title text, code text) RETURNS text
    LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
AS $$
    SELECT CASE WHEN code <> '' THEN '<h3>' || title || '</h3><pre tabindex="0">'
                || webhook.html(CASE WHEN pg_catalog.length(code) > 20000 THEN pg_catalog.left(code, 20000) || '...' ELSE code END) || E'</pre>\n' ELSE '' END;
$$;
COMMENT ON FUNCTION webhook.page_code(text, text) IS 'statements, headers or a body in a page';

CREATE FUNCTION webhook.page_requests(id bigint) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg('<details' || CASE WHEN l.nth = 1 THEN ' open' ELSE '' END || '><summary><span class="badge '
               || CASE WHEN l.outcome IN ('delivered', 'agreed') THEN 'ok' ELSE 'bad' END || '">' || coalesce(l.status || ' ', '') || webhook.html(l.outcome)
               || '</span>' || webhook.page_name(l.event) || ' <small>' || webhook.page_ago(l.attempted_at) || ' &middot; '
               || webhook.page_seconds(extract(epoch FROM l.duration)::double precision) || ' &middot; attempt ' || l.attempt || '</small></summary>'
               || CASE WHEN l.error <> '' THEN '<p class="why">' || webhook.page_name(l.error) || '</p>' ELSE '' END
               || '<p class="soft">Message ' || l.message_id || ', sent ' || webhook.page_time(l.attempted_at) || CASE WHEN l.remote_address <> '' THEN ' to ' || webhook.page_name(l.remote_address) ELSE '' END
               || CASE WHEN l.http_version <> '' THEN ' by HTTP/' || webhook.html(l.http_version) ELSE '' END || '</p>'
               || webhook.page_code('Request', l.method || ' ' || l.url || E'\n' || coalesce(l.request_headers, ''))
               || webhook.page_code('Body', l.request_body)
               || webhook.page_code('Answer', 'Status ' || l.status || E'\n' || coalesce(l.response_headers, ''))
               || webhook.page_code('Body of the answer', l.response_body) || E'</details>\n', '' ORDER BY l.seq DESC)
    FROM (SELECT a.*, row_number() OVER (ORDER BY a.seq DESC) AS nth
          FROM (SELECT * FROM webhook.log UNION ALL SELECT * FROM webhook.log_1) AS a
          WHERE a.webhook_id = $1 ORDER BY a.seq DESC LIMIT 10) AS l;
$$;
COMMENT ON FUNCTION webhook.page_requests(bigint) IS 'the last ten requests of a webhook as HTML';

CREATE FUNCTION webhook.page_undelivered(id bigint) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
    SELECT string_agg('<li><span class="badge ' || CASE d.state WHEN 'failed' THEN 'bad' WHEN 'retrying' THEN 'warn' ELSE 'off' END || '">' || d.state
               || '</span> ' || webhook.page_name(d.event) || CASE WHEN d.entity_id IS NULL THEN '' ELSE ' ' || webhook.page_name(d.entity_id #>> '{}') END
               || ' <small>' || d.message_id || ' &middot; captured ' || webhook.page_ago(d.created_at) || ' &middot; ' || d.attempts
               || CASE d.attempts WHEN 1 THEN ' attempt' ELSE ' attempts' END
               || CASE WHEN d.next_attempt_at IS NULL THEN '' ELSE ' &middot; next ' || webhook.page_ago(d.next_attempt_at) END || '</small>'
               || CASE WHEN d.last_error <> '' THEN '<br>' || webhook.page_name(d.last_error) ELSE '' END || E'</li>\n', '' ORDER BY d.id)
    FROM (SELECT * FROM webhook.delivery AS e WHERE e.webhook_id = $1 ORDER BY e.id LIMIT 20) AS d;
$$;
COMMENT ON FUNCTION webhook.page_undelivered(bigint) IS 'the first deliveries of a webhook that are stored as they did not succeed, as HTML';

-- The link of the newest token that has not been used.
CREATE FUNCTION webhook.page_reactivation_link(id bigint) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '<p><a href="' || webhook.html(replace(current_setting('webhook.reactivation_url'), '{token}', n.token)) || '">Activate it again ...</a></p>'
    FROM webhook.notification AS n
    WHERE n.webhook_id = $1 AND n.token IS NOT NULL AND current_setting('webhook.reactivation_url') ~ '^https?://'
    ORDER BY n.id DESC LIMIT 1;
$$;
COMMENT ON FUNCTION webhook.page_reactivation_link(bigint) IS 'where a deactivated webhook can be activated, as HTML; null if webhook.reactivation_url is not set';

CREATE FUNCTION webhook.page_calls(w record) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN '<section aria-labelledby="calls"><h2 id="calls">What you can do</h2>'
        || CASE WHEN w.active THEN '' ELSE coalesce(webhook.page_reactivation_link(w.id), '')
               || webhook.page_code('Activate it, and send what is buffered', format('SELECT webhook.activate_webhook(%s, replay_events => true);', w.id))
               || webhook.page_code('Activate it, and drop what is buffered', format('SELECT webhook.activate_webhook(%s);', w.id)) END
        || webhook.page_code('Send a test request', format('SELECT webhook.test_webhook(%s);', w.id))
        || CASE WHEN w.failed > 0
                THEN webhook.page_code('Send again what failed for good',
                                         format('SELECT webhook.redeliver_failed(%s);', w.id)) ELSE '' END
        || CASE WHEN w.active THEN webhook.page_code('Deactivate it, and buffer what comes', format('SELECT webhook.deactivate_webhook(%s, buffer_events => true);', w.id)) ELSE '' END
        || E'</section>\n';
END
$$;
COMMENT ON FUNCTION webhook.page_calls(record) IS 'statements that act on a row of page_webhooks(), as HTML';

CREATE FUNCTION webhook.page_webhook(w record, role oid) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    worker   record := webhook.page_worker(role);
    level    text := CASE WHEN w.level = 'off' THEN 'warn' WHEN w.level = 'ok' THEN worker.level ELSE w.level END;
    verdict  text := CASE WHEN w.state IN ('deactivated', 'off') THEN 'It is deactivated' WHEN w.state = 'failing' THEN 'It is failing'
                          WHEN w.state = 'retrying' THEN 'It had a failure' WHEN w.state = 'late' THEN 'Messages are late'
                          WHEN worker.level <> 'ok' THEN worker.verdict
                          WHEN w.state = 'nothing yet' THEN 'Nothing has been sent yet' ELSE 'All is well' END;
    waiting  text := webhook.page_undelivered(w.id);
    requests text := webhook.page_requests(w.id);
    minutes  record := webhook.page_history(ARRAY[w.id], 'minute');
    hours    record := webhook.page_history(ARRAY[w.id], 'hour');
BEGIN
    RETURN webhook.page_document(verdict || ' - ' || coalesce(nullif(w.name, ''), w.app), level, 'none',
        concat(webhook.page_header(webhook.page_title(w.id, w.app, w.name)) || '<main>'
        || '<div class="verdict ' || level || '" role="status"><strong>' || verdict || '.</strong>'
        || CASE w.state WHEN 'off' THEN 'Deactivated by hand ' || webhook.page_ago(w.deactivated_at) || '.'
                        ELSE coalesce(nullif(webhook.page_why(w), ''), 'Last success ' || webhook.page_ago(w.last_success_at) || '.') END
        || CASE WHEN worker.level = 'ok' THEN '' ELSE '<br>' || worker.words END || E'</div>\n'
        || '<dl class="tiles">' || minutes.tiles
        || webhook.page_tile(CASE WHEN w.active THEN 'waiting' ELSE 'buffered' END,
                             CASE WHEN w.estimated THEN '&asymp; ' ELSE '' END || webhook.page_number(w.pending + w.buffered))
        || webhook.page_tile('oldest waits', webhook.page_seconds(extract(epoch FROM w.oldest)::double precision))
        || webhook.page_tile('delivered in all', webhook.page_number(w.delivered))
        || CASE WHEN w.failed > 0 THEN webhook.page_tile('failed for good', webhook.page_number(w.failed), 'warn') ELSE '' END
        || CASE WHEN w.dropped > 0 THEN webhook.page_tile('dropped', webhook.page_number(w.dropped), 'warn') ELSE '' END || E'</dl>\n'
        || '<section aria-labelledby="facts"><h2 id="facts">The webhook</h2><dl class="facts"><dt>Sends</dt><dd>' || webhook.page_name(w.event)
        || '</dd><dt>To</dt><dd>' || webhook.page_name(w.method || ' ' || w.url) || '</dd><dt>Last success</dt><dd>' || webhook.page_time(w.last_success_at)
        || '</dd><dt>Last failure</dt><dd>' || webhook.page_time(w.last_failure_at) || E'</dd></dl></section>\n',
        CASE level WHEN 'ok' THEN '' ELSE webhook.page_calls(w) END,
        webhook.page_history_sections(minutes.plots, hours.plots),
        '<section aria-labelledby="requests"><h2 id="requests">The last ten requests</h2>', coalesce(requests, '<p>There are none.</p>'), E'</section>\n',
        CASE WHEN waiting IS NULL THEN ''
             ELSE '<section aria-labelledby="waiting"><h2 id="waiting">Not delivered, the oldest first</h2><ul class="list">' || waiting || E'</ul></section>\n' END,
        CASE level WHEN 'ok' THEN webhook.page_calls(w) ELSE '' END, webhook.page_notifications(role, w.id), '</main>'));
END
$$;
COMMENT ON FUNCTION webhook.page_webhook(record, oid) IS 'the page about a row of page_webhooks()';

CREATE FUNCTION webhook.page_for(webhook_id bigint, role oid) RETURNS text
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w record;
BEGIN
    IF webhook_id IS NULL THEN
        RETURN webhook.page_overview(role);
    END IF;
    SELECT * INTO w FROM webhook.page_webhooks(role, webhook_id);
    IF NOT FOUND THEN
        RETURN webhook.page_document('No such webhook', 'warn', 'none', webhook.page_header('Webhooks of ' || webhook.page_name(current_database()))
            || '<main><div class="verdict warn" role="status"><strong>There is no such webhook.</strong>It may have been deleted, or belong to another role.</div></main>');
    END IF;
    RETURN webhook.page_webhook(w, role);
END
$$;
COMMENT ON FUNCTION webhook.page_for(bigint, oid) IS 'what status_page() returns to a role';

-- As reactivate(), for any role that has the token.
CREATE FUNCTION webhook.page_for_token(token text) RETURNS text
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w record;
BEGIN
    SELECT p.* INTO w
    FROM webhook.notification AS n JOIN webhook.webhook AS h ON h.id = n.webhook_id
    CROSS JOIN LATERAL webhook.page_webhooks(h.owner::oid, h.id) AS p
    WHERE n.token = page_for_token.token;
    IF NOT FOUND OR w.active THEN
        RETURN webhook.page_document('Nothing to activate', 'warn', 'none', webhook.page_header('Activate a webhook')
            || '<main><div class="verdict warn" role="status"><strong>There is nothing to activate.</strong>This link has been used, is incomplete, or the webhook is active.</div></main>');
    END IF;
    RETURN webhook.page_document('Activate ' || coalesce(nullif(w.name, ''), w.app), 'bad', 'self',
        webhook.page_header('Activate ' || webhook.page_title(w.id, w.app, w.name)) || '<main>'
        || '<div class="verdict bad" role="status"><strong>It is deactivated.</strong>' || webhook.page_why(w) || E'</div>\n'
        || '<dl class="tiles">' || webhook.page_tile('buffered messages', CASE WHEN w.estimated THEN '&asymp; ' ELSE '' END || webhook.page_number(w.buffered))
        || webhook.page_tile('dropped', webhook.page_number(w.dropped), CASE WHEN w.dropped > 0 THEN 'warn' ELSE 'ok' END) || E'</dl>\n'
        || '<section aria-labelledby="choice"><h2 id="choice">Is the receiver ready again?</h2>'
        || '<p>It is <span class="soft">' || webhook.page_name(w.method || ' ' || w.url) || '</span>. Then choose what becomes of the buffered messages.</p>'
        || (SELECT string_agg('<form method="post"><input type="hidden" name="token" value="' || webhook.html(token) || '"><input type="hidden" name="replay_events" value="'
                              || b.replay || '"><button class="' || b.class || '" type="submit">' || b.label || E'</button></form>\n', '' ORDER BY b.replay DESC)
            FROM (VALUES ('true', 'first', 'Activate and send the buffered messages'), ('false', 'second', 'Activate and drop them')) AS b (replay, class, label))
        || E'</section></main>\n');
END
$$;
COMMENT ON FUNCTION webhook.page_for_token(text) IS 'what reactivation_page() returns';

CREATE FUNCTION webhook.status_page(webhook_id bigint DEFAULT NULL) RETURNS text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_status_page';
COMMENT ON FUNCTION webhook.status_page(bigint) IS
    'an HTML page about the webhooks of the current role, or in detail about one of them';

CREATE FUNCTION webhook.reactivation_page(token text) RETURNS text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_reactivation_page';
COMMENT ON FUNCTION webhook.reactivation_page(text) IS
    'an HTML page behind the link of a notification: what has happened, and two buttons that activate the webhook with a POST; changes nothing itself';

REVOKE ALL ON ROUTINE webhook.counts_add, webhook.counts_subtract, webhook.counts_sum, webhook.attempt_outcomes,
    webhook.histogram_bounds, webhook.histogram_quantile, webhook.activity_counters, webhook.activity, webhook.metrics_label, webhook.metrics_webhooks,
    webhook.metrics_workers, webhook.metrics_storage, webhook.metrics, webhook.html, webhook.page_name, webhook.page_number,
    webhook.page_seconds, webhook.page_time, webhook.page_ago, webhook.page_style, webhook.page_document,
    webhook.page_header, webhook.page_tile, webhook.page_history, webhook.page_history_sections, webhook.page_line, webhook.page_list,
    webhook.page_webhooks, webhook.page_title, webhook.page_why, webhook.page_item, webhook.page_worker,
    webhook.page_notifications, webhook.page_overview, webhook.page_code, webhook.page_requests,
    webhook.page_undelivered, webhook.page_reactivation_link, webhook.page_calls, webhook.page_webhook, webhook.page_for,
    webhook.page_for_token, webhook.status_page, webhook.reactivation_page FROM PUBLIC;

COMMENT ON COLUMN webhook.stat_webhooks_history.webhook_id IS 'id of the webhook';
COMMENT ON COLUMN webhook.stat_webhooks_history.app IS 'the application that it was created for';
COMMENT ON COLUMN webhook.stat_webhooks_history.name IS 'its name for people';
COMMENT ON COLUMN webhook.stat_webhooks_history.period IS 'minute or hour';
COMMENT ON COLUMN webhook.stat_webhooks_history.since IS 'when the period began; those in which nothing was done are left out';
COMMENT ON COLUMN webhook.stat_webhooks_history.delivered IS 'messages that the receiver has accepted';
COMMENT ON COLUMN webhook.stat_webhooks_history.failed IS 'messages that have failed permanently';
COMMENT ON COLUMN webhook.stat_webhooks_history.attempts IS 'attempts to deliver';
COMMENT ON COLUMN webhook.stat_webhooks_history.dropped IS 'messages not buffered while it was deactivated, or dropped by its transform';
COMMENT ON COLUMN webhook.stat_webhooks_history.outcomes IS 'attempts by outcome';
COMMENT ON COLUMN webhook.stat_webhooks_history.duration_p50 IS 'half of the attempts took no longer; like all of these, estimated from a histogram';
COMMENT ON COLUMN webhook.stat_webhooks_history.duration_p90 IS 'the same for nine tenths';
COMMENT ON COLUMN webhook.stat_webhooks_history.duration_p99 IS 'the same for 99 of 100';
COMMENT ON COLUMN webhook.stat_webhooks_history.latency_p50 IS 'half of what was delivered was delivered within this time after the change';
COMMENT ON COLUMN webhook.stat_webhooks_history.latency_p90 IS 'the same for nine tenths';
COMMENT ON COLUMN webhook.stat_webhooks_history.latency_p99 IS 'the same for 99 of 100';
COMMENT ON COLUMN webhook.stat_webhooks_history.durations IS 'the histogram of attempts; histogram_bounds() has its bounds';
COMMENT ON COLUMN webhook.stat_webhooks_history.latencies IS 'the histogram of deliveries';

-- The history: messages that were moved here when their partition of the outbox was emptied, see src/log/history.c.
--
-- Eight tables in turn; the outbox's own indexes do not support the searches that users need.  The newest row
-- of history_part is the table that is being filled; a table without a row there is empty.  No unique keys, see 10_tables.sql.
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

COMMENT ON COLUMN webhook.message_history.message_id IS 'id of the message, the header webhook-id';
COMMENT ON COLUMN webhook.message_history.event IS 'trigger name';
COMMENT ON COLUMN webhook.message_history.entity_type IS 'type of the entity';
COMMENT ON COLUMN webhook.message_history.entity_id IS 'id of the entity';
COMMENT ON COLUMN webhook.message_history.event_uid IS 'UID of the event that it belongs to, if a webhook needed it';
COMMENT ON COLUMN webhook.message_history.payload IS 'the record as it was captured, before forms, mappings and transforms';
COMMENT ON COLUMN webhook.message_history.created_at IS 'when it was captured';
COMMENT ON COLUMN webhook.message_history.webhook_ids IS 'the webhooks that it was for';
REVOKE ALL ON webhook.history_0, webhook.history_1, webhook.history_2, webhook.history_3, webhook.history_4, webhook.history_5,
    webhook.history_6, webhook.history_7, webhook.history_part, webhook.history_moved, webhook.history_rows, webhook.captured,
    webhook.message_history, webhook.replay_to_do FROM PUBLIC;
REVOKE ALL ON SEQUENCE webhook.history_epoch_seq FROM PUBLIC;
REVOKE ALL ON FUNCTION webhook.move_to_history, webhook.forget_moved, webhook.trim_history, webhook.replay_matches, webhook.replay_count, webhook.replay,
    webhook.replay_next, webhook.replay_last_id, webhook.replay_visible, webhook.history_payload,
    webhook.history_event_uid FROM PUBLIC;

-- The configuration as a document.

ALTER TABLE webhook.webhook ADD COLUMN managed_by text;
ALTER TABLE webhook.watch ADD COLUMN managed_by text;
ALTER TABLE webhook.integration ADD COLUMN managed_by text;
ALTER TABLE webhook.event_override ADD COLUMN managed_by text;
ALTER TABLE webhook.shape ADD COLUMN managed_by text;

-- Both the tables and a document are taken apart into items, which are compared.  What differs becomes calls of the functions
-- that users call, so a document can say nothing that they would refuse.

CREATE FUNCTION webhook.export_config(secrets boolean DEFAULT false, managed_by text DEFAULT NULL) RETURNS jsonb
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_export_config';
COMMENT ON FUNCTION webhook.export_config(boolean, text)
    IS 'the configuration that the current role may manage, all or that of one document; without secrets unless they are asked for';

CREATE FUNCTION webhook.apply_config(config jsonb, dry_run boolean DEFAULT false)
RETURNS TABLE (object text, action text, detail text)
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_apply_config';
COMMENT ON FUNCTION webhook.apply_config(jsonb, boolean)
    IS 'makes the configuration that of a document, and returns what that changes; dry_run only returns it';

CREATE FUNCTION webhook.webhook_fields() RETURNS jsonb
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'webhook_webhook_fields';
COMMENT ON FUNCTION webhook.webhook_fields()
    IS 'the arguments of create_webhook(): default, and "secrets" where not everybody may see the value ("") or some of its members';

-- key is unique for a kind; that of a webhook need not be.  Parts of an integration have its owner and managed_by.
CREATE TYPE webhook.config_item AS (
    kind       text,
    key        text[],
    owner      text,
    managed_by text,
    value      jsonb,
    id         bigint,     -- of a webhook
    path       text,       -- in the document
    explicit   boolean     -- there, managed_by is a property of the object
);
COMMENT ON TYPE webhook.config_item IS 'a part of the configuration';

-- A name identifies a webhook of a role and an app; without it, its events and its URL do.
CREATE FUNCTION webhook.config_webhook_key(owner text, webhook jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN $2 ->> 'name' IS NULL THEN ARRAY[$1, $2 ->> 'app', NULL, $2 ->> 'event', $2 ->> 'url']
                ELSE ARRAY[$1, $2 ->> 'app', $2 ->> 'name'] END;
$$;
COMMENT ON FUNCTION webhook.config_webhook_key(text, jsonb) IS 'the key of a webhook among the items of a configuration';

-- The properties without those that have their default.  An inactive webhook is one that somebody has deactivated.
CREATE FUNCTION webhook.config_webhook_value(webhook jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(e.key, e.value)
    FROM jsonb_each($1) AS e LEFT JOIN jsonb_each(webhook.webhook_fields()) AS f ON f.key = e.key
    WHERE e.value <> 'null' AND e.value IS DISTINCT FROM f.value -> 'default'
      AND (f.key IS NOT NULL OR (e.key, e.value) = ('buffer_events', 'true'));
$$;
COMMENT ON FUNCTION webhook.config_webhook_value(jsonb) IS 'the properties of a webhook that do not have their default';

-- What a role may manage.  The mapping of a profile that is not connected has no effect, and cannot be set.
CREATE FUNCTION webhook.config_items(role oid) RETURNS SETOF webhook.config_item
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off SET intervalstyle = postgres
AS $$
    WITH integrations AS MATERIALIZED (
        SELECT i.name, r.rolname::text AS owner, i.managed_by, i.description
        FROM webhook.integration AS i JOIN pg_catalog.pg_roles AS r ON r.oid = i.owner
        WHERE pg_has_role($1, r.oid, 'USAGE')),
    shapes AS (
        SELECT s.integration, s.kind, s.target, s.value, i.owner, i.managed_by
        FROM webhook.shape AS s JOIN integrations AS i ON i.name = s.integration
        UNION ALL
        SELECT NULL, s.kind, s.target, s.value, r.rolname::text, s.managed_by
        FROM webhook.shape AS s JOIN pg_catalog.pg_roles AS r ON r.oid = s.owner
        WHERE s.integration IS NULL AND pg_has_role($1, r.oid, 'USAGE')),
    watched AS (
        SELECT k.*, c.relname, n.nspname, ARRAY(
                   SELECT COALESCE(a.attname, u.name) FROM unnest(k.columns) WITH ORDINALITY AS u (name, n) LEFT JOIN pg_catalog.pg_attribute AS a
                     ON a.attrelid = k.relation AND a.attnum = (k.numbers ->> u.name)::int2 AND NOT a.attisdropped ORDER BY u.n) AS included,
               ARRAY(
                   SELECT COALESCE(a.attname, u.name) FROM unnest(k.exclude) WITH ORDINALITY AS u (name, n) LEFT JOIN pg_catalog.pg_attribute AS a
                     ON a.attrelid = k.relation AND a.attnum = (k.numbers ->> u.name)::int2 AND NOT a.attisdropped ORDER BY u.n) AS excluded
        FROM webhook.watch AS k JOIN pg_catalog.pg_class AS c ON c.oid = k.relation
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE pg_has_role($1, c.relowner, 'USAGE'))
    SELECT 'watch', ARRAY[format('%I.%I', k.nspname, k.relname)], NULL, k.managed_by,
           jsonb_strip_nulls(jsonb_build_object('entity_type', k.entity_type, 'id', k.id, 'event_uid', k.event_uid, 'profile', k.profile,
               'paid', k.paid, 'deleted', k.deleted, 'columns', CASE WHEN k.columns IS NOT NULL THEN k.included END,
               'exclude', CASE WHEN k.exclude IS NOT NULL THEN k.excluded END, 'payload', k.payload, 'search_path', k.search_path)),
           NULL::bigint, NULL, NULL::boolean
    FROM watched AS k
    UNION ALL
    SELECT 'integration', ARRAY[i.name], i.owner, i.managed_by, jsonb_strip_nulls(jsonb_build_object('description', i.description)),
           NULL, NULL, NULL
    FROM integrations AS i
    UNION ALL
    SELECT 'profile', ARRAY[i.name, p.profile], i.owner, i.managed_by, jsonb_strip_nulls(jsonb_build_object('api_access', NULLIF(p.api_access, false))), NULL, NULL, NULL
    FROM webhook.integration_profile AS p JOIN integrations AS i ON i.name = p.integration
    UNION ALL
    SELECT 'activation', ARRAY[a.profile], i.owner, i.managed_by, jsonb_build_object('integration', i.name), NULL, NULL, NULL
    FROM webhook.active_integration AS a JOIN integrations AS i ON i.name = a.integration
    UNION ALL
    SELECT s.kind, ARRAY[s.integration, s.target], s.owner, s.managed_by, jsonb_build_object('document', s.value), NULL, NULL, NULL
    FROM shapes AS s WHERE s.kind IN ('form', 'template')
    UNION ALL
    SELECT 'mapping', ARRAY[s.integration, s.kind, s.target, m.key], s.owner, s.managed_by, jsonb_build_object('document', m.value),
           NULL, NULL, NULL
    FROM shapes AS s CROSS JOIN LATERAL
         jsonb_each(CASE WHEN jsonb_typeof(s.value) = 'object' THEN s.value ELSE jsonb_build_object('guest', s.value) END) AS m
    WHERE s.kind IN ('account', 'event') OR s.kind = 'profile' AND EXISTS (
        SELECT FROM webhook.integration_profile AS p JOIN webhook.integration AS i ON i.name = p.integration
        WHERE p.profile = s.target AND (i.name = s.integration OR s.integration IS NULL AND pg_has_role(s.owner, i.owner::oid, 'USAGE')))
    UNION ALL
    SELECT 'event', ARRAY[o.event_uid], r.rolname, o.managed_by,
           jsonb_strip_nulls(jsonb_build_object('integration', o.integration, 'send_on_payment', NULLIF(o.send_on_payment, false),
               'only_paid', NULLIF(o.only_paid, false))),
           NULL, NULL, NULL
    FROM webhook.event_override AS o JOIN pg_catalog.pg_roles AS r ON r.oid = o.owner WHERE pg_has_role($1, r.oid, 'USAGE')
    UNION ALL
    SELECT 'webhook', webhook.config_webhook_key(r.rolname, w.properties), r.rolname, w.managed_by,
           webhook.config_webhook_value(w.properties), w.id, NULL, NULL
    FROM (SELECT w.id, w.owner, w.managed_by,
                 to_jsonb(w) || jsonb_build_object('active', w.deactivation_reason IS DISTINCT FROM 'manual',
                     'buffer_events', w.buffering AND w.deactivation_reason = 'manual') AS properties
          FROM webhook.webhook AS w) AS w
         JOIN pg_catalog.pg_roles AS r ON r.oid = w.owner WHERE pg_has_role($1, r.oid, 'USAGE');
$$;
COMMENT ON FUNCTION webhook.config_items(oid) IS 'the configuration that a role may manage';

CREATE FUNCTION webhook.mask_secrets(webhook jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(e.key, CASE
        WHEN f.secrets IS NULL OR e.value #>> '{}' LIKE 'file:%' THEN e.value
        WHEN f.secrets = '' THEN '"***"'
        ELSE (SELECT COALESCE(jsonb_object_agg(m.key, CASE
                  WHEN m.value #>> '{}' LIKE 'file:%' OR f.secrets <> '*' AND m.key <> ALL (string_to_array(f.secrets, ',')) THEN m.value
                  ELSE '"***"' END), '{}')
              FROM jsonb_each(CASE WHEN jsonb_typeof(e.value) = 'object' THEN e.value ELSE '{}' END) AS m) END)
    FROM jsonb_each($1) AS e LEFT JOIN LATERAL (SELECT webhook.webhook_fields() -> e.key ->> 'secrets') AS f (secrets) ON true;
$$;
COMMENT ON FUNCTION webhook.mask_secrets(jsonb) IS 'the properties of a webhook, with *** in place of secrets that are not in files';

CREATE FUNCTION webhook.unmask_secrets(webhook jsonb, current jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(e.key, CASE
        WHEN NOT webhook.webhook_fields() -> e.key ? 'secrets' THEN e.value
        WHEN e.value = '"***"' THEN COALESCE($2 -> e.key, e.value)
        WHEN jsonb_typeof(e.value) <> 'object' THEN e.value
        ELSE (SELECT COALESCE(jsonb_object_agg(m.key, CASE WHEN m.value = '"***"' THEN COALESCE($2 -> e.key -> m.key, m.value)
                                                           ELSE m.value END), '{}') FROM jsonb_each(e.value) AS m) END)
    FROM jsonb_each($1) AS e;
$$;
COMMENT ON FUNCTION webhook.unmask_secrets(jsonb, jsonb) IS 'the opposite, with the secrets that a webhook has now';

CREATE FUNCTION webhook.config_settings() RETURNS TABLE (name text, value text)
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.name, regexp_replace(current_setting(s.name), '//[^[:space:],]*@', '//***@', 'g') FROM pg_catalog.pg_settings AS s
    WHERE s.name LIKE 'webhook.%' AND s.context IN ('postmaster', 'sighup') AND s.source <> 'default' AND s.name <> 'webhook.clock_offset';
$$;
COMMENT ON FUNCTION webhook.config_settings() IS 'the settings in postgresql.conf that do not have their default';

CREATE FUNCTION webhook.config_document(role oid, secrets boolean, managed_by text) RETURNS jsonb
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH items AS MATERIALIZED (
        SELECT i.kind, i.key COLLATE "C" AS key, i.value,
               jsonb_strip_nulls(jsonb_build_object('owner', NULLIF(i.owner, r.rolname),
                   'managed_by', CASE WHEN $3 IS NULL THEN i.managed_by END)) AS common
        FROM webhook.config_items($1) AS i, pg_catalog.pg_roles AS r
        WHERE r.oid = $1 AND ($3 IS NULL OR i.managed_by = $3)),
    mappings AS (
        SELECT i.key, i.common, jsonb_strip_nulls(jsonb_build_object('entity_type', i.key[4],
                   'profile', CASE i.key[2] WHEN 'profile' THEN i.key[3] END, 'event_uid', CASE i.key[2] WHEN 'event' THEN i.key[3] END))
               || jsonb_build_object('mapping', i.value -> 'document') AS mapping
        FROM items AS i WHERE i.kind = 'mapping'),
    sections (name, content) AS (
        SELECT 'settings', jsonb_object_agg(s.name, s.value) FROM webhook.config_settings() AS s
        WHERE $3 IS NULL AND pg_has_role($1, 'pg_read_all_settings', 'USAGE')
        UNION ALL
        SELECT 'watch', jsonb_agg(jsonb_build_object('relation', i.key[1]) || i.value || i.common ORDER BY i.key)
        FROM items AS i WHERE i.kind = 'watch'
        UNION ALL
        SELECT 'integrations', jsonb_agg(jsonb_build_object('name', i.key[1]) || i.value || i.common || parts.members ORDER BY i.key)
        FROM items AS i CROSS JOIN LATERAL (
            SELECT COALESCE(jsonb_object_agg(m.name, m.content), '{}') FROM (
                SELECT 'profiles', jsonb_agg(jsonb_build_object('profile', p.key[2]) || p.value
                                             || CASE WHEN a.key IS NULL THEN '{}'::jsonb ELSE '{"active": true}' END ORDER BY p.key)
                FROM items AS p LEFT JOIN items AS a ON a.kind = 'activation' AND a.key[1] = p.key[2] AND a.value ->> 'integration' = p.key[1]
                WHERE p.kind = 'profile' AND p.key[1] = i.key[1]
                UNION ALL
                SELECT s.kind || 's', jsonb_object_agg(s.key[2], s.value -> 'document')
                FROM items AS s WHERE s.kind IN ('form', 'template') AND s.key[1] = i.key[1] GROUP BY s.kind
                UNION ALL
                SELECT 'mappings', jsonb_agg(m.mapping ORDER BY m.key) FROM mappings AS m WHERE m.key[1] = i.key[1]
            ) AS m (name, content) WHERE m.content IS NOT NULL) AS parts (members)
        WHERE i.kind = 'integration'
        UNION ALL
        SELECT 'mappings', jsonb_agg(m.mapping || m.common ORDER BY m.key) FROM mappings AS m WHERE m.key[1] IS NULL
        UNION ALL
        SELECT 'events', jsonb_agg(jsonb_build_object('event_uid', i.key[1]) || i.value || i.common ORDER BY i.key)
        FROM items AS i WHERE i.kind = 'event'
        UNION ALL
        SELECT 'webhooks', jsonb_agg(w.value || w.common ORDER BY w.key, w.value)
        FROM (SELECT i.key, CASE WHEN $2 THEN i.value ELSE webhook.mask_secrets(i.value) END AS value, i.common
              FROM items AS i WHERE i.kind = 'webhook') AS w)
    SELECT jsonb_build_object('version', 1) || CASE WHEN $3 IS NULL THEN '{}' ELSE jsonb_build_object('managed_by', $3) END
           || COALESCE((SELECT jsonb_object_agg(s.name, s.content) FROM sections AS s WHERE s.content IS NOT NULL), '{}');
$$;
COMMENT ON FUNCTION webhook.config_document(oid, boolean, text) IS 'the configuration that a role may manage, as a document';

-- The first mistake in the structure of a document.  Values are checked by the functions that get them.
CREATE FUNCTION webhook.config_problem(config jsonb) RETURNS TABLE (path text, problem text, hint text)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH spec (place, key, type, required) AS (
        SELECT v.place, k.key, v.type, v.required
        FROM (VALUES ('', '{version}'::text[], 'number', true), ('', '{managed_by}', 'string', false), ('', '{settings}', 'object', false),
                     ('', '{watch,integrations,mappings,events,webhooks}', 'array', false),
                     ('watch', '{relation,entity_type}', 'string', true),
                     ('watch', '{id,event_uid,profile,paid,deleted,payload,search_path,managed_by}', 'string', false),
                     ('watch', '{columns,exclude}', 'array', false),
                     ('integrations', '{name}', 'string', true), ('integrations', '{description,owner,managed_by}', 'string', false),
                     ('integrations', '{profiles,mappings}', 'array', false), ('integrations', '{forms,templates}', 'object', false),
                     ('integrations[].profiles', '{profile}', 'string', true),
                     ('integrations[].profiles', '{api_access,active}', 'boolean', false),
                     ('integrations[].mappings', '{mapping}', 'array', true),
                     ('integrations[].mappings', '{entity_type,profile,event_uid}', 'string', false),
                     ('mappings', '{mapping}', 'array', true),
                     ('mappings', '{entity_type,profile,event_uid,owner,managed_by}', 'string', false),
                     ('events', '{event_uid}', 'string', true), ('events', '{integration,owner,managed_by}', 'string', false),
                     ('events', '{send_on_payment,only_paid}', 'boolean', false),
                     ('webhooks', '{owner,managed_by}', 'string', false), ('webhooks', '{buffer_events}', 'boolean', false))
             AS v (place, keys, type, required) CROSS JOIN LATERAL unnest(v.keys) AS k (key)
        UNION ALL
        SELECT 'webhooks', f.key, CASE WHEN f.value ? 'required' OR f.key = 'name' THEN 'string' END, f.value ? 'required'
        FROM jsonb_each(webhook.webhook_fields()) AS f),
    sections AS (
        SELECT s.key AS place, format('%s[%s]', s.key, e.n - 1) AS path, e.value
        FROM spec AS s CROSS JOIN LATERAL
             jsonb_array_elements(CASE jsonb_typeof($1 -> s.key) WHEN 'array' THEN $1 -> s.key ELSE '[]' END) WITH ORDINALITY AS e (value, n)
        WHERE s.place = '' AND s.type = 'array'),
    objects (place, path, value) AS (
        SELECT '', '', $1
        UNION ALL
        SELECT s.place, s.path, s.value FROM sections AS s
        UNION ALL
        SELECT 'integrations[].' || k.key, format('%s.%s[%s]', s.path, k.key, e.n - 1), e.value
        FROM sections AS s CROSS JOIN LATERAL unnest('{profiles,mappings}'::text[]) AS k (key) CROSS JOIN LATERAL
             jsonb_array_elements(CASE jsonb_typeof(s.value -> k.key) WHEN 'array' THEN s.value -> k.key ELSE '[]' END) WITH ORDINALITY AS e (value, n)
        WHERE s.place = 'integrations'),
    problems (path, problem, hint) AS (
        SELECT o.path, 'not an object', NULL FROM objects AS o WHERE jsonb_typeof(o.value) <> 'object'
        UNION ALL
        SELECT o.path, format('unknown key "%s"', left(e.key, 64)),
               format('Allowed keys are %s.', (SELECT string_agg(s.key, ', ') FROM spec AS s WHERE s.place = o.place))
        FROM objects AS o CROSS JOIN LATERAL jsonb_object_keys(CASE jsonb_typeof(o.value) WHEN 'object' THEN o.value ELSE '{}' END) AS e (key)
        WHERE (o.place, e.key) NOT IN (SELECT s.place, s.key FROM spec AS s)
        UNION ALL
        SELECT o.path, format('key "%s" is missing', s.key), NULL
        FROM objects AS o JOIN spec AS s ON s.place = o.place
        WHERE s.required AND jsonb_typeof(o.value) = 'object' AND COALESCE(o.value -> s.key, 'null') = 'null'
        UNION ALL
        SELECT concat_ws('.', NULLIF(o.path, ''), s.key), format('the value is not of type %s', s.type), NULL
        FROM objects AS o JOIN spec AS s ON s.place = o.place
        WHERE jsonb_typeof(o.value -> s.key) NOT IN (s.type, 'null')
        UNION ALL
        SELECT 'version', 'unknown version', 'Use a document with "version": 1, or a newer version of webhook.'
        WHERE jsonb_typeof($1 -> 'version') = 'number' AND $1 -> 'version' <> '1'
        UNION ALL
        SELECT concat_ws('.', NULLIF(o.path, ''), 'managed_by'), 'not a name', 'Use 1 to 200 characters.'
        FROM objects AS o WHERE o.value ->> 'managed_by' !~ '^ *[^ ]' OR length(o.value ->> 'managed_by') > 200
        UNION ALL
        SELECT o.path || '.relation', 'not the name of a table with its schema', 'Specify a name such as "public.guest".'
        FROM objects AS o
        WHERE o.place = 'watch' AND jsonb_typeof(o.value -> 'relation') = 'string'
          AND o.value ->> 'relation' !~ '^([a-z_][a-z0-9_$]*|"([^"]|"")+")\.([a-z_][a-z0-9_$]*|"([^"]|"")+")$'
        UNION ALL
        SELECT o.path, 'both "profile" and "event_uid"', 'Specify one of them.'
        FROM objects AS o
        WHERE o.place LIKE '%mappings' AND o.value ->> 'profile' IS NOT NULL AND o.value ->> 'event_uid' IS NOT NULL)
    SELECT p.path, p.problem, COALESCE(p.hint, 'See webhook.export_config() for an example.') FROM problems AS p
    ORDER BY length(p.path), p.path COLLATE "C" LIMIT 1;
$$;
COMMENT ON FUNCTION webhook.config_problem(jsonb) IS 'the first mistake in the structure of a document';

-- The same normal forms as in the tables, so that what is equal is not set again.
CREATE FUNCTION webhook.config_parse(config jsonb, role text) RETURNS SETOF webhook.config_item
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH objects AS MATERIALIZED (
        SELECT k.section, format('%s[%s]', k.section, e.n - 1) AS path, e.value, COALESCE(e.value ->> 'owner', $2) AS owner,
               CASE WHEN e.value ? 'managed_by' THEN e.value ->> 'managed_by' ELSE $1 ->> 'managed_by' END AS managed_by,
               e.value ? 'managed_by' AS explicit
        FROM unnest('{watch,integrations,mappings,events,webhooks}'::text[]) AS k (section) CROSS JOIN LATERAL
             jsonb_array_elements(CASE jsonb_typeof($1 -> k.section) WHEN 'array' THEN $1 -> k.section ELSE '[]' END)
             WITH ORDINALITY AS e (value, n)),
    integrations AS (SELECT o.*, o.value ->> 'name' AS name FROM objects AS o WHERE o.section = 'integrations'),
    profiles AS (
        SELECT i.name, e.value ->> 'profile' AS profile, e.value, format('%s.profiles[%s]', i.path, e.n - 1) AS path, i.owner, i.managed_by
        FROM integrations AS i CROSS JOIN LATERAL
             jsonb_array_elements(COALESCE(NULLIF(i.value -> 'profiles', 'null'), '[]')) WITH ORDINALITY AS e (value, n)),
    mappings AS (
        SELECT NULL AS name, m.value, m.path, m.owner, m.managed_by, m.explicit FROM objects AS m WHERE m.section = 'mappings'
        UNION ALL
        SELECT i.name, e.value, format('%s.mappings[%s]', i.path, e.n - 1), i.owner, i.managed_by, i.explicit
        FROM integrations AS i CROSS JOIN LATERAL
             jsonb_array_elements(COALESCE(NULLIF(i.value -> 'mappings', 'null'), '[]')) WITH ORDINALITY AS e (value, n)),
    webhooks AS (
        SELECT o.path, o.owner, o.managed_by, o.explicit, o.value || jsonb_build_object('event', (
                   SELECT string_agg(d.name, ',' ORDER BY d.n) FROM (
                       SELECT u.name, min(u.n) AS n
                       FROM regexp_split_to_table(btrim(o.value ->> 'event', ' ' || chr(9)), '[ \t]*,[ \t]*') WITH ORDINALITY AS u (name, n)
                       GROUP BY u.name) AS d)) AS value
        FROM objects AS o WHERE o.section = 'webhooks')
    SELECT 'watch', ARRAY[COALESCE((
               SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE c.oid = to_regclass(o.value ->> 'relation')), o.value ->> 'relation')],
           NULL, o.managed_by, jsonb_strip_nulls(o.value - '{relation,managed_by}'::text[]), NULL::bigint, o.path, o.explicit
    FROM objects AS o WHERE o.section = 'watch'
    UNION ALL
    SELECT 'integration', ARRAY[i.name], i.owner, i.managed_by,
           jsonb_strip_nulls(jsonb_build_object('description', i.value ->> 'description')), NULL, i.path, i.explicit
    FROM integrations AS i
    UNION ALL
    SELECT 'profile', ARRAY[p.name, p.profile], p.owner, p.managed_by,
           jsonb_strip_nulls(jsonb_build_object('api_access', NULLIF(p.value -> 'api_access', 'false'))), NULL, p.path, NULL
    FROM profiles AS p
    UNION ALL
    SELECT 'activation', ARRAY[p.profile], p.owner, p.managed_by, jsonb_build_object('integration', p.name), NULL, p.path, NULL
    FROM profiles AS p WHERE p.value -> 'active' = 'true'
    UNION ALL
    SELECT left(k.key, -1), ARRAY[i.name, e.key], i.owner, i.managed_by, jsonb_build_object('document', e.value), NULL,
           format('%s.%s.%s', i.path, k.key, e.key), NULL
    FROM integrations AS i CROSS JOIN LATERAL unnest('{forms,templates}'::text[]) AS k (key) CROSS JOIN LATERAL
         jsonb_each(COALESCE(NULLIF(i.value -> k.key, 'null'), '{}')) AS e WHERE e.value <> 'null'
    UNION ALL
    SELECT 'mapping', ARRAY[m.name, CASE WHEN m.value ->> 'profile' IS NOT NULL THEN 'profile'
                                         WHEN m.value ->> 'event_uid' IS NOT NULL THEN 'event' ELSE 'account' END,
                            COALESCE(m.value ->> 'profile', m.value ->> 'event_uid', ''), COALESCE(m.value ->> 'entity_type', 'guest')],
           m.owner, m.managed_by, jsonb_build_object('document', m.value -> 'mapping'), NULL, m.path, m.explicit
    FROM mappings AS m WHERE m.value -> 'mapping' <> '[]'
    UNION ALL
    SELECT 'event', ARRAY[o.value ->> 'event_uid'], o.owner, o.managed_by,
           jsonb_strip_nulls(jsonb_build_object('integration', o.value ->> 'integration',
               'send_on_payment', NULLIF(o.value -> 'send_on_payment', 'false'),
               'only_paid', NULLIF(o.value -> 'only_paid', 'false'))), NULL, o.path, o.explicit
    FROM objects AS o WHERE o.section = 'events'
    UNION ALL
    SELECT 'webhook', webhook.config_webhook_key(w.owner, w.value), w.owner, w.managed_by, webhook.config_webhook_value(w.value),
           NULL, w.path, w.explicit
    FROM webhooks AS w;
$$;
COMMENT ON FUNCTION webhook.config_parse(jsonb, text) IS 'the items of a document; owner is the role, unless the document has another';

-- Which item of the document is which object.  Where several webhooks have the same key, those that are equal belong
-- together, and of the rest there may be one on each side.
CREATE FUNCTION webhook.config_pairs(current jsonb, config jsonb, role text)
RETURNS TABLE (kind text, key text[], old webhook.config_item, new webhook.config_item, is_old boolean, is_new boolean, problem text)
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH old AS MATERIALIZED (
        SELECT o AS item, o.kind, o.key, a.alike, row_number() OVER (PARTITION BY o.kind, o.key, a.alike ORDER BY o.id) AS n
        FROM jsonb_populate_recordset(NULL::webhook.config_item, $1) AS o CROSS JOIN LATERAL
             (SELECT CASE o.kind WHEN 'webhook' THEN webhook.mask_secrets(o.value) - 'secret' ELSE 'null' END) AS a (alike)),
    new AS MATERIALIZED (
        SELECT i AS item, i.kind, i.key, a.alike, row_number() OVER (PARTITION BY i.kind, i.key, a.alike) AS n,
               count(*) OVER (PARTITION BY i.kind, i.key) AS times
        FROM webhook.config_parse($2, $3) AS i CROSS JOIN LATERAL
             (SELECT CASE i.kind WHEN 'webhook' THEN webhook.mask_secrets(i.value) - 'secret' ELSE 'null' END) AS a (alike)),
    joined AS MATERIALIZED (
        SELECT COALESCE(o.kind, i.kind) AS kind, COALESCE(o.key, i.key) AS key, o.item AS old, i.item AS new,
               o.n IS NOT NULL AS is_old, i.n IS NOT NULL AS is_new, i.times
        FROM old AS o FULL JOIN new AS i ON i.kind = o.kind AND i.key = o.key AND i.alike = o.alike AND i.n = o.n),
    rest AS MATERIALIZED (
        SELECT j.*, row_number() OVER (PARTITION BY j.kind, j.key, j.is_old) AS n, count(*) OVER (PARTITION BY j.kind, j.key, j.is_old) AS many
        FROM joined AS j WHERE NOT (j.is_old AND j.is_new)),
    pairs AS (
        SELECT j.kind, j.key, j.old, j.new, true AS is_old, true AS is_new, j.times, false AS ambiguous
        FROM joined AS j WHERE j.is_old AND j.is_new
        UNION ALL
        SELECT COALESCE(o.kind, i.kind), COALESCE(o.key, i.key), o.old, i.new, o.n IS NOT NULL, i.n IS NOT NULL, i.times,
               COALESCE(o.many + i.many > 2, false)
        FROM (SELECT * FROM rest AS r WHERE r.is_old) AS o FULL JOIN (SELECT * FROM rest AS r WHERE r.is_new) AS i
             ON i.kind = o.kind AND i.key = o.key AND i.n = o.n)
    SELECT p.kind, p.key, p.old, p.new, p.is_old, p.is_new,
           CASE WHEN p.kind <> 'webhook' AND p.times > 1 THEN 'the document has it twice'
                WHEN p.ambiguous AND p.is_new THEN 'several webhooks have this app and name' END
    FROM pairs AS p;
$$;
COMMENT ON FUNCTION webhook.config_pairs(jsonb, jsonb, text) IS 'what there is and what a document says, joined';

-- What must be called, in this order, for the configuration to become that of the document; or why it cannot.  Commands run
-- as owner, or as the extension's owner if that is null.
CREATE FUNCTION webhook.config_steps(current jsonb, config jsonb, role text)
RETURNS TABLE (path text, problem text, hint text, owner text, search_path text, command text, arguments text[], on_created boolean)
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH pairs AS MATERIALIZED (
        SELECT p.*, (p.new).path, CASE WHEN p.is_new THEN COALESCE((p.new).owner, $3) ELSE COALESCE((p.old).owner, $3) END AS owner,
               CASE p.kind WHEN 'webhook' THEN webhook.unmask_secrets((p.new).value, (p.old).value)
                           WHEN 'watch' THEN jsonb_strip_nulls(jsonb_build_object('search_path', (p.old).value -> 'search_path')) || (p.new).value
                           ELSE (p.new).value END AS value,
               CASE WHEN (p.new).explicit THEN (p.new).managed_by ELSE COALESCE((p.new).managed_by, (p.old).managed_by) END AS managed_by,
               CASE WHEN p.kind IN ('profile', 'form', 'template', 'mapping') THEN p.key[1]
                    WHEN p.kind = 'activation' THEN (p.old).value ->> 'integration' END AS integration,
               CASE p.kind WHEN 'watch' THEN 1 WHEN 'integration' THEN 2 WHEN 'profile' THEN 3 WHEN 'activation' THEN 4 WHEN 'form' THEN 5
                           WHEN 'template' THEN 6 WHEN 'mapping' THEN 7 WHEN 'event' THEN 8 ELSE 9 END AS place
        FROM webhook.config_pairs($1, $2, $3) AS p),
    deleted AS MATERIALIZED (
        SELECT p.* FROM pairs AS p
        WHERE NOT p.is_new AND CASE WHEN p.integration IS NULL THEN (p.old).managed_by = $2 ->> 'managed_by'
                                    ELSE p.integration IN (SELECT i.key[1] FROM pairs AS i WHERE i.kind = 'integration' AND i.is_new) END),
    stored AS MATERIALIZED (
        SELECT p.*, row_number() OVER () AS n FROM pairs AS p WHERE p.is_new),
    changed AS MATERIALIZED (
        SELECT p.* FROM stored AS p
        WHERE NOT p.is_old OR p.value <> (p.old).value OR p.kind IN ('event', 'mapping') AND p.owner <> (p.old).owner),
    webhooks AS MATERIALIZED (
        SELECT p.place, p.n, p.path, p.owner, p.is_old, (p.old).id::text AS id, p.value, (p.old).value AS old_value, NULLIF(c.changes, '{}') AS changes,
               p.value -> 'active' IS DISTINCT FROM 'false' AS active, (p.old).value -> 'active' IS DISTINCT FROM 'false' AS was_active,
               COALESCE(p.value -> 'buffer_events', 'false') AS buffer, COALESCE((p.old).value -> 'buffer_events', 'false') AS was_buffer
        FROM stored AS p CROSS JOIN LATERAL (
             SELECT COALESCE(jsonb_object_agg(f.key, COALESCE(p.value -> f.key, 'null')), '{}')
             FROM jsonb_each(webhook.webhook_fields()) AS f
             WHERE p.value -> f.key IS DISTINCT FROM (p.old).value -> f.key AND f.key <> 'active'
               AND (p.is_old OR NOT f.value ? 'required')
               AND (f.key <> 'secret' OR COALESCE(p.value ->> 'secret', '***') <> '***')) AS c (changes)
        WHERE p.kind = 'webhook'),
    problems (path, problem, hint) AS (
        SELECT p.path, p.problem, 'Identify each object once; give webhooks of the same app different names.' FROM pairs AS p WHERE p.problem IS NOT NULL
        UNION ALL
        SELECT p.path, format('it is managed by "%s"', (p.old).managed_by),
               'Remove it from this document, or specify "managed_by" in the object itself.'
        FROM stored AS p
        WHERE p.kind IN ('watch', 'integration', 'event', 'webhook', 'mapping') AND NOT (p.new).explicit
          AND (p.old).managed_by <> (p.new).managed_by
        UNION ALL
        SELECT p.path, format('it belongs to role "%s"', (p.old).owner), 'Specify that role as "owner", or apply the document as that role.'
        FROM stored AS p WHERE p.kind = 'integration' AND p.owner <> (p.old).owner
        UNION ALL
        SELECT format('%s.%s', p.path, s.place), 'the document does not have the secret',
               'Export it with webhook.export_config(secrets => true), or specify a value or a "file:" reference.'
        FROM webhooks AS p CROSS JOIN LATERAL jsonb_each(p.value) AS e CROSS JOIN LATERAL (
             SELECT e.key WHERE e.value = '"***"' AND e.key <> 'secret'
             UNION ALL
             SELECT format('%s.%s', e.key, m.key)
             FROM jsonb_each(CASE WHEN jsonb_typeof(e.value) = 'object' THEN e.value ELSE '{}' END) AS m
             WHERE m.value = '"***"' AND webhook.webhook_fields() -> e.key ? 'secrets') AS s (place)
        UNION ALL
        SELECT 'integrations', format('integration "%s" cannot be deleted, because %s uses it', p.key[1], u.what),
               'Only what is managed by the document can be deleted. Delete the other first, or add the integration to the document.'
        FROM deleted AS p CROSS JOIN LATERAL (
             SELECT format('webhook %s', w.id) FROM webhook.webhook AS w
             WHERE w.integration = p.key[1] AND w.managed_by IS DISTINCT FROM $2 ->> 'managed_by'
             UNION ALL
             SELECT format('event "%s"', o.event_uid) FROM webhook.event_override AS o
             WHERE o.integration = p.key[1] AND o.managed_by IS DISTINCT FROM $2 ->> 'managed_by') AS u (what)
        WHERE p.kind = 'integration'),
    steps (place, n, path, owner, search_path, command, arguments, on_created) AS (
        SELECT -p.place, 0, p.kind || 's', p.owner, NULL, c.command, c.arguments, false
        FROM deleted AS p CROSS JOIN LATERAL (VALUES
             ('watch', 'SELECT webhook.unwatch($1::pg_catalog.regclass)', p.key),
             ('integration', 'SELECT webhook.delete_integration($1)', p.key),
             ('profile', 'SELECT webhook.disconnect_profile($1, $2)', p.key),
             ('activation', 'SELECT webhook.deactivate_integration($1)', p.key),
             ('form', 'SELECT webhook.set_form($1, $2, NULL)', p.key),
             ('template', 'SELECT webhook.set_payload_template($1, $2, NULL)', p.key),
             ('mapping', 'SELECT webhook.set_field_mapping(NULL, $1, $2, $3, $4)',
              ARRAY[p.key[1], CASE p.key[2] WHEN 'profile' THEN p.key[3] END, CASE p.key[2] WHEN 'event' THEN p.key[3] END, p.key[4]]),
             ('event', 'SELECT webhook.clear_event_override($1)', p.key),
             ('webhook', 'SELECT webhook.delete_webhook_by_id($1::pg_catalog.int8)', ARRAY[(p.old).id::text])) AS c (kind, command, arguments)
        WHERE c.kind = p.kind
        UNION ALL
        SELECT p.place, p.n, p.path, c.owner, p.value ->> 'search_path', c.command, c.arguments, false
        FROM changed AS p CROSS JOIN LATERAL (VALUES
             ('watch', p.owner, 'SELECT webhook.watch($1::pg_catalog.regclass, $2, $3, $4, $5, $6, $7, $8::pg_catalog.text[], $9::pg_catalog.text[], $10)',
              ARRAY[p.key[1], p.value ->> 'entity_type', p.value ->> 'id', p.value ->> 'event_uid', p.value ->> 'profile', p.value ->> 'paid',
                    p.value ->> 'deleted',
                    (SELECT array_agg(e) FROM jsonb_array_elements_text(p.value -> 'columns') AS e)::text,
                    (SELECT array_agg(e) FROM jsonb_array_elements_text(p.value -> 'exclude') AS e)::text, p.value ->> 'payload']),
             ('integration', CASE WHEN NOT p.is_old THEN p.owner END,
              CASE WHEN p.is_old THEN 'UPDATE webhook.integration SET description = $2 WHERE name = $1'
                   ELSE 'SELECT webhook.create_integration($1, $2)' END, ARRAY[p.key[1], p.value ->> 'description']),
             ('profile', p.owner, 'SELECT webhook.connect_profile($1, $2, $3::pg_catalog.bool)', p.key || COALESCE(p.value ->> 'api_access', 'false')),
             ('activation', p.owner, 'SELECT webhook.activate_integration($1, $2)', p.key || (p.value ->> 'integration')),
             ('form', p.owner, 'SELECT webhook.set_form($1, $2, $3::pg_catalog.jsonb)', p.key || (p.value -> 'document')::text),
             ('template', p.owner, 'SELECT webhook.set_payload_template($1, $2, $3::pg_catalog.jsonb)', p.key || (p.value -> 'document')::text),
             ('mapping', p.owner, 'SELECT webhook.set_field_mapping($1::pg_catalog.jsonb, $2, $3, $4, $5)',
              ARRAY[p.value ->> 'document', p.key[1], CASE p.key[2] WHEN 'profile' THEN p.key[3] END,
                    CASE p.key[2] WHEN 'event' THEN p.key[3] END, p.key[4]]),
             ('event', p.owner, 'SELECT webhook.override_event($1, $2, $3::pg_catalog.bool, $4::pg_catalog.bool)',
              p.key || ARRAY[p.value ->> 'integration', COALESCE(p.value ->> 'send_on_payment', 'false'), COALESCE(p.value ->> 'only_paid', 'false')])) AS c (kind, owner, command, arguments)
        WHERE c.kind = p.kind
        UNION ALL
        SELECT p.place, p.n, p.path, c.owner, NULL, c.command, c.arguments, c.on_created
        FROM webhooks AS p CROSS JOIN LATERAL (VALUES
             (NOT p.is_old, p.owner, 'SELECT webhook.create_webhook($1, $2, $3)',
              ARRAY[p.value ->> 'app', p.value ->> 'event', p.value ->> 'url'], false),
             (p.changes IS NOT NULL, p.owner, 'SELECT webhook.update_webhook($1::pg_catalog.int8, $2::pg_catalog.jsonb)',
              ARRAY[p.id, p.changes::text], NOT p.is_old),
             (p.active AND NOT p.was_active, p.owner, 'SELECT webhook.activate_webhook($1::pg_catalog.int8, true)', ARRAY[p.id], NOT p.is_old),
             (NOT p.active AND (p.was_active OR p.buffer <> p.was_buffer), p.owner,
              'SELECT webhook.deactivate_webhook($1::pg_catalog.int8, $2::pg_catalog.bool)', ARRAY[p.id, p.buffer::text], NOT p.is_old))
             AS c (needed, owner, command, arguments, on_created)
        WHERE c.needed
        UNION ALL
        SELECT p.place, p.n, p.path, NULL, NULL, c.command, c.arguments, p.kind = 'webhook' AND NOT p.is_old
        FROM stored AS p CROSS JOIN LATERAL (VALUES
             ('watch', 'UPDATE webhook.watch SET managed_by = $2 WHERE relation = $1::pg_catalog.regclass', ARRAY[p.key[1], p.managed_by]),
             ('integration', 'UPDATE webhook.integration SET managed_by = $2 WHERE name = $1', ARRAY[p.key[1], p.managed_by]),
             ('mapping', 'UPDATE webhook.shape SET managed_by = $3 WHERE integration IS NULL AND kind = $1 AND target = $2',
              ARRAY[p.key[2], p.key[3], p.managed_by]),
             ('event', 'UPDATE webhook.event_override SET managed_by = $2 WHERE event_uid = $1', ARRAY[p.key[1], p.managed_by]),
             ('webhook', 'UPDATE webhook.webhook SET managed_by = $2 WHERE id = $1::pg_catalog.int8', ARRAY[(p.old).id::text, p.managed_by]))
             AS c (kind, command, arguments)
        WHERE c.kind = p.kind AND p.managed_by IS DISTINCT FROM (p.old).managed_by AND (p.kind <> 'mapping' OR p.integration IS NULL))
    SELECT a.path, a.problem, a.hint, a.owner, a.search_path, a.command, a.arguments, a.on_created
    FROM (SELECT -100 AS place, 0 AS n, p.path, p.problem, p.hint, NULL AS owner, NULL AS search_path, NULL AS command,
                 NULL::text[] AS arguments, NULL::boolean AS on_created FROM problems AS p
          UNION ALL
          SELECT s.place, s.n, s.path, NULL, NULL, s.owner, s.search_path, s.command, s.arguments, s.on_created FROM steps AS s) AS a
    ORDER BY a.place, a.n, CASE WHEN a.problem IS NOT NULL THEN a.path END COLLATE "C", a.command LIKE 'UPDATE%', a.command LIKE '%activate_webhook%', a.command LIKE '%update_webhook%';
$$;
COMMENT ON FUNCTION webhook.config_steps(jsonb, jsonb, text) IS 'the calls that make the configuration that of a document, or why it cannot be';

CREATE FUNCTION webhook.config_label(item webhook.config_item) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE i.kind
        WHEN 'watch' THEN format('table %s', i.key[1])
        WHEN 'integration' THEN format('integration "%s"', i.key[1])
        WHEN 'profile' THEN format('profile "%s" of integration "%s"', i.key[2], i.key[1])
        WHEN 'activation' THEN format('active integration of profile "%s"', i.key[1])
        WHEN 'mapping' THEN concat_ws(' of ', format('field mapping "%s"', i.key[4]),
                                      CASE WHEN i.key[2] <> 'account' THEN format('%s "%s"', i.key[2], i.key[3]) END,
                                      CASE WHEN i.key[1] IS NOT NULL THEN format('integration "%s"', i.key[1]) END)
        WHEN 'event' THEN format('event "%s"', i.key[1])
        WHEN 'webhook' THEN CASE WHEN i.value ? 'name' THEN format('webhook "%s" of app "%s"', i.value ->> 'name', i.value ->> 'app')
                                 ELSE format('webhook of app "%s" for %s to %s', i.value ->> 'app', i.value ->> 'event', i.value ->> 'url') END
        ELSE format('%s "%s" of integration "%s"', i.kind, i.key[2], i.key[1]) END
    FROM (SELECT ($1).*) AS i;
$$;
COMMENT ON FUNCTION webhook.config_label(webhook.config_item) IS 'an item of the configuration, for people';

-- Secrets are masked.  Settings cannot be changed by a document.
CREATE FUNCTION webhook.config_difference(before jsonb, after jsonb, config jsonb, role text)
RETURNS TABLE (object text, action text, detail text)
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
    WITH items AS (
        SELECT o AS old, n AS new, COALESCE(o.kind, n.kind) AS kind, o.kind IS NULL AS created, n.kind IS NULL AS deleted,
               (CASE WHEN o.kind = 'webhook' THEN webhook.mask_secrets(o.value) ELSE o.value END)
               || jsonb_strip_nulls(jsonb_build_object('owner', o.owner, 'managed_by', o.managed_by)) AS old_value,
               (CASE WHEN n.kind = 'webhook' THEN webhook.mask_secrets(n.value) ELSE n.value END)
               || jsonb_strip_nulls(jsonb_build_object('owner', n.owner, 'managed_by', n.managed_by)) AS new_value
        FROM jsonb_populate_recordset(NULL::webhook.config_item, $1) AS o
             FULL JOIN jsonb_populate_recordset(NULL::webhook.config_item, $2) AS n
             ON n.kind = o.kind AND CASE n.kind WHEN 'webhook' THEN ARRAY[n.id::text] ELSE n.key END
                              = CASE o.kind WHEN 'webhook' THEN ARRAY[o.id::text] ELSE o.key END)
    SELECT * FROM (
        SELECT webhook.config_label(CASE WHEN i.created OR i.kind = 'webhook' AND NOT i.deleted THEN i.new ELSE i.old END) AS object,
               CASE WHEN i.created THEN 'create' WHEN i.deleted THEN 'delete' ELSE 'change' END AS action,
               CASE WHEN i.kind = 'webhook' AND (i.created OR i.deleted) THEN format('id %s', COALESCE((i.new).id, (i.old).id))
                    WHEN i.kind = 'integration' AND i.created THEN 'webhook.rotate_api_key() returns an API key for it'
                    WHEN NOT (i.created OR i.deleted) THEN (
                        SELECT string_agg(CASE WHEN i.old_value -> k.key = i.new_value -> k.key THEN format('%s: another secret', k.key)
                                               ELSE format('%s: %s -> %s', k.key, COALESCE(left(i.old_value ->> k.key, 200), 'default'),
                                                           COALESCE(left(i.new_value ->> k.key, 200), 'default')) END,
                                          ', ' ORDER BY k.key COLLATE "C")
                        FROM jsonb_object_keys(i.old_value || i.new_value) AS k (key)
                        WHERE i.old_value -> k.key IS DISTINCT FROM i.new_value -> k.key
                           OR (i.old).value -> k.key IS DISTINCT FROM (i.new).value -> k.key) END AS detail
        FROM items AS i
        WHERE i.created OR i.deleted OR (i.old).value <> (i.new).value
           OR (i.kind IN ('watch', 'integration', 'event', 'webhook', 'mapping') AND i.old_value <> i.new_value)
        UNION ALL
        SELECT format('setting %s', s.key), 'differs', format('document: %s, server: %s', s.value #>> '{}', COALESCE(
                   regexp_replace(current_setting(s.key, true), '//[^[:space:],]*@', '//***@', 'g'), 'unknown'))
        FROM jsonb_each(COALESCE(NULLIF($3 -> 'settings', 'null'), '{}')) AS s
        WHERE s.key LIKE 'webhook.%' AND pg_has_role($4::name, 'pg_read_all_settings', 'USAGE')
          AND s.value #>> '{}' IS DISTINCT FROM regexp_replace(current_setting(s.key, true), '//[^[:space:],]*@', '//***@', 'g')) AS d
    ORDER BY d.object COLLATE "C", d.action;
$$;
COMMENT ON FUNCTION webhook.config_difference(jsonb, jsonb, jsonb, text) IS 'what a document has changed, for people';

REVOKE ALL ON FUNCTION webhook.apply_config, webhook.config_difference, webhook.config_document, webhook.config_items,
    webhook.config_label, webhook.config_pairs, webhook.config_parse, webhook.config_problem, webhook.config_settings,
    webhook.config_steps, webhook.config_webhook_key, webhook.config_webhook_value, webhook.export_config,
    webhook.mask_secrets, webhook.unmask_secrets, webhook.webhook_fields FROM PUBLIC;

-- Webhooks for well-known services.

ALTER TABLE webhook.webhook ADD COLUMN template jsonb;

-- In strings of url and properties, <name> is the value of that parameter, and <basic:name> its encoding as a password.  A string
-- with a parameter that has no value is left out.
CREATE TABLE webhook.preset (
    preset        text PRIMARY KEY,
    title         text NOT NULL,
    documentation text NOT NULL,
    parameters    jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(parameters) = 'object'),
    example       jsonb,
    url           text NOT NULL,
    properties    jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(properties) = 'object'),
    deletions     boolean NOT NULL DEFAULT true,
    shipped       boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE webhook.preset IS 'services for which create_webhook_from_preset() creates webhooks; a row adds another';
COMMENT ON COLUMN webhook.preset.preset IS 'the name that create_webhook_from_preset() is called with';
COMMENT ON COLUMN webhook.preset.title IS 'the service and what is done there; the name of its webhooks';
COMMENT ON COLUMN webhook.preset.documentation IS 'address of the service''s documentation';
COMMENT ON COLUMN webhook.preset.parameters IS 'JSON Schema of each parameter, with type, pattern, enum, items, default and description; those with a default are optional';
COMMENT ON COLUMN webhook.preset.example IS 'parameters to begin with';
COMMENT ON COLUMN webhook.preset.url IS 'URL, in which <name> is a parameter';
COMMENT ON COLUMN webhook.preset.properties IS 'other properties, as update_webhook() takes them, in which <name> is a parameter, and <basic:name> one as a password';
COMMENT ON COLUMN webhook.preset.deletions IS 'may it be used for deletions?';
COMMENT ON COLUMN webhook.preset.shipped IS 'true: it comes with the extension, and is not part of dumps';
SELECT pg_catalog.pg_extension_config_dump('webhook.preset', 'WHERE NOT shipped');

INSERT INTO webhook.preset (shipped, preset, title, documentation, deletions, url, properties, parameters, example) VALUES
    (true, 'hubspot', 'HubSpot: create or update a contact',
     'https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/batch/post-crm-v3-objects-contacts-batch-upsert', false,
     'https://api.hubapi.com/crm/v3/objects/contacts/batch/upsert',
     '{"format": "rest", "headers": {"Authorization": "Bearer <access_token>"},
       "template": {"inputs": [{"idProperty": "email", "id": "<email>", "properties": "<properties>"}]}}',
     '{"access_token": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$",
                        "description": "token of a private app with the scope crm.objects.contacts.write, or a file with the whole header, Bearer included"},
       "email": {"type": "string", "default": "{{email}}", "description": "the contact''s address, which identifies it"},
       "properties": {"type": "object", "default": {"email": "{{email}}", "firstname": "{{firstname}}", "lastname": "{{lastname}}"},
                      "description": "properties in HubSpot and their values"}}',
     '{"access_token": "pat-eu1-1234"}'),
    (true, 'hubspot_oauth', 'HubSpot, by OAuth 2: create or update a contact',
     'https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/batch/post-crm-v3-objects-contacts-batch-upsert', false,
     'https://api.hubapi.com/crm/v3/objects/contacts/batch/upsert',
     '{"format": "rest",
       "oauth": {"token_url": "https://api.hubapi.com/oauth/v1/token", "grant": "refresh_token", "auth": "body",
                 "client_id": "<client_id>", "client_secret": "<client_secret>", "refresh_token": "<refresh_token>"},
       "template": {"inputs": [{"idProperty": "email", "id": "<email>", "properties": "<properties>"}]}}',
     '{"client_id": {"type": "string", "pattern": "^[!-~]+$", "description": "id of an app with the scope crm.objects.contacts.write"},
       "client_secret": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$", "description": "its secret, or a file with it"},
       "refresh_token": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$",
                         "description": "what the app received when it was installed in the account, or a file with it"},
       "email": {"type": "string", "default": "{{email}}", "description": "the contact''s address, which identifies it"},
       "properties": {"type": "object", "default": {"email": "{{email}}", "firstname": "{{firstname}}", "lastname": "{{lastname}}"},
                      "description": "properties in HubSpot and their values"}}',
     '{"client_id": "1234", "client_secret": "5678", "refresh_token": "na1-90ab"}'),
    (true, 'mailchimp', 'Mailchimp: add or update a member of an audience',
     'https://mailchimp.com/developer/marketing/api/lists/batch-subscribe-or-unsubscribe/', false,
     'https://<server>.api.mailchimp.com/3.0/lists/<list_id>',
     '{"format": "rest", "headers": {"Authorization": "Basic <basic:api_key>"},
       "template": {"members": [{"email_address": "<email>", "status": "<status>", "merge_fields": "<merge_fields>"}], "update_existing": true}}',
     '{"api_key": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$", "description": "an API key, or a file with the whole header, Basic included"},
       "server": {"type": "string", "pattern": "^[a-z]{2,3}[0-9]{1,3}$", "description": "the end of the API key, such as us21"},
       "list_id": {"type": "string", "pattern": "^[A-Za-z0-9]{1,50}$", "description": "id of the audience"},
       "email": {"type": "string", "default": "{{email}}", "description": "the member''s address"},
       "status": {"type": "string", "enum": ["subscribed", "pending", "unsubscribed"], "default": "subscribed",
                  "description": "pending: the member is asked by mail first"},
       "merge_fields": {"type": "object", "default": {"FNAME": "{{firstname}}", "LNAME": "{{lastname}}"}, "description": "merge fields and their values"}}',
     '{"api_key": "1234567890abcdef-us21", "server": "us21", "list_id": "a1b2c3d4e5"}'),
    (true, 'brevo', 'Brevo: create or update a contact',
     'https://developers.brevo.com/reference/create-contact', false,
     'https://api.brevo.com/v3/contacts',
     '{"format": "rest", "headers": {"api-key": "<api_key>"},
       "template": {"email": "<email>", "attributes": "<attributes>", "listIds": "<list_ids>", "updateEnabled": true}}',
     '{"api_key": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$", "description": "an API key, or a file with it"},
       "email": {"type": "string", "default": "{{email}}", "description": "the contact''s address"},
       "attributes": {"type": "object", "default": {"FIRSTNAME": "{{firstname}}", "LASTNAME": "{{lastname}}"},
                      "description": "attributes, which must exist in Brevo, and their values"},
       "list_ids": {"type": "array", "items": {"type": "integer"}, "default": null, "description": "ids of the lists that the contact is added to"}}',
     '{"api_key": "xkeysib-1234", "list_ids": [2, 7]}'),
    (true, 'slack', 'Slack: post a message to a channel',
     'https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks', true,
     '<url>',
     '{"format": "rest", "template": {"text": "<summary>", "blocks": [{"type": "section", "text": {"type": "plain_text", "text": "<text>"}}]}}',
     '{"url": {"type": "string", "pattern": "^https://hooks[.]slack(-gov)?[.]com/services/[A-Za-z0-9_/-]+$", "description": "URL of an incoming webhook"},
       "text": {"type": "string", "description": "the message, with fields such as {{name}}; at most 3000 characters"},
       "summary": {"type": "string", "default": "New message", "pattern": "^[^{}<>&]+$", "description": "what notifications show"}}',
     '{"url": "https://hooks.slack.com/services/T1234/B5678/90abcdef", "text": "{{firstname}} {{lastname}} has joined"}'),
    (true, 'teams', 'Microsoft Teams: post a card to a chat or channel',
     'https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using', true,
     '<url>',
     '{"format": "rest", "template": {"type": "message", "attachments": [{
         "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": {
             "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": [
                 {"type": "TextBlock", "text": "<title>", "weight": "Bolder", "wrap": true}, {"type": "TextBlock", "text": "<text>", "wrap": true}]}}]}}',
     '{"url": {"type": "string", "pattern": "^https://[A-Za-z0-9.-]+[.](logic[.]azure[.]com|api[.]powerplatform[.]com|webhook[.]office[.]com)(:443)?/[!-z|~]+$",
               "description": "URL of a workflow that starts when a webhook request is received"},
       "text": {"type": "string", "description": "the text of the card, with fields such as {{name}}"},
       "title": {"type": "string", "default": "New message", "description": "its title"}}',
     '{"url": "https://prod-1.westeurope.logic.azure.com:443/workflows/1234/triggers/manual/paths/invoke?api-version=2016-06-01&sig=5678",
       "text": "{{firstname}} {{lastname}} has joined"}'),
    (true, 'zapier', 'Zapier: start a Zap',
     'https://help.zapier.com/hc/en-us/articles/8496288690317', true,
     '<url>',
     '{"format": "rest"}',
     '{"url": {"type": "string", "pattern": "^https://hooks[.]zapier[.]com/hooks/(catch|standard)/[A-Za-z0-9_/-]+$",
               "description": "URL of the trigger Webhooks by Zapier, Catch Hook"}}',
     '{"url": "https://hooks.zapier.com/hooks/catch/1234/abcd/"}'),
    (true, 'make', 'Make: start a scenario',
     'https://help.make.com/webhooks', true,
     '<url>',
     '{"format": "standard", "headers": {"x-make-apikey": "<api_key>"}}',
     '{"url": {"type": "string", "pattern": "^https://hook[.]([a-z0-9-]+[.])?(make|integromat)[.]com/[A-Za-z0-9_-]+$", "description": "URL of a custom webhook"},
       "api_key": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[!-~]+)$", "default": null, "description": "the webhook''s API key, if it has one, or a file with it"}}',
     '{"url": "https://hook.eu1.make.com/abcd1234", "api_key": "5678"}'),
    (true, 'n8n', 'n8n: start a workflow',
     'https://docs.n8n.io/integrations/builtin/core-nodes/n8n-nodes-base.webhook/', true,
     '<url>',
     '{"format": "standard", "headers": {"Authorization": "<authorization>"}}',
     '{"url": {"type": "string", "pattern": "^https?://[!-z|~]+$", "description": "production URL of a Webhook node, for the method POST"},
       "authorization": {"type": "string", "pattern": "^(file:[^\\n\\r]+|[ -~]+)$", "default": null,
                         "description": "the header Authorization, if the node has basic or JWT authentication, or a file with it"}}',
     '{"url": "https://n8n.example.com/webhook/1234", "authorization": "Basic dXNlcjpwYXNzd29yZA=="}');

CREATE FUNCTION webhook.get_presets()
RETURNS TABLE (preset text, title text, parameters jsonb, documentation text)
LANGUAGE c STABLE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'webhook_get_presets';
COMMENT ON FUNCTION webhook.get_presets() IS 'services for which create_webhook_from_preset() creates webhooks, and a JSON Schema of its parameters for each';

CREATE FUNCTION webhook.create_webhook_from_preset(preset text, app text, event text, parameters jsonb, integration text DEFAULT NULL)
RETURNS bigint
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_create_webhook_from_preset';
COMMENT ON FUNCTION webhook.create_webhook_from_preset(text, text, text, jsonb, text)
    IS 'creates a webhook that sends what a service expects, and returns its id';

CREATE FUNCTION webhook.preset_schema(parameters jsonb, example jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('type', 'object', 'properties', $1, 'additionalProperties', false, 'required', (
               SELECT COALESCE(jsonb_agg(p.key ORDER BY p.key COLLATE "C"), '[]') FROM jsonb_each($1) AS p WHERE NOT p.value ? 'default'))
        || CASE WHEN $2 IS NULL THEN '{}' ELSE jsonb_build_object('examples', jsonb_build_array($2)) END;
$$;
COMMENT ON FUNCTION webhook.preset_schema(jsonb, jsonb) IS 'the JSON Schema of the parameters of a preset';

CREATE FUNCTION webhook.preset_encode(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(string_agg(CASE WHEN c.char COLLATE "C" ~ '^[A-Za-z0-9._~-]$' THEN c.char
                    ELSE regexp_replace(upper(encode(convert_to(c.char, 'UTF8'), 'hex')), '..', '%\&', 'g') END, '' ORDER BY c.n), '')
    FROM regexp_split_to_table($1, '') WITH ORDINALITY AS c (char, n) WHERE c.char <> '';
$$;
COMMENT ON FUNCTION webhook.preset_encode(text) IS 'a value as a part of a URL';

CREATE FUNCTION webhook.preset_fill(template jsonb, parameters jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text := '';
    piece  text;
    name   text;
    value  text;
BEGIN
    CASE jsonb_typeof(template)
        WHEN 'object' THEN
            RETURN (SELECT COALESCE(jsonb_object_agg(m.key, m.filled) FILTER (WHERE m.filled IS NOT NULL), '{}')
                    FROM (SELECT o.key, webhook.preset_fill(o.value, parameters) AS filled FROM jsonb_each(template) AS o) AS m);
        WHEN 'array' THEN
            RETURN (SELECT COALESCE(jsonb_agg(m.filled ORDER BY m.n) FILTER (WHERE m.filled IS NOT NULL), '[]')
                    FROM (SELECT e.n, webhook.preset_fill(e.value, parameters) AS filled
                          FROM jsonb_array_elements(template) WITH ORDINALITY AS e (value, n)) AS m);
        WHEN 'string' THEN
            FOR piece IN
                SELECT m.piece[1] FROM regexp_matches(template #>> '{}', '[^<]+|<(?:basic:)?[a-z_]+>|<', 'g') WITH ORDINALITY AS m (piece, n) ORDER BY m.n
            LOOP
                name := substring(piece FROM '^<(?:basic:)?([a-z_]+)>$');
                IF parameters ? name IS NOT TRUE THEN
                    name := NULL;
                ELSIF to_jsonb(format('<%s>', name)) = template THEN
                    RETURN NULLIF(parameters -> name, 'null');
                END IF;
                value := CASE WHEN name IS NULL THEN piece
                              WHEN piece LIKE '<basic:%' AND parameters ->> name NOT LIKE 'file:%' THEN
                                  translate(encode(convert_to('user:' || (parameters ->> name), 'UTF8'), 'base64'), E'\n', '')
                              ELSE parameters ->> name END;
                IF value IS NULL THEN
                    RETURN NULL;
                END IF;
                result := result || value;
            END LOOP;
            RETURN to_jsonb(result);
        ELSE
            RETURN template;
    END CASE;
END
$$;
COMMENT ON FUNCTION webhook.preset_fill(jsonb, jsonb) IS 'a part of a preset with the values of its parameters';

CREATE FUNCTION webhook.preset_problem(definitions jsonb, parameters jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.problem FROM (
        SELECT 1, 'The value is not a JSON object.' WHERE jsonb_typeof($2) <> 'object'
        UNION ALL
        SELECT 2, format('There is no parameter "%s".', left(k.key, 64))
        FROM jsonb_object_keys(CASE jsonb_typeof($2) WHEN 'object' THEN $2 ELSE '{}' END) AS k (key) WHERE NOT $1 ? k.key
        UNION ALL
        SELECT 3, format('Parameter "%s" is missing.', d.key)
        FROM jsonb_each($1) AS d WHERE NOT d.value ? 'default' AND COALESCE($2 -> d.key, 'null') = 'null'
        UNION ALL
        SELECT 4, format('Parameter "%s" is not of type %s.', d.key, d.value ->> 'type')
        FROM jsonb_each($1) AS d WHERE jsonb_typeof($2 -> d.key) NOT IN (d.value ->> 'type', 'null')
        UNION ALL
        SELECT 5, format('Parameter "%s" contains something that is not an integer.', d.key)
        FROM jsonb_each($1) AS d, jsonb_array_elements(CASE jsonb_typeof($2 -> d.key) WHEN 'array' THEN $2 -> d.key ELSE '[]' END) AS e
        WHERE d.value #>> '{items,type}' = 'integer' AND (jsonb_typeof(e.value) <> 'number' OR e.value #>> '{}' !~ '^[0-9]{1,18}$')
        UNION ALL
        SELECT 6, format('Parameter "%s" is not allowed to have this value.', d.key)
        FROM jsonb_each($1) AS d
        WHERE jsonb_typeof($2 -> d.key) = 'string'
          AND ($2 ->> d.key = '' OR $2 ->> d.key !~ (d.value ->> 'pattern') OR NOT d.value -> 'enum' @> ($2 -> d.key)))
        AS p (place, problem)
    ORDER BY p.place, p.problem COLLATE "C" LIMIT 1;
$$;
COMMENT ON FUNCTION webhook.preset_problem(jsonb, jsonb) IS 'what is wrong with the parameters of a preset; null if nothing is';

-- A deletion would create a contact again, and patterns may include deletions.  A header in a file is in there as a whole.
CREATE FUNCTION webhook.preset_webhook(preset text, event text, parameters jsonb, OUT problem text, OUT detail text, OUT hint text, OUT url text, OUT changes jsonb)
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p       webhook.preset;
    filled  jsonb;
    encoded jsonb;
BEGIN
    SELECT * INTO p FROM webhook.preset AS d WHERE d.preset = preset_webhook.preset;
    IF p.preset IS NULL THEN
        problem := 'invalid value for argument "preset"';
        detail := format('Preset "%s" does not exist.', left(preset, 64));
        hint := (SELECT format('Use one of %s.', string_agg(d.preset, ', ' ORDER BY d.preset COLLATE "C")) FROM webhook.preset AS d);
        RETURN;
    END IF;
    detail := webhook.preset_problem(p.parameters, parameters);
    IF detail IS NOT NULL THEN
        problem := 'invalid value for argument "parameters"';
        hint := format('webhook.get_presets() describes the parameters of "%s": %s.', p.preset,
                       (SELECT string_agg(k.key, ', ' ORDER BY k.key COLLATE "C") FROM jsonb_object_keys(p.parameters) AS k (key)));
        RETURN;
    END IF;
    IF NOT p.deletions AND event ~ '\*|\.delete\s*(,|$)' THEN
        problem := 'invalid value for argument "event"';
        detail := format('Preset "%s" is not for deletions.', p.preset);
        hint := 'Specify the other events, such as "guest.create,guest.update".';
        RETURN;
    END IF;

    SELECT jsonb_object_agg(v.key, v.value), jsonb_object_agg(v.key, webhook.preset_encode(COALESCE(v.value #>> '{}', ''))) INTO filled, encoded
    FROM (SELECT d.key, COALESCE(NULLIF(parameters -> d.key, 'null'), d.value -> 'default') AS value FROM jsonb_each(p.parameters) AS d) AS v;
    url := COALESCE(webhook.preset_fill(to_jsonb(p.url), CASE WHEN p.url ~ '^<[a-z_]+>$' THEN filled ELSE encoded END) #>> '{}', '');
    changes := jsonb_build_object('name', p.title) || webhook.preset_fill(p.properties, filled);
    IF changes ? 'headers' THEN
        changes := jsonb_set(changes, '{headers}', (
            SELECT COALESCE(jsonb_object_agg(h.key, regexp_replace(h.value, '^[A-Za-z]+ (?=file:)', '')), '{}') FROM jsonb_each_text(changes -> 'headers') AS h));
    END IF;
END
$$;
COMMENT ON FUNCTION webhook.preset_webhook(text, text, jsonb) IS 'the URL and other properties of a webhook that a preset makes';

REVOKE ALL ON webhook.preset FROM PUBLIC;
REVOKE ALL ON FUNCTION webhook.create_webhook_from_preset, webhook.get_presets, webhook.preset_encode,
    webhook.preset_fill, webhook.preset_problem, webhook.preset_schema, webhook.preset_webhook FROM PUBLIC;

-- Grant the privileges on recreated functions again.  They must not be recorded as the extension's initial privileges, which
-- dumps do not contain.

DO $$
DECLARE
    g record;
BEGIN
    PERFORM pg_catalog.set_config('allow_system_table_mods', 'on', true);
    FOR g IN
        SELECT p.oid, p.proowner, p.oid::pg_catalog.regprocedure AS function, o.is_grantable,
               CASE WHEN o.grantee = 0 THEN 'PUBLIC' ELSE o.grantee::pg_catalog.regrole::text END AS grantee
        FROM webhook.granted AS o JOIN pg_catalog.pg_proc AS p ON p.proname = o.proname
        WHERE p.pronamespace = 'webhook'::pg_catalog.regnamespace
          AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(p.proacl) AS a WHERE a.grantee = o.grantee)
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %s %s', g.function, g.grantee,
                                  CASE WHEN g.is_grantable THEN 'WITH GRANT OPTION' END);
        UPDATE pg_catalog.pg_init_privs AS i
           SET initprivs = ARRAY[pg_catalog.makeaclitem(g.proowner, g.proowner, 'EXECUTE', false)]
         WHERE i.objoid = g.oid AND i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass;
        -- What PostgreSQL 17 notes of the same, and would keep the role from being dropped.
        DELETE FROM pg_catalog.pg_shdepend AS d
         WHERE d.dbid = (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = pg_catalog.current_database())
           AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = g.oid AND d.deptype = 'i';
    END LOOP;
    PERFORM pg_catalog.set_config('allow_system_table_mods', 'off', true);
END
$$;
DROP TABLE webhook.granted;
