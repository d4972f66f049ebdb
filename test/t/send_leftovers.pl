# No leftovers: no message that is never sent, no orphaned row, no text with which a dump
# could not be restored.
#
# Mission: M4, W2 W4 W5 W10; goals: R1 R3.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql emit becomes);

my $node = WebhookTest::start_node('leftovers', "webhook.retry_schedule = '0, 300ms, 300ms, 300ms, 300ms, 300ms, 300ms, 300ms'",
	'restart_after_crash = on');
my $receiver = WebhookTest::Receiver->start;

# W2, W4, W10: the clock is set back by an hour.  What waits for the next poll, a retry or a rate limit does
# not wait for an hour.

my $plain = $receiver->webhook('/plain');
my $slow = $receiver->webhook('/slow', rate_limit => 5);
WebhookTest::let_pass(3600);
$receiver->behave('/plain', status => 500, times => 1);
emit(1, 'a');
ok($receiver->wait_for_count(2, '/plain') && $receiver->wait_for_count(1, '/slow'), 'a message is sent while the clock is ahead');
becomes('SELECT webhook.pending() = 0', 't', 'nothing is left to do');
WebhookTest::let_pass(-3600);
$receiver->behave('/plain', status => 500, times => 1);
emit(2, 'a');
ok($receiver->wait_for_count(4, '/plain'), 'W2, W4: messages are sent and retried after the clock was set back');
ok($receiver->wait_for_count(2, '/slow'), 'W10: also with a rate limit');
becomes('SELECT webhook.pending() = 0', 't', 'W2: the position moves on');

# The same for a failing endpoint: it is probed after the time that was left, not hours later; what is shown
# agrees, even after a restart.

my $failing = $receiver->webhook('/failing', event => "'failing.done'", retry_schedule => q{'{0,0,0,0,0,8s,8s,8s,8s,8s,8s,8s}'});
WebhookTest::let_pass(7200);
$receiver->behave('/failing', status => 500);
sql(q{SELECT webhook.emit('failing.done', '{}', 'a')});
becomes("SELECT next_probe_at > now() + '1 h' FROM webhook.stat_webhooks WHERE webhook_id = $failing", 't', 'W5: the endpoint is failing while the clock is ahead');
WebhookTest::let_pass(-7200);
becomes("SELECT next_probe_at < now() + '1 min' FROM webhook.stat_webhooks WHERE webhook_id = $failing", 't', 'W5: the clock is set back, and the probe with it');
$receiver->behave('/failing');
my $probes = $receiver->count('/failing');
ok($receiver->wait_for_count($probes + 1, '/failing'), 'W5: which is made in its interval');
becomes('SELECT webhook.pending() = 0', 't', 'W2: the message is delivered');
sql("SELECT webhook.delete_webhook_by_id($failing)");

# W2, R1: a crash between the deletion of a webhook's last row and saving its health leaves it failing, with
# no message to probe it with.

sql("INSERT INTO webhook.health (webhook_id, failures, failing_since, probes, next_probe_at, seq)"
	  . " VALUES ($plain, 5, now(), 5, now(), 1000000)");
WebhookTest::kill_worker();
emit(3, 'a');
ok($receiver->wait_for_count(5, '/plain'), 'W2, R1: the next message is sent');
becomes('SELECT webhook.pending() = 0', 't', 'W2, R1: and delivered');

# W2: a delivery fails while a session has locked the webhook, and then rolls back.

my $session = WebhookTest::session($node);
my $held = $receiver->webhook('/held', event => "'held.done'", retry_schedule => q{'{0,100ms,100ms,100ms,3s,100ms,10min}'});
$receiver->behave('/held', status => 500);
sql(q{SELECT webhook.emit('held.done', '{}', 'a')});
ok($receiver->wait_for_count(4, '/held'), 'W4: four attempts have failed');
$receiver->behave('/held', hold => 1);
ok($receiver->wait_for_count(5, '/held'), 'W4: the fifth is in flight');
$session->query_safe("BEGIN; SELECT webhook.update_webhook($held, '{}')");
$receiver->behave('/held', status => 500);
sql('SELECT webhook.emit(\'thing.done\', \'{}\', \'b\')');
my $later = sql(q{SELECT clock_timestamp() + '2s'});
becomes("SELECT clock_timestamp() > '$later'", 't', 'W5: the time of the probe has passed');
$receiver->behave('/held');
$session->query_safe('ROLLBACK');
becomes('SELECT webhook.pending() = 0', 't', 'W2: it is not left behind');

# A delivery fails while a session deletes its webhook: the row that is written then is removed.  The same
# when the webhook is deactivated without a buffer.

foreach my $what ('delete_webhook_by_id', 'deactivate_webhook')
{
	my $gone = $receiver->webhook("/$what", event => "'$what.done'");

	$receiver->behave("/$what", status => 500);
	$session->query_safe("BEGIN; SELECT webhook.$what($gone)");
	sql("SELECT webhook.emit('$what.done', '{}', 'a')");
	becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $gone", '1', "M4: a row is written before $what() commits");
	$session->query_safe('COMMIT');
	becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $gone", '0', "M4: it goes after $what() has committed");
}
$session->quit;

# W4: the delay before a retry varies in both directions.

sql(q{CREATE FUNCTION refuse(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$});
my $spread = $receiver->webhook('/spread', event => "'spread.done'", ordering => "'none'", retry_schedule => q{'{0,1000s}'},
	transform => "'refuse(jsonb)'");
sql("SELECT webhook.emit('spread.done', '{}') FROM generate_series(1, 50)");
becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $spread AND state = 'retrying'", '50', 'W4: fifty failures');
is(sql("SELECT bool_or(next_attempt_at - created_at < '970s'), bool_or(next_attempt_at - created_at > '1030s'),"
	  . " bool_and(next_attempt_at - created_at BETWEEN '800s' AND '1210s') FROM webhook.delivery WHERE webhook_id = $spread"),
	't|t|t', 'W4: some are tried earlier than the schedule says, some later, all within a fifth of it');

# R3: a response is in the wrong encoding, or truncated within a character.  It must not be stored
# like that, or a dump could not be restored.

$node->safe_psql('postgres', q{CREATE DATABASE unicode TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'});
$node->safe_psql('unicode', 'CREATE EXTENSION webhook');
foreach my $n (1 .. 3)
{
	$receiver->behave("/unicode$n", status => 302, location => 'http://[' . ('x' x $n) . ("\x{20ac}" x 300));
	$node->safe_psql('unicode', "SELECT webhook.create_webhook('app', 'thing.done', '" . $receiver->url("/unicode$n")
		  . q{', retry_schedule => '{0,1h}')});
}
$node->safe_psql('unicode', q{SELECT webhook.emit('thing.done', '{}')});
ok($node->poll_query_until('unicode', 'SELECT count(*) = 3 FROM webhook.delivery WHERE last_error IS NOT NULL'),
	'R3: three responses with an invalid Location');
is($node->safe_psql('unicode', q{SELECT bool_and(convert_from(convert_to(last_error, 'UTF8'), 'UTF8') LIKE '%302%') FROM webhook.delivery}),
	't', 'R3: the errors are valid text');

$receiver->stop;
$node->stop('fast');
done_testing();
