# Concurrent sessions: statements that are cancelled half-way, old snapshots, settings
# that refer to dropped objects, locks that are held for a long time.
#
# Mission: W1 W5 W14 W16 I8 I14 I15; goals: R6; cases: C44.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $node = WebhookTest::start_node('session', "webhook.retry_schedule = '0, 300ms, 300ms, 300ms, 300ms, 300ms, 300ms, 300ms'",
	'restart_after_crash = off');
my $receiver = WebhookTest::Receiver->start;

# PostgreSQL 13's test framework has no pg_version().
my $release = sql('SHOW server_version_num');

# A session that runs more than one query.
sub session
{
	return WebhookTest::session($node, on_error_stop => 0);
}

# Start a statement that has to wait for a lock, and wait until it does.
sub start_waiting
{
	my ($session, $statement) = @_;
	my $pid = $session->query('SELECT pg_backend_pid()');

	$session->query_until(qr/started/, "\\echo started\n$statement;\n");
	ok($node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid"),
		"waits: $statement");
	return;
}

# W1: a session that was cancelled while it read the subscriptions reads them again.

sql('CREATE TABLE guest (id int PRIMARY KEY, name text, password text)');
sql(q{SELECT webhook.watch('guest', 'guest', exclude => '{password}')});
WebhookTest::create_webhook($node, app => "'app'", event => "'guest.*'", url => "'" . $receiver->url('/guest') . "'");
{
	my $locker = session();
	my $writer = session();

	$locker->query_safe('BEGIN; LOCK TABLE webhook.webhook IN ACCESS EXCLUSIVE MODE');
	$writer->query("SET statement_timeout = '100ms'; INSERT INTO guest VALUES (1)");
	$locker->query_safe('COMMIT');
	$writer->query("SET statement_timeout = 0; INSERT INTO guest VALUES (2)");
	is($writer->query('SELECT id FROM guest'), '2', 'W1: the statement after the cancelled one works');
	ok($receiver->wait_for_count(1, '/guest'), 'W1: and its message is sent');
	$locker->quit;
	$writer->quit;
}

# W5: writing to a table whose settings name a renamed column is an error, which
# affects no other table.

{
	sql('CREATE TABLE other (id int PRIMARY KEY)', q{; SELECT webhook.watch('other', 'other')});
	sql('ALTER TABLE guest RENAME COLUMN password TO pw');
	my $all = WebhookTest::create_webhook($node, app => "'app'", event => "'*'", url => "'" . $receiver->url('/all') . "'");

	WebhookTest::fails_with($node, 'INSERT INTO guest VALUES (3)', '42703', 'watched column "password" has been renamed to "pw"',
		'W14: writing to the table itself is an error');
	sql('INSERT INTO other VALUES (1)');
	ok($receiver->wait_for_count(1, '/all'), 'W5: a renamed column of one table does not affect others');
	sql(q{SELECT webhook.watch('guest', 'guest', exclude => '{pw}')});
	sql('INSERT INTO guest VALUES (3)');
	ok($receiver->wait_for_count(2, '/all'), 'W5: the table works again when it is watched with the new name');
	sql("SELECT webhook.delete_webhook_by_id($all)");
}

# W1: rows that wait for their event to be inserted can still be sent when their table was rewritten meanwhile; one whose
# column types have changed is refused, not misread.

{
	my $values = q{SELECT 1, repeat('x', 10), (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 5000) AS i)};

	sql('CREATE TABLE event (id int PRIMARY KEY, uid text); CREATE TABLE ticket (event_id int, n text, large text)');
	sql(q{SELECT webhook.watch('ticket', 'ticket', id => 'n', event_uid => '(SELECT e.uid FROM event e WHERE e.id = event_id)')});
	my $ticket = WebhookTest::create_webhook($node,
		app => "'app'", event => "'ticket.create'", event_uids => "'E1'", url => "'" . $receiver->url('/ticket') . "'");

	sql("BEGIN; INSERT INTO ticket $values; TRUNCATE ticket; INSERT INTO event VALUES (1, 'E1'); COMMIT");
	ok($receiver->wait_for_count(1, '/ticket'), 'W1: a row is sent although its table was truncated');
	sql("DELETE FROM event; BEGIN; INSERT INTO ticket $values; ALTER TABLE ticket ADD COLUMN c timestamptz DEFAULT clock_timestamp();",
		"INSERT INTO event VALUES (1, 'E1'); COMMIT");
	ok($receiver->wait_for_count(2, '/ticket'), 'W1: a row is sent although its table was rewritten');
	like(($receiver->requests('/ticket'))[1]->{body}, qr/d3d9446802a44259755d38e6d163e820/, 'W1: with its large value');
	WebhookTest::fails_with($node, "DELETE FROM event; BEGIN; INSERT INTO ticket VALUES (1, '5');"
		  . "ALTER TABLE ticket ALTER COLUMN n TYPE int USING length(n); INSERT INTO event VALUES (1, 'E1'); COMMIT",
		'0A000', 'the type of column "n" was changed', 'W1: a row of another layout is refused');
	sql("SELECT webhook.delete_webhook_by_id($ticket)");
}

