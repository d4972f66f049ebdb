-- Two profiles, two integrations, an event with an override, a mapping on three levels, a manual action and the API.
--
-- make story runs this in a throw-away server.  The variable receiver is the URL of something that answers requests.

\echo '--- The tables of an event application, as they are.'
CREATE TABLE event (
    uid     text PRIMARY KEY,
    profile text NOT NULL,
    name    text NOT NULL,
    city    text,
    starts  timestamptz
);
CREATE TABLE attendee (
    uid                 text PRIMARY KEY,
    event_uid           text NOT NULL REFERENCES event,
    registration_status text NOT NULL DEFAULT 'Registered',
    payment_status      text NOT NULL DEFAULT 'open',
    firstname           text,
    lastname            text,
    email               text,
    cpy_name            text,
    cpy_city            text,
    free_field1         text,
    category            jsonb,
    options             jsonb NOT NULL DEFAULT '[]',
    password_hash       text
);
INSERT INTO event VALUES
    ('CONF-26', 'conferences', 'PostgreSQL Day', 'Berlin', '2026-06-11 09:00+02'),
    ('EXPO-26', 'conferences', 'Database Expo', 'Berlin', '2026-09-01 09:00+02'),
    ('GALA-26', 'parties', 'Summer gala', 'Milano', '2026-07-03 19:30+02');

\echo '--- Both are watched: what an event is, to which profile it belongs, and what "paid" means.'
SELECT webhook.watch('event', 'event', event_uid => 'uid', profile => 'profile');
SELECT webhook.watch('attendee', 'guest', id => 'uid', event_uid => 'event_uid',
    profile => '(SELECT e.profile FROM event e WHERE e.uid = event_uid)',
    paid => $$payment_status = 'paid'$$, exclude => '{password_hash}');

\echo '--- Two integrations. Their API keys are shown this once.'
SELECT webhook.create_integration('crm', 'customers of all conferences') AS crm_key \gset
SELECT webhook.create_integration('newsletter', 'people who like parties') AS newsletter_key \gset
\echo crm: :crm_key
\echo newsletter: :newsletter_key
SELECT webhook.connect_profile('crm', 'conferences', api_access => true), webhook.connect_profile('newsletter', 'parties'),
       webhook.activate_integration('conferences', 'crm'), webhook.activate_integration('parties', 'newsletter');

\echo '--- Their webhooks; the last one is an action in the application''s menu.'
SELECT webhook.create_webhook('crm', 'guest.create,guest.update,guest.delete', :'receiver' || '/crm', format => 'rest', integration => 'crm',
    headers => '{"Authorization": "Bearer s3cr3t"}') AS crm_hook \gset
SELECT webhook.create_webhook('newsletter', 'guest.create', :'receiver' || '/newsletter', format => 'rest', integration => 'newsletter') AS newsletter_hook \gset
SELECT webhook.create_webhook('crm', 'guest.manual', :'receiver' || '/vip', name => 'Greet as VIP', format => 'rest', integration => 'crm') AS vip_hook \gset

\echo '--- What the CRM gets: a mapping of the account, completed by the profile and the event.'
SELECT webhook.set_field_mapping('[
    {"name": "Email", "mapped_to": "email"},
    {"name": "Name", "mapped_to": "lastname"},
    {"name": "Company", "mapped_to": "cpy_name"},
    {"name": "Category", "mapped_to": "category.name"},
    {"name": "Workshop", "mapped_to": "options[0]"},
    {"name": "Source", "value": "web"}]', 'crm');
SELECT webhook.set_field_mapping('[{"name": "Source", "value": "conference"}]', 'crm', profile => 'conferences');
SELECT webhook.set_field_mapping('[{"name": "Diet", "mapped_to": "free_field1"}]', 'crm', event_uid => 'CONF-26');

\echo '--- The expo is for the CRM, too, but only for those who have paid.'
SELECT webhook.override_event('EXPO-26', 'crm', only_paid => true);

\echo '--- Four people register, one pays.'
INSERT INTO attendee (uid, event_uid, firstname, lastname, email, cpy_name, cpy_city, free_field1, category, options) VALUES
    ('a1', 'CONF-26', 'Ada', 'Lovelace', 'ada@example.org', 'Analytical Engines', 'London', 'vegan', '{"name": "Speaker"}', '["SQL", "C"]'),
    ('a2', 'EXPO-26', 'Grace', 'Hopper', 'grace@example.org', 'Navy', 'Arlington', NULL, '{"name": "Visitor"}', '[]'),
    ('a3', 'EXPO-26', 'Alan', 'Turing', 'alan@example.org', NULL, NULL, NULL, NULL, '[]'),
    ('a4', 'GALA-26', 'Sofia', 'Kovalevskaya', 'sofia@example.org', NULL, 'Stockholm', NULL, NULL, '[]');
UPDATE attendee SET payment_status = 'paid' WHERE uid = 'a2';

\echo '--- The menu for a guest of the conference, and somebody uses it.'
SELECT label, app FROM webhook.get_manual_actions('guest', 'CONF-26');
SELECT webhook.fire_webhook(:vip_hook, 'a1') <> '' AS fired;

\echo '--- The CRM asks back: the same JSON, in pages, for the profiles it may see.'
SELECT jsonb_pretty(webhook.get_attendees(:'crm_key', event_uid => 'CONF-26')) AS attendees;
SELECT webhook.get_events(:'crm_key', fields => 'uid,name', ignore_fields_mapping => true) AS events;
SELECT webhook.get_events(:'newsletter_key') AS none_for_the_newsletter;

SELECT name, profiles, api_profiles, active_profiles, webhooks, api_key_too_old FROM webhook.get_integrations();

\echo '--- All of this as a document, for version control; a copy of the database can be configured with it.'
SELECT webhook.export_config(true) - 'settings' AS document \gset
SELECT count(*) AS differences FROM webhook.apply_config(:'document');
