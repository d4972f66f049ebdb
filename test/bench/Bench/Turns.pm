# TURNS: more databases with the extension than workers.
#
# Messages are committed one after the other, each in a database that has no worker at that moment; the receiver logs
# when the request came.  Then the same while one database has a backlog, larger than what can be sent meanwhile.

package Bench::Turns;

use strict;
use warnings;

use Bench::Cluster;
use Bench::Nginx;
use Bench::Report qw(percentile);
use Time::HiRes qw(time);

use constant
{
	DATABASES    => 60,
	WORKERS      => 4,
	SAMPLES      => 60,
	IDLE_SECONDS => 30,
};

my $backlog = $ENV{BENCH_BACKLOG} || 1_000_000;

sub databases_in_turn
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = Bench::Cluster->new('webhook.dispatch' => 'on', 'webhook.workers' => WORKERS, max_worker_processes => 20,
		autovacuum => 'off');
	my @names = map { "d$_" } 1 .. DATABASES;

	$cluster->sql('CREATE DATABASE pattern IS_TEMPLATE true');
	$cluster->in('pattern')->sql('CREATE EXTENSION webhook');
	$cluster->sql(map { "CREATE DATABASE $_ TEMPLATE pattern" } @names);

	# not in the pattern: what is sent from a copy has to be adopted first
	for my $database (@names)
	{
		$cluster->in($database)->sql(
			sprintf(q{SELECT webhook.create_webhook('bench', 'sample.done', '%s')}, $nginx->url('latency/{entity_id}')),
			sprintf(q{SELECT webhook.create_webhook('bench', 'busy.done', '%s')}, $nginx->url));
	}
	$cluster->wait_for(sprintf(q{SELECT count(*) = %d FROM webhook.stat_workers WHERE state IN ('served', 'resting')},
		DATABASES + 1), 300);

	_idle($report, $cluster);
	_add($report, $cluster, $nginx, '');
	$cluster->in($names[0])->sql("SELECT count(webhook.emit('busy.done', '{}', i::text)) FROM generate_series(1, $backlog) i");
	_add($report, $cluster, $nginx, 'beside a busy one, ');
	$report->note('   TURNS: the busy one still has %s of %d messages', $cluster->in($names[0])->sql('SELECT webhook.pending()'), $backlog);
}

# Processor time of all our processes while nobody does anything.
sub _idle
{
	my ($report, $cluster) = @_;

	$cluster->sql('SELECT pg_sleep(5)');
	my @pids = split /\n/, $cluster->sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'webhook%'});
	my $ticks = Bench::Cluster::ticks(@pids);
	sleep IDLE_SECONDS;
	my $percent = (Bench::Cluster::ticks(@pids) - $ticks) / IDLE_SECONDS;    # a tick is a hundredth of a second
	$report->add(
		id       => 'TURNS',
		what     => sprintf('processor time of %d processes when nothing happens in %d databases, per cent of a core',
			scalar(@pids), DATABASES),
		ours     => sprintf('%.2f %%', $percent),
		baseline => '',
		value    => $percent,
		goal     => sprintf('< %.1f', 0.1 * WORKERS));
}

sub _add
{
	my ($report, $cluster, $nginx, $what) = @_;
	my @ms = _sample($cluster, $nginx);

	$report->note('   TURNS: %sp50 %.0f ms', $what, percentile(50, @ms));
	$report->add(
		id       => 'TURNS',
		what     => "${what}commit in a database at rest -> request received, ms, maximum",
		ours     => sprintf('%.0f ms', percentile(100, @ms)),
		baseline => '',
		value    => percentile(100, @ms),
		goal     => '< 5000');
}

# Milliseconds from commit to receipt.
sub _sample
{
	my ($cluster, $nginx) = @_;
	my $resting = q{FROM webhook.stat_workers WHERE state = 'resting' AND database LIKE 'd%'};
	my $log = "$nginx->{dir}/receipts.log";
	my (%committed, %received);

	for my $n (1 .. SAMPLES)
	{
		$cluster->wait_for("SELECT count(*) > 0 $resting");
		my $database = $cluster->sql("SELECT database $resting ORDER BY since LIMIT 1");
		my $out = $cluster->in($database)->sql("SELECT webhook.emit('sample.done', '{}', '$n') IS NULL",
			'SELECT extract(epoch FROM clock_timestamp())');
		($committed{$n}) = $out =~ /([\d.]+)$/;
		my $until = time + 60;
		until (-s $log)
		{
			die "nothing came from $database\n" if time > $until;
			select undef, undef, undef, 0.01;
		}
		%received = (%received, %{ $nginx->receipts });
	}
	return map { ($received{$_} - $committed{$_}) * 1000 } 1 .. SAMPLES;
}

1;
