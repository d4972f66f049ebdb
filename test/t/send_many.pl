# Many webhooks (WEBHOOK_MANY: 1,000 by default, 10,000 with make test-many), half of them failing, for an hour of virtual
# time: nothing grows without bound, no webhook starves.
#
# Every five virtual minutes each webhook gets a message.  Half of the receivers refuse connections; their webhooks fail, are probed on the
# schedule, and their messages are kept.
#
# Mission: W5 W13; goals: R4 P9.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

use constant
{
	WEBHOOKS => $ENV{WEBHOOK_MANY} || 1000,
	STEPS => 12,
	STEP_SECONDS => 300
};

my $node = WebhookTest::start_node('many', 'autovacuum_naptime = 1s', 'fsync = off');
my $receiver = WebhookTest::Receiver->start;
my $gone = WebhookTest::Receiver->start;
my $dead_url = $gone->url('/');
$gone->stop;

sub memory
{
	my $pid = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'webhook worker' AND datname = current_database()");
	return 0 unless -e "/proc/$pid/status";
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;

	return $kb;
}

# Bytes of all tables except the delivery table, the log, see below, and the activity of two hours.
sub size
{
	return sql(q{SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
		WHERE c.relnamespace = 'webhook'::regnamespace AND c.relkind = 'r' AND c.relname NOT IN ('delivery', 'log', 'log_1') AND c.relname NOT LIKE 'activity%'});
}

sub wal
{
	return sql('SELECT pg_current_wal_insert_lsn()');
}

my $half = WEBHOOKS / 2;

sql("SELECT count(webhook.create_webhook('well', 'tick', '" . $receiver->url('/well') . "')) FROM generate_series(1, $half)");
sql("SELECT count(webhook.create_webhook('dead', 'tick', '$dead_url')) FROM generate_series(1, $half)");

my (@memory, @size, @wal);
my $start_wal = wal();
foreach my $step (1 .. STEPS)
{
	my $before = wal();

	sql(q{SELECT webhook.emit('tick', jsonb_build_object('at', now()), 'the one')});
	ok($receiver->wait_for_count($half * $step), "R4: step $step: all healthy webhooks have got the message");
	becomes("SELECT count(*) FROM webhook.delivery", $half * $step, "R4: step $step: the messages of the others are kept");
	becomes("SELECT sum(delivered) = $half * $step FROM webhook.stat_webhooks WHERE app = 'well'", 't', "R4: step $step: and are counted");
	sql("ALTER SYSTEM SET webhook.clock_offset = '" . $step * STEP_SECONDS . "s'");
	$node->reload;
	push @memory, memory();
	push @size, size();
	push @wal, sql("SELECT pg_current_wal_insert_lsn() - '$before'");
}
is(scalar($receiver->requests('/well')), $half * STEPS, 'R4: once');

# In an hour the default schedule has four attempts.
is(sql("SELECT bool_and(active) FROM webhook.webhook"), 't', 'R4: no webhook is deactivated within an hour');
cmp_ok(sql("SELECT max(attempts) FROM webhook.stat_webhooks WHERE app = 'dead'"), '<=', 5 + 4, 'W5: failing ones get few requests');

# The first steps differ: everything is loaded, and endpoints start to fail.
note("memory, kB: @memory");
note("size, bytes: @size");
note("WAL per step, bytes: @wal");
cmp_ok($memory[-1] - $memory[ STEPS / 2 ], '<', 8192, 'R4: memory does not grow');
cmp_ok($memory[-1], '<', 65536 * WEBHOOKS / 1000, 'P9: and memory is bounded');
cmp_ok($size[-1], '<', 1.5 * $size[ STEPS / 2 ] + 1024 * 1024, 'R4: tables do not grow');
is(sql('SELECT max(n) FROM (SELECT count(*) AS n FROM webhook.last_attempts GROUP BY webhook_id) AS a'), 10, 'R4 E7: the log shows ten attempts each');
cmp_ok(sql(q{SELECT pg_table_size('webhook.log') + pg_table_size('webhook.log_1')}), '<', sql('SELECT 8 * sum(pg_column_size(a)) FROM webhook.last_attempts a') + 32 * 1024 * 1024,
	'R4: and its tables are bounded');
cmp_ok($wal[-1] / WEBHOOKS, '<', 8192, 'R4: writes are bounded: bytes of WAL per webhook and message');

# One receiver comes back.
my $id = sql("SELECT min(id) FROM webhook.webhook WHERE app = 'dead'");
sql("SELECT webhook.update_webhook($id, '{\"url\": \"" . $receiver->url('/back') . "\"}')");
ok($receiver->wait_for_count(STEPS, '/back'), 'R4: a receiver that comes back gets what it has missed');

$node->stop;
$receiver->stop;
done_testing();
