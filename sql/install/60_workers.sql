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
COMMENT ON FUNCTION webhook.worker_slots() IS 'the databases of this server that have a worker, or are being checked for the extension';

CREATE FUNCTION webhook.worker_failures(
    OUT database   oid,
    OUT restart_at timestamptz,
    OUT last_error text
) RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_worker_failures';
COMMENT ON FUNCTION webhook.worker_failures() IS 'databases whose worker has failed, or will be restarted later';

CREATE VIEW webhook.stat_workers AS
    SELECT d.datname AS database, s.pid, s.state, s.activity, s.in_flight, s.delivered, s.failed, f.restart_at, f.last_error
      FROM webhook.worker_slots() AS s
      LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.database
      LEFT JOIN webhook.worker_failures() AS f ON f.database = s.database;
COMMENT ON VIEW webhook.stat_workers IS 'per database: its worker, and what it has done since it was started';
