# The worker's memory depends neither on the size of waiting messages nor on the number of webhooks.
#
# Goals: P9; mission: W13.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest qw(sql becomes);

use constant LIMIT => 64 * 1024;	# kilobytes above idle

my $node = WebhookTest::start_node('large', 'fsync = off');
my $receiver = WebhookTest::Receiver->start;

plan skip_all => 'memory is read from /proc' unless defined WebhookTest::worker_memory();

my $idle = WebhookTest::worker_memory();

# The maximum of the worker's memory above idle until a query returns true.
sub peak_until
{
	my ($query) = @_;
	my $peak = 0;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $memory = WebhookTest::worker_memory() - $idle;

		$peak = $memory if $memory > $peak;
		return $peak if sql($query) eq 't';
		usleep(50_000);
	}
	return undef;
}

# A buffer of large messages is replayed.

my $large = WebhookTest::create_webhook($node,
	app => "'large'", event => "'large.done'", url => "'" . $receiver->url('/large') . "'", max_in_flight => 4);
sql("SELECT webhook.deactivate_webhook($large, true)");
sql(q{SELECT webhook.emit('large.done', jsonb_build_object('n', i, 'text', repeat('x', 1000000))) FROM generate_series(1, 120) AS i});
becomes("SELECT count(*) FROM webhook.delivery WHERE webhook_id = $large", '120', '120 messages of a megabyte are buffered');
sql("SELECT webhook.activate_webhook($large, replay_events => true)");
my $peak = peak_until('SELECT webhook.pending() = 0');
cmp_ok($peak // LIMIT, '<', LIMIT, 'P9: the buffer is not read into memory as a whole');
is($receiver->count('/large'), 120, 'W11: all of them have arrived');

# Messages for a thousand webhooks.

sql("ALTER SYSTEM SET webhook.dispatch = off");
$node->reload;
sql(q{SELECT webhook.create_webhook('fan', 'fan.out', '}, $receiver->url('/fan'), q{') FROM generate_series(1, 1000)});
sql(q{SELECT webhook.emit('fan.out', '{}') FROM generate_series(1, 400)});
sql("ALTER SYSTEM SET webhook.dispatch = on");
$node->reload;
$peak = peak_until('SELECT sum(in_flight) > 0 FROM webhook.stat_workers');
cmp_ok($peak // LIMIT, '<', LIMIT, 'P9: messages are read only if there is room for their deliveries');

# Messages whose payload the worker must parse, as the webhook's owner may see some columns only.

sql("ALTER SYSTEM SET webhook.dispatch = off");
$node->reload;
sql(q{CREATE ROLE reader; CREATE TABLE deep (id integer PRIMARY KEY, body json, pin text);
	SELECT webhook.watch('deep', 'deep', exclude => '{pin}'); GRANT SELECT (id, body) ON deep TO reader});
sql(q{SELECT webhook.update_webhook(webhook.create_webhook('deep', 'deep.*', '}, $receiver->url('/deep'),
	q{'), '{"owner": "reader"}') FROM generate_series(1, 5)});
sql(q{INSERT INTO deep SELECT i, (repeat('[', 5000) || repeat(']', 5000))::json FROM generate_series(1, 100) AS i});
sql("ALTER SYSTEM SET webhook.dispatch = on");
$node->reload;
$peak = peak_until('SELECT webhook.pending() = 0');
cmp_ok($peak // LIMIT, '<', LIMIT, 'P9, W14: parsed payloads are not kept');
is($receiver->count('/deep'), 500, 'W14: all of them have arrived');

# A message that is too large to be sent is an error in the transaction that writes it.

sub refused
{
	my ($statement, $test_name) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $statement, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	like($err, qr/ERROR:  54000: payload of message .* is too large.*HINT: .*exclude/s, $test_name);
	return;
}

$receiver->reset;
sql("ALTER SYSTEM SET webhook.max_payload_size = '1MB'");
$node->reload;
becomes('SHOW webhook.max_payload_size', '1MB', 'the limit is a megabyte');
my $of_size = q[jsonb_build_object('t', repeat('x', %d))];
refused("SELECT webhook.emit('large.done', " . sprintf($of_size, 1024 * 1024) . ')', 'R6: emit() refuses a payload that is too large');
refused("INSERT INTO deep VALUES (1000, '{}'), (1001, " . sprintf($of_size, 1024 * 1024) . ')', 'R6: so does capture of a watched table');
is(sql('SELECT count(*) FROM deep WHERE id >= 1000'), 0, 'W1: the statement stores nothing');
sql("SELECT webhook.emit('large.done', " . sprintf($of_size, 1024 * 1024 - 100) . ')');
WebhookTest::wait_until_delivered($node);
is($receiver->count('/large'), 1, 'R6: a slightly smaller one is sent');

$receiver->stop;
$node->stop('immediate');
done_testing();
