# From commit to receipt: P3, and P8 with receivers that do not answer.
#
# pgbench commits single rows at a fixed rate and logs when it sent each INSERT, a transaction of its own, and when it
# had the answer; the receiver logs when the request came.  The goal is about the time from the answer: only then has
# the transaction been committed as far as the application can know, and how long the disk takes to flush is not ours.
# The answer leaves the server a little after the commit, some tens of microseconds, which this leaves out; so the
# time from *sending* the INSERT is printed too, which leaves out nothing, beside what the commit alone took.

package Bench::Latency;

use strict;
use warnings;

use Bench::Cluster;
use Bench::Guests;
use Bench::Nginx;
use Bench::Report qw(percentile);
use IO::Socket::INET;

use constant
{
	RATE     => 1000,
	CLIENTS  => 8,
	HEALTHY  => 100,
	ID_SPACE => 1_000_000,    # ids per client
};

my $seconds = $ENV{BENCH_SECONDS} || 10;

# P3
sub commit_to_receipt
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = Bench::Cluster->new('webhook.dispatch' => 'on');

	Bench::Guests::create_table($cluster);
	Bench::Guests::watch($cluster);
	my $id = $cluster->sql(
		sprintf q{SELECT webhook.create_webhook('bench', 'guest.create', '%s')}, $nginx->url('latency/{entity_id}'));
	$cluster->worker_pid;
	_add($report, '', commit_and_compare($cluster, $nginx, q{'event-0000'}));

	return unless Bench::Cluster::pg_net();
	$cluster->sql("SELECT webhook.delete_webhook_by_id($id)", "SELECT webhook.unwatch('guest')", 'TRUNCATE guest',
		'CREATE EXTENSION pg_net',
		sprintf(q{CREATE FUNCTION to_pg_net() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM net.http_post('%s' || NEW.id, to_jsonb(NEW)); RETURN NULL; END $$}, $nginx->url('latency/')),
		'CREATE TRIGGER to_pg_net AFTER INSERT ON guest FOR EACH ROW EXECUTE FUNCTION to_pg_net()');
	_add($report, 'pg_net: ', commit_and_compare($cluster, $nginx, q{'event-0000'}));
}

sub _add
{
	my ($report, $who, $times) = @_;
	for ([ 50, '< 0.5' ], [ 99, '< 3' ])
	{
		my ($percent, $goal) = @$_;
		my ($sent, $commit, $after) = map { percentile($percent, @{ $times->{$_} }) } qw(sent commit after);
		$report->add(
			id       => 'P3',
			what     => "${who}commit -> request received, ms, p$percent",
			ours     => sprintf('%.2f ms', $after),
			baseline => '',
			value    => $after,
			goal     => $who ? undef : $goal);
		$report->note('   P3 %sp%d from sending the INSERT: %.2f ms, of which the commit took %.2f ms', $who, $percent,
			$sent, $commit);
	}
	my ($received, $commits) = (scalar @{ $times->{after} }, $times->{commits});
	$report->add(
		id       => 'P3',
		what     => "${who}rows received, of those committed",
		ours     => $received,
		baseline => $commits,
		value    => $received / $commits,
		goal     => $who ? undef : '>= 1');
}

# P8: what one receiver that never answers and one closed port do to a hundred others.
sub bad_receivers
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = Bench::Cluster->new('webhook.dispatch' => 'on');
	my $uid = q{'event-' || :n %% %d};

	# the kernel accepts for it, nobody reads
	my $hanging = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1024) or die "socket: $!";

	Bench::Guests::create_table($cluster);
	Bench::Guests::watch($cluster);
	$cluster->sql(sprintf q{SELECT count(webhook.create_webhook('bench', 'guest.create', '%s',
		event_uids => 'event-' || i)) FROM generate_series(0, %d) i}, $nginx->url('latency/{entity_id}'), HEALTHY - 1);
	$cluster->worker_pid;
	my $without = commit_and_compare($cluster, $nginx, sprintf $uid, HEALTHY);

	$cluster->sql('TRUNCATE guest', map {
			sprintf q{SELECT webhook.create_webhook('bench', 'guest.create', 'http://127.0.0.1:%d/',
				event_uids => 'event-%d')}, @$_
		} [ $hanging->sockport, HEALTHY ], [ Bench::Nginx::free_port(), HEALTHY + 1 ]);
	my $with = commit_and_compare($cluster, $nginx, sprintf $uid, HEALTHY + 2);

	my ($ours, $baseline) = map { percentile(99, @{ $_->{after} }) } $with, $without;
	$report->add(
		id       => 'P8',
		what     => 'p99 of 100 receivers beside a hanging and a dead one, against without',
		ours     => sprintf('%.2f ms', $ours),
		baseline => sprintf('%.2f ms', $baseline),
		value    => $ours / $baseline,
		goal     => '<= 1.2');
}

# Commits rows at the fixed rate; returns lists of milliseconds: commit (INSERT sent -> answer), sent (INSERT sent ->
# request received) and after (answer -> request received), and the number of commits.
sub commit_and_compare
{
	my ($cluster, $nginx, $uid) = @_;
	my $log = "$cluster->{dir}/commits";
	my $script = '\set n :n + 1' . "\n"
	  . "INSERT INTO guest VALUES (:client_id * @{[ ID_SPACE ]} + :n, $uid, 'Guest', repeat('x', 100));\n";

	$cluster->pgbench($script, '-c', CLIENTS, '-R', RATE, '-T', $seconds, '-D', 'n=0', '-l', '--log-prefix', $log);
	$nginx->settle;

	my $received = $nginx->receipts;
	my %times = (commits => 0, map { $_ => [] } qw(commit sent after));
	my %number;
	for my $file (glob "$log.*")
	{
		open my $in, '<', $file or die "$file: $!";
		while (<$in>)
		{
			my ($client, undef, $elapsed, undef, $second, $microsecond, $lag) = split;
			my $answer = $second + $microsecond / 1e6;
			my $sent = $answer - ($elapsed - $lag) / 1e6;
			my $receipt = $received->{ $client * ID_SPACE + ++$number{$client} };
			$times{commits}++;
			next unless $receipt;
			push @{ $times{commit} }, ($answer - $sent) * 1000;
			push @{ $times{sent} }, ($receipt - $sent) * 1000;
			push @{ $times{after} }, ($receipt - $answer) * 1000;
		}
		unlink $file;
	}
	return \%times;
}

1;
