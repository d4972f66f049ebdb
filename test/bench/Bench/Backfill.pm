# Backfill: P14.
#
# The rate is that of the rows of a table from backfill() until the receiver has counted the last request, against that
# of the same messages when they wait in the log (P1).  Live messages of another webhook are timed as for P3, with and
# without a backfill that goes on meanwhile.

package Bench::Backfill;

use strict;
use warnings;

use Bench::Cluster;
use Bench::Drain;
use Bench::Guests;
use Bench::Latency;
use Bench::Nginx;
use Bench::Report qw(median percentile rounds);
use Time::HiRes qw(time);

my $rows = $ENV{BENCH_MESSAGES} || 200_000;
my $many = $ENV{BENCH_BACKLOG} || 1_000_000;

# P14
sub beside_live_messages
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = Bench::Cluster->new;
	my (@rate, @drained);

	Bench::Guests::create_table($cluster);
	Bench::Guests::watch($cluster);
	my $webhook = $cluster->sql(
		sprintf q{SELECT webhook.create_webhook('bench', 'guest.create', '%s', event_uids => 'event-0000')}, $nginx->url);
	for (1 .. rounds(3))
	{
		push @drained, Bench::Drain::drain($cluster, $nginx, $rows);
		push @rate, _backfill($cluster, $nginx, $webhook);
	}
	Bench::Drain::add($report, 'P14', "backfilled rows/s, $rows rows, against the same waiting in the log",
		median(@rate), median(@drained), '>= 0.8');

	# Ids that the live messages do not use.  None of this is to be sent.
	$cluster->sql("SELECT webhook.unwatch('guest')", 'TRUNCATE guest', Bench::Guests::insert($many),
		'UPDATE guest SET id = id + 1000000000', 'VACUUM ANALYZE guest');
	Bench::Guests::watch($cluster);
	$cluster->sql(sprintf q{SELECT webhook.create_webhook('bench', 'guest.create', '%s', event_uids => 'live')},
		$nginx->url('latency/{entity_id}'));
	my $without = Bench::Latency::commit_and_compare($cluster, $nginx, q{'live'});
	$cluster->sql(q{DELETE FROM guest WHERE event_uid = 'live'});
	my $job = $cluster->sql("SELECT webhook.backfill($webhook, 'guest')");
	$cluster->wait_for("SELECT rows_sent > 0 FROM webhook.stat_progress_backfill WHERE job = $job");
	my $with = Bench::Latency::commit_and_compare($cluster, $nginx, q{'live'});
	my ($ours, $baseline) = map { percentile(99, @{ $_->{after} }) } $with, $without;
	$report->add(
		id       => 'P14',
		what     => 'p99 of live messages of another webhook beside a backfill, against without',
		ours     => sprintf('%.2f ms', $ours),
		baseline => sprintf('%.2f ms', $baseline),
		value    => $ours / $baseline,
		goal     => '<= 2');
	$report->note('   P14: of %d rows the backfill had sent %d at the end', $many,
		$cluster->sql("SELECT rows_sent FROM webhook.stat_progress_backfill WHERE job = $job"));
	return;
}

# Backfill all rows of the table; returns rows per second.
sub _backfill
{
	my ($cluster, $nginx, $webhook) = @_;

	$cluster->sql('CHECKPOINT');
	my $before = $nginx->requests;
	my $start = time;
	$cluster->sql("SELECT webhook.backfill($webhook, 'guest')");
	my $rate = $rows / ($nginx->wait_for($before, $rows) - $start);
	$cluster->wait_for('SELECT webhook.pending() = 0');
	die "more requests came than there were rows\n" if $nginx->requests - $before != $rows;
	printf "  backfill %.0f/s\n", $rate;
	return $rate;
}

1;
