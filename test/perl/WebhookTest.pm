# Helpers for the TAP tests: a server with the extension, and a receiver that keeps a ledger.
#
#   use WebhookTest qw(sql emit becomes);
#
#   my $node = WebhookTest::start_node('main', 'webhook.timeout = 2s');
#   my $receiver = WebhookTest::Receiver->start;
#   my $id = $receiver->webhook('/a', ordering => "'none'");
#   emit(1);
#   $receiver->arrives('/a', 1, 'W1: it arrives');
#   becomes("SELECT delivered FROM webhook.stat_webhooks WHERE webhook_id = $id", 1, 'M5: it is counted');
#
# The functions that can be imported, and webhook(), use the server that start_node() started last.
#
# Nothing here sleeps for a fixed time: events are polled for, or the receiver waits for them.

package WebhookTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT_OK = qw($clock sql emit emit_many becomes let_pass worker_pid kill_worker worker_memory end_test);

# The server that start_node() started last, and by how many seconds its clock is ahead.
my $the_node;
our $clock;

# Lets the worker connect to the receivers of the tests, all of which are on this machine.
our $loopback = "webhook.allowed_networks = '127.0.0.0/8, ::1/128'\n";

# Create a server with the library preloaded, but do not start it.  Further lines for postgresql.conf can follow.
sub new_node
{
	my ($name, @conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => 1, extra => [ '-E', 'UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = 'webhook'\nmax_prepared_transactions = 10\n$loopback");
	$node->append_conf('postgresql.conf', "$_\n") foreach @conf;
	return $node;
}

# Create and start a server with the extension in database postgres.
sub start_node
{
	my $node = new_node(@_);

	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION webhook');
	$the_node = $node;
	$clock = 0;
	return $node;
}

# Run a statement, given in one or more pieces, in database postgres, and return its result.
sub sql
{
	return $the_node->safe_psql('postgres', join('', @_));
}

# Emit a message "thing.done" with a number, for an entity or none, and return its id.
sub emit
{
	my ($n, $entity) = @_;
	$entity = defined $entity ? "'$entity'" : 'NULL';

	return sql("SELECT webhook.emit('thing.done', '{\"n\": $n}', $entity)");
}

# Emit messages with these numbers, for ten entities in turn.
sub emit_many
{
	my ($from, $to) = @_;

	sql("SELECT count(webhook.emit('thing.done', jsonb_build_object('n', n), (n % 10)::text)) FROM generate_series($from, $to) n");
	return;
}

# Expect a query to return this result within the timeout.
sub becomes
{
	my ($query, $expected, $test_name) = @_;

	ok($the_node->poll_query_until('postgres', $query, $expected), $test_name)
	  or diag('it is: ' . sql($query));
	return;
}

# Set the server's clock forward by this many seconds.
sub let_pass
{
	my ($seconds) = @_;

	$clock += $seconds;
	sql("ALTER SYSTEM SET webhook.clock_offset = '${clock}s'");
	$the_node->reload;
	return;
}

sub worker_pid
{
	return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'webhook worker' AND datname = current_database()");
}

# kill -9, after which the server restarts all its processes.
sub kill_worker
{
	my $pid = worker_pid();

	kill('KILL', $pid);
	$the_node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'webhook worker' AND pid <> $pid")
	  or BAIL_OUT('there is no new worker');
	return;
}

# Start a server that was killed, when what it left has ended.
sub start_again
{
	my ($node) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $node->start(fail_ok => 1);
		$node->{_pid} = undef;
		usleep(100_000);
	}
	BAIL_OUT('the server cannot be started again');
}

# Start sessions that run a script of pgbench until they are killed: ->kill_kill.  They have ended when no session has
# the application_name "pgbench" any more.
sub start_load
{
	my ($node, $script) = @_;
	my @output = ('', '');
	local $ENV{PGAPPNAME} = 'pgbench';

	return IPC::Run::start([ 'pgbench', '-n', '-c', 2, '-R', 30, '-T', 600, '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \$output[0], '2>', \$output[1]);
}

# Return the worker's private memory in kilobytes; undef where that is not known.
sub worker_memory
{
	my $status = '/proc/' . worker_pid() . '/status';

	return -e $status && PostgreSQL::Test::Utils::slurp_file($status) =~ /^RssAnon:\s+(\d+)/m ? $1 : undef;
}

# Delete all webhooks and, if a receiver is passed, forget what it has received.
sub end_test
{
	my ($receiver) = @_;

	sql('SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks()');
	$receiver->reset if $receiver;
	return;
}

# Wait until everything committed has been delivered, has failed permanently or is buffered.
sub wait_until_delivered
{
	my ($node, $database) = @_;

	$node->poll_query_until($database // 'postgres', 'SELECT webhook.pending() = 0')
	  or BAIL_OUT('messages are still pending');
	return;
}

# A session in database postgres that stays open.  Its time limit applies to all that it does, from the first query to the
# last, so it is a multiple of the usual timeout.
sub session
{
	my ($node, %options) = @_;

	return $node->background_psql('postgres', timeout => 10 * $PostgreSQL::Test::Utils::timeout_default, %options);
}

# Create a webhook and return its id; the named arguments are SQL expressions.
sub create_webhook
{
	my ($node, %arguments) = @_;
	my $list = join(', ', map { "$_ => $arguments{$_}" } sort keys %arguments);

	return $node->safe_psql('postgres', "SELECT webhook.create_webhook($list)");
}

# Return the maximum number of these requests that arrived within one second.
sub most_in_a_second
{
	my @times = sort { $a <=> $b } map { $_->{time} } @_;
	my ($most, $first) = (0, 0);

	foreach my $last (0 .. $#times)
	{
		$first++ while $times[$last] - $times[$first] >= 1;
		$most = $last - $first + 1 if $last - $first + 1 > $most;
	}
	return $most;
}

# Expect a statement to fail with this SQLSTATE, and a message or detail that matches.
sub fails_with
{
	my ($node, $sql, $sqlstate, $message, $test_name) = @_;
	my ($status, $stdout, $stderr) =
	  $node->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	like($stderr, qr/ERROR:  $sqlstate: .*(?:\nDETAIL:  .*)?$message/, $test_name);
	return;
}

# Create a key and a certificate in a directory; test/certificate describes the arguments.
sub make_certificate
{
	my ($dir, @arguments) = @_;
	my $program = dirname(dirname(abs_path(__FILE__))) . '/certificate';

	system("cd '$dir' && sh '$program' " . join(' ', map { "'$_'" } @arguments) . ' >certificate.log 2>&1') == 0
	  or BAIL_OUT("no certificate $arguments[0]: " . slurp_file("$dir/certificate.log"));
	return;
}


package WebhookTest::Receiver;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $program = dirname(dirname(abs_path(__FILE__))) . '/receiver.py';

# Start a receiver.  Options: port (to come back on the port of one that was stopped), host, tls => [certificate, key],
# client_ca, http2 (see can_http2), max_streams.
sub start
{
	my ($class, %options) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $self = bless {
		host => $options{host} // '127.0.0.1',
		scheme => $options{tls} ? 'https' : 'http',
		ledger => "$dir/ledger",
		http => HTTP::Tiny->new(timeout => $PostgreSQL::Test::Utils::timeout_default)
	}, $class;

	my @command = (
		$options{http2} ? can_http2() : 'python3',
		$program, '--until-eof', '--ledger', $self->{ledger},
		'--port-file', "$dir/port", '--host', $self->{host}, '--port', $options{port} // 0);
	push @command, '--tls', @{ $options{tls} }, '--control-port-file', "$dir/control" if $options{tls};
	push @command, '--client-ca', $options{client_ca} if $options{client_ca};
	push @command, '--http2' if $options{http2};
	push @command, '--max-streams', $options{max_streams} if $options{max_streams};

	# The receiver ends when this pipe is closed, however this test ends.
	my $pid = open($self->{pipe}, '|-', @command) or die "could not start $program: $!";
	$self->{pid} = $pid;

	foreach (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if -e "$dir/port";
		kill(0, $pid) or last;
		usleep(10_000);
	}
	-e "$dir/port" or die "$program did not start";
	chomp($self->{port} = PostgreSQL::Test::Utils::slurp_file("$dir/port"));
	chomp(my $control = PostgreSQL::Test::Utils::slurp_file($options{tls} ? "$dir/control" : "$dir/port"));
	$self->{control} = $options{tls} ? "http://127.0.0.1:$control" : $self->url('');
	return $self;
}

# Return a Python with the module that HTTP/2 needs, or undef if there is none.
sub can_http2
{
	foreach my $python ('python3', '/usr/bin/python3')
	{
		return $python if system("$python -c 'import h2' >/dev/null 2>&1") == 0;
	}
	return undef;
}

sub stop
{
	my ($self) = @_;

	close(delete $self->{pipe}) if $self->{pipe};
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!);

	$self->stop;
	return;
}

sub port { return $_[0]->{port}; }

sub pid { return $_[0]->{pid}; }

sub url
{
	my ($self, $path) = @_;
	my $host = $self->{host} =~ /:/ ? "[$self->{host}]" : $self->{host};

	return "$self->{scheme}://$host:$self->{port}" . ($path // '/');
}

# Return all requests so far, or those for one path, as hashes; receiver.py describes them.  The body is in
# bytes, as received.
sub requests
{
	my ($self, $path) = @_;
	my $json = JSON::PP->new->allow_nonref;
	my @requests =
	  map { $json->decode($_) } split(/\n/, PostgreSQL::Test::Utils::slurp_file($self->{ledger}));

	foreach my $request (@requests)
	{
		if (defined $request->{body})
		{
			utf8::encode($request->{body});
		}
		else
		{
			$request->{body} = decode_base64($request->{body_base64});
		}
	}
	return grep { !defined $path || $_->{path} eq $path } @requests;
}

# Return the bodies alone.
sub bodies
{
	my ($self, $path) = @_;

	return map { $_->{body} } $self->requests($path);
}

# Create a webhook with this path, of app "app" and for "thing.done" unless the arguments, which are SQL expressions, say
# otherwise, and return its id.
sub webhook
{
	my ($self, $path, %more) = @_;

	return WebhookTest::create_webhook($the_node,
		app => "'app'", event => "'thing.done'", url => "'" . $self->url($path) . "'", %more);
}

# Return the numbers in the messages that have arrived for a path, see emit(); without handshakes.
sub numbers
{
	my ($self, $path) = @_;

	return map { decode_json($_->{body})->{result}{n} } grep { $_->{method} ne 'OPTIONS' } $self->requests($path);
}

# Return what a receiver has that keeps a copy of rows with a column n by entity id: "type id n" a line, sorted.
sub copy
{
	my ($self, $path) = @_;
	my (%seen, %copy);

	foreach my $request ($self->requests($path))
	{
		next if $seen{ $request->{headers}{'webhook-id'} . ($request->{headers}{'webhook-replay'} // '') }++;
		my $message = decode_json($request->{body});
		my $id = "$message->{entity_type} $message->{entity_id}";

		if ($message->{action_type} eq 'delete')
		{
			delete $copy{$id};
		}
		else
		{
			$copy{$id} = $message->{result}{n};
		}
	}
	return join("\n", map { "$_ $copy{$_}" } sort keys %copy);
}

# Return the requests for a path since the last call.
sub new_requests
{
	my ($self, $path) = @_;
	my @requests = $self->requests($path);
	my @new = splice(@requests, $self->{taken}{$path} // 0);

	$self->{taken}{$path} += @new;
	return @new;
}

# Expect this many requests for a path within the timeout.
sub arrives
{
	my ($self, $path, $count, $test_name) = @_;

	ok($self->wait_for_count($count, $path), $test_name);
	return;
}

# Return the number of requests (for a path).
sub count
{
	my ($self, $path) = @_;

	return 0 + $self->_control('GET', '/_count' . (defined $path ? "?path=$path" : ''))->{content};
}

# Wait until there are this many requests (for a path); false if they do not arrive in time.
sub wait_for_count
{
	my ($self, $count, $path) = @_;
	my $seconds = $PostgreSQL::Test::Utils::timeout_default / 2;
	my $query = "/_wait?count=$count&timeout=" . int($seconds * 1000);

	$query .= "&path=$path" if defined $path;
	return $self->_control('GET', $query)->{status} == 200;
}

# Wait until this function of the list of requests returns true; false if it does not in time.
sub wait_for
{
	my ($self, $condition) = @_;

	foreach (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $condition->($self->requests);
		usleep(50_000);
	}
	return 0;
}

# Set how a path behaves from now on, e.g. behave('/a', status => 503); behave('/a') resets it.
sub behave
{
	my ($self, $path, %behaviour) = @_;
	my $response = $self->_control('POST', '/_behave', encode_json({ path => $path, %behaviour }));

	$response->{success} or die "receiver: $response->{content}";
	return;
}

# Forget all requests and all behaviour.
sub reset
{
	my ($self) = @_;

	$self->_control('POST', '/_reset')->{success} or die 'receiver could not be reset';
	delete $self->{taken};
	return;
}

sub _control
{
	my ($self, $method, $path, $content) = @_;

	return $self->{http}->request($method, "$self->{control}$path", { content => $content // '' });
}

1;
