# What must not stop the worker, lose a message or block an entity for good: users' functions and settings, changes at the
# wrong moment, crashes between two writes.
#
# Mission: I17, W1 W2 W3 W5; goals: R1 R6.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql emit);

my $node = WebhookTest::start_node('robust', "webhook.retry_schedule = '0, 300ms, 300ms, 300ms, 300ms, 300ms, 300ms, 1s, 1s, 1s, 1s, 1s, 1s'",
	'webhook.transform_timeout = 200ms', 'restart_after_crash = on');
my $receiver = WebhookTest::Receiver->start;

# I17: a transform replaced by a function with another result type fails its delivery, and nothing else.

sql(q{CREATE FUNCTION f(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1'});
my $replaced = $receiver->webhook('/replaced', transform => "'f(jsonb)'");
my $plain = $receiver->webhook('/plain');
sql(q{DROP FUNCTION f(jsonb); CREATE FUNCTION f(jsonb) RETURNS bigint LANGUAGE sql AS 'SELECT 64::bigint'});
emit(1, 'a');
ok($receiver->wait_for_count(1, '/plain'), 'I17: the other webhook gets the message');
ok($node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM webhook.get_webhook_log($replaced) WHERE error LIKE '%other argument or result types%'"),
	'I17: the log says what is wrong with the transform');
is($receiver->count('/replaced'), 0, 'I17: nothing was sent to it');
sql("SELECT webhook.delete_webhook_by_id($replaced)");

# I17: a transform gets a json payload as far as jsonb can represent it.

sql(q{CREATE TABLE odd (id integer PRIMARY KEY, body json); SELECT webhook.watch('odd', 'odd')});
sql(q{CREATE FUNCTION same(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1'});
my $odd = $receiver->webhook('/odd', event => "'odd.*'", transform => "'same(jsonb)'");
sql(q{INSERT INTO odd VALUES (1, '"\\u0000"')});
ok($receiver->wait_for_count(1, '/odd'), 'I17: what jsonb cannot hold is replaced');
is(decode_json(($receiver->requests('/odd'))[0]->{body})->{result}{body}, "\x{fffd}", 'I17: in all places');
sql("SELECT webhook.delete_webhook_by_id($odd)");

# I17: a transform that swallows query cancel ends its worker once, and the next one deactivates its webhook.

sql(q{CREATE FUNCTION stubborn(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN LOOP BEGIN PERFORM pg_sleep(100); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$});
my $stubborn = $receiver->webhook('/stubborn', transform => "'stubborn(jsonb)'");
emit(2, 'b');
ok($node->poll_query_until('postgres',
		"SELECT NOT active AND deactivation_reason = 'transform' FROM webhook.get_webhooks() WHERE id = $stubborn"),
	'I17, W5: the webhook of a transform that cannot be cancelled is deactivated');
emit(3, 'b');
ok($receiver->wait_for_count(3, '/plain'), 'W5: the other webhook goes on');
is($receiver->count('/stubborn'), 0, 'I17: nothing was sent to it');
sql("SELECT webhook.delete_webhook_by_id($stubborn)");

# I17: the same while a session has locked the webhook: the worker after the next one still deactivates it.

sql(q{CREATE FUNCTION deaf(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN RAISE LOG 'the transform runs'; LOOP BEGIN PERFORM pg_sleep(100); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$});
my $deaf = $receiver->webhook('/deaf', event => "'deaf.done'", transform => "'deaf(jsonb)'");
my $holder = WebhookTest::session($node);
$holder->query_safe("BEGIN; SELECT webhook.update_webhook($deaf, '{}')");
my $first = WebhookTest::worker_pid();
sql(q{SELECT webhook.emit('deaf.done', '{}')});
foreach my $worker ('the next worker', 'the one after it')
{
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM webhook.stat_workers WHERE pid <> $first AND state = 'served'"),
		"I17: $worker has started");
	WebhookTest::becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $deaf", 1, 'I17: which does not run the transform');
	last if $worker ne 'the next worker';
	$first = WebhookTest::worker_pid();
	sql("SELECT pg_terminate_backend($first)");
}
$holder->query_safe('ROLLBACK');
$holder->quit;
ok($node->poll_query_until('postgres', "SELECT NOT active AND deactivation_reason = 'transform' FROM webhook.get_webhooks() WHERE id = $deaf"),
	'I17: the webhook is deactivated when the session ends');
is(scalar(() = slurp_file($node->logfile) =~ /LOG:  the transform runs/g), 1, 'I17: the transform has run once');
sql("SELECT webhook.delete_webhook_by_id($deaf)");

# I17: locks taken by a transform are released after it.

sql(q{CREATE FUNCTION locking(jsonb) RETURNS jsonb LANGUAGE plpgsql AS
	$$ BEGIN PERFORM pg_advisory_lock(4711); PERFORM 1 / ($1->>'n')::int; RETURN $1; END $$});
my $locking = $receiver->webhook('/locking', transform => "'locking(jsonb)'");
emit(3, 'l');
emit(0, 'm');
ok($node->poll_query_until('postgres',
		"SELECT count(*) > 1 FROM webhook.get_webhook_log($locking)"), 'I17: a transform that has taken locks succeeds, or fails');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711}), 0,
	'I17: no lock is held afterwards');
sql("SELECT webhook.delete_webhook_by_id($locking)");

# W5: a message for which no request can be built, because its URL would be too long, is no failure of the receiver.

my $templated = $receiver->webhook('/long/{entity_id}');
my $addressed = $receiver->webhook('/entity/{entity_id}', method => "'DELETE'", event => "'addressed'");
emit(3, 'x' x 9000);
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM webhook.undelivered WHERE webhook_id = $templated AND state = 'failed'"),
	'W5: its schedule is used up');
is(sql("SELECT active, failing_since IS NULL, webhook.pending(id) FROM webhook.get_webhooks() WHERE id = $templated"), 't|t|0',
	'W5: and the webhook is not failing');
is(sql("SELECT count(*) FROM webhook.notification WHERE webhook_id = $templated"), 0, 'W5: no notification');
sql("SELECT webhook.delete_webhook_by_id($templated)");

# W3: a webhook is deactivated and activated in one transaction while a delivery waits for its retry.

$receiver->behave('/plain', status => 500);
emit(4, 'c');
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM webhook.undelivered WHERE state = 'retrying'"),
	'W4: a delivery waits for its retry');
sql("BEGIN; SELECT webhook.deactivate_webhook($plain); SELECT webhook.activate_webhook($plain); COMMIT");
$receiver->behave('/plain');
emit(5, 'c');
ok($node->poll_query_until('postgres', 'SELECT webhook.pending() = 0'), 'W3: nothing is left behind');
is([ $receiver->numbers('/plain') ]->[-1], 5, 'W3: the next message of the same entity arrives');

# W2: a crash after the row of one delivery was written, while another delivery keeps the position back.

my $hanging = $receiver->webhook('/hanging');
$receiver->behave('/hanging', hold => 1);
$receiver->behave('/plain', status => 500);
emit(6, 'd');
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM webhook.undelivered WHERE webhook_id = $plain AND state = 'retrying'"),
	'W2: the row of the failed delivery has been written');
my $pid = sql("SELECT pid FROM webhook.stat_workers WHERE database = 'postgres'");
kill 'KILL', $pid;
ok($node->poll_query_until('postgres', "SELECT pid <> $pid FROM webhook.stat_workers WHERE database = 'postgres' AND state = 'served'"),
	'R1: the worker is back after kill -9');
$receiver->behave('/plain');
$receiver->behave('/hanging');
emit(7, 'd');
ok($node->poll_query_until('postgres', 'SELECT webhook.pending() = 0'), 'W2: everything is delivered after the crash');
my @after = grep { $_ >= 6 } @{ [ $receiver->numbers('/plain') ] };
is($after[-1], 7, 'W3: in order: the later message comes last');
ok((grep { $_ == 6 } @after) >= 1, 'W2: the retried one was not lost');
sql("SELECT webhook.delete_webhook_by_id($hanging)");

# An id that would name another resource is not put into a URL; the wait that a receiver asks for is limited.

sql("SELECT webhook.emit('addressed', '{}', '$_')") foreach '', '.', '..', 'x';
ok($receiver->wait_for_count(1, '/entity/x'), 'C15: an id that is valid in a URL is sent');
ok($node->poll_query_until('postgres', "SELECT webhook.pending($addressed) = 0"), 'C15: the others are processed');
is(scalar(grep { $_->{path} =~ m{^/entity} } $receiver->requests), 1, 'C15: but not sent');
is(sql("SELECT string_agg(outcome || ' ' || attempt, ',' ORDER BY outcome) FROM webhook.get_webhook_log($addressed)"),
	'delivered 1,invalid 1,invalid 1,invalid 1', 'C15: the log says invalid');
is(sql("SELECT count(*) FROM webhook.undelivered WHERE webhook_id = $addressed AND state = 'failed' AND last_error LIKE '%path of the URL%'"),
	3, 'C15: they are stored as failed, and can be redelivered');
is(sql("SELECT active AND failing_since IS NULL FROM webhook.get_webhooks() WHERE id = $addressed"), 't', 'C15: the webhook is not failing');
$receiver->behave('/entity/y', status => 503, retry_after => 2592000);
sql(q{SELECT webhook.emit('addressed', '{}', 'y')});
ok($node->poll_query_until('postgres', "SELECT error = 'HTTP status 503, Retry-After counts as 24 hours' FROM webhook.get_webhook_log($addressed) LIMIT 1"),
	'C17: the log says how long the worker waits');
sql("SELECT webhook.delete_webhook_by_id($addressed)");

# An invalid row of the outbox is not skipped; the server log says which one it is.

$node->append_conf('postgresql.conf', 'webhook.dispatch = off');
$node->reload;
$node->poll_query_until('postgres', 'SELECT activity FROM webhook.stat_workers WHERE database = current_database()', 'paused')
  or BAIL_OUT('the worker does not pause');
sql(q{SELECT webhook.emit('thing.done', '{"n": 70}', 'broken') FROM generate_series(1, 3)});
my ($broken, $partition) = split /\|/, sql('SELECT r.id, r.tableoid::regclass FROM (',
	join(' UNION ALL ', map { "SELECT id, more, tableoid FROM webhook.outbox_$_" } 0 .. 3),
	') AS r WHERE r.more IS NOT NULL ORDER BY r.id DESC LIMIT 1');
sql("UPDATE $partition SET more = substring(more, 1, 60) WHERE id = $broken");
my $logged = -s $node->logfile;
$node->append_conf('postgresql.conf', 'webhook.dispatch = on');
$node->reload;
ok($node->wait_for_log(qr/invalid message format in outbox row\n.*more" ends too early\.\n.*row with id $broken in table "$partition"/, $logged),
	'R6: the log says which row is invalid');
ok( $node->poll_query_until('postgres', q{SELECT last_error LIKE '%invalid message format in outbox row' AND restart_at > now() + '3 s' AND restart_at < now() + '1 min'
		FROM webhook.stat_workers WHERE database = current_database() AND state = 'backoff'}),
	'C43: so does stat_workers, with the time when the next worker is started, after increasing delays');
ok(!(grep { $_ == 70 } @{ [ $receiver->numbers('/plain') ] }), 'W2: nothing of it was sent');
sql("UPDATE $partition SET more = NULL WHERE id = $broken");
ok($receiver->wait_for(sub { grep { $_ == 70 } @{ [ $receiver->numbers('/plain') ] } }), 'R6: the worker goes on when it has been repaired');
ok($node->poll_query_until('postgres', q{SELECT state = 'served' AND last_error IS NULL AND restart_at IS NULL
	FROM webhook.stat_workers WHERE database = current_database()}), 'C43: and there is no error any more');

# Defaults of the database do not affect the worker.

sql('ALTER DATABASE postgres SET default_transaction_read_only = on; ALTER DATABASE postgres SET statement_timeout = 1;'
	  . "ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'");
{
	local $ENV{PGOPTIONS} = '-c default_transaction_read_only=off -c statement_timeout=0';

	sql("SELECT pg_terminate_backend(pid) FROM webhook.stat_workers WHERE database = 'postgres'");
	emit(8, 'e');
	ok($node->poll_query_until('postgres', 'SELECT webhook.pending() = 0'), 'R6: a message is sent in spite of the defaults of the database');
	is([ $receiver->numbers('/plain') ]->[-1], 8, 'R6: and received');
}
$node->safe_psql('template1', 'ALTER DATABASE postgres RESET ALL');

# W1: messages of a transaction that drops the extension are not sent, and do no harm.

$node->safe_psql('template1', 'CREATE DATABASE other');
$node->safe_psql('other', "CREATE EXTENSION webhook; SELECT webhook.create_webhook('x', '*', '" . $receiver->url('/dropped') . "')");
$node->safe_psql('other', q{BEGIN; SELECT webhook.emit('thing.done', '{}', '1'); DROP EXTENSION webhook CASCADE; COMMIT});
is($node->safe_psql('other', 'SELECT 1'), '1', 'W1: the server survives');
is($receiver->count('/dropped'), 0, 'W1: nothing was sent');

$receiver->stop;
$node->stop('fast');
done_testing();
