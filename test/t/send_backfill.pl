# Backfill: existing rows of a table are sent to one webhook, in order with concurrent changes.
#
# WEBHOOK_BACKFILL_ROUNDS is the number of rounds in which a process is killed in the middle.
#
# Mission: X3.

use strict;
use warnings;

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest qw(sql becomes let_pass end_test);

my $rounds = $ENV{WEBHOOK_BACKFILL_ROUNDS} || 3;
my $node = WebhookTest::start_node('backfill', 'restart_after_crash = on', 'max_worker_processes = 20', 'log_statement = none');
my $receiver = WebhookTest::Receiver->start;

sub create
{
	my ($path, %more) = @_;

	return $receiver->webhook($path, event => "'guest.*'", %more);
}

sub phase_becomes
{
	my ($job, $phase, $test_name) = @_;

	becomes("SELECT phase FROM webhook.stat_progress_backfill WHERE job = $job", $phase, $test_name);
	return;
}

sub sent
{
	my ($job) = @_;

	return sql("SELECT rows_sent FROM webhook.stat_progress_backfill WHERE job = $job");
}

# The results of a path, in the order of their arrival; repeats are dropped.
sub results
{
	my ($path) = @_;
	my %seen;

	return map { decode_json($_->{body})->{result} }
	  grep { !$seen{ $_->{headers}{'webhook-id'} }++ } $receiver->requests($path);
}

sub ids { return join(' ', sort { $a <=> $b } map { $_->{id} } results(@_)); }

sub finishes
{
	my ($job, $test_name) = @_;

	phase_becomes($job, 'finished', $test_name);
	WebhookTest::wait_until_delivered($node);
	return;
}

# ---------- the rows, and no other webhook gets them ----------

sql(q{
	-- Jobs would wait for autovacuum, too.
	CREATE TABLE guest (id integer PRIMARY KEY, name text NOT NULL, gone boolean NOT NULL DEFAULT false) WITH (autovacuum_enabled = off);
	SELECT webhook.watch('guest', 'guest', deleted => 'gone');
	INSERT INTO guest SELECT i, 'guest ' || i, i % 10 = 0 FROM generate_series(1, 1000) AS i;
	ANALYZE guest;
});
my $webhook = create('/all');
create('/other');
my $job = sql("SELECT webhook.backfill($webhook, 'guest')");
finishes($job, 'X3: a backfill ends');
is(ids('/all'), join(' ', grep { $_ % 10 } 1 .. 1000), 'X3: all rows once, without those that count as deleted');
is($receiver->count('/other'), 0, 'X3: other webhooks are sent nothing');
is(join(' ', sql("SELECT rows_estimated, rows_sent, started_at <= finished_at, relation, webhook_id FROM webhook.stat_progress_backfill WHERE job = $job")),
	"1000|900|t|guest|$webhook", 'X3: progress');
my ($request) = $receiver->requests('/all');
is($request->{headers}{'webhook-replay'}, 'backfill', 'X3: the header says what it is');
is(decode_json($request->{body})->{action_type}, 'new', 'X3: a row is a create');
sql("UPDATE guest SET name = 'x' WHERE id = 1");
WebhookTest::wait_until_delivered($node);
my $last = ($receiver->requests('/all'))[-1];
ok(!exists $last->{headers}{'webhook-replay'}, 'X3: a live message does not have the header');
end_test($receiver);

# ---------- which rows: condition, the webhook's own filters, rights, payment ----------

sql(q{
	CREATE ROLE seller LOGIN;
	CREATE ROLE other LOGIN;
	CREATE TABLE secret (id integer);
	INSERT INTO secret VALUES (7), (8), (9);
	GRANT SELECT (id, name) ON guest TO seller;
	GRANT USAGE ON SCHEMA webhook TO seller, other;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO seller, other;
	GRANT SELECT ON webhook.stat_progress_backfill TO seller;
});

$webhook = create('/condition', condition => q{'$.new.name like_regex "[13579]$"'});
$job = sql("SELECT webhook.backfill($webhook, 'guest', 'id IN (SELECT s.id FROM secret AS s) OR guest.id > 990 -- all')");
finishes($job, 'X3: a backfill with a condition ends');
is(ids('/condition'), '7 9 991 993 995 997 999', 'X3: a condition with a subquery, and that of the webhook');

