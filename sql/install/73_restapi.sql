-- Functions for receivers and gateways, see src/api/rest_api.c.

CREATE FUNCTION webhook.get_events(api_key text, event_uid text DEFAULT NULL, page integer DEFAULT 1,
    page_size integer DEFAULT 50, fields text DEFAULT NULL, ignore_fields_mapping boolean DEFAULT false) RETURNS jsonb
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_get_events';
COMMENT ON FUNCTION webhook.get_events(text, text, integer, integer, text, boolean)
    IS 'events of the profiles that an API key gives access to, in the form in which webhooks of its integration are sent them';

CREATE FUNCTION webhook.get_attendees(api_key text, event_uid text DEFAULT NULL, guest_uid text DEFAULT NULL,
    page integer DEFAULT 1, page_size integer DEFAULT 50, fields text DEFAULT NULL,
    ignore_fields_mapping boolean DEFAULT false) RETURNS jsonb
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_get_attendees';
COMMENT ON FUNCTION webhook.get_attendees(text, text, text, integer, integer, text, boolean)
    IS 'guests of the profiles that an API key gives access to, in the form in which webhooks of its integration are sent them';

-- REST hooks: a gateway such as PostgREST offers each function as a request.

CREATE FUNCTION webhook.rest_hook_subscribe(app text, event text, url text) RETURNS json
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT json_build_object('id', webhook.create_webhook(app => $1, event => $2, url => $3, format => 'rest'),
                             'app', $1, 'event', $2, 'url', $3)
$$;
COMMENT ON FUNCTION webhook.rest_hook_subscribe(text, text, text)
    IS 'creates a webhook in format rest; unsubscribe with the id in the result';

CREATE FUNCTION webhook.rest_hook_unsubscribe(id bigint) RETURNS boolean
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT webhook.delete_webhook_by_id($1)
$$;
COMMENT ON FUNCTION webhook.rest_hook_unsubscribe(bigint) IS 'deletes a webhook that rest_hook_subscribe() has created';

CREATE FUNCTION webhook.rest_hook_sample(event text) RETURNS jsonb
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_rest_hook_sample';
COMMENT ON FUNCTION webhook.rest_hook_sample(text)
    IS 'up to three payloads, newest first, as webhooks that subscribe to the trigger name are sent them';
