# pglogical feeds a server with the extension, as PostgreSQL's own logical replication does.
#
# What it applies is captured where the trigger is an ALWAYS trigger, and nowhere else.
#
# Mission: W17, W1, W2, W3.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Ledger;
use WebhookTest;

my $receiver = WebhookTest::Receiver->start;

# The application's server has neither the library nor the extension.
my $application = PostgreSQL::Test::Cluster->new('application');
$application->init(allows_streaming => 'logical');
$application->append_conf('postgresql.conf', "shared_preload_libraries = 'pglogical'\nlog_statement = none\n");
$application->start;

# For each row that it applies to a table with an AFTER ROW trigger pglogical 2.4.2 leaves a reference to the relation, of which
# PostgreSQL warns; see findings/pglogical_reference_leak.sh.
my $dispatcher = WebhookTest::new_node('dispatcher', "shared_preload_libraries = 'webhook,pglogical'", 'wal_level = logical',
	'log_min_messages = error', 'max_worker_processes = 30');
$dispatcher->start;
$dispatcher->safe_psql('postgres', 'CREATE EXTENSION webhook');
my $ledger = Ledger->new($dispatcher, $receiver);
$dispatcher->safe_psql('postgres', 'TRUNCATE item');

sub dsn
{
	my ($node) = @_;

	return 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres user=postgres';
}

foreach my $node ($application, $dispatcher)
{
	my $name = $node->name;

	$node->safe_psql('postgres', 'CREATE EXTENSION pglogical');
	$node->safe_psql('postgres', "SELECT pglogical.create_node('$name', '" . dsn($node) . q{')});
}
$application->safe_psql('postgres', Ledger::tables() . q{
	CREATE TABLE other (id integer PRIMARY KEY);
	INSERT INTO item SELECT i, 0, gen_random_uuid() FROM generate_series(1, 20) AS i;
	SELECT pglogical.replication_set_add_all_tables('default', '{public}')});
$dispatcher->safe_psql('postgres', q{CREATE TABLE other (id integer PRIMARY KEY); SELECT webhook.watch('other', 'other')});
WebhookTest::create_webhook($dispatcher, app => q{'o'}, event => q{'other.*'}, url => "'" . $receiver->url('/other') . "'");
$dispatcher->safe_psql('postgres', "SELECT pglogical.create_subscription('feed', '" . dsn($application) . q{', synchronize_data := true)});
$dispatcher->safe_psql('postgres', q{SELECT pglogical.wait_for_subscription_sync_complete('feed')});

# Wait until the dispatcher has applied what the application has committed.
sub applied
{
	my $position = $application->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');

	$application->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_replication WHERE flush_lsn >= '$position'")
	  or BAIL_OUT('the changes are not applied');
	return;
}

# The usual trigger: it does not fire for applied changes

$application->safe_psql('postgres', 'INSERT INTO other VALUES (1); UPDATE item SET n = n + 1');
applied();
is($dispatcher->safe_psql('postgres', 'SELECT count(*) FROM other'), 1, 'W17: pglogical has applied a row');
$dispatcher->safe_psql('postgres', 'INSERT INTO other VALUES (1000)');
$receiver->wait_for_count(1, '/other');
WebhookTest::wait_until_delivered($dispatcher);
is_deeply([ map { decode_json($_)->{entity_id} } $receiver->bodies('/other') ], [1000],
	'W17: the usual trigger does not capture applied changes, but those of sessions');
is($receiver->count('/ledger'), 0, 'W17: neither updates nor the initial copy are captured');

# An ALWAYS trigger: load, with transactions of many rows, which pglogical applies in batches

$dispatcher->safe_psql('postgres', qq{ALTER TABLE $_ ENABLE ALWAYS TRIGGER "00_webhook_capture"}) foreach qw(item other);
foreach my $turn (1 .. 3)
{
	$ledger->start_load(host => $application->host, port => $application->port);
	$ledger->wait_for_load(200);
	$application->safe_psql('postgres', "INSERT INTO other SELECT generate_series($turn * 10000, $turn * 10000 + 499)");

	# The apply worker, then ours, then the whole dispatcher
	$dispatcher->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pglogical apply%'}) if $turn == 1;
	$dispatcher->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM webhook.stat_workers}) if $turn == 2;
	if ($turn == 3)
	{
		$dispatcher->stop('immediate');
		$dispatcher->start;
	}
	$ledger->wait_for_load(200);
	$ledger->stop_load($application);
	applied();
	is($dispatcher->safe_psql('postgres', 'SELECT md5(string_agg(tag::text, $$,$$ ORDER BY tag)) FROM ledger'),
		$application->safe_psql('postgres', 'SELECT md5(string_agg(tag::text, $$,$$ ORDER BY tag)) FROM ledger'),
		"W17: the dispatcher has the application's ledger: $turn");
	cmp_ok($ledger->check("pglogical $turn", repeats => 1), '>', 400 * $turn, "W17: there was load: $turn");
}
my %others = map { decode_json($_)->{entity_id} => 1 } $receiver->bodies('/other');
is(scalar(keys %others), $dispatcher->safe_psql('postgres', 'SELECT count(*) - 1 FROM other'), 'W17, W2: the rows of batches arrive, too');

# Rows that pglogical changes to resolve a conflict, or leaves as they are

$dispatcher->safe_psql('postgres', q{INSERT INTO other VALUES (2)});
$receiver->wait_for(sub { grep { $_->{body} =~ /"entity_id":2,/ } @_ });
WebhookTest::wait_until_delivered($dispatcher);
my $count = $receiver->count('/other');
$application->safe_psql('postgres', 'INSERT INTO other VALUES (2); DELETE FROM other WHERE id = 2; DELETE FROM other WHERE id = 10000');
applied();
ok($receiver->wait_for(sub { grep { $_->{body} =~ /"entity_id":10000,.*"delete"/ } @_ }), 'W17: a DELETE arrives');
WebhookTest::wait_until_delivered($dispatcher);
is_deeply([ map { decode_json($_) } ($receiver->bodies('/other'))[ $count .. $receiver->count('/other') - 1 ] ],
	[ map { { entity_id => $_, entity_type => 'other', action_type => 'delete' } } 2, 10000 ],
	'W17: an INSERT of a row that exists already and is equal is no message');

$dispatcher->stop;
$application->stop;
$receiver->stop;
done_testing();
