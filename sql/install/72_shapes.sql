-- How integrations shape payloads, see src/api/shape_api.c.

CREATE FUNCTION webhook.set_field_mapping(mapping jsonb, integration text DEFAULT NULL, profile text DEFAULT NULL,
    event_uid text DEFAULT NULL, entity_type text DEFAULT 'guest') RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_set_field_mapping';
COMMENT ON FUNCTION webhook.set_field_mapping(jsonb, text, text, text, text)
    IS 'sets which fields of an entity type are sent under which names, for an integration, a profile or an event; NULL removes it';

CREATE FUNCTION webhook.set_payload_template(integration text, entity_type text, template jsonb) RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_set_payload_template';
COMMENT ON FUNCTION webhook.set_payload_template(text, text, jsonb)
    IS 'sets the structure in which an entity is sent instead of a mapping; NULL removes it';

CREATE FUNCTION webhook.set_form(integration text, entity_type text, fields jsonb) RETURNS void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_set_form';
COMMENT ON FUNCTION webhook.set_form(text, text, jsonb)
    IS 'fixes the fields of an entity, with their types and defaults; NULL removes it';

CREATE FUNCTION webhook.check_form(integration text, entity_type text)
RETURNS TABLE (field text, type text, problem text)
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_check_form';
COMMENT ON FUNCTION webhook.check_form(text, text) IS 'lists where the watched tables do not fit the form';

CREATE FUNCTION webhook.configure_form(integration text, entity_type text) RETURNS integer
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'webhook_configure_form';
COMMENT ON FUNCTION webhook.configure_form(text, text)
    IS 'adds the columns of the form that the watched tables lack, as the caller; returns how many';

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
