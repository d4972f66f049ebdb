# Order, rates, connections and isolation, with failing receivers and a worker that is killed.
#
# Mission: W2 W3 W5 W10; goals: P8 as a functional check.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WebhookTest qw(sql becomes let_pass kill_worker worker_memory end_test);

my $node = WebhookTest::start_node('limits', 'restart_after_crash = on', 'max_worker_processes = 20');
my $receiver = WebhookTest::Receiver->start;

sub create
{
	my ($path, %more) = @_;

	return $receiver->webhook($path, event => "'guest.*'", %more);
}

sql(q{
	CREATE TABLE guest (id integer PRIMARY KEY, n integer NOT NULL);
	INSERT INTO guest SELECT i, 0 FROM generate_series(1, 5) i;
	SELECT webhook.watch('guest', 'guest');
});

# W3: entity, strict and none; five sessions, each of which counts up its own guest, while the receiver fails from time to time

sub count_up
{
	my ($from, $to) = @_;
	my @sessions;

	foreach my $guest (1 .. 5)
	{
		my $script = join('', map { "UPDATE guest SET n = $_ WHERE id = $guest;\n" } $from .. $to);
		push @sessions, IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$script,
			IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	}
	$_->finish foreach @sessions;
	return;
}

# Guests' numbers that did not follow their predecessor, by the first success of each message; what was
# delivered twice counts once.
sub out_of_order
{
	my ($requests, $strict) = @_;
	my (%last, %seen, @wrong);

	foreach my $request (@$requests)
	{
		next if $seen{ $request->{headers}{'webhook-id'} }++;
		my $guest = decode_json($request->{body})->{result};
		push @wrong, "$guest->{id}:$guest->{n}" if ($last{ $guest->{id} } // 0) + 1 != $guest->{n};
		$last{ $guest->{id} } = $guest->{n};
	}
	return "@wrong";
}

my $schedule = "ARRAY['0', '1 min', '1 min', '1 min', '1 min', '1 min', '1 min', '1 min', '1 min', '1 min']::interval[]";
my %webhook = map { $_ => create("/$_", ordering => "'$_'", retry_schedule => $schedule) } qw(entity strict none);

count_up(1, 20);
foreach my $path (qw(entity strict none))
{
	$receiver->behave("/$path", status => 500, times => 2);
}
count_up(21, 40);
let_pass(90);
kill_worker();
$receiver->behave("/$_", status => 503) foreach qw(entity strict none);
count_up(41, 60);
becomes("SELECT count(*) FROM webhook.get_webhooks('app') WHERE failing_since IS NOT NULL", 3, 'W5: all three are failing');
$node->restart;
count_up(61, 70);
$receiver->behave("/$_") foreach qw(entity strict none);
let_pass(90);
count_up(71, 80);
for my $step (1 .. 5)
{
	let_pass(90);
}
WebhookTest::wait_until_delivered($node);

foreach my $path (qw(entity strict none))
{
	my %ids = map { $_->{headers}{'webhook-id'} => 1 } $receiver->requests("/$path");

	is(scalar(keys %ids), 400, "W2: $path: everything has arrived");
}
is(out_of_order([ $receiver->requests('/entity') ]), '', 'W3: entity: in order for each guest');
is(out_of_order([ $receiver->requests('/strict') ]), '', 'W3: strict: in order for each guest');

# A replay comes before newer messages of the same guest
sql("SELECT webhook.deactivate_webhook($webhook{entity}, buffer_events => true)");
count_up(81, 120);
becomes("SELECT buffered FROM webhook.get_webhooks('app') WHERE id = $webhook{entity}", 200, 'M9: buffered');
$receiver->behave('/entity', status => 500, times => 1);
is(sql("SELECT webhook.activate_webhook($webhook{entity}, replay_events => true)"), 200, 'W11: all buffered messages will be sent');
count_up(121, 140);
let_pass(90);
WebhookTest::wait_until_delivered($node);
is(out_of_order([ $receiver->requests('/entity') ]), '', 'W3, W11: buffered messages are sent first');
end_test($receiver);

# Strict means one at a time, in the order in which messages were written.

create('/one', ordering => "'strict'");
$receiver->behave('/one', hold => 1);
sql("INSERT INTO guest SELECT i, i FROM generate_series(1001, 1020) i");
ok($receiver->wait_for_count(1, '/one'), 'W3: strict: the first one is in flight');
becomes("SELECT sum(in_flight) FROM webhook.stat_workers", 1, 'W3: strict: no other one is');
$receiver->behave('/one');
WebhookTest::wait_until_delivered($node);
is( join(' ', map { decode_json($_->{body})->{entity_id} } $receiver->requests('/one')),
	join(' ', 1001 .. 1020),
	'W3: strict: in order');
end_test($receiver);

# W10: max_in_flight and webhook.max_connections

sub in_flight_becomes
{
	my ($expected, $test_name) = @_;

	becomes("SELECT sum(in_flight) FROM webhook.stat_workers", $expected, $test_name);
	return;
}

create('/few', ordering => "'none'", max_in_flight => 3, timeout => "'1 min'");
$receiver->behave('/few', hold => 1);
sql("INSERT INTO guest SELECT i, i FROM generate_series(2001, 2050) i");
ok($receiver->wait_for_count(3, '/few'), 'W10: three are in flight');
becomes("SELECT count(*) FROM webhook.undelivered WHERE state <> 'pending'", 50, 'W5: messages for a slow receiver are stored, and the position moves on');
is($receiver->count('/few'), 3, 'W10: not more than max_in_flight');
$receiver->behave('/few', delay => 20);
WebhookTest::wait_until_delivered($node);
is(scalar($receiver->requests('/few')), 50, 'W10: then all of them are sent');
end_test($receiver);

sql("ALTER SYSTEM SET webhook.max_connections = 6");
$node->reload;
my @many = map { create("/many$_", ordering => "'none'", timeout => "'1 min'") } 1 .. 5;
$receiver->behave("*", hold => 1);
sql("INSERT INTO guest SELECT i, i FROM generate_series(3001, 3020) i");
ok($receiver->wait_for_count(3), 'W10: some are in flight');
becomes("SELECT count(*) FROM webhook.undelivered WHERE state <> 'pending'", 100, 'W5: all others are stored');
cmp_ok($receiver->count, '<=', 6, 'W10: not more than webhook.max_connections');
$receiver->behave("*");
WebhookTest::wait_until_delivered($node);
sql("ALTER SYSTEM RESET webhook.max_connections");
$node->reload;
end_test($receiver);

# W10: a rate limit, as the receiver observes it, also when the worker is killed in between

create('/rate', ordering => "'none'", rate_limit => 40);
sql("INSERT INTO guest SELECT i, i FROM generate_series(4001, 4100) i");
ok($receiver->wait_for_count(40, '/rate'), 'W10: requests arrive with a rate limit');
kill_worker();
ok($receiver->wait_for_count(100, '/rate'), 'W10: also after kill -9');
my @requests = $receiver->requests('/rate');
cmp_ok(WebhookTest::most_in_a_second(@requests), '<=', 40, 'W10: the rate is not exceeded in any second');
cmp_ok($requests[-1]{time} - $requests[0]{time}, '<', 30, 'W10: but is nearly reached');
WebhookTest::wait_until_delivered($node);
end_test($receiver);

# W5, P8: receivers that hang or are down do not delay those that work

my $dead = WebhookTest::Receiver->start;
my $dead_url = $dead->url('/');
$dead->stop;
create('/well', ordering => "'none'");
create("/hang$_") foreach 1 .. 3;
WebhookTest::create_webhook($node, app => "'app'", event => "'guest.*'", url => "'$dead_url'");
$receiver->behave("/hang$_", hang => 'before') foreach 1 .. 3;

my ($slowest, $sent) = (0, 0);
foreach my $round (1 .. 20)
{
	my $first = 10000 + $round * 1000;

	sql("INSERT INTO guest SELECT i, i FROM generate_series($first, $first + 199) i");
	$sent += 200;
	my $start = time;
	ok(0, 'P8: the healthy one is served') unless $receiver->wait_for_count($sent, '/well');
	my $took = time - $start;
	$slowest = $took if $took > $slowest;
}
is($receiver->count('/well'), 4000, 'W5: a healthy receiver gets everything');
cmp_ok($slowest, '<', 15, 'P8: and promptly, although others hang or are down');
becomes("SELECT count(*) FROM webhook.outbox_unread()", 0, 'W5: the position of the outbox moves on while receivers hang');
my $before = worker_memory();
sql("INSERT INTO guest SELECT i, i FROM generate_series(100001, 110000) i");
ok($receiver->wait_for_count(14000, '/well'), 'W5: ten thousand more arrive');
becomes("SELECT count(*) FROM webhook.outbox_unread()", 0, 'W5: and the position moves on');
SKIP:
{
	skip 'the memory of a process cannot be told here', 1 unless defined $before;
	my $after = worker_memory();
	cmp_ok($after - $before, '<', 32 * 1024, "W5: memory does not grow with the backlog: $before kB, $after kB");
}
is(sql("SELECT count(*) FROM webhook.undelivered WHERE state <> 'failed'"), 4 * 14000, 'W5: messages for the others are stored');
end_test($receiver);

# W5: when hanging receivers have all the connections that they may have, a new one still gets its first request

foreach my $n (1 .. 6)
{
	create("/stuck$n", app => "'stuck'", ordering => "'none'", timeout => "'60 s'");
	$receiver->behave("/stuck$n", hang => 'before');
}
sql('INSERT INTO guest SELECT i, i FROM generate_series(200001, 200040) i');
ok($receiver->wait_for_count(100), 'W5: hanging receivers have half of the connections');
create('/new');
sql('INSERT INTO guest VALUES (300001, 0)');
ok($receiver->wait_for_count(1, '/new'), 'W5: a new one gets its message');
is(sql("SELECT sum(attempts) FROM webhook.stat_webhooks s JOIN webhook.get_webhooks() w ON w.id = s.webhook_id WHERE w.app = 'stuck'"), 0,
	'W5: while all of theirs are in flight');
end_test($receiver);

# W5: ... and the next one gets its first as soon as one of them ends, although the others still hang

sql("ALTER SYSTEM SET webhook.max_connections = 8");
$node->restart;
sub create_for { return create("/$_[0]", event => "'$_[0]'", ordering => "'none'", timeout => "'5 min'", @_[ 1 .. $#_ ]); }
sub emit_for { return sql("SELECT count(webhook.emit('$_[0]', jsonb_build_object('n', n))) FROM generate_series(1, $_[1]) n"); }

create_for($_) foreach qw(half first1 first2 next);
$receiver->behave("/$_", hold => 1) foreach qw(half first1 first2);
emit_for('half', 4);
in_flight_becomes(4, 'W5: half of the connections are in use');
emit_for($_, 1) foreach qw(first1 first2);
in_flight_becomes(6, 'W5: another quarter is for first requests');
emit_for('next', 1);
becomes("SELECT count(*) FROM webhook.undelivered WHERE event = 'next' AND state <> 'pending'", 1, 'W5: the next one has to wait');
$receiver->behave('/first1');
ok($receiver->wait_for_count(1, '/next'), 'W5: it gets its request when one of them has ended');
end_test();

# W5: messages for hundreds of hanging receivers do not keep retries and backlogs of others from being read

my $good = create_for('good', retry_schedule => "'{0,1h,1h,1h}'");
$receiver->behave('/good', status => 500, times => 1);
emit_for('good', 1);
becomes("SELECT count(*) FROM webhook.undelivered WHERE webhook_id = $good AND state = 'retrying'", 1, 'W4: one message must be retried');
emit_for('good', 1);
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $good", 1, 'W5: its webhook works');
sql("SELECT count(webhook.create_webhook('hang', 'hang', '" . $receiver->url('/hang') . "', ordering => 'none', timeout => '5 min')) FROM generate_series(1, 300)");
$receiver->behave('/hang', hold => 1);
emit_for('hang', 22);
becomes("SELECT count(*) FROM webhook.delivery", 22 * 300 + 1, 'W5: messages for the others are stored');
foreach my $n (2 .. 4)
{
	emit_for('good', 1);
	becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $good", $n, 'W5: new messages are sent');
}
let_pass(5000);
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $good", 5, 'W5: and so is the one to be retried');
sql("SELECT webhook.deactivate_webhook($good, buffer_events => true)");
emit_for('good', 1000);
becomes("SELECT webhook.buffered($good)", 1000, 'M9: buffered');
sql("SELECT webhook.activate_webhook($good, replay_events => true)");
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $good", 1005, 'W5: and a backlog in the table');
end_test();

$node->stop;
$receiver->stop;
done_testing();
