-- What a message contains of the row before the change, and conditions over both rows.
-- Proves X1 and X2 as far as the outbox shows them; webhook.dispatch = off in the test cluster keeps the messages there.
CREATE SCHEMA previous_test;
SET search_path = previous_test, public;
\set helpers `echo "$WEBHOOK_HELPERS"`
\set ECHO none
\i :helpers

-- A webhook with these arguments.
CREATE FUNCTION hook(name text, event text, args text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    EXECUTE format('SELECT webhook.create_webhook(app => ''previous'', name => %L, event => %L, url => ''http://h/'', %s)', name, event, args)
        INTO id;
    RETURN id;
END
$$;
CREATE FUNCTION drop_hooks() RETURNS bigint LANGUAGE sql AS
    $$ SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('previous') $$;
\set ECHO all

CREATE TABLE thing (
    id     integer PRIMARY KEY,
    name   text,
    status text DEFAULT 'new',
    price  numeric(8, 2),
    note   text,
    secret text,
    twice  numeric GENERATED ALWAYS AS (price * 2) STORED
);
ALTER TABLE thing ALTER COLUMN note SET STORAGE EXTERNAL;
SELECT webhook.watch('thing', 'thing', exclude => '{secret}');

-- X1: a create has nothing before it, an update has the former values of what changed, a delete the last row.
SELECT hook('changed', 'thing.*', $$previous => 'changed'$$), hook('row', 'thing.*', $$previous => 'row'$$) \gset
INSERT INTO thing (id, name, price) VALUES (1, 'a', 1.50);
UPDATE thing SET price = 2 WHERE id = 1;
DELETE FROM thing;
SELECT event, payload, changed, former, receivers(webhook_ids) FROM new_rows();
SELECT drop_hooks();

-- With one kind of webhook only, a message contains no more than that needs.
SELECT hook('changed', 'thing.*', $$previous => 'changed'$$) IS NULL AS none;
INSERT INTO thing (id, name, price) VALUES (1, 'a', 1.50), (2, 'b', NULL);
UPDATE thing SET price = 2, name = 'c' WHERE id = 1;
UPDATE thing SET name = NULL, price = 0 WHERE id = 2;
DELETE FROM thing;
SELECT event, changed, former FROM new_rows();

-- Excluded columns are not in it, and changing them alone is no change.
INSERT INTO thing VALUES (1, 'a', 'new', 1, 'n', 'x');
UPDATE thing SET secret = 'y';
UPDATE thing SET secret = 'z', status = 'old';
SELECT event, changed, former FROM new_rows();

-- Values that are stored out of line: those that have not changed are not among the changed ones.
UPDATE thing SET note = repeat('long', 5000);
UPDATE thing SET name = 'b';
UPDATE thing SET note = 'short';
SELECT event, changed ->> 'name' AS name, length(changed ->> 'note') AS note FROM new_rows();

-- W16: savepoints and runs of messages in one row of the outbox keep them apart.
BEGIN;
UPDATE thing SET name = 'c';
SAVEPOINT s;
UPDATE thing SET name = 'd';
ROLLBACK TO s;
UPDATE thing SET name = 'e';
UPDATE thing SET status = 'x', name = 'f';
COMMIT;
SELECT payload ->> 'name' AS name, changed FROM new_rows();

-- Changing the id is the end of one entity and the beginning of another.
SELECT hook('row', 'thing.*', $$previous => 'row'$$) IS NULL AS none;
UPDATE thing SET id = 7, note = NULL, status = NULL;
SELECT event, entity_id, changed, former ->> 'name' AS former_name FROM new_rows();
SELECT drop_hooks();
DROP TABLE thing;

-- I9: a row that counts as deleted; it had other values when it did not.
CREATE TABLE soft (id integer PRIMARY KEY, name text, gone_at timestamptz);
SELECT webhook.watch('soft', 'soft', deleted => 'gone_at IS NOT NULL');
SELECT hook('row', 'soft.*', $$previous => 'row'$$) IS NULL AS none;
INSERT INTO soft VALUES (1, 'a');
UPDATE soft SET gone_at = '2026-01-01 00:00Z', name = 'b';
UPDATE soft SET gone_at = NULL;
SELECT event, payload ->> 'name' AS name, former FROM new_rows();
SELECT drop_hooks();
DROP TABLE soft;

-- Partitions, and a row that moves to another one with other columns in another order.
CREATE TABLE part (id integer, kind text, name text, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a');
CREATE TABLE part_b (dropped text, name text, kind text NOT NULL, id integer NOT NULL);
ALTER TABLE part_b DROP COLUMN dropped;
ALTER TABLE part ATTACH PARTITION part_b FOR VALUES IN ('b');
SELECT webhook.watch('part', 'part', id => 'id');
SELECT hook('changed', 'part.*', $$previous => 'changed'$$) IS NULL AS none;
INSERT INTO part VALUES (1, 'a', 'x'), (2, 'b', 'y');
UPDATE part SET name = name || name;
UPDATE part SET kind = 'b' WHERE id = 1;
SELECT event, payload, changed FROM new_rows();
SELECT drop_hooks();
DROP TABLE part;

-- With a payload function, the former payload is also its result.
CREATE TABLE made (id integer PRIMARY KEY, first text, last text);
CREATE FUNCTION made_payload(made) RETURNS jsonb LANGUAGE sql STABLE AS
    $$ SELECT jsonb_build_object('id', $1.id, 'full', concat_ws(' ', $1.first, $1.last)) $$;
SELECT webhook.watch('made', 'made', payload => 'made_payload');
SELECT hook('changed', 'made.*', $$previous => 'changed'$$) IS NULL AS none;
INSERT INTO made VALUES (1, 'Ada', 'King');
UPDATE made SET last = 'Lovelace';
DELETE FROM made;
SELECT event, payload, changed, former FROM new_rows();
SELECT drop_hooks();
DROP TABLE made CASCADE;

-- E2, W15: each owner gets what it may read of the former row.
CREATE ROLE previous_owner;
GRANT USAGE ON SCHEMA webhook, previous_test TO previous_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO previous_owner;
CREATE TABLE paid (id integer PRIMARY KEY, name text, salary numeric);
SELECT webhook.watch('paid', 'paid');
GRANT SELECT (id, name) ON paid TO previous_owner;
SELECT hook('all', 'paid.*', $$previous => 'row'$$) IS NULL AS none;
SET ROLE previous_owner;
SELECT webhook.create_webhook('previous', 'paid.*', 'http://h/', name => 'restricted', previous => 'row',
    condition => '$.new.salary > 0 || $.new.name != $.old.name') IS NULL AS none;
RESET ROLE;
INSERT INTO paid VALUES (1, 'a', 10);
UPDATE paid SET salary = 20;
UPDATE paid SET name = 'b', salary = 30;
SELECT event, payload, former, receivers(webhook_ids) FROM new_rows() ORDER BY receivers, id;
SELECT drop_hooks();
DROP TABLE paid;
DROP OWNED BY previous_owner;
DROP ROLE previous_owner;

-- X2: a condition over both rows; a side that is missing is null.
CREATE TABLE orders (id integer PRIMARY KEY, status text, total numeric, placed date, tags jsonb);
SELECT webhook.watch('orders', 'orders');
SELECT hook('became paid', 'orders.*', $$condition => '$.new.status == "paid" && $.old.status != "paid"'$$) IS NULL AS none,
    hook('no more paid', 'orders.*', $$condition => '$.old.status == "paid" && !($.new.status == "paid")'$$) IS NULL AS none,
    hook('raised', 'orders.*', $$condition => '$.new.total > $.old.total'$$) IS NULL AS none,
    hook('recent', 'orders.*', $$condition => '$.new.placed.datetime() > "2026-01-01 00:00:00+00".datetime()'$$) IS NULL AS none,
    hook('tagged', 'orders.*', $$condition => 'exists($.new.tags[*] ? (@ like_regex "^v[0-9]+$"))'$$) IS NULL AS none,
    hook('created', 'orders.*', $$condition => '$.old == null'$$) IS NULL AS none,
    hook('filtered', 'orders.*', $$condition => '$.new.total > 5', filter => '{"status": "paid"}', columns => '{total}'$$) IS NULL AS none;
INSERT INTO orders VALUES (1, 'new', 1, '2025-01-01', '["v1"]');
UPDATE orders SET status = 'paid';
UPDATE orders SET total = 10;
UPDATE orders SET placed = '2026-02-01', tags = '["x"]';
UPDATE orders SET status = 'new', total = 5;
DELETE FROM orders;
SELECT event, payload ->> 'status' AS status, payload ->> 'total' AS total, changed, former, receivers(webhook_ids) FROM new_rows();
SELECT drop_hooks();

-- Each condition alone, so that only the columns that it reads are converted, against PostgreSQL's own result for the whole rows.
CREATE TABLE changes (old jsonb, new jsonb);
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND old IS NOT DISTINCT FROM new THEN
        RETURN NULL;
    END IF;
    INSERT INTO changes VALUES (CASE TG_OP WHEN 'INSERT' THEN 'null' ELSE to_jsonb(old) END, CASE TG_OP WHEN 'DELETE' THEN 'null' ELSE to_jsonb(new) END);
    RETURN NULL;
END
$$;
CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION note_change();
CREATE PROCEDURE change_orders(condition text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hook('compared', 'orders.*', format('previous => ''row'', condition => %L', condition));
    TRUNCATE changes;
    INSERT INTO orders SELECT i, (ARRAY['new', 'paid', NULL])[1 + i % 3], i % 7, date '2026-01-01' + i,
        (ARRAY['["v1", "x"]', '{"a": {"new": 1}}', '"v2"', '[1, 2, 3]', '[]', NULL])[1 + i % 6]::jsonb FROM generate_series(1, 30) i;
    UPDATE orders SET status = CASE id % 4 WHEN 0 THEN 'paid' WHEN 1 THEN status ELSE 'new' END, total = total + id % 3 - 1;
    UPDATE orders SET tags = CASE id % 3 WHEN 0 THEN '["v1"]'::jsonb ELSE tags || '["y"]' END;
    DELETE FROM orders;
END
$$;
CREATE TABLE compared (condition text, matches bigint, differences bigint);
CREATE PROCEDURE compare_orders(condition text) LANGUAGE sql AS $$
    WITH expected AS (
        SELECT new, old FROM changes
        WHERE jsonb_path_match_tz(jsonb_build_object('new', new, 'old', old), condition::jsonpath, silent => true)),
    sent AS (
        SELECT CASE event WHEN 'orders.delete' THEN 'null' ELSE payload::jsonb END AS new,
            CASE event WHEN 'orders.delete' THEN payload::jsonb ELSE coalesce(former::jsonb, 'null') END AS old FROM new_rows())
    INSERT INTO compared SELECT condition, (SELECT count(*) FROM sent),
        (SELECT count(*) FROM (TABLE expected EXCEPT ALL TABLE sent) AS missing) + (SELECT count(*) FROM (TABLE sent EXCEPT ALL TABLE expected) AS surplus);
    SELECT drop_hooks();
$$;
SELECT format('CALL change_orders(%L)', condition) AS change, format('CALL compare_orders(%L)', condition) AS compare FROM unnest(ARRAY[
    '$.new.status == "paid" && $.old.status != "paid"', '$.new.status != $.old.status', '$.new.total > $.old.total + 0.5', '-$.new.total < 0 || !($.old.total > 3)',
    '$.new.tags[last] == "y"', '$.new.tags[0 to 1] == $.old.tags[$.old.total to 9]', 'exists($.old.tags ? (@.a.new == $.new.total))', '$.new.tags.** == 1',
    '$.new.tags.size() > 1 && ($.old.total > 2) is unknown', '$.new.status starts with "p"', '$.new.tags[*] like_regex "^v" flag "i"',
    '$.new.placed.datetime() > "2026-01-10".datetime()', 'exists($.new.nothing) || $.new.status == null', 'strict $.old.status.type() == "string"',
    '($.new.total + $.old.total) % 2 == 1 && $.new.status == "new"', '"new" == $.new.status', '$."new"."total".abs() == 3', '$.new.tags.keyvalue().key == "a"',
    '$.old == null', '$.* == null', '$.new.* == "paid"', '$.new.total == 3 && $.old == null', 'exists($ ? (@.new.total > @.old.total))',
    'exists($.new ? (@.total == 2))', '1 == 1']) AS condition \gexec
TABLE compared;
DROP TRIGGER note_change ON orders;

-- A column that a condition does not read cannot prevent its evaluation: jsonb has no number with so many digits.
ALTER TABLE orders ADD digits json;
SELECT hook('some', 'orders.*', $$condition => '$.new.total > 2'$$) IS NULL AS none;
INSERT INTO orders (id, total, digits) VALUES (100, 3, ('1' || repeat('0', 140000))::json), (101, 1, NULL);
SELECT event, entity_id, receivers(webhook_ids) FROM new_rows();
SELECT drop_hooks();
ALTER TABLE orders DROP digits;
DELETE FROM orders;

-- A condition that cannot be evaluated does not match, and the statement does not fail.
SELECT hook('broken', 'orders.*', $$condition => '$.new.tags.datetime() == "1".datetime() || $.new.total.double() > 0'$$) IS NULL AS none,
    hook('strict', 'orders.*', $$condition => 'strict $.new.tags.missing == 1'$$) IS NULL AS none;
SELECT condition_errors AS before FROM webhook.stat_workers WHERE database = current_database() \gset
INSERT INTO orders VALUES (2, 'new', 'NaN', 'infinity', '"\\"');
UPDATE orders SET tags = '{"a": 1}';
SELECT event, receivers(webhook_ids) FROM new_rows();
SELECT condition_errors - :before AS counted FROM webhook.stat_workers WHERE database = current_database();
SELECT drop_hooks();

-- Application events have a payload as "new".
SELECT hook('emitted', 'orders.shipped', $$condition => '$.new.weight > 3 && $.old == null'$$) IS NULL AS none;
SELECT webhook.emit('orders.shipped', '{"weight": 4}') IS NULL, webhook.emit('orders.shipped', '{"weight": 2}') IS NULL;
SELECT event, payload, receivers(webhook_ids) FROM new_rows();
SELECT drop_hooks();

-- So do manual triggers.
SELECT hook('manual', 'orders.manual', $$condition => '$.new.status == "paid"'$$) AS manual \gset
SELECT r.* FROM refused(format('SELECT webhook.fire_webhook(%s, ''2'')', :manual)) AS r;
SELECT drop_hooks();
DROP TABLE orders;

-- What is rejected.
SELECT args, r.* FROM unnest(ARRAY[
    $$previous => 'all'$$, $$previous => ''$$,
    $$previous => 'row', format => 'rest'$$, $$previous => 'changed', format => 'thin'$$,
    $$previous => 'row', format => 'cloudevents-binary'$$, $$previous => 'row', method => 'GET'$$,
    $$condition => ''$$, $$condition => '$.new.status =='$$, $$condition => '$.new.status'$$, $$condition => '$.new ? (@.a == 1)'$$,
    $$condition => '$.new.a == $limit'$$, $$condition => '$.new."$x" == "$\"y"'$$, $$condition => '$.new.a like_regex "("'$$,
    $$condition => '$.a == "' || repeat('x', 70000) || '"'$$]) AS args,
    refused(format('SELECT previous_test.hook(''refused'', ''x.y'', %L)', args)) AS r;
SELECT hook('changing', 'x.y', $$previous => 'row', condition => '$.new.a == 1'$$) AS changing \gset
SELECT changes, r.* FROM unnest(ARRAY['{"format": "thin"}', '{"method": "GET"}', '{"previous": 1}', '{"condition": "$.a"}']) AS changes,
    refused(format('SELECT webhook.update_webhook(%s, %L)', :changing, changes)) AS r;
SELECT webhook.update_webhook(:changing, '{"previous": null, "format": "thin", "condition": "$.new.b > 2"}');
SELECT format, previous, condition FROM webhook.get_webhooks('previous');
SELECT drop_hooks();

SET client_min_messages = warning;
DROP SCHEMA previous_test CASCADE;
