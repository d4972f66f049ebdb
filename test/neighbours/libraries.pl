# pgaudit, auto_explain and pg_stat_statements, loaded before and after the extension and configured to record everything.
#
# The worker is not affected, and what they record about its statements contains no secret of a webhook.  For statements of sessions
# they also record the parameters if configured so, as the README says; here they are not.
#
# Mission: W2, W14; cases: C3.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

my $receiver = WebhookTest::Receiver->start;
my $node = WebhookTest::start_node('libraries', 'max_prepared_transactions = 0');
my @secrets = ('Bearer 0123-in-a-header', 'whsec_' . 'c2VjcmV0LW9mLWEtd2ViaG9vay1pbi10ZXN0cy0x', 'another-0123-in-a-header');

# The secrets are passed to create_webhook() from a table, so that no statement of the test contains them.
sql(q{CREATE TABLE vault (name text, value text)});
sql("INSERT INTO vault VALUES ('header', '$secrets[0]'), ('secret', '$secrets[1]'), ('changed', '$secrets[2]')");
sql(q{CREATE TABLE guest (id integer PRIMARY KEY, at interval)});
sql(q{SELECT webhook.watch('guest', 'guest')});

my $audit = q{
log_statement = none
pgaudit.log = 'all'
pgaudit.log_catalog = on
pgaudit.log_client = off
pgaudit.log_parameter = on
pgaudit.log_relation = on
pgaudit.log_rows = on
pgaudit.log_statement_once = off
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_verbose = on
auto_explain.log_nested_statements = on
pg_stat_statements.track = all
};
my $n = 0;

$ENV{PGOPTIONS} = '-c pgaudit.log_parameter=off -c auto_explain.log_verbose=off';
foreach my $libraries ('pgaudit, auto_explain, pg_stat_statements, webhook', 'webhook, pg_stat_statements, auto_explain, pgaudit')
{
	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$libraries'$audit");
	$node->restart;
	becomes(q{SELECT state FROM webhook.stat_workers WHERE database = 'postgres'}, 'served', "C3: $libraries: the worker is running");
	sql('CREATE EXTENSION IF NOT EXISTS pgaudit; CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()');

	my $log = -s $node->logfile;
	my $path = '/' . substr($libraries, 0, 7);
	my $webhook = sql(q{SELECT webhook.create_webhook('a', 'guest.*', '} . $receiver->url($path) . q{', format => 'rest', retry_schedule => '{0, 0.1 s, 1 day}',
		secret => (SELECT value FROM vault WHERE name = 'secret'),
		headers => (SELECT jsonb_build_object('Authorization', value) FROM vault WHERE name = 'header'))});
	$receiver->behave($path, status => 500, times => 1);
	$n++;
	sql("INSERT INTO guest VALUES ($n, '1 day')");
	ok($receiver->wait_for_count(2, $path), "C3: $libraries: a message is sent and retried");
	my @requests = $receiver->requests($path);
	is($requests[1]{body}, qq({"id":$n,"at":"1 day"}), "C3: $libraries: as it was written");
	is($requests[1]{headers}{authorization}, $secrets[0], "C3: $libraries: with its header");
	becomes('SELECT webhook.pending() = 0', 't', "C3: $libraries: nothing is pending");
	becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $webhook", 1, "C3: $libraries: the delivery is counted");
	is(sql("SELECT count(*) FROM webhook.get_webhook_log($webhook)"), 2, "C3: $libraries: the log shows both attempts");

	# Everything else that involves secrets
	sql(qq{SELECT webhook.update_webhook($webhook, (SELECT jsonb_build_object('headers', jsonb_build_object('Authorization', value))
		FROM vault WHERE name = 'changed'))});
	my $secret = sql("SELECT webhook.rotate_secret($webhook)");
	is(sql("SELECT webhook.get_secret($webhook)"), $secret, "W14: $libraries: the secret is rotated");
	sql("SELECT webhook.test_webhook($webhook)");
	ok($receiver->wait_for_count(3, $path), "C3: $libraries: a test is sent");
	my $key = sql("SELECT webhook.create_integration('crm')");
	my $other_key = sql("SELECT webhook.rotate_api_key('crm')");
	sql("SELECT webhook.delete_integration('crm')");
	$node->restart;
	becomes(q{SELECT state FROM webhook.stat_workers WHERE database = 'postgres'}, 'served', "C3: $libraries: another worker reads the webhooks");
	sql("SELECT webhook.delete_webhook_by_id($webhook)");

	my $written = substr(slurp_file($node->logfile), $log);
	like($written, qr/AUDIT: SESSION,.*INSERT INTO guest/, "C3: $libraries: pgaudit has logged the application's statement");
	like($written, qr/AUDIT: SESSION,.*webhook\.webhook/, "C3: $libraries: and statements on the tables of webhooks");
	like($written, qr/AUDIT: SESSION,.*INSERT INTO webhook\.health/, "C3: $libraries: and the worker's");
	like($written, qr/Query Text: INSERT INTO guest/, "C3: $libraries: auto_explain, too");
	cmp_ok(sql(q{SELECT sum(calls) FROM pg_stat_statements WHERE query ~ 'guest'}), '>', 0, "C3: $libraries: and pg_stat_statements");
	unlike($written, qr/webhook worker.*exited with exit code|PANIC|TRAP/, "C3: $libraries: the worker has gone on");
	foreach my $text (@secrets, $secret, $key, $other_key)
	{
		my @lines = grep { /\Q$text\E/ } split(/\n/, $written);

		is(scalar(@lines), 0, "W14: $libraries: no secret in the server's log") or note(substr($lines[0], 0, 2000));
		is(sql(q{SELECT count(*) FROM pg_stat_statements WHERE strpos(query, '} . $text . q{') > 0}), 0, "W14: $libraries: nor in pg_stat_statements")
			if $text !~ /^Bearer/;
	}
}

$node->stop;
$receiver->stop;
done_testing();