# C44: a session reads, and remembers, the webhooks that its tables can concern, not all that there are.

{
	sql("SELECT count(webhook.create_webhook('app', 'company.create,company.a.*', 'http://127.0.0.1:9/', event_uids => 'e' || i)) FROM generate_series(1, 5000) i");
	my $concerned = WebhookTest::create_webhook($node, app => "'app'", event => "'company.create,guest.*,*'", url => "'" . $receiver->url('/concerned') . "'");
	my $counted = sql('ANALYZE webhook.webhook; SELECT count(*) FROM webhook.webhook');
	my $writer = session();

	# A statement trigger's invalidation makes every session look again.
	for my $id (101, 102)
	{
		is($writer->query("BEGIN; INSERT INTO guest VALUES ($id); SELECT pg_stat_get_xact_tuples_returned('webhook.webhook'::regclass) < 100; COMMIT"),
			't', "C44: not all of $counted webhooks are read");
		ok($receiver->wait_for_count($id - 100, '/concerned'), 'C44: the one that subscribes to it is found');
		sql(qq{SELECT webhook.update_webhook($concerned, '{"name": "changed"}')});
	}
	cmp_ok($writer->query("SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name LIKE 'webhook%'"), '<', 1_000_000,
		'C44: nor remembered') if $release >= 140000;
	$writer->quit;
	sql("SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks('app') WHERE id = $concerned OR event LIKE 'company%'");
}

# Integrations of two roles.

sql(q{
	CREATE ROLE alice; CREATE ROLE bob;
	GRANT USAGE ON SCHEMA webhook TO alice, bob;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO alice, bob});
foreach my $role ('alice', 'bob')
{
	sql("SET ROLE $role; SELECT webhook.create_integration('of_$role'); SELECT webhook.connect_profile('of_$role', 'conferences')");
}

# I10, W14: two roles that activate at the same moment: the second one may not replace the choice of the first.

foreach my $choice ([ "webhook.activate_integration('conferences', 'of_%s')", 'webhook.active_integration' ],
	[ "webhook.override_event('E1', 'of_%s')", 'webhook.event_override' ])
{
	my ($call, $table) = @$choice;
	my $alice = session();
	my $bob = session();

	$alice->query_safe('SET ROLE alice; BEGIN; SELECT ' . sprintf($call, 'alice'));
	$bob->query_safe('SET ROLE bob');
	start_waiting($bob, 'SELECT ' . sprintf($call, 'bob'));
	$alice->query_safe('COMMIT');
	$bob->query('SELECT 1');
	is(sql("SELECT integration FROM $table"), 'of_alice', "W14: bob has not replaced what alice chose in $table");
	$alice->quit;
	$bob->quit;
	sql("DELETE FROM $table");
}

# I13, W14: the same with mappings that belong to no integration, and with one's own.

foreach my $second ([ 'alice', qr/^$/, '2' ], [ 'bob', qr/permission denied for the field mapping of event "E1"/, '1' ])
{
	my ($role, $error, $value) = @$second;
	my $first = session();
	my $other = session();
	my $set = q{webhook.set_field_mapping('[{"name": "n", "value": %d}]', event_uid => 'E1')};

	$first->query_safe('SET ROLE alice; BEGIN; SELECT ' . sprintf($set, 1));
	$other->query_safe("SET ROLE $role");
	start_waiting($other, 'SELECT ' . sprintf($set, 2));
	$first->query_safe('COMMIT');
	$other->query('SELECT 1');
	is(sql(q{SELECT value -> 'guest' -> 0 ->> 'value' FROM webhook.shape WHERE kind = 'event'}), $value,
		"I13: $role sets a mapping that alice sets at the same moment");
	like($other->{stderr}, $error, 'W14: without an error other than missing privileges');
	$first->quit;
	$other->quit;
	sql(q{DELETE FROM webhook.shape WHERE kind = 'event'});
}

