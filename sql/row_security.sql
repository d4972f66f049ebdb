-- Expressions, the API, manual actions and tests see what a table's owner sees, whatever a session has set for policies.
-- Proves C22, W15 (row-level security) and S2.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE SCHEMA rls_test;
SET search_path = rls_test;
TRUNCATE webhook.outbox_0, webhook.outbox_1, webhook.outbox_2, webhook.outbox_3;
CREATE ROLE rls_shop;
CREATE ROLE rls_tenant;
CREATE ROLE rls_other;
GRANT ALL ON SCHEMA rls_test TO rls_shop, rls_tenant, rls_other;
GRANT USAGE ON SCHEMA webhook TO rls_shop;
GRANT EXECUTE ON FUNCTION webhook.watch, webhook.notify_payment TO rls_shop, rls_tenant;
GRANT USAGE ON SCHEMA webhook TO rls_tenant;
-- One shop, many tenants: each session says whose it is.
SET ROLE rls_shop;
CREATE TABLE event (id integer PRIMARY KEY, uid text, profile text, tenant text);
CREATE TABLE payment (guest_id integer, tenant text);
CREATE TABLE guest (id integer PRIMARY KEY, event_id integer, tenant text, name text);
ALTER TABLE event ENABLE ROW LEVEL SECURITY;
ALTER TABLE event FORCE ROW LEVEL SECURITY;
ALTER TABLE payment ENABLE ROW LEVEL SECURITY;
ALTER TABLE payment FORCE ROW LEVEL SECURITY;
ALTER TABLE guest ENABLE ROW LEVEL SECURITY;
ALTER TABLE guest FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON event USING (tenant = current_setting('app.tenant', true));
CREATE POLICY own ON payment USING (tenant = current_setting('app.tenant', true));
CREATE POLICY own ON guest USING (tenant = current_setting('app.tenant', true));
GRANT ALL ON guest, event, payment TO rls_tenant;
CREATE FUNCTION event_uid(integer) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT e.uid FROM rls_test.event e WHERE e.id = $1); END $$;
SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid(event_id)', profile => '(SELECT e.profile FROM event e WHERE e.id = event_id)',
    paid => 'EXISTS (SELECT FROM payment p WHERE p.guest_id = guest.id)'), webhook.watch('event', 'event', event_uid => 'uid', profile => 'profile');
RESET ROLE;
SELECT webhook.create_integration('rls') AS key \gset
SELECT webhook.connect_profile('rls', 'p', true), webhook.override_event('gala', 'rls', only_paid => true);
SELECT webhook.create_webhook('rls', 'guest.*', 'http://127.0.0.1:9/', event_uids => 'gala') AS gala,
    webhook.create_webhook('rls', 'guest.*', 'http://127.0.0.1:9/', integration => 'rls') AS paid \gset
SET ROLE rls_shop;
SET app.tenant = 'a';
INSERT INTO event VALUES (1, 'gala', 'p', 'a');
SET app.tenant = 'b';
INSERT INTO payment VALUES (1, 'b');
-- Neither the event nor the payment is visible to the session that writes.
SET app.tenant = 'c';
INSERT INTO guest VALUES (1, 1, 'c', 'Ann');
SET ROLE rls_tenant;
UPDATE guest SET name = 'Bea';
SET app.tenant = 'nobody';
SELECT webhook.notify_payment('guest', '1');
RESET ROLE;
SELECT event, entity_id, event_uid, :gala = ANY (webhook_ids) AS gala, :paid = ANY (webhook_ids) AS paid FROM webhook.outbox ORDER BY id;
-- The policies still apply to the owner, even if a function has just been planned without them.
SET ROLE rls_shop;
SELECT count(*), event_uid(1) FROM guest;
RESET ROLE;
SELECT webhook.get_events(:'key') -> 'meta' AS events, webhook.get_attendees(:'key', 'gala') -> 'meta' AS guests;
SELECT webhook.fire_webhook(:gala, '1') <> '' AS fired, webhook.test_webhook(:gala) <> '' AS tested;
SELECT event, payload FROM webhook.outbox WHERE event IN ('guest.manual', 'guest.test') ORDER BY 1;

-- Policies of another role's table apply to the owner: that is rejected, with a hint.
SET ROLE rls_other;
CREATE TABLE venue (id integer, uid text);
ALTER TABLE venue ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON venue USING (uid = current_setting('app.tenant', true));
GRANT SELECT ON venue TO rls_shop;
SET ROLE rls_shop;
SELECT webhook.watch('guest', 'guest', event_uid => '(SELECT v.uid FROM venue v WHERE v.id = event_id)');
-- The same later on, and the remedy.
SET ROLE rls_other;
ALTER TABLE venue DISABLE ROW LEVEL SECURITY;
SET ROLE rls_shop;
SELECT webhook.watch('guest', 'guest', event_uid => '(SELECT v.uid FROM venue v WHERE v.id = event_id)');
SET app.tenant = 'c';
UPDATE guest SET name = 'Cid';
RESET ROLE;
ALTER TABLE rls_test.venue ENABLE ROW LEVEL SECURITY;
SET ROLE rls_shop;
UPDATE guest SET name = 'Dan';
RESET ROLE;
SELECT webhook.get_attendees(:'key', 'gala');
SELECT webhook.fire_webhook(:gala, '1');
SELECT webhook.test_webhook(:gala);
ALTER ROLE rls_shop BYPASSRLS;
UPDATE guest SET name = 'Eve';
REVOKE SELECT ON venue FROM rls_shop;
UPDATE guest SET name = 'Fay';

SELECT webhook.delete_integration('rls'), webhook.delete_webhook_by_id(:gala);
SELECT count(webhook.unwatch(relation)) FROM webhook.watch;
RESET search_path;
DROP SCHEMA rls_test CASCADE;
DROP OWNED BY rls_shop, rls_tenant, rls_other;
DROP ROLE rls_shop, rls_tenant, rls_other;
