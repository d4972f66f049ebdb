# What an operator looks at often must cost little.
#
# Mission: W12.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

my $node = WebhookTest::start_node('cost', 'webhook.dispatch = off');

WebhookTest::create_webhook($node, app => "'few'", event => "'thing.few'", url => "'http://127.0.0.1:9/'");
sql("SELECT count(webhook.emit('thing.few', '{}', n::text)) FROM generate_series(1, 10) n");

# Queries of the outbox that must not read all of it have plans that seem expensive, but are not worth compiling.
my $explain = join('; ', map { "SET auto_explain.$_" } 'log_min_duration = 0', 'log_nested_statements = on', 'log_analyze = on');
my ($status, $rows, $plans) =
  $node->psql('postgres', "LOAD 'auto_explain'; $explain; SET client_min_messages = log; SELECT webhook.pending()");
is($rows, 10, 'W12: what is pending is counted');
like($plans, qr/webhook\.cursor.*Limit/s, 'W12: the plans within are shown');
unlike($plans, qr/JIT:/, 'W12: and are not compiled');

# What has been processed is passed for good, even if nothing follows it and a transaction is open that began before.
sql("BEGIN; SELECT webhook.emit('thing.few', '{}'); PREPARE TRANSACTION 'open'");
sql("SELECT count(webhook.emit('thing.few', '{}', n::text)) FROM generate_series(1, 99990) n");
sql('SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks()');
sql('ALTER SYSTEM SET webhook.dispatch = on');
$node->reload;
{
	# Not two thousand per second, and the position is saved at once, not with the next message.
	local $PostgreSQL::Test::Utils::timeout_default = $PostgreSQL::Test::Utils::timeout_default / 6;

	becomes('SELECT count(*) FROM webhook.outbox_unread()', 0, 'W12: all of it has been processed, at once because no webhook subscribes');
	becomes('SELECT through IS NULL FROM webhook.cursor ORDER BY seq DESC LIMIT 1', 't', 'W12: and is not looked at any more');
}
sql("ROLLBACK PREPARED 'open'");

$node->stop;
done_testing();