# I14, I7: the current shapes are cached, not those that an old snapshot shows.

sql(q{SELECT webhook.watch('event', 'event', event_uid => 'uid', profile => '''conferences''')});
my $key = sql(q{SELECT webhook.create_integration('crm')});
sql(q{SELECT webhook.connect_profile('crm', 'conferences', true); TRUNCATE event; INSERT INTO event VALUES (1, '1.e5')});
{
	my $reader = session();

	$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	sql(q{SELECT webhook.set_field_mapping('[{"name": "code", "mapped_to": "uid"}]', 'crm', entity_type => 'event')});
	$reader->query_safe("SELECT webhook.get_events('$key'); COMMIT");
	is($reader->query("SELECT webhook.get_events('$key') -> 'data'"), '[{"code": "1.e5"}]',
		'I14: after a transaction with an old snapshot the session uses the mapping');
	$reader->quit;
	sql(q{SELECT webhook.set_field_mapping(NULL, 'crm', entity_type => 'event')});
}

# I15: numbers that PostgreSQL accepts and JSON does not are no numbers.

sql(q{SELECT webhook.set_form('crm', 'event', '[{"name": "uid", "type": "number"}]')});
is(sql("SELECT webhook.get_events('$key') -> 'data'"), '[{"uid": null}]', 'I15: "1.e5" is no number');
sql(q{UPDATE event SET uid = '-1.5e+05'});
is(sql("SELECT webhook.get_events('$key') -> 'data'"), '[{"uid": -150000}]', 'I15: "-1.5e+05" is one');

# I15: configure_form() by a role that does not own the table makes no other session wait.

{
	my $reader = session();

	$reader->query_safe('BEGIN; SELECT FROM event');
	sql(q{SET ROLE alice; SELECT webhook.set_form('of_alice', 'event', '[{"name": "uid", "type": "text"}]')});
	WebhookTest::fails_with($node, q{SET lock_timeout = '1s'; SET ROLE alice; SELECT webhook.configure_form('of_alice', 'event')},
		'42501', 'must be owner of table event', 'W14: another role is refused before it waits for the lock');
	$reader->quit;
	sql(q{CREATE TABLE gone (id int PRIMARY KEY); SELECT webhook.watch('gone', 'event'); DROP TABLE gone});
	is(sql(q{SELECT webhook.configure_form('crm', 'event')}), '0', 'I15: a table that has been dropped is skipped');
}

# W5, I7: a session that deletes an integration and does not commit does not make the worker wait.

{
	my $deleter = session();

	WebhookTest::create_webhook($node, app => "'app'", event => "'thing.done'", url => "'" . $receiver->url('/healthy') . "'");
	WebhookTest::create_webhook($node, app => "'app'", event => "'event.update'", url => "'" . $receiver->url('/dead') . "'",
		integration => "'crm'", retry_schedule => "'{0,1s,1s,1s,1s,1s}'");
	$receiver->behave('/dead', status => 503);
	sql(q{SELECT webhook.activate_integration('conferences', 'crm'); UPDATE event SET uid = '2'});
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM webhook.undelivered WHERE state = 'retrying'});
	$deleter->query_safe(q{BEGIN; SELECT webhook.delete_integration('crm')});
	ok($receiver->wait_for_count(2, '/dead'), 'W5: the next attempt is made, and its result must be stored');
	foreach my $n (1 .. 5)
	{
		sql("SELECT webhook.emit('thing.done', '{}')");
		ok($receiver->wait_for_count($n, '/healthy'), 'W5: another webhook gets its messages');
	}
	$deleter->query_safe('COMMIT');
	is(sql(q{SELECT count(*) FROM webhook.webhook WHERE integration = 'crm'}), '0', 'I7: the webhook is deleted');
	$deleter->quit;
}

# W14, W2: what belongs to a dropped role or table refers to an OID, which may be that of
# another one where a dump is restored.

