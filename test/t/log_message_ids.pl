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

	return id_of($node->safe_psql($database, q{SELECT webhook.emit('thing.done', '{}')}), $database);
}

sub emit_in
{
	my ($session) = @_;

	return $session->query_safe(q{SELECT webhook.emit('thing.done', '{}')});
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
cmp_ok(sql('SELECT last_value FROM webhook.outbox_id_seq'), '>=', 6, 'R2: the sequence is past them, for a dump or a standby');

my $script = $node->basedir . '/emit.sql';
append_to_file($script, "SELECT webhook.emit('thing.done', '{}') FROM generate_series(1, 7);\n");
$node->command_ok([ 'pgbench', '-n', '-c', 4, '-j', 2, '-t', 200, '-f', $script, 'postgres' ], 'four sessions use up several blocks');
is(sql('SELECT count(*), count(DISTINCT id), max(id) FROM webhook.outbox'), '5606|5606|5606', 'W2: no id is drawn twice or left out');

# The server is killed: the rest of the block is lost

my $before = greatest();
$node->stop('immediate');
WebhookTest::start_again($node);
cmp_ok(next_id(), '>', $before, 'R1: after a crash ids go on');

# Somebody sets the sequence

sql(q{SELECT setval('webhook.outbox_id_seq', 100000)});
is(next_id(), 100_001, 'R2: ids go on from where pg_restore has set the sequence');
sql(q{SELECT setval('webhook.outbox_id_seq', 1)});
is(next_id(), 100_002, 'W2: if it is set back, no id is drawn again');
sql(q{SELECT setval('webhook.outbox_id_seq', last_value) FROM webhook.outbox_id_seq});
cmp_ok(next_id(), '>', sql('SELECT last_value FROM webhook.outbox_id_seq') - 1024, 'R2: a value that is set is noticed, even if it has been that one before');

$first = WebhookTest::session($node);
$first->query_safe('BEGIN');
emit_in($first);
sql(q{SELECT setval('webhook.outbox_id_seq', 200000)});
$before = next_id();
my $message = emit_in($first);
$first->query_safe('COMMIT');
cmp_ok(id_of($message), '>', $before, 'W3: in the middle of a transaction, too');

# The extension is dropped

$first->query_safe('BEGIN; SAVEPOINT a');
emit_in($first);
$first->query_safe('ROLLBACK TO a');
WebhookTest::fails_with($node, q{SET lock_timeout = '10ms'; DROP EXTENSION webhook CASCADE}, '55P03', 'lock timeout',
	'W2: it cannot be dropped until a transaction that has drawn an id has ended');
$first->query_safe('COMMIT');

$before = greatest();
my $new = join('', 'DROP EXTENSION webhook CASCADE; CREATE EXTENSION webhook; ', WEBHOOK, q{; SELECT webhook.emit('thing.done', '{}'); });
sql('BEGIN; ', $new, 'ROLLBACK');
cmp_ok(next_id(), '>', $before, 'W2: if DROP EXTENSION is rolled back, the ids go on');
$first->quit;
$second->quit;
sql('BEGIN; ', $new, 'COMMIT');
is(greatest(), 1, 'a new extension has ids of its own, also in the transaction that creates it');
is(next_id(), 2, 'and in others');

# A dump is restored where messages have been written already, and both sequences have the same value

sql(q{SELECT webhook.emit('thing.done', '{}') FROM generate_series(1, 500)});
$before = greatest();
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-a', '-f', $dump, 'postgres' ], 'dump');
append_to_file("$dump.data", slurp_file($dump) =~ s/^SELECT pg_catalog\.setval.*\n//gmr);

# Restores this file into a database in which the first ids of a block have been drawn.
sub restore
{
	my ($database, $file) = @_;

	sql("CREATE DATABASE $database");
	$node->safe_psql($database, $_) foreach 'CREATE EXTENSION webhook', WEBHOOK, q{SELECT webhook.emit('thing.done', '{}')}, 'DELETE FROM webhook.webhook';
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
is(join(' ', map { next_id('one') } 1 .. 3), '1 2 3', 'W2: without a slot ids are drawn as well');
sql('DROP EXTENSION webhook CASCADE');
$node->poll_query_until('one', "SELECT state = 'served' FROM webhook.stat_workers WHERE database = 'one'")
  or BAIL_OUT('the database does not get the slot');
is(join(' ', map { next_id('one') } 1 .. 3), '4 5 6', 'W2: and go on with one');
$node->stop('fast');

done_testing();
