# pg_cron's jobs write to watched tables and call the extension's functions, in background workers and over connections;
# its launcher and ours are in one server.
#
# pg_cron's shortest schedule is a minute, which is how long this test takes.
#
# Mission: W1, W2, W15, W16.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest;

my $receiver = WebhookTest::Receiver->start;
my %nodes;

# One server for each of pg_cron's two modes and each order of the libraries.
foreach my $way (qw(workers connections))
{
	my $node = WebhookTest::new_node($way);

	$node->append_conf('postgresql.conf', "shared_preload_libraries = '" . ($way eq 'workers' ? 'pg_cron, webhook' : 'webhook, pg_cron') . "'");
	$node->append_conf('postgresql.conf', 'cron.use_background_workers = ' . ($way eq 'workers' ? 'on' : 'off'));
	$node->append_conf('postgresql.conf', "cron.host = '" . $node->host . "'");
	$node->start;
	$node->safe_psql('postgres', 'CREATE DATABASE app');
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron');
	foreach my $database (qw(postgres app))
	{
		$node->safe_psql($database, qq{
			CREATE EXTENSION webhook;
			CREATE TABLE guest (id serial PRIMARY KEY, note text);
			SELECT webhook.watch('guest', 'guest');
			SELECT webhook.create_webhook('a', 'guest.*,cron_done', '} . $receiver->url("/$way/$database") . q{')});
		my $job = q{INSERT INTO guest (note) SELECT i::text FROM generate_series(1, 100) AS i;
			SELECT webhook.emit('cron_done', jsonb_build_object('guests', count(*))) FROM guest};
		$node->safe_psql('postgres', "SELECT cron.schedule_in_database('$database', '* * * * *', \$job\$$job\$job\$, '$database')");
		$node->safe_psql('postgres', "SELECT cron.schedule_in_database('$database fails', '* * * * *',
			'INSERT INTO guest (note) VALUES (''never''); SELECT 1/0', '$database')");
	}
	$nodes{$way} = $node;
}

foreach my $way (sort keys %nodes)
{
	my $node = $nodes{$way};

	$node->poll_query_until('postgres', q{SELECT count(*) FILTER (WHERE status = 'succeeded') >= 2 AND count(*) FILTER (WHERE status = 'failed') >= 2
		FROM cron.job_run_details})
	  or BAIL_OUT('the jobs do not run: ' . $node->safe_psql('postgres', 'TABLE cron.job_run_details'));
	$node->safe_psql('postgres', 'SELECT cron.unschedule(jobid) FROM cron.job');
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM cron.job_run_details WHERE status NOT IN ('succeeded', 'failed')})
	  or BAIL_OUT('the jobs do not end');
	foreach my $database (qw(postgres app))
	{
		WebhookTest::wait_until_delivered($node, $database);
		my @bodies = map { decode_json($_) } $receiver->bodies("/$way/$database");
		my @ids = map { $_->{entity_id} } grep { ($_->{entity_type} // '') eq 'guest' } @bodies;
		my @rows = split(/\n/, $node->safe_psql($database, 'SELECT id FROM guest ORDER BY id'));

		cmp_ok(scalar(@rows), '>=', 100, "W15: $way: a job has written to database $database");
		is_deeply([ sort { $a <=> $b } @ids ], \@rows, "W1, W2: $way: database $database: the rows of jobs that succeeded arrive, once, and no others");
		is(scalar(grep { !defined $_->{entity_id} } @bodies), @rows / 100, "W15: $way: database $database: so do messages that jobs emit") or note(explain($bodies[-1]));
	}
	is($node->safe_psql('postgres', q{SELECT count(*) FROM webhook.stat_workers WHERE state = 'served'}), 2, "W16: $way: both databases are served");
	unlike(slurp_file($node->logfile), qr/(webhook|pg_cron) (worker|launcher).*exited with exit code [^01]|PANIC|TRAP/, "$way: no process has failed");
	$node->stop;
}

$receiver->stop;
done_testing();
