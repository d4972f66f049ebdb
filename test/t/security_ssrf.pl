# The server cannot be made to connect to forbidden addresses: every special address, in any spelling.
#
# security_ssrf_table.pl tests the whole table, each address in all spellings and formats.
#
# Mission: W9, R7.

use strict;
use warnings;

use PrivateNetwork;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql);

my @special_ipv4 = qw(0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254
  169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255
  198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255);
my @special_ipv6 = qw(:: ::1 fe80::1 febf::1 fec0::1 fc00::1 fdff::1 ff02::1 2001::1 2001:db8::1 3fff::1 100::1 2002::1
  5f00::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe 64:ff9b::7f00:1 64:ff9b::169.254.169.254 2002:7f00:1::1
  2002:a00:1::1 ::127.0.0.1);
my @disguised = qw(0177.0.0.1 0x7f.0.0.1 0x7f000001 2130706433 017700000001 127.1 127.0.1 0 0x0 localhost localhost.
  0251.0376.0251.0376 0xa9fea9fe 2852039166 169.16689662 0xC0.0xA8.0.1 10.1 3232235521 LOCALHOST);

PrivateNetwork::publish(
	(map { ("v4-$_.test" => [ $special_ipv4[$_] ]) } 0 .. $#special_ipv4),
	(map { ("v6-$_.test" => [ $special_ipv6[$_] ]) } 0 .. $#special_ipv6),
	'xn--bcher-kva.test' => ['10.0.0.1'],
	'localhost' => ['127.0.0.1'],
	'public6.test' => ['2606:2800:220:1::1'],
	'both.test' => [ '10.0.0.1', '93.184.216.35' ],
	'rebind.test' => ['93.184.216.36'],
	'public.test' => ['93.184.216.34']);

# Proxies in the environment must not be used.
my $proxy = WebhookTest::Receiver->start;
local @ENV{qw(http_proxy HTTP_PROXY https_proxy all_proxy ALL_PROXY)} = ($proxy->url('')) x 5;
my $node = WebhookTest::start_node('ssrf', "webhook.allowed_networks = ''", "webhook.timeout = 10s");
delete @ENV{qw(http_proxy HTTP_PROXY https_proxy all_proxy ALL_PROXY)};

my $v4 = WebhookTest::Receiver->start(host => '0.0.0.0');
my $v6 = WebhookTest::Receiver->start(host => '::', port => 0);
my @formats = qw(entity rest standard cloudevents cloudevents-binary thin);
my @methods = qw(POST GET PUT DELETE PATCH);
my $i = 0;

# Webhooks for these hosts, with formats and methods in rotation; then check that each is refused.
sub subscribe
{
	my ($event, $port, @hosts) = @_;

	foreach my $host (@hosts)
	{
		my $format = $formats[ $i % @formats ];
		my $method = $methods[ $i++ % @methods ];

		WebhookTest::create_webhook($node, app => "'$event'", event => "'$event'", name => "'$host'",
			url => "'http://$host:$port/$event'", format => "'$format'", method => "'$method'",
			retry_schedule => "'{0}'");
	}
	return scalar(@hosts);
}

sub emit
{
	my ($event) = @_;

	sql("SELECT webhook.emit('$event', '{}')");
	WebhookTest::wait_until_delivered($node);
	$node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM webhook.get_webhooks('$event') w
		  WHERE NOT EXISTS (SELECT FROM webhook.get_webhook_log(w.id))")
	  or BAIL_OUT('no log');
	return;
}

sub outcomes
{
	my ($event) = @_;

	return sql(
		"SELECT string_agg(DISTINCT l.outcome, ','), string_agg(w.name, ' ') FILTER (WHERE l.outcome <> 'forbidden_address')
		   FROM webhook.get_webhooks('$event') w, webhook.get_webhook_log(w.id) l");
}

# As literals

subscribe('literal.v4', $v4->port, @special_ipv4);
subscribe('literal.v6', $v6->port, map { "[$_]" } @special_ipv6);
subscribe('literal.other', $v4->port, @disguised, 'xn--bcher-kva.test');
emit('literal.v4');
is(outcomes('literal.v4'), 'forbidden_address|', 'R7: every special IPv4 address is refused, as a literal');
emit('literal.v6');
is(outcomes('literal.v6'), 'forbidden_address|', 'R7: every special IPv6 address, mapped and NAT64 ones too');
emit('literal.other');
is(outcomes('literal.other'), 'forbidden_address|', 'R7: octal, hex, dword, short, trailing dot, localhost and IDN');

subscribe('dotted', $v4->port, '127.0.0.1.');
emit('dotted');
like(outcomes('dotted'), qr/^(forbidden_address|unresolved)\|/, 'R7: an address followed by a dot is invalid or the same');

# As names

subscribe('name.v4', $v4->port, map { "v4-$_.test" } 0 .. $#special_ipv4);
subscribe('name.v6', $v6->port, map { "v6-$_.test" } 0 .. $#special_ipv6);
emit('name.v4');
is(outcomes('name.v4'), 'forbidden_address|', 'R7: a name that resolves to a special IPv4 address');
emit('name.v6');
is(outcomes('name.v6'), 'forbidden_address|', 'R7: a name that resolves to a special IPv6 address');

like(
	sql("SELECT l.error FROM webhook.get_webhooks('name.v4') w, webhook.get_webhook_log(w.id) l WHERE w.name = 'v4-2.test'"),
	qr/10\.0\.0\.1/, 'W9: the log names the address');

# The receivers were listening all the time: the first connection that they see is the allowed one.

subscribe('public.v4', $v4->port, '93.184.216.34');
subscribe('public.v6', $v6->port, 'public6.test');
emit($_) foreach qw(public.v4 public.v6);
my @v4 = $v4->requests;
my @v6 = $v6->requests;
is(join(',', map { "$_->{path} $_->{connection}" } @v4), '/public.v4 1', 'R7: no connection over IPv4 but to a public address');
is(join(',', map { "$_->{path} $_->{connection}" } @v6), '/public.v6 1', 'R7: no connection over IPv6 but to a public address');
is(scalar($proxy->requests), 0, 'W9: proxies in the environment are not used');

# A redirect is not followed, wherever it leads

$v4->behave('/redirect', status => 302, location => 'http://10.0.0.1:' . $v4->port . '/redirected');
subscribe('redirect', $v4->port, 'public.test');
emit('redirect');
is(scalar($v4->requests('/redirect')), 1, 'W9: a request is answered with a redirect');
is(scalar($v4->requests('/redirected')), 0, 'W9: the redirect is not followed');
like(sql("SELECT l.outcome || ' ' || l.response_headers FROM webhook.get_webhooks('redirect') w, webhook.get_webhook_log(w.id) l"),
	qr{redirect.*Location: http://10\.0\.0\.1}s, 'W4: the log shows where it leads');

# A name with a public and a private address

subscribe('both', $v4->port, 'both.test');
emit('both');
my @both = $v4->requests('/both');
ok(@both <= 1, 'R7: of two addresses only the public one is connected to');

# A name that changes its address between two attempts.  The worker is restarted, so that it looks the name up again.

$v4->behave('/rebind', status => 503, close => 1);
my $rebind = WebhookTest::create_webhook($node, app => "'rebind'", event => "'rebind'",
	url => "'http://rebind.test:" . $v4->port . "/rebind'", retry_schedule => "'{0,1 s,1 s,1 s}'");
sql("SELECT webhook.emit('rebind', '{}')");
ok($v4->wait_for_count(1, '/rebind'), 'R7: the first attempt reaches the public address');
PrivateNetwork::publish('rebind.test' => ['127.0.0.1']);
my $before = scalar($v4->requests('/rebind'));
sql("SELECT pg_terminate_backend(pid, 60000) FROM webhook.stat_workers WHERE pid IS NOT NULL");
WebhookTest::wait_until_delivered($node);
my $after = scalar($v4->requests('/rebind'));
ok($after <= 3, 'R7: when the name resolves to a private address, the receiver gets nothing more');
ok( $node->poll_query_until('postgres',
		"SELECT bool_or(outcome = 'forbidden_address' AND attempt > 1) FROM webhook.get_webhook_log($rebind)"),
	'R7: the attempt is refused');

# What allowed_networks lists can be reached, and nothing else

$node->append_conf('postgresql.conf', "webhook.allowed_networks = '10.0.0.0/8'");
$node->reload;
subscribe('open', $v4->port, '10.0.0.1', '[::ffff:10.0.0.2]');
subscribe('closed', $v4->port, '11.0.0.1', '127.0.0.1', '192.168.0.1');
emit($_) foreach qw(open closed);
like(outcomes('open'), qr/^delivered\|/, 'W9: an allowed network can be reached');
is( sql("SELECT string_agg(w.name || ' ' || l.outcome, ', ' ORDER BY w.name)
		   FROM webhook.get_webhooks('closed') w, webhook.get_webhook_log(w.id) l"),
	'11.0.0.1 delivered, 127.0.0.1 forbidden_address, 192.168.0.1 forbidden_address',
	'W9: other private networks cannot');

# URLs that name no network host

foreach my $url ('unix:/run/postgresql/.s', 'file:///etc/passwd', 'http://user:secret@10.0.0.1/', "http://b\x{c3}\x{bc}cher.test/",
	'http://[fe80::1%25lo]/', 'http://127.0.0.1\@public.test/', 'gopher://10.0.0.1/')
{
	WebhookTest::fails_with($node, "SELECT webhook.create_webhook('x', 'x.y', '$url')", '22023', 'argument "url"',
		"R7: refused when it is created: $url");
}

done_testing();
