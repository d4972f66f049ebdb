# Every committed message is read once, those of an entity in commit order, whatever the order of
# transaction ids and message ids, however long the backlog, and also if the worker is restarted in the middle.
#
# Mission: W1, W2, W3.
#
# No ledger table is needed: every change of a thing adds 1 to its column n while holding the lock on
# the row.  The receiver must see n = 1, 2, 3, ... for every thing, up to its final n in the table.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $node = WebhookTest::start_node('main', 'webhook.dispatch = off', 'synchronous_commit = off');
my $receiver = WebhookTest::Receiver->start;
my $things = 12;

sub set_dispatch
{
	my ($value) = @_;

	sql("ALTER SYSTEM SET webhook.dispatch = $value");
	$node->reload;
	return;
}

# Terminate the worker; the launcher starts another one.
sub restart_worker
{
	my $pid = sql('SELECT pid FROM webhook.stat_workers WHERE pid IS NOT NULL');

	return unless $pid;
	sql("SELECT pg_terminate_backend($pid)");
	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM webhook.stat_workers WHERE pid IS NOT NULL AND pid <> $pid")
	  or BAIL_OUT('no new worker was started');
	return;
}

# Transactions that change several of a few things; each has its xid before it takes the first lock, and rolls back a part.
my $script = $node->basedir . '/changes.sql';
PostgreSQL::Test::Utils::append_to_file($script, qq{
\\set first random(1, $things)
\\set last :first + random(0, 4)
\\set other random(1, $things)
BEGIN;
SELECT pg_current_xact_id();
UPDATE thing AS t SET n = n + 1
  FROM (SELECT id FROM thing WHERE id BETWEEN :first AND :last ORDER BY id FOR UPDATE) AS s WHERE t.id = s.id;
SAVEPOINT undone;
UPDATE thing SET n = n + 1000000 WHERE id = :first;
ROLLBACK TO undone;
SAVEPOINT kept;
UPDATE thing SET n = n + 1 WHERE id = :first;
RELEASE kept;
COMMIT;
});

sub start_changes
{
	my ($clients, $transactions) = @_;
	my ($out, $err) = ('', '');

	return IPC::Run::start(
		[
			'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-f', $script,
			'-c', $clients, '-t', $transactions, 'postgres'
		],
		'>', \$out, '2>', \$err);
}

# Compare the ledger with the tables.
sub check_ledger
{
	my ($what, %options) = @_;
	my (%next, %seen, %big);
	my ($repeats, $invented, $disorder) = (0, 0, 0);

	WebhookTest::wait_until_delivered($node);

	# Regular expressions, because the ledger has tens of thousands of lines.
	foreach my $line (split(/\n/, PostgreSQL::Test::Utils::slurp_file($receiver->{ledger})))
	{
		my ($message_id) = $line =~ /"webhook-id": "([^"]+)"/ or die "no webhook-id in: $line";

		if ($seen{$message_id}++)
		{
			$repeats++;
		}
		elsif ($line =~ /"body": "\{\\"id\\":(\d+),\\"n\\":(\d+)\}"/)
		{
			$invented++ if $2 >= 1000000;
			$disorder++ if $2 != ++$next{$1};
		}
		elsif ($line =~ /"body": "\{\\"number\\":(\d+)\}"/)
		{
			$big{$1}++;
		}
		else
		{
			die "unexpected: $line";
		}
	}
	my $expected = sql('SELECT string_agg(id || \':\' || n, \' \' ORDER BY id) FROM thing WHERE n > 0');

	is(join(' ', map { "$_:$next{$_}" } sort { $a <=> $b } keys %next), $expected, "$what: all committed changes, W1 W2");
	is($invented, 0, "$what: nothing that was rolled back, W1");
	is($disorder, 0, "$what: in order per entity, W3");
	is(join(',', scalar(keys %big), scalar(grep { $_ > 1 } values %big)),
		sql('SELECT count(*) FROM big') . ',0', "$what: every row of the big transactions");
	is($repeats, 0, "$what: nothing twice") unless $options{repeats};
	note("$what: " . scalar(keys %seen) . " messages, $repeats repeated");
	return;
}

sql(qq{
	CREATE TABLE thing (id integer PRIMARY KEY, n integer NOT NULL);
	INSERT INTO thing SELECT i, 0 FROM generate_series(1, $things) AS i;
	CREATE TABLE big (number integer PRIMARY KEY);
	SELECT webhook.watch('thing', 'thing');
	SELECT webhook.watch('big', 'big');
});
WebhookTest::create_webhook($node, app => "'ledger'", event => "'*'", format => "'rest'", url => "'" . $receiver->url('/ledger') . "'");

# A long backlog: concurrent transactions, and two giant ones, one of which began before them and one in the middle.

my $giant = WebhookTest::session($node);
$giant->query_safe('BEGIN');
$giant->query_safe('INSERT INTO big SELECT i FROM generate_series(1, 6000) AS i');
my $changes = start_changes(8, 100);
$giant->query_safe('INSERT INTO big SELECT i FROM generate_series(6001, 12000) AS i');
sql('INSERT INTO big SELECT i FROM generate_series(12001, 15000) AS i');
$changes->finish or BAIL_OUT('pgbench failed');
$giant->query_safe('COMMIT');
cmp_ok(sql('SELECT count(*) FROM webhook.outbox_unread()'), '>', 15000, 'a backlog longer than a page');
set_dispatch('on');
check_ledger('backlog');

# A session that keeps its snapshot from now on.

my $old = WebhookTest::session($node);
my $file = sql(q{SELECT pg_relation_filenode('webhook.cursor')});
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM thing');

# The same with the worker terminated again and again.

set_dispatch('off');
$changes = start_changes(8, 100);
$giant->query_safe('BEGIN; INSERT INTO big SELECT i FROM generate_series(15001, 22000) AS i');
$changes->finish or BAIL_OUT('pgbench failed');
$giant->query_safe('COMMIT');
my $already = scalar $receiver->requests('/ledger');
set_dispatch('on');
foreach my $part (1 .. 4)
{
	$receiver->wait_for_count($already + $part * 700, '/ledger');
	restart_worker();
}
check_ledger('restarts', repeats => 1);

# Messages are sent while others are written: a position taken during commits loses nothing.

$changes = start_changes(8, 250);
$changes->finish or BAIL_OUT('pgbench failed');
check_ledger('live', repeats => 1);

# The table of positions is truncated from time to time; still, the position is visible in any snapshot.

for (my $i = 0; $i < 60 && sql(q{SELECT pg_relation_filenode('webhook.cursor')}) == $file; $i++)
{
	start_changes(2, 100)->finish or BAIL_OUT('pgbench failed');
	note(sql('SELECT count(*) FROM webhook.cursor'));
}
isnt(sql(q{SELECT pg_relation_filenode('webhook.cursor')}), $file, 'the table of positions has been truncated');
is($old->query_safe('SELECT count(*) > 0 FROM webhook.cursor'), 't', 'with an old snapshot it is not empty');
$old->query_safe('COMMIT');
$old->quit;
$giant->quit;

$node->stop;
done_testing();
