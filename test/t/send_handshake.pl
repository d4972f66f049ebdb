# A receiver is asked for permission before anything is sent to it, and its answer is respected: the abuse protection of
# CloudEvents' webhooks, and challenges.
#
# Mission: W7, W10, W12, X13; M7, M8, E6 and W9 for the handshake itself.

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WebhookTest qw(sql emit becomes);

my $node = WebhookTest::start_node('handshake', "webhook.request_origin = 'Events.example.com'");
my $receiver = WebhookTest::Receiver->start;
my $clock = 0;

# Set the clock forward by this many seconds.
sub later
{
	my ($seconds) = @_;

	$clock += $seconds;
	sql("ALTER SYSTEM SET webhook.clock_offset = '${clock}s'");
	$node->reload;
	return;
}

sub create
{
	my ($path, %more) = @_;

	return $receiver->webhook($path, handshake => 'true', %more);
}

# "OPTIONS POST POST", the requests for a path.
sub methods
{
	my ($path) = @_;

	return join(' ', map { $_->{method} } $receiver->requests($path));
}

sub last_log
{
	my ($id) = @_;

	return "SELECT method, outcome, error FROM webhook.get_webhook_log($id) LIMIT 1";
}

# Agreement

$receiver->behave('/yes', allowed_origin => 'same');
my $yes = create('/yes', headers => q('{"Authorization": "Bearer s3cr3t"}'));
is(sql('SELECT handshake FROM webhook.get_webhooks()'), 't', 'W7: get_webhooks() shows which webhooks have a handshake');
emit($_) foreach 1 .. 3;
WebhookTest::wait_until_delivered($node);
is(methods('/yes'), 'OPTIONS POST POST POST', 'W7: the receiver is asked once, before the first delivery');
is(join(' ', $receiver->numbers('/yes')), '1 2 3', 'W7: then everything is sent');
my ($question, $delivery) = $receiver->requests('/yes');
is($question->{headers}{'webhook-request-origin'}, 'Events.example.com', 'W7: the request names the origin');
is($question->{headers}{authorization}, 'Bearer s3cr3t', 'W7: it has the headers of the webhook');
is(join(',', grep { exists $question->{headers}{$_} } qw(content-type content-length webhook-signature webhook-request-rate)),
	'', 'W7: it has no body and no signature, and requests no rate unless there is a limit');
is($delivery->{headers}{'webhook-request-origin'}, 'Events.example.com', 'W7: deliveries name the origin, too');
becomes("SELECT string_agg(method || ' ' || outcome, ', ' ORDER BY attempted_at) FROM webhook.get_webhook_log($yes)",
	'OPTIONS agreed, POST delivered, POST delivered, POST delivered', 'E7: the log shows the handshake');
unlike(sql("SELECT string_agg(request_headers, '') FROM webhook.get_webhook_log($yes) WHERE method = 'OPTIONS'"), qr/s3cr3t/,
	'E7: without secrets');
is(sql("SELECT delivered, attempts, failed, agreed_at IS NOT NULL, allowed_rate FROM webhook.stat_webhooks WHERE webhook_id = $yes"),
	'3|3|0|t|', 'W12: the handshake is no attempt to deliver; the agreement is shown');

# An agreement holds for a URL and an origin, until the worker ends

sql("SELECT webhook.update_webhook($yes, '{\"name\": \"renamed\", \"headers\": {}}')");
emit(4);
WebhookTest::wait_until_delivered($node);
is(methods('/yes'), 'OPTIONS POST POST POST POST', 'W7: other changes need no new agreement');
$receiver->behave('/elsewhere', allowed_origin => '*');
sql("SELECT webhook.update_webhook($yes, '{\"url\": \"" . $receiver->url('/elsewhere') . "\"}')");
emit(5);
WebhookTest::wait_until_delivered($node);
is(methods('/elsewhere'), 'OPTIONS POST', 'W7: another URL is asked again; "*" is an agreement, too');
$node->append_conf('postgresql.conf', "webhook.request_origin = 'other.example.com'");
$node->reload;
becomes("SHOW webhook.request_origin", 'other.example.com', 'the origin is another one');
sql("SELECT pg_terminate_backend(pid, 60000) FROM webhook.stat_workers WHERE pid IS NOT NULL");
emit(6);
WebhookTest::wait_until_delivered($node);
is(methods('/elsewhere'), 'OPTIONS POST OPTIONS POST', 'W7: after a restart it is asked once more');
is(($receiver->requests('/elsewhere'))[2]{headers}{'webhook-request-origin'}, 'other.example.com', 'W7: with the new origin');
emit(7);
WebhookTest::wait_until_delivered($node);
is(methods('/elsewhere'), 'OPTIONS POST OPTIONS POST POST', 'W7: but only once');
sql("SELECT webhook.deactivate_webhook($yes); SELECT webhook.activate_webhook($yes)");
emit(8);
WebhookTest::wait_until_delivered($node);
is(methods('/elsewhere'), 'OPTIONS POST OPTIONS POST POST OPTIONS POST', 'W7: and after an activation, although nothing was sent in between');
sql("SELECT webhook.delete_webhook_by_id($yes)");
$receiver->reset;

