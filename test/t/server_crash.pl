# Processes are killed under load: no committed message is lost, and no other is sent.
#
# Applications record what they have done in a ledger, in the same transaction as the change that fires the webhooks.
# So the ledger, as it is after the last recovery, is exactly what must have arrived.
#
# WEBHOOK_CHAOS_ROUNDS is the number of rounds, WEBHOOK_CHAOS_SEED repeats the random numbers of another run.
#
# Mission: R1, W1, W2, W3, X1, X5.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WebhookTest qw(sql);

my $rounds = $ENV{WEBHOOK_CHAOS_ROUNDS} || 10;
my $seed = $ENV{WEBHOOK_CHAOS_SEED} || int(rand(1_000_000));
srand($seed);
note("WEBHOOK_CHAOS_SEED=$seed");

# What has been delivered this long before a kill may not have been recorded yet.
my $unrecorded_seconds = 1;

my $entities = 20;
my $node = WebhookTest::start_node('crash', 'restart_after_crash = on', 'log_statement = none');
my $receiver = WebhookTest::Receiver->start;

# ---------- the application ----------

sql(qq{
	CREATE TABLE item (id integer PRIMARY KEY, n integer NOT NULL, tag uuid NOT NULL);
	CREATE TABLE ledger (id integer, n integer, tag uuid PRIMARY KEY);
	INSERT INTO item SELECT i, 0, gen_random_uuid() FROM generate_series(1, $entities) AS i;
	SELECT webhook.watch('item', 'item');
});

my @paths = qw(/fast /flaky /slow /batch);
WebhookTest::create_webhook(
	$node,
	app => "'crash'",
	event => "'item.*'",
	url => "'" . $receiver->url($_) . "'",
	batch_size => $_ eq '/batch' ? 20 : 'NULL',
	previous => $_ eq '/batch' ? "'changed'" : 'NULL',
	retry_schedule => "array_prepend('0 s'::interval, array_fill('50 ms'::interval, ARRAY[31]))") foreach @paths;

my $change = q{
UPDATE item SET n = n + 1, tag = gen_random_uuid() WHERE id = :e;
INSERT INTO ledger SELECT * FROM item WHERE id = :e;
};
my %scripts = (
	"commit\@6" => "BEGIN; $change COMMIT;",
	"rollback\@2" => "BEGIN; $change ROLLBACK;",
	"savepoint\@2" => "BEGIN; $change SAVEPOINT a; $change ROLLBACK TO a; $change SAVEPOINT b; $change RELEASE b; COMMIT;",
	"async\@2" => "BEGIN; SET LOCAL synchronous_commit = off; $change COMMIT;",
	"bulk\@1" => q{BEGIN; SELECT pg_advisory_xact_lock(1);
		UPDATE item SET n = n + 1, tag = gen_random_uuid();
		INSERT INTO ledger SELECT * FROM item; COMMIT;},
	"prepared\@1" => "BEGIN; $change PREPARE TRANSACTION 'crash_:client_id'; COMMIT PREPARED 'crash_:client_id';");
my @script_options;

foreach my $name (sort keys %scripts)
{
	my ($file) = $name =~ /^(\w+)/;

	append_to_file($node->basedir . "/$file", "\\set e random(1, $entities)\n$scripts{$name}\n");
	push @script_options, '-f', $node->basedir . "/$name";
}

