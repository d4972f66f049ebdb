# C35: what a page of the API costs with 100,000 guests whose event and profile are expressions.
# C41: what it costs to look at a long backlog, and what the drain loses by it.
# P17: status_page() and metrics() with 1,000 webhooks that have been sending for two weeks.

package Bench::Look;

use strict;
use warnings;

use Bench::Cluster;
use Bench::Guests;
use Bench::Nginx;
use Time::HiRes qw(time);

use constant GUESTS => 100_000;

my $backlog = $ENV{BENCH_BACKLOG} || 1_000_000;

# Messages written so far to be looked at.
my $filled = 0;

# The best of five: others may use the machine.
sub best
{
	my ($cluster, $statement) = @_;
	my ($best) = sort { $a <=> $b } map { 1000 * $cluster->timed($statement) } 1 .. 5;
	return $best;
}

# The same in a session that has done it before, as that of a monitoring system.
sub best_again
{
	my ($cluster, $statement) = @_;
	my $out = $cluster->sql('\timing on', ($statement) x 6);
	my (undef, @ms) = $out =~ /^Time: ([\d.]+) ms/mg;
	my ($best) = sort { $a <=> $b } @ms;
	return $best;
}

sub pages
{
	my $report = shift;
	my $cluster = Bench::Cluster->new;

	$cluster->sql(
		'CREATE TABLE event (id int PRIMARY KEY, uid text UNIQUE NOT NULL, profile text NOT NULL)',
		'CREATE TABLE booking (id int PRIMARY KEY, paid boolean NOT NULL)',
		'CREATE TABLE guest (id int PRIMARY KEY, event_id int NOT NULL, booking_id int NOT NULL, name text, cancelled timestamptz)',
		'CREATE INDEX ON guest (event_id)',
		q{SELECT webhook.watch('event', 'event', event_uid => 'uid', profile => 'profile')},
		q{SELECT webhook.watch('guest', 'guest', event_uid => '(SELECT e.uid FROM event e WHERE e.id = event_id)',
			profile => '(SELECT e.profile FROM event e WHERE e.id = event_id)',
			paid => '(SELECT b.paid FROM booking b WHERE b.id = booking_id)', deleted => 'cancelled IS NOT NULL')},
		q{INSERT INTO event SELECT n, 'e' || n, 'p' || n % 2 FROM generate_series(1, 1001) n},
		q{INSERT INTO booking SELECT n, n % 3 > 0 FROM generate_series(1, 50000) n},
		sprintf(q{INSERT INTO guest SELECT n, 1 + n %% 1000, 1 + n %% 50000, 'Guest ' || n FROM generate_series(1, %d) n}, GUESTS),
		'VACUUM ANALYZE',
		q{CREATE TABLE key AS SELECT webhook.create_integration('bench') AS key},
		q{SELECT webhook.connect_profile('bench', 'p0', true), webhook.connect_profile('bench', 'p1', true)});
	my %pages = (
		'a page of an event' => q{event_uid => 'e500'},
		'a page of an event without guests' => q{event_uid => 'e1001'},
		'the first page of all' => 'page => 1',
		'the last page of all' => 'page => 2000',
		'one guest' => q{guest_uid => '4711'});
	for my $what (sort keys %pages)
	{
		my $ms = best($cluster, "SELECT webhook.get_attendees(key, $pages{$what}) FROM key");

		$report->add(
			id       => 'C35',
			what     => "get_attendees() with 100,000 guests: $what, ms",
			ours     => sprintf('%.1f', $ms),
			baseline => '',
			value    => $ms,
			goal     => '< 50');
	}
}

sub many_webhooks
{
	my $report = shift;
	my $cluster = Bench::Cluster->new;
	my $counts = 'ARRAY[i, 0, 0, i / 9], ARRAY[0, 0, i, i / 9, 1], ARRAY[0, 0, 0, i, i / 8, 1]';

	$cluster->sql(
		q{SELECT count(webhook.create_webhook('app ' || i % 40, 'guest.*', 'https://host' || i || '.example.com/', name => 'webhook ' || i))
			FROM generate_series(1, 1000) AS i},
		"INSERT INTO webhook.activity_minute SELECT w, date_trunc('minute', now()) - (126 - i) * interval '1 min', now(), i, i, 0, i + i / 9, 0, $counts, 0, 0
			FROM generate_series(0, 1000) AS w, generate_series(1, 125) AS i",
		"INSERT INTO webhook.activity_hour SELECT w, date_trunc('hour', now()) - (337 - i) * interval '1 hour', now(), i, i, 0, i + i / 9, 0, $counts, 0, 0
			FROM generate_series(0, 1000) AS w, generate_series(1, 336) AS i",
		"INSERT INTO webhook.health (webhook_id, seq, delivered, attempts, recorded_at, outcomes, durations, latencies, last_success_at, failing_since)
			SELECT w, i, i, i + i / 9, date_trunc('minute', now()), $counts, now(), CASE WHEN w % 100 = 0 THEN now() END
			FROM generate_series(0, 1000) AS w, generate_series(400, 400) AS i",
		'VACUUM ANALYZE');
	for my $look ('status_page()', 'metrics()')
	{
		my %ms = ('first of a session' => best($cluster, "SELECT octet_length(webhook.$look)"), 'again' => best_again($cluster, "SELECT octet_length(webhook.$look)"));

		for my $when ('first of a session', 'again')
		{
			$report->add(
				id       => 'P17',
				what     => "$look of 1,000 webhooks, $when, ms",
				ours     => sprintf('%.1f', $ms{$when}),
				baseline => '',
				value    => $ms{$when},
				goal     => '< 100');
		}
	}
}

