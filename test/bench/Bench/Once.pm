# A long backlog once through, with its rates by fifths: written, looked at, sent, and what has failed sent again: P7, P9, P11.
#
# One message in a hundred is refused, and fails for good.

package Bench::Once;

use strict;
use warnings;

use Bench::Cluster;
use Bench::Drain;
use Bench::Guests;
use Bench::Nginx;
use Bench::Look;
use Time::HiRes qw(time);

use constant PARTS => 5;

my $backlog = $ENV{BENCH_BACKLOG} || 1_000_000;

sub through
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = Bench::Cluster->new;

	Bench::Guests::create_table($cluster);
	Bench::Guests::watch($cluster);
	$cluster->sql('CREATE EXTENSION pgstattuple',
		sprintf q{SELECT webhook.create_webhook('bench', 'guest.create', '%s', no_retry => '{422}')}, $nginx->url('refuse/'));
	my $sampler = Bench::Drain::Sampler->new($cluster);
	my $pid = Bench::Drain::every(0.5, sub { $sampler->sample });

	_write($report, $cluster);
	_look($report, $cluster);
	_rates($report, 'deliveries/s', $backlog, $nginx, sub { $cluster->set('webhook.dispatch', 'on') });
	$cluster->wait_for('SELECT webhook.pending() = 0');
	_state($report, $cluster, 'sent');

	my $failed = $cluster->sql(q{SELECT count(*) FROM webhook.delivery WHERE state = 'failed'});
	$cluster->sql(sprintf q{SELECT webhook.update_webhook(1, '{"url": "%s"}')}, $nginx->url);
	_rates($report, 'deliveries/s of what had failed', $failed, $nginx, sub {
		my $seconds = $cluster->timed('SELECT webhook.redeliver_failed(1)');
		$report->note('   redeliver_failed() of %d messages took %.2f s', $failed, $seconds);
	});
	$cluster->wait_for('SELECT count(*) = 0 FROM webhook.delivery');
	_state($report, $cluster, 'sent again');

	Bench::Drain::stop($pid);
	my ($idle, $most) = $sampler->memory;
	$report->add(
		id => 'P9', what => "MiB of the worker's memory above idle, at most, $backlog messages",
		ours => sprintf('%.0f MiB', $most), baseline => sprintf('%.0f MiB', $idle), value => $most - $idle, goal => '< 64');
	$report->add(
		id => 'P11', what => "MB of schema webhook on disk after $backlog messages",
		ours => '', baseline => '', value => $cluster->schema_bytes / 1e6, goal => '< 300');
	return;
}

sub _write
{
	my ($report, $cluster) = @_;
	my $part = int($backlog / PARTS);
	my @rates = map {
		my $first = $_ * $part;
		$part / $cluster->timed(Bench::Guests::insert($part, undef, $first));
	} 0 .. PARTS - 1;

	_add($report, 'messages/s written', @rates);
	_state($report, $cluster, 'written');
	return;
}

sub _look
{
	my ($report, $cluster) = @_;

	for my $statement ('SELECT webhook.pending_estimate()', 'SELECT webhook.oldest_pending_age()', 'SELECT * FROM webhook.stat_webhooks',
		'SELECT * FROM webhook.undelivered LIMIT 100', 'SELECT webhook.pending()')
	{
		$report->note('   %s: %.1f ms', $statement, Bench::Look::best($cluster, $statement));
	}
	return;
}

# Begins, and sees how many requests come in each fifth of the time.
sub _rates
{
	my ($report, $what, $count, $nginx, $begin) = @_;
	my $before = $nginx->requests;
	my @rates;

	$begin->();
	my $start = time;
	for my $part (1 .. PARTS)
	{
		my $end = $nginx->wait_for($before, int($count * $part / PARTS));
		push @rates, $count / PARTS / ($end - $start);
		$start = $end;
	}
	_add($report, $what, @rates);
	return;
}

# The last fifth against the first one.
sub _add
{
	my ($report, $what, @rates) = @_;

	$report->note('   %s, by fifths: %s', $what, join ' ', map { sprintf '%.0f', $_ } @rates);
	$report->add(
		id       => 'P7',
		what     => "$what, the last fifth of $backlog messages against the first",
		ours     => sprintf('%.0f/s', $rates[-1]),
		baseline => sprintf('%.0f/s', $rates[0]),
		value    => $rates[-1] / $rates[0],
		goal     => '>= 0.9');
	return;
}

sub _state
{
	my ($report, $cluster, $when) = @_;

	$report->note('   %s: %.0f MB on disk; dead tuples: %s; rows of delivery: %s', $when, $cluster->schema_bytes / 1e6, $cluster->dead_tuples,
		$cluster->sql(q{SELECT coalesce(string_agg(state || ' ' || n, ', '), 'none') FROM (SELECT state, count(*) AS n FROM webhook.delivery GROUP BY state) AS d}));
	return;
}

1;
