# A throw-away PostgreSQL server with the extension, and SQL in it.

package Bench::Cluster;

use strict;
use warnings;

use Bench::Nginx;
use IO::Handle;
use Time::HiRes qw(sleep time);

my $count = 0;

# fsync stays on and sizes stay as initdb leaves them: a commit must cost what it costs.
sub new
{
	my ($class, %settings) = @_;
	my $dir = "$ENV{BENCH_SCRATCH}/pg" . ++$count;
	my $port = Bench::Nginx::free_port();
	my $self = bless { dir => $dir, port => $port, database => 'bench', pid => $$ }, $class;

	%settings = (
		shared_preload_libraries  => join(',', 'webhook', pg_net() ? 'pg_net' : ()),
		'webhook.allowed_networks' => '127.0.0.0/8',
		'webhook.dispatch'         => 'off',
		# checkpoints and new WAL files are not the question, and would hit one side only
		max_wal_size       => '4GB',
		min_wal_size       => '2GB',
		checkpoint_timeout => '1h',
		autovacuum_naptime => '5s',
		%settings);
	_run('initdb', '--no-sync', '-A', 'trust', '-U', 'postgres', '-D', $dir);
	open my $conf, '>>', "$dir/postgresql.conf" or die "$dir: $!";
	print $conf "$_ = '$settings{$_}'\n" for sort keys %settings;
	print $conf "port = $port\nlisten_addresses = ''\nunix_socket_directories = '$dir'\n";
	print $conf "pg_net.database_name = 'bench'\n" if pg_net();
	close $conf;
	_run('pg_ctl', '-D', $dir, '-l', "$dir/server.log", '-w', 'start');
	$self->{started} = 1;
	_run('createdb', '-h', $dir, '-p', $port, '-U', 'postgres', 'bench');
	$self->sql('CREATE EXTENSION webhook');
	return $self;
}

sub DESTROY
{
	my $self = shift;
	return unless $self->{started} && $self->{pid} == $$;
	local $?;
	system("$ENV{BENCH_BINDIR}/pg_ctl -D $self->{dir} -m immediate stop >/dev/null 2>&1");
	system('rm', '-rf', $self->{dir});
}

# Starts again with this file as the library.  It is put in its place by a rename: the old one may still be mapped.
sub restart_with
{
	my ($self, $library) = @_;
	_run('pg_ctl', '-D', $self->{dir}, '-w', '-m', 'fast', 'stop');
	system("cp '$library' '$ENV{BENCH_MODULE}.new' && mv '$ENV{BENCH_MODULE}.new' '$ENV{BENCH_MODULE}'") == 0
	  or die "$library could not be installed\n";
	_run('pg_ctl', '-D', $self->{dir}, '-l', "$self->{dir}/server.log", '-w', 'start');
}

sub psql
{
	my $self = shift;
	return ("$ENV{BENCH_BINDIR}/psql", '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $self->{dir},
		'-p', $self->{port}, '-U', 'postgres', '-d', $self->{database});
}

# The same server, another database.
sub in
{
	my ($self, $database) = @_;
	return bless { %$self, database => $database, started => 0 }, ref $self;
}

# Runs statements, each in its own transaction, and returns what they print.
sub sql
{
	my ($self, @statements) = @_;
	open my $out, '-|', $self->psql, map { ('-c', $_) } @statements or die "psql: $!";
	my $result = join '', <$out>;
	close $out or die "SQL failed, see $self->{dir}/server.log: @statements\n", $self->log_tail;
	chomp $result;
	return $result;
}

# Runs one statement and returns how long it took, in seconds, by psql's clock.
sub timed
{
	my ($self, $statement) = @_;
	my $out = $self->sql('\timing on', $statement);
	my ($ms) = $out =~ /Time: ([\d.]+) ms/ or die "no timing in: $out";
	return $ms / 1000;
}

# Runs one statement, after another one that fills the backend's caches, and returns the CPU time that it took, in seconds.
sub cpu
{
	my ($self, $first, $statement) = @_;
	my $clock = q{SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)};
	my ($before, $after) = split /\n/, $self->sql($first, $clock, $statement, $clock);
	return ($after - $before) / 1e9;
}

sub set
{
	my ($self, $name, $value) = @_;
	$self->sql("ALTER SYSTEM SET $name = $value", 'SELECT pg_reload_conf()');
}

