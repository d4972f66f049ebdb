# Failovers of a pair of servers managed by Patroni and etcd, under load: a switchover, kill -9 of the primary with its
# Patroni, and an etcd that does not answer, so that the primary steps down.  In synchronous mode nothing that was acknowledged to a
# client is lost.
#
# Mission: R2, W1, W2, W3, W16; cases: C39.

use strict;
use warnings;

# A server that Patroni runs.
package Server;

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @ISA = ('PostgreSQL::Test::Cluster');
my $dir = PostgreSQL::Test::Utils::tempdir();
my ($bin) = grep { -x "$_/pg_ctl" } split(/:/, $ENV{PATH});
my $http = HTTP::Tiny->new(timeout => 5);

sub port_of_its_own
{
	return PostgreSQL::Test::Cluster::get_free_port();
}

sub run
{
	my ($name, @command) = @_;

	return IPC::Run::start(\@command, '<', '/dev/null', '>>', "$PostgreSQL::Test::Utils::log_path/$name.log", '2>&1');
}

# Wait until this is true.
sub wait_until
{
	my ($what, $condition) = @_;

	foreach (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if eval { $condition->() };
		usleep(50_000);
	}
	BAIL_OUT("not so in time: $what");
}

sub new
{
	my ($class, $name, $etcd_port) = @_;
	my $self = bless { _name => $name, _host => '127.0.0.1', _port => port_of_its_own(), rest => port_of_its_own() }, $class;
	my $patroni = {
		scope => 'pair',
		name => $name,
		etcd3 => { host => "127.0.0.1:$etcd_port" },
		restapi => { listen => "127.0.0.1:$self->{rest}", connect_address => "127.0.0.1:$self->{rest}" },
		bootstrap => {
			dcs => { ttl => 20, loop_wait => 1, retry_timeout => 3, synchronous_mode => JSON::PP::true, postgresql => { use_pg_rewind => JSON::PP::true } },
			initdb => [ { encoding => 'UTF8' }, { locale => 'C' } ] },
		postgresql => {
			listen => "127.0.0.1:$self->{_port}",
			connect_address => "127.0.0.1:$self->{_port}",
			bin_dir => $bin,
			data_dir => "$dir/$name",
			pgpass => "$dir/$name.pgpass",
			authentication => { superuser => { username => 'postgres' }, replication => { username => 'postgres' } },
			pg_hba => [ 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust' ],
			parameters => {
				unix_socket_directories => $dir,
				shared_preload_libraries => 'webhook',
				'webhook.allowed_networks' => '127.0.0.0/8',
				max_prepared_transactions => 10,
				logging_collector => 'off' } } };

	append_to_file("$dir/$name.yml", encode_json($patroni));
	return $self;
}

sub start
{
	my ($self) = @_;

	$self->{patroni} = run($self->name, 'patroni', "$dir/" . $self->name . '.yml');
	return;
}

# Kill Patroni and its PostgreSQL, which it could restart otherwise.
sub kill9
{
	my ($self) = @_;
	my ($postmaster) = slurp_file("$dir/" . $self->name . '/postmaster.pid') =~ /^(\d+)/;

	$self->{patroni}->signal('KILL');
	kill('KILL', $postmaster);
	eval { $self->{patroni}->finish };
	return;
}

sub stop
{
	my ($self) = @_;

	$self->{patroni}->signal('TERM');
	eval { $self->{patroni}->finish };
	return;
}

# Patroni reports this as soon as it has the lock in etcd, whether or not PostgreSQL has been promoted.
sub is_primary
{
	my ($self) = @_;

	return $http->get("http://127.0.0.1:$self->{rest}/primary")->{status} == 200
	  && $self->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f';
}

# Whether Patroni has recorded it as the synchronous standby, which may be promoted.
sub is_synchronous
{
	my ($self) = @_;

	return $http->get("http://127.0.0.1:$self->{rest}/synchronous")->{status} == 200;
}

sub switch_over
{
	my ($self, $other) = @_;
	my $response = $http->post("http://127.0.0.1:$self->{rest}/switchover",
		{ content => encode_json({ leader => $self->name, candidate => $other->name }) });

	$response->{success} or BAIL_OUT("no switchover: $response->{content}");
	return;
}

package main;

use HTTP::Tiny;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Ledger;
use WebhookTest;

my $receiver = WebhookTest::Receiver->start;
my ($client_port, $peer_port) = (Server::port_of_its_own(), Server::port_of_its_own());
my $etcd = Server::run('etcd', 'etcd', '--name', 'etcd', '--data-dir', PostgreSQL::Test::Utils::tempdir() . '/etcd',
	'--listen-client-urls', "http://127.0.0.1:$client_port", '--advertise-client-urls', "http://127.0.0.1:$client_port",
	'--listen-peer-urls', "http://127.0.0.1:$peer_port", '--initial-advertise-peer-urls', "http://127.0.0.1:$peer_port",
	'--initial-cluster', "etcd=http://127.0.0.1:$peer_port");
Server::wait_until('etcd', sub { HTTP::Tiny->new->get("http://127.0.0.1:$client_port/health")->{success} });

my ($primary, $standby) = map { Server->new($_, $client_port) } qw(one two);
$primary->start;
Server::wait_until('a primary', sub { $primary->is_primary });
$standby->start;
Server::wait_until('a synchronous standby', sub { $standby->is_synchronous });

$primary->safe_psql('postgres', 'CREATE EXTENSION webhook');
my $ledger = Ledger->new($primary, $receiver);
my @where = (host => '127.0.0.1,127.0.0.1', port => $primary->port . ',' . $standby->port);
my $acknowledged = PostgreSQL::Test::Utils::tempdir() . '/acknowledged';
my $statements = PostgreSQL::Test::Utils::tempdir() . '/statements';
append_to_file($statements, q{WITH c AS (UPDATE item SET n = n + 1, tag = gen_random_uuid() WHERE id = 1 + floor(20 * random()) RETURNING id, n, tag)
	INSERT INTO ledger SELECT id, n, tag FROM c RETURNING tag;
} x 50_000);

# Sessions on the primary, one of which records what the server has acknowledged.
my $writer;

sub start_load
{
	local $ENV{PGTARGETSESSIONATTRS} = 'read-write';

	$ledger->start_load(@where);
	$writer = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', 'host=127.0.0.1,127.0.0.1 port=' . $where[3] . ' dbname=postgres', '-f', $statements ],
		'>>', $acknowledged, '2>', '/dev/null');
	$ledger->wait_for_load(300);
	return;
}

