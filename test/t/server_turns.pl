# More databases than workers: all are served, in turn.
#
# Mission: W16.  Case: C36.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WebhookTest qw(sql becomes);

my $databases = 60;
my $workers = 4;
my $busy_messages = 4000;
my $node = WebhookTest::start_node('turns', "webhook.workers = $workers", 'max_worker_processes = 20',
	"webhook.retry_schedule = '0, 4s'", 'webhook.timeout = 5min');
my $receiver = WebhookTest::Receiver->start;
my $others = q{FROM webhook.stat_workers WHERE database <> 'postgres'};
my @names = map { "d$_" } 1 .. $databases;
my ($busy, $failing, @rest) = @names;

# Run a statement in each of these databases, in one session of psql.
sub in_each
{
	my ($statement, @in) = @_;

	sql(join('', map { "\n\\c $_\n$statement;" } @in));
	return;
}

sub emit_in_each
{
	my ($name, @in) = @_;

	in_each("SELECT webhook.emit('$name.done', jsonb_build_object('database', current_database()))", @in);
	return;
}

# The number of requests for a path by database.
sub senders
{
	my ($path) = @_;
	my %senders;

	$senders{ decode_json($_->{body})->{result}{database} }++ foreach $receiver->requests($path);
	return \%senders;
}

# Expect one request from each of these databases; returns how long that took.
sub one_from_each
{
	my ($path, $test_name, @from) = @_;
	my $start = time();

	$receiver->wait_for_count(scalar(@from), $path);
	is_deeply(senders($path), { map { $_ => 1 } @from }, $test_name)
	  or diag(sql("SELECT state, activity, count(*) $others GROUP BY 1, 2"));
	return time() - $start;
}

# Wait until there is nothing to do, and return a database without a worker that is not one of these.
sub one_without_worker
{
	becomes("SELECT count(*) $others AND state NOT IN ('served', 'resting') OR activity <> 'idle'", 0, 'C36: nothing is left to do');
	return sql("SELECT min(database) $others AND state = 'resting' AND database <> ALL ('{@{[ join(',', @_) ]}}')");
}

# All have the extension, few have a worker

sql('CREATE DATABASE pattern IS_TEMPLATE true');
$node->safe_psql('pattern', 'CREATE EXTENSION webhook');
sql(map { "\nCREATE DATABASE $_ TEMPLATE pattern;" } @names);
becomes("SELECT count(*), count(since) $others AND state IN ('served', 'resting')", "$databases|$databases",
	'C36: stat_workers has a row for each database, also those without a worker');
becomes('SELECT count(pid) FROM webhook.stat_workers', $workers, 'C36: and there are as many workers as allowed');

# Each has something to send

in_each("SELECT webhook.create_webhook('app', path || '.done', '" . $receiver->url('/') . "' || path)
	FROM unnest('{first,second,third,busy,failing,hanging}'::text[]) AS path", @names);
emit_in_each('first', @names);
my $seconds = one_from_each('/first', 'C36: a message from each database is sent', @names);
cmp_ok($seconds, '<', 60, 'C36: in less than a minute');
becomes("SELECT count(*), count(pid) FROM webhook.stat_workers WHERE state <> 'resting'", "$workers|$workers", 'C36: then none waits any more');
is(sql('SELECT sum(delivered) FROM webhook.stat_workers'), $databases, 'C36: delivered messages are counted across turns');

# One database is busy, one must retry later, a worker of another one waits for responses; then workers are terminated

$receiver->behave('/busy', delay => 10);
$receiver->behave('/failing', fail => 1);
$receiver->behave('/hanging', hold => 1);
emit_in_each('failing', $failing);
emit_in_each('hanging', $rest[0]);
$node->safe_psql($busy, "SELECT count(webhook.emit('busy.done', jsonb_build_object('database', n))) FROM generate_series(1, $busy_messages) n");
$receiver->wait_for_count(1, $_) foreach '/failing', '/hanging', '/busy';
emit_in_each('second', @rest);
$seconds = one_from_each('/second', 'C36: a busy database and a receiver that hangs do not delay others', @rest);
cmp_ok($seconds, '<', 60, 'C36: by more than a minute');
my $sent = $receiver->count('/busy');
note("the busy database has sent $sent of $busy_messages");

ok($receiver->wait_for_count(2, '/failing'), 'C36: a retry is sent in time, although its database had no worker');
my @times = map { $_->{time} } $receiver->requests('/failing');
cmp_ok($times[1] - $times[0], '<', 60, 'C36: which is less than a minute after it was due');
$receiver->behave('/hanging');
ok($receiver->wait_for_count($busy_messages, '/busy'), 'C36: all messages of the busy database are sent');
is_deeply(senders('/busy'), { map { $_ => 1 } 1 .. $busy_messages }, 'C36: nothing is sent twice when a turn ends');
is($receiver->count('/hanging'), 1, 'C36: nor is a request that was in flight when a worker was asked to leave');

emit_in_each('third', @rest);
sql('SELECT pg_terminate_backend(pid) FROM webhook.stat_workers WHERE pid IS NOT NULL');
one_from_each('/third', 'C36: nothing is lost when workers are terminated', @rest);

# What happens in a database without a worker

my $prepared = one_without_worker();
$receiver->reset;
$node->safe_psql($prepared, q{BEGIN; SELECT webhook.emit('first.done', jsonb_build_object('database', 'prepared')); PREPARE TRANSACTION 'p'});
is(sql("SELECT state $others AND database = '$prepared'"), 'resting', 'C36: nothing has been committed');
$node->safe_psql($prepared, q{COMMIT PREPARED 'p'});
one_from_each('/first', 'C36: COMMIT PREPARED', 'prepared');

my $without = one_without_worker();
$node->safe_psql($without, 'DROP EXTENSION webhook CASCADE');
becomes("SELECT count(*) $others AND database = '$without'", 0, 'C36: DROP EXTENSION');
my $dropped = one_without_worker();
sql("DROP DATABASE $dropped");
becomes("SELECT count(*) FROM webhook.stat_workers", $databases - 1, 'C36: DROP DATABASE');
@rest = grep { $_ ne $without && $_ ne $dropped } @names;

# With dispatch off nothing is sent; after a restart with dispatch on all databases are served

$node->append_conf('postgresql.conf', 'webhook.dispatch = off');
$node->reload;
becomes("SELECT count(*) FROM webhook.stat_workers WHERE activity = 'paused'", $workers, 'C36: dispatch is off');
emit_in_each('second', @rest);
is(sql("SELECT count(*) $others AND state NOT IN ('served', 'resting')"), 0, 'C36: then none waits for a turn');
$node->append_conf('postgresql.conf', 'webhook.dispatch = on');
$node->restart;
one_from_each('/second', 'C36: what was committed before a restart is found in each database', @rest);
$node->stop('fast');

done_testing();