my $as_seller = 'SET SESSION AUTHORIZATION seller;';
$webhook = sql($as_seller, "SELECT webhook.create_webhook('app', 'guest.*', '" . $receiver->url('/seller') . "')");
$job = sql($as_seller, "SELECT webhook.backfill($webhook, 'guest', 'id <= 3')");
finishes($job, 'X3: a backfill of a role that may read some columns');
is_deeply([ sort { $a->{id} <=> $b->{id} } results('/seller') ], [ { id => 1, name => 'x' }, { id => 2, name => 'guest 2' }, { id => 3, name => 'guest 3' } ],
	'X3: rows have the columns that the owner may read');

my @refused = (
	[ "999, 'guest'", 'P0002', 'webhook with id 999 does not exist' ],
	[ "NULL, 'guest'", '22004', 'argument "webhook_id" must not be null' ],
	[ "$webhook, NULL", '22004', 'argument "relation" must not be null' ],
	[ "$webhook, 'pg_class'", '55000', 'table "pg_class" is not watched' ],
	[ "$webhook, 'guest', rate => 0", '22023', 'invalid value for argument "rate"' ],
	[ "$webhook, 'guest', rate => -1", '22023', 'invalid value for argument "rate"' ],
	[ "$webhook, 'guest', ''", '22023', 'invalid value for argument "condition"' ],
	[ "$webhook, 'guest', 'id >'", '42601', 'invalid value for argument "condition": syntax error' ],
	[ "$webhook, 'guest', 'id'", '42804', 'invalid value for argument "condition": argument of CASE/WHEN must be type boolean' ],
	[ "$webhook, 'guest', 'nothing = 1'", '42703', 'invalid value for argument "condition": column "nothing" does not exist' ],
	[ "$webhook, 'guest', 'count(*) > 1'", '42803', 'invalid value for argument "condition": aggregate functions are not allowed' ],
	[ "$webhook, 'guest', 'true THEN true END; DELETE FROM guest; --'", '42601', 'invalid value for argument "condition": ' ],
	[ "$webhook, 'guest', 'id IN (SELECT id FROM secret)'", '42501', 'invalid value for argument "condition": permission denied for table secret' ],
	[ "$webhook, 'guest', 'NOT gone'", '42501', 'invalid value for argument "condition": permission denied for table guest' ]);
foreach (@refused)
{
	my ($arguments, $sqlstate, $message) = @$_;

	WebhookTest::fails_with($node, "$as_seller SELECT webhook.backfill($arguments)", $sqlstate, quotemeta($message) . '.*\nHINT:  \w',
		"X3: backfill($arguments)");
}
WebhookTest::fails_with($node, "SET SESSION AUTHORIZATION other; SELECT webhook.backfill($webhook, 'guest')", 'P0002', 'does not exist',
	'X3: a foreign webhook');
WebhookTest::fails_with($node, "SET SESSION AUTHORIZATION other; SELECT webhook.cancel_backfill($job)", 'P0002', 'does not exist\nHINT:  \w',
	'X3: a foreign job');
is(sql("SELECT webhook.cancel_backfill($job)"), 'f', 'X3: a job that has ended cannot be cancelled');
my $update_only = create('/update', event => "'guest.update'");
WebhookTest::fails_with($node, "SELECT webhook.backfill($update_only, 'guest')", '55000', 'does not subscribe to "guest.create"',
	'X3: a webhook that does not subscribe');
sql(q{CREATE TABLE keyless (id integer); SELECT webhook.watch('keyless', 'keyless', id => 'id')});
my $keyless = create('/keyless', event => "'keyless.*'");
WebhookTest::fails_with($node, "SELECT webhook.backfill($keyless, 'keyless')", '55000', 'table "keyless" has no key', 'X3: no key');

# An integration with only_paid, where payment is a column and where it is an expression.
sql(q{
	SELECT webhook.create_integration('shop');
	SELECT webhook.connect_profile('shop', 'p');
	SELECT webhook.override_event('e1', 'shop', only_paid => true);
	CREATE TABLE ticket (id integer PRIMARY KEY, event_uid text, paid boolean);
	CREATE TABLE payment (pass integer);
	CREATE TABLE pass (id integer PRIMARY KEY, event_uid text);
	SELECT webhook.watch('ticket', 'ticket', event_uid => 'event_uid', profile => $$'p'$$, paid => 'paid'),
		webhook.watch('pass', 'pass', event_uid => 'event_uid', profile => $$'p'$$,
			paid => 'EXISTS (SELECT FROM payment AS p WHERE p.pass = pass.id)');
	INSERT INTO ticket VALUES (1, 'e1', true), (2, 'e1', false), (3, 'e2', true);
	INSERT INTO payment VALUES (11), (13);
	INSERT INTO pass VALUES (11, 'e1'), (12, 'e1'), (13, 'e2');
});
my $paid = create('/paid', event => "'ticket.*,pass.*'", integration => "'shop'");
finishes(sql("SELECT webhook.backfill($paid, '$_')"), "X3: $_ of an integration") foreach qw(ticket pass);
is(ids('/paid'), '1 11', 'X3: what is not paid, or of another event, is not sent');
sql('DELETE FROM pass');
WebhookTest::wait_until_delivered($node);
is(join(' ', map { $_->{entity_id} } grep { $_->{action_type} eq 'delete' } map { decode_json($_) } $receiver->bodies('/paid')), '11',
	'X3: from then on the integration knows it');

