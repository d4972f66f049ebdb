# Revoking a privilege also stops what was captured before: it is not sent, and not lost.
#
# Mission: W14, W11, W12.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

my $node = WebhookTest::start_node('revoke');
my $receiver = WebhookTest::Receiver->start;

# With dispatch off, messages are captured and wait.
sub dispatch
{
	my ($value) = @_;

	sql("ALTER SYSTEM SET webhook.dispatch = $value");
	$node->reload;
	becomes("SELECT count(*) FROM webhook.stat_workers WHERE (activity = 'paused') = ('$value' = 'off') AND pid IS NOT NULL",
		1, "dispatch is $value");
	return;
}

# A webhook of this role; its path is the role's name.
sub subscribe
{
	my ($role, $event, %arguments) = @_;
	my $more = join('', map { ", $_ => $arguments{$_}" } sort keys %arguments);

	return sql("SET ROLE $role; SELECT webhook.create_webhook('$role', '$event', '" . $receiver->url("/$role") . "'$more)");
}

my %taken;

# The names that a role was sent since the last call, sorted.
sub arrived
{
	my ($role) = @_;

	WebhookTest::wait_until_delivered($node);
	my @requests = $receiver->requests("/$role");
	my @new = splice(@requests, $taken{$role} // 0);
	$taken{$role} += @new;
	return join(' ', sort map { decode_json($_->{body})->{result}{name} // 'none' } @new);
}

sub failed
{
	my ($webhook) = @_;

	return "SELECT count(*), string_agg(DISTINCT last_error, '; ') FROM webhook.undelivered WHERE webhook_id = $webhook AND state = 'failed'";
}

sub redeliver_all
{
	my ($webhook) = @_;

	return sql("SELECT count(*) FILTER (WHERE webhook.redeliver(webhook_id, message_id))
		FROM webhook.undelivered WHERE webhook_id = $webhook AND last_error LIKE 'withheld:%'");
}

sql(q{
	GRANT USAGE ON SCHEMA webhook TO PUBLIC; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO PUBLIC;
	CREATE ROLE app_owner; CREATE ROLE reader; CREATE ROLE readers; CREATE ROLE member IN ROLE readers; CREATE ROLE brief;
	CREATE SCHEMA crm; GRANT USAGE ON SCHEMA crm TO PUBLIC;
	CREATE TABLE crm.guest (id integer PRIMARY KEY, event_uid text, name text, salary integer);
	ALTER TABLE crm.guest OWNER TO app_owner;
	GRANT SELECT ON crm.guest TO reader, readers, brief;
	SELECT webhook.watch('crm.guest', 'guest', event_uid => 'event_uid');
	CREATE TABLE crm.other (id integer PRIMARY KEY, name text);
	GRANT SELECT ON crm.other TO reader, readers;
	SELECT webhook.watch('crm.other', 'guest');
	INSERT INTO crm.guest VALUES (1, 'EV', 'before', 100);
});
my $reader = subscribe('reader', 'guest.*,app.*');
my $member = subscribe('member', 'guest.*,app.*');

# Captured, not sent yet

dispatch('off');
sql(q{UPDATE crm.guest SET name = 'a'; UPDATE crm.guest SET name = 'b'; INSERT INTO crm.other VALUES (1, 'other');
	SELECT webhook.emit('app.sent', '{"name": "emitted"}')});
sql('REVOKE SELECT ON crm.guest FROM reader');
dispatch('on');
is(arrived('reader'), 'emitted other', 'W14: REVOKE stops what was captured before, but not other tables and events');
is(arrived('member'), 'a b emitted other', 'W14: others are sent it');
becomes(failed($reader), '2|withheld: permission denied for table guest', 'W12: what was not sent is shown, with the reason');
becomes("SELECT delivered, failed, attempts, failing_since IS NULL FROM webhook.stat_webhooks WHERE webhook_id = $reader",
	'2|2|2|t', 'W14: it counts as failed, not as an attempt, and not against the receiver');
becomes("SELECT count(*), min(message) FROM webhook.notification WHERE webhook_id = $reader",
	'1|rows of crm.guest are no longer sent: permission denied for table guest', 'W14: the operator is notified, once');
is(redeliver_all($reader), 2, 'W11: it can be redelivered');
is(arrived('reader'), '', 'W14: but is not sent while the privilege is missing');
becomes(failed($reader), '2|withheld: permission denied for table guest', 'W12: it has failed again');
sql('GRANT SELECT ON crm.guest TO reader');
is(redeliver_all($reader), 2, 'W11: it can be redelivered once the privilege is granted again');
is(arrived('reader'), 'a b', 'W11: it is sent as it was captured');
sql(q{UPDATE crm.guest SET name = 'c'});
is(arrived('reader'), 'c', 'W14: and new messages are sent');
is(arrived('member'), 'c', 'W14: to others, too');

# Waiting in memory for its turn, and in the table after a message that must be retried

sql("SELECT webhook.update_webhook($reader, '{\"rate_limit\": 2, \"ordering\": \"none\"}')");
sql(join(';', map { "UPDATE crm.guest SET name = 'd$_'" } 1 .. 30));
ok($receiver->wait_for_count($taken{reader} + 2, '/reader'), 'the first are sent');
sql('REVOKE SELECT ON crm.guest FROM reader');
my $sent = $receiver->count('/reader');
WebhookTest::wait_until_delivered($node);
cmp_ok($receiver->count('/reader'), '<=', $sent + 1, 'W14: REVOKE stops what waits for its turn, at once');
is(sql("SELECT count(*) FROM webhook.undelivered WHERE webhook_id = $reader AND state = 'failed'") + $receiver->count('/reader') - $taken{reader},
	30, 'W12: nothing is lost');
sql('GRANT SELECT ON crm.guest TO reader');
sql("SELECT webhook.update_webhook($reader, '{\"rate_limit\": null, \"ordering\": \"entity\"}')");
redeliver_all($reader);
arrived('reader');
is($taken{reader}, 2 + 2 + 1 + 30, 'W11: all of it can be sent later');

$receiver->behave('/reader', status => 503, times => 1);
sql(q{UPDATE crm.guest SET name = 'e'; UPDATE crm.guest SET name = 'f'});
becomes("SELECT string_agg(state, ',' ORDER BY state) FROM webhook.undelivered WHERE webhook_id = $reader", 'retrying,waiting',
	'one message must be retried, another one waits for it');
$taken{reader}++;
sql('REVOKE SELECT ON crm.guest FROM reader');
sql("SELECT webhook.update_webhook($reader, '{}')");	# have it retried now
is(arrived('reader'), '', 'W14: REVOKE stops retries, and what waits for them');
becomes(failed($reader), '2|withheld: permission denied for table guest', 'W12: both are shown');
sql('GRANT SELECT ON crm.guest TO reader');
redeliver_all($reader);
is(arrived('reader'), 'e f', 'W11: both are sent when the privilege is granted again');

# Row-level security is enabled

dispatch('off');
sql(q{UPDATE crm.guest SET name = 'g'; ALTER TABLE crm.guest ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON crm.guest USING (id = 2)});
dispatch('on');
is(arrived('reader'), '', 'W14: row-level security stops what was captured before it was enabled');
becomes(failed($reader), '1|withheld: row-level security of table guest applies to role reader', 'W12: and is given as the reason');
becomes("SELECT count(*) FROM webhook.notification WHERE webhook_id = $reader AND message LIKE '%row-level security%'", 1,
	'W14: the operator is notified, once');
sql('ALTER TABLE crm.guest DISABLE ROW LEVEL SECURITY');
redeliver_all($_) foreach $reader, $member;
is(arrived('reader'), 'g', 'W11: it is sent when that is disabled again');

# Buffered for a webhook that is deactivated

sql("SELECT webhook.deactivate_webhook($reader, true)");
sql(q{UPDATE crm.guest SET name = 'h'});
becomes("SELECT buffered FROM webhook.get_webhooks() WHERE id = $reader", 1, 'one is buffered');
sql('REVOKE SELECT ON crm.guest FROM reader');
sql("SELECT webhook.activate_webhook($reader, replay_events => true)");
is(arrived('reader'), '', 'W14: a buffer is not replayed without the privilege');
becomes(failed($reader), '1|withheld: permission denied for table guest', 'W12: it is shown');
sql("GRANT SELECT ON crm.guest TO reader");
redeliver_all($reader);
is(arrived('reader'), 'h', 'W11: with it, it is');

# A probe of a receiver that is failing

$receiver->behave('/reader', status => 503);
sql(join(';', map { "SELECT webhook.emit('app.sent', '{\"name\": \"p$_\"}')" } 1 .. 5));
becomes("SELECT failing_since IS NOT NULL FROM webhook.get_webhooks() WHERE id = $reader", 't', 'the receiver is down');
becomes("SELECT next_probe_at IS NOT NULL FROM webhook.stat_webhooks WHERE webhook_id = $reader", 't', 'it is being probed');
sql("DELETE FROM webhook.delivery WHERE webhook_id = $reader");
sql(q{UPDATE crm.guest SET name = 'i'; SELECT webhook.emit('app.sent', '{"name": "j"}')});
becomes("SELECT count(*) FROM webhook.undelivered WHERE webhook_id = $reader AND state = 'waiting'", 2, 'two wait for a probe');
sql('REVOKE SELECT ON crm.guest FROM reader');
$receiver->behave('/reader');
$taken{reader} = $receiver->count('/reader');
sql("SELECT webhook.update_webhook($reader, '{}')");	# have it probed now
is(arrived('reader'), 'j', 'W14: a withheld message is not sent as a probe');
becomes(failed($reader), '1|withheld: permission denied for table guest', 'W12: it is shown');
sql("GRANT SELECT ON crm.guest TO reader");
redeliver_all($reader);
is(arrived('reader'), 'i', 'W11: and is sent later');

# Columns

dispatch('off');
sql(q{UPDATE crm.guest SET name = 'k'; DELETE FROM crm.guest; INSERT INTO crm.guest VALUES (2, NULL, 'l', 1);
	REVOKE SELECT ON crm.guest FROM reader; GRANT SELECT (id, event_uid, name) ON crm.guest TO reader;
	UPDATE crm.guest SET name = 'm'});
dispatch('on');
is(arrived('reader'), 'm', 'W14: a message without the revoked column is sent');
becomes(failed($reader), '3|withheld: permission denied for column salary of table guest', 'W14: a message with it is not');
sql('REVOKE SELECT (id, event_uid, name) ON crm.guest FROM reader; GRANT SELECT ON crm.guest TO reader');
redeliver_all($reader);
is(arrived('reader'), 'k l none', 'W11: the others are sent later');

# Samples for REST hooks, and what jsonb cannot hold

sql(q{CREATE TABLE crm.note (id integer PRIMARY KEY, name text, body json, pin text);
	SELECT webhook.watch('crm.note', 'note', exclude => '{pin}');
	GRANT SELECT ON crm.note TO reader});
my $note = subscribe('reader', 'note.*');
dispatch('off');
sql(q{INSERT INTO crm.note VALUES (1, 's', '{}', '4'); REVOKE SELECT ON crm.note FROM reader});
is(sql("SET ROLE reader; SELECT webhook.rest_hook_sample('note.create')"), '[]', 'W14: a withheld message is not shown as a sample');
sql('GRANT SELECT (id, name, body) ON crm.note TO reader');
sql(q{INSERT INTO crm.note VALUES (2, 't', '"\\u0000"', '5')});
dispatch('on');
is(arrived('reader'), 's t', 'W14: a payload that is not valid jsonb is judged by its columns like any other');
sql("SELECT webhook.delete_webhook_by_id($note)");
sql('DROP TABLE crm.note');

# Losing a column is reported, as losing a table is, but not a column that was never readable, or is readable again

sub told
{
	my ($webhook) = @_;

	return "SELECT count(*), (array_agg(message ORDER BY id DESC))[1] FROM webhook.notification WHERE webhook_id = $webhook AND kind = 'withheld'";
}

sql(q{CREATE TABLE crm.staff (id integer PRIMARY KEY, name text, salary integer, "home, phone" text, pin text);
	SELECT webhook.watch('crm.staff', 'staff', exclude => '{pin}');
	GRANT SELECT (id, name, salary, pin) ON crm.staff TO reader, readers});
my $staff = subscribe('reader', 'staff.*');
sql(q{INSERT INTO crm.staff VALUES (1, 'q', 1, '2', '3')});
is(arrived('reader'), 'q', 'W14: a webhook on some columns');
is(sql("SELECT relation, problem, columns, clock_timestamp() > since FROM webhook.withheld WHERE webhook_id = $staff"),
	'crm.staff|permission denied for column home, phone|{"home, phone"}|t', 'W14: the columns that it is not sent are shown');
my $other_staff = subscribe('member', 'staff.*');
my $listener = WebhookTest::session($node);
$listener->query_safe('LISTEN webhook');
sql('REVOKE SELECT (salary, pin) ON crm.staff FROM reader');
becomes(told($staff), '1|columns of crm.staff are no longer sent: permission denied for column salary, home, phone',
	'W14: REVOKE of a column raises a notification, of an excluded one does not');
like($listener->query_safe('SELECT 1'), qr/Asynchronous notification "webhook".*columns of crm\.staff are no longer sent/, 'W14: a NOTIFY, too');
$listener->quit;
is(sql(told($other_staff)), '0|', 'W14: not for the webhook of another role');
sql(q{UPDATE crm.staff SET name = 'r', salary = 2});
is(arrived('reader'), 'r', 'W14: the other columns are sent');
is((map { join(' ', sort keys %{ decode_json($_->{body})->{result} }) } $receiver->requests('/reader'))[-1], 'id name',
	'W14: without the column');
sql('GRANT SELECT (salary) ON crm.staff TO reader');
becomes("SELECT columns FROM webhook.withheld WHERE webhook_id = $staff", '{"home, phone"}', 'W14: the column is back');
sql('REVOKE SELECT ON crm.staff FROM reader');
becomes(told($staff), '2|rows of crm.staff are no longer sent: permission denied for table staff', 'W14: then all columns are lost');
sql('GRANT SELECT (id, salary) ON crm.staff TO reader');
becomes("SELECT columns FROM webhook.withheld WHERE webhook_id = $staff", '{name,"home, phone"}', 'W14: two are readable again');
sql('GRANT SELECT ON crm.staff TO reader');
becomes("SELECT count(*) FROM webhook.withheld WHERE webhook_id = $staff", 0, 'W14: then all of them');
sql('REVOKE SELECT ON crm.staff FROM reader; GRANT SELECT (id, name, salary) ON crm.staff TO reader');
becomes(told($staff), '3|columns of crm.staff are no longer sent: permission denied for column home, phone',
	'W14: so does a REVOKE on the table that leaves some columns');
sql("SELECT webhook.delete_webhook_by_id($_)") foreach $staff, $other_staff;
sql('DROP TABLE crm.staff');

# Memberships, schemas, and tests

arrived('member');
dispatch('off');
sql(q{UPDATE crm.guest SET name = 'n'; REVOKE readers FROM member});
sql("SELECT webhook.test_webhook($reader); REVOKE USAGE ON SCHEMA crm FROM PUBLIC");
dispatch('on');
is(arrived('member') . arrived('reader'), '', 'W14: losing a membership or USAGE on the schema stops messages');
becomes(failed($member), '1|withheld: permission denied for schema crm', 'W12: and is reported');
becomes("SELECT outcome, error FROM webhook.get_webhook_log($reader) LIMIT 1", 'invalid|withheld: permission denied for schema crm',
	'E6: a test that is withheld is in the log');
sql('GRANT USAGE ON SCHEMA crm TO PUBLIC; GRANT readers TO member');
redeliver_all($_) foreach $member, $reader;
is(arrived('member') . arrived('reader'), 'nn', 'W11: both are sent later');

# A role, and a table, that have been dropped

sql('GRANT SELECT ON crm.other TO brief');
my $brief = subscribe('brief', 'guest.*');
dispatch('off');
sql(q{UPDATE crm.guest SET name = 'o'; REVOKE ALL ON crm.guest, crm.other FROM brief; DROP ROLE brief});
sql(q{INSERT INTO crm.other VALUES (2, 'dropped'); DROP TABLE crm.other});
dispatch('on');
is(arrived('brief'), '', 'W14: a webhook without an owner is sent nothing');
becomes("SELECT w.active, w.deactivation_reason, w.buffered, n.message ~ 'its owner, the role with OID \\d+, does not exist any more'
	FROM webhook.get_webhooks() AS w JOIN webhook.notification AS n ON n.webhook_id = w.id AND n.kind = 'deactivated' WHERE w.id = $brief",
	'f|owner|1|t', 'W12: and it is reported why');
is(arrived('reader'), 'dropped o', 'W14: what was captured of a table that has been dropped is sent');

# A locked table does not delay the worker, and nothing is sent unchecked

sql('REVOKE SELECT ON crm.guest FROM reader; GRANT SELECT (id, name) ON crm.guest TO reader');
dispatch('off');
sql(q{UPDATE crm.guest SET name = 'p'});
my $session = WebhookTest::session($node);
$session->query_safe('BEGIN; LOCK TABLE crm.guest IN ACCESS EXCLUSIVE MODE');
sql("SELECT pg_terminate_backend(pid, 60000) FROM webhook.stat_workers WHERE pid IS NOT NULL");
dispatch('on');
becomes("SELECT state, last_error FROM webhook.undelivered WHERE webhook_id = $reader AND state = 'retrying'",
	'retrying|withheld: table guest is locked', 'W14: privileges that cannot be checked now are checked later');
$session->query_safe('ROLLBACK');
$session->quit;
sql("SELECT webhook.update_webhook($reader, '{}')");
is(arrived('reader'), 'p', 'W14: and the message is sent then');

done_testing();
