# Webhooks that are deactivated and reactivated in unusual situations: subscribers to deactivations, many at once, two users
# with the same token, with a rate limit, DROP EXTENSION.
#
# Mission: M7 M8 M9, W5 W10 W11 W12 W16; goals: R4.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql emit emit_many becomes let_pass end_test);

my $node = WebhookTest::start_node('switch_off', 'webhook.timeout = 1min');
my $receiver = WebhookTest::Receiver->start;
my $gone = WebhookTest::Receiver->start;
my $dead_url = $gone->url('/');
$gone->stop;

# A session that stays in its transaction; what it wrote is in $$out and $$err after $session->finish.
sub begin_session
{
	my ($in, $out, $err) = @_;

	return IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres') ],
		'<', $in, '>', $out, '2>', $err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
}

# W10: a rate limit holds for a replay, too

my $id = $receiver->webhook('/rate', ordering => "'none'", rate_limit => 20);
sql("SELECT webhook.deactivate_webhook($id, buffer_events => true)");
emit_many(1, 45);
becomes("SELECT buffered FROM webhook.get_webhooks() WHERE id = $id", 45, 'M9: buffered');
sql("SELECT webhook.activate_webhook($id, replay_events => true)");
WebhookTest::wait_until_delivered($node);
my @requests = $receiver->requests('/rate');
cmp_ok(WebhookTest::most_in_a_second(@requests), '<=', 20, 'W10: the rate limit holds for a replay');
is(scalar(@requests), 45, 'W11: which is complete');
end_test($receiver);

# M8: subscribers that are deactivated themselves; names of maximum length; a token used by two sessions at once

sql('DELETE FROM webhook.notification');
$id = $receiver->webhook('/ended', app => q{repeat('"', 200)}, name => 'repeat(chr(128512), 200)');
my @listeners = map { $receiver->webhook("/listener$_", event => "'webhook.*'", app => "'listener'") } 1 .. 2;
$receiver->behave($_, status => 410) foreach qw(/ended /listener1 /listener2);
my ($in, $out, $err) = ("LISTEN webhook;\n\\echo ready\n", '', '');
my $session = begin_session(\$in, \$out, \$err);
$session->pump until $out =~ /ready/;
emit(1);
becomes("SELECT count(*) FROM webhook.notification WHERE kind = 'deactivated'", 3, 'M8: subscribers that do not accept the notification are deactivated');
$in .= "\\echo done\nSELECT 1;\n\\q\n";
$session->finish;
my @news = map { /with payload "(.*)" received/ ? decode_json($1) : () } split(/\n/, $out);
is(scalar(@news), 3, 'M8: three NOTIFYs, each valid JSON');
is(length($news[0]{app}), 200, 'M8: which contain the full name');
becomes('SELECT webhook.pending() + (SELECT count(*) FROM webhook.outbox_unread())', 0, 'M8: no further messages follow');
is(sql("SELECT string_agg(buffered::text, ' ' ORDER BY id) FROM webhook.get_webhooks() WHERE app = 'listener'"), '2 2',
	'M8: each has buffered its messages: about the first, and about the other subscriber');

my $token = sql("SELECT token FROM webhook.notification WHERE webhook_id = $id");
my ($in1, $out1, $err1) = ("BEGIN; SELECT webhook.reactivate('$token', true);\n\\echo ready\n", '', '');
my $session1 = begin_session(\$in1, \$out1, \$err1);
$session1->pump until $out1 =~ /ready/;
my ($in2, $out2, $err2) = ("SELECT webhook.reactivate('$token', false);\n\\q\n", '', '');
my $session2 = begin_session(\$in2, \$out2, \$err2);
$session2->pump_nb;
becomes("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%reactivate%'", 1, 'M8: the second one waits');
$receiver->behave('/ended');
$in1 .= "COMMIT;\n\\q\n";
$session1->finish;
$session2->finish;
like($out1, qr/^1$/m, 'M8: the first of two sessions activates it');
like($err2, qr/P0002/, 'M8: for the second one the token has been used');
$receiver->arrives('/ended', 2, 'M3: it is replayed');
WebhookTest::wait_until_delivered($node);
end_test($receiver);

# R4, W5: one message for a thousand webhooks; a quarter each succeeds, fails once, refuses, cannot be reached

my $two = "retry_schedule => ARRAY['0', '1 hour']::interval[]";
sql("SELECT count(webhook.create_webhook('well', 'wide', '" . $receiver->url('/wide?status=204') . "', $two)) FROM generate_series(1, 250)");
sql("SELECT count(webhook.create_webhook('once', 'wide', '" . $receiver->url('/once/') . "' || n || '?fail=1', $two)) FROM generate_series(1, 250) n");
sql("SELECT count(webhook.create_webhook('no', 'wide', '" . $receiver->url('/wide?status=404') . "', $two)) FROM generate_series(1, 250)");
sql("SELECT count(webhook.create_webhook('dead', 'wide', '$dead_url', $two)) FROM generate_series(1, 250)");
my $message = sql("SELECT webhook.emit('wide', '{}', 'x')");
becomes("SELECT string_agg(n::text, ' ' ORDER BY app) FROM (SELECT app, sum(attempts) n FROM webhook.stat_webhooks GROUP BY 1) s",
	'250 250 250 250', 'W5: each is tried once');
is(sql("SELECT count(*), count(DISTINCT message_id), min(message_id) = '$message' FROM webhook.undelivered"), '750|1|t',
	'W5: what failed is kept, as one message');
let_pass(4400);
becomes("SELECT string_agg(app || ' ' || d || ' ' || a || ' ' || b, ',' ORDER BY app)
		FROM (SELECT app, sum(delivered) d, count(*) FILTER (WHERE active) a, sum(buffered) b FROM webhook.stat_webhooks GROUP BY 1) s",
	'dead 0 0 250,no 0 0 250,once 250 250 0,well 250 250 0', 'M7, W5: an hour later it is delivered to half of them, and the others are deactivated');
is(sql("SELECT count(*) FROM webhook.notification WHERE kind = 'deactivated' AND token IS NOT NULL"), 500, 'M8: with a token for each');
end_test($receiver);

# W16: DROP EXTENSION with requests in flight

$receiver->webhook('/dropped', ordering => "'none'");
$receiver->behave('/dropped', hold => 1);
emit_many(1, 30);
$receiver->arrives('/dropped', 20, 'W16: requests are in flight');
sql('DROP EXTENSION webhook');
$receiver->behave('/dropped');
becomes("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'webhook worker'", 0, 'W16: the worker has gone');
is($receiver->count('/dropped'), 20, 'W16: nothing more is sent');
sql('CREATE EXTENSION webhook');
$receiver->webhook('/again');
emit(1);
$receiver->arrives('/again', 1, 'W16: it can be created again, and works');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|was terminated/, 'R1: nothing has crashed');

$node->stop;
$receiver->stop;
done_testing();
