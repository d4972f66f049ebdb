# Batches: many messages in one request, in order, and what happens to them when the receiver refuses some.
#
# Mission: X5 W3 W4 W5 W6 W7 M7 M9; the catalogue of formats with real libraries is in app_conformance.pl.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes let_pass kill_worker end_test);

my $node = WebhookTest::start_node('batches', 'restart_after_crash = on');
my $receiver = WebhookTest::Receiver->start;

# Messages of each request for a path that was answered like this, as arrays; "?" for a body that is not an array.
sub batches
{
	my ($path) = @_;

	return map { my $body = decode_json($_->{body}); ref($body) eq 'ARRAY' ? $body : ['?'] }
	  grep { $_->{method} ne 'OPTIONS' } $receiver->requests($path);
}

# The numbers in those, like "1-3 4": one word per request; numbers that follow each other as a range.
sub shown
{
	my ($path) = @_;

	return join(' ', map {
			my $shown = join(',', map { $_->{result}{n} } @$_);
			$shown =~ s/^(\d+)(,\d+)*,(\d+)$/$3 - $1 == @$_ - 1 ? "$1-$3" : $shown/e;
			$shown
	} batches($path));
}

sub create
{
	my ($path, %more) = @_;

	return $receiver->webhook($path, event => "'item.*'", batch_size => 10, retry_schedule => "'{1 min,1 min}'", max_in_flight => 1, %more);
}

# Insert items with these numbers, in one transaction, in this many groups.
sub insert
{
	my ($from, $to, $groups) = @_;

	sql("INSERT INTO item SELECT n, n % $groups, 'x' FROM generate_series($from, $to) n");
	return;
}

sub with_dispatch_off
{
	my ($code) = @_;

	sql("ALTER SYSTEM SET webhook.dispatch = off");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('webhook.dispatch') = 'off'");
	$code->();
	sql('ALTER SYSTEM RESET webhook.dispatch');
	$node->reload;
	return;
}

sql(q{
	CREATE TABLE item (n integer PRIMARY KEY, "group" integer NOT NULL, v text);
	SELECT webhook.watch('item', 'item', id => '"group"');
});

# X5: all that is ready is sent together, up to the size; in the order of the log for each entity, and for all with strict order

