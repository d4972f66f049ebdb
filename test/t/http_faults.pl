# Receivers that misbehave in every known way: what the log says, and that the next delivery works.
#
# There is a webhook for each fault; all get the same message.  The receiver misbehaves once, then behaves, so that the
# retry, triggered by setting the clock, proves that no state is left behind.
#
# Mission: W4 W5 W9, E7; goals: R3; cases: C1.

use strict;
use warnings;

use Needs;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql becomes let_pass worker_pid worker_memory);

use constant ROUNDS => 8;           # of all faults, while the worker's memory is looked at
use constant MAX_GROWTH_KB => 4096;

my $node = WebhookTest::start_node('faults', "webhook.max_response_size = '10kB'", "webhook.clock_offset = '0'");
my $receiver = WebhookTest::Receiver->start;

# Certificates: a certificate authority, and certificates with every possible fault.

my $dir = PostgreSQL::Test::Utils::tempdir();

sub openssl
{
	system("cd '$dir' && openssl $_[0] >/dev/null 2>&1") == 0 or BAIL_OUT("openssl $_[0] failed");
	return;
}

sub certificate
{
	my ($name, $validity, $names) = @_;

	WebhookTest::make_certificate($dir, $name, 'ca', $validity, "subjectAltName=$names");
	return WebhookTest::Receiver->start(tls => [ "$dir/$name.crt", "$dir/$name.key" ]);
}

openssl('req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority');
openssl('req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self.key -out self.crt -days 2 -subj /CN=self'
	  . ' -addext subjectAltName=IP:127.0.0.1');
my $ca = slurp_file("$dir/ca.crt");
my $good = certificate('good', 'valid', 'IP:127.0.0.1');
my $expired = certificate('expired', 'expired', 'IP:127.0.0.1');
my $wrong = certificate('wrong', 'valid', 'DNS:other.test');
my $self_signed = WebhookTest::Receiver->start(tls => [ "$dir/self.crt", "$dir/self.key" ]);
my $gone = WebhookTest::Receiver->start;
my $closed_url = $gone->url('/');
$gone->stop;

# name; behaviour, or the URL of a receiver that cannot be reached; outcome, status and error in the log

my $limit = 'response larger than 10240 bytes';
my @faults = (
	[ 'created', { status => 201 }, 'delivered', 201, '' ],
	[ 'empty', { status => 204 }, 'delivered', 204, '' ],
	[ 'body of 204', { status => 204, body => 'unexpected' }, 'delivered', 204, '' ],
	[ 'interim answers', { informational => 3 }, 'delivered', 200, '' ],
	[ 'closed after the answer', { close => 1 }, 'delivered', 200, '' ],
	[ 'small gzip bomb', { gzip_bomb => 1 }, 'delivered', 200, '' ],
	[ 'moved', { status => 301, location => 'http://elsewhere.test/x' }, 'redirect', 301, 'Location: http://elsewhere.test/x' ],
	[ 'temporarily moved', { status => 307, location => '/y' }, 'redirect', 307, 'redirect not followed, Location: http://127.0.0.1:\d+/y' ],
	[ 'not modified', { status => 304 }, 'redirect', 304, '^HTTP status 304$' ],
	[ 'bad request', { status => 400 }, 'client_error', 400, '^HTTP status 400$' ],
	[ 'not found', { status => 404 }, 'client_error', 404, '^HTTP status 404$' ],
	[ 'too many', { status => 429 }, 'client_error', 429, '^HTTP status 429$' ],
	[ 'server error', { status => 500 }, 'server_error', 500, '^HTTP status 500$' ],
	[ 'unavailable', { status => 503, body => "sorry \x00 \x01" }, 'server_error', 503, '^HTTP status 503$' ],
	[ 'strange status', { status => 999 }, 'server_error', 999, '^HTTP status 999$' ],
	[ 'reset', { reset => 1 }, 'reset', '', 'connection lost while waiting for the response' ],
	[ 'hang before', { hang => 'before' }, 'timeout', '', '^timeout while waiting for the response$' ],
	[ 'hang in headers', { hang => 'headers' }, 'timeout', 200, '^timeout while receiving the response$' ],
	[ 'hang in body', { hang => 'body' }, 'timeout', 200, '^timeout while receiving the response$' ],
	[ 'a byte at a time', { drip => 50 }, 'timeout', undef, '^timeout while (receiving|waiting for) the response$' ],
	[ 'too slow', { delay => 60000 }, 'timeout', '', '^timeout while waiting for the response$' ],
	[ 'too large', { size => 10241 }, 'too_large', 200, $limit ],
	[ 'endless body', { endless => 1 }, 'too_large', 200, $limit ],
	[ 'large headers', { headers => 30000 }, 'too_large', 200, $limit ],
	[ 'huge headers', { headers => 10_000_000 }, 'too_large', 200, $limit ],
	[ 'huge header line', { broken => 'line' }, 'too_large', 200, $limit ],
	[ 'huge trailer', { broken => 'trailer' }, 'too_large', 200, $limit ],
	[ 'endless interim answers', { informational => 1000 }, 'too_large', undef, $limit ],
	[ 'gzip bomb', { gzip_bomb => 20 }, 'too_large', 200, $limit ],
	[ 'no status line', { broken => 'status' }, 'protocol', '', '^invalid HTTP response' ],
	[ 'broken header', { broken => 'header' }, 'protocol', 200, '^invalid HTTP response' ],
	[ 'negative length', { broken => 'length' }, 'protocol', 200, '^invalid HTTP response' ],
	[ 'bad chunk', { broken => 'chunk' }, 'protocol', 200, '^invalid HTTP response' ],
	[ 'too short', { broken => 'short' }, 'reset', 200, 'connection lost while receiving the response' ],
	[ 'refused', $closed_url, 'refused', '', '^connection refused by host "127.0.0.1"$' ],
	[ 'unresolved', 'http://no-such-host.invalid/', 'unresolved', '', '^could not resolve host "no-such-host.invalid"$' ],
	[ 'forbidden', 'http://10.1.2.3/', 'forbidden_address', '', '^address 10.1.2.3 is not allowed by webhook.allowed_networks$' ],
	[ 'expired certificate', $expired->url('/'), 'tls', '', 'expired' ],
	[ 'certificate of another', $wrong->url('/'), 'tls', '', 'name' ],
	[ 'self-signed certificate', $self_signed->url('/'), 'tls', '', 'self.signed' ],
	[ 'TLS where there is none', $receiver->url('/') =~ s/http:/https:/r, 'timeout', '', '^timeout while negotiating TLS$' ],
	[ 'no TLS where there is', $good->url('/') =~ s/https:/http:/r, undef, '', '.' ]);

