# The API returns what a webhook was sent for an entity: get_events() and get_attendees() against what arrived at the
# receiver in format rest, for random rows of all kinds of types, in every shape.
#
# The API returns jsonb, which has its own order of keys and spacing.  The body that arrived is converted to
# jsonb, and then the two are compared byte by byte.
#
# Mission: I2 I13 I14 I15 I16.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $rows = 150;
my $node = WebhookTest::start_node('same_bytes');
my $receiver = WebhookTest::Receiver->start;
my %taken;	# how many requests to a path have been looked at

sql(q{
	CREATE TYPE mood AS ENUM ('happy', 'not so "happy"');
	CREATE TYPE address AS (street text, no integer, tags text[]);
	CREATE DOMAIN email AS varchar(100);
	CREATE TABLE event (uid text PRIMARY KEY, profile text, title text, starts timestamptz, "odd ""name"", { }" text, seats int4range);
	CREATE TABLE guest (
		uid uuid PRIMARY KEY, event_uid text NOT NULL, i2 smallint, i4 integer, i8 bigint, n numeric, n2 numeric(30, 10), f4 real,
		f8 double precision, t text, v varchar(40), c char(7), e email, b boolean, d date, ts timestamp, tz timestamptz, tm time,
		ttz timetz, iv interval, j json, jb jsonb, a text[], a2 integer[][], m mood, ad address, ads address[], by bytea,
		ip inet, r tstzrange, p point, bits bit varying, "key ""quoted"" ü" text, g integer GENERATED ALWAYS AS (i4 / 2) STORED,
		touched integer NOT NULL DEFAULT 0, secret text DEFAULT 'secret', paid boolean NOT NULL DEFAULT false);
	SELECT setseed(0.20261122);

	-- A string that is empty, or made of whatever is difficult in JSON.
	CREATE FUNCTION some_text(up_to integer) RETURNS text LANGUAGE sql VOLATILE AS $$
		SELECT coalesce(string_agg(CASE (random() * 5)::int
				WHEN 0 THEN chr(1 + (random() * 126)::int)
				WHEN 1 THEN (ARRAY['"', E'\\\\', '/', E'\t', E'\r\n', E'\u2028', '{{t}}', 'null', '\u0041', ' '])[1 + (random() * 9)::int]
				WHEN 2 THEN chr(128 + (random() * 2000)::int)
				WHEN 3 THEN chr(128512 + (random() * 60)::int)
				ELSE chr(97 + (random() * 25)::int) END, ''), '')
		FROM generate_series(1, (random() * up_to)::int) $$;
	-- NULL now and then.
	CREATE FUNCTION maybe(anyelement) RETURNS anyelement LANGUAGE sql VOLATILE AS
		$$ SELECT CASE WHEN random() < 0.85 THEN $1 END $$;
	CREATE FUNCTION some_json() RETURNS text LANGUAGE sql VOLATILE AS $$
		SELECT format('{ "z" : %s,"a":[1e2, %s , {"b":null,"aa" : 0.10}],"t":%s, "": {} }',
			(random() * 1e6)::numeric(12, 4), (random() * 1e18)::bigint, to_json(some_text(6))) $$;

	INSERT INTO event SELECT 'e' || i, CASE WHEN i % 4 > 0 THEN 'p' || i % 2 END, maybe(some_text(30)), maybe(now() - random() * interval '9999 days'),
		some_text(5), int4range(i, 10 * i)
	FROM generate_series(1, 20) AS i;
});
sql(sprintf q{
	INSERT INTO guest SELECT gen_random_uuid(), 'e' || 1 + (random() * 19)::int, maybe((random() * 30000)::int2), maybe((random() * 2e9 - 1e9)::int),
		maybe((random() * 1e18)::bigint),
		maybe(CASE i %% 9 WHEN 0 THEN 'NaN' WHEN 1 THEN 1e-25 WHEN 2 THEN 1e40 WHEN 3 THEN 1.500 ELSE (random() * 1e12)::numeric END),
		maybe((random() * 1e9)::numeric(30, 10)), maybe((random() * 10 ^ (i %% 60 - 30))::real),
		maybe(CASE i %% 7 WHEN 0 THEN '-Infinity' WHEN 1 THEN '-0' WHEN 2 THEN 'NaN' ELSE random() * 10 ^ (i %% 200 - 100) END),
		maybe(some_text(60)), maybe(left(some_text(20), 40)), maybe(left(some_text(4), 7)), maybe(left(some_text(30), 100)::email), maybe(random() < 0.5),
		maybe(CASE i %% 11 WHEN 0 THEN 'infinity' WHEN 1 THEN '0044-03-15 BC' ELSE '2000-01-01'::date + i * 37 END),
		maybe(CASE i %% 13 WHEN 0 THEN '-infinity' ELSE '1999-12-31 23:59:59.999999'::timestamp + random() * interval '50 years' END),
		maybe(now() + random() * interval '400 days'), maybe('00:00'::time + random() * interval '1 day'), maybe('12:34:56.7+05:45'::timetz),
		maybe(random() * interval '1000 days' - interval '1 month'), maybe(some_json()::json), maybe(some_json()::jsonb),
		maybe(ARRAY[some_text(4), NULL, '', 'NULL', '{}']), maybe(CASE WHEN i %% 3 = 0 THEN '{}' ELSE ARRAY[[i, NULL], [1, 2]] END),
		maybe('not so "happy"'::mood), maybe(ROW(some_text(9), i, ARRAY['x', NULL])::address), maybe(ARRAY[ROW(some_text(3), NULL, NULL)::address, NULL]),
		maybe(decode(md5(i::text), 'hex')), maybe('fe80::1/64'::inet), maybe(tstzrange(now(), NULL)), maybe(point(i / 3.0, -i)), maybe(i::bit(9)::varbit),
		some_text(8)
	FROM generate_series(1, %d) AS i}, $rows);
