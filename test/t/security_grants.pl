# The grants that the README gives for an application, an operator and a monitor: sufficient, and no more.
#
# Mission: W14, W12.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my $node = WebhookTest::start_node('grants');
my $receiver = WebhookTest::Receiver->start;

sub may
{
	my ($role, $query) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres', "SET ROLE $role; $query");

	is($stderr, '', "W14: $role may $query");
	return $stdout;
}

sub may_not
{
	my ($role, $query) = @_;

	WebhookTest::fails_with($node, "SET ROLE $role; $query", '42501', 'permission denied', "W14: $role may not $query");
	return;
}

# As written in the README.
my ($grants) = slurp_file(dirname(abs_path(__FILE__)) . '/../../README.md') =~ /^## Appendix: grants\n.*?^```sql\n(.*?)^```$/ms;

sql('CREATE ROLE app; CREATE ROLE operator; CREATE ROLE monitor; CREATE ROLE organiser; CREATE ROLE gateway; CREATE ROLE cashier;
	GRANT CREATE ON SCHEMA public TO app;', $grants);

# An application works with its grants

may('app', 'CREATE TABLE guest (id integer PRIMARY KEY, name text)');
may('app', "SELECT webhook.watch('guest', 'guest')");
my $id = may('app', "SELECT webhook.create_webhook('app', 'guest.*,x.y', '" . $receiver->url('/app')
	  . "', headers => '{\"Authorization\": \"s3cr3t\"}')");
may('app', "INSERT INTO guest VALUES (1, 'Ada')");
may('app', "SELECT webhook.emit('x.y', '{}')");
may('app', "SELECT webhook.$_") foreach ("get_secret($id)", "rotate_secret($id)", "get_public_key($id)", "test_webhook($id)",
	"fire_webhook($id, '1')", "update_webhook($id, '{}')", 'pending()');
ok($receiver->wait_for_count(4, '/app'), 'W14: what it sends arrives');
WebhookTest::wait_until_delivered($node);
may('app', "SELECT webhook.$_") foreach ("deactivate_webhook($id)", "activate_webhook($id)");
may('app', "SELECT webhook.redeliver($id, message_id) FROM webhook.get_webhook_log($id) WHERE event = 'x.y'");
may('app', "SELECT * FROM webhook.get_manual_actions('guest')");
may('app', "SELECT * FROM webhook.get_webhooks(), webhook.get_webhook_log($id)");
may_not('app', $_) foreach ('SELECT * FROM webhook.webhook', 'SELECT * FROM webhook.outbox', 'SELECT * FROM webhook.stat_webhooks',
	'SELECT * FROM webhook.undelivered', 'SELECT * FROM webhook.notification', 'SELECT * FROM webhook.outbox_unread()',
	'SELECT * FROM webhook.log', 'TRUNCATE webhook.cursor', "SELECT nextval('webhook.outbox_id_seq')");

# A monitor sees the state of everything, and no secret

sql("INSERT INTO webhook.notification (webhook_id, kind, message, token) VALUES ($id, 'test', 'a message', 't0ken')");
$receiver->behave('/app', status => 503);
sql("SELECT webhook.emit('x.y', '{}')");
$node->poll_query_until('postgres', 'SELECT count(*) > 0 FROM webhook.undelivered WHERE attempts > 0');
is(may('monitor', 'SELECT webhook.pending()'), may('app', 'SELECT webhook.pending()'), 'W12: a monitor sees what is pending for others');
is(may('monitor', "SELECT webhook.pending($id) > 0"), 't', 'W12: for each webhook');
my $seen = join("\n", map { may('monitor', $_) } ('SELECT * FROM webhook.stat_webhooks', 'SELECT * FROM webhook.stat_workers',
	'SELECT * FROM webhook.undelivered', 'SELECT * FROM webhook.withheld', 'SELECT webhook.pending()',
	'SELECT id, webhook_id, kind, message, created_at, read_at FROM webhook.notification'));
like($seen, qr/a message/, 'W12: a monitor sees notifications');
unlike($seen, qr/s3cr3t|whsec|t0ken/, 'W14: and no secret');
may_not('monitor', $_) foreach ('SELECT token FROM webhook.notification', 'SELECT * FROM webhook.webhook', 'SELECT * FROM webhook.log',
	'SELECT payload FROM webhook.outbox', "SELECT webhook.get_secret($id)", "SELECT webhook.deactivate_webhook($id)",
	"SELECT webhook.emit('x.y', '{}')", 'DELETE FROM webhook.notification');

# A role that manages integrations gets API keys; one that uses a key, or reports payments, can do nothing else

my $key = may('organiser', "SELECT webhook.create_integration('crm')");
may('organiser', "SELECT $_") foreach ("webhook.connect_profile('crm', 'p', true)", "webhook.activate_integration('p', 'crm')",
	"webhook.override_event('e', 'crm')", "webhook.set_field_mapping('[]', 'crm')", "webhook.set_payload_template('crm', 'guest', '{}')",
	q{webhook.set_form('crm', 'guest', '[{"name": "name", "type": "text"}]')}, "webhook.check_form('crm', 'guest')",
	'webhook.get_integrations()', "webhook.clear_event_override('e')", "webhook.deactivate_integration('p')");
like(may('gateway', "SELECT webhook.$_('$key')"), qr/"total": 0/, "I8: $_, of profiles with access") foreach qw(get_events get_attendees);
is(may('cashier', "SELECT webhook.notify_payment('guest', '1')"), 't', 'I12: a payment is reported');
$key = may('organiser', "SELECT webhook.rotate_api_key('crm')");
may('organiser', "SELECT $_") foreach ("webhook.disconnect_profile('crm', 'p')", "webhook.delete_integration('crm')");
may_not($_, "SELECT webhook.create_integration('x')") foreach qw(app gateway cashier);
may_not('cashier', "SELECT webhook.get_attendees('$key')");

# An operator manages the webhooks that it sees

may('operator', $_) foreach ('SELECT token FROM webhook.notification', 'UPDATE webhook.notification SET read_at = now()',
	"SELECT webhook.deactivate_webhook($id)", "SELECT webhook.activate_webhook($id, true)", "SELECT * FROM webhook.get_webhook_log($id)",
	'SELECT * FROM webhook.stat_webhooks', 'DELETE FROM webhook.notification');
may_not('operator', 'SELECT * FROM webhook.webhook');
may_not('operator', 'UPDATE webhook.notification SET message = NULL');

# The worker does not wait for what an operator may lock

$receiver->behave('/app');
sql("SELECT webhook.activate_webhook($id)");
WebhookTest::wait_until_delivered($node);
my $gone = sql("SELECT webhook.create_webhook('gone', 'gone.z', '" . $receiver->url('/gone') . "')");
$receiver->behave('/gone', status => 410);
my $locker = WebhookTest::session($node);
$locker->query_safe('SET ROLE operator; BEGIN; LOCK TABLE webhook.notification');
sql("SELECT webhook.emit('gone.z', '{}')");
ok($receiver->wait_for_count(1, '/gone'), 'a webhook is about to be deactivated while the notifications are locked');
my $count = $receiver->count('/app');
sql("SELECT webhook.emit('x.y', '{}')");
ok($receiver->wait_for_count($count + 1, '/app'), 'W13: others get their messages');
sql("REVOKE SELECT ON guest FROM app; SELECT webhook.emit('x.y', '{}')");
ok($receiver->wait_for_count($count + 2, '/app'), 'W13: also when another notification is to be written');
$locker->query_safe('COMMIT');
$locker->quit;
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM webhook.notification WHERE webhook_id = $gone AND kind = 'deactivated'"),
	'M8: it is raised when the lock is released');

done_testing();
