# Deliveries that do not succeed: retries, warnings, deactivation, buffer, replay.
#
# Days pass in seconds: webhook.clock_offset sets the clock by which the worker schedules.
#
# Mission: M3 M7 M8 M9, E6, W2 W3 W4 W5 W11 W12 X10.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw($clock sql emit emit_many becomes let_pass kill_worker end_test);

my $node = WebhookTest::start_node('failure', "webhook.reactivation_url = 'https://ops.example/on?token={token}'",
	'restart_after_crash = on');
my $receiver = WebhookTest::Receiver->start;

# W4: the default schedule, until it is used up (M7)

my @steps = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400);
my $id = $receiver->webhook('/default');
my $other = $receiver->webhook('/news', event => "'webhook.*'", app => "'ops'");
sql('CREATE ROLE stranger; GRANT USAGE ON SCHEMA webhook TO stranger;'
	  . 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO stranger');
sql("SET ROLE stranger; SELECT webhook.create_webhook('spy', 'webhook.*', '" . $receiver->url('/spy') . "')");
my $own = $receiver->webhook('/default', event => "'webhook.deactivated'");
sql("SELECT webhook.delete_webhook_by_id($own)");
$receiver->behave('/default', status => 503);
my $message = emit(1, 'a');
$receiver->arrives('/default', 1, 'W4: first attempt at once');
for my $attempt (1 .. @steps)
{
	my $seconds = $steps[ $attempt - 1 ];

	my $state = $attempt < 5 ? 'retrying' : 'waiting';
	becomes(
		"SELECT attempts, state, next_attempt_at - clock_timestamp() - interval '$clock s'"
		  . " BETWEEN interval '$seconds s' * 0.79 - interval '20 s' AND interval '$seconds s' * 1.2 FROM webhook.undelivered",
		"$attempt|$state|t",
		"W4: attempt $attempt failed, the next one is in $seconds s, give or take 20%");
	let_pass($seconds * 1.2 + 1);
	$receiver->arrives('/default', $attempt + 1, "W4: attempt @{[ $attempt + 1 ]}");
}
becomes("SELECT active, deactivation_reason, buffered FROM webhook.get_webhooks('app')",
	'f|failing|1', 'M7: the schedule is used up, the webhook is deactivated, the message kept');
my @ledger = $receiver->requests('/default');
is(scalar(@ledger), 10, 'W4: ten attempts');
is_deeply([ map { $_->{headers}{'webhook-id'} } @ledger ],
	[ ($message) x 10 ], 'W2: the id is the same in all attempts');
becomes("SELECT string_agg(attempt || ' ' || status || ' ' || outcome || ' ' || error, ',' ORDER BY attempt) FROM webhook.get_webhook_log($id)",
	join(',', map { "$_ 503 server_error HTTP status 503" } 1 .. 10),
	'W4: the log has the number of each attempt');
is(sql("SELECT string_agg(kind || ' ' || (token IS NOT NULL), ',' ORDER BY id) FROM webhook.notification WHERE webhook_id = $id"),
	'failing false,failing false,deactivated true',
	'M8: warnings after 50% and 90%, then the deactivation, with a token');
like(sql("SELECT message FROM webhook.notification WHERE webhook_id = $id ORDER BY id LIMIT 1"),
	qr/50%/, 'M8: the warning says how much of the schedule is used up');

# M8: the notification as a message, only to other webhooks of the same owner

$receiver->arrives('/news', 3, 'M8: it is sent to a webhook that subscribes to it');
my ($news) = grep { $_->{result}{kind} eq 'deactivated' } map { decode_json($_->{body}) } $receiver->requests('/news');
my $token = sql("SELECT token FROM webhook.notification WHERE webhook_id = $id AND kind = 'deactivated'");
is($news->{result}{webhook_id}, $id, 'M8: it names the webhook');
is($news->{result}{token}, $token, 'M8: it carries the token');
is($news->{result}{link}, "https://ops.example/on?token=$token", 'M8: and contains the link');
is(scalar($receiver->requests('/spy')), 0, 'M8: no other webhook gets it');

# M9: five days of buffering

emit(2, 'a');
emit(3, 'a');
becomes("SELECT buffered FROM webhook.get_webhooks('app') WHERE id = $id", 3, 'M9: new messages are buffered');
let_pass(5 * 86400 + 60);
emit(4, 'a');
becomes("SELECT buffered, dropped, pending FROM webhook.stat_webhooks WHERE webhook_id = $id",
	'3|1|0', 'M9: after five days it is counted as dropped');
is(sql('SELECT DISTINCT state FROM webhook.undelivered'), 'buffered', 'W12: undelivered shows them as buffered');
is(sql('SELECT webhook.pending()'), 0, 'W12: they are not pending');

# M3: reactivation with replay by the token

$receiver->behave('/default');
is(sql("SELECT webhook.reactivate('$token', replay_events => true)"), 3, 'M3: three messages will be sent');
WebhookTest::wait_until_delivered($node);
is_deeply([ $receiver->numbers('/default') ], [ (1) x 10, 1, 2, 3 ], 'M3, W11: oldest first');
WebhookTest::fails_with($node, "SELECT webhook.reactivate('$token')", 'P0002', 'invalid token', 'M8: a token works once');
becomes("SELECT active, failing_since IS NULL, buffered, deactivated_at IS NULL FROM webhook.get_webhooks('app') WHERE id = $id",
	't|t|0|t', 'M3: the webhook is active and not failing');
emit(5, 'a');
$receiver->arrives('/default', 14, 'M3: new messages are sent again');
end_test();

# W4: a webhook's own schedule; a retry uses the current configuration and the captured payload

$id = $receiver->webhook('/own', retry_schedule => "ARRAY['0', '1 hour', '2 hours', '3 hours']::interval[]", headers => q{'{"X-Version": "1"}'});
$receiver->behave('/own', status => 500);
$message = emit(10, 'a');
$receiver->arrives('/own', 1, 'W4: own schedule, first attempt');
becomes("SELECT attempts FROM webhook.undelivered", 1, 'W4: recorded');
is( sql("SELECT next_attempt_at - clock_timestamp() - interval '$clock s' BETWEEN interval '47 min' AND interval '72 min' FROM webhook.undelivered"),
	't', 'W4: own schedule, second step');
my $secret = sql("SELECT webhook.rotate_secret($id, '0')");
sql("SELECT webhook.update_webhook($id, '{\"url\": \"" . $receiver->url('/own2') . "\", \"headers\": {\"X-Version\": \"2\"}}')");
$receiver->arrives('/own2', 1, 'W4: a webhook that has been changed is tried at once, with the current URL');
my ($retry) = $receiver->requests('/own2');
is($retry->{headers}{'x-version'}, '2', 'W4: with the current headers');
is($retry->{headers}{'webhook-id'}, $message, 'W4: and the same id');
is($retry->{body}, ($receiver->requests('/own'))[0]{body}, 'W4: and the same payload');
{
	use Digest::SHA qw(hmac_sha256_base64);
	use MIME::Base64;
	my $signature = hmac_sha256_base64("$message.$retry->{headers}{'webhook-timestamp'}.$retry->{body}",
		decode_base64($secret =~ s/^whsec_//r));
	$signature .= '=' while length($signature) % 4;
	is($retry->{headers}{'webhook-signature'}, "v1,$signature", 'W4, W6: and the current secret');
}
WebhookTest::wait_until_delivered($node);
end_test();

# W4: Retry-After, in seconds and as a date in each of the three forms of HTTP

sub after_two_hours
{
	my ($form) = @_;
	my ($s, $m, $h, $day, $month, $year, $weekday) = gmtime(time + $clock + 7200);
	my $month_name = (qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec))[$month];
	my $day_name = (qw(Sunday Monday Tuesday Wednesday Thursday Friday Saturday))[$weekday];
	my $short_name = substr($day_name, 0, 3);
	my $time = sprintf('%02d:%02d:%02d', $h, $m, $s);

	return {
		seconds => 7200,
		date => sprintf('%s, %02d %s %d %s GMT', $short_name, $day, $month_name, 1900 + $year, $time),
		rfc850 => sprintf('%s, %02d-%s-%02d %s GMT', $day_name, $day, $month_name, $year % 100, $time),
		asctime => sprintf('%s %s %2d %s %d', $short_name, $month_name, $day, $time, 1900 + $year)
	}->{$form};
}

for my $form (qw(seconds date rfc850 asctime))
{
	$receiver->webhook("/after-$form");
	my $value = after_two_hours($form);
	$receiver->behave("/after-$form", status => 429, retry_after => $value);
	emit(1);
	becomes("SELECT attempts FROM webhook.undelivered", 1, "W4: Retry-After in $form");
	is( sql("SELECT next_attempt_at - clock_timestamp() - interval '$clock s' BETWEEN interval '7100 s' AND interval '7201 s' FROM webhook.undelivered"),
		't', "W4: Retry-After in $form is respected");
	$receiver->behave("/after-$form");
	let_pass(7210);
	$receiver->arrives("/after-$form", 2, "W4: retried after that, $form");
	WebhookTest::wait_until_delivered($node);
	end_test();
}

# W4: 410

$id = $receiver->webhook('/gone');
$receiver->behave('/gone', status => 410);
emit(1);
becomes("SELECT active, deactivation_reason FROM webhook.get_webhooks('app')", 'f|gone', 'W4: 410 deactivates at once');
is(scalar($receiver->requests('/gone')), 1, 'W4: after one attempt');
is(sql("SELECT webhook.activate_webhook($id)"), 0, 'M3: without replay nothing will be sent');
is(sql("SELECT dropped FROM webhook.stat_webhooks WHERE webhook_id = $id"), 1, 'M3: what was buffered is counted as dropped');
$receiver->behave('/gone');
emit(2);
$receiver->arrives('/gone', 2, 'M3: new messages are sent');
is_deeply([ $receiver->numbers('/gone') ], [ 1, 2 ], 'M3: what was buffered is not sent');
end_test();

# W5: an endpoint that is down is probed, not flooded; W3: order, when it is back; W11: newer messages wait for their turn

$receiver->behave('/down', status => 503);
$id = $receiver->webhook('/down', retry_schedule => "ARRAY['0', '1 min', '10 min', '1 hour', '2 hours']::interval[]");
my @sent;
for my $n (1 .. 100)
{
	push @sent, $n;
}
sql("SELECT webhook.emit('thing.done', jsonb_build_object('n', n), (n % 7)::text) FROM generate_series(1, 100) n ORDER BY n");
becomes("SELECT failing_since IS NOT NULL FROM webhook.get_webhooks('app')", 't', 'W5: the endpoint is failing');
becomes("SELECT count(*), count(*) FILTER (WHERE attempts = 0) > 70 FROM webhook.undelivered WHERE state = 'waiting'", '100|t',
	'W5: everything waits, most of it unattempted');
my $before = scalar($receiver->requests('/down'));
cmp_ok($before, '<=', 30, 'W5: few requests have been made');
let_pass(75);
$receiver->arrives('/down', $before + 1, 'W5: it is probed');
becomes("SELECT probes FROM webhook.current_health WHERE webhook_id = $id", 2, 'W5: the probe is counted');
is(scalar($receiver->requests('/down')), $before + 1, 'W5: there is one probe only');

# health survives the worker and the server
kill_worker();
sql("SELECT webhook.emit('thing.done', jsonb_build_object('n', n), (n % 7)::text) FROM generate_series(101, 120) n ORDER BY n");
becomes("SELECT count(*) FROM webhook.undelivered WHERE state = 'waiting'", 120, 'W5: after kill -9 of the worker new messages wait as well');
is(scalar($receiver->requests('/down')), $before + 1, 'W5: and nothing is sent');
$node->restart;
becomes("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'webhook worker'", 1, 'W5: there is a worker after a restart');
let_pass(730);
$receiver->arrives('/down', $before + 2, 'W5: the next probe comes on the schedule');
becomes("SELECT probes FROM webhook.current_health WHERE webhook_id = $id", 3, 'W5: which continues after the restart');

$receiver->reset;
sql("SELECT webhook.emit('thing.done', jsonb_build_object('n', n), (n % 7)::text) FROM generate_series(121, 300) n ORDER BY n");
let_pass(4400);
$receiver->arrives('/down', 1, 'W5: a probe succeeds');
sql("SELECT webhook.emit('thing.done', jsonb_build_object('n', n), (n % 7)::text) FROM generate_series(301, 400) n ORDER BY n");
WebhookTest::wait_until_delivered($node);
my %last;
my @wrong;
for my $n (@{ [ $receiver->numbers('/down') ] })
{
	push @wrong, $n if ($last{ $n % 7 } // 0) >= $n;
	$last{ $n % 7 } = $n;
}
is(scalar(@{ [ $receiver->numbers('/down') ] }), 400, 'W2: everything arrived, once');
is("@wrong", '', 'W3: in order per entity');
end_test();

# When a webhook is changed, the worker tries at once

$receiver->behave('/broken', status => 500);
$id = $receiver->webhook('/broken', retry_schedule => "ARRAY['0', '1 day', '1 day']::interval[]");
sql("SELECT webhook.emit('thing.done', jsonb_build_object('n', n), n::text) FROM generate_series(1, 20) n ORDER BY n");
becomes("SELECT count(*) FROM webhook.undelivered WHERE state = 'waiting'", 20, 'W5: failing');
sql("SELECT webhook.update_webhook($id, '{\"url\": \"" . $receiver->url('/mended') . "\"}')");
WebhookTest::wait_until_delivered($node);
is(scalar($receiver->requests('/mended')), 20, 'W5: a webhook that has been corrected is tried at once');
end_test();

# W5, W11, W12: a message that its receiver rejects does not deactivate the webhook; it ends as failed and can be sent again

$id = $receiver->webhook('/picky', retry_schedule => "ARRAY['0', '1 min', '1 min']::interval[]");
$receiver->behave('/picky', status => 422, times => 1);
$message = emit(1, 'a');
becomes("SELECT attempts, state FROM webhook.undelivered", '1|retrying', 'W5: a message is rejected');
emit(2, 'b');
$receiver->arrives('/picky', 2, 'W5: others are sent meanwhile');
emit(3, 'a');
becomes("SELECT count(*) FROM webhook.undelivered", 2, 'W3: but not those of the same entity');
for my $attempt (2, 3)
{
	$receiver->behave('/picky', status => 422, times => 1);
	let_pass(75);
	becomes("SELECT count(*) FROM webhook.get_webhook_log($id) WHERE attempt = $attempt AND status = 422", 1, "W5: rejected in attempt $attempt");
	emit(10 + $attempt, 'c');
	becomes("SELECT count(*) FROM webhook.undelivered WHERE entity_id = 'c'", 0, 'W5: others succeed');
}
becomes("SELECT attempts, state, last_error FROM webhook.undelivered", '3|failed|HTTP status 422', 'W5: it has failed, and is shown');
becomes("SELECT active, failed FROM webhook.stat_webhooks WHERE webhook_id = $id", 't|1', 'W5: the webhook remains active');
is_deeply([ grep { $_ < 10 } @{ [ $receiver->numbers('/picky') ] } ], [ 1, 2, 1, 1, 3 ], 'W3: what waited for it follows');
is(sql("SELECT webhook.redeliver($id, '$message')"), 't', 'W11: a failed message can be redelivered');
WebhookTest::wait_until_delivered($node);
is([ $receiver->numbers('/picky') ]->[-1], 1, 'W11: it has arrived');
is(($receiver->requests('/picky'))[-1]{headers}{'webhook-id'}, $message, 'W11: with its id');
is(sql('SELECT count(*) FROM webhook.undelivered'), 0, 'W11: nothing is left');
is(sql("SELECT webhook.redeliver($id, '$message')"), 't', 'W11: a delivered message can be, too');
WebhookTest::wait_until_delivered($node);
is(scalar(grep { $_->{headers}{'webhook-id'} eq $message } $receiver->requests('/picky')), 5, 'W11: it has arrived once more');
end_test();

# W12: failed messages are kept for thirty days, or as webhook.failed_retention says

$id = $receiver->webhook('/kept', ordering => "'none'", retry_schedule => "ARRAY['0']::interval[]");
$receiver->behave('/kept', status => 422, times => 1);
my @failed = (emit(1));
becomes("SELECT count(*) FROM webhook.undelivered WHERE state = 'failed'", 1, 'W12: one has failed');
let_pass(10 * 86400);
sql("SELECT webhook.emit('thing.done', '{\"n\": 2}') FROM generate_series(1, 1)");
$receiver->arrives('/kept', 2, 'W12: others are delivered');
$receiver->behave('/kept', status => 422, times => 1);
push @failed, emit(3);
becomes("SELECT count(*) FROM webhook.undelivered WHERE state = 'failed'", 2, 'W12: another one ten days later');
let_pass(19 * 86400);
emit(4);
$receiver->arrives('/kept', 4, 'W12: after 29 days');
is(sql("SELECT count(*) FROM webhook.undelivered WHERE state = 'failed'"), 2, 'W12: both are still stored');
let_pass(86400 + 60);
becomes("SELECT string_agg(message_id, ',') FROM webhook.undelivered", $failed[1], 'W12: after thirty days the first is removed');
becomes("SELECT expired, failed, pending FROM webhook.stat_webhooks WHERE webhook_id = $id", '1|2|0', 'W12: and counted');
sql("ALTER SYSTEM SET webhook.failed_retention = 0");
let_pass(400 * 86400);
emit(5);
$receiver->arrives('/kept', 5, 'W12: more than a year later');
is(sql("SELECT count(*) FROM webhook.undelivered WHERE state = 'failed'"), 1, 'W12: with 0 it is kept forever');
is(sql("SELECT webhook.redeliver($id, '$failed[1]')"), 't', 'W11: and can be sent again');
$receiver->arrives('/kept', 6, 'W11: and is sent');
WebhookTest::wait_until_delivered($node);
is(sql('SELECT count(*) FROM webhook.delivery'), 0, 'W12: nothing is left');

# ... of many webhooks, a few at a time
sql("INSERT INTO webhook.delivery (webhook_id, id, message_id, event, created_at, order_key, attempts, state, failed_at)
	SELECT $id, 1000000000 + n, gen_random_uuid(), 'thing.done', now(), 0, 1, 'failed', now() FROM generate_series(1, 1000) n");
sql("ALTER SYSTEM RESET webhook.failed_retention");
let_pass(1);
becomes('SELECT count(*) FROM webhook.delivery', 0, 'W12: a thousand of them are removed');
becomes("SELECT expired FROM webhook.stat_webhooks WHERE webhook_id = $id", 1001, 'W12: and counted');

# ... also if a session has locked the webhook of the oldest ones
my $locked = $receiver->webhook('/locked');
my $locking = WebhookTest::session($node);
sql("INSERT INTO webhook.delivery (webhook_id, id, message_id, event, created_at, order_key, attempts, state, failed_at)
	SELECT CASE WHEN n > 300 THEN $id ELSE $locked END, 1000000000 + n, gen_random_uuid(), 'thing.done', now(), 0, 1, 'failed',
		now() + n * interval '1 ms' FROM generate_series(1, 310) n");
$locking->query_safe("BEGIN; SELECT webhook.update_webhook($locked, '{\"name\": \"locked\"}')");
let_pass(31 * 86400);
becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $id", 0, 'W12: what a session has not locked is removed');
is(sql('SELECT count(*) FROM webhook.delivery'), 300, 'W12: the rest must wait');
$locking->query_safe('COMMIT');
$locking->quit;
let_pass(60);
becomes('SELECT count(*) FROM webhook.delivery', 0, 'W12: until the session has ended');
end_test();

# M3: deactivation by a user, without and with a buffer

$id = $receiver->webhook('/manual');
is(sql("SELECT webhook.deactivate_webhook($id)"), 't', 'M3: deactivated');
emit(1);
becomes("SELECT dropped FROM webhook.stat_webhooks WHERE webhook_id = $id", '1', 'C33: what comes without a buffer is counted as dropped');
sql("ALTER SYSTEM SET webhook.dispatch = off");
sql('SELECT pg_reload_conf()');
emit(1);
is(sql("SELECT webhook.activate_webhook($id, true)"), 0, 'M3: there is nothing to replay');
sql("ALTER SYSTEM RESET webhook.dispatch");
sql('SELECT pg_reload_conf()');
becomes("SELECT dropped FROM webhook.stat_webhooks WHERE webhook_id = $id", '2', 'C33: what the worker has not read yet is dropped, too');
sql("SELECT webhook.update_webhook($id, '{\"active\": false}')");
emit(1);
becomes("SELECT dropped FROM webhook.stat_webhooks WHERE webhook_id = $id", '3', 'C33: also after update_webhook()');
sql("SELECT webhook.activate_webhook($id)");
is(sql("SELECT webhook.deactivate_webhook($id, buffer_events => true)"), 't', 'M3: deactivated, with a buffer');
emit(2);
emit(3);
becomes("SELECT buffered FROM webhook.get_webhooks('app')", 2, 'M9: buffered');
is(sql("SELECT webhook.activate_webhook($id, true)"), 2, 'M3: two will be sent');
WebhookTest::wait_until_delivered($node);
is_deeply([ $receiver->numbers('/manual') ], [ 2, 3 ], 'M3: they are sent in order');
end_test();

# M3: messages that the worker has not read yet belong to the buffer as well

sub let_dispatch
{
	my ($setting, $activity) = @_;

	sql("ALTER SYSTEM SET webhook.dispatch = $setting");
	sql('SELECT pg_reload_conf()');
	becomes("SELECT activity FROM webhook.stat_workers WHERE database = 'postgres'", $activity, "dispatch is $setting");
	return;
}

$id = $receiver->webhook('/unread');
let_dispatch('off', 'paused');
sql("SELECT webhook.deactivate_webhook($id, buffer_events => true)");
emit(1);
emit(2);
is(sql("SELECT buffered, pending FROM webhook.get_webhooks('app')"), '2|0', 'M9: it is counted at once');
is(sql("SELECT buffered, pending FROM webhook.stat_webhooks WHERE webhook_id = $id"), '2|0', 'W12: also in stat_webhooks');
is(sql('SELECT state, count(*) FROM webhook.undelivered GROUP BY 1'), 'buffered|2', 'W12: undelivered shows each of them');
is(sql("SELECT webhook.activate_webhook($id)"), 0, 'M3: none of it will be sent');
emit(3);
let_dispatch('on', 'idle');
WebhookTest::wait_until_delivered($node);
is_deeply([ $receiver->numbers('/unread') ], [3], 'M3: and none is');
is(sql("SELECT dropped FROM webhook.stat_webhooks WHERE webhook_id = $id"), 2, 'M3: they are counted as dropped');
let_dispatch('off', 'paused');
sql("SELECT webhook.deactivate_webhook($id, buffer_events => true)");
emit(4);
sql(q{BEGIN}, "; SELECT webhook.activate_webhook($id); SELECT webhook.emit('thing.done', '{\"n\": 5}'); COMMIT");
sql("SELECT webhook.deactivate_webhook($id, buffer_events => true)");
is(sql("SELECT webhook.activate_webhook($id, replay_events => true)"), 1, 'M3: one more will be sent');
let_dispatch('on', 'idle');
WebhookTest::wait_until_delivered($node);
is_deeply([ $receiver->numbers('/unread') ], [ 3, 5 ], 'M3: what is written after it was activated is sent');
end_test();

# E6: tests of webhooks that are deactivated or failing

sql(q{CREATE TABLE guest (id integer PRIMARY KEY, name text);
	INSERT INTO guest VALUES (1, 'Ada'), (2, 'Bob');
	SELECT webhook.watch('guest', 'guest');});
# the probe is due when the clock is set, not during the test
$id = $receiver->webhook('/test', event => "'guest.*'", active => 'false', retry_schedule => "ARRAY['0', '1 day', '1 day']::interval[]");
$message = sql("SELECT webhook.test_webhook($id, '1')");
$receiver->arrives('/test', 1, 'E6: an inactive webhook can be tested');
my ($test) = $receiver->requests('/test');
is($test->{body}, '{"entity_id":1,"entity_type":"guest","action_type":"test","result":{"id":1,"name":"Ada"}}', 'E6: with real data');
is($test->{headers}{'webhook-id'}, $message, 'E6: its id is returned');
becomes("SELECT count(*) FROM webhook.get_webhook_log($id) WHERE event = 'guest.test' AND outcome = 'delivered'", 1, 'E6: it is in the log');
$receiver->behave('/test', status => 500);
sql("SELECT webhook.test_webhook($id)");
$receiver->arrives('/test', 2, 'E6: without an id the latest row is sent');
is(decode_json(($receiver->requests('/test'))[1]{body})->{entity_id}, 2, 'E6: which is the one with the highest id');
becomes("SELECT count(*) FROM webhook.get_webhook_log($id)", 2, 'E6: a failure is in the log');
is(sql('SELECT count(*) FROM webhook.undelivered'), 0, 'E6: and not retried');
is(sql("SELECT attempts, failed, failing_since IS NULL FROM webhook.stat_webhooks WHERE webhook_id = $id"), '0|0|t', 'E6: no effect on health');
sql("SELECT webhook.activate_webhook($id)");
sql("UPDATE guest SET name = name || n FROM generate_series(1, 1) n; INSERT INTO guest SELECT n FROM generate_series(10, 30) n");
becomes("SELECT failing_since IS NOT NULL FROM webhook.get_webhooks('app')", 't', 'E6: now it is failing');
becomes("SELECT count(*) FROM webhook.undelivered WHERE state = 'waiting'", 23, 'E6: everything waits');
$receiver->behave('/test');
$before = scalar($receiver->requests('/test'));
sql("SELECT webhook.test_webhook($id, '1')");
$receiver->arrives('/test', $before + 1, 'E6: a test is sent nevertheless');
becomes("SELECT count(*) FROM webhook.undelivered WHERE state = 'waiting'", 23, 'E6: without effect on what waits');
end_test();

# X10: messages that fail for good are reported, at most once an hour; statuses that are not retried

$receiver->reset;
$id = $receiver->webhook('/dead', retry_schedule => "'{1 hour}'", no_retry => "'{410,422}'");
$receiver->webhook('/ops', event => "'webhook.message_failed'", app => "'ops'");
$receiver->behave('/dead', status => 422, body => '{"bad": "name"}', times => 1);
$message = emit(1, 'a');
emit(2, 'a');
$receiver->arrives('/dead', 2, 'X10: the next message of the entity is sent at once');
becomes("SELECT state, attempts, last_error FROM webhook.undelivered", 'failed|1|HTTP status 422', 'X10: the first is not retried');
let_pass(2);
my $reports = "SELECT string_agg(message, chr(10) ORDER BY id) FROM webhook.notification WHERE webhook_id = $id AND kind = 'message_failed'";
becomes($reports, qq(webhook $id ("app"): 1 message has failed for good, thing.done, after 1 attempt; entity "a"; HTTP status 422), 'X10: a notification');
$receiver->arrives('/ops', 1, 'X10: and a message to subscribers');
my $told = decode_json(($receiver->requests('/ops'))[0]{body})->{result};
is(join(' ', map { "$_=$told->{$_}" } qw(webhook_id count message_id event entity_id attempts status answer error)),
	qq(webhook_id=$id count=1 message_id=$message event=thing.done entity_id=a attempts=1 status=422 answer={"bad": "name"} error=HTTP status 422),
	'X10: which says what has failed, and why');
becomes("SELECT active, failing_since IS NULL FROM webhook.get_webhooks('app')", 't|t', 'X10: the webhook is not failing');

$receiver->behave('/dead', status => 410, times => 30);
emit_many(3, 32);
becomes("SELECT failed, dead_letters, active FROM webhook.stat_webhooks WHERE webhook_id = $id", '31|31|t', 'X10: 410 does not deactivate a webhook with it in no_retry');
sql('CREATE TABLE flushed ()');		# and what the worker has committed before
kill_worker();
let_pass(1800);
emit(40, 'c');
$receiver->arrives('/dead', 33, 'X10: half an hour and a crash later, the next one is sent');
is(sql("SELECT count(*) FROM webhook.notification WHERE webhook_id = $id"), 1, 'X10: there is no other notification');
let_pass(1810);
becomes("SELECT count(*), max(substring(message, '\\d+ messages have failed for good')) FROM webhook.notification WHERE webhook_id = $id",
	'2|30 messages have failed for good', 'X10: after an hour there is one for all of them');
$receiver->arrives('/ops', 2, 'X10: and one message');
is(decode_json(($receiver->requests('/ops'))[1]{body})->{result}{count}, 30, 'X10: with their number');

$receiver->behave('/dead');
foreach my $call ([ "since => 'infinity'", '22023', 'argument "since": it is in the future' ],
	[ "event => 'a b'", '42602', 'argument "event"' ])
{
	WebhookTest::fails_with($node, "SELECT webhook.redeliver_failed($id, $call->[0])", $call->[1], $call->[2], "X10: refused: $call->[0]");
}
WebhookTest::fails_with($node, 'SELECT webhook.redeliver_failed(-1)', 'P0002', 'does not exist', 'X10: refused: no such webhook');
is(sql("SELECT webhook.redeliver_failed($id, event => 'other.*')"), 0, 'X10: none with another trigger name is sent again');
is(sql("SELECT webhook.redeliver_failed($id, since => now() - interval '1 hour', event => 'thing.*')"), 31, 'X10: all are sent again');
WebhookTest::wait_until_delivered($node);
is_deeply([ sort { $a <=> $b } ($receiver->numbers('/dead'))[33 .. 63] ], [ 1, 3 .. 32 ], 'X10: each once');
becomes("SELECT failed, dead_letters FROM webhook.stat_webhooks WHERE webhook_id = $id", '31|0', 'X10: none is left');
is(sql("SELECT webhook.redeliver_failed($id)"), 0, 'X10: there is nothing to send again');
end_test();

# The NOTIFY of M8 has no token

{
	$receiver->behave('/n', status => 410);
	$id = $receiver->webhook('/n');
	my ($stdout, $stderr) = ('', '');
	my $timer = IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default);
	my $in = "LISTEN webhook;\n\\echo ready\n";
	my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$stdout, '2>', \$stderr, $timer);
	$psql->pump until $stdout =~ /ready/;
	emit(1);
	becomes("SELECT count(*) FROM webhook.notification", 1, 'M8: a notification');
	$in .= "SELECT 'done';\n";
	$psql->pump until $stdout =~ /done/;
	$in .= "\\q\n";
	$psql->finish;
	like($stdout, qr/notification "webhook" with payload "\{.*"kind":"deactivated".*"webhook_id":$id/, 'M8: NOTIFY webhook');
	$token = sql('SELECT token FROM webhook.notification');
	unlike($stdout, qr/$token/, 'M8: without the token');
	end_test();
}

# A session that has deactivated a webhook and does not commit delays no other webhook

$receiver->reset;
$id = $receiver->webhook('/off', ordering => "'none'");
$receiver->webhook('/free', event => "'thing.other'");
{
	my $in = "BEGIN; SELECT webhook.deactivate_webhook($id, true);\n\\echo ready\n";
	my ($stdout, $stderr) = ('', '');
	my $timer = IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default);
	$receiver->behave('/off', status => 500);
	emit(1);
	becomes("SELECT attempts FROM webhook.undelivered", 1, 'W5: a failure');
	my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$stdout, '2>', \$stderr, $timer);
	$psql->pump until $stdout =~ /ready/;
	$receiver->behave('/off');
	let_pass(10);
	$receiver->arrives('/off', 2, 'W5: a retry while a session deactivates the webhook');
	sql("SELECT webhook.emit('thing.other', '{}')");
	$receiver->arrives('/free', 1, 'W5: others are not delayed by that session');
	becomes("SELECT delivered FROM webhook.stat_webhooks WHERE active AND delivered > 0", 1, 'W5: nor is the recording of their results');
	$in .= "COMMIT;\n\\q\n";
	$psql->finish;
	becomes("SELECT count(*) FROM webhook.undelivered", 0, 'W5: the rest is recorded afterwards');
	end_test();
}

$node->stop;
$receiver->stop;
done_testing();