sub stop_load
{
	my ($server) = @_;

	$writer->signal('TERM');
	eval { $writer->finish };
	$ledger->stop_load($server);
	return;
}

# After a failover that began at a given time: the load ends by itself; then everything is compared, and the old primary must be a standby.
sub check
{
	my ($title, $since) = @_;

	Server::wait_until("$title: the standby is the primary", sub { $standby->is_primary });
	note(sprintf('%s: a new primary after %.1f s', $title, time() - $since));
	($primary, $standby) = ($standby, $primary);
	stop_load($primary);
	start_load();
	note(sprintf('%s: load again after %.1f s', $title, time() - $since));
	stop_load($primary);
	$ledger->check($title, node => $primary, repeats => 1);
	my %committed = map { $_ => 1 } split(/\n/, $primary->safe_psql('postgres', 'SELECT tag FROM ledger'));
	my @acknowledged = split(/\n/, slurp_file($acknowledged));
	is_deeply([ grep { !$committed{$_} } @acknowledged ], [], "R2: $title: acknowledged changes are present, and have been sent");
	note("$title: " . @acknowledged . ' acknowledged');
	return;
}

sub follows
{
	my ($title) = @_;

	Server::wait_until("$title: the old primary follows", sub { $standby->is_synchronous });
	is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', "R2: $title: the old primary is a standby");
	is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'webhook worker'}), 0,
		"R2, W16: $title: which sends nothing");
	is($primary->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'webhook worker'}), 1,
		"R2, W16: $title: while the new primary does");
	return;
}

start_load();
my $since = time();
$primary->switch_over($standby);
check('switchover', $since);
follows('switchover');

start_load();
$since = time();
$primary->kill9;
check('kill -9', $since);
$standby->start;
follows('kill -9');

# Without etcd neither may be the primary; with it, either is.
start_load();
$since = time();
$etcd->signal('STOP');
Server::wait_until('the primary steps down', sub { $primary->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 't' });
note(sprintf('etcd stopped: no primary after %.1f s', time() - $since));
foreach my $server ($primary, $standby)
{
	is($server->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'webhook worker'}), 0,
		'R2, W16: without a primary nothing is sent by ' . $server->name);
}
$etcd->signal('CONT');
Server::wait_until('etcd is back: a primary', sub { $primary->is_primary || $standby->is_primary });
($primary, $standby) = ($standby, $primary) if $primary->is_primary;
check('etcd stopped', $since);
follows('etcd stopped');

$_->stop foreach $standby, $primary;
$etcd->signal('TERM');
eval { $etcd->finish };
$receiver->stop;
done_testing();
