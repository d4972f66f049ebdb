-- The catalogue: what webhooks are sent, for developers of receivers.  See src/api/describe_api.c.  Functions that are called for
-- each table or column are in PL/pgSQL, which plans their queries once for a session.

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
