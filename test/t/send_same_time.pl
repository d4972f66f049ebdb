# A session and the worker change the same webhook concurrently.
#
# Mission: M3 M7, W2 W3 W5 W16; cases: C38.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql emit becomes let_pass);

# The table of locks is so small that C38 needs no more than 2,000 webhooks.
my $node = WebhookTest::start_node('same_time', 'webhook.timeout = 1min', 'max_locks_per_transaction = 20', 'max_connections = 20');
my $receiver = WebhookTest::Receiver->start;

# The numbers that have arrived at a path.
sub numbers
{
	return join(' ', map { /"n": ?(\d+)/ ? $1 : '?' } $receiver->bodies($_[0]));
}

sub end_test
{
	sql('SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks()');
	sql('DELETE FROM webhook.notification');
	$receiver->reset;
	return;
}

# A session that stays in its transaction: begin_session(), say_to_it() and end_session().
my ($in, $out, $session);

sub begin_session
{
	($in, $out) = ('', '');
	$session = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return say_to_it('BEGIN');
}

sub say_to_it
{
	my ($statement) = @_;

	$out = '';
	$in .= "$statement;\n\\echo said\n";
	$session->pump until $out =~ /said/;
	return;
}

sub end_session
{
	my ($statement) = @_;

	say_to_it($statement);
	$in .= "\\q\n";
	$session->finish;
	return;
}

# Send a message that fails for good, and run a statement after the deactivation has been decided and before it is written.
sub after_the_verdict
{
	my ($statement) = @_;

	begin_session();
	say_to_it('LOCK TABLE webhook.delivery IN SHARE MODE');
	emit(1, 'a');
	becomes("SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
			WHERE NOT granted AND mode = 'RowExclusiveLock' AND relation = 'webhook.delivery'::regclass AND backend_type = 'webhook worker'", 1,
		'the worker is about to write');
	say_to_it($statement);
	end_session('COMMIT');
	return;
}

# M7: a webhook that is corrected just before the worker deactivates it stays active

my $id = $receiver->webhook('/broken');
$receiver->behave('/broken', status => 410);
after_the_verdict("SELECT webhook.update_webhook($id, '{\"url\": \"" . $receiver->url('/mended') . "\"}')");
ok($receiver->wait_for_count(1, '/mended'), 'M7: the waiting message is sent to the new URL');
WebhookTest::wait_until_delivered($node);
is(sql("SELECT active FROM webhook.webhook WHERE id = $id"), 't', 'M7: it is still active');
is(sql('SELECT count(*) FROM webhook.notification'), 0, 'M8: no notification');
end_test();

# M7: a webhook that a user deactivates just before the worker does remains as the user has left it

$id = $receiver->webhook('/off');
$receiver->behave('/off', status => 410);
after_the_verdict("SELECT webhook.deactivate_webhook($id)");
becomes("SELECT dropped FROM webhook.stat_webhooks WHERE webhook_id = $id", 1, 'M7: the message is dropped');
is(sql("SELECT active, deactivation_reason, buffering FROM webhook.webhook WHERE id = $id"), 'f|manual|f',
	'M7: it was deactivated by the user, without a buffer');
is(sql('SELECT count(*) FROM webhook.undelivered'), 0, 'M7: nothing is kept');
is(sql('SELECT count(*) FROM webhook.notification'), 0, 'M8: no notification');
end_test();

# M8: no notification about a webhook that is deleted just before the worker deactivates it

$id = $receiver->webhook('/deleted');
$receiver->behave('/deleted', status => 410);
after_the_verdict("SELECT webhook.delete_webhook_by_id($id)");
becomes('SELECT count(*) FROM webhook.outbox_unread()', 0, 'M4: its message is processed');
is(sql('SELECT count(*) FROM webhook.notification'), 0, 'M8: no notification');
end_test();

# M7: a webhook about to be deactivated is sent nothing more, although a session keeps the worker from deactivating it

