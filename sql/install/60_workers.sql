-- The background workers of all databases.

CREATE FUNCTION webhook.worker_slots(
    OUT database  oid,
    OUT pid       integer,
    OUT state     text,
    OUT activity  text,
    OUT in_flight integer,
    OUT delivered bigint,
    OUT failed    bigint
) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_worker_slots';
COMMENT ON FUNCTION webhook.worker_slots() IS 'the databases of this server that have the extension, or are being checked for it';

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

CREATE VIEW webhook.stat_workers AS
    SELECT d.datname AS database, s.pid, s.state, s.activity, s.in_flight, s.delivered, s.failed, t.restart_at, t.last_error, t.since,
           t.condition_errors, t.proxy_failing_since
      FROM webhook.worker_slots() AS s
      LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.database
      LEFT JOIN webhook.worker_states() AS t ON t.database = s.database;
COMMENT ON VIEW webhook.stat_workers IS 'per database: its worker and what that has done';