sql(q{
	SELECT webhook.watch('event', 'event', event_uid => 'uid', profile => 'profile');
	SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid', profile => '(SELECT e.profile FROM event e WHERE e.uid = event_uid)',
		paid => 'paid', exclude => '{secret}');
	CREATE TABLE api_key AS SELECT webhook.create_integration('crm') AS key;
	SELECT webhook.connect_profile('crm', p, true), webhook.activate_integration(p, 'crm') FROM unnest('{p0,p1}'::text[]) AS p;
	CREATE TABLE received (kind text, body json);
});
WebhookTest::create_webhook(
	$node,
	app => "'crm'",
	event => "'event.*,guest.*'",
	format => "'rest'",
	integration => "'crm'",
	url => "'" . $receiver->url('/crm') . "'");
WebhookTest::create_webhook(
	$node,
	app => "'plain'",
	event => "'event.*,guest.*'",
	format => "'rest'",
	url => "'" . $receiver->url('/plain') . "'");

# Insert what has arrived at a path since the last call into table received.
sub load
{
	my ($path) = @_;
	my @bodies = map { $_->{body} } $receiver->requests($path);
	my @new = splice(@bodies, $taken{$path});

	sql(map { "INSERT INTO received VALUES ('$path', \$body\$$_\$body\$);\n" } @new);
	return scalar @new;
}