# No agreement: nothing is sent, nothing is lost

my %refusals = (
	'/silent' => [ {}, 'OPTIONS|not_agreed|no agreement: the answer has no WebHook-Allowed-Origin' ],
	'/other' => [ { allowed_origin => 'evil.example.com' },
		'OPTIONS|not_agreed|no agreement: the answer allows "evil.example.com", not this origin' ],
	'/rate' => [ { allowed_origin => 'same', allowed_rate => '0' },
		'OPTIONS|not_agreed|no agreement: the answer has "0" as WebHook-Allowed-Rate' ],
	'/words' => [ { allowed_origin => 'same', allowed_rate => 'plenty' },
		'OPTIONS|not_agreed|no agreement: the answer has "plenty" as WebHook-Allowed-Rate' ],
	'/405' => [ { status => 405, allowed_origin => 'same' }, 'OPTIONS|client_error|no agreement: HTTP status 405' ],
	'/hang' => [ { hang => 'before' }, 'OPTIONS|timeout|no agreement: timeout while waiting for the response' ],
	'/reset' => [ { reset => 1 }, undef ],
	'/302' => [ { status => 302, location => $receiver->url('/silent') }, undef ]);
my %id;
foreach my $path (sort keys %refusals)
{
	$receiver->behave($path, %{ $refusals{$path}[0] }) if %{ $refusals{$path}[0] };
	$id{$path} = create($path, timeout => "'1 s'", retry_schedule => "'{0,1 h,1 h,1 h}'");
}
emit($_) foreach 1 .. 5;
foreach my $path (sort keys %refusals)
{
	becomes(last_log($id{$path}), $refusals{$path}[1], "W7: $path: no agreement") if $refusals{$path}[1];
	becomes("SELECT count(*), string_agg(DISTINCT state, ',') FROM webhook.undelivered WHERE webhook_id = $id{$path}",
		'5|waiting', "W7: $path: everything waits");
	becomes("SELECT failing_since IS NOT NULL FROM webhook.get_webhooks() WHERE id = $id{$path}", 't', "W7: $path: the webhook is failing");
	is(methods($path), 'OPTIONS', "W7: $path: one handshake is made, and nothing else");
}
is(sql('SELECT count(*) FROM webhook.stat_webhooks WHERE agreed_at IS NOT NULL'), '0', 'W12: no receiver has agreed');
is(sql('SELECT sum(attempts), bool_and(last_failure_at IS NOT NULL AND last_error IS NOT NULL) FROM webhook.stat_webhooks'), '0|t',
	'W12: a handshake is no attempt to deliver, but its failure is shown');

# One of them agrees later

$receiver->behave('/other', allowed_origin => 'other.example.com');
later(4500);
ok($receiver->wait_for(sub { (grep { $_->{path} eq '/other' && $_->{method} eq 'POST' } @_) == 5 }), 'W7: one receiver agrees later')
  or diag(methods('/other'));
is(methods('/other'), 'OPTIONS OPTIONS POST POST POST POST POST', 'W7: then everything is sent');
is(join(' ', $receiver->numbers('/other')), '1 2 3 4 5', 'W3: in order');

# The others are asked on the schedule, and deactivated when it is used up; what waited is buffered

