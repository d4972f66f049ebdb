# Requests through a proxy: tinyproxy, the same behind TLS, and microsocks, all with a user and password.  What the proxy
# does wrong is reported once and costs no attempt; what it says of a receiver is the receiver's fault.
#
# Mission: X7, X11, X12, W2, W4, W9; goals: R7.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IO::Socket::INET;
use IO::Socket::IP;
use JSON::PP;
use Needs;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WebhookTest qw(sql emit becomes let_pass);

my $programs = ($ENV{WEBHOOK_FILES} // '') . '/proxies/usr/bin';
Needs::skip_all('tinyproxy and microsocks are not there') if !-x "$programs/tinyproxy" || !-x "$programs/microsocks";

my $dir = PostgreSQL::Test::Utils::tempdir();
my $password = 'p@ss:w/rd%';
my $encoded = 'p%40ss%3Aw%2Frd%25';
my %running;

sub free_port
{
	return IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
}

sub start
{
	my ($name, $port, @command) = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open(STDOUT, '>>', "$dir/$name.out");
		open(STDERR, '>&', \*STDOUT);
		exec(@command) or exit 1;
	}
	$running{$name} = $pid;
	foreach (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
		usleep(10_000);
	}
	BAIL_OUT("$name did not start");
	return;
}

sub stop
{
	my ($name) = @_;
	my $pid = delete $running{$name} or return;

	kill('KILL', $pid);
	waitpid($pid, 0);
	return;
}

END
{
	local $?;
	stop($_) foreach keys %running;
}

my ($http_port, $socks_port) = (free_port(), free_port());

# It does not connect to 127.0.0.3.
sub start_tinyproxy
{
	my (%options) = @_;
	my $user = $options{password} ? "BasicAuth user $options{password}\n" : '';

	PostgreSQL::Test::Utils::append_to_file("$dir/filter", '') if !-e "$dir/filter";
	open(my $conf, '>', "$dir/tinyproxy.conf") or die $!;
	print $conf "Listen 127.0.0.1\nPort $http_port\nTimeout 600\nMaxClients 100\nLogFile \"$dir/tinyproxy.log\"\nLogLevel Connect\n"
	  . "Filter \"$dir/filter\"\nFilterExtended On\n$user";
	close($conf);
	start('tinyproxy', $http_port, "$programs/tinyproxy", '-d', '-c', "$dir/tinyproxy.conf");
	return;
}

sub proxy_log
{
	return -e "$dir/tinyproxy.log" ? slurp_file("$dir/tinyproxy.log") : '';
}

my $node = WebhookTest::start_node('proxy', "webhook.clock_offset = '0'", "webhook.timeout = '10s'",
	"webhook.no_proxy = '127.0.0.2'", "webhook.secrets_directory = '$dir'");
my $receiver = WebhookTest::Receiver->start;
my $near = WebhookTest::Receiver->start(host => '127.0.0.2');
my $denied = WebhookTest::Receiver->start(host => '127.0.0.3');

# Change settings, and wait until the worker has them: it has written a test's result with them.
sub set
{
	my (%settings) = @_;

	sql("ALTER SYSTEM SET $_ = '$settings{$_}'") foreach sort keys %settings;
	$node->reload;
	return;
}

# Bad values; nothing of a URL is repeated, or stored.  The messages come in the order of the statements.

my @bad_urls = (
	[ 'ftp://host:21', 'does not begin with' ], [ 'proxy:3128', 'does not begin with' ], [ 'socks5://h:1080', 'does not begin with' ],
	[ 'socks4://h:1080', 'does not begin with' ], [ 'socks4a://h:1080', 'does not begin with' ], [ 'file:///etc/passwd', 'does not begin with' ],
	[ ' http://h:1', 'does not begin with' ], [ "http:\n//h:1", 'does not begin with' ],
	[ "http://h\r\n:1", 'line break' ], [ "http://h:1\nX-Injected: 1", 'line break' ], [ "http://h:1\r", 'line break' ], [ 'http://' . 'h' x 1_000_000 . ':1', 'host is missing' ],
	[ 'http://u:' . 'secretword' x 100_000 . '@h:1', 'too long' ],
	[ 'http://:3128', 'host is missing' ], [ 'http://host', 'port is missing' ], [ 'http://host:99999', 'port is missing' ],
	[ 'http://host:3128/path', 'port is missing' ], [ 'http://user:secretword@', 'host is missing' ],
	[ 'http://:secretword@host:1', 'user is missing' ], [ "http://secretword:x\n\@host:1", 'line break' ],
	[ 'http://user:secretword%0d%0aX@host:1', 'control characters' ], [ 'http://user:secretword%@host:1', '%' ]);
