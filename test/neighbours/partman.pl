# pg_partman creates partitions of a watched table, moves rows into them and removes old ones; its worker runs in the same server.
#
# A copy kept by the receiver must equal the table.
#
# Mission: W2, W15; cases: C18.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

my $receiver = WebhookTest::Receiver->start;
my $node = WebhookTest::start_node('partman', "shared_preload_libraries = 'webhook,pg_partman_bgw'",
	'pg_partman_bgw.interval = 1', q{pg_partman_bgw.dbname = 'postgres'}, q{pg_partman_bgw.role = 'postgres'});
my $partitions = q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'visit'::regclass};

# The copy of a receiver that applies all messages.
sub copy
{
	my %copy;

	WebhookTest::wait_until_delivered($node);
	foreach my $body (map { decode_json($_) } $receiver->bodies('/visit'))
	{
		delete $copy{ $body->{entity_id} };
		$copy{ $body->{entity_id} } = $body->{result}{what} if $body->{action_type} ne 'delete';
	}
	return \%copy;
}

sub table
{
	return { map { split /\|/ } split(/\n/, sql('SELECT id, what FROM visit')) };
}

sql(q{
	CREATE SCHEMA partman;
	CREATE EXTENSION pg_partman SCHEMA partman;
	CREATE TABLE visit (id bigserial, at timestamptz NOT NULL, what text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	SELECT webhook.watch('visit', 'visit', id => 'id');
	SELECT partman.create_parent('public.visit', 'at', 'native', 'daily', p_premake := 2)});
WebhookTest::create_webhook($node, app => q{'a'}, event => q{'visit.*'}, url => "'" . $receiver->url('/visit') . "'");

# Rows in every partition, before and after partman's worker has created more

my $first = sql($partitions);
sql(q{INSERT INTO visit (at, what) SELECT now() + d * interval '1 day', 'before' FROM generate_series(-2, 2) AS d});
is_deeply(copy(), table(), 'W15: rows of all partitions arrive');
sql(q{UPDATE partman.part_config SET premake = 10, infinite_time_partitions = true});
becomes(qq{SELECT ($partitions) >= $first + 8}, 't', q{W15: partman's worker makes partitions});
is( sql(q{SELECT count(*) FROM pg_inherits AS i WHERE inhparent = 'visit'::regclass
		AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = inhrelid AND tgname = '00_webhook_capture')}),
	0,
	'W15: all of them are watched');
sql(q{INSERT INTO visit (at, what) SELECT now() + d * interval '1 day', 'after' FROM generate_series(3, 10) AS d});
is_deeply(copy(), table(), 'W15: rows of the new partitions arrive');
sql(q{UPDATE visit SET at = at + interval '1 day', what = 'moved' WHERE what = 'before'});
is_deeply(copy(), table(), 'W15: rows that move arrive');
is(scalar(grep { /"delete"/ } $receiver->bodies('/visit')), 0, 'W15: a move is an update');
is(sql(q{SELECT count(*) FROM ONLY visit_default}), 0, 'no row is in the default partition');

# Rows moved out of the default partition.  partman's worker would create the same partitions meanwhile, and deadlock.

sql(q{UPDATE partman.part_config SET automatic_maintenance = 'off'});
becomes(q{SELECT count(*) FROM pg_stat_activity WHERE query ~ 'run_maintenance' AND state = 'active' AND pid <> pg_backend_pid()}, 0,
	q{partman's worker rests});

sub fill_default
{
	my ($days) = @_;

	sql(qq{INSERT INTO visit (at, what) SELECT now() + (d || ' days')::interval, 'far away' FROM generate_series($days, $days + 4) AS d});
	is(sql(q{SELECT count(*) FROM visit_default}), 5, 'rows are in the default partition');
	is_deeply(copy(), table(), 'W15: and arrive');
	return $receiver->count('/visit');
}

my $count = fill_default(1000);
sql(q{CALL partman.partition_data_proc('public.visit')});
is(sql(q{SELECT count(*) FROM visit_default}), 0, 'partman has moved the rows');
is_deeply(copy(), table(), 'C18: the copy equals the table also when partman moves rows');
my @moves = map { decode_json($_) } ($receiver->bodies('/visit'))[ $count .. $receiver->count('/visit') - 1 ];
is_deeply([ map { $_->{action_type} } sort { $a->{entity_id} <=> $b->{entity_id} } @moves ],
	[ ('delete', 'new') x 5 ], 'C18: each move is a delete and a create');

$count = fill_default(2000);
sql(q{SET session_replication_role = replica; CALL partman.partition_data_proc('public.visit')});
is(sql(q{SELECT count(*) FROM visit_default}), 0, 'partman has moved the rows under session_replication_role');
is_deeply(copy(), table(), 'C18: the copy equals the table');
is($receiver->count('/visit'), $count, 'C18: the recipe of the README sends nothing');
sql(q{UPDATE visit SET what = 'still watched' WHERE what = 'far away'});
is_deeply(copy(), table(), 'W15: moved rows are watched');

# Old partitions are detached and kept, then dropped; neither is a change of rows

$count = $receiver->count('/visit');
$first = sql($partitions);
my $oldest = sql(q{SELECT tableoid::regclass FROM visit ORDER BY at LIMIT 1});
sql(q{UPDATE partman.part_config SET retention = '0 days', retention_keep_table = true, automatic_maintenance = 'on'});
becomes(qq{SELECT ($partitions) < $first}, 't', q{W15: partman's worker detaches old partitions});
is(sql(qq{SELECT count(*) FROM pg_trigger WHERE tgrelid = '$oldest'::regclass AND tgname LIKE '%webhook%'}), 0,
	'W15: a detached partition is not watched any more');
sql(qq{INSERT INTO $oldest SELECT * FROM $oldest LIMIT 0; DELETE FROM $oldest});
WebhookTest::wait_until_delivered($node);
is($receiver->count('/visit'), $count, 'W15: nothing is sent for it');
sql(q{INSERT INTO visit (at, what) VALUES (now() + interval '1 day', 'last')});
ok($receiver->wait_for(sub { grep { $_->{body} =~ /"last"/ } @_ }), 'W15: changes of the others are sent');
unlike(slurp_file($node->logfile), qr/webhook worker.*exited with exit code|PANIC|TRAP/, 'the worker has gone on');

$node->stop;
$receiver->stop;
done_testing();
