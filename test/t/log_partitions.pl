# The outbox is a ring of partitions: full ones are left, sealed when their writers have ended, and truncated when all
# of it is processed.  A session that holds one up delays no one, and no message is lost in any state, nor by a crash in it.
#
# Mission: W1 W2 W13 X4; goals P11, R1.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest qw(sql becomes let_pass);

my $node = WebhookTest::start_node('main', 'webhook.partition_size = 64kB');
my $receiver = WebhookTest::Receiver->start;
my $expected = 0;

# Of a transaction.  A message takes about 60 bytes.
use constant ROWS => 1000;

# Insert rows that fill more than two partitions, in several transactions, and see the ring move.  It may come back to
# where it was.
sub fill
{
	my ($what) = @_;
	my $before = sql('SELECT switched_at FROM webhook.ring');

	foreach (1 .. 3)
	{
		sql('INSERT INTO thing SELECT i FROM generate_series(', $expected + 1, ', ', $expected + ROWS, ') AS i');
		$expected += ROWS;
	}
	ok($node->poll_query_until('postgres', "SELECT switched_at <> '$before' FROM webhook.ring"), "$what: the ring moves on");
	return;
}

# The ids of the rows that have arrived.  The ledger is long: no JSON here.
sub ledger
{
	return PostgreSQL::Test::Utils::slurp_file($receiver->{ledger}) =~ /"body": "\{\\"id\\":(-?\d+)\}"/g;
}

# How many different ones, of those in this range.
sub arrived
{
	my ($from, $to) = @_;
	my %seen;

	WebhookTest::wait_until_delivered($node);
	$seen{$_}++ foreach grep { $_ >= $from && $_ <= $to } ledger();
	return scalar(keys %seen);
}

# Wait for one of them, without asking the server.
sub arrives
{
	my ($id) = @_;

	foreach (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if grep { $_ == $id } ledger();
		usleep(50_000);
	}
	return 0;
}

sub complete
{
	my ($what) = @_;

	is(arrived(1, $expected), $expected, "$what: everything committed has arrived");
	return;
}

# Partitions that hold rows and are not current.
sub left
{
	return sql('SELECT string_agg(n::text, \',\' ORDER BY n) FROM generate_series(0, 3) AS n, webhook.ring AS r ',
		'WHERE n <> r.current AND pg_relation_size(\'webhook.outbox_\' || n) > 0');
}

