# Releases: a library with the SQL of another version, then ALTER EXTENSION webhook UPDATE.  Capture goes on with either,
# the worker waits, an updated extension equals a new one, and every message arrives once.
#
# Case C40; mission W2, W3, R2; design.md, "A library newer or older than its SQL".

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $fixtures = dirname(dirname(abs_path(__FILE__))) . '/fixtures';

# Other tests must not use what is installed here, so this one has a copy of the installation.

my $prefix = $ENV{WEBHOOK_PREFIX};
plan skip_all => 'this test needs an installation of its own, which test/run makes' if !$prefix;
my ($bindir) = grep { -x "$_/postgres" } split(/:/, $ENV{PATH});
my $copy = "$PostgreSQL::Test::Utils::tmp_check/pg";
system_or_bail('cp', '-a', $prefix, $copy);
$bindir =~ s/^\Q$prefix\E// or BAIL_OUT("$bindir is not in $prefix");
$ENV{PATH} = "$copy$bindir:$ENV{PATH}";

my $node = WebhookTest::start_node('upgrade');
my $receiver = WebhookTest::Receiver->start;
my $library = sql(q{SELECT setting || '/webhook.so' FROM pg_config WHERE name = 'PKGLIBDIR'});
my $directory = sql(q{SELECT setting || '/extension' FROM pg_config WHERE name = 'SHAREDIR'});
my $version = sql(q{SELECT extversion FROM pg_extension WHERE extname = 'webhook'});

like($directory, qr/^\Q$copy\E/, 'the copy is complete');
ok(!-e "$directory/webhook--0.1.0.sql", 'the script of an old release is not installed');
append_to_file("$directory/webhook--0.1.0.sql", slurp_file("$fixtures/webhook--0.1.0.sql"));

# The activity of the database's worker.
sub activity_becomes
{
	my ($database, $activity, $name) = @_;

	ok($node->poll_query_until('postgres', "SELECT activity FROM webhook.stat_workers WHERE database = '$database'", $activity), $name)
	  or diag(sql('TABLE webhook.stat_workers'));
	return;
}

# Expect the C functions to refuse to work with another version of the extension, except those that are part of capture
# or monitoring, or that only compute.  All are called with nulls.
sub refusing
{
	my ($database, $name) = @_;
	my %working = map { $_ => 1 } qw(access_hidden access_problem attempt_outcomes counts_add counts_subtract emit histogram_bounds
		histogram_quantile html notify_payment outbox_backlog outbox_unread page_ago page_history page_name page_number page_seconds
		page_time run_followers worker_slots worker_states);

	$node->safe_psql($database, q{
		CREATE OR REPLACE FUNCTION refuses(command text) RETURNS boolean LANGUAGE plpgsql AS $$
		BEGIN
			EXECUTE command;
			RETURN false;
		EXCEPTION WHEN OTHERS THEN
			RETURN SQLERRM = 'extension "webhook" and its library have different versions' AND SQLSTATE = '55000';
		END $$});
	my @others = split(/\n/, $node->safe_psql($database, q{
			SELECT DISTINCT proname FROM pg_proc p JOIN pg_language l ON l.oid = prolang
			 WHERE pronamespace = 'webhook'::regnamespace AND lanname = 'c' AND prorettype <> 'trigger'::regtype
			   AND NOT refuses(format('SELECT %s(%s)', p.oid::regproc,
					(SELECT string_agg('NULL::' || t.type::regtype, ', ') FROM unnest(proargtypes) AS t (type))))}));
	is(join(' ', grep { !$working{$_} } @others), '', $name);
	cmp_ok(scalar(@others), '>', 4, 'all could be called');
	return;
}

# The catalog: see catalog.sql.

sub catalog
{
	my ($database) = @_;

	return decode_json($node->safe_psql($database, slurp_file(dirname($fixtures) . '/catalog.sql')));
}

