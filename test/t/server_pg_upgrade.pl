# pg_upgrade: the servers that it starts send nothing; the upgraded one serves its databases.
#
# Mission: R2, W2, W16.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest;

# Both servers are of the same release; what is tested does not depend on it.
my $old = WebhookTest::start_node('old', 'log_min_messages = debug1');
my $new = WebhookTest::new_node('new', 'log_min_messages = debug1');

my $served = q{SELECT string_agg(database || ' ' || state, ',' ORDER BY database) FROM webhook.stat_workers};

$old->safe_psql('postgres', 'CREATE DATABASE one TEMPLATE postgres');
ok($old->poll_query_until('postgres', $served, 'one served,postgres served'), 'the old server serves both databases');

# Some messages delivered, some pending.
my $receiver = WebhookTest::Receiver->start;
WebhookTest::create_webhook(
	$old, app => "'a'", event => "'e'", format => "'rest'", url => "'" . $receiver->url('/a') . "'");

sub emit
{
	my ($node, @numbers) = @_;

	return map { $node->safe_psql('postgres', qq{SELECT webhook.emit('e', '{"id":$_}', entity_id => 'x')}) } @numbers;
}

my @ids = emit($old, 1 .. 3);
WebhookTest::wait_until_delivered($old);
$old->append_conf('postgresql.conf', 'webhook.dispatch = off');
$old->reload;
$old->poll_query_until('postgres',
	q{SELECT activity FROM webhook.stat_workers WHERE database = 'postgres'}, 'paused')
  or BAIL_OUT('the worker does not pause');
push @ids, emit($old, 4 .. 6);
$old->stop;

my ($bindir) = grep { -x "$_/pg_upgrade" } split(/:/, $ENV{PATH});

# pg_upgrade leaves files in the current directory.
chdir $PostgreSQL::Test::Utils::tmp_check or die "could not change directory: $!";
command_ok(
	[
		'pg_upgrade', '--retain',
		'-b' => $bindir, '-B' => $bindir,
		'-d' => $old->data_dir, '-D' => $new->data_dir,
		'-s' => $new->host,
		'-p' => $old->port, '-P' => $new->port
	],
	'pg_upgrade runs');

# The log of the servers that it has started, old and new.
my ($log) = glob($new->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_server.log');
$log = slurp_file($log // 'pg_upgrade_server.log');
like($log, qr/database system is ready to accept connections/, 'the servers of pg_upgrade have left a log');
unlike($log, qr/starting background worker process "webhook/, 'W16: they start no worker');

$new->start;
ok($new->poll_query_until('postgres', $served, 'one served,postgres served'),
	'W16: the upgraded server serves both databases');
push @ids, emit($new, 7);
WebhookTest::wait_until_delivered($new);
is_deeply([ map { $_->{headers}{'webhook-id'} } $receiver->requests('/a') ],
	\@ids, 'R2, W2, W16: and sends what was pending, then what is new, without adopt()');
$new->stop;

done_testing();
