# Webhooks that are changed, deleted, deactivated and activated while requests are in flight or during a replay; schedules with
# extreme values.
#
# Mission: M3 M4 M7 M9, W2 W3 W4 W5 W11.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql emit emit_many becomes let_pass end_test);

my $node = WebhookTest::start_node('lifecycle', 'webhook.timeout = 1min');
my $receiver = WebhookTest::Receiver->start;

# The first request of each message must come after those of the smaller numbers of its entity.
sub out_of_order
{
	my (%last, %seen, @wrong);

	foreach my $n (@{ [ $receiver->numbers($_[0]) ] })
	{
		next if $seen{$n}++;
		push @wrong, $n if ($last{ $n % 10 } // 0) > $n;
		$last{ $n % 10 } = $n;
	}
	return "@wrong";
}

# M4: deletion with requests in flight

my $fence = $receiver->webhook('/fence', event => "'fence'");
my $id = $receiver->webhook('/deleted', ordering => "'none'", max_in_flight => 5);
$receiver->behave('/deleted', hold => 1);
emit_many(1, 50);
$receiver->arrives('/deleted', 5, 'M4: five requests are in flight');
is(sql("SELECT webhook.delete_webhook_by_id($id)"), 't', 'M4: their webhook is deleted');
emit_many(51, 60);
$receiver->behave('/deleted', status => 500);
sql("SELECT webhook.emit('fence', '1')");
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $fence", 1, 'M4: the worker goes on');
becomes('SELECT sum(in_flight) FROM webhook.stat_workers', 0, 'M4: the requests have ended');
sql("SELECT webhook.emit('fence', '2')");
becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $fence", 2, 'M4: their results are recorded');
is($receiver->count('/deleted'), 5, 'M4: nothing is sent after the deletion');
is( join(' ', map { sql("SELECT count(*) FROM webhook.$_ WHERE webhook_id = $id") } qw(delivery health log notification)),
	'0 0 0 0', 'M4: no row is left');
becomes('SELECT webhook.pending() + (SELECT count(*) FROM webhook.outbox_unread())', 0, 'M4: the position has moved on');
end_test($receiver);

# ... with a large buffer

$id = $receiver->webhook('/large');
sql("SELECT webhook.deactivate_webhook($id, true)");
sql("INSERT INTO webhook.delivery (webhook_id, id, message_id, event, created_at, order_key, attempts, state)
	SELECT $id, 1000000000 + n, gen_random_uuid(), 'thing.done', now(), n % 100 + 2, 0, 'waiting' FROM generate_series(1, 100000) n");
is(sql("SELECT webhook.buffered($id)"), 100000, 'M9: there is a large buffer');
is(sql("SELECT webhook.delete_webhook_by_id($id)"), 't', 'M4: deleted');
is(sql('SELECT count(*) FROM webhook.delivery'), 0, 'M4: the webhook is deleted with its buffer');
end_test($receiver);

# W4: another URL, while a request is in flight

$id = $receiver->webhook('/old', ordering => "'strict'", retry_schedule => "ARRAY['0', '1 min', '1 min']::interval[]");
$receiver->behave('/old', hold => 1);
my $message = emit(1);
emit(2);
$receiver->arrives('/old', 1, 'W4: a request is in flight');
sql("SELECT webhook.update_webhook($id, '{\"url\": \"" . $receiver->url('/new') . "\"}')");
$receiver->behave('/old', status => 500);
becomes("SELECT attempts FROM webhook.undelivered WHERE message_id = '$message'", 1, 'W4: it fails');
let_pass(75);
WebhookTest::wait_until_delivered($node);
is_deeply([ $receiver->numbers('/new') ], [ 1, 2 ], 'W4: it is repeated at the new URL, the next follows');
is(($receiver->requests('/new'))[0]{headers}{'webhook-id'}, $message, 'W2: with the same id');
is($receiver->count('/old'), 1, 'W4: nothing more is sent to the old URL');
end_test($receiver);

# W3: an unrelated change unblocks nothing; a webhook deactivated and activated in one transaction does not stay blocked

my @minutes = (retry_schedule => "ARRAY['0', '1 min', '1 min', '1 min', '1 min', '1 min', '1 min', '1 min', '1 min', '1 min']::interval[]");
$id = $receiver->webhook('/blocked', @minutes);
$receiver->behave('/blocked', status => 500, times => 1);
emit(1, 'a');
becomes("SELECT state FROM webhook.undelivered", 'retrying', 'W3: one must be retried');
$receiver->webhook('/fence', event => "'fence'");
emit(2, 'a');
emit(3, 'b');
$receiver->arrives('/blocked', 2, 'W3: another entity does not wait');
becomes('SELECT count(*) FROM webhook.undelivered', 2, 'W3: the next of the same entity waits');
sql("BEGIN; SELECT webhook.deactivate_webhook($id); SELECT webhook.activate_webhook($id); COMMIT");
emit(4, 'a');
$receiver->arrives('/blocked', 3, 'W3: the message that blocked the entity is gone');
WebhookTest::wait_until_delivered($node);
is_deeply([ $receiver->numbers('/blocked') ], [ 1, 3, 4 ], 'W3: and what was dropped is not sent');
becomes("SELECT dropped FROM webhook.stat_webhooks WHERE webhook_id = $id", 2, 'W3: but is counted');
end_test($receiver);

# W3, W11: a replay that fails midway, is interrupted and continues, while new messages of the same entities are written

$id = $receiver->webhook('/replay', @minutes, max_in_flight => 5);
sql("SELECT webhook.deactivate_webhook($id, buffer_events => true)");
emit_many(1, 100);
becomes("SELECT buffered FROM webhook.get_webhooks() WHERE id = $id", 100, 'M9: buffered');
is(sql("SELECT webhook.activate_webhook($id, replay_events => true)"), 100, 'M3: the replay begins');
emit_many(101, 150);
$receiver->arrives('/replay', 20, 'W11: a part of it is sent');
$receiver->behave('/replay', status => 503, times => 12);
becomes("SELECT failing_since IS NOT NULL OR pending = 0 FROM webhook.get_webhooks() WHERE id = $id", 't', 'W11: the receiver fails again');
emit_many(151, 170);
sql("SELECT webhook.deactivate_webhook($id, buffer_events => true)");
becomes('SELECT sum(in_flight) FROM webhook.stat_workers', 0, 'W11: interrupted');
emit_many(171, 200);
becomes('SELECT count(*) FROM webhook.outbox_unread()', 0, 'M9: new messages are buffered again');
my $left = sql("SELECT buffered FROM webhook.get_webhooks() WHERE id = $id");
is(sql("SELECT webhook.activate_webhook($id, replay_events => true)"), $left, 'M3: the rest will be sent');
emit_many(201, 230);
for my $step (1 .. 14)
{
	last if sql('SELECT webhook.pending()') == 0;
	let_pass(75);
}
WebhookTest::wait_until_delivered($node);
my @ids = map { $_->{headers}{'webhook-id'} } $receiver->requests('/replay');
my %unique = map { $_ => 1 } @ids;
is(scalar(keys %unique), 230, 'W2, W11: all of it has arrived');
cmp_ok(scalar(@ids), '<=', 230 + 12, 'W2: only failed requests were repeated');
is(out_of_order('/replay'), '', 'W3, W11: in order for each entity');
end_test($receiver);

# W4: schedules of one step, and of zero length

$id = $receiver->webhook('/once', retry_schedule => "ARRAY['0']::interval[]");
$receiver->behave('/once', status => 500);
emit(1);
becomes("SELECT state, attempts FROM webhook.undelivered", 'failed|1', 'W4: one step: given up after one attempt');
is(sql("SELECT active FROM webhook.get_webhooks() WHERE id = $id"), 't', 'W5: one message does not deactivate it');
emit(2);
becomes("SELECT active, deactivation_reason FROM webhook.get_webhooks() WHERE id = $id", 'f|failing', 'M7: two in a row do');
is($receiver->count('/once'), 2, 'W4: one attempt each');
end_test($receiver);

$id = $receiver->webhook('/atonce', retry_schedule => "ARRAY['0', '0', '0', '0']::interval[]");
$receiver->behave('/atonce', status => 500);
emit(1);
becomes("SELECT active, deactivation_reason FROM webhook.get_webhooks() WHERE id = $id", 'f|failing', 'M7: zero length: the schedule is soon used up');
is($receiver->count('/atonce'), 4, 'W4: after as many attempts as it has steps');
end_test($receiver);

# An address that is not allowed; once it is, waiting messages are sent before their next attempt is due

sql("ALTER SYSTEM SET webhook.allowed_networks = '10.0.0.0/8'");
sql('SELECT pg_reload_conf()');
becomes("SELECT pg_sleep(0), current_setting('webhook.allowed_networks')", '|10.0.0.0/8', 'W15: another network is allowed');
$id = $receiver->webhook('/allowed', retry_schedule => "ARRAY['0', '1 hour', '1 hour']::interval[]");
emit(1);
becomes("SELECT state, last_error FROM webhook.undelivered", 'retrying|address 127.0.0.1 is not allowed by webhook.allowed_networks',
	'W15: the error names the setting');
sql('ALTER SYSTEM RESET webhook.allowed_networks');
sql('SELECT pg_reload_conf()');
$receiver->arrives('/allowed', 1, 'W4: after a reload that allows it, the message is due at once');
end_test($receiver);

# C12: a watched table that is replaced by another one, in one transaction or in several, and one that is dropped

sub noted
{
	my ($pattern, $test_name) = @_;

	becomes("SELECT count(*) FROM webhook.notification WHERE kind = 'watched_table' AND message ~ '$pattern'", 1, $test_name);
	return;
}

foreach my $table ('swapped', 'moved', 'renamed', 'dropped')
{
	sql("CREATE TABLE $table (id int PRIMARY KEY); CREATE TABLE new_$table (id int PRIMARY KEY); SELECT webhook.watch('$table', '$table')");
}
sql('BEGIN; ALTER TABLE swapped RENAME TO old_swapped; ALTER TABLE new_swapped RENAME TO swapped; COMMIT');
noted('table public.swapped, watched as "swapped", is now public.old_swapped', 'C12: exchanged names are reported');
sql('ALTER TABLE renamed RENAME TO renamed_now');
sql('ALTER TABLE moved RENAME TO old_moved');
sql('ALTER TABLE new_moved RENAME TO moved');
noted('table public.moved, watched as "moved", is now public.old_moved', 'C12: also if exchanged in two transactions');
sql('DROP TABLE dropped, old_swapped');
noted('table public.dropped, watched as "dropped", has been dropped', 'C12: so is a table that is dropped');
noted('table public.old_swapped, watched as "swapped", has been dropped', 'C12: with its last name');
sql("SELECT webhook.watch('swapped', 'swapped'); SELECT webhook.unwatch('old_moved'); DROP TABLE old_moved");
is(sql("SELECT count(*) FROM webhook.notification WHERE kind = 'watched_table'"), 4, 'C12: once each, and a renamed table is not');
is(sql('SELECT string_agg(name, \' \' ORDER BY name) FROM webhook.watch'), 'public.renamed public.swapped', 'C12: no settings are left of dropped tables');

# With nothing to do the worker writes nothing, although it checks again whether a table has taken the name of the renamed one.  A
# query takes some time, and another process may have written once meanwhile.
sub written
{
	my $before = sql('SELECT pg_current_wal_insert_lsn()');

	sql('SELECT 1') foreach 1 .. 10;
	return sql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$before')");
}
my @written = written();
push @written, written() while $written[-1] > 0 && @written < 10;
is($written[-1], 0, 'P10: a worker that has nothing to do writes nothing') or diag("@written");

unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|was terminated/, 'R1: nothing has crashed');

$node->stop;
$receiver->stop;
done_testing();
