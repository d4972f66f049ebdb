# Monitoring must be cheap.
#
# Mission: W12, C41.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes);

my $node = WebhookTest::start_node('cost', 'webhook.dispatch = off');

WebhookTest::create_webhook($node, app => "'few'", event => "'thing.few'", url => "'http://127.0.0.1:9/'");
sql("SELECT count(webhook.emit('thing.few', '{}', n::text)) FROM generate_series(1, 10) n");

# Queries that read a part of the outbox have plans with high estimated costs, but are not worth JIT compilation.
my $explain = join('; ', map { "SET auto_explain.$_" } 'log_min_duration = 0', 'log_nested_statements = on', 'log_analyze = on');
my ($status, $rows, $plans) =
  $node->psql('postgres', "LOAD 'auto_explain'; $explain; SET client_min_messages = log; SELECT webhook.pending()");
is($rows, 10, 'W12: pending messages are counted');
like($plans, qr/outbox_backlog/, 'W12: nested plans are shown');
unlike($plans, qr/JIT:/, 'W12: and use no JIT');

# A few messages are counted exactly.
is(sql('SELECT webhook.pending_estimate(), pending, estimated FROM webhook.stat_webhooks'), '10|10|f', 'C41: ten are exactly ten');
is(sql('SELECT oldest = (SELECT min(created_at) FROM webhook.outbox) FROM webhook.backlog_estimate()'), 't', 'C41: the oldest is found');
is(sql(q{SELECT webhook.oldest_pending_age() BETWEEN '0' AND clock_timestamp() - min(created_at) FROM webhook.outbox}), 't', 'C41: and its age is returned');

# Many are sampled.  Nine tenths are for one webhook alone, and rows of one message are mixed with runs of many.
my $many = WebhookTest::create_webhook($node, app => "'many'", event => "'thing.many,thing.more'", url => "'http://127.0.0.1:9/'");
my $some = WebhookTest::create_webhook($node, app => "'some'", event => "'thing.many'", url => "'http://127.0.0.1:9/'", event_uids => "'rare'");
sql(q{SELECT count(webhook.emit('thing.many', '{}', n::text, CASE WHEN n % 10 = 0 THEN 'rare' ELSE 'common' END)) FROM generate_series(1, 30000) n});
sql(q{SELECT count(webhook.emit(CASE WHEN n % 2 = 0 THEN 'thing.many' ELSE 'thing.more' END, '{}', n::text, 'common')) FROM generate_series(1, 60000) n});
sql(q{SELECT count(webhook.emit('thing.many', '{}', n::text, 'rare')) FROM generate_series(1, 7000) n});
my %exact = map { $_ => sql("SELECT webhook.pending($_)") } $many, $some;
is("$exact{$many} $exact{$some}", '97000 10000', 'W12: pending() counts all of them');
is(sql("SELECT count(*) FROM webhook.outbox_unread() WHERE $many = ANY (webhook_ids)"), 97000, 'W12: and outbox_unread() returns all of them');
foreach my $id ($many, $some)
{
	my ($estimate, $estimated) = split /\|/, sql("SELECT pending, estimated FROM webhook.stat_webhooks WHERE webhook_id = $id");

	is($estimated, 't', 'C41: many are estimated, and the view says so');
	cmp_ok($estimate, '>', $exact{$id} / 2, 'C41: the estimate is not far below');
	cmp_ok($estimate, '<', $exact{$id} * 2, 'C41: nor is it far above');
	is(sql("SELECT webhook.pending_estimate($id)"), $estimate, 'C41: pending_estimate() returns the same');
}
is(sql(qq{SELECT oldest = (SELECT min(created_at) FROM webhook.outbox WHERE $many = ANY (webhook_ids)) FROM webhook.backlog_estimate() WHERE webhook_id = $many}), 't',
	'C41: the oldest is found among many');

# Rows of the outbox that a statement reads.
sub rows_read
{
	my ($statement) = @_;

	return (split /\n/, sql("BEGIN; $statement; SELECT sum(pg_stat_get_xact_tuples_returned(relid)) FROM pg_stat_user_tables"
			  . q{ WHERE relname LIKE 'outbox__'; COMMIT}))[-1];
}

my $all = rows_read('SELECT webhook.pending()');
cmp_ok($all, '>', 30000, 'W12: counting reads all rows');
foreach my $look ('SELECT webhook.pending_estimate()', 'SELECT webhook.oldest_pending_age()', 'SELECT count(*) FROM webhook.stat_webhooks',
	'SELECT count(*) FROM webhook.get_webhooks()', 'SELECT count(*) FROM (SELECT * FROM webhook.undelivered LIMIT 100) AS u')
{
	cmp_ok(rows_read($look), '<', $all / 2, "C41: less than half of them are read by $look");
}
is(sql('SELECT count(*) FROM (SELECT * FROM webhook.undelivered LIMIT 300) AS u'), 300, 'C41: undelivered with LIMIT returns that many');
is(sql("SELECT count(*), count(DISTINCT message_id) FROM webhook.undelivered WHERE webhook_id = $many"), '97000|97000', 'C41: and without LIMIT all');