$id = $receiver->webhook('/gone');
$receiver->behave('/gone', status => 410);
begin_session();
say_to_it("SELECT webhook.update_webhook($id, '{}')");
emit(1, 'a');
becomes('SELECT count(*) FROM webhook.undelivered WHERE attempts = 1', 1, 'M7: it is about to be deactivated');
emit(2, 'b');
becomes('SELECT count(*) FROM webhook.outbox_unread()', 0, 'M9: new messages are stored');
end_session('ROLLBACK');
becomes("SELECT active, buffered FROM webhook.get_webhooks()", 'f|2', 'M7: it is deactivated when the session has ended');
is($receiver->count('/gone'), 1, 'M7: nothing was sent in between');
end_test();

# W3: a message that cannot be written because of a session is not overtaken by those that follow it, not even by a probe

$id = $receiver->webhook('/order', retry_schedule => "ARRAY['0', '1 hour', '1 hour', '1 hour', '1 hour']::interval[]");
my $other = $receiver->webhook('/other', event => "'thing.other'");
$receiver->behave('/order', status => 500);
emit(1, 'k');
becomes("SELECT count(*) FROM webhook.undelivered WHERE state = 'retrying'", 1, 'W3: the first message must be retried');
emit(2, 'k');
emit(3, 'a');
emit(4, 'b');
emit(5, 'c');
becomes("SELECT string_agg(state, ' ' ORDER BY state) FROM webhook.undelivered", 'retrying retrying retrying retrying waiting',
	'W3: the second one waits for it');
