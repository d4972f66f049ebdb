# Every database of a server is served, whatever is done to it.
#
# Mission: W16.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest;

my $node = WebhookTest::start_node('databases', 'restart_after_crash = on', 'max_worker_processes = 20');

sub sql
{
	return $node->safe_psql('postgres', join('', @_));
}

sub worker_pid
{
	my ($database) = @_;

	return sql("SELECT pid FROM webhook.stat_workers WHERE database = '$database' AND state = 'served'");
}

# Wait until a database has a worker that has found the extension, not the one with this pid; returns its pid.
sub wait_until_served
{
	my ($database, $old_pid, $on) = @_;

	($on // $node)->poll_query_until(
		'postgres',
		"SELECT count(*) = 1 FROM webhook.stat_workers
		  WHERE database = '$database' AND state = 'served' AND pid <> " . ($old_pid // 0))
	  or BAIL_OUT("database $database is not served");
	return $on ? undef : worker_pid($database);
}

# Wait until there are slots for these databases only.
sub only_served
{
	my ($databases, $name) = @_;

	ok( $node->poll_query_until(
			'postgres',
			"SELECT string_agg(coalesce(database, '?') || ' ' || state, ',' ORDER BY database)
			   FROM webhook.stat_workers",
			join(',', map { "$_ served" } sort @$databases)),
		$name);
	return;
}

# A command must succeed at once: PostgreSQL itself waits five seconds for others to leave the database.
sub runs_undisturbed
{
	my ($command, $name) = @_;

	my ($status, $stdout, $stderr) =
	  $node->psql('postgres', "SET statement_timeout = '4500ms'; $command", on_error_stop => 1);
	is("$status $stderr", '0 ', $name);
	return;
}

# The extension comes and goes

wait_until_served('postgres');
only_served(['postgres'], 'W16: the database with the extension is served, no other');
is( sql("SELECT string_agg(backend_type || ':' || coalesce(datname, '-'), ' ' ORDER BY backend_type)
		   FROM pg_stat_activity WHERE backend_type LIKE 'webhook%'"),
	'webhook launcher:- webhook worker:postgres',
	'W16: both kinds of processes can be told apart in pg_stat_activity');

sql('CREATE DATABASE one');
$node->safe_psql('one', 'BEGIN; CREATE EXTENSION webhook; ROLLBACK');
$node->safe_psql('one', 'CREATE EXTENSION webhook');
wait_until_served('one');
only_served([ 'one', 'postgres' ], 'W16: CREATE EXTENSION starts a worker');

$node->safe_psql('one', 'DROP EXTENSION webhook CASCADE');
only_served(['postgres'], 'W16: DROP EXTENSION ends it and frees the slot');

$node->safe_psql('one', 'CREATE EXTENSION webhook');
wait_until_served('one');
only_served([ 'one', 'postgres' ], 'W16: created again, it is served again');

# DDL that needs the database to itself

my $pid = worker_pid('one');
runs_undisturbed('CREATE DATABASE two TEMPLATE one', 'W16: CREATE DATABASE TEMPLATE');
wait_until_served('two');
ok(wait_until_served('one', $pid), 'W16: the template has a worker again, and so has the copy');

runs_undisturbed('ALTER DATABASE two RENAME TO renamed', 'W16: ALTER DATABASE RENAME');
wait_until_served('renamed');

mkdir $node->basedir . '/tablespace';
sql("CREATE TABLESPACE elsewhere LOCATION '" . $node->basedir . "/tablespace'");
$pid = worker_pid('renamed');
runs_undisturbed('ALTER DATABASE renamed SET TABLESPACE elsewhere', 'W16: ALTER DATABASE SET TABLESPACE');
wait_until_served('renamed', $pid);

$pid = worker_pid('renamed');
is( $node->safe_psql(
		'postgres', q{
		BEGIN;
		ALTER DATABASE renamed RENAME TO not_yet;
		SELECT state, pid IS NULL FROM webhook.stat_workers WHERE database = 'not_yet';
		ROLLBACK}),
	'held|t',
	'W16: no worker while the transaction that renames is open');
wait_until_served('renamed', $pid);

runs_undisturbed('DROP DATABASE renamed', 'W16: DROP DATABASE');
only_served([ 'one', 'postgres' ], 'W16: the dropped database leaves no slot behind');

sql('CREATE DATABASE three TEMPLATE one');
wait_until_served('three');
runs_undisturbed('DROP DATABASE three WITH (FORCE)', 'W16: DROP DATABASE WITH (FORCE)');
only_served([ 'one', 'postgres' ], 'W16: that leaves no slot behind either');

# The default template

$node->safe_psql('template1', 'CREATE EXTENSION webhook');
runs_undisturbed('CREATE DATABASE four', 'W16: CREATE DATABASE from a template with the extension');
wait_until_served('four');
only_served([ 'four', 'one', 'postgres' ], 'W16: the new database is served, the template is not');
$node->safe_psql('template1', 'DROP EXTENSION webhook CASCADE');

sql('ALTER DATABASE four IS_TEMPLATE true');
only_served([ 'one', 'postgres' ], 'W16: a database that becomes a template is not served any more');
sql('ALTER DATABASE four IS_TEMPLATE false');
wait_until_served('four');
sql('DROP DATABASE four');

# Roles without the privileges

sql('CREATE ROLE stranger; CREATE ROLE creator CREATEDB');
$pid = wait_until_served('one');
foreach my $command (
	'SET ROLE stranger; DROP DATABASE one',
	'SET ROLE stranger; ALTER DATABASE one RENAME TO mine',
	'SET ROLE stranger; ALTER DATABASE one SET TABLESPACE elsewhere',
	'SET ROLE stranger; CREATE DATABASE mine TEMPLATE one',
	'SET ROLE creator; CREATE DATABASE mine TEMPLATE one')
{
	isnt($node->psql('postgres', $command, on_error_stop => 1), 0, "W16: $command is refused");
}
is(worker_pid('one'), $pid, 'W16: and does not stop the worker');

isnt($node->psql('postgres', 'BEGIN; DROP DATABASE one', on_error_stop => 1),
	0, 'W16: DROP DATABASE fails in a transaction block');
wait_until_served('one');

# Processes that die

my $start = time();
foreach (1 .. 5)
{
	$pid = worker_pid('one');
	sql("SELECT pg_terminate_backend($pid)");
	wait_until_served('one', $pid);
}
pass('W16: a terminated worker comes back');
cmp_ok(time() - $start, '<', 50, 'C43: soon, however often that happens');

$pid = worker_pid('one');
my $launcher = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'webhook launcher'");
sql("SELECT pg_terminate_backend($launcher)");
$node->poll_query_until('postgres',
	"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'webhook launcher' AND pid <> $launcher")
  or BAIL_OUT('no new launcher was started');
sql('CREATE DATABASE five TEMPLATE one');
wait_until_served('five');
$pid = wait_until_served('one', $pid);
sql('DROP DATABASE five');
pass('W16: a terminated launcher comes back and takes over the workers of its predecessor');

kill('KILL', $pid);
$node->poll_query_until('postgres', 'SELECT true') or BAIL_OUT('the server does not come back');
wait_until_served('one', $pid);
wait_until_served('postgres');
pass('W16: after kill -9 of a worker all are served again');

# Signals

$pid = worker_pid('one');
$node->append_conf('postgresql.conf', 'webhook.dispatch = off');
$node->reload;
ok( $node->poll_query_until(
		'postgres', q{SELECT count(*) = 2 FROM webhook.stat_workers WHERE activity = 'paused'}),
	'W16: SIGHUP reaches the workers');
is(worker_pid('one'), $pid, 'W16: and does not end them');
$node->append_conf('postgresql.conf', 'webhook.dispatch = on');

my $offset = -s $node->logfile;
$node->stop('fast');
unlike(slurp_file($node->logfile, $offset), qr/PANIC|terminated by signal|abnormal/, 'W16: fast shutdown');

# Promotion

$node->start;
wait_until_served('one');
sql('DROP TABLESPACE elsewhere');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is( $standby->safe_psql('postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'webhook%'}),
	0,
	'W16: nothing runs on a standby');
$standby->promote;
wait_until_served('one', 0, $standby);
wait_until_served('postgres', 0, $standby);
pass('W16: after its promotion every database is served');
$standby->stop('fast');
$node->stop('fast');

# More databases than slots; databases without the extension do not keep one

$node = WebhookTest::start_node('slots', 'webhook.max_databases = 2', 'max_worker_processes = 20');
sql('CREATE DATABASE one');
$node->safe_psql('one', 'CREATE EXTENSION webhook');
wait_until_served('postgres');
wait_until_served('one');

sql("CREATE DATABASE empty$_") foreach 1 .. 5;
sql('CREATE DATABASE two');
$node->safe_psql('two', 'CREATE EXTENSION webhook');
$node->wait_for_log(qr/WARNING: .*webhook cannot serve \d+ database/);
like(slurp_file($node->logfile), qr/HINT:  You might need to increase "webhook.max_databases"/, 'W16: the log says what is too small');
only_served([ 'one', 'postgres' ], 'W16: with all slots in use, the other databases are still served');

$node->safe_psql('one', 'DROP EXTENSION webhook CASCADE');
wait_until_served('two');
only_served([ 'postgres', 'two' ], 'W16: a free slot goes to the waiting database, past any number of databases without the extension');
is(scalar(() = slurp_file($node->logfile) =~ /webhook cannot serve/g), 1, 'W16: which is logged once');
$node->stop('fast');

# No free background worker slots: one is PostgreSQL's own, one the launcher's

$node = WebhookTest::start_node('processes', 'max_worker_processes = 3');
wait_until_served('postgres');
sql('CREATE DATABASE one');
$node->wait_for_log(qr/WARNING: .*could not register a background worker for webhook/);
like(slurp_file($node->logfile), qr/HINT:  You might need to increase "max_worker_processes"/, 'W16: the log says what is too small');
$node->safe_psql('one', 'CREATE EXTENSION webhook');
foreach my $database ('one', 'postgres')
{
	$node->safe_psql($database, q{SELECT webhook.create_webhook('app', 'done', 'http://127.0.0.1:9/'), webhook.emit('done', '{}')});
	ok($node->poll_query_until($database, 'SELECT count(*) = 1 FROM webhook.undelivered WHERE attempts > 0'), "C36: $database gets its turn");
}
$node->stop('fast');

# A worker that waits for a lock before it knows whether its database has the extension

$node = WebhookTest::start_node('locked', 'webhook.workers = 1');
sql('CREATE DATABASE one');
$node->safe_psql('one', 'CREATE EXTENSION webhook');
$node->safe_psql($_, q{SELECT webhook.create_webhook('app', 'done', 'http://127.0.0.1:9/')}) foreach 'one', 'postgres';
$node->safe_psql('one', q{SELECT webhook.emit('done', '{}')});
wait_until_served('one');
$node->safe_psql('one', q{BEGIN; LOCK pg_catalog.pg_extension; PREPARE TRANSACTION 'locked'});
sql(q{SELECT pg_terminate_backend(pid) FROM webhook.stat_workers WHERE database = 'one'});
WebhookTest::becomes(q{SELECT state FROM webhook.stat_workers WHERE database = 'one'}, 'starting', 'C36: a worker waits for a lock');
sql(q{SELECT webhook.emit('done', '{}')});
WebhookTest::becomes('SELECT count(*) FROM webhook.undelivered WHERE attempts > 0', 1, 'C36: others are served meanwhile');
$node->stop('fast');

done_testing();