# Four sessions, until the server goes away or some seconds have passed.
sub start_load
{
	my ($seconds) = @_;
	my @output = ('', '');

	return IPC::Run::start(
		[   'pgbench', '-n', '-c', 4, '-R', 200, '-T', $seconds, @script_options,
			'-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \$output[0], '2>', \$output[1]);
}

# Transactions left prepared by a crash: some are committed, some rolled back.
sub end_prepared
{
	foreach my $gid (split(/\n/, sql('SELECT gid FROM pg_prepared_xacts')))
	{
		sql((rand() < 0.5 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
	}
	return;
}

# ---------- the killers ----------

sub worker_pid
{
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM webhook.stat_workers WHERE state = 'served' AND pid > 0})
	  or BAIL_OUT('there is no worker');
	return sql(q{SELECT pid FROM webhook.stat_workers WHERE state = 'served'});
}

# Start again, as soon as the processes of a killed postmaster have gone.
sub start_again
{
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $node->start(fail_ok => 1);
		$node->{_pid} = undef;
		usleep(100_000);
	}
	BAIL_OUT('the server cannot be started again');
}

# Each returns after it has killed.
my %killers = (
	'kill -9 of the worker' => sub {
		my $pid = worker_pid();
		my $time = time();

		kill('KILL', $pid);
		return $time;
	},
	'kill -9 of the postmaster' => sub {
		my $time = time();

		$node->kill9;
		start_again();
		return $time;
	},
	'immediate shutdown' => sub {
		my $time = time();

		$node->stop('immediate');
		$node->start;
		return $time;
	},
	'worker terminated' => sub {
		kill('TERM', worker_pid());
		return;
	},
	'fast shutdown' => sub {
		$node->stop('fast');
		$node->start;
		return;
	});
my @kinds = sort keys %killers;
my @killed_at;

foreach my $round (1 .. $rounds)
{
	my $kind = $round <= @kinds ? $kinds[ $round - 1 ] : $kinds[ int(rand(@kinds)) ];

	note(sprintf('%.1f s, round %d: %s', time() - $^T, $round, $kind));
	end_prepared();
	my $load = start_load(2);

	$receiver->behave('/flaky', status => 500, times => 1 + int(rand(10)));
	$receiver->behave('/batch', status => rand() < 0.5 ? 500 : 422, times => 1 + int(rand(5)));
	$receiver->behave('/slow', delay => 400, times => 1 + int(rand(20)));
	$receiver->wait_for_count($receiver->count + 100 + int(rand(400)));

	push @killed_at, $killers{$kind}->();
	$load->finish;
	$node->poll_query_until('postgres', 'SELECT true') or BAIL_OUT('the server does not come back');
}

# ---------- prepared transactions ----------

sub tags_arrived
{
	return { map { $_ => 1 } slurp_file($receiver->{ledger}) =~ /\\"tag\\":\\"([^"\\]+)/g };
}

end_prepared();
WebhookTest::wait_until_delivered($node);
foreach my $entity (1, 2)
{
	(my $sql = $change) =~ s/:e/$entity/g;
	sql("BEGIN; $sql PREPARE TRANSACTION 'prepared $entity'");
}
$node->stop('immediate');
$node->start;
worker_pid();
(my $later = $change) =~ s/:e/3/g;
$later = "BEGIN; $later COMMIT;";
sql($later);
WebhookTest::wait_until_delivered($node);
is(sql('SELECT count(*) FROM pg_prepared_xacts'), 2, 'prepared transactions survive a crash');
my $seen = tags_arrived();
sql("COMMIT PREPARED 'prepared 1'");
sql("ROLLBACK PREPARED 'prepared 2'");
my ($tag) = sql('SELECT tag FROM item WHERE id = 1');
ok(!$seen->{$tag}, 'W1: none of their messages is sent before they are committed');
WebhookTest::wait_until_delivered($node);
ok(tags_arrived()->{$tag}, 'W2: COMMIT PREPARED sends what was prepared before the crash');

# ---------- not yet on disk ----------

# No receiver gets a message of a transaction that a crash undoes: the worker flushes it first.  While responses are
# held back, nothing else is written that would flush it.
$node->append_conf('postgresql.conf', 'wal_writer_delay = 10s');
$node->reload;
$receiver->behave($_, hold => 1) foreach @paths;
my $count = $receiver->count;
my $visible = sql("SET synchronous_commit = off; $later SELECT tag FROM item WHERE id = 3");
ok($receiver->wait_for_count($count + @paths), 'a transaction with synchronous_commit = off is sent');
push @killed_at, time();
$node->stop('immediate');
$receiver->behave($_) foreach @paths;
$node->start;
is(sql('SELECT tag FROM item WHERE id = 3'), $visible, 'W1: and has survived the crash');