my @ids;

# Misbehave once.
sub misbehave
{
	foreach my $i (0 .. $#faults)
	{
		$receiver->behave("/$i", %{ $faults[$i][1] }, times => 1) if ref $faults[$i][1];
	}
	return;
}

misbehave();
foreach my $i (0 .. $#faults)
{
	my ($name, $fault, $outcome) = @{ $faults[$i] };
	my $timeout = ($outcome // '') eq 'timeout' ? '1500 ms' : '30 s';

	push @ids, WebhookTest::create_webhook($node,
		app => "'faults'", name => "'$name'", event => "'fault'", timeout => "'$timeout'", ordering => "'none'", max_in_flight => 1,
		retry_schedule => "ARRAY['0', '1 hour', '1 hour', '1 hour', '1 hour', '1 hour']::interval[]",
		ca_cert => "'$ca'",
		url => "'" . (ref $fault ? $receiver->url("/$i") : $fault) . "'");
}
my $message = sql(q{SELECT webhook.emit('fault', '{"text": "Zürich"}')});
becomes("SELECT count(*) FROM webhook.last_attempts", scalar(@faults), 'R3: every webhook was tried');

foreach my $i (0 .. $#faults)
{
	my ($name, $fault, $outcome, $status, $error) = @{ $faults[$i] };
	my $log = sql("SELECT outcome, status, attempt, message_id = '$message', duration < '20 s', error FROM webhook.get_webhook_log($ids[$i])");
	my ($got_outcome, $got_status, $rest, $got_error) = $log =~ /^(\w+)\|(\d*)\|(\d+\|\w\|\w)\|(.*)$/s;

	is($got_outcome, $outcome, "R3: $name: outcome") if defined $outcome;
	isnt($got_outcome, 'delivered', "R3: $name: no success") if !defined $outcome;
	is($got_status, $status, "R3: $name: status") if defined $status;
	like($got_error, qr/$error/, "R3: $name: error") if $error ne '';
	is($got_error, '', "R3: $name: no error") if $error eq '';
	is($rest, '1|t|t', "R3: $name: first attempt, in time");
}
my $failures = grep { ($_->[2] // '') ne 'delivered' } @faults;
is(sql('SELECT count(*) FROM webhook.undelivered'), $failures, 'R3: what failed will be retried');
is(sql("SELECT bool_and(active) FROM webhook.get_webhooks('faults')"), 't', 'W5: no webhook is deactivated by one failure');

# The next attempt of each succeeds; URLs that cannot be reached are corrected before.

foreach my $i (0 .. $#faults)
{
	next if ref $faults[$i][1];
	sql("SELECT webhook.update_webhook($ids[$i], '{\"url\": \"" . $receiver->url("/$i") . "\"}')");
}
let_pass(4400);
WebhookTest::wait_until_delivered($node);
becomes("SELECT count(*) FROM webhook.stat_webhooks WHERE delivered = 1", scalar(@faults), 'R3: the next delivery works, for all of them');
is(sql("SELECT count(*) FROM webhook.stat_webhooks WHERE delivered = 1"), scalar(@faults), 'R3: each delivery has succeeded once');

# A kept-alive connection that the receiver closes as the next request arrives

my $drop = WebhookTest::create_webhook($node, app => "'drop'", event => "'drop'", ordering => "'strict'", url => "'" . $receiver->url('/drop') . "'");
$receiver->behave('/drop', drop_next => 1, times => 1);
sql(q{SELECT webhook.emit('drop', to_jsonb(n)) FROM generate_series(1, 3) n});
WebhookTest::wait_until_delivered($node);
becomes("SELECT string_agg(outcome || ' ' || attempt, ',') FROM webhook.get_webhook_log($drop)", 'delivered 1,delivered 1,delivered 1',
	'R3: a connection closed under a request costs no attempt');

# An unsolicited response is not taken for that of the next request; a connection without one is reused

foreach my $stray ([ 'plain', $receiver ], [ 'tls', $good ])
{
	my ($name, $from) = @$stray;
	my $id = WebhookTest::create_webhook($node, app => "'stray'", event => "'stray.$name'", ordering => "'strict'", ca_cert => "'$ca'",
		url => "'" . $from->url("/stray.$name") . "'");

	$from->behave("/stray.$name", stray => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", times => 1);
	sql("SELECT webhook.emit('stray.$name', '0')");
	ok($from->wait_for_count(1, '/_stray'), "C1: $name: the receiver has responded twice");
	$from->behave("/stray.$name", status => 503, times => 1);
	sql("SELECT webhook.emit('stray.$name', '1')");
	becomes("SELECT count(*) FROM webhook.get_webhook_log($id)", 2, "C1: $name: the next message is sent");
	is(sql("SELECT outcome, status FROM webhook.get_webhook_log($id) LIMIT 1"), 'server_error|503', "C1: $name: its response is its own");
	let_pass(10);
	WebhookTest::wait_until_delivered($node);
	sql("SELECT webhook.emit('stray.$name', to_jsonb(n)) FROM generate_series(2, 6) n");
	WebhookTest::wait_until_delivered($node);
	is(join(' ', map { $_->{body} =~ /"result":(\d)/ } $from->requests("/stray.$name")), '0 1 1 2 3 4 5 6', "C1: $name: all of them arrive");
	my %connections = map { $_->{connection} => 1 } ($from->requests("/stray.$name"))[-5 .. -1];
	is(scalar(keys %connections), 1, "C1: $name: one connection is reused");
}

# HTTP/2: faults of one request, over a new connection and over one that has been used

SKIP:
{
	Needs::skip_block('Python has no package h2 (python3-h2) here', 1) unless WebhookTest::Receiver::can_http2();

	my $http2 = WebhookTest::Receiver->start(tls => [ "$dir/good.crt", "$dir/good.key" ], http2 => 1);
	my $broken_off = '^closed by the receiver while';
	my @http2_faults = (
		[ 'answer', {}, 'delivered', 200, '' ],
		[ 'unavailable', { status => 503 }, 'server_error', 503, '^HTTP status 503$' ],
		[ 'GOAWAY, request not among those to be answered', { goaway => 'unseen' }, 'delivered', 200, '' ],
		[ 'the same, and closed', { goaway => 'unseen_close' }, 'delivered', 200, '' ],
		[ 'GOAWAY, request among those to be answered, but closed', { goaway => 'seen' }, 'reset', '', '^connection lost while' ],
		[ 'GOAWAY, then the answer', { goaway => 'answered' }, 'delivered', 200, '' ],
		[ 'GOAWAY after the answer', { goaway => 'after' }, 'delivered', 200, '' ],
		[ 'reset: internal error', { rst => 2 }, 'reset', '', "$broken_off waiting for the response: .*INTERNAL_ERROR" ],
		[ 'reset: protocol error', { rst => 1 }, 'protocol', '', '^invalid HTTP response: .*PROTOCOL_ERROR' ],
		[ 'reset: refused', { rst => 7 }, 'delivered', 200, '' ],
		[ 'reset: cancelled in the body', { rst_body => 8 }, 'reset', 200, "$broken_off receiving the response: .*CANCEL" ],
		[ 'closed before', { cut => 'before' }, 'reset', '', '^connection lost while waiting for the response' ],
		[ 'closed in the body', { cut => 'body' }, 'reset', 200, '^connection lost while receiving the response' ],
		[ 'hang before', { hang => 'before' }, 'timeout', '', '^timeout while waiting for the response$' ],
		[ 'hang in the body', { hang => 'body' }, 'timeout', 200, '^timeout while receiving the response$' ],
		[ 'too large', { size => 10241 }, 'too_large', 200, $limit ],
		[ 'endless body', { endless => 1 }, 'too_large', 200, $limit ],
		[ 'large headers', { headers => 30000 }, 'too_large', 200, $limit ]);

	my $version_2 = 0;
	foreach my $i (0 .. $#http2_faults)
	{
		my ($name, $fault, $outcome, $status, $error) = @{ $http2_faults[$i] };
		my $path = "/h$i";
		my $timeout = $outcome eq 'timeout' ? '1500 ms' : '30 s';
		my $id = WebhookTest::create_webhook($node,
			app => "'http2'", event => "'http2.$i'", timeout => "'$timeout'", ordering => "'strict'", ca_cert => "'$ca'",
			url => "'" . $http2->url($path) . "'");

		# The first request opens a connection or finds one; the second uses one that has just been used.
		sql("SELECT webhook.emit('http2.$i', '1')") if $i % 2;
		ok($http2->wait_for_count(1, $path), "R3: HTTP/2: $name: a connection is there") if $i % 2;
		$http2->behave($path, %$fault, times => 1) if %$fault;
		my $message = sql("SELECT webhook.emit('http2.$i', '2')");
		becomes("SELECT count(*) FROM webhook.get_webhook_log($id) WHERE message_id = '$message'", 1, "R3: HTTP/2: $name: tried");
		my $version = $status eq '' ? '' : '2';
		is( sql("SELECT outcome, status, attempt, duration < '20 s', http_version FROM webhook.get_webhook_log($id) WHERE message_id = '$message'"),
			"$outcome|$status|1|t|$version", "R3, X16: HTTP/2: $name: outcome, status and version")
		  or diag(sql("SELECT error FROM webhook.get_webhook_log($id)"));
		like(sql("SELECT error FROM webhook.get_webhook_log($id) WHERE message_id = '$message'"), qr/$error/, "R3: HTTP/2: $name: error")
		  if $error ne '';
		sql("SELECT webhook.emit('http2.$i', '3')");
		let_pass(10) if $outcome ne 'delivered';
		WebhookTest::wait_until_delivered($node);
		my @got = map { $_->{body} =~ /"result":(\d)/ } $http2->requests($path);
		my %seen;
		is(join(' ', grep { !$seen{$_}++ } @got), $i % 2 ? '1 2 3' : '2 3', "R3: HTTP/2: $name: the next delivery works, in order");
		$version_2++ unless grep { !$_->{stream} } $http2->requests($path);
	}
	is($version_2, scalar(@http2_faults), 'R3: HTTP/2: all requests used HTTP/2');

	# What may have been received is not sent again at once, neither over a new connection nor over a pooled one
	foreach my $fault ({ goaway => 'seen' }, { cut => 'before' })
	{
		foreach my $kept (0, 1)
		{
			my $name = 'R3: HTTP/2: ' . join(' ', %$fault) . ($kept ? ', kept connection' : ', new connection');
			my $fresh = WebhookTest::Receiver->start(tls => [ "$dir/good.crt", "$dir/good.key" ], http2 => 1);
			my $id = WebhookTest::create_webhook($node, app => "'taken'", event => "'taken'", ordering => "'strict'",
				ca_cert => "'$ca'", url => "'" . $fresh->url('/taken') . "'");

			if ($kept)
			{
				sql("SELECT webhook.emit('taken', '1')");
				WebhookTest::wait_until_delivered($node);
			}
			$fresh->behave('/taken', %$fault, times => 1);
			sql("SELECT webhook.emit('taken', '2')");
			becomes("SELECT outcome FROM webhook.get_webhook_log($id) ORDER BY attempted_at DESC LIMIT 1", 'reset', "$name: lost");
			is($fresh->count('/taken'), $kept + 1, "$name: it is sent once");
			sql("SELECT webhook.delete_webhook_by_id($id)");
		}
	}

	# A refused request is sent again at once; one that then fails with the same libcurl handle is not
	my $refused = WebhookTest::create_webhook($node, app => "'refused'", event => "'refused'", ca_cert => "'$ca'",
		url => "'" . $http2->url('/refused') . "'");
	my $after = WebhookTest::create_webhook($node, app => "'refused'", event => "'after'", url => "'" . $receiver->url('/after') . "'");
	sql("SELECT webhook.emit('refused', '1')");
	WebhookTest::wait_until_delivered($node);
	$http2->behave('/refused', rst => 7, times => 1);
	sql("SELECT webhook.emit('refused', '2')");
	WebhookTest::wait_until_delivered($node);
	is($http2->count('/refused'), 3, 'R3: HTTP/2: a refused request is sent again');
	$receiver->behave('/after', reset => 1, times => 1);
	sql("SELECT webhook.emit('after', '3')");
	becomes("SELECT outcome FROM webhook.get_webhook_log($after)", 'reset', 'R3: HTTP/2: one that is lost after that is not');
	is($receiver->count('/after'), 1, 'R3: HTTP/2: it was sent once');
	sql("SELECT webhook.delete_webhook_by_id(id) FROM webhook.get_webhooks('refused')");

	# Requests share a connection, but count for max_in_flight; many at a time although connections are closed
	my $few = WebhookTest::Receiver->start(tls => [ "$dir/good.crt", "$dir/good.key" ], http2 => 1, max_streams => 4);
	my $id = WebhookTest::create_webhook($node, app => "'http2'", event => "'many'", ordering => "'none'", max_in_flight => 7,
		ca_cert => "'$ca'", timeout => "'1 min'", url => "'" . $few->url('/many') . "'");
	sql("SELECT webhook.emit('many', '0')");
	WebhookTest::wait_until_delivered($node);
	$few->behave('/many', hold => 1);
	sql("SELECT webhook.emit('many', to_jsonb(n)) FROM generate_series(1, 50) n");
	ok($few->wait_for_count(1 + 7, '/many'), 'W10: HTTP/2: max_in_flight is reached');
	becomes("SELECT count(*) FROM webhook.undelivered WHERE state <> 'pending'", 50, 'W5: HTTP/2: messages that are held up are stored');
	is($few->count('/many'), 1 + 7, 'W10: HTTP/2: max_in_flight is not exceeded');
	my %requests_of;
	push @{ $requests_of{ $_->{connection} } }, $_->{stream} foreach $few->requests('/many');
	is(scalar(grep { @$_ > 1 + 4 } values %requests_of), 0, 'W10: HTTP/2: no more streams on one connection than the receiver allows');
	cmp_ok(scalar(keys %requests_of), '<=', 7, 'W10: HTTP/2: no more connections than requests');
	$few->behave('/many', goaway => 'unseen', times => 5);
	WebhookTest::wait_until_delivered($node);
	my %bodies = map { $_->{body} => 1 } $few->requests('/many');
	is(scalar(keys %bodies), 51, 'W2: HTTP/2: all of them have arrived');
	becomes("SELECT delivered, attempts FROM webhook.stat_webhooks WHERE webhook_id = $id", '51|51',
		'W4: HTTP/2: connections that the receiver closes cost no attempt');
}

# All faults repeatedly: memory

my ($first_pid, $first);
foreach my $round (1 .. ROUNDS)
{
	misbehave();
	sql(q{SELECT webhook.emit('fault', '{}')});
	becomes("SELECT count(*) FROM webhook.stat_webhooks WHERE app = 'faults' AND delivered + retrying > $round",
		scalar(@faults), "R3: round $round: every webhook was tried");
	let_pass(4400);
	WebhookTest::wait_until_delivered($node);
	($first_pid, $first) = (worker_pid(), worker_memory()) if $round == 2;
}
is(worker_pid(), $first_pid, 'R3: the worker has survived all faults');
SKIP:
{
	skip 'the memory of a process cannot be told here', 1 unless defined $first;
	my $last = worker_memory();
	cmp_ok($last - $first, '<', MAX_GROWTH_KB, "R3: memory is flat: $first kB, $last kB");
}

$node->stop;
$receiver->stop;
done_testing();