# Send every row again, and compare what arrived with what the API returns.  id is the key of the member that identifies the entity;
# events have a uid where a mapping is for guests alone.
sub compare
{
	my ($what, $id, $ignore_mapping) = @_;
	my $path = $ignore_mapping ? '/plain' : '/crm';

	$taken{$path} = () = $receiver->requests($path);
	sql('UPDATE guest SET touched = touched + 1; UPDATE event SET title = coalesce(title, $$$$) || $$.$$; TRUNCATE received');
	WebhookTest::wait_until_delivered($node);
	cmp_ok(load($path), '>', $rows / 2, "$what: the receiver got them");
	my $arguments = $ignore_mapping ? ', ignore_fields_mapping => true' : '';

	# The API first: each of its entities must have arrived.  A webhook without integration may have received others.
	is( sql(qq{
		WITH api AS (
			SELECT d FROM api_key, generate_series(1, 5) AS page,
				jsonb_array_elements(webhook.get_attendees(key, page => page, page_size => 37$arguments)->'data') AS d
			UNION ALL SELECT d FROM api_key, jsonb_array_elements(webhook.get_events(key$arguments)->'data') AS d),
		pair AS (
			SELECT api.d::text AS given, r.body::jsonb::text AS sent
			FROM api LEFT JOIN received AS r ON coalesce(r.body::jsonb->>'$id', r.body::jsonb->>'uid') = coalesce(api.d->>'$id', api.d->>'uid'))
		SELECT count(*) > $rows / 2, count(*) FILTER (WHERE convert_to(sent, 'UTF8') = convert_to(given, 'UTF8')) = count(*),
			coalesce(min(given || ' but sent: ' || sent) FILTER (WHERE sent <> given), '') FROM pair}),
		't|t|', "$what: the API returns the bytes that the receiver got");
	is( sql(qq{
		SELECT count(*) FROM received WHERE kind = '/crm' AND coalesce(body::jsonb->>'$id', body::jsonb->>'uid') NOT IN (
			SELECT coalesce(d->>'$id', d->>'uid') FROM api_key, generate_series(1, 5) AS page,
				jsonb_array_elements(webhook.get_attendees(key, page => page, page_size => 37)->'data') AS d
			UNION ALL SELECT coalesce(d->>'$id', d->>'uid') FROM api_key, jsonb_array_elements(webhook.get_events(key)->'data') AS d)}),
		0, "$what: nothing arrived that the API does not return");
	return;
}

compare('I16: as they are', 'uid');
sql(q{SELECT webhook.set_field_mapping('[{"name": "id", "mapped_to": "uid"}, {"name": "n", "mapped_to": "n"}, {"name": "text", "mapped_to": "t"},
	{"name": "a.b", "mapped_to": "jb.a[2].b"}, {"name": "ü \" ", "mapped_to": "a[0]"}, {"name": "c", "value": {"k": [1.50, "x"]}},
	{"name": "j", "mapped_to": "j.z"}, {"name": "ad", "mapped_to": "ad.street"}, {"name": "nope", "mapped_to": "nope"}]', 'crm'),
	webhook.set_field_mapping('[{"name": "n", "mapped_to": "n2"}]', 'crm', profile => 'p1'),
	webhook.set_field_mapping('[{"name": "c", "value": null}, {"name": "f", "mapped_to": "f8"}]', 'crm', event_uid => 'e5')});
compare('I13: with a mapping on three levels', 'id');
compare('I16: without the mapping, which must be ignored', 'uid', 1);
sql(q{SELECT webhook.set_form('crm', 'guest', '[{"name": "uid", "type": "text"}, {"name": "t", "type": "text", "default": "-"},
	{"name": "n", "type": "number", "default": 0}, {"name": "new", "type": "text", "default": "x"}, {"name": "b", "type": "boolean"}]')});
compare('I15, I13: with a form and a mapping', 'id');
sql(q{SELECT webhook.set_field_mapping(NULL, 'crm'), webhook.set_field_mapping(NULL, 'crm', profile => 'p1'), webhook.set_field_mapping(NULL, 'crm', event_uid => 'e5')});
compare('I15: with a form', 'uid');
sql(q{SELECT webhook.set_form('crm', 'guest', NULL), webhook.set_payload_template('crm', 'guest',
	'{"who": "{{uid}}", "list": ["{{t}}", {"n": "{{n}}", "text": "<{{n}}|{{t}}|{{j}}|{{a}}>"}], "d": "{{d}}", "none": "{{g}}"}'),
	webhook.set_payload_template('crm', 'event', '{"who": "{{uid}}", "title": "{{ title }}!"}')});
compare('I14: with a template', 'who');

done_testing();