foreach (1 .. 2)
{
	becomes("SELECT count(*) FROM webhook.stat_webhooks WHERE active AND next_probe_at <= clock_timestamp() + interval '$clock s'",
		0, 'W7: every refusal has been recorded');
	later(4500);
}
foreach my $path (grep { $_ ne '/other' } sort keys %refusals)
{
	becomes("SELECT active, deactivation_reason, buffered FROM webhook.get_webhooks() WHERE id = $id{$path}",
		'f|failing|5', "M7: $path: deactivated when the schedule is used up");
	like(methods($path), qr/^OPTIONS( OPTIONS){1,3}$/, "W7: $path: nothing has ever been sent");
}
is(sql("SELECT count(*) FROM webhook.notification WHERE kind = 'deactivated'"), '7', 'M8: the operator is notified');
$receiver->behave('/silent', allowed_origin => '*');
sql("SELECT webhook.activate_webhook($id{'/silent'}, replay_events => true)");
ok($receiver->wait_for(sub { (grep { $_->{path} eq '/silent' && $_->{method} eq 'POST' } @_) == 5 }), 'M9: replayed')
  or diag(methods('/silent'));
is(join(' ', $receiver->numbers('/silent')), '1 2 3 4 5', 'M9: the buffer is sent in order after an agreement');
sql('SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks()');
$receiver->reset;

# 410, and an address that is forbidden

$receiver->behave('/gone', status => 410);
my $gone = create('/gone');
my $forbidden = WebhookTest::create_webhook($node, app => "'app'", event => "'thing.done'", url => "'http://10.1.2.3/'", handshake => 'true');
emit(1);
becomes("SELECT active, deactivation_reason FROM webhook.get_webhooks() WHERE id = $gone", 'f|gone', 'W4: 410 deactivates at once');
becomes(last_log($forbidden), 'OPTIONS|forbidden_address|no agreement: address 10.1.2.3 is not allowed by webhook.allowed_networks',
	'W9: the SSRF guard applies to the handshake, too');
sql('SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks()');
$receiver->reset;

# A retry schedule without a retry

# After the agreement a request cannot be built, which must not be confused with the handshake

$receiver->behave('/long', allowed_origin => 'same');
my $start = $receiver->url('/long?x=');
my $long = create('/long', method => "'GET'", url => "'$start" . 'y' x (8180 - length($start)) . "'", retry_schedule => "'{0}'");
emit(1);
WebhookTest::wait_until_delivered($node);
is(methods('/long'), 'OPTIONS', 'W7: the handshake is made, but nothing is sent');
like(sql(last_log($long)), qr/^GET\|invalid\|URL is longer/, 'W7, W12: because the URL is too long');
is(sql("SELECT request_headers FROM webhook.get_webhook_log($long) LIMIT 1"), '', 'W12: the log does not show the headers of the handshake');
sql("SELECT webhook.delete_webhook_by_id($long)");

my $once = create('/once', retry_schedule => "'{0}'");
emit(1);
becomes("SELECT active, buffered FROM webhook.get_webhooks() WHERE id = $once", 'f|1',
	'W7: without an agreement no delivery fails');
sql("SELECT webhook.delete_webhook_by_id($once)");
$receiver->reset;

# Rates: that of the receiver, per minute, and the webhook's, per second; the lower one applies

