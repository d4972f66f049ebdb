# How fast waiting messages go out: P1, P2, P7, P12, P13, and with P7 what P9 and P11 ask.
#
# Messages are committed while webhook.dispatch is off; the time runs from switching it on until the receiver has
# counted the last request.  The ceiling is ceiling.c, a bare libcurl loop that posts the same body to the same nginx.

package Bench::Drain;

use strict;
use warnings;

use Bench::Cluster;
use Bench::Guests;
use Bench::Nginx;
use Bench::Report qw(median rounds);
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);

use constant CEILING_CONCURRENCY => 64;

# Of a delivery, beside Content-Type.
use constant HEADERS => (
	'User-Agent: webhook/0.1.0 (PostgreSQL)', 'webhook-id: 01930b1c-4c6f-7c5b-9b5e-0123456789ab', 'webhook-timestamp: 1700000000',
	'webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');

my $messages = $ENV{BENCH_MESSAGES} || 200_000;
my $backlog = $ENV{BENCH_BACKLOG} || 1_000_000;
my $held_seconds = $ENV{BENCH_HELD_SECONDS} || 300;

# What other benchmarks of the same run compare with, messages per second.
my $one_webhook;

# P1: one webhook, signed, logs on.
sub ceiling_ratio
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = _cluster();
	my (@ours, @ceiling, @with_headers);

	_create_webhook($cluster, $nginx);
	for (1 .. rounds(3))
	{
		push @ceiling, _ceiling($nginx);
		push @with_headers, _ceiling($nginx, HEADERS);
		push @ours, drain($cluster, $nginx, $messages);
	}
	$one_webhook = median(@ours);
	add($report, 'P1', "deliveries/s, $messages waiting, one webhook, against a ceiling with the same headers", $one_webhook,
		median(@with_headers), '>= 0.9');
	$report->note('   P1: a ceiling without these headers: %.0f/s; P1 is %.2f of it', median(@ceiling), $one_webhook / median(@ceiling));
	_pg_net($report, $cluster, $nginx, median(@ceiling)) if Bench::Cluster::pg_net();
}

# P1 through a proxy, and the same of the ceiling: tinyproxy, by CONNECT.
sub proxied
{
	my $report = shift;
	my $program = "$ENV{BENCH_FILES}/proxies/usr/bin/tinyproxy";

	return $report->note('   PROXY: left out, as tinyproxy is missing; make test fetches it') if !-x $program;
	my $nginx = Bench::Nginx->new;
	my $cluster = _cluster();
	my ($pid, $url) = _start_proxy($program);
	my (@ours, @ceiling);

	_create_webhook($cluster, $nginx);
	my $done = eval {
		$cluster->set('webhook.proxy', "'$url'");
		for (1 .. rounds(3))
		{
			local $ENV{CEILING_PROXY} = $url;
			push @ceiling, _ceiling($nginx);
			push @ours, drain($cluster, $nginx, $messages);
		}
		1;
	};
	my $error = $@;
	kill 'KILL', $pid;
	waitpid $pid, 0;
	die $error if !$done;
	add($report, 'PROXY', 'deliveries/s through a proxy, one webhook', median(@ours), median(@ceiling), '>= 0.8');
}

sub _start_proxy
{
	my ($program) = @_;
	my $conf = "$ENV{BENCH_SCRATCH}/tinyproxy.conf";
	my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;

	open my $out, '>', $conf or die "$conf: $!\n";
	print $out "Listen 127.0.0.1\nPort $port\nTimeout 600\nMaxClients 1000\nLogLevel Critical\n";
	close $out;
	my $pid = fork // die "fork: $!\n";
	exec $program, '-d', '-c', $conf if $pid == 0;
	sleep 0.05 while !IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
	return ($pid, "http://127.0.0.1:$port");
}

