# The history: who may see which messages and columns, what dumps contain of it, and that a search by time or message id
# reads a part of it; and that it leaves no dead rows.
#
# Mission: X4; goal P7.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

use constant ROWS => 3000;

my $node = WebhookTest::start_node('history', 'webhook.history_retention = 1d', 'webhook.partition_size = 64kB', 'log_statement = none');
my $receiver = WebhookTest::Receiver->start;
my $as_seller = 'SET SESSION AUTHORIZATION seller;';
my $seen = 'SELECT count(*), count(payload), count(payload ->> $$note$$) FROM webhook.message_history';
my $moved = join(' + ', map { "(SELECT count(*) FROM webhook.history_$_)" } 0 .. 7);

sub fill
{
	sql(sprintf q{INSERT INTO guest SELECT (SELECT coalesce(max(id), 0) FROM guest) + i, 0, 'secret' FROM generate_series(1, %d) AS i}, ROWS)
	  foreach 1 .. 2;
	WebhookTest::wait_until_delivered($node);
	return;
}

sql(q{
	CREATE ROLE seller; CREATE ROLE other;
	CREATE TABLE guest (id integer PRIMARY KEY, n integer, note text);
	CREATE TABLE gone (id integer PRIMARY KEY, note text);
	GRANT SELECT ON guest, gone TO seller;
	GRANT USAGE ON SCHEMA webhook TO seller, other;
	GRANT EXECUTE ON FUNCTION webhook.create_webhook, webhook.run_followers, webhook.history_payload, webhook.history_event_uid TO seller, other;
	GRANT SELECT ON webhook.message_history TO seller, other;
	SELECT webhook.watch('guest', 'guest'), webhook.watch('gone', 'gone');
});
my $url = $receiver->url('/history');
sql("SET SESSION AUTHORIZATION $_->[0]; SELECT webhook.create_webhook('app', '$_->[1]', '$url')") foreach [ 'seller', 'guest.*,gone.*' ], [ 'other', 'thing.*' ];
$receiver->webhook('/own', event => "'own.*'");
fill() foreach 1 .. 3;
becomes("SELECT $moved > 0 AND (SELECT count(*) FROM webhook.outbox) < 1000", 't', 'X4: messages are moved to the history');

# These are probably still in the outbox afterwards, which makes no difference.
sql(q{SELECT webhook.emit('thing.done', '{"note": "of other"}'), webhook.emit('own.done', '{"note": "of nobody else"}')});
sql(q{INSERT INTO gone VALUES (1, 'x')});
WebhookTest::wait_until_delivered($node);
note(sql("SELECT (SELECT count(*) FROM webhook.captured) - ($moved)") . ' messages are in the outbox alone');

# ---------- who sees what ----------

my $guests = 6 * ROWS;

