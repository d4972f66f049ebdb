# The log and the counters while a snapshot is held: no dead rows, bounded growth, and nothing is lost when a
# table is truncated.
#
# Mission: E7, W12; goals: P7; cases: C37.

use strict;
use warnings;

use Test::More;
use WebhookTest qw(sql becomes);

use constant {
	BUSY => 5,
	FULL => 16 * 1024 * 1024,
};

my $node = WebhookTest::start_node('log_tables', 'autovacuum = off');
my $receiver = WebhookTest::Receiver->start;

sub create
{
	my ($app, $event) = @_;

	return WebhookTest::create_webhook($node, app => "'$app'", event => "'$event'", url => "'" . $receiver->url("/$app") . "'", ordering => "'none'");
}

my $quiet = create('quiet', 'thing.done');
my @busy = map { create("busy$_", 'busy') } 1 .. BUSY;

# Ten messages to each busy webhook, and rows as if it had sent thousands before.
my $round = 0;

sub fill
{
	$round++;
	sql("INSERT INTO webhook.$_ (webhook_id, seq, attempted_at, message_id, event, attempt, method, url, duration, outcome, request_body)
		 SELECT $busy[0], -i, now(), gen_random_uuid(), 'busy', 1, 'POST', '', '0', 'delivered', repeat('x', 1900) FROM generate_series(1, 9000) i")
	  foreach 'log', 'log_1';
	sql("SELECT count(webhook.emit('busy', jsonb_build_object('round', $round, 'n', n))) FROM generate_series(1, 10) n");
	becomes('SELECT webhook.pending() = 0', 't', 'the messages of a round are delivered');
	becomes("SELECT count(DISTINCT webhook_id), count(*) FROM webhook.last_attempts
			 WHERE event = 'busy' AND (request_body::json #>> '{result,round}')::integer = $round", BUSY . '|' . 10 * BUSY, 'C37, E7: the log shows them');
	return;
}

sub generations { return sql("SELECT string_agg(pg_relation_filenode('webhook.' || t)::text, ' ') FROM unnest('{log,log_1,health,health_1}'::text[]) t"); }

WebhookTest::emit($_) foreach 1 .. 3;
becomes("SELECT count(*) FROM webhook.get_webhook_log($quiet)", 3, 'three requests of a quiet webhook');

my $report = WebhookTest::session($node);
$report->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()');
my $before = generations();
foreach (1 .. 4)
{
	fill();
	becomes("SELECT pg_table_size('webhook.log') + pg_table_size('webhook.log_1') < @{[2 * FULL]}", 't', 'C37, P7: the log does not grow without bound');
}
isnt(generations(), $before, 'C37: tables are truncated while a snapshot is held');
is(sql(q{SELECT string_agg(relname || ' ' || n_dead_tup, ', ') FROM pg_stat_all_tables WHERE schemaname = 'webhook' AND relname <> 'delivery' AND n_dead_tup > 50}),
	'', 'C37, P7: they do not collect dead rows');
is(sql("SELECT string_agg(request_body::json #>> '{result,n}', ' ' ORDER BY attempted_at) FROM webhook.get_webhook_log($quiet)"), '1 2 3',
	'C37, E7: requests of a quiet webhook are still in the log');
becomes("SELECT sum(delivered), sum(attempts) FROM webhook.stat_webhooks WHERE app LIKE 'busy%'", $round * 10 * BUSY . '|' . $round * 10 * BUSY,
	'C37, W12: all attempts are counted');

# Health, with rows that are long outdated.
sql("INSERT INTO webhook.$_ (webhook_id, seq, last_error) SELECT $busy[0], -i, repeat('x', 500) FROM generate_series(1, 40000) i") foreach 'health', 'health_1';
becomes("SELECT pg_table_size('webhook.health') + pg_table_size('webhook.health_1') < @{[2 * FULL]}",
	't', 'C37: outdated rows are removed');
is(sql("SELECT min(delivered), max(delivered), bool_and(last_error IS NULL) FROM webhook.stat_webhooks WHERE app LIKE 'busy%'"),
	$round * 10 . '|' . $round * 10 . '|t', 'C37, W12: and no counter is lost');

# Deleted rows of the delivery table that the snapshot keeps are not read again and again: neither by messages that
# follow each other nor when an endpoint is slow for a moment.
sub entries_read
{
	my ($index) = @_;

	return sql("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE schemaname = 'webhook' AND indexrelname = '$index'");
}

my $strict = WebhookTest::create_webhook($node, app => "'strict'", event => "'strict'", url => "'" . $receiver->url('/strict') . "'",
	ordering => "'strict'", retry_schedule => "'{0,1s,1s,1s}'");
$receiver->behave('/strict', status => 500, times => 1);
my $read = entries_read('delivery_order_idx');
sql(q{SELECT count(webhook.emit('strict', jsonb_build_object('n', n))) FROM generate_series(1, 400) n});
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $strict", 400, 'W3: with strict ordering messages leave the table one after the other');
becomes("SELECT n_dead_tup >= 400 FROM pg_stat_all_tables WHERE relid = 'webhook.delivery'::regclass", 't', 'P7: their dead rows are kept');
cmp_ok(entries_read('delivery_order_idx') - $read, '<', 400 * 400 / 8, 'P7, C37: reading one does not read all before it');

my $slow = create('slow', 'slow');
sql("SELECT webhook.deactivate_webhook($slow, buffer_events => true)");
sql(q{SELECT count(webhook.emit('slow', jsonb_build_object('n', n))) FROM generate_series(1, 2000) n});
becomes("SELECT buffered FROM webhook.get_webhooks() WHERE id = $slow", 2000, 'M9: buffered');
sql("SELECT webhook.activate_webhook($slow, replay_events => true)");
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $slow", 2000, 'M9: and is replayed');
becomes("SELECT idx_tup_read >= 2000 FROM pg_stat_user_indexes WHERE schemaname = 'webhook' AND indexrelname = 'delivery_state_idx'",
	't', 'M9: and the statistics have been reported');
$read = entries_read('delivery_state_idx');
foreach my $n (1 .. 3)
{
	$receiver->behave('/slow', hold => 1);
	sql("SELECT count(webhook.emit('slow', jsonb_build_object('n', n))) FROM generate_series(1, 30) n");
	becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $slow", 30, 'W5: messages for a slow receiver are stored');
	$receiver->behave('/slow');
	becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $slow", 2000 + 30 * $n, 'W5: and sent afterwards');
}
becomes("SELECT n_dead_tup >= 2400 FROM pg_stat_all_tables WHERE relid = 'webhook.delivery'::regclass", 't', 'P7: their dead rows are kept as well');
cmp_ok(entries_read('delivery_state_idx') - $read, '<', 2000, 'P7, C37: dead rows are not read again');

# Activation by a session whose snapshot shows older counters, or none.
$report->query_safe("SELECT webhook.activate_webhook($busy[0])");
$report->query_safe('COMMIT');
is(sql("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $busy[0]"), $round * 10, 'C37, M3: activation does not reset counters');

# A reader keeps the tables from being truncated, and delays nothing else.
$report->query_safe('BEGIN; SELECT count(*) FROM webhook.log; SELECT count(*) FROM webhook.log_1');
fill() foreach 1 .. 2;
cmp_ok(sql("SELECT pg_table_size('webhook.log') + pg_table_size('webhook.log_1')"), '>', 3 * FULL, 'C37: while a session reads them they grow');
$report->query_safe('COMMIT');
becomes("SELECT pg_table_size('webhook.log') + pg_table_size('webhook.log_1') < @{[2 * FULL]}", 't', 'C37: and shrink afterwards');
$report->quit;

# Which table is current is not known after a restart.
$node->restart;
fill();
is(sql("SELECT string_agg(request_body::json #>> '{result,n}', ' ' ORDER BY attempted_at) FROM webhook.get_webhook_log($quiet)"), '1 2 3',
	 'C37, E7: nothing is forgotten after a restart');
sql("SELECT webhook.delete_webhook_by_id($busy[0])");
is(sql("SELECT count(*) FROM (SELECT webhook_id FROM webhook.log UNION ALL SELECT webhook_id FROM webhook.log_1 UNION ALL
		SELECT webhook_id FROM webhook.health UNION ALL SELECT webhook_id FROM webhook.health_1) a WHERE webhook_id = $busy[0]"), 0,
	'M4: everything goes with the webhook');

$node->stop;
$receiver->stop;
done_testing();