# What signing costs: P1 with the product, and with the same object files linked without it.
sub signing
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = _cluster();
	my %rates;

	_create_webhook($cluster, $nginx);
	for (1 .. rounds(3))
	{
		for my $kind (qw(signed unsigned))
		{
			$cluster->restart_with("$ENV{BENCH_SCRATCH}/$kind.so");
			push @{ $rates{$kind} }, drain($cluster, $nginx, $messages);
			_expect_signature($cluster, $kind);
		}
	}
	$cluster->restart_with("$ENV{BENCH_SCRATCH}/signed.so");
	add($report, 'SIGN', 'deliveries/s signed, against the same without signatures',
		median(@{ $rates{signed} }), median(@{ $rates{unsigned} }), '>= 0.9');
}

# Is it what it is called?
sub _expect_signature
{
	my ($cluster, $kind) = @_;
	my $signatures = $cluster->sql(q{SELECT count(*) FROM webhook.get_webhooks() AS w, webhook.get_webhook_log(w.id) AS l
		WHERE l.request_headers LIKE '%webhook-signature: v1,%'});
	die "$kind: $signatures of ten requests in the log are signed\n" if $signatures != ($kind eq 'signed' ? 10 : 0);
}

# P1 with an access token against the same header without OAuth, and with GitHub's signature against Standard Webhooks'.
sub authorization
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = _cluster();
	my ($port, $pid) = _token_server();
	my %changes = (
		header   => '"signature": "standard", "oauth": null, "headers": {"Authorization": "Bearer ' . 'x' x 40 . '"}',
		token    => qq("headers": {}, "oauth": {"token_url": "http://127.0.0.1:$port/", "grant": "client_credentials", "client_id": "a", "client_secret": "b"}),
		standard => '"oauth": null, "headers": {}, "signature": "standard"',
		github   => '"oauth": null, "headers": {}, "signature": "github"');
	my %rates;

	_create_webhook($cluster, $nginx);
	for (1 .. rounds(3))
	{
		for my $kind (qw(header token standard github))
		{
			$cluster->sql("SELECT webhook.update_webhook(id, '{$changes{$kind}}') FROM webhook.get_webhooks()");
			push @{ $rates{$kind} }, drain($cluster, $nginx, $messages);
		}
	}
	kill('TERM', $pid);
	waitpid($pid, 0);
	my %rate = map { $_ => median(@{ $rates{$_} }) } keys %rates;
	add($report, 'AUTH', 'deliveries/s with an access token, against a header', $rate{token}, $rate{header}, '>= 0.95');
	add($report, 'AUTH', "deliveries/s with GitHub's signature, against Standard Webhooks", $rate{github}, $rate{standard}, '>= 0.95');
}

# A server that answers everything by the same token; its port and process.
sub _token_server
{
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die "could not listen: $!\n";
	my $pid = fork() // die "could not fork: $!\n";
	return ($listen->sockport, $pid) if $pid;

	local $SIG{TERM} = 'DEFAULT';
	my $body = '{"access_token": "' . 'x' x 40 . '", "token_type": "Bearer", "expires_in": 3600}';
	while (my $client = $listen->accept)
	{
		my $request = '';
		while ($request !~ /\r\n\r\n.*grant_type=/s) { sysread($client, $request, 4096, length($request)) or last; }
		print $client "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ", length($body), "\r\n\r\n$body";
	}
	POSIX::_exit(0);
}

# P2: a thousand webhooks on fifty hosts; every message is for one of them.
sub many_webhooks
{
	my $report = shift;
	my $nginx = Bench::Nginx->new(hosts => [ '127.0.0.1', map { "127.0.1.$_" } 1 .. 50 ]);
	my $cluster = _cluster();
	my (@ours, @ceiling);

	$cluster->sql(sprintf q{SELECT count(webhook.create_webhook('bench', 'guest.create',
		format('http://127.0.1.%%s:%d/', 1 + i %% 50), event_uids => 'event-' || to_char(i, 'FM0000')))
		FROM generate_series(0, 999) i}, $nginx->{port});
	for (1 .. rounds(3))
	{
		push @ceiling, _ceiling($nginx);
		push @ours, drain($cluster, $nginx, $messages, q{'event-' || to_char(i % 1000, 'FM0000')});
	}
	add($report, 'P2', "deliveries/s, 1000 webhooks on 50 hosts", median(@ours), median(@ceiling), '>= 0.6');
}

