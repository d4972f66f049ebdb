# The whole table of special addresses: the first, middle and last of each range, in every spelling, as a name and as a name
# that changes, through every format.  The receiver listens at each of them and gets nothing, until they are allowed.
#
# Mission: W9, R7, W7, X7, X8.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use PrivateNetwork;
use PostgreSQL::Test::Utils;
use Socket qw(AF_INET AF_INET6 inet_ntop inet_pton);
use Test::More;
use WebhookTest qw(sql becomes);

my @ranges_v4 = qw(0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
  192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4);
my @ranges_v6 = qw(::/128 ::1/128 fe80::/10 fec0::/10 fc00::/7 ff00::/8 2001::/32 2001:db8::/32 3fff::/20 100::/64 2002::/16
  5f00::/16 64:ff9b:1::/48);
my @formats = qw(entity rest standard cloudevents cloudevents-binary thin);

# First, middle and last address of a range.
sub representatives
{
	my ($range) = @_;
	my ($address, $prefix) = split(/\//, $range);
	my $family = $address =~ /:/ ? AF_INET6 : AF_INET;
	my $bits = unpack('B*', inet_pton($family, $address));
	my $free = length($bits) - $prefix;
	my %seen;

	return grep { !$seen{$_}++ } map { inet_ntop($family, pack('B*', substr($bits, 0, $prefix) . $_)) }
	  '0' x $free, '10' x ($free / 2) . '0' x ($free % 2), '1' x $free;
}

# All spellings of an IPv4 address.
sub spellings_v4
{
	my ($address) = @_;
	my @bytes = split(/\./, $address);
	my $number = unpack('N', pack('C4', @bytes));

	return ($address,
		join('.', map { sprintf('0%o', $_) } @bytes),
		join('.', map { sprintf('0x%02X', $_) } @bytes),
		sprintf('0%o.%d.0x%x.%d', @bytes),
		sprintf('%d.%d.%d', @bytes[ 0, 1 ], $number & 0xffff),
		sprintf('%d.0x%x', $bytes[0], $number & 0xffffff),
		sprintf('%u', $number),
		sprintf('0x%08x', $number),
		sprintf('0%o', $number));
}

# The same for IPv6; all of them must be in brackets.
sub spellings_v6
{
	my ($address) = @_;
	my @bytes = unpack('C16', inet_pton(AF_INET6, $address));
	my @words = unpack('n8', pack('C16', @bytes));

	return map { "[$_]" } $address,
	  join(':', map { sprintf('%04X', $_) } @words),
	  join(':', map { sprintf('%x', $_) } @words[ 0 .. 5 ]) . ':' . join('.', @bytes[ 12 .. 15 ]);
}

my @v4 = map { representatives($_) } @ranges_v4;
my @v6 = map { representatives($_) } @ranges_v6;

# The middle of each IPv4 range within IPv6: compatible, mapped, translated, both kinds of NAT64, 6to4.
foreach my $inside (map { (representatives($_))[1] } @ranges_v4)
{
	push @v6, map { $_ . $inside } '::', '::ffff:', '::ffff:0:', '64:ff9b::', '64:ff9b:1::';
	push @v6, sprintf('2002:%x:%x::1', unpack('n2', inet_pton(AF_INET, $inside)));
}

my @all = (@v4, @v6);

# On the wire a mapped address is IPv4.
sub is_v6
{
	my ($address) = @_;

	return $address =~ /:/ && $address !~ /^::ffff:\d+\./;
}

# A name for each, and one that has a public address at first.
my %publish;
foreach my $i (0 .. $#all)
{
	$publish{"name$i.test"} = [ $all[$i] ];
	$publish{"changing$i.test"} = [ is_v6($all[$i]) ? '2606:2800:220:1::1' : '93.184.216.34' ];
}
PrivateNetwork::publish(%publish, 'ready.test' => ['93.184.216.34']);

my $node = WebhookTest::start_node('table', "webhook.allowed_networks = ''", "webhook.timeout = 30s");
my $receiver_v4 = WebhookTest::Receiver->start(host => '0.0.0.0');
my $receiver_v6 = WebhookTest::Receiver->start(host => '::');

# Webhooks in each of the formats, all for one event; a host is given as [text, its address].  There is
# no second attempt unless requested.
sub subscribe
{
	my ($event, @hosts) = @_;
	my @urls = map { "http://$_->[0]:" . (is_v6($_->[1]) ? $receiver_v6 : $receiver_v4)->port . "/$event" } @hosts;

	sql("SELECT count(webhook.create_webhook('$event', '$event', url, name => host, format => format, retry_schedule => '{0,1d}'))
		   FROM unnest('{" . join(',', map { $_->[0] } @hosts) . "}'::text[], '{" . join(',', @urls) . "}'::text[]) AS h (host, url),
				unnest('{" . join(',', @formats) . "}'::text[]) AS format");
	return;
}

# Send one message to them all, and wait until each has had its last attempt.
sub emit
{
	my ($event, $attempts) = @_;

	sql("SELECT webhook.emit('$event', '{}')");
	finished($event, $attempts);
	return;
}

# The log of thousands of webhooks is read from the table, as get_webhook_log() would be called for each.
sub finished
{
	my ($event, $attempts) = @_;

	$node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM webhook.webhook w LEFT JOIN webhook.last_attempts l ON l.webhook_id = w.id AND l.attempt = $attempts
		  WHERE w.app = '$event' AND l.webhook_id IS NULL")
	  or BAIL_OUT("attempt $attempts is missing");
	return;
}

# The ledgers have a line for each.
sub requests_so_far
{
	return scalar(map { split(/\n/, slurp_file($_->{ledger})) } $receiver_v4, $receiver_v6);
}

# How many hosts and formats had which outcome in their last attempt; the hosts that were not refused.
sub outcomes
{
	my ($event) = @_;

	return sql("SELECT outcome, count(*), string_agg(DISTINCT name, ' ') FILTER (WHERE outcome <> 'forbidden_address') FROM (
		SELECT DISTINCT ON (w.id) w.name, l.outcome FROM webhook.webhook w JOIN webhook.last_attempts l ON l.webhook_id = w.id
		 WHERE w.app = '$event' ORDER BY w.id, l.attempt DESC) AS last GROUP BY outcome ORDER BY outcome");
}

sub all_refused
{
	my ($event, $count, $test_name) = @_;

	is(outcomes($event), 'forbidden_address|' . $count * @formats . '|', "R7: $test_name: each refused, in each format");
	return;
}

# As literals.  A dot after an address makes it a name, or the same address: libcurl's releases do not agree.

my @literals = map { my $a = $_; map { [ $_, $a ] } $a =~ /:/ ? spellings_v6($a) : spellings_v4($a) } @all;
note(scalar(@literals) . ' spellings of ' . scalar(@v4) . ' IPv4 and ' . scalar(@v6) . ' IPv6 addresses');
subscribe('literal', @literals);
emit('literal', 1);
all_refused('literal', scalar(@literals), 'plain, octal, hex, mixed, short, one number; IPv6 short, in full, with a dotted end');
subscribe('dotted', map { [ "$_.", $_ ] } @v4);
emit('dotted', 1);
unlike(outcomes('dotted'), qr/^(?!forbidden_address|unresolved)/m, 'R7: IPv4 followed by a dot');

# As names

subscribe('name', map { ([ "name$_.test", $all[$_] ], [ "name$_.test.", $all[$_] ]) } 0 .. $#all);
emit('name', 1);
all_refused('name', 2 * @all, 'names, with and without a trailing dot');
is(requests_so_far(), 0, 'R7: the receiver at these addresses sees no request');

# Token URLs: addresses are refused at once, names when they are resolved

is(sql("CREATE FUNCTION accepted(host text) RETURNS boolean LANGUAGE plpgsql AS \$\$
	BEGIN
		PERFORM webhook.create_webhook('token', 'literal', 'https://example.com/', oauth => jsonb_build_object(
			'token_url', 'http://' || host || '/token', 'grant', 'client_credentials', 'client_id', 'a', 'client_secret', 'b'));
		RETURN true;
	EXCEPTION WHEN invalid_parameter_value THEN
		RETURN false;
	END \$\$;
	SELECT string_agg(host, ' ') FILTER (WHERE accepted(host)) FROM unnest('{" . join(',', map { $_->[0] } @literals) . "}'::text[]) AS host"),
	'', 'R7: token URLs: none of the spellings is accepted');
sql("SELECT count(webhook.create_webhook('token', 'token', 'http://ready.test/', name => host, retry_schedule => '{0,1d}', oauth =>
		jsonb_build_object('token_url', url, 'grant', 'client_credentials', 'client_id', 'a', 'client_secret', 'b')))
	   FROM unnest('{" . join(',', map { "name$_.test" } 0 .. $#all) . "}'::text[], '{" .
	join(',', map { "http://name$_.test:" . (is_v6($all[$_]) ? $receiver_v6 : $receiver_v4)->port . '/token' } 0 .. $#all) . "}'::text[]) AS h (host, url)");
emit('token', 1);
is(sql("SELECT l.outcome, l.error LIKE 'no access token: address % is not allowed by webhook.allowed_networks', count(DISTINCT w.name)
	  FROM webhook.webhook w JOIN webhook.last_attempts l ON l.webhook_id = w.id WHERE w.app = 'token' GROUP BY 1, 2"),
	'oauth|t|' . @all, 'R7: token URLs: each name is refused');
is(requests_so_far(), 0, 'R7: token URLs: the receiver sees no request');

# Through a proxy, which is not even connected to: addresses are never left to it, names only if so configured.

my $proxy = IO::Socket::INET->new(Listen => 1000, LocalAddr => '127.0.0.1') or die $!;
my @all_formats = splice(@formats, 1);

sub set_proxy
{
	my ($url, $resolve) = @_;

	sql("ALTER SYSTEM SET webhook.proxy = '$url'");
	sql("ALTER SYSTEM SET webhook.proxy_resolve = '$resolve'");
	$node->reload;
	becomes("SELECT current_setting('webhook.proxy') || current_setting('webhook.proxy_resolve')", $url . $resolve, 'the proxy is set');
	return;
}

set_proxy('http://127.0.0.1:' . $proxy->sockport, 'proxy');
subscribe('literal_proxied', @literals);
emit('literal_proxied', 1);
all_refused('literal_proxied', scalar(@literals), 'through a proxy, each spelling');
set_proxy('http://127.0.0.1:' . $proxy->sockport, 'local');
subscribe('name_proxied', map { [ "name$_.test", $all[$_] ] } 0 .. $#all);
emit('name_proxied', 1);
all_refused('name_proxied', scalar(@all), 'through a proxy, names that are resolved here');
ok(!IO::Select->new($proxy)->can_read(0), 'R7: the proxy has not been connected to');
is(requests_so_far(), 0, 'R7: nor does the receiver see a request');
set_proxy('', 'local');
push @formats, @all_formats;

# Rebinding: a public address for the first attempt, the forbidden one for the second.  The worker is restarted in
# between, so that it looks the names up again.

$_->behave('/changing', status => 503, close => 1) foreach $receiver_v4, $receiver_v6;
my @changing = map { "changing$_.test" } 0 .. $#all;
subscribe('changing', map { [ $changing[$_], $all[$_] ] } 0 .. $#all);
emit('changing', 1);
is(outcomes('changing'), 'server_error|' . @formats * @all . '|' . join(' ', sort { $a cmp $b } @changing),
	'R7: rebinding: the first attempt reaches the public address');
my $before = requests_so_far();
is($before, @formats * @all, 'R7: rebinding: each of them once');
PrivateNetwork::publish((map { ($changing[$_] => [ $all[$_] ]) } 0 .. $#all), 'ready.test' => ['93.184.216.35']);
sql("SELECT pg_terminate_backend(pid, 60000) FROM webhook.stat_workers WHERE pid IS NOT NULL");
sql("SELECT count(webhook.update_webhook(id, '{\"retry_schedule\": [\"0\", \"0\", \"1 d\"]}')) FROM webhook.get_webhooks('changing')");
finished('changing', 2);
all_refused('changing', scalar(@all), 'rebinding');
is(requests_so_far(), $before, 'R7: rebinding: the receiver sees no further connection');

# It was the guard that refused them: with everything allowed, the receiver is reached at each address that TCP can use,
# which are all but multicast, broadcast and link-local ones.

sub unreachable
{
	my ($address) = @_;

	return $address =~ /^(::ffff:)?(22[4-9]|23\d)\.|^(255|127)\.255\.255\.255$|^ff|^fe[89ab]/;
}

# What has been refused would be tried again as soon as it is allowed.
my @ids = split(/\n/, sql('SELECT id FROM webhook.webhook'));
while (my @some = splice(@ids, 0, 200))
{
	sql('SELECT count(webhook.delete_webhook_by_id(id)) FROM unnest(ARRAY[' . join(', ', @some) . ']) AS id');
}
$node->append_conf('postgresql.conf', "webhook.allowed_networks = '0.0.0.0/0, ::/0'");
$node->reload;
becomes('SHOW webhook.allowed_networks', '0.0.0.0/0, ::/0', 'everything is allowed');
my @reachable = grep { !unreachable($_) } @all;
subscribe('allowed', map { [ /:/ ? "[$_]" : $_, $_ ] } @reachable);
emit('allowed', 1);
is(outcomes('allowed'), 'delivered|' . @formats * @reachable . '|' . join(' ', sort { $a cmp $b } map { /:/ ? "[$_]" : $_ } @reachable),
	'W9: when they are allowed, all of them can be reached, in each format');
is(requests_so_far() - $before, @formats * @reachable, 'W9: the receiver has been at each of them');

# The test itself has made one connection to each of them, to set how it behaves.
my ($first_v4, $first_v6) = map { (sort { $a <=> $b } map { $_->{connection} } $_->requests('/allowed'))[0] } $receiver_v4, $receiver_v6;
is($first_v4 - 2 + $first_v6 - 2, $before, 'R7: until then it saw connections to public addresses only, not even one without a request');

done_testing();