my %webhook = map { $_ => create("/$_", ordering => "'$_'") } qw(entity strict none);
with_dispatch_off(sub { insert(1, 35, 5) });
WebhookTest::wait_until_delivered($node);
foreach my $ordering (qw(entity strict none))
{
	my @batches = batches("/$ordering");
	my @all = map { @$_ } @batches;
	my (%last, @wrong);

	foreach my $message (@all)
	{
		push @wrong, $message->{result}{n} if $message->{result}{n} < ($last{ $message->{entity_id} } // 0);
		$last{ $message->{entity_id} } = $message->{result}{n};
	}
	is(join(',', sort { $a <=> $b } map { $_->{result}{n} } @all), join(',', 1 .. 35), "X5: $ordering: each message once");
	is("@wrong", '', "X5, W3: $ordering: in order for each entity");
	ok((grep { @$_ > 1 } @batches) && !(grep { @$_ > 10 } @batches), "X5: $ordering: many in a request, 10 at most");
}
is(shown('/strict'), '1-10 11-20 21-30 31-35', 'X5, W3: strict order');
my ($request) = $receiver->requests('/strict');
my $members = decode_json($request->{body});
like($request->{body}, qr/^\[\{"id":"[-0-9a-f]{36}","entity_id":1,/, 'X5: the id comes first');
like($request->{headers}{'webhook-id'}, qr/^[-0-9a-f]{36}$/, 'X5, I10: the batch has an id');
ok(!(grep { $_->{id} eq $request->{headers}{'webhook-id'} } @$members), 'X5: which is none of its messages');
becomes("SELECT delivered, attempts FROM webhook.stat_webhooks WHERE webhook_id = $webhook{strict}", '35|4',
	'X5, M5: messages and requests are counted');
is(sql("SELECT attempt, status, event, messages FROM webhook.get_webhook_log($webhook{strict}) ORDER BY attempted_at LIMIT 1"),
	'1|200|item.create|10', 'X5, M3: in the log');

# X5: a batch of one is an array, too, with the id of its message

sql("INSERT INTO item VALUES (100, 0, 'x')");
WebhookTest::wait_until_delivered($node);
my $single = ($receiver->requests('/strict'))[-1];
is(scalar(@{ decode_json($single->{body}) }), 1, 'X5: a batch of one');
is(decode_json($single->{body})->[0]{id}, $single->{headers}{'webhook-id'}, 'X5: the message id');
sql("SELECT webhook.test_webhook($webhook{strict})");
WebhookTest::wait_until_delivered($node);
my $test = decode_json(($receiver->requests('/strict'))[-1]{body});
is("$#$test $test->[0]{action_type}", '0 test', 'E6: a test is a batch of one');

# X5, W4: of a batch that fails as a whole, the first message for each key is tried again before the others

$receiver->behave('/strict', status => 503, times => 1);
with_dispatch_off(sub { insert(201, 210, 3) });
becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $webhook{strict} AND state = 'retrying'", 1, 'W4: one delivery is due again');
is(sql("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $webhook{strict}"), 10, 'W4: the rest of the batch waits for it');
insert(211, 215, 3);
let_pass(90);
WebhookTest::wait_until_delivered($node);
my @strict = grep { /"n":2\d\d/ } $receiver->bodies('/strict');
is(join(' ', map { my $b = decode_json($_); scalar(@$b) . ':' . $b->[0]{result}{n} } @strict[0, 1]), '10:201 1:201',
	'W4: what failed is tried first');
is(join(',', map { $_->{result}{n} } map { @{ decode_json($_) } } @strict[1 .. $#strict]), join(',', 201 .. 215), 'X5, W3: then the rest, in order');
ok(@strict <= 5, 'X5: what was held up is sent in batches') or diag(shown('/strict'));

# X5: one bad message does not hold up the others

sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('app')");
my $refused = create('/refused', ordering => "'none'", batch_size => 64);
$receiver->behave('/refused', refuse => '"n":330,', status => 422);
with_dispatch_off(sub { insert(301, 364, 64) });
becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $refused AND state = 'retrying'", 1, 'X5: the bad message alone is retried');
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $refused", 63, 'X5: the others are delivered');
is(sql("SELECT attempts FROM webhook.delivery WHERE webhook_id = $refused"), 1, 'X5: the search costs it no attempt');
ok($receiver->count('/refused') <= 20, 'X5: it is found by halves') or diag(shown('/refused'));
$receiver->behave('/refused');
let_pass(90);
WebhookTest::wait_until_delivered($node);
is(join(',', map { $_->{result}{n} } @{ decode_json(($receiver->requests('/refused'))[-1]{body}) }), '330', 'X5, W4: it is delivered in the end');

# X5: the same with order, where it holds up its own entity

my $ordered = create('/ordered', batch_size => 20);
$receiver->behave('/ordered', refuse => '"n":405,');
with_dispatch_off(sub { insert(401, 420, 4) });
becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $ordered", 4, 'X5, W3: it and what follows it wait');
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $ordered", 16, 'X5: the others are delivered');
$receiver->behave('/ordered');
let_pass(90);
WebhookTest::wait_until_delivered($node);
my (%good, @late);
foreach my $message (map { @$_ } batches('/ordered'))
{
	$good{ $message->{entity_id} } = $message->{result}{n};
}
is(join(' ', map { "$_:$good{$_}" } sort keys %good), '0:420 1:417 2:418 3:419', 'W3: each entity ends with its last message');

# X5: too large a batch is halved, for the messages that follow as well

my $small = create('/small', ordering => "'none'", batch_size => 100);
$receiver->behave('/small', max_body => 2500);
with_dispatch_off(sub { insert(501, 600, 100) });
WebhookTest::wait_until_delivered($node);
my @small = map { scalar(@$_) } batches('/small');
my @answers = split(/,/, sql("SELECT string_agg(status::text, ',' ORDER BY attempted_at) FROM webhook.get_webhook_log($small)"));
ok($small[0] > $small[-2], 'X5: batches become smaller') or diag("@small");
becomes("SELECT delivered, failed FROM webhook.stat_webhooks WHERE webhook_id = $small", '100|0', 'X5: nothing fails');
ok(@small < 20, 'X5: the size is remembered') or diag("@small");
becomes("SELECT failing_since IS NULL FROM webhook.stat_webhooks WHERE webhook_id = $small", 't', 'X5, M6: the receiver is not to blame');

# X5: no larger than webhook.max_payload_size

sql("SELECT webhook.delete_webhook_by_id($small)");
my $bytes = create('/bytes', ordering => "'strict'", batch_size => 100);
sql("ALTER SYSTEM SET webhook.max_payload_size = '64kB'");
$node->reload;
with_dispatch_off(sub { sql("INSERT INTO item SELECT n, n, repeat('y', 20000) FROM generate_series(701, 708) n") });
WebhookTest::wait_until_delivered($node);
is(shown('/bytes'), '701-703 704-706 707-708', 'X5: limited by size');
sql('ALTER SYSTEM RESET webhook.max_payload_size');
$node->reload;

# X5: batch_wait, by the clock

sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('app')");
my $waiting = create('/waiting', batch_size => 4, batch_wait => "'30 s'");
my $at_once = create('/at-once');
sql('INSERT INTO item VALUES (801, 1), (802, 2)');
sql('INSERT INTO item VALUES (803, 1)');
$receiver->wait_for(sub { join(',', sort map { $_->{result}{n} } map { @$_ } batches('/at-once')) eq '801,802,803' });
is($receiver->count('/waiting'), 0, 'X5: the first waits for others');
sql('INSERT INTO item VALUES (804, 2)');
$receiver->wait_for_count(1, '/waiting');
is(shown('/waiting'), '801-804', 'X5: until there are enough');
sql('INSERT INTO item VALUES (805, 1), (806, 2)');
$receiver->wait_for(sub { scalar(map { @$_ } batches('/at-once')) == 6 });
is($receiver->count('/waiting'), 1, 'X5: the next ones wait as well');
becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $waiting", 2, 'X5, R1: what waits for long is stored');
sql("SELECT webhook.test_webhook($waiting)");
$receiver->wait_for_count(2, '/waiting');
is((batches('/waiting'))[1][0]{action_type}, 'test', 'X5, E6: a test does not wait');
let_pass(60);
$receiver->wait_for_count(3, '/waiting');
is(join(',', map { $_->{result}{n} } @{ (batches('/waiting'))[2] }), '805,806', 'X5: no longer than batch_wait');
becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $waiting", 0, 'X5: nothing remains');
sql('INSERT INTO item VALUES (807, 1), (808, 1)');
becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $waiting", 2, 'X5, R1: stored again');
kill_worker();
$receiver->wait_for_count(4, '/waiting');
is(join(',', map { $_->{result}{n} } @{ (batches('/waiting'))[3] }), '807,808', 'X5, R1: after a crash they do not wait once more');

# X5: a limit on requests per second is one on requests

my $limited = create('/limited', batch_size => 50, rate_limit => 1, ordering => "'none'");
with_dispatch_off(sub { insert(901, 1000, 100) });
$receiver->wait_for_count(1, '/limited');
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $limited", 100, 'X5, W5: all of them');
ok($receiver->count('/limited') <= 4, 'X5: in a few requests');
sql("SELECT webhook.delete_webhook_by_id($_)") foreach ($limited, $waiting, $at_once);

# X5, I17: a transform changes messages, or drops them; also those that must follow another one

sql(q{
	CREATE FUNCTION even(jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
		AS $$ SELECT CASE WHEN ($1->>'n')::int % 2 = 0 THEN $1 || '{"even": true}' END $$;
});
my $transformed = create('/transformed', ordering => "'strict'", transform => "'even(jsonb)'");
with_dispatch_off(sub { insert(1101, 1120, 4) });
WebhookTest::wait_until_delivered($node);
is(join(',', map { "$_->{result}{n}$_->{result}{even}" } map { @$_ } batches('/transformed')), join(',', map { 2 * $_ . '1' } 551 .. 560),
	'X5, I17: in order');
ok($receiver->count('/transformed') < 6, 'X5: together') or diag(shown('/transformed'));
becomes("SELECT delivered, dropped FROM webhook.stat_webhooks WHERE webhook_id = $transformed", '10|10', 'I17: the others are dropped');

# M7, M9, W5: a receiver that fails, is deactivated, and gets its buffer in batches

my $failing = create('/failing', ordering => "'strict'", retry_schedule => "'{0,0,0,0,0,1 min}'", batch_size => 20);
$receiver->behave('/failing', status => 500);
with_dispatch_off(sub { insert(1201, 1250, 5) });
becomes("SELECT failing_since IS NOT NULL FROM webhook.stat_webhooks WHERE webhook_id = $failing", 't', 'W5: it is failing');
sql("SELECT webhook.deactivate_webhook($failing, buffer_events => true)");
becomes("SELECT buffered FROM webhook.stat_webhooks WHERE webhook_id = $failing", 50, 'M9: all is kept');
$receiver->behave('/failing');
my $before = $receiver->count('/failing');
sql("SELECT webhook.activate_webhook($failing, replay_events => true)");
WebhookTest::wait_until_delivered($node);
my @replayed = (batches('/failing'))[$before .. $receiver->count('/failing') - 1];
is(join(',', map { $_->{result}{n} } map { @$_ } @replayed), join(',', 1201 .. 1250), 'X5, M9: replayed in order');
ok(@replayed < 10, 'X5, M9: in batches') or diag(shown('/failing'));

# R1: after a crash a batch with the same id has the same members

my $crashing = create('/crashing', ordering => "'entity'", max_in_flight => 3);
$receiver->behave('/crashing', hold => 1);
with_dispatch_off(sub { insert(1301, 1330, 30) });
$receiver->wait_for_count(3, '/crashing');
kill_worker();
$receiver->behave('/crashing');
WebhookTest::wait_until_delivered($node);
my (%ids, %arrived);
foreach my $crashed ($receiver->requests('/crashing'))
{
	my @numbers = map { $_->{result}{n} } @{ decode_json($crashed->{body}) };
	$ids{ $crashed->{headers}{'webhook-id'} }{"@numbers"} = 1;
	$arrived{$_}++ foreach @numbers;
}
is(join(',', sort keys %arrived), join(',', 1301 .. 1330), 'R1: nothing is lost');
is(scalar(grep { keys %$_ > 1 } values %ids), 0, 'R1: an id stands for the same messages');

# R6: bad input

WebhookTest::fails_with($node, "SELECT webhook.create_webhook('a', 'item.create', 'https://example.com', batch_size => $_)", '22023',
	'argument "batch_size"', "R6: batch_size $_") foreach (0, -1, 10001);
WebhookTest::fails_with($node, "SELECT webhook.create_webhook('a', 'item.create', 'https://example.com', batch_size => 2, batch_wait => '$_')",
	'22023', 'argument "batch_wait"', "R6: batch_wait $_") foreach ('-1 s', '1 day', '1 month');
WebhookTest::fails_with($node, "SELECT webhook.create_webhook('a', 'item.create', 'https://example.com', batch_wait => '1 s')", '22023',
	'requires "batch_size"', 'R6: batch_wait alone');
WebhookTest::fails_with($node, "SELECT webhook.create_webhook('a', 'item.create', 'https://example.com', batch_size => 2, format => '$_')",
	'22023', 'does not support batches', "R6: batches of format $_") foreach qw(rest cloudevents-binary);
WebhookTest::fails_with($node, "SELECT webhook.create_webhook('a', 'item.create', 'https://example.com', batch_size => 2, method => 'GET')",
	'22023', 'do not support batches', 'R6: batches by GET');
WebhookTest::fails_with($node, "SELECT webhook.create_webhook('a', 'item.create', 'https://example.com/{entity_id}', batch_size => 2)",
	'22023', 'values of one message', 'R6: a URL with placeholders');
WebhookTest::fails_with($node, qq{SELECT webhook.update_webhook($crashing, '{"format": "rest"}')}, '22023', 'does not support batches',
	'R6: nor can the format be changed');
is(sql(qq{SELECT webhook.update_webhook($crashing, '{"batch_size": 7, "batch_wait": "2 s"}');
	SELECT batch_size, batch_wait FROM webhook.get_webhooks('app') WHERE id = $crashing}), "\n7|00:00:02", 'I12: changed');
sql(qq{SELECT webhook.update_webhook($crashing, '{"batch_size": null, "batch_wait": null}')});
insert(1401, 1402, 2);
WebhookTest::wait_until_delivered($node);
is(ref(decode_json(($receiver->requests('/crashing'))[-1]{body})), 'HASH', 'X5: and back to single messages');

end_test($receiver);
done_testing();
