-- The type of arguments that name a function: text, with the types of the function's arguments if its name is not unique,
-- or a value of one of PostgreSQL's own types for functions.
CREATE TYPE webhook.function_name;
CREATE FUNCTION webhook.function_name_in(cstring) RETURNS webhook.function_name
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textin';
COMMENT ON FUNCTION webhook.function_name_in(cstring) IS 'input function of type function_name';
CREATE FUNCTION webhook.function_name_out(webhook.function_name) RETURNS cstring
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textout';
COMMENT ON FUNCTION webhook.function_name_out(webhook.function_name) IS 'output function of type function_name';
CREATE TYPE webhook.function_name (INPUT = webhook.function_name_in, OUTPUT = webhook.function_name_out, LIKE = pg_catalog.text);
COMMENT ON TYPE webhook.function_name IS 'name of a function: ''f'', or ''f(jsonb)'' where several have that name';
CREATE CAST (pg_catalog.text AS webhook.function_name) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (pg_catalog.varchar AS webhook.function_name) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (pg_catalog.regproc AS webhook.function_name) WITH INOUT AS IMPLICIT;
CREATE CAST (pg_catalog.regprocedure AS webhook.function_name) WITH INOUT AS IMPLICIT;
