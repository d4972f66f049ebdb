-- What webhooks are not sent because of their owners' privileges, see src/send/withheld.c.

CREATE TABLE webhook.withheld (
    webhook_id bigint NOT NULL,
    relation   regclass NOT NULL,
    problem    text NOT NULL,
    columns    text[],             -- null: whole rows
    since      timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (webhook_id, relation)
);
COMMENT ON TABLE webhook.withheld IS
    'watched tables of which a webhook subscribes to rows but gets none, or not all columns, because its owner may not select them';

CREATE FUNCTION webhook.access_problem(role oid, relation regclass) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_access_problem';
COMMENT ON FUNCTION webhook.access_problem(oid, regclass) IS
    'why rows of a watched table are not sent to the webhooks of a role; empty if they are, null if the table is locked';

CREATE FUNCTION webhook.access_hidden(role oid, relation regclass) RETURNS text[]
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_access_hidden';
COMMENT ON FUNCTION webhook.access_hidden(oid, regclass) IS
    'the columns of a watched table that are omitted for the webhooks of a role that get its rows; null if there are none';
