-- The configuration as a document, see src/api/config_api.c.
--
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