# P12 and P13: batches of a hundred, and what a message costs the worker with and without them.
sub batches
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my ($single, $batched) = (_cluster(), _cluster());
	my (@ceiling, @ours, %cpu);

	_create_webhook($single, $nginx);
	_create_webhook($batched, $nginx, 'batch_size => 100');
	for (1 .. rounds(3))
	{
		my ($rate, $cpu) = _ceiling($nginx, HEADERS);
		push @ceiling, $rate;
		push @{ $cpu{ceiling} }, $cpu;
		push @{ $cpu{single} }, _cpu_of($single, sub { drain($single, $nginx, $messages) }) / $messages;
		push @{ $cpu{batches} }, _cpu_of($batched, sub { push @ours, _drain_batches($batched, $nginx, $backlog) }) / $backlog;
	}
	my %us = map { $_ => median(@{ $cpu{$_} }) } keys %cpu;
	add($report, 'P12', "messages/s in batches of 100, $backlog waiting, against single requests of bare libcurl",
		median(@ours), median(@ceiling), '>= 4');
	_add_cpu($report, "worker's CPU per message, single requests, against the ceiling's", $us{single}, $us{ceiling}, '<= 1.25');
	_add_cpu($report, "worker's CPU per message, batches of 100, against the ceiling's", $us{batches}, $us{ceiling}, '<= 0.2');
}

sub _add_cpu
{
	my ($report, $what, $ours, $ceiling, $goal) = @_;
	$report->add(
		id       => 'P13',
		what     => $what,
		ours     => sprintf('%.2f us', $ours),
		baseline => sprintf('%.2f us', $ceiling),
		value    => $ours / $ceiling,
		goal     => $goal);
}

# The worker's CPU time while this is done, in microseconds.
sub _cpu_of
{
	my ($cluster, $code) = @_;
	my $pid = $cluster->worker_pid;
	my $before = Bench::Cluster::ticks($pid);
	$code->();
	return (Bench::Cluster::ticks($pid) - $before) * 10_000;
}

# I13: with a field mapping against without.
sub mapping
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my ($plain, $mapped) = (_cluster(), _cluster());
	my (@plain, @mapped);

	_create_webhook($plain, $nginx);
	_map_on_three_levels($mapped);
	$mapped->sql(sprintf q{SELECT webhook.create_webhook('bench', 'guest.create', '%s', integration => 'crm')}, $nginx->url);
	for (1 .. rounds(3))
	{
		push @plain, drain($plain, $nginx, $messages);
		push @mapped, drain($mapped, $nginx, $messages);
	}
	_expect_mapped($mapped);
	add($report, 'I13', 'deliveries/s with a field mapping on three levels, against without',
		median(@mapped), median(@plain), '>= 0.7');
}