sub emptied
{
	my ($what) = @_;

	ok( $node->poll_query_until(
			'postgres',
			'SELECT count(*) = 0 FROM generate_series(0, 3) AS n, webhook.ring AS r
			  WHERE n <> r.current AND pg_relation_size(\'webhook.outbox_\' || n) > 0'),
		"$what: the partitions left are truncated, without further messages");
	return;
}

# The partitions that a transaction has written to, by a condition on its locks.  The ring may have moved on meanwhile: then
# there are two.
sub written_by
{
	my ($whose) = @_;

	return sql('SELECT string_agg(right(relation::regclass::text, 1), \',\') FROM pg_locks ',
		'WHERE relation::regclass::text ~ \'^webhook[.]outbox_[0-3]$\' AND mode = \'RowExclusiveLock\' AND ', $whose);
}

# All others go on and their partitions are truncated, except those in question.
sub held
{
	my ($what, $partitions) = @_;

	ok( $node->poll_query_until(
			'postgres',
			"SELECT current NOT IN ($partitions)
			   AND (SELECT bool_and(pg_relation_size('webhook.outbox_' || n) > 0) FROM unnest(ARRAY[$partitions]) AS n)
			   AND (SELECT count(*) = 0 FROM generate_series(0, 3) AS n
					 WHERE n NOT IN (current, $partitions) AND pg_relation_size('webhook.outbox_' || n) > 0)
			   FROM webhook.ring"),
		"$what: only the partition that is held up stays");
	return;
}

sub crash
{
	$node->stop('immediate');
	$node->start;
	return;
}

sql('CREATE TABLE thing (id integer PRIMARY KEY)');
sql(q{SELECT webhook.watch('thing', 'thing')});
WebhookTest::create_webhook($node, app => "'ring'", event => "'*'", format => "'rest'",
	url => "'" . $receiver->url('/ring') . "'");

fill('nothing open');
complete('nothing open');
emptied('nothing open');

# A transaction that wrote so much that part of it is in the partition already, is open, and writes more after the ring has
# moved on.

my $writer = WebhookTest::session($node);
my $pid = $writer->query_safe('SELECT pg_backend_pid()');
$writer->query_safe('BEGIN; INSERT INTO thing SELECT -i FROM generate_series(1, 6000) AS i');
my $written = written_by("pid = $pid");
fill('open writer');
complete('open writer');
held('open writer', $written);
fill('open writer, again');
held('open writer, again', $written);
$writer->query_safe('INSERT INTO thing SELECT -i FROM generate_series(6001, 6100) AS i; COMMIT');
is(arrived(-6100, -1), 6100, 'open writer: its messages have arrived');
emptied('open writer');

# One whose snapshot is older than the change of the partition.

$writer->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM thing');
fill('REPEATABLE READ');
$writer->query_safe('INSERT INTO thing SELECT -i FROM generate_series(10001, 16000) AS i');
fill('REPEATABLE READ, again');
$writer->query_safe('COMMIT');
complete('REPEATABLE READ');
is(arrived(-16000, -10001), 6000, 'REPEATABLE READ: its messages have arrived');
emptied('REPEATABLE READ');

# A session that reads a partition, such as pg_dump: nothing is truncated under it.

$writer->query_safe('BEGIN; SELECT count(*) FROM webhook.outbox');
fill('reader');
fill('reader, again');
complete('reader');
isnt(left(), '', 'reader: partitions are left as they are');
$writer->query_safe('COMMIT');
emptied('reader');

# A prepared transaction, which holds its partition over a crash.

sql(q{BEGIN; INSERT INTO thing SELECT -i FROM generate_series(20001, 26000) AS i; PREPARE TRANSACTION 'prepared'});
$written = written_by('pid IS NULL');
fill('prepared');
held('prepared', $written);
crash();
fill('prepared, after a crash');
held('prepared, after a crash', $written);
complete('prepared');
sql(q{COMMIT PREPARED 'prepared'});
ok(arrives(-26000), 'prepared: its messages arrive although no session wakes the worker');
is(arrived(-26000, -20001), 6000, 'prepared: all of them');
emptied('prepared');

# A crash while a partition is left, with a writer that dies in it and messages that wait.

$writer->quit;
$writer = WebhookTest::session($node, on_error_stop => 0);
$writer->query_safe('BEGIN; INSERT INTO thing SELECT -i FROM generate_series(30001, 36000) AS i');
fill('crash');
$receiver->behave('/ring', hold => 1);
sql('INSERT INTO thing SELECT i FROM generate_series(', $expected + 1, ', ', $expected + 700, ') AS i');
$expected += 700;
crash();
$receiver->behave('/ring');
complete('crash');
is(arrived(-36000, -30001), 0, 'crash: nothing of the transaction that died');
emptied('crash');
fill('after the crash');
complete('after the crash');
emptied('after the crash');

# REINDEX CONCURRENTLY: for some time there are two indexes, and then another one has the name.  It is held up by an older
# snapshot after it has read the table, so what is written then must be entered in both.

$writer = WebhookTest::session($node, on_error_stop => 0);
$writer->query_safe('INSERT INTO thing VALUES (-40001)');
is(arrived(-40001, -40001), 1, 'before REINDEX CONCURRENTLY');
sql('ALTER SYSTEM SET webhook.dispatch = off');
$node->reload;
my $old = WebhookTest::session($node);
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
my $current = sql('SELECT current FROM webhook.ring');
my $reindex = WebhookTest::session($node);
$reindex->query_until(qr/started/, "\\echo started\nREINDEX TABLE CONCURRENTLY webhook.outbox_$current;\n");
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE phase = 'waiting for old snapshots'"),
	'W2: REINDEX CONCURRENTLY waits for an old snapshot');
$writer->query_safe('INSERT INTO thing SELECT -i FROM generate_series(40002, 40003) AS i');
$old->query_safe('COMMIT');
$reindex->query_safe("SELECT 'done'");
is($writer->query('INSERT INTO thing VALUES (-40004)'), '', 'W2: a session that was there before goes on');
sql('ALTER SYSTEM RESET webhook.dispatch');
$node->reload;
is(arrived(-40004, -40001), 4, 'W2: REINDEX CONCURRENTLY loses nothing');
my @tables = qw(active_integration event_override log log_1 health health_1 delivery watch webhook);
foreach my $i (0 .. $#tables)
{
	sql("REINDEX TABLE CONCURRENTLY webhook.$tables[$i]");
	$writer->query('INSERT INTO thing VALUES (' . (-40005 - $i) . ')');
}
is(arrived(-40100, -40005), scalar(@tables), 'W2: nor does that of other tables');
is(sql('SELECT count(*) FROM webhook.get_webhooks() w, webhook.get_webhook_log(w.id) l WHERE l.attempted_at IS NOT NULL') > 0, 1,
	'E7: and the log goes on');
$_->quit foreach $writer, $old, $reindex;

# CREATE EXTENSION in another incarnation starts with an empty ring.

sql('DROP EXTENSION webhook CASCADE; CREATE EXTENSION webhook');
sql(q{SELECT webhook.watch('thing', 'thing')});
WebhookTest::create_webhook($node, app => "'ring'", event => "'*'", format => "'rest'",
	url => "'" . $receiver->url('/ring') . "'");
fill('created again');
complete('created again');
emptied('created again');

# X4: messages that leave the outbox are kept if that is configured, once, whatever crashes

sub kept
{
	return "SELECT count(*), count(DISTINCT message_id) FROM webhook.message_history WHERE created_at >= '$_[0]'";
}

sub moved
{
	return 'SELECT ' . join(' + ', map { "(SELECT count(*) FROM webhook.history_$_)" } 0 .. 7);
}

is(sql(moved()), 0, 'X4: nothing is kept unless it is asked for');
sql(q{ALTER SYSTEM SET webhook.history_retention = '7 d'});
$node->reload;
my $since = sql('SELECT clock_timestamp()');
my $before = $expected;
fill('history');
complete('history');
emptied('history');
becomes(moved() . ' > 0', 't', 'X4: messages are moved to the history');
foreach (1 .. 3)
{
	sql('INSERT INTO thing SELECT i FROM generate_series(', $expected + 1, ', ', $expected + ROWS, ') AS i');
	$expected += ROWS;
	crash();
}
fill('history, after crashes');
complete('history, after crashes');
emptied('history, after crashes');
becomes(kept($since), join('|', ($expected - $before) x 2), 'X4: each of them once');

my ($id, $entity) = split(/\|/, sql("SELECT message_id, entity_id FROM webhook.message_history WHERE created_at >= '$since' AND event = 'thing.create' ORDER BY created_at LIMIT 1"));
is(sql("SELECT event, entity_type, entity_id, payload, webhook_ids = ARRAY(SELECT id FROM webhook.get_webhooks()) FROM webhook.message_history WHERE message_id = '$id'"),
	"thing.create|thing|$entity|{\"id\":$entity}|t", 'X4: a message is found by its id');
foreach my $search ([ "entity_id = '$entity'", 'entity' ], [ "message_id = '$id'", 'created' ], [ "event = 'thing.create'", 'event' ],
	[ "created_at < '$since'", 'created' ])
{
	like(sql("SET enable_seqscan = off; EXPLAIN SELECT * FROM webhook.message_history WHERE $search->[0]"),
		qr/history_0_$search->[1]_idx.*history_7_$search->[1]_idx/s, "X4: by index: $search->[0]");
}

# A table that a session reads is truncated later; the limit on the size

my $reader = WebhookTest::session($node);
$reader->query_safe('BEGIN; SELECT count(*) FROM webhook.message_history');
sql('ALTER SYSTEM SET webhook.history_max_size = 1');
$node->reload;
fill('size');
complete('size');
$reader->query_safe('COMMIT');
$reader->quit;
fill('size') foreach 1 .. 4;
complete('size');
becomes("SELECT count(*) FROM webhook.notification WHERE kind = 'history'", 1, 'X4: messages removed before their time are reported, once an hour');
becomes('SELECT sum(pg_total_relation_size(oid)) < 4 * 1024 * 1024 FROM pg_class WHERE relname ~ \'^history_\d$\'', 't',
	'X4: the size is limited');
is(sql("SELECT count(*) FROM webhook.message_history WHERE entity_id = '$expected'"), 1, 'X4: the latest are kept');

# Messages that are too old are removed, all of them if nothing is kept any more

sql(q{ALTER SYSTEM SET webhook.history_max_size = 0});
$node->reload;
emptied('time');
is(sql(moved() . ' > 0'), 't', 'X4: the size never takes the whole history');
$WebhookTest::clock = 0;
let_pass(2 * 86400);
becomes('SELECT count(*) > 1 FROM webhook.history_part', 't', 'X4: another table for another day');
fill('time');
complete('time');
emptied('time');
let_pass(8 * 86400);
becomes("SELECT count(*) = 0 FROM webhook.message_history WHERE created_at < '$since'", 't', 'X4: what is too old is removed');
becomes("SELECT count(*) = 0 FROM webhook.history_part WHERE since < '$since'", 't', 'X4: by truncating its table');
sql('ALTER SYSTEM RESET webhook.history_retention');
$node->reload;
becomes('SELECT count(*) FROM webhook.history_part', 0, 'X4: nothing is kept any more');
is(sql(moved()), 0, 'X4: all of it is gone');
fill('off');
complete('off');
emptied('off');
is(sql(moved()), 0, 'X4: nothing is kept when the setting is 0');
WebhookTest::fails_with($node, q{ALTER SYSTEM SET webhook.history_retention = '-1 s'}, '22023', 'outside the valid range', 'X4: a negative time is refused');
WebhookTest::fails_with($node, 'ALTER SYSTEM SET webhook.history_max_size = -1', '22023', 'outside the valid range', 'X4: so is a negative size');

$node->stop;
done_testing();
