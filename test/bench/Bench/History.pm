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

	# A worker that has nothing to send takes its time to move the rest.
	$cluster->wait_for("SELECT count(*) = 0 AND (SELECT count(*) FROM webhook.history_rows) >= $messages FROM generate_series(0, 3) AS n, webhook.ring AS r
		WHERE n <> r.current AND pg_relation_size('webhook.outbox_' || n) > 0", 600);
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

	_fill($cluster);
	_search($report, $cluster, 'entity', q{entity_id = 'many-%d'}, sub { int(rand($many / 3)) }, 10);
	_search($report, $cluster, 'message', q{message_id = '%s'},
		sub { $cluster->sql('SELECT message_id FROM webhook.history_' . int(rand(8)) . ' WHERE id < 0 ORDER BY id LIMIT 1 OFFSET 1000') });
	_search($report, $cluster, 'minute', q{created_at BETWEEN now() - interval '%1$d min' AND now() - interval '%1$d min' + interval '1 min'},
		sub { 60 + int(rand(60 * 24)) });
	_search($report, $cluster, 'trigger name and minute',
		q{event = 'guest.create' AND created_at BETWEEN now() - interval '%1$d min' AND now() - interval '%1$d min' + interval '1 min'},
		sub { 60 + int(rand(60 * 24)) });
	$report->note('   P15: the tables of the history have %s dead rows, and take %s for %s messages', split(/\|/, $cluster->sql(q{
		SELECT (SELECT sum(n_dead_tup) FROM pg_stat_user_tables WHERE relname ~ '^history_[0-7]$'),
			pg_size_pretty(sum(pg_total_relation_size(('webhook.history_' || i)::regclass))), (SELECT count(*) FROM webhook.history_rows)
		FROM generate_series(0, 7) AS i})));

	# An eighth of it is dropped at once: with a retention of a week, what was captured in a day.
	my $size = $cluster->sql(q{SELECT pg_size_pretty(pg_total_relation_size('webhook.history_3'))});
	my $seconds = $cluster->timed('TRUNCATE webhook.history_3');
	$report->add(
		id       => 'P15',
		what     => "s to drop a table of the history, an eighth of $many messages, $size",
		ours     => sprintf('%.2f s', $seconds),
		baseline => '1 s',
		value    => $seconds,
		goal     => '<= 1');
	return;
}

# As many messages as that in all tables, as the worker would have moved them there in a week: of entities with three messages
# each, in the order of time, with ids that begin with it, analyzed by autovacuum and summarized as by the worker.
sub _fill
{
	my ($cluster) = @_;

	for my $part (0 .. 7)
	{
		$cluster->sql(sprintf q{INSERT INTO webhook.history_%1$d (id, message_id, event, entity_type, entity_id, event_uid, webhook_ids, payload,
				created_at, relation)
			SELECT i - 2 * %2$d, (lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0') || '7' || substr(r, 1, 3) || 'a' || substr(r, 4, 15))::uuid,
				'guest.create', 'guest', to_json('many-' || i %% (%2$d / 3)), 'event-0000', '{1}', payload, t, relation
			FROM (SELECT payload, relation FROM webhook.history_rows LIMIT 1) AS m,
				generate_series(%1$d * (%2$d / 8) + 1, (%1$d + 1) * (%2$d / 8)) AS i,
				LATERAL (SELECT now() - interval '7 days' * (%2$d - i) / %2$d, md5(i::text)) AS n (t, r)}, $part, $many);
		$cluster->sql("SELECT brin_summarize_new_values('webhook.history_${part}_created_idx')");
	}
	$cluster->wait_for(q{SELECT bool_and(last_autoanalyze IS NOT NULL) FROM pg_stat_user_tables WHERE relname ~ '^history_[0-7]$'}, 600);
	return;
}

# The time of a search, by a session that has searched before; no table of the history may be read as a whole.
sub _search
{
	my ($report, $cluster, $what, $condition, $value, $goal) = @_;
	my @search;

	for (1 .. 20)
	{
		my $query = 'SELECT * FROM webhook.message_history WHERE ' . sprintf($condition, $value->());
		my $plan = $cluster->sql($query, "EXPLAIN (ANALYZE, FORMAT JSON) $query");

		die "all of it is read:\n$plan\n" if $plan =~ /Seq Scan",[^{}]*"Relation Name": "history_\d/;
		push @search, $plan =~ /"Execution Time": ([\d.]+)/ ? $1 : die "no time\n";
	}
	$report->add(
		id       => 'P15',
		what     => "ms to find by $what among $many messages",
		ours     => sprintf('%.2f ms', median(@search)),
		baseline => $goal ? "$goal ms" : '',
		value    => $goal ? median(@search) / $goal : median(@search),
		goal     => $goal ? '<= 1' : '');
	return;
}

1;