# Each level adds a field, and the lower two override one of the account's.
sub _map_on_three_levels
{
	my $cluster = shift;
	$cluster->sql(
		q{SELECT webhook.watch('guest', 'guest', event_uid => 'event_uid', profile => '''organiser''')},
		q{SELECT webhook.create_integration('crm'), webhook.connect_profile('crm', 'organiser'),
			webhook.override_event('event-0000', 'crm')},
		q{SELECT webhook.set_field_mapping('[{"name": "id", "mapped_to": "id"}, {"name": "who", "mapped_to": "note"},
			{"name": "source", "value": "account"}]', 'crm')},
		q{SELECT webhook.set_field_mapping('[{"name": "who", "mapped_to": "name"}, {"name": "text", "mapped_to": "note"}]',
			'crm', profile => 'organiser')},
		q{SELECT webhook.set_field_mapping('[{"name": "source", "value": "event"}, {"name": "event", "mapped_to": "event_uid"}]',
			'crm', event_uid => 'event-0000')});
}

# Was that what was measured?
sub _expect_mapped
{
	my $cluster = shift;
	my $bodies = $cluster->sql(q{SELECT count(*) FROM webhook.get_webhooks() AS w, webhook.get_webhook_log(w.id) AS l
		WHERE l.request_body LIKE '%"who":"Guest %","source":"event",%"event":"event-0000"%'});
	die "mapping: $bodies of ten bodies in the log have the fields of all levels\n" if $bodies != 10;
}

# P7: the same with a long backlog, with many webhooks, with a transaction held open elsewhere.
sub backlog
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;

	unless ($one_webhook)
	{
		my $cluster = _cluster();
		_create_webhook($cluster, $nginx);
		$one_webhook = median(map { drain($cluster, $nginx, $messages) } 1 .. rounds(3));
	}
	_long_backlog($report, $nginx, 0);
	_long_backlog($report, $nginx, 1);

	my $cluster = _cluster();
	$cluster->sql(sprintf q{SELECT count(webhook.create_webhook('other', 'company.create', '%s'))
		FROM generate_series(1, 100000)}, $nginx->url);
	_create_webhook($cluster, $nginx);
	add($report, 'P7', 'deliveries/s with 100000 webhooks, against P1',
		median(map { drain($cluster, $nginx, $messages) } 1 .. rounds(3)), $one_webhook, '>= 0.9');
	_new_session($report, $cluster);
}

# What the first captured row costs a session that writes to one table while there are 100,000 webhooks for others.
sub _new_session
{
	my ($report, $cluster) = @_;
	my $row = q{INSERT INTO guest VALUES (%d, 'event-0000', 'Guest', '')};

	$cluster->sql('TRUNCATE guest', 'ANALYZE webhook.webhook');
	my $seconds = median(map { $cluster->cpu('SELECT count(*) FROM guest', sprintf $row, $_) } 1 .. 5);
	my $bytes = $cluster->sql(sprintf($row, 6), q{SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name LIKE 'webhook%'});
	$report->add(
		id    => 'P7', what => 'CPU of the first captured row of a session, 100000 webhooks, ms',
		ours  => sprintf('%.2f ms', $seconds * 1000), baseline => '',
		value => $seconds * 1000, goal => '< 10');
	$report->add(
		id    => 'P7', what => 'memory of the library in that session, MB',
		ours  => sprintf('%.2f MB', $bytes / 1e6), baseline => '',
		value => $bytes / 1e6, goal => '< 3');
}

sub _long_backlog
{
	my ($report, $nginx, $held) = @_;
	my $cluster = _cluster();
	my $what = "$backlog waiting" . ($held ? ', a transaction held open' : '');

	_create_webhook($cluster, $nginx);
	$cluster->sql('CREATE EXTENSION pgstattuple');
	my $session = $held ? $cluster->hold_transaction : undef;
	my $sampler = Bench::Drain::Sampler->new($cluster);
	my $rate = drain($cluster, $nginx, $backlog, undef, sub { $sampler->sample });

	add($report, 'P7', "deliveries/s, $what, against P1", $rate, $one_webhook, '>= 0.9');
	$report->note('   %s: worker %.0f MiB at the start, %.0f MiB at most (P9)', $what, $sampler->memory);
	$report->note('   %s: an xmin was held in %d of %d samples with requests under way, %d in a row at most (W13)',
		$what, $sampler->xmin);
	$report->note('   %s: dead tuples: %s', $what, $cluster->dead_tuples);
	$report->note('   %s: schema webhook has %.0f MB on disk (P11)', $what, $cluster->schema_bytes / 1e6);
	close $session if $session;
}