is(sql($seen), join('|', ($guests + 3) x 3), 'X4: the owner of the extension sees all messages');
is(sql($as_seller, $seen), join('|', ($guests + 1) x 3), 'X4: another role those that were for its webhooks');
is(sql('SET SESSION AUTHORIZATION other;', 'SELECT event, payload FROM webhook.message_history'), 'thing.done|{"note":"of other"}', 'X4: and no others');
sql('REVOKE SELECT ON guest FROM seller; GRANT SELECT (id, n) ON guest TO seller');
is(sql($as_seller, "$seen WHERE event LIKE 'guest.%'"), "$guests|$guests|0", 'X4: a column that it may not read any more is left out');
is(sql($as_seller, "SELECT payload FROM webhook.message_history WHERE event LIKE 'guest.%' AND entity_id = '1'"), '{"id":1,"n":0}', 'X4: and no other column');
is(sql($as_seller, "SELECT count(*) FROM webhook.message_history WHERE payload ->> 'note' = 'secret'"), 0, 'X4: nor can it be searched for');
sql(q{CREATE FUNCTION spy(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE WARNING 'spied: %', $1; RETURN true; END $$});
my (undef, undef, $warnings) = $node->psql('postgres', "$as_seller SELECT count(*) FROM webhook.message_history WHERE spy(event)");
unlike($warnings, qr/spied: (?:thing|own)/, 'X4: a function in a condition is not called for the messages of others');
like($warnings, qr/spied: guest/, 'but for its own');
sql('REVOKE SELECT (id, n) ON guest FROM seller');
is(sql($as_seller, "$seen WHERE event LIKE 'guest.%'"), "$guests|0|0", 'X4: of a table that it may not read any more it sees no rows');
sql(q{SELECT webhook.unwatch('guest')});
is(sql($as_seller, "$seen WHERE event LIKE 'guest.%'"), "$guests|0|0", 'X4: also when that is not watched any more');
sql('GRANT SELECT ON guest TO seller');
is(sql($as_seller, "$seen WHERE event LIKE 'guest.%'"), join('|', ($guests) x 3), 'X4: a privilege that is granted again counts');
sql('DROP TABLE gone');
is(sql($as_seller, "$seen WHERE event = 'gone.create'"), '1|1|1', 'X4: of a dropped table it sees what it was sent');

# ---------- what a role may read now, when the table or its settings have changed ----------

# The seller's messages about staff: one of a row, and one with a payload of its own, which is an array.
sub staff_is
{
	my ($expected, $test_name) = @_;

	is(sql($as_seller, q{SELECT payload, event_uid FROM webhook.message_history WHERE event = 'staff.create' ORDER BY entity_id}), $expected, $test_name);
	return;
}

sql(q{
	CREATE SCHEMA back;
	CREATE TABLE back.staff (id integer PRIMARY KEY, n integer, party text, note text);
	CREATE FUNCTION staff_notes(back.staff) RETURNS json LANGUAGE sql STABLE AS 'SELECT json_build_array($1.note)';
	GRANT USAGE ON SCHEMA back TO seller;
	GRANT SELECT ON back.staff TO seller;
	SELECT webhook.watch('back.staff', 'staff', event_uid => 'party');
});
sql($as_seller, "SELECT webhook.create_webhook('app', 'staff.*', '$url', event_uids => 'ball')");
sql(q{INSERT INTO back.staff VALUES (1, 0, 'ball', 'secret')});
sql(q{SELECT webhook.watch('back.staff', 'staff', event_uid => 'party', payload => 'staff_notes')});
sql(q{INSERT INTO back.staff VALUES (2, 0, 'ball', 'secret')});
sql(q{SELECT webhook.watch('back.staff', 'staff', event_uid => 'party')});
WebhookTest::wait_until_delivered($node);
my $all_staff = qq{{"id":1,"n":0,"party":"ball","note":"secret"}|ball\n["secret"]|ball};
staff_is($all_staff, 'X4: a role that may select the table sees all of a message');
sql('REVOKE SELECT ON back.staff FROM seller; GRANT SELECT (id, n, party) ON back.staff TO seller');
staff_is(qq{{"id":1,"n":0,"party":"ball"}|ball\n|ball}, 'X4: one that may read some columns sees these, and no payload that is not made of columns');
sql('REVOKE SELECT (party) ON back.staff FROM seller');
my $some_staff = qq{{"id":1,"n":0}|\n|};
staff_is($some_staff, 'X4: nor an event UID from a column that it may not read');
sql(q{SELECT webhook.watch('back.staff', 'staff', event_uid => 'party', exclude => '{note}')});
staff_is($some_staff, 'X4: a column that has been excluded since is still left out');
sql(q{SELECT webhook.watch('back.staff', 'staff', event_uid => 'party')});
sql('ALTER TABLE back.staff RENAME note TO remark');
staff_is($some_staff, 'X4: so is one that has been renamed');
sql('ALTER TABLE back.staff DROP COLUMN remark');
staff_is($some_staff, 'X4: and one that has been dropped');
sql(q{SELECT webhook.unwatch('back.staff')});
staff_is("|\n|", 'X4: of a table that is not watched any more it sees nothing with privileges on some columns');
sql('GRANT SELECT ON back.staff TO seller');
staff_is($all_staff, 'X4: with SELECT on the table it sees all');
sql('ALTER TABLE back.staff ENABLE ROW LEVEL SECURITY');
staff_is("|\n|", 'X4: nothing if policies apply to it');
sql('ALTER TABLE back.staff DISABLE ROW LEVEL SECURITY; REVOKE USAGE ON SCHEMA back FROM seller');
staff_is("|\n|", 'X4: nothing without USAGE on the schema');
my $session = WebhookTest::session($node);
$session->query_safe(q{SET SESSION AUTHORIZATION seller; SELECT FROM webhook.message_history WHERE event = 'staff.create'});
sql('GRANT USAGE ON SCHEMA back TO seller');
my $payloads = q{SELECT count(payload) FROM webhook.message_history WHERE event = 'staff.create'};
is($session->query_safe($payloads), 2, 'X4: an open session notices a privilege');
sql('REVOKE SELECT ON back.staff FROM seller');
is($session->query_safe($payloads), 0, 'X4: and that it has been revoked');
$session->quit;
sql('DROP SCHEMA back CASCADE');

# ---------- searches ----------

sql(q{CREATE FUNCTION pages_read(condition text) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
	DECLARE
		plan json;
	BEGIN
		EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) SELECT FROM webhook.message_history WHERE ' || condition INTO plan;
		IF plan::text ~ 'Seq Scan"[^{}]*"history_[0-7]"' THEN
			RETURN NULL;
		END IF;
		RETURN (SELECT sum(m[1]::bigint) FROM regexp_matches(plan::text, '(?:Lossy|Exact) Heap Blocks": ([0-9]+)', 'g') AS m);
	END $$});