# Waits until the query prints t.
sub wait_for
{
	my ($self, $query, $seconds) = @_;
	my $until = time + ($seconds // 60);
	until ($self->sql($query) eq 't')
	{
		die "gave up waiting for: $query\n", $self->log_tail if time > $until;
		sleep 0.05;
	}
}

# A transaction that holds its snapshot until the returned handle is closed.
sub hold_transaction
{
	my $self = shift;
	open my $session, '|-', join(' ', $self->psql, '>/dev/null') or die "psql: $!";
	$session->autoflush(1);
	print $session "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class;\n";
	$self->wait_for(
		q{SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'idle in transaction' AND backend_xmin IS NOT NULL});
	return $session;
}

# Runs a pgbench script and returns what pgbench says.
sub pgbench
{
	my ($self, $script, @options) = @_;
	my $file = "$self->{dir}/script.sql";
	open my $out, '>', $file or die "$file: $!";
	print $out $script;
	close $out;
	return _run('pgbench', '-n', '-f', $file, '-h', $self->{dir}, '-p', $self->{port}, '-U', 'postgres',
		@options, 'bench');
}

sub tps
{
	my ($output) = @_;
	my ($tps) = $output =~ /tps = ([\d.]+) \(without/ or die "no tps in: $output";
	return $tps;
}

# Waits until this is true of the worker's line in webhook.stat_workers.
sub wait_for_worker
{
	my ($self, $condition) = @_;
	$self->wait_for(qq{SELECT EXISTS (SELECT FROM webhook.stat_workers
		WHERE database = current_database() AND $condition)});
}

sub worker_pid
{
	my $self = shift;
	$self->wait_for_worker("state = 'served'");
	return $self->sql('SELECT pid FROM webhook.stat_workers WHERE database = current_database()');
}

# What the tables really hold, and what the statistics say, which is what autovacuum acts on.
sub dead_tuples
{
	my $self = shift;
	return $self->sql(q{
		SELECT coalesce(string_agg(relname || ' ' || dead || ' (n_dead_tup ' || n_dead_tup || ')', ', ' ORDER BY relname),
			'none in any table')
		FROM (SELECT relname, n_dead_tup, (pgstattuple(relid)).dead_tuple_count AS dead
			FROM pg_stat_all_tables WHERE schemaname = 'webhook') t
		WHERE dead > 0 OR n_dead_tup > 0});
}

# What the extension's tables have on disk, with indexes.
sub schema_bytes
{
	my $self = shift;
	return $self->sql(q{SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'webhook'::regnamespace AND relkind = 'r'});
}

sub log_tail
{
	my $self = shift;
	return `tail -n 20 $self->{dir}/server.log`;
}

# Is pg_net installed beside us?  It is measured then, never fetched.
sub pg_net
{
	return -e "$ENV{BENCH_SHAREDIR}/extension/pg_net.control";
}

sub _run
{
	my ($program, @arguments) = @_;
	my $command = join ' ', map { "'$_'" } "$ENV{BENCH_BINDIR}/$program", @arguments;
	# not through a pipe: the server that pg_ctl starts would keep it open
	my $file = "$ENV{BENCH_SCRATCH}/out";
	my $failed = system("$command >$file 2>&1");
	open my $in, '<', $file or die "$file: $!";
	my $output = join '', <$in>;
	die "$command failed:\n$output" if $failed;
	return $output;
}

# User and system time of all sessions and workers that have ended, in hundredths of a second.  The postmaster must have
# noticed the end of the sessions first.
sub ticks_of_ended
{
	my $self = shift;
	open my $file, '<', "$self->{dir}/postmaster.pid" or die "the server is gone\n";
	chomp(my $postmaster = <$file>);
	sleep 0.02 while grep { _is_session($_, $postmaster) } map { m{^/proc/(\d+)$} } glob '/proc/[0-9]*';
	my @fields = _stat($postmaster) or die "the server is gone\n";
	return $fields[13] + $fields[14];
}

# A zombie has no command line.
sub _is_session
{
	my ($pid, $postmaster) = @_;
	my @fields = _stat($pid);
	return 0 if !@fields || $fields[1] != $postmaster;
	open my $in, '<', "/proc/$pid/cmdline" or return 0;
	my $command = <$in> // '';
	return $command eq '' || $command =~ /\[local\]/;
}

# What /proc says of a process after its name: its state, its parent, and so on.
sub _stat
{
	my ($pid) = @_;
	open my $in, '<', "/proc/$pid/stat" or return;
	my $line = <$in> // return;
	return split ' ', $line =~ s/^.*\)//sr;
}

# User and system time of these processes, in hundredths of a second.
sub ticks
{
	my $sum = 0;
	for my $pid (@_)
	{
		my @fields = _stat($pid) or die "process $pid is gone\n";
		$sum += $fields[11] + $fields[12];
	}
	return $sum;
}

1;
