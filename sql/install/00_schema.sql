-- No other role may control the schema: its owner could replace our objects, and objects that are in it already could be
-- used instead of those that this script means.  Operators are qualified for the same reason.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS n, pg_catalog.pg_roles AS r
                   WHERE n.nspname OPERATOR(pg_catalog.=) 'webhook'
                     AND r.oid OPERATOR(pg_catalog.=) n.nspowner
                     AND (r.rolsuper OR r.rolname OPERATOR(pg_catalog.=) CURRENT_USER))
       OR EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
                    AND d.deptype OPERATOR(pg_catalog.=) 'n'
                    AND d.refobjid OPERATOR(pg_catalog.=) (SELECT n.oid FROM pg_catalog.pg_namespace AS n
                                                           WHERE n.nspname OPERATOR(pg_catalog.=) 'webhook')
                    AND d.classid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_extension'::pg_catalog.regclass)
    THEN
        RAISE EXCEPTION 'schema "webhook" already exists and is in use or owned by another role'
            USING ERRCODE = 'duplicate_schema', HINT = 'Rename or drop that schema first.';
    END IF;
END
$$;