# A privilege that is revoked meanwhile, and an error that only a row shows.
sql('GRANT SELECT ON secret TO seller');
$job = sql($as_seller, "SELECT webhook.backfill($webhook, 'guest', 'id IN (SELECT id FROM secret)', rate => 1)");
becomes("SELECT rows_sent > 0 FROM webhook.stat_progress_backfill WHERE job = $job", 't', 'X3: it has begun');
sql('REVOKE SELECT ON secret FROM seller');
let_pass(10);
phase_becomes($job, 'failed', 'X3: a privilege has been revoked');
is(sql("SELECT last_error FROM webhook.stat_progress_backfill WHERE job = $job"), 'permission denied for table secret', 'X3: and that is why');
$job = sql($as_seller, "SELECT webhook.backfill($webhook, 'guest', '1 / (id - 500) < 2')");
phase_becomes($job, 'failed', 'X3: a condition that fails for a row');
is(sql("SELECT last_error FROM webhook.stat_progress_backfill WHERE job = $job"), 'division by zero', 'X3: and that is why');

# Errors can quote rows.
sql('GRANT SELECT ON webhook.stat_progress_backfill TO other');
is(sql("SET SESSION AUTHORIZATION other; SELECT last_error FROM webhook.stat_progress_backfill WHERE job = $job"), '<insufficient privilege>',
	'X3: other roles are not shown errors of its condition');
sql(q{CREATE TABLE odd (id integer PRIMARY KEY, note text); INSERT INTO odd VALUES (1, 'secret');
	GRANT SELECT (id) ON odd TO seller; SELECT webhook.watch('odd', 'odd', event_uid => 'note::integer::text')});
my $odd = sql($as_seller, "SELECT webhook.create_webhook('app', 'odd.*', '" . $receiver->url('/odd') . "', event_uids => '7')");
$job = sql($as_seller, "SELECT webhook.backfill($odd, 'odd')");
phase_becomes($job, 'failed', 'X3: an expression of watch() that fails for a row');
is(sql($as_seller, "SELECT last_error FROM webhook.stat_progress_backfill WHERE job = $job"), q{error 22P02, see the server's log},
	'X3: its error is not shown to a role that may not read all columns');

# A condition that cannot be cancelled is ended with its process, and does not run again.
sql(q{CREATE FUNCTION stubborn(integer) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN
				PERFORM pg_sleep(600);
			EXCEPTION WHEN query_canceled THEN
			END;
		END LOOP;
	END $$});
becomes("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'webhook backfill'", 0, 'nothing is to be done');
sql(q{ALTER SYSTEM SET statement_timeout = '1s'});
$node->reload;
becomes('SHOW statement_timeout', '1s', 'steps may take a second');
sql('ALTER ROLE CURRENT_USER SET statement_timeout = 0');
my $stubborn = create('/stubborn');
my $next = sql("SELECT webhook.backfill($stubborn, 'guest', 'id = 2')");
$job = sql("SELECT webhook.backfill($stubborn, 'guest', 'stubborn(id)')");
phase_becomes($job, 'failed', 'X3: a condition that ignores that it is cancelled');
is(sql("SELECT last_error FROM webhook.stat_progress_backfill WHERE job = $job"), 'the condition took too long, and ignored that it was canceled',
	'X3: and that is why');
finishes($next, 'X3: other backfills go on');
sql('ALTER SYSTEM RESET statement_timeout');
$node->reload;

# An error that may go away is not raised again at once.
sql(q{CREATE FUNCTION exhausted(integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'nothing left' USING ERRCODE = '53000'; END $$});
my $began = time;
my $exhausted = sql('SELECT webhook.backfill(' . create('/exhausted') . q{, 'guest', 'exhausted(id)')});
becomes("SELECT last_error FROM webhook.stat_progress_backfill WHERE job = $exhausted", 'nothing left', 'X3: an error that may go away is shown');
finishes(sql('SELECT webhook.backfill(' . create('/meanwhile') . q{, 'guest', 'id <= 45', rate => 20)}), 'X3: others go on');
my @errors = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /ERROR:  nothing left/g;
cmp_ok(scalar(@errors), '<=', 2 + (time - $began) / 4, 'X3: it is tried again, after some seconds');
is(sql("SELECT webhook.cancel_backfill($exhausted)"), 't', 'X3: until it is cancelled');

