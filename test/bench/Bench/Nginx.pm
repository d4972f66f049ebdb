# The receiver: an nginx of our own that answers 200.
#
#   /                  counted (stub_status), not logged
#   /refuse/           likewise, but one message in a hundred is answered 422
#   /latency/<id>      logged with the time of receipt; the id stands in the path, so that no body has to be kept

package Bench::Nginx;

use strict;
use warnings;

use IO::Socket::INET;
use Time::HiRes qw(sleep time);

sub new
{
	my ($class, %options) = @_;
	my $dir = "$ENV{BENCH_SCRATCH}/nginx";
	my ($port, $status) = (free_port(), free_port());
	my @hosts = @{ $options{hosts} // ['127.0.0.1'] };
	my $listen = join ' ', map { "listen $_:$port;" } @hosts;

	mkdir $dir;
	my $self = bless { dir => $dir, port => $port, status => $status, polls => 0 }, $class;
	open my $conf, '>', "$dir/nginx.conf" or die "$dir: $!";
	print $conf <<"END";
daemon off;
worker_processes 1;
pid $dir/pid;
error_log $dir/error.log;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
	client_body_temp_path $dir/body;
	proxy_temp_path $dir/proxy;
	fastcgi_temp_path $dir/fastcgi;
	uwsgi_temp_path $dir/uwsgi;
	scgi_temp_path $dir/scgi;
	log_format receipt '\$msec \$uri';
	access_log off;
	keepalive_requests 100000000;
	keepalive_timeout 1h;
	split_clients \$http_webhook_id \$refused { 1% 1; * 0; }
	server {
		$listen
		location / { return 200; }
		location /refuse/ { if (\$refused) { return 422; } return 200; }
		location /latency/ { access_log $dir/receipts.log receipt; return 200; }
	}
	server {
		listen 127.0.0.1:$status;
		location / { stub_status; }
	}
}
END
	close $conf;

	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0)
	{
		open STDERR, '>', "$dir/start.log";
		exec nginx_path(), '-p', $dir, '-e', "$dir/error.log", '-c', "$dir/nginx.conf" or die "nginx: $!";
	}
	$self->{owner} = $$;
	my $until = time + 10;
	until (IO::Socket::INET->new(PeerAddr => "127.0.0.1:$status"))
	{
		die "nginx did not start, see $dir/error.log\n", `cat $dir/start.log $dir/error.log` if time > $until;
		sleep 0.02;
	}
	return $self;
}

sub DESTROY
{
	my $self = shift;
	return unless $self->{owner} && $self->{owner} == $$;
	local $?;
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
}

sub url
{
	my ($self, $path, $host) = @_;
	return sprintf 'http://%s:%d/%s', $host // '127.0.0.1', $self->{port}, $path // '';
}

# How many requests have come so far, these here not counted.
sub requests
{
	my $self = shift;
	my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{status}") or die "nginx is gone: $!";
	print $socket "GET / HTTP/1.0\r\n\r\n";
	my $answer = join '', <$socket>;
	my ($count) = $answer =~ /^ \d+ \d+ (\d+)/m or die "unexpected answer: $answer";
	return $count - ++$self->{polls};
}

# Waits until count requests have come since before, and returns the time.  Gives up when none comes for 20 seconds.
sub wait_for
{
	my ($self, $before, $count) = @_;
	my ($seen, $changed) = (0, time);
	while (1)
	{
		my $now = $self->requests - $before;
		return time if $now >= $count;
		($seen, $changed) = ($now, time) if $now != $seen;
		die "only $seen of $count requests came\n" if time > $changed + 20;
		sleep 0.01;
	}
}

# Waits until no request has come for a second.
sub settle
{
	my $self = shift;
	my ($seen, $changed) = (-1, time);
	while (time < $changed + 1)
	{
		my $now = $self->requests;
		($seen, $changed) = ($now, time) if $now != $seen;
		sleep 0.05;
	}
}

# The log as id => time of receipt, and empty it.  nginx's clock has whole milliseconds, cut off; commits come at any
# time within one, so half of one is what was cut off on average.
sub receipts
{
	my $self = shift;
	my %receipts;
	open my $log, '+<', "$self->{dir}/receipts.log" or die "receipts.log: $!";
	while (<$log>)
	{
		my ($time, $id) = m{^([\d.]+) .*/(\d+)$} or next;
		$receipts{$id} //= $time + 0.0005;
	}
	truncate $log, 0;
	return \%receipts;
}

sub free_port
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1)
	  or die "no free port: $!";
	return $socket->sockport;
}

sub nginx_path
{
	for my $path (map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin')
	{
		return $path if -x $path;
	}
	die "nginx is needed as receiver; install it (Debian: apt-get install nginx)\n";
}

1;