# Lines of one that are not in the other.
sub only_in
{
	my ($one, $other) = @_;
	my %there = map { $_ => 1 } split(/\n/, $other // '');

	return grep { !$there{$_} } split(/\n/, $one // '');
}

# Expect two catalogs to be the same; show the differences.
sub same_catalog
{
	my ($updated, $fresh, $name) = @_;
	my @differences;

	foreach my $object (sort keys %{ { %$updated, %$fresh } })
	{
		my ($is, $should) = ($updated->{$object}, $fresh->{$object});

		if (!defined $is || !defined $should)
		{
			push @differences, defined $is ? "$object: in the updated one alone" : "$object: missing in the updated one";
		}
		elsif ($is ne $should)
		{
			push @differences, "$object:", map({ "    updated: $_" } only_in($is, $should)), map({ "    fresh:   $_" } only_in($should, $is));
			push @differences, '    the same lines in another order' if $differences[-1] eq "$object:";
		}
	}
	is(scalar(@differences), 0, $name) or diag(join("\n", @differences));
	return;
}

sql('CREATE DATABASE fresh; CREATE DATABASE old');
$node->safe_psql('fresh', 'CREATE EXTENSION webhook');
sql('DROP EXTENSION webhook; DROP SCHEMA webhook; CREATE EXTENSION webhook VERSION \'0.1.0\'');

my $fresh = catalog('fresh');
cmp_ok(scalar(grep { /^column/ } keys %$fresh), '>', 100, 'the catalog has columns');
cmp_ok(scalar(grep { /^function/ } keys %$fresh), '>', 50, '... and functions');

# Something in every table

$node->psql(
	'postgres', slurp_file("$fixtures/data--0.1.0.sql"),
	on_error_die => 1, extra_params => [ '-v', 'receiver=' . $receiver->url('') ]);

# Sessions that have captured something before the update go on after it.
my $session = WebhookTest::session($node);
$session->query_safe(q{INSERT INTO event VALUES ('ball', 'balls'), ('gala', 'parties'), ('party', 'parties');
	INSERT INTO guest VALUES (100, 'gala', 'Ada'), (101, 'ball', 'Ada'), (102, 'party', 'Grace'); UPDATE guest SET name = 'Ada' WHERE id = 102;
	INSERT INTO payment VALUES (100); SELECT webhook.notify_payment('guest', '100')});
sql(q{SELECT webhook.emit('thing.done', jsonb_build_object('n', n), '8') FROM generate_series(6, 9) AS n});
sql(q{SELECT webhook.emit('thing.done', jsonb_build_object('n', n), (n % 5)::text) FROM generate_series(10, 20) AS n});

is( sql(q{SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c
		   WHERE relnamespace = 'webhook'::regnamespace AND relkind = 'r'
		     AND (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %s', c.oid::regclass), true, true, '')))[1]::text = '0'}),
	'outbox_1 outbox_2 outbox_3',
	'every table has rows, except unused partitions of the outbox');
# The library waits for its SQL

activity_becomes('postgres', 'mismatched', 'C40: the worker waits while the extension is older than the library');
$node->wait_for_log(qr/WARNING: .*webhook is not sending from database "postgres"/);
like(slurp_file($node->logfile), qr/DETAIL: .*extension in this database has version 0\.1\.0,.* version \Q$version\E/, 'C40: the log says why');
like(slurp_file($node->logfile), qr/HINT: .*Run ALTER EXTENSION webhook UPDATE\./, 'C40: and what to do');
refusing('postgres', 'C40: functions that manage webhooks refuse to work with older tables');
like(($node->psql('postgres', 'SELECT webhook.get_webhooks()'))[2], qr/HINT: .*Run ALTER EXTENSION webhook UPDATE\./,
	'C40: and say what to do');
like(($node->psql('postgres', q{SELECT webhook.adopt('send')}))[2], qr/different versions/, 'C40: adopt(), too');
is($receiver->count, 0, 'C40: nothing was sent');

# The update

sql('ALTER EXTENSION webhook UPDATE');
is(sql(q{SELECT extversion FROM pg_extension WHERE extname = 'webhook'}), $version, 'the extension is updated');
same_catalog(catalog('postgres'), $fresh, 'C40: an updated extension equals a new one');

# Everything arrives

$session->query_safe(q{INSERT INTO guest VALUES (103, 'ball', 'Ada'); SELECT webhook.emit('thing.done', '{"n": 21}', '8')});
$session->quit;
WebhookTest::wait_until_delivered($node);

# Numbers, in the order of arrival, of the requests for which this is true.
sub numbers
{
	my ($path, $condition) = @_;

	return [ grep { !$condition || $condition->($_) } map { decode_json($_->{body})->{n} } $receiver->requests($path) ];
}

is_deeply([ sort { $a <=> $b } @{ numbers('/things') } ], [ 1, 2, 6 .. 21 ], 'R2, W2: every message arrives once');
is_deeply(numbers('/things', sub { $_[0] < 10 || $_[0] == 21 }), [ 1, 2, 6 .. 9, 21 ], 'W3: in order');
is_deeply([ sort map { decode_json($_->{body})->{Number} } $receiver->requests('/guests') ], [ 100, 102, 102 ],
	'I10: the integration gets its message in its shape');
is_deeply([ sort map { decode_json($_->{body})->{entity_id} } $receiver->requests('/ball') ], [ 100, 100, 101, 103 ],
	'what matches event UIDs, columns and a filter arrives');
is($receiver->count('/buffering') + $receiver->count('/off') + $receiver->count('/withheld'), 0, 'what is buffered, dropped or withheld is not sent');
is(sql('SELECT webhook.activate_webhook(2, replay_events => true)'), 18, 'M8: the buffer is kept');
WebhookTest::wait_until_delivered($node);
is_deeply(numbers('/buffering'), [ 4 .. 21 ], 'M8: and is replayed, oldest first');
is(sql(q{SELECT webhook.redeliver(1, '01a21fa5-4088-7868-98b9-000000000003')}), 't', 'what failed before can be redelivered');
WebhookTest::wait_until_delivered($node);
is(numbers('/things')->[-1], 3, 'and it arrives');
cmp_ok(sql('SELECT count(*) FROM webhook.get_webhook_log(1)'), '>', 9, 'the log is continued');

# Privileges are kept, and are part of dumps

sql('CREATE ROLE grantee');
$node->safe_psql('old', q{CREATE EXTENSION webhook VERSION '0.1.0'; GRANT USAGE ON SCHEMA webhook TO grantee;
	GRANT EXECUTE ON FUNCTION webhook.watch, webhook.create_webhook, webhook.emit, webhook.worker_slots TO grantee; GRANT EXECUTE ON FUNCTION webhook.test_webhook TO grantee WITH GRANT OPTION});
$node->safe_psql('old', 'ALTER EXTENSION webhook UPDATE');
my $granted = q{SELECT string_agg(p.proname || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ' ' ORDER BY p.proname) FROM pg_proc p, aclexplode(p.proacl) a
	WHERE a.grantee = 'grantee'::regrole};
is($node->safe_psql('old', $granted), 'create_webhook emit test_webhook* watch worker_slots worker_states', 'what was granted is still granted');
my ($dump) = run_command([ 'pg_dump', '--no-sync', '-d', $node->connstr('old') ]);
is_deeply([ sort($dump =~ /^GRANT .* ON FUNCTION webhook\.(\w+)\(.*TO grantee/gm) ], [ qw(create_webhook emit test_webhook watch worker_slots worker_states) ],
	'and is part of dumps');
$node->safe_psql('old', 'DROP OWNED BY grantee');
sql('DROP ROLE grantee');

# The SQL waits for its library: version 9.9.9 has columns that this library does not know

append_to_file("$directory/webhook--$version--9.9.9.sql", q{
	ALTER TABLE webhook.webhook ADD COLUMN colour text NOT NULL DEFAULT 'red';
	ALTER TABLE webhook.watch ADD COLUMN colour text DEFAULT 'red';
	ALTER TABLE webhook.event_override ADD COLUMN colour text;
	ALTER TABLE webhook.active_integration ADD COLUMN colour text;
	ALTER TABLE webhook.delivery ADD COLUMN colour text NOT NULL DEFAULT 'red';
	DO $$ BEGIN
		FOR i IN 0 .. 3 LOOP
			EXECUTE format('ALTER TABLE webhook.outbox_%s ADD COLUMN colour text, ADD COLUMN shade text DEFAULT ''dark''', i);
		END LOOP;
	END $$;
	DO $$ DECLARE
		arguments text := pg_get_function_arguments('webhook.worker_slots()'::regprocedure);
	BEGIN
		DROP VIEW webhook.stat_workers;
		DROP FUNCTION webhook.worker_slots();
		EXECUTE format('CREATE FUNCTION webhook.worker_slots(%s, OUT colour text, OUT shade integer[]) RETURNS SETOF record'
			' LANGUAGE c AS ''MODULE_PATHNAME'', ''webhook_worker_slots''', arguments);
	END $$;
	CREATE VIEW webhook.stat_workers AS SELECT d.datname AS database, s.pid, s.state, s.activity, s.colour, s.shade
		FROM webhook.worker_slots() AS s LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.database;
});

sub in_fresh
{
	return $node->safe_psql('fresh', join('', @_));
}

in_fresh(q{CREATE TABLE thing (id integer PRIMARY KEY, n integer); SELECT webhook.watch('thing', 'thing', exclude => '{id}');
	SELECT webhook.create_webhook('a', 'thing.*', '}, $receiver->url('/fresh'), q{', format => 'rest', ordering => 'strict')});
$session = $node->background_psql('fresh', timeout => 10 * $PostgreSQL::Test::Utils::timeout_default);
$session->query_safe('INSERT INTO thing SELECT n, n FROM generate_series(1, 3) AS n');
WebhookTest::wait_until_delivered($node, 'fresh');
my $offset = -s $node->logfile;
in_fresh(q{ALTER EXTENSION webhook UPDATE TO '9.9.9'});
activity_becomes('fresh', 'mismatched', 'C40: the worker waits while the extension is newer than the library');
$node->wait_for_log(qr/WARNING: .*webhook is not sending from database "fresh"/, $offset);
like(slurp_file($node->logfile, $offset), qr/HINT: .*Restart the server to load the library of version 9\.9\.9\./, 'C40: the log says what to do');
refusing('fresh', 'C40: functions that manage webhooks refuse to work with newer tables');
is(in_fresh(q{SELECT count(*) FROM webhook.stat_workers WHERE database = 'fresh' AND colour IS NULL AND shade IS NULL}), 1,
	'C40: stat_workers works with additional columns');
$session->query_safe('INSERT INTO thing SELECT n, n FROM generate_series(4, 5) AS n');
in_fresh(q{INSERT INTO thing VALUES (6, 6); SELECT webhook.emit('thing.done', '{"n": 7}'); UPDATE thing SET n = 8 WHERE id = 1});
is(in_fresh('SELECT count(*) FROM webhook.undelivered'), 5, 'C40: capture goes on with newer tables');

# make install over a running server

my $inode = (stat($library))[1];
my $build = "$PostgreSQL::Test::Utils::tmp_check/build";
system_or_bail('cp', '-a', $ENV{WEBHOOK_BUILD}, $build);
unlink "$build/webhook.so", "$build/src/server/version.o", "$build/src/send/request.o";
my $make = "make -s -C '$build' -f '" . dirname(dirname($fixtures)) . "/Makefile' EXTVERSION=9.9.9 PG_CONFIG='$ENV{WEBHOOK_PG_CONFIG}' DESTDIR='$copy'"
	. " COPT='" . ($ENV{WEBHOOK_COPT} // '') . "' all install";
is(system("$make >'$build/log' 2>&1"), 0, 'make install of another version, over the running server') or diag(slurp_file("$build/log"));
isnt((stat($library))[1], $inode, 'the library file is replaced, not overwritten');
sql(q{SELECT webhook.emit('thing.done', '{"n": 22}', '8')});
WebhookTest::wait_until_delivered($node);
is(numbers('/things')->[-1], 22, 'the server goes on with the old library');
is($receiver->count('/fresh'), 3, 'C40: which sends nothing from the tables of the new one');

$session->quit;
$node->restart;
activity_becomes('postgres', 'mismatched', 'after a restart the server has the new library');
WebhookTest::wait_until_delivered($node, 'fresh');
is_deeply(numbers('/fresh'), [ 1 .. 8 ], 'C40, W3: everything arrives once, in order');
sql(q{SELECT webhook.emit('thing.done', '{"n": 23}', '8'); INSERT INTO guest VALUES (104, 'ball', 'Ada')});
sql(q{ALTER EXTENSION webhook UPDATE TO '9.9.9'});
WebhookTest::wait_until_delivered($node);
is(numbers('/things')->[-1], 23, 'C40: in the other database after ALTER EXTENSION');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'nothing has crashed');

done_testing();
