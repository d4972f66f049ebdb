# A million rows in one INSERT, with a transaction left open elsewhere: the worker's memory does not grow with it, the
# outbox returns its space, no table collects dead rows, and no snapshot is held while requests are in flight.
#
# Mission: W13; goals P7, P9, P11.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $rows = 1_000_000;
my $node = WebhookTest::start_node('main', 'webhook.dispatch = off', 'synchronous_commit = off',
	'max_wal_size = 4GB', 'autovacuum = off');
my $receiver = WebhookTest::Receiver->start;

sub set_dispatch
{
	my ($value) = @_;

	sql("ALTER SYSTEM SET webhook.dispatch = $value");
	$node->reload;
	return;
}

my $worker = q{backend_type = 'webhook worker'};

sub worker_memory
{
	my $pid = sql("SELECT pid FROM pg_stat_activity WHERE $worker");
	my ($kilobytes) = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m;

	return $kilobytes;
}

plan skip_all => 'memory is read from /proc' unless -r '/proc/self/status';

sql(q{
	CREATE TABLE thing (id integer PRIMARY KEY, name text);
	SELECT webhook.watch('thing', 'thing');
});
my $url = $receiver->url('/volume');

# Most messages are for a webhook that has been deleted by then: they are read and processed like
# all others, but the receiver does not have to handle a million requests.
WebhookTest::create_webhook($node, app => "'few'", event => "'thing.create'", filter => q{'{"name": "sent"}'}, url => "'$url'");
my $gone = WebhookTest::create_webhook($node, app => "'gone'", event => "'thing.create'", url => "'$url'");
my $idle = worker_memory();

my $open = WebhookTest::session($node);
$open->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()');
sql("INSERT INTO thing SELECT i, CASE i % 2000 WHEN 0 THEN 'sent' ELSE 'dropped' END FROM generate_series(1, $rows) AS i");
is(sql('SELECT count(*) FROM webhook.outbox'), $rows, 'a million messages are in the outbox');
cmp_ok(sql(q{SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables WHERE relname LIKE 'outbox\_%'}), '>', 64 * 1024 * 1024, 'and take more space than the worker may use');
sql("SELECT webhook.delete_webhook_by_id($gone)");

$receiver->behave('/volume', hold => 1);
set_dispatch('on');
ok($receiver->wait_for_count(1, '/volume'), 'requests are in flight');
is(sql("SELECT backend_xmin IS NULL AND backend_xid IS NULL AND xact_start IS NULL FROM pg_stat_activity WHERE $worker"),
	't', 'W13: no snapshot and no transaction while requests are in flight');
$receiver->behave('/volume');

my $most = 0;
while (sql('SELECT webhook.pending() > 0') eq 't')
{
	my $now = worker_memory();

	$most = $now if $now > $most;
}
cmp_ok($most - $idle, '<', 64 * 1024, 'P9: memory of the worker stays below 64 MB above idle');
note("$idle kB idle, $most kB at most");
is(scalar(my @requests = $receiver->requests('/volume')), $rows / 2000, 'all other messages have been sent');

ok( $node->poll_query_until(
		'postgres', q{SELECT sum(pg_total_relation_size('webhook.outbox_' || n)) < 300 * 1024 * 1024 FROM generate_series(0, 3) AS n}),
	'P11: the space is returned, with the transaction still open');
is( sql(q{SELECT string_agg(relname || ' ' || n_dead_tup, ', ') FROM pg_stat_all_tables
		   WHERE schemaname = 'webhook' AND n_dead_tup > 1000}),
	'', 'P7: no table collects dead rows');
$open->query_safe('COMMIT');
$open->quit;

# Large payloads: the worker limits what it reads ahead in bytes, not only in rows; and thousands of small subtransactions.

sql(q{SELECT webhook.create_webhook('gone', 'large', '}, $url, q{')});
set_dispatch('off');
sql(q{SELECT count(webhook.emit('large', jsonb_build_object('text', repeat(md5(i::text), 30000)))) FROM generate_series(1, 100) AS i});
$most = 0;
set_dispatch('on');
while (sql('SELECT webhook.pending() > 0') eq 't')
{
	my $now = worker_memory();

	$most = $now if $now > $most;
}
cmp_ok($most - $idle, '<', 64 * 1024, 'P9: so it does with 100 messages of a megabyte each');
note("$most kB at most");

$node->stop;
done_testing();
