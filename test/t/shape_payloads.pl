# Payloads shaped by integrations and transforms, as the receiver gets them.
#
# Mission: I12 I13 I14 I15 I17 W5 X1, I9 (the report of old keys).

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WebhookTest qw(sql becomes);

my $node = WebhookTest::start_node('shapes');
my $receiver = WebhookTest::Receiver->start;
my $json = JSON::PP->new->canonical;
my %taken;

# The bodies that arrived at a path since the last call, once everything has been delivered.
sub arrived
{
	my ($path) = @_;

	WebhookTest::wait_until_delivered($node);
	my @bodies = map { $_->{body} } $receiver->requests($path);
	my @new = splice(@bodies, $taken{$path} // 0);
	$taken{$path} += @new;
	return \@new;
}

sub webhook
{
	my ($path, $more) = @_;

	return sql("SELECT webhook.create_webhook('t', 'guest.*', '",
		$receiver->url($path), "', format => 'rest'", $more // '', ')');
}

sql(q{
	CREATE TABLE guest (id integer PRIMARY KEY, event_uid text, profile text, firstname text, amount numeric,
						category jsonb, options jsonb, paid boolean NOT NULL DEFAULT false);
	SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid', profile => 'profile', paid => 'paid');
	SELECT webhook.create_integration('crm');
	SELECT webhook.connect_profile('crm', 'p');
	SELECT webhook.activate_integration('p', 'crm');
});

# I13: mapping on three levels

my $plain = webhook('/plain');
my $mapped = webhook('/mapped', ", integration => 'crm'");

sql(q{
	SELECT webhook.set_field_mapping('[
		{"name": "first", "mapped_to": "firstname"},
		{"name": "source", "value": "web"},
		{"name": "category", "mapped_to": "category.name"},
		{"name": "option", "mapped_to": "options[0]"},
		{"name": "nothing", "mapped_to": "no_such_field"}]', 'crm');
	SELECT webhook.set_field_mapping('[{"name": "source", "value": {"profile": 1}}]', 'crm', profile => 'p');
	SELECT webhook.set_field_mapping('[{"name": "amount", "mapped_to": "amount"},
		{"name": "first", "value": "hidden"}]', event_uid => 'e2');
	INSERT INTO guest VALUES (1, 'e1', 'p', 'A"nn', 12.50, '{"name": "VIP"}', '["x", "y"]');
	INSERT INTO guest VALUES (2, 'e2', 'p', 'Bob', 1e3, NULL, '[]');
});
is_deeply(
	arrived('/mapped'),
	[
		'{"first":"A\"nn","source":{"profile": 1},"category":"VIP","option":"x","nothing":null}',
		'{"first":"hidden","source":{"profile": 1},"category":null,"option":null,"nothing":null,"amount":1000}'
	],
	'I13: account, profile and event complete and override each other by name');
like(arrived('/plain')->[0], qr/^{"id":1,"event_uid":"e1"/, 'I13: a webhook of no integration sends the entity as it is');

# I14: a template

sql(q{
	SELECT webhook.set_payload_template('crm', 'guest', '{"contact": {"name": "{{firstname}}", "hello": "Dear {{ firstname }}, {{amount}} \"due\""},
		"amount": "{{amount}}", "list": [1, true, null, "{{options}}", "{{category.name}}", "{{ options[1] }}"], "no": "{{paid}}!"}');
	UPDATE guest SET firstname = 'Änn' WHERE id = 1;
});
is_deeply(
	$json->decode(arrived('/mapped')->[0]),
	{
		contact => { name => "\xc3\x84nn", hello => "Dear \xc3\x84nn, 12.50 \"due\"" },
		amount => 12.50,
		list => [ 1, JSON::PP::true, undef, [ 'x', 'y' ], 'VIP', 'y' ],
		no => 'false!'
	},
	'I14: a value that is a placeholder keeps its type, a placeholder within a string is text');
sql(q{SELECT webhook.set_payload_template('crm', 'guest', NULL), webhook.set_field_mapping(NULL, 'crm'),
	webhook.set_field_mapping('[]', 'crm', profile => 'p'), webhook.set_field_mapping(NULL, event_uid => 'e2')});

# I15: a form

sql(q{
	SELECT webhook.set_form('crm', 'guest', '[{"name": "firstname", "type": "text", "required": true},
		{"name": "amount", "type": "integer", "default": 0}, {"name": "vip", "type": "boolean", "default": false},
		{"name": "id", "type": "text"}, {"name": "city", "type": "text"}]');
	UPDATE guest SET amount = 7 WHERE id = 1;
	UPDATE guest SET amount = 7.5 WHERE id = 1;
});
is_deeply(
	arrived('/mapped'),
	[
		"{\"firstname\":\"\xc3\x84nn\",\"amount\":7,\"vip\":false,\"id\":\"1\",\"city\":null}",
		"{\"firstname\":\"\xc3\x84nn\",\"amount\":0,\"vip\":false,\"id\":\"1\",\"city\":null}"
	],
	'I15: the payload has all fields of the form, in its order, with its types');
# C25: a payload that does not fit is sent, is logged, and is reported once

becomes("SELECT outcome || ': ' || error FROM webhook.get_webhook_log($mapped) LIMIT 1",
	'delivered: the payload does not fit the form: field "amount" is not of type integer',
	'C25: a value of another type is in the log');
sql(q{UPDATE guest SET firstname = NULL WHERE id IN (1, 2)});
is_deeply([ sort @{ arrived('/mapped') } ],
	[ map { "{\"firstname\":null,\"amount\":$_,\"vip\":false,\"id\":\"" . ($_ ? 2 : 1) . "\",\"city\":null}" } 0, 1000 ],
	'C25: without a required field it is sent by default');
sql(q{UPDATE guest SET firstname = 'A' WHERE id IN (1, 2); UPDATE guest SET amount = 7.5 WHERE id = 1});
arrived('/mapped');
is( sql("SELECT count(*), count(DISTINCT message), min(webhook_id) FROM webhook.notification WHERE kind = 'form'"),
	"3|3|$mapped", 'C25: each fault is reported once');
sql(q{
	SELECT webhook.set_form('crm', 'guest', '[{"name": "firstname", "type": "text", "required": true, "on_missing": "hold"}, {"name": "id", "type": "integer"}]');
	UPDATE guest SET firstname = NULL WHERE id = 1;
	UPDATE guest SET firstname = 'Ada' WHERE id = 1;
});
is_deeply(arrived('/mapped'), ['{"firstname":"Ada","id":1}'], 'C25: with on_missing it is withheld');
becomes("SELECT state || ' ' || last_error FROM webhook.undelivered WHERE webhook_id = $mapped",
	'failed withheld: the payload does not fit the form: required field "firstname" is missing',
	'C25: and undelivered says why');
sql(q{UPDATE guest SET firstname = NULL WHERE id = 1; DELETE FROM guest WHERE id = 1;
	INSERT INTO guest VALUES (1, 'e1', 'p', 'Ada', 12.50, '{"name": "VIP"}', '["x", "y"]')});
is_deeply([ map { /"id":(\d+)/ ? $1 : $_ } @{ arrived('/mapped') } ], [ 1, 1 ], 'C25: a deletion is not');
sql(q{SELECT webhook.set_form('crm', 'guest', '[{"name": "firstname", "type": "text"}, {"name": "vip", "type": "boolean", "default": false}]')});
is(sql("SELECT count(*) FROM (SELECT webhook.redeliver(webhook_id, message_id) FROM webhook.undelivered WHERE last_error LIKE 'withheld:%') r"),
	2, 'C25: withheld messages can be redelivered');
is_deeply(arrived('/mapped'), [ ('{"firstname":null,"vip":false}') x 2 ], 'C25: and are sent according to the new form');

sql(q{
	SELECT webhook.set_field_mapping('[{"name": "v", "mapped_to": "vip"}, {"name": "e", "mapped_to": "event_uid"}]', 'crm');
	UPDATE guest SET amount = 8 WHERE id = 1;
});
is_deeply(arrived('/mapped'), ['{"v":false,"e":null}'], 'I15: the form comes before the mapping');
arrived('/plain');

# I17: a function

sql(q{
	CREATE ROLE alice;
	GRANT USAGE ON SCHEMA webhook, public TO alice;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO alice;
	GRANT SELECT, INSERT ON guest TO alice;
	CREATE TABLE secret (s text);
	CREATE TABLE seen (payload jsonb);
	GRANT INSERT ON seen TO alice;
	CREATE FUNCTION transform(payload jsonb, event text, entity_id text) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		CASE payload->>'firstname'
			WHEN 'drop' THEN RETURN NULL;
			WHEN 'fail' THEN RAISE EXCEPTION 'no "%"', entity_id;
			WHEN 'spy' THEN PERFORM FROM public.secret;
			WHEN 'write' THEN INSERT INTO public.seen VALUES (payload);
			WHEN 'again' THEN INSERT INTO public.guest (id, firstname) VALUES (99, 'again');
			WHEN 'fire' THEN PERFORM webhook.fire_webhook((SELECT id FROM webhook.get_webhooks()), entity_id);
			WHEN 'change' THEN PERFORM webhook.update_webhook(id, '{"transform": null}') FROM webhook.get_webhooks();
			WHEN 'allow' THEN SET transaction_read_only = off;
			WHEN 'emit' THEN PERFORM webhook.emit('guest.loop', payload);
			WHEN 'slow' THEN PERFORM pg_sleep(60);
			WHEN 'deep' THEN payload := public.transform(payload, event, entity_id);
			WHEN 'lowered' THEN payload := jsonb_build_object('path', current_setting('search_path'));
			ELSE NULL;
		END CASE;
		RETURN jsonb_build_object('who', current_user, 'event', event, 'id', entity_id, 'name', payload->'firstname');
	END $$;
});
$node->append_conf('postgresql.conf', "webhook.transform_timeout = 1s\nwebhook.retry_schedule = '0'");
$node->reload;
sql('SET ROLE alice; ', "SELECT webhook.create_webhook('alice', 'guest.create', '",
	$receiver->url('/transformed'), "', format => 'rest', transform => 'transform(jsonb,text,text)')");
my @bad = qw(fail spy write emit slow deep again fire change allow);
my $n = 10;
sql("INSERT INTO guest (id, firstname) VALUES ($n, '$_')"), $n++ foreach ('first', 'drop', @bad, 'last');
becomes("SELECT count(*) FROM webhook.undelivered WHERE state = 'failed'", scalar(@bad),
	'I17: errors fail their own delivery');
is_deeply(
	[ map { $json->decode($_) } sort @{ arrived('/transformed') } ],
	[
		{ who => 'alice', event => 'guest.create', id => '10', name => 'first' },
		{ who => 'alice', event => 'guest.create', id => '22', name => 'last' }
	],
	'I17: the rest is sent as the function returns it, run with the privileges of the owner');
my $errors = sql("SELECT entity_id || ': ' || last_error FROM webhook.undelivered WHERE state = 'failed' ORDER BY entity_id::int");
like($errors, qr/^12: no "12"\n13: permission denied for table secret\n14: cannot execute INSERT in a read-only transaction\n/,
	'I17: errors are recorded');
like($errors, qr/^15: cannot execute webhook.emit\(\) in a read-only transaction$/m, 'I17: it cannot send messages');
like($errors, qr/^18: cannot execute INSERT in a read-only/m, 'I17: it cannot write to the watched table');
like($errors, qr/^19: cannot execute webhook.fire_webhook\(\) in/m, 'I17: it cannot fire a webhook, such as its own');
like($errors, qr/^20: cannot execute SELECT FOR NO KEY UPDATE in a read-only/m, 'I17: it cannot change its webhook');
like($errors, qr/^21: cannot set transaction read-write mode inside a read-only/m, 'I17: nor allow itself to');
like($errors, qr/^16: canceling statement due to statement timeout$/m, 'I17: it has a time limit');
like($errors, qr/^17: stack depth limit exceeded/m, 'I17: it can recurse as deep as any other function');
becomes("SELECT dropped FROM webhook.stat_webhooks WHERE app = 'alice'", 1, 'I17: what it drops is counted');
is(sql('SELECT count(*) FROM seen'), 0, 'I17: nothing was written');
is(sql("SELECT count(*) FROM webhook.stat_workers WHERE pid IS NOT NULL AND database = 'postgres'"), 1, 'the worker is running');
sql("REVOKE EXECUTE ON FUNCTION transform FROM PUBLIC; INSERT INTO guest (id, firstname) VALUES (30, 'late')");
becomes("SELECT last_error FROM webhook.undelivered WHERE entity_id = '30'",
	'permission denied for function transform', 'I17: the privilege to call it is checked every time');

# W5: a slow transform delays its own webhook, and others hardly

$node->append_conf('postgresql.conf', "webhook.transform_timeout = 10s");
$node->reload;
sql(q{CREATE FUNCTION slow(jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.08); RETURN $1; END'});
my $slow = webhook('/slow', ", transform => 'slow(jsonb)'");
my $fast = webhook('/fast', ", integration => 'crm'");
sql("INSERT INTO guest (id, profile) SELECT i, 'p' FROM generate_series(100, 129) i");
$receiver->wait_for_count(30, '/fast');
cmp_ok($receiver->count('/slow'), '<', 20, 'W5: a slow transform delays its own webhook');
arrived('/slow');
is($receiver->count('/slow'), 30, 'W5: and nothing is lost of it');
sql("SELECT webhook.delete_webhook_by_id(id) FROM unnest(ARRAY[$slow, $fast]) id");

# W5: many slow transforms delay others no more than one does

sql(q{CREATE FUNCTION slower(jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.2); RETURN $1; END'});
my @slow = map { webhook('/slower', ", transform => 'slower(jsonb)'") } 1 .. 12;
my $other = sql("SELECT webhook.create_webhook('t', 'other.told', '", $receiver->url('/other'), "')");
sql("INSERT INTO guest (id, profile) SELECT i, 'p' FROM generate_series(200, 209) i");
ok($receiver->wait_for_count(12, '/slower'), 'each has been slow once');
my ($start, $before, $round) = (time, $receiver->count('/slower'), 0);
while (time < $start + 5)
{
	$round++;
	sql("SELECT webhook.emit('other.told', '{}')");
	$receiver->wait_for_count($round, '/other') or last;
}
cmp_ok(0.2 * ($receiver->count('/slower') - $before) / (time - $start), '<', 0.5,
	'W5: all slow transforms together take only a part of the time');
sql("SELECT webhook.delete_webhook_by_id($_)") foreach @slow, $other;

# W5: what a template makes of a payload is limited as payloads are

$node->append_conf('postgresql.conf', "webhook.max_payload_size = 1MB");
$node->reload;
my $large = webhook('/large', q{, template => (SELECT jsonb_agg('{{firstname}}'::text) FROM generate_series(1, 100))});
sql("INSERT INTO guest (id, firstname) VALUES (250, repeat('x', 100000)), (251, repeat('x', 10000))");
becomes("SELECT entity_id || ': ' || last_error FROM webhook.undelivered WHERE webhook_id = $large",
	'250: the template or mapping makes too large a payload', 'W5: a template makes no larger payload than a table can');
is(join(' ', map { length($_) } @{ arrived('/large') }), 100 * 10003 + 1, 'W5: the next one is sent');
sql("SELECT webhook.delete_webhook_by_id($large)");

# X1: former values have the shape of current ones

sub previous_of
{
	my ($path) = @_;

	return join(' ', map { $_->{body} =~ /,"previous":(.*)\}$/ ? $1 : '-' } ($receiver->requests($path))[-3 .. -1]);
}

sql(q{
	CREATE FUNCTION redact(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS 'SELECT jsonb_build_object(''initial'', left($1 ->> ''firstname'', 1), ''id'', $1 -> ''id'')';
	CREATE FUNCTION tell(jsonb, text, text, previous jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
		AS 'SELECT jsonb_build_object(''event'', $2, ''id'', $3, ''before'', previous, ''none'', previous IS NULL)';
	CREATE FUNCTION tell_strict(jsonb, text, text, previous jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT AS 'SELECT previous';
	SELECT webhook.create_integration('shaped');
	SELECT webhook.connect_profile('shaped', 'q');
	SELECT webhook.activate_integration('q', 'shaped');
	SELECT webhook.set_field_mapping('[{"name": "who", "mapped_to": "firstname"}, {"name": "price", "mapped_to": "amount"}]', 'shaped');
});
foreach my $kind (qw(changed row))
{
	my $url = $receiver->url("/previous-$kind");
	sql("SELECT webhook.create_webhook('before', 'guest.*', '$url-integration', integration => 'shaped', previous => '$kind')");
	sql("SELECT webhook.create_webhook('before', 'guest.*', '$url-$_', transform => '$_', previous => '$kind')") foreach qw(redact tell tell_strict);
}
sql(q{
	INSERT INTO guest (id, profile, firstname, amount) VALUES (300, 'q', 'Ann', 1.50);
	UPDATE guest SET firstname = 'Abe' WHERE id = 300;
	UPDATE guest SET firstname = 'Bob', amount = 1.5 WHERE id = 300;
});
arrived('/previous-row-tell');
is(previous_of('/previous-changed-integration'), '- {"who":"Ann"} {"who":"Abe","price":1.50}', 'X1, I13: changed columns are mapped');
is(previous_of('/previous-row-integration'), '- {"who":"Ann","price":1.50} {"who":"Abe","price":1.50}', 'X1, I13: so is the whole former row');
is(previous_of('/previous-changed-redact'), '- {} {"initial": "A"}', 'X1, I17: a transform applies to changed columns');
is(previous_of('/previous-row-redact'), '- {"id": 300, "initial": "A"} {"id": 300, "initial": "A"}', 'X1, I17: and to the former row');
is( join(' ', map { $_->{body} =~ /"none": (\w+), "event": "[^"]*", "before": (null|\{.*?\})/; "$2 $1" } ($receiver->requests('/previous-changed-tell'))[-3 .. -1]),
	'null true {"firstname": "Ann"} false {"amount": 1.50, "firstname": "Abe"} false', 'X1, I17: former values are an argument of a transform');
is(join(' ', map { $_->{body} =~ /"result":(.*?)(,"previous".*)?\}$/; $1 } ($receiver->requests('/previous-changed-tell_strict'))[-3 .. -1]),
	'null {"firstname": "Ann"} {"amount": 1.50, "firstname": "Abe"}', 'X1, I17: a strict transform is called without former values, too');

# A message captured while the webhook had no transform does not bypass one that was added later.
my $later = sql("SELECT webhook.create_webhook('before', 'guest.update', '", $receiver->url('/previous-later'), "', previous => 'changed')");
sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('before') WHERE id <> $later");
sql("SELECT webhook.deactivate_webhook($later, buffer_events => true); UPDATE guest SET firstname = 'hidden' WHERE id = 300;
	UPDATE guest SET firstname = 'Cyd' WHERE id = 300");
becomes("SELECT buffered FROM webhook.stat_webhooks WHERE webhook_id = $later", 2, 'X1: two updates wait');
sql(qq{SELECT webhook.update_webhook($later, '{"transform": "public.redact"}'), webhook.activate_webhook($later, true)});
arrived('/previous-later');
is(join(' ', map { $_->{body} =~ /Bob|hidden/ ? 'shown' : 'not' } $receiver->requests('/previous-later')), 'not not',
	'X1, I17: former values do not bypass a new transform');
sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('before'); SELECT webhook.delete_integration('shaped')");

# I9: an old key is reported once

sql("UPDATE webhook.integration SET api_key_created_at = now() - interval '400 days'");
$node->restart;
becomes("SELECT count(*) FROM webhook.notification WHERE kind = 'api_key_age' AND message LIKE '%crm%'",
	1, 'I9: an old API key is reported');
$node->restart;
sql("INSERT INTO guest (id, profile) VALUES (40, 'p')");
arrived('/plain');
is(sql("SELECT count(*) FROM webhook.notification WHERE kind = 'api_key_age'"), 1, 'I9: only once');

$node->stop;
done_testing();
