# No role is sent what it may not select, whatever is granted and revoked while messages flow.
#
# Mission: W14.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $node = WebhookTest::start_node('permissions');
my $receiver = WebhookTest::Receiver->start;
my $grants = 'GRANT USAGE ON SCHEMA webhook TO PUBLIC;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA webhook TO PUBLIC;';

sub as_role
{
	my ($role, $sql) = @_;

	return sql("SET ROLE $role; $sql");
}

# A webhook of this role on all events of an entity type; its path is the role's name.
sub subscribe
{
	my ($role, $event, %arguments) = @_;
	my $more = join('', map { ", $_ => $arguments{$_}" } sort keys %arguments);

	return as_role($role,
		"SELECT webhook.create_webhook('$role', '$event', '" . $receiver->url("/$role") . "'$more)");
}

# The records that a role was sent since the last call.
sub arrived
{
	my ($role) = @_;

	WebhookTest::wait_until_delivered($node);
	return [ map { JSON::PP->new->canonical->encode(decode_json($_->{body})->{result} // 'none') } $receiver->new_requests("/$role") ];
}

sub notified
{
	my ($webhook, $message) = @_;

	return $node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM webhook.notification
		  WHERE webhook_id = $webhook AND kind = 'withheld' AND message LIKE '%$message%'");
}

sql($grants, q{
	CREATE ROLE app_owner; CREATE ROLE reader; CREATE ROLE partial; CREATE ROLE member; CREATE ROLE nobody;
	CREATE ROLE readers; GRANT readers TO member;
	CREATE SCHEMA crm; GRANT USAGE ON SCHEMA crm TO PUBLIC;
	CREATE TABLE crm.guest (id integer PRIMARY KEY, event_uid text, name text, salary integer);
	ALTER TABLE crm.guest OWNER TO app_owner;
	GRANT SELECT ON crm.guest TO reader, readers;
	GRANT SELECT (id, name) ON crm.guest TO partial;
	SELECT webhook.watch('crm.guest', 'guest', event_uid => 'event_uid');
});

# When a webhook is created

WebhookTest::fails_with($node,
	"SET ROLE nobody; SELECT webhook.create_webhook('n', 'guest.create', 'https://example.com/')",
	'42501', 'permission denied for table guest', 'W14: refused without SELECT');
WebhookTest::fails_with($node,
	"SET ROLE nobody; SELECT webhook.create_webhook('n', 'event.*,guest.*', 'https://example.com/')",
	'42501', 'permission denied for table guest', 'W14: refused, with a wildcard, too');
my $nobody = subscribe('nobody', '*');
is(sql("SELECT relation, problem FROM webhook.withheld WHERE webhook_id = $nobody"),
	'crm.guest|permission denied for table guest', 'W14: "*" matches what the role may read');
WebhookTest::fails_with($node,
	qq(SET ROLE nobody; SELECT webhook.update_webhook($nobody, '{"event": "guest.delete"}')),
	'42501', 'permission denied', 'W14: update_webhook() is refused, too');

my $reader = subscribe('reader', 'guest.*');
my $partial = subscribe('partial', 'guest.*');
my $member = subscribe('member', 'guest.*');

# When a message is matched

sql(q{INSERT INTO crm.guest VALUES (1, 'EV', 'Ada', 100)});
my $ada = '{"event_uid":"EV","id":1,"name":"Ada","salary":100}';
is_deeply(arrived('reader'), [$ada], 'W14: a role that may select everything is sent everything');
is_deeply(arrived('member'), [$ada], 'W14: so is a member of a role that may');
is_deeply(arrived('partial'), ['{"id":1,"name":"Ada"}'], 'W14: unreadable columns are left out');
is_deeply(arrived('nobody'), [], 'W14: a role that may not select is sent nothing');

sql(q{UPDATE crm.guest SET salary = 200});
is(scalar(@{ arrived('reader') }), 1, 'W14: a change of a column');
is_deeply(arrived('partial'), [], 'W14: is not shown to roles that may not read it');

my $filtered = subscribe('partial', 'guest.*', filter => q('{"salary": 200}'));
my $columns = subscribe('partial', 'guest.update', columns => q('{salary}'));
sql(q{UPDATE crm.guest SET name = 'Ada L.', salary = 201; UPDATE crm.guest SET name = 'Ada M.', salary = 200});
is_deeply(arrived('partial'), [ '{"id":1,"name":"Ada L."}', '{"id":1,"name":"Ada M."}' ],
	'W14: neither a filter nor a list of columns reveals its value');
sql("SELECT webhook.delete_webhook_by_id($filtered), webhook.delete_webhook_by_id($columns)");
arrived($_) foreach qw(reader member);

my $uids = subscribe('partial', 'guest.*', event_uids => q('EV'));
sql(q{UPDATE crm.guest SET name = 'Ada N.'});
is(scalar(@{ arrived('partial') }), 1, 'W14: an unreadable event UID selects nothing');
sql("SELECT webhook.delete_webhook_by_id($uids)");
arrived($_) foreach qw(reader member);

# Neither a test nor a manual trigger bypasses it

as_role('nobody', "SELECT webhook.test_webhook($nobody)");
as_role('partial', "SELECT webhook.test_webhook($partial), webhook.fire_webhook($partial, '1')");
is_deeply(arrived('nobody'), ['{}'], 'W14: a test sends no row that may not be read');
is_deeply(arrived('partial'), [ ('{"id":1,"name":"Ada N."}') x 2 ],
	'W14: nor do a test and a manual trigger send columns that may not be read');
my $manual = subscribe('nobody', 'guest.manual');
WebhookTest::fails_with($node, "SET ROLE nobody; SELECT webhook.fire_webhook($manual, '1')",
	'P0002', 'does not exist', 'W14: a manual trigger finds no row that may not be read');

# A privilege is revoked while messages flow, in a session that has captured before

my $session = WebhookTest::session($node);
$session->query_safe(q{UPDATE crm.guest SET name = 'before'});
sql('REVOKE SELECT ON crm.guest FROM reader');
$session->query_safe(q{UPDATE crm.guest SET name = 'after'});
is(scalar(@{ arrived('reader') }), 1, 'W14: REVOKE stops messages at once');
is(scalar(@{ arrived('member') }), 2, 'W14: but not those of others');
ok(notified($reader, 'permission denied for table guest'), 'W14: there is a notification of the REVOKE');
is(sql('SELECT count(*) FROM webhook.notification'), 1, 'W14: once');

sql('REVOKE readers FROM member');
$session->query_safe(q{UPDATE crm.guest SET name = 'no member'});
is_deeply(arrived('member'), [], 'W14: so does the end of a membership');
ok(notified($member, 'permission denied for table guest'), 'W14: and is notified');

sql('GRANT SELECT ON crm.guest TO reader');
$session->query_safe(q{UPDATE crm.guest SET name = 'again'});
is(scalar(@{ arrived('reader') }), 1, 'W14: after GRANT messages are sent again');
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM webhook.withheld WHERE webhook_id = $reader"),
	'W14: and nothing is withheld any more');

sql('REVOKE USAGE ON SCHEMA crm FROM PUBLIC');
$session->query_safe(q{UPDATE crm.guest SET name = 'closed schema'});
is_deeply(arrived('reader'), [], 'W14: a role that may not use the schema is sent nothing');
ok(notified($reader, 'permission denied for schema crm'), 'W14: and there is a notification, too');
sql('GRANT USAGE ON SCHEMA crm TO PUBLIC');

# Row-level security

sql(q{ALTER TABLE crm.guest ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON crm.guest USING (id = 2)});
$session->query_safe(q{UPDATE crm.guest SET name = 'policies'});
is_deeply(arrived('reader'), [], 'W14: row-level security that applies stops messages');
ok(notified($reader, 'row-level security of table guest applies to role reader'), 'W14: and is notified');
WebhookTest::fails_with($node,
	"SET ROLE reader; SELECT webhook.create_webhook('r', 'guest.create', 'https://example.com/')",
	'42501', 'row-level security of table guest applies', 'W14: with row-level security a webhook is refused');
sql('ALTER ROLE reader BYPASSRLS');
subscribe('app_owner', 'guest.*');
$session->query_safe(q{UPDATE crm.guest SET name = 'seen'});
is(scalar(@{ arrived('reader') }), 1, 'W14: a role with BYPASSRLS is sent it');
is(scalar(@{ arrived('app_owner') }), 1, 'W14: so is the owner of the table');
sql('ALTER TABLE crm.guest FORCE ROW LEVEL SECURITY');
$session->query_safe(q{UPDATE crm.guest SET name = 'forced'});
is_deeply(arrived('app_owner'), [], 'W14: unless it is forced');
sql('ALTER TABLE crm.guest DISABLE ROW LEVEL SECURITY');
$session->quit;

# A webhook whose owner is dropped gets nothing, not even what PUBLIC may read

sql(q{
	CREATE ROLE brief; GRANT SELECT ON crm.guest TO PUBLIC;
});
subscribe('brief', 'guest.*');
sql(q{DROP ROLE brief; UPDATE crm.guest SET name = 'orphan'});
is_deeply(arrived('brief'), [], 'W14: a webhook without an owner is sent nothing');
is(scalar(@{ arrived('nobody') }), 1, 'W14: PUBLIC counts');

# A payload function may use any column: it requires the privilege to select them all

arrived($_) foreach qw(partial reader);
sql(q{
	REVOKE SELECT ON crm.guest FROM PUBLIC;
	CREATE FUNCTION crm.all_of_it(crm.guest) RETURNS jsonb LANGUAGE sql AS 'SELECT to_jsonb($1)';
	SELECT webhook.watch('crm.guest', 'guest', payload => 'crm.all_of_it(crm.guest)');
	UPDATE crm.guest SET name = 'function';
});
is_deeply(arrived('partial'), [], 'W14: the result of a payload function is sent only to roles that may select everything');
is(scalar(@{ arrived('reader') }), 1, 'W14: and it is sent to them');

# A transform runs in the worker, with the privileges of the webhook's owner, and cannot get others

sql(q{
	CREATE FUNCTION escape(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	DECLARE
		result text[] := ARRAY[current_user];
		command text;
	BEGIN
		FOREACH command IN ARRAY ARRAY['ALTER ROLE nobody SUPERUSER', 'SET ROLE app_owner', 'RESET ROLE',
			'SET SESSION AUTHORIZATION DEFAULT', 'SET transaction_read_only = off', 'CREATE TEMP TABLE t ()',
			'SELECT secret FROM webhook.webhook', 'INSERT INTO public.scratch VALUES (1)', 'SELECT pg_read_file(''postgresql.conf'')',
			'COPY (SELECT 1) TO PROGRAM ''true''', 'SELECT * FROM crm.guest', 'SELECT webhook.emit(''newsletter.sent'', ''{}'')']
		LOOP
			BEGIN
				EXECUTE command;
				result := result || command;
			EXCEPTION WHEN OTHERS THEN
				result := result || SQLSTATE::text;
			END;
		END LOOP;
		RETURN to_jsonb(result);
	END $$;
	CREATE TABLE scratch (i integer); GRANT INSERT ON scratch TO nobody;
});
arrived('nobody');
subscribe('nobody', 'escape.now', transform => q('escape(jsonb)'));
sql(q{SELECT webhook.emit('escape.now', '{}')});
my ($escape) = grep { /nobody/ } @{ arrived('nobody') };
is(scalar(() = ($escape // '') =~ /"(?:42501|25006|0A000|25001|22023)"/g), 12, 'W14: a transform cannot gain privileges')
  or diag($escape // 'nothing arrived');
is(sql("SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname = 'nobody'"), 0, 'W14: role nobody is no superuser');

# An application event needs no table

my $emitted = subscribe('nobody', 'newsletter.sent');
sql(q{SELECT webhook.emit('newsletter.sent', '{"n": 1}')});
WebhookTest::wait_until_delivered($node);
is(scalar(grep { $_->{body} =~ /"n":1/ } $receiver->requests('/nobody')), 2,
	'W14: emit() reaches all subscribers');

done_testing();