# There is a limit to the number of jobs.
sql("SELECT webhook.deactivate_webhook($stubborn)");
sql("SELECT webhook.backfill($stubborn, 'guest') FROM generate_series(1, 1000)");
WebhookTest::fails_with($node, "SELECT webhook.backfill($stubborn, 'guest')", '53400', "webhook $stubborn has 1000 backfills and replays already",
	'X3: no more than 1000 of a webhook');
sql("SELECT webhook.cancel_backfill(job) FROM webhook.stat_progress_backfill WHERE webhook_id = $stubborn");
sql("SELECT webhook.backfill($stubborn, 'guest')");
is(sql("SELECT count(*) FROM webhook.stat_progress_backfill WHERE webhook_id = $stubborn"), 1001, 'X3: the latest that have ended are shown');
end_test($receiver);

# ---------- rate, pause, cancel, backlog ----------

$webhook = create('/rate');
$job = sql("SELECT webhook.backfill($webhook, 'guest', rate => 1)");
becomes("SELECT rows_sent > 0 FROM webhook.stat_progress_backfill WHERE job = $job", 't', 'X3: the first row');
my $before = sent($job);
let_pass(5);
becomes("SELECT rows_sent > $before FROM webhook.stat_progress_backfill WHERE job = $job", 't', 'X3: rows are sent as time passes');
cmp_ok(sent($job), '<', 60, 'X3: one a second and not all at once');
sql("SELECT webhook.deactivate_webhook($webhook)");
phase_becomes($job, 'paused', 'X3: a deactivated webhook pauses its backfill');
becomes("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'webhook backfill'", 0, 'X3: the process ends when there is nothing to do');
$before = sent($job);
let_pass(5);
is(sent($job), $before, 'X3: nothing is sent meanwhile');
sql("SELECT webhook.activate_webhook($webhook)");
becomes("SELECT phase = 'sending rows' AND rows_sent > 0 FROM webhook.stat_progress_backfill WHERE job = $job", 't', 'X3: it goes on when the webhook is activated');
is(sql("SELECT webhook.cancel_backfill($job)"), 't', 'X3: a backfill is cancelled');
$before = sent($job);
let_pass(10);
is(sql("SELECT phase FROM webhook.stat_progress_backfill WHERE job = $job"), 'cancelled', 'X3: the phase says so');
is(sent($job), $before, 'X3: nothing is sent any more');
$job = sql("SELECT webhook.backfill($webhook, 'guest', rate => 1)");
becomes("SELECT rows_sent > 0 FROM webhook.stat_progress_backfill WHERE job = $job", 't', 'X3: another one has begun');
end_test($receiver);
is(sql('SELECT count(*) FROM webhook.stat_progress_backfill'), 0, 'X3: a deleted webhook has no backfills');

# Rows are not read while they cannot be sent.
sql("INSERT INTO guest SELECT i, 'guest ' || i FROM generate_series(1001, 60000) AS i");
$webhook = create('/down');
$receiver->behave('/down', status => 503);
$job = sql("SELECT webhook.backfill($webhook, 'guest')");
phase_becomes($job, 'waiting for backlog', 'X3: a backfill waits while the webhook has a backlog');
cmp_ok(sent($job), '<', 30000, 'X3: which is limited');
end_test($receiver);

# Backfills take turns.
my @both = map { sql('SELECT webhook.backfill(' . create("/turn$_") . q{, 'guest')}) } 1 .. 2;
becomes("SELECT count(*) FROM webhook.stat_progress_backfill WHERE job IN ($both[0], $both[1]) AND rows_sent > 0 AND finished_at IS NULL", 2,
	'X3: two backfills take turns');
sql("SELECT webhook.cancel_backfill($_)") foreach @both;
WebhookTest::wait_until_delivered($node);
end_test($receiver);
sql('DELETE FROM guest WHERE id > 1000');

