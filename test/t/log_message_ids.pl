# Message ids are reserved in blocks, which all sessions draw from.  Whatever happens to the sequence, no id is drawn twice,
# and whoever draws later gets the greater one.
#
# Mission: W2 W3 W16; goals P4, P18, R1, R2.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $node = WebhookTest::start_node('main', 'webhook.dispatch = off');

# Each webhook gets all messages; nothing is sent.
use constant EMIT => q{SELECT webhook.emit('thing.done', '{}')};
use constant WEBHOOK => q{SELECT webhook.create_webhook('app', 'thing.*', 'http://127.0.0.1:9/')};

# The id of the message that this call of emit() returns.
sub id_of
{
	my ($message_id, $database) = @_;

	return $node->safe_psql($database // 'postgres', "SELECT id FROM webhook.outbox WHERE message_id = '$message_id'");
}

# Emit a message, in this database or session.
sub next_id
{
	my ($database) = @_;
	$database //= 'postgres';

	return id_of($node->safe_psql($database, EMIT), $database);
}

sub emit_in
{
	my ($session) = @_;

	return $session->query_safe(EMIT);
}

sub greatest
{
	return sql('SELECT max(id) FROM webhook.outbox');
}

sql(WEBHOOK);

# In the order of drawing

my $first = WebhookTest::session($node);
my $second = WebhookTest::session($node);
$_->query_safe('BEGIN') foreach $first, $second;
my @messages = map { emit_in($_) } $first, $second, $first, $second, $second, $first;
$_->query_safe('COMMIT') foreach $second, $first;
is(join(' ', map { id_of($_) } @messages), '1 2 3 4 5 6', 'W3: transactions that are open at the same time draw ids in one order');

my $script = $node->basedir . '/emit.sql';
append_to_file($script, EMIT . " FROM generate_series(1, 7);\n");
$node->command_ok([ 'pgbench', '-n', '-c', 4, '-j', 2, '-t', 200, '-f', $script, 'postgres' ], 'four sessions use up several blocks');
is(sql('SELECT count(*), count(DISTINCT id), max(id) FROM webhook.outbox'), '5606|5606|5606', 'W2: no id is drawn twice or left out');

sql(q{CREATE TABLE ticket (id serial PRIMARY KEY); SELECT webhook.watch('ticket', 'thing')});
is(sql('INSERT INTO ticket SELECT FROM generate_series(1, 2000); SELECT lastval(); DROP TABLE ticket'), 2000, "lastval() is the application's");

# The server is killed: the rest of the block is lost

my $before = greatest();
$node->stop('immediate');
WebhookTest::start_again($node);
cmp_ok(next_id(), '>', $before, 'R1: after a crash ids go on');

# Somebody sets the sequence

sql(q{SELECT setval('webhook.outbox_id_seq', 100000)});
$before = next_id();
is($before, 100_001, 'R2: ids go on from where pg_restore has set the sequence');
sql(q{SELECT setval('webhook.outbox_id_seq', 1)});
is(next_id(), $before + 1, 'W2: if it is set back, no id is drawn again, or left out');
$before = sql(q{SELECT setval('webhook.outbox_id_seq', last_value) FROM webhook.outbox_id_seq});
is(next_id(), $before + 1, 'R2: a value that is set is noticed, even if it has been that one before');
sql('BEGIN; SAVEPOINT a; ALTER SEQUENCE webhook.outbox_id_seq RESTART; ', EMIT, '; ROLLBACK TO a; ', EMIT, '; COMMIT');
cmp_ok(sql(q{SELECT nextval('webhook.outbox_id_seq')}), '>', greatest(), 'W2: a change that is rolled back is noticed, too');

$first = WebhookTest::session($node);
$first->query_safe('BEGIN');
emit_in($first);
sql(q{SELECT setval('webhook.outbox_id_seq', 200000)});
$before = next_id();
my $message = emit_in($first);
$first->query_safe('COMMIT');
cmp_ok(id_of($message), '>', $before, 'W3: in the middle of a transaction, too');

# In a parallel worker, messages would not be written

sql(q{CREATE FUNCTION emit_in_parallel() RETURNS text LANGUAGE sql PARALLEL SAFE AS $$SELECT webhook.emit('thing.done', '{}')$$;
	CREATE TABLE parallel AS SELECT 1 AS i FROM generate_series(1, 1000)});
WebhookTest::fails_with($node, q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
	SET parallel_leader_participation = off; SELECT count(emit_in_parallel()) FROM parallel}, '25000', 'during a parallel operation', 'W2: emit() fails there');