# The maximum number of requests within a second, of the last ten in the log, by the times when they were sent.  On a busy machine
# the receiver may notice one late, and then two at once.
sub most_in_a_second
{
	my ($id) = @_;

	return sql("WITH l AS (SELECT attempted_at AS t FROM webhook.get_webhook_log($id))
		SELECT max(n) FROM (SELECT (SELECT count(*) FROM l AS m WHERE m.t >= l.t AND m.t < l.t + interval '1 s') AS n FROM l) AS w");
}

$receiver->behave('/slow', allowed_origin => 'same', allowed_rate => '240');
$receiver->behave('/own', allowed_origin => 'same', allowed_rate => '6000');
$receiver->behave('/free', allowed_origin => 'same', allowed_rate => '*');
my $slow = create('/slow', rate_limit => 100, ordering => "'none'");
my $own = create('/own', rate_limit => 5, ordering => "'none'");
create('/free', ordering => "'none'");
sql("SELECT webhook.emit('thing.done', jsonb_build_object('n', n)) FROM generate_series(1, 20) AS n");
WebhookTest::wait_until_delivered($node);
foreach ([ '/slow', 4, $slow ], [ '/own', 5, $own ])
{
	my ($path, $limit, $id) = @$_;
	my @times = map { $_->{time} } grep { $_->{method} eq 'POST' } $receiver->requests($path);

	is(scalar(@times), 20, "W10: $path: everything is sent");
	cmp_ok($times[-1] - $times[0], '>=', 18 / $limit, "W10: $path: evenly");
	becomes("SELECT count(*) FROM webhook.get_webhook_log($id) WHERE attempt = 1 AND outcome = 'delivered'", 10, "W10: $path: the log shows the last ten");
	cmp_ok(most_in_a_second($id), '<=', $limit, "W10: $path: within a second not more than $limit");
}
is(scalar($receiver->requests('/free')), 21, 'W10: "*" is no limit');
is(($receiver->requests('/own'))[0]{headers}{'webhook-request-rate'}, '300', 'W7: the handshake requests the rate, per minute');
becomes("SELECT allowed_rate FROM webhook.stat_webhooks WHERE webhook_id = $slow", '240', 'W12: the allowed rate is shown');
sql('SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks()');
$receiver->reset;

# Tests need an agreement, too, and do not affect the state of the webhook

$receiver->behave('/tested', status => 200);
my $tested = create('/tested', active => 'false');
sql("SELECT webhook.test_webhook($tested)");
becomes("SELECT method, outcome FROM webhook.get_webhook_log($tested)", 'OPTIONS|not_agreed', 'E6: a test makes a handshake, too');
$receiver->behave('/tested', allowed_origin => '*');
sql("SELECT webhook.test_webhook($tested)");
ok($receiver->wait_for(sub { (grep { $_->{method} eq 'POST' } @_) == 1 }), 'E6: and sends one request after the agreement');
is(methods('/tested'), 'OPTIONS OPTIONS POST', 'E6: and no other');
is(sql("SELECT failing_since IS NULL, active FROM webhook.get_webhooks() WHERE id = $tested"), 't|f', 'E6: the state of the webhook is unchanged');
sql("SELECT webhook.delete_webhook_by_id($tested)");
$receiver->reset;

# Every method, with placeholders: the handshake uses the URL of the delivery

foreach my $method (qw(GET PUT PATCH DELETE))
{
	$receiver->behave("/$method/7", allowed_origin => 'same');
	create("/$method/{entity_id}", method => "'$method'");
}
emit(1, '7');
WebhookTest::wait_until_delivered($node);
is(methods("/$_/7"), "OPTIONS $_", "W7: $_") foreach qw(GET PUT PATCH DELETE);
is((($receiver->requests('/GET/7'))[0])->{query}, '', 'W7: the handshake does not contain the payload of a GET');

sql('SELECT count(webhook.delete_webhook_by_id(id)) FROM webhook.get_webhooks()');
$receiver->reset;

# Challenges: the receiver echoes a nonce

# "challenge POST", the requests for a path.
sub questions
{
	my ($path) = @_;

	return join(' ', map { $_->{body} =~ /"type":"webhook\.challenge"/ ? 'challenge' : $_->{method} } $receiver->requests($path));
}

sub nonces
{
	my ($path) = @_;

	return map { $_->{body} =~ /"challenge":"([0-9a-f]{64})"/ ? $1 : () } $receiver->requests($path);
}

foreach my $how (qw(nonce json))
{
	$receiver->behave("/$how", challenge => $how);
	my $id = $receiver->webhook("/$how", challenge => 'true', format => "'cloudevents'", batch_size => 10);
	emit($_) foreach 1 .. 3;
	WebhookTest::wait_until_delivered($node);
	like(questions("/$how"), qr/^challenge( POST)+$/, "X13: $how: one challenge before the first delivery");
	is(sql("SELECT challenge FROM webhook.get_webhooks() WHERE id = $id"), 't', 'X13: get_webhooks() shows the property');
	becomes("SELECT method, outcome, messages, error FROM webhook.get_webhook_log($id) ORDER BY attempted_at LIMIT 1", 'POST|agreed|0|',
		'X13: the log shows the challenge');
	becomes("SELECT delivered, failed, agreed_at IS NOT NULL FROM webhook.stat_webhooks WHERE webhook_id = $id", '3|0|t',
		'X13: the challenge is no delivery; the agreement is shown');
	my ($question, $delivery) = $receiver->requests("/$how");
	like($question->{body}, qr/^\{"type":"webhook\.challenge","challenge":"[0-9a-f]{64}"\}$/, 'X13: its body contains the nonce');
	is($question->{headers}{'content-type'}, 'application/json', 'X13: its Content-Type does not depend on the format');
	ok($question->{headers}{'webhook-signature'}, 'X13: it is signed');
	isnt($question->{headers}{'webhook-id'}, $delivery->{headers}{'webhook-id'}, 'X13: its id is not that of the delivery');

	sql("SELECT webhook.update_webhook($id, '{\"name\": \"renamed\"}')");
	emit(4);
	WebhookTest::wait_until_delivered($node);
	is(scalar(nonces("/$how")), 1, "X13: $how: other changes need no new challenge");
	$receiver->behave("/$how-2", challenge => $how);
	sql("SELECT webhook.update_webhook($id, '{\"url\": \"" . $receiver->url("/$how-2") . "\"}')");
	emit(5);
	WebhookTest::wait_until_delivered($node);
	is(questions("/$how-2"), 'challenge POST', "X13: $how: another URL does");
	sql("SELECT webhook.deactivate_webhook($id); SELECT webhook.activate_webhook($id)");
	emit(6);
	WebhookTest::wait_until_delivered($node);
	is(questions("/$how-2"), 'challenge POST challenge POST', "X13: $how: and so does an activation");
	my %distinct = map { $_ => 1 } nonces("/$how"), nonces("/$how-2");
	is(scalar(keys %distinct), 3, "X13: $how: with a new nonce each time");
	sql("SELECT webhook.delete_webhook_by_id($id)");
}
$receiver->reset;

# Handshake and challenge, one after the other; without an agreement to both nothing is sent

$receiver->behave('/both', allowed_origin => '*', challenge => 'nonce');
create('/both', challenge => 'true');
my %unanswered = (
	'/ok' => [ {}, 'POST|not_agreed|no agreement: the answer is not the challenge' ],
	'/fixed' => [ { challenge => '0' x 64 }, 'POST|not_agreed|no agreement: the answer is not the challenge' ],
	'/long' => [ { challenge => 'x' x 5000 }, 'POST|not_agreed|no agreement: the answer is too long for the challenge' ],
	'/endless' => [ { endless => 1 }, undef ],
	'/created' => [ { status => 403, challenge => 'nonce' }, 'POST|client_error|no agreement: HTTP status 403' ]);
foreach my $path (sort keys %unanswered)
{
	$receiver->behave($path, %{ $unanswered{$path}[0] }) if %{ $unanswered{$path}[0] };
	$id{$path} = $receiver->webhook($path, challenge => 'true', timeout => "'1 s'", retry_schedule => "'{0,1 h,1 h}'");
}
emit($_) foreach 1 .. 3;
foreach my $path (sort keys %unanswered)
{
	becomes(last_log($id{$path}), $unanswered{$path}[1], "X13: $path: no agreement") if $unanswered{$path}[1];
	becomes("SELECT count(*), string_agg(DISTINCT state, ',') FROM webhook.undelivered WHERE webhook_id = $id{$path}",
		'3|waiting', "X13: $path: everything waits");
	becomes("SELECT failing_since IS NOT NULL FROM webhook.get_webhooks() WHERE id = $id{$path}", 't', "X13: $path: the webhook is failing");
	is(questions($path), 'challenge', "X13: $path: there is one challenge, and nothing else");
}
ok($receiver->wait_for(sub { (grep { $_->{path} eq '/both' } @_) == 5 }), 'X13: handshake and challenge, then everything is sent');
is(questions('/both'), 'OPTIONS challenge POST POST POST', 'X13: in this order');
$receiver->behave('/ok', challenge => 'json');
later(4500);
ok($receiver->wait_for(sub { (grep { $_->{path} eq '/ok' } @_) == 5 }), 'X13: the receiver answers correctly later') or diag(questions('/ok'));
is(questions('/ok'), 'challenge challenge POST POST POST', 'X13: then everything is sent');
is(scalar(keys %{ { map { $_ => 1 } nonces('/ok') } }), 2, 'X13: the second challenge has a nonce of its own');
WebhookTest::fails_with($node, "SELECT webhook.update_webhook($id{'/ok'}, '{\"challenge\": \"often\"}')",
	'22023', 'argument "challenge"', 'R6: challenge is a boolean');

# Invalid origins and handshakes

WebhookTest::fails_with($node, "SELECT webhook.update_webhook(id, '{\"handshake\": \"often\"}') FROM webhook.get_webhooks() LIMIT 1",
	'22023', 'argument "handshake"', 'R6: handshake is a boolean');
WebhookTest::fails_with($node, q(SELECT webhook.create_webhook('a', 'b.c', 'https://example.com/', headers => '{"WebHook-Request-Origin": "x"}')),
	'22023', 'WebHook-Request-Origin', 'R6: the header is reserved');
WebhookTest::fails_with($node, "ALTER SYSTEM SET webhook.request_origin = 'a b'", '22023', 'webhook.request_origin', 'R6: an invalid origin is refused');

done_testing();