# P7: what a message costs the worker while a snapshot is held for long: the last drains against the first ones.  The
# messages are kept for a while, so the tables of the history are part of it.
sub held_snapshot
{
	my $report = shift;
	my $nginx = Bench::Nginx->new;
	my $cluster = _cluster();
	my @cost;

	_create_webhook($cluster, $nginx);
	$cluster->sql('CREATE EXTENSION pgstattuple');
	$cluster->set('webhook.history_retention', q{'1 d'});
	$cluster->set('webhook.history_max_size', q{'400 MB'});
	drain($cluster, $nginx, $messages);
	my $session = $cluster->hold_transaction;
	my $end = time + $held_seconds;
	do
	{
		my $before = Bench::Cluster::ticks($cluster->worker_pid);
		drain($cluster, $nginx, $messages);
		push @cost, (Bench::Cluster::ticks($cluster->worker_pid) - $before) * 10_000 / $messages;
	} while (time < $end || @cost < 6);

	my ($first, $last) = (median(@cost[0 .. 2]), median(@cost[-3 .. -1]));
	$report->add(
		id       => 'P7',
		what     => "worker's CPU per message after $held_seconds s of a held snapshot, against its beginning",
		ours     => sprintf('%.1f us', $last),
		baseline => sprintf('%.1f us', $first),
		value    => $last / $first,
		goal     => '<= 1.1');
	$report->note('   microseconds per message: %s', join ' ', map { sprintf '%.1f', $_ } @cost);
	$report->note('   dead tuples: %s', $cluster->dead_tuples);
	close $session;
	return;
}

sub _cluster
{
	my $cluster = Bench::Cluster->new;
	Bench::Guests::create_table($cluster);
	Bench::Guests::watch($cluster);
	return $cluster;
}

sub _create_webhook
{
	my ($cluster, $nginx, @more) = @_;
	$cluster->sql(sprintf q{SELECT webhook.create_webhook(%s)}, join ', ', q{'bench'}, q{'guest.create'}, "'" . $nginx->url . "'", @more);
}

sub _ceiling
{
	my ($nginx, @headers) = @_;

	open my $out, '-|', "$ENV{BENCH_SCRATCH}/ceiling", $nginx->url, Bench::Guests::body_file(), $messages, CEILING_CONCURRENCY, @headers
	  or die "ceiling: $!\n";
	my ($rate, $cpu) = <$out> =~ /([\d.]+) ([\d.]+)/;
	close $out or die "ceiling failed\n";
	printf "  ceiling%s %.0f/s, %.1f us of CPU each\n", @headers ? ' with headers' : '', $rate, $cpu;
	return wantarray ? ($rate, $cpu) : $rate;
}

# The same with batches: the worker says when all messages have been delivered.
sub _drain_batches
{
	my ($cluster, $nginx, $count) = @_;
	my $delivered = q{SELECT delivered FROM webhook.stat_workers WHERE database = current_database()};

	$cluster->set('webhook.dispatch', 'off');
	$cluster->wait_for_worker("state = 'served' AND in_flight = 0");
	$cluster->sql('TRUNCATE guest', Bench::Guests::insert($count), 'CHECKPOINT');

	my $requests = $nginx->requests;
	my $end = $cluster->sql($delivered) + $count;
	my $start = time;
	$cluster->set('webhook.dispatch', 'on');
	$cluster->wait_for("SELECT ($delivered) >= $end");
	my $rate = $count / (time - $start);

	$cluster->wait_for('SELECT webhook.pending() = 0');
	$requests = $nginx->requests - $requests;
	printf "  batches %.0f/s, %.1f messages in each of %d requests\n", $rate, $count / $requests, $requests;
	return $rate;
}

# Lets count messages wait, then go; returns deliveries per second.
sub drain
{
	my ($cluster, $nginx, $count, $uid, $watch) = @_;

	$cluster->set('webhook.dispatch', 'off');
	$cluster->wait_for_worker("state = 'served' AND in_flight = 0");
	$cluster->sql('TRUNCATE guest', Bench::Guests::insert($count, $uid), 'CHECKPOINT');

	my $before = $nginx->requests;
	my $pid = $watch ? every(0.1, $watch) : undef;
	my $start = time;
	$cluster->set('webhook.dispatch', 'on');
	my $rate = $count / ($nginx->wait_for($before, $count) - $start);
	stop($pid) if $pid;

	$cluster->wait_for('SELECT webhook.pending() = 0');
	die "more requests came than there were messages\n" if $nginx->requests - $before != $count;
	printf "  ours %.0f/s\n", $rate;
	return $rate;
}