sql('DROP TABLE parallel');

# The extension is dropped

$first->query_safe('BEGIN; SAVEPOINT a');
emit_in($first);
$first->query_safe('ROLLBACK TO a');
WebhookTest::fails_with($node, q{SET lock_timeout = '10ms'; DROP EXTENSION webhook CASCADE}, '55P03', 'lock timeout',
	'W2: it cannot be dropped until a transaction that has drawn an id has ended');
$first->query_safe('COMMIT');

$before = greatest();
my $new = join('', 'DROP EXTENSION webhook CASCADE; CREATE EXTENSION webhook; ', WEBHOOK, '; ', EMIT, '; ');
sql('BEGIN; ', $new, 'ROLLBACK');
cmp_ok(next_id(), '>', $before, 'W2: if DROP EXTENSION is rolled back, the ids go on');
$first->quit;
$second->quit;
sql('BEGIN; ', $new, 'COMMIT');
is(greatest(), 1, 'a new extension has ids of its own, also in the transaction that creates it');
is(next_id(), 2, 'and in others');

# A dump is restored where messages have been written already, and both sequences have the same value

sql(EMIT, ' FROM generate_series(1, 500)');
$before = greatest();
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-a', '-f', $dump, 'postgres' ], 'dump');
append_to_file("$dump.data", slurp_file($dump) =~ s/^SELECT pg_catalog\.setval.*\n//gmr);

# Restores this file into a database in which the first ids of a block have been drawn.
sub restore
{
	my ($database, $file) = @_;

	sql("CREATE DATABASE $database");
	$node->safe_psql($database, $_) foreach 'CREATE EXTENSION webhook', WEBHOOK, EMIT, 'DELETE FROM webhook.webhook';
	is($node->safe_psql($database, 'SELECT last_value FROM webhook.outbox_id_seq'), sql('SELECT last_value FROM webhook.outbox_id_seq'),
		'the sequence of the dump is that of the database');
	$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $file, $database ], 'restore');
	return;
}

restore('whole', $dump);
cmp_ok(next_id('whole'), '>', $before, 'R2: a message written after a restore gets none of its ids');
restore('data', "$dump.data");
$node->safe_psql('data', q{SELECT webhook.adopt('send')});
cmp_ok(next_id('data'), '>', $before, 'R2: nor if the sequences have not been restored, after adopt()');
$node->stop('fast');

# There is no slot in shared memory for the database, and then there is one

$node = WebhookTest::start_node('slots', 'webhook.dispatch = off', 'webhook.max_databases = 1');
WebhookTest::becomes("SELECT state FROM webhook.stat_workers WHERE database = 'postgres'", 'served', 'the first database has a slot');
sql('CREATE DATABASE one');
$node->safe_psql('one', $_) foreach 'CREATE EXTENSION webhook', WEBHOOK;
my @ids = map { next_id('one') } 1 .. 3;
sql('DROP EXTENSION webhook CASCADE');
$node->poll_query_until('one', "SELECT state = 'served' FROM webhook.stat_workers WHERE database = 'one'")
  or BAIL_OUT('the database does not get the slot');
push @ids, map { next_id('one') } 1 .. 3;
is("@ids", "@{[ sort { $a <=> $b } @ids ]}", 'W3: ids ascend without a slot, and go on with one');
is("$ids[4] $ids[5]", join(' ', map { $ids[3] + $_ } 1, 2), 'of which they use the block');
$node->stop('fast');

done_testing();