{
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
	my $create = "SELECT webhook.create_webhook('left', 'left.behind', 'http://127.0.0.1:9/'";

	sql('CREATE ROLE carol; GRANT alice TO carol');
	sql("SET ROLE carol; SELECT webhook.create_integration('of_carol'); SELECT webhook.connect_profile('of_carol', 'left');",
		q{SELECT webhook.activate_integration('left', 'of_carol'); SELECT webhook.override_event('left', 'of_carol');},
		q{SELECT webhook.set_field_mapping('[{"name": "a", "value": 1}]', 'of_carol');},
		"$create); $create, integration => 'of_carol'); RESET ROLE; $create, integration => 'of_carol'); $create)");
	sql(q{CREATE TABLE gone (id int PRIMARY KEY); SELECT webhook.watch('gone', 'gone'); DROP TABLE gone});
	sql('DROP ROLE carol');
	$node->run_log([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ]);
	sql('CREATE DATABASE restored');
	is($node->psql('restored', "\\i $dump", on_error_stop => 1), 0, 'W2: the dump can be restored');
	is($node->safe_psql('restored', q{SELECT count(*), count(r.oid), count(w.integration)
			FROM webhook.webhook AS w LEFT JOIN pg_roles AS r ON r.oid = w.owner WHERE w.app = 'left'}),
		'1|1|0', 'W14: webhooks of a dropped role, or in its integration, are left out');
	is($node->safe_psql('restored', q{SELECT (SELECT count(*) FROM webhook.integration WHERE name = 'of_carol'),
			(SELECT count(*) FROM webhook.watch WHERE entity_type = 'gone')}), '0|0', 'W14: so are its integrations, and dropped tables');
	is($node->safe_psql('restored', q{SELECT (SELECT count(*) FROM webhook.integration WHERE name = 'of_alice'),
			(SELECT count(*) FROM webhook.watch WHERE entity_type = 'guest')}), '1|1', 'W2: all others are restored');
}

# W14: pending() counts for a role's own webhooks; those of other roles do not exist for it.