# pg_net sends what is queued at once; a tenth of the messages is enough to see its pace.
sub _pg_net
{
	my ($report, $cluster, $nginx, $ceiling) = @_;
	my $count = int($messages / 40);
	my $body = do { local (@ARGV, $/) = Bench::Guests::body_file(); <> };

	$cluster->sql('CREATE EXTENSION pg_net');
	my $before = $nginx->requests;
	my $start = time;
	$cluster->sql(sprintf q{SELECT count(net.http_post('%s', '%s'::jsonb)) FROM generate_series(1, %d)},
		$nginx->url, $body, $count);
	my $rate = eval { $count / ($nginx->wait_for($before, $count) - $start) };
	return $report->note('P1 pg_net: %s', $@ =~ s/\n//r) unless $rate;
	add($report, 'P1', "   pg_net: deliveries/s, $count waiting", $rate, $ceiling);
}

sub add
{
	my ($report, $id, $what, $ours, $baseline, $goal) = @_;
	$report->add(
		id       => $id,
		what     => $what,
		ours     => sprintf('%.0f/s', $ours),
		baseline => sprintf('%.0f/s', $baseline),
		value    => $ours / $baseline,
		goal     => $goal);
}

# Calls code every so many seconds in a process of its own.
sub every
{
	my ($seconds, $code) = @_;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	$SIG{TERM} = sub { require POSIX; POSIX::_exit(0) };
	while (1)
	{
		$code->();
		sleep $seconds;
	}
}

sub stop
{
	my $pid = shift;
	kill 'TERM', $pid;
	waitpid $pid, 0;
	$? = 0;
}

# Looks at the worker while it works: its memory, and whether it holds back the xmin horizon.
package Bench::Drain::Sampler;

sub new
{
	my ($class, $cluster) = @_;
	my $file = "$ENV{BENCH_SCRATCH}/samples";
	my $self = bless { cluster => $cluster, worker => $cluster->worker_pid, file => $file }, $class;
	unlink $file;
	$self->{idle} = $self->_rss;
	return $self;
}

# Runs in another process than the reader of the file.
sub sample
{
	my $self = shift;
	my $xmin = $self->{cluster}->sql(qq{
		SELECT coalesce(a.backend_xmin::text, '-') FROM pg_stat_activity a JOIN webhook.stat_workers w USING (pid)
		WHERE w.database = current_database() AND w.in_flight > 0});
	open my $out, '>>', $self->{file} or die "$self->{file}: $!";
	printf $out "%.0f %s\n", $self->_rss, $xmin if length $xmin;
}

sub memory
{
	my $self = shift;
	my ($most) = sort { $b <=> $a } $self->{idle}, map { (split)[0] } $self->_lines;
	return map { $_ / 1024 } $self->{idle}, $most;
}

# Samples with an xmin, all samples, and the longest run with one.
sub xmin
{
	my $self = shift;
	my ($with, $all, $run, $longest) = (0, 0, 0, 0);
	for my $line ($self->_lines)
	{
		my $held = (split ' ', $line)[1] ne '-';
		$all++;
		$with++ if $held;
		$run = $held ? $run + 1 : 0;
		$longest = $run if $run > $longest;
	}
	return ($with, $all, $longest);
}

sub _lines
{
	my $self = shift;
	open my $in, '<', $self->{file} or return ();
	return <$in>;
}

# The worker's own memory in kB: what it shares with the server is not its growth.
sub _rss
{
	my $self = shift;
	open my $in, '<', "/proc/$self->{worker}/status" or return 0;
	my ($anonymous) = join('', <$in>) =~ /RssAnon:\s*(\d+)/;
	return $anonymous // 0;
}

1;