begin_session();
say_to_it("SELECT webhook.rotate_secret($id)");
let_pass(4400);
ok($receiver->wait_for_count(8, '/order'), 'W5: after the fifth failure in a row the webhook is failing');
emit(9, 'z');
becomes('SELECT count(*) FROM webhook.undelivered', 6, 'W3: a message of another entity waits, too');
$receiver->behave('/order');
let_pass(4400);
ok($receiver->wait_for_count(9, '/order'), 'W5: a probe finds that it works again');
sql("SELECT webhook.emit('thing.other', '{}')");
ok($receiver->wait_for_count(1, '/other'), 'W5: other webhooks are sent messages');
is(numbers('/order') =~ s/^.* //r, 9, 'W3: the message that follows the first one has not been sent yet');
end_session('ROLLBACK');
WebhookTest::wait_until_delivered($node);
like(numbers('/order'), qr/^[^2]* 9 [^2]*\b1\b[^2]* 2\b[^2]*$/, 'W3: it is sent after the first one');
end_test();

# W2: a successful delivery cannot be recorded because of a session

$id = $receiver->webhook('/held', retry_schedule => "ARRAY['0', '1 hour']::interval[]");
$receiver->behave('/held', fail => 1);
emit(1, 'k');
becomes("SELECT count(*) FROM webhook.undelivered WHERE state = 'retrying'", 1, 'W2: a message must be retried');
begin_session();
say_to_it("SELECT webhook.rotate_secret($id)");
let_pass(4400);
ok($receiver->wait_for_count(2, '/held'), 'W2: it is delivered');
end_session('ROLLBACK');
WebhookTest::wait_until_delivered($node);
is($receiver->count('/held'), 2, 'W2: nothing was sent again');
end_test();

# W5: an owner is dropped while a session has locked its webhook: messages ready to be sent are stored, and delay nothing

sql('CREATE ROLE leaver');
$id = $receiver->webhook('/leaver', rate_limit => 10, ordering => "'none'");
sql("UPDATE webhook.webhook SET owner = 'leaver' WHERE id = $id");
$receiver->webhook('/stays', event => "'other.done'");
emit(0, 'a');
ok($receiver->wait_for_count(1, '/leaver'), 'W10: the first message is sent, others wait for the rate limit');
begin_session();
say_to_it("SELECT webhook.update_webhook($id, '{}')");
sql("SELECT webhook.emit('thing.done', '{}') FROM generate_series(1, 3)", ';DROP ROLE leaver');
sql("SELECT count(webhook.emit('other.done', '{}')) FROM generate_series(1, 2500)");
ok($receiver->wait_for_count(2500, '/stays'), 'W5: another webhook is sent everything');
becomes('SELECT count(*) FROM webhook.outbox_unread()', 0, 'W5: the position moves on');
end_session('ROLLBACK');
becomes("SELECT NOT active AND deactivation_reason = 'owner' FROM webhook.get_webhooks() WHERE id = $id", 't', 'W16: then the webhook is deactivated');
end_test();

# C38: a session changes, and deletes, more webhooks than there can be locks; it keeps the worker from their rows, and no
# other session waits

sql(q{SELECT webhook.create_integration('many')});
sql(q{SELECT count(webhook.create_webhook('app', 'thing.other', 'http://127.0.0.1:9/', integration => 'many')) FROM generate_series(1, 2000)});
$id = $receiver->webhook('/healthy');
$receiver->webhook('/failing', event => "'thing.failing'", retry_schedule => "ARRAY['0', '1 hour']::interval[]");
$receiver->behave('/failing', fail => 1);
sql(q{SELECT webhook.emit('thing.failing', '{}')});
becomes("SELECT count(*) FROM webhook.undelivered WHERE state = 'retrying'", 1, 'C38: a message must be retried');
begin_session();
say_to_it(qq{SELECT count(webhook.update_webhook(id, '{"name": "many"}')) FROM webhook.get_webhooks() WHERE id < $id});
like($out, qr/^2000$/m, 'C38: 2000 webhooks are changed in one transaction');
is(sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode IN ('ExclusiveLock', 'ShareLock')"), 33, 'C38: with 33 locks');
emit(1, 'a');
let_pass(4400);
ok($receiver->wait_for_count(2, '/failing') && $receiver->wait_for_count(1, '/healthy'), 'C38: deliveries go on');
sql(qq{SELECT webhook.update_webhook($id, '{"name": "another"}')});
my ($second_out, $second_err) = ('', '');
my $second = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', qq{SELECT webhook.update_webhook($id - 1, '{"name": "last"}')} ],
	'>', \$second_out, '2>', \$second_err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
becomes("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%last%' AND pid <> pg_backend_pid() AND wait_event_type = 'Lock'", 1,
	'C38: two sessions do not change the same webhook at once');
is(sql('SELECT count(*) FROM webhook.delivery'), 1, 'C38: the worker leaves the rows of all webhooks alone');
end_session('COMMIT');
$second->finish;
is(sql(qq{SELECT string_agg(DISTINCT name, ' ' ORDER BY name) || count(*) FROM webhook.get_webhooks() WHERE id < $id}), 'last many2000',
	'C38: all changes have been made');
WebhookTest::wait_until_delivered($node);
is($receiver->count('/failing'), 2, 'C38: then the worker goes on, and has sent nothing again');
is(sql(q{SELECT webhook.delete_integration('many')}), 't', 'C38: an integration is deleted with its 2000 webhooks');
is(sql('SELECT count(*) FROM webhook.webhook'), 2, 'C38: and no others');
end_test();

# W16: the extension is dropped while the worker is writing: DROP locks tables in the same order as the worker

$id = $receiver->webhook('/dropped');
$receiver->behave('/dropped', status => 500);
begin_session();
say_to_it('LOCK TABLE webhook.delivery IN SHARE MODE');
emit(1, 'a');
becomes("SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE NOT granted AND relation = 'webhook.delivery'::regclass AND backend_type = 'webhook worker'", 1,
	'W16: the worker is in its transaction');
my ($drop_out, $drop_err) = ('', '');
my $drop = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'DROP EXTENSION webhook' ],
	'>', \$drop_out, '2>', \$drop_err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
becomes("SELECT count(*) FROM pg_stat_activity WHERE query = 'DROP EXTENSION webhook' AND wait_event_type = 'Lock'", 1,
	'W16: DROP EXTENSION waits');
end_session('COMMIT');
$drop->finish;
is($drop_err, '', 'W16: the extension is dropped');
becomes("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'webhook worker'", 0, 'W16: the worker has gone');
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'W16: without a deadlock');

$node->stop;
$receiver->stop;
done_testing();
