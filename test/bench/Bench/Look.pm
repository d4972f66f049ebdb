# C35: what a page of the API costs with 100,000 guests whose event and profile are expressions.

package Bench::Look;

use strict;
use warnings;

use Bench::Cluster;

use constant GUESTS => 100_000;

# The best of five: others may use the machine.
sub best
{
	my ($cluster, $statement) = @_;
	my ($best) = sort { $a <=> $b } map { 1000 * $cluster->timed($statement) } 1 .. 5;
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

1;
