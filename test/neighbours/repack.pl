# Tables are rewritten under load: pg_repack, VACUUM FULL and CLUSTER, of the application's tables and of ours.
#
# pg_repack copies a table while it is written to, with a trigger that records the changes, and swaps the files.  Our outbox is
# written to without triggers, so pg_repack must not accept it.
#
# Mission: W1, W2, W3, W15.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Ledger;
use WebhookTest qw(sql becomes);

my $receiver = WebhookTest::Receiver->start;
my $node = WebhookTest::start_node('repack', 'webhook.partition_size = 64kB', 'log_statement = none');
my $ledger = Ledger->new($node, $receiver);

sql('CREATE EXTENSION pg_repack');

# Files of tables, by name.
sub files
{
	return { map { split /\|/ } split(/\n/, sql(q{SELECT oid::regclass, pg_relation_filenode(oid) FROM pg_class
		WHERE relkind = 'r' AND relnamespace IN ('webhook'::regnamespace, 'public'::regnamespace)})) };
}

sub rewritten
{
	my ($before) = @_;
	my $after = files();

	return join(' ', sort grep { $after->{$_} ne $before->{$_} } keys %$after);
}

# Another receiver fails from time to time, so that there are waiting deliveries.
WebhookTest::create_webhook($node, app => q{'flaky'}, event => q{'item.*'}, retry_schedule => q{array_fill('50 ms'::interval, ARRAY[32])},
	url => "'" . $receiver->url('/flaky') . "'");
sub wait_for_load
{
	$receiver->behave('/flaky', status => 503, times => 5);
	$ledger->wait_for_load;
	return;
}

$ledger->start_load;
wait_for_load();

foreach my $turn (1 .. 5)
{
	my $before = files();

	command_ok([ 'pg_repack', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-t', 'item' ], "W15: pg_repack ends: $turn");
	like(rewritten($before), qr/\bitem\b/, "W15: pg_repack has rewritten the watched table: $turn");
	wait_for_load();
}

# The whole database, as a nightly job does.
my $before = files();
my ($out, $err) = run_command([ 'pg_repack', '-h', $node->host, '-p', $node->port, '-d', 'postgres' ]);
my $rewritten = rewritten($before);

like($err, qr/repacking table "webhook.delivery"/, 'W15: pg_repack accepts the tables of schema webhook, too');
unlike($err, qr/repacking table "webhook\.(outbox|cursor|ring)/, 'W2: except those that are written to without triggers');
like($rewritten, qr/webhook\.delivery .*webhook\.webhook/, 'W15: and has rewritten them');
unlike($err, qr/ERROR/, 'W15: without an error');
note($err);
wait_for_load();

foreach my $statement ('VACUUM FULL item', 'CLUSTER item USING item_pkey', 'VACUUM FULL', 'REINDEX DATABASE postgres')
{
	sql($statement);
	pass("W15: $statement ends");
	wait_for_load();
}

$ledger->stop_load;
cmp_ok($ledger->check('rewritten tables'), '>', 1000, 'there was load');
is(sql(q{SELECT count(*) FROM webhook.delivery}), 0, 'W2: no delivery has failed or been lost');
my %tags = map { $_->{body} =~ /"tag":"([^"]+)/ => 1 } $receiver->requests('/flaky');
is(scalar(keys %tags), sql('SELECT count(*) FROM ledger'), 'W2: the other receiver has got all messages, too');
unlike(slurp_file($node->logfile), qr/webhook worker.*exited with exit code|PANIC|TRAP/, 'the worker has gone on');

$node->stop;
$receiver->stop;
done_testing();