# They get the same time, not the same number of steps.
my $slow = sql('SELECT webhook.backfill(' . create('/slow') . q{, 'guest', '(SELECT pg_sleep(2)) IS NOT NULL', rate => 10)});
becomes("SELECT rows_sent > 0 FROM webhook.stat_progress_backfill WHERE job = $slow", 't', 'X3: a backfill whose steps take long');
$before = sent($slow);
phase_becomes(sql('SELECT webhook.backfill(' . create('/fast') . q{, 'guest')}), 'finished', 'X3: another one, of ten steps and more, ends');
cmp_ok(sent($slow) - $before, '<', 7, 'X3: it did not wait for a slow step before each of its own');
end_test($receiver);

# A step waits for a locked row without blocking other sessions.
$webhook = create('/locked');
my $session = WebhookTest::session($node);
$session->query_safe('BEGIN; UPDATE guest SET name = \'locked\' WHERE id = 500');
$job = sql("SELECT webhook.backfill($webhook, 'guest')");
phase_becomes($job, 'initializing', 'X3: it waits for transactions that do not know the webhook');
$session->query_safe('COMMIT; BEGIN; SELECT FROM guest WHERE id = 500 FOR UPDATE');
phase_becomes($job, 'waiting for lock', 'X3: and for a row that is locked');
sql("SET lock_timeout = '10s'; UPDATE guest SET name = 'free' WHERE id IN (490, 499, 501)");
$session->query_safe('COMMIT');
finishes($job, 'X3: it goes on when the lock is released');
$session->quit;
end_test($receiver);

# ---------- a copy of the table, whatever happens meanwhile ----------

# Partitions whose columns are in another order, and a key of two columns.
sql(q{
	DROP TABLE guest;
	CREATE TABLE guest (id integer PRIMARY KEY, n integer NOT NULL);
	CREATE TABLE seat (hall integer, place text COLLATE "C", n integer NOT NULL, PRIMARY KEY (hall, place)) PARTITION BY LIST (hall);
	CREATE TABLE seat_1 PARTITION OF seat FOR VALUES IN (1);
	CREATE TABLE seat_2 (n integer NOT NULL, place text COLLATE "C" NOT NULL, hall integer NOT NULL);
	ALTER TABLE seat ATTACH PARTITION seat_2 FOR VALUES IN (2);
	CREATE TABLE seat_3 PARTITION OF seat DEFAULT;
	SELECT webhook.watch('guest', 'guest'), webhook.watch('seat', 'seat');
	INSERT INTO guest SELECT i * 10, 0 FROM generate_series(1, 2000) AS i;
	INSERT INTO seat SELECT i % 4, 'p' || i, 0 FROM generate_series(1, 1000) AS i;
});

my $guest = '\set g 10 * random(1, 2000)' . "\n" . '\set h random(1, 30000)' . "\n" . '\set s random(1, 1000)' . "\n" . '\set t random(0, 4)' . "\n";
my %scripts = (
	"update\@6" => 'UPDATE guest SET n = n + 1 WHERE id BETWEEN :g AND :g + 30;',
	"insert\@3" => 'INSERT INTO guest VALUES (:h, 0) ON CONFLICT (id) DO UPDATE SET n = guest.n + 1;',
	"delete\@3" => 'DELETE FROM guest WHERE id = :h OR id = :g;',
	"again\@2" => 'BEGIN; DELETE FROM guest WHERE id = :g; INSERT INTO guest VALUES (:g, 1) ON CONFLICT DO NOTHING; COMMIT;',
	"key\@3" => 'DO $$ BEGIN UPDATE guest SET id = :h, n = n + 1 WHERE id = :g; EXCEPTION WHEN unique_violation THEN NULL; END $$;',
	"repeatable\@3" => 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM guest; UPDATE guest SET n = n + 1 WHERE id = :g; COMMIT;',
	"serializable\@2" => 'BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT n FROM guest WHERE id = :g; UPDATE guest SET n = n + 1 WHERE id = :g; COMMIT;',
	"rollback\@2" => 'BEGIN; UPDATE guest SET n = n + 100 WHERE id = :g; DELETE FROM guest WHERE id = :h; ROLLBACK;',
	"savepoint\@2" => 'BEGIN; UPDATE guest SET n = n + 1 WHERE id = :g; SAVEPOINT a; DELETE FROM guest WHERE id = :g; ROLLBACK TO a; COMMIT;',
	"prepared\@1" => "BEGIN; UPDATE guest SET n = n + 1 WHERE id = :g; PREPARE TRANSACTION 'backfill_:client_id'; COMMIT PREPARED 'backfill_:client_id';",
	"seat\@3" => q{UPDATE seat SET n = n + 1 WHERE place = 'p' || :s;},
	"move\@3" => q{DO $$ BEGIN UPDATE seat SET hall = :t, n = n + 1 WHERE place = 'p' || :s; EXCEPTION WHEN unique_violation THEN NULL; END $$;},
	"take\@2" => q{INSERT INTO seat VALUES (:t, 'q' || :s, 0) ON CONFLICT DO NOTHING; DELETE FROM seat WHERE place = 'p' || :s AND hall = :t;});
