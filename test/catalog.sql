-- Everything in the schema webhook as one JSON object, {"object": "its properties, one a line"}; object ids are never part
-- of it, so that two databases can be compared.  pg_attver is a counter that minor releases since November 2026 keep.
WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname = 'webhook'),
acl (classid, objid, objsubid, acl) AS (
    SELECT 'pg_class'::regclass, oid, 0, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
      FROM pg_class WHERE relnamespace IN (TABLE ours)
    UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum, attacl
      FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN (TABLE ours)) AND attacl IS NOT NULL
    UNION ALL SELECT 'pg_proc'::regclass, oid, 0, coalesce(proacl, acldefault('f', proowner))
      FROM pg_proc WHERE pronamespace IN (TABLE ours)
    UNION ALL SELECT 'pg_type'::regclass, oid, 0, coalesce(typacl, acldefault('T', typowner))
      FROM pg_type WHERE typnamespace IN (TABLE ours)
    UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, coalesce(nspacl, acldefault('n', nspowner))
      FROM pg_namespace WHERE oid IN (TABLE ours)),
columns AS (
    SELECT a.*, pg_get_expr(d.adbin, d.adrelid) AS expression
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE c.relnamespace IN (TABLE ours) AND c.relkind <> 'i' AND a.attnum > 0),
properties (object, property) AS (
    SELECT 'extension', concat_ws(E'\n', extversion, extnamespace::regnamespace, extrelocatable,
            obj_description(oid, 'pg_extension'))
      FROM pg_extension WHERE extname = 'webhook'
    UNION ALL SELECT 'dumped ' || relation::regclass, coalesce(condition, '')
      FROM pg_extension, unnest(extconfig, extcondition) AS u (relation, condition) WHERE extname = 'webhook'
    UNION ALL SELECT 'member ' || pg_describe_object(classid, objid, objsubid), deptype::text
      FROM pg_depend WHERE refclassid = 'pg_extension'::regclass
       AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'webhook') AND pg_describe_object(classid, objid, objsubid) NOT LIKE 'trigger 00\_%'
    UNION ALL SELECT 'function ' || oid::regprocedure, pg_get_functiondef(oid) || concat_ws(E'\n', proowner::regrole,
            pg_get_function_result(oid), prosrc, probin, prorows, procost, obj_description(oid, 'pg_proc'))
      FROM pg_proc WHERE pronamespace IN (TABLE ours) AND prokind <> 'a'
    UNION ALL SELECT 'relation ' || oid::regclass, concat_ws(E'\n', relkind, relowner::regrole, relpersistence, relreplident,
            relrowsecurity, relforcerowsecurity, reloptions, reltablespace, obj_description(oid, 'pg_class'),
            (SELECT 'toast ' || t.reloptions::text FROM pg_class t WHERE t.oid = c.reltoastrelid),
            CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END)
      FROM pg_class c WHERE relnamespace IN (TABLE ours)
    UNION ALL SELECT format('column %s.%s', attrelid::regclass, attname), concat_ws(E'\n', 'number ' || attnum,
            format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'not null' END, 'default ' || expression,
            'generated ' || nullif(attgenerated::text, ''), 'identity ' || nullif(attidentity::text, ''), attstorage, attcollation::regcollation,
            (SELECT array_agg(o) FROM unnest(attoptions) o WHERE o NOT LIKE 'pg\_attver=%'), 'dropped ' || nullif(attisdropped, false), col_description(attrelid, attnum))
      FROM columns
    UNION ALL SELECT format('constraint %s of %s', conname, coalesce(nullif(conrelid, 0)::regclass::text, contypid::regtype::text)),
            concat_ws(E'\n', pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint'))
      FROM pg_constraint WHERE connamespace IN (TABLE ours)
    UNION ALL SELECT 'index ' || indexrelid::regclass, concat_ws(E'\n', pg_get_indexdef(indexrelid), indisprimary, indisunique,
            indisvalid, indisclustered, indisreplident)
      FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace IN (TABLE ours)
    UNION ALL SELECT format('trigger %s on %s', tgname, tgrelid::regclass), concat_ws(E'\n', pg_get_triggerdef(oid), tgenabled,
            obj_description(oid, 'pg_trigger'))
      FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN (TABLE ours))
    UNION ALL SELECT 'sequence ' || seqrelid::regclass, concat_ws(E'\n', seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin,
            seqcache, seqcycle, (SELECT 'owned by ' || pg_describe_object(refclassid, refobjid, refobjsubid) FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = seqrelid AND deptype IN ('a', 'i')))
      FROM pg_sequence JOIN pg_class c ON c.oid = seqrelid WHERE relnamespace IN (TABLE ours)
    UNION ALL SELECT 'type ' || t.oid::regtype, concat_ws(E'\n', typtype, typowner::regrole, typcategory, nullif(typbasetype, 0)::regtype, typnotnull, typdefault,
            obj_description(t.oid, 'pg_type'), (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
      FROM pg_type t WHERE typnamespace IN (TABLE ours)
    UNION ALL SELECT 'right on ' || pg_describe_object(classid, objid, objsubid), string_agg(concat_ws(' ', grantee, privilege_type, is_grantable,
            'granted by ' || grantor::regrole), E'\n' ORDER BY grantee, privilege_type, grantor)
      FROM (SELECT classid, objid, objsubid, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee,
            a.privilege_type, a.is_grantable, a.grantor FROM acl, aclexplode(acl) a) AS r GROUP BY classid, objid, objsubid
    UNION ALL SELECT 'initial rights on ' || pg_describe_object(classoid, objoid, i.objsubid),
            (SELECT string_agg(concat_ws(' ', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, privilege_type),
                E'\n' ORDER BY a.grantee, privilege_type) FROM aclexplode(initprivs) a)
      FROM pg_init_privs i JOIN pg_depend d ON d.classid = classoid AND d.objid = objoid AND d.objsubid = 0 AND d.deptype = 'e'
     WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'webhook'))
SELECT coalesce(json_object_agg(object, property), '{}') FROM properties;
