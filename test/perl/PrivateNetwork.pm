# A network for one test alone, in which every address in the world is this machine, and a name server for it (dnsmasq).
# A forbidden connection would succeed there, and the receiver would notice it.
#
#   use PrivateNetwork;         # first of all: it starts the test again, inside of the network
#   PrivateNetwork::publish('a.test' => ['93.184.216.34'], 'b.test' => ['10.0.0.1', '::1']);
#
# It must be loaded before PostgreSQL's modules, which redirect the standard output.

package PrivateNetwork;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Path qw(make_path);
use File::Spec::Functions qw(rel2abs);
use Needs;
use Time::HiRes qw(usleep);

my @path = (split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin');
my ($dnsmasq) = grep { -x } map { "$_/dnsmasq" } @path;
my ($ip) = grep { -x } map { "$_/ip" } @path;
my $dir = rel2abs($ENV{TESTDATADIR} // 'tmp_check') . '/network';
my %names;
my ($dns, $dns_pid);

sub import
{
	# With -c, the test is only compiled.
	return if $ENV{WEBHOOK_NAMESPACE} || $^C;
	Needs::skip_all('dnsmasq or iproute2 is not installed') unless $dnsmasq && $ip;

	make_path($dir);
	open(my $file, '>', "$dir/resolv.conf") or die "could not write $dir/resolv.conf: $!";
	print $file "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n";
	close($file);

	# Root in the first name space may do all that; the second one makes us the original user again.
	my ($uid, $gid) = ($>, (split(/ /, $)))[0]);
	my $setup = join(' && ',
		"$ip link set lo up",
		"$ip route add local 0.0.0.0/0 dev lo",
		"$ip -6 route add local ::/0 dev lo",
		'echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start',
		"mount --bind '$dir/resolv.conf' /etc/resolv.conf",
		qq(exec unshare -U --map-user=$uid --map-group=$gid "\$@"));
	my @enter = ('unshare', '-Urmn', 'sh', '-c', $setup, 'sh');

	# Some systems do not allow users to create name spaces.
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open(STDERR, '>', "$dir/unshare.log");
		exec(@enter, 'true') or exit(1);
	}
	waitpid($pid, 0);
	Needs::skip_all('users may not make name spaces here') if $?;
	$ENV{WEBHOOK_NAMESPACE} = 1;
	exec(@enter, $^X, (map { "-I$_" } @INC), abs_path($0)) or die "exec: $!";
}

# Publish names with all their addresses, in addition to those published before.  When it returns, the last name resolves to its first address.
sub publish
{
	my (@new) = @_;
	my ($name, $addresses) = @new[ -2, -1 ];

	%names = (%names, @new);
	open(my $hosts, '>', "$dir/hosts.new") or die $!;
	foreach my $n (sort keys %names)
	{
		print $hosts "$_ $n\n" foreach @{ $names{$n} };
	}
	close($hosts);
	rename("$dir/hosts.new", "$dir/hosts") or die $!;
	if ($dns_pid)
	{
		kill('HUP', $dns_pid);
	}
	else
	{
		$dns_pid = open($dns, '-|', $dnsmasq, '--keep-in-foreground', '--no-resolv', '--no-hosts',
			"--addn-hosts=$dir/hosts", '--listen-address=127.0.0.1', '--bind-interfaces', '--conf-file=/dev/null',
			'--user=', '--group=', '--pid-file=', '--local-ttl=0', "--log-facility=$dir/dnsmasq.log", '--cache-size=0',
			'--dns-forward-max=1000')
		  or die "could not start dnsmasq: $!";
	}
	foreach (1 .. 2000)
	{
		return if `getent ahosts '$name'` =~ /^\Q$addresses->[0]\E\s/m;
		usleep(50_000);
	}
	die "$name does not resolve";
}

END
{
	local $?;

	kill('TERM', $dns_pid) if $dns_pid;
}

1;