# No lock is held that would keep the worker from truncating a table.
is(sql(q{BEGIN; SELECT webhook.pending() > 0; SELECT count(*) > 0 FROM webhook.undelivered; SELECT count(*) > 0 FROM webhook.stat_webhooks;
		SELECT count(*) FROM pg_locks WHERE relation::regclass::text ~ '^webhook\.outbox_\d'; COMMIT}), "t\nt\nt\n0", 'C41: nothing is locked');

# A role counts its own messages.
sql('CREATE ROLE stranger; GRANT USAGE ON SCHEMA webhook TO stranger');
sql('GRANT EXECUTE ON FUNCTION webhook.pending_estimate, webhook.oldest_pending_age TO stranger');
is(sql("SET ROLE stranger; SELECT webhook.pending_estimate(), webhook.pending_estimate($many), webhook.oldest_pending_age() IS NULL"),
	'0|0|t', 'C41: other roles have nothing pending');
sql('GRANT SELECT ON webhook.stat_webhooks TO stranger; GRANT EXECUTE ON FUNCTION webhook.backlog_estimate TO stranger');
is(sql("SET ROLE stranger; SELECT pending = webhook.pending_estimate($many) FROM webhook.stat_webhooks WHERE webhook_id = $many"), 't',
	'C41: a monitor sees all');

# In the middle of a window the beginning of the outbox has been processed.  A sample of all of it would miss what is left.
foreach my $left (40000, 6000)
{
	sql(qq{INSERT INTO webhook.cursor (seq, system_identifier, database, written_by, done, through, through_id)
			SELECT seq + 1, system_identifier, database, pg_current_xact_id(), done, pg_current_snapshot(),
				(SELECT max(id) - $left FROM webhook.outbox) FROM webhook.cursor ORDER BY seq DESC LIMIT 1});
	is(sql("SELECT webhook.pending($many)"), $left, 'W12: what precedes the position is not counted');
	cmp_ok(sql("SELECT webhook.pending_estimate($many)"), '>', $left / 2, 'C41: the estimate of the rest is not far below');
	cmp_ok(sql("SELECT webhook.pending_estimate($many)"), '<', $left * 2, 'C41: nor is the estimate of the rest far above');
	is(sql(qq{SELECT oldest = (SELECT min(created_at) FROM webhook.outbox_unread()) FROM webhook.outbox_backlog(false) WHERE webhook_id = $many}), 't',
		'C41: and the oldest of it is found');
}

# The same with the buffer of a webhook, next to a webhook with few messages.
sql("SELECT webhook.deactivate_webhook($many, true)");
sql(qq{INSERT INTO webhook.delivery (webhook_id, id, message_id, event, created_at, order_key, attempts, state)
		SELECT CASE WHEN i % 1000 = 0 THEN $some ELSE $many END, -i, gen_random_uuid(), 'thing.many', now(), 0, 0, 'waiting' FROM generate_series(1, 100000) i});
cmp_ok(sql("SELECT buffered FROM webhook.stat_webhooks WHERE webhook_id = $many"), '>', 105900 / 2, 'C41: a large buffer is estimated');
cmp_ok(sql("SELECT buffered FROM webhook.stat_webhooks WHERE webhook_id = $many"), '<', 105900 * 2, 'C41: within a factor of two');
is(sql("SELECT webhook.pending_estimate($some)"), 6100, 'C41: a small one next to it is counted');
is(sql("SELECT webhook.pending($some)"), 6100, 'W12: pending() counts exactly');
is(sql("SELECT webhook.activate_webhook($many, true)"), 105900, 'W12: what is replayed is counted, too');
sql("DELETE FROM webhook.delivery; SELECT webhook.delete_webhook_by_id($many), webhook.delete_webhook_by_id($some)");

# Processed messages are not read again, even if none follows them and an older transaction is still open.
sql("BEGIN; SELECT webhook.emit('thing.few', '{}'); PREPARE TRANSACTION 'open'");
sql("SELECT count(webhook.emit('thing.few', '{}', n::text)) FROM generate_series(1, 99990) n");
sql('SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks()');
sql('ALTER SYSTEM SET webhook.dispatch = on');
$node->reload;
{
	# Not two thousand per second, and the position is saved at once, not with the next message.
	local $PostgreSQL::Test::Utils::timeout_default = $PostgreSQL::Test::Utils::timeout_default / 6;

	becomes('SELECT count(*) FROM webhook.outbox_unread()', 0, 'W12: all of it has been processed, at once because no webhook subscribes');
	becomes('SELECT through IS NULL FROM webhook.cursor ORDER BY seq DESC LIMIT 1', 't', 'W12: and is not read any more');
}
sql("ROLLBACK PREPARED 'open'");

$node->stop;
done_testing();