# ---------- what has arrived ----------

end_prepared();
WebhookTest::wait_until_delivered($node);
my %committed = map { $_ => 1 } split(/\n/, sql('SELECT tag FROM ledger'));
cmp_ok(scalar(keys %committed), '>', 50 * $rounds, 'there was load');
is(sql('SELECT count(*) FROM webhook.delivery'), 0, 'W2: nothing has failed for good');

# The ledger is too long for a JSON parser written in Perl.  Of a batch, each message counts as a request.
my $entity = qr/\{\\"id\\":(\d+),\\"n\\":(\d+),\\"tag\\":\\"([^"\\]+)/;
my $member = qr/\{\\"id\\":\\"([^"\\]+)\\",\\"entity_id\\":\d+,[^{]*$entity[^{]*,\\"previous\\":\{\\"n\\":(\d+)/;
my (%requests, %batch_members, @wrong_previous);
foreach my $line (split(/\n/, slurp_file($receiver->{ledger})))
{
	my ($time, $path) = $line =~ /"time": ([\d.]+),.*?"path": "([^"]+)"/ or die $line;
	my ($id) = $line =~ /"webhook-id": "([^"]+)"/ or die $line;
	my @messages;

	if ($path eq '/batch')
	{
		while ($line =~ /$member/g)
		{
			push @messages, [ $1, $2, $3, $4 ];
			push @wrong_previous, "$2: $3 after $5" if $5 != $3 - 1;
		}
		$batch_members{$id}{ join(' ', map { $_->[0] } @messages) } = 1;
	}
	else
	{
		@messages = [ $id, $line =~ /$entity/ ];
	}
	die $line unless @messages && @{ $messages[0] } == 4;
	foreach my $message (@messages)
	{
		my %request = (time => $time);

		@request{qw(message_id entity n tag)} = @$message;
		push @{ $requests{$path} }, \%request;
	}
}
is_deeply([ grep { keys %{ $batch_members{$_} } > 1 } keys %batch_members ], [], 'X5: a batch with the same id has the same messages');
ok((grep { / / } map { keys %$_ } values %batch_members), 'X5: some batches have several messages');
is_deeply(\@wrong_previous, [], 'X1: the former values are those before each change');

foreach my $path (@paths)
{
	my (%arrived, %message_id, %last, @disordered, @unexplained);
	my $repeats = 0;

	foreach my $request (@{ $requests{$path} })
	{
		my ($tag, $entity, $n, $time) = @$request{qw(tag entity n time)};
		my $before = $arrived{$tag};

		$arrived{$tag} = $time;
		$message_id{$tag}{ $request->{message_id} } = 1;
		if (defined $before)
		{
			$repeats++;
			push @unexplained, "$tag at $before and $time"
			  unless grep { $before > $_ - $unrecorded_seconds && $time > $_ } @killed_at;
		}
		else
		{
			push @disordered, "$entity: $n after $last{$entity}" if $n <= ($last{$entity} // -1);
			$last{$entity} = $n;
		}
	}

	is_deeply([ grep { !$arrived{$_} } keys %committed ], [], "R1, W2: $path: no committed message is lost");
	is_deeply([ grep { !$committed{$_} } keys %arrived ], [], "R1, W1: $path: nothing that was not committed is sent");
	is_deeply(\@disordered, [], "W3: $path: the messages of an entity arrived in order");
	is_deeply([ grep { keys %{ $message_id{$_} } > 1 } keys %message_id ], [], "W2: $path: repeats have the same id");

	# Other requests are also repeated because they failed.
	is_deeply(\@unexplained, [], "R1: $path: only what was under way at a crash is repeated") if $path eq '/fast';
	note("$path: " . keys(%arrived) . " messages, $repeats repeats");
}

$node->stop;
done_testing();
