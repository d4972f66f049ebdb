# Replay: messages of the history are sent to one webhook again, in order with what happens meanwhile.
#
# WEBHOOK_BACKFILL_ROUNDS is the number of rounds in which a process is killed in the middle.
#
# Mission: X4.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest qw(sql becomes let_pass end_test);

my $rounds = $ENV{WEBHOOK_BACKFILL_ROUNDS} || 2;
my $node = WebhookTest::start_node('replay', 'restart_after_crash = on', 'max_worker_processes = 20', 'log_statement = none');
my $receiver = WebhookTest::Receiver->start;
my $all = q{since => '-infinity'};

sub replay
{
	my ($webhook, $arguments) = @_;

	return sql("SELECT webhook.replay($webhook, " . ($arguments // $all) . ')');
}

sub latest_job
{
	return sql('SELECT max(job) FROM webhook.stat_progress_backfill WHERE relation IS NULL');
}

sub phase_becomes
{
	my ($job, $phase, $test_name) = @_;

	becomes("SELECT phase FROM webhook.stat_progress_backfill WHERE job = $job", $phase, $test_name);
	return;
}

# Requests of a path without repeats, in the order of their arrival.
sub messages
{
	my ($path, $replayed) = @_;
	my %seen;

	return map { decode_json($_->{body}) }
	  grep { !$seen{ $_->{headers}{'webhook-id'} . ($_->{headers}{'webhook-replay'} // '') }++ }
	  grep { !defined $replayed || $replayed eq ($_->{headers}{'webhook-replay'} // '') } $receiver->requests($path);
}

sub entities
{
	my ($path, $replayed) = @_;

	return join(' ', map { "$_->{entity_id}:" . ($_->{result}{n} // '-') } messages($path, $replayed));
}

# Replay and wait until that has ended; returns what replay() did.
sub replayed
{
	my ($webhook, $arguments, $test_name) = @_;
	my $count = replay($webhook, $arguments);

	phase_becomes(latest_job(), 'finished', $test_name);
	WebhookTest::wait_until_delivered($node);
	return $count;
}

sql(q{
	CREATE TABLE guest (id integer PRIMARY KEY, n integer, note text);
	SELECT webhook.watch('guest', 'guest');
	CREATE ROLE seller; CREATE ROLE other; GRANT USAGE ON SCHEMA webhook TO seller, other;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO seller, other;
	GRANT SELECT (id, n) ON guest TO seller;
});
my $first = $receiver->webhook('/first', event => "'guest.*,thing.*'", ordering => "'strict'");

# ---------- what is refused ----------

WebhookTest::fails_with($node, "SELECT webhook.replay($first, now() - interval '1 hour')", '55000', 'no history is kept\nHINT:  \w', 'X4: without a history');
sql(q{ALTER SYSTEM SET webhook.history_retention = '7 d'});
$node->reload;
becomes('SHOW webhook.history_retention', '7d', 'a history is kept');
foreach (
	[ "999, now()", 'P0002', 'webhook with id 999 does not exist' ],
	[ "NULL, now()", '22004', 'argument "webhook_id" must not be null' ],
	[ "$first, NULL", '22004', 'argument "since" must not be null' ],
	[ "$first, now() + interval '1 hour'", '22023', 'invalid value for argument "since": it is in the future' ],
	[ "$first, 'infinity'", '22023', 'invalid value for argument "since": it is in the future' ],
	[ "$first, now() - interval '1 hour', '-infinity'", '22023', 'invalid value for argument "until": it is not after "since"' ],
	[ "$first, now() - interval '1 hour', now() - interval '2 hours'", '22023', 'invalid value for argument "until": it is not after "since"' ],
	[ "$first, '-infinity', event => 'no name'", '42602', 'invalid value for argument "event"' ])
{
	my ($arguments, $sqlstate, $message) = @$_;

	WebhookTest::fails_with($node, "SELECT webhook.replay($arguments)", $sqlstate, quotemeta($message) . '.*\n(?:DETAIL:  .*\n)?HINT:  \w', "X4: replay($arguments)");
}
WebhookTest::fails_with($node, "SET SESSION AUTHORIZATION other; SELECT webhook.replay($first, $all)", 'P0002', 'does not exist', 'X4: a foreign webhook');
is(replay($first), 0, 'X4: nothing to replay');
is(sql('SELECT count(*) FROM webhook.stat_progress_backfill'), 0, 'X4: and no job for it');

# ---------- what is sent ----------

sql(q{
	SET webhook.context = '{"user": 7}';
	INSERT INTO guest SELECT i, 0 FROM generate_series(1, 20) AS i;
	UPDATE guest SET n = 1 WHERE id <= 3;
	DELETE FROM guest WHERE id = 2;
});
my $middle = sql('SELECT clock_timestamp()');
sql(q{SELECT webhook.emit('thing.done', '{"n": 5}', 'a')});
WebhookTest::wait_until_delivered($node);
is(replayed($first, undef, 'X4: a replay ends'), 25, 'X4: it returns the number of messages');
is(entities('/first', 'replay'), entities('/first', ''), 'X4: all that was sent, in the same order, with a header');
is_deeply([ map { $_->{headers}{'webhook-id'} } grep { $_->{headers}{'webhook-replay'} } $receiver->requests('/first') ],
	[ map { $_->{headers}{'webhook-id'} } grep { !$_->{headers}{'webhook-replay'} } $receiver->requests('/first') ], 'X4: with the same ids');
is_deeply([ map { $_->{headers}{'webhook-context'} } grep { $_->{headers}{'webhook-replay'} } $receiver->requests('/first') ],
	[ map { $_->{headers}{'webhook-context'} } grep { !$_->{headers}{'webhook-replay'} } $receiver->requests('/first') ], 'X4: and the context of the change');
like((grep { $_->{headers}{'webhook-replay'} } $receiver->requests('/first'))[0]->{headers}{'webhook-context'}, qr/user/, 'which there was');
is(sql('SELECT relation, phase, rows_estimated, rows_sent, finished_at IS NOT NULL FROM webhook.stat_progress_backfill'), '|finished|25|25|t',
	'X4: the progress view');
is(sql('SELECT count(*) FROM webhook.delivery'), 0, 'X4: nothing is left behind');

my $second = $receiver->webhook('/second', event => "'guest.*'", filter => q{'{"n": 1}'});
is(replayed($second, undef, 'X4: a replay to a new webhook ends'), 4, 'X4: to a webhook that was created later, by its filter');
is(join(' ', sort(split(/ /, entities('/second', 'replay')))), '1:1 2:- 2:1 3:1', 'X4: these are what it would have been sent') or diag(entities('/second'));
$receiver->reset;
is(replayed($first, "$all, event => 'guest.delete,thing.*'", 'X4: a replay of some trigger names'), 2, 'X4: trigger names');
is(entities('/first'), '2:- a:5', 'X4: messages of these');
$receiver->reset;
is(replayed($first, "$all, entity_id => '3'", 'X4: a replay of an entity'), 2, 'X4: an entity');
is(entities('/first'), '3:0 3:1', 'X4: messages of that');
$receiver->reset;
is(replayed($first, "'-infinity', until => '$middle'", 'X4: a replay up to a time'), 24, 'X4: up to a time');
is(replayed($first, "'$middle'", 'X4: a replay from a time on'), 1, 'X4: from a time on');
sql(q{SELECT webhook.emit('thing.done', '{"n": 6}', repeat('x', 5000))});
WebhookTest::wait_until_delivered($node);
is(replayed($first, "$all, entity_id => repeat('x', 5000)", 'X4: a replay of an entity with a long id'), 1, 'X4: ids may be long');
is(sql(q{SELECT count(*) FROM webhook.message_history WHERE entity_id = repeat('x', 5000)}), 1, 'X4: and it is found');
my $as_seller = 'SET SESSION AUTHORIZATION seller;';
my $sellers = sql($as_seller, "SELECT webhook.create_webhook('app', 'guest.*', '" . $receiver->url('/seller') . "')");
sql(q{UPDATE guest SET note = 'secret' WHERE id = 4});
my $count = sql($as_seller, "SELECT webhook.replay($sellers, $all)");
phase_becomes(latest_job(), 'finished', 'X4: a replay of a role that may read some columns');
WebhookTest::wait_until_delivered($node);
is($count, scalar(grep { $_->{entity_type} eq 'guest' } messages('/seller', 'replay')), 'X4: is complete');
unlike(join('', $receiver->bodies('/seller')), qr/note/, 'X4: without the others');

# What a replay sends, and even how many messages there are, says nothing about what the role may not read.
my $gone = $receiver->webhook('/gone', event => "'gone.*'");
sql($_) foreach 'CREATE TABLE gone (id integer PRIMARY KEY)', q{SELECT webhook.watch('gone', 'gone')}, 'INSERT INTO gone VALUES (1)', 'DROP TABLE gone';
WebhookTest::wait_until_delivered($node);
is(replayed($gone, $all, 'X4: a replay of a dropped table ends'), 1, 'X4: it sends what was for the webhook');
foreach ([ q{'guest.update'}, q{'{"note": "secret"}'}, 'a filter over a hidden column' ], [ q{'gone.*'}, 'NULL', 'a table that does not exist any more' ])
{
	my ($events, $filter, $what) = @$_;
	my $nosy = sql($as_seller, "SELECT webhook.create_webhook('nosy', $events, '" . $receiver->url('/nosy') . "', filter => $filter)");

	is(sql($as_seller, "SELECT webhook.replay($nosy, $all)"), 0, "X4: nothing is found out by $what");
}
sql('ALTER TABLE guest RENAME note TO remark');
my $nosy = sql($as_seller, "SELECT webhook.create_webhook('nosy', 'guest.update', '" . $receiver->url('/nosy') . q{', filter => '{"note": "secret"}')});
is(sql($as_seller, "SELECT webhook.replay($nosy, $all)"), 0, 'X4: nor by a filter over a column that has been renamed');
sql('ALTER TABLE guest RENAME remark TO note');
sql(q{SELECT webhook.unwatch('guest')});
is(sql($as_seller, "SELECT webhook.replay($nosy, $all)"), 0, 'X4: nor when the table is not watched any more');
sql(q{SELECT webhook.watch('guest', 'guest')});
sql('REVOKE SELECT ON guest FROM seller; REVOKE SELECT (id, n) ON guest FROM seller');
$receiver->reset;
sql($as_seller, "SELECT webhook.replay($sellers, $all)");
phase_becomes(latest_job(), 'finished', 'X4: a replay of a role that may not read the table any more');
WebhookTest::wait_until_delivered($node);
is(scalar($receiver->bodies('/seller')), 0, 'X4: nothing');
my $batches = $receiver->webhook('/batches', event => "'guest.*'", batch_size => 10);
is(replayed($batches, $all, 'X4: a replay in batches'), 25, 'X4: a webhook with batches');
is(scalar(map { @{ decode_json($_) } } $receiver->bodies('/batches')), 25, 'X4: gets all messages');
cmp_ok(scalar($receiver->bodies('/batches')), '<', 25, 'X4: together');
is(scalar(grep { ($_->{headers}{'webhook-replay'} // '') ne 'replay' } $receiver->requests('/batches')), 0,
	'X4: with the header, whatever the context of each');
end_test($receiver);

# ---------- in order with what happens meanwhile ----------

# Where something is in a list, or -1.
sub place
{
	my ($wanted, @list) = @_;

	foreach my $i (0 .. $#list)
	{
		return $i if $list[$i] eq $wanted;
	}
	return -1;
}

my $webhook = $receiver->webhook('/order', event => "'guest.*'");
sql('INSERT INTO guest SELECT i, 0 FROM generate_series(101, 300) AS i');
WebhookTest::wait_until_delivered($node);
$receiver->reset;
sql("SELECT webhook.update_webhook($webhook, '{\"rate_limit\": 10}')");
is(replay($webhook, "$all, event => 'guest.create'"), 220, 'X4: a replay of 220 messages');
my $job = latest_job();
becomes("SELECT rows_sent > 0 FROM webhook.stat_progress_backfill WHERE job = $job", 't', 'X4: it has begun');
sql('UPDATE guest SET n = 1 WHERE id = 300; UPDATE guest SET n = 2 WHERE id = 300; INSERT INTO guest VALUES (301, 0)');
ok($receiver->wait_for(sub { grep { $_->{body} =~ /"entity_id":301,/ } @_ }), 'X4: a live message of another entity is sent');
is(sql("SELECT phase FROM webhook.stat_progress_backfill WHERE job = $job"), 'sending rows', 'X4: while the replay goes on');
is(scalar(grep { /"entity_id":300,/ } $receiver->bodies('/order')), 0, 'X4: one of an entity that is still to be replayed waits');
WebhookTest::kill_worker();
becomes("SELECT count(*) FROM webhook.undelivered WHERE entity_id = '300'", 2, 'X4: also when the worker starts again');
is(scalar(grep { /"entity_id":300,/ } $receiver->bodies('/order')), 0, 'X4: it does not forget that');
sql("SELECT webhook.update_webhook($webhook, '{\"rate_limit\": null}')");
phase_becomes($job, 'finished', 'X4: the replay ends');
WebhookTest::wait_until_delivered($node);
my @order = split(/ /, entities('/order'));
is(join(' ', grep { /^300:/ } @order), '300:0 300:1 300:2', 'X4: the replayed message, and then those that have waited for it');
cmp_ok(place('301:0', @order), '<', place('300:0', @order), 'the other entity did not wait');
is(scalar(@order), 220 + 3, 'X4: each once');

# Paused, cancelled, a receiver that is down.
$receiver->reset;
sql("SELECT webhook.update_webhook($webhook, '{\"rate_limit\": 1}')");
replay($webhook);
$job = latest_job();
becomes("SELECT rows_sent > 0 FROM webhook.stat_progress_backfill WHERE job = $job", 't', 'X4: another one has begun');
sql("SELECT webhook.deactivate_webhook($webhook)");
phase_becomes($job, 'paused', 'X4: a deactivated webhook pauses it');
sql("SELECT webhook.activate_webhook($webhook)");
my $before = sql("SELECT rows_sent FROM webhook.stat_progress_backfill WHERE job = $job");
let_pass(5);
becomes("SELECT rows_sent > $before FROM webhook.stat_progress_backfill WHERE job = $job", 't', 'X4: it goes on when the webhook is activated');
sql('UPDATE guest SET n = 3 WHERE id = 300');
becomes("SELECT count(*) FROM webhook.undelivered WHERE entity_id = '300'", 1, 'X4: a live message waits');
is(sql("SELECT webhook.cancel_backfill($job)"), 't', 'X4: it is cancelled');
ok($receiver->wait_for(sub { let_pass(2); grep { /"n":3/ } map { $_->{body} } @_ }), 'X4: what has waited for it is sent');
phase_becomes($job, 'cancelled', 'X4: the phase says so');
cmp_ok(scalar(grep { $_->{headers}{'webhook-replay'} } $receiver->requests('/order')), '<', 100, 'X4: nothing more is sent');
sql("SELECT webhook.update_webhook($webhook, '{\"rate_limit\": null}')");
$receiver->reset;
$receiver->behave('/order', status => 503);
replay($webhook);
$job = latest_job();
becomes("SELECT failing_since IS NOT NULL FROM webhook.get_webhooks() WHERE id = $webhook", 't', 'X4: the receiver is down');
cmp_ok(sql('SELECT count(*) FROM webhook.delivery'), '<', 100, 'X4: what is in the history is not copied');
$receiver->reset;
foreach (1 .. 100)
{
	last if sql("SELECT phase = 'finished' FROM webhook.stat_progress_backfill WHERE job = $job") eq 't';
	let_pass(60);
	usleep(100_000);
}
phase_becomes($job, 'finished', 'X4: it goes on when the receiver is back');
let_pass(3600);
WebhookTest::wait_until_delivered($node);
my %sent = map { $_->{headers}{'webhook-id'} => 1 } $receiver->requests('/order');
is(scalar(keys %sent), sql("SELECT count(*) FROM webhook.message_history WHERE event LIKE 'guest.%' AND $webhook = ANY (webhook_ids)") +
	sql("SELECT count(*) FROM webhook.message_history WHERE event LIKE 'guest.%' AND NOT $webhook = ANY (webhook_ids)"), 'X4: nothing is lost');
end_test($receiver);
is(sql('SELECT count(*) FROM webhook.stat_progress_backfill'), 0, 'X4: a deleted webhook has no replays');

# ---------- sessions that lock the history, and replays that do not hold up each other ----------

$webhook = $receiver->webhook('/locked', event => "'guest.*'", rate_limit => 1);
$receiver->webhook('/live', event => "'thing.*'");
replay($webhook, "$all, event => 'guest.create'");
$job = latest_job();
becomes("SELECT rows_sent > 0 FROM webhook.stat_progress_backfill WHERE job = $job", 't', 'X4: a replay to be locked out');
my $locker = WebhookTest::session($node);
$locker->query_safe('BEGIN; LOCK TABLE webhook.history_3 IN ACCESS EXCLUSIVE MODE');
sql("SELECT webhook.update_webhook($webhook, '{\"rate_limit\": null}')");
sql('UPDATE guest SET n = 4 WHERE id = 300');
sql(q{SELECT webhook.emit('thing.done', '{"n": 1}', 'live')});
$receiver->arrives('/live', 1, 'X4: the worker does not wait for a lock on the history');
my $counting = WebhookTest::session($node);
$counting->query_until(qr/started/, "\\echo started\nSELECT webhook.replay($webhook, '-infinity', event => 'guest.delete');\n");
becomes(q{SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'webhook.history_3'::regclass}, 1, 'X4: replay() waits until it can count');
sql("SET lock_timeout = '10s'; SELECT webhook.update_webhook($webhook, '{\"name\": \"locked\"}')");
pass('X4: the webhook is not locked meanwhile');
let_pass(-3600);
sql(q{SELECT webhook.emit('thing.done', '{"n": 2}', 'live')});
$receiver->arrives('/live', 2, 'X4: the clock is set back');
$locker->query_safe('COMMIT');
$counting->query_safe('SELECT 1');
phase_becomes($_, 'finished', 'X4: the replay goes on when the lock is released') foreach $job, latest_job();
WebhookTest::wait_until_delivered($node);
is(join(' ', map { $_->{result}{n} } grep { $_->{entity_id} eq '300' } messages('/locked')), '0 4', 'X4: what waited for it is sent');
$counting->quit;

# What is sent before the first message can be replayed is not sent again, whether or not it has an order.
my $unordered = $receiver->webhook('/unordered', event => "'loose.*'");
sql(q{ALTER SYSTEM SET webhook.partition_size = '64kB'});
$node->reload;
sql(q{SELECT webhook.emit('loose.done', '{"n": 1}')});
WebhookTest::wait_until_delivered($node);
$locker->query_safe('BEGIN; LOCK TABLE ' . join(', ', map { "webhook.history_$_" } 0 .. 7) . ' IN SHARE MODE');
replay($unordered);
$job = latest_job();
becomes("SELECT snapshot IS NOT NULL FROM webhook.backfill WHERE job = $job", 't', 'X4: a replay has a snapshot');
foreach my $i (2 .. 4)
{
	my $ring = sql('SELECT current FROM webhook.ring');

	sql(qq{SELECT webhook.emit('loose.done', jsonb_build_object('n', $i, 't', (SELECT string_agg(md5(i || ' ' || j), '') FROM generate_series(1, 100) AS j)))
		FROM generate_series(1, 40) AS i});
	becomes("SELECT current <> $ring FROM webhook.ring", 't', 'X4: the outbox goes on to its next partition') if $i < 4;
	WebhookTest::wait_until_delivered($node);
}
$locker->query_safe('COMMIT');
$locker->quit;
phase_becomes($job, 'finished', 'X4: and ends');
is(join(' ', map { $_->{result}{n} } messages('/unordered', 'replay')), '1', 'X4: it sends what was sent before its snapshot');
is(scalar(messages('/unordered', '')), 121, 'X4: all else was sent once');
sql(q{ALTER SYSTEM RESET webhook.partition_size});
$node->reload;

# A receiver that hangs with large messages.
my $big = $receiver->webhook('/big', event => "'big.*'");
my $small = $receiver->webhook('/small', event => "'loose.*'");
sql(q{SELECT webhook.emit('big.done', jsonb_build_object('t', repeat('x', 1000000)))}) foreach 1 .. 15;
WebhookTest::wait_until_delivered($node);
$receiver->reset;
$receiver->behave('/big', hold => 1);
replay($big);
$job = latest_job();
$receiver->arrives('/big', 10, 'X4: a receiver hangs');
replay($small);
phase_becomes(latest_job(), 'finished', 'X4: the replay of another webhook goes on');
is(sql("SELECT phase FROM webhook.stat_progress_backfill WHERE job = $job"), 'sending rows', 'X4: while it hangs');
$receiver->behave('/big');
phase_becomes($job, 'finished', 'X4: it goes on as well');
end_test($receiver);

# ---------- a receiver that has lost its data, whatever happens meanwhile ----------

sql(q{DELETE FROM guest; INSERT INTO guest SELECT i, 0 FROM generate_series(1, 400) AS i});
my $script = $node->basedir . '/load';
append_to_file($script, "\\set g random(1, 400)\n\\set h random(401, 800)\nUPDATE guest SET n = n + 1 WHERE id = :g;\n" .
	"INSERT INTO guest VALUES (:h, 0) ON CONFLICT (id) DO UPDATE SET n = guest.n + 1;\nDELETE FROM guest WHERE id = :h + 1;\n");

foreach my $round (1 .. $rounds)
{
	my $of_worker = $round % 2;
	my $name = $of_worker ? 'kill -9 of the worker' : 'kill -9 of the postmaster';

	$webhook = $receiver->webhook("/$round", event => "'guest.*'");
	my $since = sql('SELECT clock_timestamp()');
	sql('UPDATE guest SET n = n + 1');
	my $load = WebhookTest::start_load($node, $script);
	becomes("SELECT count(*) > 50 FROM guest WHERE id > 400", 't', "X4: round $round, there is load");
	WebhookTest::wait_until_delivered($node);
	$receiver->reset;
	sql("SELECT webhook.update_webhook($webhook, '{\"rate_limit\": 200}')");
	cmp_ok(replay($webhook, "'$since'"), '>', 400, "X4: round $round, the receiver has lost its data");
	$job = latest_job();
	becomes("SELECT rows_sent > 50 FROM webhook.stat_progress_backfill WHERE job = $job", 't', "X4: round $round is under way");
	my $unfinished = sql("SELECT finished_at IS NULL FROM webhook.stat_progress_backfill WHERE job = $job");
	$of_worker ? kill('KILL', WebhookTest::worker_pid()) : $node->kill9;
	$load->kill_kill;
	WebhookTest::start_again($node) unless $of_worker;
	$node->poll_query_until('postgres', 'SELECT true') or BAIL_OUT('the server does not come back');
	$load = WebhookTest::start_load($node, $script);
	phase_becomes($job, 'finished', "X4: round $round ends");
	sql("SELECT webhook.update_webhook($webhook, '{\"rate_limit\": null}')");
	$load->kill_kill;
	becomes(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'}, 0, 'the load has ended');
	WebhookTest::wait_until_delivered($node);
	is($unfinished, 't', "X4: $name in the middle");
	cmp_ok(scalar(grep { !exists $_->{headers}{'webhook-replay'} } $receiver->requests("/$round")), '>', 20, 'there was load');
	is($receiver->copy("/$round"), sql(q{SELECT string_agg(r, E'\n' ORDER BY r COLLATE "C") FROM (SELECT 'guest ' || id || ' ' || n FROM guest) AS t (r)}),
		"X4: round $round, $name: the copy equals the table");
	end_test($receiver);
}

done_testing();