my @bad_lists = ('10.0.0.0/33', 'a b', 'http://x', 'host:80', 'a,,b', 'a,', 'a..', "a\nb", '[::1', 'x' x 1_000_000);
my (undef, undef, $errors) = $node->psql('postgres',
	join('', "\\set VERBOSITY verbose\n", (map { "ALTER SYSTEM SET webhook.proxy = '$_->[0]';\n" } @bad_urls), map { "ALTER SYSTEM SET webhook.no_proxy = '$_';\n" } @bad_lists),
	on_error_stop => 0);
my @details = $errors =~ /^psql:.* ERROR:  22023: invalid value for parameter "webhook.proxy"\nDETAIL:  (.*)\nHINT:  Specify/mg;
is(scalar(@details), @bad_urls, 'X7: bad URLs are refused, with SQLSTATE and hint');
like($details[$_], qr/$bad_urls[$_][1]/, "X7: $bad_urls[$_][1]") foreach 0 .. $#details;
unlike($errors, qr/secretword/, 'X7: the messages do not repeat them');
is(scalar(() = $errors =~ /^psql:.* ERROR:  22023: invalid value for parameter "webhook.no_proxy": "[^"]*"\nDETAIL:  .*\nHINT:  Specify/mg), @bad_lists, 'X7: bad lists in no_proxy are refused');
is(sql("SELECT count(*) FROM pg_file_settings WHERE name IN ('webhook.proxy', 'webhook.no_proxy') AND sourcefile LIKE '%auto.conf'"), 0, 'X7: none of them is stored');

# Through tinyproxy, with the address that was resolved here; in plain text and by TLS.

start_tinyproxy(password => 'other');
stop('tinyproxy');
open(my $filter, '>', "$dir/filter") or die $!;
print $filter "^127\\.0\\.0\\.3\$\n";
close($filter);
start_tinyproxy(password => 'pass');
set('webhook.proxy' => "http://user:pass\@127.0.0.1:$http_port");
becomes('SHOW webhook.proxy', "http://user:***\@127.0.0.1:$http_port", 'X7: the password is not shown');
is(sql("SELECT count(*) FROM pg_settings WHERE name LIKE 'webhook.%' AND setting || COALESCE(reset_val, '') LIKE '%:pass%'"), 0,
	'X7: nor in pg_settings');
my $id = $receiver->webhook('/a', headers => q('{"Authorization": "Bearer receiver-only"}'));
emit(1, 'x');
$receiver->arrives('/a', 1, 'X7: a message goes through the proxy');
like(proxy_log(), qr/CONNECT 127\.0\.0\.1:${\$receiver->port}/, 'X7: by CONNECT, although the URL is http');
emit(2, 'x');
$receiver->arrives('/a', 2, 'X7: so does the next');
my @connections = map { $_->{connection} } $receiver->requests('/a');
is($connections[0], $connections[1], 'X7: over the same connection');

my $local_name = $receiver->url('/name') =~ s/127\.0\.0\.1/localhost/r;
WebhookTest::create_webhook($node, app => "'app'", event => "'thing.done'", url => "'$local_name'");
emit(3);
$receiver->arrives('/name', 1, 'X7: a name is resolved here');
unlike(proxy_log(), qr/CONNECT localhost/, 'X7: the proxy gets the address');
like(($receiver->requests('/name'))[0]->{headers}{host} // join(' ', map { ref ? @$_ : $_ } %{ ($receiver->requests('/name'))[0]->{headers} // {} }),
	qr/localhost/, 'X7: and the receiver the name');
becomes("SELECT string_agg(DISTINCT outcome, ' ') FROM webhook.webhook AS w, webhook.get_webhook_log(w.id) WHERE w.url = '$local_name'", 'delivered',
	'X7: another address of the name at which nobody listens costs no attempt');
WebhookTest::end_test($receiver);

# A receiver's faults remain its own.

my $closed = free_port();
my $gone = WebhookTest::create_webhook($node, app => "'app'", event => "'thing.done'", url => "'http://127.0.0.1:$closed/'", retry_schedule => "'{0,1d}'");
my $unknown = WebhookTest::create_webhook($node, app => "'app'", event => "'thing.done'", url => "'http://nowhere.invalid/'", retry_schedule => "'{0,1d}'");
my $private = WebhookTest::create_webhook($node, app => "'app'", event => "'thing.done'", url => "'http://10.1.2.3/'", retry_schedule => "'{0,1d}'");
emit(1);
becomes("SELECT string_agg(outcome || attempt, ' ' ORDER BY webhook_id) FROM webhook.last_attempts WHERE webhook_id IN ($gone, $unknown, $private)",
	'refused1 unresolved1 forbidden_address1', 'X7: a port that is closed, a name that does not exist, and a private address cost an attempt');
set('webhook.proxy_resolve' => 'proxy');
becomes('SHOW webhook.proxy_resolve', 'proxy', 'the proxy resolves');
my $there = WebhookTest::create_webhook($node, app => "'app'", event => "'other.done'", url => "'http://resolved-there.invalid/'", retry_schedule => "'{0,1d}'");
my @literals = map { WebhookTest::create_webhook($node, app => "'app'", event => "'other.done'", url => "'http://$_/'", retry_schedule => "'{0,1d}'") }
  ('10.1.2.3', '0x0a.1.2.3', '167838211', '[::ffff:10.1.2.3]', '[fd00::1]');
sql("SELECT webhook.emit('other.done', '{}')");
becomes("SELECT outcome FROM webhook.last_attempts WHERE webhook_id = $there", 'refused', 'X7: the proxy says that a name does not exist: the receiver\'s fault');
like(proxy_log(), qr/CONNECT resolved-there\.invalid:80/, 'X7: the proxy got the name');
becomes('SELECT string_agg(DISTINCT outcome, \' \') || count(*) FROM webhook.last_attempts WHERE webhook_id IN (' . join(', ', @literals) . ')',
	'forbidden_address5', 'R7: addresses in URLs are judged nevertheless, in any spelling');
is(sql("SELECT count(*) FROM webhook.notification WHERE kind = 'proxy'"), 0, 'X7: none of this is reported as the proxy\'s');
set('webhook.proxy_resolve' => 'local');
WebhookTest::end_test($receiver);

# The proxy is gone: who does not need it notices nothing, the rest waits and is sent in order.

sub proxy_notifications
{
	return "SELECT count(*) FROM webhook.notification WHERE kind = 'proxy' AND webhook_id IS NULL";
}

my $order = $receiver->webhook('/order', max_in_flight => 1);
my $direct = $near->webhook('/near');
emit(0, 'k');
$receiver->arrives('/order', 1, 'X7: the proxy works');
stop('tinyproxy');
sql(q{SELECT count(webhook.emit('thing.done', jsonb_build_object('n', n), 'k')) FROM generate_series(1, 20) n});
$near->arrives('/near', 21, 'X7: hosts in no_proxy get their messages while the proxy is down');
becomes("SELECT proxy_failing_since IS NOT NULL FROM webhook.stat_workers WHERE database = 'postgres'", 't', 'X7: stat_workers shows since when it is down');
like(sql('SELECT webhook.metrics()'), qr/^webhook_proxy_failing_seconds\{database="postgres"\} [0-9.]*[1-9]/m, 'X11: the metrics how long');
like(sql('SELECT webhook.status_page()'), qr/<strong>The proxy does not work\.<\/strong>Messages have waited for webhook\.proxy for /, 'X12: the page what is wrong');
like(sql("SELECT webhook.status_page($direct)"), qr/<strong>The proxy does not work\./, 'X12: that of a webhook as well');
becomes(proxy_notifications(), 1, 'X7: there is a notification');
becomes("SELECT count(*) FROM webhook.undelivered WHERE webhook_id = $order", 20, 'X7: everything is kept');
is(sql("SELECT COALESCE(max(attempts), 0) FROM webhook.undelivered WHERE webhook_id = $order"), 0, 'X7: without having lost an attempt');
my $pid = WebhookTest::worker_pid();
sql("SELECT pg_terminate_backend($pid, 60000)");
becomes("SELECT pid IS DISTINCT FROM $pid AND pid IS NOT NULL FROM webhook.stat_workers WHERE database = 'postgres'", 't', 'X7: another worker is started');
sql("CREATE TABLE thing (id int PRIMARY KEY); INSERT INTO thing VALUES (1); SELECT webhook.watch('thing', 'thing')");
my $test = sql("SELECT webhook.test_webhook($order)");
becomes("SELECT outcome FROM webhook.last_attempts WHERE webhook_id = $order AND message_id = '$test'", 'proxy', 'X7: a test shows it at once');
let_pass(60);
becomes(proxy_notifications(), 1, 'X7: it is reported once');
start_tinyproxy(password => 'pass');
let_pass(60);
$receiver->arrives('/order', 21, 'X7: when it is back, all arrive');
is(join(' ', grep { defined } $receiver->numbers('/order')), join(' ', 0 .. 20), 'X7: in order, each once');
becomes("SELECT proxy_failing_since IS NULL FROM webhook.stat_workers WHERE database = 'postgres'", 't', 'X7: stat_workers shows that it works');
is(sql("SELECT failing_since IS NULL AND failed = 0 FROM webhook.stat_webhooks WHERE webhook_id = $order"), 't', 'X7: nothing was held against the receiver');

# It is killed while a request is under way over a connection that was used before: libcurl itself sends that again, and cannot connect.
my $held = $receiver->webhook('/held', event => "'held.done'");
my $so_far = sql(proxy_notifications());
sql("SELECT webhook.emit('held.done', '{}')");
$receiver->arrives('/held', 1, 'X7: a connection through the proxy');
$receiver->behave('/held', hold => 1);
sql("SELECT webhook.emit('held.done', '{}')");
$receiver->arrives('/held', 2, 'X7: a request is under way');
stop('tinyproxy');
becomes(proxy_notifications(), $so_far + 1, 'X7: the proxy is killed: a notification');
becomes("SELECT state || attempts FROM webhook.undelivered WHERE webhook_id = $held", 'retrying0', 'X7: ... and no attempt is lost');
is(sql("SELECT failing_since IS NULL FROM webhook.get_webhooks() WHERE id = $held"), 't', 'X7: ... which is not held against the receiver');
$receiver->behave('/held');
start_tinyproxy(password => 'pass');
let_pass(60);
$receiver->arrives('/held', 3, 'X7: ... and it is sent again');
sql("SELECT webhook.delete_webhook_by_id($held)");

# What can be reached directly, but needs a token from beyond the proxy
my $server = WebhookTest::Receiver->start;
my $tokens = sub { $near->webhook($_[0], event => "'$_[1].done'", ordering => "'none'",
		oauth => qq('{"grant": "client_credentials", "client_id": "c", "client_secret": "s", "token_url": "${\$server->url($_[0])}"}')) };
$server->behave($_, token => 86400) foreach '/granted', '/wanted';
my $granted = $tokens->('/granted', 'granted');
my $wanted = $tokens->('/wanted', 'wanted');
sql("SELECT webhook.emit('granted.done', '{}')");
$near->arrives('/granted', 1, 'X8: a token through the proxy, a message without');
stop('tinyproxy');
my $notified = sql(proxy_notifications());
sql("SELECT webhook.emit('wanted.done', '{}') FROM generate_series(1, 3)");
becomes(proxy_notifications(), $notified + 1, 'X8: the proxy is down when a token is needed');
sql("SELECT webhook.emit('granted.done', '{}')");
$near->arrives('/granted', 2, 'X8: who has one goes on');
becomes("SELECT count(*), max(attempts) FROM webhook.undelivered WHERE webhook_id = $wanted", '3|0', 'X8: the others wait');
let_pass(7200);
becomes("SELECT count(*), max(attempts) FROM webhook.undelivered WHERE webhook_id = $wanted", '3|0', 'X8: ... and lose nothing');
becomes("SELECT failing_since IS NULL FROM webhook.get_webhooks() WHERE id = $wanted", 't', 'X8: it does not count against them');
is(sql("SELECT count(*) FROM webhook.notification WHERE webhook_id = $wanted"), 0, 'X8: and nothing is reported of them');
start_tinyproxy(password => 'pass');
let_pass(60);
$near->arrives('/wanted', 3, 'X8: when it is back, they have a token');
sql("SELECT webhook.delete_webhook_by_id($_)") foreach $granted, $wanted;

# It rejects us, or hangs.

sub fails_and_recovers
{
	my ($what, $error, $break, $mend) = @_;
	my $before = sql(proxy_notifications());
	my $arrived = $receiver->count('/order');

	$break->();
	emit(100, 'k');
	becomes(proxy_notifications(), $before + 1, "X7: $what: a notification");
	like(sql("SELECT message FROM webhook.notification WHERE kind = 'proxy' ORDER BY id DESC LIMIT 1"), $error, "X7: $what: the reason");
	becomes("SELECT state || attempts FROM webhook.undelivered WHERE webhook_id = $order", 'retrying0', "X7: $what: no attempt is lost")
	  if $what !~ /hangs/;
	$mend->();
	let_pass(60);
	$receiver->arrives('/order', $arrived + 1, "X7: $what: it goes on");
	return;
}

fails_and_recovers('a wrong password', qr/rejects the user or password/,
	sub { set('webhook.proxy' => "http://user:wrongword\@127.0.0.1:$http_port"); becomes('SHOW webhook.proxy', "http://user:***\@127.0.0.1:$http_port", 'set'); },
	sub { set('webhook.proxy' => "http://user:pass\@127.0.0.1:$http_port"); });
fails_and_recovers('no password', qr/asks for a user and password/,
	sub { set('webhook.proxy' => "http://127.0.0.1:$http_port"); becomes('SHOW webhook.proxy', "http://127.0.0.1:$http_port", 'set'); },
	sub { set('webhook.proxy' => "http://user:pass\@127.0.0.1:$http_port"); becomes('SHOW webhook.proxy', "http://user:***\@127.0.0.1:$http_port", 'set'); });

# When it has connected before, such an answer may concern one host only.
my $before = $receiver->count('/order');
stop('tinyproxy');
start_tinyproxy(password => 'another');
emit(101, 'k');
becomes("SELECT count(*) FROM webhook.notification WHERE kind = 'proxy' AND webhook_id = $order", 1, 'X7: 407 for a host, after others were connected: a notification');
is(sql("SELECT proxy_failing_since IS NULL FROM webhook.stat_workers WHERE database = 'postgres'"), 't', 'X7: ... and only its webhook waits');
stop('tinyproxy');
start_tinyproxy(password => 'pass');
let_pass(60);
$receiver->arrives('/order', $before + 1, 'X7: ... until it is connected');

# ... and when it has not, another one is tried with: this proxy wants a password for 127.0.0.3, and can connect to nothing else
my $partial = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $!;
my $partial_pid = fork() // die "fork: $!";
if ($partial_pid == 0)
{
	while (my $client = $partial->accept)
	{
		my $request = '';
		while ($request !~ /\r\n\r\n/) { sysread($client, $request, 4096, length($request)) or last; }
		print $client 'HTTP/1.1 ', $request =~ /^CONNECT 127\.0\.0\.3:/ ? '407 Proxy Authentication Required' : '502 Bad Gateway',
		  "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
		close($client);
	}
	POSIX::_exit(0);
}
$running{partial} = $partial_pid;
my $special = $denied->webhook('/special', event => "'special.done'");
my $usual = $receiver->webhook('/usual', event => "'usual.done'", retry_schedule => "'{0,1d}'");
set('webhook.proxy' => 'http://127.0.0.1:' . $partial->sockport);
becomes('SHOW webhook.proxy', 'http://127.0.0.1:' . $partial->sockport, 'another proxy');
sql("SELECT webhook.emit('special.done', '{}')");
becomes("SELECT proxy_failing_since IS NOT NULL FROM webhook.stat_workers WHERE database = 'postgres'", 't', 'X7: 407 for the first host');
sql("SELECT webhook.emit('usual.done', '{}')");
becomes("SELECT outcome, attempt FROM webhook.last_attempts WHERE webhook_id = $usual", 'refused|1', 'X7: ... does not stop the others for long');
becomes("SELECT count(*) FROM webhook.notification WHERE kind = 'proxy' AND webhook_id = $special", 1, 'X7: ... and is reported as what it is');
becomes("SELECT proxy_failing_since IS NULL FROM webhook.stat_workers WHERE database = 'postgres'", 't', 'X7: ... of one host');
stop('partial');
sql("SELECT webhook.delete_webhook_by_id($_)") foreach $special, $usual;
set('webhook.proxy' => "http://user:pass\@127.0.0.1:$http_port");
becomes('SHOW webhook.proxy', "http://user:***\@127.0.0.1:$http_port", 'the former one');
emit(102, 'k');
$receiver->arrives('/order', $before + 2, 'X7: ... works');

sql("SELECT webhook.update_webhook($order, '{\"timeout\": \"500 ms\"}')");
fails_and_recovers('a proxy that hangs', qr/does not answer/,
	sub { kill('STOP', $running{tinyproxy}); set('webhook.timeout' => '9s'); becomes('SHOW webhook.timeout', '9s', 'connections are closed'); },
	sub { kill('CONT', $running{tinyproxy}); });
WebhookTest::end_test($receiver);

# A receiver that is dead does not make the proxy look dead.  The receiver's port is open, but nothing is accepted there.

my $deaf = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
my $slow = WebhookTest::create_webhook($node, app => "'app'", event => "'thing.done'", timeout => "'500 ms'", retry_schedule => "'{0,1d}'",
	url => "'https://127.0.0.1:" . $deaf->sockport . "/'");
emit(1);
becomes("SELECT outcome || attempt FROM webhook.last_attempts WHERE webhook_id = $slow", 'timeout1', 'X7: a receiver that hangs: its own fault');
is(sql("SELECT proxy_failing_since IS NULL FROM webhook.stat_workers WHERE database = 'postgres'"), 't', 'X7: the proxy is not suspected');
WebhookTest::end_test($receiver);

# It does not connect to one host: that webhook waits, the others do not.

my $refused = $denied->webhook('/denied', retry_schedule => "'{0,0}'");
my $other = $receiver->webhook('/other');
sql(q{SELECT count(webhook.emit('thing.done', jsonb_build_object('n', n), 'k')) FROM generate_series(1, 3) n});
$receiver->arrives('/other', 3, 'X7: a host that the proxy refuses: the others get theirs');
becomes("SELECT count(*) FROM webhook.notification WHERE kind = 'proxy' AND webhook_id = $refused", 1, 'X7: a host that the proxy refuses: a notification');
becomes("SELECT sum(attempts) || ' ' || count(*) FROM webhook.undelivered WHERE webhook_id = $refused", '0 3', 'X7: a host that the proxy refuses: no attempt is lost');
foreach my $round (1 .. 2)
{
	my $tried = sql("SELECT count(*) FROM webhook.get_webhook_log($refused)");

	let_pass(61);
	becomes("SELECT count(*) > $tried FROM webhook.get_webhook_log($refused)", 't', 'X7: a host that the proxy refuses: it is tried again');
}
is(sql("SELECT active FROM webhook.get_webhooks('app') WHERE id = $refused"), 't', 'X7: a host that the proxy refuses: it remains active');
stop('tinyproxy');
unlink("$dir/filter");
start_tinyproxy(password => 'pass');
let_pass(61);
$denied->arrives('/denied', 3, 'X7: a host that the proxy refuses: when it does not any more, all arrive');
WebhookTest::end_test($receiver);

# Connections are not shared after a change, not even with the same proxy.

my $kept = $receiver->webhook('/kept');
emit(1, 'x');
$receiver->arrives('/kept', 1, 'X7: a connection');
$receiver->behave('/kept', delay => 1500, times => 1);
emit(2, 'y');
becomes("SELECT in_flight FROM webhook.stat_workers WHERE database = 'postgres'", 1, 'X7: it is in use');
set('webhook.no_proxy' => '127.0.0.2, elsewhere.test');
becomes('SHOW webhook.no_proxy', '127.0.0.2, elsewhere.test', 'the settings are changed');
becomes("SELECT in_flight FROM webhook.stat_workers WHERE database = 'postgres'", 0, 'X7: its request has ended');
emit(3, 'z');
$receiver->arrives('/kept', 3, 'X7: the next request');
my %connection = map { JSON::PP::decode_json($_->{body})->{result}{n} => $_->{connection} } $receiver->requests('/kept');
is($connection{2}, $connection{1}, 'X7: a connection is used again');
isnt($connection{3}, $connection{2}, 'X7: but not after a change of the proxy\'s settings, although it was in use at that time');
WebhookTest::end_test($receiver);

# SOCKS5, with the name or the address.

start('microsocks', $socks_port, "$programs/microsocks", '-i', '127.0.0.1', '-p', $socks_port, '-u', 'user', '-P', $password);
set('webhook.proxy' => "socks5h://user:$encoded\@127.0.0.1:$socks_port");
becomes('SHOW webhook.proxy', "socks5h://user:***\@127.0.0.1:$socks_port", 'SOCKS5');
my $socks = $receiver->webhook('/socks');
emit(1, 'k');
$receiver->arrives('/socks', 1, 'X7: SOCKS5 with a password that has to be encoded');
set('webhook.proxy_resolve' => 'proxy');
becomes('SHOW webhook.proxy_resolve', 'proxy', 'the proxy resolves');
emit(2, 'k');
$receiver->arrives('/socks', 2, 'X7: SOCKS5 that resolves names');
my $closed_socks = WebhookTest::create_webhook($node, app => "'app'", event => "'other.done'", url => "'http://127.0.0.1:$closed/'", retry_schedule => "'{0,1d}'");
sql("SELECT webhook.emit('other.done', '{}')");
becomes("SELECT outcome || attempt FROM webhook.last_attempts WHERE webhook_id = $closed_socks", 'refused1', 'X7: SOCKS5: a port that is closed is the receiver\'s fault');
my $told = sql(proxy_notifications());
set('webhook.proxy' => "socks5h://user:wrongword\@127.0.0.1:$socks_port");
becomes('SHOW webhook.proxy', "socks5h://user:***\@127.0.0.1:$socks_port", 'SOCKS5');
let_pass(1);
emit(3, 'k');
becomes(proxy_notifications(), $told + 1, 'X7: SOCKS5: a wrong password is reported');
set('webhook.proxy' => "socks5h://user:$encoded\@127.0.0.1:$socks_port");
let_pass(60);
$receiver->arrives('/socks', 3, 'X7: SOCKS5: it goes on');
SKIP:
{
	# Containers may have none.
	IO::Socket::IP->new(Listen => 1, LocalHost => '::1') or skip('there is no IPv6 here', 1);
	my $six = WebhookTest::Receiver->start(host => '::1');

	$six->webhook('/six', event => "'six.done'");
	sql("SELECT webhook.emit('six.done', '{}')");
	$six->arrives('/six', 1, 'X7: SOCKS5: a receiver whose URL has an IPv6 address');
}
stop('microsocks');
WebhookTest::end_test($receiver);

# Addresses are sent as addresses, whoever resolves names.  This one records what it is asked for, and connects to nothing.

my $scribe = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $!;
my $scribe_pid = fork() // die "fork: $!";
if ($scribe_pid == 0)
{
	while (my $client = $scribe->accept)
	{
		sysread($client, my $greeting, 300);
		syswrite($client, "\x05\x00");
		sysread($client, my $request, 300);
		PostgreSQL::Test::Utils::append_to_file("$dir/scribe", unpack('H*', $request) . "\n");
		syswrite($client, "\x05\x04\x00\x01" . "\0" x 6);
		close($client);
	}
	POSIX::_exit(0);
}
$running{scribe} = $scribe_pid;
set('webhook.proxy' => 'socks5h://127.0.0.1:' . $scribe->sockport);
becomes('SHOW webhook.proxy', 'socks5h://127.0.0.1:' . $scribe->sockport, 'one that records');
foreach ([ 'proxy', '[::1]', '04' . '00' x 15 . '01' ], [ 'proxy', '127.0.0.9', '017f000009' ], [ 'proxy', 'there.invalid', '030d' . unpack('H*', 'there.invalid') ],
	[ 'local', '[0:0::1]', '04' . '00' x 15 . '01' ])
{
	my ($resolve, $host, $bytes) = @$_;
	my $asked = WebhookTest::create_webhook($node, app => "'app'", event => "'asked.done'", url => "'http://$host:8080/'", retry_schedule => "'{0,1d}'");

	set('webhook.proxy_resolve' => $resolve);
	becomes('SHOW webhook.proxy_resolve', $resolve, 'who resolves');
	sql("SELECT webhook.emit('asked.done', '{}')");
	becomes("SELECT outcome || attempt FROM webhook.last_attempts WHERE webhook_id = $asked", 'refused1', "X7: SOCKS5: $host cannot be reached");
	is(slurp_file("$dir/scribe") =~ /([^\n]+)\n\z/ ? $1 : '', "050100${bytes}1f90", "X7: SOCKS5: $host is sent as what it is");
	sql("SELECT webhook.delete_webhook_by_id($asked)");
}
stop('scribe');
WebhookTest::end_test($receiver);

# The same proxy behind TLS.

system("cd '$dir' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout relay.key -out relay.crt -days 2"
	  . " -subj /CN=relay -addext subjectAltName=IP:127.0.0.1 >/dev/null 2>&1") == 0 or BAIL_OUT('no certificate');
open(my $relay, '|-', 'python3', dirname(dirname(abs_path(__FILE__))) . '/tls_relay.py', "$dir/relay.crt", "$dir/relay.key", $http_port, "$dir/relay.port")
  or die $!;
foreach (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if -s "$dir/relay.port";
	usleep(10_000);
}
my $relay_port = slurp_file("$dir/relay.port");
$told = sql(proxy_notifications());
set('webhook.proxy' => "https://user:pass\@127.0.0.1:$relay_port");
becomes('SHOW webhook.proxy', "https://user:***\@127.0.0.1:$relay_port", 'by TLS');
my $tls = $receiver->webhook('/tls');
emit(1, 'k');
becomes(proxy_notifications(), $told + 1, 'X7: a proxy whose certificate nobody vouches for is not used');
set('webhook.proxy_ca_file' => "$dir/relay.crt");
$receiver->arrives('/tls', 1, 'X7: with its authority, it is');
my $secure = WebhookTest::Receiver->start(tls => [ "$dir/relay.crt", "$dir/relay.key" ]);
$secure->webhook('/secure', event => "'other.done'", ca_cert => "'" . slurp_file("$dir/relay.crt") . "'");
sql("SELECT webhook.emit('other.done', '{}')");
$secure->arrives('/secure', 1, 'X7: TLS to the receiver, within TLS to the proxy');
close($relay);

# Nobody has been told the passwords, and the environment's proxies count for nothing.

my $log = slurp_file($node->logfile);
unlike($log =~ s/^.*(?:LOG|STATEMENT):  (?:statement: )?ALTER SYSTEM.*$//mgr, qr/:pass@|wrongword|secretword|\Q$password\E|\Q$encoded\E/,
	'X7: no password is in the log');
is(sql("SELECT count(*) FROM webhook.notification WHERE message LIKE '%pass\@%' OR message LIKE '%wrongword%'"), 0, 'X7: nor in the notifications');
like($log, qr/LOG:  webhook deliveries wait for the proxy: proxy http:/, 'X7: the log tells that the proxy does not work');
like($log, qr/LOG:  webhook deliveries go on, as the proxy works again/, 'X7: and that it does');

done_testing();