# Two webhooks: one for all, and one for every hundredth message, so that most rows of the outbox are runs.
sub backlog
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = Bench::Cluster->new;
	my @looks = (
		['pending_estimate()', 'SELECT webhook.pending_estimate()', '< 10'],
		['oldest_pending_age()', 'SELECT webhook.oldest_pending_age()', '< 10'],
		['stat_webhooks', 'SELECT * FROM webhook.stat_webhooks', '< 10'],
		['undelivered LIMIT 100', 'SELECT * FROM webhook.undelivered LIMIT 100', '< 10'],
		['pending()', 'SELECT webhook.pending()', undef]);

	Bench::Guests::create_table($cluster);
	Bench::Guests::watch($cluster);
	$cluster->sql(sprintf q{SELECT webhook.create_webhook('all', 'guest.create', '%1$s'),
		webhook.create_webhook('few', 'guest.create', '%1$s', event_uids => 'event-0001')}, $nginx->url);
	_fill($cluster, $backlog);
	for my $look (@looks)
	{
		my ($what, $statement, $goal) = @$look;
		my $ms = best_again($cluster, $statement);

		$report->note('   C41: %s, first statement of a session: %.1f ms', $what, best($cluster, $statement));
		$report->add(
			id       => 'C41',
			what     => "$what, $backlog messages waiting, ms",
			ours     => sprintf('%.1f', $ms),
			baseline => '',
			value    => $ms,
			goal     => $goal);
	}
	my ($estimate, $exact) = map { $cluster->sql("SELECT string_agg($_(id)::text, ', ' ORDER BY id) FROM webhook.get_webhooks()") }
	  qw(webhook.pending_estimate webhook.pending);
	$report->note('   estimated: %s; counted: %s', $estimate, $exact);

	# The rate alone, while another session needs as much CPU time, and while others look all the time.
	my $alone = _drain($cluster, $nginx);
	my $busy = _drain($cluster, $nginx, 'SELECT count(*) FROM generate_series(1, 1000000)');
	for my $look ($looks[0], $looks[2], $looks[4])
	{
		my $rate = _drain($cluster, $nginx, $look->[1]);

		$report->add(
			id       => 'C41',
			what     => "deliveries/s, $backlog waiting, $look->[0] in a loop, against another query in a loop",
			ours     => sprintf('%.0f/s', $rate),
			baseline => sprintf('%.0f/s', $busy),
			value    => $rate / $busy,
			goal     => '>= 0.9');
	}
	$report->note('   C41: %.0f deliveries/s without any query', $alone);
}

# One message in a hundred is for both webhooks.
sub _fill
{
	my ($cluster, $count) = @_;

	$cluster->sql(Bench::Guests::insert($count, q{CASE WHEN i % 100 = 0 THEN 'event-0001' ELSE 'event-0000' END}, $filled), 'CHECKPOINT');
	$filled += $count;
	return;
}

# Sends a fifth of the backlog, and fills it up again; returns deliveries per second.
sub _drain
{
	my ($cluster, $nginx, $look) = @_;
	my $deliveries = int($backlog / 5);
	my $before = $nginx->requests;
	my $worker = $cluster->worker_pid;
	my $ticks = Bench::Cluster::ticks($worker);
	my $start = time;
	my $pid;

	if ($look && !($pid = fork // die "fork: $!"))
	{
		require POSIX;
		$SIG{TERM} = sub { POSIX::_exit(0) };
		$cluster->sql(($look) x 100) while 1;
	}
	$cluster->set('webhook.dispatch', 'on');
	my $rate = $deliveries / ($nginx->wait_for($before, $deliveries) - $start);
	my $cpu = (Bench::Cluster::ticks($worker) - $ticks) * 10_000 / $deliveries;
	if ($pid)
	{
		kill 'TERM', $pid;
		waitpid $pid, 0;
		$? = 0;
	}
	$cluster->set('webhook.dispatch', 'off');
	$cluster->wait_for_worker("state = 'served' AND in_flight = 0");
	printf "  %.0f/s, %.1f microseconds of the worker's CPU per delivery%s\n", $rate, $cpu, $look ? " beside $look" : '';
	_fill($cluster, $deliveries);
	return $rate;
}

1;
