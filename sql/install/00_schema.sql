-- The schema must be ours alone: its owner could drop or shadow what we put into it, and what stands in it already could
-- be called instead of what this script means.  Operators are qualified for that reason.
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
        RAISE EXCEPTION 'schema "webhook" exists already and is in use or belongs to somebody else'
            USING ERRCODE = 'duplicate_schema', HINT = 'Rename or drop that schema first.';
    END IF;
END
$$;

