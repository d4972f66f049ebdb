# pgbouncer in transaction mode: transactions of many clients share a few sessions, and a client inherits the settings of another.
#
# Mission: W1, W2, W3; cases: C13.

use strict;
use warnings;

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Ledger;
use Time::HiRes qw(usleep);
use WebhookTest qw(sql becomes);

my $receiver = WebhookTest::Receiver->start;
my $node = WebhookTest::start_node('pgbouncer', 'log_statement = none');
my $ledger = Ledger->new($node, $receiver);
my $dir = PostgreSQL::Test::Utils::tempdir();
my $port = PostgreSQL::Test::Cluster::get_free_port();

append_to_file("$dir/pgbouncer.ini", join("\n", '[databases]',
	'postgres = host=' . $node->host . ' port=' . $node->port . ' user=postgres pool_size=3',
	'one = host=' . $node->host . ' port=' . $node->port . ' user=postgres dbname=postgres pool_size=1',
	'[pgbouncer]', "listen_port = $port", 'listen_addr =', "unix_socket_dir = $dir", 'auth_type = any', 'pool_mode = transaction',
	'ignore_startup_parameters = extra_float_digits', "logfile = $dir/pgbouncer.log", ''));
my $pgbouncer = IPC::Run::start([ 'pgbouncer', '-q', "$dir/pgbouncer.ini" ], '>', "$dir/output", '2>&1');
foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if -S "$dir/.s.PGSQL.$port" || !$pgbouncer->pumpable;
	usleep(100_000);
}

# Run one statement, as a separate client.
sub through
{
	my ($statement) = @_;
	my ($out, $err);

	IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', "host=$dir port=$port dbname=one", '-c', $statement ], '>', \$out, '2>', \$err)
	  or BAIL_OUT("$statement: $err");
	chomp($out);
	return $out;
}

# Load with each protocol, more clients than sessions

foreach my $protocol (qw(simple extended))
{
	$ledger->start_load(host => $dir, port => $port, arguments => [ '-c', 8, '-M', $protocol ]);
	$ledger->wait_for_load(500);
	is(sql(q{SELECT count(*) <= 3 FROM pg_stat_activity WHERE application_name = 'ledger' OR (backend_type = 'client backend' AND query ~ 'ledger' AND pid <> pg_backend_pid())}),
		't', "W2: the clients share sessions: $protocol");
	$ledger->stop_load;
	$ledger->check("pgbouncer: $protocol");
}

# One session for all: a client's settings apply to the next one

sql(q{
	CREATE TABLE thing (id serial PRIMARY KEY, at timestamptz, how_long interval, ratio float8, bytes bytea);
	SELECT webhook.watch('thing', 'thing')});
WebhookTest::create_webhook($node, app => q{'a'}, event => q{'thing.*'}, url => "'" . $receiver->url('/thing') . "'");
my $insert = q{INSERT INTO public.thing (at, how_long, ratio, bytes) VALUES (timestamptz '2026-01-02 03:04:05+00', '1 day', 0.1::float8 + 0.2, '\x00ff')};
my $session = through('SELECT pg_backend_pid()');
my $expected = q("at":"2026-01-02T03:04:05+00:00","how_long":"1 day","ratio":0.30000000000000004,"bytes":"\\\\x00ff"});
my $n = 0;

sub arrives
{
	my ($name) = @_;

	$n++;
	$receiver->wait_for_count($n, '/thing');
	my $body = ($receiver->bodies('/thing'))[ $n - 1 ] // 'nothing';
	like($body, qr/"result":\{"id":$n,\Q$expected\E/, "C13: the payload is the same after another client's $name");
	return;
}

through($insert);
arrives('nothing');
foreach my $setting (q{DateStyle = 'German'}, q{TimeZone = 'Asia/Kathmandu'}, q{IntervalStyle = 'iso_8601'}, 'extra_float_digits = 0',
	q{bytea_output = 'escape'}, q{search_path = ''}, q{client_encoding = 'LATIN1'}, 'row_security = off', 'transform_null_equals = on',
	'synchronous_commit = off', 'default_transaction_isolation = serializable')
{
	through("SET $setting");
	through($insert);
	arrives("SET $setting");
}
is(through('SHOW IntervalStyle'), 'iso_8601', 'C13: the settings have in fact been inherited');
is(through('SELECT pg_backend_pid()'), $session, 'C13: in one session');

# What is prepared by one client is executed by another, before and after the webhooks change

through(qq{PREPARE p AS $insert});
through('EXECUTE p') foreach 1 .. 6;
arrives('PREPARE') foreach 1 .. 6;
sql(q{SELECT webhook.update_webhook(id, '{"format": "rest"}') FROM webhook.get_webhooks('a')});
through('EXECUTE p');
$n++;
$receiver->wait_for_count($n, '/thing');
is(($receiver->bodies('/thing'))[-1], qq({"id":$n,$expected), 'W2: a prepared statement sends messages after the webhook has changed');

# A transaction that fails, one left open by a client that disconnects, a temporary table of the same name

my ($out, $err);
IPC::Run::run([ 'psql', '-XAtq', '-d', "host=$dir port=$port dbname=one" ], '<', \"BEGIN;\n$insert;\nSELECT 1/0;\n", '>', \$out, '2>', \$err);
IPC::Run::run([ 'psql', '-XAtq', '-d', "host=$dir port=$port dbname=one" ], '<', \"BEGIN;\n$insert;\n", '>', \$out, '2>', \$err);
is(through(q{SELECT webhook.emit('thing.last', '{}')}) =~ /^[0-9a-f-]{36}$/, 1, 'W1: emit() works through the pool');
$receiver->wait_for_count($n + 1, '/thing');
WebhookTest::wait_until_delivered($node);
is($receiver->count('/thing'), $n + 1, 'W1: what clients leave behind is rolled back, and nothing of it is sent');

# The one setting that stops capture, according to the README, is inherited as well

through('SET session_replication_role = replica');
through($insert);
through('RESET session_replication_role');
through($insert);
WebhookTest::wait_until_delivered($node);
is($receiver->count('/thing'), $n + 2, 'W2: session_replication_role of another client is the one setting that matters');

$pgbouncer->signal('TERM');
eval { $pgbouncer->finish };
$node->stop;
$receiver->stop;
done_testing();
