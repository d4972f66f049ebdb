# P10: what it costs when nothing happens.

package Bench::Idle;

use strict;
use warnings;

use Bench::Cluster;
use Bench::Guests;
use Bench::Nginx;

use constant SECONDS => 30;

# Processor time of launcher and worker, and WAL written, while nobody does anything.
sub cost_of_nothing
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = Bench::Cluster->new('webhook.dispatch' => 'on', autovacuum => 'off');

	Bench::Guests::create_table($cluster);
	Bench::Guests::watch($cluster);
	$cluster->sql(sprintf q{SELECT webhook.create_webhook('bench', 'guest.create', '%s')}, $nginx->url);
	$cluster->worker_pid;
	$cluster->sql('CHECKPOINT', 'SELECT pg_sleep(5)');

	my @pids = split /\n/, $cluster->sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'webhook%'});
	die "no launcher and worker found\n" if @pids < 2;
	my ($ticks, $lsn) = (Bench::Cluster::ticks(@pids), $cluster->sql('SELECT pg_current_wal_insert_lsn()'));
	sleep SECONDS;
	my $percent = (Bench::Cluster::ticks(@pids) - $ticks) / SECONDS;    # a tick is a hundredth of a second

	$report->add(
		id       => 'P10',
		what     => 'processor time of launcher and worker when nothing happens, per cent of a core',
		ours     => sprintf('%.2f %%', $percent),
		baseline => '',
		value    => $percent,
		goal     => '< 0.1');
	# the server itself logs its running transactions now and then
	my $wal = $cluster->sql("SELECT pg_current_wal_insert_lsn() - '$lsn'");
	$report->note('   P10: %s bytes of WAL in %d s', $wal, SECONDS);
}

1;
