-- Functions to manage webhooks, see src/api/webhook_api.c.
--
-- The functions need to know the caller's role, and access the tables as the extension's owner; in a SECURITY DEFINER
-- function the caller would be unknown.  Changing the role is not allowed in parallel workers, hence PARALLEL UNSAFE.

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

CREATE FUNCTION webhook.update_webhook(id bigint, changes jsonb) RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_update_webhook';
COMMENT ON FUNCTION webhook.update_webhook(bigint, jsonb)
    IS 'changes properties of a webhook; the keys are the arguments of create_webhook() and "owner", null means back to the default';

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

CREATE FUNCTION webhook.activate_webhook(id bigint, replay_events boolean DEFAULT false) RETURNS bigint
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_activate_webhook';
COMMENT ON FUNCTION webhook.activate_webhook(bigint, boolean)
    IS 'activates a webhook; buffered messages are sent (replay_events) or dropped; returns how many will be sent';

CREATE FUNCTION webhook.reactivate(token text, replay_events boolean DEFAULT false) RETURNS bigint
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_reactivate';
COMMENT ON FUNCTION webhook.reactivate(text, boolean)
    IS 'activates a webhook with the token of a notification, which can be used once; returns how many buffered messages will be sent';

CREATE FUNCTION webhook.test_webhook(id bigint, entity_id text DEFAULT NULL, entity_type text DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_test_webhook';
COMMENT ON FUNCTION webhook.test_webhook(bigint, text, text)
    IS 'sends one request with the record of this entity, or the newest one, of any watched entity type, even if the webhook is not active; returns the message id';

CREATE FUNCTION webhook.redeliver(webhook_id bigint, message_id text) RETURNS boolean
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_redeliver';
COMMENT ON FUNCTION webhook.redeliver(bigint, text)
    IS 'delivers a message again, with the same id; false if its delivery is still pending';

CREATE FUNCTION webhook.redeliver_failed(webhook_id bigint, since timestamptz DEFAULT NULL, event text DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_redeliver_failed';
COMMENT ON FUNCTION webhook.redeliver_failed(bigint, timestamptz, text)
    IS 'delivers all messages again that have failed for good, or those that did since a time, or with these trigger names; returns their number';

CREATE FUNCTION webhook.deactivate_webhook(id bigint, buffer_events boolean DEFAULT false) RETURNS boolean
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_deactivate_webhook';
COMMENT ON FUNCTION webhook.deactivate_webhook(bigint, boolean)
    IS 'deactivates a webhook, buffering its messages or not; returns whether it was active';

CREATE FUNCTION webhook.delete_webhook_by_id(id bigint) RETURNS boolean
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_delete_webhook_by_id';
COMMENT ON FUNCTION webhook.delete_webhook_by_id(bigint)
    IS 'deletes a webhook with everything that belongs to it; nothing is sent to it after the commit';

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

CREATE FUNCTION webhook.get_secret(id bigint) RETURNS text
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_get_secret';
COMMENT ON FUNCTION webhook.get_secret(bigint)
    IS 'the secret with which the messages of a webhook are signed; for its owner only';

CREATE FUNCTION webhook.get_public_key(id bigint) RETURNS text
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_get_public_key';
COMMENT ON FUNCTION webhook.get_public_key(bigint)
    IS 'the key with which receivers verify the ed25519 signatures of a webhook; null if it makes none';

CREATE FUNCTION webhook.rotate_secret(id bigint, grace interval DEFAULT '24 hours', secret text DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_rotate_secret';
COMMENT ON FUNCTION webhook.rotate_secret(bigint, interval, text)
    IS 'gives a webhook a new secret and returns it; until the grace period is over the old one signs as well';
