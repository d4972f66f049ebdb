# What keeping the history costs, and how fast it is searched: P15.
#
# The rate is that of P1, until the last message has been delivered, with webhook.history_retention and without in turn.
# The size is that of the history's tables with their indexes, once all messages have been moved there.

package Bench::History;

use strict;
use warnings;

use Bench::Cluster;
use Bench::Drain;
use Bench::Guests;
use Bench::Nginx;
use Bench::Report qw(median rounds);

my $messages = $ENV{BENCH_MESSAGES} || 200_000;
my $many = $ENV{BENCH_BACKLOG} || 1_000_000;

# P15
sub cost_and_search
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = Bench::Cluster->new;
	my (@with, @without);

	Bench::Guests::create_table($cluster);
	Bench::Guests::watch($cluster);
	$cluster->sql(sprintf q{SELECT webhook.create_webhook('bench', 'guest.create', '%s', event_uids => 'event-0000')}, $nginx->url);
	for (1 .. rounds(3))
	{
		$cluster->set('webhook.history_retention' => "'0'");
		$cluster->wait_for('SELECT count(*) = 0 FROM webhook.history_part');
		push @without, Bench::Drain::drain($cluster, $nginx, $messages);
		$cluster->set('webhook.history_retention' => "'7 d'");
		push @with, Bench::Drain::drain($cluster, $nginx, $messages);
	}
	Bench::Drain::add($report, 'P15', "deliveries/s, $messages waiting, with a history, against without", median(@with), median(@without), '>= 0.9');

	# Almost all is moved when there is more to come; what is still in the outbox is not counted.
	my ($bytes, $payload) = split(/\|/, $cluster->sql(q{
		SELECT (SELECT sum(pg_total_relation_size(('webhook.history_' || i)::regclass)) FROM generate_series(0, 7) AS i)::float8 / count(*),
			avg(octet_length(payload::text)) FROM webhook.history_rows}));
	$report->add(
		id       => 'P15',
		what     => sprintf('bytes of history per message of %.0f bytes', $payload),
		ours     => sprintf('%.0f', $bytes),
		baseline => sprintf('%.0f', 1.5 * $payload + 150),
		value    => $bytes / (1.5 * $payload + 150),
		goal     => '<= 1');

	# As many as that, of entities with three messages each.
	$cluster->sql(sprintf q{INSERT INTO webhook.history_0 (id, message_id, event, entity_type, entity_id, webhook_ids, payload, created_at)
		SELECT -i, gen_random_uuid(), 'guest.create', 'guest', to_json('many-' || i / 3), '{1}', (SELECT payload FROM webhook.history_rows LIMIT 1),
			now() FROM generate_series(1, %d) AS i}, $many);
	my @search;
	for (1 .. 20)
	{
		my $entity = 'many-' . int(rand($many / 3));

		$cluster->sql("SELECT count(*) FROM webhook.message_history WHERE entity_id = '$entity'") == 3 or die "$entity is not found\n";
		push @search, $cluster->sql(qq{EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM webhook.message_history WHERE entity_id = '$entity'}) =~
		  /"Execution Time": ([\d.]+)/ ? $1 : die "no time\n";
	}
	$report->add(
		id       => 'P15',
		what     => "ms to find an entity among $many messages",
		ours     => sprintf('%.2f ms', median(@search)),
		baseline => '10 ms',
		value    => median(@search) / 10,
		goal     => '<= 1');
	$report->note('   P15: the tables of the history have %s dead rows',
		$cluster->sql(q{SELECT sum(n_dead_tup) FROM pg_stat_user_tables WHERE relname ~ '^history_[0-7]$'}));

	# All of it is dropped at once.
	my $size = $cluster->sql(q{SELECT pg_size_pretty(pg_total_relation_size('webhook.history_0'))});
	my $seconds = $cluster->timed('TRUNCATE webhook.history_0');
	$report->add(
		id       => 'P15',
		what     => "s to drop a table of the history with $many messages, $size",
		ours     => sprintf('%.2f s', $seconds),
		baseline => '1 s',
		value    => $seconds,
		goal     => '<= 1');
	return;
}

1;