my @script_options;
foreach my $name (sort keys %scripts)
{
	my ($file) = $name =~ /^(\w+)/;

	append_to_file($node->basedir . "/$file", "$guest$scripts{$name}\n");
	push @script_options, '-f', $node->basedir . "/$name";
}

# Sessions that write while this file exists.  An error ends a session, and when all have ended they are started again.
my $loading = $node->basedir . '/loading';

sub start_load
{
	my @output = ('', '');
	local $ENV{PGAPPNAME} = 'pgbench';

	append_to_file($loading, '');
	return IPC::Run::start(
		[   'sh', '-c', 'while [ -e "$0" ]; do "$@"; sleep 0.1; done', $loading,
			'pgbench', '-n', '-c', 4, '-R', 400, '-T', 600, @script_options, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \$output[0], '2>', \$output[1]);
}

sub end_load
{
	my ($load) = @_;

	unlink($loading);
	while ($load->pumpable)
	{
		sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'});
		$load->pump_nb;
		usleep(100_000);
	}
	$load->finish;
	return;
}

sub end_prepared
{
	sql("COMMIT PREPARED '$_'") foreach split(/\n/, sql('SELECT gid FROM pg_prepared_xacts'));
	return;
}

sub kill_process
{
	my ($type) = @_;
	my $pid = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = '$type'");

	kill('KILL', $pid) if $pid;
	return;
}

my @killers = (
	[ 'kill -9 of the worker' => sub { kill_process('webhook worker') } ],
	[ 'kill -9 of the postmaster' => sub { $node->kill9; WebhookTest::start_again($node) } ],
	[ 'kill -9 of the backfill' => sub { kill_process('webhook backfill') } ]);

foreach my $round (1 .. $rounds)
{
	my ($name, $killer) = @{ $killers[ ($round - 1) % @killers ] };
	my $load = start_load();
	my $in_between = WebhookTest::session($node);

	# What is inserted by a transaction that began before there was a webhook.
	$in_between->query_safe(sprintf('BEGIN; INSERT INTO guest VALUES (%d, 7); INSERT INTO seat VALUES (0, \'a%d\', 7)', -$round, $round));
	$webhook = create("/$round", event => "'guest.*,seat.*'");
	my @jobs = map { sql("SELECT webhook.backfill($webhook, '$_', rate => 500)") } qw(guest seat);
	becomes("SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'webhook backfill'", 't', "X3: round $round has begun");
	$in_between->query_safe('COMMIT');
	$in_between->quit;
	becomes("SELECT rows_sent > 100 FROM webhook.stat_progress_backfill WHERE job = $jobs[0]", 't', "X3: round $round is under way");
	my $unfinished = sql("SELECT count(*) FROM webhook.stat_progress_backfill WHERE finished_at IS NULL AND webhook_id = $webhook");
	$killer->();
	$node->poll_query_until('postgres', 'SELECT true') or BAIL_OUT('the server does not come back');
	end_load($load);
	end_prepared();
	$load = start_load();
	phase_becomes($_, 'finished', "X3: round $round ends") foreach @jobs;
	end_load($load);
	end_prepared();
	becomes(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'}, 0, 'the load has ended');
	end_prepared();
	WebhookTest::wait_until_delivered($node);
	ok($unfinished > 0, "X3: $name in the middle");
	cmp_ok(scalar(grep { !exists $_->{headers}{'webhook-replay'} } $receiver->requests("/$round")), '>', 100, 'there was load');
	is($receiver->copy("/$round"), sql(q{SELECT string_agg(r, E'\n' ORDER BY r COLLATE "C") FROM
		(SELECT 'guest ' || id || ' ' || n FROM guest UNION ALL SELECT 'seat ' || hall || ',' || place || ' ' || n FROM seat) AS t (r)}),
		"X3: round $round, $name: the copy equals the tables");
	end_test($receiver);
}

done_testing();