my $all_pages = join(' + ', map { "pg_relation_size('webhook.history_$_') / 8192" } 0 .. 7);

cmp_ok(sql("SELECT $all_pages"), '>', 300, 'the history is not small');
becomes(q{SELECT pages_read('created_at < now() - interval $$1 day$$')}, 0, 'X4: a search by time reads the pages that can have it, for which the worker brings the index up to date');
my ($message) = split(/\|/, sql(q{SELECT message_id FROM webhook.history_rows ORDER BY id LIMIT 1}));

is(sql("SELECT count(*) FROM webhook.message_history WHERE message_id = '$message'"), 1, 'X4: a message is found by its id');
becomes("SELECT pages_read('message_id = \$\$$message\$\$') <= ($all_pages) / 2", 't', 'X4: and a part of the pages is read for it');

# ---------- a snapshot that is held elsewhere ----------

my $report = WebhookTest::session($node);
$report->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()');
sql(q{INSERT INTO webhook.history_moved SELECT i % 4, '0', 0, NULL, NULL, -i FROM generate_series(1, 10000) AS i});
my $captured = sql('SELECT count(*) FROM webhook.captured');
sql(sprintf q{SELECT count(webhook.emit('own.done', jsonb_build_object('n', n))) FROM generate_series(1, %d) AS n}, ROWS) foreach 1 .. 4;
becomes(q{SELECT count(*) < 500 FROM webhook.history_moved}, 't', 'C37: former positions are removed');
becomes(q{SELECT n_tup_ins > 1000, n_tup_upd, n_tup_del FROM pg_stat_all_tables WHERE relid = 'webhook.history_moved'::regclass}, 't|0|0',
	'C37, P7: which leaves no dead rows');
is(sql(q{SELECT count(*), count(*) - count(DISTINCT id) FROM webhook.captured}), $captured + 4 * ROWS . '|0', 'X4: the history has all messages once');
$report->query_safe('COMMIT');
$report->quit;

# ---------- replays that begin in another order ----------

my @snapshots = map { sql(q{SELECT webhook.emit('own.done', '{}')}); sql('SELECT pg_current_snapshot()') } 1 .. 2;
is(sql('BEGIN; ', (map {
			"DO \$\$ BEGIN WHILE NOT webhook.move_to_history((SELECT current FROM webhook.ring),
				(SELECT part FROM webhook.history_part ORDER BY since DESC LIMIT 1), 50, '$_') LOOP END LOOP; END \$\$; " } reverse @snapshots),
		'SELECT count(*) - count(DISTINCT id) FROM webhook.captured; ROLLBACK'),
	0, 'X4: what has been moved for a replay is not moved again for one that was called earlier');

# ---------- dumps ----------

my $moved_before = sql("SELECT $moved");

foreach my $dump ([ 'with', '' ], [ 'without', '--exclude-table-data=webhook.history_*' ])
{
	my ($name, @options) = grep { $_ ne '' } @$dump;
	my $file = $node->basedir . "/$name";

	command_ok([ 'pg_dump', '-f', $file, @options, $node->connstr('postgres') ], "a dump $name the history");
	sql("CREATE DATABASE dumped_$name");
	command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $file, $node->connstr("dumped_$name") ], 'is restored');
}
my $dumped = $node->safe_psql('dumped_with', "SELECT $moved");
ok($dumped >= $moved_before && $dumped <= sql("SELECT $moved"), 'X4: a dump contains the history') or diag("$moved_before, then $dumped");
$node->safe_psql('dumped_with', q{SELECT webhook.adopt('discard')});
is($node->safe_psql('dumped_with', q{SELECT count(*) FROM webhook.message_history WHERE event = 'guest.create' AND entity_id = '1'}), 1,
	'X4: which can be searched there');
is($node->safe_psql('dumped_without', "SELECT $moved"), 0, 'X4: it can be left out');

$node->stop;
done_testing();