{
	my $mine = sql(q{SET ROLE alice; SELECT webhook.create_webhook('alice', 'sale.closed', '}, $receiver->url('/alice'),
		q{', retry_schedule => '{0,1h}')});

	$receiver->behave('/alice', status => 503);
	sql(q{SELECT webhook.emit('sale.closed', '{}')});
	is(sql("SET ROLE alice; SELECT webhook.pending($mine), webhook.pending()"), '1|1', 'W14: the owner sees what is pending');
	is(sql("SELECT webhook.pending($mine), webhook.pending() > 0"), '1|t', 'W14: so does a superuser');
	is(sql("SET ROLE bob; SELECT webhook.pending($mine), webhook.pending(), webhook.pending(4711)"), '0|0|0',
		'W14: another role sees nothing, as with a webhook that does not exist');
	WebhookTest::fails_with($node, "SET ROLE bob; SELECT webhook.buffered($mine)", '42501', 'permission denied',
		'W14: nor does it through the function that activate_webhook() calls');
	sql("SELECT webhook.delete_webhook_by_id($mine)");
}

# W14: a webhook whose owner was dropped is sent nothing any more.

{
	my $session = session();
	my $emit = q{SELECT webhook.emit('party.over', '{}')};

	sql('CREATE ROLE dave; GRANT alice TO dave');
	sql(q{SET ROLE dave; SELECT webhook.create_webhook('dave', 'party.over', '}, $receiver->url('/dave'), q{')});
	$session->query_safe($emit);
	ok($receiver->wait_for_count(1, '/dave'), 'W14: the webhook is sent emitted events');
	sql('DROP ROLE dave');
	$session->query_safe($emit);
	is(sql(q{SELECT count(*) FROM webhook.outbox WHERE event = 'party.over'}), '1', 'W14: but not after its owner has been dropped');
	$session->quit;
}

# I6, I8: what is compared with values of rows is limited to the length of lookup keys.

WebhookTest::fails_with($node, q{SELECT webhook.create_webhook('a', 'a.b', 'http://127.0.0.1/', event_uids => repeat(U&'\00fc', 150))},
	'22023', 'An event UID is longer than 255 bytes', 'I6: an event UID of 300 bytes is refused');
WebhookTest::fails_with($node, q{SELECT webhook.connect_profile('of_alice', repeat(U&'\00fc', 150))},
	'22023', 'invalid value for argument "profile"', 'I8: so is a profile of 300 bytes');

# M2: listing many webhooks reads the outbox once, not once for each of them.

sql(q{SELECT webhook.create_webhook('many', 'many.' || i, 'http://127.0.0.1:9/') FROM generate_series(1, 20) AS i});
is(sql(q{BEGIN; SET LOCAL track_functions = 'all'; SELECT count(*) > 20 FROM webhook.get_webhooks();
		SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'outbox_backlog'; COMMIT}), "t\n1", 'M2: get_webhooks() scales');

# W15: a partition and its parent can be watched in either order; the partition's own settings take precedence.

{
	sql(q{CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY LIST (id);
		CREATE TABLE part1 PARTITION OF parted FOR VALUES IN (1); CREATE TABLE part2 PARTITION OF parted FOR VALUES IN (2);
		CREATE TABLE part3 PARTITION OF parted FOR VALUES IN (3)});
	sql(q{SELECT webhook.watch('part1', 'first'); SELECT webhook.watch('parted', 'any'); SELECT webhook.watch('part2', 'second')});
	WebhookTest::create_webhook($node, app => "'parts'", event => "'first.*,any.*,second.*'", url => "'" . $receiver->url('/parts') . "'");
	sql('INSERT INTO parted VALUES (1), (2), (3)');
	is(sql(q{SELECT string_agg(event, ' ' ORDER BY id) FROM webhook.outbox WHERE event ~ '^(first|any|second)'}),
		'first.create second.create any.create', 'W15: each partition has its own settings, or those of its parent');
	sql(q{SELECT webhook.unwatch('part1'), webhook.unwatch('parted'); DELETE FROM parted; INSERT INTO parted VALUES (1), (2), (3)});
	is(sql(q{SELECT string_agg(event, ' ' ORDER BY id) FROM webhook.outbox WHERE event ~ '^(first|any|second)'}),
		'first.create second.create any.create second.delete second.create', 'W15: a partition is still watched when its parent is not');
	sql(q{SELECT webhook.unwatch('part2')});
	is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgname = '00_webhook_capture' AND tgrelid::regclass::text ~ '^part'}), '0',
		'W15: no trigger is left');
}

# I10: the cache of event UIDs does not grow with a transaction.  (PostgreSQL 13 does not show its memory.)

sql(q{CREATE TABLE crowd (id int PRIMARY KEY, uid text); SELECT webhook.watch('crowd', 'crowd', event_uid => 'uid');
	SELECT webhook.override_event('X', 'of_alice')});
WebhookTest::create_webhook($node, app => "'crowd'", event => "'crowd.create'", url => "'" . $receiver->url('/crowd') . "'",
	integration => "'of_alice'");
is(sql(q{BEGIN; INSERT INTO crowd SELECT i, 'U' || i FROM generate_series(1, 35000) AS i;
	SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'webhook integrations in force'; COMMIT}),
	'1', 'I10: old caches of event overrides are gone before the transaction ends') if $release >= 140000;
sql(q{INSERT INTO crowd VALUES (0, 'X')});
ok($receiver->wait_for_count(1, '/crowd'), 'I10: the event with the override is sent');

# I15, W14: a column that configure_form() has added is one of the columns given to watch(), also when it is renamed.

sql(q{CREATE TABLE member (id int PRIMARY KEY, secret text); SELECT webhook.watch('member', 'member', columns => '{id}');
	SELECT webhook.set_form('of_alice', 'member', '[{"name": "city", "type": "text"}]');
	SELECT webhook.configure_form('of_alice', 'member'); ALTER TABLE member RENAME COLUMN city TO town});
WebhookTest::create_webhook($node, app => "'app'", event => "'member.create'", url => "'" . $receiver->url('/member') . "'");
WebhookTest::fails_with($node, 'INSERT INTO member VALUES (1)', '42703', 'watched column "city" has been renamed to "town"',
	'I15: a renamed column of the form is noticed');

# W15: a session that has used a cast to json goes on when that is dropped, and uses a new one.

{
	my $writer = session();
	my $cast = q{CREATE CAST (mood AS json) WITH FUNCTION mood_json};

	sql(q{CREATE TYPE mood AS ENUM ('well'); CREATE TABLE feeling (id int PRIMARY KEY, mood mood);
		SELECT webhook.watch('feeling', 'feeling');
		CREATE FUNCTION mood_json(mood) RETURNS json LANGUAGE sql AS 'SELECT json_build_array($1::text)'}, ";$cast");
	WebhookTest::create_webhook($node, app => "'app'", event => "'feeling.create'", url => "'" . $receiver->url('/feeling') . "'",
		format => "'rest'");
	$writer->query_safe(q{INSERT INTO feeling VALUES (1, 'well')});
	sql('DROP FUNCTION mood_json CASCADE');
	is($writer->query_safe(q{INSERT INTO feeling VALUES (2, 'well') RETURNING id}), '2', 'W15: the session goes on after the cast has been dropped');
	sql(q{CREATE FUNCTION mood_json(mood) RETURNS json LANGUAGE sql AS 'SELECT json_build_object($1::text, 1)'}, ";$cast");
	$writer->query_safe(q{INSERT INTO feeling VALUES (3, 'well')});
	ok($receiver->wait_for_count(3, '/feeling'), 'W15: all three messages are sent');
	is(join(' ', map { $_->{body} } $receiver->requests('/feeling')),
		'{"id":1,"mood":["well"]} {"id":2,"mood":"well"} {"id":3,"mood":{"well" : 1}}', 'W15: each uses the cast that existed then');
	$writer->quit;
}

# W14: a table with the OID of a watched table that was dropped is not watched.

{
	sql(q{CREATE TABLE dropped (id int PRIMARY KEY); SELECT webhook.watch('dropped', 'dropped'); DROP TABLE dropped;
		CREATE TABLE stranger (id int PRIMARY KEY); INSERT INTO stranger VALUES (42);
		UPDATE webhook.watch SET relation = 'stranger'::regclass WHERE entity_type = 'dropped'});
	my $webhook = WebhookTest::create_webhook($node, app => "'app'", event => "'dropped.*'", url => "'" . $receiver->url('/stranger') . "'");

	WebhookTest::fails_with($node, "SELECT webhook.test_webhook($webhook, '42')", 'P0002', 'has no entity "42" to test with',
		'W14: its rows are not found by test_webhook()');
	is(sql(q{SELECT webhook.rest_hook_sample('dropped.create')}), '[]', 'W14: nor shown as samples');
	sql(q{SELECT webhook.watch('stranger', 'dropped')});
	is(sql(q{SELECT webhook.rest_hook_sample('dropped.create')}), '[{"id": 42}]', 'W15: they are once the table is watched');
}

# W14, M7, M8: a webhook whose owner is dropped is deactivated, nothing is sent any more, and it can be rescued.

{
	my $create = sub {
		my ($path) = @_;
		return sql(q{SET ROLE erin; SELECT webhook.create_webhook('erin', 'show.over', '}, $receiver->url($path),
			q{', retry_schedule => '{0,1h,1h}')});
	};
	sql('CREATE ROLE erin; CREATE ROLE frank; GRANT alice TO erin');
	my $waiting = $create->('/erin');
	my $buffered = $create->('/frank');

	$receiver->behave('/erin', status => 503);
	sql("SELECT webhook.deactivate_webhook($buffered, true)");
	sql(q{SELECT webhook.emit('show.over', '{"n": 1}')});
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM webhook.undelivered WHERE webhook_id = $waiting AND state = 'retrying'");
	sql('DROP ROLE erin');
	ok($node->poll_query_until('postgres', "SELECT NOT active AND deactivation_reason = 'owner' FROM webhook.webhook WHERE id = $waiting"),
		'W14: it is deactivated, with a reason of its own');
	like(sql("SELECT message FROM webhook.notification WHERE webhook_id = $waiting AND kind = 'deactivated'"),
		qr/was deactivated: its owner, the role with OID \d+, does not exist any more; pending messages are kept/, 'M8: and there is a notification');
	is(sql("SELECT count(*) FROM webhook.get_webhooks('erin') WHERE owner::text = owner::oid::text"), '2',
		'W14: a superuser sees the OID of the role');
	foreach my $id ($waiting, $buffered)
	{
		WebhookTest::fails_with($node, "SELECT webhook.activate_webhook($id, true)", '55000',
			'the owner of webhook \d+ no longer exists', 'W14: it cannot be activated');
	}
	WebhookTest::fails_with($node, qq{SELECT webhook.update_webhook($waiting, '{"owner": "nobody"}')}, '42704', 'invalid value for argument "owner"',
		'W14: nor given to a role that does not exist');
	$receiver->behave('/erin');
	sql(qq{SELECT webhook.update_webhook($_, '{"owner": "frank"}')}) foreach $waiting, $buffered;
	is(sql("SELECT owner FROM webhook.get_webhooks('erin')"), "frank\nfrank", 'W14: but it can be given to another role');
	is($receiver->count('/erin') . $receiver->count('/frank'), '10', 'W14: nothing has been sent since');
	is(sql("SELECT webhook.activate_webhook($waiting, true), webhook.activate_webhook($buffered, true)"), '1|1', 'M9: waiting messages are kept');
	ok($receiver->wait_for_count(2, '/erin'), 'M9: and sent for the new owner');
	ok($receiver->wait_for_count(1, '/frank'), 'M9: so are buffered ones');

	WebhookTest::fails_with($node, qq{SET ROLE alice; SELECT webhook.update_webhook($waiting, '{"owner": "alice"}')}, 'P0002',
		'does not exist', 'W14: no role can take over the webhook of another');
	sql('GRANT frank TO alice');
	WebhookTest::fails_with($node, qq{SET ROLE alice; SELECT webhook.update_webhook($waiting, '{"owner": "bob"}')}, '42501',
		'must be member of role "bob"', 'W14: nor gives one to a role that it is not a member of');
	sql(qq{SET ROLE alice; SELECT webhook.update_webhook($waiting, '{"owner": "alice"}')});
	is(sql("SELECT owner FROM webhook.get_webhooks() WHERE id = $waiting"), 'alice', 'W14: a member of both roles may');
}

# W15: the row trigger cannot see the value of a virtual column.

SKIP:
{
	skip 'there are no virtual generated columns before PostgreSQL 18', 4 if $release < 180000;
	sql(q{CREATE TABLE computed (id int PRIMARY KEY, n int, uid text GENERATED ALWAYS AS ('U' || n) VIRTUAL,
		paid boolean GENERATED ALWAYS AS (n > 0) VIRTUAL)});
	foreach my $argument ("id => 'uid'", "event_uid => 'uid'", "paid => 'paid'", "columns => '{id,uid}'")
	{
		WebhookTest::fails_with($node, "SELECT webhook.watch('computed', 'computed', $argument)", '0A000',
			'is a virtual generated column', "W15: $argument is refused");
	}
}

# W15: a partition that is attached is watched like the others, one that is detached is not.

{
	my $told = q{SELECT string_agg(event, ' ' ORDER BY id) FROM webhook.outbox WHERE event ~ '^(room|part)[.]'};

	sql(q{CREATE TABLE room (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE room1 (id int PRIMARY KEY);
		SELECT webhook.watch('room', 'room'); SELECT webhook.watch('room1', 'part')});
	WebhookTest::create_webhook($node, app => "'rooms'", event => "'room.*,part.*'", url => "'" . $receiver->url('/room') . "'");
	WebhookTest::fails_with($node, 'ALTER TABLE room ATTACH PARTITION room1 FOR VALUES IN (1)', '42710', 'already exists',
		'W15: a watched table cannot be attached');
	sql(q{SELECT webhook.unwatch('room1'); ALTER TABLE room ATTACH PARTITION room1 FOR VALUES IN (1); INSERT INTO room VALUES (1)});
	is(sql($told), 'room.create', 'W15: after unwatch() it can, and has the settings of its parent');
	sql(q{ALTER TABLE room DETACH PARTITION room1; DELETE FROM room1});
	is(sql($told), 'room.create', 'W15: a detached partition is not watched');
	sql(q{SELECT webhook.watch('room1', 'part'); INSERT INTO room1 VALUES (1)});
	is(sql($told), 'room.create part.create', 'W15: until watch() is called for it');
}

# I16: a payload with a character that jsonb cannot hold does not make the page fail.

{
	my $nul = sql(q{SELECT webhook.create_integration('nul')});

	sql(q{SELECT webhook.connect_profile('nul', 'nul', true); CREATE TABLE note (id int PRIMARY KEY, body json);
		SELECT webhook.watch('note', 'event', profile => '(SELECT text $$nul$$)');
		INSERT INTO note VALUES (1, '"a\u0000b\\\\u0000c"'), (2, '{}')});
	my $shown = "d ->> 'body' = 'a' || chr(65533) || E'b\\\\u0000c'";
	is(sql("SELECT $shown, webhook.get_events('$nul') -> 'meta' ->> 'total' FROM (SELECT webhook.get_events('$nul') -> 'data' -> 0) AS a (d)"),
		't|2', 'I16: NUL is replaced by U+FFFD, an escaped backslash is kept');
	is(sql("SELECT count(*) FROM jsonb_array_elements(webhook.rest_hook_sample('event.create')) AS d WHERE $shown"),
		1, 'M10: in samples, too');
}

$node->stop;
done_testing();
